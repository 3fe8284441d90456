//! Secrets of clients for headers of their own, read.

use std::collections::HashMap;
use std::sync::Arc;

use super::key_usage::Uses;
use crate::auth::credentials::api_key::{self, ApiKeys};
use crate::auth::{Client, HeaderSecret};
use crate::config::{Config, Problems};
use crate::key_validity::{KeyVersion, Validity};

/// How to make one.
const HELP: &str = "make a secret and its digest with `wicketgate new header-secret`";

/// The secrets by digest.
pub(super) fn read(
    config: &Config,
    clients: &HashMap<Arc<str>, Client>,
    uses: &Uses,
    versions: &mut Vec<KeyVersion>,
    problems: &mut Problems,
) -> ApiKeys<HeaderSecret> {
    let mut secrets = Vec::new();
    for (number, raw) in config.raw().clients.iter().enumerate() {
        let Some((client, _)) = clients.get_key_value(raw.id.as_str()) else { continue };
        for (nth, text) in raw.header_secrets.iter().enumerate() {
            let dated = Validity::parse(text).and_then(|dated| Ok((dated.until, api_key::parse_digest(dated.value)?)));
            match dated {
                Ok((until, digest)) => {
                    let version = api_key::version(&digest);
                    let used = uses.of("header_secret", &raw.id, &version);
                    secrets.push((digest, HeaderSecret { client: Arc::clone(client), until, used: Arc::clone(&used) }));
                    let id = raw.id.clone();
                    versions.push(KeyVersion { kind: "header_secret", id, version, from: 0, until, used });
                }
                Err(fault) => {
                    let at = format!("clients[{number}].header_secrets[{nth}]");
                    problems.push(config.problem(&at, fault, HELP));
                }
            }
        }
    }
    ApiKeys::new(secrets).unwrap_or_else(|repeated| {
        let message = format!("a digest stands twice, the second time at `{}`", repeated.client);
        problems.push(config.problem("clients", message, HELP));
        ApiKeys::default()
    })
}
