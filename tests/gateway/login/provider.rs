//! Logging in at the company's provider: OIDC relying party.
