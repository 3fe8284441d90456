//! `wicketgate readiness`: who would be refused on routes that observe. Asks the gateway that runs.

use std::process::ExitCode;

use clap::Args;
use http::Method;
use serde_json::Value;

use super::admin_client::{ExpectedAnswer, ask};
use super::{ConfigFile, say};

pub(super) const EXAMPLE: &str = "Examples:\n  wicketgate readiness --config gateway.yaml\n  \
    wicketgate readiness --json | jq '.routes[] | select(.safe) | .route'\n\n\
    Asks the running gateway. The counts are those of this process and of the ones before it in the same directory of\n\
    state; with several replicas, ask each. Of a caller, the client is named where its credential is authentic: by its id,\n\
    else by `key:` and the id of its API key, else by `-`. See docs/rollout.md.\n\n\
    With --json: {\"routes\": [{route, mode, enforce, since, calls, observed, last_seen, refused, safe}],\n\
    \"rows\": [{route, client, refusal, count, since, last_seen}], \"others\": null or {count, since, last_seen} of what\n\
    had no place in the rows}. Times are in UTC by RFC 3339.";

#[derive(Debug, Args)]
pub(super) struct ReadinessCommand {
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    file: ConfigFile,
}

/// Lists them, and then says of each route that observes whether it is safe to enforce.
pub(super) fn readiness(what: &ReadinessCommand) -> anyhow::Result<ExitCode> {
    let expected = ExpectedAnswer { at: "/rows", what: "what it has observed" };
    let told = ask(&what.file.config, Method::GET, "/readiness", None, expected)?;
    if what.json {
        say(&serde_json::to_string_pretty(&told)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows = told["rows"].as_array().map_or(&[][..], Vec::as_slice);
    if !rows.is_empty() {
        say(&table(rows))?;
    }
    if let Some(count) = told["others"]["count"].as_u64() {
        say(&format!("and {count} more, for which there was no place in this list\n"))?;
    }
    let routes = told["routes"].as_array().map_or(&[][..], Vec::as_slice);
    if routes.is_empty() {
        say("no route observes: all of them refuse")?;
    }
    for route in routes {
        say(&verdict(route))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// The rows in columns as wide as what stands in them.
fn table(rows: &[Value]) -> String {
    let heading = ["route", "client", "refusal", "count", "since", "last seen"].map(str::to_owned);
    let cells = |row: &Value| {
        let text = |key: &str| row[key].as_str().unwrap_or("-").to_owned();
        [text("route"), text("client"), text("refusal"), row["count"].to_string(), text("since"), text("last_seen")]
    };
    let lines: Vec<[String; 6]> = std::iter::once(heading).chain(rows.iter().map(cells)).collect();
    let width = |column: usize| lines.iter().map(|cells| cells[column].chars().count()).max().unwrap_or_default();
    let widths: [usize; 6] = std::array::from_fn(width);
    let mut table = String::new();
    for cells in &lines {
        let padded: Vec<String> = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        table.push_str(padded.join("  ").trim_end());
        table.push('\n');
    }
    table
}

/// What can be said of a route.
fn verdict(route: &Value) -> String {
    let text = |key: &str| route[key].as_str().unwrap_or("-");
    let number = |key: &str| route[key].as_u64().unwrap_or_default();
    let (calls, observed, refused, since) = (number("calls"), number("observed"), number("refused"), text("since"));
    let share = text("enforce");
    let share = if share == "0%" { String::new() } else { format!(", enforced for {share} of the callers") };
    let said = if calls == 0 {
        format!("no calls since {since}: nothing can be said")
    } else if route["safe"] == true {
        format!("safe to enforce: no call would have been refused since {since} ({calls} calls)")
    } else if observed == 0 {
        format!("nobody else would be refused: {refused} of {calls} calls since {since} were, all of them in the share")
    } else {
        let refused = if refused == 0 { String::new() } else { format!(", and {refused} were") };
        let last = text("last_seen");
        format!("{observed} of {calls} calls since {since} would have been refused{refused}; the last at {last}")
    };
    format!("route {}{share}: {said}", text("route"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_route_without_calls_is_not_called_safe() {
        let route = |calls: u64, observed: u64, refused: u64| {
            let safe = calls > 0 && observed == 0 && refused == 0;
            verdict(&json!({
                "route": "orders", "enforce": "10%", "since": "2026-11-20T00:00:00Z", "calls": calls, "safe": safe,
                "observed": observed, "refused": refused, "last_seen": "2026-11-21T00:00:00Z",
            }))
        };
        assert!(route(0, 0, 0).ends_with("nothing can be said"), "{}", route(0, 0, 0));
        assert!(route(7, 0, 0).contains("safe to enforce") && route(7, 0, 0).contains("7 calls"));
        assert!(route(7, 0, 2).contains("2 of 7 calls"), "{}", route(7, 0, 2));
        assert!(route(7, 3, 2).contains("3 of 7 calls") && route(7, 3, 2).contains("and 2 were"));
    }
}
