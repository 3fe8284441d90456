//! Gathers the report from what the process knows.

use std::collections::HashSet;
use std::time::Instant;

use super::history::History;
use super::problems::problems;
use super::refused::{by_caller, by_word, rows};
use super::report::{
    BackendReport, CertificateReport, IssuerReport, MOST_KEYS, ReloadReport, ReplicaReport, RouteReport, ServerReport,
    StateReport, StatusReport,
};
use crate::backend::{Backend, BackendCredential};
use crate::gateway::Shared;
use crate::gateway::observe::reload_history::{ReloadEntry, ReloadOutcome};
use crate::metrics::{RouteCounts, Traffic};
use crate::policy::Policy;
use crate::policy::route::Route;
use crate::server::Phase;
use crate::server::admin::key_versions::{KeyStanding, key_versions};
use crate::server::admin::readiness::Readiness;
use crate::version;

/// Recent refusals that are looked at for who was refused.
const MOST_LOOKED_AT: usize = 1_024;

/// Concurrency above which there is no limit to speak of.
const UNLIMITED: usize = 1 << 31;

/// Parts of a report that change seldom and are long to gather.
#[derive(Debug)]
pub(super) struct KeyList {
    pub(super) shown: Vec<KeyStanding>,
    pub(super) total: usize,
}

/// Facts of the process that its shared state does not have.
#[derive(Debug, Clone)]
pub(super) struct Process {
    pub(super) host: String,
    pub(super) started: u64,
}

impl KeyList {
    /// The versions of all keys, those that need a hand first.
    pub(super) fn gather(shared: &Shared, now: u64) -> Self {
        let mut shown = key_versions(&shared.policy(), shared.state.revocations(), now);
        let total = shown.len();
        let rank = |key: &KeyStanding| match (&*key.remove, &*key.standing) {
            ("yes", _) => 0,
            (_, "next") => 1,
            (_, "previous") => 2,
            _ => 3,
        };
        shown.sort_by_key(rank);
        shown.truncate(MOST_KEYS);
        Self { shown, total }
    }
}

/// The report at `now`, in seconds since 1970.
pub(super) fn gather(
    shared: &Shared,
    process: &Process,
    phase: Phase,
    history: &History,
    keys: &KeyList,
    now: u64,
) -> StatusReport {
    let (policy, traffic) = (shared.policy(), shared.metrics.traffic(true));
    let recent = shared.refusals.latest(MOST_LOOKED_AT);
    let serves = matches!(phase, Phase::Running | Phase::Waiting);
    let readiness = Readiness::of(shared, now);
    let mut report = StatusReport {
        version: version::FULL.to_owned(),
        host: process.host.clone(),
        time: now,
        started: process.started,
        phase: if serves { "running" } else { "draining" }.to_owned(),
        ready: serves && readiness.lacking.is_none(),
        operable: policy.operator_token.is_some(),
        problems: Vec::new(),
        traffic: history.report(&traffic),
        refusals: by_word(&traffic, history.minute_ago(), &recent),
        callers: by_caller(&recent),
        callers_of: recent.len(),
        recent: rows(&recent),
        routes: routes(&policy, &traffic, history),
        backends: policy.backends.iter().map(|backend| backend_report(backend)).collect(),
        state: state(shared),
        keys: keys.shown.clone(),
        keys_total: keys.total,
        certificates: certificates(shared),
        issuers: issuers(&policy, now),
        reloads: reloads(shared),
    };
    report.problems = problems(&report, readiness.lacking.as_deref(), history.lost_lately(&traffic));
    report
}

fn routes(policy: &Policy, traffic: &Traffic, history: &History) -> Vec<RouteReport> {
    let none = RouteCounts::default();
    let mut all: Vec<RouteReport> = policy
        .routes
        .iter()
        .map(|route| {
            let counts = traffic.routes.get(&route.name).unwrap_or(&none);
            RouteReport {
                requires: requires(route),
                backend: backends(route),
                mode: route.enforcement.to_string(),
                ..route_report(&route.name, counts, history)
            }
        })
        .collect();
    let known: HashSet<&str> = policy.routes.iter().map(|route| &*route.name).collect();
    let others = traffic.routes.iter().filter(|(name, _)| !known.contains(&***name));
    all.extend(others.map(|(name, counts)| route_report(name, counts, history)));
    all.sort_by(|one, other| {
        (other.refused + other.failed, other.rate, other.total)
            .partial_cmp(&(one.refused + one.failed, one.rate, one.total))
            .unwrap_or(std::cmp::Ordering::Equal)
            .then_with(|| one.name.cmp(&other.name))
    });
    all
}

