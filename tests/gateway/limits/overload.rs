//! Overload: slow, many and vanished callers; file descriptors, memory, stalls.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::gateway::Workspace;
use crate::harness::http1::Fault;
use crate::harness::*;

/// That many connections have been closed for this reason.
#[track_caller]
fn were_closed(gateway: &Gateway, reason: &str, count: u32) {
    gateway.expect_metric("wicketgate_connections_closed_total", &[("reason", reason)], f64::from(count));
}

/// Does something, during which the gateway takes less than so much memory.
#[track_caller]
fn within<T>(gateway: &Gateway, bytes: f64, work: impl FnOnce() -> T) -> T {
    gateway.get("/public/x").send().ok();
    let before = gateway.memory();
    let outcome = work();
    let more = gateway.memory() - before;
    assert!(more < bytes, "it took {more} bytes");
    outcome
}

#[test]
fn callers_that_do_not_read_are_closed_and_nothing_is_kept_for_them() {
    let (backend, gateway) = world_with(|c| c.limit("body_idle_timeout", json!("600ms")));
    backend.on("/public/large", Behaviour::reply(200, &[], &vec![b'x'; 32 << 20]));
    let stall = |count: usize, closed: u32| {
        let mut callers: Vec<Connection> = (0..count).map(|_| gateway.connect()).collect();
        callers.iter_mut().for_each(|caller| caller.send(&gateway.get("/public/large").bytes()));
        were_closed(&gateway, "write_timeout", closed);
    };
    // What the process keeps once is not what a caller costs.
    stall(2, 2);
    within(&gateway, 10.0 * 256e3, || stall(10, 12));
}

#[test]
fn heads_and_bodies_that_do_not_end_are_given_up_and_no_backend_hears_of_the_heads() {
    let (backend, gateway) =
        world_with(|c| c.limit("head_timeout", json!("1s")).limit("body_idle_timeout", json!("1s")));
    let mut served = gateway.connect();
    gateway.get("/public/x").send_on(&mut served).ok();
    let half: Vec<Connection> = (0..200)
        .map(|_| {
            let mut caller = gateway.connect();
            caller.send(b"GET /public/half HTTP/1.1\r\nHost: localhost\r\nX-A: b\r\n");
            caller
        })
        .collect();
    let body = gateway.post("/public/body").header("Content-Length", "1000").bytes();
    let mut bodies: Vec<Connection> = (0..50)
        .map(|_| {
            let mut caller = gateway.connect();
            caller.send(&body);
            caller.send(b"x");
            caller
        })
        .collect();
    gateway.get("/public/x").send_on(&mut served).ok();
    were_closed(&gateway, "head_timeout", 200);
    for caller in &mut bodies {
        caller.receive("POST").unwrap().expect(408, "408-01");
    }
    gateway.get("/public/x").send().ok();
    assert!(backend.requests_for("/public/half").is_empty());
    assert!(backend.requests_for("/public/body").iter().all(|seen| !seen.complete));
    drop(half);
}

