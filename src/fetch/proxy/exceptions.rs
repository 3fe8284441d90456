//! `NO_PROXY`: hosts that are reached without a proxy.

use std::net::IpAddr;

use ipnet::IpNet;

/// The hosts that a value of `NO_PROXY` names.
#[derive(Debug, Default)]
pub(super) struct Exceptions(Vec<Exception>);

#[derive(Debug)]
struct Exception {
    hosts: Hosts,
    /// Only at this port.
    port: Option<u16>,
}

#[derive(Debug)]
enum Hosts {
    All,
    /// This name and all within it, in small letters.
    Domain(String),
    Network(IpNet),
}

impl Exceptions {
    /// Entries between commas or spaces: `*`, a name, which covers those within it, with or without a dot before it, an
    /// address or a network, and a port after any of them.
    pub(super) fn parse(text: &str) -> Self {
        let entries = text.split(|character: char| character == ',' || character.is_whitespace());
        Self(entries.filter(|entry| !entry.is_empty()).filter_map(Exception::parse).collect())
    }

    /// True if this host is reached directly. An IPv6 address has no brackets.
    pub(super) fn cover(&self, host: &str, port: u16) -> bool {
        let name = host.trim_end_matches('.').to_ascii_lowercase();
        let address = name.parse::<IpAddr>().ok().map(|ip| ip.to_canonical());
        self.0.iter().any(|exception| {
            let covers = match &exception.hosts {
                Hosts::All => true,
                Hosts::Network(network) => address.is_some_and(|ip| network.contains(&ip)),
                Hosts::Domain(domain) => {
                    let before = name.strip_suffix(domain.as_str());
                    address.is_none() && before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
                }
            };
            covers && exception.port.is_none_or(|its| its == port)
        })
    }
}

impl Exception {
    fn parse(entry: &str) -> Option<Self> {
        let (host, port) = match entry.strip_prefix('[') {
            Some(inner) => {
                let (host, port) = inner.split_once(']')?;
                (host, port.strip_prefix(':'))
            }
            // An IPv6 address without brackets has no port.
            None if entry.matches(':').count() > 1 => (entry, None),
            None => entry.split_once(':').map_or((entry, None), |(host, port)| (host, Some(port))),
        };
        let port = port.map(str::parse).transpose().ok()?;
        let address = host.parse::<IpAddr>().map(IpNet::from);
        let hosts = match host.parse::<IpNet>().or(address) {
            Ok(network) => Hosts::Network(network),
            Err(_) if host == "*" => Hosts::All,
            Err(_) => {
                let domain = host.trim_start_matches('*').trim_matches('.').to_ascii_lowercase();
                (!domain.is_empty()).then_some(Hosts::Domain(domain))?
            }
        };
        Some(Self { hosts, port })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_suffixes_networks_and_ports_are_exceptions() {
        for (text, host, port, is_direct) in [
            ("example.com", "example.com", 443, true),
            ("example.com", "LOGIN.Example.COM.", 443, true),
            ("example.com", "notexample.com", 443, false),
            (".example.com", "login.example.com", 443, true),
            ("*.example.com", "login.example.com", 443, true),
            ("a, example.com:8443", "login.example.com", 8443, true),
            ("example.com:8443", "login.example.com", 443, false),
            ("*", "anything.test", 1, true),
            ("10.0.0.0/8 192.168.1.1", "10.9.9.9", 443, true),
            ("10.0.0.0/8,192.168.1.1", "192.168.1.1", 443, true),
            ("10.0.0.0/8", "11.0.0.1", 443, false),
            ("fd00::/8", "fd00::1", 443, true),
            ("[fd00::1]:443", "fd00::1", 443, true),
            ("[fd00::1]:444", "fd00::1", 443, false),
            ("fd00::1", "fd00::1", 443, true),
            ("0.0.1", "10.0.0.1", 443, false),
            (" ,, .", "example.com", 443, false),
            ("", "example.com", 443, false),
        ] {
            assert_eq!(Exceptions::parse(text).cover(host, port), is_direct, "{text} {host}:{port}");
        }
    }
}
