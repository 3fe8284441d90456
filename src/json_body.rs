//! One member of a JSON body: read it, or set it and leave every other byte as it was.
//!
//! The document is read with one strict reader before anything is decided: what has two readings (a member twice, a
//! lone surrogate, a number out of range, another spelling of the member) is refused rather than sent on to a backend
//! that may read it the other way.

mod case_variants;
pub mod filter;

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use case_variants::Step;

/// The deepest nesting of arrays and objects.
const DEEPEST: usize = 100;
/// The most members that a pointer may name.
const LONGEST_POINTER: usize = 16;

/// A JSON pointer to a member (RFC 6901). Its tokens name members of objects, digits too: arrays are not entered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer(Vec<Step>);

impl Pointer {
    /// The pointer that is written so, for example `/customer/id`.
    ///
    /// # Errors
    /// The fault of the text, in a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some(tokens) = text.strip_prefix('/') else {
            return Err(format!("`{text}` is not a JSON pointer: it starts with /, as in /customer/id"));
        };
        let tokens = tokens.split('/').map(unescape_token).collect::<Option<Vec<_>>>();
        match tokens {
            None => Err(format!("`{text}` is not a JSON pointer: ~ stands only in ~0 (for ~) and ~1 (for /)")),
            Some(tokens) if tokens.len() > LONGEST_POINTER => {
                Err(format!("`{text}` names a member more than {LONGEST_POINTER} objects deep"))
            }
            Some(tokens) => Ok(Self(tokens.into_iter().map(Step::new).collect())),
        }
    }
}

/// `~1` is `/` and `~0` is `~` (RFC 6901 section 4).
fn unescape_token(token: &str) -> Option<String> {
    let mut parts = token.split('~');
    let mut name = parts.next()?.to_owned();
    for part in parts {
        name.push(match part.as_bytes().first()? {
            b'0' => '~',
            b'1' => '/',
            _ => return None,
        });
        name.push_str(&part[1..]);
    }
    Some(name)
}

/// Failure to read or set a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JsonFault {
    /// Not one JSON text in UTF-8, without byte order mark (RFC 8259), or one that parsers disagree about: a lone
    /// surrogate, a number out of range (RFC 7493).
    #[error("the body is not JSON")]
    NotJson,
    /// The document, or a step on the way to the member, is not an object.
    #[error("the body, or a member on the way, is not an object")]
    NotObject,
    /// An object has a member twice, whichever way its name is spelled.
    #[error("an object in the body has a member twice")]
    Repeated,
    /// Beside the member, or a step on the way to it, stands another spelling of its name: in other letter case, or with
    /// letters that are the same in their compatibility form (NFKC).
    #[error("a member of the body that counts has a name in another spelling")]
    OtherSpelling,
    /// More than 100 levels.
    #[error("the body is nested too deeply")]
    TooDeep,
}

/// A body that has one reading only, and the place of a member in it.
#[derive(Debug)]
pub struct Document<'a> {
    text: &'a str,
    steps: &'a [Step],
    place: Place<'a>,
}

/// Position of a member, or of the place for it.
#[derive(Debug)]
enum Place<'a> {
    /// Its value, as JSON.
    Here(&'a str),
    /// In this object, but for the steps from this one on.
    Missing(&'a str, usize),
    /// There is no document.
    Nowhere,
}

impl<'a> Document<'a> {
    /// Reads the whole body.
    ///
    /// # Errors
    /// It cannot be read in one way only, or something on the way to the member is not an object.
    pub fn parse(body: &'a [u8], at: &'a Pointer) -> Result<Self, JsonFault> {
        Self::find(body, at, Spellings::One)
    }

    fn find(body: &'a [u8], at: &'a Pointer, spellings: Spellings) -> Result<Self, JsonFault> {
        let text = std::str::from_utf8(body).map_err(|_| JsonFault::NotJson)?;
        let steps = &at.0[..];
        if text.bytes().all(|byte| b" \t\r\n".contains(&byte)) {
            return Ok(Self { text: "", steps, place: Place::Nowhere });
        }
        let mut object = text;
        for (depth, step) in steps.iter().enumerate() {
            match checked(object, depth, Some((step, spellings)))? {
                Found::Member(value) => object = value,
                Found::NoMember => return Ok(Self { text, steps, place: Place::Missing(object, depth) }),
                Found::NoObject => return Err(JsonFault::NotObject),
            }
        }
        checked(object, steps.len(), None)?;
        Ok(Self { text, steps, place: Place::Here(object) })
    }

    /// The value of the member: the text of a string, the JSON of anything else. `None` where there is no such member,
    /// or no body at all.
    pub fn value(&self) -> Option<Cow<'a, str>> {
        match self.place {
            Place::Here(value) if value.starts_with('"') => {
                Some(serde_json::from_str(value).map_or(Cow::Borrowed(value), Cow::Owned))
            }
            Place::Here(value) => Some(Cow::Borrowed(value)),
            Place::Missing(..) | Place::Nowhere => None,
        }
    }

    /// The body with the member set to `value`, whatever it was before. Objects on the way are made where they are
    /// missing; an empty body is an empty object. Every other byte stays.
    pub fn with(&self, value: &str) -> Vec<u8> {
        match self.place {
            Place::Here(found) => {
                let start = offset(self.text, found);
                splice(self.text, start, start + found.len(), &quoted(value))
            }
            Place::Missing(object, step) => {
                // Straight behind the brace that opens the object.
                let inside = object.trim_ascii_start().get(1..).unwrap_or_default();
                let start = offset(self.text, inside);
                let comma = if inside.trim_ascii_start().starts_with('}') { "" } else { "," };
                let inserted =
                    format!("{}:{}{comma}", quoted(&self.steps[step].name), nested(&self.steps[step + 1..], value));
                splice(self.text, start, start, &inserted)
            }
            Place::Nowhere => nested(self.steps, value).into_bytes(),
        }
    }
}

