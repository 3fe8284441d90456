//! Login at the company's provider, in place of our form (OpenID Connect Core 1.0 section 3.1, RFC 9700): the browser goes
//! there with a sealed `state` and comes back to `/oauth/callback` with a code, which this gateway redeems for an ID token.
//!
//! What binds a login to its browser is the cookie of [`super::COOKIE`]: without it no `state` opens, and `nonce` and the
//! code verifier, which stand in no address, come from both together.

use std::time::SystemTime;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use http::Response;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::super::audited::EndpointEvent;
use super::code::CustomerProof;
use super::request::{AuthorizationRequest, Prompt, see_other};
use super::{FORM_LIFETIME, Issuance, browser_cookies, cookie_of, is_good, keep_cookie, page};
use crate::auth::id_token::IdTokenTerms;
use crate::gateway::endpoints::fair_queue::{AttemptOrigin, Lane};
use crate::gateway::endpoints::form::Form;
use crate::gateway::error::Refused;
use crate::gateway::observe::record::Record;
use crate::gateway::rate_limit::keys::{key, network};
use crate::gateway::request::call::Call;
use crate::gateway::response::body::ResponseBody;
use crate::gateway::{Gateway, unix_seconds};
use crate::hex::hex;
use crate::parameters::form_encoded;
use crate::policy::login_provider::LoginProvider;
use crate::refusal::{Refusal, TokenFault};
use crate::secret::{Secret, random_bytes};
use crate::state::replay::{self, Use};
use crate::state::revocation::Issued;
use crate::state::session::digest_of;

/// The route name in log and metrics.
pub(crate) const NAME: &str = "oauth_callback";
/// What a `state` is sealed for.
const PURPOSE: &str = "login at the provider";
/// How the `state` for the provider begins.
const STATE_PREFIX: &str = "wgp_";
/// Errors of a provider that go on to the client (RFC 6749 section 4.1.2.1, OpenID Connect Core 1.0 section 3.1.2.6).
const PASSED_ON: [&str; 6] = [
    "access_denied",
    "login_required",
    "interaction_required",
    "consent_required",
    "account_selection_required",
    "temporarily_unavailable",
];

/// A browser that is at the provider: the contents of `state`.
#[derive(Serialize, Deserialize)]
struct Departure {
    request: AuthorizationRequest,
    /// Tells it from other logins of this browser.
    seed: String,
    /// In seconds since 1970.
    expires_at: u64,
}

impl Departure {
    /// A secret of this login and this browser.
    fn secret(&self, purpose: &str, cookie: &[u8]) -> String {
        let parts = [purpose.as_bytes(), b" ", self.seed.as_bytes(), b" ", cookie].concat();
        challenge_of(&parts)
    }
}

/// The base64url of a SHA-256.
fn challenge_of(bytes: &[u8]) -> String {
    BASE64.encode(digest::digest(&digest::SHA256, bytes))
}

/// Sends the browser to the provider.
pub(super) fn depart(
    call: &Call<'_>,
    issuance: &Issuance<'_>,
    provider: &LoginProvider,
    request: AuthorizationRequest,
    prompt: Prompt,
) -> Result<Response<ResponseBody>, Refused> {
    let cookie = cookie_of(call);
    let expires_at = unix_seconds(SystemTime::now()).saturating_add(FORM_LIFETIME);
    let departure = Departure { request, seed: hex(&random_bytes::<16>()), expires_at };
    let value = serde_json::to_vec(&departure).map_err(|_| Refusal::Internal)?;
    let sealed = issuance.deriver.seal(PURPOSE, cookie.as_bytes(), &value).ok_or(Refusal::Internal)?;
    let state = format!("{STATE_PREFIX}{sealed}");
    let nonce = departure.secret("nonce", cookie.as_bytes());
    let challenge = challenge_of(departure.secret("code verifier", cookie.as_bytes()).as_bytes());
    let prompt = match prompt {
        Prompt::None | Prompt::Never => Some("none"),
        Prompt::Login => Some("login"),
        Prompt::Usual => provider.prompt,
    };
    let parameters = [
        ("response_type", "code"),
        ("client_id", provider.client_id.as_str()),
        ("redirect_uri", provider.callback.as_str()),
        ("scope", provider.scope.as_str()),
        ("state", state.as_str()),
        ("nonce", nonce.as_str()),
        ("code_challenge", challenge.as_str()),
        ("code_challenge_method", "S256"),
    ];
    let prompt = prompt.map(|prompt| ("prompt", prompt));
    let mut response = see_other(&provider.authorization_endpoint, parameters.into_iter().chain(prompt))?;
    keep_cookie(&mut response, &cookie)?;
    Ok(response)
}

