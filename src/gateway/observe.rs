//! What is known about a request afterwards: one record, which is one line of the access log and one set of counts.

pub mod access_log;
pub(crate) mod record;
