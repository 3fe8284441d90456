//! Upgrade without loss: a new process takes over sockets, state and connections from the running one.
//!
//! The new process has been started with `--upgrade`. It reads and checks everything first, then asks on the operators'
//! socket, and identifies itself: the old process hands over to the same user, network namespace and configuration file
//! only. The new process gets the listening sockets themselves: closing one would reset the connections in its backlog.
//! Then it asks for the state file, which only one process can have; meanwhile connections wait in the kernel. Until
//! the new process reports that it serves, the old one can go on as if nothing had happened. Afterwards each connection
//! goes over too, once it has no request in flight.

pub mod connection_handoff;
pub mod lock_owner;

use std::io::{self, IoSlice, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rustix::io::FdFlags;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, Interest};

use crate::auth::tls::peer::Peer;
use crate::auth::tls::trust::ClientTrustStore;
use crate::gateway::connection::TlsClientInfo;
use lock_owner::Owner;

/// `Upgrade` protocol on the operators' socket.
pub const PROTOCOL: &str = "wicketgate-handover";

/// Request header with the identity of the new process.
pub const SUCCESSOR: &str = "wicketgate-successor";

/// Longest wait for a step of the other process: a large state takes seconds to read.
const PATIENCE: Duration = Duration::from_secs(60);
/// Longest wait for the first answer of the old process.
const GREETING: Duration = Duration::from_secs(3);
/// Most bytes of a message: a handshake carries at most 64 KiB of certificates.
const MAX_MESSAGE: usize = 128 * 1024;

/// Kind of listener that a socket belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Role {
    /// Listener for callers.
    Callers,
    /// Operators' TCP listener.
    Operators,
}

/// Listening sockets: of this process, of the one before it, or of the service manager.
#[derive(Default)]
pub struct Sockets {
    held: Vec<Held>,
    /// Operators' Unix socket.
    pub unix: Option<UnixListener>,
}

struct Held {
    /// `None`: any.
    role: Option<Role>,
    /// Address as configured, perhaps with port 0.
    configured: SocketAddr,
    socket: TcpListener,
}

/// Metadata of a connection that goes over to the new process.
#[derive(Debug, Serialize, Deserialize)]
pub struct Departure {
    /// Caller's address.
    pub address: IpAddr,
    /// True for TLS, which ends in the process that accepted the connection.
    pub secure: bool,
    /// Address of its listener.
    pub listener: SocketAddr,
    /// True if the TCP connection itself goes over; false for a pipe to it.
    pub is_tcp: bool,
    /// Client certificate, where the listener asks for one.
    pub shown: Option<PeerInfo>,
}

/// Client certificate and SNI of a handshake, for another process.
#[derive(Debug, Serialize, Deserialize)]
pub struct PeerInfo {
    server_name: Option<String>,
    /// Certificate chain, as DER in base64.
    pub(super) chain: Vec<String>,
}

impl PeerInfo {
    pub(super) fn of(shown: &TlsClientInfo) -> Self {
        let chain = shown.peer.iter().flat_map(Peer::chain).map(|der| BASE64.encode(der)).collect();
        Self { server_name: shown.server_name.as_deref().map(str::to_owned), chain }
    }

    /// The same in this process. The certificate is verified here before any response.
    pub(super) fn shown(&self, store: &Arc<ClientTrustStore>) -> TlsClientInfo {
        let chain: Vec<_> = self.chain.iter().filter_map(|der| Some(BASE64.decode(der).ok()?.into())).collect();
        let peer = Peer::again(&chain, Arc::clone(store));
        TlsClientInfo { server_name: self.server_name.as_deref().map(Into::into), peer }
    }
}

#[derive(Debug, Serialize, Deserialize)]
enum Message {
    /// From the old process, with a socket each.
    Tcp(Role, SocketAddr),
    Unix,
    /// From the old process: no more sockets.
    Prepare,
    /// From the new process: ready, except for the state file.
    Give,
    /// From the old process: the state file is free.
    Given,
    /// From the new process: it serves; its process id.
    Serving(u32),
    /// From the old process, with a connection.
    Connection(Departure),
}

/// Reason why a takeover failed.
#[derive(Debug, thiserror::Error)]
pub enum HandoverFault {
    /// The other process is gone, or does not answer.
    #[error("the process that ran {0}")]
    Broken(String),
    /// The other process refuses.
    #[error(
        "the state is in use: {0}. It goes on as before; stop it first, or start without --upgrade and with another \
         `state.embedded.path`"
    )]
    Refused(String),
    /// Unexpected message.
    #[error("the other process is of a version that hands over differently: stop the old one first")]
    Confused,
}

