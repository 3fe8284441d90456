//! Backends, compiled: addresses taken apart, credentials and certificates read.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::{HeaderName, HeaderValue, Uri, header};
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};

use super::trust;
use crate::backend::health::Health;
use crate::backend::servers::{At, Listed, Rules, Servers, Standings};
use crate::backend::standing::{Ejection, Thresholds};
use crate::backend::{Backend, Proof};
use crate::config::raw::{self, BackendAuthorization};
use crate::config::{Config, Problems};
use crate::state::session::hex;

/// What outlives a policy: how many requests are in flight to which backend, and how its servers stand.
#[derive(Debug, Default)]
pub struct Shared {
    in_flight: Mutex<HashMap<String, Arc<AtomicUsize>>>,
    /// By all that decides about them.
    servers: Mutex<HashMap<String, Weak<Servers>>>,
    standings: Arc<Standings>,
}

impl Shared {
    fn in_flight(&self, backend: &str) -> Arc<AtomicUsize> {
        let mut known = self.in_flight.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(known.entry(backend.to_owned()).or_default())
    }

    /// The servers of this description, as they are held already or made now.
    fn servers(&self, description: String, make: impl FnOnce(Arc<Standings>) -> Servers) -> Arc<Servers> {
        let mut known = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, servers| servers.strong_count() > 0);
        if let Some(servers) = known.get(&description).and_then(Weak::upgrade) {
            return servers;
        }
        let servers = Arc::new(make(Arc::clone(&self.standings)));
        known.insert(description, Arc::downgrade(&servers));
        servers
    }
}

/// All backends by name; `None` where one is not usable.
pub fn read(config: &Config, shared: &Shared, problems: &mut Problems) -> Option<HashMap<String, Arc<Backend>>> {
    let count = problems.len();
    let mut backends = HashMap::new();
    for (name, raw) in &config.raw().backends {
        let tls = read_tls(config, name, raw, problems);
        let listed = read_servers(config, name, raw, tls.as_ref().map(|(tls, _)| tls), problems);
        let authorization = raw.authorization.as_ref().and_then(|raw| read_authorization(config, name, raw, problems));
        let proof = raw.proof.as_ref().and_then(|raw| read_proof(config, name, raw, problems));
        let arc_name: Arc<str> = name.as_str().into();
        let host = host(raw.servers.first().map_or("", raw::Server::url));
        let rules = rules(raw, &host);
        // All else may change, and the servers stay as they are with all connections to them.
        let material = tls.map(|(_, digest)| digest);
        let description = format!("{name} {:?} {:?} {rules:?} {material:?}", raw.servers, raw.tls);
        let make = |standings| Servers::new(Arc::clone(&arc_name), listed, rules, standings);
        let backend = Backend {
            servers: shared.servers(description, make),
            name: arc_name,
            by_customer: raw.balance == raw::Balance::Identifier,
            host,
            authorization,
            proof,
            connect_timeout: raw.connect_timeout.get(),
            timeout: raw.timeout.get(),
            idle_timeout: raw.idle_timeout.get(),
            concurrency: raw.concurrency,
            in_flight: shared.in_flight(name),
        };
        backends.insert(name.clone(), Arc::new(backend));
    }
    (problems.len() == count).then_some(backends)
}

fn rules(raw: &raw::Backend, host: &HeaderValue) -> Rules {
    let ejection = Ejection {
        failures: raw.ejection.failures,
        time: raw.ejection.time.get(),
        longest: raw.ejection.longest.get(),
        most: raw.ejection.most,
    };
    let health = raw.health.as_ref().map(|health| Health {
        path: health.path.clone(),
        host: host.clone(),
        interval: health.interval.get(),
        timeout: health.timeout.get(),
        status: health.status.iter().flatten().filter_map(|status| u16::try_from(*status).ok()).collect(),
        thresholds: Thresholds { healthy: health.healthy, unhealthy: health.unhealthy },
    });
    Rules { ejection, slow_start: raw.slow_start.get(), health, resolve: raw.resolve.interval.get() }
}

/// The `Host` of requests that the gateway makes itself.
fn host(url: &str) -> HeaderValue {
    let uri: Option<Uri> = url.parse().ok();
    let host = uri.as_ref().and_then(Uri::authority).and_then(|host| HeaderValue::from_str(host.as_str()).ok());
    host.unwrap_or(HeaderValue::from_static("localhost"))
}

fn read_servers(
    config: &Config,
    name: &str,
    raw: &raw::Backend,
    tls: Option<&Arc<ClientConfig>>,
    problems: &mut Problems,
) -> Vec<Listed> {
    let certified = raw.tls.as_ref().and_then(|tls| tls.name.as_deref());
    let mut all = Vec::new();
    for (number, server) in raw.servers.iter().enumerate() {
        match listed(server, certified, tls) {
            Some(listed) => all.push(listed),
            None => problems.push(config.problem(
                &format!("backends.{name}.servers[{number}]"),
                format!("`{}` is not the address of a server", server.url()),
                "write it like http://127.0.0.1:9000",
            )),
        }
    }
    all
}

fn listed(server: &raw::Server, certified: Option<&str>, tls: Option<&Arc<ClientConfig>>) -> Option<Listed> {
    if let Some(path) = server.url().strip_prefix("unix:") {
        return Some(Listed { at: At::Unix(path.into()), tls: None, weight: server.weight() });
    }
    let uri: Uri = server.url().parse().ok()?;
    let host = uri.host()?.trim_start_matches('[').trim_end_matches(']');
    let tls = if uri.scheme_str() == Some("https") {
        let name = ServerName::try_from(certified.unwrap_or(host).to_owned()).ok()?;
        Some((tokio_rustls::TlsConnector::from(Arc::clone(tls?)), name))
    } else {
        None
    };
    let port = uri.port_u16().unwrap_or(if tls.is_some() { 443 } else { 80 });
    let at = match host.parse::<IpAddr>() {
        Ok(address) => At::Address(SocketAddr::new(address, port)),
        Err(_) => At::Name(host.to_ascii_lowercase(), port),
    };
    Some(Listed { at, tls, weight: server.weight() })
}

/// TLS towards https servers, with a digest of all that was read for it; `None` where no server has it, or where
/// something is wrong with it.
fn read_tls(
    config: &Config,
    name: &str,
    raw: &raw::Backend,
    problems: &mut Problems,
) -> Option<(Arc<ClientConfig>, String)> {
    if !raw.servers.iter().any(|server| server.url().starts_with("https:")) {
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
    let mut material: Vec<u8> = roots.roots.iter().flat_map(|anchor| anchor.subject_public_key_info.to_vec()).collect();
    let builder = if tls.is_some_and(|tls| tls.danger_accept_any_certificate) {
        tracing::warn!(
            backend = name,
            "danger_accept_any_certificate: this backend's certificate is not checked, and whoever is on the way can read \
             and change everything"
        );
        trust::nobody()?
    } else {
        trust::builder()?.with_root_certificates(roots)
    };
    let pair = tls.and_then(|tls| tls.certificate.as_deref().zip(tls.private_key.as_deref()));
    let Some((certificate, private_key)) = pair else {
        return Some((Arc::new(builder.with_no_client_auth()), digest(&material)));
    };
    let chain: Result<Vec<_>, _> = config.read_file(certificate).map(|pem| {
        material.extend_from_slice(&pem);
        CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok).collect()
    });
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
        Ok(config) => Some((Arc::new(config), digest(&material))),
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

fn digest(material: &[u8]) -> String {
    hex(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, material).as_ref())
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
