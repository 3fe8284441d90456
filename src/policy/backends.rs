//! Backends, compiled: addresses taken apart, credentials and certificates read.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::{HeaderName, HeaderValue, Uri, header};
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};

use super::trust;
use crate::backend::{Backend, Endpoint, Host, Proof};
use crate::config::raw::{self, BackendAuthorization};
use crate::config::{Config, Problems};

/// Numbers servers for the connection pools.
static NEXT_ENDPOINT: AtomicU64 = AtomicU64::new(0);

/// What outlives a policy: how many requests are in flight to which backend.
#[derive(Debug, Default)]
pub struct Shared {
    in_flight: Mutex<HashMap<String, Arc<AtomicUsize>>>,
}

impl Shared {
    fn in_flight(&self, backend: &str) -> Arc<AtomicUsize> {
        let mut known = self.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(known.entry(backend.to_owned()).or_default())
    }
}

/// All backends by name; `None` where one is not usable.
pub fn read(config: &Config, shared: &Shared, problems: &mut Problems) -> Option<HashMap<String, Arc<Backend>>> {
    let count = problems.len();
    let mut backends = HashMap::new();
    for (name, raw) in &config.raw().backends {
        let tls = read_tls(config, name, raw, problems);
        let endpoints = read_servers(config, name, raw, tls.as_ref(), problems);
        let authorization = raw.authorization.as_ref().and_then(|raw| read_authorization(config, name, raw, problems));
        let proof = raw.proof.as_ref().and_then(|raw| read_proof(config, name, raw, problems));
        let backend = Backend {
            name: name.as_str().into(),
            endpoints,
            authorization,
            proof,
            connect_timeout: raw.connect_timeout.get(),
            timeout: raw.timeout.get(),
            idle_timeout: raw.idle_timeout.get(),
            concurrency: raw.concurrency,
            in_flight: shared.in_flight(name),
            turn: AtomicUsize::new(0),
        };
        backends.insert(name.clone(), Arc::new(backend));
    }
    (problems.len() == count).then_some(backends)
}

fn read_servers(
    config: &Config,
    name: &str,
    raw: &raw::Backend,
    tls: Option<&Arc<ClientConfig>>,
    problems: &mut Problems,
) -> Vec<Endpoint> {
    let mut endpoints = Vec::new();
    for (number, server) in raw.servers.iter().enumerate() {
        match endpoint(server, tls) {
            Some(endpoint) => endpoints.push(endpoint),
            None => problems.push(config.problem(
                &format!("backends.{name}.servers[{number}]"),
                format!("`{server}` is not the address of a server"),
                "write it like http://127.0.0.1:9000",
            )),
        }
    }
    endpoints
}

fn endpoint(server: &str, tls: Option<&Arc<ClientConfig>>) -> Option<Endpoint> {
    let uri: Uri = server.parse().ok()?;
    let host = uri.host()?.trim_start_matches('[').trim_end_matches(']');
    let tls = if uri.scheme_str() == Some("https") {
        let name = ServerName::try_from(host.to_owned()).ok()?;
        Some((tokio_rustls::TlsConnector::from(Arc::clone(tls?)), name))
    } else {
        None
    };
    Some(Endpoint {
        id: NEXT_ENDPOINT.fetch_add(1, Ordering::Relaxed),
        host: host.parse().map_or_else(|_| Host::Name(host.to_owned()), Host::Address),
        port: uri.port_u16().unwrap_or(if tls.is_some() { 443 } else { 80 }),
        tls,
    })
}

/// TLS towards https servers; `None` where no server has it, or where something is wrong with it.
fn read_tls(config: &Config, name: &str, raw: &raw::Backend, problems: &mut Problems) -> Option<Arc<ClientConfig>> {
    if !raw.servers.iter().any(|server| server.starts_with("https:")) {
        return None;
    }
    let mut problem = |key: &str, message: String, help: String| {
        problems.push(config.problem(&format!("backends.{name}.tls.{key}"), message, help));
    };
    let tls = raw.tls.as_ref();
    let roots = match trust::roots(config, tls.and_then(|tls| tls.ca.as_deref())) {
        Ok(roots) => roots,
        Err((message, help)) => {
            problem("ca", message, help);
            return None;
        }
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .ok()?
        .with_root_certificates(roots);
    let pair = tls.and_then(|tls| tls.certificate.as_deref().zip(tls.private_key.as_deref()));
    let Some((certificate, private_key)) = pair else {
        return Some(Arc::new(builder.with_no_client_auth()));
    };
    let chain =
        config.read_file(certificate).map(|pem| CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok).collect());
    let key = config.read_private_file(private_key).map(|pem| PrivateKeyDer::from_pem_slice(&pem));
    let (chain, key) = match (chain, key) {
        (Ok(chain), Ok(Ok(key))) => (chain, key),
        (Err((message, help)), _) => {
            problem("certificate", message, help);
            return None;
        }
        (_, Err((message, help))) => {
            problem("private_key", message, help);
            return None;
        }
        (_, Ok(Err(fault))) => {
            problem(
                "private_key",
                format!("{}: {fault}", config.resolve(private_key).display()),
                "put a private key there, in PEM".to_owned(),
            );
            return None;
        }
    };
    match builder.with_client_auth_cert(chain, key) {
        Ok(config) => Some(Arc::new(config)),
        Err(fault) => {
            problem(
                "certificate",
                fault.to_string(),
                "give a certificate and the private key that belongs to it".to_owned(),
            );
            None
        }
    }
}

fn read_proof(config: &Config, name: &str, raw: &raw::Proof, problems: &mut Problems) -> Option<Proof> {
    let Ok(header) = HeaderName::from_bytes(raw.header.as_bytes()) else {
        let message = format!("`{}` is not a header name", raw.header);
        problems.push(config.problem(
            &format!("backends.{name}.proof.header"),
            message,
            "write it like X-Wicketgate-Proof",
        ));
        return None;
    };
    Some(Proof {
        header,
        audience: raw.audience.clone().unwrap_or_else(|| name.to_owned()),
        lifetime: raw.lifetime.as_secs(),
        covers_body: raw.body == raw::ProofBody::Covered,
    })
}

fn read_authorization(
    config: &Config,
    name: &str,
    raw: &BackendAuthorization,
    problems: &mut Problems,
) -> Option<(HeaderName, HeaderValue)> {
    let at = format!("backends.{name}.authorization");
    let mut problem = |message: String, help: String| problems.push(config.problem(&at, message, help));
    let (reference, header) = match raw {
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
    let secret = match config.read_secret(reference) {
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
        BackendAuthorization::Header(_) => secret.expose().to_vec(),
    };
    match HeaderValue::from_bytes(&value) {
        Ok(mut value) => {
            value.set_sensitive(true);
            Some((header, value))
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
