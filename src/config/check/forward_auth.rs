//! Checks of `forward_auth`.

use super::super::raw::{ForwardAuth, Listen};
use super::Check;
use ipnet::IpNet;

impl Check<'_> {
    pub(super) fn forward_auth(&mut self) {
        let raw = self.raw;
        for (index, listen) in raw.listen.iter().enumerate().filter(|(_, listen)| listen.forward_auth) {
            self.listener_of_its_own(&format!("listen[{index}]"), listen);
        }
        let Some(forward_auth) = &raw.forward_auth else { return };
        self.path("forward_auth.path", &forward_auth.path);
        self.not_empty("forward_auth.allow", &forward_auth.allow, "add the networks of the proxies that may ask");
        let places = || raw.listen.iter().filter(|listen| forward_auth.is_asked_on(listen, &raw.listen));
        if forward_auth.grpc && places().all(|listen| listen.tls.is_none()) {
            let message = "Envoy asks over HTTP/2, and no listener on which it could ask has TLS to agree on it";
            self.add("forward_auth.grpc", message, "add `tls` to a listener");
        }
        if !forward_auth.allow.is_empty() && !places().any(|listen| forward_auth.some_may_connect_to(listen)) {
            let message = "none of these may connect to a listener on which questions are answered (`listen[].allow`)";
            self.add("forward_auth.allow", message, "add them to `allow` of that listener");
        }
        if places().next().is_some() && places().all(|listen| forward_auth.all_speak_on(listen)) {
            let message = "all that may ask are `trusted_proxies` of the listeners: there they speak for their callers, \
                 and a caller gets no decision";
            let help =
                "add a listener for the questions alone, such as { address: 127.0.0.1:8081, forward_auth: true }";
            self.add("forward_auth.allow", message, help);
        }
    }

    fn listener_of_its_own(&mut self, at: &str, listen: &Listen) {
        if self.raw.forward_auth.is_none() {
            let message = "this listener answers only proxies that ask, and there is no `forward_auth`";
            self.add(&format!("{at}.forward_auth"), message, "add `forward_auth`, or remove this");
        }
        if !listen.trusted_proxies.is_empty() {
            let message = "who asks here says in the question for whom it asks";
            self.add(&format!("{at}.trusted_proxies"), message, "remove it, or `forward_auth`");
        }
        if listen.redirect.is_some() {
            let message = "a listener that redirects answers no questions";
            self.add(&format!("{at}.redirect"), message, "remove it, or `forward_auth`");
        }
    }
}

impl ForwardAuth {
    /// Returns whether a listener answers forward-auth requests: one that is there for them or, where there is none,
    /// any.
    fn is_asked_on(&self, listen: &Listen, all: &[Listen]) -> bool {
        listen.redirect.is_none() && (listen.forward_auth || !all.iter().any(|listen| listen.forward_auth))
    }

    /// Returns whether some of the proxies can connect to a listener.
    fn some_may_connect_to(&self, listen: &Listen) -> bool {
        let meet = |one: &IpNet, other: &IpNet| one.contains(other) || other.contains(one);
        let takes = |network: &IpNet| listen.allow.iter().any(|taken| meet(taken, network));
        listen.allow.is_empty() || self.allow.iter().any(takes)
    }

    /// Returns whether a listener trusts all of the proxies to name their callers.
    fn all_speak_on(&self, listen: &Listen) -> bool {
        !self.allow.is_empty() && self.allow.iter().all(|network| speaks_on(network, listen))
    }

    /// The networks that may ask, and that speak for their callers on a listener on which questions are answered: the
    /// place of each with the number of that listener.
    pub(super) fn unanswered<'a>(&'a self, all: &'a [Listen]) -> impl Iterator<Item = (usize, usize)> + 'a {
        let places = all.iter().enumerate().filter(|(_, listen)| self.is_asked_on(listen, all));
        places.flat_map(move |(number, listen)| {
            let networks = self.allow.iter().enumerate().filter(|(_, network)| speaks_on(network, listen));
            networks.map(move |(place, _)| (place, number))
        })
    }
}

fn speaks_on(network: &IpNet, listen: &Listen) -> bool {
    listen.trusted_proxies.iter().any(|trusted| trusted.contains(network))
}

/// True for networks that are more than one company's proxies: neither private, nor loopback, nor as small as a /24 or /48.
pub(super) fn is_wide(network: &IpNet) -> bool {
    const PRIVATE: [&str; 9] = [
        "127.0.0.0/8",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "169.254.0.0/16",
        "100.64.0.0/10",
        "::1/128",
        "fc00::/7",
        "fe80::/10",
    ];
    let is_of_one_site = network.prefix_len() >= if network.addr().is_ipv4() { 24 } else { 48 };
    let mut private = PRIVATE.iter().filter_map(|private| private.parse::<IpNet>().ok());
    !is_of_one_site && !private.any(|private| private.contains(network))
}
