//! Compiled route: all settings for a request once its path is known.

pub(super) mod compiler;
pub mod enforcement;
pub mod own_addresses;
pub mod weighted;

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, Method};

use super::api_description::ApiDescription;
use super::caller_networks::CallerNetworks;
use super::cors::Cors;
use super::direct_response::DirectResponse;
use super::error_bodies::ErrorBodies;
use super::field_rules::FieldRules;
use super::matchers::Matchers;
use super::path::NonCanonical;
use super::path_placement::PathPlacement;
use super::response::ResponseRules;
use super::rewrite::Rewrite;
use crate::auth::{CustomerTokenSource, Requirements};
use crate::backend::Backend;
use crate::config::raw::{Per, RateLimit, Requirement, Retry, StatusMatch};
use crate::customer::Deriver;
use crate::fields::FieldSet;
use crate::json_body::Pointer;
use crate::parameters::ParameterName;
use enforcement::Enforcement;
use own_addresses::OwnAddresses;
use weighted::WeightedBackends;

/// A compiled route.
pub struct Route {
    /// Its name.
    pub name: Arc<str>,
    /// The methods that it takes.
    pub methods: Vec<Method>,
    /// Conditions by which it differs from others of its path.
    pub matchers: Option<Box<Matchers>>,
    /// The networks of its callers, where they are bounded.
    pub networks: Option<Box<CallerNetworks>>,
    /// Requirements on callers.
    pub requirements: Requirements,
    /// Whose refusals are carried out.
    pub enforcement: Enforcement,
    /// Placement of the identifier in requests.
    pub placement: Option<Placement>,
    /// The header of what the customer was called before a rotation of the key.
    pub previous_header: HeaderName,
    /// Makes the identifiers that only this backend gets.
    pub pairwise: Option<Arc<Deriver>>,
    /// Sends the company's own key of the customer instead.
    pub send_subject: bool,
    /// The backend: where there are several, one of them (see [`Route::weighted`]); one without servers where the gateway
    /// answers itself.
    pub backend: Arc<Backend>,
    /// The backends, where there are several.
    pub weighted: Option<Box<WeightedBackends>>,
    /// The gateway's own response.
    pub direct: Option<Box<DirectResponse>>,
    /// Bodies of refusals: its own, then those of all routes.
    pub errors: Option<Arc<ErrorBodies>>,
    /// Rate limit of one caller.
    pub rate: Option<CallLimit>,
    /// The largest body, where it is not the listener's.
    pub body_limit: Option<u64>,
    /// The backend's time to answer.
    pub timeout: Duration,
    /// Requests that may be retried.
    pub retry: Retry,
    /// Retries after responses of some statuses.
    pub retry_on: Option<Box<StatusRetry>>,
    /// Credentials of the caller that are forwarded.
    pub forward: Vec<Requirement>,
    /// Forwards 401 responses of the backend.
    pub pass_unauthorized: bool,
    /// Content types of bodies, in lower case; empty: any.
    pub content_types: Vec<String>,
    /// Cookies of ours, which the backend does not see.
    pub own_cookies: Vec<String>,
    /// The cookie of a login, which backends cannot set.
    pub session_cookie: Option<Box<str>>,
    /// Fields of callers that do not reach its backend.
    pub stripped: Arc<FieldSet>,
    /// Header rules of requests.
    pub request_fields: Option<Box<FieldRules>>,
    /// Header rules of responses.
    pub response_fields: Option<Box<FieldRules>>,
    /// Adds security headers to responses.
    pub security_headers: bool,
    /// CORS rules.
    pub cors: Option<Arc<Cors>>,
    /// The address of its metadata, for challenges (RFC 9728 section 5.1).
    pub metadata_address: Option<Box<str>>,
    /// Filter of JSON responses.
    pub response: Option<Box<ResponseRules>>,
    /// Non-canonical forms that its paths may have.
    pub allowed_in_path: NonCanonical,
    /// Rewrite of the path for the backend.
    pub rewrite: Option<Rewrite>,
    /// The addresses of the backend that callers do not see in redirects and cookies.
    pub own_addresses: Option<Box<OwnAddresses>>,
    /// Bounds on its WebSockets, where it has them.
    pub websocket: Option<Websocket>,
    /// The company's description of it, where requests or responses depend on that.
    pub description: Option<Box<RouteDescription>>,
}

/// The company's description of a route.
#[derive(Debug)]
pub struct RouteDescription {
    /// The description.
    pub api: Arc<ApiDescription>,
    /// A server behind may take paths for one that differ in letter case.
    pub ignores_case: bool,
    /// Requests are held against it.
    pub validates: bool,
    /// True if the responses of no operation are looked at but for what is removed from them.
    pub only_removes: bool,
}

/// Retries after responses of some statuses.
#[derive(Debug)]
pub struct StatusRetry {
    /// The statuses.
    pub statuses: Vec<StatusMatch>,
    /// How many times more a request is sent, at most.
    pub attempts: u32,
    /// The pause before the first of them.
    pub backoff: Duration,
}

/// Bounds on a WebSocket.
#[derive(Debug, Clone, Copy)]
pub struct Websocket {
    /// Idle timeout.
    pub idle: Duration,
    /// Longest lifetime.
    pub lifetime: Duration,
    /// Interval of checks of its caller.
    pub recheck: Duration,
}

/// Placement of the identifier.
#[derive(Debug)]
pub enum Placement {
    /// Into a header.
    Header(HeaderName),
    /// Into a member of the JSON body.
    Body(Pointer),
    /// Into a parameter of a form.
    Form(ParameterName),
    /// Into a parameter of the query.
    Query(QueryParameter),
    /// Into the path.
    Path(PathPlacement),
}

/// A parameter of the query, by which a backend knows the customer.
#[derive(Debug)]
pub struct QueryParameter {
    /// Its name.
    pub name: ParameterName,
    /// The member of a JSON body that some frameworks merge with it.
    pub member: Pointer,
}

/// Rate limit of a route.
#[derive(Debug)]
pub struct CallLimit {
    /// Rate and burst.
    pub limit: RateLimit,
    /// The part of the caller that is counted; `None`: the client, else the API key, else the customer, else the
    /// address.
    pub per: Option<Per>,
    /// All replicas count together.
    pub shared: bool,
}

impl Route {
    /// Returns whether the whole body must be read before the check or the forwarding, at least to one of its backends.
    pub fn reads_body(&self) -> bool {
        matches!(self.placement, Some(Placement::Body(_) | Placement::Form(_)))
            || self.reads_token_from_body()
            || self.description.as_ref().is_some_and(|description| description.validates)
            || self.backend.backend_assertion.as_ref().is_some_and(|assertion| assertion.covers_body)
            || self.weighted.as_ref().is_some_and(|backends| backends.iter().any(|(_, route)| route.reads_body()))
    }

    /// Returns whether the identifier goes into the path or the query.
    pub fn is_told_in_target(&self) -> bool {
        matches!(self.placement, Some(Placement::Query(_) | Placement::Path(_)))
    }

    /// Returns whether the customer's token may stand in the body.
    pub fn reads_token_from_body(&self) -> bool {
        self.requirements.customer_token_sources.iter().any(|place| matches!(place, CustomerTokenSource::Body(_)))
    }
}
