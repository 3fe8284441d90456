//! The status page: its files, its report, its events, and explanations of recent refusals.

use std::sync::Arc;
use std::time::Instant;

use http::{Method, Request, StatusCode, header};
use percent_encoding::percent_decode_str;

use super::responses::{AdminResponse, events, text};
use crate::server::admin::status::{
    ICON, SCRIPT, STYLE, StatusBoard, explained_json, explained_page, page, unknown_page,
};

const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json";

/// The response to a request for the page or what belongs to it; `None` where there is no such thing. `end` is the end of
/// the connection.
pub(super) async fn status_page<B>(
    request: &Request<B>,
    board: &Arc<StatusBoard>,
    end: Instant,
) -> Option<AdminResponse> {
    let path = request.uri().path();
    let of_file = |kind, content: &'static str| text(StatusCode::OK, kind, content);
    Some(match path {
        "/status.css" => of_file("text/css; charset=utf-8", STYLE),
        "/status.js" => of_file("text/javascript; charset=utf-8", SCRIPT),
        "/status.svg" => of_file("image/svg+xml", ICON),
        "/" => match board.report().await {
            Some(report) => {
                let has_all_routes = request.uri().query() == Some("routes=all");
                text(StatusCode::OK, HTML, page(&report, has_all_routes))
            }
            None => ending(),
        },
        "/status.json" => match board.report().await {
            Some(report) => text(StatusCode::OK, JSON, serde_json::to_string(&*report).unwrap_or_default()),
            None => ending(),
        },
        "/status/events" if *request.method() == Method::HEAD => text(StatusCode::OK, "text/event-stream", ""),
        "/status/events" => match board.watch(end) {
            Some(stream) => events(stream),
            None => text(StatusCode::SERVICE_UNAVAILABLE, "text/plain", "too many pages are open\n"),
        },
        _ => refusal(request, board, path.strip_prefix("/refusals/")?),
    })
}

/// The explanation of a recent refusal: as a page for who asks for one, otherwise as JSON.
fn refusal<B>(request: &Request<B>, board: &StatusBoard, id: &str) -> AdminResponse {
    let id = percent_decode_str(id).decode_utf8_lossy();
    let time = request.uri().query().and_then(|query| query.strip_prefix("at=")?.parse().ok());
    let accepts = request.headers().get_all(header::ACCEPT);
    let wants_page = accepts.iter().any(|value| value.as_bytes().windows(9).any(|part| part == b"text/html"));
    let Some(refusal) = board.refusal(&id, time) else {
        if wants_page {
            return text(StatusCode::NOT_FOUND, HTML, unknown_page(&id));
        }
        let message =
            "{\"error\":\"no recent refusal has this request id: only the last 1,024 of this process are kept\"}\n";
        return text(StatusCode::NOT_FOUND, JSON, message);
    };
    if wants_page {
        text(StatusCode::OK, HTML, explained_page(&refusal))
    } else {
        text(StatusCode::OK, JSON, explained_json(&refusal).to_string())
    }
}

fn ending() -> AdminResponse {
    text(StatusCode::SERVICE_UNAVAILABLE, "text/plain", "the gateway is stopping\n")
}
