//! Authorization of a call of a route: a call comes in, a proved [`Caller`] or a refusal goes out.

pub(crate) mod csrf;
pub(crate) mod dpop;

use std::sync::Arc;
use std::time::SystemTime;

use super::error::Refused;
use super::observe::record::Record;
use super::rate_limit::apply::RateLimitHeaders;
use super::rate_limit::keys::network;
use super::request::call::Call;
use super::{Gateway, enforcement, identifier, unix_seconds};
use crate::auth::attribution::Attribution;
use crate::auth::dpop::Proof;
use crate::auth::token_cache::VerifiedTokens;
use crate::auth::{AuthContext, Caller, DpopRequirement, LookupResult, PendingLookup};
use crate::explanation::trace::{StepDetail, StepSink, pointer_step, shown};
use crate::policy::route::Route;
use crate::refusal::{DpopFault, Refusal};

/// A check without a caller as its result.
enum Undecided {
    Refused(Refusal),
    /// Something must be looked up first.
    Pending(PendingLookup),
}

impl From<Refusal> for Undecided {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// The results of lookups.
#[derive(Default)]
struct LookedUp {
    learned: LookupResult,
    /// [`Refusal::StateUnavailable`] where the store was away, on a route that observes.
    failed: Option<Refusal>,
    /// The time that a client must wait before it tries its secret again, in seconds.
    retry_after: Option<u64>,
}

impl Gateway {
    /// Runs every check of the route, each of which can refuse. Returns the caller, and its DPoP proof on routes that ask
    /// for one; fills the rate-limit fields of the response.
    pub(super) async fn authorize(
        &self,
        route: &Route,
        call: &mut Call<'_>,
        opens_websocket: bool,
        record: &mut Record,
        rate_limit_headers: &mut Option<Box<RateLimitHeaders>>,
    ) -> Result<(Caller, Option<Result<Proof, DpopFault>>), Refused> {
        if let Some(networks) = &route.networks {
            let is_admitted = networks.admit(call.source.address);
            record.steps().note("route_address", is_admitted, || {
                let saw = call.source.address.to_string();
                StepDetail::new("an address that the route takes", saw)
                    .at(format!("/routes/{}/allow", pointer_step(&route.name)))
            });
            if !is_admitted {
                return Err(Refusal::AddressNotAllowed.into());
            }
        }
        let limit = route.body_limit.unwrap_or(call.connection.limits.body);
        if route.reads_token_from_body() {
            record.trace.step("body");
            let body = call.read_body(limit, record).await?;
            if !body.is_empty() {
                call.type_to_read()?;
            }
        }
        record.trace.step("authentication");
        let asks_for_proof = route.requirements.proof != DpopRequirement::None;
        let proof = if asks_for_proof { dpop::proof(call, unix_seconds(SystemTime::now())) } else { None };
        let admitted = self.admit(route, call, proof.as_ref(), record).await;
        let mut caller = admitted.map_err(|refused| match refused.refusal {
            Refusal::Scope => Refused::of_scopes(&route.requirements.scopes),
            _ => refused.challenged_by(route.requirements.client_sources.as_deref(), &call.parts.headers),
        })?;
        if proof.is_some() {
            let saw = "not held against those that were used: that would use it up";
            record.steps().skip("dpop.replay", || StepDetail::new("a proof that was not used before", saw));
        }
        if let Some(Ok(proof)) = proof.as_ref().filter(|_| record.checks.is_none()) {
            record.trace.step("dpop");
            let owner = dpop::owner_of(&caller, call);
            if let Err(refusal) = Box::pin(self.use_proof(proof, &owner, call, unix_seconds(record.time))).await {
                enforcement::carry_out(refusal, route, record)?;
                caller.disprove();
            }
        }
        record.trace.step("origin");
        if !comes_from_own_site(route, &caller, call, opens_websocket, record) {
            enforcement::carry_out(Refusal::CrossSite, route, record)?;
            caller.disprove();
        }
        record.trace.step("customer");
        identifier::matches_named_customer(route, &caller, call, record)?;
        body_fits(route, call, limit, record)?;
        record.trace.step("limits");
        self.within_limits(route, &caller, call, record, rate_limit_headers).await?;
        Ok((caller, proof))
    }

    /// The caller, by what this worker knows. What it does not know is looked up, and the check runs again.
    pub(super) async fn admit(
        &self,
        route: &Route,
        call: &Call<'_>,
        proof: Option<&Result<Proof, DpopFault>>,
        record: &mut Record,
    ) -> Result<Caller, Refused> {
        let mut looked_up: Option<Box<LookedUp>> = None;
        let begun = record.checks.as_ref().map_or(0, |trace| trace.count());
        let decided = loop {
            match self.check(route, call, proof, looked_up.as_deref(), record) {
                // Rare: this process has not seen the session lately, or a key.
                Err(Undecided::Pending(ask)) => {
                    if let Some(trace) = &record.checks {
                        trace.rewind(begun);
                        let asks_store = trace.asks_store;
                        let into = looked_up.get_or_insert_default();
                        if let Some(ask) = self.look_up_nothing(ask, call, record.steps(), asks_store, into) {
                            Box::pin(self.look_up(ask, (route, call), record, into)).await?;
                        }
                        continue;
                    }
                    Box::pin(self.look_up(ask, (route, call), record, looked_up.get_or_insert_default())).await?;
                }
                Err(Undecided::Refused(refusal)) => break Err(refusal),
                Ok(caller) => break Ok(caller),
            }
        };
        let Some(looked_up) = looked_up else { return decided.map_err(Refused::from) };
        decided.map_err(|refusal| Refused { retry_after: looked_up.retry_after, ..refusal.into() })
    }