impl From<io::Error> for HandoverFault {
    fn from(error: io::Error) -> Self {
        Self::Broken(match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => {
                "has ended in between, or another one has taken over from it: see who runs, and try again".to_owned()
            }
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "does not answer in time".to_owned(),
            _ => format!("broke off: {error}"),
        })
    }
}

impl Sockets {
    /// Sockets from the service manager (`LISTEN_FDS`, see sd_listen_fds(3)).
    ///
    /// # Errors
    /// If one is no listening TCP socket.
    pub fn of_service_manager() -> io::Result<Self> {
        let mut given = listenfd::ListenFd::from_env();
        let mut sockets = Self::default();
        for number in 0..given.len() {
            if let Some(socket) = given.take_tcp_listener(number)? {
                socket.set_nonblocking(true)?;
                sockets.held.push(Held { role: None, configured: socket.local_addr()?, socket });
            }
        }
        Ok(sockets)
    }

    /// Takes all sockets of a configured address.
    ///
    /// # Errors
    /// If the address of a socket cannot be read.
    pub fn take(&mut self, role: Role, configured: SocketAddr) -> io::Result<Vec<TcpListener>> {
        let fits = |held: &Held| held.configured == configured && held.role.is_none_or(|of| of == role);
        // Several listeners may be configured with port 0: each has one address in truth.
        let Some(first) = self.held.iter().find(|held| fits(held)) else { return Ok(Vec::new()) };
        let bound = first.socket.local_addr()?;
        let (taken, left) = std::mem::take(&mut self.held)
            .into_iter()
            .partition(|held| fits(held) && held.socket.local_addr().is_ok_and(|address| address == bound));
        self.held = left;
        Ok(taken.into_iter().map(|held: Held| held.socket).collect())
    }

    /// Addresses of sockets that nobody has taken.
    pub fn left(&self) -> Vec<SocketAddr> {
        self.held.iter().map(|held| held.configured).collect()
    }

    /// Adds copies of the sockets of an address.
    ///
    /// # Errors
    /// If there is no file descriptor left.
    pub fn hold(&mut self, role: Role, configured: SocketAddr, sockets: &[TcpListener]) -> io::Result<()> {
        for socket in sockets {
            self.held.push(Held { role: Some(role), configured, socket: socket.try_clone()? });
        }
        Ok(())
    }
}

/// The running process, as the new one sees it.
pub struct PreviousProcess(UnixStream);

impl PreviousProcess {
    /// Asks the process behind an operators' socket for its sockets; `own` identifies this process. `None` if no
    /// process answers.
    ///
    /// # Errors
    /// If it does not hand over.
    pub fn meet(path: &Path, own: &Owner) -> Result<Option<(Self, Sockets)>, HandoverFault> {
        let Ok(mut stream) = UnixStream::connect(path) else { return Ok(None) };
        lock_owner::vouch(path, &stream)?;
        stream.set_read_timeout(Some(GREETING))?;
        let own = serde_json::to_string(own).map_err(io::Error::from)?;
        write!(
            stream,
            "POST /handover HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: {PROTOCOL}\r\n\
             {SUCCESSOR}: {own}\r\nContent-Length: 0\r\n\r\n"
        )?;
        greeting(&mut stream)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut sockets = Sockets::default();
        loop {
            match receive(&stream)? {
                (Message::Tcp(role, configured), Some(socket)) => {
                    sockets.held.push(Held { role: Some(role), configured, socket: socket.into() });
                }
                (Message::Unix, Some(socket)) => sockets.unix = Some(socket.into()),
                (Message::Prepare, None) => return Ok(Some((Self(stream), sockets))),
                _ => return Err(HandoverFault::Confused),
            }
        }
    }

    /// Waits until the other process has released the state file.
    ///
    /// # Errors
    /// If it does not.
    pub fn give(&self) -> Result<(), HandoverFault> {
        send(&self.0, &Message::Give, None)?;
        match receive(&self.0)? {
            (Message::Given, None) => Ok(()),
            _ => Err(HandoverFault::Confused),
        }
    }

    /// Tells it that this process serves. From then on it sends its connections.
    ///
    /// # Errors
    /// If it is gone.
    pub fn serving(self, mut arrived: impl FnMut(Departure, OwnedFd) + Send + 'static) -> Result<(), HandoverFault> {
        send(&self.0, &Message::Serving(std::process::id()), None)?;
        self.0.set_read_timeout(None)?;
        std::thread::Builder::new().name("handover".to_owned()).spawn(move || {
            while let Ok((Message::Connection(departure), Some(connection))) = receive(&self.0) {
                arrived(departure, connection);
            }
        })?;
        Ok(())
    }
}

/// The new process, as the old one sees it.
pub struct Successor(tokio::net::UnixStream);

impl Successor {
    /// The process at the other end of the operators' socket.
    pub fn new(stream: tokio::net::UnixStream) -> Self {
        Self(stream)
    }

