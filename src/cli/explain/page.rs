//! An explanation for people: one line a step, then the outcome and what the backend would get.

use std::path::Path;

use crate::explanation::{Decision, Explanation, StepVerdict};

/// The widest column, in characters.
const WIDEST: usize = 60;

/// The lines of an explanation. `file` is gateway.yaml.
pub(super) fn page(explanation: &Explanation, file: &Path) -> String {
    let name = file.file_name().map_or_else(|| "gateway.yaml".into(), |name| name.to_string_lossy().into_owned());
    let rows: Vec<[String; 5]> = explanation
        .steps
        .iter()
        .map(|step| {
            let mark = match step.verdict {
                StepVerdict::Passed => "ok",
                StepVerdict::Refused => "NO",
                StepVerdict::Observed => "obs",
                StepVerdict::Skipped => "-",
            };
            let place = step.line.map_or_else(String::new, |line| format!("{name}:{line}"));
            [mark.to_owned(), plain(&step.check), plain(&step.wanted), plain(&step.saw), place]
        })
        .collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0).min(WIDEST);
    let widths = [3, width(1), width(2), width(3)];
    let mut lines: Vec<String> = Vec::new();
    let heading = ["", "check", "wanted", "saw", "decided by"].map(str::to_owned);
    for row in std::iter::once(&heading).chain(&rows) {
        let padded = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}  "));
        lines.push(format!("{}{}", padded.collect::<String>(), row[4]).trim_end().to_owned());
    }
    lines.push(String::new());
    lines.push(outcome(explanation));
    if let Some(remedy) = &explanation.remedy {
        lines.push(format!("what to do: {}", plain(remedy)));
    }
    if let Some(identifier) = &explanation.identifier {
        lines.push(format!("identifier: {}", plain(identifier)));
    }
    if !explanation.backend_request.is_empty() {
        lines.push("the backend would get:".to_owned());
        lines.extend(explanation.backend_request.iter().map(|line| format!("  {}", plain(line))));
    }
    lines.join("\n")
}

fn outcome(explanation: &Explanation) -> String {
    let word = explanation.refusal.as_deref().unwrap_or_default();
    let code = explanation.code.as_deref().unwrap_or_default();
    match explanation.verdict {
        Decision::Refused => format!("refused: {word}, status {}, code {code}", explanation.status.unwrap_or_default()),
        Decision::Passed if word.is_empty() => "passed".to_owned(),
        Decision::Passed => format!("passed, as the route only observes; it would be refused: {word}, code {code}"),
    }
}

/// A text on one line, without anything that a terminal would obey.
fn plain(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '?' } else { letter }).collect()
}
