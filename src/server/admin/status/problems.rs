//! What is wrong, at the top of the page: the worst first, each with the section that says more.

use super::report::{BackendReport, StatusProblem, StatusReport};
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
    found.each(
        without.map(|issuer| (true, "issuers", format!("No keys of {}: its tokens get 503.", issuer.issuer))).collect(),
    );
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
        let word = report.refusals.first().map(|word| format!(", most with `{}`", word.word)).unwrap_or_default();
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
    let name = &backend.name;
    let out: Vec<_> = backend.servers.iter().filter(|server| !server.up).collect();
    let why = backend.servers.iter().find_map(|server| server.why.as_deref()).unwrap_or("no reason is known");
    if backend.circuit_open.is_some() {
        return Some((true, "backends", format!("Backend {name} gets no requests, its circuit is open: {why}.")));
    }
    if let Some(token) = &backend.token {
        return Some((true, "backends", format!("Backend {name}: {token}.")));
    }
    if !out.is_empty() && out.len() == backend.servers.len() {
        return Some((true, "backends", format!("All servers of backend {name} are out: {why}.")));
    }
    let first = out.first()?;
    let why = first.why.as_deref().unwrap_or("no reason is known");
    Some((
        false,
        "backends",
        format!("{} of {} servers of backend {name} out: {}: {why}.", out.len(), backend.servers.len(), first.name),
    ))
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
        let section = all.first().map(|(_, section, _)| (*section).to_owned()).unwrap_or_default();
        for (serious, section, what) in all.into_iter().take(MOST_NAMED) {
            self.0.push(StatusProblem { serious, what, section: section.to_owned() });
        }
        if more > 0 {
            self.soon(&section, format!("{more} more like these."));
        }
    }

    /// The worst first.
    fn in_order(mut self) -> Vec<StatusProblem> {
        self.0.sort_by_key(|problem| !problem.serious);
        self.0
    }
}
