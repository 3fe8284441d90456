//! Backends, compiled: addresses taken apart, credentials and certificates read.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::{HeaderName, HeaderValue, header};

use super::backend_tokens::TokenRegistry;
use super::ca_certificates::Authorities;
use super::servers::{self, SharedServers};
use crate::backend::admission::Queue;
use crate::backend::admission::circuit_breaker::CircuitRule;
use crate::backend::{Backend, BackendAssertion, BackendCredential, RequestBuffer, SentHost};
use crate::body_stream::{self, BufferFiles};
use crate::config::raw::{self, BackendAuthorization};
use crate::config::scalar::Size;
use crate::config::{Config, Problems};
use crate::open_files;

/// HTTP/2 connections of a worker to each server, where the configuration does not say: with 100 streams each, as many
/// servers allow, enough for the usual `concurrency`.
const MAX_CONNECTIONS: usize = 10;

/// Most bytes of a buffered request body in memory, where the configuration does not say.
const REQUEST_BUFFER: Size = Size::kib(1024);

/// Most bytes of all temporary files of a backend, where the configuration does not say.
const REQUEST_BUFFER_TOTAL: Size = Size::kib(1024 * 1024);

/// All backends by name; `None` where one is not usable.
pub(super) fn read(
    config: &Config,
    authorities: &Authorities<'_>,
    shared: &SharedServers,
    tokens: &TokenRegistry,
    problems: &mut Problems,
) -> Option<HashMap<String, Arc<Backend>>> {
    let count = problems.len();
    let mut backends = HashMap::new();
    for (name, raw) in &config.raw().backends {
        let name: Arc<str> = name.as_str().into();
        let servers = shared.servers(config, authorities, &name, raw, problems);
        let authorization = match &raw.authorization {
            None => None,
            Some(BackendAuthorization::OAuth(oauth)) => tokens
                .token(config, authorities, &name, oauth)
                .map_err(|(key, message, help)| {
                    let at = format!("backends.{name}.authorization.oauth.{key}");
                    problems.push(config.problem(&at, message, help));
                })
                .ok()
                .map(BackendCredential::Token),
            Some(raw) => read_authorization(config, &name, raw, problems),
        };
        let backend_assertion =
            raw.backend_assertion.as_ref().and_then(|raw| read_assertion(config, &name, raw, problems));
        let request_buffer = read_request_buffer(config, &name, raw, shared, problems);
        let Some(servers) = servers else { continue };
        let backend = Backend {
            servers,
            host: servers::sent_host(raw),
            name: Arc::clone(&name),
            by_customer: raw.balance == raw::Balance::ConsistentHash,
            authorization,
            backend_assertion,
            request_buffer,
            connect_timeout: raw.connect_timeout.get(),
            timeout: raw.timeout.get(),
            idle_timeout: raw.idle_timeout.get(),
            concurrency: raw.concurrency,
            max_connections: raw.max_connections.unwrap_or(match raw.protocol {
                raw::Protocol::Http1 => usize::MAX,
                raw::Protocol::Http2 => MAX_CONNECTIONS,
            }),
            requests_per_connection: raw.keep_alive.requests(),
            websocket_share: raw.websocket_share,
            upload_share: raw.upload_share,
            adaptive: raw.adaptive.as_ref().map(|adaptive| shared.adaptive(&name, adaptive.min, raw.concurrency)),
            queue: raw.queue.as_ref().map(|queue| Queue { length: queue.length, timeout: queue.timeout.get() }),
            circuit_breaker: CircuitRule {
                failures: raw.circuit_breaker.failures,
                pause: raw.circuit_breaker.pause.get(),
            },
            retry_budget: raw.retry_budget,
            admission: shared.admission(&name),
        };
        backends.insert(name.to_string(), Arc::new(backend));
    }
    (problems.len() == count).then_some(backends)
}

fn read_request_buffer(
    config: &Config,
    name: &str,
    raw: &raw::Backend,
    shared: &SharedServers,
    problems: &mut Problems,
) -> Option<RequestBuffer> {
    if !raw.request_buffering {
        return None;
    }
    let directory = raw.request_buffer_directory.as_ref().map(|path| config.resolve(path));
    if let Some(directory) = &directory {
        // Rights alone do not tell: /proc grants them, and a disk may be read-only.
        if let Err(error) = body_stream::create_buffer_file(directory) {
            let message = format!("no temporary file can be made in {}: {error}", directory.display());
            let at = format!("backends.{name}.request_buffer_directory");
            problems.push(config.problem(&at, message, "name a directory that the gateway may write to"));
        }
    }
    let bytes = raw.request_buffer.unwrap_or(REQUEST_BUFFER).bytes() as u64;
    let files = directory.map(|directory| {
        open_files::reserve_for_buffers();
        let total = raw.request_buffer_total.unwrap_or(REQUEST_BUFFER_TOTAL).bytes() as u64;
        BufferFiles { backend: name.into(), directory: directory.into(), total, space: shared.buffer_space(name) }
    });
    Some(RequestBuffer { bytes, files })
}

/// Stands in on routes that the gateway answers itself. It has no servers: what came here would be 503.
pub(super) fn none() -> Arc<Backend> {
    let second = Duration::from_secs(1);
    Arc::new(Backend {
        servers: servers::none(),
        host: SentHost::Server,
        name: Arc::from("none"),
        by_customer: false,
        authorization: None,
        backend_assertion: None,
        connect_timeout: second,
        timeout: second,
        idle_timeout: second,
        concurrency: 1,
        max_connections: 1,
        requests_per_connection: u32::MAX,
        request_buffer: None,
        websocket_share: 100,
        upload_share: 100,
        adaptive: None,
        queue: None,
        circuit_breaker: CircuitRule { failures: 0, pause: second },
        retry_budget: 0,
        admission: Arc::default(),
    })
}

