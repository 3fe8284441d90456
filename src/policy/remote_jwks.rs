//! JWK sets of others: read from a file, or fetched from their address.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::ca_certificates::{Authorities, Authority};
use super::way_out::told_apart;
use crate::auth::jwt::Keys;
use crate::auth::jwt::algorithm::Algorithm;
use crate::auth::jwt::jwk_set::JwkSet;
use crate::auth::jwt::remote_jwks::{JwksLocation, JwksSource, PublishedKeys};
use crate::config::Config;
use crate::config::raw::KeyRefresh;
use crate::fetch::{Fetcher, Proxies};
use crate::hex::hex;
use crate::key_validity::LastUse;
use aws_lc_rs::digest;

/// Fetched keys that outlive a policy.
#[derive(Debug, Default)]
pub(super) struct JwksRegistry(Mutex<HashMap<String, Weak<PublishedKeys>>>);

impl JwksRegistry {
    /// The keys of this description, as they are held already or made now.
    fn get(&self, description: String, make: impl FnOnce() -> PublishedKeys) -> Arc<PublishedKeys> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(keys) = known.get(&description).and_then(Weak::upgrade) {
            return keys;
        }
        let keys = Arc::new(make());
        known.insert(description, Arc::downgrade(&keys));
        keys
    }

    /// Forgets those that nobody uses any more.
    pub(super) fn forget_gone(&self) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|_, keys| keys.strong_count() > 0);
        known.shrink_to_fit();
    }
}

/// The key of the configuration at which something is wrong, what, and what to do.
pub(super) type JwksFault = (&'static str, String, String);

/// The usable keys of a JWK set in a file; a warning for each other. `used` tells where the use of the
/// key of this `kid` is noted.
pub(super) fn read_file(
    config: &Config,
    whose: &str,
    file: &Path,
    algorithms: &[Algorithm],
    used: impl Fn(&str) -> Option<Arc<LastUse>>,
) -> Result<JwkSet, JwksFault> {
    let json = config.read_file(file).map_err(|(message, help)| ("jwks", message, help))?;
    let (keys, ignored) = JwkSet::noted(&json, algorithms, |id| (u64::MAX, used(id))).map_err(|fault| {
        let message = format!("{}: {fault}", config.resolve(file).display());
        ("jwks", message, "put a JWK set with public signing keys there".to_owned())
    })?;
    for warning in ignored {
        tracing::warn!(issuer = whose, "ignoring an issuer key: {warning}");
    }
    Ok(keys)
}

/// The usable public keys and certificates in a PEM file; a warning for each other.
pub(super) fn read_pem(
    config: &Config,
    whose: &str,
    file: &Path,
    algorithms: &[Algorithm],
) -> Result<JwkSet, JwksFault> {
    let at = |(message, help)| ("jwks", message, help);
    let pem = config.read_file(file).map_err(at)?;
    let (keys, ignored) = JwkSet::from_pem(&pem, config.resolve(file).display(), algorithms).map_err(at)?;
    for warning in ignored {
        tracing::warn!(issuer = whose, "ignoring an issuer key: {warning}");
    }
    Ok(keys)
}

/// A publisher of keys, and the settings of the fetches.
pub(super) struct Publisher<'c> {
    /// Name of the issuer in logs and metrics.
    pub(super) name: &'c str,
    /// Location of its keys.
    pub(super) place: JwksLocation,
    /// Algorithms that its tokens may use.
    pub(super) algorithms: Vec<Algorithm>,
    /// Schedule of fetches.
    pub(super) refresh: &'c KeyRefresh,
    /// The CA certificates that the server is checked by.
    pub(super) ca: Option<&'c Path>,
    /// Allows plain http to other machines.
    pub(super) plain: bool,
    /// Allows addresses in private networks where the other party names them.
    pub(super) private: bool,
    /// The proxy on the way to the server.
    pub(super) proxies: Proxies,
}

impl Publisher<'_> {
    /// The keys, as they are held already or will be fetched.
    ///
    /// # Errors
    /// The CA certificates cannot be used.
    pub(super) fn keys(
        self,
        config: &Config,
        authorities: &Authorities<'_>,
        registry: &JwksRegistry,
    ) -> Result<Keys, JwksFault> {
        let Self { name, place, algorithms, refresh, ca, plain, private, proxies } = self;
        let Authority { digest: trusted, client: tls, .. } =
            authorities.of(ca).map_err(|(message, help)| ("ca", message, help))?;
        // What decides about the fetching; all else may change without another fetch.
        let description = format!(
            "{name} {place:?} {algorithms:?} {refresh:?} {plain} {private} {ca:?} {trusted} {}",
            told_apart(&proxies)
        );
        let file = digest::digest(&digest::SHA256, format!("{name} {place:?}").as_bytes());
        let source = JwksSource {
            issuer: name.to_owned(),
            place,
            algorithms,
            interval: refresh.interval.get(),
            cooldown: refresh.cooldown.get(),
            keep: refresh.keep.get(),
            lapse: if refresh.strict { Duration::ZERO } else { 2 * refresh.interval.get() },
            fetcher: Fetcher { tls, plain, private, proxies, timeout: refresh.timeout.get() },
            copy: config.data_directory().join("issuers").join(format!("{}.json", hex(&file.as_ref()[..16]))),
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        Ok(Keys::Published(registry.get(description, || PublishedKeys::new(source, now))))
    }
}
