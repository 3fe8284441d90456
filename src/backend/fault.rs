//! The error of one attempt at a server: the kind of failure, the phase, and the reason as the log gives it.

use std::error::Error;
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

/// Displays an error with its chain of sources, and with the key of the configuration that would accept it.
pub(super) struct Causes<'a>(pub(super) &'a (dyn Error + 'static));

impl fmt::Display for Causes<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(formatter, ": {error}")?;
            cause = error.source();
        }
        match remedy(self.0) {
            Some(remedy) => write!(formatter, "; {remedy}"),
            None => Ok(()),
        }
    }
}

/// What the configuration of the backend can do about an error of the HTTP library.
fn remedy(error: &(dyn Error + 'static)) -> Option<&'static str> {
    let http = error.downcast_ref::<hyper::Error>()?;
    // The library tells these apart by their text only, and nothing but this hint hangs on it.
    let is_about = |what| http.to_string().contains(what);
    if http.is_parse_too_large() {
        return Some("`max_response_fields` and `max_response_head` bound it");
    }
    if http.is_parse_status() || (http.is_parse() && is_about("version")) {
        return Some("`tolerate: [odd_status_lines]` accepts some");
    }
    if http.is_parse() && is_about("header") {
        return Some(
            "`tolerate: [folded_fields]` accepts a field of several lines, `tolerate: [invalid_fields]` drops an invalid one",
        );
    }
    let mut cause = error.source();
    while let Some(error) = cause {
        // TLS alone says so: TCP just ends.
        if error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::UnexpectedEof)
        {
            return Some(
                "`tolerate: [missing_close_notify]` accepts this at the end of a body that only the close ends",
            );
        }
        if let Some(error) = error.downcast_ref::<h2::Error>()
            && error.is_library()
            && error.reason() == Some(h2::Reason::PROTOCOL_ERROR)
        {
            return Some("not valid HTTP/2, or a head above `max_response_head`");
        }
        cause = error.source();
    }
    None
}
