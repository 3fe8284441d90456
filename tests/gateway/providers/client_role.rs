//! System tokens of the company's provider: `trusted_issuers[].for`.
