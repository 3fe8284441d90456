//! Semantic checks of gateway.yaml: references that resolve, lists that are not empty, routes that protect.
//!
//! Each function takes one part of the file and adds all that is wrong in it. Nothing here opens a file.

mod authorization_code;
mod backends;
mod callers;
mod certificates;
mod client_role;
mod client_sources;
mod cors;
mod direct_responses;
mod errors;
mod forward_auth;
mod gateway;
mod grammar;
mod http1_options;
mod identifier_places;
mod introspection;
mod issuer_names;
mod ldap;
mod listeners;
mod login;
mod login_provider;
mod logs;
mod matchers;
mod obvious_secrets;
mod openapi;
mod overlaps;
mod provider_events;
mod regex_paths;
mod resource_metadata;
mod response;
mod route_backends;
mod routes;
mod state;
mod telemetry;
mod trusted;
mod unreachable;
mod warnings;

use std::cell::OnceCell;
use std::collections::HashMap;
use std::rc::Rc;

use super::Config;
use super::diagnostic::{Problems, Suggestions, shown};
use super::raw::{RateLimit, Raw};
use super::scalar::{Duration, Size};
use crate::fields::FieldSet;
pub(super) use state::{RedisAddress, host_and_port};
pub(super) use unreachable::api_keys as unreachable_api_keys;
pub(super) use warnings::warnings;

/// All semantic problems of `config`.
pub(super) fn check(config: &Config) -> Problems {
    let mut check = Check::new(config);
    check.own();
    check.state();
    check.telemetry();
    check.callers();
    check.forward_auth();
    check.routes();
    check.openapi();
    check.errors("errors", &config.raw().errors);
    check.backends();
    check.problems
}

/// All semantic problems of the clients of `config`.
pub(super) fn check_clients(config: &Config) -> Problems {
    let mut check = Check::new(config);
    check.clients();
    check.problems
}

/// All semantic problems of the API keys of `config`.
pub(super) fn check_api_keys(config: &Config) -> Problems {
    let mut check = Check::new(config);
    check.api_keys();
    check.problems
}

struct Check<'a> {
    config: &'a Config,
    raw: &'a Raw,
    problems: Problems,
    suggestions: Suggestions,
    /// See [`Check::identity_fields`].
    identity: OnceCell<Rc<FieldSet>>,
}

impl<'a> Check<'a> {
    fn new(config: &'a Config) -> Self {
        let (problems, suggestions) = Default::default();
        Self { config, raw: config.raw(), problems, suggestions, identity: OnceCell::new() }
    }
}

impl Check<'_> {
    fn add(&mut self, at: &str, message: impl Into<String>, help: impl Into<String>) {
        self.problems.push(self.config.problem(at, message, help));
    }

    fn not_empty<T>(&mut self, at: &str, list: &[T], help: &str) {
        if list.is_empty() {
            let name = at.rsplit('.').next().unwrap_or(at);
            self.add(at, format!("`{name}` is empty"), help);
        }
    }

    /// Refuses an empty list where it would mean the same as no list, and looks as if it allowed nothing.
    fn no_empty_list(&mut self, at: &str, help: &str) {
        if self.config.is_empty_list(at) {
            self.not_empty::<()>(at, &[], help);
        }
    }

    fn not_blank(&mut self, at: &str, text: &str) {
        if text.trim().is_empty() {
            self.add(at, "this text is empty", "");
        } else if text.chars().any(char::is_control) {
            self.add(at, "this text has a control character", "");
        }
    }

    fn more_than_zero(&mut self, at: &str, amount: usize) {
        if amount == 0 {
            self.add(at, "zero lets nothing through", "write 1 or more");
        }
    }

    fn some_time(&mut self, at: &str, duration: Duration) {
        if duration.is_zero() {
            self.add(at, "this is no time at all", "write a length of time above zero, such as 10s");
        }
    }

    fn some_bytes(&mut self, at: &str, size: Size) {
        self.more_than_zero(at, size.bytes());
    }

    fn small_skew(&mut self, at: &str, skew: Duration) {
        if skew > Duration::seconds(60) {
            self.add(at, format!("{skew} is too much: expired tokens would live on"), "write at most 60s");
        }
    }

    fn rate_limit(&mut self, at: &str, limit: &RateLimit) {
        if limit.burst == Some(0) {
            self.more_than_zero(&format!("{at}.burst"), 0);
        }
    }

    /// Reports every key that an earlier item has already. Items are pairs of place and key.
    fn unique<'k>(&mut self, what: &str, items: impl IntoIterator<Item = (String, &'k str)>) {
        let mut first: HashMap<&str, String> = HashMap::new();
        for (at, key) in items {
            match first.get(key) {
                None => {
                    first.insert(key, at);
                }
                Some(earlier) => {
                    let (earlier, later) = (self.config.line(earlier), self.config.line(&at));
                    let message = format!("{what} `{}` is already used on line {earlier}", shown(key));
                    self.add(&at, message, format!("change or remove one of lines {earlier} and {later}"));
                }
            }
        }
    }

    /// Reports a name that leads nowhere. Where nothing of that kind exists, that has been said elsewhere.
    fn known(&mut self, at: &str, what: &str, name: &str, names: &[&str]) {
        if names.contains(&name) {
            return;
        }
        let help = match names {
            [] => format!("add that {what}"),
            names => self.suggestions.of(name, names),
        };
        self.add(at, format!("there is no {what} `{}`", shown(name)), help);
    }

    fn path(&mut self, at: &str, path: &str) {
        if let Some((message, help)) = grammar::path_fault(path) {
            self.add(at, message, help);
        }
    }

    fn pointer(&mut self, at: &str, pointer: &str) {
        if let Some((message, help)) = grammar::pointer_fault(pointer) {
            self.add(at, message, help);
        }
    }
}

impl Check<'_> {
    /// Reports a backend that is not there.
    fn known_backend(&mut self, at: &str, name: &str) {
        if !self.raw.backends.is_empty() && !self.raw.backends.contains_key(name) {
            let names: Vec<&str> = self.raw.backends.keys().map(String::as_str).collect();
            self.known(at, "backend", name, &names);
        }
    }
}
