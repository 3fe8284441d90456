//! Operators' API on a Unix socket, for logins, revocations and reloads; only the user of this process can open it. No
//! response contains a secret: sessions go by their handle, API keys by their id.

pub(super) mod api_error;
pub(super) mod attempts;
pub(in crate::server::admin) mod audited;
mod clock;
mod customer_rules;
mod handover;
pub mod logins;
mod observed;
mod refusals;
pub mod revocations;
pub mod socket_file;

use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot, watch};

use crate::gateway::Shared;
use crate::policy_change::PolicyChange;
use crate::server::Phase;
use crate::server::admin::key_versions::key_versions;
use crate::server::admin::status::StatusBoard;
use crate::server::upgrade::Successor;
use crate::server::upgrade::lock_owner::Owner;
use api_error::Fault;
use audited::AuditedRequest;
use clock::now;
use handover::{asks_for_handover, hand_over, successor};

/// Most bytes of a request body.
const MAX_BODY: usize = 64 * 1024;

/// The same of one with a whole request in it, which is to be explained.
const MAX_REQUEST: usize = 16 * 1024 * 1024;

/// Request to the process as a whole.
pub enum Wish {
    /// Reload the configuration; the reason for a failure goes back.
    Reload(oneshot::Sender<Result<(), String>>),
    /// Compare the configuration with the running one; the keys that need a restart go back.
    Compare(oneshot::Sender<Result<Vec<&'static str>, String>>),
    /// Tell what the configuration of another file would change, and which calls of the last hour it would refuse.
    Preview(PreviewQuestion, oneshot::Sender<Result<Vec<PolicyChange>, String>>),
    /// Hand over to another process, which may take over.
    Handover(Successor),
}

/// A configuration that is not in force.
#[derive(Debug, Deserialize)]
pub struct PreviewQuestion {
    /// Its file: an absolute path.
    pub file: PathBuf,
    /// Hold the calls of the last hour against it too.
    #[serde(default)]
    pub replay: bool,
}

/// Serves until another process takes over. `owner` is this process; `wishes` are requests to the process as a whole.
pub async fn serve(
    socket: tokio::net::UnixListener,
    owner: Owner,
    shared: Arc<Shared>,
    board: Arc<StatusBoard>,
    wishes: mpsc::Sender<Wish>,
    mut phase: watch::Receiver<Phase>,
) {
    let owner = Arc::new(owner);
    loop {
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            _ = phase.wait_for(|phase| *phase == Phase::Leaving) => return,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept an operator's connection");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                continue;
            }
        };
        let (owner, sources) = (Arc::clone(&owner), (Arc::clone(&shared), Arc::clone(&board), wishes.clone()));
        tokio::spawn(async move {
            let peer = stream.peer_cred();
            let service = service_fn(|request| {
                let (owner, (shared, board, wishes)) = (Arc::clone(&owner), sources.clone());
                let noted = AuditedRequest::of(&request, &peer);
                let may_take_over = asks_for_handover(&request).then(|| successor(&owner, &request, &peer));
                async move {
                    let note = |outcome: &Result<Value, Fault>| {
                        noted.into_iter().for_each(|noted| shared.audit.note(noted.event(outcome)));
                    };
                    Ok::<_, Infallible>(match may_take_over {
                        Some(Ok(())) => {
                            note(&Ok(Value::Null));
                            hand_over(request, wishes)
                        }
                        Some(Err(fault)) => {
                            let outcome = Err(fault);
                            note(&outcome);
                            response(outcome)
                        }
                        None => {
                            let outcome = answer(request, &owner, &shared, &board, &wishes).await;
                            note(&outcome);
                            response(outcome)
                        }
                    })
                }
            });
            let mut builder = http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(std::time::Duration::from_secs(10));
            let _ = builder.serve_connection(TokioIo::new(stream), service).with_upgrades().await;
        });
    }
}

