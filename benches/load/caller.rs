//! One connection that sends requests and reads answers, at little cost.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use rustls::ClientConfig;
use rustls::client::{ClientConnection, Resumption};
use rustls::crypto::aws_lc_rs::kx_group::X25519;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::To;

/// Where requests go.
#[derive(Clone)]
pub(crate) struct Target {
    address: SocketAddr,
    path: String,
    /// Head lines without the first, and the body.
    lines: String,
    method: String,
    body: Vec<u8>,
    tls: Option<TlsConnector>,
}

impl Target {
    /// As told on the command line.
    pub(crate) fn new(to: &To) -> anyhow::Result<Self> {
        let (scheme, rest) =
            to.url.split_once("://").context("--url is http://ADDRESS/PATH or https://ADDRESS/PATH")?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let address = std::net::ToSocketAddrs::to_socket_addrs(authority)
            .with_context(|| format!("`{authority}` in --url needs a host and a port"))?
            .find(SocketAddr::is_ipv4)
            .context("no IPv4 address")?;
        let mut lines = format!("Host: {authority}\r\n");
        if let Some(file) = &to.headers {
            for line in read(file)?.lines().filter(|line| !line.is_empty()) {
                lines.push_str(&format!("{line}\r\n"));
            }
        }
        let body = match &to.body {
            Some(file) => std::fs::read(file).with_context(|| file.display().to_string())?,
            None => Vec::new(),
        };
        if !body.is_empty() || to.method == "POST" {
            lines.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        let tls = match scheme {
            "https" => Some(connector(to, Resumption::disabled())?),
            _ => None,
        };
        Ok(Self { address, path: format!("/{path}"), lines, method: to.method.clone(), body, tls })
    }

    /// The same with TLS sessions of its own that can be resumed.
    pub(crate) fn resuming(&self, to: &To) -> anyhow::Result<Self> {
        Ok(Self { tls: Some(connector(to, Resumption::in_memory_sessions(8))?), ..self.clone() })
    }

    /// A whole request, with one more head line.
    pub(crate) fn request(&self, line: &str) -> Vec<u8> {
        let Self { method, path, lines, .. } = self;
        let mut bytes = format!("{method} {path} HTTP/1.1\r\n{lines}{line}\r\n").into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

/// Only X25519, as the other load generators here: the gateway would rather agree on more.
fn connector(to: &To, resumption: Resumption) -> anyhow::Result<TlsConnector> {
    let file = to.ca.as_deref().context("https needs --ca")?;
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).with_context(|| file.display().to_string())? {
        roots.add(certificate?)?;
    }
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.kx_groups = vec![X25519];
    let mut settings = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    settings.alpn_protocols = vec![b"http/1.1".to_vec()];
    settings.resumption = resumption;
    Ok(TlsConnector::from(Arc::new(settings)))
}

/// The text of a file.
pub(crate) fn read(file: &std::path::Path) -> anyhow::Result<String> {
    std::fs::read_to_string(file).with_context(|| file.display().to_string())
}

/// A connection.
pub(crate) enum Caller {
    Plain(Connection<TcpStream>),
    Tls(Box<Connection<TlsStream<TcpStream>>>),
}

impl Caller {
    /// Connects.
    pub(crate) async fn connect(target: &Target) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(target.address).await?;
        stream.set_nodelay(true)?;
        Ok(match &target.tls {
            None => Self::Plain(Connection { stream, buffer: Vec::new() }),
            Some(tls) => {
                let name = ServerName::IpAddress(target.address.ip().into());
                let stream = tls.connect(name, stream).await.context("no TLS")?;
                Self::Tls(Box::new(Connection { stream, buffer: Vec::new() }))
            }
        })
    }

    /// Sends a request; the status of the answer, once its body has come too.
    pub(crate) async fn call(&mut self, request: &[u8]) -> anyhow::Result<u16> {
        match self {
            Self::Plain(connection) => connection.call(request).await,
            Self::Tls(connection) => connection.call(request).await,
        }
    }

    /// Reads to the end and closes; tells whether the TLS session was resumed.
    pub(crate) async fn finish(self) -> anyhow::Result<bool> {
        match self {
            Self::Plain(_) => Ok(false),
            Self::Tls(mut connection) => {
                let connection = &mut connection.stream;
                let _ = connection.read_to_end(&mut Vec::new()).await;
                let _ = connection.shutdown().await;
                let tls: &ClientConnection = connection.get_ref().1;
                Ok(tls.handshake_kind() == Some(rustls::HandshakeKind::Resumed))
            }
        }
    }
}

pub(crate) struct Connection<Stream> {
    stream: Stream,
    buffer: Vec<u8>,
}

impl<Stream: AsyncRead + AsyncWrite + Unpin> Connection<Stream> {
    async fn call(&mut self, request: &[u8]) -> anyhow::Result<u16> {
        self.stream.write_all(request).await?;
        self.stream.flush().await?;
        self.buffer.clear();
        let head = loop {
            if let Some(at) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            self.more().await?;
        };
        let text = std::str::from_utf8(&self.buffer[..head])?;
        let status = text.get(9..12).context("no status")?.parse()?;
        let field = |name: &str| {
            text.lines().filter_map(|line| line.split_once(':')).find(|(known, _)| known.eq_ignore_ascii_case(name))
        };
        if let Some((_, length)) = field("content-length") {
            let end = head + length.trim().parse::<usize>()?;
            while self.buffer.len() < end {
                self.more().await?;
            }
        } else if field("transfer-encoding").is_some() {
            while !self.buffer.ends_with(b"\r\n0\r\n\r\n") {
                self.more().await?;
            }
        } else {
            bail!("an answer without a length");
        }
        Ok(status)
    }

    async fn more(&mut self) -> anyhow::Result<()> {
        self.buffer.reserve(16 * 1024);
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            bail!("the connection was closed");
        }
        Ok(())
    }
}
