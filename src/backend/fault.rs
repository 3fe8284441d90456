//! The error of one attempt at a server: the kind of failure, the phase, and the reason as the log gives it.

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
    /// A failure with its phase and reason.
    pub(super) fn new(failure: Failure, doing: Doing, reason: impl fmt::Display) -> Self {
        Self { failure, cause: Some((doing, reason.to_string())) }
    }
}

impl From<Failure> for ServerFault {
    fn from(failure: Failure) -> Self {
        Self { failure, cause: None }
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
