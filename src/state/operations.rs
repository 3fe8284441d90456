//! Operations on the state, one file per noun: each changes the memory and asks the store, and says so only once the store
//! has it. All below names no operation.

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
