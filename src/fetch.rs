//! HTTPS client for small documents of other servers: bounded in size and time, follows no redirects, goes through the
//! company's proxy where there is one.

mod dial;
mod grpc;
mod place;
mod post;
mod proxy;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Request, response};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

pub use self::grpc::GrpcAnswer;
pub use self::post::PostAnswer;
pub use self::proxy::{Proxies, Proxy};
use crate::dns;
use crate::gzip::{self, CodingFault};
use place::{FetchTarget, is_private, is_this_machine};

/// Limit of a document, in bytes.
const LARGEST: usize = 1 << 20;

/// Settings for fetches from one other party.
#[derive(Debug, Clone)]
pub struct Fetcher {
    /// The TLS settings, with the trusted CAs.
    pub tls: Arc<ClientConfig>,
    /// Allows plain http to other machines.
    pub plain: bool,
    /// Allows addresses in private networks where the other party names them.
    pub private: bool,
    /// The proxy on the way.
    pub proxies: Proxies,
    /// Timeout of one document.
    pub timeout: Duration,
}

/// Origin of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChosenBy<'a> {
    /// The configuration.
    Us,
    /// The other party, whose own host is this.
    Them(&'a str),
}

/// A document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedDocument {
    /// Its bytes.
    pub body: Bytes,
    /// `max-age` in seconds, where the server sends one (RFC 9111 section 5.2.2).
    pub max_age: Option<u64>,
}

/// Failure of a fetch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchFault {
    /// The address is none that is fetched from.
    #[error("{0}")]
    Address(String),
    /// The name leads nowhere.
    #[error("the name {0} cannot be resolved")]
    Dns(String),
    /// Nobody listens there.
    #[error("no connection: {0}")]
    Connect(String),
    /// No way through the proxy.
    #[error("{0}")]
    Proxy(String),
    /// No TLS, or not with whom we trust.
    #[error("no TLS: {0}")]
    Tls(String),
    /// It took too long.
    #[error("no answer in time{}", through.as_ref().map(|place| format!(", through the proxy {place}")).unwrap_or_default())]
    Timeout {
        /// The proxy on the way.
        through: Option<String>,
    },
    /// It leads elsewhere.
    #[error("the server redirects to {0}: write that address instead, if it is right")]
    Redirect(String),
    /// Not 200.
    #[error("the server answered {0}")]
    Status(u16),
    /// 429 or 503, with `Retry-After` (RFC 9110 section 10.2.3).
    #[error("the server answered {status}, and asks to wait for {} s", retry_after.as_secs())]
    Busy {
        /// The status.
        status: u16,
        /// How long it asks to wait.
        retry_after: Duration,
    },
    /// More than 1 MiB.
    #[error("the answer has more than {LARGEST} bytes")]
    TooLarge,
    /// Not HTTP, or cut off.
    #[error("the answer broke off or is not HTTP")]
    Broken,
    /// Encoded otherwise than by gzip, or gzip that is none.
    #[error("the answer is encoded, and not by a gzip that can be read")]
    Encoding,
}

impl FetchFault {
    /// The word for metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Address(_) => "address",
            Self::Dns(_) => "dns",
            Self::Connect(_) => "connect",
            Self::Proxy(_) => "proxy",
            Self::Tls(_) => "tls",
            Self::Timeout { .. } => "timeout",
            Self::Redirect(_) => "redirect",
            Self::Status(_) | Self::Busy { .. } => "status",
            Self::TooLarge => "too_large",
            Self::Broken => "broken",
            Self::Encoding => "encoding",
        }
    }
}

impl Fetcher {
    /// Gets a document.
    ///
    /// # Errors
    /// The failure.
    pub async fn get(&self, url: &str, chosen: ChosenBy<'_>) -> Result<FetchedDocument, FetchFault> {
        tokio::time::timeout(self.timeout, self.get_patiently(url, chosen)).await.map_err(|_| self.timed_out(url))?
    }

