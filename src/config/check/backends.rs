//! The company's own servers.

use super::super::raw::{Backend, BackendAuthorization};
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
            self.backend(&at, backend);
        }
    }

    fn backend(&mut self, at: &str, backend: &Backend) {
        let servers = format!("{at}.servers");
        self.not_empty(&servers, &backend.servers, "add an address, such as \"https://backend.example.com\"");
        for (index, server) in backend.servers.iter().enumerate() {
            self.server(&format!("{servers}[{index}]"), server, backend.danger_plain_http);
        }
        let all = backend.servers.iter().enumerate();
        self.unique("the server", all.map(|(index, server)| (format!("{servers}[{index}]"), server.as_str())));
        if let Some(tls) = &backend.tls {
            for (present, missing, is_alone) in [
                ("certificate", "private_key", tls.certificate.is_some() && tls.private_key.is_none()),
                ("private_key", "certificate", tls.private_key.is_some() && tls.certificate.is_none()),
            ] {
                if is_alone {
                    let message = format!("`{present}` stands without `{missing}`");
                    self.add(&format!("{at}.tls.{present}"), message, format!("add `{missing}`"));
                }
            }
            if !backend.servers.is_empty() && backend.servers.iter().all(|server| server.starts_with("http://")) {
                let message = "`tls` is set, and no server of this backend is https";
                self.add(&format!("{at}.tls"), message, "write https:// in `servers`, or remove `tls`");
            }
        }
        self.authorization(&format!("{at}.authorization"), backend);
        for (key, duration) in [
            ("connect_timeout", backend.connect_timeout),
            ("timeout", backend.timeout),
            ("idle_timeout", backend.idle_timeout),
        ] {
            self.some_time(&format!("{at}.{key}"), duration);
        }
        self.more_than_zero(&format!("{at}.concurrency"), backend.concurrency);
    }

    fn server(&mut self, at: &str, server: &str, plain_is_allowed: bool) {
        let address = match grammar::Address::parse(server) {
            Ok(address) => address,
            Err((message, help)) => return self.add(at, message, help),
        };
        if !address.rest.is_empty() {
            let message = format!("a server has no path and no query, this one has `{}`", shown(address.rest));
            return self.add(at, message, "remove it: requests keep their own path");
        }
        if address.scheme == "http" && !address.is_loopback() && !plain_is_allowed {
            let message = "plain http leaves this machine: identifiers and bodies would be readable on the way";
            self.add(at, message, "write https://, or add danger_plain_http: true to this backend");
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
            Some(BackendAuthorization::Bearer(_)) | None => {}
        }
    }
}
