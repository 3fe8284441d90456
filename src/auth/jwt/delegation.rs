//! Claims about a client that acts for a customer (RFC 8693 sections 4.1 and 4.4), and about what ends its token.

use serde_json::{Value, json};

use super::jws::Members;
use crate::customer::Deriver;
use crate::refusal::TokenFault;
use crate::state::revocation::Subject;

/// Who acts for the customer (RFC 8693 section 4.1).
pub const ACT: &str = "act";
/// Who may act for the customer (RFC 8693 section 4.4).
const MAY_ACT: &str = "may_act";
/// A claim of our own tokens that were given for another token: each revocation of one of these ends them too.
/// It is sealed: the subjects say who the customer is, or let whoever reads the token try guesses.
const ENDS_WITH: &str = "wg_ends_with";
/// What that claim is sealed for.
const PURPOSE: &str = "what ends a token";
/// A claim of the same tokens: the issuer of the other token, for as long as it is trusted.
const GIVEN_FOR: &str = "wg_given_for";

/// Claims about delegation, of any issuer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delegation {
    /// `act`, as it stands there.
    act: Option<Value>,
    /// `may_act`, as it stands there.
    may_act: Option<Value>,
    /// The subjects of revocation rules that end it, sealed; only of our own tokens.
    ends_with: Option<String>,
    /// The issuer of the token that it was given for; only of our own tokens.
    pub given_for: Option<String>,
}

impl Delegation {
    /// Those of a verified token; `None` where it has none. `own`: this gateway issued it.
    pub(super) fn read(claims: &Members, own: bool) -> Result<Option<Box<Self>>, TokenFault> {
        let value = |name| claims.get(name).filter(|value| !value.is_null()).cloned();
        let (act, may_act) = (value(ACT), value(MAY_ACT));
        if act.is_none() && may_act.is_none() {
            return Ok(None);
        }
        let mut delegation = Self { act, may_act, ..Self::default() };
        if own {
            delegation.ends_with = claims.text(ENDS_WITH)?.map(str::to_owned);
            delegation.given_for = claims.text(GIVEN_FOR)?.map(str::to_owned);
        }
        Ok(Some(Box::new(delegation)))
    }

    /// The client that acts by a token of ours; `None` where it names none.
    pub fn client(&self) -> Option<&str> {
        self.act.as_ref()?.get("sub")?.as_str()
    }

    /// Returns whether somebody acts by this token already.
    pub fn has_actor(&self) -> bool {
        self.act.is_some()
    }

    /// Returns whether the token lets this client act for its customer: one that says who may, lets nobody else.
    pub fn lets(&self, client: &str) -> bool {
        let Some(may_act) = &self.may_act else { return true };
        let named = |name: &str| may_act.get(name).and_then(Value::as_str);
        named("client_id").or(named("sub")) == Some(client)
    }

    /// The subjects of revocation rules that end a token of ours.
    ///
    /// # Errors
    /// [`TokenFault::Malformed`]: there are none, or this key has not sealed them.
    pub fn ends_with(&self, deriver: &Deriver) -> Result<Box<[Subject]>, TokenFault> {
        let opened = self.ends_with.as_deref().and_then(|sealed| deriver.unseal(PURPOSE, b"", sealed));
        let listed: Option<Vec<String>> = opened.and_then(|text| serde_json::from_slice(&text).ok());
        let subject = |text: String| text.split_once(' ').and_then(|(kind, name)| Subject::new(kind, name));
        listed.and_then(|listed| listed.into_iter().map(subject).collect()).ok_or(TokenFault::Malformed)
    }

    /// The claims of a token by which this client acts, given for one of this issuer. `None` where what ends it is too long
    /// to be sealed.
    pub fn claims(client: &str, issuer: &str, ends_with: &[Subject], deriver: &Deriver) -> Option<Value> {
        let ends_with: Vec<String> = ends_with.iter().map(|one| format!("{} {}", one.kind(), one.name())).collect();
        let sealed = deriver.seal(PURPOSE, b"", &serde_json::to_vec(&ends_with).ok()?)?;
        Some(json!({ ACT: { "sub": client }, ENDS_WITH: sealed, GIVEN_FOR: issuer }))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;
    use crate::customer::{IdentifierKey, Mode};
    use crate::secret::Secret;

    fn read(claims: &Value, own: bool) -> Result<Option<Delegation>, TokenFault> {
        let claims = Members::parse(claims.to_string().as_bytes()).unwrap();
        Delegation::read(&claims, own).map(|found| found.map(|found| *found))
    }

    fn deriver() -> Deriver {
        let key = IdentifierKey::parse(&Secret::new(IdentifierKey::generate().as_bytes())).unwrap();
        Deriver::new(key, Mode::OneWay)
    }

    #[test]
    fn what_is_written_is_what_is_read_and_only_of_our_own_tokens() {
        let deriver_of_one = deriver();
        let subjects = [Subject::Token("https://idp id 7".into()), Subject::Login("sid".into())];
        let claims = Delegation::claims("asapp", "https://idp", &subjects, &deriver_of_one).unwrap();
        let own = read(&claims, true).unwrap().unwrap();
        assert_eq!((own.client(), own.given_for.as_deref()), (Some("asapp"), Some("https://idp")));
        assert_eq!(*own.ends_with(&deriver_of_one).unwrap(), subjects);
        assert!(!claims.to_string().contains("sid"), "{claims}");
        assert_eq!(own.ends_with(&deriver()), Err(TokenFault::Malformed), "another key");
        let other = read(&claims, false).unwrap().unwrap();
        assert!(other.has_actor() && other.ends_with.is_none() && other.given_for.is_none());
        assert_eq!(read(&json!({ "sub": "x", "act": null }), true), Ok(None));
        let sealed = |list: Value| json!(deriver_of_one.seal(PURPOSE, b"", list.to_string().as_bytes()));
        let lists = [json!("token x"), json!([7]), json!(["token"]), json!(["planet x"])].map(sealed);
        for wrong in [json!("token x"), json!(["token x"]), json!(null), json!("")].into_iter().chain(lists) {
            let claims = json!({ "act": { "sub": "asapp" }, ENDS_WITH: wrong });
            let opened = read(&claims, true).and_then(|own| own.unwrap().ends_with(&deriver_of_one));
            assert_eq!(opened, Err(TokenFault::Malformed), "{claims}");
        }
    }

    #[test]
    fn a_token_that_says_who_may_act_lets_nobody_else() {
        let lets = |may_act: Value| read(&json!({ "may_act": may_act }), false).unwrap().unwrap().lets("asapp");
        assert!(lets(json!({ "sub": "asapp" })) && lets(json!({ "sub": "an account", "client_id": "asapp" })));
        for other in [json!({ "sub": "other" }), json!({}), json!("asapp"), json!({ "client_id": "x", "sub": "asapp" })]
        {
            assert!(!lets(other.clone()), "{other}");
        }
        assert!(read(&json!({ "act": {} }), false).unwrap().unwrap().lets("asapp"));
    }
}
