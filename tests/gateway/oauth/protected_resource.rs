//! Metadata of protected resources (RFC 9728).
