//! A configuration in one spelling: lists that are sets are sorted, entries go by their names, files and secrets by the
//! digests of what is in them. Two files that mean the same have the same.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::path::Path;

use aws_lc_rs::digest::{SHA256, digest};
use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::config::Config;
use crate::config::raw::{Raw, SecretRef};
use crate::hex::hex;
use crate::policy::table::host_name;
use crate::policy::tenants;

/// The lists and sections of gateway.yaml.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Section {
    /// `routes`, by name.
    Routes,
    /// `clients`, those of `clients_file` among them, by id.
    Clients,
    /// `api_keys`, those of `api_keys_file` among them, by id.
    ApiKeys,
    /// `trusted_issuers`, by name.
    TrustedIssuers,
    /// `listen`, by name, else by address.
    Listen,
    /// `backends`, by name.
    Backends,
    /// Everything else, by key.
    Settings,
    /// The tenants of customers, by their issuer.
    Tenants,
}

/// The entries of one section.
pub(super) type Entries = BTreeMap<String, String>;

/// Lists whose order counts.
const ORDERED: [&str; 6] = ["issuer", "errors", "customer_token_sources", "client_from", "keys", "certificates"];

/// Keys that are compared elsewhere, by what they stand for.
const ELSEWHERE: [(Section, &[&str]); 3] = [
    (Section::Clients, &["secrets", "header_secrets"]),
    (Section::ApiKeys, &["sha256"]),
    (Section::TrustedIssuers, &["tenant"]),
];

/// A configuration in one spelling.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meaning {
    sections: BTreeMap<Section, Entries>,
    /// The names of the listeners, in their order.
    pub listeners: Vec<String>,
}

/// The same, as it is kept while it is in force: compressed, because it may have many thousand clients.
#[derive(Clone)]
pub struct KeptMeaning(Vec<u8>);

impl KeptMeaning {
    /// The meaning; `None` if it could not be kept.
    pub fn open(&self) -> Option<Meaning> {
        let mut text = Vec::new();
        DeflateDecoder::new(&self.0[..]).read_to_end(&mut text).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// Its size, in bytes.
    pub fn size(&self) -> usize {
        self.0.len()
    }
}

impl Meaning {
    /// The meaning of a configuration whose files have been read. May wait for a disk.
    pub fn of(config: &Config) -> Self {
        let reader = Reader { config };
        let raw = config.raw();
        let mut sections: BTreeMap<Section, Entries> = BTreeMap::new();
        let mut listeners = Vec::new();
        let mut put = |section: Section, name: String, value: Value| {
            sections.entry(section).or_default().insert(name, value.to_string());
        };
        for route in &raw.routes {
            put(Section::Routes, route.name.clone(), reader.route(route, raw));
        }
        for client in &raw.clients {
            let mut value = reader.entry(Section::Clients, client);
            let usual = raw.access_token.as_ref().map(|token| token.lifetime);
            if client.lifetime == usual {
                drop_key(&mut value, "lifetime");
            }
            put(Section::Clients, client.id.clone(), value);
        }
        let of_file = raw.api_keys_file.as_ref().and_then(|file| config.read_api_keys(file).ok());
        let keys = of_file.iter().flat_map(|file| &file.raw().api_keys);
        for key in raw.api_keys.iter().chain(keys) {
            put(Section::ApiKeys, key.id.clone(), reader.entry(Section::ApiKeys, key));
        }
        for issuer in &raw.trusted_issuers {
            put(Section::TrustedIssuers, issuer.name(), reader.entry(Section::TrustedIssuers, issuer));
        }
        for listen in &raw.listen {
            let named = listen.name.clone().unwrap_or_else(|| listen.address.to_string());
            let same = listeners.iter().filter(|known: &&String| **known == named).count();
            let name = if same == 0 { named.clone() } else { format!("{named} ({})", same + 1) };
            listeners.push(named);
            put(Section::Listen, name, reader.entry(Section::Listen, listen));
        }
        for (name, backend) in &raw.backends {
            put(Section::Backends, name.clone(), reader.entry(Section::Backends, backend));
        }
        for (key, value) in reader.settings(raw) {
            put(Section::Settings, key, value);
        }
        for tenant in tenants(raw) {
            let names = if tenant.is_own { vec![String::new()] } else { tenant.issuer };
            for name in names {
                put(Section::Tenants, name, Value::from(tenant.tenant.clone()));
            }
        }
        Self { sections, listeners }
    }

    /// The entries of a section, each as JSON.
    pub fn entries(&self, section: Section) -> &Entries {
        static NONE: Entries = Entries::new();
        self.sections.get(&section).unwrap_or(&NONE)
    }

    /// One entry; `null` without it.
    pub fn entry(&self, section: Section, name: &str) -> Value {
        self.entries(section).get(name).map(|text| parsed(text)).unwrap_or_default()
    }

