//! Opaque tokens, introspected at their issuer (RFC 7662).
