//! Identifiers under the present key, and for a while under the one before: what outlives a rotation of the key.

use std::fmt;
use std::sync::Arc;

use crate::key_validity::LastUse;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use zeroize::Zeroizing;

use super::{Identifier, IdentifierKey, Mode, SubjectFault, TraceFault, TracedCustomer, Version};

/// Turns (issuer, subject) into identifiers, and back where the mode allows it.
pub struct Deriver {
    current: Version,
    /// The versions before, newest first, each with the first second, since 1970, in which callers and backends are told
    /// nothing more of it.
    earlier: Vec<(Version, u64)>,
}

impl fmt::Debug for Deriver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Deriver({:?})", self.current)
    }
}

impl Deriver {
    /// A deriver with this key.
    pub fn new(key: IdentifierKey, mode: Mode) -> Self {
        Self { current: Version::new(key, mode), earlier: Vec::new() }
    }

    /// The key before those that it has was this one. From the second `until`, since 1970, on it only traces.
    pub fn after(mut self, key: IdentifierKey, until: u64) -> Self {
        let mode = self.current.mode;
        self.earlier.push((Version::new(key, mode), until));
        self
    }

    /// Receives the time at which identifiers of this key version were last accepted.
    pub fn noted(mut self, used: impl Fn(u8) -> Arc<LastUse>) -> Self {
        let earlier = self.earlier.iter_mut().map(|(version, _)| version);
        for version in std::iter::once(&mut self.current).chain(earlier) {
            version.used = used(version.key.version);
        }
        self
    }

    /// The one for this backend only: what it gets says nothing to another.
    pub fn pairwise(&self, backend: &str) -> Self {
        let earlier = self.earlier.iter().map(|(version, until)| (version.pairwise(backend), *until));
        Self { current: self.current.pairwise(backend), earlier: earlier.collect() }
    }

    /// The mode of its identifiers.
    pub fn mode(&self) -> Mode {
        self.current.mode
    }

    /// Values derived from a secret by each key, the present one first: the same wherever the key is, and unknown to
    /// anybody without it.
    pub fn successors(&self, secret: &[u8]) -> impl Iterator<Item = Zeroizing<[u8; 32]>> {
        let all = std::iter::once(&self.current).chain(self.earlier.iter().map(|(version, _)| version));
        all.map(move |version| version.successor(secret))
    }

    /// Seals a value of this gateway's own, which comes back by way of a caller, for `purpose`. It only opens together
    /// with `bound`. `None` if it is too long.
    pub fn seal(&self, purpose: &str, bound: &[u8], value: &[u8]) -> Option<String> {
        self.current.seal(purpose, bound, value)
    }

    /// The value that this key, or one of those before, has sealed for `purpose` together with `bound`.
    pub fn unseal(&self, purpose: &str, bound: &[u8], sealed: &str) -> Option<Zeroizing<Vec<u8>>> {
        let sealed = BASE64.decode(sealed).ok()?;
        let mut all = std::iter::once(&self.current).chain(self.earlier.iter().map(|(version, _)| version));
        all.find_map(|version| version.unseal(purpose, bound, &sealed))
    }

    /// Pseudonym for logs: the same wherever the key is; without the key nobody can test guesses.
    pub fn pseudonym(&self, of: &[u8]) -> [u8; 8] {
        let digest = self.current.successor(&[b"pseudonym ", of].concat());
        digest.first_chunk().copied().unwrap_or_default()
    }

    /// Returns whether an identifier is of the present key, by its form.
    pub fn is_current(&self, customer: &Identifier) -> bool {
        customer.as_str().starts_with(&self.current.prefix)
    }

    /// The numbers of its keys, the present one first, each with the second in which it is forgotten and its last use.
    pub fn versions(&self) -> impl Iterator<Item = (u8, u64, Arc<LastUse>)> {
        let all = std::iter::once((&self.current, u64::MAX));
        let all = all.chain(self.earlier.iter().map(|(version, until)| (version, *until)));
        all.map(|(version, until)| (version.key.version, until, Arc::clone(&version.used)))
    }

