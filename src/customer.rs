//! The opaque identifier by which a backend, and whoever reads its answers, tells customers apart.
//!
//! It is derived from (issuer, subject) with a key of its own, so it is the same after years and on every channel,
//! and different for every customer; without the key it says nothing. How it is derived can never change: a company's
//! records are joined by it. `the_derivation_never_changes` pins it.

mod deriver;
mod seal;

use std::fmt;
use std::sync::Arc;

use crate::key_validity::LastUse;
use crate::secret::{Secret, random_bytes, repeats_itself};
use aes_siv::KeyInit as _;
use aes_siv::siv::Aes256Siv;
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
pub use deriver::Deriver;
use zeroize::Zeroizing;

/// The longest subject, in bytes.
pub const LONGEST_SUBJECT: usize = 256;
/// The longest issuer, in bytes.
pub const LONGEST_ISSUER: usize = 512;
/// The longest identifier, in characters: `t99-` and the base64url of a full issuer and a full subject.
pub const LONGEST_IDENTIFIER: usize = 4 + ((TAG + padded(PREFIXES + LONGEST_ISSUER + LONGEST_SUBJECT)) * 4).div_ceil(3);

/// Bytes of key in a key file.
const MASTER: usize = 64;
/// Bytes of the synthetic initialisation vector that AES-SIV puts first (RFC 5297 section 2.6).
const TAG: usize = 16;
/// Bytes of the two lengths that stand before issuer and subject.
const PREFIXES: usize = 4;
/// The plaintext is filled up to a multiple of this many bytes, so that its length tells little.
const BLOCK: usize = 32;
/// Bytes of a one-way identifier: 192 of the 256 bits of its HMAC.
const ONE_WAY: usize = 24;
const ONE_WAY_DOMAIN: &[u8] = b"wicketgate customer identifier, one way";
/// The name of a backend follows.
const PAIRWISE_DOMAIN: &str = "wicketgate customer identifier, pairwise ";
const TRACEABLE_DOMAIN: &[u8] = b"wicketgate customer identifier, traceable";
const SUCCESSOR_DOMAIN: &[u8] = b"wicketgate successor of a secret";

const fn padded(length: usize) -> usize {
    length.div_ceil(BLOCK) * BLOCK
}

/// The opaque identifier of one customer: `t1-` or `o1-` and base64url, so at home in headers, URLs and JSON.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Identifier(Arc<str>);

impl Identifier {
    /// One that was derived before, as our own store or our own token has it.
    pub fn from_store(text: &str) -> Self {
        Self(text.into())
    }

    /// The identifier as it is sent.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Identifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Reversibility of identifiers by operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Deterministic encryption (AES-256-SIV, RFC 5297): whoever holds the key can.
    Traceable,
    /// A keyed hash (HMAC-SHA-256): nobody can; the key holder can derive it again from a known subject.
    OneWay,
}

impl Mode {
    fn letter(self) -> char {
        match self {
            Self::Traceable => 't',
            Self::OneWay => 'o',
        }
    }
}

/// Fault in the text of a key file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// Not `v`, a number, a colon and base64url.
    #[error(
        "this is not an identifier key (v1: and 86 characters of base64url); make one with `wicketgate new identifier-key`"
    )]
    Form,
    /// A version other than 1 to 99.
    #[error("the version of an identifier key is v1 to v99; `wicketgate new identifier-key` makes a v1")]
    Version,
    /// Not 64 bytes.
    #[error(
        "an identifier key has 64 random bytes, this one has another length; make one with `wicketgate new identifier-key`, or restore the file from your backup"
    )]
    Length,
    /// Zeros, or another piece over and over again.
    #[error(
        "an identifier key has 64 random bytes, and these repeat themselves; make one with `wicketgate new identifier-key`"
    )]
    Guessable,
}

/// Failure to derive an identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SubjectFault {
    /// Nobody.
    #[error("the subject is empty")]
    Empty,
    /// More than [`LONGEST_SUBJECT`] bytes.
    #[error("the subject is longer than 256 bytes")]
    TooLong,
    /// A control character, which no header or log line can carry.
    #[error("the subject has a control character")]
    ControlCharacter,
    /// The issuer is empty or longer than [`LONGEST_ISSUER`] bytes.
    #[error("the issuer is empty or longer than 512 bytes")]
    Issuer,
}

/// Fault of an identifier that is not ours, or cannot be mapped back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TraceFault {
    /// Not the form of an identifier.
    #[error("this is not an identifier of this gateway: it does not have the form t1-... or o1-...")]
    Form,
    /// Of another mode than `identifier.mode`.
    #[error("this identifier was made in the other `identifier.mode`")]
    Mode,
    /// Of another version of the key.
    #[error("this identifier was made with another version of the identifier key")]
    Version,
    /// The key did not make it.
    #[error("this identifier was not made with this identifier key, or has been changed")]
    Forged,
    /// A one-way identifier has no way back.
    #[error("a one_way identifier cannot be mapped back; derive the identifiers of known subjects and compare")]
    OneWay,
}

