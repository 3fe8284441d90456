//! Checks of clients and API keys.

use std::collections::HashMap;

use super::super::raw::{AccessToken, ApiKey, Client, Jwks};
use super::super::scalar::Duration;
use super::{Check, grammar};
use crate::key_validity::{self, Validity};

impl Check<'_> {
    pub(super) fn callers(&mut self) {
        let raw = self.raw;
        self.clients();
        self.api_keys();

        for (index, issuer) in raw.trusted_issuers.iter().enumerate() {
            self.trusted_issuer(&format!("trusted_issuers[{index}]"), issuer);
        }
        self.introspecting_issuers(&raw.trusted_issuers);
        self.issuers_are_unique();
    }

    pub(super) fn clients(&mut self) {
        for (index, client) in self.raw.clients.iter().enumerate() {
            self.client(&format!("clients[{index}]"), client);
        }
        let clients = self.raw.clients.iter().enumerate();
        self.unique(
            "the client id",
            clients.map(|(index, client)| (format!("clients[{index}].id"), client.id.as_str())),
        );
        self.header_secrets();
    }

    pub(super) fn api_keys(&mut self) {
        for (index, key) in self.raw.api_keys.iter().enumerate() {
            self.api_key(&format!("api_keys[{index}]"), key);
        }
        let keys = self.raw.api_keys.iter().enumerate();
        self.unique("the API key id", keys.map(|(index, key)| (format!("api_keys[{index}].id"), key.id.as_str())));
        self.digests();
    }

    /// The value of an entry that may have its times behind it.
    pub(super) fn dated<'t>(&mut self, at: &str, text: &'t str) -> &'t str {
        match Validity::parse(text) {
            Ok(dated) if dated.from > 0 => {
                self.add(at, "hashes and digests have no `from`: they are accepted at once", "remove it");
                dated.value
            }
            Ok(dated) => dated.value,
            Err(fault) => {
                self.add(at, fault, "write it like \"VALUE until 2026-12-01T00:00:00Z\"");
                text.split(' ').next().unwrap_or_default()
            }
        }
    }

    fn client(&mut self, at: &str, client: &Client) {
        self.not_blank(&format!("{at}.id"), &client.id);
        self.client_proof(at, client);
        self.authorization_code(at, client);
        for (index, scope) in client.scopes.iter().enumerate() {
            self.scope(&format!("{at}.scopes[{index}]"), scope);
        }
        for (index, audience) in client.audiences.iter().enumerate() {
            self.not_blank(&format!("{at}.audiences[{index}]"), audience);
        }
        for name in client.claims.keys() {
            let listed = self.raw.access_token.iter().flat_map(|token| &token.claims).any(|listed| listed == name);
            if !listed {
                let message = "nothing puts this claim into a token";
                self.add(&format!("{at}.claims.{name}"), message, "name it in `access_token.claims`, or remove it");
            }
        }
        if let Some(kinds) = &client.grant_types {
            self.not_empty(&format!("{at}.grant_types"), kinds, "name one, such as client_credentials");
        }
        if let Some(lifetime) = client.lifetime {
            self.some_time(&format!("{at}.lifetime"), lifetime);
            self.at_most_400_days(&format!("{at}.lifetime"), lifetime);
        }
    }

    /// The ways in which a client authenticates itself, and all that belongs to them.
    fn client_proof(&mut self, at: &str, client: &Client) {
        let secrets = format!("{at}.secrets");
        if let Some(hashes) = &client.secrets {
            self.not_empty(&secrets, hashes, "run `wicketgate new client-secret` and add the hash that it prints");
        }
        for (index, hash) in client.secrets().iter().enumerate() {
            let at = format!("{secrets}[{index}]");
            let hash = self.dated(&at, hash);
            if let Some((message, help)) = grammar::hash_fault(hash) {
                self.add(&at, message, help);
            }
        }
        let algorithms = format!("{at}.algorithms");
        if let Some(listed) = &client.algorithms {
            self.not_empty(&algorithms, listed, "name the algorithms that it uses, such as ES256");
            if client.jwks.is_none() {
                let message = "`algorithms` is about what the client signs, and it has no `jwks`";
                self.add(&algorithms, message, "add `jwks`, or remove `algorithms`");
            }
        }
        for (index, algorithm) in client.algorithms().iter().enumerate() {
            if algorithm.is_symmetric() {
                let message = "this algorithm signs with a secret, and a client signs with its own private key";
                self.add(&format!("{algorithms}[{index}]"), message, "remove it: whoever can read the keys could sign");
            }
        }
        let lifetime = format!("{at}.assertion_lifetime");
        self.some_time(&lifetime, client.assertion_lifetime);
        if client.assertion_lifetime > Duration::seconds(3600) {
            let message = "what was read on its way would be worth something for too long";
            self.add(&lifetime, message, "write at most 1h");
        }
        if let Some(Jwks::Url(url)) = &client.jwks {
            self.issuer_address(&format!("{at}.jwks"), url, client.danger_plaintext);
        }
        if client.jwks.is_some() && self.raw.issuer.is_none() {
            let message = "assertions are for the issuer, and there is no `issuer`";
            self.add(&format!("{at}.jwks"), message, "add `issuer`");
        }
        self.certificates_of(at, client);
    }

    /// The contents of clients' tokens, and the lifetime of those that are given for a customer's.
    pub(super) fn access_token(&mut self, access_token: &AccessToken) {
        for (index, claim) in access_token.claims.iter().enumerate() {
            self.further_claim(&format!("access_token.claims[{index}]"), claim);
        }
        let claims = access_token.claims.iter().enumerate();
        let claims = claims.map(|(index, claim)| (format!("access_token.claims[{index}]"), claim.as_str()));
        self.unique("the claim", claims);
        let at = "access_token.exchange.lifetime";
        self.some_time(at, access_token.exchange.lifetime);
        if access_token.exchange.lifetime > Duration::seconds(3600) {
            let message = "these tokens are for the one call that follows, and no refresh is needed for them";
            self.add(at, message, "write at most 1h");
        }
    }

    pub(super) fn scope(&mut self, at: &str, scope: &str) {
        if !grammar::is_scope(scope) {
            let message =
                "a scope has only visible ASCII characters, without space, `\"` and `\\` (RFC 6749 section 3.3)";
            self.add(at, message, "write one entry for each scope");
        }
    }

    fn api_key(&mut self, at: &str, key: &ApiKey) {
        self.not_blank(&format!("{at}.id"), &key.id);
        let digests = format!("{at}.sha256");
        self.not_empty(&digests, &key.sha256, "run `wicketgate new api-key` and add the digest that it prints");
        for (index, digest) in key.sha256.iter().enumerate() {
            let at = format!("{digests}[{index}]");
            let digest = self.dated(&at, digest);
            self.not_obvious(&at, digest, "wicketgate new api-key");
            if !grammar::is_sha256(digest) {
                self.add(
                    &at,
                    "this is not a SHA-256 in 64 hex digits; a key itself must never stand here",
                    "run `wicketgate new api-key` and put the digest that it prints here",
                );
            }
        }
        if let Some(expires) = &key.expires
            && key_validity::parse_time(expires).is_none()
        {
            self.add(&format!("{at}.expires"), "this is not a time", "write it like 2027-01-01T00:00:00Z, in UTC");
        }
        if let Some(quota) = &key.quota {
            let at = format!("{at}.quota");
            for (name, most) in [("day", quota.day), ("month", quota.month)] {
                if most == Some(0) {
                    self.more_than_zero(&format!("{at}.{name}"), 0);
                }
            }
            if quota.day.is_none() && quota.month.is_none() {
                self.add(&at, "nothing says how much this key may call", "add `day`, `month` or both");
            }
        }
        self.not_empty(&format!("{at}.routes"), &key.routes, "name the routes that this key opens");
    }

    /// A digest that stands twice would make two keys one. The digest is not repeated.
    fn digests(&mut self) {
        let mut first: HashMap<String, String> = HashMap::new();
        for (index, key) in self.raw.api_keys.iter().enumerate() {
            for (position, digest) in key.sha256.iter().enumerate() {
                let at = format!("api_keys[{index}].sha256[{position}]");
                let digest = digest.split(' ').next().unwrap_or_default();
                match first.get(&digest.to_ascii_lowercase()) {
                    None => {
                        first.insert(digest.to_ascii_lowercase(), at);
                    }
                    Some(earlier) => {
                        let (earlier, later) = (self.config.line(earlier), self.config.line(&at));
                        let message = format!("this digest is already used on line {earlier}");
                        self.add(&at, message, format!("change or remove one of lines {earlier} and {later}"));
                    }
                }
            }
        }
    }
}