#[test]
fn callers_leave_file_descriptors_for_backends_and_operators() {
    let backend = Backend::start();
    let config = Config::new(&backend);
    let files = Arc::new(Workspace::new(&config));
    let gateway = Gateway::start_in_shell(files, config.signing_key.clone(), r#"ulimit -n 256; exec "$@""#);
    let mut open = gateway.connect();
    gateway.get("/public/x").send_on(&mut open).ok();
    let lines = gateway.stderr.count();
    let many: Vec<TcpStream> = (0..500).map(|_| TcpStream::connect(gateway.address).unwrap()).collect();
    // 256 / 32 = 8 for operators, (256 - 64 - 8) / 2 = 92 for callers, with the one that is open.
    were_closed(&gateway, "descriptors", 500 - 91);
    // Operators that only connect take none of the others', nor the place of a probe.
    let idle: Vec<TcpStream> = (0..100).map(|_| TcpStream::connect(gateway.admin).unwrap()).collect();
    assert_eq!(gateway.admin("/livez").status, 200);
    drop(idle);
    gateway.get("/public/x").send_on(&mut open).ok();
    assert_eq!(gateway.admin("/livez").status, 200);
    assert!(gateway.stderr.count() - lines < 20, "{:#?}", gateway.stderr.all());
    drop(many);
    gateway.expect_metric("wicketgate_connections_open", &[], 1.0);
    gateway.get("/public/x").send().ok();
}

#[test]
fn without_file_descriptors_accepting_waits_logs_once_and_resumes() {
    let (_backend, gateway) = world();
    let limit = |files: &str| {
        let output = program("prlimit", "util-linux", &["--pid", &gateway.id(), &format!("--nofile={files}:")]);
        assert!(output.status.success(), "{output:?}");
    };
    let mut open = gateway.connect();
    gateway.get("/public/x").send_on(&mut open).ok();
    limit("4");
    let address = gateway.address;
    let waiting = thread::spawn(move || client::Request::new(address, "GET", "/public/x").send());
    let said = |line: &Value| line["message"].as_str().is_some_and(|text| text.starts_with("cannot accept"));
    assert!(gateway.stderr.wait(said).is_some(), "{:#?}", gateway.stderr.all());
    for _ in 0..20 {
        gateway.get("/public/x").send_on(&mut open).ok();
        thread::sleep(Duration::from_millis(50));
    }
    let count = gateway.stderr.all().iter().filter(|line| line.contains("cannot accept")).count();
    assert!(count <= 4, "it was said {count} times");
    limit("1024");
    waiting.join().unwrap().ok();
}

#[test]
fn above_its_memory_limit_new_requests_are_503_until_there_is_enough_again() {
    let backend = Backend::start();
    let config = Config::new(&backend);
    let gateway = Gateway::start(&config);
    let mut open = gateway.connect();
    gateway.get("/public/x").send_on(&mut open).ok();
    gateway.reload(&config.clone().set("/memory_limit", json!("1MiB")), "reloaded");
    let is_short = |line: &Value| line["is_short"] == true;
    assert!(gateway.stderr.wait(is_short).is_some(), "{:#?}", gateway.stderr.all());
    assert!(gateway.get("/public/x").send_on(&mut open).expect(503, "503-01").retry_after() >= 1);
    assert!(Connection::plain(gateway.address).closes());
    were_closed(&gateway, "memory", 1);
    assert_eq!(gateway.admin("/livez").status, 200);
    assert_eq!(backend.requests().len(), 1);
    gateway.reload(&config.set("/memory_limit", json!("16GiB")), "reloaded");
    assert!(gateway.stderr.wait(|line| line["is_short"] == false).is_some());
    gateway.get("/public/x").send_on(&mut open).ok();
    gateway.get("/public/x").send().ok();
}

#[test]
fn an_idle_connection_costs_little_memory_and_lives() {
    const COUNT: usize = 1_000;
    let own = std::process::id().to_string();
    program("prlimit", "util-linux", &["--pid", &own, "--nofile=8192:"]);
    let (_backend, gateway) = world();
    gateway.get("/public/x").send().ok();
    let before = gateway.memory();
    let mut idle: Vec<Connection> = (0..COUNT).map(|_| gateway.connect()).collect();
    gateway.expect_metric("wicketgate_connections_open", &[], COUNT as f64);
    let each = (gateway.memory() - before) / COUNT as f64;
    println!("{each} bytes for each idle TLS connection");
    assert!(each < 40e3, "{each} bytes for each idle TLS connection");
    for connection in idle.iter_mut().step_by(50) {
        gateway.get("/public/x").send_on(connection).ok();
    }
}

#[test]
fn callers_that_come_and_go_do_not_wear_out_connections_to_the_backend() {
    let (backend, gateway) = world();
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let request = gateway.get("/public/x");
            thread::spawn(move || (0..75).for_each(|_| drop(request.send().ok())))
        })
        .collect();
    callers.into_iter().for_each(|caller| caller.join().unwrap());
    let requests = backend.requests();
    assert_eq!(requests.len(), 300);
    let connections = requests.iter().map(|seen| seen.connection).max().unwrap();
    assert!(connections <= 8, "{connections} connections to the backend for 4 callers at a time");
}

