//! Spoofed identity: a caller that names another customer in the header of the identifier, in each spelling that some server
//! takes for it, must not become that customer.

use http::HeaderName;
use serde_json::Value;

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
    let own_identifier = calls.first.claims["sub"].as_str().unwrap_or_default();
    let (mut faults, mut refused, mut ignored) = (Vec::new(), 0, 0);
    for name in spellings(calls.trial.identifier_header.as_str()) {
        let Ok(header) = HeaderName::try_from(&name) else { continue };
        let Ok(reply) = calls.send(&calls.good(&calls.first).header(header, identifier)).await else { continue };
        let is_spelling = same_name(&name, calls.trial.identifier_header.as_str());
        let is_taken = takes_the_place(&own, &reply, own_identifier, identifier);
        if is_others(&reply, &own, &other) || is_taken || is_spelling && is_named(&reply, identifier, &own) {
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

/// True if a reply is the other customer's.
fn is_others(reply: &Reply, own: &Reply, other: &Reply) -> bool {
    reply.is_success() && own.body != other.body && reply.body == other.body
}

/// True if a reply names the other customer, and the own one does not.
fn is_named(reply: &Reply, identifier: &str, own: &Reply) -> bool {
    let names = |reply: &Reply| String::from_utf8_lossy(&reply.body).contains(identifier);
    reply.is_success() && names(reply) && !names(own)
}

/// True if a reply names the other customer where the own one names the caller. A backend that echoes a header which nobody
/// reads proves nothing.
fn takes_the_place(own: &Reply, reply: &Reply, caller: &str, identifier: &str) -> bool {
    fn replaced(own: &Value, now: &Value, caller: &str, identifier: &str) -> bool {
        match (own, now) {
            (Value::String(own), Value::String(now)) => own.contains(caller) && now.contains(identifier),
            (Value::Array(own), Value::Array(now)) => {
                own.iter().zip(now).any(|(own, now)| replaced(own, now, caller, identifier))
            }
            (Value::Object(own), Value::Object(now)) => {
                own.iter().any(|(key, own)| now.get(key).is_some_and(|now| replaced(own, now, caller, identifier)))
            }
            _ => false,
        }
    }
    if caller.is_empty() || caller == identifier || !reply.is_success() {
        return false;
    }
    let text = String::from_utf8_lossy(&own.body);
    let is_whole = text.contains(caller) && text.replace(caller, identifier).as_bytes() == &reply.body[..];
    is_whole || replaced(&own.json(), &reply.json(), caller, identifier)
}

/// True for another spelling of a name, which CGI and the like take for the same.
fn same_name(one: &str, other: &str) -> bool {
    one.replace(['_', '.'], "-") == other.replace(['_', '.'], "-")
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
