//! The explanation of one recent refusal, as JSON and as a page.

use serde_json::{Value, json};

use super::html::{Html, TableRow, cell};
use super::page::head;
use super::refused::row;
use super::shown;
use super::tables::code;
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
    html.raw("<p><strong>Cause:</strong> ").prose(&cause).raw("</p>\n");
    if let Some(explanation) = &refusal.explanation {
        let decisive = explanation.steps.iter().filter(|step| decided(step, row.observed));
        decisive.for_each(|step| what_refused(&mut html, step, refusal.backend_fault.as_deref()));
    }
    what_the_backend_did(&mut html, refusal);
    html.raw("<p><strong>To do:</strong> ").prose(&fix).raw("</p>\n");
    let remedy = refusal.explanation.as_ref().and_then(|explanation| explanation.remedy.as_deref());
    if let Some(remedy) = remedy.filter(|remedy| *remedy != fix) {
        html.raw("<p><strong>Here:</strong> ").prose(remedy).raw("</p>\n");
    }
    let status = if row.observed {
        format!("{}, let through: the route only observes", row.status)
    } else {
        row.status.to_string()
    };
    let mut facts = vec![
        ("Request id", code(&row.request_id)),
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
    ];
    facts.extend(known.into_iter().filter_map(|(name, value)| Some((name, cell(value?)))));
    html.facts(&facts);
    match &refusal.explanation {
        Some(explanation) => checks(&mut html, explanation),
        None => drop(html.raw("<p>The single checks of this one were not kept.</p>")),
    }
    html.raw("</article>\n").raw(BACK);
    html.into_string()
}

/// Where no refusal has this id.
pub(in crate::server::admin) fn unknown_page(request_id: &str) -> String {
    let mut html = head("No such refusal");
    html.raw("<main><article><h1 id=\"explained-title\" tabindex=\"-1\">No refusal with this request id</h1>\n<p>Asked for: ");
    html.html(&code(request_id));
    html.raw(
        "</p>\n<p>This process keeps its last 1,024 refusals in memory, and those of before its start are gone. A request that \
         was not refused is not among them; with several replicas, ask each. The access log has all requests by their id.</p>\n\
         <p>The whole id finds a refusal, and so do 8 characters or more of its beginning or its end, unless several ids have them.</p>\n",
    );
    html.raw("</article>\n").raw(BACK);
    html.into_string()
}

const BACK: &str = "<p class=\"back\"><a href=\"/\">Back to the status page</a></p></main></body></html>\n";

/// True for a check that decided the outcome.
fn decided(step: &CheckStep, is_observed: bool) -> bool {
    step.verdict == if is_observed { StepVerdict::Observed } else { StepVerdict::Refused }
}

/// What one check wanted and saw, in plain text. A fault of the backend is told with its name.
fn what_refused(html: &mut Html, step: &CheckStep, fault: Option<&str>) {
    let mut facts = vec![("What refused", code(&step.check))];
    let wanted = ("Wanted", cell(&step.wanted));
    facts.extend(Some(wanted).filter(|_| !step.wanted.is_empty()));
    facts.extend(Some(("Saw", cell(&step.saw))).filter(|_| fault != Some(&*step.saw)));
    let place = place(step);
    facts.extend(Some(("Place in gateway.yaml", code(&place))).filter(|_| !place.is_empty()));
    html.raw("<div class=\"refused\">").facts(&facts).raw("</div>\n");
}

/// The backend by its name, and its server with what it did.
fn what_the_backend_did(html: &mut Html, refusal: &RecentRefusal) {
    let Some(fault) = &refusal.backend_fault else { return };
    let mut facts = Vec::new();
    facts.extend(refusal.backend.as_deref().map(|name| ("Backend", code(name))));
    facts.push(("Server", cell(fault)));
    html.raw("<div class=\"refused\">").facts(&facts).raw("</div>\n");
}

/// The checks; those that passed before the first that did not are folded.
fn checks(html: &mut Html, explanation: &Explanation) {
    let passed = explanation.steps.iter().take_while(|step| step.verdict == StepVerdict::Passed).count();
    let (before, others) = explanation.steps.split_at(passed);
    html.raw("<h2>Checks</h2>\n");
    if !before.is_empty() {
        html.raw("<details><summary>").shown(passed);
        html.raw(if passed == 1 { " check passed before</summary>" } else { " checks passed before</summary>" });
        html.table("Checks that passed before", &HEADINGS, &before.iter().map(check).collect::<Vec<_>>())
            .raw("</details>\n");
    }
    if !others.is_empty() {
        html.table("Checks", &HEADINGS, &others.iter().map(check).collect::<Vec<_>>());
    }
}

const HEADINGS: [(&str, &str); 5] =
    [("", "check"), ("short", "verdict"), ("", "wanted"), ("", "saw"), ("", "place in gateway.yaml")];

/// The place in gateway.yaml that decides; empty where there is none.
fn place(step: &CheckStep) -> String {
    match (&step.key, step.line) {
        (Some(key), Some(line)) => format!("{key}, line {line}"),
        (Some(key), None) => key.clone(),
        (None, Some(line)) => format!("line {line}"),
        (None, None) => String::new(),
    }
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
    TableRow(class, vec![cell(&step.check), mark, cell(&step.wanted), cell(&step.saw), cell(place(step))])
}
