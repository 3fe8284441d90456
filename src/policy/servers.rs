//! The servers of backends, read: addresses taken apart, certificates read.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use http::{HeaderValue, Uri};
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};

use super::ca_certificates::{self, Authorities, Authority};
use crate::backend::admission::Admission;
use crate::backend::admission::adaptive::Adaptive;
use crate::backend::endpoints::health_check::{HealthCheck, Thresholds};
use crate::backend::endpoints::outlier_detection::OutlierDetection;
use crate::backend::endpoints::servers::{At, EndpointStatuses, Listed, Rules, Servers};
use crate::backend::proxy_protocol::ProxyProtocol;
use crate::config::{Config, Problems, raw};
use crate::hex::hex;

/// Load of backends and status of their servers, which outlive a policy.
#[derive(Debug, Default)]
pub struct SharedServers {
    admissions: Mutex<HashMap<String, Arc<Admission>>>,
    /// By all that decides about them.
    servers: Mutex<HashMap<String, Weak<Servers>>>,
    standings: Arc<EndpointStatuses>,
    adaptive: Mutex<HashMap<String, Arc<Adaptive>>>,
}

impl SharedServers {
    /// Forgets what belongs to backends and servers that are gone: nobody but this holds it.
    pub(super) fn forget_gone(&self) {
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        servers.retain(|_, servers| servers.strong_count() > 0);
        servers.shrink_to_fit();
        let mut admissions = self.admissions.lock().unwrap_or_else(PoisonError::into_inner);
        admissions.retain(|_, admission| Arc::strong_count(admission) > 1);
        admissions.shrink_to_fit();
        let mut adaptive = self.adaptive.lock().unwrap_or_else(PoisonError::into_inner);
        adaptive.retain(|_, adaptive| Arc::strong_count(adaptive) > 1);
        adaptive.shrink_to_fit();
        self.standings.forget_gone();
    }

    /// The admission control of a backend.
    pub(super) fn admission(&self, backend: &str) -> Arc<Admission> {
        let mut known = self.admissions.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(known.entry(backend.to_owned()).or_insert_with(|| Arc::new(Admission::new(backend))))
    }

    /// The adaptive concurrency limit of a backend, kept while its bounds are the same.
    pub(super) fn adaptive(&self, backend: &str, min: usize, max: usize) -> Arc<Adaptive> {
        let mut known = self.adaptive.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(adaptive) = known.get(backend).filter(|adaptive| adaptive.is_between(min, max)) {
            return Arc::clone(adaptive);
        }
        let adaptive = Arc::new(Adaptive::new(min, max, Instant::now()));
        known.insert(backend.to_owned(), Arc::clone(&adaptive));
        adaptive
    }

    /// The servers of a backend, as they are held already or made now; `None` where something is wrong with them.
    pub(super) fn servers(
        &self,
        config: &Config,
        authorities: &Authorities<'_>,
        name: &Arc<str>,
        raw: &raw::Backend,
        problems: &mut Problems,
    ) -> Option<Arc<Servers>> {
        let count = problems.len();
        let tls = read_tls(config, authorities, name, raw, problems);
        let is_tls_refused = problems.len() > count;
        let listed = read_servers(config, name, raw, tls.as_ref().map(|(tls, _)| tls), is_tls_refused, problems);
        let rules = rules(raw);
        // All else may change, and the servers stay as they are with all connections to them.
        let material = tls.map(|(_, digest)| digest);
        let description = format!("{name} {:?} {:?} {rules:?} {material:?}", raw.servers, raw.tls);
        let make = |standings| Servers::new(Arc::clone(name), listed, rules, standings);
        (problems.len() == count).then(|| self.held(description, make))
    }

    /// The servers of this description, as they are held already or made now.
    fn held(&self, description: String, make: impl FnOnce(Arc<EndpointStatuses>) -> Servers) -> Arc<Servers> {
        let mut known = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(servers) = known.get(&description).and_then(Weak::upgrade) {
            return servers;
        }
        let servers = Arc::new(make(Arc::clone(&self.standings)));
        known.insert(description, Arc::downgrade(&servers));
        servers
    }
}

