//! Idle connections to old servers: those that close early, what servers say about it, `keep_alive`, and
//! `max_connections`.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::client::answer;
use crate::harness::http1::{Wire, latin1};
use crate::harness::*;

/// A server whose connections end as its script says.
#[derive(Clone)]
struct Script {
    answer: Vec<u8>,
    /// So long after each answer it closes; none: it waits for the gateway to close.
    closes_after: Option<Duration>,
    /// It closes with RST in place of FIN.
    resets: bool,
    /// So long it takes for an answer.
    works_for: Duration,
    /// It accepts the next connection when the one before has ended.
    one_at_a_time: bool,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            answer: answer(&[], "ok"),
            closes_after: None,
            resets: false,
            works_for: Duration::ZERO,
            one_at_a_time: false,
        }
    }
}

/// What it has seen.
#[derive(Default)]
struct Tally {
    connections: usize,
    open: usize,
    /// How often each target was asked for.
    asked: BTreeMap<String, usize>,
    in_flight: usize,
    most_in_flight: usize,
}

struct OldServer {
    address: SocketAddr,
    tally: Arc<Mutex<Tally>>,
}

impl OldServer {
    fn start(script: Script) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self { address: listener.local_addr().unwrap(), tally: Arc::default() };
        let tally = Arc::clone(&server.tally);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (script, tally) = (script.clone(), Arc::clone(&tally));
                let is_alone = script.one_at_a_time;
                let serving = thread::spawn(move || serve(&stream, &script, &tally));
                if is_alone {
                    serving.join().ok();
                }
            }
        });
        server
    }

    fn closing(after: Duration, resets: bool) -> Self {
        Self::start(Script { closes_after: Some(after), resets, ..Script::default() })
    }

    fn config(&self) -> Config {
        Config::with_server(&format!("http://{}", self.address))
    }

    fn connections(&self) -> usize {
        self.tally.lock().unwrap().connections
    }
}

fn serve(stream: &TcpStream, script: &Script, tally: &Mutex<Tally>) {
    stream.set_nodelay(true).unwrap();
    {
        let mut tally = tally.lock().unwrap();
        tally.connections += 1;
        tally.open += 1;
    }
    let mut wire = Wire::new(stream);
    while let Ok(head) = wire.head() {
        let head = latin1(&head);
        let length = head
            .to_ascii_lowercase()
            .split("content-length: ")
            .nth(1)
            .map_or(0, |rest| rest.lines().next().unwrap_or_default().parse().unwrap());
        if wire.exact(length).is_err() {
            break;
        }
        {
            let mut tally = tally.lock().unwrap();
            *tally.asked.entry(head.split(' ').nth(1).unwrap_or_default().to_owned()).or_default() += 1;
            tally.in_flight += 1;
            tally.most_in_flight = tally.most_in_flight.max(tally.in_flight);
        }
        thread::sleep(script.works_for);
        tally.lock().unwrap().in_flight -= 1;
        let mut out = stream;
        if out.write_all(&script.answer).is_err()
            || script.closes_after.is_some_and(|after| !comes_within(stream, after))
        {
            break;
        }
    }
    if script.resets {
        socket2::SockRef::from(stream).set_linger(Some(Duration::ZERO)).unwrap();
    }
    tally.lock().unwrap().open -= 1;
}

/// Whether something comes in time, to a fraction of a millisecond.
fn comes_within(stream: &TcpStream, time: Duration) -> bool {
    let until = Instant::now() + time;
    stream.set_nonblocking(true).unwrap();
    let came = loop {
        match stream.peek(&mut [0]) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            seen => break seen.is_ok_and(|count| count > 0),
        }
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break false;
        }
        thread::sleep(left.min(time / 10).min(Duration::from_millis(1)));
    };
    stream.set_nonblocking(false).unwrap();
    came
}

const CALLERS: usize = 4;

