//! Store of logins, revocations and counts: `state`.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{FilePath, SecretRef};
use crate::config::scalar::Duration;

/// Store of logins, revocations and failed attempts: `embedded` or `redis`. Default: embedded.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct State {
    /// In one file of this process, which survives restarts.
    pub embedded: Option<Embedded>,
    /// In Redis or Valkey, shared by several replicas.
    pub redis: Option<Redis>,
    /// What is accepted while Redis is unreachable.
    pub outage: Outage,
}

/// State in one file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Embedded {
    /// Directory of the file. It is created where it is missing. One process at a time can use it.
    pub path: PathBuf,
    /// Maximum of sessions by cookie and refresh tokens, counted together. Above it, logins that give one are refused
    /// with 503. Sessions that were idle for too long count until `login.lifetime` after the login, or until half of
    /// these places are taken.
    pub max_sessions: usize,
    /// Maximum of unexpired ids of client assertions and DPoP proofs that are remembered. A client that has as many as
    /// are left for all others is refused with 429; others are unaffected.
    pub max_replay_ids: usize,
}

impl Default for Embedded {
    fn default() -> Self {
        Self { path: PathBuf::from("data/"), max_sessions: 2_000_000, max_replay_ids: 1_000_000 }
    }
}

/// State in Redis or Valkey.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Redis {
    /// Its address: redis://HOST:PORT/DATABASE, or rediss:// with TLS; valkey:// and valkeys:// mean the same. It
    /// contains no password.
    pub url: String,
    /// Further addresses, HOST:PORT: of sentinels, or of nodes of the cluster.
    #[serde(default)]
    pub nodes: Vec<String>,
    /// The addresses are sentinels: name of their master, and their credentials.
    pub sentinel: Option<Sentinel>,
    /// The addresses are nodes of a cluster.
    #[serde(default)]
    pub cluster: bool,
    /// Prefix of every key. Gateways with the same prefix share their state.
    #[serde(default = "default_prefix")]
    pub prefix: String,
    /// The ACL user. Default: the default user. Changed by a reload.
    pub username: Option<String>,
    /// The password. Changed by a reload.
    pub password: Option<SecretRef>,
    /// TLS, where the address is rediss://. Changed by a reload.
    pub tls: Option<RedisTls>,
    /// Allow redis:// to other machines: anyone on the network can then read who is logged in.
    #[serde(default)]
    pub danger_plaintext: bool,
    /// Timeout of an operation.
    #[serde(default = "default_timeout")]
    pub timeout: Duration,
    /// Timeout of connecting.
    #[serde(default = "default_connect_timeout")]
    pub connect_timeout: Duration,
    /// Replicas that must confirm a write before it is acknowledged (WAIT). With fewer confirmations those writes get
    /// 503, everything else goes on. 0: a failover may lose the last writes.
    #[serde(default)]
    pub replicas: u32,
}

fn default_prefix() -> String {
    "wg:".to_owned()
}

fn default_timeout() -> Duration {
    Duration::millis(250)
}

fn default_connect_timeout() -> Duration {
    Duration::seconds(1)
}

/// TLS towards Redis.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RedisTls {
    /// CA certificates (PEM) by which that of Redis is verified. Default: those of the operating system.
    pub ca: Option<FilePath>,
    /// The gateway's client certificate (PEM), where Redis asks for one.
    pub certificate: Option<FilePath>,
    /// Its private key.
    pub private_key: Option<FilePath>,
    /// The name that the server's certificate must have. Default: the host of its address. Not with `cluster`.
    pub server_name: Option<String>,
}

/// The sentinels that name the master: by its name alone, or with what they ask for.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Sentinel {
    /// The name of the master, where sentinels ask for no password and have the TLS of the servers.
    Master(String),
    /// The name of the master, and how sentinels are entered.
    Section(SentinelAccess),
}

impl Sentinel {
    /// The name of the master.
    pub fn master(&self) -> &str {
        match self {
            Self::Master(name) => name,
            Self::Section(section) => &section.master,
        }
    }

    /// How sentinels are entered, where that is said.
    pub fn access(&self) -> Option<&SentinelAccess> {
        match self {
            Self::Master(_) => None,
            Self::Section(section) => Some(section),
        }
    }
}

/// Sentinels that ask for a password, or have TLS of their own.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SentinelAccess {
    /// The name of the master.
    pub master: String,
    /// The ACL user of the sentinels. Default: their default user.
    pub username: Option<String>,
    /// The password of the sentinels; the servers' password is not sent to them.
    pub password: Option<SecretRef>,
    /// TLS towards the sentinels, also where the address is redis://. Default: as towards the servers.
    pub tls: Option<RedisTls>,
}

impl State {
    /// The same without what a running process can take anew: users, passwords and TLS.
    pub fn without_credentials(&self) -> Self {
        let mut state = self.clone();
        if let Some(redis) = &mut state.redis {
            (redis.username, redis.password, redis.tls) = (None, None, None);
            redis.sentinel = redis.sentinel.take().map(|sentinel| Sentinel::Master(sentinel.master().to_owned()));
        }
        state
    }
}

/// Exceptions while Redis is unreachable. Everything else that needs it is refused with 503.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Outage {
    /// How long cached sessions are accepted while Redis is unreachable, from the start of the outage.
    pub sessions: Duration,
    /// How long tokens and API keys are accepted though a revocation may have been missed. Then every call that needs
    /// one is 503.
    pub revocations: Duration,
}

impl Default for Outage {
    fn default() -> Self {
        Self { sessions: Duration::seconds(30), revocations: Duration::seconds(60) }
    }
}
