//! A route, compiled: everything that is decided about a request once its path is known.

pub(super) mod compiler;

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, Method};

use super::cors::Cors;
use super::field_rules::FieldRules;
use super::path::Odd;
use super::response::ResponseRules;
use super::rewrite::Rewrite;
use crate::auth::{CustomerTokenSource, Demand};
use crate::backend::Backend;
use crate::config::raw::{Per, RateLimit, Requirement, Retry};
use crate::customer::Deriver;
use crate::fields::FieldSet;
use crate::json_body::Pointer;

/// Something that may be called.
pub struct Route {
    /// Its name.
    pub name: Arc<str>,
    /// The methods that it takes.
    pub methods: Vec<Method>,
    /// What it demands.
    pub demand: Demand,
    /// Refusals are carried out; otherwise they are only counted.
    pub enforce: bool,
    /// Where the identifier goes.
    pub placement: Option<Placement>,
    /// The header of what the customer was called before a rotation of the key.
    pub previous_header: HeaderName,
    /// Makes the identifiers that only this backend gets.
    pub pairwise: Option<Arc<Deriver>>,
    /// Whether the customer's own key goes there instead.
    pub send_subject: bool,
    /// Who answers.
    pub backend: Arc<Backend>,
    /// How often one caller may call, and who is counted.
    pub rate: Option<CallLimit>,
    /// The largest body, where it is not the listener's.
    pub body_limit: Option<u64>,
    /// The backend's time to answer.
    pub timeout: Duration,
    /// What may be sent twice.
    pub retry: Retry,
    /// Which of the caller's credentials the backend sees.
    pub forward: Vec<Requirement>,
    /// Whether a 401 of the backend is passed on.
    pub pass_unauthorized: bool,
    /// Content types of bodies, in lower case; empty: any.
    pub content_types: Vec<String>,
    /// Cookies of ours, which the backend does not see.
    pub own_cookies: Vec<String>,
    /// The cookie of a login, which backends cannot set.
    pub session_cookie: Option<Box<str>>,
    /// Fields of callers that do not reach its backend.
    pub stripped: Arc<FieldSet>,
    /// What changes in the fields of requests.
    pub request_fields: Option<Box<FieldRules>>,
    /// What changes in the fields of responses.
    pub response_fields: Option<Box<FieldRules>>,
    /// Whether browsers are told to be careful with responses.
    pub security_headers: bool,
    /// What browsers are told about pages of other origins.
    pub cors: Option<Arc<Cors>>,
    /// What of JSON responses passes.
    pub response: Option<Box<ResponseRules>>,
    /// What may stand in its paths.
    pub allowed_in_path: Odd,
    /// How the path is changed for the backend.
    pub rewrite: Option<Rewrite>,
    /// Bounds on its WebSockets, where it has them.
    pub websocket: Option<Websocket>,
}

/// Bounds on a WebSocket.
#[derive(Debug, Clone, Copy)]
pub struct Websocket {
    /// How long nothing may move.
    pub idle: Duration,
    /// How long it may last.
    pub lifetime: Duration,
    /// How often its caller is checked again.
    pub recheck: Duration,
}

/// Where the identifier goes.
#[derive(Debug)]
pub enum Placement {
    /// Into a header.
    Header(HeaderName),
    /// Into a member of the JSON body.
    Body(Pointer),
}

/// How often a route may be called.
#[derive(Debug)]
pub struct CallLimit {
    /// How often.
    pub limit: RateLimit,
    /// By whom.
    pub per: Option<Per>,
    /// Whether all replicas count together.
    pub shared: bool,
}

impl Route {
    /// Whether the body must be at hand before the caller is checked or forwarded.
    pub fn reads_body(&self) -> bool {
        matches!(self.placement, Some(Placement::Body(_)))
            || self.reads_token_from_body()
            || self.backend.backend_assertion.as_ref().is_some_and(|assertion| assertion.covers_body)
    }

    /// Whether the customer's token may stand in the body.
    pub fn reads_token_from_body(&self) -> bool {
        self.demand.customer_token_sources.iter().any(|place| matches!(place, CustomerTokenSource::Body(_)))
    }
}
