//! gateway.yaml for a test: the usual one, changed by JSON pointer. JSON is YAML, so it is written as JSON.

use serde_json::{Map, Value, json};

use super::backend::Backend;
use super::keys::{self, TokenKey};

/// Someone who can log in, or a system that can ask for a token.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Account {
    pub(crate) name: &'static str,
    pub(crate) secret: &'static str,
    pub(crate) subject: &'static str,
}

/// Two customers.
pub(crate) const ALICE: Account =
    Account { name: "alice", secret: "Alice-and-the-white-rabbit", subject: "account-100001" };
pub(crate) const BOB: Account = Account { name: "bob", secret: "Bob-builds-it-with-bricks", subject: "account-100002" };
/// Two clients.
pub(crate) const CLIENT: Account = Account { name: "asapp", secret: "asapp-secret-Zk3vQ9", subject: "" };
pub(crate) const OTHER_CLIENT: Account = Account { name: "other", secret: "other-secret-Yq8nW2", subject: "" };
/// The API key of the first client.
pub(crate) const API_KEY: &str = "wgk_4mJx0Zr7Qm2sT8vUe1Lc";
/// An API key that belongs to nobody in particular, and one that opens no route of the tests but `key`.
pub(crate) const FREE_API_KEY: &str = "wgk_free_9sWb2Kd6Rt0aXy";
pub(crate) const NARROW_API_KEY: &str = "wgk_narrow_5pLq8Vn3Hc1o";
/// The API key of the second client.
pub(crate) const OTHER_API_KEY: &str = "wgk_other_7uFe4Gi9Jb6zN";

/// A configuration and the files beside it.
#[derive(Clone)]
pub(crate) struct Config {
    pub(crate) yaml: Value,
    pub(crate) accounts: Vec<Account>,
    pub(crate) signing_key: TokenKey,
    /// Further files, by path below the directory.
    pub(crate) files: Vec<(String, String)>,
}

impl Config {
    /// One route for each kind of requirement, all to this backend.
    pub(crate) fn new(backend: &Backend) -> Self {
        Self::with_server(&backend.url())
    }

    pub(crate) fn with_server(url: &str) -> Self {
        let identifier = json!({"header": "X-Customer-Id"});
        let methods = json!(["GET", "HEAD", "POST", "PUT", "DELETE"]);
        let key =
            |id: &str, key: &str, routes: Value| json!({"id": id, "sha256": [keys::sha256_hex(key)], "routes": routes});
        let mut owned = key("asapp-prod", API_KEY, json!(["profile", "key"]));
        owned["client"] = json!(CLIENT.name);
        let mut foreign = key("other-prod", OTHER_API_KEY, json!(["profile", "key"]));
        foreign["client"] = json!(OTHER_CLIENT.name);
        let yaml = json!({
            "listen": [{
                "address": "127.0.0.1:0",
                "tls": {"certificates": [{"certificate": "certs/server.pem", "private_key": "certs/server.key"}]},
            }],
            "admin": {"address": "127.0.0.1:0"},
            "shutdown": {"grace": "5s"},
            "issuer": {"url": "https://gateway.test", "audience": "legacy-api", "signing_keys": "certs/signing/"},
            "identifier": {"key": {"file": "certs/identifier.key"}},
            "login": {"accounts": {"file": "accounts.yaml"}, "limits": {"rate": "1000/s", "burst": 1000}},
            "access_token": {"limits": {"rate": "1000/s", "burst": 1000}},
            "clients": [
                {"id": CLIENT.name, "secrets": [keys::argon2id(CLIENT.secret)], "scopes": ["profile"]},
                {"id": OTHER_CLIENT.name, "secrets": [keys::argon2id(OTHER_CLIENT.secret)]},
            ],
            "api_keys": [
                owned, foreign, key("free", FREE_API_KEY, json!(["profile", "key"])), key("narrow", NARROW_API_KEY, json!(["key"])),
            ],
            "routes": [
                {"name": "profile", "path": "/account/", "methods": ["POST"], "require": ["client", "customer", "api_key"],
                 "scopes": ["profile"], "identifier": identifier, "backend": "legacy"},
                {"name": "me", "path": "/me/", "methods": methods, "require": ["customer"], "identifier": identifier, "backend": "legacy"},
                {"name": "system", "path": "/system/", "methods": methods, "require": ["client"], "backend": "legacy"},
                {"name": "key", "path": "/key/", "methods": methods, "require": ["api_key"], "backend": "legacy"},
                {"name": "public", "path": "/public/", "methods": methods, "public": true, "backend": "legacy"},
            ],
            "backends": {"legacy": {"servers": [url]}},
        });
        Self { yaml, accounts: vec![ALICE, BOB], signing_key: TokenKey::generate(), files: Vec::new() }
    }