/// Several callers send requests, back to back and then with pauses around the time after which the server closes.
/// Returns how many had which status.
fn calls(gateway: &Gateway, method: &str, each: usize, paused: usize, delay: Duration) -> BTreeMap<u16, usize> {
    let caller = |caller: usize| {
        let mut connection = gateway.connect();
        let request = |number: usize| gateway.request(method, &format!("/public/{caller}-{number}"));
        let requests: Vec<_> = (0..each + paused).map(request).collect();
        let has_body = method == "POST";
        thread::spawn(move || {
            let mut statuses = Vec::new();
            for (number, request) in requests.into_iter().enumerate() {
                if number >= each {
                    let percent = [50, 80, 90, 95, 98, 100, 102, 105, 120][number % 9];
                    thread::sleep(delay * percent / 100);
                }
                if number % 50 == 49 {
                    connection = Connection::open(request.address);
                }
                let request = if has_body { request.body("pay") } else { request };
                statuses.push(request.send_on(&mut connection).status);
            }
            statuses
        })
    };
    let callers: Vec<_> = (0..CALLERS).map(caller).collect();
    let mut counts = BTreeMap::new();
    for status in callers.into_iter().flat_map(|caller| caller.join().unwrap()) {
        *counts.entry(status).or_default() += 1;
    }
    counts
}

/// Without a retry budget: none of this is taken from it.
fn gateway_before(server: &OldServer) -> Gateway {
    Gateway::start(&server.config().set("/workers", json!(4)).set("/backends/legacy/retry_budget", json!(0)))
}

#[track_caller]
fn at_most_one_post_is_lost(delay: Duration, resets: bool, each: usize, paused: usize) {
    let server = OldServer::closing(delay, resets);
    let gateway = gateway_before(&server);
    let all = CALLERS * (each + paused);
    let counts = calls(&gateway, "POST", each, paused, delay);
    let (good, lost) = (counts.get(&200).copied().unwrap_or(0), counts.get(&502).copied().unwrap_or(0));
    assert!(lost <= 1 && good + lost == all, "{delay:?}, resets: {resets}: {counts:?}");
    let tally = server.tally.lock().unwrap();
    let twice: Vec<_> = tally.asked.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "sent twice: {twice:?}");
    assert!(tally.connections <= all, "{} connections for {all} requests", tally.connections);
    let said = gateway.metric("wicketgate_backend_server_lost_connections_total", &[("backend", "legacy")]);
    assert!((said - lost as f64).abs() < 0.5, "{said} lost connections in the metrics, {lost} lost requests");
}

#[test]
fn of_the_posts_to_a_server_that_closes_just_after_its_answer_at_most_one_is_lost() {
    for (milliseconds, each, paused) in [(0, 250, 0), (1, 200, 100), (5, 150, 100), (20, 100, 50)] {
        at_most_one_post_is_lost(Duration::from_millis(milliseconds), false, each, paused);
    }
}

#[test]
fn of_the_posts_to_a_server_that_resets_just_after_its_answer_at_most_one_is_lost() {
    for (milliseconds, each, paused) in [(0, 250, 0), (1, 200, 100), (5, 150, 100), (20, 100, 50)] {
        at_most_one_post_is_lost(Duration::from_millis(milliseconds), true, each, paused);
    }
}

#[test]
fn of_the_posts_to_a_server_that_closes_a_second_after_its_answer_at_most_one_is_lost() {
    at_most_one_post_is_lost(Duration::from_secs(1), false, 100, 9);
}

#[test]
fn no_get_to_a_server_that_closes_early_is_lost_whatever_the_retry_budget() {
    for (milliseconds, resets) in [(0, false), (1, false), (1, true), (5, false), (20, true)] {
        let delay = Duration::from_millis(milliseconds);
        let server = OldServer::closing(delay, resets);
        let gateway = gateway_before(&server);
        let counts = calls(&gateway, "GET", 100, 50, delay);
        assert_eq!(counts.into_iter().collect::<Vec<_>>(), [(200, CALLERS * 150)], "{delay:?}, resets: {resets}");
        assert!(server.connections() <= CALLERS * 150, "{} connections", server.connections());
    }
}

#[test]
fn the_log_says_which_server_closes_early_and_what_to_set() {
    let server = OldServer::closing(Duration::from_millis(1), false);
    let gateway = gateway_before(&server);
    calls(&gateway, "POST", 50, 20, Duration::from_millis(1));
    let is_it = |line: &Value| line["message"].as_str().is_some_and(|text| text.contains("closes idle connections"));
    let line = gateway.stderr.wait(is_it).expect("a line in the log");
    assert_eq!(
        (line["backend"].as_str(), line["server"].as_str()),
        (Some("legacy"), Some(&*server.address.to_string()))
    );
    assert!(line["at_most_ms"].as_f64().is_some_and(|time| time >= 1.0), "{line}");
    let text = line["message"].as_str().unwrap();
    assert!(text.contains("keep_alive: false") && text.contains("idle_timeout"), "{text}");
    let lines = gateway.stderr.all();
    let lines = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok()).filter(|line| is_it(line));
    let times: Vec<f64> = lines.map(|line| line["at_most_ms"].as_f64().unwrap()).collect();
    // Again only where it turns out to be much earlier.
    assert!(times.windows(2).all(|pair| pair[1] < pair[0] / 2.0 + 0.001), "{times:?}");
}