#[test]
fn huge_heads_are_431_and_take_no_memory() {
    let (backend, gateway) = world();
    let large = "x".repeat(100_000);
    let cookies = (0..10_000).map(|number| format!("c{number}=1")).collect::<Vec<_>>().join("; ");
    let many = (0..5_000).fold(gateway.get("/key/x"), |request, number| request.header(&format!("X-{number}"), "1"));
    let requests = [
        gateway.get("/me/x").customer(&large),
        gateway.get("/system/x").bearer(&large),
        gateway.get("/public/x").header("Cookie", &cookies),
        gateway.get(&format!("/public/{large}")),
        many,
    ];
    within(&gateway, 3e6, || {
        for request in &requests {
            for _ in 0..5 {
                let status = request.try_on(&mut gateway.connect()).map(|answer| answer.status);
                assert!(matches!(status, Ok(414 | 431)), "{status:?}");
            }
        }
    });
    assert_eq!(backend.requests().len(), 1);
}

#[test]
fn a_body_without_end_is_413_at_the_limit_and_a_large_one_passes_without_being_kept() {
    let (backend, gateway) = world_with(|c| c.route("key", "limits", json!({"body": "100MiB"})));
    within(&gateway, 3e6, || {
        let mut caller = gateway.connect();
        caller.send(&gateway.post("/public/x").header("Transfer-Encoding", "chunked").bytes());
        let piece = [b"4000\r\n", &[b'x'; 0x4000][..], b"\r\n"].concat();
        for _ in 0..200 {
            caller.send(&piece);
        }
        caller.receive("POST").unwrap().expect(413, "413-01");
    });
    assert!(backend.requests_for("/public/x").iter().filter(|seen| seen.method == "POST").all(|seen| !seen.complete));
    within(&gateway, 3e6, || {
        gateway.post("/key/x").api_key(API_KEY).body(vec![b'x'; 48 << 20]).send().ok();
    });
    assert_eq!(backend.requests_for("/key/x")[0].body.len(), 48 << 20);
}

#[test]
fn a_compressed_body_is_415_where_something_is_written_into_it() {
    let (backend, gateway) = world_with(|c| c.route("me", "identifier", json!({"body": "/customer_id"})));
    let token = gateway.customer_token();
    for coding in ["gzip", "br", "deflate", "gzip, identity"] {
        let request = gateway.post("/me/x").customer(&token).header("Content-Encoding", coding);
        request.json("\u{1f}\u{8b}").send().expect(415, "415-01");
    }
    backend.assert_untouched();
}

#[test]
fn garbage_and_half_hellos_end_and_others_are_served() {
    let (_backend, gateway) = world_with(|c| c.limit("handshake_timeout", json!("1s")));
    let mut served = gateway.connect();
    let hello = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let caller = thread::spawn(move || Connection::with(address, client::tls(b"h2", None)).is_ok());
        let mut bytes = vec![0; 4_096];
        let count = listener.accept().unwrap().0.read(&mut bytes).unwrap();
        assert!(!caller.join().unwrap());
        bytes.truncate(count);
        bytes
    };
    let garbage: Vec<u8> = (0..16_384_u32).map(|number| ((number * 7_919) >> 3) as u8).collect();
    let mut callers = Vec::new();
    for number in 0..100 {
        let mut caller = TcpStream::connect(gateway.address).unwrap();
        caller.write_all(if number % 2 == 0 { &garbage } else { &hello[..hello.len() * number / 100] }).ok();
        callers.push(caller);
    }
    gateway.get("/public/x").send_on(&mut served).ok();
    gateway.get("/public/x").send().ok();
    were_closed(&gateway, "handshake_timeout", 50);
    were_closed(&gateway, "handshake", 50);
    assert!(!gateway.stderr.all().iter().any(|line| line.contains("panicked")));
}

#[test]
fn a_stalled_process_resumes_and_counts_the_stall() {
    let (_backend, gateway) = world();
    let mut open = gateway.connect();
    gateway.get("/public/x").send_on(&mut open).ok();
    let stalls = || gateway.metric("wicketgate_worker_stalls_total", &[]);
    let before = stalls();
    gateway.signal("STOP");
    open.send(&gateway.get("/public/x").bytes());
    thread::sleep(Duration::from_millis(2_500));
    gateway.signal("CONT");
    open.receive("GET").unwrap().ok();
    gateway.get("/public/x").send().ok();
    let until = Instant::now() + DEADLINE;
    while stalls() <= before {
        assert!(Instant::now() < until, "no stall is counted");
    }
}

