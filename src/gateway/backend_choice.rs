//! The backend of a caller, on a route with several.

use std::sync::Arc;

use super::observe::record::Record;
use super::rate_limit::keys::LimitKey;
use crate::auth::Caller;
use crate::config::raw::Per;
use crate::policy::route::Route;

/// The route as it is to the backend of this caller: the customer decides, else the client, else the API key, else the address.
pub(super) fn for_caller<'r>(route: &'r Route, caller: &Caller, record: &mut Record) -> &'r Route {
    let Some(backends) = &route.weighted else { return route };
    let per = caller.customer.as_ref().map(|_| Per::Customer);
    let route = backends.of(LimitKey::of(per, caller, record.source.address).seed()).unwrap_or(route);
    record.backend = Some(Arc::clone(&route.backend.name));
    route
}
