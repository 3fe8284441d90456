//! Backends and issuers: all of them, and those that are not well.

use super::html::{Html, TableRow, cell};
use super::report::{BackendReport, IssuerReport, ServerReport, StatusReport};
use super::shown;
use super::tables::{code, mark};

/// Most rows of those that are not well.
const MOST_UNWELL: usize = 30;

/// Backends and issuers that are not well.
pub(super) fn unwell(report: &StatusReport) -> Html {
    let mut html = Html::default();
    let backends = report.backends.iter().filter(|backend| !is_well(backend)).flat_map(backend_rows);
    let backends: Vec<TableRow> = backends.take(MOST_UNWELL).collect();
    let issuers = report.issuers.iter().filter(|issuer| !issuer_class(issuer).is_empty()).map(issuer_row);
    let issuers: Vec<TableRow> = issuers.take(MOST_UNWELL).collect();
    if backends.is_empty() && issuers.is_empty() {
        html.raw("<p>All backends and issuers are well.</p>");
    }
    if !backends.is_empty() {
        html.table("Backends that are not well", &BACKEND_HEADINGS, &backends);
    }
    if !issuers.is_empty() {
        html.table("Issuers that are not well", &ISSUER_HEADINGS, &issuers);
    }
    html
}

/// Backends and their servers.
pub(super) fn backends(report: &StatusReport) -> Html {
    let mut html = Html::default();
    if report.backends.is_empty() {
        html.raw("<p>None is configured.</p>");
        return html;
    }
    let rows = report.backends.iter().flat_map(backend_rows).collect::<Vec<_>>();
    html.table("Backends and servers", &BACKEND_HEADINGS, &rows);
    html
}

/// Other issuers' key sets.
pub(super) fn issuers(report: &StatusReport) -> Html {
    let mut html = Html::default();
    if report.issuers.is_empty() {
        html.raw("<p>No keys are fetched.</p>");
        return html;
    }
    let rows = report.issuers.iter().map(issuer_row).collect::<Vec<_>>();
    html.table("Key sets of issuers", &ISSUER_HEADINGS, &rows);
    html
}

const BACKEND_HEADINGS: [(&str, &str); 6] = [
    ("", "backend, server"),
    ("why", "status"),
    ("number wide", "in flight"),
    ("number wide", "limit"),
    ("number wide", "queue"),
    ("number wide", "ejections"),
];

const ISSUER_HEADINGS: [(&str, &str); 4] =
    [("", "issuer"), ("number", "keys"), ("wide", "fetched"), ("why", "last fetch")];

fn is_well(backend: &BackendReport) -> bool {
    backend.circuit_open.is_none() && backend.token.is_none() && backend.servers.iter().all(is_server_well)
}

fn is_server_well(server: &ServerReport) -> bool {
    server.up && server.why.is_none()
}

fn backend_rows(backend: &BackendReport) -> Vec<TableRow> {
    let limit = backend.limit.map_or_else(|| "none".to_owned(), |limit| shown::count(limit as u64));
    let (count, unwell) =
        (backend.servers.len(), backend.servers.iter().filter(|server| !is_server_well(server)).count());
    let (class, status, why) = match (&backend.circuit_open, &backend.token) {
        (Some(why), _) => ("bad", "circuit open".to_owned(), why.clone()),
        (None, Some(why)) => ("bad", "no token".to_owned(), why.clone()),
        (None, None) if unwell > 0 => {
            let failing = format!("{unwell} of {count} servers fail or are out");
            let failing = if count == 1 { "its only server fails or is out".to_owned() } else { failing };
            ("bad", failing, "the circuit breaker has not opened, so requests go on".to_owned())
        }
        (None, None) => ("", "well".to_owned(), "circuit closed".to_owned()),
    };
    let mut name = cell(&backend.name);
    name.raw("<br><small>").shown(count).raw(if count == 1 { " server</small>" } else { " servers</small>" });
    let first = vec![
        name,
        status_of(class, &status, &why),
        cell(backend.in_flight),
        cell(limit),
        cell(backend.waiting),
        Html::default(),
    ];
    let mut rows = vec![TableRow(class, first)];
    for server in &backend.servers {
        let (class, status) = match (server.up, &server.why) {
            (false, _) => ("bad", "out"),
            (true, Some(_)) => ("bad", "failing"),
            (true, None) => ("", "up"),
        };
        let mut name = cell(&backend.name);
        name.raw("<br>").html(&code(&server.name));
        let why = server.why.as_deref().unwrap_or_default();
        let (none, in_flight) = (Html::default, cell(server.in_flight));
        let cells = vec![name, status_of(class, status, why), in_flight, none(), none(), cell(server.ejections)];
        rows.push(TableRow(class, cells));
    }
    rows
}

/// Standing and its reason.
fn status_of(class: &'static str, status: &str, why: &str) -> Html {
    let mut html = mark(class, status);
    if !why.is_empty() {
        html.raw(": ").prose(why);
    }
    html
}

fn issuer_class(issuer: &IssuerReport) -> &'static str {
    match (issuer.keys, issuer.last_outcome.as_deref()) {
        (0, _) => "bad",
        (_, None | Some("ok")) => "",
        _ => "now",
    }
}

fn issuer_row(issuer: &IssuerReport) -> TableRow {
    let class = issuer_class(issuer);
    let mut outcome = cell(issuer.last_outcome.as_deref().unwrap_or("none yet"));
    if let (Some(time), Some(error)) = (issuer.failed_at, &issuer.error) {
        outcome.raw(", at ").text(&shown::time(time)).raw(": ").prose(error);
    }
    let (keys, fetched) = (mark(class, &issuer.keys.to_string()), cell(shown::maybe_time(issuer.fetched)));
    TableRow(class, vec![cell(&issuer.issuer), keys, fetched, outcome])
}
