//! Recent refusals, and explanations of requests.

use std::sync::Arc;

use http::StatusCode;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use tokio::runtime::Handle;

use super::api_error::Fault;
use crate::gateway::Shared;
use crate::gateway::explain::question::ExplainQuestion;

/// Most refusals of one answer.
const MOST_SHOWN: usize = 1_024;

/// The latest refusals, newest first. `query` is `latest=N`.
pub(super) fn latest(shared: &Shared, query: Option<&str>) -> Result<Value, Fault> {
    let most = match query {
        None => MOST_SHOWN,
        Some(query) => query
            .strip_prefix("latest=")
            .and_then(|number| number.parse().ok())
            .ok_or_else(|| Fault(StatusCode::BAD_REQUEST, "ask by latest=N".to_owned()))?,
    };
    Ok(json!(shared.refusals.latest(most.min(MOST_SHOWN))))
}

/// A refusal and its explanation, and the times of all with this id. `id` is percent-encoded; `query` is
/// `at=MILLISECONDS`.
pub(super) fn find(shared: &Shared, id: &str, query: Option<&str>) -> Result<Value, Fault> {
    let id = percent_decode_str(id).decode_utf8_lossy();
    let at: Option<u64> = match query {
        None => None,
        Some(query) => Some(
            query
                .strip_prefix("at=")
                .and_then(|number| number.parse().ok())
                .ok_or_else(|| Fault(StatusCode::BAD_REQUEST, "ask by at=MILLISECONDS".to_owned()))?,
        ),
    };
    let all = shared.refusals.all_of(&id);
    let times: Vec<u64> = all.iter().map(|refusal| refusal.time_ms).collect();
    let found = all.into_iter().find(|refusal| at.is_none_or(|at| refusal.time_ms == at)).ok_or_else(|| {
        let message = "no refusal with this request id is known here: each process keeps its last 1,024 (256 of them of strangers), only in memory; \
                       where several replicas run, ask each of them";
        Fault(StatusCode::NOT_FOUND, message.to_owned())
    })?;
    let explanation = found.explanation.clone();
    Ok(json!({ "refusal": found, "explanation": explanation, "times_ms": times }))
}

/// Explains a request.
pub(super) async fn explain(shared: &Arc<Shared>, question: ExplainQuestion) -> Result<Value, Fault> {
    let (shared, control) = (Arc::clone(shared), Handle::current());
    // It keeps to one thread, as on a worker, and may take a while: signatures, and the store.
    let explaining = tokio::task::spawn_blocking(move || {
        let listeners = shared.listeners.get().cloned().unwrap_or_default();
        control.block_on(question.explain(shared, &listeners))
    });
    let outcome = explaining.await.map_err(|_| Fault(StatusCode::INTERNAL_SERVER_ERROR, "it broke off".to_owned()))?;
    outcome.map(|explanation| json!(explanation)).map_err(|fault| Fault(StatusCode::BAD_REQUEST, fault))
}
