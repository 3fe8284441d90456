//! Rate limits, quotas and shares per caller: a caller and a route come in; permission or a 429 with `RateLimit` fields goes out.

pub(crate) mod apply;
pub(crate) mod caller_share;
pub(crate) mod gcra;
pub(crate) mod keys;