/// No servers.
pub(super) fn none() -> Arc<Servers> {
    let time = Duration::from_secs(1);
    let outlier_detection =
        OutlierDetection { failures: 0, base_ejection_time: time, max_ejection_time: time, max_ejection_percent: 0 };
    let rules = Rules {
        outlier_detection,
        slow_start: Duration::ZERO,
        health_check: None,
        resolve: time,
        http2: false,
        proxy_protocol: None,
    };
    Arc::new(Servers::new("none".into(), Vec::new(), rules, Arc::default()))
}

fn rules(raw: &raw::Backend) -> Rules {
    let outlier_detection = OutlierDetection {
        failures: raw.outlier_detection.failures,
        base_ejection_time: raw.outlier_detection.base_ejection_time.get(),
        max_ejection_time: raw.outlier_detection.max_ejection_time.get(),
        max_ejection_percent: raw.outlier_detection.max_ejection_percent,
    };
    let health_check = raw.health_check.as_ref().map(|health| HealthCheck {
        path: health.path.clone(),
        host: host(raw),
        interval: health.interval.get(),
        timeout: health.timeout.get(),
        status: health.status.iter().flatten().filter_map(|status| u16::try_from(*status).ok()).collect(),
        http2: is_http2(raw),
        thresholds: Thresholds { healthy: health.healthy_threshold, unhealthy: health.unhealthy_threshold },
    });
    Rules {
        outlier_detection,
        slow_start: raw.slow_start.get(),
        health_check,
        resolve: raw.resolve.interval.get(),
        http2: is_http2(raw),
        proxy_protocol: raw.proxy_protocol.map(|version| match version {
            raw::ProxyProtocol::V1 => ProxyProtocol::V1,
            raw::ProxyProtocol::V2 => ProxyProtocol::V2,
        }),
    }
}

/// The `Host` of requests that the gateway makes itself.
pub(super) fn host(raw: &raw::Backend) -> HeaderValue {
    let uri: Option<Uri> = raw.servers.first().and_then(|server| server.url().parse().ok());
    let host = uri.as_ref().and_then(Uri::authority).and_then(|host| HeaderValue::from_str(host.as_str()).ok());
    host.unwrap_or(HeaderValue::from_static("localhost"))
}

