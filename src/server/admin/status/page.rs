//! The page: useful without script, in a text browser and in `curl | less`; the script only replaces its sections.

use super::chart::{ChartLine, chart};
use super::html::{Html, cell};
use super::report::{Second, StatusReport};
use super::{events, shown, tables, upstreams};

/// A section: its name, which is also its id, its heading, and what is in it.
type Part = (&'static str, &'static str, fn(&StatusReport) -> Html);

/// The sections, in their order.
const PARTS: [Part; 10] = [
    ("unwell", "Backends and issuers that are not well", upstreams::unwell),
    ("recent", "Recent refusals", tables::recent),
    ("refusals", "Refusals by word and caller", tables::refusals),
    ("traffic", "Traffic", traffic),
    ("routes", "Routes", tables::routes),
    ("backends", "Backends", upstreams::backends),
    ("issuers", "Key sets of issuers", upstreams::issuers),
    ("state", "Sessions and replicas", state),
    ("keys", "Keys and certificates", tables::keys),
    ("reloads", "Reloads", tables::reloads),
];

/// The sections that events replace.
pub(super) fn sections(report: &StatusReport) -> Vec<events::PageSection> {
    let summary = ("summary", summary(report).into_string());
    let parts = PARTS.iter().map(|(name, _, content)| (*name, content(report).into_string()));
    std::iter::once(summary).chain(parts).collect()
}

/// The whole page; with all routes, that part of it is not kept current.
pub(in crate::server::admin) fn page(report: &StatusReport, has_all_routes: bool) -> String {
    let mut html = head(&title(report));
    html.raw("<a class=\"skip\" href=\"#main\">Skip to the content</a>\n<header><h1>wicketgate</h1>\n<nav aria-label=\"Sections\"><ul>");
    for (name, heading, _) in PARTS.iter().filter(|(name, ..)| *name != "unwell") {
        html.raw("<li><a href=\"#").raw(name).raw("\">").raw(heading).raw("</a></li>");
    }
    if report.operable {
        html.raw("<li><a href=\"#operate\">Operate</a></li>");
    }
    html.raw("</ul></nav></header>\n<main id=\"main\" tabindex=\"-1\">\n<section aria-label=\"Summary\">");
    html.raw(
        "<p id=\"live\" class=\"live\" role=\"status\">This page shows one moment: load it again for the next.</p>\n",
    );
    html.raw("<div data-section=\"summary\">").html(&summary(report)).raw("</div></section>\n");
    for (name, heading, content) in PARTS {
        html.raw("<section id=\"").raw(name).raw("\" aria-labelledby=\"h-").raw(name).raw("\"><h2 id=\"h-").raw(name);
        html.raw("\">").raw(heading).raw("</h2>\n");
        if name == "routes" {
            html.raw("<p id=\"filter\" hidden><label>Only these routes with <input type=\"search\" autocomplete=\"off\"></label></p>\n");
        }
        if name == "recent" {
            html.raw(FIND);
        }
        if name == "routes" && has_all_routes {
            html.raw("<div>").html(&tables::all_routes(report)).raw("</div></section>\n");
        } else {
            html.raw("<div data-section=\"").raw(name).raw("\">").html(&content(report)).raw("</div></section>\n");
        }
    }
    if report.operable {
        html.raw(OPERATE);
    }
    html.raw(
        "</main>\n<footer><p><a href=\"/status.json\">status.json</a> <a href=\"/metrics\">metrics</a> \
              <a href=\"/readyz\">readyz</a> <a href=\"/livez\">livez</a></p></footer>\n\
              <dialog id=\"explanation\" aria-label=\"Explanation\"><div id=\"explained\"></div>\
              <button id=\"close\" type=\"button\">Close</button></dialog>\n</body></html>\n",
    );
    html.into_string()
}

/// The head of a page, up to its body.
pub(super) fn head(title: &str) -> Html {
    let mut html = Html::default();
    html.raw("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>").text(title);
    html.raw("</title><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
              <meta name=\"color-scheme\" content=\"light dark\"><link rel=\"icon\" href=\"/status.svg\">\
              <link rel=\"stylesheet\" href=\"/status.css\"><script src=\"/status.js\" defer></script></head>\n<body>\n");
    html
}

/// The title of the page: what is wrong is seen in another tab, too.
fn title(report: &StatusReport) -> String {
    let count = report.problems.len();
    let problems = if count > 0 { format!("({count}) ") } else { String::new() };
    format!("{problems}{} wicketgate", report.host)
}

/// What is wrong, and which process this is.
fn summary(report: &StatusReport) -> Html {
    let mut html = Html::default();
    let is_serious = report.problems.iter().any(|problem| problem.serious);
    html.raw("<div id=\"verdict\" data-title=\"").text(&title(report)).raw("\">");
    if report.problems.is_empty() {
        html.raw("<p class=\"verdict good\"><strong>Nothing is wrong.</strong></p>");
    } else {
        html.raw(if is_serious { "<div class=\"verdict bad\">" } else { "<div class=\"verdict now\">" });
        html.raw("<h2>").shown(report.problems.len());
        html.raw(if report.problems.len() == 1 { " problem" } else { " problems" }).raw("</h2><ul>");
        for problem in &report.problems {
            html.raw(if problem.serious {
                "<li class=\"bad\"><strong>Now:</strong> "
            } else {
                "<li class=\"now\"><strong>Look:</strong> "
            });
            html.prose(&problem.what)
                .raw(" <a href=\"#")
                .text(&problem.section)
                .raw("\" data-key=\"p-")
                .text(&problem.what);
            html.raw("\">See ").text(&problem.section).raw("</a></li>");
        }
        html.raw("</ul></div>");
    }
    html.raw("</div><p class=\"facts\">").text(&report.host).raw(", ").text(&report.phase);
    html.raw(if report.ready { ", ready" } else { ", not ready" }).raw(", version ").text(&report.version);
    html.raw(", since ")
        .text(&shown::time(report.started))
        .raw(". As of ")
        .text(&shown::time(report.time))
        .raw(".</p>");
    html
}