    fn timed_out(&self, url: &str) -> FetchFault {
        let target = FetchTarget::parse(url).ok();
        let way = target.map(|target| self.proxies.on_the_way_to(&target.host, target.port, target.is_secure));
        FetchFault::Timeout { through: way.and_then(Result::ok).flatten().map(Proxy::place) }
    }

    async fn get_patiently(&self, url: &str, chosen: ChosenBy<'_>) -> Result<FetchedDocument, FetchFault> {
        let request = Request::get("/").header(header::ACCEPT, "application/json, application/jwk-set+json");
        let request = request.body(Full::default()).map_err(|_| FetchFault::Broken)?;
        let (parts, body) = self.exchange(url, request, chosen).await?;
        if parts.status != 200 {
            let status = parts.status.as_u16();
            let retry_after = retry_after(&parts.headers).filter(|_| matches!(status, 429 | 503));
            return Err(match retry_after {
                Some(retry_after) => FetchFault::Busy { status, retry_after },
                None => FetchFault::Status(status),
            });
        }
        Ok(FetchedDocument { body, max_age: max_age(&parts.headers) })
    }

    /// Sends the request to this address, and reads the answer.
    async fn exchange(
        &self,
        url: &str,
        request: Request<Full<Bytes>>,
        chosen: ChosenBy<'_>,
    ) -> Result<(response::Parts, Bytes), FetchFault> {
        let target = FetchTarget::parse(url)?;
        let (stream, proxy) = match self.proxies.on_the_way_to(&target.host, target.port, target.is_secure)? {
            None => (self.connect(&target, chosen).await?, None),
            Some(proxy) => (self.connect_through(proxy, &target, chosen).await?, Some(proxy)),
        };
        // Through a proxy, plain http is a request to the proxy itself (RFC 9112 section 3.2.2).
        let relay = proxy.filter(|_| !target.is_secure);
        let exchanged = exchange(stream, &target, request, relay).await;
        exchanged.map_err(|fault| match (fault, relay) {
            (FetchFault::Status(407), Some(proxy)) => {
                proxy.fault("answers 407: it wants another user name or password")
            }
            (fault, _) => fault,
        })
    }

    /// To the first address that answers, of those that are allowed.
    async fn connect(&self, target: &FetchTarget, chosen: ChosenBy<'_>) -> Result<Box<dyn Stream>, FetchFault> {
        let found = dns::look_up_or_last(&target.host, target.port, dns::PATIENCE).await;
        let mut last = FetchFault::Dns(target.host.clone());
        let mut allowed = Vec::new();
        for address in found.map_err(|_| FetchFault::Dns(target.host.clone()))? {
            match self.allows(target, address.ip().to_canonical(), chosen) {
                Ok(()) => allowed.push(address),
                Err(fault) => last = fault,
            }
        }
        let name = target.is_secure.then(|| target.server_name()).transpose()?;
        let tls = name.map(|name| (Arc::clone(&self.tls), name));
        dial::first(allowed, self.timeout, last, move |address| attempt(address, tls.clone())).await
    }

    /// By way of a proxy, which looks up the name of the host itself.
    async fn connect_through(
        &self,
        proxy: &Proxy,
        target: &FetchTarget,
        chosen: ChosenBy<'_>,
    ) -> Result<Box<dyn Stream>, FetchFault> {
        if !target.is_secure && !self.plain {
            let message = format!("plain http to {} by a proxy can be changed on its way: use https", target.host);
            return Err(FetchFault::Address(message));
        }
        if let Ok(ip) = target.host.parse::<IpAddr>() {
            self.allows(target, ip.to_canonical(), chosen)?;
        } else if is_this_machine(&target.host) || !target.host.trim_end_matches('.').contains('.') {
            // Whom a longer name leads to, is for the proxy to say: it is what the company lets its servers reach.
            self.allows_private(target, chosen, "a name of a private network")?;
        }
        let found = dns::look_up_or_last(&proxy.host, proxy.port, dns::PATIENCE).await;
        let addresses = found.map_err(|_| proxy.fault("has a name that cannot be resolved"))?;
        let connected = dial::first(addresses, self.timeout, FetchFault::Broken, |address| async move {
            TcpStream::connect(address).await.map_err(|error| FetchFault::Connect(error.to_string()))
        });
        let mut stream = connected.await.map_err(|fault| proxy.fault(&format!("cannot be reached: {fault}")))?;
        if !target.is_secure {
            return Ok(Box::new(stream));
        }
        proxy.open_tunnel(&mut stream, &target.host, target.port).await?;
        secured(stream, Arc::clone(&self.tls), target.server_name()?).await
    }

