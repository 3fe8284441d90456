//! A caller that sends any bytes over TLS and reads answers strictly.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;

use super::http1::{Fault, Framing, Lines, Wire, framing, parse_head, values};
use super::keys::{self, Pair};
use super::{DEADLINE, backend};

/// What a caller trusts and offers.
pub(crate) fn tls(alpn: &[u8], identity: Option<&Pair>) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(keys::authority().der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(pair) => {
            let chain = CertificateDer::pem_slice_iter(pair.certificate.as_bytes()).map(Result::unwrap).collect();
            let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
    };
    config.alpn_protocols = vec![alpn.to_vec()];
    Arc::new(config)
}

fn usual() -> Arc<ClientConfig> {
    static USUAL: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    Arc::clone(USUAL.get_or_init(|| tls(b"http/1.1", None)))
}

pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Stream {
    fn socket(&self) -> &TcpStream {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => &stream.sock,
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

/// A connection to the gateway.
pub(crate) struct Connection {
    pub(crate) wire: Wire<Stream>,
}

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> Self {
        Self::with(address, usual()).unwrap()
    }

    /// Opens with another TLS configuration; an error is that of the handshake.
    pub(crate) fn with(address: SocketAddr, config: Arc<ClientConfig>) -> std::io::Result<Self> {
        Self::after(address, b"", config)
    }

    /// The same, with these bytes before the handshake.
    pub(crate) fn after(address: SocketAddr, preamble: &[u8], config: Arc<ClientConfig>) -> std::io::Result<Self> {
        let mut socket = tcp(address);
        socket.write_all(preamble)?;
        Self::over(socket, config)
    }

    /// The same over a socket that is connected.
    pub(crate) fn over(mut socket: TcpStream, config: Arc<ClientConfig>) -> std::io::Result<Self> {
        let name = ServerName::try_from("localhost").unwrap();
        let mut session = ClientConnection::new(config, name).map_err(std::io::Error::other)?;
        while session.is_handshaking() {
            session.complete_io(&mut socket)?;
        }
        Ok(Self { wire: Wire::new(Stream::Tls(Box::new(StreamOwned::new(session, socket)))) })
    }

    /// Whether its handshake took up an earlier session.
    pub(crate) fn is_resumed(&self) -> bool {
        match &self.wire.stream {
            Stream::Plain(_) => false,
            Stream::Tls(stream) => stream.conn.handshake_kind() == Some(rustls::HandshakeKind::Resumed),
        }
    }

    /// The certificate that the other side has shown, in DER.
    pub(crate) fn server_certificate(&self) -> Vec<u8> {
        match &self.wire.stream {
            Stream::Plain(_) => Vec::new(),
            Stream::Tls(stream) => stream.conn.peer_certificates().unwrap()[0].to_vec(),
        }
    }

    /// Without TLS.
    pub(crate) fn plain(address: SocketAddr) -> Self {
        Self { wire: Wire::new(Stream::Plain(tcp(address))) }
    }

    /// The same from another address of this machine.
    pub(crate) fn plain_from(source: &str, address: SocketAddr) -> Self {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.bind(&format!("{source}:0").parse::<SocketAddr>().unwrap().into()).unwrap();
        socket.connect(&address.into()).unwrap();
        let socket = TcpStream::from(socket);
        socket.set_read_timeout(Some(DEADLINE)).unwrap();
        Self { wire: Wire::new(Stream::Plain(socket)) }
    }

    pub(crate) fn patience(&self, time: Duration) {
        self.wire.stream.socket().set_read_timeout(Some(time)).unwrap();
    }

    /// Writes; a connection that the other side has closed is not an error, the answer may already be here.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        match &mut self.wire.stream {
            Stream::Plain(socket) => drop(socket.write_all(bytes)),
            Stream::Tls(stream) => drop(stream.write_all(bytes).and_then(|()| stream.flush())),
        }
    }

    /// Writes; an error is that of a connection that the other side has closed.
    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match &mut self.wire.stream {
            Stream::Plain(socket) => socket.write_all(bytes),
            Stream::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        }
    }

    /// Ends our direction without an end of TLS, as a caller does that goes away.
    pub(crate) fn abort(self) {
        self.wire.stream.socket().shutdown(Shutdown::Both).ok();
    }

    /// Ends our direction in good order, and goes on reading.
    pub(crate) fn end_sending(&mut self) {
        match &mut self.wire.stream {
            Stream::Plain(socket) => drop(socket.shutdown(Shutdown::Write)),
            Stream::Tls(stream) => {
                stream.conn.send_close_notify();
                drop(stream.flush());
                drop(stream.sock.shutdown(Shutdown::Write));
            }
        }
    }

    /// Reads the answer to a request of this method.
    pub(crate) fn receive(&mut self, method: &str) -> Result<Response, Fault> {
        let mut interim = Vec::new();
        loop {
            let head = self.wire.head()?;
            let (first, lines) = parse_head(&head).map_err(Fault::Malformed)?;
            let status = status_of(&first).ok_or_else(|| Fault::Malformed(format!("status line {first:?}")))?;
            if (100..200).contains(&status) && status != 101 {
                interim.push(status);
                continue;
            }
            let bodiless = method == "HEAD" || status == 204 || status == 304;
            let close = values(&lines, "connection").iter().any(|v| v.eq_ignore_ascii_case("close"));
            let (body, trailers) = match framing(&lines).map_err(Fault::Malformed)? {
                _ if bodiless => Default::default(),
                Framing::Length(length) => (self.wire.exact(length)?, Lines::new()),
                Framing::Chunked => self.wire.chunked()?,
                Framing::None if close => (self.wire.rest()?, Lines::new()),
                Framing::None => Default::default(),
            };
            return Ok(Response { status, lines, body, trailers, interim, close });
        }
    }

    /// Whether the gateway closes, within the deadline and without another byte.
    pub(crate) fn closes(&mut self) -> bool {
        self.wire.buffer.is_empty() && matches!(self.wire.fill(), Ok(false))
    }

    /// Sends bytes and reads one answer.
    pub(crate) fn exchange(&mut self, bytes: &[u8]) -> Result<Response, Fault> {
        self.send(bytes);
        self.receive("GET")
    }
}

