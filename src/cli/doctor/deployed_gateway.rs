//! A server as a caller elsewhere sees it: an address, calls of it, replies.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::pem;
use crate::version;

/// Longest time of one call.
const PATIENCE: Duration = Duration::from_secs(15);

/// Longest wait that a 429 is obeyed for.
const LONGEST_WAIT: u64 = 10;

/// Most bytes of a body that are read.
const LARGEST: usize = 4 << 20;

/// A server and how to reach it.
pub(super) struct DeployedGateway {
    host: String,
    port: u16,
    /// The path before all others, without a slash at its end.
    base: String,
    tls: Option<Arc<ClientConfig>>,
}

/// A call.
#[derive(Clone)]
pub(super) struct Outgoing {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) headers: Vec<(HeaderName, Vec<u8>)>,
    pub(super) body: Vec<u8>,
}

/// A reply.
#[derive(Debug, Clone)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Outgoing {
    pub(super) fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into(), headers: Vec::new(), body: Vec::new() }
    }

    /// A form, as `curl -d` sends it.
    pub(super) fn form(path: impl Into<String>, fields: &[(&str, &str)]) -> Self {
        let pair = |(name, value): &(&str, &str)| format!("{name}={}", encoded(value));
        let body = fields.iter().map(pair).collect::<Vec<_>>().join("&").into_bytes();
        let call = Self { body, ..Self::new(Method::POST, path) };
        call.header(header::CONTENT_TYPE, b"application/x-www-form-urlencoded")
    }

    pub(super) fn header(mut self, name: HeaderName, value: impl AsRef<[u8]>) -> Self {
        self.headers.push((name, value.as_ref().to_vec()));
        self
    }
}

/// A value in a query or form, percent-encoded.
pub(super) fn encoded(value: &str) -> String {
    percent_encoding::utf8_percent_encode(value, percent_encoding::NON_ALPHANUMERIC).to_string()
}

impl Reply {
    /// The body as JSON; null where it is none.
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    pub(super) fn header(&self, name: impl header::AsHeaderName) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The code of a refusal of wicketgate.
    pub(super) fn code(&self) -> String {
        self.json().pointer("/error/code").and_then(Value::as_str).unwrap_or_default().to_owned()
    }

    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// True for a failure in another form than wicketgate's.
    pub(super) fn is_of_another(&self) -> bool {
        self.status >= 500 && self.code().is_empty() && !self.json()["error"].is_string()
    }

    /// `401 401-03`, for a report.
    pub(super) fn shown(&self) -> String {
        let code = self.code();
        if code.is_empty() { self.status.to_string() } else { format!("{} ({code})", self.status) }
    }
}