    /// Checks an address that a fetch would go to.
    fn allows(&self, target: &FetchTarget, ip: IpAddr, chosen: ChosenBy<'_>) -> Result<(), FetchFault> {
        if !target.is_secure && !self.plain && !ip.is_loopback() {
            return Err(FetchFault::Address(format!("plain http to {ip} can be changed on its way: use https")));
        }
        if is_private(ip) {
            return self.allows_private(
                target,
                chosen,
                &match target.host.parse::<IpAddr>() {
                    Ok(_) => "an address of a private network".to_owned(),
                    Err(_) => format!("{ip}, an address of a private network"),
                },
            );
        }
        Ok(())
    }

    /// Checks whether a fetch may go to a private network, where the host stands for one: `what` it is.
    fn allows_private(&self, target: &FetchTarget, chosen: ChosenBy<'_>, what: &str) -> Result<(), FetchFault> {
        match chosen {
            ChosenBy::Them(own) if own != target.host && !self.private => {
                let help = "`danger_private_addresses: true` allows it";
                Err(FetchFault::Address(format!("{} is {what}, which the other party names: {help}", target.host)))
            }
            ChosenBy::Them(_) | ChosenBy::Us => Ok(()),
        }
    }
}

/// A connection, with TLS or without.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<Any: AsyncRead + AsyncWrite + Unpin + Send> Stream for Any {}

/// One attempt to connect. TLS is part of it: an address that takes connections and then says nothing is no better than one
/// that is silent.
async fn attempt(
    address: SocketAddr,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
) -> Result<Box<dyn Stream>, FetchFault> {
    let stream = TcpStream::connect(address).await.map_err(|error| FetchFault::Connect(error.to_string()))?;
    match tls {
        None => Ok(Box::new(stream)),
        Some((tls, name)) => secured(stream, tls, name).await,
    }
}

async fn secured(
    stream: TcpStream,
    tls: Arc<ClientConfig>,
    name: ServerName<'static>,
) -> Result<Box<dyn Stream>, FetchFault> {
    let connected = tokio_rustls::TlsConnector::from(tls).connect(name, stream).await;
    Ok(Box::new(connected.map_err(|error| FetchFault::Tls(error.to_string()))?))
}

async fn exchange(
    stream: Box<dyn Stream>,
    target: &FetchTarget,
    mut request: Request<Full<Bytes>>,
    relay: Option<&Proxy>,
) -> Result<(response::Parts, Bytes), FetchFault> {
    let uri = &target.uri;
    let cannot = |_| FetchFault::Address(format!("{uri} cannot be asked for"));
    let authority = uri.authority().map(|authority| authority.as_str()).unwrap_or_default();
    *request.uri_mut() = match relay {
        Some(_) => uri.clone(),
        None => {
            let path = uri.path_and_query().map_or("/", |path| path.as_str());
            path.parse().map_err(|_| FetchFault::Address(format!("{uri} cannot be asked for")))?
        }
    };
    let host = HeaderValue::from_str(authority).map_err(cannot)?;
    let agent = HeaderValue::from_static(concat!("wicketgate/", env!("CARGO_PKG_VERSION")));
    let own = [
        (header::HOST, host),
        (header::USER_AGENT, agent),
        (header::CONNECTION, HeaderValue::from_static("close")),
        (header::ACCEPT_ENCODING, HeaderValue::from_static("gzip")),
    ];
    let shown = relay.and_then(|proxy| proxy.authorization.clone());
    request.headers_mut().extend(own.into_iter().chain(shown.map(|field| (header::PROXY_AUTHORIZATION, field))));
    let (mut sender, connection) =
        http1::handshake::<_, Full<Bytes>>(TokioIo::new(stream)).await.map_err(|_| FetchFault::Broken)?;
    let driver = Driver(tokio::spawn(connection));
    let response = sender.send_request(request).await.map_err(|_| FetchFault::Broken)?;
    let (parts, body) = response.into_parts();
    if parts.status.is_redirection() {
        let to = parts.headers.get(header::LOCATION).and_then(|to| to.to_str().ok()).unwrap_or("nowhere");
        return Err(FetchFault::Redirect(to.chars().take(200).collect()));
    }
    if parts.status == 407 {
        return Err(FetchFault::Status(407));
    }
    let body = Limited::new(body, LARGEST)
        .collect()
        .await
        .map_err(|error| if error.is::<LengthLimitError>() { FetchFault::TooLarge } else { FetchFault::Broken })?;
    drop(driver);
    let body = body.to_bytes();
    // An answer without a body has no coding, whatever it says.
    let body = if !body.is_empty() && gzip::is_gzip(&parts.headers)? { gzip::inflated(&body, LARGEST)? } else { body };
    Ok((parts, body))
}

