//! The explanation of one recent refusal, as JSON and as a page.

use serde_json::{Value, json};

use super::html::{Html, TableRow, cell};
use super::page::head;
use super::refused::row;
use super::shown;
use super::words::cause_and_fix;
use crate::explanation::{CheckStep, Explanation, StepVerdict};
use crate::gateway::observe::recent_refusals::RecentRefusal;

/// The refusal with its cause, what to do, and each check.
pub(in crate::server::admin) fn explained_json(refusal: &RecentRefusal) -> Value {
    let (cause, fix) = cause_and_fix(refusal.refusal);
    let mut value = json!(refusal);
    value["cause"] = json!(cause);
    value["fix"] = json!(fix);
    value["explanation"] = json!(refusal.explanation.as_deref());
    value
}

/// The same as a page, whose `article` the status page shows.
pub(in crate::server::admin) fn explained_page(refusal: &RecentRefusal) -> String {
    let (cause, fix) = cause_and_fix(refusal.refusal);
    let (mut html, row) = (head("Explanation of a refusal"), row(refusal));
    html.raw("<main><article><h1 id=\"explained-title\" tabindex=\"-1\">Refused: <code>")
        .text(&row.word)
        .raw("</code></h1>\n");
    html.raw("<p><strong>Cause:</strong> ").text(&cause).raw("</p>\n<p><strong>To do:</strong> ").text(&fix);
    if let Some(remedy) = refusal.explanation.as_ref().and_then(|explanation| explanation.remedy.as_deref()) {
        html.raw("</p>\n<p><strong>Here:</strong> ").text(remedy);
    }
    html.raw("</p>\n");
    let status = if row.observed {
        format!("{}, let through: the route only observes", row.status)
    } else {
        row.status.to_string()
    };
    let mut facts = vec![
        ("Request id", cell(&row.request_id)),
        ("Time", cell(shown::time(row.time_ms / 1_000))),
        ("Route", cell(&row.route)),
        ("Method", cell(&row.method)),
        ("Status", cell(status)),
        ("Code", cell(&row.code)),
        ("Address", cell(&refusal.client_address)),
    ];
    let known = [
        ("Client", refusal.client.as_deref()),
        ("API key", refusal.api_key.as_deref()),
        ("Customer", refusal.customer.as_deref()),
        ("Backend", refusal.backend_fault.as_deref()),
    ];
    facts.extend(known.into_iter().filter_map(|(name, value)| Some((name, cell(value?)))));
    html.facts(&facts);
    match &refusal.explanation {
        Some(explanation) => checks(&mut html, explanation),
        None => drop(html.raw("<p>The single checks of this one were not kept.</p>")),
    }
    html.raw("</article>\n<p class=\"back\"><a href=\"/\">Back to the status page</a></p></main></body></html>\n");
    html.into_string()
}

fn checks(html: &mut Html, explanation: &Explanation) {
    html.raw("<h2>Checks</h2>\n");
    let rows: Vec<TableRow> = explanation.steps.iter().map(check).collect();
    html.table(
        "Checks",
        &[("", "check"), ("", "verdict"), ("", "wanted"), ("", "saw"), ("", "place in gateway.yaml")],
        &rows,
    );
}

fn check(step: &CheckStep) -> TableRow {
    let (class, verdict) = match step.verdict {
        StepVerdict::Passed => ("", "passed"),
        StepVerdict::Refused => ("bad", "refused"),
        StepVerdict::Observed => ("now", "would refuse"),
        StepVerdict::Skipped => ("", "not made"),
    };
    let mut mark = Html::default();
    mark.raw("<span class=\"mark ").raw(class).raw("\">").raw(verdict).raw("</span>");
    let place = match (&step.key, step.line) {
        (Some(key), Some(line)) => format!("{key}, line {line}"),
        (Some(key), None) => key.clone(),
        (None, Some(line)) => format!("line {line}"),
        (None, None) => String::new(),
    };
    TableRow(class, vec![cell(&step.check), mark, cell(&step.wanted), cell(&step.saw), cell(place)])
}