    /// Sends the sockets of this process, and waits until the new one is ready to take over.
    ///
    /// # Errors
    /// If it gives up.
    pub async fn prepare(&mut self, sockets: &Sockets) -> Result<(), HandoverFault> {
        for held in &sockets.held {
            let role = held.role.unwrap_or(Role::Callers);
            self.send(&Message::Tcp(role, held.configured), Some(held.socket.as_fd())).await?;
        }
        if let Some(unix) = &sockets.unix {
            self.send(&Message::Unix, Some(unix.as_fd())).await?;
        }
        self.send(&Message::Prepare, None).await?;
        match self.receive().await? {
            Message::Give => Ok(()),
            _ => Err(HandoverFault::Confused),
        }
    }

    /// Tells it that the state file is free, and waits until it serves; returns its process id.
    ///
    /// # Errors
    /// If it gives up, without having changed anything.
    pub async fn given(&mut self) -> Result<u32, HandoverFault> {
        self.send(&Message::Given, None).await?;
        match self.receive().await? {
            Message::Serving(id) => Ok(id),
            _ => Err(HandoverFault::Confused),
        }
    }

    /// Sends it a connection.
    ///
    /// # Errors
    /// If it is gone.
    pub async fn send_connection(&self, departure: Departure, connection: OwnedFd) -> io::Result<()> {
        self.send(&Message::Connection(departure), Some(connection.as_fd())).await
    }

    async fn send(&self, message: &Message, descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
        let bytes = encoded(message)?;
        let mut sent = self.0.async_io(Interest::WRITABLE, || send_some(&self.0, &bytes, descriptor)).await?;
        while sent < bytes.len() {
            sent += self.0.async_io(Interest::WRITABLE, || send_some(&self.0, &bytes[sent..], None)).await?;
        }
        Ok(())
    }

    async fn receive(&mut self) -> Result<Message, HandoverFault> {
        let receive = async {
            let mut length = [0; 4];
            self.0.read_exact(&mut length).await?;
            let mut bytes = vec![0; checked(length)?];
            self.0.read_exact(&mut bytes).await?;
            Ok(serde_json::from_slice(&bytes).map_err(io::Error::from)?)
        };
        tokio::time::timeout(PATIENCE, receive).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }
}

/// Reads the response to the request for a handover, and not one byte more.
fn greeting(stream: &mut UnixStream) -> Result<(), HandoverFault> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < MAX_MESSAGE {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.extend(byte);
    }
    if head.starts_with(b"HTTP/1.1 101 ") {
        return Ok(());
    }
    let mut body = [0; 1024];
    let length = stream.read(&mut body)?;
    let told: serde_json::Value = serde_json::from_slice(&body[..length]).unwrap_or_default();
    Err(HandoverFault::Refused(told["error"].as_str().unwrap_or("it says nothing more").to_owned()))
}

/// Length in four bytes, and the message. The file descriptor goes with the first byte.
fn encoded(message: &Message) -> io::Result<Vec<u8>> {
    let text = serde_json::to_vec(message)?;
    let length = u32::try_from(text.len()).map_err(io::Error::other)?;
    Ok([&length.to_be_bytes()[..], &text].concat())
}

fn checked(length: [u8; 4]) -> io::Result<usize> {
    let length = u32::from_be_bytes(length) as usize;
    if length > MAX_MESSAGE { Err(io::ErrorKind::InvalidData.into()) } else { Ok(length) }
}

fn send(stream: &UnixStream, message: &Message, descriptor: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let bytes = encoded(message)?;
    let sent = send_some(stream, &bytes, descriptor)?;
    (&*stream).write_all(&bytes[sent..])
}

fn send_some(stream: impl AsFd, bytes: &[u8], descriptor: Option<BorrowedFd<'_>>) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = descriptor.map(|descriptor| [descriptor]);
    if let Some(descriptors) = &descriptors {
        control.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    Ok(rustix::net::sendmsg(stream, &[IoSlice::new(bytes)], &mut control, SendFlags::empty())?)
}

fn receive(stream: &UnixStream) -> io::Result<(Message, Option<OwnedFd>)> {
    let mut length = [0; 4];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = rustix::net::recvmsg(stream, &mut [IoSliceMut::new(&mut length)], &mut control, RecvFlags::empty())?;
    if received.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let descriptor = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
        _ => None,
    });
    if let Some(descriptor) = &descriptor {
        rustix::io::fcntl_setfd(descriptor, FdFlags::CLOEXEC)?;
    }
    (&*stream).read_exact(&mut length[received.bytes..])?;
    let mut bytes = vec![0; checked(length)?];
    (&*stream).read_exact(&mut bytes)?;
    Ok((serde_json::from_slice(&bytes)?, descriptor))
}
