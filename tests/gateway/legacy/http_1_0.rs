//! Callers of HTTP/1.0.