/// Whom an identifier stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TracedCustomer {
    /// The issuer (or tenant) within which the subject is unique.
    pub issuer: String,
    /// The company's own key of the customer.
    pub subject: String,
}

/// The key that identifiers are derived with, apart from every signing key.
pub struct IdentifierKey {
    version: u8,
    master: Zeroizing<[u8; MASTER]>,
}

impl IdentifierKey {
    /// The text of a new key file, without a line end.
    pub fn generate() -> Zeroizing<String> {
        let master = Zeroizing::new(random_bytes::<MASTER>());
        let mut text = Zeroizing::new(String::with_capacity(128));
        text.push_str("v1:");
        BASE64.encode_string(&master[..], &mut text);
        text
    }

    /// The text of a key of the next version; `None` after the last.
    pub fn next(&self) -> Option<Zeroizing<String>> {
        let version = self.version.checked_add(1).filter(|version| *version <= 99)?;
        let first = Self::generate();
        Some(Zeroizing::new(format!("v{version}:{}", first.strip_prefix("v1:")?)))
    }

    /// Its number.
    pub fn version(&self) -> u8 {
        self.version
    }

    /// The key in the text of a key file; white space at its end does not count.
    ///
    /// # Errors
    /// The fault, and the command that makes a right key.
    pub fn parse(secret: &Secret) -> Result<Self, KeyFault> {
        let text = secret.expose_str().ok_or(KeyFault::Form)?.trim_ascii_end();
        let (version, key) = text.strip_prefix('v').and_then(|rest| rest.split_once(':')).ok_or(KeyFault::Form)?;
        let version = parse_version(version).ok_or(KeyFault::Version)?;
        let bytes = Zeroizing::new(BASE64.decode(key).map_err(|_| KeyFault::Form)?);
        let mut master = Zeroizing::new([0; MASTER]);
        if bytes.len() != MASTER {
            return Err(KeyFault::Length);
        }
        if repeats_itself(&bytes) {
            return Err(KeyFault::Guessable);
        }
        master.copy_from_slice(&bytes);
        Ok(Self { version, master })
    }

    /// A key of one purpose: one that leaks, or is used up, says nothing about another.
    fn subkey(&self, domain: &[u8]) -> Zeroizing<[u8; MASTER]> {
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA512, &self.master[..]), domain);
        let mut key = Zeroizing::new([0; MASTER]);
        key.copy_from_slice(tag.as_ref());
        key
    }
}

impl fmt::Debug for IdentifierKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "IdentifierKey(v{}, ..)", self.version)
    }
}

/// `1` to `99`, without sign or leading zero.
fn parse_version(text: &str) -> Option<u8> {
    let plain = text.len() <= 2 && text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    plain.then(|| text.parse().ok()).flatten()
}

/// Derivation by one version of the key.
struct Version {
    mode: Mode,
    key: IdentifierKey,
    /// `t1-`: what stands before the base64url. In traceable mode it is authenticated too.
    prefix: String,
    cipher: Zeroizing<[u8; MASTER]>,
    hash: hmac::Key,
    successor: hmac::Key,
    /// The time at which an identifier of it was last accepted.
    used: Arc<LastUse>,
}

impl fmt::Debug for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}..", self.prefix)
    }
}

impl Version {
    /// The two modes share no key material.
    fn new(key: IdentifierKey, mode: Mode) -> Self {
        Self {
            mode,
            prefix: format!("{}{}-", mode.letter(), key.version),
            cipher: key.subkey(TRACEABLE_DOMAIN),
            hash: hmac::Key::new(hmac::HMAC_SHA256, &key.subkey(ONE_WAY_DOMAIN)[..]),
            successor: hmac::Key::new(hmac::HMAC_SHA256, &key.subkey(SUCCESSOR_DOMAIN)[..]),
            used: Arc::default(),
            key,
        }
    }

    fn pairwise(&self, backend: &str) -> Self {
        let master = self.key.subkey(format!("{PAIRWISE_DOMAIN}{backend}").as_bytes());
        Self::new(IdentifierKey { version: self.key.version, master }, self.mode)
    }

    /// The identifier of this customer. Issuer and subject count byte for byte: no folding of case or of Unicode forms.
    ///
    /// # Errors
    /// An issuer or subject that cannot be one.
    fn derive(&self, issuer: &str, subject: &str) -> Result<Identifier, SubjectFault> {
        let pair = encode_pair(issuer, subject)?;
        let mut text = self.prefix.clone();
        match self.mode {
            Mode::Traceable => {
                let sealed = Aes256Siv::new(&(*self.cipher).into()).encrypt([self.prefix.as_bytes()], &pair);
                // The only errors are too many headers, of which there is one, and a buffer that cannot grow.
                BASE64.encode_string(sealed.map_err(|_| SubjectFault::TooLong)?, &mut text);
            }
            Mode::OneWay => {
                let mut context = hmac::Context::with_key(&self.hash);
                context.update(&pair);
                BASE64.encode_string(&context.sign().as_ref()[..ONE_WAY], &mut text);
            }
        }
        Ok(Identifier(text.into()))
    }

