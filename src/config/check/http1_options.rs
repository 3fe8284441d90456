//! Checks of how a backend is spoken to: `host`, header names, and what is forgiven of its responses.

use super::super::raw::{Backend, HeaderCase, Protocol, Tolerated};
use super::super::scalar::Size;
use super::{Check, grammar, shown};

impl Check<'_> {
    pub(super) fn http1_options(&mut self, at: &str, backend: &Backend) {
        if let Some((message, help)) = host_fault(&backend.host) {
            self.add(&format!("{at}.host"), message, help);
        }
        self.header_names(&format!("{at}.header_names"), &backend.header_names);
        let all = backend.tolerate.iter().enumerate();
        let all = all.map(|(index, fault)| (format!("{at}.tolerate[{index}]"), fault.as_str()));
        self.unique("the fault", all);
        let is_https = backend.servers.iter().any(|server| server.url().starts_with("https:"));
        if backend.tolerate.contains(&Tolerated::MissingCloseNotify) && !is_https && !backend.servers.is_empty() {
            let message = "`missing_close_notify` is about TLS, and no server of this backend is https";
            self.add(&format!("{at}.tolerate"), message, "remove it, or write https:// in `servers`");
        }
        if !(1..=1_000).contains(&backend.max_response_fields) {
            let message = format!("{} is not a number from 1 to 1,000", backend.max_response_fields);
            self.add(&format!("{at}.max_response_fields"), message, "write one like 200");
        }
        if backend.max_response_head < Size::kib(8) || backend.max_response_head > Size::mib(1) {
            let message = format!("{} is not from 8KiB to 1MiB", backend.max_response_head);
            self.add(&format!("{at}.max_response_head"), message, "write one like 128KiB");
        }
        if backend.protocol == Protocol::Http2 {
            self.only_http1(at, backend);
        }
    }

    /// Refuses what HTTP/2 has no use for.
    fn only_http1(&mut self, at: &str, backend: &Backend) {
        let lower = "header names of HTTP/2 are in lower case (RFC 9113 section 8.2)";
        for (key, is_set, message) in [
            ("header_case", backend.header_case != HeaderCase::Lower, lower),
            ("header_names", !backend.header_names.is_empty(), lower),
            ("tolerate", !backend.tolerate.is_empty(), "these faults are of HTTP/1.1, and this backend speaks HTTP/2"),
            (
                "max_response_fields",
                backend.max_response_fields != 100,
                "fields of HTTP/2 are bounded by `max_response_head` alone",
            ),
        ] {
            if is_set {
                self.add(&format!("{at}.{key}"), message, format!("remove `{key}`, or `protocol`"));
            }
        }
    }

    fn header_names(&mut self, at: &str, names: &[String]) {
        let lower: Vec<String> = names.iter().map(|name| name.to_ascii_lowercase()).collect();
        for (index, name) in names.iter().enumerate() {
            let at = format!("{at}[{index}]");
            if !grammar::is_token(name) {
                self.add(&at, "this is not the name of a header", "write one like SOAPAction");
            } else if let Some(first) = lower[..index].iter().position(|earlier| *earlier == lower[index]) {
                let message = format!("`{}` and `{}` are one name", shown(&names[first]), shown(name));
                self.add(&at, message, "keep the spelling that the backend needs");
            }
        }
    }
}

/// The fault of a `host`: a name in lower case or an address, with or without port.
fn host_fault(host: &str) -> Option<(String, String)> {
    if host.parse::<std::net::Ipv6Addr>().is_ok() {
        return grammar::host_fault(host);
    }
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (host, None),
    };
    if port.is_some_and(|port| !port.bytes().all(|byte| byte.is_ascii_digit()) || !matches!(port.parse(), Ok(1_u16..)))
    {
        return Some((
            format!("`{}` is neither `caller` nor `server` nor a host", shown(host)),
            "write a name like shop.internal or shop.internal:8080".to_owned(),
        ));
    }
    grammar::host_fault(name)
}
