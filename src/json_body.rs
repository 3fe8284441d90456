//! One member of a JSON body: read it, or set it and leave every other byte as it was.
//!
//! The document is read with one strict reader before anything is decided: what has two readings (a member twice, a
//! lone surrogate, a number out of range, another spelling of the member) is refused rather than sent on to a backend
//! that may read it the other way.

mod case_variants;
pub mod filter;
pub mod member_graph;
mod place;
mod scalar;
mod scanner;

use std::borrow::Cow;

use case_variants::Step;
use place::Place;

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

    /// How it is written.
    pub fn written(&self) -> String {
        self.0.iter().map(|step| format!("/{}", step.name.replace('~', "~0").replace('/', "~1"))).collect()
    }
}

/// The value of a document.
///
/// # Errors
/// It cannot be read in one way only.
pub fn value(body: &[u8]) -> Result<serde_json::Value, JsonFault> {
    let Place::Here(_, text) = place::find(body, &[], Spellings::Any)? else { return Err(JsonFault::NotJson) };
    serde_json::from_str(text).map_err(|_| JsonFault::NotJson)
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

impl JsonFault {
    /// The cause in this body, in a phrase without anything of the body.
    pub fn cause(self, body: &[u8]) -> &'static str {
        match self {
            Self::NotObject => "it is no object",
            Self::Repeated => "an object has a member twice",
            Self::OtherSpelling => "a member has a name in another spelling",
            Self::TooDeep => "it is nested more than 100 levels deep",
            Self::NotJson if body.starts_with(b"\xef\xbb\xbf") => "it starts with a byte order mark",
            Self::NotJson if std::str::from_utf8(body).is_err() => "it is not in UTF-8",
            Self::NotJson => match serde_json::from_slice::<serde_json::Value>(body) {
                Err(error) if error.to_string().starts_with("number out of range") => "a number is out of range",
                Err(error) if ["surrogate", "hex escape"].iter().any(|word| error.to_string().contains(word)) => {
                    "a string has half of a surrogate pair"
                }
                _ => "it is not well-formed",
            },
        }
    }
}

/// A body that has one reading only, and the place of a member in it.
#[derive(Debug)]
pub struct Document<'a> {
    body: &'a [u8],
    steps: &'a [Step],
    place: Place<'a>,
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
        let place = place::find(body, &at.0, spellings)?;
        Ok(Self { body, steps: &at.0, place })
    }

    /// The value of the member: the text of a string, the JSON of anything else. `None` where there is no such member,
    /// or no body at all.
    pub fn value(&self) -> Option<Cow<'a, str>> {
        match self.place {
            Place::Here(_, value) if value.starts_with('"') => {
                Some(serde_json::from_str(value).map_or(Cow::Borrowed(value), Cow::Owned))
            }
            Place::Here(_, value) => Some(Cow::Borrowed(value)),
            Place::Missing { .. } | Place::Nowhere => None,
        }
    }

    /// The body with the member set to `value`, whatever it was before. Objects on the way are made where they are
    /// missing; an empty body is an empty object. Every other byte stays.
    pub fn with(&self, value: &str) -> Vec<u8> {
        match self.place {
            Place::Here(offset, found) => splice(self.body, offset, found.len(), &quoted(value)),
            Place::Missing { step, offset, is_empty } => {
                let comma = if is_empty { "" } else { "," };
                let (name, members) = (quoted(&self.steps[step].name), nested(&self.steps[step + 1..], value));
                splice(self.body, offset, 0, &format!("{name}:{members}{comma}"))
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
    let Place::Here(_, value) = Document::find(body, at, Spellings::Any)?.place else { return Ok(None) };
    let name = match serde_json::from_str(value) {
        Ok(serde_json::Value::String(text)) => Some(text).filter(|text| !text.trim().is_empty()),
        Ok(serde_json::Value::Number(number)) if number.is_i64() || number.is_u64() => Some(number.to_string()),
        _ => None,
    };
    Ok(name)
}

/// The value of a member in a document of the company's own, as of [`read_name`]; `None` where there is no such member.
///
/// # Errors
/// See [`Document::parse`].
pub fn read_value(body: &[u8], at: &Pointer) -> Result<Option<serde_json::Value>, JsonFault> {
    let Place::Here(_, value) = Document::find(body, at, Spellings::Any)?.place else { return Ok(None) };
    serde_json::from_str(value).map(Some).map_err(|_| JsonFault::NotJson)
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
    if text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
        return ["\"", text, "\""].concat();
    }
    serde_json::Value::from(text).to_string()
}

/// The body with `length` bytes from `offset` on replaced.
fn splice(body: &[u8], offset: usize, length: usize, inserted: &str) -> Vec<u8> {
    [&body[..offset], inserted.as_bytes(), &body[offset + length..]].concat()
}

#[cfg(test)]
mod tests;
