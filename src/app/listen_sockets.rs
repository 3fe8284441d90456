//! Listening sockets: those that are open already, from the process before or from the service manager, and else new
//! ones.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::Path;

use super::startup_check::{no_address, no_socket};
use crate::config::{Config, Problems};
use crate::gateway::connection::listener_view::ListenerView;
use crate::server::admin::admin_socket::socket_file;
use crate::server::upgrade::{Role, Sockets};
use crate::server::{self, Listener};
use anyhow::bail;

/// All places at which a process listens.
pub(super) struct Places {
    given: Sockets,
    /// All sockets, for the process after this one.
    pub(super) held: Sockets,
    /// The addresses of the listeners.
    pub(super) addresses: Vec<SocketAddr>,
    /// The listeners without their sockets, for explanations.
    pub(super) views: Vec<ListenerView>,
    /// The sockets of each worker.
    pub(super) per_worker: Vec<Vec<(TcpListener, Listener)>>,
}

impl Places {
    /// For so many workers.
    pub(super) fn new(given: Sockets, workers: usize) -> Self {
        let per_worker = (0..workers).map(|_| Vec::new()).collect();
        Self { given, held: Sockets::default(), addresses: Vec::new(), views: Vec::new(), per_worker }
    }

    /// A listener for callers.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub(super) fn listen(&mut self, config: &Config, number: usize, mut listener: Listener) -> anyhow::Result<()> {
        let (address, workers) = (listener.address, self.per_worker.len());
        let mut sockets = self.given.take(Role::Callers, address)?;
        if sockets.is_empty() {
            sockets = server::bind(address, workers).map_err(|error| {
                Problems::from(no_address(config, &format!("listen[{number}].address"), address, &error))
            })?;
        }
        self.held.hold(Role::Callers, address, &sockets)?;
        if let Some(socket) = sockets.first() {
            listener.address = socket.local_addr()?;
        }
        self.addresses.push(listener.address);
        self.views.push(listener.view());
        for (worker, sockets) in self.per_worker.iter_mut().zip(server::deal(sockets, workers)?) {
            worker.extend(sockets.into_iter().map(|socket| (socket, listener.clone())));
        }
        Ok(())
    }

    /// The operators' TCP socket.
    ///
    /// # Errors
    /// The address cannot be bound.
    pub(super) fn admin(&mut self, config: &Config, address: SocketAddr) -> anyhow::Result<TcpListener> {
        let socket = match self.given.take(Role::Operators, address)?.pop() {
            Some(socket) => socket,
            None => server::bind_alone(address)
                .map_err(|error| Problems::from(no_address(config, "admin.address", address, &error)))?,
        };
        self.held.hold(Role::Operators, address, std::slice::from_ref(&socket))?;
        Ok(socket)
    }

    /// The operators' Unix socket.
    ///
    /// # Errors
    /// The socket cannot be bound.
    pub(super) fn operators(&mut self, config: &Config, path: &Path) -> anyhow::Result<UnixListener> {
        let socket = match self.given.unix.take() {
            Some(socket) => socket,
            None => socket_file::bind(path).map_err(|error| Problems::from(no_socket(config, path, &error)))?,
        };
        self.held.unix = Some(socket.try_clone()?);
        Ok(socket)
    }

    /// Makes sure that no socket of the service manager is without a meaning: callers would wait there for ever. What
    /// the process before this one had and this one has not is closed with it.
    ///
    /// # Errors
    /// There is one.
    pub(super) fn nothing_is_left(&self, is_upgrade: bool) -> anyhow::Result<()> {
        match self.given.left().first() {
            Some(address) if !is_upgrade => {
                bail!(
                    "the service manager listens on {address}, and neither `listen[].address` nor `admin.address` is \
                     that: change one of them"
                )
            }
            _ => Ok(()),
        }
    }
}
