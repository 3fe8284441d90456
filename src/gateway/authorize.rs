//! All checks of a call of a route, in one straight line: what passes them has a proved [`Caller`].

pub(crate) mod csrf;
pub(crate) mod dpop;

use std::rc::Rc;
use std::time::SystemTime;

use bytes::Bytes;
use http::{Method, Request};

use super::connection::Connection;
use super::connection::framing::BodyFraming;
use super::error::Refused;
use super::observe::record::Record;
use super::request::call::{Call, Upload};
use super::request::head::Head;
use super::websocket::handshake::Handshake;
use super::{Current, Gateway, identifier, unix_seconds};
use crate::auth::attribution::Known;
use crate::auth::dpop::Proof;
use crate::auth::token_cache::VerifiedTokens;
use crate::auth::{Ask, Caller, DpopDemand, Learned, Surroundings};
use crate::policy::Target;
use crate::policy::path::Odd;
use crate::policy::route::Route;
use crate::refusal::{DpopFault, Refusal};

/// Why there is no caller yet.
enum Undecided {
    /// Nor will there be.
    Refused(Refusal),
    /// Somebody else knows more.
    Ask(Ask),
}

impl From<Undecided> for Refused {
    fn from(undecided: Undecided) -> Self {
        match undecided {
            Undecided::Refused(refusal) => refusal.into(),
            // It was asked already.
            Undecided::Ask(_) => Refusal::StateUnavailable.into(),
        }
    }
}

impl Gateway {
    /// The caller, once everything that the route asks has been checked. Each check can refuse.
    pub(super) async fn checked(
        &self,
        current: &Rc<Current>,
        route: &Route,
        call: &mut Call<'_>,
        record: &mut Record,
    ) -> Result<Caller, Refused> {
        let limit = route.body_limit.unwrap_or(call.connection.limits.body);
        if record.asks_upgrade {
            record.handshake = Handshake::read(route, call)?;
        }
        if route.reads_token_from_body() {
            let body = call.read_body(limit, record).await?;
            if !body.is_empty() {
                call.type_to_read()?;
            }
        }
        let asks_for_proof = route.demand.proof != DpopDemand::None;
        let proof = if asks_for_proof { dpop::proof(call, unix_seconds(SystemTime::now())) } else { None };
        let admitted = match self.admit(current, route, call, proof.as_ref(), record, Learned::default()) {
            // Rare: this process has not seen the session lately, or a key.
            Err(Undecided::Ask(ask)) => {
                Box::pin(self.admit_after(ask, current, route, call, proof.as_ref(), record)).await
            }
            decided => decided,
        };
        let caller = admitted.map_err(|undecided| match undecided {
            Undecided::Refused(Refusal::Scope) => Refused::of_scopes(&route.demand.scopes),
            undecided => undecided.into(),
        })?;
        if let Some(Ok(proof)) = &proof {
            let owner = dpop::owner_of(&caller, call);
            match Box::pin(self.use_proof(proof, &owner, call, unix_seconds(record.time))).await {
                Err(refusal) if route.enforce => return Err(refusal.into()),
                Err(refusal) => drop(record.observed.get_or_insert(refusal)),
                Ok(()) => {}
            }
        }
        if let Some(handshake) = &mut record.handshake {
            handshake.proof = proof;
        }
        self.comes_from_own_site(route, &caller, call, record)?;
        identifier::matches_named_customer(route, &caller, call, record)?;
        call.is_within(limit)?;
        call.has_type_for(route)?;
        self.within_limits(&current.policy, route, &caller, call.source.address, record).await?;
        Ok(caller)
    }

    /// Whether the caller would be let in now, by the policy that is in force now.
    pub(super) async fn still_admits(
        &self,
        handshake: &Handshake,
        connection: &Connection,
        record: &mut Record,
    ) -> Result<(), Refusal> {
        let current = self.current();
        // Where it comes from, by what the listener says now about addresses and proxies.
        connection.renew();
        let source = connection.source_of(&handshake.shown)?;
        if !source.allowed {
            return Err(Refusal::AddressNotAllowed);
        }
        let table = current.policy.tables.get(connection.entrance().number).ok_or(Refusal::NoRoute)?;
        let target = table.find(&handshake.host.name, &handshake.path, &Method::GET).map_err(|_| Refusal::NoRoute)?;
        let Target::Route(number) = target else { return Err(Refusal::NoRoute) };
        let route = &current.policy.routes[number as usize];
        if route.websocket.is_none() {
            return Err(Refusal::NoRoute);
        }
        let mut parts = Request::new(()).into_parts().0;
        parts.headers.clone_from(&handshake.shown);
        let head = Head { host: Rc::clone(&handshake.host), body: BodyFraming::Length(0), odd: Odd::default() };
        let body = Upload::Read(Bytes::new());
        let policy = &current.policy;
        let call = Call { policy, connection, source, head, parts, body, is_asked_about: false };
        let proof = handshake.proof.as_ref();
        let admitted = match self.admit(&current, route, &call, proof, record, Learned::default()) {
            Err(Undecided::Ask(ask)) => self.admit_after(ask, &current, route, &call, proof, record).await,
            admitted => admitted,
        };
        admitted.map(drop).map_err(|undecided| Refused::from(undecided).refusal)
    }

