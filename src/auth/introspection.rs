//! Verdict on a token, reached in one place for routes, introspection, revocation and logout.

mod explained;
mod opaque;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::Authenticator;
use super::attribution::Attribution;
use super::context::PendingLookup;
use super::credentials::readable;
use super::jwt::{self, Compact, Verifier};
use super::opaque_token::TokenAnswers;
use super::requirements::IssuerNumber;
use super::verdict::{Access, Delegate, Identity, Marks, VerifiedToken};
use crate::customer::{Deriver, Identifier};
use crate::explanation::trace::StepSink;
use crate::refusal::TokenFault;
use crate::state::State;
use crate::state::account_stamp::AccountStamps;
use crate::state::revocation::{Revocations, Subject};
use crate::state::session::SessionDigest;

/// Purpose of an inspection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To go by it.
    Use,
    /// To end it: then it does not matter whether its account is in force, for that may be so for a while only.
    End,
}

/// Facts that a token is checked against.
pub(super) struct Inspection<'i> {
    /// The time, in seconds since 1970.
    pub(super) now: u64,
    pub(super) revocations: &'i Revocations,
    /// The accounts in force; `None`: whichever are.
    pub(super) accounts: Option<&'i AccountStamps>,
    /// What issuers have said about a token that only they can read.
    pub(super) told: Option<&'i TokenAnswers>,
    /// Receives the owner of an authentic token, good or not.
    pub(super) known: &'i mut Attribution,
    /// Receives the steps.
    pub(super) steps: StepSink<'i>,
}

/// A customer's token whose claims are proved.
struct CustomerToken<'t> {
    customer: Identifier,
    claims: jwt::Claims,
    marks: Marks,
    issuer: &'t str,
    /// The issuer that a route must accept.
    number: IssuerNumber,
    delegate: Option<Arc<Delegate>>,
}

/// Who asks for a verdict outside of a route, and when.
#[derive(Clone, Copy)]
pub struct Inquiry<'s> {
    /// The time, in seconds since 1970.
    pub now: u64,
    /// The network of the caller: it has its share of the questions to issuers.
    pub network: IpAddr,
    /// Logins and revocations.
    pub state: &'s State,
}

/// A token that is good.
#[derive(Debug)]
pub struct Inspected {
    /// The client or the customer of the token.
    pub verdict: VerifiedToken,
    /// Marks by which it can be revoked.
    pub marks: Marks,
    /// Its claims.
    pub claims: jwt::Claims,
    /// Its `iss`.
    pub issuer: String,
}

impl Inspected {
    /// The subject of a rule that revokes it.
    pub fn subject(&self) -> Subject {
        Subject::Token(self.marks.id.clone())
    }

    /// The subject of a rule that ends its login, where it is ours and names one.
    pub fn login(&self) -> Option<Subject> {
        self.claims.login.as_deref().map(|login| Subject::Login(login.into()))
    }

    /// The client that acts for the customer, where the token was given to one.
    pub fn delegate(&self) -> Option<&Delegate> {
        match &self.verdict {
            VerifiedToken::Customer(Identity { delegate, .. }) => delegate.as_deref(),
            VerifiedToken::Access(_) => None,
        }
    }

    /// The customer of the token; `None` for a client's.
    pub fn customer(&self) -> Option<&Identifier> {
        self.verdict.customer()
    }
}

impl Authenticator {
    /// Verdict on a token of a client or a customer, the same that a route would reach. Waits up to a second for keys
    /// of its issuer that are being fetched, and for the issuer's answer where only the issuer can read it.
    ///
    /// # Errors
    /// The fault of the token; [`TokenFault::NoKeys`] where the issuer's keys are unavailable,
    /// [`TokenFault::Introspection`] where the issuer cannot be asked.
    pub async fn inspect(
        &self,
        token: &str,
        now: u64,
        state: &State,
        purpose: Purpose,
    ) -> Result<Inspected, TokenFault> {
        let token = readable(token.as_bytes())?;
        // Clients and operators, who have proved themselves, share one place.
        let inquiry = Inquiry { now, network: Ipv4Addr::UNSPECIFIED.into(), state };
        if let Ok(compact) = Compact::parse(token) {
            if self.access.as_ref().is_some_and(|verifier| compact.issuer() == Some(verifier.issuer())) {
                let known = &mut Attribution::default();
                let revocations = state.revocations();
                let inspection =
                    Inspection { now, revocations, accounts: None, told: None, known, steps: StepSink::off() };
                match self.own_access_token_of(&compact, token, inspection) {
                    Err(TokenFault::Type) => {}
                    decided => return decided,
                }
            } else if self.issuer_of_clients(&compact).is_some_and(|issuer| issuer.is_of_client(compact.claims())) {
                return self.inspect_system_token(token, inquiry).await;
            }
        } else if self.trusted.introspecting_clients().next().is_some() {
            // What is no customer's may be a client's.
            match self.inspect_system_token(token, inquiry).await {
                Err(TokenFault::Type | TokenFault::Inactive | TokenFault::Malformed) => {}
                decided => return decided,
            }
        }
        self.inspect_customer(token, inquiry, purpose, &mut Attribution::default()).await
    }

