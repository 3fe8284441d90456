//! Ambiguous paths: spellings of the protected path that some server takes for it must not pass without credentials.

use super::report::DoctorReport;
use super::trial_calls::TrialCalls;

/// Tries each spelling without a credential.
pub(super) async fn check(calls: &TrialCalls<'_>, report: &mut DoctorReport) {
    let (mut faults, mut count) = (Vec::new(), 0);
    for path in spellings(&calls.trial.path) {
        let mut call = calls.bare();
        call.path.clone_from(&path);
        let Ok(reply) = calls.send(&call).await else { continue };
        count += 1;
        if reply.is_success() || reply.status >= 500 {
            faults.push(format!("{path} without a credential is {}", reply.shown()));
        }
    }
    report.note_faults(
        "ambiguous_paths",
        &faults,
        &format!("{count} spellings of the path are refused without credentials"),
        "A proxy in front rewrites paths, or a public route covers them: see `routes` in gateway.yaml",
    );
}

/// Spellings of a path.
fn spellings(path: &str) -> Vec<String> {
    let (parent, last) = path.rsplit_once('/').unwrap_or(("", path));
    let first = path.split('/').nth(1).unwrap_or_default();
    let rest = path.get(first.len() + 1..).unwrap_or_default();
    let mut all = vec![
        format!("/{path}"),
        format!("{parent}//{last}"),
        format!("{parent}/./{last}"),
        format!("{parent}/x/../{last}"),
        format!("{parent}/x/%2e%2e/{last}"),
        format!("{parent}/x/..;/{last}"),
        format!("{parent}%2f{last}"),
        format!("{parent}%5c{last}"),
        format!("{parent}/{last}/"),
        format!("{parent}/{last};x=1"),
        format!("{parent}/{last}%00"),
        format!("{parent}/{last}%20"),
        format!("{parent}/{last}.json"),
        format!("{parent}/{last}%3f"),
        format!("/{}{rest}", first.to_uppercase()),
        format!("/.well-known/..{path}"),
        format!("/.well-known/%2e%2e{path}"),
    ];
    all.retain(|spelled| spelled != path);
    all
}
