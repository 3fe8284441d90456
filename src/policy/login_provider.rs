//! `login.provider`, read.

use std::sync::Arc;

use super::ca_certificates::Authorities;
use super::endpoint_proof::{self, ProofSource};
use super::way_out;
use crate::auth::IssuerNumber;
use crate::auth::opaque_token::endpoint::EndpointProof;
use crate::config::{Config, Problems, raw};
use crate::fetch::Fetcher;

/// The provider at which customers log in.
pub struct LoginProvider {
    /// Its number among the trusted issuers.
    pub issuer: IssuerNumber,
    /// Its name, for the log.
    pub name: String,
    /// The id of this gateway there.
    pub client_id: String,
    /// The proof that it is this gateway which redeems a code.
    pub proof: EndpointProof,
    /// The HTTP client.
    pub fetcher: Fetcher,
    /// Where browsers are sent.
    pub authorization_endpoint: String,
    /// Where codes are redeemed.
    pub token_endpoint: String,
    /// The scopes, separated by spaces.
    pub scope: String,
    /// `prompt`, where the client asks for none.
    pub prompt: Option<&'static str>,
    /// The address to which the provider sends browsers back.
    pub callback: String,
}

/// Path of the address to which the provider sends browsers back.
pub(super) const CALLBACK: &str = "/oauth/callback";

/// Reads the provider; what is wrong goes to `problems`.
pub(super) fn read(
    config: &Config,
    authorities: &Authorities<'_>,
    provider: &raw::LoginProvider,
    problems: &mut Problems,
) -> Option<LoginProvider> {
    let raw = config.raw();
    // What is not there, has been told.
    let place = raw.trusted_issuers.iter().position(|issuer| issuer.has_name(&provider.issuer))?;
    let (own, issuer) = (raw.issuer.as_ref()?, raw.trusted_issuers.get(place)?);
    let mut problem = |at: &str, message, help| problems.push(config.problem(at, message, help));
    let source = ProofSource {
        client_id: &provider.client_id,
        client_secret: provider.client_secret.as_ref(),
        private_key: provider.private_key.as_deref(),
        auth: provider.auth,
        audience: None,
    };
    let (proof, _) = endpoint_proof::read(config, &source, &issuer.name())
        .map_err(|(key, message, help)| problem(&format!("login.provider.{key}"), message, help))
        .ok()?;
    // What is wrong with these is told of the issuer.
    let trusted = authorities.of(issuer.ca.as_deref()).ok()?;
    let proxies = way_out::read(config, issuer.proxy.as_ref()).ok()?;
    Some(LoginProvider {
        issuer: IssuerNumber::at_place(place),
        name: issuer.name(),
        client_id: provider.client_id.clone(),
        proof,
        fetcher: Fetcher {
            tls: Arc::clone(&trusted.client),
            plain: issuer.danger_plaintext,
            private: true,
            proxies,
            timeout: issuer.refresh.timeout.get(),
        },
        authorization_endpoint: provider.authorization_endpoint.clone(),
        token_endpoint: provider.token_endpoint.clone(),
        scope: provider.scopes.join(" "),
        prompt: provider.prompt.map(raw::ProviderPrompt::as_str),
        callback: own.at_root(CALLBACK),
    })
}
