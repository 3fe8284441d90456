//! The methods of [`State`](super::State), one file per noun: each changes memory and the store, and returns once the
//! store has it. Nothing below names an operation.

mod abandon;
mod backup;
mod expiry;
mod handover;
mod health;
mod lockout;
mod quotas;
mod refresh_tokens;
mod revocations;
mod sessions;
mod used_ids;
