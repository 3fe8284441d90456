//! The lines of the screen: the worst first, cut to the size of the terminal, and without anything that would control it.

use crate::server::admin::status::report::{BackendReport, StatusReport};
use crate::server::admin::status::shown::{self, is_unseen};

/// Fewest rows of a list, however small the terminal.
const FEWEST: usize = 3;

/// Most rows of a list where the height has no limit.
const MOST: usize = 20;

/// Most problems.
const MOST_PROBLEMS: usize = 6;

/// Columns and rows of a terminal.
#[derive(Debug, Clone, Copy)]
pub(super) struct ScreenSize {
    pub(super) width: usize,
    pub(super) height: usize,
}

impl ScreenSize {
    /// That of the terminal at standard output; of none, wide enough for everything.
    pub(super) fn of_terminal() -> Self {
        match rustix::termios::tcgetwinsize(std::io::stdout()) {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
                Self { width: usize::from(size.ws_col), height: usize::from(size.ws_row) }
            }
            _ => Self { width: usize::MAX, height: usize::MAX },
        }
    }

    /// The same width, and any number of lines.
    pub(super) fn unlimited_height(self) -> Self {
        Self { height: usize::MAX, ..self }
    }
}

/// The lines of a report.
pub(super) fn lines(report: &StatusReport, size: ScreenSize, has_colours: bool) -> Vec<String> {
    let pen = Pen { width: size.width, has_colours };
    let mut lines = head(report, pen);
    let left = size.height.saturating_sub(lines.len());
    let share = if size.height == usize::MAX { MOST } else { (left / 3).saturating_sub(2).max(FEWEST) };
    let words = report.refusals.iter().map(|word| {
        let routes: Vec<String> = word.routes.iter().map(|(name, count)| format!("{name} {count}")).collect();
        format!("{:<32} {:>8} {:>10}  {}", word.word, word.last_minute, word.total, routes.join(", "))
    });
    list(&mut lines, pen, "REFUSALS                           minute      total  routes", words, share);
    let mut backends: Vec<&BackendReport> = report.backends.iter().collect();
    backends.sort_by_key(|backend| is_good(backend));
    let servers = backends.into_iter().flat_map(backend_lines);
    list(&mut lines, pen, "BACKENDS                         status     flight  server, why", servers, share);
    let routes = report.routes.iter().map(|route| {
        format!(
            "{:<32} {:>8} {:>8} {:>6} {:>10} {:>10}",
            route.name,
            shown::rate(route.rate),
            route.refused,
            route.failed,
            shown::maybe_duration(route.p50),
            shown::maybe_duration(route.p99),
        )
    });
    let rest = size.height.saturating_sub(lines.len() + 3);
    let most = if size.height == usize::MAX { MOST } else { rest.max(1) };
    list(
        &mut lines,
        pen,
        "ROUTES                                req/s  refused    5xx        p50        p99",
        routes,
        most,
    );
    lines
}

/// A fault of the last look, above what was shown before.
pub(super) fn fault(fault: &str, size: ScreenSize, has_colours: bool) -> String {
    let pen = Pen { width: size.width, has_colours };
    pen.line(&format!("NOT LIVE: {fault}"), Some(RED))
}

/// What is wrong, and the numbers of the whole.
fn head(report: &StatusReport, pen: Pen) -> Vec<String> {
    let (traffic, state) = (&report.traffic, &report.state);
    let ready = if report.ready { "ready" } else { "NOT READY" };
    let first = format!("wicketgate {}  {}, {ready}  {}", report.host, report.phase, shown::time(report.time));
    let rates = format!(
        "requests/s {}   refused/s {}   5xx/s {}   p50 {}   p90 {}   p99 {}",
        shown::rate(traffic.rate),
        shown::rate(traffic.refused_rate),
        shown::rate(traffic.failed_rate),
        shown::maybe_duration(traffic.p50),
        shown::maybe_duration(traffic.p90),
        shown::maybe_duration(traffic.p99),
    );
    let replicas = state.replicas.as_ref().map(|replicas| format!("   other replicas {}", replicas.len()));
    let levels = format!(
        "in flight {}   connections {}   sessions {}   revocations {}   store {}{}",
        traffic.in_flight,
        traffic.connections,
        state.sessions,
        state.revocations,
        if state.up { "up" } else { "DOWN" },
        replicas.unwrap_or_default(),
    );
    let mut lines = vec![pen.line(&first, Some(BOLD)), pen.line(&rates, None), pen.line(&levels, None)];
    for problem in report.problems.iter().take(MOST_PROBLEMS) {
        let (word, colour) = if problem.serious { ("NOW", RED) } else { ("LOOK", YELLOW) };
        lines.push(pen.line(&format!("{word}: {}", problem.what), Some(colour)));
    }
    if report.problems.is_empty() {
        lines.push(pen.line("Nothing is wrong.", Some(GREEN)));
    }
    lines
}

