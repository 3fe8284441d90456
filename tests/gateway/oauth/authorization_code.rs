//! The authorization code grant with PKCE.
