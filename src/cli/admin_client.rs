//! Client of the operators' Unix socket: a command in, the answer of the gateway that runs on this machine out.

use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};

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
    let socket = socket_of(file)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(exchange(&socket, method, target, body, expected))
}

/// The socket of the gateway that runs with this file. In an incident the file may be the reason for it: where it is not
/// good, the places that it may mean are tried, and standard error says so.
///
/// # Errors
/// The file is not good, and no gateway answers at these places.
pub(super) fn socket_of(file: &Path) -> anyhow::Result<PathBuf> {
    let (config, problems) = match config::read_draft(file) {
        Ok((config, problems)) if problems.is_empty() => return Ok(socket_file::socket_path(&config)),
        Ok((config, problems)) => (Some(config), problems),
        Err(problems) => (None, problems),
    };
    let mut places: Vec<PathBuf> = config.iter().map(socket_file::socket_path).collect();
    places.extend(likely_sockets(file));
    if let Some(socket) = places.iter().find(|place| std::os::unix::net::UnixStream::connect(place).is_ok()) {
        let said = format!("{} is not good: asking the gateway at {} all the same", file.display(), socket.display());
        writeln!(std::io::stderr(), "warning: {said}")?;
        return Ok(socket.clone());
    }
    places.dedup();
    let places: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
    bail!(
        "{problems}\nno gateway answers at {}: restore {}, or give a copy of the last good one beside it with --config",
        places.join(" or "),
        file.display()
    )
}

/// Where the socket may be, by the lines of a file that is no YAML, or has faults; the usual place last.
fn likely_sockets(file: &Path) -> Vec<PathBuf> {
    let text = std::fs::read(file).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let directory = file.parent().unwrap_or(Path::new(""));
    let named = scalar_at(&text, &["admin", "socket"]).map(|path| directory.join(path));
    let data = scalar_at(&text, &["state", "embedded", "path"]).unwrap_or("data");
    let usual = [data, "data"].map(|data| directory.join(data).join(socket_file::SOCKET));
    named.into_iter().chain(usual).collect()
}

/// The value under these keys in block style, whatever else the text is.
fn scalar_at<'a>(text: &'a str, keys: &[&str]) -> Option<&'a str> {
    let mut above: Vec<(usize, &str)> = Vec::new();
    for line in text.lines() {
        let content = line.trim_start();
        let Some((key, value)) = content.split_once(':').filter(|(key, _)| !key.starts_with('#')) else { continue };
        let indent = line.len() - content.len();
        above.retain(|(of_other, _)| *of_other < indent);
        above.push((indent, key.trim_end()));
        let value = value.split(" #").next().unwrap_or_default().trim().trim_matches(['"', '\'']);
        if !value.is_empty() && above.iter().map(|(_, key)| *key).eq(keys.iter().copied()) {
            return Some(value);
        }
    }
    None
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
    tell_at(&socket_file::socket_path(config), method, target, expected)
}

/// The same, of the gateway at this socket.
///
/// # Errors
/// The gateway does not run, or refuses with a reason.
pub(super) fn tell_at(socket: &Path, method: Method, target: &str, expected: ExpectedAnswer) -> anyhow::Result<Value> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(exchange(socket, method, target, None, expected))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_socket_is_found_in_a_file_that_is_no_yaml() {
        let text =
            "admin:\n  address: a:1\n  socket: 'run/it.sock' # here\nstate:\n  embedded:\n    path: kept\nfoo: [\n";
        let found = |text: &str, keys: &[&str]| scalar_at(text, keys).map(str::to_owned);
        assert_eq!(found(text, &["admin", "socket"]).as_deref(), Some("run/it.sock"));
        assert_eq!(found(text, &["state", "embedded", "path"]).as_deref(), Some("kept"));
        assert_eq!(found("other:\n  socket: x\n#admin:\n", &["admin", "socket"]), None);
    }
}
