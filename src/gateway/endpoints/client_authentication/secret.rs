//! Client secrets, by Basic (`client_secret_basic`) or in the form (`client_secret_post`): RFC 6749 section 2.3.1.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::header::HeaderValue;
use zeroize::Zeroizing;

use super::super::form::{self, Form};
use super::client_id;
use super::verified_secrets::{SecretDigest, VerifiedSecrets};
use crate::auth::credentials::after_scheme;
use crate::auth::credentials::password::{Decoy, PasswordHash};
use crate::auth::{Client, ClientSecret};
use crate::gateway::Gateway;
use crate::gateway::endpoints::lockout::Who;
use crate::gateway::endpoints::password_hashing::Stopwatch;
use crate::gateway::error::Refused;
use crate::gateway::rate_limit::Look;
use crate::policy::{AccessToken, Policy};
use crate::refusal::Refusal;

/// A client id and secret as presented.
#[derive(Clone)]
pub(super) struct SecretCredential {
    /// The id, in its possible readings.
    ids: Vec<Zeroizing<String>>,
    /// The secret, in its possible readings.
    readings: Vec<Zeroizing<String>>,
}

/// A secret that is presented for a client, which may not exist.
#[derive(Clone, Copy)]
pub(super) struct ShownSecret<'a> {
    pub(super) client: Option<&'a Client>,
    pub(super) secret: &'a SecretCredential,
    /// Seconds since 1970.
    pub(super) now: u64,
}

impl SecretCredential {
    /// Reads `Authorization`. The same client id may also stand in the form.
    ///
    /// # Errors
    /// The field is not Basic, or the form names another client.
    pub(super) fn from_basic(field: &HeaderValue, form: &Form) -> Result<Self, Refused> {
        let shown = basic(field).ok_or(Refusal::ClientAuthenticationMalformed)?;
        let agrees = form.one("client_id")?.is_none_or(|id| shown.ids().any(|known| known == id));
        if agrees { Ok(shown) } else { Err(Refusal::ClientAuthentication.into()) }
    }

    /// Reads `Authorization` where nothing else names a client; `None` for what is not Basic with an id and a secret.
    pub(super) fn from_field(field: &HeaderValue) -> Option<Self> {
        basic(field)
    }

    /// Reads the form.
    ///
    /// # Errors
    /// The id or the secret is missing or repeated.
    pub(super) fn from_form(secret: Option<&str>, query: &Form, form: &Form) -> Result<Self, Refused> {
        let id = client_id(query, form)?;
        let secret = secret.ok_or(Refused::of_parameter(Refusal::ClientAuthenticationMissing, "client_secret"))?;
        Ok(Self { ids: vec![Zeroizing::new(id.to_owned())], readings: vec![Zeroizing::new(secret.to_owned())] })
    }

    /// The readings of the id.
    pub(super) fn ids(&self) -> impl Iterator<Item = &str> {
        self.ids.iter().map(|id| id.as_str())
    }
}