impl Gateway {
    /// Answers a browser that comes back from the provider. Refusals are pages.
    pub(crate) async fn provider_callback(
        &self,
        call: Box<Call<'_>>,
        record: &mut Record,
    ) -> Result<Response<ResponseBody>, Refused> {
        record.route = NAME.into();
        let issuance = Issuance::of(call.policy)?;
        let provider = issuance.login.provider.as_deref().ok_or(Refusal::NoRoute)?;
        let outcome = self.arrive(&call, &issuance, provider, record).await;
        let word = record.refusal.or(outcome.as_ref().err().map(|refused| refused.refusal));
        self.worker_metrics().login(word.map_or("ok", |refusal| refusal.as_str()));
        self.note(EndpointEvent::Login, record, word.map_or("ok", |refusal| refusal.as_str()));
        Ok(outcome.unwrap_or_else(|refused| {
            record.refusal = Some(refused.refusal);
            page::fault_page(&issuance.login.page, &refused)
        }))
    }

    async fn arrive(
        &self,
        call: &Call<'_>,
        issuance: &Issuance<'_>,
        provider: &LoginProvider,
        record: &mut Record,
    ) -> Result<Response<ResponseBody>, Refused> {
        // Before the provider is asked: what is revoked in between is revoked.
        let number = Some(self.shared.state.revocations().seen());
        let auth = &call.policy.auth;
        let query = Form::parse(call.parts.uri.query().unwrap_or_default().as_bytes())?;
        let state = query.required("state")?;
        let sealed = state.strip_prefix(STATE_PREFIX).ok_or(Refusal::LoginForm)?;
        let own = |cookie: &'_ [u8]| Some((issuance.deriver.unseal(PURPOSE, cookie, sealed)?, cookie.to_vec()));
        let (value, cookie) = browser_cookies(&call.parts.headers).find_map(own).ok_or(Refusal::LoginForm)?;
        let departure: Departure = serde_json::from_slice(&value).map_err(|_| Refusal::LoginForm)?;
        if !is_good(call, &departure.request, departure.expires_at) {
            return Err(Refusal::LoginForm.into());
        }
        record.known.client = auth.clients.get(departure.request.client.as_str()).map(|client| client.id.clone());
        // RFC 9207 section 2.4: an answer of another server.
        let named = query.one("iss")?;
        if named.is_some_and(|iss| !auth.is_of_issuer(iss, provider.issuer)) {
            return Err(Refusal::LoginForm.into());
        }
        let to = &departure.request.to;
        if let Some(error) = query.one("error")? {
            let told = PASSED_ON.into_iter().find(|known| *known == error);
            if told.is_none() || told == Some("temporarily_unavailable") {
                record.refusal = Some(Refusal::LoginBackend);
                record.backend_fault.note(provider.name.as_str(), "refused the login");
            }
            return Ok(to.answer(issuance.issuer, &[("error", told.unwrap_or("server_error"))])?);
        }
        let code = query.required("code")?;
        let verifier = departure.secret("code verifier", &cookie);
        let token = self.redeem_at_provider(call, provider, state, [code, &verifier], record).await?;
        let nonce = departure.secret("nonce", &cookie);
        let terms = IdTokenTerms { issuer: provider.issuer, named, client_id: &provider.client_id, nonce: &nonce };
        let now = unix_seconds(SystemTime::now());
        let customer = match auth.customer_of_id_token(&token, terms, now).await {
            Ok(customer) => customer,
            // Of another login: somebody has slipped in a code.
            Err(TokenFault::Used) => return Err(Refusal::LoginForm.into()),
            Err(fault @ TokenFault::Claim) => {
                let refusal = Refusal::CustomerToken(fault);
                self.note_provider(provider, record, refusal.as_str());
                record.refusal = Some(refusal);
                return Ok(to.answer(issuance.issuer, &[("error", "access_denied")])?);
            }
            Err(fault) => {
                return Err(self.note_provider(provider, record, Refusal::CustomerToken(fault).as_str()).into());
            }
        };
        record.known.customer = Some(customer.clone());
        let id = replay::owned(digest_of(departure.seed.as_bytes()), &format!("customer {}", customer.as_str()));
        let made = departure.expires_at.saturating_sub(FORM_LIFETIME);
        match self.shared.state.use_once(id, made, departure.expires_at, now).await {
            Ok(Use::First) => {}
            Ok(Use::ShareIsFull) => return Err(Refusal::ReplayShare.into()),
            Ok(Use::Again) => return Err(Refusal::LoginForm.into()),
            Err(_) => return Err(Refusal::StateUnavailable.into()),
        }
        let issued = Issued { at: now, number };
        let proof = CustomerProof { customer, claims: Default::default(), account: None, issued, session: None };
        self.answer_with_code(call, issuance, departure.request, proof).await
    }

