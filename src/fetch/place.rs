//! Where a fetch goes to: an address of the web, taken apart; hosts that mean this machine or a private network.

use std::net::IpAddr;

use http::Uri;
use rustls::pki_types::ServerName;

use super::FetchFault;

/// An address of the web, taken apart.
pub(super) struct FetchTarget {
    pub(super) uri: Uri,
    /// An IPv6 address without its brackets.
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) is_secure: bool,
}

impl FetchTarget {
    pub(super) fn parse(url: &str) -> Result<Self, FetchFault> {
        let uri: Uri = url.parse().map_err(|_| FetchFault::Address(format!("{url} is not an address")))?;
        let host = uri.host().ok_or_else(|| FetchFault::Address(format!("{url} has no host")))?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let is_secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(FetchFault::Address(format!("{url} is neither https nor http"))),
        };
        let port = uri.port_u16().unwrap_or(if is_secure { 443 } else { 80 });
        Ok(Self { uri, host, port, is_secure })
    }

    pub(super) fn server_name(&self) -> Result<ServerName<'static>, FetchFault> {
        let named = ServerName::try_from(self.host.clone());
        named.map_err(|_| FetchFault::Address(format!("{} has no host name", self.uri)))
    }
}

/// True for the loopback addresses and the names that stand for them.
pub(super) fn is_this_machine(host: &str) -> bool {
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost"
        || name.ends_with(".localhost")
        || name.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}

/// An address that means nothing on the internet, or something else on each machine.
pub(super) fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [first, second, ..] = ip.octets();
            ip.is_private()
                || ip.is_loopback()
                || ip.is_link_local()
                || ip.is_unspecified()
                || ip.is_broadcast()
                || (first == 100 && second & 0xc0 == 64)
        }
        IpAddr::V6(ip) => {
            let first = ip.segments()[0];
            ip.is_loopback() || ip.is_unspecified() || first & 0xfe00 == 0xfc00 || first & 0xffc0 == 0xfe80
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops where it fails")]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_private_networks_are_known() {
        for private in [
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "127.0.0.1",
            "169.254.169.254",
            "100.64.0.1",
            "::1",
            "fd00::1",
            "fe80::1",
            "0.0.0.0",
        ] {
            assert!(is_private(private.parse().unwrap()), "{private}");
        }
        for public in ["8.8.8.8", "172.32.0.1", "100.128.0.1", "2001:db8::1", "2606:4700::1111"] {
            assert!(!is_private(public.parse().unwrap()), "{public}");
        }
    }
}
