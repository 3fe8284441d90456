//! Metadata of an issuer (OpenID Connect Discovery 1.0, RFC 8414): the issuer in, the address of its key set out.

use serde_json::Value;

use super::failure::FetchFailure;
use crate::fetch::{ChosenBy, FetchFault, Fetcher};

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
        let metadata: Value = serde_json::from_slice(&document.body)
            .map_err(|_| FetchFailure::of_document("json", &url, "the metadata are not JSON"))?;
        // RFC 8414 section 3.3: metadata that speak of another issuer must not be used.
        if metadata["issuer"] != issuer {
            return Err(FetchFailure::of_document("json", &url, "the metadata are of another issuer"));
        }
        let keys = metadata["jwks_uri"].as_str();
        let missing = || FetchFailure::of_document("json", &url, "the metadata have no `jwks_uri`");
        return keys.map(str::to_owned).ok_or_else(missing);
    }
    Err(last)
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
