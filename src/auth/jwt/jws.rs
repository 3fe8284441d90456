//! Compact serialization of a JWS (RFC 7515 section 7.1), parsed strictly and before any key is looked up.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::Value;

use super::algorithm::Algorithm;
use crate::refusal::TokenFault;

/// The longest token, in bytes, and the upper bound of `listen[].limits.token`.
pub const LONGEST_TOKEN: usize = 64 * 1024;
/// The longest token that brings its key, in bytes: whoever makes one has no groups to list.
const LONGEST_WITH_KEY: usize = 16 * 1024;
/// The longest `kid`, in bytes.
const LONGEST_KEY_ID: usize = 1024;
/// Header parameters that change what is signed, or how a token must be read: RFC 7515 section 4.1.11; RFC 7797; RFC 7516
/// sections 4.1.2, 4.1.3. Those that bring a key or lead to one (`jku`, `jwk`, `x5u`, `x5c`) are ignored as any other.
const NOT_ALLOWED: [&str; 4] = ["crit", "b64", "zip", "enc"];

/// A JWS in compact form, taken apart. Nothing of it has been verified.
#[derive(Debug)]
pub struct Jws<'a> {
    /// `header.payload`: the bytes that are signed.
    signed: &'a [u8],
    header: Header,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

/// The header parameters that are read. All others are ignored, of any type (RFC 7515 section 4).
#[derive(Debug)]
struct Header {
    algorithm: Algorithm,
    key_id: Option<String>,
    kind: Option<String>,
}

impl<'a> Jws<'a> {
    /// Takes a token apart.
    ///
    /// # Errors
    /// [`TokenFault::TooLong`], [`TokenFault::Malformed`], [`TokenFault::HeaderNotAllowed`], or
    /// [`TokenFault::Algorithm`] for one that nobody may sign with.
    pub fn parse(token: &'a str) -> Result<Self, TokenFault> {
        if token.len() > LONGEST_TOKEN {
            return Err(TokenFault::TooLong);
        }
        let malformed = TokenFault::Malformed;
        let (signed, signature) = token.rsplit_once('.').ok_or(malformed)?;
        let (header, payload) = signed.split_once('.').ok_or(malformed)?;
        if header.is_empty() || signature.is_empty() || payload.contains('.') {
            return Err(malformed);
        }
        // No padding, no white space, no bits left over: the engine refuses all three.
        let decode = |part: &str| BASE64.decode(part).map_err(|_| malformed);
        Ok(Self {
            header: Header::parse(&decode(header)?)?,
            payload: decode(payload)?,
            signature: decode(signature)?,
            signed: signed.as_bytes(),
        })
    }

    /// Takes apart a token that brings the key that it is signed with, and that key: only where whoever has a key of its
    /// own may speak (RFC 9449 section 4.2). A `kid` is ignored, for there is nothing to choose.
    ///
    /// # Errors
    /// As [`Jws::parse`], also where it names another key, and [`TokenFault::Malformed`] where there is no key.
    pub fn parse_with_key(token: &'a str) -> Result<(Self, Value), TokenFault> {
        let malformed = TokenFault::Malformed;
        let (header, rest) = token.split_once('.').ok_or(malformed)?;
        if token.len() > LONGEST_WITH_KEY {
            return Err(TokenFault::TooLong);
        }
        let members = BASE64.decode(header).ok().and_then(|header| Members::parse(&header)).ok_or(malformed)?;
        let key = members.get("jwk").cloned().ok_or(malformed)?;
        if ["jku", "x5u", "x5c"].iter().any(|name| members.get(name).is_some()) {
            return Err(TokenFault::HeaderNotAllowed);
        }
        let header = Header::of(&members)?;
        let (payload, signature) = rest.split_once('.').ok_or(malformed)?;
        let decode = |part: &str| BASE64.decode(part).map_err(|_| malformed);
        let signed = token.as_bytes().get(..token.len() - signature.len() - 1).ok_or(malformed)?;
        let header = Header { key_id: None, ..header };
        Ok((Self { signed, header, payload: decode(payload)?, signature: decode(signature)? }, key))
    }

    /// The bytes that are signed.
    pub fn signed(&self) -> &[u8] {
        self.signed
    }

    /// The signature as it should be over [`Jws::signed`].
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }

    /// The payload; it need not be JSON.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// `alg`.
    pub fn algorithm(&self) -> Algorithm {
        self.header.algorithm
    }

    /// `kid`.
    pub fn key_id(&self) -> Option<&str> {
        self.header.key_id.as_deref()
    }

    /// `x5t` and `x5t#S256`, where they are texts: the certificate of its key. They are read only now, for few tokens need
    /// them.
    pub(super) fn certificate_names(&self) -> Vec<String> {
        let header = self.signed.split(|byte| *byte == b'.').next().unwrap_or_default();
        let members = BASE64.decode(header).ok().and_then(|header| Members::parse(&header));
        let text = |name| members.as_ref()?.get(name)?.as_str().map(str::to_owned);
        ["x5t", "x5t#S256"].into_iter().filter_map(text).collect()
    }

    /// `typ`, in small letters and without `application/` (RFC 7515 section 4.1.9).
    pub fn kind(&self) -> Option<&str> {
        self.header.kind.as_deref()
    }
}

impl Header {
    fn parse(bytes: &[u8]) -> Result<Self, TokenFault> {
        Self::of(&Members::parse(bytes).ok_or(TokenFault::Malformed)?)
    }

    fn of(members: &Members) -> Result<Self, TokenFault> {
        if NOT_ALLOWED.iter().any(|name| members.get(name).is_some()) {
            return Err(TokenFault::HeaderNotAllowed);
        }
        let Some(Value::String(algorithm)) = members.get("alg") else {
            return Err(TokenFault::Malformed);
        };
        let key_id = members.text("kid")?;
        if key_id.is_some_and(|text| text.len() > LONGEST_KEY_ID || text.chars().any(char::is_control)) {
            return Err(TokenFault::Malformed);
        }
        let kind = members.text("typ")?.map(plain_type);
        Ok(Self {
            algorithm: Algorithm::named(algorithm).ok_or(TokenFault::Algorithm)?,
            key_id: key_id.map(str::to_owned),
            kind,
        })
    }
}

/// A `typ` as types are compared: in small letters and without `application/` (RFC 7515 section 4.1.9).
pub(super) fn plain_type(text: &str) -> String {
    let text = text.to_ascii_lowercase();
    text.strip_prefix("application/").map(str::to_owned).unwrap_or(text)
}

/// The members of a JSON object in which no name stands twice (RFC 7515 section 4, RFC 7519 section 4).
#[derive(Debug)]
pub(in crate::auth) struct Members(Vec<(String, Value)>);

impl Members {
    /// `None` where the bytes are not one JSON object, have a name twice, a number out of range, or too many levels.
    pub(in crate::auth) fn parse(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok()
    }

    /// The member of this name.
    pub(in crate::auth) fn get(&self, name: &str) -> Option<&Value> {
        let at = self.0.binary_search_by(|(known, _)| known.as_str().cmp(name)).ok()?;
        self.0.get(at).map(|(_, value)| value)
    }

    /// The member of this name, which must be a string if it is there.
    pub(in crate::auth) fn text(&self, name: &str) -> Result<Option<&str>, TokenFault> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(TokenFault::Malformed),
        }
    }
}

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry::<String, Value>()? {
            members.push(member);
        }
        // Sorted, so that looking for repeated names stays cheap however many there are.
        members.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        if members.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(A::Error::custom("a member twice"));
        }
        Ok(Members(members))
    }
}