    /// Admits once those who know more have been asked, each once.
    async fn admit_after(
        &self,
        first: Ask,
        current: &Rc<Current>,
        route: &Route,
        call: &Call<'_>,
        proof: Option<&Result<Proof, DpopFault>>,
        record: &mut Record,
    ) -> Result<Caller, Undecided> {
        let (mut ask, mut learned, mut failed) = (first, Learned::default(), None);
        loop {
            match ask {
                Ask::Issuer(keys) => {
                    keys.ask().await;
                    learned.keys = true;
                }
                Ask::Store(digest) => {
                    let told = self.shared.state.fetch(&digest).await;
                    if told.is_err() && route.enforce {
                        return Err(Undecided::Refused(Refusal::StateUnavailable));
                    }
                    failed = told.as_ref().err().map(|_| Refusal::StateUnavailable);
                    learned.session = Some((digest, told.unwrap_or_default()));
                }
            }
            match self.admit(current, route, call, proof, record, learned.clone()) {
                Err(Undecided::Ask(next)) => ask = next,
                outcome => {
                    record.observed = failed.or(record.observed);
                    return outcome;
                }
            }
        }
    }

    /// Only this gives a caller, and without one nothing is forwarded.
    fn admit(
        &self,
        current: &Rc<Current>,
        route: &Route,
        call: &Call<'_>,
        proof: Option<&Result<Proof, DpopFault>>,
        record: &mut Record,
        learned: Learned,
    ) -> Result<Caller, Undecided> {
        let demand = &route.demand;
        if self.shared.state.is_stale() && (demand.client || demand.customer || demand.api_key) && route.enforce {
            return Err(Undecided::Refused(Refusal::StateUnavailable));
        }
        let mut verified = self.verified.borrow_mut();
        // What is found out under a policy that has been replaced meanwhile must not be remembered.
        let mut forgotten;
        let verified = if Rc::ptr_eq(current, &self.current.borrow()) {
            &mut *verified
        } else {
            forgotten = VerifiedTokens::default();
            &mut forgotten
        };
        // A body may have been long in coming.
        let now = if call.body.bytes().is_some() { SystemTime::now() } else { record.time };
        let mut around = Surroundings {
            now: unix_seconds(now),
            address: call.source.address,
            certificate: call
                .certificate(unix_seconds(now))
                .map_err(|_| Undecided::Refused(Refusal::ClientCertificate))?,
            proof,
            verified,
            state: &self.shared.state,
            ask: None,
            learned,
            known: Known::default(),
        };
        let (auth, headers, body) =
            (&current.policy.auth, &call.parts.headers, call.body.bytes().map(|body| &body[..]));
        let caller = if route.enforce {
            let admitted = auth.admit(demand, headers, body, &mut around).noted_in(&mut record.known);
            if let Some(ask) = around.ask.take() {
                return Err(Undecided::Ask(ask));
            }
            admitted.map_err(Undecided::Refused)?
        } else {
            let (caller, refusal) = auth.observe(demand, headers, body, &mut around).noted_in(&mut record.known);
            if let Some(ask) = around.ask.take() {
                return Err(Undecided::Ask(ask));
            }
            record.observed = refusal;
            caller
        };
        Ok(caller)
    }

    /// A call that changes something, and for which nothing but a cookie speaks, must come from the company's own pages.
    /// A client's token or an API key is nothing that a strange page could send.
    fn comes_from_own_site(
        &self,
        route: &Route,
        caller: &Caller,
        call: &Call<'_>,
        record: &mut Record,
    ) -> Result<(), Refusal> {
        let by_cookie_alone = caller.by_cookie && caller.client.is_none() && caller.api_key.is_none();
        let is_harmless = || {
            !csrf::changes_something(&call.parts.method)
                && !csrf::opens_websocket(&call.parts.headers)
                && record.handshake.is_none()
        };
        if !by_cookie_alone
            || is_harmless()
            || csrf::is_own(&call.policy.own_site, &call.head.host, &call.parts.headers)
        {
            return Ok(());
        }
        if route.enforce {
            return Err(Refusal::CrossSite);
        }
        record.observed.get_or_insert(Refusal::CrossSite);
        Ok(())
    }
}
