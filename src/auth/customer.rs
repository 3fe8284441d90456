//! The customer of a request: a token or a session cookie in, an identifier or a refusal out.

use std::sync::Arc;

use http::HeaderMap;

use super::context::{AuthContext, PendingLookup};
use super::credentials::{PresentedCustomer, readable};
use super::explained;
use super::introspection::{Inspected, Inspection};
use super::jwt::TokenKind;
use super::jwt::confirmation::Binding;
use super::jwt::forwarded_claims::ForwardedClaims;
use super::requirements::Requirements;
use super::token_binding::is_held_by_customer;
use super::token_cache::CachedVerdict;
use super::verdict::{Identity, VerifiedToken};
use super::{Authenticator, SessionCookie};
use crate::customer::Identifier;
use crate::explanation::trace::{StepDetail, span};
use crate::refusal::{Refusal, SessionFault, TokenFault};
use crate::state::session::{Found, SessionDigest};

/// The client of a request, where one is proved.
#[derive(Clone, Copy, Default)]
pub(super) struct ProvedClient<'c> {
    /// Its id.
    pub(super) id: Option<&'c str>,
    /// The key that its token is bound to, and that it has shown.
    pub(super) binding: Option<Binding>,
}

impl Authenticator {
    /// The customer of a request by its token, its session cookie, or both, and the claims that backends may be told.
    pub(super) fn customer(
        &self,
        (presented, headers): (&PresentedCustomer<'_>, &HeaderMap),
        requirements: &Requirements,
        client: ProvedClient<'_>,
        context: &mut AuthContext<'_>,
    ) -> Result<(Identifier, Option<Arc<ForwardedClaims>>), Refusal> {
        let mut claims = None;
        let by_token = match &presented.token {
            Some(Ok(token)) => {
                let found = self.customer_token(token.as_bytes(), context).map_err(Refusal::CustomerToken)?;
                // Also of a token that was verified before, on a listener for another audience or a route of other
                // issuers.
                let is_its_issuer = requirements.accepts(found.issuer);
                context
                    .steps
                    .note("customer_token.route_issuer", is_its_issuer, || requirements.explain_issuer(found.issuer));
                context.steps.note(
                    "customer_token.listener_audience",
                    found.isolated_audience == requirements.isolated_audience,
                    || {
                        let name =
                            |audience: &Option<Arc<str>>| audience.as_deref().unwrap_or("the usual one").to_owned();
                        StepDetail::new(name(&requirements.isolated_audience), name(&found.isolated_audience))
                    },
                );
                let mut fits = if found.isolated_audience != requirements.isolated_audience {
                    Err(TokenFault::Audience)
                } else if !is_its_issuer {
                    Err(TokenFault::Issuer)
                } else {
                    Ok(())
                };
                if let Some(delegate) = &found.delegate {
                    context.known.client = Some(Arc::clone(&delegate.client));
                    fits = fits.and_then(|()| delegate.is_for(requirements, client.id));
                }
                // A client that acts for the customer has shown the key already, with its own token.
                let is_shown = found.delegate.is_some() && client.binding.is_some() && client.binding == found.binding;
                if fits.is_ok() && (found.binding.is_some() || presented.with_proof) && !is_shown {
                    fits = is_held_by_customer(found.binding, token.as_bytes(), context);
                }
                let lacks = found.delegate.as_ref().and_then(|delegate| delegate.lacks(&requirements.scopes));
                if fits.is_ok() && lacks.is_some() {
                    context.known.lacks = lacks;
                    context.known.customer = Some(found.customer);
                    return Err(Refusal::Scope);
                }
                if let Err(fault) = fits {
                    context.known.customer = Some(found.customer);
                    return Err(Refusal::CustomerToken(fault));
                }
                claims = found.claims;
                Some(found.customer)
            }
            Some(Err(fault)) => {
                context.steps.refuse("customer_token", || explained::misplaced_token(requirements, headers));
                return Err(Refusal::CustomerToken(*fault));
            }
            None => None,
        };
        let by_session = match presented.session {
            Some(value) => Some(self.session(value, context).map_err(Refusal::Session)?),
            None => None,
        };
        match (by_token, by_session) {
            (Some(one), Some(other)) if one != other => Err(Refusal::CredentialConflict),
            (Some(customer), _) | (None, Some(customer)) => Ok((customer, claims)),
            (None, None) => Err(Refusal::CustomerToken(TokenFault::Missing)),
        }
    }

    /// The identifier of a customer before the key was rotated, for as long as backends get it.
    pub(super) fn previous_of(&self, customer: &Identifier, now: u64) -> Option<Identifier> {
        self.deriver.as_ref()?.previous_of(customer, now)
    }

    /// A customer's token that is good, whomever of us it is for and whoever has it.
    fn customer_token(&self, token: &[u8], context: &mut AuthContext<'_>) -> Result<Identity, TokenFault> {
        // Also of a token that was verified before, on a listener that takes longer ones.
        if token.len() > context.longest_token {
            return Err(TokenFault::TooLong);
        }
        let revocations = context.state.revocations();
        let steps = context.steps.within("customer_token");
        let known = context.verified.find(TokenKind::Customer, token, context.now, revocations);
        if let Some(VerifiedToken::Customer(identity)) = known
            && !steps.is_on()
        {
            return Ok(identity.clone());
        }
        let token = readable(token)?;
        let generation = revocations.generation();
        let may_ask = !context.learned.keys && context.learned.token.is_none();
        let ask = may_ask.then_some(&mut context.ask);
        let accounts = Some(&self.accounts);
        let told = context.learned.token.clone();
        let told = told.as_deref();
        let inspection = Inspection { now: context.now, revocations, accounts, told, known: &mut context.known, steps };
        let Inspected { verdict, marks, claims, .. } = self.customer_token_of(token, inspection, ask)?;
        let VerifiedToken::Customer(identity) = verdict.clone() else { return Err(TokenFault::Type) };
        if !steps.is_on() {
            context.verified.keep(
                TokenKind::Customer,
                token,
                CachedVerdict::new(claims.ends, verdict, marks, generation),
            );
        }
        Ok(identity)
    }

    /// What the state says of a session; its use is noted, unless it is only explained.
    fn found_session(&self, digest: &SessionDigest, cookie: &SessionCookie, context: &AuthContext<'_>) -> Found {
        let check = (context.now, cookie.idle, &self.accounts);
        let known = match &context.learned.session {
            Some((told, session)) if told == digest => Some(session.as_ref()),
            _ => None,
        };
        match (known, context.steps.is_on()) {
            (Some(session), false) => context.state.judge(digest, session, check.0, check.1, check.2),
            (Some(session), true) => context.state.verdict_on(digest, session, check.0, check.1, check.2),
            (None, false) => context.state.session(digest, check.0, check.1, check.2),
            (None, true) => context.state.peek_session(digest, check.0, check.1, check.2),
        }
    }

    fn session(&self, value: &str, context: &mut AuthContext<'_>) -> Result<Identifier, SessionFault> {
        let cookie = self.cookie.as_ref().ok_or(SessionFault::Forged)?;
        let signed = match context.verified.find_cookie(value) {
            Some(signed) => Ok(signed),
            None => cookie.keys.verify(value).inspect(|signed| context.verified.keep_cookie(value, *signed)),
        };
        let digest = signed.and_then(|signed| cookie.keys.session_of(signed, context.now, context.steps.is_on()));
        context.steps.note("session.cookie", digest.is_ok(), || {
            let saw = if digest.is_ok() { "it is" } else { "it is not, or its key has ended" };
            StepDetail::new("a cookie signed by one of login.cookie.keys", saw).at("/login/cookie/keys")
        });
        let digest = digest?;
        let found = self.found_session(&digest, cookie, context);
        context.steps.note("session", matches!(found, Found::Live(_)), || found_session(&found, cookie.idle));
        if matches!(found, Found::Expired | Found::NoAccount) {
            context.known.customer = match &context.learned.session {
                Some((told, Some(session))) if *told == digest => Some(session.customer.clone()),
                _ => context.state.customer_of(&digest),
            };
        }
        match found {
            // A login from before a rotation of the key names the customer as of then.
            Found::Live(customer) => match &self.deriver {
                Some(deriver) if !deriver.is_current(&customer) => {
                    deriver.accept(customer.as_str(), context.now).map_err(|_| SessionFault::Unknown)
                }
                _ => Ok(customer),
            },
            Found::Expired => Err(SessionFault::Expired),
            Found::NoAccount => Err(SessionFault::Account),
            Found::Unknown => Err(SessionFault::Unknown),
            Found::Ask => {
                context.ask = Some(PendingLookup::Store(digest));
                Err(SessionFault::Unknown)
            }
        }
    }
}

/// What is wanted of a session and what it is, for explanations.
fn found_session(found: &Found, idle: u64) -> StepDetail {
    let saw = match found {
        Found::Live(_) => "it is",
        Found::Expired => "it was unused for too long, or is too old",
        Found::NoAccount => "its account is gone, or has another password",
        Found::Unknown => "there is none: it has ended, was revoked, or is another gateway's",
        Found::Ask => "this process does not know it; the store has to be asked",
    };
    StepDetail::new(format!("a live session, used within {}", span(idle)), saw).at("/login/cookie/idle")
}
