//! Checks of response filters, and of header fields that are set and removed.

use std::rc::Rc;

use http::HeaderName;

use super::super::raw::{BackendAuthorization, CustomerTokenSource, FieldRules, Requirement, ResponseRules, Route};
use super::{Check, grammar, shown};
use crate::field_template::{FieldPart, FieldTemplate};
use crate::fields::FieldSet;
use crate::json_body::filter;

/// Help for who sets a field of callers' credentials.
const BACKENDS_OWN: &str = "the backend's own credential is `backends.NAME.authorization`, such as { header: { name: X, value: { file: PATH } } }";

impl Check<'_> {
    pub(super) fn response(&mut self, at: &str, response: &ResponseRules) {
        if response.allow.is_none() && response.remove.is_empty() && response.redact.is_empty() && !response.json {
            self.add(at, "nothing is asked of the answer", "add `allow`, `remove`, `redact`, or json: true");
        }
        if let Some(allow) = &response.allow {
            self.not_empty(&format!("{at}.allow"), allow, "name a member, or remove `allow`");
        }
        for (key, paths) in [("allow", response.allow.as_ref()), ("remove", Some(&response.remove))] {
            for (index, path) in paths.into_iter().flatten().enumerate() {
                self.member_path(&format!("{at}.{key}[{index}]"), path);
            }
        }
        for (index, redaction) in response.redact.iter().enumerate() {
            let at = format!("{at}.redact[{index}]");
            match (&redaction.path, &redaction.pattern) {
                (None, None) => self.add(&at, "this would write over the whole answer", "add `path` or `pattern`"),
                (Some(path), _) => self.member_path(&format!("{at}.path"), path),
                (None, Some(_)) => {}
            }
            if let Some(pattern) = &redaction.pattern
                && let Err(fault) = filter::pattern(pattern)
            {
                self.add(&format!("{at}.pattern"), "this pattern cannot be used", fault);
            }
        }
        self.some_bytes(&format!("{at}.body"), response.body);
    }

    fn member_path(&mut self, at: &str, path: &str) {
        self.pointer(at, path);
        if let Err(fault) = filter::MemberPath::parse(path)
            && grammar::pointer_fault(path).is_none()
        {
            self.add(at, fault, "write it like /orders/*/status");
        }
    }

    /// Rules about the fields of requests of these routes.
    pub(super) fn request_fields(&mut self, at: &str, rules: &FieldRules, routes: &[&Route]) {
        let identity = self.identity_fields();
        self.field_rules(at, rules, Some(&identity), &[]);
        for (name, value) in &rules.set {
            let at = format!("{at}.set.{name}");
            match FieldTemplate::parse(value) {
                Ok(template) => template.parts().iter().for_each(|part| self.proved_part(&at, part, routes)),
                Err(fault) => self.add(&at, fault, "write one of these, or $${ for the characters themselves"),
            }
        }
    }

    /// A part of a value that is filled with what is proved of a call of these routes.
    fn proved_part(&mut self, at: &str, part: &FieldPart, routes: &[&Route]) {
        let (requirement, word) = match part {
            FieldPart::Text(_) | FieldPart::RequestId => return,
            FieldPart::ClientId => (Requirement::Client, "client"),
            FieldPart::ApiKeyId => (Requirement::ApiKey, "api_key"),
            FieldPart::Claim(claim) => {
                self.forwardable(at, claim);
                (Requirement::Customer, "customer")
            }
        };
        if !routes.is_empty() && !routes.iter().any(|route| route.require.contains(&requirement)) {
            let message = format!("this is never proved here: no such route requires `{word}`");
            self.add(at, message, format!("add {word} to `require`, or remove this field"));
        }
    }

    /// Some issuer lets backends know this claim.
    fn forwardable(&mut self, at: &str, claim: &str) {
        let raw = self.raw;
        let own = raw.login.iter().flat_map(|login| &login.forward_claims);
        let listed = raw.trusted_issuers.iter().flat_map(|issuer| &issuer.forward_claims);
        let known: Vec<&str> = own.chain(listed).map(String::as_str).collect();
        if !known.contains(&claim) {
            let message = format!("no issuer lets backends know the claim `{}`", shown(claim));
            let help = if known.is_empty() {
                "add it to `trusted_issuers[].forward_claims` or `login.forward_claims`".to_owned()
            } else {
                format!("these are listed in `forward_claims`: {}", known.join(", "))
            };
            self.add(at, message, help);
        }
    }

    /// Fields that pass though by default such do not.
    pub(super) fn passed_fields(&mut self, at: &str, names: &[String]) {
        let identity = self.identity_fields();
        for (index, name) in names.iter().enumerate() {
            let at = format!("{at}[{index}]");
            let parsed: Option<HeaderName> = name.parse().ok();
            let is = |fits: &dyn Fn(&HeaderName) -> bool| parsed.as_ref().is_some_and(fits);
            let is_claim = is(&FieldSet::is_claim);
            if let Some((message, _)) = grammar::header_fault(name, &["x-forwarded-port", "x-real-ip"]) {
                self.add(&at, message, "remove it: no caller's reaches a backend");
            } else if is(&|name| identity.contains(name)) {
                let message = format!("`{}` carries a credential or an identity", shown(name));
                self.add(&at, message, "remove it; for credentials see `forward_credentials`");
            } else if !is_claim && is(&|name| FieldSet::of_callers_claims().contains(name)) {
                let message = format!("`{}` is for the gateway alone", shown(name));
                self.add(&at, message, "remove it: no caller's reaches a backend");
            } else if !is_claim {
                let message = format!("`{}` passes anyway", shown(name));
                self.add(&at, message, "remove it");
            }
        }
        let all = names.iter().enumerate();
        self.unique("the field", all.map(|(index, name)| (format!("{at}[{index}]"), name.as_str())));
    }

    /// Rules about the fields of responses.
    pub(super) fn response_fields(&mut self, at: &str, rules: &FieldRules) {
        self.field_rules(at, rules, None, &["set-cookie"]);
    }

    fn field_rules(&mut self, at: &str, rules: &FieldRules, identity: Option<&FieldSet>, removable: &[&str]) {
        if rules.set.is_empty() && rules.remove.is_empty() {
            self.add(at, "nothing is set and nothing removed", "add `set` or `remove`");
        }
        let set = rules.set.keys().map(|name| (format!("{at}.set.{name}"), name, &[][..]));
        let removed =
            rules.remove.iter().enumerate().map(|(index, name)| (format!("{at}.remove[{index}]"), name, removable));
        for (at, name, allowed) in set.chain(removed) {
            let is_in = |fields: &FieldSet| name.parse().is_ok_and(|name| fields.contains(&name));
            let (message, help) = if let Some((message, _)) = grammar::header_fault(name, allowed) {
                (message, "choose another header")
            } else if identity.is_some_and(is_in) {
                (format!("`{}` carries a credential or an identity", shown(name)), "the gateway alone writes it")
            } else {
                continue;
            };
            let is_set = identity.is_some() && !at.ends_with(']');
            let is_of_callers = is_set && is_in(&self.callers_credentials());
            self.add(&at, message, if is_of_callers { BACKENDS_OWN } else { help });
        }
        for (name, value) in &rules.set {
            if value.is_empty() || !value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
                let message = "a field has visible ASCII characters and spaces";
                self.add(&format!("{at}.set.{name}"), message, "");
            } else if rules.remove.iter().any(|removed| removed.eq_ignore_ascii_case(name)) {
                self.add(&format!("{at}.set.{name}"), "this field is also removed", "keep one of both");
            }
        }
    }

    /// Fields in which a credential or an identity stands, toward us or toward a backend.
    pub(super) fn identity_fields(&self) -> Rc<FieldSet> {
        Rc::clone(self.identity.get_or_init(|| Rc::new(self.find_identity_fields())))
    }

    /// Fields in which callers show credentials.
    fn callers_credentials(&self) -> FieldSet {
        let mut set = FieldSet::default();
        ["authorization", "customer-auth", "api-key"].iter().for_each(|name| set.insert(name));
        for route in &self.raw.routes {
            set.insert(route.api_key_header.name());
            route.client_headers().for_each(|name| set.insert(name));
            for place in route.customer_token_sources.iter().flatten() {
                if let CustomerTokenSource::Header(header) = place {
                    set.insert(&header.name);
                }
            }
        }
        set
    }

    fn find_identity_fields(&self) -> FieldSet {
        let mut set = self.callers_credentials();
        ["x-customer-id-previous", "x-request-id"].iter().for_each(|name| set.insert(name));
        for route in &self.raw.routes {
            if let Some(header) = route.identifier.as_ref().and_then(|placement| placement.header.as_deref()) {
                set.insert(header);
                set.insert(&format!("{header}-previous"));
            }
        }
        for backend in self.raw.backends.values() {
            if let Some(BackendAuthorization::Header(header)) = &backend.authorization {
                set.insert(&header.name);
            }
            if let Some(assertion) = &backend.backend_assertion {
                set.insert(&assertion.header);
            }
        }
        set
    }
}
