//! The error of one attempt at a server: the kind of failure, the phase, and the reason as the log gives it; and what the
//! access log tells of it.

use std::borrow::Cow;
use std::cell::RefCell;
use std::fmt;

use super::Failure;

/// Phase of an exchange in which a server failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doing {
    Connect,
    Tls,
    Write,
    ReadHead,
    ReadBody,
}

/// Failure of one attempt, with phase and reason where they say something about the server.
#[derive(Debug)]
pub(super) struct ServerFault {
    pub(super) failure: Failure,
    pub(super) cause: Option<(Doing, String)>,
    /// What the server did, for the access log: a phrase of ours, in which nothing of what it sent stands.
    pub(super) phrase: Cow<'static, str>,
}

impl Doing {
    /// Value of `doing` in the log.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Write => "write",
            Self::ReadHead => "read_head",
            Self::ReadBody => "read_body",
        }
    }
}

impl ServerFault {
    /// A failure with its phase, its reason and its phrase.
    pub(super) fn new(
        failure: Failure,
        doing: Doing,
        reason: impl fmt::Display,
        phrase: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self { failure, cause: Some((doing, reason.to_string())), phrase: phrase.into() }
    }
}

impl From<Failure> for ServerFault {
    fn from(failure: Failure) -> Self {
        Self { failure, cause: None, phrase: failure.phrase().into() }
    }
}

impl fmt::Display for ServerFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Some((doing, reason)) => write!(formatter, "{}: {reason}", doing.as_str()),
            None => formatter.write_str(self.failure.as_str()),
        }
    }
}

impl Failure {
    /// What the backend did, where nothing more is known of it.
    pub(crate) fn phrase(self) -> &'static str {
        match self {
            Self::Connect => "no connection",
            Self::Tls => "TLS: handshake failed",
            Self::Timeout => "no response in time",
            Self::Broken => "connection broke",
            Self::Malformed => "not HTTP",
            Self::Overload => "limit of requests reached",
            Self::Unavailable => "no healthy server",
        }
    }
}

/// What the backend of one request did last, for the operator: the server and a phrase of ours. Callers never see it.
#[derive(Debug, Default)]
pub struct FaultNote(RefCell<Option<Box<str>>>);

impl FaultNote {
    /// Notes what this server did, in place of what was noted before.
    pub fn note(&self, server: &str, phrase: impl fmt::Display) {
        self.0.replace(Some(format!("{server}: {phrase}").into()));
    }

    /// Notes what the backend as a whole did.
    pub fn note_backend(&self, phrase: impl fmt::Display) {
        self.0.replace(Some(phrase.to_string().into()));
    }

    /// The same, unless something is noted already.
    pub fn note_otherwise(&self, phrase: &'static str) {
        self.0.borrow_mut().get_or_insert_with(|| phrase.into());
    }

    /// What is noted.
    pub fn noted(&self) -> Option<Box<str>> {
        self.0.borrow().clone()
    }
}
