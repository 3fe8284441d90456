//! Versions of all keys: the current one, the next, and those that may be removed from the configuration.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::auth::credentials::api_key;
use crate::key_validity::KeyVersion;
use crate::policy::Policy;
use crate::state::revocation::Revocations;

/// A version of a key with its standing. Times are in seconds since 1970.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KeyStanding {
    /// Kind, such as `api_key`.
    pub kind: String,
    /// Id of the key; empty where there is one of its kind.
    pub id: String,
    /// Name of the version, no secret.
    pub version: String,
    /// `current`, `next`, `previous`, `ended` or `revoked`.
    pub standing: String,
    /// First second of use.
    pub from: Option<u64>,
    /// First second in which it is no longer accepted.
    pub until: Option<u64>,
    /// Last use that this process knows.
    pub last_used: Option<u64>,
    /// Whether it can be removed from the configuration: `yes`, `no`, or when.
    pub remove: String,
}

/// All versions of all keys with their standing.
pub(super) fn key_versions(policy: &Policy, revocations: &Revocations, now: u64) -> Vec<KeyStanding> {
    let versions = &policy.versions;
    let all_keys = policy.auth.api_keys.iter().filter(|(digest, _)| revocations.covers_api_key(digest));
    let revoked: HashSet<(&str, String)> =
        all_keys.map(|(digest, version)| (&*version.key.id, api_key::version(digest))).collect();
    let is_revoked = |version: &KeyVersion| {
        version.kind == "api_key" && revoked.contains(&(version.id.as_str(), version.version.clone()))
    };
    let is_live = |version: &KeyVersion| (now < version.until || version.until == u64::MAX) && !is_revoked(version);
    // The newest whose time has come; where there is none, the oldest.
    let mut current: HashMap<(&str, &str), &KeyVersion> = HashMap::new();
    for version in versions.iter().filter(|version| is_live(version)) {
        let chosen = current.entry((version.kind, &version.id)).or_insert(version);
        if chosen.from > now {
            *chosen = version;
        }
    }
    let shown = versions.iter().map(|version| {
        let current = current.get(&(version.kind, version.id.as_str()));
        let is_current = current.is_some_and(|current| current.version == version.version);
        let from = Some(version.from).filter(|from| *from > 0 && !(is_current && *from > now));
        let (standing, remove) = match () {
            () if is_revoked(version) => ("revoked", "yes".to_owned()),
            // Whoever still has an old identifier may have to know whose it was.
            () if now >= version.until && version.kind == "identifier_key" => ("ended", "no: it traces".to_owned()),
            () if now >= version.until => ("ended", "yes".to_owned()),
            () if is_current => ("current", "no".to_owned()),
            () if version.from > now => ("next", "no".to_owned()),
            () if version.kind == "identifier_key" => ("previous", "no: it traces".to_owned()),
            () if version.until < u64::MAX => ("previous", "by itself".to_owned()),
            () => ("previous", "when it is not used any more".to_owned()),
        };
        KeyStanding {
            kind: version.kind.to_owned(),
            id: version.id.clone(),
            version: version.version.clone(),
            standing: standing.to_owned(),
            from,
            until: (version.until < u64::MAX).then_some(version.until),
            last_used: version.used.seconds(),
            remove,
        }
    });
    shown.collect()
}
