//! Request bytes collected by others, judged by what the backend sees.
//!
//! Each case goes over a TLS connection of its own. The backend must never see more whole requests than the caller
//! gets answers, never bytes that are not strictly HTTP/1.1, and a canary on a fresh connection gets its own answer.

use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::harness::http1::find;
use crate::harness::*;

struct Case {
    name: String,
    steps: Vec<Vec<u8>>,
}

pub(crate) fn unhex(text: &str) -> Vec<u8> {
    text.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// All cases with the bytes of a request; `@@HOST@@` becomes localhost.
fn cases() -> Vec<Case> {
    let probe: Value = serde_json::from_str(include_str!("../../vectors/http1/http11probe_cases.json")).unwrap();
    let llhttp: Value = serde_json::from_str(include_str!("../../vectors/http1/llhttp_cases.json")).unwrap();
    let probe =
        probe["cases"].as_array().unwrap().iter().filter(|case| case["payload_hex"].is_array()).map(|case| Case {
            name: case["id"].as_str().unwrap().to_owned(),
            steps: case["payload_hex"]
                .as_array()
                .unwrap()
                .iter()
                .map(|step| with_host(&unhex(step.as_str().unwrap())))
                .collect(),
        });
    let requests = |case: &&Value| case["meta"]["type"].as_str().is_some_and(|kind| kind.starts_with("request"));
    let llhttp = llhttp["cases"].as_array().unwrap().iter().filter(requests).map(|case| Case {
        name: case["id"].as_str().unwrap().to_owned(),
        steps: vec![unhex(case["input_hex"].as_str().unwrap())],
    });
    probe.chain(llhttp).collect()
}

pub(crate) fn with_host(bytes: &[u8]) -> Vec<u8> {
    let mut rest = bytes;
    let mut result = Vec::new();
    while let Some(at) = find(rest, b"@@HOST@@") {
        result.extend_from_slice(&rest[..at]);
        result.extend_from_slice(b"localhost");
        rest = &rest[at + 8..];
    }
    result.extend_from_slice(rest);
    result
}

/// How many final answers the caller got.
fn answers(gateway: &Gateway, case: &Case) -> usize {
    let mut connection = gateway.connect();
    connection.patience(Duration::from_millis(250));
    for step in &case.steps {
        connection.send(step);
        // An answer that is complete, or a quarter of a second without a byte.
        while matches!(connection.wire.fill(), Ok(true)) {}
    }
    let received = std::mem::take(&mut connection.wire.buffer);
    let text: String = received.iter().map(|&b| char::from(b)).collect();
    let statuses =
        ["HTTP/1.1 ", "HTTP/1.0 "].iter().flat_map(|version| text.match_indices(version).map(|(at, _)| at + 9));
    let finals = statuses
        .filter(|&at| text.get(at..at + 3).and_then(|s| s.parse::<u16>().ok()).is_some_and(|status| status >= 200))
        .count();
    connection.abort();
    finals
}

fn judge(case: &Case, backend: &Backend, gateway: &Gateway, faults: &Mutex<Vec<String>>) {
    backend.forget();
    let got = answers(gateway, case);
    let canary = gateway.get("/canary").try_on(&mut gateway.connect()).map(|answer| (answer.status, answer.text()));
    let mut told = Vec::new();
    let asked = backend.requests().iter().filter(|seen| seen.complete && seen.target != "/canary").count();
    if asked > got {
        told.push(format!("the backend was asked {asked} times, the caller got {got} answers"));
    }
    if canary != Ok((200, "canary".to_owned())) {
        told.push(format!("the canary got {canary:?}"));
    }
    told.extend(backend.problems().into_iter().map(|problem| format!("the backend got {problem}")));
    if !told.is_empty() {
        faults.lock().unwrap().push(format!("{}: {}", case.name, told.join("; ")));
    }
}

/// A gateway with everything open below /, or closed but for the canary.
fn everything(public: bool) -> (Backend, Gateway) {
    let methods = json!(["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"]);
    let (backend, gateway) = world_with(|c| {
        let mut all = json!({"name": "all", "path": "/", "methods": methods, "backend": "legacy"});
        if public {
            all["public"] = json!(true)
        } else {
            all["require"] = json!(["customer"])
        }
        let canary = json!({"name": "canary", "path": {"exact": "/canary"}, "methods": ["GET"], "public": true, "backend": "legacy"});
        c.without("/api_keys").set("/routes", json!([all, canary]))
    });
    backend.on("/canary", Behaviour::reply(200, &[], b"canary"));
    (backend, gateway)
}

#[test]
fn no_collected_request_desynchronises_the_open_gateway() {
    let cases = cases();
    assert!(cases.len() > 300, "{}", cases.len());
    let faults = Mutex::new(Vec::new());
    let (threads, cases, shared) = (12, &cases, &faults);
    thread::scope(|scope| {
        for number in 0..threads {
            scope.spawn(move || {
                let (backend, gateway) = everything(true);
                for case in cases.iter().skip(number).step_by(threads) {
                    judge(case, &backend, &gateway, shared);
                }
            });
        }
    });
    let faults = faults.into_inner().unwrap();
    assert!(faults.is_empty(), "{} of {} cases:\n{}", faults.len(), cases.len(), faults.join("\n"));
}

#[test]
fn no_collected_request_passes_the_closed_gateway() {
    let cases = cases();
    let (backend, gateway) = everything(false);
    let (threads, cases, shared) = (16, &cases, &gateway);
    thread::scope(|scope| {
        for number in 0..threads {
            scope.spawn(move || {
                for case in cases.iter().skip(number).step_by(threads) {
                    answers(shared, case);
                }
            });
        }
    });
    let passed: Vec<_> = backend.requests().into_iter().filter(|seen| seen.target != "/canary").collect();
    assert!(passed.is_empty(), "{passed:#?}");
    assert_eq!(backend.problems(), [""; 0]);
    assert_eq!(gateway.get("/canary").send().ok().text(), "canary");
}

#[test]
fn bytes_that_are_cut_anywhere_reach_no_backend_as_a_whole_request() {
    let (backend, gateway) = everything(true);
    let whole = gateway.post("/x").body("hello").bytes();
    for length in (0..whole.len()).step_by(7) {
        let mut connection = gateway.connect();
        connection.send(&whole[..length]);
        connection.abort();
    }
    gateway.get("/canary").send().ok();
    assert!(!backend.requests_for("/x").iter().any(|seen| seen.complete));
}