    /// Sets the value at a JSON pointer; objects on the way are made.
    pub(crate) fn set(mut self, pointer: &str, value: Value) -> Self {
        let mut place = &mut self.yaml;
        for name in pointer.split('/').skip(1) {
            place = match place {
                Value::Array(list) => &mut list[name.parse::<usize>().unwrap()],
                other => {
                    if !other.is_object() {
                        *other = Value::Object(Map::new());
                    }
                    other.as_object_mut().unwrap().entry(name).or_insert(Value::Null)
                }
            };
        }
        *place = value;
        self
    }

    /// Takes away the member at a JSON pointer.
    pub(crate) fn without(mut self, pointer: &str) -> Self {
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        match self.yaml.pointer_mut(parent) {
            Some(Value::Object(members)) => drop(members.remove(name)),
            Some(Value::Array(list)) => drop(list.remove(name.parse().unwrap())),
            _ => panic!("nothing at {parent}"),
        }
        self
    }

    /// Sets a member of the route of this name.
    pub(crate) fn route(self, name: &str, member: &str, value: Value) -> Self {
        let routes = self.yaml["routes"].as_array().unwrap();
        let index = routes.iter().position(|r| r["name"] == name).unwrap_or_else(|| panic!("no route {name}"));
        self.set(&format!("/routes/{index}/{member}"), value)
    }

    /// Adds a route.
    pub(crate) fn add_route(mut self, route: Value) -> Self {
        self.yaml["routes"].as_array_mut().unwrap().push(route);
        self
    }

    /// A limit of the listener.
    pub(crate) fn limit(self, name: &str, value: Value) -> Self {
        self.set(&format!("/listen/0/limits/{name}"), value)
    }

    /// A session cookie in place of the JWT, or beside it.
    pub(crate) fn cookies(self, issue: &str) -> Self {
        self.set("/login/issue", json!(issue))
            .set("/login/cookie", json!({"keys": [{"file": "certs/cookie.key"}]}))
            .file("certs/cookie.key", &keys::key_file())
    }

    /// A second issuer of customers' tokens.
    pub(crate) fn trust(self, issuer: &str, key: &TokenKey) -> Self {
        self.set("/trusted_issuers", json!([{
            "issuer": issuer, "jwks": {"file": "certs/partner.json"}, "audiences": ["legacy-api"], "algorithms": ["ES256"],
        }]))
        .file("certs/partner.json", &json!({"keys": [key.jwk("partner-1")]}).to_string())
    }

    pub(crate) fn account(mut self, account: Account) -> Self {
        self.accounts.push(account);
        self
    }

    /// A file beside gateway.yaml.
    pub(crate) fn file(mut self, path: &str, text: &str) -> Self {
        self.files.push((path.to_owned(), text.to_owned()));
        self
    }

    pub(crate) fn text(&self) -> String {
        serde_json::to_string_pretty(&self.yaml).unwrap()
    }

    pub(crate) fn accounts_text(&self) -> String {
        let list: Vec<Value> = self
            .accounts
            .iter()
            .map(|a| json!({"username": a.name, "password": keys::argon2id(a.secret), "subject": a.subject}))
            .collect();
        serde_json::to_string_pretty(&list).unwrap()
    }
}
