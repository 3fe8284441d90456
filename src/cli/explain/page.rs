//! An explanation for people: one line a step, then the outcome and what the backend would get.

use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::Value;

use crate::explanation::{Decision, Explanation, StepVerdict};
use crate::log_line::timestamp;
use crate::refusal::Refusal;

/// The width of a page where there is no terminal, in characters.
const USUAL_WIDTH: usize = 100;

/// The narrowest column of a text, in characters.
const NARROWEST: usize = 16;

/// The lines of an explanation. `refusal` is that of a request id, else null; `file` is gateway.yaml.
pub(super) fn page(explanation: &Explanation, refusal: &Value, file: &Path) -> String {
    let width = terminal_width().unwrap_or(USUAL_WIDTH).max(60);
    let mut lines = request_lines(refusal, width);
    lines.extend(table(explanation, file, width));
    lines.push(String::new());
    lines.push(outcome(explanation));
    let mut told = |name: &str, text: &str| lines.extend(wrapped(&format!("{name}: {}", plain(text)), width));
    if let Some(refusal) = explanation.refusal.as_deref().and_then(Refusal::from_word) {
        told("cause", refusal.cause());
    }
    if let Some(remedy) = &explanation.remedy {
        told("what to do", remedy);
    }
    if let Some(identifier) = &explanation.identifier {
        told("identifier", identifier);
    }
    if !explanation.backend_request.is_empty() {
        lines.push("the backend would get:".to_owned());
        lines.extend(explanation.backend_request.iter().map(|line| format!("  {}", plain(line))));
    }
    lines.join("\n")
}

/// When a request came, from where, and by whom.
fn request_lines(refusal: &Value, width: usize) -> Vec<String> {
    let Some(time) = refusal["time_ms"].as_u64() else { return Vec::new() };
    let mut stamp = Vec::new();
    timestamp(&mut stamp, UNIX_EPOCH + Duration::from_millis(time));
    let text = |key: &str| refusal[key].as_str().map(plain);
    let mut line = format!(
        "{} {} from {}",
        String::from_utf8_lossy(&stamp),
        text("method").unwrap_or_default(),
        text("client_address").unwrap_or_default()
    );
    for (key, name) in
        [("client", "client"), ("api_key", "API key"), ("customer", "customer"), ("backend_fault", "backend")]
    {
        if let Some(value) = text(key) {
            let is_claimed = key == "client"
                && text("refusal")
                    .and_then(|word| Refusal::from_word(&word))
                    .is_some_and(Refusal::is_of_unproved_client);
            line.push_str(&format!(", {name} {value}{}", if is_claimed { " (not proved)" } else { "" }));
        }
    }
    let mut lines = wrapped(&line, width);
    lines.push(String::new());
    lines
}

/// The steps, one row each; long texts go on below.
fn table(explanation: &Explanation, file: &Path, width: usize) -> Vec<String> {
    let name = file.file_name().map_or_else(|| "gateway.yaml".into(), |name| name.to_string_lossy().into_owned());
    let mut rows: Vec<[String; 5]> = vec![["", "check", "wanted", "saw", "decided by"].map(str::to_owned)];
    rows.extend(explanation.steps.iter().map(|step| {
        let mark = match step.verdict {
            StepVerdict::Passed => "ok",
            StepVerdict::Refused => "NO",
            StepVerdict::Observed => "obs",
            StepVerdict::Skipped => "-",
        };
        let place = step.line.map_or_else(String::new, |line| format!("{name}:{line}"));
        [mark.to_owned(), plain(&step.check), plain(&step.wanted), plain(&step.saw), place]
    }));
    let widest = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let left = width.saturating_sub(3 + widest(1) + widest(4) + 4 * 2).max(2 * NARROWEST);
    let wanted = widest(2).min((left / 2).max(left.saturating_sub(widest(3))));
    let widths = [3, widest(1), wanted, widest(3).min(left - wanted)];
    let mut lines = Vec::new();
    for [mark, check, wanted, saw, place] in rows {
        let (wanted, saw) = (wrapped(&wanted, widths[2]), wrapped(&saw, widths[3]));
        for at in 0..wanted.len().max(saw.len()).max(1) {
            let first = |text: &String| if at == 0 { text.clone() } else { String::new() };
            let part = |lines: &[String]| lines.get(at).cloned().unwrap_or_default();
            let cells = [first(&mark), first(&check), part(&wanted), part(&saw)];
            let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}  "));
            lines.push(format!("{}{}", padded.collect::<String>(), first(&place)).trim_end().to_owned());
        }
    }
    lines
}

/// A text in lines of at most `width` characters, broken at blanks, or within a word that is longer.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let (mut lines, mut line) = (Vec::new(), String::new());
    for word in text.split(' ') {
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
        while let Some((at, _)) = line.char_indices().nth(width) {
            let rest = line.split_off(at);
            lines.push(std::mem::replace(&mut line, rest));
        }
    }
    lines.push(line);
    lines
}

/// The width of the terminal that gets the page, in characters.
fn terminal_width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|width| *width > 0)
}

fn outcome(explanation: &Explanation) -> String {
    let word = explanation.refusal.as_deref().unwrap_or_default();
    let code = explanation.code.as_deref().unwrap_or_default();
    match explanation.verdict {
        Decision::Refused => format!("refused: {word}, status {}, code {code}", explanation.status.unwrap_or_default()),
        Decision::Passed if word.is_empty() && explanation.steps.iter().any(|step| step.check == "endpoint") => {
            "passed up to an endpoint of the gateway itself, whose own checks were not made".to_owned()
        }
        Decision::Passed if word.is_empty() => "passed".to_owned(),
        Decision::Passed => format!("passed, as the route only observes; it would be refused: {word}, code {code}"),
    }
}

/// A text on one line, without anything that a terminal would obey.
fn plain(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { '?' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_texts_go_on_in_the_next_line() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("abcdefghij k", 4), ["abcd", "efgh", "ij k"]);
        assert_eq!(wrapped("", 4), [""]);
    }
}
