//! One parameter of a query or of an `application/x-www-form-urlencoded` body: found in every spelling, and replaced.
//!
//! Servers read a name in many ways. PHP makes `customer.id`, `customer id` and `customer[id` of `customer_id`, ASP.NET
//! ignores letter case and knows `%u0063`, PHP, Rack and `qs` take `customer_id[]` for a list of that name, Java has the
//! first of two, PHP the last, and some cut at `;` as well. So only the plain name names the parameter; what any of them
//! would take for it, is refused.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, utf8_percent_encode};

use crate::normalization;

/// All but the unreserved characters (RFC 3986 section 2.3): right in a query, in a segment of a path and in a form.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The text as a value in a query, or as a segment of a path.
pub fn encoded(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// The text as a value in a form, where a space is `+`.
pub fn form_encoded(text: &str) -> String {
    encoded(text).replace("%20", "+")
}

/// Name of a parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParameterName {
    name: String,
    /// What all of its spellings have in common.
    folded: String,
}

/// A name in another spelling, which some servers take for the parameter; or names that are not UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OtherSpelling;

impl ParameterName {
    /// The name that is written so.
    ///
    /// # Errors
    /// What is wrong with it, in a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
        if !text.bytes().any(|byte| byte.is_ascii_alphanumeric()) || !text.bytes().all(is_plain) {
            return Err("this is not the plain name of a parameter: letters, digits, `_`, `-` and `.`".to_owned());
        }
        Ok(Self { name: text.to_owned(), folded: folded(text) })
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// The values of the parameter in a query or form, and all else.
    ///
    /// # Errors
    /// [`OtherSpelling`].
    pub fn taken_from<'t>(&self, text: &'t [u8]) -> Result<TakenParameters<'t>, OtherSpelling> {
        let mut taken = TakenParameters { values: Vec::new(), rest: Vec::new() };
        if text.is_empty() {
            return Ok(taken);
        }
        for pair in text.split(|byte| *byte == b'&') {
            let (name, value) = split(pair);
            if *decoded(name) == *self.name.as_bytes() {
                taken.values.push(decoded(value).into_owned());
            } else if pair.split(|byte| *byte == b';').any(|part| self.may_be_read_in(split(part).0)) {
                return Err(OtherSpelling);
            } else {
                taken.rest.push(pair);
            }
        }
        Ok(taken)
    }

    /// True if a query or form has the parameter, in any spelling.
    pub fn is_in(&self, text: &[u8]) -> bool {
        self.taken_from(text).map_or(true, |taken| !taken.values.is_empty())
    }

    /// True if some server takes this pair of `Cookie` for the parameter, as PHP's `$_REQUEST` can. Python also ends a
    /// pair at a blank or a comma.
    pub fn is_cookie(&self, pair: &[u8]) -> bool {
        let is_read = |name: &[u8]| std::str::from_utf8(&decoded(name)).is_ok() && self.may_be_read_in(name);
        is_read(split(pair).0) || pair.split(|byte| b" \t,".contains(byte)).any(|piece| is_read(split(piece).0))
    }

    /// True if some server reads the name in this text, or nobody knows what it reads.
    fn may_be_read_in(&self, raw: &[u8]) -> bool {
        let once = decoded(raw);
        if std::str::from_utf8(&once).is_err() {
            return true;
        }
        if !once.contains(&b'%') {
            return self.is_read_in(&once);
        }
        // Some decode twice, ASP.NET also `%u0063`, and others drop a `%` that is no escape, or end there.
        let twice = decoded(&once);
        let wide = wide_unescaped(&once);
        let wide = decoded(&wide);
        let bare: Vec<u8> = twice.iter().copied().filter(|byte| *byte != b'%').collect();
        let cut = twice.split(|byte| *byte == b'%').next().unwrap_or_default();
        [&*once, &twice, &wide, &bare, cut].iter().any(|name| self.is_read_in(name))
    }

    /// The whole name, or what stands before a bracket, a dot or a NUL.
    fn is_read_in(&self, name: &[u8]) -> bool {
        let name = String::from_utf8_lossy(name);
        let ends = name.match_indices(['[', '.', '\0']).map(|(at, _)| at).chain([name.len()]);
        ends.map(|end| &name[..end]).any(|name| folded(name) == self.folded)
    }
}

/// A query or form, taken apart.
#[derive(Debug)]
pub struct TakenParameters<'t> {
    /// The values that the parameter has, decoded.
    pub values: Vec<Vec<u8>>,
    /// All other pairs, as they stand there.
    rest: Vec<&'t [u8]>,
}

impl TakenParameters<'_> {
    /// The query or form with this pair alone in place of those that were taken; `None`: without any. It stands first:
    /// some servers read only so many parameters.
    pub fn with(&self, name: &ParameterName, encoded: Option<&str>) -> Vec<u8> {
        let own = encoded.map(|value| [name.as_str(), "=", value].concat().into_bytes());
        let pairs: Vec<&[u8]> = own.as_deref().into_iter().chain(self.rest.iter().copied()).collect();
        pairs.join(&b'&')
    }
}

