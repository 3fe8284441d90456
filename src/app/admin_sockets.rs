//! The operators' sockets: TCP for metrics and probes, Unix for commands.

use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::sync::Arc;

use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};

use crate::gateway::Shared;
use crate::server::Phase;
use crate::server::admin::admin_http;
use crate::server::admin::admin_socket::{self, Wish};
use crate::server::admin::status::StatusBoard;
use crate::server::upgrade::lock_owner::Owner;

/// Both, bound.
pub(super) struct AdminSockets {
    pub(super) tcp: TcpListener,
    pub(super) unix: UnixListener,
}

impl AdminSockets {
    /// Serves them on `control`; returns the operators' wishes about the process as a whole.
    ///
    /// # Errors
    /// The runtime does not take a socket.
    pub(super) fn serve(
        self,
        control: &Runtime,
        owner: &Owner,
        shared: &Arc<Shared>,
        phase: watch::Receiver<Phase>,
    ) -> anyhow::Result<mpsc::Receiver<Wish>> {
        let (wishing, wishes) = mpsc::channel(4);
        let _guard = control.enter();
        let tcp = tokio::net::TcpListener::from_std(self.tcp)?;
        let board = StatusBoard::start(control.handle(), Arc::clone(shared), phase.clone());
        let (of_tcp, wishing_there) = (Arc::clone(&board), wishing.clone());
        control.spawn(admin_http::serve(tcp, Arc::clone(shared), of_tcp, wishing_there, phase.clone()));
        let unix = tokio::net::UnixListener::from_std(self.unix)?;
        control.spawn(admin_socket::serve(unix, owner.clone(), Arc::clone(shared), board, wishing, phase));
        Ok(wishes)
    }
}
