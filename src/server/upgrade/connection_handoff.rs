//! Hand-off of connections to the process that has taken over, each once it is idle.

use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

use super::{Departure, PeerInfo};
use crate::gateway::connection::Connection;
use crate::server::Listener;
use crate::socket::Socket;

/// Lingering close of a connection.
const LINGER: Duration = Duration::from_secs(1);

/// Connection on its way from one process to another.
pub struct Departed(pub Departure, pub OwnedFd);

/// Rest of the work in this process for a connection that has left.
type Pipe = Pin<Box<dyn Future<Output = ()>>>;

/// Stream that another process can continue.
pub(in crate::server) trait Leaving: AsyncRead + AsyncWrite + Sized + Unpin + 'static {
    /// True for a TCP connection itself.
    const IS_TCP: bool;

    /// File descriptor for the other process, and the rest of the work here.
    ///
    /// # Errors
    /// If there is no file descriptor left.
    fn leave(self) -> io::Result<(OwnedFd, Option<Pipe>)>;

    /// Ready once there is something to read, or an end, behind a read that found nothing.
    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>>;
}

impl Leaving for Socket {
    const IS_TCP: bool = true;

    fn leave(self) -> io::Result<(OwnedFd, Option<Pipe>)> {
        Ok((self.0.into_std()?.into(), None))
    }

    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_read_ready(context)
    }
}

impl Leaving for UnixStream {
    const IS_TCP: bool = false;

    fn leave(self) -> io::Result<(OwnedFd, Option<Pipe>)> {
        Ok((self.into_std()?.into(), None))
    }

    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_read_ready(context)
    }
}

impl Leaving for TlsStream<Socket> {
    const IS_TCP: bool = false;

    /// TLS state cannot move to another process: this one keeps the TLS session, and pipes the plain bytes.
    fn leave(self) -> io::Result<(OwnedFd, Option<Pipe>)> {
        let (ours, theirs) = UnixStream::pair()?;
        Ok((theirs.into_std()?.into(), Some(Box::pin(pipe(self, ours)))))
    }

    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_ref().0.poll_readable(context)
    }
}

/// Pipes bytes both ways until the other process has ended the connection.
async fn pipe(caller: TlsStream<Socket>, process: UnixStream) {
    let (mut from_caller, mut to_caller) = tokio::io::split(caller);
    let (mut from_process, mut to_process) = process.into_split();
    let mut up = pin!(async {
        let _ = tokio::io::copy(&mut from_caller, &mut to_process).await;
        let _ = to_process.shutdown().await;
    });
    let mut down = pin!(async {
        let _ = tokio::io::copy(&mut from_process, &mut to_caller).await;
        let _ = to_caller.shutdown().await;
    });
    tokio::select! {
        () = &mut up => down.await,
        // What the caller still sends is taken for a while: a reset would take the last answer with it.
        () = &mut down => drop(timeout(LINGER, up).await),
    }
}

/// Sends an idle connection to the process that has taken over.
pub(in crate::server) async fn depart<Stream: Leaving>(
    stream: Stream,
    connection: &Connection,
    listener: &Listener,
    departures: &mpsc::UnboundedSender<Departed>,
) {
    let departure = Departure {
        address: connection.source().address,
        secure: connection.source().secure,
        listener: listener.address,
        is_tcp: Stream::IS_TCP,
        shown: connection.shown().map(PeerInfo::of),
    };
    match stream.leave() {
        Ok((stream, pipe)) => {
            let _ = departures.send(Departed(departure, stream));
            if let Some(pipe) = pipe {
                pipe.await;
            }
        }
        Err(error) => tracing::warn!(%error, "connection hand-off to the new process failed"),
    }
}
