//! What an operator can do from the status page: reload, end a session, revoke, clear a lockout.
//!
//! Only with the operator's token in `Authorization`, which no browser sends by itself: another site can make a browser ask,
//! but not as an operator. Whoever guesses waits after each try; the right token is never made to wait.

use std::net::IpAddr;
use std::time::Duration;

use http::{HeaderMap, Method, Request, StatusCode, header};
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::responses::{AdminResponse, text};
use crate::audit::AuditEvent;
use crate::gateway::Shared;
use crate::log_throttle::LogThrottle;
use crate::secret::Secret;
use crate::server::admin::admin_socket::api_error::Fault;
use crate::server::admin::admin_socket::audited::about;
use crate::server::admin::admin_socket::revocations::{Revocation, revoke};
use crate::server::admin::admin_socket::{Wish, ask_process, attempts, logins, read};

/// What a wrong token waits for its answer.
const PAUSE: Duration = Duration::from_secs(1);

/// What can be done.
const ACTIONS: [&str; 4] = ["reload", "end_session", "revoke", "clear_attempts"];

/// Kinds of revocations from the page. Tokens go to `wicketgate revoke token -`: they belong in no form.
const REVOCABLE: [&str; 4] = ["customer", "client", "login", "api_key"];

/// Throttle of log lines about wrong tokens.
static WRONG: std::sync::LazyLock<LogThrottle> = std::sync::LazyLock::new(LogThrottle::default);

/// A session, by its handle.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NamedSession {
    id: String,
}

/// Does what an operator asks.
pub(super) async fn operate(
    request: Request<Incoming>,
    action: &str,
    shared: &Shared,
    wishes: &mpsc::Sender<Wish>,
    from: IpAddr,
) -> AdminResponse {
    if let Err(Fault(status, message)) = may_operate(&request, shared, from).await {
        return answer(status, &json!({ "error": message }));
    }
    if !ACTIONS.contains(&action) {
        return answer(StatusCode::NOT_FOUND, &json!({ "error": ACTIONS.join(", ") }));
    }
    let outcome = act(request, action, shared, wishes).await;
    note_action(shared, action, from, &outcome);
    match outcome {
        Ok(done) => answer(StatusCode::OK, &done),
        Err(Fault(status, message)) => answer(status, &json!({ "error": message })),
    }
}

/// Logs what an operator did by the page, or could not do, from where, and what it was about. The message of a fault may repeat
/// what was typed.
fn note_action(shared: &Shared, action: &str, from: IpAddr, done: &Result<Value, Fault>) {
    let fault = done.as_ref().err();
    let outcome = fault.map_or("done", |_| "failed");
    let status = fault.map(|Fault(status, _)| status.as_u16());
    let event = AuditEvent::new("operator_action", fault.map_or("ok", |_| "failed"));
    let event = event.by_token().with("action", action).with_some("status", status);
    let event = event.with("client_address", from.to_canonical().to_string());
    shared.audit.note(match done {
        Ok(answer) => about(event, answer),
        Err(_) => event,
    });
    tracing::info!(action, outcome, status, "an operator acted by the status page");
}

/// True to the token, from no other site, and in a form that only the page sends.
async fn may_operate(request: &Request<Incoming>, shared: &Shared, from: IpAddr) -> Result<(), Fault> {
    let fault = |status, message: &str| Err(Fault(status, message.to_owned()));
    let policy = shared.policy();
    let Some(token) = &policy.operator_token else {
        return fault(StatusCode::NOT_FOUND, "no operator's token is configured (`admin.token`)");
    };
    if *request.method() != Method::POST {
        return fault(StatusCode::METHOD_NOT_ALLOWED, "only POST");
    }
    let headers = request.headers();
    let site = headers.get_all("sec-fetch-site").iter();
    if site.into_iter().any(|site| !matches!(site.as_bytes(), b"same-origin" | b"none")) {
        return fault(StatusCode::FORBIDDEN, "another site asks");
    }
    if !shows(headers, token) {
        if let Some(left_out) = WRONG.allow() {
            tracing::warn!(left_out, "somebody showed a wrong operator's token");
        }
        let refused = AuditEvent::new("operator_action", "wrong_token").counted_as("operator_token_failures");
        shared.audit.note(refused.with("client_address", from.to_canonical().to_string()));
        tokio::time::sleep(PAUSE).await;
        return fault(StatusCode::UNAUTHORIZED, "this is not the operator's token");
    }
    if headers.get(header::CONTENT_TYPE).is_none_or(|kind| kind.as_bytes() != b"application/json") {
        return fault(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body is application/json");
    }
    Ok(())
}

/// True if the request shows this token, once. Compared in constant time.
fn shows(headers: &HeaderMap, token: &Secret) -> bool {
    let mut shown = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(field), None) = (shown.next(), shown.next()) else { return false };
    let field = field.as_bytes();
    let Some((scheme, shown)) = field.split_at_checked(7) else { return false };
    scheme.eq_ignore_ascii_case(b"bearer ")
        && aws_lc_rs::constant_time::verify_slices_are_equal(token.expose(), shown).is_ok()
}

async fn act(
    request: Request<Incoming>,
    action: &str,
    shared: &Shared,
    wishes: &mpsc::Sender<Wish>,
) -> Result<Value, Fault> {
    let body = request.into_body();
    match action {
        "reload" => {
            ask_process(wishes, Wish::Reload).await?;
            Ok(json!({ "reloaded": true }))
        }
        "end_session" => {
            let NamedSession { id } = read(body).await?;
            let ended = logins::end(shared, &id).await?;
            Ok(json!({ "ended": ended["id"], "customer": ended["customer"] }))
        }
        "revoke" => {
            let asked: Revocation = read(body).await?;
            if !REVOCABLE.contains(&asked.kind.as_str()) || asked.issuer.is_some() {
                let message = "kinds are customer, client, login and api_key; tokens go to `wicketgate revoke token -`";
                return Err(Fault(StatusCode::BAD_REQUEST, message.to_owned()));
            }
            revoke(shared, asked).await
        }
        _ => attempts::clear(shared, read(body).await?).await,
    }
}

fn answer(status: StatusCode, body: &Value) -> AdminResponse {
    let mut response = text(status, "application/json", body.to_string());
    let headers = response.headers_mut();
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
    }
    if status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(header::ALLOW, header::HeaderValue::from_static("POST"));
    }
    response
}