fn tcp(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    socket.set_write_timeout(Some(DEADLINE)).unwrap();
    socket.set_nodelay(true).unwrap();
    socket
}

fn status_of(line: &str) -> Option<u16> {
    let rest = line.strip_prefix("HTTP/1.1 ").or_else(|| line.strip_prefix("HTTP/1.0 "))?;
    rest.get(..3)?.parse().ok()
}

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) lines: Lines,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Lines,
    /// The 1xx answers before it.
    pub(crate) interim: Vec<u16>,
    /// Whether it says `Connection: close`.
    pub(crate) close: bool,
}

impl Response {
    /// The value of a header that stands there at most once.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let all = values(&self.lines, name);
        assert!(all.len() <= 1, "{name} repeated: {:?}", self.lines);
        all.first().copied()
    }

    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        values(&self.lines, name)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e} in {:?}", self.text()))
    }

    /// The code of an error body.
    #[track_caller]
    pub(crate) fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_else(|| panic!("no code in {}", self.text())).to_owned()
    }

    /// The answer has this status and, where one is given, this code; and what every answer must have.
    #[track_caller]
    pub(crate) fn expect(self, status: u16, code: &str) -> Self {
        assert_eq!(self.status, status, "{:?} {}", self.lines, self.text());
        let id = self.header("X-Request-Id").unwrap_or_else(|| panic!("no X-Request-Id: {:?}", self.lines));
        if !code.is_empty() {
            assert_eq!(self.code(), code);
            assert_eq!(self.json()["error"]["requestId"], id);
        }
        match status {
            // An OAuth endpoint asks only those for credentials who sent some in `Authorization` (RFC 6749 section 5.2).
            401 if !self.text().starts_with(r#"{"error":"invalid_client""#) => {
                assert!(!self.all("WWW-Authenticate").is_empty(), "a 401 without WWW-Authenticate: {:?}", self.lines)
            }
            429 => assert!(self.retry_after() >= 1),
            _ => {}
        }
        self
    }

    /// The answer has one of these statuses.
    #[track_caller]
    pub(crate) fn expect_one_of(self, statuses: &[u16]) -> Self {
        assert!(statuses.contains(&self.status), "{}: {:?} {}", self.status, self.lines, self.text());
        self
    }

    /// `Retry-After` in seconds.
    #[track_caller]
    pub(crate) fn retry_after(&self) -> u64 {
        self.header("Retry-After")
            .and_then(|v| v.parse().ok())
            .unwrap_or_else(|| panic!("Retry-After: {:?}", self.lines))
    }

    #[track_caller]
    pub(crate) fn ok(self) -> Self {
        self.expect(200, "")
    }

    /// All bytes of the answer but the status line.
    pub(crate) fn everything(&self) -> String {
        format!("{:?} {}", self.lines, self.text())
    }
}

/// A request in the making.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) address: SocketAddr,
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) lines: Lines,
    pub(crate) body: Option<Vec<u8>>,
}

impl Request {
    pub(crate) fn new(address: SocketAddr, method: &str, target: &str) -> Self {
        let lines = vec![("Host".to_owned(), "localhost".to_owned())];
        Self { address, method: method.into(), target: target.into(), lines, body: None }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.lines.push((name.into(), value.into()));
        self
    }

    /// In place of all lines of this name.
    pub(crate) fn replace(mut self, name: &str, value: &str) -> Self {
        self.lines.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
        self.header(name, value)
    }

    pub(crate) fn drop_header(mut self, name: &str) -> Self {
        self.lines.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = Some(body.into());
        self
    }

    pub(crate) fn form(self, body: &str) -> Self {
        self.header("Content-Type", "application/x-www-form-urlencoded").body(body)
    }

    pub(crate) fn json(self, body: &str) -> Self {
        self.header("Content-Type", "application/json").body(body)
    }

    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("Authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn customer(self, token: &str) -> Self {
        self.header("customer-auth", &format!("JWT {token}"))
    }

    pub(crate) fn api_key(self, key: &str) -> Self {
        self.header("api-key", key)
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{} {} HTTP/1.1\r\n", self.method, self.target).into_bytes();
        for (name, value) in &self.lines {
            bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
        }
        if let Some(body) = &self.body {
            bytes.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(self.body.as_deref().unwrap_or_default());
        bytes
    }

    /// Sends on a connection of its own.
    #[track_caller]
    pub(crate) fn send(&self) -> Response {
        self.send_on(&mut Connection::open(self.address))
    }

    /// The same for what takes long on a busy machine, such as many hashes at once.
    #[track_caller]
    pub(crate) fn send_patiently(&self) -> Response {
        let mut connection = Connection::open(self.address);
        connection.patience(6 * DEADLINE);
        self.send_on(&mut connection)
    }

    #[track_caller]
    pub(crate) fn send_on(&self, connection: &mut Connection) -> Response {
        self.try_on(connection).unwrap_or_else(|fault| panic!("{} {}: {fault:?}", self.method, self.target))
    }

    pub(crate) fn try_on(&self, connection: &mut Connection) -> Result<Response, Fault> {
        connection.send(&self.bytes());
        connection.receive(&self.method)
    }
}

/// The bytes of an answer of a backend, for tests that write it by hand.
pub(crate) fn answer(headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    backend::message(200, headers, body.as_bytes())
}
