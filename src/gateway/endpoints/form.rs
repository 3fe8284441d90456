//! Forms in a body or in a query (RFC 6749 section 3.1): each parameter once; an empty one counts as absent.

use std::cell::Cell;

use crate::auth::jwt::jws::LONGEST_TOKEN;
use crate::gateway::error::Refused;
use crate::refusal::Refusal;
use percent_encoding::percent_decode;
use zeroize::Zeroizing;

/// The media type of forms.
pub(super) const FORM: &str = "application/x-www-form-urlencoded";

/// Largest body of a login or logout, in bytes.
pub(super) const MAX_FORM: u64 = 8 * 1024;

/// The same where the body may carry a token.
pub(super) const MAX_FORM_WITH_TOKEN: u64 = MAX_FORM + LONGEST_TOKEN as u64;

/// The parameters of a form. Values may be secret: they are wiped when dropped.
pub(crate) struct Form(Vec<(String, Zeroizing<String>)>);

impl Form {
    /// Reads `a=1&b=2`.
    ///
    /// # Errors
    /// [`Refusal::MalformedBody`] where a name or a value is not UTF-8.
    pub(crate) fn parse(text: &[u8]) -> Result<Self, Refusal> {
        let mut parameters = Vec::new();
        for pair in text.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
            let mut halves = pair.splitn(2, |byte| *byte == b'=');
            let name = decoded(halves.next().unwrap_or_default()).ok_or(Refusal::MalformedBody)?;
            let value = decoded(halves.next().unwrap_or_default()).ok_or(Refusal::MalformedBody)?;
            parameters.push((name.to_string(), value));
        }
        Ok(Self(parameters))
    }

    /// Reads the members of these names, which are strings, of a JSON object. Others may be anything.
    ///
    /// # Errors
    /// [`Refusal::Json`] for anything else, with the member that is no string.
    pub(super) fn parse_json(text: &[u8], names: &[&'static str]) -> Result<Self, Refused> {
        /// The names, and the one whose value is being read.
        struct Members<'n>(&'n [&'static str], &'n Cell<Option<&'static str>>);
        impl<'de> serde::de::Visitor<'de> for Members<'_> {
            type Value = Vec<(String, Zeroizing<String>)>;
            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("an object")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    self.1.set(self.0.iter().copied().find(|known| *known == name));
                    if self.1.get().is_some() {
                        members.push((name, Zeroizing::new(map.next_value()?)));
                    } else {
                        map.next_value::<serde::de::IgnoredAny>()?;
                    }
                }
                Ok(members)
            }
        }
        let mut json = serde_json::Deserializer::from_slice(text);
        let at = Cell::new(None);
        let members = serde::Deserializer::deserialize_map(&mut json, Members(names, &at));
        let members = members.map_err(|fault| match at.get() {
            Some(name) if fault.is_data() => Refused::of_parameter(Refusal::Json, name),
            _ => Refusal::Json.into(),
        })?;
        json.end().map_err(|_| Refusal::Json)?;
        Ok(Self(members))
    }

    /// The value of a parameter; `None` where there is none or an empty one.
    ///
    /// # Errors
    /// [`Refusal::ParameterRepeated`] where it stands there twice.
    pub(crate) fn one(&self, name: &'static str) -> Result<Option<&str>, Refused> {
        let mut values = self.0.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str());
        match (values.next(), values.next()) {
            (_, Some(_)) => Err(Refused::of_parameter(Refusal::ParameterRepeated, name)),
            (value, None) => Ok(value.filter(|value| !value.is_empty())),
        }
    }

    /// The value of a parameter that must be there.
    ///
    /// # Errors
    /// [`Refusal::ParameterMissing`] where it is not, and as [`Self::one`].
    pub(crate) fn required(&self, name: &'static str) -> Result<&str, Refused> {
        self.one(name)?.ok_or(Refused::of_parameter(Refusal::ParameterMissing, name))
    }

    /// True if there is a parameter of this name, even an empty one.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }
}

