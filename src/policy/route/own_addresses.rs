//! The addresses by which a backend's servers know themselves, as they stand in redirects and cookies.

use http::Uri;
use http::uri::Authority;

use crate::config::raw;
use crate::policy::table::host_name;

/// Names and ports of a backend's servers.
#[derive(Debug, PartialEq, Eq)]
pub struct OwnAddresses {
    servers: Vec<(String, u16)>,
}

impl OwnAddresses {
    /// Those of a backend; `None` where its redirects pass as they are.
    pub fn read(raw: &raw::Backend) -> Option<Self> {
        if raw.redirects == raw::Redirects::Pass {
            return None;
        }
        let uris = raw.servers.iter().filter_map(|server| server.url().parse::<Uri>().ok());
        let mut servers: Vec<_> = uris
            .filter_map(|uri| {
                let default = if uri.scheme_str() == Some("https") { 443 } else { 80 };
                Some((host_name(uri.host()?), uri.port_u16().unwrap_or(default)))
            })
            .collect();
        let ports: Vec<u16> = servers.iter().map(|(_, port)| *port).collect();
        let certified = raw.tls.as_ref().and_then(|tls| tls.server_name.as_deref()).and_then(name_and_port);
        if let Some((name, port)) = certified {
            let own = port.map_or_else(|| ports.clone(), |port| vec![port]);
            servers.extend(own.into_iter().map(|port| (name.clone(), port)));
        }
        let told = Some(raw.host.as_str()).filter(|host| !matches!(*host, "caller" | "server")).and_then(name_and_port);
        if let Some((name, port)) = told {
            // Servers build URLs of the `Host` that they are told, with its port or with their own.
            let own = ports.iter().copied().chain([port.unwrap_or(80)]);
            servers.extend(own.map(|port| (name.clone(), port)));
        }
        servers.sort();
        servers.dedup();
        Some(Self { servers })
    }

    /// True if a server has this host, in its one spelling, and this port. Without a port it is the default one, of http
    /// or https: a server may not know that TLS ends before it.
    pub fn has(&self, host: &str, port: Option<u16>) -> bool {
        self.servers.iter().any(|(name, own)| name == host && port.map_or(matches!(own, 80 | 443), |port| port == *own))
    }

    /// True if a server has this port.
    pub fn has_port(&self, port: u16) -> bool {
        self.servers.iter().any(|(_, own)| *own == port)
    }

    /// True if a cookie for this domain would be one for a server (RFC 6265 section 5.1.3).
    pub fn are_in_domain(&self, domain: &str) -> bool {
        self.servers.iter().any(|(name, _)| is_in_domain(name, domain))
    }
}

/// True if a host is a domain or below it.
pub fn is_in_domain(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain).is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

fn name_and_port(text: &str) -> Option<(String, Option<u16>)> {
    let authority: Authority = text.parse().ok()?;
    Some((host_name(authority.host()), authority.port_u16()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn own(yaml: serde_json::Value) -> Option<OwnAddresses> {
        OwnAddresses::read(&serde_json::from_value(yaml).unwrap())
    }

    #[test]
    fn servers_are_known_by_name_and_port() {
        let servers =
            serde_json::json!(["https://B.internal.", {"url": "http://[0::1]:9000", "weight": 2}, "unix:/run/x"]);
        let own = own(serde_json::json!({"servers": servers, "tls": {"server_name": "legacy.internal"}})).unwrap();
        for (host, port, expected) in [
            ("b.internal", None, true),
            ("b.internal", Some(443), true),
            ("b.internal", Some(8443), false),
            ("[::1]", Some(9000), true),
            ("[::1]", None, false),
            ("legacy.internal", None, true),
            ("legacy.internal", Some(9000), true),
            ("x.internal", None, false),
        ] {
            assert_eq!(own.has(host, port), expected, "{host} {port:?}");
        }
        assert!(own.are_in_domain("internal") && own.are_in_domain("b.internal") && !own.are_in_domain("ternal"));
    }

    #[test]
    fn the_host_that_servers_are_told_is_theirs_with_its_port_and_with_their_own() {
        for (host, without_port) in [("shop.internal", true), ("shop.internal:81", false)] {
            let own = own(serde_json::json!({"servers": ["http://b:9000"], "host": host})).unwrap();
            assert_eq!(own.has("shop.internal", None), without_port, "{host}");
            assert_eq!(own.has("shop.internal", Some(81)), !without_port, "{host}");
            assert!(own.has("shop.internal", Some(9000)) && !own.has("shop.internal", Some(9001)));
            assert!(!own.has("b", None), "the server's own address has a port");
        }
    }

    #[test]
    fn where_redirects_pass_nothing_is_known() {
        assert_eq!(own(serde_json::json!({"servers": ["http://b"], "redirects": "pass"})), None);
    }
}