fn read_assertion(
    config: &Config,
    name: &str,
    raw: &raw::BackendAssertion,
    problems: &mut Problems,
) -> Option<BackendAssertion> {
    let Ok(header) = HeaderName::from_bytes(raw.header.as_bytes()) else {
        let message = format!("`{}` is not a header name", raw.header);
        problems.push(config.problem(
            &format!("backends.{name}.backend_assertion.header"),
            message,
            "write it like X-Wicketgate-Proof",
        ));
        return None;
    };
    Some(BackendAssertion {
        header,
        audience: raw.audience.clone().unwrap_or_else(|| name.to_owned()),
        lifetime: raw.lifetime.as_secs(),
        covers_body: raw.body == raw::AssertionBody::Covered,
    })
}

fn read_authorization(
    config: &Config,
    name: &str,
    raw: &BackendAuthorization,
    problems: &mut Problems,
) -> Option<BackendCredential> {
    let at = format!("backends.{name}.authorization");
    let mut problem = |message: String, help: String| problems.push(config.problem(&at, message, help));
    let (reference, header) = match raw {
        BackendAuthorization::OAuth(_) => return None,
        BackendAuthorization::Basic(basic) => (&basic.password, header::AUTHORIZATION),
        BackendAuthorization::Bearer(token) => (token, header::AUTHORIZATION),
        BackendAuthorization::Header(custom) => match HeaderName::from_bytes(custom.name.as_bytes()) {
            Ok(header) => (&custom.value, header),
            Err(_) => {
                problem(format!("`{}` is not a header name", custom.name), "write it like X-Api-Key".to_owned());
                return None;
            }
        },
    };
    let secret = match config.read_secret_line(reference) {
        Ok(secret) => secret,
        Err((message, help)) => {
            problem(message, help);
            return None;
        }
    };
    let value = match raw {
        BackendAuthorization::Basic(basic) => {
            let mut pair = basic.username.clone().into_bytes();
            pair.push(b':');
            pair.extend_from_slice(secret.expose());
            [b"Basic ", BASE64.encode(pair).as_bytes()].concat()
        }
        BackendAuthorization::Bearer(_) => [b"Bearer ", secret.expose()].concat(),
        BackendAuthorization::Header(_) | BackendAuthorization::OAuth(_) => secret.expose().to_vec(),
    };
    match HeaderValue::from_bytes(&value) {
        Ok(mut value) => {
            value.set_sensitive(true);
            Some(BackendCredential::Fixed(header, value))
        }
        Err(_) => {
            problem(
                "this secret has characters that no header can carry".to_owned(),
                "use one of visible ASCII characters".to_owned(),
            );
            None
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn a_directory_of_bodies_is_one_in_which_a_file_can_be_made() {
        let backend = "    timeout: 10s\n    request_buffering: true\n    request_buffer_directory: ";
        let faults = |directory: &str| {
            let text = include_str!("../../gateway.yaml").replace("    timeout: 10s", &format!("{backend}{directory}"));
            let (config, found) = crate::config::parse(&text, Path::new("/etc/wicketgate/gateway.yaml")).unwrap();
            assert!(found.is_empty(), "{found}");
            let mut problems = Problems::default();
            let raw = &config.raw().backends["legacy"];
            read_request_buffer(&config, "legacy", raw, &SharedServers::default(), &mut problems);
            problems.iter().map(|problem| problem.message.clone()).collect::<Vec<_>>()
        };
        let directory = std::env::temp_dir().join(format!("wicketgate-bodies-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        assert!(faults(directory.to_str().unwrap()).is_empty());
        // Nothing is left.
        std::fs::remove_dir(&directory).unwrap();
        for none in ["/proc", "/nowhere/at/all", "/etc/hostname"] {
            let said = faults(none);
            assert!(said.iter().any(|said| said.contains("no temporary file can be made in")), "{none}: {said:?}");
        }
    }

    #[test]
    fn a_secret_that_no_header_can_carry_is_refused_with_its_real_cause() {
        let directory = std::env::temp_dir().join(format!("wicketgate-tokens-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let file = directory.join("token");
        let said = |bytes: &[u8]| {
            let mut options = std::fs::OpenOptions::new();
            let options = options.write(true).create(true).truncate(true);
            let mut open = std::os::unix::fs::OpenOptionsExt::mode(options, 0o600).open(&file).unwrap();
            std::io::Write::write_all(&mut open, bytes).unwrap();
            let key = format!("    timeout: 10s\n    authorization: {{ bearer: {{ file: {} }} }}", file.display());
            let text = include_str!("../../gateway.yaml").replace("    timeout: 10s", &key);
            let (config, _) = crate::config::parse(&text, Path::new("/etc/wicketgate/gateway.yaml")).unwrap();
            let mut problems = Problems::default();
            let authorization = config.raw().backends["legacy"].authorization.as_ref().unwrap();
            read_authorization(&config, "legacy", authorization, &mut problems);
            problems.iter().map(|problem| problem.message.clone()).collect::<String>()
        };
        assert_eq!(said(b"hunter2\n"), "");
        for (bytes, cause) in [(&b"\xef\xbb\xbfhunter2"[..], "byte order mark"), (b"hunter2\nx\n", "several lines")] {
            let said = said(bytes);
            assert!(said.contains(cause) && !said.contains("hunter2"), "{said}");
        }
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
