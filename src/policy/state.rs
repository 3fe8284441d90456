//! Where state is kept, read: the secrets and certificates of the store.

use crate::config::raw;
use crate::config::{Config, Problems, RedisPlace};
use crate::secret::Secret;
use crate::state::redis::{Kind, Settings as RedisSettings, Tls};
use crate::state::{Most, Outage, Settings};

/// Reads it; what is wrong goes to `problems`.
pub fn read(config: &Config, problems: &mut Problems) -> Option<Settings> {
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
        return Some(Settings::Embedded(config.resolve(&embedded.path), most));
    };
    let RedisPlace { tls: uses_tls, addresses, database } = config.redis_place()?;
    let kind = match (&redis.sentinel, redis.cluster) {
        (Some(master), _) => Kind::Sentinel(addresses, master.clone()),
        (None, true) => Kind::Cluster(addresses),
        (None, false) => addresses.into_iter().next().map(|(host, port)| Kind::Single(host, port))?,
    };
    let mut taken = |at: &str, outcome: Result<Secret, (String, String)>| match outcome {
        Ok(secret) => Some(secret),
        Err((message, help)) => {
            problems.push(config.problem(at, message, help));
            None
        }
    };
    let password = match &redis.password {
        Some(password) => Some(taken("state.redis.password", config.read_secret(password))?),
        None => None,
    };
    let tls = if uses_tls { Some(read_tls(config, redis.tls.as_ref(), &mut taken)?) } else { None };
    let outage = Outage { sessions: raw.outage.sessions.get(), revocations: raw.outage.revocations.get() };
    let settings = RedisSettings {
        kind,
        prefix: redis.prefix.clone(),
        username: redis.username.clone(),
        password,
        tls,
        database,
        timeout: redis.timeout.get(),
        connect_timeout: redis.connect_timeout.get(),
        replicas: redis.replicas,
    };
    Some(Settings::Redis(Box::new(settings), outage))
}

fn read_tls(
    config: &Config,
    tls: Option<&raw::RedisTls>,
    taken: &mut impl FnMut(&str, Result<Secret, (String, String)>) -> Option<Secret>,
) -> Option<Tls> {
    let Some(tls) = tls else { return Some(Tls { ca: None, identity: None }) };
    let ca = match &tls.ca {
        Some(path) => {
            let pem = taken("state.redis.tls.ca", config.read_file(path).map(Secret::new))?;
            Some(pem.expose().to_vec())
        }
        None => None,
    };
    let identity = match (&tls.certificate, &tls.private_key) {
        (Some(certificate), Some(key)) => {
            let certificate = taken("state.redis.tls.certificate", config.read_file(certificate).map(Secret::new))?;
            let key = taken("state.redis.tls.private_key", config.read_private_file(key).map(Secret::new))?;
            Some((certificate.expose().to_vec(), key))
        }
        _ => None,
    };
    Some(Tls { ca, identity })
}
