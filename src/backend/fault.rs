//! The error of one attempt at a server: the kind of failure, the phase, and the reason as the log gives it.

use std::error::Error;
use std::fmt;

use super::Failure;

/// What was being done when a server failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Doing {
    Connect,
    Tls,
    Write,
    ReadHead,
    ReadBody,
}

/// What failed, and with what reason where that says something about the server.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) failure: Failure,
    pub(super) cause: Option<(Doing, String)>,
}

impl Doing {
    /// The word for logs.
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

impl Fault {
    /// Of this kind, for this reason.
    pub(super) fn new(failure: Failure, doing: Doing, reason: impl fmt::Display) -> Self {
        Self { failure, cause: Some((doing, reason.to_string())) }
    }
}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Self {
        Self { failure, cause: None }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.cause {
            Some((doing, reason)) => write!(formatter, "{}: {reason}", doing.as_str()),
            None => formatter.write_str(self.failure.as_str()),
        }
    }
}

/// An error with those that caused it.
pub(super) struct Causes<'a>(pub(super) &'a dyn Error);

impl fmt::Display for Causes<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(formatter, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}
