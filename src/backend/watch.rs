//! Background tasks of the control runtime: DNS re-resolution and active health checks of backend servers.

pub mod health_check;
pub(in crate::backend) mod resolve;