    /// The same, compressed.
    pub fn kept(&self) -> KeptMeaning {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        let text = serde_json::to_vec(self).unwrap_or_default();
        let kept = encoder.write_all(&text).and_then(|()| encoder.finish());
        KeptMeaning(kept.unwrap_or_default())
    }
}

/// An entry that was written as JSON.
pub(super) fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_default()
}

/// Brings what is written into one spelling.
struct Reader<'a> {
    config: &'a Config,
}

impl Reader<'_> {
    fn route(&self, route: &crate::config::raw::Route, raw: &Raw) -> Value {
        let mut value = self.entry(Section::Routes, route);
        let limits = &route.limits;
        if limits.burst.is_some() && limits.burst == limits.rate.map(|rate| rate.count()) {
            drop_key(&mut value["limits"], "burst");
        }
        let usual = route.backend.as_ref().and_then(|name| raw.backends.get(name)).map(|backend| backend.timeout);
        if limits.timeout.is_some() && limits.timeout == usual {
            drop_key(&mut value["limits"], "timeout");
        }
        let is_everywhere =
            raw.listen.iter().all(|listen| listen.name.as_ref().is_some_and(|name| route.listen.contains(name)));
        if is_everywhere {
            value["listen"] = Value::Array(Vec::new());
        }
        value
    }

    /// An entry of a list, without what is compared elsewhere.
    fn entry(&self, section: Section, entry: &impl Serialize) -> Value {
        let mut value = self.one_spelling("", serde_json::to_value(entry).unwrap_or_default());
        for (_, keys) in ELSEWHERE.iter().filter(|(known, _)| *known == section) {
            keys.iter().for_each(|key| drop_key(&mut value, key));
        }
        value
    }

    /// All keys of the file that are no lists of named entries.
    fn settings(&self, raw: &Raw) -> Map<String, Value> {
        // The lists are not among them: see [`Raw`].
        let mut value = self.one_spelling("", serde_json::to_value(raw).unwrap_or_default());
        drop_key(&mut value, "identifier");
        for (section, key) in [("issuer", "signing_keys"), ("login", "cookie.keys")] {
            let Some(section) = value.get_mut(section) else { continue };
            match key.split_once('.') {
                Some((inner, key)) => section.get_mut(inner).into_iter().for_each(|inner| drop_key(inner, key)),
                None => drop_key(section, key),
            }
        }
        match value {
            Value::Object(members) => members,
            _ => Map::new(),
        }
    }

    /// Without what is not set, sets sorted, files and secrets as digests.
    fn one_spelling(&self, key: &str, value: Value) -> Value {
        match value {
            Value::Object(members) => match self.digest_of(&members) {
                Some(digest) => Value::from(digest),
                None => {
                    let each = members.into_iter().filter(|(_, value)| !value.is_null());
                    Value::Object(each.map(|(key, value)| (key.clone(), self.one_spelling(&key, value))).collect())
                }
            },
            Value::Array(items) => {
                let of_item = if key == "issuer" { "" } else { key };
                let mut items: Vec<Value> = items.into_iter().map(|item| self.one_spelling(of_item, item)).collect();
                if !ORDERED.contains(&key) {
                    items.sort_by_cached_key(Value::to_string);
                    items.dedup();
                }
                Value::Array(items)
            }
            Value::String(text) if key == "servers" => json!({ "url": text, "weight": 1 }),
            Value::String(text) if key == "hosts" => Value::from(host_name(&text)),
            Value::String(text) if key == "issuer" => Value::Array(vec![Value::from(text)]),
            Value::String(text) if matches!(key, "header" | "api_key_header") => Value::from(text.to_ascii_lowercase()),
            other => other,
        }
    }

    /// The digest of what a reference leads to, where these members are one.
    fn digest_of(&self, members: &Map<String, Value>) -> Option<String> {
        let (key, value) = members.iter().next().filter(|_| members.len() == 1)?;
        let value = value.as_str()?;
        let content = match key.as_str() {
            "file" => self.config.read_file(Path::new(value)).ok(),
            "env" => self.secret(&SecretRef::Env(value.to_owned())),
            "credential" => self.secret(&SecretRef::Credential(value.to_owned())),
            _ => return None,
        };
        let Some(content) = content else { return Some(format!("{DIGEST}{key} {value}")) };
        Some(format!("{DIGEST}{}", hex(digest(&SHA256, content.trim_ascii_end()).as_ref())))
    }

    fn secret(&self, reference: &SecretRef) -> Option<Vec<u8>> {
        self.config.read_secret(reference).ok().map(|secret| secret.expose().to_vec())
    }
}

/// Before the digest of a file or secret.
pub(super) const DIGEST: &str = "content ";

fn drop_key(value: &mut Value, key: &str) {
    if let Value::Object(members) = value {
        members.remove(key);
    }
}
