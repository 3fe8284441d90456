//! Certificates and TLS of old servers.
