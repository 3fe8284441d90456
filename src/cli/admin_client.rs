//! Client of the operators' Unix socket: a command in, the answer of the gateway that runs on this machine out.

use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::{Method, Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use time::OffsetDateTime;
use tokio::net::UnixStream;

use crate::config::{self, Config};
use crate::server::admin::admin_socket::socket_file;
use crate::server::upgrade::lock_owner;

/// Required part of an answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct ExpectedAnswer {
    /// A JSON pointer to it; an empty one stands for a list.
    pub at: &'static str,
    /// The missing fact, in the error text: the end of "did not say ...".
    pub what: &'static str,
}

/// Asks the gateway that runs with this configuration.
///
/// # Errors
/// The gateway does not run, or refuses with a reason.
pub(super) fn ask(
    file: &Path,
    method: Method,
    target: &str,
    body: Option<Value>,
    expected: ExpectedAnswer,
) -> anyhow::Result<Value> {
    let (config, problems) = config::read(file)?;
    if !problems.is_empty() {
        return Err(problems.into());
    }
    let socket = socket_file::socket_path(&config);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(exchange(&socket, method, target, body, expected))
}

/// Returns whether a gateway runs with this configuration.
///
/// # Errors
/// The socket cannot be reached, such as by another user.
pub(super) fn is_running(config: &Config) -> anyhow::Result<bool> {
    let socket = socket_file::socket_path(config);
    match std::os::unix::net::UnixStream::connect(&socket) {
        Ok(_) => Ok(true),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => Ok(false),
        Err(error) => Err(error).with_context(|| format!("cannot see whether a gateway runs at {}", socket.display())),
    }
}

/// Tells the gateway that runs with this configuration to do something.
///
/// # Errors
/// The gateway refuses with a reason.
pub(super) fn tell(config: &Config, method: Method, target: &str, expected: ExpectedAnswer) -> anyhow::Result<Value> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(exchange(&socket_file::socket_path(config), method, target, None, expected))
}

/// Asks the gateway at this socket.
///
/// # Errors
/// It does not run, or refuses with a reason.
pub(super) async fn exchange(
    socket: &Path,
    method: Method,
    target: &str,
    body: Option<Value>,
    expected: ExpectedAnswer,
) -> anyhow::Result<Value> {
    let stream = UnixStream::connect(socket).await.with_context(|| {
        format!(
            "cannot reach the gateway at {}: it must run with this gateway.yaml, and you must be the user that runs it",
            socket.display()
        )
    })?;
    // Secrets are sent: not to whoever answers.
    lock_owner::vouch(socket, &stream)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let body = body.map(|body| body.to_string()).unwrap_or_default();
    let request = Request::builder()
        .method(method)
        .uri(target)
        .header(header::HOST, "localhost")
        .body(Full::<Bytes>::new(body.into()))?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let bytes = response.into_body().collect().await?.to_bytes();
    let answer: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    if !status.is_success() {
        bail!("{}", answer["error"].as_str().unwrap_or("the gateway refused"));
    }
    let is_said = |said: &Value| if expected.at.is_empty() { said.is_array() } else { !said.is_null() };
    if !answer.pointer(expected.at).is_some_and(is_said) {
        bail!(
            "who answers at {} did not say {}: it is no gateway, or one of another version",
            socket.display(),
            expected.what
        );
    }
    Ok(answer)
}

/// A time for people: `2026-11-24 13:24:29Z`, or `-`.
pub(super) fn when(seconds: &Value) -> String {
    let time = seconds.as_i64().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    time.map_or_else(
        || "-".to_owned(),
        |time| {
            let (date, clock) = (time.date(), time.time());
            format!(
                "{:04}-{:02}-{:02} {:02}:{:02}:{:02}Z",
                date.year(),
                u8::from(date.month()),
                date.day(),
                clock.hour(),
                clock.minute(),
                clock.second()
            )
        },
    )
}
