//! HTTP clients that people have: none loses a call by a refusal, a pause, or a change of the process.
//!
//! Each runs one plan of calls (tests/clients/http) on connections that it keeps, and says which calls it has lost.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::python::interpreter;
use crate::harness::*;

/// How long a client may take for its whole plan.
const PATIENCE: Duration = Duration::from_secs(240);

/// A call of a plan: method, path, bytes of its body, statuses that are right, and a header field.
type Call<'a> = (&'a str, &'a str, usize, &'a str, &'a str);

/// Refusals of every kind, and a good call behind each: a thousand calls in all.
fn refusals() -> Vec<Call<'static>> {
    let kinds = [
        ("/account/getprofile", "401,413", ""),
        ("/key/x", "403,413", "api-key: unknown"),
        ("/nowhere", "404,413", ""),
        ("/.well-known/jwks.json", "405,413", ""),
        ("/auth/customer_authenticate", "400,413,415", "Content-Type: application/xml"),
        ("/oauth/access_token", "400,401,413,415", "Content-Type: application/xml"),
        ("/public/x", "200,413", ""),
    ];
    let mut plan = Vec::new();
    for (length, rounds) in [(0, 18), (2, 18), (1_000, 18), (20_000, 18), (300_000, 4), (2_000_000, 4)] {
        for (path, expected, header) in kinds.repeat(rounds) {
            plan.push(("POST", path, length, expected, header));
            plan.push(("GET", "/public/x", 0, "200", ""));
        }
    }
    plan
}

/// A client that runs.
struct Running(Child);

impl Running {
    /// Starts a client of tests/clients/http, or curl, with a plan.
    #[track_caller]
    fn start(gateway: &Gateway, client: &str, plan: &[Call<'_>], mode: &str) -> Self {
        let base = format!("https://localhost:{}", gateway.address.port());
        let path = gateway.files.path.clone();
        let (ca, file) = (path.join("certs/ca.pem"), path.join("plan"));
        let line = |(method, path, size, expected, header): &Call<'_>| {
            format!("{method}\t{path}\t{size}\t{expected}\t{header}\n")
        };
        std::fs::write(&file, plan.iter().map(line).collect::<String>()).unwrap();
        let (script, more) = client.split_once(' ').unwrap_or((client, ""));
        let mut command = match script {
            "httpx_calls.py" => Command::new(interpreter()),
            "node_calls.mjs" => Command::new("node"),
            "Calls.java" => Command::new("java"),
            "calls.php" => Command::new("php"),
            other => panic!("{other}"),
        };
        let modules = root().join("target/node/node_modules");
        command.arg(root().join("tests/clients/http").join(script)).args([&base, ca.to_str().unwrap()]);
        command.arg(&file).arg(mode).args(more.split_whitespace()).arg(modules);
        Self::run(&mut command)
    }

    #[track_caller]
    fn run(command: &mut Command) -> Self {
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        Self(
            child
                .unwrap_or_else(|error| panic!("cannot run {command:?} ({error}): `make deps` installs what it needs")),
        )
    }