fn response(outcome: Result<Value, Fault>) -> Response<Full<Bytes>> {
    let (status, body) = match outcome {
        Ok(body) => (StatusCode::OK, body),
        Err(Fault(status, message)) => (status, json!({ "error": message })),
    };
    let mut response = Response::new(Full::new(body.to_string().into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

async fn answer(
    request: Request<Incoming>,
    owner: &Owner,
    shared: &Arc<Shared>,
    board: &Arc<StatusBoard>,
    wishes: &mpsc::Sender<Wish>,
) -> Result<Value, Fault> {
    let (parts, body) = request.into_parts();
    let query = parts.uri.query();
    let path: Vec<&str> = parts.uri.path().split('/').skip(1).collect();
    match (&parts.method, &path[..]) {
        (&Method::GET, ["sessions"]) => {
            logins::list(shared, query.and_then(|query| query.strip_prefix("customer="))).await
        }
        (&Method::GET, ["sessions", id]) => logins::show(shared, id).await,
        (&Method::DELETE, ["sessions", id]) => logins::end(shared, id).await,
        (&Method::GET, ["revocations"]) => Ok(revocations::list(shared)),
        (&Method::POST, ["revocations"]) => revocations::revoke(shared, read(body).await?).await,
        (&Method::GET, ["process"]) => Ok(json!(owner)),
        (&Method::GET, ["state", "records"]) => {
            let page = shared.state.records(query.and_then(|query| query.strip_prefix("at="))).await;
            let (records, next) = page.map_err(|fault| Fault(StatusCode::CONFLICT, fault.to_owned()))?;
            Ok(json!({ "records": records, "next": next }))
        }
        (&Method::GET, ["attempts"]) => attempts::list(shared, read(body).await?).await,
        (&Method::DELETE, ["attempts"]) => attempts::clear(shared, read(body).await?).await,
        (&Method::GET, ["status"]) => {
            let stopping = || Fault(StatusCode::SERVICE_UNAVAILABLE, "the gateway is stopping".to_owned());
            Ok(json!(*board.report().await.ok_or_else(stopping)?))
        }
        (&Method::GET, ["keys"]) => Ok(json!(key_versions(&shared.policy(), shared.state.revocations(), now()))),
        (&Method::GET, ["refusals"]) => refusals::latest(shared, query),
        (&Method::GET, ["refusals", id]) => refusals::find(shared, id, query),
        (&Method::POST, ["explain"]) => refusals::explain(shared, read_long(body).await?).await,
        (&Method::GET, ["readiness"]) => Ok(observed::readiness(shared)),
        (&Method::POST, ["reload"]) => {
            ask_process(wishes, Wish::Reload).await?;
            Ok(json!({ "reloaded": true }))
        }
        (&Method::GET, ["reloads"]) => Ok(json!(shared.reloads.latest())),
        (&Method::POST, ["plan"]) => {
            let question: PreviewQuestion = read(body).await?;
            let changes = ask_process(wishes, |asked| Wish::Preview(question, asked)).await?;
            let danger = changes.iter().any(|change| change.danger);
            Ok(json!({ "danger": danger, "changes": changes, "not_in_force": shared.metrics.reloads().fault }))
        }
        (&Method::GET, ["reload"]) => Ok(json!({ "needs_restart": ask_process(wishes, Wish::Compare).await? })),
        _ => {
            let known = "/sessions /sessions/ID /revocations /attempts /state/records /keys /refusals /refusals/ID /explain \
                         /readiness /status /process /reload /reloads /plan /handover";
            Err(Fault(StatusCode::NOT_FOUND, known.to_owned()))
        }
    }
}

/// Sends a request to the process as a whole, and waits for the outcome.
pub(super) async fn ask_process<T>(
    wishes: &mpsc::Sender<Wish>,
    wish: impl FnOnce(oneshot::Sender<Result<T, String>>) -> Wish,
) -> Result<T, Fault> {
    let (told, outcome) = oneshot::channel();
    let stopping = || Fault(StatusCode::SERVICE_UNAVAILABLE, "the gateway is stopping".to_owned());
    wishes.send(wish(told)).await.map_err(|_| stopping())?;
    let outcome = outcome.await.map_err(|_| stopping())?;
    outcome.map_err(|fault| Fault(StatusCode::CONFLICT, fault))
}

/// Parses a JSON body; an empty one is `null`.
pub(super) async fn read<T: DeserializeOwned>(body: Incoming) -> Result<T, Fault> {
    read_within(body, MAX_BODY).await
}

/// The same with a whole request in it.
async fn read_long<T: DeserializeOwned>(body: Incoming) -> Result<T, Fault> {
    read_within(body, MAX_REQUEST).await
}

async fn read_within<T: DeserializeOwned>(body: Incoming, most: usize) -> Result<T, Fault> {
    let bytes = Limited::new(body, most).collect().await;
    let bytes = bytes.map_err(|_| Fault(StatusCode::BAD_REQUEST, "the request broke off".to_owned()))?.to_bytes();
    let text: &[u8] = if bytes.is_empty() { b"null" } else { &bytes };
    serde_json::from_slice(text).map_err(|error| Fault(StatusCode::BAD_REQUEST, format!("not understood: {error}")))
}
