//! The servers of backends, read: addresses taken apart, certificates read.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use http::{HeaderValue, Uri};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;

use super::ca_certificates::{self, Authorities, ClientBuilder};
use super::certificate_pair::{self, CertificatePair};
use super::client_certificates;
use crate::backend::SentHost;
use crate::backend::admission::Admission;
use crate::backend::admission::adaptive::Adaptive;
use crate::backend::endpoints::health_check::{HealthCheck, Thresholds};
use crate::backend::endpoints::http_options::{HttpOptions, ResponseFault};
use crate::backend::endpoints::outlier_detection::OutlierDetection;
use crate::backend::endpoints::servers::{At, EndpointStatuses, Listed, Rules, Servers};
use crate::backend::proxy_protocol::ProxyProtocol;
use crate::body_stream::BufferSpace;
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
    buffers: Mutex<HashMap<String, Arc<BufferSpace>>>,
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
        let mut buffers = self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        buffers.retain(|_, space| Arc::strong_count(space) > 1);
        buffers.shrink_to_fit();
        self.standings.forget_gone();
    }

    /// What the temporary files of a backend take.
    pub(super) fn buffer_space(&self, backend: &str) -> Arc<BufferSpace> {
        let mut known = self.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(known.entry(backend.to_owned()).or_default())
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
        let rules = rules(config, name, raw);
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
        http: Arc::default(),
    };
    Arc::new(Servers::new("none".into(), Vec::new(), rules, Arc::default()))
}

fn rules(config: &Config, name: &str, raw: &raw::Backend) -> Rules {
    let outlier_detection = OutlierDetection {
        failures: raw.outlier_detection.failures,
        base_ejection_time: raw.outlier_detection.base_ejection_time.get(),
        max_ejection_time: raw.outlier_detection.max_ejection_time.get(),
        max_ejection_percent: raw.outlier_detection.max_ejection_percent,
    };
    let health_check = raw.health_check.as_ref().map(|health| HealthCheck {
        path: health.path.clone(),
        host: checked_host(config, name, raw),
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
        http: Arc::new(http_options(raw)),
    }
}

fn http_options(raw: &raw::Backend) -> HttpOptions {
    let fault = |fault: &raw::Tolerated| match fault {
        raw::Tolerated::FoldedFields => ResponseFault::FoldedField,
        raw::Tolerated::InvalidFields => ResponseFault::InvalidField,
        raw::Tolerated::OddStatusLines => ResponseFault::OddStatusLine,
        raw::Tolerated::MissingCloseNotify => ResponseFault::MissingCloseNotify,
    };
    HttpOptions {
        title_case: raw.header_case == raw::HeaderCase::Title,
        header_names: raw.header_names.clone(),
        tolerated: raw.tolerate.iter().map(fault).collect(),
        max_response_fields: raw.max_response_fields,
        max_response_head: raw.max_response_head.bytes(),
    }
}

/// The `Host` that servers get.
pub(super) fn sent_host(raw: &raw::Backend) -> SentHost {
    match raw.host.as_str() {
        "caller" => SentHost::Caller,
        "server" => SentHost::Server,
        name => HeaderValue::from_str(name).map_or(SentHost::Caller, SentHost::Name),
    }
}

/// The `Host` of health checks; `None`: that of the server. Callers ask for the hosts of the routes to this backend, so
/// the first of them is checked.
fn checked_host(config: &Config, name: &str, raw: &raw::Backend) -> Option<HeaderValue> {
    match sent_host(raw) {
        SentHost::Server => None,
        SentHost::Name(name) => Some(name),
        SentHost::Caller => {
            let routes = config.raw().routes.iter().filter(|route| route.leads_to(name));
            let host = routes.flat_map(|route| &route.hosts).next();
            host.and_then(|host| HeaderValue::from_str(host).ok())
        }
    }
}

/// The `Host` of a server's address: with its port, unless it is the scheme's own (RFC 9110 section 4.2).
fn host_of(uri: &Uri) -> Option<HeaderValue> {
    let own_port = if uri.scheme_str() == Some("https") { 443 } else { 80 };
    let host = match uri.port_u16().filter(|port| *port != own_port) {
        Some(port) => format!("{}:{port}", uri.host()?),
        None => uri.host()?.to_owned(),
    };
    HeaderValue::from_str(&host).ok()
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
        let host = HeaderValue::from_static("localhost");
        return Some(Listed { at: At::Unix(path.into()), tls: None, host, weight: server.weight() });
    }
    let uri: Uri = server.url().parse().ok()?;
    let name = uri.host()?.trim_start_matches('[').trim_end_matches(']');
    let tls = if uri.scheme_str() == Some("https") {
        let certified = ServerName::try_from(certified.unwrap_or(name).to_owned()).ok()?;
        Some((tokio_rustls::TlsConnector::from(Arc::clone(tls?)), certified))
    } else {
        None
    };
    let port = uri.port_u16().unwrap_or(if tls.is_some() { 443 } else { 80 });
    let at = match name.parse::<IpAddr>() {
        Ok(address) => At::Address(SocketAddr::new(address, port)),
        Err(_) => At::Name(name.to_ascii_lowercase(), port),
    };
    Some(Listed { at, tls, host: host_of(&uri)?, weight: server.weight() })
}

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
    let (builder, trusted) = match trust(authorities, name, tls) {
        Ok(trust) => trust,
        Err((key, (message, help))) => {
            problem(&key, message, help);
            return None;
        }
    };
    let mut material = trusted.into_bytes();
    let pair = tls.and_then(|tls| tls.certificate.as_deref().zip(tls.private_key.as_deref()));
    let Some((certificate, private_key)) = pair else {
        return Some((offering(raw, builder.with_no_client_auth()), digest(&material)));
    };
    let CertificatePair { chain, key } = match certificate_pair::read(config, certificate, private_key) {
        Ok(pair) => pair,
        Err((key, message, help)) => {
            problem(key, message, help);
            return None;
        }
    };
    chain.iter().for_each(|der| material.extend_from_slice(der));
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

