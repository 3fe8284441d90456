//! PROXY protocol from load balancers, versions 1 and 2: the header that names the caller of a connection.
//!
//! Not one byte after the header is read: it belongs to TLS or HTTP. Anything unclear is an error, and the
//! connection ends; a caller must not be taken for another.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

/// First 12 bytes of version 2.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// Longest line of version 1, with CRLF.
const LONGEST_LINE: usize = 107;

/// Most bytes after the addresses of version 2 (TLVs).
const LONGEST_REST: usize = 4 * 1024;

/// Reads the header: the caller's address, or `None` for a connection of the proxy itself, such as a health check
/// (LOCAL, UNKNOWN).
///
/// # Errors
/// A read error, or [`io::ErrorKind::InvalidData`] if it is no such header.
pub(in crate::server) async fn read(stream: &mut TcpStream) -> io::Result<Option<IpAddr>> {
    let mut first = [0; SIGNATURE.len()];
    stream.read_exact(&mut first).await?;
    if first == SIGNATURE {
        let mut rest = [0; 4];
        stream.read_exact(&mut rest).await?;
        let [version_and_command, family, length @ ..] = rest;
        let length = usize::from(u16::from_be_bytes(length));
        if length > LONGEST_REST {
            return Err(malformed());
        }
        let mut addresses = vec![0; length];
        stream.read_exact(&mut addresses).await?;
        return binary(version_and_command, family, &addresses).ok_or_else(malformed);
    }
    let mut line = first.to_vec();
    while !line.ends_with(b"\n") {
        let mut seen = [0; LONGEST_LINE];
        let room = LONGEST_LINE.saturating_sub(line.len());
        let count = stream.peek(&mut seen[..room]).await?;
        let taken = seen[..count].iter().position(|byte| *byte == b'\n').map_or(count, |end| end + 1);
        if taken == 0 {
            return Err(malformed());
        }
        stream.read_exact(&mut seen[..taken]).await?;
        line.extend_from_slice(&seen[..taken]);
    }
    text(&line).ok_or_else(malformed)
}

fn malformed() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

/// Parses version 1. The outer `None`: malformed.
fn text(line: &[u8]) -> Option<Option<IpAddr>> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix("\r\n")?.strip_prefix("PROXY ")?;
    let words: Vec<&str> = line.split(' ').collect();
    match words[..] {
        ["UNKNOWN", ..] => Some(None),
        ["TCP4", source, destination, from, to] => {
            let (source, _) = (source.parse::<Ipv4Addr>().ok()?, destination.parse::<Ipv4Addr>().ok()?);
            are_ports([from, to]).then_some(Some(source.into()))
        }
        ["TCP6", source, destination, from, to] => {
            let (source, _) = (source.parse::<Ipv6Addr>().ok()?, destination.parse::<Ipv6Addr>().ok()?);
            are_ports([from, to]).then_some(Some(source.into()))
        }
        _ => None,
    }
}

fn are_ports(texts: [&str; 2]) -> bool {
    texts.iter().all(|text| text.parse::<u16>().is_ok_and(|port| port.to_string() == **text))
}

