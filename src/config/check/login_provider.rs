//! Checks of `login.provider`, and how this gateway authenticates at an endpoint of an issuer.

use super::super::raw::{Discovery, IssuerRole, LoginProvider, OAuthClientAuth};
use super::{Check, grammar};

/// How this gateway authenticates at an endpoint, as it is written.
pub(super) struct WrittenProof<'c> {
    pub(super) client_id: &'c str,
    pub(super) has_secret: bool,
    pub(super) has_key: bool,
    pub(super) auth: OAuthClientAuth,
}

impl Check<'_> {
    pub(super) fn login_provider(&mut self, provider: &LoginProvider, claims: &[String]) {
        let at = "login.provider";
        let issuers = &self.raw.trusted_issuers;
        let names: Vec<String> = issuers.iter().map(|issuer| issuer.name()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let issuer = issuers.iter().find(|issuer| issuer.has_name(&provider.issuer));
        let place = format!("{at}.issuer");
        match issuer {
            None => self.known(&place, "issuer in `trusted_issuers`", &provider.issuer, &names),
            Some(issuer) if !issuer.is_for(IssuerRole::Customer) => {
                let message = "this issuer issues no customers' tokens";
                self.add(&place, message, "add `customer` to its `for`, or name another");
            }
            Some(issuer)
                if issuer.jwks.is_none()
                    && issuer.secret.is_none()
                    && matches!(issuer.discovery, Discovery::Flag(false)) =>
            {
                let message = "this issuer has no keys to verify ID tokens with";
                self.add(&place, message, "add `jwks` or `discovery` to it");
            }
            Some(_) => {}
        }
        let plain = issuer.is_some_and(|issuer| issuer.danger_plaintext);
        self.endpoint(&format!("{at}.authorization_endpoint"), &provider.authorization_endpoint, plain);
        self.endpoint(&format!("{at}.token_endpoint"), &provider.token_endpoint, plain);
        if provider.token_endpoint.starts_with("http://")
            && !plain
            && issuer.is_some_and(|issuer| issuer.proxy.is_some())
        {
            let message = "what goes by plain http through a proxy can be read and changed there";
            self.add(&format!("{at}.token_endpoint"), message, "write https://, or add `danger_plaintext: true`");
        }
        let proof = WrittenProof {
            client_id: &provider.client_id,
            has_secret: provider.client_secret.is_some(),
            has_key: provider.private_key.is_some(),
            auth: provider.auth,
        };
        self.written_proof(at, &proof);
        if !provider.scopes.iter().any(|scope| scope == "openid") {
            let message = "without the scope `openid` the provider gives no ID token";
            self.add(&format!("{at}.scopes"), message, "add `openid`, or remove `scopes`");
        }
        for (index, scope) in provider.scopes.iter().enumerate() {
            let is_scope =
                !scope.is_empty() && scope.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\".contains(&byte));
            if !is_scope {
                self.add(
                    &format!("{at}.scopes[{index}]"),
                    "this is not a scope (RFC 6749 section 3.3)",
                    "write one word",
                );
            }
        }
        if !claims.is_empty() {
            let message = "`claims` are those of accounts, and customers of a provider have none here";
            self.add("login.claims", message, "remove it");
        }
        if !self.raw.authorizes_customers() {
            let message = "nobody can log in: no client has `redirect_uris`";
            self.add(at, message, "add `redirect_uris` to a client, or write `accounts`");
        }
    }

    /// The address of an endpoint of an issuer.
    fn endpoint(&mut self, at: &str, url: &str, plain: bool) {
        match grammar::UrlParts::parse(url) {
            Err((message, _)) => self.add(at, message, "write it like https://login.example.com/oauth2/token"),
            Ok(address) if address.scheme == "http" && !address.is_loopback() && !plain => {
                let message = "what goes by plain http can be read on its way, and changed";
                self.add(at, message, "write https://, or add `danger_plaintext: true` to the issuer");
            }
            Ok(address) if address.rest.contains('#') => {
                self.add(at, "the address of an endpoint has no fragment", "remove the `#` and what follows");
            }
            Ok(_) => {}
        }
    }

    /// One proof, and not two.
    pub(super) fn written_proof(&mut self, at: &str, proof: &WrittenProof<'_>) {
        self.not_blank(&format!("{at}.client_id"), proof.client_id);
        match (proof.has_secret, proof.has_key) {
            (false, false) => {
                let message = "nothing says how this gateway authenticates at the endpoint";
                self.add(at, message, "add `client_secret: {file: PATH}`, or `private_key`");
            }
            (true, true) => {
                let message = "`client_secret` and `private_key` stand side by side";
                self.add(at, message, "keep one of them");
            }
            (false, true) if proof.auth == OAuthClientAuth::Form => {
                let message = "`auth` says how a secret is shown, and an assertion always stands in the form";
                self.add(&format!("{at}.auth"), message, "remove it");
            }
            (true, false) | (false, true) => {}
        }
    }
}
