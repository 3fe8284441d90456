//! One profile per product, and docs/identity-providers.md.
