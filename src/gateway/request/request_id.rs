//! The request id: the caller's where it is usable, else a new one.

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::secret::{has_secret_shape, random_bytes};

/// The header of the request id, in both directions.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Makes ids that no other worker and no earlier process has made: a random start and a counter.
#[derive(Debug)]
pub(crate) struct RequestIds {
    prefix: u64,
    next: std::cell::Cell<u64>,
}

impl RequestIds {
    /// A new series.
    pub(crate) fn new() -> Self {
        Self { prefix: u64::from_be_bytes(random_bytes()), next: std::cell::Cell::new(0) }
    }

    /// The id of this request. A value that could break out of a log line or a header is replaced, and so is one that
    /// looks like a secret: ids are logged.
    pub(crate) fn of(&self, headers: &HeaderMap) -> HeaderValue {
        let mut given = headers.get_all(REQUEST_ID).iter();
        match (given.next(), given.next()) {
            (Some(value), None) if is_usable(value) => value.clone(),
            _ => self.make(),
        }
    }

    /// A new id.
    pub(crate) fn make(&self) -> HeaderValue {
        let number = self.next.get();
        self.next.set(number.wrapping_add(1));
        let mut id = *b"0000000000000000-0000000000000000";
        hex(&mut id[..16], self.prefix);
        hex(&mut id[17..], number);
        HeaderValue::from_bytes(&id).unwrap_or(HeaderValue::from_static("0"))
    }
}

fn hex(digits: &mut [u8], mut number: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(number & 15) as usize];
        number >>= 4;
    }
}

fn is_usable(value: &HeaderValue) -> bool {
    let bytes = value.as_bytes();
    (1..=128).contains(&bytes.len())
        && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
        // It is put into command lines and paths: no option, and no segment with a meaning.
        && !bytes.starts_with(b"-")
        && !matches!(bytes, b"." | b"..")
        && !value.to_str().is_ok_and(has_secret_shape)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_usable_id_of_the_caller_is_kept_and_others_are_replaced() {
        let ids = RequestIds::new();
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST_ID, HeaderValue::from_static("abc-1.2_3"));
        assert_eq!(ids.of(&headers), "abc-1.2_3");
        for bad in
            ["", "a b", "a\"b", "a{b", "wgr_abc", "eyJh.eyJi.c", ".", "..", "-", "-h", "--help", &"x".repeat(129)]
        {
            headers.insert(REQUEST_ID, HeaderValue::from_str(bad).expect("a value"));
            assert_ne!(ids.of(&headers), bad);
        }
        headers.insert(REQUEST_ID, HeaderValue::from_static("one"));
        headers.append(REQUEST_ID, HeaderValue::from_static("two"));
        assert_eq!(ids.of(&headers).len(), 33);
    }

    #[test]
    fn ids_do_not_come_again_not_even_after_billions() {
        let ids = RequestIds::new();
        let first = ids.make();
        assert_ne!(ids.make(), first);
        ids.next.set(1 << 32);
        assert_ne!(ids.make(), first);
        assert_ne!(RequestIds::new().make(), first);
    }
}
