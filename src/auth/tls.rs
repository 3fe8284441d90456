//! Client certificates (mutual TLS): parsed, verified against the CAs and CRLs of a listener, and matched with the
//! client that they name.

pub mod certificate;
pub mod client_authority;
pub mod peer;
pub mod subject;
pub mod trust;