    /// The ID token for a code and its verifier. Networks take turns, so that a slow provider is slow for each.
    ///
    /// # Errors
    /// [`Refusal::LoginForm`]: the provider does not know the code, or not of this login. [`Refusal::LoginBackend`]: it did
    /// not answer, or with something else.
    async fn redeem_at_provider(
        &self,
        call: &Call<'_>,
        provider: &LoginProvider,
        state: &str,
        [code, verifier]: [&str; 2],
        record: &Record,
    ) -> Result<Zeroizing<String>, Refusal> {
        let address = network(call.source.address);
        let name = key(&["provider", &address.to_string(), state]);
        let origin = AttemptOrigin { network: address, name, lane: Lane::Unknown };
        let _turn = self.shared.asking.turn(origin).await.map_err(|_| Refusal::HashQueue)?;
        let (code, callback) = (form_encoded(code), form_encoded(&provider.callback));
        let form = format!(
            "grant_type=authorization_code&code={code}&redirect_uri={callback}&code_verifier={}",
            form_encoded(verifier)
        );
        let outage = |word: &str| self.note_provider(provider, record, word);
        let now = unix_seconds(SystemTime::now());
        let (form, authorization) =
            provider.proof.shown_with(Secret::new(form), now).map_err(|(word, _)| outage(word))?;
        let answer = Box::pin(provider.fetcher.post_form(&provider.token_endpoint, form, authorization)).await;
        let answer = answer.map_err(|fault| outage(fault.as_str()))?;
        let document: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        match (answer.status, document["id_token"].as_str()) {
            (200, Some(token)) => Ok(Zeroizing::new(token.to_owned())),
            (200, None) => Err(outage("answer")),
            (400, _) if document["error"] == "invalid_grant" => Err(Refusal::LoginForm),
            _ => Err(outage("status")),
        }
    }

    /// Notes that the provider did not do its part; nothing that it said is repeated.
    fn note_provider(&self, provider: &LoginProvider, record: &Record, kind: &str) -> Refusal {
        let issuer = provider.name.as_str();
        tracing::warn!(issuer, kind, request_id = record.id(), "a login at the provider failed");
        record.backend_fault.note(issuer, kind);
        Refusal::LoginBackend
    }
}
