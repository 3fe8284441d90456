//! Access tokens of backends: `backends.NAME.authorization.oauth`, read.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::HeaderValue;

use super::ca_certificates::Authorities;
use crate::backend::token::{BackendToken, TokenSource};
use crate::config::{Config, raw};
use crate::fetch::{Fetcher, Proxies};
use crate::hex::hex;
use crate::parameters::form_encoded;
use crate::secret::Secret;

/// Tokens that outlive a policy: one is kept while its section is unchanged.
#[derive(Debug, Default)]
pub(super) struct TokenRegistry(Mutex<HashMap<String, Known>>);

/// A token that some policy uses.
#[derive(Debug)]
struct Known {
    /// What it is for: backend, server, client, scopes and parameters.
    purpose: String,
    token: Weak<BackendToken>,
}

/// The key within `oauth` at which something is wrong, what, and what to do.
type TokenSectionFault = (&'static str, String, String);

impl TokenRegistry {
    /// Forgets those that nobody uses any more.
    pub(super) fn forget_gone(&self) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, known| known.token.strong_count() > 0);
        known.shrink_to_fit();
    }

    /// The token of this section, as it is held already or will be fetched.
    ///
    /// # Errors
    /// The secret or the CA certificates cannot be used.
    pub(super) fn token(
        &self,
        config: &Config,
        authorities: &Authorities<'_>,
        backend: &Arc<str>,
        raw: &raw::OAuthCredential,
    ) -> Result<Arc<BackendToken>, TokenSectionFault> {
        let secret = config.read_secret_line(&raw.client_secret);
        let secret = secret.map_err(|(message, help)| ("client_secret", message, help))?;
        let Some(text) = secret.expose_str() else {
            let message = "this secret is not UTF-8".to_owned();
            return Err(("client_secret", message, "use one of visible characters".to_owned()));
        };
        let trusted = authorities.of(raw.ca.as_deref()).map_err(|(message, help)| ("ca", message, help))?;
        let (form, authorization) = request(raw, text);
        let digest = digest::digest(&digest::SHA256, &[form.expose(), b" ", secret.expose()].concat());
        let description = format!(
            "{backend} {} {:?} {} {:?} {:?} {} {}",
            raw.token_url,
            raw.auth,
            raw.danger_plaintext,
            raw.timeout,
            raw.ca,
            trusted.digest,
            hex(digest.as_ref())
        );
        let fetcher = Fetcher {
            tls: Arc::clone(&trusted.client),
            plain: raw.danger_plaintext,
            private: true,
            proxies: Proxies::Environment,
            timeout: raw.timeout.get(),
        };
        let source =
            TokenSource { backend: Arc::clone(backend), url: raw.token_url.clone(), form, authorization, fetcher };
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(token) = known.get(&description).and_then(|known| known.token.upgrade()) {
            return Ok(token);
        }
        let purpose = format!("{backend} {} {} {:?} {:?}", raw.token_url, raw.client_id, raw.scopes, raw.parameters);
        // A new secret that the server does not take yet costs no token that is good.
        let former = known.values().filter(|known| known.purpose == purpose).find_map(|known| known.token.upgrade());
        let token = Arc::new(BackendToken::new(source, former.as_deref()));
        known.insert(description, Known { purpose, token: Arc::downgrade(&token) });
        Ok(token)
    }
}

/// The form, and `Authorization` where the client authenticates there (RFC 6749 sections 2.3.1 and 4.4.2).
fn request(raw: &raw::OAuthCredential, secret: &str) -> (Secret, Option<HeaderValue>) {
    let (id, secret) = (form_encoded(&raw.client_id), form_encoded(secret));
    let mut form = "grant_type=client_credentials".to_owned();
    let mut add = |name: &str, encoded: &str| form.push_str(&["&", &form_encoded(name), "=", encoded].concat());
    if !raw.scopes.is_empty() {
        add("scope", &form_encoded(&raw.scopes.join(" ")));
    }
    for (name, value) in &raw.parameters {
        add(name, &form_encoded(value));
    }
    if raw.auth == raw::OAuthClientAuth::Form {
        add("client_id", &id);
        add("client_secret", &secret);
        return (Secret::new(form), None);
    }
    let pair = Secret::new(format!("Basic {}", BASE64.encode(format!("{id}:{secret}"))));
    let mut field = HeaderValue::from_bytes(pair.expose()).ok();
    field.iter_mut().for_each(|field| field.set_sensitive(true));
    (Secret::new(form), field)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn raw(yaml: &str) -> raw::OAuthCredential {
        serde_json::from_str(yaml).unwrap()
    }

    #[test]
    fn a_client_shows_its_secret_in_one_place_encoded_as_forms_are() {
        let plain = r#"{"token_url":"https://x","client_id":"a:b","client_secret":{"env":"X"},"scopes":["r w","x"],
            "parameters":{"audience":"https://api/"}"#;
        let (form, field) = request(&raw(&format!("{plain}}}")), "s&cret +");
        let expected = "grant_type=client_credentials&scope=r+w+x&audience=https%3A%2F%2Fapi%2F";
        assert_eq!(form.expose_str(), Some(expected));
        let field = field.unwrap();
        let basic = field.to_str().unwrap().strip_prefix("Basic ").unwrap();
        assert_eq!(BASE64.decode(basic).unwrap(), b"a%3Ab:s%26cret+%2B");
        assert!(field.is_sensitive());
        let (form, field) = request(&raw(&format!(r#"{plain},"auth":"form"}}"#)), "s&cret +");
        let expected = format!("{expected}&client_id=a%3Ab&client_secret=s%26cret+%2B");
        assert_eq!((form.expose_str(), field), (Some(expected.as_str()), None));
    }
}