    /// Whom this identifier stands for.
    ///
    /// # Errors
    /// It is not one of ours, or is a one-way identifier.
    fn trace(&self, text: &str) -> Result<TracedCustomer, TraceFault> {
        let bytes = self.decode(text)?;
        match self.mode {
            Mode::OneWay => Err(TraceFault::OneWay),
            Mode::Traceable => Aes256Siv::new(&(*self.cipher).into())
                .decrypt([self.prefix.as_bytes()], &bytes)
                .ok()
                .and_then(|pair| decode_pair(&pair))
                .ok_or(TraceFault::Forged),
        }
    }

    /// The identifier in the `sub` of a token that we signed: authenticated where it is traceable, checked for its form
    /// where it is one-way.
    ///
    /// # Errors
    /// It cannot have come from this deriver.
    fn accept(&self, text: &str) -> Result<Identifier, TraceFault> {
        match self.mode {
            Mode::Traceable => self.trace(text).map(drop)?,
            Mode::OneWay => self.decode(text).map(drop)?,
        }
        Ok(Identifier(text.into()))
    }

    /// Value derived from a secret.
    fn successor(&self, secret: &[u8]) -> Zeroizing<[u8; 32]> {
        let mut successor = Zeroizing::new([0; 32]);
        successor.copy_from_slice(hmac::sign(&self.successor, secret).as_ref());
        successor
    }

    /// The bytes behind the prefix.
    fn decode(&self, text: &str) -> Result<Vec<u8>, TraceFault> {
        if text.len() > LONGEST_IDENTIFIER {
            return Err(TraceFault::Form);
        }
        let Some(body) = text.strip_prefix(&self.prefix) else {
            return Err(self.why_not_ours(text));
        };
        let bytes = BASE64.decode(body).map_err(|_| TraceFault::Form)?;
        let right_length = match self.mode {
            Mode::Traceable => bytes.len() > TAG && (bytes.len() - TAG).is_multiple_of(BLOCK),
            Mode::OneWay => bytes.len() == ONE_WAY,
        };
        if right_length { Ok(bytes) } else { Err(TraceFault::Form) }
    }

    fn why_not_ours(&self, text: &str) -> TraceFault {
        let Some((head, _)) = text.split_once('-') else {
            return TraceFault::Form;
        };
        let mut characters = head.chars();
        let letter = characters.next();
        if parse_version(characters.as_str()).is_none() {
            return TraceFault::Form;
        }
        match letter {
            Some(letter) if letter == self.mode.letter() => TraceFault::Version,
            Some('t' | 'o') => TraceFault::Mode,
            _ => TraceFault::Form,
        }
    }
}

/// Both texts with their lengths before them, so that no two pairs share an encoding, filled up with zeros.
fn encode_pair(issuer: &str, subject: &str) -> Result<Zeroizing<Vec<u8>>, SubjectFault> {
    if issuer.is_empty() || issuer.len() > LONGEST_ISSUER {
        return Err(SubjectFault::Issuer);
    }
    if subject.is_empty() {
        return Err(SubjectFault::Empty);
    }
    if subject.len() > LONGEST_SUBJECT {
        return Err(SubjectFault::TooLong);
    }
    if subject.chars().any(char::is_control) {
        return Err(SubjectFault::ControlCharacter);
    }
    let length = PREFIXES + issuer.len() + subject.len();
    let mut bytes = Zeroizing::new(Vec::with_capacity(padded(length)));
    for (text, fault) in [(issuer, SubjectFault::Issuer), (subject, SubjectFault::TooLong)] {
        let length = u16::try_from(text.len()).map_err(|_| fault)?;
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(text.as_bytes());
    }
    bytes.resize(padded(length), 0);
    Ok(bytes)
}

/// The reverse of [`encode_pair`]; `None` for bytes that it does not make.
fn decode_pair(bytes: &[u8]) -> Option<TracedCustomer> {
    let (issuer, rest) = take_text(bytes)?;
    let (subject, _) = take_text(rest)?;
    let again = encode_pair(issuer, subject).ok()?;
    (again[..] == *bytes).then(|| TracedCustomer { issuer: issuer.to_owned(), subject: subject.to_owned() })
}

fn take_text(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<2>()?;
    let (text, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    Some((std::str::from_utf8(text).ok()?, rest))
}

#[cfg(test)]
mod tests;