    /// Waits for its end: all that it said.
    #[track_caller]
    fn said(mut self) -> String {
        let begun = Instant::now();
        let (mut out, mut err) = (self.0.stdout.take().unwrap(), self.0.stderr.take().unwrap());
        let read = |stream: &mut dyn std::io::Read| {
            let mut text = Vec::new();
            stream.read_to_end(&mut text).ok();
            String::from_utf8_lossy(&text).into_owned()
        };
        std::thread::scope(|scope| {
            let out = scope.spawn(|| read(&mut out));
            let err = scope.spawn(|| read(&mut err));
            while self.0.try_wait().unwrap().is_none() {
                if begun.elapsed() > PATIENCE {
                    self.0.kill().ok();
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            format!("{}{}", out.join().unwrap(), err.join().unwrap())
        })
    }

    /// It has made at least so many calls and lost none.
    #[track_caller]
    fn lost_none_of(self, least: usize) {
        let said = self.said();
        let numbers = said.lines().find_map(|line| line.strip_prefix("DONE ")).unwrap_or_else(|| panic!("{said}"));
        let (calls, lost) = numbers.split_once(' ').unwrap();
        println!("{calls} calls, {lost} lost");
        assert!(lost == "0" && calls.parse::<usize>().unwrap() >= least, "{said}");
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

#[track_caller]
fn loses_no_refusal(client: &str) {
    let (_backend, gateway) = world();
    let mut plan = refusals();
    if client.ends_with("undici") {
        // It never lets go of a body that was answered before it was sent, and refuses to make calls itself
        // (ENHANCE_YOUR_CALM) once it holds 10 MB of them, whoever answers.
        plan.retain(|call| call.2 <= 20_000);
    }
    Running::start(&gateway, client, &plan, "once").lost_none_of(1_000);
}

/// Pauses that are shorter and longer than what a stalled write may take, and about as long as an idle connection lives.
#[track_caller]
fn loses_no_call_after_a_pause(client: &str) {
    let (_backend, gateway) =
        world_with(|config| config.limit("body_idle_timeout", json!("500ms")).limit("idle_timeout", json!("1500ms")));
    let get = ("GET", "/public/x", 0, "200", "");
    let mut plan = vec![get];
    for pause in [100, 700, 1_450, 1_550, 1_750, 2_500, 700, 1_450, 1_550, 1_750] {
        plan.extend([("PAUSE", "", pause, "", ""), get, ("POST", "/public/x", 1_000, "200", "")]);
    }
    Running::start(&gateway, client, &plan, "once").lost_none_of(21);
}

/// Reloads and upgrades while it calls, and at last an end: what was begun is answered.
#[track_caller]
fn loses_no_call_while_the_process_changes(client: &str) {
    let (backend, mut gateway) = world();
    // A GET is the last before a pause: curl 7.88 looks at no more than one record of TLS when it takes up a connection
    // again, and that might be the WINDOW_UPDATE for a body, with the GOAWAY behind it.
    let calls = [
        ("POST", "/account/getprofile", 1_000, "401", ""),
        ("POST", "/public/x", 20_000, "200", ""),
        ("GET", "/public/x", 0, "200", ""),
    ];
    // Many calls without a pause, and then a moment in which no call is on its way.
    let plan = [&calls.repeat(10)[..], &[("PAUSE", "", 300, "", "")]].concat();
    let running = Running::start(&gateway, client, &plan, "until-refused");
    let mut awaited = 0;
    let mut wait = || {
        awaited = backend.requests().len().max(awaited) + 60;
        backend.wait_for(awaited);
    };
    for _ in 0..4 {
        wait();
        gateway.hup("reloaded");
        wait();
        let (new, mut old) = gateway.upgrade();
        assert_eq!(old.wait_exit().code(), Some(0));
        gateway = new;
    }
    wait();
    // The kernel resets what has connected and was not accepted when a socket is closed: between two calls nothing has.
    let mut quiet = (0, Instant::now());
    eventually("a pause", || {
        let seen = backend.requests().len();
        if seen != quiet.0 {
            quiet = (seen, Instant::now());
        }
        quiet.1.elapsed() > Duration::from_millis(100)
    });
    assert_eq!(gateway.terminate(), Some(0));
    running.lost_none_of(300);
}

/// Tests of each client.
macro_rules! clients {
    ($($name:ident: $client:literal)*) => {
        mod bodies { $(#[test] fn $name() { super::loses_no_refusal($client) })* }
        mod pauses { $(#[test] fn $name() { super::loses_no_call_after_a_pause($client) })* }
        mod signals { $(#[test] fn $name() { super::loses_no_call_while_the_process_changes($client) })* }
    };
}

clients! {
    java_http_client_loses_none: "Calls.java"
    httpx_loses_none: "httpx_calls.py"
    node_https_loses_none: "node_calls.mjs https"
    node_http2_loses_none: "node_calls.mjs http2"
    undici_loses_none: "node_calls.mjs undici"
    php_curl_by_http_2_loses_none: "calls.php 2"
    php_curl_by_http_1_1_loses_none: "calls.php 1.1"
}

/// What curl says of this plan: status and error of each call.
fn curl(gateway: &Gateway, version: &str, plan: &[Call<'_>]) -> Running {
    let path = &gateway.files.path;
    let mut config = String::new();
    for (method, target, size, _, header) in plan {
        let body = path.join(format!("body-{size}"));
        if !body.exists() {
            std::fs::write(&body, vec![b'x'; *size]).unwrap();
        }
        config += &format!("next\nurl = \"https://localhost:{}{target}\"\n{version}\nsilent\n", gateway.address.port());
        config += &format!("cacert = \"{}\"\noutput = \"/dev/null\"\n", path.join("certs/ca.pem").display());
        config += "write-out = \"%{http_code} %{exitcode} %{errormsg}\\n\"\n";
        if *method == "POST" {
            config += &format!("data-binary = \"@{}\"\n", body.display());
        }
        if !header.is_empty() {
            config += &format!("header = \"{header}\"\n");
        }
    }
    let file = path.join("curl");
    std::fs::write(&file, config.strip_prefix("next\n").unwrap_or(&config)).unwrap();
    Running::run(Command::new("curl").arg("--config").arg(file))
}

#[track_caller]
fn curl_loses_no_refusal(version: &str) {
    let (_backend, gateway) = world();
    let plan = refusals();
    let said = curl(&gateway, version, &plan).said();
    let answers: Vec<&str> = said.lines().collect();
    assert_eq!(answers.len(), plan.len(), "{said}");
    let good = |answer: &str, call: &Call<'_>| {
        answer.strip_suffix(" 0 ").is_some_and(|status| call.3.split(',').any(|expected| expected == status))
    };
    let lost: Vec<_> = answers.iter().zip(&plan).filter(|(answer, call)| !good(answer, call)).collect();
    assert!(lost.is_empty(), "{} lost: {:?}", lost.len(), &lost[..lost.len().min(10)]);
}

#[test]
fn curl_by_http_2_loses_no_refusal() {
    curl_loses_no_refusal("http2");
}

#[test]
fn curl_by_http_1_1_loses_no_refusal() {
    curl_loses_no_refusal("http1.1");
}

#[test]
fn h2load_loses_no_refusal_by_either_version() {
    let (_backend, gateway) = world();
    for (version, more) in [("h2", &["-m", "10"][..]), ("http/1.1", &["--h1"])] {
        for length in [2, 1_000, 20_000, 300_000, 2_000_000] {
            let body = gateway.files.path.join("body");
            std::fs::write(&body, vec![b'x'; length]).unwrap();
            let count = if length > 100_000 { "40" } else { "200" };
            let url = format!("https://localhost:{}/account/getprofile", gateway.address.port());
            let mut command = Command::new("h2load");
            command.args(["-n", count, "-c", "4", "-d"]).arg(&body).args(more).arg(url);
            let said = Running::run(&mut command).said();
            let good = format!(
                "{count} total, {count} started, {count} done, 0 succeeded, {count} failed, 0 errored, 0 timeout"
            );
            assert!(said.contains(&good) && said.contains(&format!("{count} 4xx")), "{version} {length}: {said}");
        }
    }
}
