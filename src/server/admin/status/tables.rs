//! The tables of the page.

use super::html::{Html, TableRow, cell};
use super::report::{RefusalRow, StatusReport};
use super::shown;

/// Routes on the page that is kept current: those with refusals, failures or traffic first.
const MOST_ROUTES: usize = 100;

/// Most routes on the page of all routes; really all are in /status.json.
const MOST_OF_ALL: usize = 2_000;

/// Refusals by word, and by caller.
pub(super) fn refusals(report: &StatusReport) -> Html {
    let mut html = Html::default();
    if report.refusals.is_empty() {
        html.raw("<p>None since the start of this process.</p>");
        return html;
    }
    let rows = report.refusals.iter().map(|word| {
        let mut what = Html::default();
        what.raw("<code>").text(&word.word).raw("</code>");
        let mut means = Html::default();
        means.prose(&word.cause).raw("<br><strong>To do:</strong> ").prose(&word.fix);
        let routes: Vec<String> =
            word.routes.iter().map(|(name, count)| format!("{name} {}", shown::count(*count))).collect();
        let class = if word.last_minute > 0 { "now" } else { "" };
        let counts = [word.last_minute, word.total, word.observed].map(|count| cell(shown::count(count)));
        let [last_minute, total, observed] = counts;
        TableRow(class, vec![what, last_minute, total, observed, cell(routes.join(", ")), means])
    });
    html.raw("<p>Counted since the start of this process, all of them.</p>");
    html.table(
        "Refusals by word",
        &[
            ("", "word"),
            ("number", "last minute"),
            ("number", "total"),
            ("number", "observed only"),
            ("", "routes"),
            ("", "meaning"),
        ],
        &rows.collect::<Vec<_>>(),
    );
    html.raw("<h3>Who was refused</h3>\n<p>Counted among the last ").shown(report.callers_of);
    html.raw(
        " refusals, which are all that are remembered. The caller is the client or API key where its credential was \
              authentic, otherwise the address.</p>",
    );
    let rows = report.callers.iter().map(|row| {
        let time = shown::time(row.last_ms / 1_000);
        TableRow("", vec![cell(&row.caller), code(&row.word), cell(&row.route), cell(row.count), cell(time)])
    });
    html.table(
        "Recent refusals by caller",
        &[("", "caller"), ("", "word"), ("", "route"), ("number", "count"), ("", "last")],
        &rows.collect::<Vec<_>>(),
    );
    html
}

/// The most recent refusals, each with a link to its explanation.
pub(super) fn recent(report: &StatusReport) -> Html {
    let mut html = Html::default();
    if report.recent.is_empty() {
        html.raw("<p>None since the start of this process.</p>");
        return html;
    }
    let rows = report.recent.iter().map(|row| {
        let status = if row.observed { "let through".to_owned() } else { row.status.to_string() };
        let time = cell(shown::time_of_day(row.time_ms / 1_000, report.time));
        let cells = [cell(status), cell(&row.route), cell(&row.caller), time, cell(&row.method), code(&row.request_id)];
        TableRow("", std::iter::once(link(row)).chain(cells).collect())
    });
    let headings = [
        ("", "word"),
        ("", "status"),
        ("", "route"),
        ("", "caller"),
        ("short", "time"),
        ("wide", "method"),
        ("id", "request id"),
    ];
    html.table("Recent refusals", &headings, &rows.collect::<Vec<_>>());
    html
}

/// The link to an explanation. Ids are of callers, and may come twice: the time tells which.
fn link(row: &RefusalRow) -> Html {
    let mut html = Html::default();
    html.raw("<a class=\"explain\" href=\"/refusals/").text(&row.request_id).raw("?at=").shown(row.time_ms);
    html.raw("\" data-key=\"")
        .text(&row.request_id)
        .raw("@")
        .shown(row.time_ms)
        .raw("\"><span class=\"hidden\">Explain </span><code>");
    html.text(&row.word).raw("</code><span class=\"hidden\"> of ").text(&row.request_id).raw("</span></a>");
    html
}

/// Routes and own endpoints, those first that somebody looks for.
pub(super) fn routes(report: &StatusReport) -> Html {
    let mut html = route_table(report, MOST_ROUTES);
    if report.routes.len() > MOST_ROUTES {
        html.raw("<p>These are ").shown(MOST_ROUTES).raw(" of ").text(&shown::count(report.routes.len() as u64));
        html.raw(": <a href=\"/?routes=all#routes\" data-key=\"all-routes\">all routes</a>.</p>");
    }
    html
}

/// All routes and own endpoints, as they are at this moment.
pub(super) fn all_routes(report: &StatusReport) -> Html {
    let mut html = Html::default();
    html.raw("<p>All routes, as they were when this page was loaded. <a href=\"/#routes\">The first ones, kept current</a>.</p>");
    html.html(&route_table(report, MOST_OF_ALL));
    if report.routes.len() > MOST_OF_ALL {
        html.raw("<p>").shown(report.routes.len() - MOST_OF_ALL);
        html.raw(" more are in <a href=\"/status.json\">/status.json</a>.</p>");
    }
    html
}

