//! Introspection of other issuers' tokens, read.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::HeaderValue;

use super::ca_certificates::Authorities;
use super::way_out;
use crate::auth::jwt::signing_keys::SigningKeys;
use crate::auth::opaque_token::Introspector;
use crate::auth::opaque_token::endpoint::{EndpointProof, IntrospectionEndpoint};
use crate::config::{Config, raw};
use crate::fetch::Fetcher;
use crate::hex::hex;
use crate::parameters::form_encoded;
use crate::secret::Secret;

/// Answers that outlive a policy: those of one issuer are kept while its section is unchanged.
#[derive(Debug, Default)]
pub(super) struct IntrospectorRegistry(Mutex<HashMap<String, Weak<Introspector>>>);

/// The key within the issuer's entry at which something is wrong, what, and what to do.
type IntrospectionFault = (&'static str, String, String);

impl IntrospectorRegistry {
    /// Forgets those that nobody uses any more.
    pub(super) fn forget_gone(&self) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, introspector| introspector.strong_count() > 0);
        known.shrink_to_fit();
    }

    /// Who asks this issuer about tokens, with the answers that are held already; `None` where it is not asked.
    ///
    /// # Errors
    /// The secret, the key, the CA certificates or the proxy cannot be used.
    pub(super) fn introspector(
        &self,
        config: &Config,
        authorities: &Authorities<'_>,
        issuer: &raw::TrustedIssuer,
    ) -> Result<Option<Arc<Introspector>>, IntrospectionFault> {
        let Some(raw) = &issuer.introspection else { return Ok(None) };
        let name = issuer.name();
        let (proof, shown) = read_proof(config, raw, &name)?;
        let trusted = authorities.of(issuer.ca.as_deref()).map_err(|(message, help)| ("ca", message, help))?;
        let proxies = way_out::read(config, issuer.proxy.as_ref())?;
        let shown = digest::digest(&digest::SHA256, shown.expose());
        let description = format!(
            "{} {} {:?} {:?} {} {} {:?} {} {} {}",
            name,
            raw.url,
            raw.audience,
            raw.cache,
            issuer.danger_plaintext,
            trusted.digest,
            issuer.refresh.timeout,
            way_out::told_apart(&proxies),
            raw.client_id,
            hex(shown.as_ref())
        );
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(introspector) = known.get(&description).and_then(Weak::upgrade) {
            return Ok(Some(introspector));
        }
        let fetcher = Fetcher {
            tls: Arc::clone(&trusted.client),
            plain: issuer.danger_plaintext,
            private: true,
            proxies,
            timeout: issuer.refresh.timeout.get(),
        };
        let endpoint = IntrospectionEndpoint { issuer: name, url: raw.url.clone(), proof, fetcher };
        let introspector = Arc::new(Introspector::new(endpoint, raw.cache.get()));
        known.insert(description, Arc::downgrade(&introspector));
        Ok(Some(introspector))
    }
}

/// How this gateway authenticates, and what tells it from other ways.
fn read_proof(
    config: &Config,
    raw: &raw::Introspection,
    issuer: &str,
) -> Result<(EndpointProof, Secret), IntrospectionFault> {
    if let Some(file) = &raw.private_key {
        let key = "introspection.private_key";
        let pem = config.read_private_file(file).map_err(|(message, help)| (key, message, help))?;
        let pem = Secret::new(pem);
        let name = config.resolve(file).display().to_string();
        let keys = SigningKeys::from_pems(vec![(name.clone(), pem.clone())], issuer).map_err(|faults| {
            let faults: Vec<String> = faults.into_iter().map(|(_, fault)| fault).collect();
            let help = "make one with `wicketgate new signing-key`".to_owned();
            (key, format!("{name}: {}", faults.join("; ")), help)
        })?;
        let audience = raw.audience.clone().unwrap_or_else(|| issuer.to_owned());
        return Ok((
            EndpointProof::Assertion { client_id: raw.client_id.clone(), audience, keys: Arc::new(keys) },
            pem,
        ));
    }
    let key = "introspection.client_secret";
    let nothing = || (key, "it is missing".to_owned(), "add it, or `private_key`".to_owned());
    let secret = config.read_secret_line(raw.client_secret.as_ref().ok_or_else(nothing)?);
    let secret = secret.map_err(|(message, help)| (key, message, help))?;
    let Some(text) = secret.expose_str() else {
        return Err((key, "this secret is not UTF-8".to_owned(), "use one of visible characters".to_owned()));
    };
    // RFC 6749 section 2.3.1: both are encoded as in a form first.
    let (id, encoded) = (form_encoded(&raw.client_id), Secret::new(form_encoded(text)));
    let encoded = encoded.expose_str().unwrap_or_default();
    let proof = match raw.auth {
        raw::OAuthClientAuth::Form => {
            EndpointProof::Form(Secret::new(format!("client_id={id}&client_secret={encoded}")))
        }
        raw::OAuthClientAuth::Basic => {
            let pair = Secret::new(format!("{id}:{encoded}"));
            let field = Secret::new(format!("Basic {}", BASE64.encode(pair.expose())));
            let mut field = HeaderValue::from_bytes(field.expose()).map_err(|_| nothing())?;
            field.set_sensitive(true);
            EndpointProof::Basic(field)
        }
    };
    Ok((proof, Secret::new([format!("{:?} ", raw.auth).as_bytes(), secret.expose()].concat())))
}
