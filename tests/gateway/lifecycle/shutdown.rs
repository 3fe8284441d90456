//! Shutdown on SIGTERM: requests in flight are answered, then the process exits.

use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::*;

/// Waits until nobody listens any more.
#[track_caller]
fn wait_until_refused(gateway: &Gateway) {
    let until = Instant::now() + DEADLINE;
    while TcpStream::connect(gateway.address).is_ok() {
        assert!(Instant::now() < until, "new connections are still accepted");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_gateway_without_work_ends_at_once_with_exit_code_0() {
    let (_backend, mut gateway) = world();
    let mut idle = gateway.connect();
    gateway.get("/public/x").send_on(&mut idle).ok();
    let start = Instant::now();
    assert_eq!(gateway.terminate(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(4), "an idle connection holds it up");
    assert!(idle.closes());
}

#[test]
fn a_request_in_flight_gets_its_whole_answer() {
    let (backend, mut gateway) = world();
    let gate = Gate::default();
    backend.on("/public/slow", Behaviour::Hold(gate.clone()));
    let slow = gateway.get("/public/slow");
    let waiting = thread::spawn(move || slow.send());
    backend.wait_for(1);
    gateway.signal("TERM");
    wait_until_refused(&gateway);
    assert!(gateway.running());
    gate.open();
    let answer = waiting.join().unwrap().ok();
    assert_eq!(answer.text(), r#"{"ok":true}"#);
    assert!(answer.close, "the last answer on a connection says so: {:?}", answer.lines);
    assert_eq!(gateway.wait_exit().code(), Some(0));
}

#[test]
fn over_http_2_a_request_in_flight_gets_its_whole_answer() {
    let (backend, mut gateway) = world();
    let gate = Gate::default();
    backend.on("/public/slow", Behaviour::Hold(gate.clone()));
    let address = gateway.address;
    let waiting = thread::spawn(move || {
        let request = http::Request::get("https://localhost/public/slow").body(()).unwrap();
        h2_client::send(address, request, b"", None)
    });
    backend.wait_for(1);
    gateway.signal("TERM");
    wait_until_refused(&gateway);
    gate.open();
    assert_eq!(waiting.join().unwrap().unwrap().status(), 200);
    assert_eq!(gateway.wait_exit().code(), Some(0));
}

#[test]
fn after_the_grace_time_the_process_ends_anyway() {
    let (backend, mut gateway) = world_with(|c| c.set("/shutdown/grace", json!("300ms")));
    backend.on("/public/slow", Behaviour::Silent);
    let mut connection = gateway.connect();
    connection.send(&gateway.get("/public/slow").bytes());
    backend.wait_for(1);
    let start = Instant::now();
    gateway.signal("TERM");
    gateway.wait_exit();
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
}

#[test]
fn a_second_signal_ends_it_now() {
    let (backend, mut gateway) =
        world_with(|c| c.set("/shutdown/grace", json!("60s")).set("/backends/legacy/timeout", json!("60s")));
    backend.on("/public/slow", Behaviour::Silent);
    let mut connection = gateway.connect();
    connection.send(&gateway.get("/public/slow").bytes());
    backend.wait_for(1);
    gateway.signal("TERM");
    wait_until_refused(&gateway);
    assert!(gateway.running());
    gateway.signal("TERM");
    gateway.wait_exit();
}

#[test]
fn the_gateway_is_alive_but_not_ready_while_it_drains() {
    let (backend, gateway) = world();
    assert_eq!((gateway.admin("/livez").status, gateway.admin("/readyz").status), (200, 200));
    let gate = Gate::default();
    backend.on("/public/slow", Behaviour::Hold(gate.clone()));
    let slow = gateway.get("/public/slow");
    let waiting = thread::spawn(move || slow.send());
    backend.wait_for(1);
    gateway.signal("TERM");
    wait_until_refused(&gateway);
    assert_eq!((gateway.admin("/livez").status, gateway.admin("/readyz").status), (200, 503));
    gate.open();
    waiting.join().unwrap().ok();
}

#[test]
fn a_resource_that_is_missing_at_the_start_is_named_and_nothing_is_left_behind() {
    let backend = Backend::start();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = json!(taken.local_addr().unwrap().to_string());
    let config = Config::new(&backend);
    let all = [
        (config.clone().set("/listen/0/address", address.clone()), "change `listen[].address`"),
        (config.clone().set("/admin/address", address), "change `admin.address`"),
        (config.clone().set("/state/embedded/path", json!("a-file/data")), "change `state.embedded.path`"),
        (config.clone().set("/admin/socket", json!("a-file/admin.sock")), "change `admin.socket`"),
        (config.clone().set("/identifier/key/file", json!("certs/open.key")), "chmod 600"),
    ];
    for (config, help) in all {
        let files = gateway::Workspace::new(&config.file("a-file", "").file("certs/open.key", &keys::key_file()));
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        std::fs::set_permissions(files.path.join("certs/open.key"), open).unwrap();
        let (code, out, err) = files.run(&["run", "--config", "gateway.yaml"]);
        assert!(code == 1 && out.is_empty() && err.contains(help), "{help}: {code} {out} {err}");
        assert!(!files.path.join("data/admin.sock").exists(), "{help}");
    }
}

#[test]
fn a_storm_of_restarts_leaves_nothing_behind() {
    let backend = Backend::start();
    let config = Config::new(&backend);
    let files = Arc::new(gateway::Workspace::new(&config));
    for _ in 0..10 {
        let mut gateway = Gateway::start_in(Arc::clone(&files), config.signing_key.clone());
        assert_eq!(gateway.terminate(), Some(0));
        let left = std::fs::read_dir(files.path.join("data")).unwrap();
        let mut left: Vec<_> = left.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        left.sort();
        assert_eq!(left, ["audit.jsonl", "audit.lock", "last-uses.json", "state.redb"]);
    }
}

#[test]
fn a_crash_writes_no_memory_to_the_disk() {
    let backend = Backend::start();
    let config = Config::new(&backend);
    let files = Arc::new(gateway::Workspace::new(&config));
    let script = r#"ulimit -c unlimited; exec "$@""#;
    let mut gateway = Gateway::start_in_shell(files, config.signing_key.clone(), script);
    gateway.signal("ABRT");
    let status = gateway.wait_exit();
    assert_eq!(status.signal(), Some(6));
    assert!(!status.core_dumped());
}

#[test]
fn a_sigterm_under_load_loses_no_request_that_has_reached_the_backend() {
    let (backend, mut gateway) = world();
    let callers: Vec<_> = (0..6)
        .map(|number| {
            let request = gateway.profile();
            thread::spawn(move || {
                let mut connection = Connection::open(request.address);
                let mut answered = 0;
                // Until nobody listens any more, or a connection that was kept has been closed in between.
                while let Ok(answer) = request.try_on(&mut connection) {
                    answer.ok();
                    answered += 1;
                    if number % 2 == 0 {
                        let socket = TcpStream::connect(request.address);
                        match socket.and_then(|socket| Connection::over(socket, client::tls(b"http/1.1", None))) {
                            Ok(new) => connection = new,
                            Err(_) => break,
                        }
                    }
                }
                answered
            })
        })
        .collect();
    backend.wait_for(50);
    assert_eq!(gateway.terminate(), Some(0));
    let answered: usize = callers.into_iter().map(|caller| caller.join().unwrap()).sum();
    assert_eq!(backend.requests().len(), answered, "each request that was sent on has its answer");
}

#[test]
fn during_the_shutdown_delay_calls_are_answered_with_connection_close() {
    let (_backend, mut gateway) = world_with(|c| c.set("/shutdown", json!({"delay": "60s", "grace": "5s"})));
    let mut open = gateway.connect();
    gateway.get("/public/x").send_on(&mut open).ok();
    gateway.signal("TERM");
    let until = Instant::now() + DEADLINE;
    while gateway.admin("/readyz").status == 200 {
        assert!(Instant::now() < until, "load balancers learn nothing");
    }
    for _ in 0..3 {
        let answer = gateway.get("/public/x").send().ok();
        assert!(answer.close, "{:?}", answer.lines);
    }
    assert!(open.closes());
    let request = http::Request::get("https://localhost/public/x").body(()).unwrap();
    assert_eq!(h2_client::send(gateway.address, request, b"", None).unwrap().status(), 200);
    // Who cannot wait says so again.
    gateway.signal("TERM");
    gateway.wait_exit();
}

#[test]
fn after_the_delay_the_process_drains_and_ends() {
    let (_backend, mut gateway) = world_with(|c| c.set("/shutdown", json!({"delay": "200ms", "grace": "5s"})));
    gateway.get("/public/x").send().ok();
    assert_eq!(gateway.terminate(), Some(0));
    let said = gateway.stderr.all().join("\n");
    let place = |word: &str| said.find(word).unwrap_or_else(|| panic!("{word}: {said}"));
    assert!(place("\"closing: ") < place("\"draining\""));
}