/// TLS towards servers that this trusts, and what tells it from other trust; otherwise the key that is wrong, the message
/// and the help.
fn trust(
    authorities: &Authorities<'_>,
    name: &str,
    tls: Option<&raw::BackendTls>,
) -> Result<(ClientBuilder, String), (String, (String, String))> {
    let of_ca = |fault| ("ca".to_owned(), fault);
    let no_tls = || of_ca(("this machine has no TLS".to_owned(), "use http://".to_owned()));
    match tls {
        Some(tls) if tls.danger_accept_any_certificate => {
            tracing::warn!(
                backend = name,
                "danger_accept_any_certificate: the certificate of this backend is not verified: anybody on the network \
                 path can read and change everything"
            );
            Ok((ca_certificates::nobody().ok_or_else(no_tls)?, String::new()))
        }
        Some(tls) if !tls.pin_sha256.is_empty() => {
            let mut pins = Vec::new();
            for (number, pin) in tls.pin_sha256.iter().enumerate() {
                pins.push(
                    client_certificates::fingerprint(pin).map_err(|fault| (format!("pin_sha256[{number}]"), fault))?,
                );
            }
            // The pins stand in the configuration itself.
            Ok((ca_certificates::pinned(pins).ok_or_else(no_tls)?, String::new()))
        }
        _ => {
            let authority = authorities.of(tls.and_then(|tls| tls.ca.as_deref())).map_err(of_ca)?;
            Ok((authority.builder().ok_or_else(no_tls)?, authority.digest))
        }
    }
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

    use std::path::Path;

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
        let pin = "AB:".repeat(31) + "cd";
        assert_eq!(with(&format!("pin_sha256: [ '{pin}' ]")), [""; 0]);
        assert_eq!(with(&format!("pin_sha256: [ '{pin}', '{pin}:' ]")), [""; 0]);
        for label in ["sha256 Fingerprint=", "SHA256 Fingerprint="] {
            assert_eq!(with(&format!("pin_sha256: [ '{label}{pin}' ]")), [""; 0], "{label}");
        }
        assert_eq!(with(&format!("pin_sha256: [ 'SHA1 Fingerprint={pin}' ]")), ["backends.b.tls.pin_sha256[0]"]);
        assert_eq!(with(&format!("pin_sha256: [ '{pin}', '{pin}0' ]")), ["backends.b.tls.pin_sha256[1]"]);
        let wrong = r#"servers: [ "https://a-", "http://" ]"#;
        assert_eq!(told(wrong), ["backends.b.servers[0]", "backends.b.servers[1]"]);
    }

    #[test]
    fn the_host_of_an_address_has_its_port_unless_it_is_the_scheme_s_own() {
        for (url, host) in [
            ("http://app:80", "app"),
            ("http://app:443", "app:443"),
            ("https://app.internal:443", "app.internal"),
            ("https://app.internal:8443", "app.internal:8443"),
            ("http://[::1]:9000", "[::1]:9000"),
            ("http://10.0.0.1", "10.0.0.1"),
        ] {
            assert_eq!(host_of(&url.parse().unwrap()).unwrap(), host, "{url}");
        }
    }
}
