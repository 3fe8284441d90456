#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod backends;
mod direct_responses;
mod gateway;
mod issuer_help;
mod many;
mod meaning;
mod renamed;
mod route_choices;
mod routes;
mod shape;

use std::path::Path;

use super::{Config, Problem, Problems, Warning, parse};
use proptest::prelude::*;

const SHIPPED: &str = include_str!("../../gateway.yaml");
const MAXIMAL: &str = include_str!("tests/maximal.yaml");
/// The secrets in the two files above.
const SECRETS: [&str; 3] =
    ["$argon2id$v=19", "ULbjnN5ppPPge", "090d1548c9d65f413a1a2c828a0bee3a7ae02d2137caf51e6029e6c3cb1f1fa4"];

fn read(text: &str) -> Result<(Config, Problems), Problems> {
    parse(text, Path::new("/etc/wicketgate/gateway.yaml"))
}

/// Everything that is wrong with `text`.
fn problems(text: &str) -> Problems {
    match read(text) {
        Ok((_, problems)) | Err(problems) => problems,
    }
}

/// `text` with its only `from` replaced.
fn edited(text: &str, from: &str, to: &str) -> String {
    assert_eq!(text.matches(from).count(), 1, "{from:?} must stand exactly once in the sample");
    text.replace(from, to)
}

/// An edit of a file, and what must be said about it: place and part of the message.
type Case = (&'static str, &'static str, &'static str, &'static str);

fn assert_said(text: &str, cases: &[Case]) {
    for (from, to, path, message) in cases {
        let found = problems(&edited(text, from, to));
        let fits = |problem: &&Problem| problem.path == *path && problem.message.contains(message);
        assert!(found.iter().any(|problem| fits(&problem)), "{to:?} should say {path}: {message}\n{found}");
    }
}

/// Such edits are carried out, and that is said.
fn assert_warned(text: &str, cases: &[Case]) {
    for (from, to, path, message) in cases {
        let (config, found) = read(&edited(text, from, to)).unwrap();
        assert!(found.is_empty(), "{to:?} should not be refused:\n{found}");
        let warnings = config.warnings();
        let fits =
            |warning: &Warning| warning.place.ends_with(&format!(": {path}")) && warning.message.contains(message);
        assert!(warnings.iter().any(fits), "{to:?} should warn of {path}: {message}\n{warnings:?}");
    }
}

fn assert_fine(text: &str, edits: &[(&str, &str)]) {
    for (from, to) in edits {
        let found = problems(&edited(text, from, to));
        assert!(found.is_empty(), "{to:?} should be fine:\n{found}");
    }
}

/// The only problem with `text`.
fn only_problem(text: &str) -> Problem {
    let problems = problems(text);
    assert_eq!(problems.len(), 1, "exactly one problem was expected:\n{problems}");
    problems.into_iter().next().unwrap()
}

#[test]
fn the_shipped_configuration_has_no_problem() {
    let (config, problems) = read(SHIPPED).unwrap();
    assert!(problems.is_empty(), "{problems}");
    assert_eq!(config.raw().routes.len(), 2);
    assert_eq!(config.file(), Path::new("/etc/wicketgate/gateway.yaml"));
    assert_eq!(config.resolve(Path::new("certs/server.pem")), Path::new("/etc/wicketgate/certs/server.pem"));
    assert_eq!(config.resolve(Path::new("/certs/server.pem")), Path::new("/certs/server.pem"));
}

#[test]
fn the_configuration_with_every_key_has_no_problem() {
    let (config, problems) = read(MAXIMAL).unwrap();
    assert!(problems.is_empty(), "{problems}");
    assert_eq!(config.raw().listen[0].limits.target.bytes(), 4096);
    assert_eq!(config.raw().backends.len(), 4);
}

#[test]
fn all_problems_of_a_file_are_reported_together() {
    let text = SHIPPED
        .replacen("    backend: legacy\n\n", "    bakend: legacy\n\n", 1)
        .replace("lifetime: 8h\n\n#", "lifetime: soon\n\n#")
        .replace("require: [ client, customer ]", "require: [ clent, customer ]")
        .replace("issue: jwt ", "issue: jvt ")
        .replace("127.0.0.1:8443", "8443")
        .replace("http://127.0.0.1:9000", "http://10.0.0.1:9000")
        .replace("mode: traceable", "mod: traceable");
    let problems = problems(&text);
    let mut found: Vec<(usize, usize, &str)> =
        problems.iter().map(|problem| (problem.line, problem.column, problem.path.as_str())).collect();
    found.sort_unstable();
    let expected = [
        (7, 14, "listen[0].address"),
        (26, 3, "identifier.mod"),
        (31, 10, "login.issue"),
        (32, 13, "login.lifetime"),
        (62, 5, "routes[0].bakend"),
        (67, 16, "routes[1].require[0]"),
        (75, 16, "backends.legacy.servers[0]"),
    ];
    assert_eq!(found, expected, "{problems}");
}

#[test]
fn a_problem_is_shown_with_its_place_its_line_and_a_way_out() {
    let text = edited(SHIPPED, "backend: legacy\n\n#", "backend: legcy\n\n#");
    let shown = only_problem(&text).to_string();
    assert_eq!(
        shown,
        "\
error: routes[1].backend: there is no backend `legcy`
  --> /etc/wicketgate/gateway.yaml:70:14
   |
70 |     backend: legcy
   |              ^^^^^
   |
   = help: did you mean `legacy`?"
    );
}

