//! Checks of `trusted_issuers[].introspection` and `proxy`.

use super::super::raw::{Introspection, Jwks, ProxyChoice, TrustedIssuer};
use super::super::scalar::Duration;
use super::login_provider::WrittenProof;
use super::{Check, grammar};

/// Most issuers that introspect: a token that is no JWT may have to be shown to each of them.
const MOST: usize = 4;

impl Check<'_> {
    /// The endpoint for introspection, and the proxy on the way to the issuer.
    pub(super) fn way_to_issuer(&mut self, at: &str, issuer: &TrustedIssuer) {
        if let Some(introspection) = &issuer.introspection {
            self.introspection(&format!("{at}.introspection"), introspection, issuer.danger_plaintext);
        }
        let Some(proxy) = &issuer.proxy else { return };
        let (key, url) = match proxy {
            ProxyChoice::Url(none) if none == "none" => return,
            ProxyChoice::Url(url) => (format!("{at}.proxy"), url),
            ProxyChoice::WithPassword(proxy) => {
                self.not_blank(&format!("{at}.proxy.username"), &proxy.username);
                if proxy.username.contains(':') {
                    let message = "a user name with a colon cannot be sent (RFC 7617 section 2)";
                    self.add(&format!("{at}.proxy.username"), message, "write the name without its password");
                }
                (format!("{at}.proxy.url"), &proxy.url)
            }
        };
        self.proxy_address(&key, url);
        let addresses = [
            match &issuer.jwks {
                Some(Jwks::Url(url)) => Some(("jwks", url)),
                Some(Jwks::File(_) | Jwks::Pem(_)) | None => None,
            },
            issuer.introspection.as_ref().map(|introspection| ("introspection.url", &introspection.url)),
        ];
        for (name, url) in addresses.into_iter().flatten() {
            if url.starts_with("http://") && !issuer.danger_plaintext {
                let message = "what goes by plain http through a proxy can be read and changed there";
                self.add(&format!("{at}.{name}"), message, "write https://, or add `danger_plaintext: true`");
            }
        }
    }

    fn proxy_address(&mut self, at: &str, url: &str) {
        const HOW: &str = "write it like http://proxy.example.com:3128, or `none`";
        match grammar::UrlParts::parse(url) {
            Err(_) if url.contains('@') => {
                let help = "write {url: http://HOST:PORT, username: NAME, password: {file: PATH}}";
                self.add(at, "a password does not belong into this file", help);
            }
            Err((message, _)) => self.add(at, message, HOW),
            Ok(address) if address.scheme != "http" => {
                self.add(
                    at,
                    "only proxies at http:// are spoken to; what goes through them is https all the same",
                    HOW,
                );
            }
            Ok(address) if !matches!(address.rest, "" | "/") => {
                self.add(at, "the address of a proxy has no path", HOW);
            }
            Ok(address) if !address.has_port() => self.add(at, "the port of the proxy is missing", HOW),
            Ok(_) => {}
        }
    }

    fn introspection(&mut self, at: &str, introspection: &Introspection, plain: bool) {
        let url = format!("{at}.url");
        match grammar::UrlParts::parse(&introspection.url) {
            Err((message, _)) => self.add(&url, message, "write it like https://login.example.com/oauth2/introspect"),
            Ok(address) if address.scheme == "http" && !address.is_loopback() && !plain => {
                let message =
                    "tokens and a secret that go by plain http can be read on their way, and the answer changed";
                self.add(&url, message, "write https://, or add `danger_plaintext: true` to the issuer");
            }
            Ok(address) if address.rest.contains('#') => {
                self.add(&url, "the address of an endpoint has no fragment", "remove the `#` and what follows");
            }
            Ok(_) => {}
        }
        let proof = WrittenProof {
            client_id: &introspection.client_id,
            has_secret: introspection.client_secret.is_some(),
            has_key: introspection.private_key.is_some(),
            auth: introspection.auth,
        };
        self.written_proof(at, &proof);
        if proof.has_secret && !proof.has_key && introspection.audience.is_some() {
            let message = "`audience` is that of assertions, and a secret needs none";
            self.add(&format!("{at}.audience"), message, "remove it, or use `private_key`");
        }
        if let Some(audience) = &introspection.audience {
            self.not_blank(&format!("{at}.audience"), audience);
        }
        if introspection.cache > Duration::seconds(3600) {
            let message = "a token that was revoked at the issuer would be good for more than an hour";
            self.add(&format!("{at}.cache"), message, "write at most 1h, such as 60s");
        }
    }

    /// No token is shown to more issuers than this.
    pub(super) fn introspecting_issuers(&mut self, issuers: &[TrustedIssuer]) {
        let introspecting = issuers.iter().enumerate().filter(|(_, issuer)| issuer.introspection.is_some());
        for (index, _) in introspecting.clone().filter(|(_, issuer)| issuer.tenants.len() > 1) {
            let message = "an answer about a token need not name its tenant, and this issuer has several";
            let help = "write an entry for each tenant";
            self.add(&format!("trusted_issuers[{index}].introspection"), message, help);
        }
        if let Some((index, _)) = introspecting.clone().nth(MOST) {
            let message = format!("more than {MOST} issuers have `introspection`: a token is shown to each in turn");
            self.add(&format!("trusted_issuers[{index}].introspection"), message, "remove some");
        }
    }
}
