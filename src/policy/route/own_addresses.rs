//! The addresses by which a backend's servers know themselves, as they stand in redirects and cookies.

use http::Uri;
use http::uri::Authority;

use crate::config::raw;
use crate::policy::table::host_name;

/// Names and ports of a backend's servers.
#[derive(Debug, PartialEq, Eq)]
pub struct OwnAddresses {
    servers: Vec<(String, u16)>,
    /// Names that servers are told in `Host`, of which they also build URLs without a port of theirs.
    told: Vec<String>,
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
        let told = match (raw.host.as_str(), told_name(raw)) {
            ("server", _) => servers.iter().map(|(name, _)| name.clone()).collect(),
            (_, Some((name, port))) => {
                servers.extend(port.iter().chain(&ports).map(|port| (name.clone(), *port)));
                vec![name]
            }
            (_, None) => Vec::new(),
        };
        if let Some((name, port)) = raw.tls.as_ref().and_then(|tls| name_and_port(tls.server_name.as_deref()?)) {
            let own = port.map_or(ports, |port| vec![port]);
            servers.extend(own.into_iter().map(|port| (name.clone(), port)));
        }
        servers.sort();
        servers.dedup();
        Some(Self { servers, told })
    }

    /// True if a server has this host, in its one spelling, and this port. Without a port it is the default one, of http
    /// or https, as a server may not know that TLS ends before it; or it is that of the `Host` that the server was told.
    pub fn has(&self, host: &str, port: Option<u16>) -> bool {
        self.servers.iter().any(|(name, own)| name == host && port.map_or(matches!(own, 80 | 443), |port| port == *own))
            || port.is_none() && self.told.iter().any(|name| name == host)
    }

    /// True if a server has this port.
    pub fn has_port(&self, port: u16) -> bool {
        self.servers.iter().any(|(_, own)| *own == port)
    }

    /// True if a cookie for this domain would be one for a server (RFC 6265 section 5.1.3).
    pub fn are_in_domain(&self, domain: &str) -> bool {
        self.servers.iter().map(|(name, _)| name).chain(&self.told).any(|name| is_in_domain(name, domain))
    }
}

/// True if a host is a domain or below it.
pub fn is_in_domain(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain).is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

/// The name that all servers are told in `Host`, with its port.
fn told_name(raw: &raw::Backend) -> Option<(String, Option<u16>)> {
    name_and_port(Some(raw.host.as_str()).filter(|host| !matches!(*host, "caller" | "server"))?)
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
    fn the_host_that_servers_are_told_is_theirs_with_and_without_a_port() {
        for (yaml, known, unknown) in [
            (
                serde_json::json!({"servers": ["http://b:9000"], "host": "Old.internal"}),
                &[("old.internal", None), ("old.internal", Some(9000)), ("b", Some(9000))][..],
                &[("old.internal", Some(8443)), ("b", None)][..],
            ),
            (
                serde_json::json!({"servers": ["http://b:9000"], "host": "old.internal:8443"}),
                &[("old.internal", None), ("old.internal", Some(8443)), ("old.internal", Some(9000))],
                &[("old.internal", Some(1))],
            ),
            (
                serde_json::json!({"servers": ["http://b:9000", "http://c:9001"], "host": "server"}),
                &[("b", None), ("c", None), ("c", Some(9001))],
                &[("b", Some(9001)), ("d", None)],
            ),
            (serde_json::json!({"servers": ["unix:/run/x"], "host": "old.internal"}), &[("old.internal", None)], &[]),
            (serde_json::json!({"servers": ["http://b:9000"]}), &[("b", Some(9000))], &[("b", None), ("caller", None)]),
        ] {
            let own = own(yaml).unwrap();
            assert!(known.iter().all(|(host, port)| own.has(host, *port)), "{own:?}");
            assert!(!unknown.iter().any(|(host, port)| own.has(host, *port)), "{own:?}");
            assert!(own.are_in_domain(known[0].0) && !own.are_in_domain("d"), "{own:?}");
        }
    }

    #[test]
    fn where_redirects_pass_nothing_is_known() {
        assert_eq!(own(serde_json::json!({"servers": ["http://b"], "redirects": "pass"})), None);
    }
}
