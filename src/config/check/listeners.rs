//! Checks of `listen`: addresses, TLS, plain http behind load balancers, limits.

use std::net::SocketAddr;

use super::super::raw::{Issue, Listen};
use super::super::scalar::Size;
use super::{Check, grammar, shown};

impl Check<'_> {
    pub(super) fn listen(&mut self, at: &str, listen: &Listen) {
        if let Some(name) = &listen.name {
            self.not_blank(&format!("{at}.name"), name);
        }
        if let Some(audience) = &listen.audience {
            self.set_apart(&format!("{at}.audience"), listen, audience);
        }
        if let Some(target) = &listen.redirect {
            self.redirect(&format!("{at}.redirect"), listen, target);
        }
        match &listen.tls {
            None if listen.redirect.is_some() || !listen.plain_http_from.is_empty() => {}
            None if !listen.address.ip().to_canonical().is_loopback() => self.add(
                &format!("{at}.address"),
                format!("{} is not on loopback and has no `tls`: tokens would be readable on the way", listen.address),
                "add `tls` with a certificate, listen on 127.0.0.1, or name the load balancers that end TLS in `plain_http_from`",
            ),
            None => {}
            Some(tls) => {
                let certificates = format!("{at}.tls.certificates");
                self.not_empty(&certificates, &tls.certificates, "add { certificate: PATH, private_key: PATH }");
                self.client_certificates(&format!("{at}.tls"), tls);
            }
        }
        self.plain_http(at, listen);
        self.served_hosts(at, listen);
        for (key, networks) in
            [("proxy_protocol", &listen.proxy_protocol), ("trusted_proxies", &listen.trusted_proxies)]
        {
            for (index, network) in networks.iter().enumerate().filter(|(_, network)| network.prefix_len() == 0) {
                self.add(
                    &format!("{at}.{key}[{index}]"),
                    format!("{network} is everyone: any caller could claim any address"),
                    "name only the networks of your own proxies",
                );
            }
        }
        let limits = &listen.limits;
        let amounts = [
            ("connections", limits.connections),
            ("connections_per_address", limits.connections_per_address.unwrap_or(1)),
            ("handshakes", limits.handshakes),
            ("headers", limits.headers),
        ];
        for (key, amount) in amounts {
            self.more_than_zero(&format!("{at}.limits.{key}"), amount);
        }
        if !(1..=1_000).contains(&limits.streams) {
            let message = "an HTTP/2 connection has from 1 to 1,000 streams";
            self.add(&format!("{at}.limits.streams"), message, "remove `streams`: the default is 100");
        }
        let sizes = [("head", limits.head), ("target", limits.target), ("token", limits.token), ("body", limits.body)];
        for (key, size) in sizes {
            self.some_bytes(&format!("{at}.limits.{key}"), size);
        }
        if limits.token > Size::kib(64) {
            let help = "write at most 64KiB, and let the issuer put fewer groups into its tokens";
            self.add(&format!("{at}.limits.token"), "tokens this long cost too much", help);
        }
        for (key, duration) in [
            ("handshake_timeout", limits.handshake_timeout),
            ("head_timeout", limits.head_timeout),
            ("body_idle_timeout", limits.body_idle_timeout),
            ("request_timeout", limits.request_timeout),
            ("idle_timeout", limits.idle_timeout),
        ] {
            self.some_time(&format!("{at}.limits.{key}"), duration);
        }
    }

    fn served_hosts(&mut self, at: &str, listen: &Listen) {
        let entries = listen.hosts.iter().enumerate().map(|(index, host)| (format!("{at}.hosts[{index}]"), host));
        let default = listen.default_host.iter().map(|host| (format!("{at}.default_host"), host));
        for (place, host) in entries.clone().chain(default) {
            if let Some((message, help)) = grammar::host_fault(host) {
                self.add(&place, message, help);
            } else if listen.redirect.is_some() {
                let message = "a listener that redirects sends every host to the same address";
                self.add(&place, message, "remove it, or `redirect`");
            }
        }
        self.unique("the host", entries.map(|(place, host)| (place, host.as_str())));
        let is_served = |host: &String| listen.hosts.is_empty() || listen.hosts.contains(host);
        if let Some(host) = listen.default_host.as_ref().filter(|host| !is_served(host)) {
            let message = format!("`{}` is not in `hosts`: requests without `Host` would get 421", shown(host));
            self.add(&format!("{at}.default_host"), message, "add it to `hosts`");
        }
    }

    /// TLS that somebody else ends.
    fn plain_http(&mut self, at: &str, listen: &Listen) {
        let place = format!("{at}.plain_http_from");
        if listen.plain_http_from.is_empty() {
            if !listen.require_https {
                let message = "this is about `plain_http_from`, which is missing";
                self.add(&format!("{at}.require_https"), message, "remove it, or add `plain_http_from`");
            }
            return;
        }
        if listen.tls.is_some() || listen.redirect.is_some() {
            let message = "plain http from load balancers, on an address with `tls` or `redirect`";
            self.add(&place, message, "remove one of the two");
        }
        for (index, network) in listen.plain_http_from.iter().enumerate() {
            if network.prefix_len() == 0 {
                let message = format!("{network} is everyone: tokens would be readable on the way");
                self.add(&format!("{place}[{index}]"), message, "name only the networks of your own load balancers");
            }
        }
        if listen.require_https && listen.trusted_proxies.is_empty() {
            let message = "nobody is trusted to say that a call came by https, so that all would be refused";
            let help = "name the load balancers in `trusted_proxies` too, or write require_https: false";
            self.add(&format!("{at}.require_https"), message, help);
        }
    }

    fn set_apart(&mut self, at: &str, listen: &Listen, audience: &str) {
        self.not_blank(at, audience);
        if listen.redirect.is_some() {
            self.add(at, "a listener that redirects issues nothing", "remove `audience`, or `redirect`");
        }
        if self.raw.issuer.as_ref().is_none_or(|issuer| issuer.audience == audience) {
            let message = "this is set apart from `issuer.audience`, which is missing or the same";
            self.add(at, message, "write another one than issuer.audience");
        }
        let login = self.raw.login.as_ref();
        if login.is_some_and(|login| login.issue != Issue::Jwt || login.refresh.is_some()) {
            let message = "a session cookie and a refresh token know no audience: they would be good everywhere";
            self.add(at, message, "write login.issue: jwt without `refresh`, or run one gateway for each audience");
        }
    }

    fn redirect(&mut self, at: &str, listen: &Listen, target: &str) {
        match grammar::UrlParts::parse(target) {
            Err((message, help)) => self.add(at, message, help),
            Ok(address) if address.scheme != "https" => {
                self.add(at, "callers are only ever sent to https", "write it like https://api.example.com");
            }
            Ok(address) if !address.rest.is_empty() => {
                self.add(at, "path and query are those of the request", "write it like https://api.example.com");
            }
            Ok(_) => {}
        }
        if listen.tls.is_some() {
            self.add(at, "a listener that redirects has no `tls`", "remove `tls`, or `redirect`");
        }
    }

    pub(super) fn addresses(&mut self) {
        let raw = self.raw;
        let listeners = raw.listen.iter().enumerate();
        let mut addresses: Vec<(String, SocketAddr)> =
            listeners.map(|(index, listen)| (format!("listen[{index}].address"), listen.address)).collect();
        addresses.push(("admin.address".to_owned(), raw.admin.address));
        let texts: Vec<(String, String)> = addresses
            .into_iter()
            .filter(|(_, address)| address.port() != 0)
            .map(|(at, address)| (at, address.to_string()))
            .collect();
        self.unique("the address", texts.iter().map(|(at, text)| (at.clone(), text.as_str())));
    }
}
