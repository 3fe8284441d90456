//! One member of a JSON body: read it, or set it and leave every other byte as it was.
//!
//! The document is read with one strict reader before anything is decided: what has two readings (a member twice, a
//! lone surrogate, a number out of range) is refused rather than sent on to a backend that may read it the other way.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// The deepest nesting of arrays and objects.
const DEEPEST: usize = 100;
/// The most members that a pointer may name.
const LONGEST_POINTER: usize = 16;

/// A JSON pointer to a member (RFC 6901). Its tokens name members of objects, digits too: arrays are not entered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer(Vec<String>);

impl Pointer {
    /// The pointer that is written so, for example `/customer/id`.
    ///
    /// # Errors
    /// What is wrong with the text, in a sentence.
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
            Some(tokens) => Ok(Self(tokens)),
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

/// Why a member cannot be read or set.
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
    /// More than 100 levels.
    #[error("the body is nested too deeply")]
    TooDeep,
}

/// The value of the member: the text of a string, the JSON of anything else. `None` where there is no such member, or
/// no body at all.
///
/// # Errors
/// The body cannot be read in one way only, or something on the way is not an object.
pub fn read(body: &[u8], at: &Pointer) -> Result<Option<String>, JsonFault> {
    let Some(text) = checked(body)? else {
        return Ok(None);
    };
    let mut object = text.trim_ascii_start();
    let (last, way) = at.0.split_last().ok_or(JsonFault::NotObject)?;
    for name in way {
        match member(object, name)? {
            Some(value) => object = value,
            None => return Ok(None),
        }
    }
    let Some(value) = member(object, last)? else {
        return Ok(None);
    };
    if value.starts_with('"') {
        return serde_json::from_str(value).map(Some).map_err(|_| JsonFault::NotJson);
    }
    Ok(Some(value.to_owned()))
}

/// The body with the member set to `value`, whatever it was before. Objects on the way are made where they are missing;
/// an empty body is an empty object. Every other byte stays.
///
/// # Errors
/// The body cannot be read in one way only, or something on the way is not an object.
pub fn place(body: &[u8], at: &Pointer, value: &str) -> Result<Vec<u8>, JsonFault> {
    let Some(text) = checked(body)? else {
        return Ok(nested(&at.0, value).into_bytes());
    };
    let mut object = text.trim_ascii_start();
    for (step, name) in at.0.iter().enumerate() {
        match member(object, name)? {
            Some(found) if step + 1 == at.0.len() => {
                let start = offset(text, found);
                return Ok(splice(text, start, start + found.len(), &quoted(value)));
            }
            Some(found) => object = found,
            None => {
                // Straight behind the brace that opens the object.
                let start = offset(text, object) + 1;
                let comma = if object[1..].trim_start().starts_with('}') { "" } else { "," };
                let inserted = format!("{}:{}{comma}", quoted(name), nested(&at.0[step + 1..], value));
                return Ok(splice(text, start, start, &inserted));
            }
        }
    }
    Err(JsonFault::NotObject)
}

/// `value` as a JSON string, in as many objects as there are names.
fn nested(names: &[String], value: &str) -> String {
    let mut text = String::new();
    for name in names {
        text.push('{');
        text.push_str(&quoted(name));
        text.push(':');
    }
    text.push_str(&quoted(value));
    text.extend(std::iter::repeat_n('}', names.len()));
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

/// Where `part`, a slice of `whole`, begins in it.
fn offset(whole: &str, part: &str) -> usize {
    part.as_ptr().addr() - whole.as_ptr().addr()
}

/// The JSON text of the member of this name, in an object that has been checked.
fn member<'a>(object: &'a str, name: &str) -> Result<Option<&'a str>, JsonFault> {
    if !object.starts_with('{') {
        return Err(JsonFault::NotObject);
    }
    let mut reader = serde_json::Deserializer::from_str(object);
    let found = (&mut reader).deserialize_map(Find(name)).map_err(|_| JsonFault::NotJson)?;
    Ok(found.map(RawValue::get))
}

struct Find<'n>(&'n str);

impl<'de> Visitor<'de> for Find<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(name) = map.next_key_seed(Name)? {
            let value = map.next_value::<&'de RawValue>()?;
            if name == self.0 {
                found = Some(value);
            }
        }
        Ok(found)
    }
}

/// The document without the white space around it, after the whole of it has been read; `None` where there is nothing
/// but white space.
fn checked(body: &[u8]) -> Result<Option<&str>, JsonFault> {
    let text = std::str::from_utf8(body).map_err(|_| JsonFault::NotJson)?;
    if text.bytes().all(|byte| b" \t\r\n".contains(&byte)) {
        return Ok(None);
    }
    let fault = Cell::new(JsonFault::NotJson);
    let mut reader = serde_json::Deserializer::from_str(text);
    let check = Check { depth: 0, fault: &fault };
    check.deserialize(&mut reader).and_then(|()| reader.end()).map_err(|_| fault.get())?;
    Ok(Some(text))
}

/// Reads a value and keeps nothing of it. serde_json's own way to skip a value looks neither at surrogates nor at the
/// range of numbers.
#[derive(Clone, Copy)]
struct Check<'f> {
    depth: usize,
    fault: &'f Cell<JsonFault>,
}

impl Check<'_> {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth == DEEPEST {
            self.fault.set(JsonFault::TooDeep);
            return Err(E::custom("too deep"));
        }
        Ok(Self { depth: self.depth + 1, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Check<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Check<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        while sequence.next_element_seed(inner)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let inner = self.deeper()?;
        let mut names = HashSet::new();
        while let Some(name) = map.next_key_seed(Name)? {
            if !names.insert(name) {
                self.fault.set(JsonFault::Repeated);
                return Err(A::Error::custom("twice"));
            }
            map.next_value_seed(inner)?;
        }
        Ok(())
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