/// Rates and durations, with their charts.
fn traffic(report: &StatusReport) -> Html {
    let (mut html, traffic) = (Html::default(), &report.traffic);
    let history = |of: fn(&Second) -> Option<f64>| traffic.history.iter().map(of).collect::<Vec<_>>();
    html.raw("<div class=\"tiles\">");
    let requests = [ChartLine { class: "one", values: history(|second| Some(second.requests as f64)) }];
    tile(&mut html, "Requests per second", &shown::rate(traffic.rate), &requests, shown::rate);
    let refused = [
        ChartLine { class: "one", values: history(|second| Some(second.refused as f64)) },
        ChartLine { class: "two", values: history(|second| Some(second.failed as f64)) },
    ];
    let rates = format!("{} / {}", shown::rate(traffic.refused_rate), shown::rate(traffic.failed_rate));
    tile(&mut html, "Refused / 5xx per second", &rates, &refused, shown::rate);
    let durations = [
        ChartLine { class: "two", values: history(|second| second.p99) },
        ChartLine { class: "one", values: history(|second| second.p50) },
    ];
    let quantiles = format!("{} / {}", shown::maybe_duration(traffic.p50), shown::maybe_duration(traffic.p99));
    tile(&mut html, "Duration p50 / p99", &quantiles, &durations, shown::duration);
    html.raw("</div>\n<p>Large numbers are of the last 10 s, charts of the last 5 min, the newest at the right; where a chart has \
              two lines, the dashed one is the second. Percentiles are computed from histogram buckets by linear interpolation, as \
              Prometheus does.</p>\n",
    );
    html.facts(&[
        ("p90", cell(shown::maybe_duration(traffic.p90))),
        ("In flight", cell(shown::count(unsigned(traffic.in_flight)))),
        ("Connections", cell(shown::count(unsigned(traffic.connections)))),
        ("Requests since the start", cell(shown::count(traffic.total))),
    ]);
    html
}

fn tile(html: &mut Html, name: &'static str, value: &str, lines: &[ChartLine], shown: fn(f64) -> String) {
    html.raw("<div class=\"tile\"><h3>").raw(name).raw("</h3><p class=\"value\">").text(value).raw("</p>");
    let label = format!("{name}: now {value}");
    html.html(&chart(&label, lines, shown)).raw("</div>");
}

/// Sessions, revocations, the store and who shares it.
fn state(report: &StatusReport) -> Html {
    let (mut html, state) = (Html::default(), &report.state);
    let mut store = Html::default();
    store.raw(match (state.up, state.stale) {
        (true, false) => "<span class=\"mark\">up</span>",
        (true, true) => "<span class=\"mark bad\">up, revocations may be missing</span>",
        (false, _) => "<span class=\"mark bad\">down</span>",
    });
    let mut facts = vec![
        ("Store", store),
        ("Sessions", cell(shown::count(state.sessions as u64))),
        ("Revocations in force", cell(shown::count(state.revocations as u64))),
        ("Writes waiting", cell(shown::count(state.waiting as u64))),
    ];
    if let (Some(staleness), Some(propagation)) = (state.staleness, state.propagation) {
        facts.push(("Age of news of other replicas", cell(shown::duration(staleness))));
        facts.push(("Round trip through the store", cell(shown::duration(propagation))));
    }
    html.facts(&facts);
    match &state.replicas {
        None => html.raw("<p>The state is of this process alone.</p>"),
        Some(replicas) if replicas.is_empty() => {
            html.raw("<p>The state is shared, and no other replica has been heard of in the last ten minutes.</p>")
        }
        Some(replicas) => {
            html.raw("<h3>Other replicas that share the state</h3><ul>");
            for replica in replicas {
                let is_silent = replica.heard_ago > 10;
                let host = if replica.host.is_empty() { "of an earlier version" } else { &replica.host };
                html.raw(if is_silent { "<li class=\"now\">" } else { "<li>" })
                    .text(host)
                    .raw(" <code>")
                    .text(&replica.name);
                html.raw("</code>, ");
                if is_silent {
                    html.raw("not heard of for ").text(&shown::span(replica.heard_ago)).raw("</li>");
                } else {
                    html.raw("runs</li>");
                }
            }
            html.raw("</ul>")
        }
    };
    html
}

fn unsigned(count: i64) -> u64 {
    u64::try_from(count).unwrap_or_default()
}

/// Finds a refusal by the id that a caller tells. Without script the address does it.
const FIND: &str = "<form id=\"find\" hidden><label>Request id of a caller, or 8 characters of its beginning or end <input name=\"id\" required autocomplete=\"off\" \
                    spellcheck=\"false\"></label> <button>Explain</button></form>\n\
                    <noscript><p>The explanation of a request id is at /refusals/ID.</p></noscript>\n";

/// Forms for whoever has the operator's token. Without script they do nothing, and the policy of the page sends no form.
const OPERATE: &str = include_str!("operate.html");
