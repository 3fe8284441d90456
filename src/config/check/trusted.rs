//! Checks of `trusted_issuers`.

use super::super::raw::{AcceptedAudiences, ClaimRule, Discovery, Jwks, NoAudience, TrustedIssuer};
use super::super::scalar::Duration;
use super::super::{Config, Warning};
use super::issuer_names::issuer_name_at;
use super::{Check, grammar};

const PLAIN_KEYS: &str = "keys that come by plain http can be changed on their way";

impl Check<'_> {
    pub(super) fn trusted_issuer(&mut self, at: &str, issuer: &TrustedIssuer) {
        self.issuer_names(at, issuer);
        self.keys_of(at, issuer);
        self.accepted_audiences(at, issuer);
        self.way_to_issuer(at, issuer);
        if let Some(types) = &issuer.types {
            self.not_empty(&format!("{at}.types"), types, "name the `typ` values of its tokens, such as JWT");
            for (index, name) in types.iter().enumerate() {
                self.not_blank(&format!("{at}.types[{index}]"), name);
            }
        }
        if issuer.clock_skew > Duration::seconds(300) {
            let message = format!("{} is too much: expired tokens would live on", issuer.clock_skew);
            self.add(&format!("{at}.clock_skew"), message, "write at most 5m");
        }
        if let Some(longest) = issuer.max_lifetime {
            self.some_time(&format!("{at}.max_lifetime"), longest);
        }
        if let Some(tenant) = &issuer.tenant {
            self.not_blank(&format!("{at}.tenant"), tenant);
        }
        let subject = format!("{at}.subject");
        self.claim_path(&subject, &issuer.subject);
        self.roles(at, issuer);
        self.claim_rules(&format!("{at}.claims"), &issuer.claims);
        for (index, claim) in issuer.forward_claims.iter().enumerate() {
            self.claim_path(&format!("{at}.forward_claims[{index}]"), claim);
        }
        let forwarded = issuer.forward_claims.iter().enumerate();
        self.unique(
            "the claim",
            forwarded.map(|(index, claim)| (format!("{at}.forward_claims[{index}]"), claim.as_str())),
        );
        self.key_refresh(at, issuer);
        self.provider_events(at, issuer);
    }

    fn accepted_audiences(&mut self, at: &str, issuer: &TrustedIssuer) {
        let at = format!("{at}.audiences");
        let listed = match &issuer.audiences {
            AcceptedAudiences::Listed(listed) => listed,
            AcceptedAudiences::Word(NoAudience::None) => {
                if !issuer.claims.values().any(names_a_value) {
                    let message =
                        "nothing says whom the tokens are for: those of every client of this issuer are accepted";
                    let help = "add a rule with a value to `claims`, such as `client_id: {equals: ID}`";
                    self.add(&at, message, help);
                }
                return;
            }
        };
        self.not_empty(&at, listed, "name the `aud` values that are meant for this gateway");
        for (index, audience) in listed.iter().enumerate() {
            let at = format!("{at}[{index}]");
            self.not_blank(&at, audience);
            if audience.eq_ignore_ascii_case("none") {
                self.add(&at, "no token has this `aud`", "for tokens without `aud`, write `audiences: none`");
            }
        }
    }

    /// Exactly one source of keys, and algorithms that belong to it.
    fn keys_of(&mut self, at: &str, issuer: &TrustedIssuer) {
        let named = [
            ("jwks", issuer.jwks.is_some()),
            ("discovery", issuer.discovery.is_on()),
            ("secret", issuer.secret.is_some()),
        ];
        let set: Vec<&str> = named.iter().filter(|(_, is_set)| *is_set).map(|(name, _)| *name).collect();
        match set[..] {
            [] if issuer.introspection.is_some() => {}
            [] => self.add(
                at,
                "nothing says where the keys of this issuer are",
                "add `jwks`, `discovery: true` or `secret`, or `introspection`",
            ),
            [_] => {}
            _ => {
                let message = format!("`{}` stand side by side", set.join("` and `"));
                self.add(at, message, "keep one of them: a secret is never used beside public keys");
            }
        }
        let algorithms = format!("{at}.algorithms");
        if set.is_empty() && issuer.introspection.is_some() {
            if !issuer.algorithms.is_empty() {
                let message = "this issuer has no keys: its tokens are introspected, and no signature is verified";
                self.add(&algorithms, message, "remove `algorithms`, or add `jwks`, `discovery` or `secret`");
            }
            return;
        }
        if issuer.algorithms.is_empty() {
            let what = if self.config.is_empty_list(&algorithms) { "is empty" } else { "is missing" };
            let help = "name the algorithms that it uses, such as `algorithms: [ RS256 ]`";
            self.add(&algorithms, format!("`algorithms` {what}"), help);
        }
        for (index, algorithm) in issuer.algorithms.iter().enumerate() {
            if algorithm.is_symmetric() == issuer.secret.is_some() {
                continue;
            }
            let (message, help) = if issuer.secret.is_some() {
                (
                    "this algorithm signs with a private key, and the issuer has a `secret`",
                    "write HS256, HS384 or HS512",
                )
            } else {
                (
                    "this algorithm signs with a secret, and the issuer has public keys",
                    "remove it: whoever can read the keys could sign",
                )
            };
            self.add(&format!("{algorithms}[{index}]"), message, help);
        }
        if let Some(Jwks::Url(url)) = &issuer.jwks {
            self.issuer_address(&format!("{at}.jwks"), url, issuer.danger_plaintext);
        }
        match &issuer.discovery {
            Discovery::Flag(true) if issuer.tenants.len() < 2 => {
                self.discovered_name(&issuer_name_at(at, issuer, 0), issuer);
            }
            Discovery::Flag(_) => {}
            Discovery::Url(url) => self.issuer_address(&format!("{at}.discovery"), url, issuer.danger_plaintext),
        }
    }

    /// The name of an issuer, below which its metadata stand.
    fn discovered_name(&mut self, at: &str, issuer: &TrustedIssuer) {
        const HOW: &str = "if this is what stands in `iss`, write `discovery: https://ADDRESS-OF-THE-METADATA`; otherwise \
                           write its `iss`, such as https://login.example.com";
        match grammar::UrlParts::parse(&issuer.name()) {
            Err((message, _)) => self.add(at, message, HOW),
            Ok(address) if address.scheme == "http" && !address.is_loopback() && !issuer.danger_plaintext => {
                self.add(at, PLAIN_KEYS, HOW);
            }
            Ok(_) => {}
        }
    }

    /// The address of a JWK set, or of metadata.
    pub(super) fn issuer_address(&mut self, at: &str, url: &str, plain: bool) {
        match grammar::UrlParts::parse(url) {
            Err((message, _)) => {
                self.add(at, message, "write it like https://login.example.com/jwks.json, or {file: PATH}")
            }
            Ok(address) if address.scheme == "http" && !address.is_loopback() && !plain => {
                self.add(at, PLAIN_KEYS, "write https://, or add `danger_plaintext: true` beside it");
            }
            Ok(_) => {}
        }
    }

    pub(super) fn claim_path(&mut self, at: &str, path: &str) {
        if path.starts_with('/') {
            self.pointer(at, path);
        } else {
            self.not_blank(at, path);
        }
    }

    fn key_refresh(&mut self, at: &str, issuer: &TrustedIssuer) {
        let refresh = &issuer.refresh;
        let times = [
            ("interval", refresh.interval),
            ("cooldown", refresh.cooldown),
            ("keep", refresh.keep),
            ("timeout", refresh.timeout),
        ];
        for (name, time) in times {
            self.some_time(&format!("{at}.refresh.{name}"), time);
        }
        if refresh.keep < refresh.interval {
            let message = "the keys would be dropped before they are fetched again";
            self.add(&format!("{at}.refresh.keep"), message, "make it longer than `interval`, such as 24h");
        }
        if refresh.keep > Duration::seconds(30 * 24 * 3600) {
            let message = "keys that were withdrawn would be good for longer than a month";
            self.add(&format!("{at}.refresh.keep"), message, "write at most 30d");
        }
    }
}

