//! What this gateway signs tokens with, read.

use bytes::Bytes;

use crate::auth::issuer::SigningKeys;
use crate::auth::jwt::{Kind, Verifier};
use crate::config::raw;
use crate::config::{Config, Problems};
use crate::secret::Secret;

/// The tokens that this gateway signs.
pub struct Issuer {
    /// Their `iss`.
    pub url: String,
    /// Their `aud`.
    pub audience: String,
    /// By how many seconds other clocks may differ.
    pub clock_skew: u64,
    /// What signs them.
    pub keys: SigningKeys,
    /// The public keys as a JWK set.
    pub jwks: Bytes,
    /// The public keys as certificates.
    pub certificates: Bytes,
}

/// Reads the signing keys; what is wrong goes to `problems`.
pub(super) fn read(config: &Config, issuer: &raw::Issuer, problems: &mut Problems) -> Option<Issuer> {
    let at = "issuer.signing_keys";
    let directory = config.resolve(&issuer.signing_keys);
    let listing = match std::fs::read_dir(&directory) {
        Ok(listing) => listing,
        Err(error) => {
            let message = format!("cannot read the directory {}: {error}", directory.display());
            problems.push(config.problem(
                at,
                message,
                "make the directory and a key in it with `wicketgate new signing-key`",
            ));
            return None;
        }
    };
    let mut pems = Vec::new();
    let mut readable = true;
    for path in listing.filter_map(|entry| entry.ok().map(|entry| entry.path())) {
        if path.extension().is_none_or(|extension| extension != "pem") {
            continue;
        }
        match config.read_private_file(&path) {
            Ok(pem) => {
                let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                pems.push((name, Secret::new(pem)));
            }
            Err((message, help)) => {
                problems.push(config.problem(at, message, help));
                readable = false;
            }
        }
    }
    if pems.is_empty() && readable {
        let message = format!("no private key (*.pem) in {}", directory.display());
        problems.push(config.problem(at, message, "make one with `wicketgate new signing-key`"));
    }
    if pems.is_empty() || !readable {
        return None;
    }
    match SigningKeys::from_pems(pems, &issuer.url) {
        Ok(keys) => Some(Issuer {
            url: issuer.url.clone(),
            audience: issuer.audience.clone(),
            clock_skew: issuer.clock_skew.as_secs(),
            jwks: keys.jwks().into(),
            certificates: keys.certificates_pem().into(),
            keys,
        }),
        Err(faults) => {
            for (file, fault) in faults {
                let message = format!("{}: {fault}", directory.join(file).display());
                problems.push(config.problem(at, message, "make a new key with `wicketgate new signing-key`"));
            }
            None
        }
    }
}

impl Issuer {
    /// Checks the tokens of this kind that this gateway has signed.
    pub(super) fn verifier(&self, kind: Kind) -> Verifier {
        Verifier::own(kind, self.url.clone(), vec![self.audience.clone()], self.keys.key_set(), self.clock_skew)
    }
}
