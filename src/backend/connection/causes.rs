//! Errors of the HTTP library as the log gives them: with their causes, and with what the configuration can do about them.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::io;

use crate::backend::Failure;
use crate::backend::endpoints::http_options::{HttpOptions, ResponseFault};
use crate::backend::fault::{Doing, ServerFault};

/// Displays an error with its chain of sources, and with the key of the configuration that would accept it.
pub(in crate::backend) struct Causes<'a> {
    error: &'a (dyn Error + 'static),
    options: &'a HttpOptions,
    /// True if only the end of the TLS connection ends the body that was read.
    ends_by_close: bool,
}

impl<'a> Causes<'a> {
    /// An error of a connection with these options.
    pub(in crate::backend) fn new(error: &'a (dyn Error + 'static), options: &'a HttpOptions) -> Self {
        Self { error, options, ends_by_close: false }
    }

    /// An error in the body of a response; `ends_by_close` is true if only the end of the TLS connection ends it.
    pub(in crate::backend) fn in_body(self, ends_by_close: bool) -> Self {
        Self { ends_by_close, ..self }
    }

    /// The failure of an attempt with these causes.
    pub(in crate::backend) fn fault(&self, failure: Failure, doing: Doing) -> ServerFault {
        ServerFault::new(failure, doing, self, self.phrase())
    }

    /// What the server did, in a phrase of ours.
    pub(in crate::backend) fn phrase(&self) -> Cow<'static, str> {
        let http = self.error.downcast_ref::<hyper::Error>();
        if let Some(phrase) = http.and_then(of_head) {
            return phrase.into();
        }
        std::iter::once(self.error).chain(self.sources()).find_map(of_cause).unwrap_or("connection broke".into())
    }

    fn sources(&self) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
        std::iter::successors(self.error.source(), |&error| error.source())
    }

    /// What the configuration of the backend can do about it.
    fn remedy(&self) -> Option<String> {
        let http = self.error.downcast_ref::<hyper::Error>()?;
        // The library tells these apart by their text only, and nothing but this hint hangs on it.
        let is_about = |what| http.to_string().contains(what);
        if http.is_parse_too_large() {
            let (fields, size) = (self.options.max_response_fields, self.options.max_response_head);
            return Some(format!(
                "above {fields} fields (`max_response_fields`) or {size} bytes (`max_response_head`)"
            ));
        }
        if http.is_parse_status() || (http.is_parse() && is_about("version")) {
            return Some(self.keys(&[(
                ResponseFault::OddStatusLine,
                "accepts another letter case, other blanks and control bytes, but no other version and no missing status line",
            )]));
        }
        if http.is_parse() && is_about("header") {
            return Some(self.keys(&[
                (ResponseFault::FoldedField, "accepts a field of several lines, but not as the first"),
                (ResponseFault::InvalidField, "drops an invalid one"),
            ]));
        }
        if http.is_parse() {
            return Some(NO_KEY.to_owned());
        }
        self.sources().find_map(|error| self.remedy_of_cause(error))
    }

    fn remedy_of_cause(&self, error: &(dyn Error + 'static)) -> Option<String> {
        // Of TLS alone: TCP just ends.
        let is_early_end =
            error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::UnexpectedEof);
        if is_early_end && self.ends_by_close {
            let what = "accepts this at the end of a body that only the close ends";
            return Some(self.keys(&[(ResponseFault::MissingCloseNotify, what)]));
        }
        let error = error.downcast_ref::<h2::Error>()?;
        let is_protocol = error.is_library() && error.reason() == Some(h2::Reason::PROTOCOL_ERROR);
        is_protocol.then(|| "not valid HTTP/2, or a head above `max_response_head`".to_owned())
    }

    /// Those of these faults that could still be tolerated, with what that does.
    fn keys(&self, faults: &[(ResponseFault, &str)]) -> String {
        let unset = faults.iter().filter(|(fault, _)| !self.options.tolerates(*fault));
        let keys: Vec<String> = unset.map(|(fault, what)| format!("`tolerate: [{}]` {what}", fault.as_str())).collect();
        if keys.is_empty() { NO_KEY.to_owned() } else { keys.join(", ") }
    }
}

/// The phrase of an error in a response head.
fn of_head(error: &hyper::Error) -> Option<&'static str> {
    if error.is_parse_too_large() {
        return Some("response head too large");
    }
    if error.is_parse_status() {
        return Some("invalid status line");
    }
    if error.is_parse() {
        return Some("invalid response head");
    }
    error.is_incomplete_message().then_some("closed without a response")
}

/// The phrase of an error of the connection.
fn of_cause(error: &(dyn Error + 'static)) -> Option<Cow<'static, str>> {
    if let Some(error) = error.downcast_ref::<h2::Error>() {
        let reason = error.reason()?;
        let what = if error.is_go_away() { "GOAWAY" } else { "stream reset" };
        return Some(format!("HTTP/2 {what}: {}", reason.description()).into());
    }
    let phrase = match error.downcast_ref::<io::Error>()?.kind() {
        io::ErrorKind::ConnectionReset => "connection reset",
        io::ErrorKind::BrokenPipe => "closed while the request was sent",
        io::ErrorKind::UnexpectedEof => "closed early",
        io::ErrorKind::TimedOut => "connection timed out",
        _ => return None,
    };
    Some(phrase.into())
}

/// Where all that could help is set.
const NO_KEY: &str = "no key accepts this";

impl fmt::Display for Causes<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.error)?;
        for cause in self.sources() {
            write!(formatter, ": {cause}")?;
        }
        match self.remedy() {
            Some(remedy) => write!(formatter, "; {remedy}"),
            None => Ok(()),
        }
    }
}
