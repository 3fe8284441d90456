//! `wicketgate doctor`: a good gateway has no findings, a bad one has each of them; no secret is shown.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use crate::harness::gateway::Workspace;
use crate::harness::python::interpreter;
use crate::harness::*;

/// The command with all that it can be given.
fn examine(files: &Workspace, url: &str, more: &[&str]) -> (i32, String, String) {
    for (name, text) in [
        ("first.password", format!("{}\n", ALICE.secret)),
        ("second.password", BOB.secret.to_owned()),
        ("client.secret", format!("{}\r\n", CLIENT.secret)),
        ("api.key", API_KEY.to_owned()),
    ] {
        files.write(name, &text);
    }
    let usual: [&[&str]; 6] = [
        &["doctor", "--url", url],
        &["--username", ALICE.name, "--password-file", "first.password"],
        &["--second-username", BOB.name, "--second-password-file", "second.password"],
        &["--client-id", CLIENT.name, "--client-secret-file", "client.secret", "--api-key-file", "api.key"],
        &["--ca", "certs/ca.pem", "--path", "/account/getprofile"],
        more,
    ];
    files.run(&usual.concat())
}

fn url(gateway: &Gateway) -> String {
    format!("https://localhost:{}", gateway.address.port())
}

/// The names of checks, good or bad.
fn named(report: &Value, ok: bool) -> BTreeSet<String> {
    let entries = report["entries"].as_array().unwrap().iter().filter(|entry| entry["ok"] == ok);
    entries.map(|entry| entry["check"].as_str().unwrap().to_owned()).collect()
}

/// Tells for whom it answers, as a profile does.
fn world_with_profiles() -> (Backend, Gateway) {
    let (backend, gateway) = world();
    backend.on("/account/getprofile", Behaviour::json(200, &json!({"name": "somebody"})));
    (backend, gateway)
}

#[test]
fn a_good_gateway_has_no_finding() {
    let (_backend, gateway) = world_with_profiles();
    let (code, said, complained) = examine(&gateway.files, &url(&gateway), &["--json"]);
    assert_eq!(code, 0, "{said}{complained}");
    let report: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(report["ok"], true);
    assert_eq!(named(&report, false), BTreeSet::new());
    let good = named(&report, true);
    for check in CHECKS {
        assert!(good.contains(check), "{check}: {said}");
    }
    let skipped: Vec<&str> =
        report["skipped"].as_array().unwrap().iter().map(|skipped| skipped["check"].as_str().unwrap()).collect();
    assert_eq!(skipped, ["cookie_flags", "spoofed_identity_seen", "backend_direct"], "{said}");
}

/// Whatever a good gateway that gives JWTs passes.
const CHECKS: [&str; 34] = [
    "tls",
    "certificate",
    "tls_old",
    "plain_http",
    "login",
    "login_no_store",
    "login_members",
    "login_lifetime",
    "access_token",
    "access_token_no_store",
    "access_token_members",
    "access_token_lifetime",
    "login_second",
    "key_set",
    "key_set_public",
    "token_signature",
    "key_pem",
    "identifier_same",
    "identifier_unique",
    "identifier_opaque",
    "token_not_personal",
    "call",
    "request_id",
    "no_credential",
    "no_customer",
    "tampered_token",
    "unsigned_token",
    "no_client",
    "exchanged_token",
    "wrong_api_key",
    "no_api_key",
    "spoofed_identity",
    "ambiguous_paths",
    "login_refused",
];

#[test]
fn a_way_round_the_gateway_is_a_finding_and_a_closed_one_is_not() {
    let (backend, gateway) = world_with_profiles();
    let (code, said, _) = examine(&gateway.files, &url(&gateway), &["--json", "--backend", &backend.url()]);
    assert_eq!(code, 1, "{said}");
    let report: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(named(&report, false), BTreeSet::from(["backend_direct".to_owned()]), "{said}");
    let (code, said, _) = examine(&gateway.files, &url(&gateway), &["--backend", "http://127.0.0.1:1"]);
    assert_eq!(code, 0, "{said}");
}

#[test]
fn a_login_by_cookie_is_examined_too() {
    let backend = Backend::start();
    let config = Config::new(&backend).cookies("cookie");
    let gateway = Gateway::start(&config);
    let (code, said, complained) = examine(&gateway.files, &url(&gateway), &["--json"]);
    // A browser on a strange page could send the cookie, so the call needs an origin beside it or a client's token.
    let report: Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{complained}"));
    assert!(named(&report, true).contains("cookie_flags"), "{said}");
    assert!(code == 0 && named(&report, false).is_empty(), "{said}");
}

/// A gateway that does everything wrong.
struct BadGateway {
    child: Child,
    port: u16,
}

impl BadGateway {
    fn start(files: &Workspace) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/bad_gateway.py");
        let mut command = Command::new(interpreter());
        command.current_dir(&files.path).args([script, "certs/server.pem", "certs/server.key"]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self { child, port: line.trim().parse().unwrap() }
    }
}

