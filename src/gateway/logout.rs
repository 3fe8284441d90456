//! `POST /auth/logout`: ends the login that the request shows, by cookie, by JWT, or by both.

use std::sync::Arc;
use std::time::SystemTime;

use http::header::{self, HeaderValue};
use http::{Response, StatusCode};

use super::body::ResponseBody;
use super::call::Call;
use super::error::Refused;
use super::form::Form;
use super::login::{MAX_FORM, cookie_line};
use super::record::Record;
use super::{Gateway, origin, unix_seconds};
use crate::auth::verified::{Identity, Verdict};
use crate::customer::{Identifier, Origin};
use crate::policy::Policy;
use crate::refusal::Refusal;
use crate::state::LONGEST;
use crate::state::revocation::{Rule, Subject};

/// What stands in the place of a route's name.
pub(super) const NAME: &str = "logout";

impl Gateway {
    /// Answers 204 whether there was anything to end or not: afterwards there is nothing. A token that cannot be read is
    /// refused. With `everywhere=true` in the
    /// form, all logins of the customer end.
    pub(super) async fn logout(
        &self,
        mut call: Box<Call<'_>>,
        record: &mut Record,
    ) -> Result<Response<ResponseBody>, Refused> {
        let policy = call.policy;
        let login = policy.login.as_ref().ok_or(Refusal::NoRoute)?;
        call.type_to_read()?;
        let body = call.read_body(MAX_FORM, record).await?;
        let everywhere = Form::parse(&body)?.one("everywhere")? == Some("true");
        let headers = &call.parts.headers;
        let token = policy.auth.shown_token(headers)?;
        let named = policy.auth.named_sessions(headers, unix_seconds(SystemTime::now()));
        if !named.is_empty() && token.is_none() && !origin::is_own(&policy.own_site, &call.head.host, headers) {
            return Err(Refusal::CrossSite.into());
        }
        let state = &self.shared.state;
        let now = unix_seconds(SystemTime::now());
        let mut customers: Vec<Identifier> = Vec::new();
        let mut rules = Vec::new();
        for digest in named {
            let session = state.find(&digest).await.map_err(|_| Refusal::State)?;
            customers.extend(session.map(|session| session.customer));
            state.end(&digest, now.saturating_add(login.lifetime)).await.map_err(|_| Refusal::State)?;
        }
        if let Some(Ok(token)) = token.map(|token| policy.auth.inspect(token, now, state))
            && let Verdict::Customer(Identity { customer: owner, .. }) = token.verdict
        {
            rules.push(Rule::forever(token.subject, token.ends));
            rules.extend(token.login.map(|login| Rule::forever(Subject::Login(login), token.ends.max(now + LONGEST))));
            customers.push(owner);
        }
        record.customer = customers.last().cloned();
        if everywhere {
            rules.extend(customers.iter().flat_map(|customer| customer_rules(policy, customer, now)));
        }
        if !rules.is_empty() {
            state.revoke(rules).await.map_err(|_| Refusal::State)?;
        }
        let mut response = Response::new(ResponseBody::full(""));
        *response.status_mut() = StatusCode::NO_CONTENT;
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(cookie) = &policy.auth.cookie {
            headers.insert(header::SET_COOKIE, cookie_line(&cookie.name, "", 0, login.same_site)?);
        }
        Ok(response)
    }
}

/// What ends all logins of a customer until now, under each name that the customer has.
pub fn customer_rules(policy: &Policy, customer: &Identifier, now: u64) -> Vec<Rule> {
    let known = policy.auth.deriver.as_ref().map(|deriver| {
        let current = deriver.accept(customer.as_str(), now).unwrap_or_else(|_| customer.clone());
        deriver.names(&current, now)
    });
    let mut names = known.unwrap_or_default();
    if !names.contains(customer) {
        names.push(customer.clone());
    }
    let rule = |name: Identifier| {
        let subject = Subject::Customer(name.as_str().into());
        Rule { subject, since: now, until: now.saturating_add(LONGEST) }
    };
    names.into_iter().map(rule).collect()
}

/// The customer whom a backend with identifiers of its own calls so, and that backend's name; `None` where there is no
/// such backend, or in `one_way` mode, where nobody can tell.
pub fn customer_of_backend(policy: &Policy, name: &str) -> Option<(Identifier, Arc<str>)> {
    let deriver = policy.auth.deriver.as_ref()?;
    policy.routes.iter().find_map(|route| {
        let Origin { issuer, subject } = route.pairwise.as_ref()?.trace(name).ok()?;
        Some((deriver.derive(&issuer, &subject).ok()?, Arc::clone(&route.backend.name)))
    })
}