#[test]
fn scrapes_that_are_stuck_or_many_disturb_nobody() {
    let (_backend, gateway) = world();
    let stuck: Vec<TcpStream> = (0..100)
        .map(|number| {
            let mut caller = TcpStream::connect(gateway.admin).unwrap();
            let sent =
                if number % 2 == 0 { "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n".repeat(5) } else { "GET /met".into() };
            caller.write_all(sent.as_bytes()).ok();
            caller
        })
        .collect();
    gateway.get("/public/x").send().ok();
    let scrapes: Vec<_> = (0..20)
        .map(|_| {
            let request = client::Request::new(gateway.admin, "GET", "/metrics");
            thread::spawn(move || request.send_on(&mut Connection::plain(request.address)).status)
        })
        .collect();
    gateway.get("/public/x").send().ok();
    assert!(scrapes.into_iter().all(|scrape| scrape.join().unwrap() == 200));
    drop(stuck);
}

#[test]
fn callers_that_leave_in_the_middle_leave_nothing_behind() {
    let (backend, gateway) = world();
    backend.on("/public/large", Behaviour::reply(200, &[], &vec![b'x'; 4 << 20]));
    gateway.get("/public/x").send().ok();
    gateway.expect_metric("wicketgate_connections_open", &[], 0.0);
    let before = gateway.metric("process_open_fds", &[]);
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let upload = gateway.post("/public/upload").header("Content-Length", "100000").bytes();
            let download = gateway.get("/public/large").bytes();
            let address = gateway.address;
            thread::spawn(move || {
                for _ in 0..30 {
                    let mut caller = Connection::open(address);
                    caller.send(&upload);
                    caller.send(&[b'x'; 10_000]);
                    caller.abort();
                    let mut caller = Connection::open(address);
                    caller.send(&download);
                    caller.wire.fill().unwrap();
                    caller.abort();
                }
            })
        })
        .collect();
    callers.into_iter().for_each(|caller| caller.join().unwrap());
    gateway.expect_metric("wicketgate_requests_in_flight", &[], 0.0);
    gateway.expect_metric("wicketgate_connections_open", &[], 0.0);
    let until = Instant::now() + DEADLINE;
    loop {
        let now = gateway.metric("process_open_fds", &[]);
        if now <= before + 4.0 {
            break;
        }
        assert!(Instant::now() < until, "{now} descriptors are open, {before} were before");
        thread::sleep(Duration::from_millis(50));
    }
    assert!(backend.requests_for("/public/upload").iter().all(|seen| !seen.complete));
    gateway.get("/public/x").send().ok();
}

#[test]
fn a_listener_can_be_on_ipv6_alone_and_one_that_cannot_be_had_is_named() {
    let backend = Backend::start();
    let gateway = Gateway::start(&Config::new(&backend).set("/listen/0/address", json!("[::1]:0")));
    gateway.get("/public/x").send().ok();
    assert_eq!(backend.only().header("x-forwarded-for"), Some("::1"));
    for address in ["192.0.2.1:8443", "[2001:db8::1]:8443"] {
        let files = Workspace::new(&Config::new(&backend).set("/listen/0/address", json!(address)));
        let (code, _, stderr) = files.run(&["run"]);
        assert_eq!(code, 1, "{stderr}");
        let told = format!("cannot listen on {address}: this machine does not have this address");
        assert!(stderr.contains(&told) && stderr.contains("change `listen[].address`"), "{stderr}");
    }
}

#[test]
fn requests_of_callers_make_no_new_time_series() {
    let (_backend, gateway) = world();
    let mut connection = gateway.connect();
    let mut call = |number: usize| {
        let request = gateway.request(["GET", "POST", "BREW"][number % 3], &format!("/nothing/{number}"));
        let answer = request.header("User-Agent", &format!("agent-{number}")).bearer(&format!("a.b.{number}"));
        let answer = answer.try_on(&mut connection);
        assert!(!matches!(answer, Err(Fault::Malformed(_))), "{answer:?}");
    };
    (0..30).for_each(&mut call);
    let series = || gateway.metrics().lines().filter(|line| !line.starts_with('#')).count();
    let before = series();
    (30..3_000).for_each(&mut call);
    assert_eq!(series(), before);
}
