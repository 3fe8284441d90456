//! The client address of a request: that of the peer, or the one that a trusted proxy names in `X-Forwarded-For`.

use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;

use http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;

use crate::config::raw;
use crate::gateway::host::Host;
use crate::refusal::Refusal;

pub(crate) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(crate) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Address rules of a listener: allowed callers, trusted proxies, and where plain HTTP may come from.
#[derive(Debug, Default)]
pub(crate) struct Networks {
    allow: Vec<IpNet>,
    proxy_protocol: Vec<IpNet>,
    trusted_proxies: Vec<IpNet>,
    plain_http: Vec<IpNet>,
    /// True if requests must have come by https to the proxy that terminates TLS.
    wants_https: bool,
}

impl Networks {
    /// The rules of a listener.
    pub(crate) fn new(raw: &raw::Listen) -> Self {
        Self {
            allow: raw.allow.clone(),
            proxy_protocol: raw.proxy_protocol.clone(),
            trusted_proxies: raw.trusted_proxies.clone(),
            plain_http: raw.plain_http_from.clone(),
            wants_https: raw.require_https && !raw.plain_http_from.is_empty(),
        }
    }

    /// True if a connection from this address may be plain HTTP, on a listener without TLS.
    pub(crate) fn take_plain_http(&self, address: IpAddr) -> bool {
        self.plain_http.is_empty() || contain(&self.plain_http, address)
    }

    /// True if a request from this source came by https, or need not.
    pub(crate) fn is_secure_enough(&self, source: &ClientAddress) -> bool {
        source.secure || !self.wants_https
    }

    /// True if connections from this address begin with a PROXY protocol header.
    pub(crate) fn announce_callers(&self, address: IpAddr) -> bool {
        contain(&self.proxy_protocol, address)
    }

    /// True if `X-Forwarded-For` from this address counts.
    pub(crate) fn trust(&self, address: IpAddr) -> bool {
        contain(&self.trusted_proxies, address)
    }

    fn allow(&self, address: IpAddr) -> bool {
        self.allow.is_empty() || contain(&self.allow, address)
    }
}

/// The network of an address: an IPv6 caller owns a /64, which counts as one.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) & (u128::MAX << 64)).into()),
    }
}

fn contain(networks: &[IpNet], address: IpAddr) -> bool {
    networks.iter().any(|network| network.contains(&address))
}

/// The source of a request.
#[derive(Debug)]
pub(crate) struct ClientAddress {
    /// The client address.
    pub(crate) address: IpAddr,
    /// The value of `X-Forwarded-For` for backends: the client and the proxies on the way.
    pub(crate) forwarded_for: HeaderValue,
    /// True if the address is allowed.
    pub(crate) allowed: bool,
    /// True if the request came by TLS.
    pub(crate) secure: bool,
    /// The host that was asked for last: mostly that of the next request too.
    host: RefCell<Option<Rc<Host>>>,
}

impl ClientAddress {
    /// The peer of a connection.
    pub(crate) fn direct(address: IpAddr, secure: bool, networks: &Networks) -> Self {
        Self::new(address, &address.to_string(), secure, networks)
    }

    /// The caller for whom the trusted proxy at `peer` speaks: the first hop that is not trusted, seen from here. Hops
    /// before it are only the caller's claim, and are dropped.
    ///
    /// # Errors
    /// [`Refusal::ForwardedFor`] where a hop that counts is no address.
    pub(crate) fn behind(peer: &Self, headers: &HeaderMap, networks: &Networks) -> Result<Self, Refusal> {
        let mut chain = vec![peer.address];
        let lines: Vec<&HeaderValue> = headers.get_all(X_FORWARDED_FOR).iter().collect();
        let hops = lines.iter().rev().flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
        for hop in hops {
            let address = hop_address(hop.trim_ascii()).ok_or(Refusal::ForwardedFor)?;
            chain.push(address);
            if !networks.trust(address) {
                break;
            }
        }
        let caller = chain.last().copied().unwrap_or(peer.address);
        let chain: Vec<String> = chain.iter().rev().map(IpAddr::to_string).collect();
        let secure = scheme(headers).unwrap_or(peer.secure);
        Ok(Self::new(caller, &chain.join(", "), secure, networks))
    }

    fn new(address: IpAddr, forwarded_for: &str, secure: bool, networks: &Networks) -> Self {
        Self {
            address,
            forwarded_for: HeaderValue::from_str(forwarded_for).unwrap_or(HeaderValue::from_static("unknown")),
            allowed: networks.allow(address),
            secure,
            host: RefCell::default(),
        }
    }

    /// The client address as text: the first hop of `X-Forwarded-For`.
    pub(crate) fn address_text(&self) -> &str {
        let chain = self.forwarded_for.to_str().unwrap_or_default();
        chain.split(',').next().unwrap_or_default()
    }

    /// The host of this name, asked for from here; `None` where it is no valid host.
    pub(crate) fn host(&self, named: &[u8]) -> Option<Rc<Host>> {
        let mut last = self.host.borrow_mut();
        if let Some(host) = &*last
            && host.authority.as_bytes() == named
        {
            return Some(Rc::clone(host));
        }
        let host = Rc::new(Host::parse(std::str::from_utf8(named).ok()?, self.address, self.secure)?);
        *last = Some(Rc::clone(&host));
        Some(host)
    }
}

/// One hop of `X-Forwarded-For`: an address, which some proxies write with the port.
pub(crate) fn hop_address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?;
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().or_else(|_| text.parse().map(|with_port: std::net::SocketAddr| with_port.ip()));
    address.ok().map(|address: IpAddr| address.to_canonical())
}

