//! The access token of a client: docs/asapp.md, "Access token of a client".

use http::header;
use serde_json::Value;

use super::Trial;
use super::deployed_gateway::Outgoing;
use super::login::{OF_ANOTHER, claims_of, nobody};
use super::report::DoctorReport;

/// ASAPP's line: the grant type in the query, the credentials in the body.
fn call(trial: &Trial, id: &str, secret: &str) -> Outgoing {
    let path = format!("{}?grant_type=client_credentials", trial.token_path);
    Outgoing::form(path, &[("client_id", id), ("client_secret", secret)])
}

/// Gets one; the token.
pub(super) async fn check(trial: &Trial, report: &mut DoctorReport) -> Option<String> {
    let Some(client) = &trial.client else {
        report.skip("access_token", "no --client-id was given");
        return None;
    };
    let fix =
        "See that the client and its secret are those of `clients` in gateway.yaml, and that `access_token` is there";
    let reply = match trial.gateway.send(&call(trial, &client.name, &client.secret())).await {
        Ok(reply) => reply,
        Err(error) => {
            report.note("access_token", false, error.to_string(), fix);
            return None;
        }
    };
    let body = reply.json();
    let token = body["access_token"].as_str().map(str::to_owned);
    let saw = match body["error"].as_str() {
        Some(error) => format!("the answer is {} {error}", reply.status),
        None => format!("the answer is {}", reply.status),
    };
    let fix = if reply.is_of_another() { OF_ANOTHER } else { fix };
    report.note("access_token", reply.status == 200 && token.is_some(), saw, fix);
    let token = token?;
    let no_store = reply.header(header::CACHE_CONTROL).contains("no-store");
    let saw = format!("Cache-Control: {}", reply.header(header::CACHE_CONTROL));
    report.note(
        "access_token_no_store",
        no_store,
        saw,
        "A proxy in front changes Cache-Control: have it leave the header",
    );
    members(&body, &client.name, report);
    lifetime(&body, &token, report);
    Some(token)
}

/// docs/asapp.md, requirement 2: exactly six members, all strings.
fn members(body: &Value, client: &str, report: &mut DoctorReport) {
    const MEMBERS: [&str; 6] = ["token_type", "issued_at", "client_id", "access_token", "scope", "expires_in"];
    let is_lacking = |name: &&&str| !body[**name].is_string();
    let mut faults: Vec<String> =
        MEMBERS.iter().filter(is_lacking).map(|name| format!("{name} is no JSON string")).collect();
    if body["token_type"].as_str().is_some_and(|kind| kind != "Bearer") {
        faults.push(format!("token_type is {}", body["token_type"]));
    }
    if body["client_id"].as_str().is_some_and(|id| id != client) {
        faults.push("client_id is another one".to_owned());
    }
    let more = body.as_object().into_iter().flat_map(|members| members.keys());
    let more = more.filter(|name| !MEMBERS.contains(&name.as_str()) && *name != "refresh_token");
    faults.extend(more.map(|name| format!("{name:?} is not among ASAPP's members")));
    report.note_faults(
        "access_token_members",
        &faults,
        "the six members of ASAPP's page, as JSON strings",
        "Set `access_token.number_style: string`; ASAPP's page shows strings",
    );
}

fn lifetime(body: &Value, token: &str, report: &mut DoctorReport) {
    let seconds = |value: &Value| value.as_i64().or_else(|| value.as_str()?.parse().ok());
    let Some(expires_in) = seconds(&body["expires_in"]) else {
        report.note("access_token_lifetime", false, "expires_in is no number", "See `access_token.lifetime`");
        return;
    };
    let claims = claims_of(token).unwrap_or_default();
    let lives = seconds(&claims["exp"]).zip(seconds(&claims["iat"])).map(|(exp, iat)| exp - iat);
    let agrees = lives.is_none_or(|lives| (lives - expires_in).abs() <= 1);
    let good = agrees && (60..=24 * 3600).contains(&expires_in);
    let saw = match lives {
        Some(lives) if !agrees => format!("expires_in is {expires_in}, and exp - iat is {lives}"),
        _ => format!("it lives for {expires_in} s"),
    };
    report.note("access_token_lifetime", good, saw, "Set `access_token.lifetime` to at most a day");
}

/// A wrong secret and an unknown client: docs/asapp.md, requirement 13.
pub(super) async fn check_refusals(trial: &Trial, report: &mut DoctorReport) {
    let Some(client) = &trial.client else { return };
    let wrong = trial.gateway.send(&call(trial, &client.name, "not-a-secret-1")).await;
    let unknown = trial.gateway.send(&call(trial, &nobody(), "not-a-secret-1")).await;
    let (Ok(wrong), Ok(unknown)) = (wrong, unknown) else { return };
    let mut faults = Vec::new();
    for (reply, what) in [(&wrong, "a wrong secret"), (&unknown, "an unknown client")] {
        if reply.status != 401 || reply.json()["error"] != "invalid_client" {
            faults.push(format!("{what} is {}", reply.shown()));
        }
    }
    let is_locked = wrong.status == 429 || unknown.status == 429;
    if !is_locked && (wrong.status != unknown.status || wrong.json() != unknown.json()) {
        faults.push("the answers tell which clients exist".to_owned());
    }
    report.note_faults(
        "access_token_refused",
        &faults,
        "a wrong secret and an unknown client get the same 401 invalid_client",
        "A 429 means that the client is locked: `wicketgate attempts list`; otherwise something in front answers itself",
    );
}
