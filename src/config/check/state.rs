//! Checks of `state`.

use super::super::raw::{Redis, RedisTls, SecretRef};
use super::super::scalar::Duration;
use super::Check;

/// An address of a store.
pub(in crate::config) struct RedisAddress {
    pub(in crate::config) tls: bool,
    pub(in crate::config) host: String,
    pub(in crate::config) port: u16,
    pub(in crate::config) database: i64,
}

impl Check<'_> {
    pub(super) fn state(&mut self) {
        let state = &self.raw.state;
        if let Some(embedded) = &state.embedded {
            self.more_than_zero("state.embedded.max_sessions", embedded.max_sessions);
            self.more_than_zero("state.embedded.max_replay_ids", embedded.max_replay_ids);
            if state.redis.is_some() {
                self.add("state", "`embedded` and `redis` stand side by side", "keep one of them");
            }
        }
        if state.outage.revocations < Duration::seconds(2) {
            let message = "news take a moment: this would refuse everything now and then";
            self.add("state.outage.revocations", message, "write at least 2s");
        }
        if let Some(redis) = &state.redis {
            self.redis(redis);
        }
    }

    fn redis(&mut self, redis: &Redis) {
        let at = "state.redis";
        match RedisAddress::parse(&redis.url) {
            Err((message, help)) => self.add("state.redis.url", message, help),
            Ok(address) => {
                if redis.tls.is_some() && !address.tls {
                    self.add("state.redis.tls", "this address does not use TLS", "write rediss://, or remove `tls`");
                }
                if !address.tls && !redis.danger_plaintext && !is_loopback(&address.host) {
                    let message = "redis:// to another machine: whoever reads the network sees who is logged in";
                    self.add("state.redis.url", message, "write rediss://, or add danger_plaintext: true");
                }
                if address.database != 0 && redis.cluster {
                    self.add("state.redis.url", "a cluster has no databases", "remove the number");
                }
            }
        }
        for (index, node) in redis.nodes.iter().enumerate() {
            if host_and_port(node).is_none() {
                self.add(&format!("{at}.nodes[{index}]"), "this is not an address", "write it like 10.0.0.7:26379");
            }
        }
        if redis.cluster && redis.sentinel.is_some() {
            self.add(at, "`cluster` and `sentinel` stand side by side", "keep one of them");
        }
        if !redis.nodes.is_empty() && !redis.cluster && redis.sentinel.is_none() {
            let message = "several addresses are sentinels or nodes of a cluster";
            self.add("state.redis.nodes", message, "add `sentinel` or cluster: true, or remove `nodes`");
        }
        if redis.cluster && redis.replicas > 0 {
            let message = "WAIT says nothing about the nodes of a cluster";
            self.add("state.redis.replicas", message, "remove `replicas`");
        }
        self.credentials(at, redis.username.as_ref(), redis.password.as_ref(), redis.tls.as_ref());
        if redis.cluster && redis.tls.as_ref().is_some_and(|tls| tls.server_name.is_some()) {
            let help = "remove it, and let the cluster announce names that are in its certificates: \
                        cluster-announce-hostname, and cluster-preferred-endpoint-type hostname";
            self.add("state.redis.tls.server_name", "each node of a cluster has a name of its own", help);
        }
        if let Some(sentinel) = redis.sentinel.as_ref() {
            if sentinel.master().is_empty() {
                self.add("state.redis.sentinel", "the master has no name", "write the name that the sentinels know");
            }
            if let Some(access) = sentinel.access() {
                let at = "state.redis.sentinel";
                self.credentials(at, access.username.as_ref(), access.password.as_ref(), access.tls.as_ref());
            }
        }
        self.some_time("state.redis.timeout", redis.timeout);
        self.some_time("state.redis.connect_timeout", redis.connect_timeout);
        if redis.timeout > Duration::seconds(5) {
            self.add("state.redis.timeout", "callers would wait as long", "write at most 5s");
        }
    }

    fn credentials(
        &mut self,
        at: &str,
        username: Option<&String>,
        password: Option<&SecretRef>,
        tls: Option<&RedisTls>,
    ) {
        if username.is_some() && password.is_none() {
            self.add(&format!("{at}.username"), "a user without a password", "add `password: {file: PATH}`");
        }
        let Some(tls) = tls else { return };
        if tls.certificate.is_some() != tls.private_key.is_some() {
            let message = "`certificate` and `private_key` belong together";
            self.add(&format!("{at}.tls"), message, "add the other, or remove both");
        }
        let name = tls.server_name.clone();
        if name.is_some_and(|name| rustls::pki_types::ServerName::try_from(name).is_err()) {
            let help = "write it as it stands in the certificate, such as redis.internal";
            self.add(&format!("{at}.tls.server_name"), "this is neither a host name nor an IP address", help);
        }
    }
}

impl RedisAddress {
    /// The address in `redis://HOST:PORT/DATABASE`; message and help where it is none.
    pub(in crate::config) fn parse(text: &str) -> Result<Self, (String, String)> {
        let how = || "write it like redis://127.0.0.1:6379, or rediss:// for TLS".to_owned();
        let (scheme, rest) = text.split_once("://").ok_or_else(|| ("this is not an address".to_owned(), how()))?;
        let tls = match scheme {
            "redis" | "valkey" => false,
            "rediss" | "valkeys" => true,
            _ => return Err(("the address begins with neither redis:// nor rediss://".to_owned(), how())),
        };
        if rest.contains('@') {
            let message = "a secret is never written here".to_owned();
            return Err((message, "use `username` and `password: {file: PATH}`".to_owned()));
        }
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        let database = if database.is_empty() { Some(0) } else { database.parse().ok().filter(|number| *number >= 0) };
        let with_port = if authority.ends_with(']') || !authority.contains(':') {
            format!("{authority}:6379")
        } else {
            authority.to_owned()
        };
        match (host_and_port(&with_port), database) {
            (Some((host, port)), Some(database)) => Ok(Self { tls, host, port, database }),
            _ => Err(("this is not the address of a Redis".to_owned(), how())),
        }
    }
}

/// Host and port in `HOST:PORT`; an IPv6 address stands in brackets.
pub(in crate::config) fn host_and_port(text: &str) -> Option<(String, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let host = match bare {
        Some(address) => address.parse::<std::net::Ipv6Addr>().ok().map(|_| address)?,
        None => host,
    };
    let plain = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte));
    let good = !host.is_empty() && plain && (bare.is_some() || !host.contains(':'));
    Some((host.to_owned(), port.parse().ok().filter(|port| *port > 0)?)).filter(|_| good)
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}
