//! Authorization codes (RFC 6749 section 4.1.2). A code holds all that it stands for, sealed with the identifier key, so
//! that every replica can redeem it and no store has it before that. It is good for one minute and once.

use aws_lc_rs::{constant_time, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use serde::{Deserialize, Serialize};

use super::request::AuthorizationRequest;
use crate::customer::{Deriver, Identifier};
use crate::gateway::endpoints::customer_token::CustomerClaims;
use crate::refusal::Refusal;
use crate::state::account_stamp::AccountStamp;
use crate::state::refresh_token::FamilyId;
use crate::state::revocation::Issued;
use crate::state::session::{LoginId, SessionDigest, digest_of};

/// Lifetime of a code, in seconds.
pub(in crate::gateway::endpoints) const LIFETIME: u64 = 60;
/// What a code begins with.
const PREFIX: &str = "wgc_";
/// What it is sealed for.
const PURPOSE: &str = "authorization code";

/// The contents of an authorization code: a proved customer, and the request that asked for it.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::gateway::endpoints) struct AuthorizationCode {
    /// The request; without its `state`, which is the browser's.
    pub(in crate::gateway::endpoints) request: AuthorizationRequest,
    /// The identifier of the customer.
    customer: String,
    /// Further claims of the customer's JWT.
    pub(in crate::gateway::endpoints) claims: CustomerClaims,
    /// The account, if known.
    account: Option<String>,
    /// Time of the proof, in seconds since 1970.
    issued_at: u64,
    /// The last revocation rule by then.
    number: Option<u64>,
    /// Where a session proved the customer: its login, and its expiry.
    session: Option<(String, u64)>,
    /// Expiry of the code, in seconds since 1970.
    pub(in crate::gateway::endpoints) expires_at: u64,
}

/// Proof of a customer for a code.
pub(in crate::gateway::endpoints) struct CustomerProof {
    pub(in crate::gateway::endpoints) customer: Identifier,
    pub(in crate::gateway::endpoints) claims: CustomerClaims,
    pub(in crate::gateway::endpoints) account: Option<AccountStamp>,
    /// The time of the login, and the revocation rules known by then.
    pub(in crate::gateway::endpoints) issued: Issued,
    /// The login and the expiry of the session that is the proof; `None` for a new login.
    pub(in crate::gateway::endpoints) session: Option<(LoginId, u64)>,
}

/// A code as it is sent, and the names that it has from its text.
pub(in crate::gateway::endpoints) struct CodeText {
    /// The id of the family of refresh tokens of its login.
    pub(in crate::gateway::endpoints) family: FamilyId,
    /// The digest of that id, by which its login is named.
    pub(in crate::gateway::endpoints) digest: SessionDigest,
    text: String,
}

impl CodeText {
    /// Takes a code as it was presented.
    pub(in crate::gateway::endpoints) fn new(text: String) -> Self {
        let mut family = FamilyId::default();
        let length = family.len();
        family.copy_from_slice(&digest_of(text.as_bytes())[..length]);
        Self { family, digest: digest_of(&family), text }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    /// The name of the login that this code begins.
    pub(in crate::gateway::endpoints) fn login(&self) -> LoginId {
        LoginId::of(&self.digest)
    }
}

impl AuthorizationCode {
    /// A code for this request, that a client may redeem until [`LIFETIME`] after `now`, in seconds since 1970.
    pub(super) fn new(mut request: AuthorizationRequest, proof: CustomerProof, now: u64) -> Self {
        request.to.state = None;
        Self {
            request,
            customer: proof.customer.as_str().to_owned(),
            claims: proof.claims,
            account: proof.account.map(|account| account.to_string()),
            issued_at: proof.issued.at,
            number: proof.issued.number,
            session: proof.session.map(|(login, ends)| (login.to_string(), ends)),
            expires_at: now.saturating_add(LIFETIME),
        }
    }

    /// The code as it is sent.
    ///
    /// # Errors
    /// [`Refusal::Internal`].
    pub(super) fn seal(&self, deriver: &Deriver) -> Result<CodeText, Refusal> {
        let value = serde_json::to_vec(self).map_err(|_| Refusal::Internal)?;
        let sealed = deriver.seal(PURPOSE, b"", &value).ok_or(Refusal::Internal)?;
        Ok(CodeText::new(format!("{PREFIX}{sealed}")))
    }

