//! The JWT bearer grant (RFC 7523).
