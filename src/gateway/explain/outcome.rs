//! The explanation of a whole request from its steps and its refusal.

use std::sync::Arc;
use std::time::Instant;

use crate::backend::Backend;
use crate::explanation::trace::{CheckTrace, StepDetail, StepSink, pointer_step, span};
use crate::explanation::{CheckStep, Decision, Explanation, StepVerdict};
use crate::gateway::connection::Connection;
use crate::gateway::endpoints;
use crate::gateway::error::{Refused, row};
use crate::gateway::observe::record::Record;
use crate::policy::Policy;
use crate::policy::route::Route;
use crate::refusal::Refusal;

/// The explanation of a request whose record has been through all checks.
pub(super) fn explanation(
    record: &Record,
    policy: &Policy,
    steps: Vec<CheckStep>,
    refused: Option<&Refused>,
) -> Explanation {
    let refusal = refused.map(|refused| refused.refusal);
    let mut explanation = Explanation {
        verdict: if refused.is_some() { Decision::Refused } else { Decision::Passed },
        refusal: None,
        status: None,
        code: None,
        route: Some(record.route.to_string()).filter(|name| name != "none"),
        steps,
        identifier: None,
        backend_request: Vec::new(),
        remedy: None,
    };
    for step in &mut explanation.steps {
        step.key = step.key.take().map(|key| by_name(policy, key));
    }
    match (refusal, record.observed) {
        (Some(refusal), _) => settle(&mut explanation, refusal, refused),
        (None, Some(observed)) => settle_observed(&mut explanation, observed),
        (None, None) => {}
    }
    explanation
}

/// The explanation of a refusal of which no more is known than the request's own record.
pub(super) fn summary(record: &Record, connection: &Connection, refused: &Refused) -> Explanation {
    let trace = CheckTrace::default();
    let steps = StepSink::to(Some(&trace));
    note_listener(connection, steps);
    if record.route_number.is_some() || *record.route != *"none" {
        let key = record.route_number.map(|_| format!("/routes/{}", pointer_step(&record.route)));
        steps.note("route", true, || {
            let found = StepDetail::new("a route or an endpoint of the gateway", &*record.route);
            match key {
                Some(key) => found.at(key),
                None => found,
            }
        });
    }
    let known = &record.known;
    let claims_only = refused.refusal.is_of_unproved_client();
    let client = known.client.as_deref();
    if let Some(client) = client.filter(|_| claims_only) {
        steps
            .skip("caller", || StepDetail::new("a proved caller", format!("claims to be client {client}, not proved")));
    }
    let who = [("client", client.filter(|_| !claims_only)), ("API key", known.api_key.as_deref())];
    let mut who: Vec<String> = who.into_iter().filter_map(|(kind, id)| Some(format!("{kind} {}", id?))).collect();
    who.extend(known.customer.as_ref().map(|customer| format!("customer {}", customer.as_str())));
    if !who.is_empty() {
        steps.note("caller", true, || StepDetail::new("a proved caller", who.join(", ")));
    }
    let mut explanation = Explanation {
        verdict: Decision::Refused,
        refusal: None,
        status: None,
        code: None,
        route: Some(record.route.to_string()).filter(|name| name != "none"),
        steps: trace.take(),
        identifier: None,
        backend_request: Vec::new(),
        remedy: None,
    };
    settle(&mut explanation, refused.refusal, Some(refused));
    if record.route_number.is_none()
        && let Some(step) = explanation.steps.last_mut()
    {
        step.key = own_section(&record.route).map(str::to_owned);
    }
    // What the backend did: the caller is told less.
    if let (Some(fault), Some(step)) = (record.backend_fault.noted(), explanation.steps.last_mut()) {
        step.saw = fault.into();
    }
    explanation
}

/// Makes this refusal the outcome: the last step that refused is its own. One that no step tells of gets a step.
pub(super) fn settle(explanation: &mut Explanation, refusal: Refusal, refused: Option<&Refused>) {
    let row = refused.map_or_else(|| row(refusal), Refused::kept_row);
    let is_told = explanation.refusal.as_deref().is_none_or(|told| told == refusal.as_str());
    // The steps at the end that refused are those of this refusal, the most exact one first. A route that only observes
    // may have met others before.
    let mut is_its_own = is_told;
    let mut has_step = false;
    for step in explanation.steps.iter_mut().rev() {
        match step.verdict {
            StepVerdict::Refused if is_its_own => has_step = true,
            StepVerdict::Refused => step.verdict = StepVerdict::Observed,
            StepVerdict::Passed | StepVerdict::Observed => is_its_own = false,
            StepVerdict::Skipped => {}
        }
    }
    if !has_step {
        explanation.steps.retain(|step| step.check != "backend");
        explanation.steps.push(CheckStep {
            check: check_of(refusal).to_owned(),
            verdict: StepVerdict::Refused,
            wanted: String::new(),
            saw: row.message.to_string(),
            key: explanation.route.as_deref().map(|name| format!("/routes/{}", pointer_step(name))),
            line: None,
        });
    }
    explanation.verdict = Decision::Refused;
    explanation.refusal = Some(refusal.as_str().to_owned());
    explanation.status = Some(row.status.as_u16());
    explanation.code = Some(row.code.to_owned());
    explanation.remedy = Some(refusal.fix().to_owned());
    (explanation.identifier, explanation.backend_request) = (None, Vec::new());
}