/// Names beside that of the member that may stand on its level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spellings {
    /// None that a reader could take for it.
    One,
    /// All.
    Any,
}

/// The name of somebody in a document of the company's own: a string that is not blank, or an integer as it is written.
/// `None` for anything else: `null`, `false` and an empty object name nobody. Members with the same name in other letter
/// case may stand beside it.
///
/// # Errors
/// See [`Document::parse`].
pub fn read_name(body: &[u8], at: &Pointer) -> Result<Option<String>, JsonFault> {
    let Place::Here(value) = Document::find(body, at, Spellings::Any)?.place else { return Ok(None) };
    let name = match serde_json::from_str(value) {
        Ok(serde_json::Value::String(text)) => Some(text).filter(|text| !text.trim().is_empty()),
        Ok(serde_json::Value::Number(number)) if number.is_i64() || number.is_u64() => Some(number.to_string()),
        _ => None,
    };
    Ok(name)
}

/// `value` as a JSON string, in as many objects as there are steps.
fn nested(steps: &[Step], value: &str) -> String {
    let mut text = String::new();
    for step in steps {
        text.push('{');
        text.push_str(&quoted(&step.name));
        text.push(':');
    }
    text.push_str(&quoted(value));
    text.extend(std::iter::repeat_n('}', steps.len()));
    text
}

/// A JSON string.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn splice(text: &str, start: usize, end: usize, inserted: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() + inserted.len());
    bytes.extend_from_slice(&text.as_bytes()[..start]);
    bytes.extend_from_slice(inserted.as_bytes());
    bytes.extend_from_slice(&text.as_bytes()[end..]);
    bytes
}

/// Offset of `part`, a slice of `whole`, in it.
fn offset(whole: &str, part: &str) -> usize {
    part.as_ptr().addr() - whole.as_ptr().addr()
}

/// Result of the search for a member.
enum Found<'a> {
    /// Its value, which has not been checked.
    Member(&'a str),
    /// An object without it.
    NoMember,
    /// No object.
    NoObject,
}

/// Reads a whole value that stands `depth` levels deep, all but the value of the member that is looked for.
fn checked<'a>(text: &'a str, depth: usize, wanted: Option<(&Step, Spellings)>) -> Result<Found<'a>, JsonFault> {
    let fault = Cell::new(JsonFault::NotJson);
    let mut reader = serde_json::Deserializer::from_str(text);
    let check = Check { depth, wanted, fault: &fault };
    let found = check.deserialize(&mut reader).and_then(|found| reader.end().map(|()| found));
    found.map_err(|_| fault.get())
}

/// Reads a value and keeps nothing of it but the one member. serde_json's own way to skip a value looks neither at
/// surrogates nor at the range of numbers.
#[derive(Clone, Copy)]
struct Check<'f> {
    depth: usize,
    wanted: Option<(&'f Step, Spellings)>,
    fault: &'f Cell<JsonFault>,
}

impl Check<'_> {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth == DEEPEST {
            self.fault.set(JsonFault::TooDeep);
            return Err(E::custom("too deep"));
        }
        Ok(Self { depth: self.depth + 1, wanted: None, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Check<'_> {
    type Value = Found<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Found<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Check<'_> {
    type Value = Found<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Found<'de>, E> {
        Ok(Found::NoObject)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Found<'de>, E> {
        Ok(Found::NoObject)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Found<'de>, E> {
        Ok(Found::NoObject)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Found<'de>, E> {
        Ok(Found::NoObject)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Found<'de>, E> {
        Ok(Found::NoObject)
    }

    fn visit_str<E>(self, _: &str) -> Result<Found<'de>, E> {
        Ok(Found::NoObject)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Found<'de>, A::Error> {
        let inner = self.deeper()?;
        while sequence.next_element_seed(inner)?.is_some() {}
        Ok(Found::NoObject)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Found<'de>, A::Error> {
        let inner = self.deeper()?;
        let mut found = Found::NoMember;
        let mut names = Vec::new();
        while let Some(name) = map.next_key_seed(Name)? {
            if self.wanted.is_some_and(|(step, _)| step.name == *name) {
                found = Found::Member(map.next_value::<&'de RawValue>()?.get());
            } else {
                map.next_value_seed(inner)?;
            }
            names.push(name);
        }
        if let Some((step, Spellings::One)) = self.wanted
            && names.iter().any(|name| step.is_spelled_otherwise(name))
        {
            self.fault.set(JsonFault::OtherSpelling);
            return Err(A::Error::custom("another spelling"));
        }
        // Sorted, so that looking for repeated names stays cheap however many there are.
        names.sort_unstable();
        if names.windows(2).any(|pair| pair[0] == pair[1]) {
            self.fault.set(JsonFault::Repeated);
            return Err(A::Error::custom("twice"));
        }
        Ok(found)
    }
}

/// The name of a member, unescaped; borrowed where it was not escaped.
struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a name")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

#[cfg(test)]
mod tests;
