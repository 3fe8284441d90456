//! Metadata of an issuer (OpenID Connect Discovery 1.0, RFC 8414): the issuer in, the address of its key set out.

use serde_json::Value;

use super::failure::FetchFailure;
use crate::fetch::{ChosenBy, FetchFault, FetchedDocument, Fetcher};

/// `jwks_uri` of the issuer's metadata.
pub(super) async fn jwks_uri(fetcher: &Fetcher, issuer: &str) -> Result<String, FetchFailure> {
    let mut last = FetchFailure::of_document("status", issuer, "there is no metadata");
    for url in metadata_addresses(issuer) {
        let document = match fetcher.get(&url, ChosenBy::Us).await {
            Ok(document) => document,
            Err(fault) => {
                last = FetchFailure::of_fetch(&url, &fault);
                if matches!(fault, FetchFault::Status(_)) {
                    continue;
                }
                break;
            }
        };
        let metadata = read(&url, &document)?;
        // RFC 8414 section 3.3: metadata that speak of another issuer must not be used.
        if let Some(named) = other_issuer(&metadata, issuer) {
            let message = format!("the metadata are of the issuer {named}, and the configuration says {issuer}");
            let message = format!("{message}: write that one, or `discovery: {url}` if both are right");
            return Err(FetchFailure::of_document("json", &url, &message));
        }
        return keys_in(&url, &metadata);
    }
    Err(last)
}

/// `jwks_uri` of the metadata at an address that the configuration names, and the issuer that they name if it is another:
/// whoever wrote the address says with it whose keys these are.
pub(super) async fn jwks_uri_at(
    fetcher: &Fetcher,
    url: &str,
    issuer: &str,
) -> Result<(String, Option<String>), FetchFailure> {
    let document = fetcher.get(url, ChosenBy::Us).await;
    let document = document.map_err(|fault| FetchFailure::of_fetch(url, &fault))?;
    let metadata = read(url, &document)?;
    Ok((keys_in(url, &metadata)?, other_issuer(&metadata, issuer)))
}

fn read(url: &str, document: &FetchedDocument) -> Result<Value, FetchFailure> {
    let fault = |_| FetchFailure::of_document("json", url, "the metadata are not JSON");
    serde_json::from_slice(&document.body).map_err(fault)
}

fn keys_in(url: &str, metadata: &Value) -> Result<String, FetchFailure> {
    let keys = metadata["jwks_uri"].as_str();
    let missing = || FetchFailure::of_document("json", url, "the metadata have no `jwks_uri`");
    keys.map(str::to_owned).ok_or_else(missing)
}

/// The issuer that metadata name, if it is another. AD FS writes that of access tokens into a member of its own.
fn other_issuer(metadata: &Value, issuer: &str) -> Option<String> {
    if metadata["issuer"] == issuer || metadata["access_token_issuer"] == issuer {
        return None;
    }
    let named = metadata["issuer"].as_str().map(|text| text.chars().take(200).collect());
    Some(named.unwrap_or_else(|| "none".to_owned()))
}

/// Addresses of an issuer's metadata: OpenID Connect Discovery 1.0 section 4, then RFC 8414 section 3.
pub(super) fn metadata_addresses(issuer: &str) -> Vec<String> {
    let base = issuer.trim_end_matches('/');
    let (scheme, rest) = base.split_once("://").unwrap_or(("https", base));
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    vec![
        format!("{base}/.well-known/openid-configuration"),
        format!("{scheme}://{authority}/.well-known/oauth-authorization-server{path}"),
    ]
}

/// The host of a URL, an IPv6 address without its brackets.
pub(super) fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap_or(rest);
    match authority.strip_prefix('[') {
        Some(inner) => inner.split(']').next().unwrap_or(inner),
        None => authority.split(':').next().unwrap_or(authority),
    }
}
