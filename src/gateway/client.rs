//! Who a client is that calls an OAuth endpoint: its id and a secret, by Basic or in the form (RFC 6749 section 2.3).

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::HeaderMap;
use http::header::{self, HeaderValue};
use zeroize::Zeroizing;

use super::call::Call;
use super::error::Refused;
use super::form::{self, Form};
use super::limits::Attempt;
use super::login::MAX_FORM;
use super::record::Record;
use super::{Gateway, unix_seconds};
use crate::auth::{Client, password};
use crate::policy::AccessToken;
use crate::refusal::Refusal;

/// How many hashes a refused client costs, whether it exists or not.
const HASHES: usize = 2;

/// What a client shows of itself.
struct Shown {
    /// Its id, in the readings that are possible.
    ids: Vec<Zeroizing<String>>,
    /// Its secret, in the readings that are possible.
    secrets: Vec<Zeroizing<String>>,
}

impl Gateway {
    /// The client that has proved itself.
    ///
    /// # Errors
    /// That it has not, or has tried too often.
    pub(super) async fn authenticate<'a>(
        &self,
        call: &Call<'a>,
        query: &Form,
        form: &Form,
        endpoint: &AccessToken,
        record: &mut Record,
    ) -> Result<&'a Client, Refused> {
        let policy = call.policy;
        let shown = shown(&call.parts.headers, query, form)?;
        let client = shown.ids.iter().find_map(|id| policy.auth.clients.get(id.as_str()));
        let name = client.map_or_else(|| shown.ids.first().map(|id| id.as_str()), |client| Some(&*client.id));
        let name = name.unwrap_or_default();
        self.shared.limits.attempt(Attempt::AccessToken, name, &endpoint.limit, Refusal::TokenRate)?;
        let tried = self.try_as(Attempt::AccessToken, name, call.connection.address, endpoint.attempts).await?;
        let known = client.map(|client| Arc::clone(&client.id));
        let owned = Arc::clone(policy);
        let secrets = shown.secrets;
        let now = unix_seconds(record.time);
        let proved = self
            .shared
            .hashing
            .run(move || prove(known.and_then(|id| owned.auth.clients.get(&id)), &secrets, now))
            .await?;
        self.judge(&tried, &proved).await;
        proved?;
        let client = client.ok_or(Refusal::UnknownClient)?;
        record.client = Some(Arc::clone(&client.id));
        Ok(client)
    }
}

/// The parameters of a request to an OAuth endpoint, in its query and in its body.
///
/// # Errors
/// A body that is no form, or a secret in the query.
pub(super) async fn read_forms(call: &mut Call<'_>, record: &mut Record) -> Result<(Form, Form), Refused> {
    let query = form::open_query(call.parts.uri.query())?;
    if !matches!(call.media_type().as_deref(), None | Some("application/x-www-form-urlencoded")) {
        return Err(Refusal::ContentType.into());
    }
    let body = call.read_body(MAX_FORM, record).await?;
    Ok((query, Form::parse(&body)?))
}

/// Whether a client shows anything of itself.
pub(super) fn is_shown(headers: &HeaderMap, query: &Form, form: &Form) -> bool {
    headers.contains_key(header::AUTHORIZATION)
        || form.has("client_secret")
        || form.has("client_id")
        || query.has("client_id")
}

/// Whether one of the secrets is one of the client's. A refusal takes the same time whatever its cause.
fn prove(client: Option<&Client>, secrets: &[Zeroizing<String>], now: u64) -> Result<(), Refusal> {
    let secrets_of = client.map_or(&[][..], |client| &client.secrets);
    for secret in secrets {
        let mut left = HASHES;
        for known in secrets_of.iter().filter(|known| now < known.until) {
            if password::verify(&known.hash, secret.as_bytes()) {
                known.used.note(now);
                return Ok(());
            }
            left = left.saturating_sub(1);
        }
        for _ in 0..left {
            password::verify(&password::dummy(), secret.as_bytes());
        }
    }
    Err(if client.is_some() { Refusal::WrongClientSecret } else { Refusal::UnknownClient })
}

/// Credentials by exactly one method (RFC 6749 section 2.3).
fn shown(headers: &HeaderMap, query: &Form, form: &Form) -> Result<Shown, Refusal> {
    let mut fields = headers.get_all(header::AUTHORIZATION).iter();
    let posted = form.one("client_id")?;
    let secret = form.one("client_secret")?;
    match (fields.next(), fields.next()) {
        (_, Some(_)) => Err(Refusal::ClientAuthentication),
        (Some(basic), None) => {
            let shown = from_basic(basic).ok_or(Refusal::ClientAuthentication)?;
            // Its own id beside Basic is allowed where it says the same.
            let agrees = posted.is_none_or(|id| shown.ids.iter().any(|known| known.as_str() == id));
            if secret.is_some() || !agrees { Err(Refusal::ClientAuthentication) } else { Ok(shown) }
        }
        (None, None) => {
            let id = one_of(query, form, "client_id")?.ok_or(Refusal::ParameterMissing)?;
            let secret = secret.ok_or(Refusal::ParameterMissing)?;
            Ok(Shown { ids: vec![Zeroizing::new(id.to_owned())], secrets: vec![Zeroizing::new(secret.to_owned())] })
        }
    }
}

/// RFC 6749 section 2.3.1 wants both halves form-urlencoded first; many clients do not do it. Both readings count.
fn from_basic(value: &HeaderValue) -> Option<Shown> {
    let (scheme, encoded) = value.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("Basic") {
        return None;
    }
    let pair = Zeroizing::new(BASE64.decode(encoded.trim_matches(' ')).ok()?);
    // RFC 7617 leaves the character set open: what is not UTF-8 is Latin-1.
    let latin1 = || pair.iter().map(|byte| char::from(*byte)).collect();
    let pair = Zeroizing::new(std::str::from_utf8(&pair).map_or_else(|_| latin1(), str::to_owned));
    let (id, secret) = pair.split_once(':')?;
    let readings = |text: &str| {
        let mut readings = vec![Zeroizing::new(text.to_owned())];
        readings.extend(form::decoded(text.as_bytes()).filter(|decoded| decoded.as_str() != text));
        readings
    };
    let empty = id.is_empty() || secret.is_empty();
    (!empty).then(|| Shown { ids: readings(id), secrets: readings(secret) })
}

/// A parameter that may stand in the query or in the body, but not say two things.
pub(super) fn one_of<'a>(query: &'a Form, form: &'a Form, name: &str) -> Result<Option<&'a str>, Refusal> {
    match (query.one(name)?, form.one(name)?) {
        (Some(one), Some(other)) if one != other => Err(Refusal::ParameterRepeated),
        (one, other) => Ok(one.or(other)),
    }
}
