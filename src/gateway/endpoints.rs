//! The gateway's own endpoints: login, logout, OAuth 2.0 and the issuer's public documents. A call comes in; a response
//! or a refusal goes out.

mod audited;
mod authorization_code;
pub(crate) mod authorization_endpoint;
pub(crate) mod backchannel_logout;
pub(crate) mod client_authentication;
mod customer_token;
pub(crate) mod fair_queue;
pub(crate) mod form;
mod json_answer;
pub(crate) mod lockout;
pub(crate) mod login;
pub(crate) mod logout;
pub(crate) mod options;
pub mod password_hashing;
mod provider_event;
pub(crate) mod refresh;
pub(crate) mod revoke_introspect;
pub(crate) mod security_events;
mod session_cookie;
pub(crate) mod token;
pub(crate) mod well_known;
