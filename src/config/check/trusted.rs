//! Checks of `trusted_issuers`.

use super::super::raw::{ClaimRule, Discovery, Jwks, TrustedIssuer};
use super::super::scalar::Duration;
use super::{Check, grammar};

impl Check<'_> {
    pub(super) fn trusted_issuer(&mut self, at: &str, issuer: &TrustedIssuer) {
        self.not_blank(&format!("{at}.issuer"), &issuer.issuer);
        self.keys_of(at, issuer);
        self.way_to_issuer(at, issuer);
        let audiences = format!("{at}.audiences");
        self.not_empty(&audiences, &issuer.audiences, "name the `aud` values that are meant for this gateway");
        for (index, audience) in issuer.audiences.iter().enumerate() {
            self.not_blank(&format!("{audiences}[{index}]"), audience);
        }
        if let Some(types) = &issuer.types {
            self.not_empty(&format!("{at}.types"), types, "name the `typ` values of its tokens, such as JWT");
            for (index, name) in types.iter().enumerate() {
                self.not_blank(&format!("{at}.types[{index}]"), name);
            }
        }
        self.small_skew(&format!("{at}.clock_skew"), issuer.clock_skew);
        if let Some(longest) = issuer.max_lifetime {
            self.some_time(&format!("{at}.max_lifetime"), longest);
        }
        if let Some(tenant) = &issuer.tenant {
            self.not_blank(&format!("{at}.tenant"), tenant);
        }
        let subject = format!("{at}.subject");
        if grammar::is_personal(&issuer.subject) {
            let help = "use a claim that is a key and says nothing about the person, such as sub";
            self.add(&subject, "an identity claim that would carry personal data", help);
        } else {
            self.claim_path(&subject, &issuer.subject);
        }
        for (claim, rule) in &issuer.claims {
            let at = format!("{at}.claims.{claim}");
            self.claim_path(&at, claim);
            match rule {
                ClaimRule::OneOf(values) => {
                    self.not_empty(&format!("{at}.one_of"), values, "name the values that are right");
                }
                ClaimRule::Present(false) => {
                    self.add(&format!("{at}.present"), "a claim that must not be there proves nothing", "write true");
                }
                ClaimRule::Equals(_) | ClaimRule::Contains(_) | ClaimRule::Present(true) => {}
            }
        }
        for (index, claim) in issuer.forward_claims.iter().enumerate() {
            self.claim_path(&format!("{at}.forward_claims[{index}]"), claim);
        }
        let forwarded = issuer.forward_claims.iter().enumerate();
        self.unique(
            "the claim",
            forwarded.map(|(index, claim)| (format!("{at}.forward_claims[{index}]"), claim.as_str())),
        );
        self.key_refresh(at, issuer);
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
        self.not_empty(&algorithms, &issuer.algorithms, "name the algorithms that it uses, such as RS256");
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
            Discovery::Flag(false) => {}
            Discovery::Flag(true) => {
                self.issuer_address(&format!("{at}.issuer"), &issuer.issuer, issuer.danger_plaintext);
            }
            Discovery::Url(url) => self.issuer_address(&format!("{at}.discovery"), url, issuer.danger_plaintext),
        }
    }

    /// The address of a JWK set or an issuer.
    pub(super) fn issuer_address(&mut self, at: &str, url: &str, plain: bool) {
        match grammar::UrlParts::parse(url) {
            Err((message, _)) => {
                self.add(at, message, "write it like https://login.example.com/jwks.json, or {file: PATH}")
            }
            Ok(address) if address.scheme == "http" && !address.is_loopback() && !plain => {
                let message = "keys that come by plain http can be changed on their way";
                self.add(at, message, "write https://, or add `danger_plaintext: true` beside it");
            }
            Ok(_) => {}
        }
    }

    fn claim_path(&mut self, at: &str, path: &str) {
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