    /// The same of a trusted issuer's system token.
    async fn inspect_system_token(&self, token: &str, inquiry: Inquiry<'_>) -> Result<Inspected, TokenFault> {
        let Inquiry { now, network, state } = inquiry;
        let revocations = state.revocations();
        let (mut ask, mut known) = (None, Attribution::default());
        let first =
            Inspection { now, revocations, accounts: None, told: None, known: &mut known, steps: StepSink::off() };
        let decided = self.access_token_of(token, first, Some(&mut ask));
        let told = match ask {
            Some(PendingLookup::ClientIssuer(keys)) => {
                keys.ask().await;
                None
            }
            Some(PendingLookup::ClientToken(question)) => Some(Box::pin(question.ask(network)).await),
            _ => return decided,
        };
        let again = Inspection {
            now,
            revocations,
            accounts: None,
            told: told.as_ref(),
            known: &mut known,
            steps: StepSink::off(),
        };
        self.access_token_of(token, again, None)
    }

    /// The same of a customer's token. Whose it is, is noted in `known` where it is authentic, good or not.
    ///
    /// # Errors
    /// As [`Authenticator::inspect`].
    pub async fn inspect_customer(
        &self,
        token: &str,
        inquiry: Inquiry<'_>,
        purpose: Purpose,
        known: &mut Attribution,
    ) -> Result<Inspected, TokenFault> {
        let Inquiry { now, network, state } = inquiry;
        let token = readable(token.as_bytes())?;
        let accounts = (purpose != Purpose::End).then_some(&self.accounts);
        let revocations = state.revocations();
        let mut ask = None;
        let first = Inspection { now, revocations, accounts, told: None, known: &mut *known, steps: StepSink::off() };
        let decided = self.customer_token_of(token, first, Some(&mut ask));
        let told = match ask {
            Some(PendingLookup::Issuer(keys)) => {
                keys.ask().await;
                None
            }
            Some(PendingLookup::Token(question)) => Some(Box::pin(question.ask(network)).await),
            _ => return decided,
        };
        let again = Inspection { now, revocations, accounts, told: told.as_ref(), known, steps: StepSink::off() };
        self.customer_token_of(token, again, None)
    }

    /// Verdict on a client's token, of this gateway or of a trusted issuer, whomever of us it is for. The client of an
    /// authentic token is noted. `ask`: see [`Authenticator::system_token_of`].
    pub(super) fn access_token_of(
        &self,
        token: &str,
        inspection: Inspection<'_>,
        ask: Option<&mut Option<PendingLookup>>,
    ) -> Result<Inspected, TokenFault> {
        if self.trusted.introspects() && opaque::is_opaque(token) {
            return self.opaque_access_of(token, self.trusted.introspecting_clients(), inspection, ask);
        }
        let compact = Compact::parse(token)?;
        match self.issuer_of_clients(&compact) {
            Some(issuer) if !issuer.verifier.has_keys() => {
                self.opaque_access_of(token, std::iter::once(issuer), inspection, ask)
            }
            Some(issuer) => self.system_token_of(issuer, (&compact, token), inspection, ask),
            None => self.own_access_token_of(&compact, token, inspection),
        }
    }

    /// Verdict on an access token of this gateway, for any of our audiences.
    fn own_access_token_of(
        &self,
        compact: &Compact<'_>,
        token: &str,
        inspection: Inspection<'_>,
    ) -> Result<Inspected, TokenFault> {
        let Inspection { now, revocations, known, steps, .. } = inspection;
        let verifier = self.access.as_ref().ok_or(TokenFault::Issuer)?;
        let claims =
            verifier.verify_for(compact, now, steps, |token| known.client = token.text("client_id").map(Arc::from))?;
        let marks = Marks::of(&claims, verifier.issuer(), true, token);
        let id = claims.client_id.as_deref().ok_or(TokenFault::Malformed)?;
        let mut refused = |fault| {
            known.client = Some(id.into());
            fault
        };
        let client = self.clients.get(id);
        steps.note("client", client.is_some(), || explained::client(id));
        let client = client.ok_or_else(|| refused(TokenFault::UnknownClient))?;
        if self.apart_of(&claims).is_none() && !client.audiences.contains(&claims.audience) {
            return Err(refused(TokenFault::Audience));
        }
        let granted = claims.scope.as_deref().unwrap_or_default();
        let scopes = granted.split(' ').filter(|scope| client.scopes.iter().any(|known| known == scope));
        let verdict = VerifiedToken::Access(Access {
            // A name of this worker's own: workers that count references to the same one wait for each other.
            client: Arc::from(&*client.id),
            issuer: IssuerNumber::OWN,
            audience: claims.audience.as_str().into(),
            foreign: None,
            scopes: scopes.map(str::to_owned).collect(),
            certificate: client.certificate.clone(),
            binding: claims.binding,
        });
        marks.are_good(&verdict, revocations, now, steps).map_err(refused)?;
        Ok(Inspected { verdict, marks, claims, issuer: verifier.issuer().to_owned() })
    }

