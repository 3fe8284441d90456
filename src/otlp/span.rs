//! Spans as they wait for the collector.

use std::borrow::Cow;
use std::sync::Arc;

/// One span, ended.
#[derive(Debug, Clone)]
pub struct Span {
    /// The trace.
    pub trace_id: u128,
    /// The span.
    pub id: u64,
    /// The span above it; 0 for none.
    pub parent: u64,
    /// Its name, from a closed set.
    pub name: Cow<'static, str>,
    /// Its kind.
    pub kind: SpanKind,
    /// Its start, in nanoseconds since 1970.
    pub start: u64,
    /// Its end, in nanoseconds since 1970.
    pub end: u64,
    /// Attributes: names of the semantic conventions, or `wicketgate.*`.
    pub attributes: Vec<(&'static str, SpanValue)>,
    /// The reason, where it failed.
    pub error: Option<&'static str>,
}

/// Kind of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpanKind {
    /// Work inside the gateway.
    Internal,
    /// A request that is answered.
    Server,
    /// A request that is sent.
    Client,
}

/// Value of an attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpanValue {
    /// A word of a closed set.
    Word(&'static str),
    /// A configured name.
    Name(Arc<str>),
    /// A number.
    Number(i64),
}