/// Of an own endpoint, or what all routes have.
fn route_report(name: &str, counts: &RouteCounts, history: &History) -> RouteReport {
    let last = history.last_minute(name, counts);
    let mut words: Vec<(String, u64)> =
        counts.refusals.iter().map(|(word, count)| ((*word).to_owned(), *count)).collect();
    words.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    words.truncate(3);
    RouteReport {
        name: name.to_owned(),
        requires: String::new(),
        backend: String::new(),
        mode: "endpoint".to_owned(),
        rate: last.requests as f64 / last.seconds,
        p50: last.p50,
        p99: last.p99,
        refused: last.refused,
        failed: last.failed,
        total: counts.all.requests,
        words,
    }
}

fn requires(route: &Route) -> String {
    let requirements = &route.requirements;
    let wants =
        [(requirements.client, "client"), (requirements.customer, "customer"), (requirements.api_key, "API key")];
    let wants: Vec<&str> = wants.iter().filter(|(on, _)| *on).map(|(_, word)| *word).collect();
    if wants.is_empty() { "nothing".to_owned() } else { wants.join(", ") }
}

/// The backend of a route; where there are several, their shares.
fn backends(route: &Route) -> String {
    if route.direct.is_some() {
        return "answered here".to_owned();
    }
    let Some(weighted) = &route.weighted else { return route.backend.name.to_string() };
    let shares: Vec<String> = weighted.iter().map(|(weight, it)| format!("{} {weight}", it.backend.name)).collect();
    shares.join(", ")
}

fn backend_report(backend: &Backend) -> BackendReport {
    let standing = backend.standing(Instant::now());
    let circuit_open = standing.circuit_open.map(|left| {
        format!("open after {} failures in a row; next trial in {} s", standing.failures, left.as_secs_f64().ceil())
    });
    let servers = standing.servers.into_iter().map(|server| ServerReport {
        name: server.name,
        up: server.up,
        why: server.why,
        in_flight: server.in_flight,
        ejections: server.ejections,
    });
    let token = match &backend.authorization {
        Some(BackendCredential::Token(token)) => {
            let lacks = token.standing().left.is_none();
            lacks.then(|| "no access token for it: its OAuth server does not give one".to_owned())
        }
        _ => None,
    };
    BackendReport {
        name: backend.name.to_string(),
        in_flight: standing.in_flight,
        limit: Some(standing.limit).filter(|limit| *limit < UNLIMITED),
        waiting: standing.waiting,
        circuit_open,
        servers: servers.collect(),
        token,
    }
}

fn state(shared: &Shared) -> StateReport {
    let state = &shared.state;
    let lag = state.lag();
    let replica = |replica: crate::state::Replica| ReplicaReport {
        host: replica.host,
        name: replica.name,
        heard_ago: replica.heard_ago.as_secs(),
    };
    StateReport {
        up: state.is_up(),
        stale: state.is_stale(),
        sessions: state.session_count(),
        revocations: state.revocations().len(),
        waiting: state.waiting(),
        staleness: lag.map(|(staleness, _)| staleness.as_secs_f64()),
        propagation: lag.map(|(_, propagation)| propagation.as_secs_f64()),
        replicas: state.replicas().map(|all| all.into_iter().map(replica).collect()),
    }
}

fn certificates(shared: &Shared) -> Vec<CertificateReport> {
    let known = shared.metrics.known_certificates();
    let mut all: Vec<_> =
        known.into_iter().map(|(file, ends, begins)| CertificateReport { file, begins, ends }).collect();
    all.sort_by_key(|certificate| certificate.ends);
    all
}

fn issuers(policy: &Policy, now: u64) -> Vec<IssuerReport> {
    let report = |standing: crate::auth::jwt::remote_jwks::JwksStatus| IssuerReport {
        issuer: standing.issuer,
        keys: standing.keys,
        fetched: standing.age.map(|age| now.saturating_sub(age)),
        last_outcome: standing.last_outcome.map(str::to_owned),
        failed_at: standing.last_failure.as_ref().map(|(time, _)| *time),
        error: standing.last_failure.map(|(_, reason)| reason),
    };
    policy.published().map(|keys| report(keys.standing(now))).collect()
}

/// The reloads that the process remembers, newest first.
fn reloads(shared: &Shared) -> Vec<ReloadReport> {
    let report = |reload: ReloadEntry| ReloadReport {
        time: reload.time,
        outcome: match reload.outcome {
            ReloadOutcome::Applied => "applied",
            ReloadOutcome::Failed => "failed",
            ReloadOutcome::RolledBack => "rolled back",
        }
        .to_owned(),
        fault: reload.fault,
        changes: reload.changes,
        more: reload.more,
    };
    shared.reloads.latest().into_iter().map(report).collect()
}
