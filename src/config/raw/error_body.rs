//! Bodies of the gateway's own refusals: `errors` and `routes[].errors`; and statuses as they are named there.

use std::borrow::Cow;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The body of refusals, in place of the gateway's own JSON.
#[derive(Debug, Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ErrorBody {
    /// The statuses that it is for, such as 404, 5xx or [ 401, 403 ]. Default: all.
    pub status: Option<Statuses>,
    /// The body, with the placeholders `${error.status}`, `${error.code}`, `${error.message}` and `${request.id}`.
    pub body: String,
    /// Its content type: JSON, XML, HTML or plain text, in UTF-8. Values of placeholders are escaped for it.
    pub content_type: String,
}

/// One status or class of statuses, or several.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Statuses {
    /// One.
    One(StatusMatch),
    /// Several.
    Many(Vec<StatusMatch>),
}

/// A status, or a class of statuses such as `5xx`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusMatch {
    /// Only this one.
    Code(u16),
    /// All of this hundred.
    Class(u16),
}

impl Statuses {
    /// All entries.
    pub fn as_slice(&self) -> &[StatusMatch] {
        match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

impl StatusMatch {
    /// `format` of this type in the schema and the structural check.
    pub(crate) const FORMAT: &str = "http-status";

    /// Returns whether it is, or has, this status.
    pub fn has(self, status: u16) -> bool {
        match self {
            Self::Code(code) => code == status,
            Self::Class(class) => status / 100 == class,
        }
    }

    /// Returns whether it is, or has, all that the other names.
    pub fn covers(self, other: Self) -> bool {
        match other {
            Self::Code(code) => self.has(code),
            Self::Class(_) => self == other,
        }
    }

    /// Returns whether it names nothing but errors.
    pub fn is_error(self) -> bool {
        match self {
            Self::Code(code) => (400..600).contains(&code),
            Self::Class(class) => matches!(class, 4 | 5),
        }
    }
}

impl FromStr for StatusMatch {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |digits: &str| digits.parse::<u16>().ok().filter(|_| digits.bytes().all(|b| b.is_ascii_digit()));
        let class = text.strip_suffix("xx").and_then(number).filter(|class| (1..6).contains(class));
        let code = number(text).filter(|code| (100..600).contains(code));
        class.map(Self::Class).or(code.map(Self::Code)).ok_or_else(|| "expected one such as 404 or 5xx".to_owned())
    }
}

impl<'de> Deserialize<'de> for StatusMatch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = StatusMatch;

            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("a status such as 404, or a class such as 5xx")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<StatusMatch, E> {
                // What is out of range is refused by the checks, with its place.
                Ok(StatusMatch::Code(u16::try_from(number).unwrap_or(u16::MAX)))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<StatusMatch, E> {
                text.parse().map_err(E::custom)
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

impl Serialize for StatusMatch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Code(code) => serializer.serialize_u16(*code),
            Self::Class(class) => serializer.collect_str(&format_args!("{class}xx")),
        }
    }
}

impl JsonSchema for StatusMatch {
    fn schema_name() -> Cow<'static, str> {
        "StatusMatch".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A status, or a class of statuses.",
            "type": ["string", "integer"],
            "format": Self::FORMAT,
            "pattern": "^[1-5]([0-9][0-9]|xx)$",
            "examples": [404, "5xx"],
        })
    }
}