    /// The contents of a code that some replica of this gateway has made, and the proof in it; `None` for any other, and
    /// for one that has expired. `now` is in seconds since 1970.
    pub(in crate::gateway::endpoints) fn open(
        code: &CodeText,
        deriver: &Deriver,
        now: u64,
    ) -> Option<(Self, CustomerProof)> {
        let value = deriver.unseal(PURPOSE, b"", code.text.strip_prefix(PREFIX)?)?;
        let mut opened: Self = serde_json::from_slice(&value).ok().filter(|code: &Self| now < code.expires_at)?;
        let session = match &opened.session {
            Some((login, ends)) => Some((LoginId::parse(login)?, *ends)),
            None => None,
        };
        let proof = CustomerProof {
            customer: deriver.accept(&opened.customer, now).ok()?,
            claims: std::mem::take(&mut opened.claims),
            account: opened.account.as_deref().and_then(AccountStamp::parse),
            issued: Issued { at: opened.issued_at, number: opened.number },
            session,
        };
        Some((opened, proof))
    }

    /// True if whoever redeems the code is who began (RFC 7636 section 4.6): a challenge needs its verifier, and a
    /// verifier its challenge (RFC 9700 section 4.8.2).
    pub(in crate::gateway::endpoints) fn is_proved_by(&self, verifier: Option<&str>) -> bool {
        match (&self.request.challenge, verifier) {
            (None, None) => true,
            (Some(challenge), Some(verifier)) if is_verifier(verifier) => {
                let digest = BASE64.encode(digest::digest(&digest::SHA256, verifier.as_bytes()));
                constant_time::verify_slices_are_equal(digest.as_bytes(), challenge.as_bytes()).is_ok()
            }
            _ => false,
        }
    }
}

/// True for 43 to 128 unreserved characters (RFC 7636 section 4.1).
fn is_verifier(text: &str) -> bool {
    let is_unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    (43..=128).contains(&text.len()) && text.bytes().all(is_unreserved)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::super::request::ReturnAddress;
    use super::*;
    use crate::customer::{IdentifierKey, Mode};
    use crate::secret::Secret;

    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    fn deriver() -> Deriver {
        let text = IdentifierKey::generate();
        Deriver::new(IdentifierKey::parse(&Secret::new(text.as_bytes())).unwrap(), Mode::Traceable)
    }

    fn code(deriver: &Deriver, challenge: Option<&str>) -> AuthorizationCode {
        let to = ReturnAddress { redirect_uri: "https://www.example.com/cb".to_owned(), state: Some("s".to_owned()) };
        let request = AuthorizationRequest {
            client: "asapp".to_owned(),
            to,
            challenge: challenge.map(str::to_owned),
            scope: String::new(),
            audience: "api".to_owned(),
        };
        let customer = deriver.derive("tenant", "alice").unwrap();
        let issued = Issued { at: 100, number: Some(7) };
        let proof = CustomerProof { customer, claims: CustomerClaims::new(), account: None, issued, session: None };
        AuthorizationCode::new(request, proof, 100)
    }

    #[test]
    fn a_code_opens_for_a_minute_and_each_begins_a_login_of_its_own() {
        let deriver = deriver();
        let made = code(&deriver, None);
        let (one, other) = (made.seal(&deriver).unwrap(), made.seal(&deriver).unwrap());
        assert_ne!(one.login(), other.login());
        let (opened, proof) = AuthorizationCode::open(&one, &deriver, 159).unwrap();
        assert_eq!((opened.request.client.as_str(), proof.issued), ("asapp", Issued { at: 100, number: Some(7) }));
        assert!(opened.request.to.state.is_none(), "the client has its state");
        assert!(AuthorizationCode::open(&one, &deriver, 160).is_none());
        for wrong in ["", "wgc_", &one.as_str()[4..], &one.as_str()[..50]] {
            assert!(AuthorizationCode::open(&CodeText::new(wrong.to_owned()), &deriver, 100).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_challenge_needs_its_verifier_and_a_verifier_its_challenge() {
        let deriver = deriver();
        let (with, without) = (code(&deriver, Some(CHALLENGE)), code(&deriver, None));
        assert!(with.is_proved_by(Some(VERIFIER)) && without.is_proved_by(None));
        assert!(!with.is_proved_by(None) && !without.is_proved_by(Some(VERIFIER)));
        for wrong in [CHALLENGE, "", &VERIFIER[1..], &format!("{VERIFIER}a")] {
            assert!(!with.is_proved_by(Some(wrong)), "{wrong}");
        }
    }
}
