//! Checks of `backends`.

use super::super::raw::{
    AssertionBody, Backend, BackendAssertion, BackendAuthorization, CustomerTokenSource, KeepAlive, OAuthCredential,
    Protocol, Route, Server,
};
use super::super::scalar::Duration;
use super::{Check, grammar, shown};

impl Check<'_> {
    pub(super) fn backends(&mut self) {
        let raw = self.raw;
        if raw.backends.is_empty() {
            self.add("backends", "`backends` is empty", "add the servers that requests go to");
        }
        for (name, backend) in &raw.backends {
            let at = format!("backends.{name}");
            if name.trim().is_empty() || name.chars().any(char::is_control) {
                self.add(&at, "a backend has a name", "");
            }
            self.backend(&at, name, backend);
        }
        for (index, route) in raw.routes.iter().enumerate().filter(|(_, route)| route.websocket) {
            let speaks_http2 = |name: &&str| raw.backends.get(*name).is_some_and(|it| it.protocol == Protocol::Http2);
            if let Some(name) = route.backend_names().find(speaks_http2) {
                let message = format!("the backend `{}` speaks HTTP/2, and WebSockets need HTTP/1.1", shown(name));
                self.add(&format!("routes[{index}].websocket"), message, "remove it, or `protocol` of the backend");
            }
        }
    }

    fn backend(&mut self, at: &str, name: &str, backend: &Backend) {
        let servers = format!("{at}.servers");
        self.not_empty(&servers, &backend.servers, "add an address, such as \"https://backend.example.com\"");
        for (index, server) in backend.servers.iter().enumerate() {
            self.server(&format!("{servers}[{index}]"), server, backend.danger_plaintext);
        }
        self.http1_options(at, backend);
        self.balancing(at, backend);
        let all = backend.servers.iter().enumerate();
        self.unique("the server", all.map(|(index, server)| (format!("{servers}[{index}]"), server.url())));
        self.backend_tls(&format!("{at}.tls"), backend);
        if backend.proxy_protocol.is_some() && backend.protocol == Protocol::Http2 {
            let message = "a connection by HTTP/2 is for many callers, and a PROXY protocol header names one";
            self.add(&format!("{at}.proxy_protocol"), message, "remove `proxy_protocol`, or `protocol`");
        }
        self.authorization(&format!("{at}.authorization"), backend);
        if let Some(assertion) = &backend.backend_assertion {
            self.backend_assertion(&format!("{at}.backend_assertion"), assertion);
        }
        self.backend_limits(at, backend);
        self.request_buffering(at, backend);
        if let Some(rules) = &backend.request_headers {
            let routes: Vec<&Route> = self.raw.routes.iter().filter(|route| route.leads_to(name)).collect();
            self.request_fields(&format!("{at}.request_headers"), rules, &routes);
        }
        if let Some(rules) = &backend.response_headers {
            self.response_fields(&format!("{at}.response_headers"), rules);
        }
        if let Some(queue) = &backend.queue {
            self.more_than_zero(&format!("{at}.queue.length"), queue.length);
            self.some_time(&format!("{at}.queue.timeout"), queue.timeout);
        }
        self.some_time(&format!("{at}.circuit_breaker.pause"), backend.circuit_breaker.pause);
        if backend.retry_budget > 100 {
            self.add(&format!("{at}.retry_budget"), "more than 100 percent", "write at most 100");
        }
    }

    fn backend_tls(&mut self, at: &str, backend: &Backend) {
        let Some(tls) = &backend.tls else { return };
        for (present, missing, is_alone) in [
            ("certificate", "private_key", tls.certificate.is_some() && tls.private_key.is_none()),
            ("private_key", "certificate", tls.private_key.is_some() && tls.certificate.is_none()),
        ] {
            if is_alone {
                let message = format!("`{present}` stands without `{missing}`");
                self.add(&format!("{at}.{present}"), message, format!("add `{missing}`"));
            }
        }
        self.no_empty_list(&format!("{at}.pin_sha256"), "write the SHA-256 of a certificate, or remove the key");
        if let Some(name) = &tls.server_name
            && let Some((message, help)) = grammar::host_fault(name)
        {
            self.add(&format!("{at}.server_name"), message, help);
        }
        let (any, pins) = ("danger_accept_any_certificate", "pin_sha256");
        for (key, other, are_both) in [
            (any, "ca", tls.danger_accept_any_certificate && tls.ca.is_some()),
            (any, pins, tls.danger_accept_any_certificate && !tls.pin_sha256.is_empty()),
            (pins, "ca", !tls.pin_sha256.is_empty() && tls.ca.is_some()),
        ] {
            if are_both {
                let message = format!("`{key}` is set, and `{other}` says whom to trust");
                self.add(&format!("{at}.{key}"), message, "remove one of them");
            }
        }
        if !backend.servers.is_empty() && !backend.servers.iter().any(|server| server.url().starts_with("https:")) {
            let message = "`tls` is set, and no server of this backend is https";
            self.add(at, message, "write https:// in `servers`, or remove `tls`");
        }
    }

    fn request_buffering(&mut self, at: &str, backend: &Backend) {
        if let Some(size) = backend.request_buffer {
            self.some_bytes(&format!("{at}.request_buffer"), size);
        }
        if backend.request_buffer_directory.as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
            let help = "write a path such as /var/tmp/wicketgate";
            self.add(&format!("{at}.request_buffer_directory"), "this path is empty", help);
        }
        if let Some(size) = backend.request_buffer_total {
            let total = format!("{at}.request_buffer_total");
            self.some_bytes(&total, size);
            if backend.request_buffer_directory.is_none() {
                let message = "there are no temporary files whose size it could bound";
                self.add(&total, message, "add `request_buffer_directory`, or remove it");
            } else if backend.request_buffer.is_some_and(|buffer| buffer.bytes() >= size.bytes()) {
                let message = "it is not above `request_buffer`, so that no temporary file would have room";
                self.add(&total, message, "write more, or remove it: 1GiB is the default");
            }
        }
        for (key, is_set) in [
            ("request_buffer", backend.request_buffer.is_some()),
            ("request_buffer_directory", backend.request_buffer_directory.is_some()),
        ] {
            if is_set && !backend.request_buffering {
                let message = format!("`{key}` is set, and bodies are not buffered");
                self.add(&format!("{at}.{key}"), message, "add request_buffering: true, or remove it");
            }
        }
        let is_covered = |assertion: &BackendAssertion| assertion.body == AssertionBody::Covered;
        if backend.request_buffering && backend.backend_assertion.as_ref().is_some_and(is_covered) {
            let message =
                "`backend_assertion` covers the body, which is read whole for it already, up to the limit of bodies";
            let help = "remove `request_buffering`, or write body: streamed in `backend_assertion`";
            self.add(&format!("{at}.request_buffering"), message, help);
        }
    }

    /// Timeouts, and how much goes to it at once.
    fn backend_limits(&mut self, at: &str, backend: &Backend) {
        for (key, duration) in [
            ("connect_timeout", backend.connect_timeout),
            ("timeout", backend.timeout),
            ("idle_timeout", backend.idle_timeout),
        ] {
            self.some_time(&format!("{at}.{key}"), duration);
        }
        self.more_than_zero(&format!("{at}.concurrency"), backend.concurrency);
        if let Some(connections) = backend.max_connections {
            let key = format!("{at}.max_connections");
            self.more_than_zero(&key, connections);
        }
        self.keep_alive(&format!("{at}.keep_alive"), backend);
        self.backend_shares(at, backend);
        if let Some(adaptive) = &backend.adaptive {
            let min = format!("{at}.adaptive.min");
            self.more_than_zero(&min, adaptive.min);
            if adaptive.min >= backend.concurrency {
                let message =
                    format!("`min` is not below `concurrency`, {}: nothing could be learnt", backend.concurrency);
                self.add(&min, message, "write a smaller number, or remove `adaptive`");
            }
        }
    }

    fn keep_alive(&mut self, at: &str, backend: &Backend) {
        if backend.keep_alive == KeepAlive::default() {
            return;
        }
        if let KeepAlive::Limited(limit) = backend.keep_alive {
            self.more_than_zero(&format!("{at}.requests"), limit.requests as usize);
        }
        if backend.protocol == Protocol::Http2 {
            let message = "a connection by HTTP/2 serves requests side by side, and says itself when it ends";
            self.add(at, message, "remove `keep_alive`, or `protocol`");
        } else if backend.proxy_protocol.is_some() {
            let message = "with `proxy_protocol` each request has a connection of its own";
            self.add(at, message, "remove `keep_alive`, or `proxy_protocol`");
        }
    }

    /// Shares of `concurrency`, in percent.
    fn backend_shares(&mut self, at: &str, backend: &Backend) {
        let share = format!("{at}.websocket_share");
        match backend.websocket_share {
            0 => self.add(
                &share,
                "no WebSocket could be opened",
                "write at least 1, or remove `websocket` from the routes",
            ),
            1..=100 => {}
            _ => self.add(&share, "more than 100 percent", "write at most 100"),
        }
        let share = format!("{at}.upload_share");
        match backend.upload_share {
            0 => self.add(&share, "no upload would be taken", "write at least 1; 100 bounds nobody"),
            1..=100 => {}
            _ => self.add(&share, "more than 100 percent", "write at most 100"),
        }
    }

    fn backend_assertion(&mut self, at: &str, assertion: &BackendAssertion) {
        if self.raw.issuer.is_none() {
            self.add(at, "assertions are signed, and there is no `issuer`", "add `issuer`");
        }
        let header = format!("{at}.header");
        if let Some((message, help)) = grammar::header_fault(&assertion.header, &[]) {
            self.add(&header, message, help.replace("X-Customer-Id", "X-Wicketgate-Proof"));
        } else if self.has_another_use(&assertion.header) {
            let message = format!("`{}` has another use here", shown(&assertion.header));
            self.add(&header, message, "choose another name, such as X-Wicketgate-Proof");
        }
        if let Some(audience) = &assertion.audience {
            self.not_blank(&format!("{at}.audience"), audience);
        }
        let lifetime = format!("{at}.lifetime");
        self.some_time(&lifetime, assertion.lifetime);
        if assertion.lifetime > Duration::seconds(300) {
            let message = "an assertion is for one request: a stolen one would be good for long";
            self.add(&lifetime, message, "write at most 5m");
        }
    }

    /// Returns whether a header has another meaning for callers or backends.
    fn has_another_use(&self, header: &str) -> bool {
        let raw = self.raw;
        let of_routes = raw.routes.iter().flat_map(|route| {
            let placed = route.identifier.iter().filter_map(|placement| placement.header.clone());
            let placed = placed.flat_map(|name| [format!("{name}-previous"), name]);
            let shown = route.customer_token_sources.iter().flatten().filter_map(|place| match place {
                CustomerTokenSource::Header(header) => Some(header.name.clone()),
                _ => None,
            });
            let of_clients = route.client_headers().map(str::to_owned);
            placed.chain(shown).chain(of_clients).chain([route.api_key_header.name().to_owned()])
        });
        let of_backends = raw.backends.values().filter_map(|backend| match &backend.authorization {
            Some(BackendAuthorization::Header(credential)) => Some(credential.name.clone()),
            _ => None,
        });
        let own = ["customer-auth", "api-key", "x-customer-id-previous"].map(str::to_owned);
        of_routes.chain(of_backends).chain(own).any(|name| name.eq_ignore_ascii_case(header))
    }

    fn balancing(&mut self, at: &str, backend: &Backend) {
        if let Some(health) = &backend.health_check {
            let at = format!("{at}.health_check");
            self.path(&format!("{at}.path"), &health.path);
            self.some_time(&format!("{at}.interval"), health.interval);
            self.some_time(&format!("{at}.timeout"), health.timeout);
            self.more_than_zero(&format!("{at}.healthy_threshold"), health.healthy_threshold as usize);
            self.more_than_zero(&format!("{at}.unhealthy_threshold"), health.unhealthy_threshold as usize);
            if let Some(statuses) = &health.status {
                self.not_empty(&format!("{at}.status"), statuses, "add a status, such as 200");
                for (index, status) in statuses.iter().enumerate().filter(|(_, status)| !(200..600).contains(*status)) {
                    self.add(&format!("{at}.status[{index}]"), format!("{status} is not a response status"), "");
                }
            }
        }
        let outlier_detection = format!("{at}.outlier_detection");
        self.some_time(
            &format!("{outlier_detection}.base_ejection_time"),
            backend.outlier_detection.base_ejection_time,
        );
        if backend.outlier_detection.max_ejection_time < backend.outlier_detection.base_ejection_time {
            self.add(
                &format!("{outlier_detection}.max_ejection_time"),
                "`max_ejection_time` is shorter than `base_ejection_time`",
                "write a longer one",
            );
        }
        if backend.outlier_detection.max_ejection_percent > 100 {
            self.add(
                &format!("{outlier_detection}.max_ejection_percent"),
                "more than 100 percent",
                "write at most 100",
            );
        }
        self.some_time(&format!("{at}.resolve.interval"), backend.resolve.interval);
    }

    fn server(&mut self, at: &str, server: &Server, plain_is_allowed: bool) {
        if !(1..=100).contains(&server.weight()) {
            self.add(&format!("{at}.weight"), "a weight is a number from 1 to 100", "");
        }
        if let Some(path) = server.url().strip_prefix("unix:") {
            if !path.starts_with('/') || path.len() < 2 {
                self.add(at, "a unix socket is written with its whole path", "write it like unix:/run/app.sock");
            }
            return;
        }
        let address = match grammar::UrlParts::parse(server.url()) {
            Ok(address) => address,
            Err((message, help)) => return self.add(at, message, help),
        };
        if !address.rest.is_empty() {
            let message = format!("a server has no path and no query, this one has `{}`", shown(address.rest));
            return self.add(at, message, "remove it: requests keep their own path");
        }
        if address.scheme == "http" && !address.is_loopback() && !plain_is_allowed {
            let message = "plain http leaves this machine: identifiers and bodies would be readable on the way";
            self.add(at, message, "write https://, or add danger_plaintext: true to this backend");
        }
    }

    fn authorization(&mut self, at: &str, backend: &Backend) {
        match &backend.authorization {
            Some(BackendAuthorization::Basic(basic)) => {
                if basic.username.contains(':') || basic.username.chars().any(char::is_control) {
                    let message = "a user name has no `:` and no control character (RFC 7617 section 2)";
                    self.add(&format!("{at}.basic.username"), message, "");
                }
            }
            Some(BackendAuthorization::Header(header)) => {
                let own = ["authorization", "proxy-authorization", "api-key", "cookie"];
                if let Some((message, help)) = grammar::header_fault(&header.name, &own) {
                    self.add(&format!("{at}.header.name"), message, help.replace("X-Customer-Id", "X-Gateway-Key"));
                }
            }
            Some(BackendAuthorization::OAuth(oauth)) => self.oauth(&format!("{at}.oauth"), oauth),
            Some(BackendAuthorization::Bearer(_)) | None => {}
        }
    }

    fn oauth(&mut self, at: &str, oauth: &OAuthCredential) {
        match grammar::UrlParts::parse(&oauth.token_url) {
            Err((message, _)) => {
                self.add(&format!("{at}.token_url"), message, "write it like https://login.example.com/oauth/token");
            }
            Ok(address) if address.scheme == "http" && !address.is_loopback() && !oauth.danger_plaintext => {
                let message = "a secret that goes by plain http can be read on its way";
                let help = "write https://, or add `danger_plaintext: true` beside it";
                self.add(&format!("{at}.token_url"), message, help);
            }
            Ok(address) if address.rest.contains('#') => {
                let message = "the address of a token endpoint has no fragment (RFC 6749 section 3.2)";
                self.add(&format!("{at}.token_url"), message, "remove the `#` and what follows");
            }
            Ok(address) if address.scheme == "http" && oauth.ca.is_some() => {
                let message = "`ca` is set, and `token_url` is http: no certificate would be verified";
                self.add(&format!("{at}.ca"), message, "write https:// in `token_url`, or remove `ca`");
            }
            Ok(_) => {}
        }
        self.not_blank(&format!("{at}.client_id"), &oauth.client_id);
        self.some_time(&format!("{at}.timeout"), oauth.timeout);
        for (index, scope) in oauth.scopes.iter().enumerate() {
            self.scope(&format!("{at}.scopes[{index}]"), scope);
        }
        for name in oauth.parameters.keys() {
            let own = ["grant_type", "scope", "client_id", "client_secret"];
            if own.contains(&name.as_str()) {
                let message = "this parameter has a key of its own, or is always the same";
                self.add(&format!("{at}.parameters.{name}"), message, "remove it");
            }
        }
    }
}
