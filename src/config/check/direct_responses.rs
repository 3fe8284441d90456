//! Checks of what answers a route: a backend, or the gateway itself by `respond` or `redirect`.

use super::super::raw::{PathMatch, Respond, RetryPolicy, Route, RouteRedirect};
use super::{Check, grammar};
use crate::pattern;

impl Check<'_> {
    /// Exactly one of `backend`, `respond` and `redirect`.
    pub(super) fn destination(&mut self, at: &str, route: &Route) {
        let all = [
            ("backend", route.backend.is_some()),
            ("backends", !route.backends.is_empty()),
            ("respond", route.respond.is_some()),
            ("redirect", route.redirect.is_some()),
        ];
        let set: Vec<&str> = all.iter().filter(|(_, is_set)| *is_set).map(|(key, _)| *key).collect();
        match set[..] {
            // What could not be read has been told.
            [] if all.iter().any(|(key, _)| self.config.replaced.touch(&format!("{at}.{key}"))) => {}
            [] => {
                let message = "`backend` is missing: nothing answers this route";
                let help = "add `backend` with its name, or `backends` with several names and weights; or `respond`, or `redirect`";
                self.add(&format!("{at}.backend"), message, help);
            }
            [_] => {}
            [one, other, ..] => {
                let message = format!("`{one}` and `{other}` stand side by side, and one of them answers");
                self.add(&format!("{at}.{other}"), message, "keep one of them");
            }
        }
        if let Some(backend) = &route.backend {
            self.known_backend(&format!("{at}.backend"), backend);
        }
        if !route.backends.is_empty() {
            self.weighted_backends(&format!("{at}.backends"), route);
        }
        if !set.is_empty() && route.backend_names().next().is_none() {
            self.without_backend(at, route);
        }
        if let Some(respond) = &route.respond {
            self.respond(&format!("{at}.respond"), respond);
        }
        if let Some(redirect) = &route.redirect {
            self.route_redirect(&format!("{at}.redirect"), route, redirect);
        }
    }

    /// What is about a backend is of no use on a route without one.
    fn without_backend(&mut self, at: &str, route: &Route) {
        let set = [
            ("identifier", route.identifier.is_some()),
            ("retry", route.retry != RetryPolicy::default()),
            ("forward_credentials", !route.forward_credentials.is_empty()),
            ("pass_unauthorized", route.pass_unauthorized),
            ("websocket", route.websocket),
            ("request_headers", route.request_headers.is_some()),
            ("pass_request_headers", !route.pass_request_headers.is_empty()),
            ("response_headers", route.response_headers.is_some()),
            ("response", route.response.is_some()),
            ("rewrite", route.rewrite.is_some()),
            ("validate", route.validate.is_some()),
            ("limits.timeout", route.limits.timeout.is_some()),
        ];
        for (key, _) in set.iter().filter(|(_, is_set)| *is_set) {
            let help = match *key {
                "response_headers" if route.respond.is_some() => "write them under respond.headers",
                "rewrite" if route.redirect.is_some() => "remove it: `redirect.to` is the new address",
                _ => "remove it",
            };
            let message = format!("`{key}` is about a backend, and the gateway answers this route itself");
            self.add(&format!("{at}.{key}"), message, help);
        }
    }

    fn respond(&mut self, at: &str, respond: &Respond) {
        let status = format!("{at}.status");
        match respond.status {
            300..=399 => self.add(&status, "a redirect has an address", "write `redirect` in place of `respond`"),
            200..=299 | 400..=599 => {}
            _ => self.add(&status, "this is not the status of a response", "write one such as 200, 410 or 503"),
        }
        if matches!(respond.status, 204 | 205) && !respond.body.is_empty() {
            let message = format!("a response with status {} has no body", respond.status);
            self.add(&format!("{at}.body"), message, "remove `body`, or write another status");
        }
        for (name, value) in &respond.headers {
            let at = format!("{at}.headers.{name}");
            // A field that frames the message would contradict the body.
            if let Some((message, _)) = grammar::header_fault(name, &["content-type"]) {
                self.add(&at, message, "choose another header");
            } else if is_written_by_us(name) {
                self.add(&at, "this field is written by the gateway", "remove it");
            } else if value.is_empty() || !value.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
                self.add(&at, "a field has visible ASCII characters and spaces", "");
            }
        }
        let names: Vec<String> = respond.headers.keys().map(|name| name.to_ascii_lowercase()).collect();
        let fields = respond.headers.keys().zip(&names);
        self.unique("the header", fields.map(|(name, lower)| (format!("{at}.headers.{name}"), lower.as_str())));
    }

    fn route_redirect(&mut self, at: &str, route: &Route, redirect: &RouteRedirect) {
        if !matches!(redirect.status, 301 | 302 | 303 | 307 | 308) {
            let message = "this is not the status of a redirect";
            self.add(&format!("{at}.status"), message, "write 301, 302, 303, 307 or 308");
        }
        let (place, to) = (format!("{at}.to"), redirect.to.as_str());
        let target = match to.starts_with('/') {
            true => Ok(to),
            false => grammar::UrlParts::parse(to).map(|address| address.rest),
        };
        let target = match target {
            Ok(target) => target,
            Err((message, _)) => {
                return self.add(&place, message, "write it like https://www.example.com/new, or /new");
            }
        };
        let path = target.split(['?', '#']).next().unwrap_or_default();
        if !target.bytes().all(|byte| byte.is_ascii_graphic()) {
            return self.add(&place, "this has a blank or a character that is not ASCII", "percent-encode it");
        }
        if to.starts_with("//") || path.contains('\\') {
            return self.add(&place, "browsers take this for the name of a host", "write it like /new");
        }
        if redirect.keep_path
            && let Some((message, help)) = grammar::path_fault(path).filter(|_| !path.is_empty())
        {
            return self.add(&place, message, help);
        }
        if redirect.keep_path && path.len() < target.len() {
            let message = "the query is that of the request, and this has one, or a fragment";
            self.add(&place, message, "remove it, or `keep_path`");
        }
        if redirect.keep_path && matches!(route.path, PathMatch::Regex(_)) {
            let message = "the path of this route is an expression, which has no prefix to take away";
            self.add(&format!("{at}.keep_path"), message, "remove `keep_path`, or write the path as a prefix");
        }
        let below = |prefix: &str| {
            path.strip_prefix(prefix.trim_end_matches('/')).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let is_same = match &route.path {
            PathMatch::Prefix(prefix) => below(prefix),
            PathMatch::Exact(exact) => exact.exact == path,
            // One that cannot be compiled is reported with the path.
            PathMatch::Regex(expression) => pattern::whole(&expression.regex, false).is_ok_and(|it| it.is_match(path)),
        };
        if to.starts_with('/') && is_same {
            let message = "this leads back to the same route, for ever";
            self.add(&place, message, "write a path of another route, or an address with its host");
        }
    }
}

/// Returns whether the gateway writes a field of this name into its responses.
fn is_written_by_us(name: &str) -> bool {
    const OURS: [&str; 5] = ["date", "location", "strict-transport-security", "via", "x-request-id"];
    OURS.iter().any(|ours| name.eq_ignore_ascii_case(ours))
        || name.to_ascii_lowercase().starts_with("access-control-")
        || name.to_ascii_lowercase().starts_with("ratelimit")
}
