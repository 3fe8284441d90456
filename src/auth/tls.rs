//! Client certificates (mutual TLS): read, checked against the CAs and CRLs of a listener, and held to the client that they name.

pub mod certificate;
pub mod peer;
pub mod subject;
pub mod trust;
