//! Spoofed identity: a caller that names another customer in the header of the identifier, in each spelling that some server
//! takes for it, must not become that customer.

use http::HeaderName;

use super::deployed_gateway::Reply;
use super::report::DoctorReport;
use super::trial_calls::TrialCalls;

/// Tries each spelling.
pub(super) async fn check(calls: &TrialCalls<'_>, report: &mut DoctorReport) {
    let identifier = calls.second.as_ref().and_then(|login| login.claims["sub"].as_str());
    let (Some(second), Some(identifier)) = (&calls.second, identifier) else {
        report.skip("spoofed_identity", "there is no identifier of a second account to claim");
        return;
    };
    let replies = (calls.send(&calls.good(&calls.first)).await, calls.send(&calls.good(second)).await);
    let (Ok(own), Ok(other)) = replies else {
        report.skip("spoofed_identity", "the calls to compare with got no reply");
        return;
    };
    let (mut faults, mut refused, mut ignored) = (Vec::new(), 0, 0);
    for name in spellings(calls.trial.identifier_header.as_str()) {
        let Ok(header) = HeaderName::try_from(&name) else { continue };
        let Ok(reply) = calls.send(&calls.good(&calls.first).header(header, identifier)).await else { continue };
        if is_of(&reply, identifier, &own, &other) {
            faults.push(format!("{name} makes the caller another customer"));
        } else if reply.is_success() {
            ignored += 1;
        } else {
            refused += 1;
        }
    }
    report.note_faults(
        "spoofed_identity",
        &faults,
        &format!("{refused} spellings of {} are refused, {ignored} change nothing", calls.trial.identifier_header),
        "The backend must get this header from the gateway alone: set `identifier.header` of the route to the name that it reads",
    );
    if own.body == other.body && !String::from_utf8_lossy(&own.body).contains(identifier) {
        report.skip(
            "spoofed_identity_seen",
            "both accounts get the same body, so the answers do not show for whom the backend answered",
        );
    }
}

/// True if a reply is the other customer's, or names that one where the own reply does not.
fn is_of(reply: &Reply, identifier: &str, own: &Reply, other: &Reply) -> bool {
    let names = |reply: &Reply| String::from_utf8_lossy(&reply.body).contains(identifier);
    let is_others = own.body != other.body && reply.body == other.body;
    reply.is_success() && (is_others || (names(reply) && !names(own)))
}

/// What CGI, WSGI, PHP and others take for the same name.
fn spellings(name: &str) -> Vec<String> {
    let mut all = vec![
        name.to_owned(),
        name.replace('-', "_"),
        name.replacen('-', "_", 1),
        name.replace('-', "."),
        format!("{name}_"),
        format!("http-{name}"),
        name.trim_start_matches("x-").to_owned(),
        "x-user-id".to_owned(),
        "x-forwarded-user".to_owned(),
        "remote-user".to_owned(),
    ];
    all.dedup();
    all
}
