//! An authorization request (RFC 6749 section 4.1.1, RFC 7636 section 4.3), read strictly. Client and redirect URI come
//! first: while those are wrong nobody is sent anywhere (RFC 9700 section 4.11). After that the client is told by its
//! redirect URI.

use std::sync::Arc;

use http::header::{self, HeaderValue};
use http::{Response, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};

use crate::auth::Client;
use crate::gateway::endpoints::form::Form;
use crate::gateway::error::Refused;
use crate::gateway::observe::record::Record;
use crate::gateway::request::call::Call;
use crate::gateway::response::body::ResponseBody;
use crate::policy::Issuer;
use crate::refusal::Refusal;

/// Longest `state`, in bytes: it travels in the login form as well.
const LONGEST_STATE: usize = 2_048;
/// Length of the base64url of a SHA-256 (RFC 7636 section 4.2).
const CHALLENGE: usize = 43;
/// All but unreserved characters (RFC 3986 section 2.3).
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// An authorization request that is right in all its parts.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::gateway::endpoints) struct AuthorizationRequest {
    /// The id of its client.
    pub(in crate::gateway::endpoints) client: String,
    /// Where its customer returns to.
    pub(in crate::gateway::endpoints) to: ReturnAddress,
    /// The PKCE challenge, of S256.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(in crate::gateway::endpoints) challenge: Option<String>,
    /// The granted scopes, separated by spaces.
    pub(in crate::gateway::endpoints) scope: String,
    /// The audience of its token.
    pub(in crate::gateway::endpoints) audience: String,
}

/// A redirect URI of the client, and the `state` that goes back with it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::gateway::endpoints) struct ReturnAddress {
    pub(in crate::gateway::endpoints) redirect_uri: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) state: Option<String>,
}

/// How the customer may be asked (OpenID Connect Core 1.0 section 3.1.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Prompt {
    /// Not at all.
    None,
    /// Unless a session is live.
    Usual,
    /// In any case.
    Login,
    /// Not at all, and no session is fresh enough.
    Never,
}

/// A fault of an authorization request, and who is told.
pub(super) enum RequestFault {
    /// The customer, on a page.
    Customer(Refused),
    /// The client: `error` of RFC 6749 section 4.1.2.1.
    Client(ReturnAddress, &'static str, Refusal),
}

/// The word for the client, and the reason for the log.
type Told = (&'static str, Refusal);

/// A repeated parameter, as the client is told.
fn repeated(refused: Refused) -> Told {
    ("invalid_request", refused.refusal)
}

impl AuthorizationRequest {
    /// Reads the query.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn read(
        call: &Call<'_>,
        issuer: &Issuer,
        query: &Form,
        record: &mut Record,
    ) -> Result<(Self, Prompt), RequestFault> {
        let required = |name| query.required(name).map_err(RequestFault::Customer);
        let (id, redirect_uri) = (required("client_id")?, required("redirect_uri")?);
        let client = call.policy.auth.clients.get(id).filter(|client| client.redirect_uris.has(redirect_uri));
        let client = client.ok_or(RequestFault::Customer(Refusal::AuthorizationRequest.into()))?;
        record.known.client = Some(Arc::clone(&client.id));
        let mut to = ReturnAddress { redirect_uri: redirect_uri.to_owned(), state: None };
        match query.one("state") {
            Ok(state) if state.is_none_or(|state| state.len() <= LONGEST_STATE) => to.state = state.map(str::to_owned),
            _ => return Err(RequestFault::Client(to, "invalid_request", Refusal::AuthorizationRequest)),
        }
        let audience = call.audience(issuer);
        let read = Self::terms(client, query).and_then(|terms| {
            // A customer's token is for the gateway; nobody gets one for somebody else (RFC 8707 section 2).
            let resource = query.one("resource").map_err(|_| ("invalid_target", Refusal::ResourceNotAllowed))?;
            match resource.is_none_or(|resource| issuer.audience_named(resource, &audience, &[]).is_some()) {
                true => Ok(terms),
                false => Err(("invalid_target", Refusal::ResourceNotAllowed)),
            }
        });
        match read {
            Ok((challenge, scope, prompt)) => {
                let (client, audience) = (client.id.as_ref().to_owned(), audience.as_ref().to_owned());
                Ok((Self { client, to, challenge, scope, audience }, prompt))
            }
            Err((error, refusal)) => Err(RequestFault::Client(to, error, refusal)),
        }
    }

    /// Returns whether any program on the customer's machine could have sent it and would get the answer: the client has
    /// no proof of itself and no https address. Then the customer is asked each time (RFC 8252 section 8.6).
    pub(super) fn is_claimable(&self, call: &Call<'_>) -> bool {
        let client = call.policy.auth.clients.get(self.client.as_str());
        client.is_none_or(|client| client.is_public) && !self.to.redirect_uri.starts_with("https://")
    }

    /// The challenge, the scope and the prompt.
    fn terms(client: &Client, query: &Form) -> Result<(Option<String>, String, Prompt), Told> {
        let wrong = ("invalid_request", Refusal::AuthorizationRequest);
        for (name, error) in [("request", "request_not_supported"), ("request_uri", "request_uri_not_supported")] {
            if query.has(name) {
                return Err((error, Refusal::AuthorizationRequest));
            }
        }
        match query.one("response_type").map_err(repeated)? {
            Some("code") => {}
            Some(_) => return Err(("unsupported_response_type", Refusal::AuthorizationRequest)),
            None => return Err(wrong),
        }
        if query.one("response_mode").map_err(repeated)?.is_some_and(|mode| mode != "query") {
            return Err(wrong);
        }
        let challenge = query.one("code_challenge").map_err(repeated)?;
        let method = query.one("code_challenge_method").map_err(repeated)?;
        match (challenge, method) {
            (Some(challenge), Some("S256")) if is_digest(challenge) => {}
            (None, None) if !client.requires_pkce => {}
            // Without a method it would be `plain`, which proves nothing to whoever sees the request.
            _ => return Err(wrong),
        }
        let prompts: Vec<&str> = query.one("prompt").map_err(repeated)?.unwrap_or_default().split(' ').collect();
        let prompt = match prompts.as_slice() {
            ["none"] => Prompt::None,
            [""] => Prompt::Usual,
            others if others.contains(&"none") => return Err(wrong),
            _ => Prompt::Login,
        };
        // How long ago somebody logged in is not told, so that whoever asks gets a login of now.
        let is_age_asked = query.one("max_age").map_err(repeated)?.is_some();
        let prompt = match prompt {
            Prompt::Usual if is_age_asked => Prompt::Login,
            Prompt::None if is_age_asked => Prompt::Never,
            prompt => prompt,
        };
        let scope = narrowed(client, query.one("scope").map_err(repeated)?);
        Ok((challenge.map(str::to_owned), scope, prompt))
    }
}

/// True for the base64url of 32 bytes.
fn is_digest(challenge: &str) -> bool {
    let is_base64url = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    challenge.len() == CHALLENGE && challenge.bytes().all(is_base64url)
}

/// Those of the requested scopes that the client may have; without a request all (RFC 6749 section 3.3).
pub(in crate::gateway::endpoints) fn narrowed(client: &Client, requested: Option<&str>) -> String {
    let Some(requested) = requested else { return client.scopes.join(" ") };
    let requested: Vec<&str> = requested.split(' ').collect();
    let granted = client.scopes.iter().map(String::as_str).filter(|scope| requested.contains(scope));
    granted.collect::<Vec<_>>().join(" ")
}

impl ReturnAddress {
    /// Where a browser may follow redirects after the form, as source expressions (CSP Level 3 section 2.3.1). Browsers hold
    /// them against each redirect, also those of the client: it may send the customer on to any site by https.
    pub(super) fn sources(&self) -> String {
        let uri = self.redirect_uri.as_str();
        let (scheme, rest) = uri.split_once(':').unwrap_or((uri, ""));
        let authority = rest.strip_prefix("//").unwrap_or_default().split(['/', '?']).next().unwrap_or_default();
        match scheme {
            "https" => "https:".to_owned(),
            // A source expression has no IPv6 address.
            "http" if !authority.starts_with('[') => format!("http://{authority} https:"),
            "http" => "http: https:".to_owned(),
            app => format!("{app}: https:"),
        }
    }