#[test]
fn bytes_after_an_answer_are_said_and_are_no_early_close() {
    for rest in ["more", "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n"] {
        let gate = Gate::default();
        let (backend, gateway) = world_with(|config| config.set("/workers", json!(1)));
        backend.on("/public/x", Behaviour::Staged(answer(&[], "ok"), gate.clone(), rest.into()));
        gateway.get("/public/x").send().ok();
        gate.open();
        let is_it = |line: &Value| {
            line["message"].as_str().is_some_and(|text| text.starts_with("bytes after the end of an answer"))
        };
        let line = gateway.stderr.wait(is_it).expect("a line in the log");
        assert_eq!((&line["backend"], &line["server"]), (&json!("legacy"), &json!(backend.address.to_string())));
        // In one piece with the answer, under the next request.
        let both = format!("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok{rest}");
        backend.on("/public/y", Behaviour::Raw(both.into()));
        for _ in 0..20 {
            assert_eq!(gateway.post("/public/y").body("pay").send().ok().text(), "ok");
        }
        let lines = gateway.stderr.all();
        assert!(lines.iter().all(|line| !line.contains("closes idle connections")), "{lines:?}");
    }
}

#[test]
fn posts_to_a_server_that_keeps_connections_reuse_them() {
    let server = OldServer::start(Script::default());
    let gateway = Gateway::start(&server.config().set("/workers", json!(1)));
    let mut connection = gateway.connect();
    for _ in 0..50 {
        gateway.post("/public/x").body("pay").send_on(&mut connection).ok();
    }
    assert_eq!(server.connections(), 1);
}

#[test]
fn without_keep_alive_each_request_has_a_connection_of_its_own() {
    let (backend, gateway) =
        world_with(|c| c.set("/workers", json!(1)).set("/backends/legacy/keep_alive", json!(false)));
    for method in ["GET", "POST", "PUT"] {
        gateway.request(method, "/public/x").body("pay").send().ok();
    }
    let seen: Vec<_> = backend
        .requests()
        .iter()
        .map(|seen| (seen.connection, seen.header("connection").unwrap_or_default().to_owned()))
        .collect();
    assert_eq!(seen, [1, 2, 3].map(|number| (number, "close".to_owned())));
}

#[test]
fn a_connection_serves_as_many_requests_as_keep_alive_says() {
    let keep_alive = json!({"requests": 3});
    let (backend, gateway) = world_with(|c| c.set("/workers", json!(1)).set("/backends/legacy/keep_alive", keep_alive));
    for _ in 0..7 {
        gateway.get("/public/x").send().ok();
    }
    let seen: Vec<_> =
        backend.requests().iter().map(|seen| (seen.connection, seen.header("connection").is_some())).collect();
    let expected = [(1, false), (1, false), (1, true), (2, false), (2, false), (2, true), (3, false)];
    assert_eq!(seen, expected);
}

#[test]
fn a_connection_that_is_announced_to_end_is_closed_and_others_are_kept() {
    let ending = [
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=1\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=60, max=0\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nConnection: Keep-Alive\r\nKeep-Alive: Max=0\r\nContent-Length: 2\r\n\r\nok",
    ];
    let kept = [
        "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=60, max=100\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nKeep-Alive: timeout=soon, max=, 5\r\nContent-Length: 2\r\n\r\nok",
    ];
    let start = |answer: &str| {
        let server = OldServer::start(Script { answer: answer.into(), ..Script::default() });
        let config = server.config().set("/workers", json!(1)).set("/backends/legacy/idle_timeout", json!("1m"));
        let gateway = Gateway::start(&config);
        gateway.get("/public/x").send().ok();
        (server, gateway)
    };
    for answer in ending {
        let (server, _gateway) = start(answer);
        eventually(answer, || server.tally.lock().unwrap().open == 0);
    }
    for answer in kept {
        let (server, gateway) = start(answer);
        gateway.get("/public/x").send().ok();
        assert_eq!(server.connections(), 1, "{answer}");
    }
}

