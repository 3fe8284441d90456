//! `access_token.claims`, and a CA per client.
