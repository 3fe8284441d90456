//! Unary gRPC calls by HTTP/2, one connection each.

use bytes::{BufMut as _, Bytes, BytesMut};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Request, Uri, Version};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::place::FetchTarget;
use super::{ChosenBy, Driver, FetchFault, Fetcher, LARGEST};

/// Bytes before a message: the compressed flag and the length.
const PREFIX: usize = 5;

/// `UNKNOWN`: the answer has no code.
const UNKNOWN: u32 = 2;

/// The answer to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrpcAnswer {
    /// `grpc-status`; 0 is success.
    pub status: u32,
    /// The message; empty where there is none.
    pub message: Bytes,
}

impl Fetcher {
    /// Calls the method that `url` names, as `https://HOST:PORT/SERVICE/METHOD`. The TLS settings must offer `h2`.
    ///
    /// # Errors
    /// The failure. Any `grpc-status` is an answer.
    pub async fn call_grpc(
        &self,
        url: &str,
        fields: &[(HeaderName, HeaderValue)],
        message: &[u8],
    ) -> Result<GrpcAnswer, FetchFault> {
        let called = self.call_patiently(url, fields, message);
        tokio::time::timeout(self.timeout, called).await.map_err(|_| self.timed_out(url))?
    }

    async fn call_patiently(
        &self,
        url: &str,
        fields: &[(HeaderName, HeaderValue)],
        message: &[u8],
    ) -> Result<GrpcAnswer, FetchFault> {
        let target = FetchTarget::parse(url)?;
        let stream = match self.proxies.on_the_way_to(&target.host, target.port, target.is_secure)? {
            Some(proxy) if target.is_secure => self.connect_through(proxy, &target, ChosenBy::Us).await?,
            // A proxy for plain http speaks no HTTP/2.
            _ => self.connect(&target, ChosenBy::Us).await?,
        };
        let builder = http2::Builder::new(TokioExecutor::new());
        let (mut sender, connection) =
            builder.handshake::<_, Full<Bytes>>(TokioIo::new(stream)).await.map_err(|_| FetchFault::Broken)?;
        let driver = Driver(tokio::spawn(connection));
        let request = request(&target.uri, fields, message)?;
        let response = sender.send_request(request).await.map_err(|_| FetchFault::Broken)?;
        let (parts, body) = response.into_parts();
        if parts.status != 200 {
            return Err(FetchFault::Status(parts.status.as_u16()));
        }
        let collected = Limited::new(body, LARGEST).collect().await;
        let collected = collected
            .map_err(|error| if error.is::<LengthLimitError>() { FetchFault::TooLarge } else { FetchFault::Broken })?;
        drop(driver);
        // Where nothing but the status is told, it stands in the head.
        let status = collected.trailers().and_then(status_in).or_else(|| status_in(&parts.headers));
        let mut message = collected.to_bytes();
        let message = if message.len() > PREFIX { message.split_off(PREFIX) } else { Bytes::new() };
        Ok(GrpcAnswer { status: status.unwrap_or(UNKNOWN), message })
    }
}

fn request(
    uri: &Uri,
    fields: &[(HeaderName, HeaderValue)],
    message: &[u8],
) -> Result<Request<Full<Bytes>>, FetchFault> {
    let mut framed = BytesMut::with_capacity(PREFIX + message.len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).map_err(|_| FetchFault::TooLarge)?);
    framed.put_slice(message);
    let mut request = Request::post(uri)
        .version(Version::HTTP_2)
        .header(header::CONTENT_TYPE, "application/grpc")
        .header(header::TE, "trailers")
        .header(header::USER_AGENT, concat!("wicketgate/", env!("CARGO_PKG_VERSION")));
    for (name, value) in fields {
        request = request.header(name, value);
    }
    request.body(Full::new(framed.freeze())).map_err(|_| FetchFault::Address(format!("{uri} cannot be called")))
}

fn status_in(headers: &HeaderMap) -> Option<u32> {
    headers.get("grpc-status")?.to_str().ok()?.parse().ok()
}
