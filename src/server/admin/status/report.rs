//! The report: all that the status page and `wicketgate top` show. Rates are per second, durations in seconds, times in
//! seconds since 1970 unless a name says otherwise.

use serde::{Deserialize, Serialize};

use crate::policy_change::PolicyChange;

use crate::server::admin::key_versions::KeyStanding;

/// The status of this process.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StatusReport {
    /// Version and commit.
    pub version: String,
    /// Name of this host.
    pub host: String,
    /// Time of the report.
    pub time: u64,
    /// Start of the process.
    pub started: u64,
    /// `running` or `draining`.
    pub phase: String,
    /// True if /readyz is 200.
    pub ready: bool,
    /// True if an operator's token is configured.
    pub operable: bool,
    /// What is wrong, the worst first.
    pub problems: Vec<StatusProblem>,
    /// Requests of all routes.
    pub traffic: TrafficReport,
    /// Refusals by word, most of the last minute first.
    pub refusals: Vec<WordReport>,
    /// Who was refused, among the most recent refusals.
    pub callers: Vec<CallerRefusals>,
    /// Number of recent refusals that `callers` counts.
    pub callers_of: usize,
    /// The most recent refusals, newest first.
    pub recent: Vec<RefusalRow>,
    /// Routes and own endpoints, those with most requests in the last minute first.
    pub routes: Vec<RouteReport>,
    /// Backends, by name.
    pub backends: Vec<BackendReport>,
    /// Sessions, revocations and their store.
    pub state: StateReport,
    /// Versions of keys: those that need a hand first, at most [`MOST_KEYS`].
    pub keys: Vec<KeyStanding>,
    /// Number of all versions.
    pub keys_total: usize,
    /// Certificates, CAs and CRLs of listeners, first to end first.
    pub certificates: Vec<CertificateReport>,
    /// Other issuers whose keys are fetched.
    pub issuers: Vec<IssuerReport>,
    /// Reloads, newest first.
    pub reloads: Vec<ReloadReport>,
}

/// Most versions of keys in a report.
pub const MOST_KEYS: usize = 500;

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusProblem {
    /// True if callers suffer now; otherwise somebody should look soon.
    pub serious: bool,
    /// A sentence.
    pub what: String,
    /// The section of the page with the details.
    pub section: String,
}

/// Requests of all routes: of the last ten seconds, and of each second of the last minutes.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct TrafficReport {
    /// Requests per second.
    pub rate: f64,
    /// Refusals per second.
    pub refused_rate: f64,
    /// Responses of status 500 and above per second.
    pub failed_rate: f64,
    /// Median duration; `None` without requests.
    pub p50: Option<f64>,
    /// The duration below which 90 % were.
    pub p90: Option<f64>,
    /// The duration below which 99 % were.
    pub p99: Option<f64>,
    /// Requests that are being answered.
    pub in_flight: i64,
    /// Callers' connections that are open.
    pub connections: i64,
    /// Requests since the start.
    pub total: u64,
    /// Each second of the last five minutes, oldest first.
    pub history: Vec<Second>,
}

/// One second.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Second {
    /// Requests that ended.
    pub requests: u64,
    /// Those refused.
    pub refused: u64,
    /// Those with a status of 500 or above.
    pub failed: u64,
    /// Median duration.
    pub p50: Option<f64>,
    /// The duration below which 99 % were.
    pub p99: Option<f64>,
}

/// Refusals with one word.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WordReport {
    /// The word.
    pub word: String,
    /// Refusals of the last minute.
    pub last_minute: u64,
    /// Refusals since the start.
    pub total: u64,
    /// Of routes that only observe, since the start.
    pub observed: u64,
    /// The routes with most of them.
    pub routes: Vec<(String, u64)>,
    /// What it means.
    pub cause: String,
    /// What to do.
    pub fix: String,
}

/// Recent refusals of one caller with one word on one route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CallerRefusals {
    /// The client, the id of the API key, or the address where nothing was proved.
    pub caller: String,
    /// The word.
    pub word: String,
    /// The route.
    pub route: String,
    /// How many.
    pub count: usize,
    /// The last of them, in milliseconds since 1970.
    pub last_ms: u64,
}