impl DeployedGateway {
    /// The server of a URL. `ca`: whose certificates it may have, otherwise those of this system. `own`: a client
    /// certificate with its key.
    ///
    /// # Errors
    /// It is no such URL, or a file cannot be read.
    pub(super) fn at(url: &str, ca: Option<&Path>, own: Option<(&Path, &Path)>) -> anyhow::Result<Self> {
        let parsed: Uri = url.parse().with_context(|| format!("{url:?} is no URL"))?;
        let host = parsed.host().with_context(|| format!("{url:?} names no host: write https://HOST"))?;
        let is_secure = match parsed.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => bail!("{url:?} begins with neither https:// nor http://"),
        };
        if parsed.query().is_some() {
            bail!("{url:?} has a query: give the address alone, and the path by --path");
        }
        let port = parsed.port_u16().unwrap_or(if is_secure { 443 } else { 80 });
        let tls = if is_secure { Some(Arc::new(tls(ca, own)?)) } else { None };
        Ok(Self { host: host.to_owned(), port, base: parsed.path().trim_end_matches('/').to_owned(), tls })
    }

    /// The address, without user and path.
    pub(super) fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}:{}{}", self.host, self.port, self.base)
    }

    pub(super) fn is_secure(&self) -> bool {
        self.tls.is_some()
    }

    /// True where nobody else is on the way.
    pub(super) fn is_loopback(&self) -> bool {
        let host = self.host.trim_matches(['[', ']']);
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// The host as TLS names it.
    ///
    /// # Errors
    /// It is neither a name nor an address.
    pub(super) fn server_name(&self) -> anyhow::Result<ServerName<'static>> {
        let host = self.host.trim_matches(['[', ']']);
        ServerName::try_from(host.to_owned()).map_err(|_| anyhow!("{host:?} is no name for TLS"))
    }

    /// A TCP connection.
    ///
    /// # Errors
    /// Nobody is there, in time.
    pub(super) async fn connect(&self) -> anyhow::Result<TcpStream> {
        let host = self.host.trim_matches(['[', ']']);
        let connected = timeout(PATIENCE, TcpStream::connect((host, self.port))).await;
        let connected = connected.map_err(|_| anyhow!("no connection within {} s", PATIENCE.as_secs()))?;
        connected.map_err(|error| anyhow!("no connection: {error}"))
    }

    /// A TLS connection.
    ///
    /// # Errors
    /// The handshake fails, or this is plain http.
    pub(super) async fn handshake(&self) -> anyhow::Result<TlsStream<TcpStream>> {
        let tls = self.tls.as_ref().context("plain http")?;
        let stream = self.connect().await?;
        let shake = TlsConnector::from(Arc::clone(tls)).connect(self.server_name()?, stream);
        let shaken = timeout(PATIENCE, shake).await;
        let shaken = shaken.map_err(|_| anyhow!("no TLS handshake within {} s", PATIENCE.as_secs()))?;
        shaken.map_err(|error| anyhow!("the TLS handshake failed: {error}"))
    }

    /// Makes a call on a connection of its own. A 429 is waited for once.
    ///
    /// # Errors
    /// There was no reply.
    pub(super) async fn send(&self, call: &Outgoing) -> anyhow::Result<Reply> {
        let reply = self.send_once(call).await?;
        let wait = reply.header(header::RETRY_AFTER).parse::<u64>().ok();
        match wait.filter(|seconds| reply.status == 429 && *seconds <= LONGEST_WAIT) {
            Some(seconds) => {
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                self.send_once(call).await
            }
            None => Ok(reply),
        }
    }

    async fn send_once(&self, call: &Outgoing) -> anyhow::Result<Reply> {
        let exchanged = async {
            if self.is_secure() {
                self.exchange(self.handshake().await?, call).await
            } else {
                self.exchange(self.connect().await?, call).await
            }
        };
        timeout(2 * PATIENCE, exchanged).await.map_err(|_| anyhow!("no reply within {} s", 2 * PATIENCE.as_secs()))?
    }

    async fn exchange<S>(&self, stream: S, call: &Outgoing) -> anyhow::Result<Reply>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let driving = tokio::spawn(connection);
        let target = format!("{}{}", self.base, call.path);
        let mut request = Request::builder().method(call.method.clone()).uri(target);
        let usual = if self.is_secure() { 443 } else { 80 };
        let host = if self.port == usual { self.host.clone() } else { format!("{}:{}", self.host, self.port) };
        request = request.header(header::HOST, host);
        if !call.headers.iter().any(|(name, _)| name == header::USER_AGENT) {
            request = request.header(header::USER_AGENT, format!("wicketgate-doctor/{}", version::VERSION));
        }
        for (name, value) in &call.headers {
            request = request.header(name, HeaderValue::from_bytes(value)?);
        }
        let request = request.body(Full::<Bytes>::new(call.body.clone().into()))?;
        let response = sender.send_request(request).await.map_err(|error| anyhow!("no reply: {error}"))?;
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, LARGEST).collect().await;
        let body = body.map_err(|error| anyhow!("the reply broke off: {error}"))?.to_bytes();
        driving.abort();
        Ok(Reply { status: parts.status.as_u16(), headers: parts.headers, body })
    }
}

fn tls(ca: Option<&Path>, own: Option<(&Path, &Path)>) -> anyhow::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(file) => {
            let certificates = certificates(file)?;
            roots.add_parsable_certificates(certificates);
        }
        None => drop(roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
    }
    if roots.is_empty() {
        bail!("there is no CA certificate to check the gateway by: give one with --ca");
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let builder = builder.with_root_certificates(roots);
    Ok(match own {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let key_bytes = super::read(key)?;
            let key =
                pem::private_key(&key_bytes, key.display()).map_err(|(fault, help)| anyhow!("{fault}: {help}"))?;
            builder.with_client_auth_cert(certificates(certificate)?, key)?
        }
    })
}

fn certificates(file: &Path) -> anyhow::Result<Vec<rustls::pki_types::CertificateDer<'static>>> {
    pem::certificates(&super::read(file)?, file.display()).map_err(|(fault, help)| anyhow!("{fault}: {help}"))
}
