//! The requested host, and the `Forwarded` field that tells backends of it.

use std::net::IpAddr;

use http::HeaderValue;
use http::uri::Authority;

use crate::policy::table::host_name;

/// The host of a request.
#[derive(Debug)]
pub struct Host {
    /// Without a port, in the spelling by which routes are found.
    pub name: Box<str>,
    /// As the caller wrote it, with its port.
    pub authority: HeaderValue,
    /// True if it was asked for over TLS.
    pub secure: bool,
    /// The value of `Forwarded` (RFC 7239).
    pub forwarded: HeaderValue,
}

impl Host {
    /// The host of this name, asked for from this address; `None` where the text is no valid host.
    pub fn parse(text: &str, address: IpAddr, secure: bool) -> Option<Self> {
        let authority = plain(text)?;
        let scheme = if secure { "https" } else { "http" };
        let forwarded = match address {
            IpAddr::V4(address) => format!("for={address};proto={scheme};host=\"{text}\""),
            IpAddr::V6(address) => format!("for=\"[{address}]\";proto={scheme};host=\"{text}\""),
        };
        Some(Self {
            name: host_name(authority.host()).into(),
            authority: HeaderValue::from_str(text).ok()?,
            secure,
            forwarded: HeaderValue::from_str(&forwarded).ok()?,
        })
    }
}

fn plain(text: &str) -> Option<Authority> {
    let authority: Authority = text.parse().ok()?;
    let host = authority.host();
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    let is_address = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .is_some_and(|host| host.parse::<std::net::Ipv6Addr>().is_ok());
    let port = text.get(host.len()..)?;
    let port_is_good = port.is_empty() || authority.port_u16().is_some();
    // All labels but the root's, which may stand at the end, have a letter.
    let labels_are_good = host.strip_suffix('.').unwrap_or(host).split('.').all(|label| !label.is_empty());
    let is_good_name = labels_are_good && host.bytes().all(is_name);
    let good = (is_address || is_good_name) && !text.contains('@') && port_is_good;
    good.then_some(authority)
}