    /// Asks the issuer for its keys or about a token, or the store for a session, or proves a client by its secret.
    ///
    /// # Errors
    /// [`Refusal::StateUnavailable`] where the store is away, unless the route observes: then it is noted.
    async fn look_up(
        &self,
        ask: PendingLookup,
        (route, call): (&Route, &Call<'_>),
        record: &mut Record,
        into: &mut LookedUp,
    ) -> Result<(), Refusal> {
        record.trace.lookup(lookup_name(&ask));
        match ask {
            PendingLookup::Issuer(keys) => {
                keys.ask().await;
                into.learned.keys = true;
            }
            PendingLookup::ClientSecret => {
                let proved = self.prove_basic_caller(call, record).await;
                into.retry_after = proved.as_ref().err().and_then(|refused| refused.retry_after);
                into.learned.client = Some(proved.map_err(|refused| refused.refusal));
            }
            PendingLookup::ClientIssuer(keys) => {
                keys.ask().await;
                into.learned.client_keys = true;
            }
            PendingLookup::Token(question) => {
                let told = question.ask(network(call.source.address)).await;
                into.learned.token = Some(Arc::new(told));
            }
            PendingLookup::ClientToken(question) => {
                let told = question.ask(network(call.source.address)).await;
                into.learned.client_token = Some(Arc::new(told));
            }
            PendingLookup::Store(digest) => {
                let told = self.shared.state.fetch(&digest).await;
                into.failed = told.as_ref().err().map(|_| Refusal::StateUnavailable);
                if let Some(refusal) = into.failed.filter(|_| route.enforcement.is_always()) {
                    return Err(refusal);
                }
                into.learned.session = Some((digest, told.unwrap_or_default()));
            }
        }
        record.trace.looked_up();
        Ok(())
    }

    /// The same where the request is explained: what would have an effect is not asked, and counts as asked in vain.
    /// Returns what may be asked: the store.
    fn look_up_nothing(
        &self,
        ask: PendingLookup,
        call: &Call<'_>,
        steps: StepSink<'_>,
        asks_store: bool,
        into: &mut LookedUp,
    ) -> Option<PendingLookup> {
        let learned = &mut into.learned;
        let (check, what) = match ask {
            PendingLookup::Store(_) if asks_store => return Some(ask),
            PendingLookup::Store(digest) => {
                learned.session = Some((digest, None));
                return None;
            }
            PendingLookup::Issuer(_) => {
                learned.keys = true;
                ("customer_token.fetch", "the keys of the issuer would be fetched once more")
            }
            PendingLookup::ClientIssuer(_) => {
                learned.client_keys = true;
                ("client_token.fetch", "the keys of the issuer would be fetched once more")
            }
            PendingLookup::Token(_) => {
                learned.token = Some(Arc::default());
                ("customer_token.introspection", "the issuer would be asked about this token")
            }
            PendingLookup::ClientToken(_) => {
                learned.client_token = Some(Arc::default());
                ("client_token.introspection", "the issuer would be asked about this token")
            }
            PendingLookup::ClientSecret => {
                learned.client = Some(self.name_basic_caller(call));
                ("client.secret", "the secret would be verified; it is taken for right here, as attempts count")
            }
        };
        steps.skip(check, || StepDetail::new("an answer", what));
        None
    }

    /// Checks the credentials. Only this gives a caller, and without one nothing is forwarded.
    fn check(
        &self,
        route: &Route,
        call: &Call<'_>,
        proof: Option<&Result<Proof, DpopFault>>,
        looked_up: Option<&LookedUp>,
        record: &mut Record,
    ) -> Result<Caller, Undecided> {
        let requirements = &route.requirements;
        // What was revoked meanwhile is not known here.
        let is_stale =
            self.shared.state.is_stale() && (requirements.client || requirements.customer || requirements.api_key);
        if is_stale && route.enforcement.is_always() {
            record.steps().refuse("state", || {
                StepDetail::new("revocations that are up to date", "they may be stale").at("/state")
            });
            return Err(Refusal::StateUnavailable.into());
        }
        let mut verified = self.verified.borrow_mut();
        // What is found out under a policy that has been replaced meanwhile must not be remembered.
        let mut forgotten;
        let verified = if call.generation == self.current.borrow().generation {
            &mut *verified
        } else {
            forgotten = VerifiedTokens::default();
            &mut forgotten
        };
        // A body may have been long in coming.
        let now = if call.body.bytes().is_some() { SystemTime::now() } else { record.time };
        let mut context = AuthContext {
            now: unix_seconds(now),
            address: call.source.address,
            certificate: call.certificate(unix_seconds(now)).map_err(|_| Refusal::ClientCertificate)?,
            proof,
            longest_token: call.connection.limits.token,
            verified,
            state: &self.shared.state,
            ask: None,
            learned: looked_up.map(|known| known.learned.clone()).unwrap_or_default(),
            known: Attribution::default(),
            steps: StepSink::to(record.checks.as_deref()),
        };
        let (auth, headers, body) = (&call.policy.auth, &call.parts.headers, call.body.bytes().map(|body| &body[..]));
        let caller = if route.enforcement.is_always() {
            let admitted = auth.admit(requirements, headers, body, &mut context).noted_in(&mut record.known);
            if let Some(ask) = context.ask.take() {
                return Err(Undecided::Pending(ask));
            }
            admitted?
        } else {
            let (mut caller, refusal) =
                auth.observe(requirements, headers, body, &mut context).noted_in(&mut record.known);
            if let Some(ask) = context.ask.take() {
                return Err(Undecided::Pending(ask));
            }
            // A session that could not be asked for is not unknown.
            let refusal = match (refusal, looked_up.and_then(|known| known.failed)) {
                (Some(Refusal::Session(_)), Some(unavailable)) => Some(unavailable),
                (refusal, _) => refusal,
            };
            if is_stale {
                caller.disprove();
            }
            if let Some(refusal) = is_stale.then_some(Refusal::StateUnavailable).or(refusal) {
                enforcement::carry_out(refusal, route, record)?;
            }
            caller
        };
        Ok(caller)
    }
}

/// Checks the size and the type that a call announces of its body.
fn body_fits(route: &Route, call: &Call<'_>, limit: u64, record: &Record) -> Result<(), Refused> {
    let within = call.is_within(limit);
    record.steps().note("body_size", within.is_ok(), || {
        let length = call.head.body_length().map(|length| length.to_string());
        StepDetail::new(format!("at most {limit} bytes"), length.unwrap_or_else(|| "no announced length".to_owned()))
            .at(format!("/routes/{}/limits/body", pointer_step(&route.name)))
    });
    within?;
    let typed = call.has_type_for(route);
    if !route.content_types.is_empty() {
        record.steps().note("content_type", typed.is_ok(), || {
            let kind = match call.content_type() {
                Ok(Some(found)) => shown(&found.kind),
                Ok(None) => "none".to_owned(),
                Err(_) => "a field that cannot be read as a type, or two".to_owned(),
            };
            let wanted = format!("a body of {}, or none", route.content_types.join(" or "));
            StepDetail::new(wanted, kind).at(format!("/routes/{}/content_types", pointer_step(&route.name)))
        });
    }
    typed
}

/// The name of the span of a lookup.
fn lookup_name(ask: &PendingLookup) -> &'static str {
    match ask {
        PendingLookup::Store(_) => "session",
        PendingLookup::Issuer(_) | PendingLookup::ClientIssuer(_) => "issuer keys",
        PendingLookup::ClientSecret => "client secret",
        PendingLookup::Token(_) | PendingLookup::ClientToken(_) => "introspection",
    }
}

/// CSRF protection: a call that changes something, and for which nothing but a cookie speaks, must come from the
/// company's own pages. A strange page can send neither a client's token nor an API key. A browser also sends an id and a
/// secret by `Basic` along, once it has them: they speak for nobody beside a cookie, and alone not from a strange page.
fn comes_from_own_site(
    route: &Route,
    caller: &Caller,
    call: &Call<'_>,
    opens_websocket: bool,
    record: &Record,
) -> bool {
    let headers = &call.parts.headers;
    let by_basic = route.requirements.client_sources.as_ref().is_some_and(|sources| sources.is_by_basic(headers));
    let by_cookie_alone = caller.by_cookie && (caller.client.is_none() || by_basic) && caller.api_key.is_none();
    let by_basic_alone = by_basic && caller.customer.is_none() && caller.api_key.is_none();
    let (site, host) = (&call.policy.own_site, &call.head.host);
    let is_harmless = || {
        !csrf::changes_something(&call.parts.method) && !csrf::opens_websocket(&call.parts.headers) && !opens_websocket
    };
    let is_foreign = match (by_cookie_alone, by_basic_alone) {
        (true, _) => !is_harmless() && !csrf::is_own(site, host, headers),
        (false, true) => !is_harmless() && csrf::is_strange(site, host, headers),
        (false, false) => false,
    };
    if by_cookie_alone || by_basic_alone {
        record.steps().note("cross_site", !is_foreign, || {
            let wanted = "a harmless method, or a call from the company's own pages, as nothing but a browser's cookie or Basic speaks for it";
            StepDetail::new(wanted, if is_foreign { "from elsewhere, or nothing says from where" } else { "it is" })
                .at("/login/cookie/origins")
        });
    }
    !is_foreign
}
