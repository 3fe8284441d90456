//! The reader that the scanner is held against: the same rules on top of serde_json, which reads the text level by level.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::json_body::case_variants::Step;
use crate::json_body::filter::MemberName;
use crate::json_body::place::{self, Place};
use crate::json_body::{DEEPEST, JsonFault, Pointer, Spellings};

/// Reads the document with both readers, which must agree. Of several faults each may find another one first.
pub(super) fn read_both<'a>(text: &'a [u8], at: &Pointer, spellings: Spellings) -> Result<Place<'a>, JsonFault> {
    let (found, expected) = (place::find(text, &at.0, spellings), find(text, at, spellings));
    assert_eq!(found.as_ref().ok(), expected.as_ref().ok(), "{} {at:?}", text.escape_ascii());
    found
}

/// As [`place::find`].
fn find<'a>(body: &'a [u8], at: &Pointer, spellings: Spellings) -> Result<Place<'a>, JsonFault> {
    let text = std::str::from_utf8(body).map_err(|_| JsonFault::NotJson)?;
    if text.bytes().all(|byte| b" \t\r\n".contains(&byte)) {
        return Ok(Place::Nowhere);
    }
    let mut object = text;
    for (depth, step) in at.0.iter().enumerate() {
        match checked(object, depth, Some((step, spellings)))? {
            Found::Member(value) => object = value,
            Found::NoMember => {
                let inside = object.trim_ascii_start().get(1..).unwrap_or_default();
                let is_empty = inside.trim_ascii_start().starts_with('}');
                return Ok(Place::Missing { step: depth, offset: offset(text, inside), is_empty });
            }
            Found::NoObject => return Err(JsonFault::NotObject),
        }
    }
    checked(object, at.0.len(), None)?;
    Ok(Place::Here(offset(text, object), object))
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
        while let Some(name) = map.next_key_seed(MemberName)? {
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