impl Gateway {
    /// Verifies a client secret. One that was right before costs no hash and waits for nobody's failures: neither those
    /// of other networks nor, now and then, those of its own. One that was wrong before costs none either and is no new
    /// guess, so nobody waits for it.
    ///
    /// # Errors
    /// The secret is wrong, too many attempts have failed before, or the hash queue is full.
    pub(super) async fn prove_by_secret(
        &self,
        policy: &Arc<Policy>,
        endpoint: &AccessToken,
        who: Who,
        shown: ShownSecret<'_>,
    ) -> Result<(), Refused> {
        let ShownSecret { client, secret, now } = shown;
        let remembered = &self.shared.remembered;
        let wrong = wrong(shown, remembered, &endpoint.decoy.hash);
        if remembered.is_wrong(&wrong) {
            return Err(no(client).into());
        }
        let is_remembered = || client.is_some_and(|client| is_known(client, &secret.readings, now, remembered));
        let limits = &self.shared.limits;
        // Nothing is kept of names that nobody has.
        let look = if client.is_some() { limits.look(who.key(), is_remembered) } else { Look::NotAllowed };
        if look == Look::Found {
            return Ok(());
        }
        let hashing = &self.shared.hashing;
        let mut tried = self.try_as(who, endpoint.attempts).await?;
        let permit = tried.turn(hashing.queue(), &endpoint.limit).await?;
        // Another call of this client may have been before it.
        if is_remembered() {
            drop(permit);
            limits.has_verified(who.key(), look);
            tried.judge(&Ok(())).await;
            return Ok(());
        }
        if remembered.is_wrong(&wrong) {
            limits.has_verified(who.key(), look);
            tried.retract();
            return Err(no(client).into());
        }
        let known = client.map(|client| Arc::clone(&client.id));
        let (policy, secret, remembered) = (Arc::clone(policy), secret.clone(), Arc::clone(remembered));
        let decoy = Arc::clone(&endpoint.decoy);
        let job = move |stopwatch: &Stopwatch| {
            let client = known.and_then(|id| policy.auth.clients.get(&id));
            prove(ShownSecret { client, secret: &secret, now }, &remembered, &decoy, stopwatch).map_err(|()| {
                remembered.keep_wrong(wrong);
                no(client)
            })
        };
        let hashed = hashing.run(permit, job).await?;
        limits.has_verified(who.key(), look);
        let _held = tried.judge(&hashed.outcome).await;
        if hashed.outcome.is_err() {
            let readings = shown.secret.readings.iter().map(|reading| reading.as_bytes());
            hashing.wait_as_for(&hashed, &endpoint.decoy, readings).await;
        }
        Ok(hashed.outcome?)
    }
}

/// The unexpired secrets of a client.
fn good(client: &Client, now: u64) -> impl Iterator<Item = &ClientSecret> {
    client.secrets.iter().filter(move |known| now < known.until)
}

/// True if one of the secrets was verified before, and is still in force.
fn is_known(client: &Client, secrets: &[Zeroizing<String>], now: u64, remembered: &VerifiedSecrets) -> bool {
    let known = good(client, now)
        .find(|known| secrets.iter().any(|secret| remembered.knows(&client.id, &known.hash, secret.as_bytes())));
    known.inspect(|known| known.used.note(now)).is_some()
}

/// The digest by which a wrong secret is remembered, over all its readings and the client's hashes. An unknown client
/// takes as long.
fn wrong(shown: ShownSecret<'_>, remembered: &VerifiedSecrets, decoy: &PasswordHash) -> SecretDigest {
    let ShownSecret { client, secret, now } = shown;
    let id = client.map(|client| &*client.id).or(secret.ids().next()).unwrap_or_default();
    let own = client.into_iter().flat_map(|client| good(client, now).map(|known| &known.hash));
    let hashes = own.chain(client.is_none().then_some(decoy));
    remembered.digest(id, hashes, secret.readings.iter().map(|reading| reading.as_bytes()))
}

fn no(client: Option<&Client>) -> Refusal {
    if client.is_some() { Refusal::WrongClientSecret } else { Refusal::UnknownClient }
}

/// Verifies the readings against the client's hashes. A client without a secret costs one hash.
fn prove(
    ShownSecret { client, secret, now }: ShownSecret<'_>,
    remembered: &VerifiedSecrets,
    decoy: &Decoy,
    stopwatch: &Stopwatch,
) -> Result<(), ()> {
    let mut is_hashed = false;
    for reading in &secret.readings {
        let all = client.into_iter().flat_map(|client| good(client, now).map(move |known| (client, known)));
        for (client, known) in all {
            is_hashed = true;
            if stopwatch.verify(&known.hash, reading.as_bytes()) {
                known.used.note(now);
                remembered.keep(&client.id, &known.hash, reading.as_bytes());
                return Ok(());
            }
        }
    }
    if let Some(reading) = secret.readings.first() {
        if !is_hashed {
            stopwatch.verify(&decoy.hash, reading.as_bytes());
        }
        stopwatch.measure_all(decoy, reading.as_bytes());
    }
    Err(())
}

/// Reads Basic credentials. RFC 6749 section 2.3.1 requires both halves form-urlencoded first; many clients do not do
/// it, so both readings count.
fn basic(field: &HeaderValue) -> Option<SecretCredential> {
    let encoded = after_scheme(field, Some("Basic")).ok()?;
    let pair = Zeroizing::new(BASE64.decode(encoded).ok()?);
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
    (!empty).then(|| SecretCredential { ids: readings(id), readings: readings(secret) })
}