/// Parses version 2: command, family, and addresses with TLVs. The outer `None`: malformed.
fn binary(version_and_command: u8, family: u8, addresses: &[u8]) -> Option<Option<IpAddr>> {
    let is_local = match version_and_command {
        0x20 => true,
        0x21 => false,
        _ => return None,
    };
    let source = match family {
        // TCP over IPv4: two addresses of 4 bytes, two ports of 2.
        0x11 => Some(IpAddr::from(*addresses.get(..12)?.first_chunk::<4>()?)),
        // TCP over IPv6.
        0x21 => Some(IpAddr::from(*addresses.get(..36)?.first_chunk::<16>()?)),
        // Nothing that is told, or a Unix socket.
        0x00 | 0x31 => None,
        _ => return None,
    };
    Some(source.filter(|_| !is_local))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address(text: &str) -> Option<Option<IpAddr>> {
        Some(Some(text.parse().unwrap()))
    }

    #[test]
    fn a_line_of_version_1_names_the_caller() {
        assert_eq!(text(b"PROXY TCP4 203.0.113.7 10.0.0.1 56324 443\r\n"), address("203.0.113.7"));
        assert_eq!(text(b"PROXY TCP6 2001:db8::7 2001:db8::1 0 65535\r\n"), address("2001:db8::7"));
        assert_eq!(text(b"PROXY UNKNOWN\r\n"), Some(None));
        assert_eq!(text(b"PROXY UNKNOWN ffff:f::1 ffff::2 65535 65535\r\n"), Some(None));
    }

    #[test]
    fn a_line_that_is_not_exactly_that_is_none() {
        for line in [
            "PROXY TCP4 203.0.113.7 10.0.0.1 56324 443\n",
            "PROXY TCP4 203.0.113.7 10.0.0.1 56324 443 \r\n",
            "PROXY  TCP4 203.0.113.7 10.0.0.1 56324 443\r\n",
            "PROXY TCP4 203.0.113.7 10.0.0.1 56324\r\n",
            "PROXY TCP4 203.0.113.07 10.0.0.1 56324 443\r\n",
            "PROXY TCP4 203.0.113.7 10.0.0.1 056 443\r\n",
            "PROXY TCP4 203.0.113.7 10.0.0.1 +5 443\r\n",
            "PROXY TCP4 203.0.113.7 10.0.0.1 65536 443\r\n",
            "PROXY TCP4 2001:db8::7 2001:db8::1 1 2\r\n",
            "PROXY TCP6 203.0.113.7 10.0.0.1 1 2\r\n",
            "PROXY UDP4 203.0.113.7 10.0.0.1 1 2\r\n",
            "proxy TCP4 203.0.113.7 10.0.0.1 1 2\r\n",
            "GET / HTTP/1.1\r\n",
            "\r\n",
            "",
        ] {
            assert_eq!(text(line.as_bytes()), None, "{line:?}");
        }
    }

    #[test]
    fn a_header_of_version_2_names_the_caller_whatever_else_it_says() {
        let v4 = [203, 0, 113, 7, 10, 0, 0, 1, 220, 4, 1, 187];
        assert_eq!(binary(0x21, 0x11, &v4), address("203.0.113.7"));
        assert_eq!(binary(0x21, 0x11, &[&v4[..], &[0x04, 0, 1, 9]].concat()), address("203.0.113.7"));
        let mut v6 = [0; 36];
        v6[..16].copy_from_slice(&"2001:db8::7".parse::<Ipv6Addr>().unwrap().octets());
        assert_eq!(binary(0x21, 0x21, &v6), address("2001:db8::7"));
        assert_eq!(binary(0x20, 0x11, &v4), Some(None), "LOCAL");
        assert_eq!(binary(0x20, 0x00, &[]), Some(None));
        assert_eq!(binary(0x21, 0x00, &[1, 2, 3]), Some(None), "UNSPEC");
        assert_eq!(binary(0x21, 0x31, &[0; 216]), Some(None), "a Unix socket");
    }

    #[test]
    fn a_header_of_version_2_that_is_not_exactly_that_is_none() {
        for (command, family, length) in
            [(0x11, 0x11, 12), (0x22, 0x11, 12), (0x21, 0x12, 12), (0x21, 0x11, 11), (0x21, 0x21, 35), (0x21, 0x41, 36)]
        {
            assert_eq!(binary(command, family, &vec![0; length]), None, "{command:x} {family:x} {length}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_fail(line in prop::collection::vec(any::<u8>(), 0..150), command: u8, family: u8) {
            let _ = text(&line);
            let _ = text(&[b"PROXY ", &line[..], b"\r\n"].concat());
            let _ = binary(command, family, &line);
        }

        #[test]
        fn every_address_comes_through(address: [u8; 4], port: u16) {
            let line = format!("PROXY TCP4 {} 127.0.0.1 {port} 443\r\n", Ipv4Addr::from(address));
            prop_assert_eq!(text(line.as_bytes()), Some(Some(IpAddr::from(address))));
        }
    }
}
