//! The report as one page without anything from elsewhere, to attach to a ticket.

use super::report::DoctorReport;
use crate::version;

const STYLE: &str = ":root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;padding:0 1rem}\
    table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;padding:.4rem .8rem .4rem 0;border-bottom:1px solid #8886}\
    td:first-child{white-space:nowrap;font-weight:600}code{font-size:.95em}.bad{background:#d3302f1f}";

/// The page.
pub(super) fn page(report: &DoctorReport) -> String {
    let mut rows = String::new();
    // Findings first: whoever opens the page looks for them.
    let mut entries: Vec<_> = report.entries.iter().collect();
    entries.sort_by_key(|entry| entry.ok);
    for entry in entries {
        let (class, mark) = if entry.ok { ("good", "\u{2713} passed") } else { ("bad", "\u{2717} finding") };
        let fix = entry.fix.map(|fix| format!("<br><strong>To do:</strong> {}", escaped(fix))).unwrap_or_default();
        rows.push_str(&format!(
            "<tr class={class}><td>{mark}<td><code>{}</code><td>{}{fix}\n",
            entry.check,
            escaped(&entry.saw)
        ));
    }
    for (check, why) in &report.skipped {
        rows.push_str(&format!(
            "<tr class=skipped><td>\u{2013} not made<td><code>{check}</code><td>{}\n",
            escaped(why)
        ));
    }
    format!(
        "<!doctype html>\n<html lang=en>\n<meta charset=utf-8>\n<meta name=viewport content=\"width=device-width\">\n\
         <meta http-equiv=Content-Security-Policy content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>wicketgate doctor: {url}</title>\n<style>{STYLE}</style>\n\
         <h1>{url}</h1>\n<p>{verdict}.</p>\n<p>{time}, by wicketgate {version}.</p>\n\
         <table>\n<thead><tr><th scope=col>outcome<th scope=col>check<th scope=col>seen\n<tbody>\n{rows}</table>\n",
        url = escaped(&report.url),
        verdict = escaped(&report.verdict()),
        time = report.time,
        version = version::FULL,
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