/// The form of a query without secrets.
///
/// # Errors
/// [`Refusal::SecretInQuery`] where one does.
pub(super) fn open_query(query: Option<&str>) -> Result<Form, Refused> {
    let form = Form::parse(query.unwrap_or_default().as_bytes())?;
    match SECRETS.into_iter().find(|name| form.has(name)) {
        Some(name) => Err(Refused::of_parameter(Refusal::SecretInQuery, name)),
        None => Ok(form),
    }
}

/// The parameters that must not stand in a query.
const SECRETS: [&str; 11] = [
    "client_secret",
    "client_assertion",
    "password",
    "username",
    "refresh_token",
    "token",
    "subject_token",
    "actor_token",
    "assertion",
    "code",
    "code_verifier",
];

/// `application/x-www-form-urlencoded` text; `None` where it is not UTF-8.
pub(crate) fn decoded(text: &[u8]) -> Option<Zeroizing<String>> {
    let spaced: Zeroizing<Vec<u8>> =
        Zeroizing::new(text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect());
    let decoded: Vec<u8> = percent_decode(&spaced).collect();
    String::from_utf8(decoded).ok().map(Zeroizing::new)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::gateway::error::Detail;

    /// The value of a parameter, or the refusal and the parameter that it names.
    fn one<'f>(form: &'f Form, name: &'static str) -> Result<Option<&'f str>, (Refusal, Option<&'static str>)> {
        form.one(name).map_err(|refused| match refused.detail.as_deref() {
            Some(Detail::Parameter(name)) => (refused.refusal, Some(*name)),
            _ => (refused.refusal, None),
        })
    }

    #[test]
    fn parameters_stand_once_and_empty_ones_are_absent() {
        let form = Form::parse(b"a=1&b=&c=x%26y+z&d=1&d=1&e").unwrap();
        assert_eq!(one(&form, "a"), Ok(Some("1")));
        assert_eq!(one(&form, "b"), Ok(None));
        assert_eq!(one(&form, "c"), Ok(Some("x&y z")));
        assert_eq!(one(&form, "d"), Err((Refusal::ParameterRepeated, Some("d"))));
        assert_eq!(one(&form, "e"), Ok(None));
        assert_eq!(one(&form, "f"), Ok(None));
        assert!(Form::parse(b"a=%ff").is_err());
    }

    #[test]
    fn a_json_login_has_the_same_rules() {
        let parse = |text: &[u8]| Form::parse_json(text, &["a", "d"]);
        let form = parse(br#"{"a":"1","d":"1","x":{"a":["2",null]},"d":"2","y":1e3,"x":true,"A":"3"}"#).unwrap();
        assert_eq!(one(&form, "a"), Ok(Some("1")));
        assert_eq!(one(&form, "d"), Err((Refusal::ParameterRepeated, Some("d"))));
        assert!(!form.has("x") && !form.has("A"));
        for (wrong, at) in [(r#"{"a":1}"#, Some("a")), (r#"{"a":"1","d":null}"#, Some("d")), (r#"{"a":tru}"#, None)] {
            let detail = parse(wrong.as_bytes()).err().and_then(|refused| refused.detail);
            let named = detail.and_then(|detail| match *detail {
                Detail::Parameter(name) => Some(name),
                _ => None,
            });
            assert_eq!(named, at, "{wrong}");
        }
        for bad in ["", "[]", "{\"a\":1}", "{\"a\":null}", "{\"a\":\"1\"} x", "\"a\"", "{\"x\":tru}", "{\"x\":1"] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn secrets_in_a_query_are_refused() {
        assert!(open_query(Some("grant_type=client_credentials")).is_ok());
        for query in ["client_secret=x", "client_assertion=a.b.c", "a=b&password=", "username", "%70assword=x"] {
            assert_eq!(
                open_query(Some(query)).err().map(|refused| refused.refusal),
                Some(Refusal::SecretInQuery),
                "{query}"
            );
        }
    }
}