/// Makes this the refusal that the route only observes.
pub(super) fn settle_observed(explanation: &mut Explanation, refusal: Refusal) {
    let mut is_told = false;
    for step in &mut explanation.steps {
        if step.verdict == StepVerdict::Refused {
            step.verdict = StepVerdict::Observed;
            is_told = true;
        }
    }
    let row = row(refusal);
    if !is_told {
        explanation.steps.push(CheckStep {
            check: check_of(refusal).to_owned(),
            verdict: StepVerdict::Observed,
            wanted: String::new(),
            saw: row.message.to_string(),
            key: explanation.route.as_deref().map(|name| format!("/routes/{}", pointer_step(name))),
            line: None,
        });
    }
    explanation.verdict = Decision::Passed;
    explanation.refusal = Some(refusal.as_str().to_owned());
    explanation.code = Some(row.code.to_owned());
    explanation.remedy = Some(refusal.fix().to_owned());
}

/// The section of gateway.yaml about an endpoint of the gateway itself.
fn own_section(endpoint: &str) -> Option<&'static str> {
    match endpoint {
        endpoints::login::NAME | endpoints::logout::NAME => Some("/login"),
        endpoints::token::NAME => Some("/access_token"),
        endpoints::revoke_introspect::REVOKE | endpoints::revoke_introspect::INTROSPECT => Some("/clients"),
        _ => None,
    }
}

/// Notes the listener of a request.
pub(super) fn note_listener(connection: &Connection, steps: StepSink<'_>) {
    steps.note("listener", true, || {
        let number = connection.settings().number;
        let scheme = if connection.source().secure { "https" } else { "http" };
        StepDetail::new("a listener", format!("listen[{number}], {scheme}")).at(format!("/listen/{number}"))
    });
}

/// Notes what now keeps calls from a backend: an open circuit, or no server that is up.
pub(super) fn note_standing(backend: &Backend, steps: StepSink<'_>) {
    if !steps.is_on() {
        return;
    }
    let standing = backend.standing(Instant::now());
    let saw = match (standing.circuit_open, standing.servers.iter().any(|server| server.up)) {
        (Some(left), _) => {
            format!("its circuit is open, for {} more: calls get backend_unavailable", span(left.as_secs()))
        }
        (None, false) => "none of its servers is up: calls get backend_unavailable".to_owned(),
        (None, true) => return,
    };
    let key = format!("/backends/{}", pointer_step(&backend.name));
    steps.skip("backend.standing", || StepDetail::new("a server that takes calls now", saw).at(key));
}

/// The identifier, or only that there is the company's own key of the customer.
pub(super) fn shown_identifier(route: &Route, named: &str) -> String {
    if route.send_subject {
        format!("(the company's key of the customer, {} characters)", named.chars().count())
    } else {
        named.to_owned()
    }
}

/// A key of a route by its name: numbers change with the file.
fn by_name(policy: &Policy, key: String) -> String {
    let Some(rest) = key.strip_prefix("/routes/") else { return key };
    let (number, rest) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let route = number.parse::<usize>().ok().and_then(|number| policy.routes.get(number));
    let is_name = policy.routes.iter().any(|route| *route.name == *number);
    let route: Option<&Arc<str>> = route.filter(|_| !is_name).map(|route| &route.name);
    route.map_or(key.clone(), |name| format!("/routes/{}{rest}", pointer_step(name)))
}

/// The check that gives a refusal, where none has noted a step.
fn check_of(refusal: Refusal) -> &'static str {
    use Refusal as R;
    match refusal {
        R::BackendConnect
        | R::BackendResponse
        | R::BackendCredential
        | R::BackendToken
        | R::BackendTimeout
        | R::BackendOverload
        | R::BackendUnavailable
        | R::ResponseNotJson
        | R::ResponseTooLarge => "backend",
        R::NoRoute | R::Method | R::AmbiguousRoute => "route",
        R::AmbiguousPath
        | R::MalformedRequest
        | R::Host
        | R::HeadTooLarge
        | R::TargetTooLong
        | R::Expectation
        | R::ConnectNotAllowed
        | R::Misdirected
        | R::HostNotServed => "request",
        R::AddressNotAllowed | R::ForwardedFor => "client_address",
        R::PlainHttp => "https",
        R::ClientCertificate | R::OtherCertificate | R::TokenCertificate => "client_certificate",
        R::Dpop(_) | R::ReplayShare => "dpop",
        R::BodyTooLarge => "body_size",
        R::MalformedBody | R::BodyTimeout | R::Json | R::RequestBuffer => "body",
        R::ContentType => "content_type",
        R::CredentialRepeated | R::CredentialConflict | R::NoCredential => "credentials",
        R::ApiKey(_) => "api_key",
        R::ClientToken(_) => "client_token",
        R::CustomerToken(_) => "customer_token",
        R::Session(_) => "session",
        R::Scope => "scopes",
        R::CrossSite => "cross_site",
        R::IdentifierMismatch => "named_customer",
        R::RateLimited => "rate_limit",
        R::Quota => "quota",
        R::StateUnavailable => "state",
        R::Memory | R::HashQueue => "overload",
        R::WebsocketHandshake | R::WebsocketVersion | R::WebsocketShare => "websocket",
        R::UploadShare => "upload_share",
        R::LoginUnknownUser | R::LoginWrongPassword | R::LoginRate | R::LoginLocked | R::LoginBackend => "login",
        R::UnknownClient
        | R::WrongClientSecret
        | R::ClientAssertion(_)
        | R::ClientAuthentication
        | R::UnauthorizedClient
        | R::ClientAuthenticationMissing
        | R::ClientAuthenticationMalformed
        | R::TokenRate
        | R::TokenLocked => "client_authentication",
        _ => "endpoint",
    }
}
