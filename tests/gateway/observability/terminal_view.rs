//! `wicketgate top`.

use std::process::Command;

use crate::harness::*;

#[test]
fn it_shows_what_the_status_page_shows() {
    let (backend, gateway) =
        world_with(|c| c.set("/backends/legacy/circuit_breaker", json!({"failures": 2, "pause": "1m"})));
    gateway.get("/key/x").send();
    backend.stop();
    for _ in 0..3 {
        gateway.get("/public/x").send();
    }
    eventually("the circuit", || gateway.files.succeeds(&["top", "--once"]).contains("its circuit is open"));
    let shown = gateway.files.succeeds(&["top", "--once"]);
    for part in ["running, ready", "requests/s", "api_key_missing", "public", "legacy", "OPEN", "NOW: Backend legacy"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    assert!(!shown.contains('\u{1b}'), "no colours where there is no terminal");
    // As where the output is no terminal.
    assert!(gateway.files.succeeds(&["top"]).contains("REFUSALS"));
    let report: Value = serde_json::from_str(&gateway.files.succeeds(&["top", "--json"])).unwrap();
    assert_eq!(report["backends"][0]["name"], "legacy");
    assert!(report["refusals"].as_array().unwrap().iter().any(|word| word["word"] == "api_key_missing"));
}

#[test]
fn in_a_narrow_terminal_no_line_is_too_long_and_the_screen_of_before_comes_back() {
    let (_backend, gateway) = world_with(|c| c.set("/routes/4/name", json!("a".repeat(200))));
    gateway.get("/key/x").send();
    let top = format!("{} top --config gateway.yaml", env!("CARGO_BIN_EXE_wicketgate"));
    let within = format!("stty cols 40 rows 14; timeout --foreground --preserve-status -s INT 3 {top}; echo code=$?");
    let mut script = Command::new("script");
    script.current_dir(&gateway.files.path).args(["-qec", &within, "/dev/null"]);
    let output = finish(&mut script)
        .unwrap_or_else(|error| panic!("cannot run script ({error}): install the Debian package bsdutils"));
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    let (begin, rest) = shown.split_once("\u{1b}[?1049h").unwrap_or_else(|| panic!("{shown}"));
    let (frames, end) = rest.split_once("\u{1b}[?1049l").unwrap_or_else(|| panic!("{shown}"));
    assert!(begin.trim().is_empty() && end.contains("code=0"), "{shown}");
    assert!(rest.contains("\u{1b}[?25h") && rest.contains("\u{1b}[?7h"), "cursor and wrapping are back");
    let frames: Vec<&str> = frames.split("\u{1b}[H").skip(1).collect();
    assert!(frames.len() >= 2, "{shown}");
    for frame in frames {
        let lines: Vec<String> = frame.split('\n').map(|line| plain(line.trim_end_matches('\r'))).collect();
        assert!(lines.len() <= 14, "{frame}");
        assert!(lines.iter().all(|line| line.chars().count() <= 40), "{lines:?}");
        assert!(lines.iter().any(|line| line.starts_with("ROUTES")), "{lines:?}");
    }
}

/// A line without what is not seen.
fn plain(line: &str) -> String {
    let mut plain = String::new();
    let mut parts = line.split("\u{1b}[");
    plain.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let end = part.find(|sign: char| sign.is_ascii_alphabetic()).map_or(part.len(), |end| end + 1);
        plain.push_str(&part[end..]);
    }
    plain
}

#[test]
fn names_do_not_control_the_terminal() {
    let evil = "evil\u{202e}\u{200b}name";
    let (_backend, gateway) = world_with(|c| c.set("/routes/4/name", json!(evil)));
    gateway.get("/public/x").send();
    let shown = gateway.files.succeeds(&["top", "--once"]);
    assert!(shown.contains("evil??name"), "{shown}");
    assert!(!shown.contains(['\u{1b}', '\u{202e}', '\u{200b}']), "{shown:?}");
}

#[test]
fn without_a_gateway_it_says_so() {
    let backend = Backend::start();
    let files = gateway::Workspace::new(&Config::new(&backend));
    for arguments in [&["top"][..], &["top", "--once"], &["top", "--json"]] {
        assert!(files.fails(arguments).contains("cannot reach the gateway"), "{arguments:?}");
    }
}