/// A connection that goes on while its request does: whoever gives up the one ends the other.
struct Driver<Output>(tokio::task::JoinHandle<Output>);

impl<Output> Drop for Driver<Output> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl From<CodingFault> for FetchFault {
    fn from(fault: CodingFault) -> Self {
        match fault {
            CodingFault::Other | CodingFault::Broken => Self::Encoding,
            CodingFault::TooLarge => Self::TooLarge,
        }
    }
}

/// RFC 9111 section 5.2.2: what must not be kept is old at once.
fn max_age(headers: &HeaderMap) -> Option<u64> {
    // One directive that is not ASCII hides no other.
    let lines = headers.get_all(header::CACHE_CONTROL).iter().map(|line| String::from_utf8_lossy(line.as_bytes()));
    let lines: Vec<String> = lines.map(|line| line.to_ascii_lowercase()).collect();
    let directives: Vec<&str> = lines.iter().flat_map(|line| line.split(',')).map(str::trim).collect();
    if directives.iter().any(|directive| ["no-store", "no-cache"].contains(directive)) {
        return Some(0);
    }
    let seconds = directives.iter().find_map(|directive| directive.strip_prefix("max-age="))?;
    seconds.trim_matches('"').parse().ok()
}

/// RFC 9110 section 10.2.3: seconds, or a date. It is the server's word: callers bound it.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    match text.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => httpdate::parse_http_date(text).ok()?.duration_since(SystemTime::now()).ok(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops where it fails")]
mod tests {
    use super::*;

    #[test]
    fn the_time_to_wait_is_what_the_server_says() {
        let wait = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RETRY_AFTER, HeaderValue::from_str(text).unwrap());
            retry_after(&headers)
        };
        assert_eq!(wait("120"), Some(Duration::from_secs(120)));
        assert_eq!(wait("0"), Some(Duration::ZERO));
        let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(90));
        assert!(wait(&date).is_some_and(|wait| (80..=90).contains(&wait.as_secs())), "{date}");
        for none in ["", "-1", "soon", "1.5", "99999999999999999999", "Sun, 06 Nov 1994 08:49:37 GMT"] {
            assert_eq!(wait(none), None, "{none}");
        }
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }

    #[test]
    fn the_age_is_what_the_server_says() {
        let age = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(text));
            max_age(&headers)
        };
        assert_eq!(age("public, max-age=300"), Some(300));
        assert_eq!(age("Max-Age=\"60\""), Some(60));
        assert_eq!(age("no-store, max-age=300"), Some(0));
        assert_eq!(age("max-age=-1"), None);
        assert_eq!(age("public"), None);
        assert_eq!(max_age(&HeaderMap::new()), None);
        let mut odd = HeaderMap::new();
        odd.insert(header::CACHE_CONTROL, http::HeaderValue::from_bytes(b"x=\xfc, no-store").unwrap());
        assert_eq!(max_age(&odd), Some(0), "what is not ASCII hides nothing beside it");
    }
}
