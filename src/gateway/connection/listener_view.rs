//! A listener, as explanations need it: what is asked of it comes from no socket.

use std::net::SocketAddr;
use std::sync::Arc;

use super::ConnectionLimits;
use super::listener_settings::CurrentSettings;

/// A listener without its sockets.
#[derive(Clone)]
pub struct ListenerView {
    /// Its address.
    pub address: SocketAddr,
    /// It has TLS.
    pub secure: bool,
    /// Its settings in force.
    pub(crate) settings: Arc<CurrentSettings>,
    /// Its limits in force.
    pub(crate) limits: Arc<dyn Fn() -> Arc<ConnectionLimits> + Send + Sync>,
}