fn read_servers(
    config: &Config,
    name: &str,
    raw: &raw::Backend,
    tls: Option<&Arc<ClientConfig>>,
    is_tls_refused: bool,
    problems: &mut Problems,
) -> Vec<Listed> {
    let certified = raw.tls.as_ref().and_then(|tls| tls.server_name.as_deref());
    let mut all = Vec::new();
    for (number, server) in raw.servers.iter().enumerate() {
        match listed(server, certified, tls) {
            Some(listed) => all.push(listed),
            // The fault of its TLS has been told, and the address may be right.
            None if is_tls_refused && server.url().starts_with("https:") => {}
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

/// A certificate chain and the private key of its first certificate.
type CertificatePair = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn is_http2(raw: &raw::Backend) -> bool {
    raw.protocol == raw::Protocol::Http2
}

/// TLS towards https servers, with a digest of all that was read for it; `None` where no server has it, or where
/// something is wrong with it.
fn read_tls(
    config: &Config,
    authorities: &Authorities<'_>,
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
    let server_name = tls.and_then(|tls| tls.server_name.as_deref());
    if let Some(server_name) = server_name.filter(|name| ServerName::try_from(*name).is_err()) {
        let message = format!("`{server_name}` is not a host name that a certificate can be for");
        problem("server_name", message, "write it like backend.example.com".to_owned());
    }
    let Authority { roots, digest: trusted, .. } = match authorities.of(tls.and_then(|tls| tls.ca.as_deref())) {
        Ok(authority) => authority,
        Err((message, help)) => {
            problem("ca", message, help);
            return None;
        }
    };
    let mut material = trusted.into_bytes();
    let builder = if tls.is_some_and(|tls| tls.danger_accept_any_certificate) {
        tracing::warn!(
            backend = name,
            "danger_accept_any_certificate: the certificate of this backend is not verified: anybody on the network path can \
             read and change everything"
        );
        ca_certificates::nobody()?
    } else {
        ca_certificates::builder()?.with_root_certificates(roots)
    };
    let pair = tls.and_then(|tls| tls.certificate.as_deref().zip(tls.private_key.as_deref()));
    let Some((certificate, private_key)) = pair else {
        return Some((offering(raw, builder.with_no_client_auth()), digest(&material)));
    };
    let (chain, key) = match read_pair(config, certificate, private_key, &mut material) {
        Ok(pair) => pair,
        Err((key, (message, help))) => {
            problem(key, message, help);
            return None;
        }
    };
    match builder.with_client_auth_cert(chain, key) {
        Ok(config) => Some((offering(raw, config), digest(&material))),
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

/// The gateway's own certificate chain and its private key, whose PEM of the chain is added to `material`; otherwise the
/// configuration key that is wrong, the message and the help.
fn read_pair(
    config: &Config,
    certificate: &Path,
    private_key: &Path,
    material: &mut Vec<u8>,
) -> Result<CertificatePair, (&'static str, (String, String))> {
    let (chain_pem, key_pem) = (config.read_file(certificate), config.read_private_file(private_key));
    let chain_pem = chain_pem.map_err(|fault| ("certificate", fault))?;
    material.extend_from_slice(&chain_pem);
    let chain = CertificateDer::pem_slice_iter(&chain_pem).filter_map(Result::ok).collect();
    let key_pem = key_pem.map_err(|fault| ("private_key", fault))?;
    let key = PrivateKeyDer::from_pem_slice(&key_pem).map_err(|fault| {
        let message = format!("{}: {fault}", config.resolve(private_key).display());
        ("private_key", (message, "put a private key there, in PEM".to_owned()))
    })?;
    Ok((chain, key))
}

/// With the protocol that is to be spoken (RFC 7301).
fn offering(raw: &raw::Backend, mut config: ClientConfig) -> Arc<ClientConfig> {
    if is_http2(raw) {
        config.alpn_protocols = vec![b"h2".to_vec()];
    }
    Arc::new(config)
}

fn digest(material: &[u8]) -> String {
    hex(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, material).as_ref())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use super::*;
    use crate::config::parse;

    /// Paths of the problems with a backend that has these keys.
    fn told(backend: &str) -> Vec<String> {
        let text = format!(
            r#"
listen: [ {{ address: "127.0.0.1:0" }} ]
routes: [ {{ name: a, path: /, methods: [ GET ], public: true, backend: b }} ]
backends: {{ b: {{ {backend} }} }}
"#
        );
        let (config, _) = parse(&text, Path::new("/nowhere/gateway.yaml")).unwrap();
        let (shared, mut problems) = (SharedServers::default(), Problems::new());
        let raw = &config.raw().backends["b"];
        let servers = shared.servers(&config, &Authorities::new(&config), &"b".into(), raw, &mut problems);
        assert_eq!(servers.is_some(), problems.is_empty(), "{problems}");
        problems.into_iter().map(|problem| problem.path).collect()
    }

    #[test]
    fn tls_that_cannot_be_used_is_one_problem_and_none_of_the_addresses() {
        let servers = r#"servers: [ "https://a.example.com", "https://b.example.com" ]"#;
        let with = |tls: &str| told(&format!("{servers}, tls: {{ {tls} }}"));
        assert_eq!(with("ca: nope.pem"), ["backends.b.tls.ca"]);
        assert_eq!(with("certificate: nope.pem, private_key: nope.key"), ["backends.b.tls.certificate"]);
        for name in ["a b", "[::1]", "a-"] {
            assert_eq!(with(&format!("server_name: '{name}'")), ["backends.b.tls.server_name"], "{name}");
        }
        assert_eq!(with("server_name: a.example.com"), [""; 0]);
        let wrong = r#"servers: [ "https://a-", "http://" ]"#;
        assert_eq!(told(wrong), ["backends.b.servers[0]", "backends.b.servers[1]"]);
    }
}
