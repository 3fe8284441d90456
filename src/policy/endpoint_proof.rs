//! How this gateway authenticates at an endpoint of an issuer, read.

use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::HeaderValue;

use crate::auth::jwt::signing_keys::SigningKeys;
use crate::auth::opaque_token::endpoint::EndpointProof;
use crate::config::{Config, raw};
use crate::parameters::form_encoded;
use crate::secret::Secret;

/// What is written about it.
pub(super) struct ProofSource<'c> {
    pub(super) client_id: &'c str,
    pub(super) client_secret: Option<&'c raw::SecretRef>,
    pub(super) private_key: Option<&'c Path>,
    pub(super) auth: raw::OAuthClientAuth,
    /// `aud` of assertions; `None`: the issuer.
    pub(super) audience: Option<&'c str>,
}

/// The key at which something is wrong, what, and what to do.
type ProofFault = (&'static str, String, String);

/// How this gateway authenticates, and what tells it from other ways.
///
/// # Errors
/// The secret or the key cannot be used.
pub(super) fn read(
    config: &Config,
    raw: &ProofSource<'_>,
    issuer: &str,
) -> Result<(EndpointProof, Secret), ProofFault> {
    if let Some(file) = raw.private_key {
        let key = "private_key";
        let pem = config.read_private_file(file).map_err(|(message, help)| (key, message, help))?;
        let pem = Secret::new(pem);
        let name = config.resolve(file).display().to_string();
        let keys = SigningKeys::from_pems(vec![(name.clone(), pem.clone())], issuer).map_err(|faults| {
            let faults: Vec<String> = faults.into_iter().map(|(_, fault)| fault).collect();
            let help = "make one with `wicketgate new signing-key`".to_owned();
            (key, format!("{name}: {}", faults.join("; ")), help)
        })?;
        let audience = raw.audience.unwrap_or(issuer).to_owned();
        return Ok((
            EndpointProof::Assertion { client_id: raw.client_id.to_owned(), audience, keys: Arc::new(keys) },
            pem,
        ));
    }
    let key = "client_secret";
    let nothing = || (key, "it is missing".to_owned(), "add it, or `private_key`".to_owned());
    let secret = config.read_secret_line(raw.client_secret.ok_or_else(nothing)?);
    let secret = secret.map_err(|(message, help)| (key, message, help))?;
    let Some(text) = secret.expose_str() else {
        return Err((key, "this secret is not UTF-8".to_owned(), "use one of visible characters".to_owned()));
    };
    // RFC 6749 section 2.3.1: both are encoded as in a form first.
    let (id, encoded) = (form_encoded(raw.client_id), Secret::new(form_encoded(text)));
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