fn route_table(report: &StatusReport, most: usize) -> Html {
    let mut html = Html::default();
    let rows = report.routes.iter().take(most).map(|route| {
        let words: Vec<String> =
            route.words.iter().map(|(word, count)| format!("{word} {}", shown::count(*count))).collect();
        let class = if route.failed > 0 {
            "bad"
        } else if route.refused > 0 {
            "now"
        } else {
            ""
        };
        TableRow(
            class,
            vec![
                cell(&route.name),
                cell(shown::rate(route.rate)),
                cell(shown::count(route.refused)),
                cell(shown::count(route.failed)),
                cell(shown::maybe_duration(route.p50)),
                cell(shown::maybe_duration(route.p99)),
                cell(words.join(", ")),
                cell(if route.requires.is_empty() { "–" } else { &route.requires }),
                cell(if route.backend.is_empty() { "–" } else { &route.backend }),
                cell(&route.mode),
                cell(shown::count(route.total)),
            ],
        )
    });
    html.raw(
        "<p>Rates, durations, refusals and status 5xx are of the last minute; words and total since the start. \
              Those with refusals or 5xx come first.</p>",
    );
    html.table(
        "Routes",
        &[
            ("", "route"),
            ("number", "requests/s"),
            ("number", "refused"),
            ("number", "5xx"),
            ("number", "p50"),
            ("number", "p99"),
            ("", "words"),
            ("wide", "requires"),
            ("wide", "backend"),
            ("wide", "mode"),
            ("number", "total"),
        ],
        &rows.collect::<Vec<_>>(),
    );
    html
}

/// Keys and certificates.
pub(super) fn keys(report: &StatusReport) -> Html {
    let mut html = Html::default();
    html.raw("<h3>Certificates</h3>\n");
    let now = i64::try_from(report.time).unwrap_or(i64::MAX);
    let rows = report.certificates.iter().map(|certificate| {
        let left = certificate.ends.saturating_sub(now);
        let (class, left) = match u64::try_from(left) {
            Ok(left) if left > 14 * 86_400 => ("", format!("in {}", shown::span(left))),
            Ok(left) if left > 0 => ("now", format!("in {}", shown::span(left))),
            _ => ("bad", "expired".to_owned()),
        };
        let since = certificate.begins.and_then(|begins| u64::try_from(now.saturating_sub(begins)).ok());
        let age = since.map_or_else(|| "–".to_owned(), shown::span);
        let ends = shown::time(u64::try_from(certificate.ends).unwrap_or_default());
        TableRow(class, vec![cell(&certificate.file), mark(class, &left), cell(age), cell(ends)])
    });
    let rows: Vec<TableRow> = rows.collect();
    if rows.is_empty() {
        html.raw("<p>No listener has TLS.</p>");
    } else {
        html.table("Certificates", &[("", "file"), ("", "expires"), ("", "age"), ("wide", "end")], &rows);
    }
    html.raw("<h3>Keys and secrets</h3>\n");
    if report.keys.is_empty() {
        html.raw("<p>None.</p>");
        return html;
    }
    let rows = report.keys.iter().map(|key| {
        let age = key.from.map(|from| shown::span(report.time.saturating_sub(from))).unwrap_or_else(|| "–".to_owned());
        let class = if key.remove == "yes" { "now" } else { "" };
        let remove = if key.remove == "yes" { "yes, safe to remove" } else { &key.remove };
        let mut what = cell(&key.kind);
        what.raw(" ").text(&key.id);
        TableRow(
            class,
            vec![
                what,
                cell(&key.version),
                mark(class, &key.standing),
                cell(age),
                cell(shown::maybe_time(key.last_used)),
                cell(shown::maybe_time(key.until)),
                cell(remove),
            ],
        )
    });
    html.raw("<p>Last use is what this process knows: with several replicas, look at each.</p>");
    html.table(
        "Keys and secrets",
        &[
            ("", "key"),
            ("", "version"),
            ("", "standing"),
            ("", "age"),
            ("", "last use"),
            ("wide", "until"),
            ("", "remove?"),
        ],
        &rows.collect::<Vec<_>>(),
    );
    if report.keys_total > report.keys.len() {
        html.raw("<p>")
            .shown(report.keys_total - report.keys.len())
            .raw(" more are listed by <code>wicketgate keys</code>.</p>");
    }
    html
}

/// Reloads with what they changed.
pub(super) fn reloads(report: &StatusReport) -> Html {
    let mut html = Html::default();
    if report.reloads.is_empty() {
        html.raw("<p>None since the start of this process.</p>");
        return html;
    }
    html.raw("<ol class=\"reloads\">");
    for reload in &report.reloads {
        html.raw("<li><strong>").text(&reload.outcome).raw("</strong> at ").text(&shown::time(reload.time));
        if let Some(fault) = &reload.fault {
            html.raw("<pre tabindex=\"0\">").text(fault).raw("</pre>");
        }
        let rows = reload.changes.iter().map(|change| {
            let (class, danger) = if change.danger { ("bad", "DANGER") } else { ("", "") };
            let value = |value: &Option<String>| cell(value.as_deref().unwrap_or_default());
            TableRow(class, vec![cell(danger), cell(&change.what), value(&change.before), value(&change.after)])
        });
        let rows: Vec<TableRow> = rows.collect();
        if !rows.is_empty() {
            html.table("Changes", &[("", "danger"), ("", "change"), ("", "before"), ("", "after")], &rows);
        }
        if reload.more > 0 {
            html.raw("<p>").text(&format!("and {} more", reload.more)).raw("</p>");
        }
        html.raw("</li>");
    }
    html.raw("</ol>");
    html
}

pub(super) fn code(text: &str) -> Html {
    let mut html = Html::default();
    html.raw("<code>").text(text).raw("</code>");
    html
}

/// A word with its colour.
pub(super) fn mark(class: &'static str, text: &str) -> Html {
    let mut html = Html::default();
    html.raw("<span class=\"mark ").raw(class).raw("\">").text(text).raw("</span>");
    html
}