fn is_good(backend: &BackendReport) -> bool {
    backend.circuit_open.is_none() && backend.token.is_none() && backend.servers.iter().all(|server| server.up)
}

fn backend_lines(backend: &BackendReport) -> Vec<String> {
    let line =
        |status: &str, in_flight: usize, rest: &str| format!("{:<32} {status:<8} {in_flight:>8}  {rest}", backend.name);
    let whole = backend.circuit_open.as_ref().map(|why| line("OPEN", backend.in_flight, why));
    let token = backend.token.as_ref().map(|why| line("NO TOKEN", backend.in_flight, why));
    let servers = backend.servers.iter().map(|server| {
        let status = match (server.up, &server.why) {
            (false, _) => "OUT",
            (true, Some(_)) => "FAILING",
            (true, None) => "up",
        };
        let why = server.why.as_ref().map(|why| format!(", {why}")).unwrap_or_default();
        line(status, server.in_flight, &format!("{}{why}", server.name))
    });
    whole.into_iter().chain(token).chain(servers).collect()
}

/// Adds a list with its heading, and how many rows are left out.
fn list(lines: &mut Vec<String>, pen: Pen, heading: &str, rows: impl Iterator<Item = String>, most: usize) {
    lines.push(String::new());
    lines.push(pen.line(heading, Some(BOLD)));
    let rows: Vec<String> = rows.collect();
    if rows.is_empty() {
        lines.push(pen.line("none", None));
    }
    let shown = if rows.len() > most { most.saturating_sub(1) } else { rows.len() };
    lines.extend(rows.iter().take(shown).map(|row| pen.line(row, None)));
    if rows.len() > shown {
        lines.push(pen.line(&format!("({} more)", rows.len() - shown), None));
    }
}

const BOLD: &str = "1";
const RED: &str = "1;31";
const YELLOW: &str = "33";
const GREEN: &str = "32";

/// Writes lines of a width.
#[derive(Debug, Clone, Copy)]
struct Pen {
    width: usize,
    has_colours: bool,
}

impl Pen {
    /// A line, cut, in this colour. Names come from files and callers: nothing in them controls the terminal.
    fn line(self, text: &str, colour: Option<&str>) -> String {
        let seen = text.chars().map(|character| if is_unseen(character) { '?' } else { character });
        let cut: String = seen.take(self.width).collect();
        match colour.filter(|_| self.has_colours) {
            Some(colour) => format!("\x1b[{colour}m{cut}\x1b[0m"),
            None => cut,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_and_controls_nothing() {
        let pen = Pen { width: 8, has_colours: false };
        assert_eq!(pen.line("\x1b[2Jé\u{202e}\r\nabcdef", None), "?[2Jé???");
        assert_eq!(Pen { width: 80, has_colours: true }.line("a", Some(RED)), "\x1b[1;31ma\x1b[0m");
    }

    #[test]
    fn a_list_says_how_many_are_left_out() {
        let mut lines = Vec::new();
        let pen = Pen { width: 80, has_colours: false };
        list(&mut lines, pen, "ROUTES", (0..1_000).map(|number| format!("r{number}")), 4);
        assert_eq!(lines, ["", "ROUTES", "r0", "r1", "r2", "(997 more)"]);
        list(&mut lines, pen, "NONE", std::iter::empty(), 4);
        assert_eq!(lines[6..], ["", "NONE", "none"]);
    }
}