#[test]
fn problems_are_shown_in_the_order_of_the_file() {
    let (config, mut problems) = read(SHIPPED).unwrap();
    problems.push(config.problem("backends.legacy", "later", ""));
    problems.push(config.problem("listen[0].tls.certificates[0].private_key", "sooner", ""));
    let shown = problems.to_string();
    assert!(shown.find("sooner") < shown.find("later"), "{shown}");
    assert!(shown.contains("gateway.yaml:10:57"), "{shown}");
}

#[test]
fn a_place_that_is_not_in_the_file_is_its_nearest_parent() {
    let (config, _) = read(SHIPPED).unwrap();
    let place = |at: &str| {
        let problem = config.problem(at, "x", "");
        (problem.line, problem.column)
    };
    assert_eq!(place("login.cookie.keys[0]"), place("login"));
    assert_eq!(place("routes[0].limits.rate"), place("routes[0]"));
    assert_eq!(place("routes[7].backend"), place("routes"));
    assert_eq!(place("nothing[0].like.that"), (1, 1));
    assert_eq!(place(""), (1, 1));
    let (config, _) = read(MAXIMAL).unwrap();
    let server = config.problem("backends.third.one.servers[0]", "x", "");
    assert!(server.to_string().contains("http://[::1]:9000"), "{server}");
}

#[test]
fn a_file_that_is_not_there_says_so() {
    let problems = super::read(Path::new("/nowhere/gateway.yaml")).unwrap_err();
    assert!(problems.to_string().contains("cannot read /nowhere/gateway.yaml"), "{problems}");
}

#[test]
fn secrets_are_on_no_line_that_is_shown() {
    let places = ["clients[0].secrets[0]", "clients[0].secrets", "api_keys[0].sha256[0]", "api_keys[0].sha256"];
    for text in [SHIPPED, MAXIMAL] {
        let (config, mut problems) = read(text).unwrap();
        problems.extend(places.map(|place| config.problem(place, "wrong", "")));
        assert_hidden(&problems.to_string(), &SECRETS);
    }
    // Neither where one is commented out, nor in a remark beside the key.
    let text = SHIPPED.replace("      - \"", "      # - \"");
    assert_hidden(&problems(&text).to_string(), &SECRETS);
    let text = SHIPPED.replace("secrets:  ", "secrets: 7 ");
    assert_hidden(&problems(&text).to_string(), &["demo-secret-change-me"]);
    let text = SHIPPED.replace("is: demo-key-change-me\n      -", "#");
    assert_hidden(&problems(&text).to_string(), &SECRETS);
}

#[test]
fn a_pasted_secret_is_not_repeated() {
    const HASH: &str =
        "\"$argon2id$v=19$m=19456,t=2,p=1$MSuy7LqkBdDsXNRHVJeyeQ$ULbjnN5ppPPge/imsBhjMuT0TvZQsQBKV5Ro6RxC5tk\"";
    const DIGEST: &str = "\"090d1548c9d65f413a1a2c828a0bee3a7ae02d2137caf51e6029e6c3cb1f1fa4\"";
    let pasted = [
        "hunter2",
        "\"hunter2\"",
        "'hunter2'",
        "hunter2: hunter2",
        "[ hunter2 ]",
        "{ hunter2: hunter2, hunter2: hunter2 }",
        "{ hunter2 }",
        "*hunter2",
        "&hunter2 hunter2",
        "!hunter2 hunter2",
        "!!int hunter2",
        "\"hunter2",
        "'hunter2",
        "{ hunter2",
        "[ hunter2: hunter2",
        "hunter2\n   hunter2: x",
        "|\n   hunter2\n  hunter2",
        ">-\n        hunter2\n        hunter2",
        "\"a\n  hunter2\", bogus",
        "`hunter2`",
        "@hunter2",
        "%hunter2",
        "hunter2 # hunter2",
        "\u{7}hunter2",
        "hunter2\thunter2:\thunter2",
    ];
    for secret in pasted {
        let mut texts = vec![edited(SHIPPED, HASH, secret), edited(SHIPPED, DIGEST, secret)];
        for key in [
            "{ file: identifier.key }",
            "{ env: COOKIE_KEY }",
            "{ env: BACKEND_PASSWORD }",
            "{ file: token }",
            "{ file: key }",
        ] {
            texts.push(edited(MAXIMAL, key, secret));
        }
        texts.push(edited(
            SHIPPED,
            "    scopes: [ profile ]\n\n# The keys",
            &format!("    secret: {secret}\n\n# The keys"),
        ));
        texts.push(edited(SHIPPED, "http://127.0.0.1:9000", &format!("http://gateway:{secret}@127.0.0.1:9000")));
        for text in texts {
            let problems = problems(&text);
            assert!(!problems.is_empty(), "{secret}");
            assert_hidden(&problems.to_string(), &["hunter2"]);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_slip_of_the_finger_breaks_the_reader_or_shows_a_secret(
        at in 0..SHIPPED.len(),
        removed in 0..20_usize,
        inserted in "[ \\n\\t:\\-{}\\[\\],\"'#&*!|>%@a]{0,4}",
    ) {
        let start = SHIPPED.floor_char_boundary(at);
        let end = SHIPPED.floor_char_boundary((at + removed).min(SHIPPED.len()));
        let text = format!("{}{inserted}{}", &SHIPPED[..start], &SHIPPED[end..]);
        let shown = problems(&text).to_string();
        prop_assert!(!shown.contains("fault of wicketgate"), "{shown}");
        for secret in ["jnN5ppPPge/imsBhjMuT0TvZQs", "d65f413a1a2c828a0bee3a7ae0"] {
            prop_assert!(!shown.contains(secret), "{shown}");
        }
    }
}

fn assert_hidden(shown: &str, secrets: &[&str]) {
    for secret in secrets {
        assert!(!shown.contains(secret), "a secret is shown:\n{shown}");
    }
}
