//! Checks of `errors` and of `retry: {on: ...}`: statuses, and bodies with placeholders.

use super::super::error_template::{ErrorTemplate, ErrorValues, Syntax};
use super::super::raw::{ErrorBody, RetriedRequests, RetryRules, Route, StatusMatch};
use super::super::{Config, Warning};
use super::Check;

/// Values as they can be; nothing of them is a JSON value outside a string but the status.
const SAMPLE: ErrorValues<'static> =
    ErrorValues { status: 404, code: "404-01", message: "No route matches.", request_id: "a1b2" };

impl Check<'_> {
    pub(super) fn errors(&mut self, at: &str, errors: &[ErrorBody]) {
        let catch_all = errors.iter().position(|entry| entry.status.is_none());
        for (index, entry) in errors.iter().enumerate() {
            let at = format!("{at}[{index}]");
            if catch_all.is_some_and(|first| first < index) {
                let message = "an entry before this one has no `status`, and is used for all";
                self.add(&at, message, "put that entry last");
            }
            let statuses = entry.status.as_ref().map(|statuses| statuses.as_slice());
            if let Some(statuses) = statuses {
                self.statuses(&format!("{at}.status"), statuses);
                let earlier = errors[..index].iter().filter_map(|entry| entry.status.as_ref());
                let earlier: Vec<StatusMatch> = earlier.flat_map(|statuses| statuses.as_slice()).copied().collect();
                let is_used_before = |status: &StatusMatch| earlier.iter().any(|one| one.covers(*status));
                if statuses.iter().any(is_used_before) {
                    let message = "an entry before this one is used for such a status already";
                    self.add(&format!("{at}.status"), message, "put this entry before that one, or remove the status");
                }
            }
            self.error_body(&at, entry);
        }
    }

    fn error_body(&mut self, at: &str, entry: &ErrorBody) {
        let syntax = Syntax::of(&entry.content_type);
        if syntax.is_none() {
            let message = "values could not be escaped for this content type";
            let help = "write application/json, application/xml, text/html or text/plain, in utf-8";
            self.add(&format!("{at}.content_type"), message, help);
        }
        let body = format!("{at}.body");
        self.not_empty(&body, entry.body.as_bytes(), "write the body of these refusals, or remove the entry");
        let template = match ErrorTemplate::parse(&entry.body) {
            Ok(template) => template,
            Err(help) => return self.add(&body, "this body has an unknown placeholder", help),
        };
        let is_broken = |text: String| serde_json::from_str::<serde::de::IgnoredAny>(&text).is_err();
        if syntax == Some(Syntax::Json) && !entry.body.is_empty() && is_broken(template.filled(Syntax::Json, &SAMPLE)) {
            let message = "this body is not JSON once its placeholders have values";
            self.add(&body, message, "write placeholders within quotes; only ${error.status} is a number");
        }
    }

    fn statuses(&mut self, at: &str, statuses: &[StatusMatch]) {
        if statuses.is_empty() {
            self.add(at, "this list is empty", "write statuses such as [ 404, 5xx ], or remove the key");
        }
        if statuses.iter().any(|status| !status.is_error()) {
            self.add(at, "this is not the status of an error", "write statuses from 400 to 599, 4xx or 5xx");
        }
    }

    pub(super) fn retries(&mut self, at: &str, rules: &RetryRules) {
        self.statuses(&format!("{at}.on"), &rules.on);
        if !(1..=10).contains(&rules.attempts) {
            self.add(&format!("{at}.attempts"), "a request is sent again from 1 to 10 times", "write 2, or remove it");
        }
    }
}

/// `retry: {on: ...}` where no request of the route can be sent again after a response.
pub(super) fn useless_retries(config: &Config) -> Vec<Warning> {
    let routes = config.raw().routes.iter().enumerate();
    let rules = routes.filter_map(|(number, route)| Some((number, route, route.retry.rules()?)));
    rules
        .flat_map(|(number, route, rules)| {
            let faults = useless(config, route, rules);
            faults.into_iter().map(move |(key, message, help)| {
                config.warning(
                    &format!("routes[{number}].retry.{key}"),
                    format!("{message}: no request is sent again"),
                    help,
                )
            })
        })
        .collect()
}

/// Key, message and help.
fn useless(config: &Config, route: &Route, rules: &RetryRules) -> Vec<(&'static str, String, &'static str)> {
    const IDEMPOTENT: [&str; 6] = ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"];
    let mut faults = Vec::new();
    let is_idempotent = |method: &String| IDEMPOTENT.contains(&method.as_str());
    if rules.requests == RetriedRequests::Idempotent && !route.methods.iter().any(is_idempotent) {
        let help = "write requests: safe if the backend takes a request twice, or remove `on`";
        faults.push(("requests", "no method of this route is idempotent".to_owned(), help));
    }
    let backends = || route.backend_names().filter_map(|name| config.raw().backends.get(name));
    if backends().next().is_some() && backends().all(|backend| backend.retry_budget == 0) {
        faults.push(("on", "the backend has `retry_budget: 0`".to_owned(), "remove `retry_budget`, or `on`"));
    }
    let timeout = route.limits.timeout.or_else(|| backends().map(|backend| backend.timeout).max());
    if let Some(timeout) = timeout.filter(|timeout| rules.backoff >= *timeout) {
        let message = format!("the pause is not shorter than the timeout, {timeout}");
        faults.push(("backoff", message, "write a shorter one, such as 100ms, or a longer timeout"));
    }
    faults
}

/// Bodies in which the request id is missing.
pub(super) fn without_request_id(config: &Config) -> Vec<Warning> {
    let raw = config.raw();
    let all = raw.errors.iter().enumerate().map(|(index, entry)| (format!("errors[{index}].body"), entry));
    let of_routes = raw.routes.iter().enumerate().flat_map(|(number, route)| {
        let entries = route.errors.iter().enumerate();
        entries.map(move |(index, entry)| (format!("routes[{number}].errors[{index}].body"), entry))
    });
    let lacks_it = |entry: &ErrorBody| ErrorTemplate::parse(&entry.body).is_ok_and(|it| !it.has_request_id());
    let warning = |(at, _): (String, &ErrorBody)| {
        let message = "the request id is not in this body: callers that log bodies cannot name the request".to_owned();
        config.warning(&at, message, "write ${request.id} into it; the header X-Request-Id has it in any case")
    };
    all.chain(of_routes).filter(|(_, entry)| lacks_it(entry)).map(warning).collect()
}
