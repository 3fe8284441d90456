//! W3C Trace Context, level 1: `traceparent` read strictly and written, `tracestate` checked.

use http::{HeaderMap, HeaderName, HeaderValue};

/// The header of the trace and the span that a request belongs to.
pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The header of what tracing systems say to each other (section 3.3).
pub const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// Length of version 00.
const LENGTH: usize = 55;

/// Most members of `tracestate` (section 3.3.1.1).
const MOST_MEMBERS: usize = 32;

/// Longest `tracestate` that is passed on, in bytes: what everybody must be able to (section 3.3.1.5).
const LONGEST_STATE: usize = 512;

/// A trace, a span in it, and whether its caller records it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace; never zero.
    pub trace_id: u128,
    /// The span; never zero.
    pub span_id: u64,
    /// The `sampled` flag.
    pub sampled: bool,
}

impl TraceParent {
    /// The one that a request brings; `None` where there is none, several, or one that is malformed.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let mut given = headers.get_all(TRACEPARENT).iter();
        match (given.next(), given.next()) {
            (Some(value), None) => Self::parse(value.as_bytes()),
            _ => None,
        }
    }

    /// Section 3.2: versions above 00 may have more behind the flags; ff is none.
    fn parse(text: &[u8]) -> Option<Self> {
        let (known, more) = text.split_at_checked(LENGTH)?;
        let dashes = [known[2], known[35], known[52]];
        let version = number(&known[..2])?;
        let may_go_on = more.is_empty() || (version > 0 && more[0] == b'-');
        if dashes != *b"---" || version == 0xff || !may_go_on {
            return None;
        }
        let trace_id = number(&known[3..35])?;
        let span_id = u64::try_from(number(&known[36..52])?).ok()?;
        let flags = number(&known[53..])?;
        (trace_id != 0 && span_id != 0).then_some(Self { trace_id, span_id, sampled: flags & 1 == 1 })
    }

    /// The header value.
    pub fn value(&self) -> HeaderValue {
        let text = format!("00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, u8::from(self.sampled));
        HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""))
    }
}

/// The number of these lowercase hexadecimal digits.
fn number(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0, |number: u128, digit| {
        let digit = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(digit))
    })
}

/// True if the `tracestate` of a request may be passed on: well-formed, of at most 32 members and 512 bytes.
pub fn has_valid_state(headers: &HeaderMap) -> bool {
    let lines = || headers.get_all(TRACESTATE).iter();
    if lines().map(HeaderValue::len).sum::<usize>() > LONGEST_STATE {
        return false;
    }
    let members = lines().flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    let mut keys: Vec<&[u8]> = Vec::new();
    for member in members.map(<[u8]>::trim_ascii).filter(|member| !member.is_empty()) {
        let Some(equals) = member.iter().position(|byte| *byte == b'=') else { return false };
        let (key, value) = (&member[..equals], &member[equals + 1..]);
        if !is_key(key) || !is_value(value) || keys.contains(&key) || keys.len() == MOST_MEMBERS {
            return false;
        }
        keys.push(key);
    }
    true
}

/// `key` or `tenant@system` (section 3.3.1.3.1).
fn is_key(key: &[u8]) -> bool {
    let are_allowed =
        |bytes: &[u8]| bytes.iter().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'*' | b'/'));
    let begins = |bytes: &[u8]| bytes.first().is_some_and(u8::is_ascii_lowercase);
    match key.iter().position(|byte| *byte == b'@') {
        None => begins(key) && key.len() <= 256 && are_allowed(key),
        Some(at) => {
            let (tenant, system) = (&key[..at], &key[at + 1..]);
            let begins_tenant = tenant.first().is_some_and(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
            begins_tenant
                && tenant.len() <= 241
                && are_allowed(tenant)
                && begins(system)
                && system.len() <= 14
                && are_allowed(system)
        }
    }
}

/// Up to 256 printable characters without comma and equals sign (section 3.3.1.3.2).
fn is_value(value: &[u8]) -> bool {
    value.len() <= 256 && value.iter().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b',' | b'='))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
mod tests {
    use super::*;

    const VALID: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn headers(name: HeaderName, lines: &[&str]) -> HeaderMap {
        let values = lines.iter().map(|line| (name.clone(), HeaderValue::from_str(line).unwrap()));
        let mut headers = HeaderMap::new();
        values.for_each(|(name, value)| {
            headers.append(name, value);
        });
        headers
    }

    #[test]
    fn a_traceparent_is_read_and_written_in_the_same_form() {
        let parent = TraceParent::of(&headers(TRACEPARENT, &[VALID])).unwrap();
        assert_eq!((parent.trace_id, parent.sampled), (0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736, true));
        assert_eq!(parent.span_id, 0x00f0_67aa_0ba9_02b7);
        assert_eq!(parent.value(), VALID);
        for (flags, sampled) in [("00", false), ("03", true), ("fe", false), ("ff", true)] {
            let parent = TraceParent::parse(VALID.replace("-01", &format!("-{flags}")).as_bytes()).unwrap();
            assert_eq!(parent.sampled, sampled, "{flags}");
        }
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        let later = VALID.replacen("00", "cc", 1);
        assert!(TraceParent::parse(later.as_bytes()).is_some());
        assert!(TraceParent::parse(format!("{later}-what-the-future-will-be").as_bytes()).is_some());
        assert!(TraceParent::parse(format!("{later}.more").as_bytes()).is_none());
    }

    #[test]
    fn a_malformed_traceparent_is_none() {
        for bad in [
            "",
            "00",
            &VALID.replacen("00", "ff", 1),
            &VALID.replacen("00", "0G", 1),
            &VALID.to_uppercase(),
            &VALID.replace("4bf9", "4bF9"),
            &VALID.replace('-', "_"),
            &format!("{VALID}-more"),
            &format!(" {VALID}"),
            &VALID[..54],
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0x",
        ] {
            assert_eq!(TraceParent::parse(bad.as_bytes()), None, "{bad}");
        }
        assert_eq!(TraceParent::of(&headers(TRACEPARENT, &[VALID, VALID])), None, "two are none");
        assert_eq!(TraceParent::of(&HeaderMap::new()), None);
    }

    #[test]
    fn a_tracestate_within_the_limits_passes_and_others_do_not() {
        let many = |count: usize| (0..count).map(|number| format!("k{number}=1")).collect::<Vec<_>>().join(",");
        for good in ["", "rojo=00f067aa0ba902b7", "a=1, b=2 ,,c=", "0t@sys=x", "a/b*c_d-e=~!", &many(32)] {
            assert!(has_valid_state(&headers(TRACESTATE, &[good])), "{good}");
        }
        assert!(has_valid_state(&headers(TRACESTATE, &["a=1", "b=2"])));
        for bad in ["a", "A=1", "=1", "a=1,a=2", "a=b=c", "0a=1", "a@0s=1", "a@b@c=1", &many(33), &"x".repeat(513)] {
            assert!(!has_valid_state(&headers(TRACESTATE, &[bad])), "{bad}");
        }
        assert!(!has_valid_state(&headers(TRACESTATE, &["a=1", "a=2"])));
    }
}
