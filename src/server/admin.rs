//! The operators' API: HTTP on its own listener, and a Unix socket for changes to logins.

mod accept;
pub mod admin_http;
pub mod admin_socket;
pub mod key_versions;
pub(super) mod readiness;
pub mod status;
