//! Credentials of the store: users, passwords and TLS. All of them can be replaced while the process runs.

use std::sync::Arc;

use crate::secret::Secret;
use redis::{ClientTlsConfig, RedisConnectionInfo, TlsCertificates};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;

/// Credentials for the servers, and for the sentinels that name them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RedisCredentials {
    /// For the servers.
    pub servers: Credentials,
    /// For the sentinels: none of this is shown to a server.
    pub sentinels: Credentials,
}

/// Credentials for one kind of server.
#[derive(Debug, Clone, Default)]
pub struct Credentials {
    /// The ACL user; `None`: the default user.
    pub username: Option<String>,
    /// The password.
    pub password: Option<Secret>,
    /// TLS, if used.
    pub tls: Option<RedisTlsFiles>,
}

/// TLS settings of the client.
#[derive(Debug, Clone)]
pub struct RedisTlsFiles {
    /// Trusted CAs and client certificate.
    pub config: Arc<ClientConfig>,
    /// Name that the server's certificate must bear; `None`: the host of the address.
    pub server_name: Option<ServerName<'static>>,
    /// The same certificates in PEM, for the nodes of a cluster.
    pub pem: Pem,
}

/// Certificates in PEM.
#[derive(Debug, Clone, Default)]
pub struct Pem {
    /// Trusted CAs; `None`: those of this machine.
    pub ca: Option<Vec<u8>>,
    /// Client certificate and key.
    pub identity: Option<(Vec<u8>, Secret)>,
}

impl Credentials {
    /// User and password for one database.
    pub(super) fn login(&self, database: i64) -> RedisConnectionInfo {
        let mut login = RedisConnectionInfo::default().set_db(database);
        if let Some(username) = &self.username {
            login = login.set_username(username);
        }
        if let Some(password) = self.password.as_ref().and_then(Secret::expose_str) {
            login = login.set_password(password);
        }
        login
    }
}

/// Equal if a server sees no difference.
impl PartialEq for Credentials {
    fn eq(&self, other: &Self) -> bool {
        let password = |credentials: &Self| credentials.password.as_ref().map(|secret| secret.expose().to_vec());
        self.username == other.username && password(self) == password(other) && self.tls == other.tls
    }
}

impl PartialEq for RedisTlsFiles {
    fn eq(&self, other: &Self) -> bool {
        self.server_name == other.server_name && self.pem == other.pem
    }
}

impl PartialEq for Pem {
    fn eq(&self, other: &Self) -> bool {
        let identity = |pem: &Self| pem.identity.as_ref().map(|(chain, key)| (chain.clone(), key.expose().to_vec()));
        self.ca == other.ca && identity(self) == identity(other)
    }
}

impl Pem {
    /// The certificates for the nodes of a cluster.
    pub(super) fn certificates(&self) -> TlsCertificates {
        TlsCertificates {
            client_tls: self.identity.as_ref().map(|(certificate, key)| ClientTlsConfig {
                client_cert: certificate.clone(),
                client_key: key.expose().to_vec(),
            }),
            root_cert: self.ca.clone(),
        }
    }
}
