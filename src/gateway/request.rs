//! A request head, read strictly, becomes a [`call::Call`]: host, target, content type and request id in the one form
//! in which all later steps see them.

pub(crate) mod buffering;
pub(crate) mod call;
pub(crate) mod content_type;
mod explained_route;
pub(crate) mod head;
pub(crate) mod request_id;
pub(crate) mod target;
pub(crate) mod validation;
