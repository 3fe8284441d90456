//! What is wrong, at the top of the page: the worst first, each with the section that says more.

use super::report::{BackendReport, IssuerReport, StatusProblem, StatusReport};
use super::shown;
use crate::metrics::Losses;

/// Days before the end of a certificate at which it is time.
const SOON: i64 = 14;

/// A day in seconds.
const DAY: i64 = 24 * 3600;

/// The most problems of one kind that are named one by one.
const MOST_NAMED: usize = 5;

/// What is wrong. `lacking` is the part without which this replica is not ready, `lost` what could
/// not be written or sent in the last 15 minutes.
pub(super) fn problems(report: &StatusReport, lacking: Option<&str>, lost: Losses) -> Vec<StatusProblem> {
    let mut found = Found::default();
    if report.phase == "draining" {
        found.serious("summary", "This process is ending: it takes no new requests.".to_owned());
    }
    if let Some(part) = lacking {
        found.serious("state", format!("Not ready: {part} is missing, and /readyz is 503."));
    }
    if !report.state.up {
        found.serious("state", "The state store does not answer: logins and logouts fail.".to_owned());
    } else if report.state.stale {
        found.serious("state", "Revocations of other replicas may have been missed.".to_owned());
    }
    found.each(report.backends.iter().filter_map(|backend| backend_problem(backend)).collect());
    let without = report.issuers.iter().filter(|issuer| issuer.keys == 0);
    found.each(without.map(|issuer| (true, "issuers", issuer_problem(issuer))).collect());
    let (now, traffic) = (i64::try_from(report.time).unwrap_or(i64::MAX), &report.traffic);
    let ending = report.certificates.iter().filter(|certificate| certificate.ends < now + SOON * DAY);
    found.each(
        ending
            .map(|certificate| {
                let (left, file) = (certificate.ends - now, &certificate.file);
                match left {
                    ..=0 => (true, "keys", format!("The certificate or CRL in {file} has expired.")),
                    left => {
                        (false, "keys", format!("The certificate or CRL in {file} expires in {} days.", left / DAY))
                    }
                }
            })
            .collect(),
    );
    if report.reloads.first().is_some_and(|last| last.outcome == "failed") {
        found.soon("reloads", "The last reload has failed: the configuration before is still in force.".to_owned());
    }
    if let Some(last) = report.reloads.first().filter(|last| last.outcome == "rolled back") {
        let why = last.fault.as_deref().unwrap_or("no reason is known");
        let what = format!("The last reload was rolled back: {why}; the file on disk is not in force.");
        found.soon("reloads", what);
    }
    if traffic.failed_rate > 0.0 && traffic.failed_rate * 20.0 >= traffic.rate {
        let percent = (100.0 * traffic.failed_rate / traffic.rate.max(traffic.failed_rate)).round();
        found.serious("routes", format!("{percent} % of the last requests got a status of 500 or above."));
    }
    if traffic.refused_rate > 0.0 && traffic.refused_rate * 5.0 >= traffic.rate {
        let most = report.refusals.iter().max_by_key(|word| word.last_minute);
        let word = most.map(|word| format!(", most with `{}`", word.word)).unwrap_or_default();
        let percent = (100.0 * traffic.refused_rate / traffic.rate.max(traffic.refused_rate)).round();
        found.soon("refusals", format!("{percent} % of the last requests were refused{word}."));
    }
    for (count, what) in [
        (lost.audit_events, "events of the audit log were lost"),
        (lost.access_lines, "lines of the access log were dropped"),
        (lost.spans, "spans were dropped"),
    ] {
        if count > 0 {
            found.soon("summary", format!("In the last 15 minutes {count} {what}."));
        }
    }
    found.in_order()
}

/// What is wrong with a backend, if anything is.
fn backend_problem(backend: &BackendReport) -> Option<(bool, &'static str, String)> {
    let (name, all) = (&backend.name, backend.servers.len());
    let unwell: Vec<_> = backend.servers.iter().filter(|server| !server.up || server.why.is_some()).collect();
    let first = unwell.first().map(|server| {
        let why = server.why.as_deref().unwrap_or("no reason is known");
        format!("server {} {}: {why}", server.name, if server.up { "fails" } else { "is out" })
    });
    let what = match (&backend.circuit_open, &backend.token, first) {
        (Some(_), _, Some(first)) => format!("Backend {name} gets no requests, its circuit is open: {first}."),
        (Some(_), _, None) => format!("Backend {name} gets no requests, its circuit is open."),
        (None, Some(token), _) => format!("Backend {name}: {token}."),
        (None, None, Some(first)) if all == 1 => format!("Backend {name}: {first}."),
        (None, None, Some(first)) => {
            format!("{} of {all} servers of backend {name} fail or are out: {first}.", unwell.len())
        }
        (None, None, None) => return None,
    };
    Some((true, "backends", what))
}

/// What is wrong with an issuer without keys.
fn issuer_problem(issuer: &IssuerReport) -> String {
    let tried = match (issuer.failed_at, &issuer.error) {
        (Some(time), Some(error)) => format!("The last try, at {}, failed: {error}.", shown::time(time)),
        _ => "No try has ended yet.".to_owned(),
    };
    format!("No keys of {}: its tokens get 503. {tried}", issuer.issuer)
}

#[derive(Default)]
struct Found(Vec<StatusProblem>);

impl Found {
    fn serious(&mut self, section: &str, what: String) {
        self.0.push(StatusProblem { serious: true, what, section: section.to_owned() });
    }

    fn soon(&mut self, section: &str, what: String) {
        self.0.push(StatusProblem { serious: false, what, section: section.to_owned() });
    }

    /// Adds problems of one kind: of very many only the first, with the number of the others.
    fn each(&mut self, mut all: Vec<(bool, &str, String)>) {
        all.sort_by_key(|(serious, ..)| !serious);
        let more = all.len().saturating_sub(MOST_NAMED);
        let unnamed = all.get(MOST_NAMED).map(|(serious, section, _)| (*serious, (*section).to_owned()));
        for (serious, section, what) in all.into_iter().take(MOST_NAMED) {
            self.0.push(StatusProblem { serious, what, section: section.to_owned() });
        }
        if let Some((serious, section)) = unnamed {
            self.0.push(StatusProblem { serious, what: format!("{more} more like these."), section });
        }
    }

    /// The worst first.
    fn in_order(mut self) -> Vec<StatusProblem> {
        self.0.sort_by_key(|problem| !problem.serious);
        self.0
    }
}
