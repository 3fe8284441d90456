//! OIDC back-channel logout.
