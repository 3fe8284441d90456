//! Backends that fail, hang or die, and the response that callers get: docs/reliability.md has the table.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::backend::load_balancing::{several, up};
use crate::harness::http1::Fault;
use crate::harness::*;

/// No circuit, so that each request shows what it meets.
fn without_circuit(config: Config) -> Config {
    config.set("/backends/legacy/circuit_breaker", json!({"failures": 0}))
}

/// A web server that is a process of its own: it can be stopped without a word to anybody.
struct Process {
    child: Child,
    address: String,
}

impl Process {
    fn start() -> Self {
        let mut child = Command::new("python3")
            .args(["-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--protocol", "HTTP/1.1"])
            .current_dir("/proc/self/task")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let port =
            line.split("port ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap_or_else(|| panic!("{line}"));
        Self { child, address: format!("127.0.0.1:{port}") }
    }

    fn signal(&self, name: &str) {
        let output = program("kill", "procps", &["-s", name, &self.child.id().to_string()]);
        assert!(output.status.success());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

#[test]
fn a_backend_that_dies_loses_no_request_that_can_be_sent_again_and_repeats_no_other() {
    let (backends, gateway) = several::<2>(without_circuit);
    let gate = Gate::default();
    backends.iter().for_each(|backend| backend.on("/public/slow", Behaviour::Hold(gate.clone())));
    let calls: Vec<_> = ["GET", "POST"]
        .into_iter()
        .flat_map(|method| [(); 4].map(|()| gateway.request(method, "/public/slow")))
        .map(|request| thread::spawn(move || (request.method.clone(), request.send())))
        .collect();
    let seen = || backends.iter().map(|backend| backend.requests().len()).sum::<usize>();
    let until = Instant::now() + DEADLINE;
    while seen() < 8 {
        assert!(Instant::now() < until);
        thread::sleep(Duration::from_millis(5));
    }
    let (gets, posts): (Vec<_>, Vec<_>) = backends[0].requests().into_iter().partition(|seen| seen.method == "GET");
    backends[0].stop();
    backends[1].wait_for(8 - posts.len());
    gate.open();
    let mut lost = 0;
    for call in calls {
        let (method, answer) = call.join().unwrap();
        if method == "POST" && answer.status == 502 {
            lost += 1;
        } else {
            answer.ok();
        }
    }
    assert_eq!(lost, posts.len(), "a POST that was sent is not repeated");
    assert_eq!(seen(), 8 + gets.len());
    gateway.expect_metric("wicketgate_backend_retries_total", &[], gets.len() as f64);
    for _ in 0..10 {
        gateway.post("/public/x").body("x").send().ok();
    }
}

#[test]
fn a_server_that_hangs_is_504_then_ejected_and_comes_back() {
    let (process, backend) = (Process::start(), Backend::start());
    let config = Config::with_server(&format!("http://{}", process.address))
        .set("/backends/legacy/servers", json!([format!("http://{}", process.address), backend.url()]))
        .set("/backends/legacy/timeout", json!("200ms"))
        .set("/backends/legacy/slow_start", json!("0s"))
        .set(
            "/backends/legacy/outlier_detection",
            json!({"failures": 2, "base_ejection_time": "300ms", "max_ejection_time": "300ms"}),
        );
    let gateway = Gateway::start(&config);
    let call = || gateway.get("/public/x").send().status;
    let is_up = |value| gateway.expect_metric("wicketgate_backend_server_up", &[("server", &process.address)], value);
    // Python has no such file, which is an answer.
    while call() != 404 {}
    process.signal("STOP");
    let until = Instant::now() + DEADLINE;
    let mut timeouts = 0;
    while gateway.metric("wicketgate_backend_server_ejections_total", &[("server", &process.address)]) < 1.0 {
        assert!(Instant::now() < until);
        let status = call();
        assert!(matches!(status, 200 | 504), "{status}");
        timeouts += usize::from(status == 504);
    }
    assert_eq!(timeouts, 2);
    process.signal("CONT");
    is_up(1.0);
    while call() != 404 {
        assert!(Instant::now() < until, "it does not come back");
    }
}

#[test]
fn a_backend_that_does_not_answer_opens_the_circuit_breaker_until_it_does() {
    let (backend, gateway) = world_with(|c| {
        c.set("/backends/legacy/timeout", json!("100ms"))
            .set("/backends/legacy/circuit_breaker", json!({"failures": 3, "pause": "300ms"}))
    });
    backend.on("/public/x", Behaviour::Silent);
    for _ in 0..3 {
        gateway.get("/public/x").send().expect(504, "504-01");
    }
    let open = |value| gateway.expect_metric("wicketgate_backend_circuit_open", &[("backend", "legacy")], value);
    open(1.0);
    assert!(gateway.get("/public/x").send().expect(503, "503-05").retry_after() >= 1);
    assert_eq!(backend.requests().len(), 3, "it is not asked");
    // After the pause one request tries, and the others do not wait for it.
    let until = Instant::now() + DEADLINE;
    while backend.requests().len() < 4 {
        assert!(Instant::now() < until);
        assert!(matches!(gateway.get("/public/x").send().status, 503 | 504));
    }
    open(1.0);
    backend.on("/public/x", Behaviour::status(500));
    while gateway.get("/public/x").send().status == 503 {
        assert!(Instant::now() < until);
    }
    open(0.0);
    assert_eq!(gateway.get("/public/x").send().status, 500, "a bad answer is an answer");
    let said = |message| assert!(gateway.stderr.wait(|line| line["message"] == message).is_some(), "{message}");
    said("circuit breaker open: the backend does not answer");
    said("circuit breaker closed: the backend answers again");
}

#[test]
fn a_backend_that_refuses_is_asked_hardly_more_often_than_callers_ask() {
    let (backends, gateway) =
        several::<2>(|c| without_circuit(c).set("/backends/legacy/outlier_detection", json!({"failures": 0})));
    backends.iter().for_each(|backend| backend.on("/public/x", Behaviour::Close));
    for _ in 0..200 {
        gateway.get("/public/x").send().expect(502, "502-01");
    }
    let asked: usize = backends.iter().map(|backend| backend.requests().len()).sum();
    assert!((200..=220).contains(&asked), "{asked} for 200 requests");
    backends.iter().for_each(Backend::stop);
    for _ in 0..20 {
        gateway.get("/public/x").send().expect(502, "502-01");
    }
}

#[test]
fn a_body_may_take_longer_than_the_timeout_while_it_goes_on_and_no_longer() {
    let (backend, gateway) = world_with(|c| c.set("/backends/legacy/timeout", json!("400ms")));
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n".to_vec();
    let pieces = std::iter::once(head).chain(vec![b"x".to_vec(); 10]).collect();
    backend.on("/public/x", Behaviour::Dribble(pieces, Duration::from_millis(60)));
    assert_eq!(gateway.get("/public/x").send().ok().text(), "xxxxxxxxxx");
    let gate = Gate::default();
    let first = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello".to_vec();
    backend.on("/public/y", Behaviour::Staged(first, gate.clone(), b"world".to_vec()));
    let broken = gateway.get("/public/y").try_on(&mut gateway.connect());
    assert!(matches!(broken, Err(Fault::Truncated(_) | Fault::Closed)), "{broken:?}");
    gate.open();
    gateway.get("/public/z").send().ok();
}

#[test]
fn a_backend_that_dies_within_a_body_disturbs_no_other_exchange() {
    let (backends, gateway) = several::<2>(|c| c);
    let gate = Gate::default();
    let first = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello".to_vec();
    let staged = Behaviour::Staged(first, gate.clone(), b"world".to_vec());
    backends.iter().for_each(|backend| backend.on("/public/x", staged.clone()));
    let calls: Vec<_> = (0..6)
        .map(|_| {
            let request = gateway.get("/public/x");
            thread::spawn(move || request.try_on(&mut Connection::open(request.address)))
        })
        .collect();
    let seen = |index: usize| backends[index].requests_for("/public/x").len();
    let until = Instant::now() + DEADLINE;
    while seen(0) + seen(1) < 6 {
        assert!(Instant::now() < until);
        thread::sleep(Duration::from_millis(5));
    }
    backends[0].stop();
    gate.open();
    let whole = calls.into_iter().map(|call| call.join().unwrap()).filter(|answer| match answer {
        Ok(answer) => answer.text() == "helloworld",
        Err(fault) => !matches!(fault, Fault::Truncated(_) | Fault::Closed),
    });
    assert_eq!(whole.count(), seen(1));
}

#[test]
fn a_connection_that_the_backend_closed_while_it_was_idle_loses_no_post() {
    let (backend, gateway) = world_with(|c| c.set("/workers", json!(1)));
    for count in 1..=20 {
        gateway.post("/public/x").body("pay").send().ok();
        assert_eq!(backend.requests().len(), count);
        backend.hang_up();
    }
    gateway.expect_metric("wicketgate_backend_failures_total", &[], 0.0);
}

#[test]
fn the_circuit_breaker_and_the_concurrency_limit_survive_a_reload() {
    let (backend, gateway) =
        world_with(|c| c.set("/backends/legacy/circuit_breaker", json!({"failures": 2, "pause": "1m"})));
    backend.on("/public/x", Behaviour::Close);
    for _ in 0..2 {
        gateway.post("/public/x").body("x").send().expect(502, "502-01");
    }
    let changed = Config::new(&backend).set("/backends/legacy/circuit_breaker", json!({"failures": 3, "pause": "1m"}));
    gateway.reload(&changed, "reloaded");
    gateway.get("/public/y").send().expect(503, "503-05");
    // No server of it gets requests.
    up(&gateway, &backend, 0.0);
}

#[test]
fn connections_to_a_backend_survive_a_reload() {
    let (backend, gateway) = world_with(|c| c.set("/workers", json!(1)));
    gateway.get("/public/x").send().ok();
    let config =
        |timeout: &str| Config::new(&backend).set("/workers", json!(1)).set("/backends/legacy/timeout", json!(timeout));
    for timeout in ["8s", "9s"] {
        gateway.reload(&config(timeout), "reloaded");
        gateway.get("/public/x").send().ok();
    }
    assert!(backend.requests().iter().all(|seen| seen.connection == 1), "{:#?}", backend.requests());
    // Other servers have other connections, and the old ones are closed.
    let health = json!({"path": "/health", "interval": "1h"});
    gateway.reload(&config("9s").set("/backends/legacy/health_check", health), "reloaded");
    gateway.get("/public/y").send().ok();
    assert_ne!(backend.requests_for("/public/y")[0].connection, 1);
}

#[test]
fn a_backend_that_does_not_answer_is_504() {
    let (backend, gateway) = world_with(|c| {
        c.set("/backends/legacy/timeout", json!("300ms")).route("key", "limits", json!({"timeout": "100ms"}))
    });
    backend.on("/public/x", Behaviour::Silent);
    backend.on("/key/x", Behaviour::Silent);
    gateway.get("/public/x").send().expect(504, "504-01");
    gateway.get("/key/x").api_key(API_KEY).send().expect(504, "504-01");
    assert_eq!(backend.requests().len(), 2, "a request that timed out is not sent again");
    gateway.get("/public/canary").send().ok();
}

#[test]
fn a_backend_that_cannot_be_reached_is_502() {
    let gateway = Gateway::start(&Config::with_server("http://127.0.0.1:9"));
    gateway.get("/public/x").send().expect(502, "502-01");
    gateway.post("/public/x").body("x").send().expect(502, "502-01");
    let config =
        Config::with_server("http://backend.invalid:8080").set("/backends/legacy/danger_plaintext", json!(true));
    let gateway = Gateway::start(&config);
    gateway.get("/public/x").send().expect(502, "502-01");
}
