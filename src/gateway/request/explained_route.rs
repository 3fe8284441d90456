//! What the reading of a head and the routing saw, for explanations: also why other routes lost.

use http::request;

use super::head::Head;
use crate::explanation::trace::{StepDetail, StepSink, pointer_step, shown};
use crate::gateway::connection::Connection;
use crate::gateway::error::Refused;
use crate::gateway::observe::record::shown_path;
use crate::policy::matchers::{Condition, UnmetCondition};
use crate::policy::route::Route;
use crate::policy::table::near_miss::NearMiss;
use crate::policy::{Policy, Target};
use crate::refusal::Refusal;

/// Most routes of which it is told why they lost.
const MOST_TOLD: usize = 10;

/// A request on its listener, as it is routed.
type Routed<'r> = (&'r Connection, &'r Head, &'r request::Parts);

/// The head of a request.
pub(super) fn head(head: &Result<Head, Refusal>, parts: &request::Parts, connection: &Connection) -> StepDetail {
    let saw = match head {
        Ok(head) => format!("{} to {}", shown(parts.method.as_str()), head.host.name),
        Err(refusal) => refusal.as_str().to_owned(),
    };
    let number = connection.settings().number;
    let part = match head {
        Err(Refusal::HostNotServed) => "/hosts",
        Err(Refusal::HeadTooLarge | Refusal::TargetTooLong) => "/limits",
        _ => "",
    };
    StepDetail::new("a plain head within the limits, for a host served here", saw).at(format!("/listen/{number}{part}"))
}

/// The route or endpoint of a request, and why others lost.
pub(super) fn route(policy: &Policy, routed: Routed<'_>, outcome: &Result<Target, Refused>, steps: StepSink<'_>) {
    let (connection, head, parts) = routed;
    let number = connection.settings().number;
    let wanted = format!("a route for {} to {}", shown(parts.method.as_str()), head.host.name);
    let found = match outcome {
        Ok(Target::Route(number)) => policy.routes.get(*number as usize),
        _ => None,
    };
    let table = policy.tables.get(number);
    let near = table.map(|table| table.near_misses(&head.host.name, parts.uri.path())).unwrap_or_default();
    let written = |route: &Route| {
        let its_own =
            near.iter().find(|miss| policy.routes_of(&miss.target).any(|(_, other)| other.name == route.name));
        its_own.map_or("", |miss| &miss.written)
    };
    steps.note("route", outcome.is_ok(), || match (outcome, found) {
        // The rest of the path may name a person.
        (_, Some(route)) => {
            StepDetail::new(wanted, format!("route {}, by {}", route.name, written(route))).at(place(&route.name))
        }
        (Ok(_), None) => StepDetail::new(wanted, "an endpoint of the gateway itself"),
        (Err(refused), None) => {
            StepDetail::new(format!("{wanted}{}", shown_path(parts.uri.path())), missed(refused)).at("/routes")
        }
    });
    let mut losers: Vec<(&Route, &NearMiss<Target>)> = Vec::new();
    for miss in &near {
        losers.extend(policy.routes_of(&miss.target).map(|(_, route)| (route, miss)));
    }
    losers.retain(|(route, _)| found.is_none_or(|found| found.name != route.name));
    for (route, miss) in losers.iter().take(MOST_TOLD) {
        steps.skip("route.other", || {
            let why = lost(policy, route, miss, routed, found.is_some());
            StepDetail::new(format!("{} {}", route.name, miss.written), why).at(place(&route.name))
        });
    }
    if losers.len() > MOST_TOLD {
        let more = losers.len() - MOST_TOLD;
        steps.skip("route.other", || StepDetail::new("", format!("and {more} more")).at("/routes"));
    }
}

fn place(route: &str) -> String {
    format!("/routes/{}", pointer_step(route))
}

fn missed(refused: &Refused) -> String {
    match (&refused.allow, refused.refusal) {
        (Some(allow), _) => format!("the path takes only {}", String::from_utf8_lossy(allow.as_bytes())),
        (None, Refusal::AmbiguousPath) => "the path could be read as that of another route".to_owned(),
        (None, Refusal::AmbiguousRoute) => {
            "a header field or query parameter that chooses the route can be read in two ways".to_owned()
        }
        (None, _) => "no route has this path".to_owned(),
    }
}

/// Why a route lost.
fn lost(policy: &Policy, route: &Route, miss: &NearMiss<Target>, routed: Routed<'_>, is_found: bool) -> String {
    let (_, _, parts) = routed;
    if !miss.takes_host {
        return "host: it is for another".to_owned();
    }
    if !miss.takes_path {
        return "path: another".to_owned();
    }
    if !route.methods.contains(&parts.method) {
        let methods: Vec<&str> = route.methods.iter().map(|method| method.as_str()).collect();
        return format!("method: it takes {}", methods.join(", "));
    }
    if let (Some(matchers), Target::Choice(number)) = (&route.matchers, miss.target)
        && let Some(choice) = policy.choices.get(number as usize)
        && let Some(unmet) = choice.unmet(matchers, &parts.headers, parts.uri.query())
    {
        return wanted_by(&unmet);
    }
    if is_found {
        "path: another route's is more specific, or comes before".to_owned()
    } else {
        "path: another".to_owned()
    }
}

/// A condition of a route that does not hold.
fn wanted_by(unmet: &UnmetCondition<'_>) -> String {
    let wants = match unmet.condition {
        Condition::Equals(value) => format!("to be {value}"),
        Condition::Prefix(value) => format!("to begin with {value}"),
        Condition::Present => "to be there".to_owned(),
        Condition::Absent => "not to be there".to_owned(),
        Condition::Regex(pattern) => format!("to match {}", pattern.as_str()),
    };
    let kind = if unmet.is_header { "header" } else { "query" };
    format!("{kind}: {} has {wants}", unmet.name)
}
