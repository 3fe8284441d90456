//! `make demo`, and the three calls that it prints, in a shell.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::harness::*;

#[test]
fn the_three_calls_of_the_demo_work_when_pasted_into_a_shell() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let directory = std::env::temp_dir().join(format!("wicketgate-demo-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let shipped = fs::read_to_string(root.join("gateway.yaml")).unwrap();
    let moved = shipped
        .replace("127.0.0.1:8443", "127.0.0.1:0")
        .replace("127.0.0.1:9900", "127.0.0.1:0")
        .replace("127.0.0.1:9000", &free.to_string());
    fs::write(directory.join("gateway.yaml"), moved).unwrap();
    fs::copy(root.join("accounts.yaml"), directory.join("accounts.yaml")).unwrap();
    let mut demo = Command::new(env!("CARGO_BIN_EXE_wicketgate"))
        .args(["demo", "--config", directory.join("gateway.yaml").to_str().unwrap()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(demo.stdout.take().unwrap()).lines().map_while(Result::ok);
    let calls: Vec<String> = lines
        .skip_while(|line| !line.starts_with("# 1."))
        .scan(false, |ended, line| {
            let go_on = !*ended;
            *ended = line.contains("api-key:");
            go_on.then_some(line)
        })
        .collect();
    let output = finish(Command::new("bash").args(["-e", "-o", "pipefail", "-c", &calls.join("\n")])).unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let also = String::from_utf8_lossy(&output.stderr).into_owned();
    Command::new("kill").args(["-INT", &demo.id().to_string()]).status().unwrap();
    assert_eq!(demo.wait().unwrap().code(), Some(0), "Ctrl-C ends the demo");
    fs::remove_dir_all(&directory).unwrap();
    assert!(output.status.success(), "{said} {also}");
    assert!(said.contains("\"x-customer-id\": \"t1-"), "{said}");
    for credential in ["authorization", "customer-auth", "api-key", "demo-key"] {
        assert!(!said.contains(credential), "{credential} reached the backend: {said}");
    }
    assert!(also.contains("\"token_type\":\"Bearer\"") && also.contains("\"JWT\":"), "{also}");
}