    /// Verdict on a customer's token. One that names a key which is not known here may have to wait for it: then `ask` has
    /// whom to ask, where nobody was asked before.
    pub(super) fn customer_token_of(
        &self,
        token: &str,
        inspection: Inspection<'_>,
        ask: Option<&mut Option<PendingLookup>>,
    ) -> Result<Inspected, TokenFault> {
        if self.trusted.introspects() && opaque::is_opaque(token) {
            return self.opaque_token_of(token, self.trusted.introspecting_customers(), inspection, ask);
        }
        let Inspection { now, revocations, accounts, told, known, steps } = inspection;
        let compact = Compact::parse(token)?;
        let deriver = self.deriver.as_ref().ok_or(TokenFault::Issuer)?;
        let issuer = compact.issuer().ok_or(TokenFault::Issuer)?;
        let own = self.own.as_ref().filter(|own| own.issuer() == issuer);
        let named = |verifier: &Verifier, subject: &str| match own {
            Some(_) => accepted(deriver, subject, now, steps),
            None => deriver.derive(verifier.tenant(), subject).map_err(|_| TokenFault::Subject),
        };
        let mut note = |verifier: &Verifier, token: &Compact<'_>| {
            known.customer = verifier.subject_of(token).and_then(|subject| named(verifier, &subject).ok());
        };
        let (number, verifier, claims) = match (own, self.trusted.find(issuer)) {
            (Some(own), _) => (IssuerNumber::OWN, own, own.verify_for(&compact, now, steps, |token| note(own, token))?),
            (None, Some(issuer)) if !issuer.verifier.has_keys() => {
                let inspection = Inspection { now, revocations, accounts, told, known, steps };
                return self.opaque_token_of(token, std::iter::once(issuer), inspection, ask);
            }
            (None, Some(issuer)) if issuer.customers => {
                // A client's token stands for no customer, whatever its subject is.
                let is_of_client = issuer.is_of_client(compact.claims());
                let note = |verifier: &Verifier, token: &Compact<'_>| {
                    if !is_of_client {
                        note(verifier, token)
                    }
                };
                let claims = of_other_issuer(&issuer.verifier, &compact, (now, steps), ask, note)?;
                if is_of_client {
                    return Err(TokenFault::Type);
                }
                (issuer.number, &issuer.verifier, claims)
            }
            (None, _) => {
                steps.refuse("iss", || explained::unknown_issuer(issuer, self.own.as_ref(), &self.trusted));
                return Err(TokenFault::Issuer);
            }
        };
        let is_in_force = own.is_none() || accounts.is_none_or(|accounts| accounts.admit(claims.account));
        if own.is_some() {
            steps.note("account", is_in_force, || explained::account(is_in_force));
        }
        if !is_in_force {
            known.customer = named(verifier, &claims.subject).ok();
            return Err(TokenFault::Account);
        }
        let customer = named(verifier, &claims.subject)?;
        let mut refused = |_: &TokenFault| known.customer = Some(customer.clone());
        let delegate = match own {
            Some(_) => self.delegate_of(&claims).inspect_err(&mut refused)?,
            None => None,
        };
        let ends_with = match claims.delegation.as_ref().filter(|_| own.is_some()) {
            Some(delegation) => delegation.ends_with(deriver).inspect_err(refused)?,
            None => Box::default(),
        };
        // One that was given for another issuer's token opens no route that does not accept that one.
        let given_for = claims.delegation.as_ref().and_then(|delegation| delegation.given_for.as_deref());
        let number = given_for.and_then(|iss| self.trusted.find(iss)).map_or(number, |issuer| issuer.number);
        let marks = Marks::of(&claims, verifier.issuer(), own.is_some(), token).ended_with(ends_with);
        let inspection = Inspection { now, revocations, accounts, told, known, steps };
        // The spelling that the token itself has.
        self.of_customer(CustomerToken { customer, claims, marks, issuer, number, delegate }, inspection)
    }

    /// Verdict on a token of this customer: whether it was revoked.
    fn of_customer(&self, token: CustomerToken<'_>, inspection: Inspection<'_>) -> Result<Inspected, TokenFault> {
        let Inspection { now, revocations, known, steps, .. } = inspection;
        let CustomerToken { customer, claims, marks, issuer, number, delegate } = token;
        let isolated_audience = self.apart_of(&claims).cloned();
        let marks = marks
            .also_known_as(self.previous_of(&customer, now))
            .counted_for(isolated_audience.as_deref().unwrap_or(&self.audience));
        let (binding, forwarded) = (claims.binding, claims.forwarded.clone());
        let verdict = VerifiedToken::Customer(Identity {
            customer,
            issuer: number,
            isolated_audience,
            binding,
            claims: forwarded,
            delegate,
        });
        marks
            .are_good(&verdict, revocations, now, steps)
            .inspect_err(|_| known.customer = verdict.customer().cloned())?;
        Ok(Inspected { verdict, marks, claims, issuer: issuer.to_owned() })
    }

    /// The client that acts by a customer's token of ours, where it was given to one: as that is configured now. Others are
    /// for the usual audience, or one that is set apart.
    fn delegate_of(&self, claims: &jwt::Claims) -> Result<Option<Arc<Delegate>>, TokenFault> {
        let is_apart = self.apart_of(claims).is_some();
        let Some(delegation) = &claims.delegation else {
            let is_usual = is_apart || *claims.audience == *self.audience;
            return if is_usual { Ok(None) } else { Err(TokenFault::Audience) };
        };
        let id = delegation.client().ok_or(TokenFault::Malformed)?;
        let client = self.clients.get(id).ok_or(TokenFault::UnknownClient)?;
        if !is_apart && !client.audiences.contains(&claims.audience) {
            return Err(TokenFault::Audience);
        }
        let is_own = |issuer: &str| self.own.as_ref().is_some_and(|own| own.issuer() == issuer);
        let given_for = delegation.given_for.as_deref().ok_or(TokenFault::Malformed)?;
        if !is_own(given_for) && self.trusted.find(given_for).is_none() {
            return Err(TokenFault::Issuer);
        }
        let granted = claims.scope.as_deref().unwrap_or_default().split(' ').map(str::to_owned);
        Ok(Some(Arc::new(Delegate {
            client: Arc::from(&*client.id),
            audience: claims.audience.as_str().into(),
            scopes: granted.filter(|scope| client.scopes.contains(scope)).collect(),
        })))
    }

    /// The refresh tokens of the login of a customer's token that is no longer good: they may live on. `None` where the token
    /// is not ours, was never good where `is_meant` says no, or its login has none.
    pub fn family_of_ended(
        &self,
        token: &str,
        now: u64,
        is_meant: impl FnOnce(&jwt::Claims) -> bool,
    ) -> Option<SessionDigest> {
        let compact = Compact::parse(readable(token.as_bytes()).ok()?).ok()?;
        let claims = self.own.as_ref()?.verify_but_end(&compact, now).ok()?;
        self.deriver.as_ref()?.accept(&claims.subject, now).ok()?;
        claims.family.filter(|_| is_meant(&claims))
    }

    /// Returns whether a token is for a listener with this isolated audience; `None`: for listeners without one.
    pub fn is_for(&self, claims: &jwt::Claims, isolated_audience: Option<&str>) -> bool {
        self.apart_of(claims).map(|its| &**its) == isolated_audience
    }

    fn apart_of(&self, claims: &jwt::Claims) -> Option<&Arc<str>> {
        self.isolated_audiences.iter().find(|isolated| ***isolated == *claims.audience)
    }
}

/// The customer of a token of ours.
fn accepted(deriver: &Deriver, subject: &str, now: u64, steps: StepSink<'_>) -> Result<Identifier, TokenFault> {
    let accepted = match steps.is_on() {
        true => deriver.recognize(subject, now).map(|(customer, _)| customer),
        false => deriver.accept(subject, now),
    };
    accepted.map_err(|_| TokenFault::Subject)
}

/// Verifies a token of another issuer.
fn of_other_issuer(
    trusted: &Verifier,
    token: &Compact<'_>,
    (now, steps): (u64, StepSink<'_>),
    ask: Option<&mut Option<PendingLookup>>,
    mut note: impl FnMut(&Verifier, &Compact<'_>),
) -> Result<jwt::Claims, TokenFault> {
    trusted.verify_for(token, now, steps, |token| note(trusted, token)).map_err(|fault| {
        let Some(published) = trusted.published() else { return fault };
        if let Some(ask) = ask
            && published.may_learn(fault)
        {
            *ask = Some(PendingLookup::Issuer(Arc::clone(published)));
        }
        published.judged(fault)
    })
}
