//! The head of the request that a backend would get, without secrets and without what names a person: values are told
//! only of fields that the gateway writes itself, or that say nothing about anybody.

use http::header::{self, HeaderName, HeaderValue};

use super::outcome::shown_identifier;
use crate::explanation::trace::shown;
use crate::gateway::request::call::Call;
use crate::policy::route::{Placement, Route};

/// Fields whose values are shown.
const PLAIN: [HeaderName; 10] = [
    header::HOST,
    header::FORWARDED,
    header::VIA,
    header::ACCEPT,
    header::ACCEPT_ENCODING,
    header::CONTENT_TYPE,
    header::CONTENT_LENGTH,
    header::TRANSFER_ENCODING,
    header::USER_AGENT,
    header::UPGRADE,
];

/// The same, of fields that have no constant.
const PLAIN_TOO: [&str; 4] = ["x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-request-id"];

/// How a request is shown.
pub(super) struct MaskedRequest<'r> {
    pub(super) route: &'r Route,
    /// The name of the customer that the backend is told.
    pub(super) named: Option<&'r str>,
}

impl MaskedRequest<'_> {
    /// The request line and the fields, one line each.
    pub(super) fn lines(&self, call: &Call<'_>) -> Vec<String> {
        let parts = &call.parts;
        let path = self.with_masked_name(parts.uri.path());
        let mut target: String = path.split('/').map(shown).collect::<Vec<_>>().join("/");
        if let Some(query) = parts.uri.query() {
            target.push('?');
            target.push_str(&query.split('&').map(masked_parameter).collect::<Vec<_>>().join("&"));
        }
        let mut lines = vec![format!("{} {target} HTTP/1.1", parts.method)];
        lines.extend(
            parts.headers.iter().map(|(name, value)| format!("{}: {}", shown(name.as_str()), self.value(name, value))),
        );
        if let Some(assertion) = &self.route.backend.backend_assertion {
            lines.push(format!("{}: (a signed assertion)", assertion.header));
        }
        lines
    }

    fn value(&self, name: &HeaderName, value: &HeaderValue) -> String {
        let is_identifier = matches!(&self.route.placement, Some(Placement::Header(told)) if told == name);
        if let Some(named) = self.named.filter(|_| is_identifier) {
            return shown_identifier(self.route, named);
        }
        if *name == self.route.previous_header && !self.route.send_subject {
            return String::from_utf8_lossy(value.as_bytes()).into_owned();
        }
        if PLAIN.contains(name) || PLAIN_TOO.contains(&name.as_str()) {
            return shown(&String::from_utf8_lossy(value.as_bytes()));
        }
        format!("({} bytes)", value.as_bytes().len())
    }

    /// The path, in which the company's own key of a customer may stand.
    fn with_masked_name(&self, path: &str) -> String {
        match self.named {
            Some(named) if self.route.send_subject && matches!(self.route.placement, Some(Placement::Path(_))) => {
                path.replace(named, "(customer)")
            }
            _ => path.to_owned(),
        }
    }
}

fn masked_parameter(parameter: &str) -> String {
    match parameter.split_once('=') {
        Some((name, value)) => format!("{}=({} bytes)", shown(name), value.len()),
        None => format!("({} bytes)", parameter.len()),
    }
}
