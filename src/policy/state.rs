//! Settings of the state, read: secrets and certificates of the store.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};

use super::ca_certificates;
use super::certificate_pair::{self, CertificatePair};
use crate::config::{Config, Problems, RedisPlace, raw};
use crate::pem;
use crate::secret::Secret;
use crate::state::redis::access::{Credentials, Pem, RedisCredentials, RedisTlsFiles};
use crate::state::redis::{RedisSettings, RedisTopology};
use crate::state::{Most, Outage, StateSettings};

/// Reads it; what is wrong goes to `problems`.
pub fn read(config: &Config, problems: &mut Problems) -> Option<StateSettings> {
    let raw = &config.raw().state;
    let Some(redis) = &raw.redis else {
        let embedded = raw.embedded.clone().unwrap_or_default();
        let path = config.resolve(&embedded.path);
        let known = path.ancestors().find_map(|path| Some((path, path.metadata().ok()?)));
        if let Some((path, found)) = known
            && !found.is_dir()
        {
            let message = format!("{} is no directory: the state would have no place", path.display());
            problems.push(config.problem(
                "state.embedded.path",
                message,
                "change `state.embedded.path`: name a directory, which need not be there yet",
            ));
            return None;
        }
        let most = Most { sessions: embedded.max_sessions, replay_ids: embedded.max_replay_ids };
        return Some(StateSettings::Embedded(config.resolve(&embedded.path), most));
    };
    let RedisPlace { tls: uses_tls, addresses, database } = config.redis_place()?;
    let kind = match (&redis.sentinel, redis.cluster) {
        (Some(sentinel), _) => RedisTopology::Sentinel(addresses, sentinel.master().to_owned()),
        (None, true) => RedisTopology::Cluster(addresses),
        (None, false) => addresses.into_iter().next().map(|(host, port)| RedisTopology::Single(host, port))?,
    };
    let default_tls = raw::RedisTls::default();
    let tls = uses_tls.then(|| redis.tls.as_ref().unwrap_or(&default_tls));
    let at = "state.redis";
    let at_servers =
        CredentialKeys { at, username: redis.username.as_ref(), password: redis.password.as_ref(), tls_at: at, tls };
    let servers = at_servers.read(config, problems)?;
    let sentinels = match redis.sentinel.as_ref() {
        None => Credentials::default(),
        Some(sentinel) => {
            let own = "state.redis.sentinel";
            let access = sentinel.access();
            let (tls_at, tls) = match access.and_then(|access| access.tls.as_ref()) {
                Some(tls) => (own, Some(tls)),
                None => (at, tls),
            };
            let at_sentinels = CredentialKeys {
                at: own,
                username: access.and_then(|access| access.username.as_ref()),
                password: access.and_then(|access| access.password.as_ref()),
                tls_at,
                tls,
            };
            at_sentinels.read(config, problems)?
        }
    };
    let outage = Outage { sessions: raw.outage.sessions.get(), revocations: raw.outage.revocations.get() };
    let settings = RedisSettings {
        kind,
        prefix: redis.prefix.clone(),
        access: ArcSwap::from_pointee(RedisCredentials { servers, sentinels }),
        database,
        timeout: redis.timeout.get(),
        connect_timeout: redis.connect_timeout.get(),
        replicas: redis.replicas,
    };
    Some(StateSettings::Redis(Box::new(settings), outage))
}

/// Keys of the configuration with the credentials for one kind of server. TLS has a place of its own: sentinels may have
/// that of the servers.
struct CredentialKeys<'c> {
    at: &'static str,
    username: Option<&'c String>,
    password: Option<&'c raw::SecretRef>,
    tls_at: &'static str,
    tls: Option<&'c raw::RedisTls>,
}

impl CredentialKeys<'_> {
    fn read(&self, config: &Config, problems: &mut Problems) -> Option<Credentials> {
        let password = match self.password.map(|password| config.read_secret_line(password)).transpose() {
            Ok(password) => password,
            Err((message, help)) => {
                problems.push(config.problem(&format!("{}.password", self.at), message, help));
                return None;
            }
        };
        let tls = match self.tls.map(|tls| read_tls(config, tls)).transpose() {
            Ok(tls) => tls,
            Err((key, (message, help))) => {
                problems.push(config.problem(&format!("{}.tls.{key}", self.tls_at), message, help));
                return None;
            }
        };
        Some(Credentials { username: self.username.cloned(), password, tls })
    }
}

/// TLS towards Redis; otherwise the key that is wrong, and why.
fn read_tls(config: &Config, raw: &raw::RedisTls) -> Result<RedisTlsFiles, (&'static str, (String, String))> {
    let of_ca = |fault| ("ca", fault);
    let authorities = raw.ca.as_deref().map(|file| ca_certificates::read(config, file)).transpose().map_err(of_ca)?;
    let roots = ca_certificates::roots(config, raw.ca.as_deref()).map_err(of_ca)?;
    let no_tls = || ("ca", ("this machine has no TLS".to_owned(), "use redis://".to_owned()));
    let builder = ca_certificates::builder().ok_or_else(no_tls)?.with_root_certificates(roots);
    let (client, identity) = match (raw.certificate.as_deref(), raw.private_key.as_deref()) {
        (Some(certificate), Some(key)) => {
            let pair = certificate_pair::read(config, certificate, key);
            let CertificatePair { chain, key } = pair.map_err(|(key, message, help)| (key, (message, help)))?;
            let identity = (text(&chain), Secret::new(key_text(&key)));
            let client = builder.with_client_auth_cert(chain, key).map_err(|fault| {
                let help = "give a certificate and the private key that belongs to it".to_owned();
                ("certificate", (fault.to_string(), help))
            })?;
            (client, Some(identity))
        }
        _ => (builder.with_no_client_auth(), None),
    };
    // The nodes of a cluster get PEM that has been read here, whatever stands in the files.
    let pem = Pem { ca: authorities.map(|all| text(&all)), identity };
    let server_name = raw.server_name.clone().and_then(|name| ServerName::try_from(name).ok());
    Ok(RedisTlsFiles { config: Arc::new(client), server_name, pem })
}

fn text(certificates: &[CertificateDer<'_>]) -> Vec<u8> {
    certificates.iter().flat_map(|der| pem::block("CERTIFICATE", der).as_bytes().to_vec()).collect()
}

fn key_text(key: &PrivateKeyDer<'_>) -> Vec<u8> {
    let label = match key {
        PrivateKeyDer::Pkcs1(_) => "RSA PRIVATE KEY",
        PrivateKeyDer::Sec1(_) => "EC PRIVATE KEY",
        _ => "PRIVATE KEY",
    };
    pem::block(label, key.secret_der()).as_bytes().to_vec()
}
