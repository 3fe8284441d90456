//! Versions of secrets and keys: those that go while they are still valid, those that come.

use std::collections::{HashMap, HashSet};

use super::Compared;
use super::meaning::Section;
use crate::key_validity::{KeyVersion, format_time};
use crate::policy_change::{ChangeSubject, PolicyChange};

type VersionName<'a> = (&'static str, &'a str, &'a str);

/// All of them, but for the keys of identifiers. `now` is in seconds since 1970.
pub(super) fn changes(old: &Compared, new: &Compared, now: u64) -> Vec<PolicyChange> {
    let (before, after) = (by_name(&old.policy.versions), by_name(&new.policy.versions));
    let is_live = |version: &KeyVersion| now < version.until || version.until == u64::MAX;
    let is_gone = |version: &KeyVersion| {
        let section = match version.kind {
            "api_key" => Section::ApiKeys,
            "client_secret" | "header_secret" | "client_key" => Section::Clients,
            _ => return false,
        };
        // That its owner vanishes, or is new, has been told.
        !new.meaning.entries(section).contains_key(&version.id)
            || !old.meaning.entries(section).contains_key(&version.id)
    };
    let mut changes = Vec::new();
    for version in old
        .policy
        .versions
        .iter()
        .filter(|version| version.kind != "identifier_key" && is_live(version) && !is_gone(version))
    {
        let name = titled(version);
        match after.get(&key(version)) {
            Some(new) if !is_live(new) => {
                changes.push(told(version, true, format!("{name} ends at once")));
            }
            Some(new) if new.until != version.until && is_own_end(version) => {
                let ends = |until: u64| (until != u64::MAX).then(|| format_time(until));
                let what = format!("{name} ends {}", ends(new.until).unwrap_or_else(|| "no longer".to_owned()));
                changes.push(told(version, false, what).from_to(ends(version.until), ends(new.until)));
            }
            Some(_) => {}
            None => changes.push(told(version, true, format!("{name} goes, and it is still valid"))),
        }
    }
    let added = new.policy.versions.iter().filter(|version| !before.contains_key(&key(version)) && !is_gone(version));
    let mut known = HashSet::new();
    let added = added.filter(|version| version.kind != "identifier_key" && known.insert(key(version)));
    changes.extend(added.map(|version| told(version, false, format!("{} is new", titled(version)))));
    changes
}

fn by_name(versions: &[KeyVersion]) -> HashMap<VersionName<'_>, &KeyVersion> {
    versions.iter().map(|version| (key(version), version)).collect()
}

fn key(version: &KeyVersion) -> VersionName<'_> {
    (version.kind, &version.id, &version.version)
}

/// Returns whether its end is written with it; that of a signing key follows from the next one.
fn is_own_end(version: &KeyVersion) -> bool {
    version.kind != "signing_key"
}

fn titled(version: &KeyVersion) -> String {
    let KeyVersion { kind, id, version, .. } = version;
    match *kind {
        "client_secret" => format!("the secret {version} of client {id}"),
        "header_secret" => format!("the secret {version} of client {id} for a header"),
        "client_key" => format!("the key {version} of client {id}"),
        "api_key" => format!("the version {version} of API key {id}"),
        "signing_key" => format!("the signing key {version}"),
        "cookie_key" => format!("the cookie key {version}"),
        other => format!("{other} {id} {version}"),
    }
}

fn told(version: &KeyVersion, danger: bool, what: String) -> PolicyChange {
    let about = match version.kind {
        "signing_key" | "cookie_key" => ChangeSubject::Issuers,
        _ => ChangeSubject::Callers,
    };
    PolicyChange::new(about, danger, what)
}