/// A rule that only some tokens of the issuer keep.
fn names_a_value(rule: &ClaimRule) -> bool {
    matches!(rule, ClaimRule::Equals(_) | ClaimRule::OneOf(_) | ClaimRule::Contains(_))
}

/// Trusted issuers with settings that are valid and risky.
pub(super) fn warnings(config: &Config) -> Vec<Warning> {
    let mut warnings = Vec::new();
    for (index, issuer) in config.raw().trusted_issuers.iter().enumerate() {
        let at = format!("trusted_issuers[{index}]");
        if issuer.clock_skew > Duration::seconds(60) {
            let message = format!("expired tokens are valid for another {}", issuer.clock_skew);
            let help = "let the issuer and this machine keep time by NTP, and write at most 60s";
            warnings.push(config.warning(&format!("{at}.clock_skew"), message, help));
        }
        let has_keys = issuer.jwks.is_some() || issuer.discovery.is_on() || issuer.secret.is_some();
        if issuer.types.is_some() && !has_keys {
            let message = "no effect: this issuer is asked about every token, and nobody reads a `typ`".to_owned();
            warnings.push(config.warning(&format!("{at}.types"), message, "remove `types`, or add a rule to `claims`"));
        }
        if grammar::is_personal(&issuer.subject) && !issuer.danger_personal_subject {
            let message = "this claim can change: then the same person is another customer, and whoever is given the \
                           old value is the customer of before"
                .to_owned();
            let help = "use a claim that stays, such as sub or oid, or add `danger_personal_subject: true` beside it";
            warnings.push(config.warning(&format!("{at}.subject"), message, help));
        }
    }
    warnings
}
