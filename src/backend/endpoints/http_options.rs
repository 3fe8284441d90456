//! How HTTP is spoken with the servers of a backend: spelling of header names, and what is accepted of responses.

/// HTTP options of the servers of a backend.
#[derive(Debug, Clone)]
pub struct HttpOptions {
    /// HTTP/1.1: write header names as `Content-Type`.
    pub title_case: bool,
    /// HTTP/1.1: exact spelling of these header names.
    pub header_names: Vec<String>,
    /// HTTP/1.1: faults of responses that are accepted.
    pub tolerated: Vec<ResponseFault>,
    /// HTTP/1.1: most header fields of a response.
    pub max_response_fields: usize,
    /// Largest head of a response, in bytes.
    pub max_response_head: usize,
}

/// Fault of an HTTP/1.1 response that can be accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResponseFault {
    /// A field that goes on in the next line.
    FoldedField,
    /// A line that is no field.
    InvalidField,
    /// A status line with another letter case, other blanks or control bytes.
    OddStatusLine,
    /// TLS without close_notify at the end of a body that only the close ends.
    MissingCloseNotify,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self {
            title_case: false,
            header_names: Vec::new(),
            tolerated: Vec::new(),
            max_response_fields: 100,
            max_response_head: 64 * 1024,
        }
    }
}

impl HttpOptions {
    /// True if a response with this fault is accepted.
    pub(in crate::backend) fn tolerates(&self, fault: ResponseFault) -> bool {
        self.tolerated.contains(&fault)
    }

    /// True if bytes are changed on their way to or from the HTTP library.
    pub(in crate::backend) fn need_a_filter(&self) -> bool {
        !self.header_names.is_empty() || !self.tolerated.is_empty()
    }
}

impl ResponseFault {
    /// Number of faults.
    pub(in crate::backend) const COUNT: usize = 4;

    /// Value of `tolerated` in the log: as in the configuration.
    pub(in crate::backend) fn as_str(self) -> &'static str {
        match self {
            Self::FoldedField => "folded_fields",
            Self::InvalidField => "invalid_fields",
            Self::OddStatusLine => "odd_status_lines",
            Self::MissingCloseNotify => "missing_close_notify",
        }
    }
}