/// A recent refusal.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RefusalRow {
    /// The id that the caller got.
    pub request_id: String,
    /// The time of arrival, in milliseconds since 1970.
    pub time_ms: u64,
    /// The route or endpoint; `none` without one.
    pub route: String,
    /// The method.
    pub method: String,
    /// The status of the response.
    pub status: u16,
    /// The word.
    pub word: String,
    /// The code that the caller got.
    pub code: String,
    /// True if it was let through all the same.
    pub observed: bool,
    /// The client, the id of the API key, or the address where nothing was proved.
    pub caller: String,
}

/// A route or own endpoint. Rates and durations are of the last minute.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RouteReport {
    /// Its name.
    pub name: String,
    /// What it requires of callers; empty for own endpoints.
    pub requires: String,
    /// Its backend, or several with their weights.
    pub backend: String,
    /// `enforce` or `observe`; `endpoint` for those of the gateway itself.
    pub mode: String,
    /// Requests per second.
    pub rate: f64,
    /// Median duration.
    pub p50: Option<f64>,
    /// The duration below which 99 % were.
    pub p99: Option<f64>,
    /// Refusals of the last minute.
    pub refused: u64,
    /// Responses of status 500 and above of the last minute.
    pub failed: u64,
    /// Requests since the start.
    pub total: u64,
    /// Refusals since the start by word, most first.
    pub words: Vec<(String, u64)>,
}

/// A backend.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BackendReport {
    /// Its name.
    pub name: String,
    /// Requests in flight.
    pub in_flight: usize,
    /// Concurrency limit at present; `None` without one.
    pub limit: Option<usize>,
    /// Requests in the queue.
    pub waiting: usize,
    /// Why the circuit is open; `None` while it is closed.
    pub circuit_open: Option<String>,
    /// Its servers.
    pub servers: Vec<ServerReport>,
    /// Access token of the gateway for it: what it lacks.
    pub token: Option<String>,
}

/// A server of a backend.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ServerReport {
    /// Its address.
    pub name: String,
    /// True if it gets requests.
    pub up: bool,
    /// Why it gets none, or what went wrong last.
    pub why: Option<String>,
    /// Requests in flight.
    pub in_flight: usize,
    /// Ejections by outlier detection so far.
    pub ejections: u64,
}

/// Sessions, revocations and their store.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StateReport {
    /// True if the last exchange with the store worked.
    pub up: bool,
    /// True if revocations may have been missed for longer than allowed.
    pub stale: bool,
    /// Sessions that this process knows.
    pub sessions: usize,
    /// Revocations in force.
    pub revocations: usize,
    /// Writes that wait for the store.
    pub waiting: usize,
    /// Time for which revocations of other replicas may have been missed; `None` where the state is not shared.
    pub staleness: Option<f64>,
    /// Round trip of the last heartbeat through the store; `None` where the state is not shared.
    pub propagation: Option<f64>,
    /// Other replicas that share it; `None` where it is not shared.
    pub replicas: Option<Vec<ReplicaReport>>,
}

/// Another replica.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReplicaReport {
    /// Its host; empty where it does not tell it.
    pub host: String,
    /// Random name of its process.
    pub name: String,
    /// Seconds since its last heartbeat.
    pub heard_ago: u64,
}

/// A certificate, CA or CRL.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CertificateReport {
    /// Its file.
    pub file: String,
    /// Its beginning, where it is known.
    pub begins: Option<i64>,
    /// Its end.
    pub ends: i64,
}

/// An issuer whose keys are fetched.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct IssuerReport {
    /// Its URL.
    pub issuer: String,
    /// Keys in use.
    pub keys: usize,
    /// Time of the last successful fetch; `None` without keys.
    pub fetched: Option<u64>,
    /// Outcome of the last fetch.
    pub last_outcome: Option<String>,
    /// Why the last fetch failed; `None` where it worked.
    #[serde(default)]
    pub error: Option<String>,
    /// Time of the last fetch, where it failed.
    #[serde(default)]
    pub failed_at: Option<u64>,
}

/// One reload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReloadReport {
    /// Its time.
    pub time: u64,
    /// `applied`, `failed` or `rolled back`.
    pub outcome: String,
    /// Why it failed.
    pub fault: Option<String>,
    /// What it changed.
    pub changes: Vec<PolicyChange>,
    /// The number of changes that are not in the list.
    #[serde(default)]
    pub more: usize,
}
