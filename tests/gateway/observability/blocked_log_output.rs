//! Log output whose reader is stuck or gone.

use std::sync::Arc;

use crate::harness::*;

/// Its standard error is read until it is ready, and then no more.
const UNREAD: &str = r#"exec 2> >(sed -u '/"ready"/q' >&2; sleep 60); exec "$@""#;

#[test]
fn a_standard_error_that_nobody_reads_stops_neither_calls_nor_the_end_of_the_process() {
    let backend = Backend::start();
    let config = Config::new(&backend).set("/backends/away", json!({"servers": ["http://127.0.0.1:1"]}));
    let config = config.add_route(json!({
        "name": "away", "path": "/away/", "methods": ["GET"], "public": true, "backend": "away",
    }));
    let files = Arc::new(gateway::Workspace::new(&config));
    let mut gateway = Gateway::start_in_shell(files, config.signing_key.clone(), UNREAD);
    // Each reload says many times more than it has to say, until more has been said than any pipe holds.
    let reloads = |gateway: &Gateway| gateway.metric("wicketgate_reloads_total", &[("outcome", "failed")]);
    let wrong: Vec<Value> = (0..200).map(|number| json!({"name": format!("wrong-{number}")})).collect();
    gateway.files.write("gateway.yaml", &config.clone().set("/routes", json!(wrong)).text());
    for _ in 0..20 {
        let before = reloads(&gateway);
        gateway.signal("HUP");
        eventually("a reload that fails", || reloads(&gateway) > before);
    }
    // A worker has something to say too.
    for _ in 0..20 {
        gateway.get("/away/x").send().expect(502, "502-01");
        gateway.get("/public/x").send().ok();
    }
    assert_eq!(gateway.terminate(), Some(0));
}

#[test]
fn an_access_log_whose_reader_is_gone_is_counted_and_told() {
    let backend = Backend::start();
    let config = Config::new(&backend);
    let files = Arc::new(gateway::Workspace::new(&config));
    let gateway = Gateway::start_in_shell(files, config.signing_key.clone(), r#"exec > >(exit); exec "$@""#);
    eventually("a line that is lost", || {
        gateway.get("/public/x").send().ok();
        gateway.metric("wicketgate_access_log_dropped_total", &[]) > 0.0
    });
    let told =
        |line: &Value| line["message"].as_str().is_some_and(|said| said.contains("access log cannot be written"));
    gateway.stderr.wait(told).unwrap();
}