/// A pair at its first `=`.
fn split(pair: &[u8]) -> (&[u8], &[u8]) {
    match memchr::memchr(b'=', pair) {
        Some(at) => (&pair[..at], &pair[at + 1..]),
        None => (pair, b""),
    }
}

fn decoded(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.iter().any(|byte| matches!(byte, b'+' | b'%')) {
        return Cow::Borrowed(text);
    }
    let spaced: Vec<u8> = text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    Cow::Owned(percent_decode(&spaced).collect())
}

/// With `%u0063` decoded.
fn wide_unescaped(text: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, behind @ ..] = rest {
        let digits = behind.strip_prefix(b"u").or_else(|| behind.strip_prefix(b"U")).and_then(|rest| rest.get(..4));
        let digits = digits.filter(|_| *first == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        let letter = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()).and_then(char::from_u32);
        match letter {
            Some(letter) => {
                plain.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
                rest = &behind[5..];
            }
            None => {
                plain.push(*first);
                rest = behind;
            }
        }
    }
    plain
}

/// Without letter case and compatibility forms; each sign is `_`, and those around the name count for nothing.
fn folded(name: &str) -> String {
    let name = normalization::folded(name);
    let name = name.trim_matches(|letter: char| !letter.is_alphanumeric() && letter != '_');
    name.chars().map(|letter| if letter.is_alphanumeric() { letter } else { '_' }).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn name() -> ParameterName {
        ParameterName::parse("customer_id").unwrap()
    }

    #[test]
    fn what_some_server_takes_for_the_parameter_is_another_spelling() {
        for spelling in [
            "Customer_ID",
            "customer.id",
            "customer+id",
            "customer%20id",
            "customer[id",
            "customer%5Bid",
            "customer[id]",
            "customer-id",
            "customer_id[]",
            "customer_id%5B%5D",
            "customer_id[x]",
            "customer_id[x][y]",
            "customer_id.x",
            "[customer_id]",
            "+customer_id",
            "%20customer_id",
            "?customer_id",
            "customer_id%00",
            "customer_id%00x",
            "%2563ustomer_id",
            "%u0063ustomer_id",
            "%25u0063ustomer_id",
            "cu%C5%BFtomer_id",
            "%EF%BD%83ustomer_id",
            "%C1%A3ustomer_id",
            "%ff",
            "a;customer_id",
            "customer_id;a",
        ] {
            for text in [spelling.to_owned(), format!("{spelling}=1"), format!("a=1&{spelling}=1&b=2")] {
                assert_eq!(name().taken_from(text.as_bytes()).err(), Some(OtherSpelling), "{text}");
            }
        }
        for text in ["a=1;customer_id=2", "a;b;Customer.Id=1"] {
            assert!(name().taken_from(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn other_parameters_stay_byte_for_byte() {
        for text in [
            "a=1&b=%zz&c=caf%E9&&d",
            "customer=1&id=2&customer_ids=3&_customer_id=4&x=customer_id",
            "a=1;b=2",
            "x[customer_id]=1",
            "customer=[id]",
            "%=1&%u=2&%u00=3",
        ] {
            let taken = name().taken_from(text.as_bytes()).unwrap();
            assert!(taken.values.is_empty(), "{text}");
            assert_eq!(taken.with(&name(), None), text.as_bytes());
            assert_eq!(taken.with(&name(), Some("x")), format!("customer_id=x&{text}").as_bytes());
        }
        assert_eq!(name().taken_from(b"").unwrap().with(&name(), Some("x")), b"customer_id=x");
        assert_eq!(name().taken_from(b"").unwrap().with(&name(), None), b"");
    }

    #[test]
    fn each_value_of_the_plain_name_is_taken_also_where_it_is_escaped() {
        let taken = name().taken_from(b"customer_id=a+b&x=1&%63ustomer%5fid=%3D%26&customer_id").unwrap();
        assert_eq!(taken.values, [&b"a b"[..], b"=&", b""]);
        assert_eq!(taken.with(&name(), Some("y")), b"customer_id=y&x=1");
        assert!(name().is_in(b"x=1&customer_id") && name().is_in(b"Customer_Id=1") && !name().is_in(b"x=1"));
    }

    #[test]
    fn a_value_has_no_other_sign_than_unreserved_ones() {
        assert_eq!(encoded("a b&c=\u{fc}/%;+~"), "a%20b%26c%3D%C3%BC%2F%25%3B%2B~");
        assert_eq!(form_encoded("a b+c"), "a+b%2Bc");
    }

    #[test]
    fn a_name_is_plain() {
        for bad in ["", "a b", "a[b]", "a&b", "a=b", "\u{fc}", "a%20b", "._-"] {
            assert!(ParameterName::parse(bad).is_err(), "{bad}");
        }
        assert_eq!(ParameterName::parse("cust.id-1").unwrap().as_str(), "cust.id-1");
    }
}