#[test]
fn a_server_that_serves_one_connection_at_a_time_answers_all_callers() {
    let server = OldServer::start(Script { one_at_a_time: true, ..Script::default() });
    let config = server
        .config()
        .set("/workers", json!(4))
        .set("/backends/legacy/idle_timeout", json!("1m"))
        .set("/backends/legacy/max_connections", json!(1))
        .set("/backends/legacy/queue", json!({"length": 20, "timeout": "9s"}));
    let gateway = Gateway::start(&config);
    let caller = |method: &'static str| {
        let request = gateway.request(method, "/public/x").body("x");
        thread::spawn(move || (0..20).for_each(|_| drop(request.send().ok())))
    };
    let callers: Vec<_> = ["GET", "POST", "GET", "POST", "PUT", "GET"].map(caller).into();
    callers.into_iter().for_each(|caller| caller.join().unwrap());
    gateway.expect_metric("wicketgate_backend_waiting", &[], 0.0);
}

#[test]
fn without_a_queue_an_idle_connection_of_another_worker_is_given_up_too() {
    let server = OldServer::start(Script { one_at_a_time: true, ..Script::default() });
    let config = server
        .config()
        .set("/workers", json!(4))
        .set("/backends/legacy/idle_timeout", json!("1m"))
        .set("/backends/legacy/max_connections", json!(1));
    let gateway = Gateway::start(&config);
    for _ in 0..24 {
        gateway.post("/public/x").body("x").send().ok();
    }
    assert!(server.connections() > 1, "several workers have been asked");
}

#[test]
fn there_are_never_more_connections_than_max_connections() {
    let server = OldServer::start(Script { works_for: Duration::from_millis(3), ..Script::default() });
    let config = server
        .config()
        .set("/workers", json!(4))
        .set("/backends/legacy/max_connections", json!(2))
        .set("/backends/legacy/queue", json!({"length": 20, "timeout": "9s"}));
    let gateway = Gateway::start(&config);
    let caller = |_| {
        let (request, mut connection) = (gateway.get("/public/x"), gateway.connect());
        thread::spawn(move || (0..20).for_each(|_| drop(request.send_on(&mut connection).ok())))
    };
    let callers: Vec<_> = (0..8).map(caller).collect();
    callers.into_iter().for_each(|caller| caller.join().unwrap());
    assert_eq!(server.tally.lock().unwrap().most_in_flight, 2);
}

#[test]
fn above_max_connections_a_request_without_a_queue_is_503_and_counts_come_back_however_an_exchange_ends() {
    let (backend, gateway) = world_with(|c| c.set("/backends/legacy/max_connections", json!(1)));
    let gate = Gate::default();
    backend.on("/public/slow", Behaviour::Hold(gate.clone()));
    let slow = gateway.get("/public/slow");
    let slow = thread::spawn(move || slow.send());
    backend.wait_for(1);
    gateway.get("/public/x").send().expect(503, "503-01");
    gate.open();
    slow.join().unwrap().ok();
    backend.on("/public/cut", Behaviour::Close);
    backend.on("/public/odd", Behaviour::RawThenClose(b"what?\r\n\r\n".to_vec()));
    for _ in 0..3 {
        gateway.post("/public/cut").body("x").send().expect(502, "502-01");
        gateway.get("/public/x").send().ok();
        gateway.get("/public/odd").send().expect(502, "502-01");
        gateway.get("/public/x").send().ok();
    }
    backend.stop();
    for _ in 0..3 {
        gateway.get("/public/x").send().expect(502, "502-01");
    }
    backend.start_again();
    gateway.get("/public/x").send().ok();
}

#[test]
fn a_caller_that_leaves_while_it_waits_for_a_connection_takes_none() {
    let queue = json!({"length": 9, "timeout": "30s"});
    let (backend, gateway) =
        world_with(|c| c.set("/backends/legacy/max_connections", json!(1)).set("/backends/legacy/queue", queue));
    let gate = Gate::default();
    backend.on("/public/slow", Behaviour::Hold(gate.clone()));
    let slow = gateway.get("/public/slow");
    let slow = thread::spawn(move || slow.send());
    backend.wait_for(1);
    let mut gone = gateway.connect();
    gone.send(&gateway.get("/public/gone").bytes());
    gateway.expect_metric("wicketgate_backend_waiting", &[], 1.0);
    gone.abort();
    gateway.expect_metric("wicketgate_backend_waiting", &[], 0.0);
    gate.open();
    slow.join().unwrap().ok();
    for _ in 0..8 {
        gateway.get("/public/x").send().ok();
    }
    assert!(backend.requests_for("/public/gone").is_empty());
}
