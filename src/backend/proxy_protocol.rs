//! PROXY protocol towards servers, versions 1 and 2: the header that names the client of a connection.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Version of the PROXY protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyProtocol {
    /// Version 1: one line of text.
    V1,
    /// Version 2: binary.
    V2,
}

/// First 12 bytes of version 2.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

impl ProxyProtocol {
    /// Header of a connection to `server`; without a caller, of one for the gateway itself (LOCAL, UNKNOWN). The source
    /// port is 0: behind another proxy it is not known.
    pub(super) fn header(self, caller: Option<IpAddr>, server: SocketAddr) -> Vec<u8> {
        match (self, caller) {
            (Self::V1, None) => b"PROXY UNKNOWN\r\n".to_vec(),
            (Self::V2, None) => [&SIGNATURE[..], &[0x20, 0, 0, 0]].concat(),
            (_, Some(caller)) => match (caller, server.ip().to_canonical()) {
                (IpAddr::V4(caller), IpAddr::V4(address)) => self.of_v4(caller, address, server.port()),
                (caller, address) => self.of_v6(caller, address, server.port()),
            },
        }
    }

    fn of_v4(self, caller: Ipv4Addr, server: Ipv4Addr, port: u16) -> Vec<u8> {
        match self {
            Self::V1 => format!("PROXY TCP4 {caller} {server} 0 {port}\r\n").into_bytes(),
            Self::V2 => {
                let addresses = [&caller.octets()[..], &server.octets(), &[0, 0], &port.to_be_bytes()].concat();
                [&SIGNATURE[..], &[0x21, 0x11, 0, 12], &addresses].concat()
            }
        }
    }

    /// IPv6 header; an IPv4 address becomes IPv4-mapped.
    fn of_v6(self, caller: IpAddr, server: IpAddr, port: u16) -> Vec<u8> {
        let [caller, server] = [caller, server].map(|address| match address {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => address,
        });
        match self {
            Self::V1 => format!("PROXY TCP6 {caller} {server} 0 {port}\r\n").into_bytes(),
            Self::V2 => {
                let addresses = [&caller.octets()[..], &server.octets(), &[0, 0], &port.to_be_bytes()].concat();
                [&SIGNATURE[..], &[0x21, 0x21, 0, 36], &addresses].concat()
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn header(version: ProxyProtocol, caller: &str, server: &str) -> Vec<u8> {
        version.header(Some(caller.parse().unwrap()), server.parse().unwrap())
    }

    #[test]
    fn version_1_is_a_line_with_both_addresses() {
        let text = |caller, server| String::from_utf8(header(ProxyProtocol::V1, caller, server)).unwrap();
        assert_eq!(text("203.0.113.7", "10.0.0.1:80"), "PROXY TCP4 203.0.113.7 10.0.0.1 0 80\r\n");
        assert_eq!(text("2001:db8::7", "[2001:db8::1]:443"), "PROXY TCP6 2001:db8::7 2001:db8::1 0 443\r\n");
        assert_eq!(text("2001:db8::7", "10.0.0.1:80"), "PROXY TCP6 2001:db8::7 ::ffff:10.0.0.1 0 80\r\n");
        let own = ProxyProtocol::V1.header(None, "10.0.0.1:80".parse().unwrap());
        assert_eq!(own, b"PROXY UNKNOWN\r\n");
    }

    #[test]
    fn version_2_has_the_addresses_as_bytes() {
        let v4 = header(ProxyProtocol::V2, "203.0.113.7", "10.0.0.1:80");
        assert_eq!(v4[..12], *SIGNATURE);
        assert_eq!(v4[12..], [0x21, 0x11, 0, 12, 203, 0, 113, 7, 10, 0, 0, 1, 0, 0, 0, 80]);
        let v6 = header(ProxyProtocol::V2, "2001:db8::7", "[2001:db8::1]:443");
        assert_eq!((&v6[12..16], v6.len()), (&[0x21, 0x21, 0, 36][..], 52));
        let own = ProxyProtocol::V2.header(None, "10.0.0.1:80".parse().unwrap());
        assert_eq!(own[12..], [0x20, 0, 0, 0]);
    }
}
