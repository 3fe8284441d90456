//! API keys, read: gateway.yaml and `api_keys_file` in, the keys by digest out.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::Path;
use std::sync::Arc;

use super::key_usage::Uses;
use crate::auth::credentials::api_key::{self, ApiKeys};
use crate::auth::{ApiKey, ApiKeyVersion, Client};
use crate::config::{Config, Problems, raw};
use crate::key_validity::{KeyVersion, Validity, parse_time};

/// Sources of API keys: gateway.yaml, and a file of their own.
pub(super) fn all_api_keys<'c>(config: &'c Config, problems: &mut Problems) -> Vec<Source<'c>> {
    let mut sources = vec![Source::Gateway(config)];
    if let Some(file) = &config.raw().api_keys_file {
        match config.read_api_keys(file) {
            Ok(keys) => sources.push(Source::File(Box::new(keys))),
            Err(found) => problems.extend(found),
        }
    }
    sources
}

/// A configuration with API keys.
pub(super) enum Source<'c> {
    Gateway(&'c Config),
    File(Box<Config>),
}

impl Source<'_> {
    fn config(&self) -> &Config {
        match self {
            Self::Gateway(config) => config,
            Self::File(config) => config,
        }
    }

    pub(super) fn raw(&self) -> &raw::Raw {
        self.config().raw()
    }
}

/// The API keys by digest.
pub(super) fn read_api_keys(
    sources: &[Source<'_>],
    clients: &HashMap<Arc<str>, Client>,
    uses: &Uses,
    versions: &mut Vec<KeyVersion>,
    problems: &mut Problems,
) -> ApiKeys<ApiKeyVersion> {
    let mut records = Vec::new();
    let mut ids: HashMap<&str, &Path> = HashMap::new();
    for config in sources.iter().map(Source::config) {
        let raw = config.raw();
        let numbers: HashMap<&str, u32> = raw.routes.iter().map(|route| route.name.as_str()).zip(0..).collect();
        for (number, key) in raw.api_keys.iter().enumerate() {
            let at = format!("api_keys[{number}]");
            match ids.entry(&key.id) {
                Entry::Vacant(free) => drop(free.insert(config.file())),
                Entry::Occupied(taken) if *taken.get() != config.file() => {
                    let message = format!("the API key id is already used in {}", taken.get().display());
                    problems.push(config.problem(&format!("{at}.id"), message, "change or remove one of the two"));
                }
                // Within one file that has been said.
                Entry::Occupied(_) => {}
            }
            let mut routes: Vec<u32> =
                key.routes.iter().filter_map(|name| numbers.get(name.as_str()).copied()).collect();
            routes.sort_unstable();
            let client = match key.client.as_deref().map(|client| clients.get_key_value(client)) {
                None => None,
                Some(Some((id, _))) => Some(Arc::clone(id)),
                // Its client has been taken out, and it speaks for nobody else.
                Some(None) => continue,
            };
            let record = ApiKey { id: key.id.as_str().into(), client, routes, allow: key.allow.clone() };
            let record = Arc::new(record);
            let expires = key.expires.as_deref().and_then(parse_time).unwrap_or(u64::MAX);
            for (nth, text) in key.sha256.iter().enumerate() {
                let read =
                    Validity::parse(text).and_then(|dated| Ok((dated.until, api_key::parse_digest(dated.value)?)));
                match read {
                    Ok((until, digest)) => {
                        let (version, until) = (api_key::version(&digest), until.min(expires));
                        let used = uses.of("api_key", &key.id, &version);
                        records
                            .push((digest, ApiKeyVersion { key: Arc::clone(&record), until, used: Arc::clone(&used) }));
                        let id = key.id.clone();
                        versions.push(KeyVersion { kind: "api_key", id, version, from: 0, until, used });
                    }
                    Err(fault) => problems.push(config.problem(
                        &format!("{at}.sha256[{nth}]"),
                        fault,
                        "make a key and its digest with `wicketgate new api-key`",
                    )),
                }
            }
        }
    }
    ApiKeys::new(records).unwrap_or_else(|repeated| {
        let message = format!("two API keys have the digest of `{}`", repeated.key.id);
        if let Some(first) = sources.first() {
            let help = "make another key with `wicketgate new api-key`";
            problems.push(first.config().problem("api_keys", message, help));
        }
        ApiKeys::default()
    })
}