impl Drop for BadGateway {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[test]
fn a_bad_gateway_has_each_finding_with_what_to_do() {
    let files = Workspace::new(&Config::new(&Backend::start()));
    let bad = BadGateway::start(&files);
    let (code, said, complained) =
        examine(&files, &format!("https://localhost:{}", bad.port), &["--json", "--html", "report.html"]);
    assert_eq!(code, 1, "{said}{complained}");
    let report: Value = serde_json::from_str(&said).unwrap();
    let findings = named(&report, false);
    let expected: BTreeSet<String> = [
        "tls",
        "tls_old",
        "login_no_store",
        "cookie_flags",
        "login_members",
        "login_lifetime",
        "access_token_no_store",
        "access_token_members",
        "access_token_lifetime",
        "key_set_public",
        "token_signature",
        "key_pem",
        "identifier_opaque",
        "token_not_personal",
        "request_id",
        "no_credential",
        "no_customer",
        "tampered_token",
        "unsigned_token",
        "no_client",
        "exchanged_token",
        "wrong_api_key",
        "no_api_key",
        "spoofed_identity",
        "ambiguous_paths",
        "login_refused",
        "login_method",
        "login_query",
        "access_token_refused",
    ]
    .into_iter()
    .map(str::to_owned)
    .collect();
    assert_eq!(findings, expected, "{said}");
    for entry in report["entries"].as_array().unwrap().iter().filter(|entry| entry["ok"] == false) {
        assert!(entry["fix"].as_str().is_some_and(|fix| fix.len() > 10), "{entry}");
    }
    let page = std::fs::read_to_string(files.path.join("report.html")).unwrap();
    assert!(findings.iter().all(|check| page.contains(&format!("<code>{check}</code>"))), "{page}");
    assert!(!page.contains("<script") && !page.contains("src=") && !page.contains("href="));
}

#[test]
fn no_secret_and_no_token_stands_in_a_report() {
    let (_backend, gateway) = world_with_profiles();
    let bad = BadGateway::start(&gateway.files);
    for url in [url(&gateway), format!("https://localhost:{}", bad.port)] {
        for form in [&["--html", "report.html"][..], &["--json"]] {
            let (_, said, complained) = examine(&gateway.files, &url, form);
            let page = std::fs::read_to_string(gateway.files.path.join("report.html")).unwrap();
            let all = [said, complained, page].concat();
            for secret in [ALICE.secret, BOB.secret, CLIENT.secret, API_KEY, "eyJ"] {
                assert!(!all.contains(secret), "{secret} in {all}");
            }
        }
    }
}

#[test]
fn where_nobody_answers_the_report_says_so_at_once() {
    let files = Workspace::new(&Config::new(&Backend::start()));
    let (code, said, _) = examine(&files, "https://localhost:1", &[]);
    assert!(code == 1 && said.contains("BAD  tls") && said.contains("1 finding"), "{said}");
    let (_backend, gateway) = world();
    gateway.files.write("other.pem", &std::fs::read_to_string(gateway.files.path.join("certs/server.pem")).unwrap());
    let (code, said, _) = gateway.files.run(&[
        "doctor",
        "--url",
        &url(&gateway),
        "--username",
        "a",
        "--password-file",
        "certs/identifier.key",
        "--ca",
        "other.pem",
    ]);
    assert!(code == 1 && said.contains("certificate"), "{said}");
}

#[test]
fn an_identifier_that_is_a_hash_of_another_field_is_found_where_the_field_is_told() {
    let (_backend, gateway) = world_with_profiles();
    let identifier = crate::harness::keys::decode(&gateway.customer_token()).1["sub"].as_str().unwrap().to_owned();
    let (code, said, _) = examine(&gateway.files, &url(&gateway), &["--known", ALICE.subject]);
    assert_eq!(code, 0, "{said}");
    let (code, said, _) =
        examine(&gateway.files, &url(&gateway), &["--known", ALICE.subject, "--known", &identifier[3..20]]);
    assert!(code == 1 && said.contains("BAD  identifier_opaque"), "{said}");
}

#[test]
fn what_is_no_url_or_no_file_is_said_before_anything_is_called() {
    let (_backend, gateway) = world();
    for (bad, words) in
        [("localhost:8443", "http"), ("ftp://localhost", "https://"), ("https://localhost/?a=b", "query"), ("", "URL")]
    {
        let (code, _, complained) = examine(&gateway.files, bad, &[]);
        assert!(code == 1 && complained.contains(words), "{bad}: {complained}");
    }
    let arguments = ["doctor", "--url", "https://localhost:1", "--username", "a", "--password-file", "nowhere"];
    assert!(gateway.files.fails(&arguments).contains("nowhere"));
}

#[test]
fn no_password_is_sent_in_the_clear_to_another_host() {
    use std::io::Read as _;
    let files = Workspace::new(&Config::new(&Backend::start()));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (code, said, _) = examine(&files, &format!("http://0.0.0.0:{port}"), &["--json"]);
    assert_eq!(code, 1, "{said}");
    listener.set_nonblocking(true).unwrap();
    while let Ok((mut stream, _)) = listener.accept() {
        let mut sent = Vec::new();
        stream.set_nonblocking(false).unwrap();
        stream.read_to_end(&mut sent).unwrap();
        assert_eq!(sent, b"", "only a connection");
    }
}

#[test]
fn each_check_that_was_not_made_is_named_with_the_reason() {
    let files = Workspace::new(&Config::new(&Backend::start()));
    let (_, said, _) = examine(&files, "https://localhost:1", &["--json"]);
    let report: Value = serde_json::from_str(&said).unwrap();
    let skipped = report["skipped"].as_array().unwrap();
    for check in CHECKS.iter().filter(|check| **check != "tls") {
        let told = skipped.iter().find(|skipped| skipped["check"] == **check);
        assert!(told.is_some_and(|told| told["why"].as_str().unwrap().contains("no way")), "{check}: {said}");
    }
}
