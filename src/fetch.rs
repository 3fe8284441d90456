//! HTTPS client for small documents of other servers: bounded in size and time, follows no redirects.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Request, Uri, response};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::dns;

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

/// The answer to a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormAnswer {
    /// Its status.
    pub status: u16,
    /// Its bytes.
    pub body: Bytes,
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
    /// No TLS, or not with whom we trust.
    #[error("no TLS: {0}")]
    Tls(String),
    /// It took too long.
    #[error("no answer in time")]
    Timeout,
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
}

impl FetchFault {
    /// The word for metrics.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Address(_) => "address",
            Self::Dns(_) => "dns",
            Self::Connect(_) => "connect",
            Self::Tls(_) => "tls",
            Self::Timeout => "timeout",
            Self::Redirect(_) => "redirect",
            Self::Status(_) | Self::Busy { .. } => "status",
            Self::TooLarge => "too_large",
            Self::Broken => "broken",
        }
    }
}

impl Fetcher {
    /// Gets a document.
    ///
    /// # Errors
    /// The failure.
    pub async fn get(&self, url: &str, chosen: ChosenBy<'_>) -> Result<FetchedDocument, FetchFault> {
        tokio::time::timeout(self.timeout, self.get_patiently(url, chosen)).await.map_err(|_| FetchFault::Timeout)?
    }

    /// Sends a form, with `authorization` where there is one.
    ///
    /// # Errors
    /// The failure. Any status but a redirection is an answer.
    pub async fn post_form(
        &self,
        url: &str,
        form: Bytes,
        authorization: Option<HeaderValue>,
    ) -> Result<FormAnswer, FetchFault> {
        let mut request = Request::post("/").header(header::ACCEPT, "application/json");
        request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        if let Some(authorization) = authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        let exchanged = async {
            let request = request.body(Full::new(form)).map_err(|_| FetchFault::Broken)?;
            self.exchange(url, request, ChosenBy::Us).await
        };
        let (parts, body) = tokio::time::timeout(self.timeout, exchanged).await.map_err(|_| FetchFault::Timeout)??;
        Ok(FormAnswer { status: parts.status.as_u16(), body })
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
        let uri: Uri = url.parse().map_err(|_| FetchFault::Address(format!("{url} is not an address")))?;
        let host = uri.host().ok_or_else(|| FetchFault::Address(format!("{url} has no host")))?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(FetchFault::Address(format!("{url} is neither https nor http"))),
        };
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let stream = self.connect(&host, port, secure, chosen).await?;
        if secure {
            let name =
                ServerName::try_from(host).map_err(|_| FetchFault::Address(format!("{url} has no host name")))?;
            let connector = tokio_rustls::TlsConnector::from(Arc::clone(&self.tls));
            let stream = connector.connect(name, stream).await.map_err(|error| FetchFault::Tls(error.to_string()))?;
            exchange(stream, &uri, request).await
        } else {
            exchange(stream, &uri, request).await
        }
    }

    /// To the first address that answers, of those that are allowed.
    async fn connect(
        &self,
        host: &str,
        port: u16,
        secure: bool,
        chosen: ChosenBy<'_>,
    ) -> Result<TcpStream, FetchFault> {
        let found = dns::look_up_or_last(host, port, dns::PATIENCE).await;
        let addresses = found.map_err(|_| FetchFault::Dns(host.to_owned()))?;
        let mut last = FetchFault::Dns(host.to_owned());
        for address in addresses {
            let ip = address.ip().to_canonical();
            if !secure && !self.plain && !ip.is_loopback() {
                last = FetchFault::Address(format!("plain http to {ip} can be changed on its way: use https"));
                continue;
            }
            if is_private(ip) && !self.private && matches!(chosen, ChosenBy::Them(own) if own != host) {
                last = FetchFault::Address(format!("{host} is {ip}, an address of a private network"));
                continue;
            }
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = FetchFault::Connect(error.to_string()),
            }
        }
        Err(last)
    }
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    uri: &Uri,
    mut request: Request<Full<Bytes>>,
) -> Result<(response::Parts, Bytes), FetchFault> {
    let cannot = |_| FetchFault::Address(format!("{uri} cannot be asked for"));
    let target = uri.path_and_query().map_or("/", |path| path.as_str());
    let authority = uri.authority().map(|authority| authority.as_str()).unwrap_or_default();
    *request.uri_mut() = target.parse().map_err(|_| FetchFault::Address(format!("{uri} cannot be asked for")))?;
    let host = HeaderValue::from_str(authority).map_err(cannot)?;
    let agent = HeaderValue::from_static(concat!("wicketgate/", env!("CARGO_PKG_VERSION")));
    let close = HeaderValue::from_static("close");
    request.headers_mut().extend([(header::HOST, host), (header::USER_AGENT, agent), (header::CONNECTION, close)]);
    let (mut sender, connection) =
        http1::handshake::<_, Full<Bytes>>(TokioIo::new(stream)).await.map_err(|_| FetchFault::Broken)?;
    let driver = tokio::spawn(connection);
    let outcome = async {
        let response = sender.send_request(request).await.map_err(|_| FetchFault::Broken)?;
        let (parts, body) = response.into_parts();
        if parts.status.is_redirection() {
            let to = parts.headers.get(header::LOCATION).and_then(|to| to.to_str().ok()).unwrap_or("nowhere");
            return Err(FetchFault::Redirect(to.chars().take(200).collect()));
        }
        let body = Limited::new(body, LARGEST)
            .collect()
            .await
            .map_err(|error| if error.is::<LengthLimitError>() { FetchFault::TooLarge } else { FetchFault::Broken })?;
        Ok((parts, body.to_bytes()))
    };
    let outcome = outcome.await;
    driver.abort();
    outcome
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

/// An address that means nothing on the internet, or something else on each machine.
fn is_private(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [first, second, ..] = ip.octets();
            ip.is_private()
                || ip.is_loopback()
                || ip.is_link_local()
                || ip.is_unspecified()
                || ip.is_broadcast()
                || (first == 100 && second & 0xc0 == 64)
        }
        IpAddr::V6(ip) => {
            let first = ip.segments()[0];
            ip.is_loopback() || ip.is_unspecified() || first & 0xfe00 == 0xfc00 || first & 0xffc0 == 0xfe80
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops where it fails")]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_private_networks_are_known() {
        for private in [
            "10.1.2.3",
            "172.16.0.1",
            "192.168.1.1",
            "127.0.0.1",
            "169.254.169.254",
            "100.64.0.1",
            "::1",
            "fd00::1",
            "fe80::1",
            "0.0.0.0",
        ] {
            assert!(is_private(private.parse().unwrap()), "{private}");
        }
        for public in ["8.8.8.8", "172.32.0.1", "100.128.0.1", "2001:db8::1", "2606:4700::1111"] {
            assert!(!is_private(public.parse().unwrap()), "{public}");
        }
    }

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