    /// Sends the customer back to the client, with these parameters, `state` and `iss` (RFC 9207 section 2).
    ///
    /// # Errors
    /// [`Refusal::Internal`] where the redirect URI is no value of a field.
    pub(super) fn answer(
        &self,
        issuer: &Issuer,
        parameters: &[(&str, &str)],
    ) -> Result<Response<ResponseBody>, Refusal> {
        let state = self.state.iter().map(|state| ("state", state.as_str()));
        let all = parameters.iter().copied().chain(state).chain([("iss", issuer.url.as_str())]);
        see_other(&self.redirect_uri, all)
    }
}

/// Sends the browser to this address, with these parameters.
///
/// # Errors
/// [`Refusal::Internal`] where the address is no value of a field.
pub(super) fn see_other<'a>(
    address: &str,
    parameters: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Result<Response<ResponseBody>, Refusal> {
    let mut location = address.to_owned();
    for (name, value) in parameters {
        location.push(if location.contains('?') { '&' } else { '?' });
        location.push_str(name);
        location.push('=');
        location.extend(utf8_percent_encode(value, ENCODED));
    }
    let mut response = Response::new(ResponseBody::full(""));
    // Not 307, by which the browser would hand on the password (RFC 9700 section 4.12).
    *response.status_mut() = StatusCode::SEE_OTHER;
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, HeaderValue::from_str(&location).map_err(|_| Refusal::Internal)?);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_follows_to_the_client_and_from_there_by_https() {
        for (uri, sources) in [
            ("https://www.example.com:8443/cb?x=https://a/b", "https:"),
            ("http://127.0.0.1:5000/cb", "http://127.0.0.1:5000 https:"),
            ("http://localhost?x", "http://localhost https:"),
            ("http://[::1]:5000/cb", "http: https:"),
            ("com.example.app:/cb", "com.example.app: https:"),
            ("com.example.app://cb/x", "com.example.app: https:"),
        ] {
            assert_eq!(ReturnAddress { redirect_uri: uri.to_owned(), state: None }.sources(), sources, "{uri}");
        }
    }

    #[test]
    fn a_challenge_is_the_base64url_of_a_sha_256() {
        assert!(is_digest("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"));
        for wrong in ["", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-c", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw+cM"] {
            assert!(!is_digest(wrong), "{wrong}");
        }
    }
}
