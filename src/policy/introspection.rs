//! Introspection of other issuers' tokens, read.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use aws_lc_rs::digest;

use super::ca_certificates::Authorities;
use super::endpoint_proof::{self, ProofSource};
use super::way_out;
use crate::auth::opaque_token::Introspector;
use crate::auth::opaque_token::endpoint::IntrospectionEndpoint;
use crate::config::{Config, raw};
use crate::fetch::Fetcher;
use crate::hex::hex;

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
        let source = ProofSource {
            client_id: &raw.client_id,
            client_secret: raw.client_secret.as_ref(),
            private_key: raw.private_key.as_deref(),
            auth: raw.auth,
            audience: raw.audience.as_deref(),
        };
        let (proof, shown) = endpoint_proof::read(config, &source, &name).map_err(|(key, message, help)| {
            let key = if key == "private_key" { "introspection.private_key" } else { "introspection.client_secret" };
            (key, message, help)
        })?;
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