    /// The identifier of this customer. Issuer and subject count byte for byte: no folding of case or of Unicode forms.
    ///
    /// # Errors
    /// An issuer or subject that cannot be one.
    pub fn derive(&self, issuer: &str, subject: &str) -> Result<Identifier, SubjectFault> {
        self.current.derive(issuer, subject)
    }

    /// The same under the key before; `None` where there is none, or not any more. `now` is in seconds since 1970.
    pub fn derive_previous(&self, issuer: &str, subject: &str, now: u64) -> Option<Identifier> {
        self.remembered(now)?.derive(issuer, subject).ok()
    }

    /// Whom this identifier stands for, under whichever key that is known.
    ///
    /// # Errors
    /// It is not one of ours, or is a one-way identifier.
    pub fn trace(&self, text: &str) -> Result<TracedCustomer, TraceFault> {
        let outcome = self.current.trace(text);
        if outcome != Err(TraceFault::Version) {
            return outcome;
        }
        let earlier = self.earlier.iter().map(|(version, _)| version.trace(text));
        earlier.into_iter().find(|found| *found != Err(TraceFault::Version)).unwrap_or(outcome)
    }

    /// The present identifier of the customer whom this one names, as a token or record of ours does: authenticated where
    /// it is traceable, checked for its form where it is one-way. A one-way identifier of the key before stays what it
    /// is, for nobody can map it. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// It cannot have come from this deriver.
    pub fn accept(&self, text: &str, now: u64) -> Result<Identifier, TraceFault> {
        let (accepted, used) = self.recognize(text, now)?;
        used.note(now);
        Ok(accepted)
    }

    /// The same without noting the use; with the place where that is noted.
    ///
    /// # Errors
    /// As [`Deriver::accept`].
    pub fn recognize(&self, text: &str, now: u64) -> Result<(Identifier, &LastUse), TraceFault> {
        let (used, accepted) = match (self.current.accept(text), self.remembered(now)) {
            (Err(TraceFault::Version), Some(previous)) => {
                let accepted = match self.mode() {
                    Mode::OneWay => previous.accept(text),
                    Mode::Traceable => {
                        let TracedCustomer { issuer, subject } = previous.trace(text)?;
                        self.derive(&issuer, &subject).map_err(|_| TraceFault::Forged)
                    }
                };
                (&previous.used, accepted?)
            }
            (outcome, _) => (&self.current.used, outcome?),
        };
        Ok((accepted, used))
    }

    /// The identifier of this customer under the key before, while backends still get it; only in traceable mode. `now`
    /// is in seconds since 1970.
    pub fn previous_of(&self, customer: &Identifier, now: u64) -> Option<Identifier> {
        let previous = self.remembered(now)?;
        let TracedCustomer { issuer, subject } = self.current.trace(customer.as_str()).ok()?;
        previous.derive(&issuer, &subject).ok()
    }

    /// All names of this customer: revocations hold for each.
    pub fn names(&self, customer: &Identifier, now: u64) -> Vec<Identifier> {
        std::iter::once(customer.clone()).chain(self.previous_of(customer, now)).collect()
    }

    /// The pairwise identifier of a customer for one backend.
    ///
    /// # Errors
    /// It is none of theirs.
    pub fn for_backend(&self, others: &Deriver, customer: &Identifier) -> Result<Identifier, TraceFault> {
        let derived = match self.mode() {
            Mode::OneWay => self.derive("identifier", customer.as_str()),
            Mode::Traceable => {
                let TracedCustomer { issuer, subject } = others.trace(customer.as_str())?;
                self.derive(&issuer, &subject)
            }
        };
        derived.map_err(|_| TraceFault::Form)
    }

    /// The pairwise identifier of this customer under the key before, while that key is known.
    pub fn previous_for_backend(&self, others: &Deriver, issuer: &str, subject: &str) -> Option<Identifier> {
        let (own, _) = self.earlier.first()?;
        let derived = match self.mode() {
            Mode::Traceable => own.derive(issuer, subject),
            Mode::OneWay => {
                let (version, _) = others.earlier.first()?;
                own.derive("identifier", version.derive(issuer, subject).ok()?.as_str())
            }
        };
        derived.ok()
    }

    fn remembered(&self, now: u64) -> Option<&Version> {
        self.earlier.first().filter(|(_, until)| now < *until).map(|(version, _)| version)
    }
}