/// The scheme by `X-Forwarded-Proto`: true for https, `None` without a clear answer.
fn scheme(headers: &HeaderMap) -> Option<bool> {
    // Only its own word counts: what stands before it may be a caller's, and of any bytes.
    let last = headers.get_all(X_FORWARDED_PROTO).iter().next_back()?.as_bytes();
    match last.rsplit(|byte| *byte == b',').next()?.trim_ascii() {
        word if word.eq_ignore_ascii_case(b"https") => Some(true),
        word if word.eq_ignore_ascii_case(b"http") => Some(false),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn networks() -> Networks {
        let list = |text: &str| text.split(' ').map(|network| network.parse().unwrap()).collect();
        Networks {
            allow: list("203.0.113.0/24 2001:db8::/32 10.0.0.0/8"),
            proxy_protocol: Vec::new(),
            trusted_proxies: list("10.0.0.0/8 fd00::/8"),
            plain_http: Vec::new(),
            wants_https: false,
        }
    }

    fn behind(lines: &[&'static str]) -> Result<(String, String, bool), Refusal> {
        let networks = networks();
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(X_FORWARDED_FOR, HeaderValue::from_static(line));
        }
        let peer = ClientAddress::direct([10, 0, 0, 1].into(), false, &networks);
        let source = ClientAddress::behind(&peer, &headers, &networks)?;
        assert_eq!(source.address_text(), source.address.to_string());
        Ok((source.address.to_string(), source.forwarded_for.to_str().unwrap().to_owned(), source.allowed))
    }

    fn found(caller: &str, chain: &str, allowed: bool) -> Result<(String, String, bool), Refusal> {
        Ok((caller.to_owned(), chain.to_owned(), allowed))
    }

    #[test]
    fn the_caller_is_the_first_hop_that_is_not_trusted_seen_from_here() {
        assert_eq!(behind(&["203.0.113.7"]), found("203.0.113.7", "203.0.113.7, 10.0.0.1", true));
        assert_eq!(behind(&["203.0.113.7, 10.0.0.2"]), found("203.0.113.7", "203.0.113.7, 10.0.0.2, 10.0.0.1", true));
        assert_eq!(behind(&["203.0.113.7", "fd00::2"]), found("203.0.113.7", "203.0.113.7, fd00::2, 10.0.0.1", true));
        assert_eq!(behind(&["2001:db8::1"]), found("2001:db8::1", "2001:db8::1, 10.0.0.1", true));
        assert_eq!(behind(&["198.51.100.1"]), found("198.51.100.1", "198.51.100.1, 10.0.0.1", false));
    }

    #[test]
    fn what_a_caller_said_itself_is_not_believed_and_not_passed_on() {
        let spoofed = behind(&["203.0.113.9, 198.51.100.1"]);
        assert_eq!(spoofed, found("198.51.100.1", "198.51.100.1, 10.0.0.1", false));
        assert_eq!(behind(&["<script>, 198.51.100.1"]), found("198.51.100.1", "198.51.100.1, 10.0.0.1", false));
        assert_eq!(
            behind(&["10.0.0.9, 198.51.100.1", "10.0.0.2"]),
            found("198.51.100.1", "198.51.100.1, 10.0.0.2, 10.0.0.1", false)
        );
    }

    #[test]
    fn a_proxy_that_names_nobody_speaks_for_itself() {
        assert_eq!(behind(&[]), found("10.0.0.1", "10.0.0.1", true));
        assert_eq!(behind(&["10.0.0.3"]), found("10.0.0.3", "10.0.0.3, 10.0.0.1", true));
    }

    #[test]
    fn ports_and_brackets_of_a_hop_are_understood() {
        for hop in ["203.0.113.7:4711", "203.0.113.7", "::ffff:203.0.113.7"] {
            assert_eq!(hop_address(hop.as_bytes()), Some("203.0.113.7".parse().unwrap()), "{hop}");
        }
        for hop in ["[2001:db8::1]:4711", "[2001:db8::1]", "2001:db8::1"] {
            assert_eq!(hop_address(hop.as_bytes()), Some("2001:db8::1".parse().unwrap()), "{hop}");
        }
    }

    #[test]
    fn a_hop_that_counts_must_be_an_address() {
        for hop in [
            "",
            "unknown",
            "_hidden",
            "203.0.113",
            "203.0.113.7 203.0.113.8",
            "[203.0.113.7",
            "203.0.113.07",
            "203.0.113.7:x",
        ] {
            let line: &'static str = format!("203.0.113.9,{hop}").leak();
            assert_eq!(behind(&[line]), Err(Refusal::ForwardedFor), "{hop}");
        }
    }

    #[test]
    fn the_nearest_proxy_says_whether_it_was_asked_by_tls() {
        for (line, secure) in
            [("https", Some(true)), ("http, HTTPS", Some(true)), ("https,http", Some(false)), ("wss", None)]
        {
            let mut headers = HeaderMap::new();
            headers.append(X_FORWARDED_PROTO, HeaderValue::from_static(line));
            assert_eq!(scheme(&headers), secure, "{line}");
        }
        assert_eq!(scheme(&HeaderMap::new()), None);
    }

    #[test]
    fn what_a_caller_sent_in_odd_bytes_does_not_hide_what_the_proxy_says() {
        for (line, secure) in
            [(&b"\xfc, https"[..], Some(true)), (b"\xc3\xbc,http", Some(false)), (b"https,\xfc", None)]
        {
            let mut headers = HeaderMap::new();
            headers.append(X_FORWARDED_PROTO, HeaderValue::from_bytes(line).unwrap());
            assert_eq!(scheme(&headers), secure);
        }
    }
}
