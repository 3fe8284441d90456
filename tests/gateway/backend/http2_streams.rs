//! HTTP/2 towards a backend that allows few streams at once (RFC 9113 section 5.1.2), and callers that hold them: nobody
//! else waits longer than the queue says, and nothing of it is the backend's fault.

use std::thread;
use std::time::Duration;

use crate::harness::h2_backend::{Act, H2Backend};
use crate::harness::http1::Fault;
use crate::harness::*;

/// How many streams the backend allows.
const STREAMS: usize = 4;

fn world(change: impl FnOnce(Config) -> Config) -> (H2Backend, Gateway) {
    let backend = H2Backend::start_allowing(Some(STREAMS as u32), None);
    let config = Config::with_server(&format!("http://{}", backend.address))
        .set("/backends/legacy/protocol", json!("http2"))
        .set("/backends/legacy/timeout", json!("500ms"))
        .set("/backends/legacy/circuit_breaker", json!({"failures": 2, "pause": "1m"}))
        .set("/workers", json!(1));
    (backend, Gateway::start(&change(config)))
}

/// Uploads whose callers send no byte of the body, one on each connection, all of which have reached the backend.
fn stuck_uploads(backend: &H2Backend, gateway: &Gateway, count: usize) -> Vec<Connection> {
    let before = backend.begun();
    let head = b"POST /public/upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500000\r\n\r\n";
    let uploads = (0..count).map(|_| {
        let mut connection = gateway.connect();
        connection.send(head);
        connection
    });
    let uploads = uploads.collect();
    eventually("the uploads reach the backend", || backend.begun() == before + count);
    uploads
}

fn is_without_failure(gateway: &Gateway) {
    for kind in ["timeout", "broken", "malformed", "connect"] {
        gateway.expect_metric("wicketgate_backend_failures_total", &[("kind", kind)], 0.0);
    }
    gateway.expect_metric("wicketgate_backend_circuit_open", &[], 0.0);
}

#[test]
fn stalled_uploads_do_not_use_up_the_streams_of_an_http2_backend() {
    let (backend, gateway) = world(|c| c);
    let uploads = stuck_uploads(&backend, &gateway, STREAMS * 2 + 2);
    for _ in 0..10 {
        gateway.post("/public/x").body("hello").send().ok();
    }
    assert_eq!(backend.connections(), 3, "as many as are needed");
    drop(uploads);
    gateway.expect_metric("wicketgate_backend_server_in_flight", &[], 0.0);
    is_without_failure(&gateway);
}

#[test]
fn requests_above_the_stream_limit_open_further_connections() {
    let (backend, gateway) = world(|c| c);
    backend.on("/public/slow", Act::Hold);
    let calls: Vec<_> = (0..STREAMS * 4)
        .map(|_| {
            let request = gateway.get("/public/slow");
            thread::spawn(move || request.send())
        })
        .collect();
    eventually("all are at work", || backend.begun() == STREAMS * 4);
    backend.release();
    calls.into_iter().for_each(|call| drop(call.join().unwrap().ok()));
    assert_eq!(backend.connections(), 4);
    is_without_failure(&gateway);
}

#[test]
fn requests_without_a_free_stream_wait_in_the_queue_and_are_never_a_backend_timeout() {
    let queue = json!({"length": 2, "timeout": "1500ms"});
    let (backend, gateway) =
        world(|c| c.set("/backends/legacy/max_connections", json!(1)).set("/backends/legacy/queue", queue));
    let uploads = stuck_uploads(&backend, &gateway, STREAMS);
    let send = || {
        let request = gateway.get("/public/x");
        thread::spawn(move || request.send())
    };
    let waiting = [send(), send()];
    gateway.expect_metric("wicketgate_backend_waiting", &[], 2.0);
    assert!(gateway.get("/public/x").send().expect(503, "503-01").retry_after() >= 1);
    // Three times as long as the backend has for an answer.
    waiting.into_iter().for_each(|call| drop(call.join().unwrap().expect(503, "503-01")));
    gateway.expect_metric("wicketgate_backend_waiting", &[], 0.0);
    let waiting = send();
    gateway.expect_metric("wicketgate_backend_waiting", &[], 1.0);
    drop(uploads);
    waiting.join().unwrap().ok();
    assert_eq!((backend.connections(), backend.requests().len()), (1, 1), "nothing else was sent");
    is_without_failure(&gateway);
}

#[test]
fn a_caller_that_leaves_while_it_waits_for_a_stream_takes_none() {
    let queue = json!({"length": 9, "timeout": "30s"});
    let (backend, gateway) =
        world(|c| c.set("/backends/legacy/max_connections", json!(1)).set("/backends/legacy/queue", queue));
    let uploads = stuck_uploads(&backend, &gateway, STREAMS);
    let mut gone = gateway.connect();
    gone.send(&gateway.get("/public/gone").bytes());
    gateway.expect_metric("wicketgate_backend_waiting", &[], 1.0);
    gone.abort();
    gateway.expect_metric("wicketgate_backend_waiting", &[], 0.0);
    drop(uploads);
    for _ in 0..STREAMS * 2 {
        gateway.get("/public/x").send().ok();
    }
    assert_eq!(backend.requests().len(), STREAMS * 2);
}

#[test]
fn without_a_queue_a_request_without_a_free_stream_is_503_at_once() {
    let (backend, gateway) = world(|c| c.set("/backends/legacy/max_connections", json!(2)));
    let uploads = stuck_uploads(&backend, &gateway, STREAMS * 2);
    for _ in 0..5 {
        gateway.get("/public/x").send().expect(503, "503-01");
    }
    drop(uploads);
    eventually("there are streams again", || gateway.get("/public/x").send().status == 200);
    is_without_failure(&gateway);
}

#[test]
fn streams_come_back_however_an_exchange_ends() {
    let (backend, gateway) = world(|c| c.set("/backends/legacy/max_connections", json!(1)));
    backend.on("/public/cut", Act::Cut(::h2::Reason::INTERNAL_ERROR));
    backend.on("/public/reset", Act::Reset(usize::MAX, ::h2::Reason::INTERNAL_ERROR));
    backend.on("/public/early", Act::Early);
    for _ in 0..STREAMS * 2 {
        gateway.post("/public/x").body("hello").send().ok();
        let cut = gateway.post("/public/cut").body("hello").try_on(&mut gateway.connect());
        assert!(matches!(cut, Err(Fault::Truncated(_) | Fault::Closed)), "{cut:?}");
        gateway.post("/public/reset").body("hello").send().expect(502, "502-01");
        gateway.post("/public/early").body("hello").send().expect(413, "");
    }
    assert_eq!(backend.connections(), 1);
}

#[test]
fn an_http2_backend_that_answers_an_upload_early_is_heard_each_time() {
    let (backend, gateway) = world(|c| c.route("public", "limits", json!({"body": "8MiB"})));
    backend.on("/public/upload", Act::Early);
    let request = gateway.post("/public/upload").body(vec![b'u'; 3_000_000]);
    for _ in 0..15 {
        let answer = request.send();
        assert_eq!((answer.status, &*answer.text()), (413, "too large"));
    }
    is_without_failure(&gateway);
}

#[test]
fn callers_that_do_not_read_keep_nobody_else_waiting() {
    let backend = H2Backend::start(None);
    let config = Config::with_server(&format!("http://{}", backend.address))
        .set("/backends/legacy/protocol", json!("http2"))
        .set("/workers", json!(1));
    let gateway = Gateway::start(&config);
    backend.on("/public/large", Act::Large(100_000_000));
    // Their streams have room for 2 MiB together.
    let lazy: Vec<_> = (0..8)
        .map(|_| {
            let mut caller = gateway.connect();
            caller.send(&gateway.get("/public/large").bytes());
            caller
        })
        .collect();
    let mut taken = 0;
    eventually("nothing more is taken", || {
        thread::sleep(Duration::from_millis(200));
        let before = std::mem::replace(&mut taken, backend.taken());
        taken > 0 && before == taken
    });
    for _ in 0..5 {
        assert_eq!(gateway.post("/public/x").body("8 bytes.").send().ok().text(), "8 bytes.");
    }
    drop(lazy);
    is_without_failure(&gateway);
}

#[test]
fn with_several_servers_a_full_one_is_left_out() {
    let backends = [(); 2].map(|()| H2Backend::start_allowing(Some(1), None));
    let config = Config::with_server(&format!("http://{}", backends[0].address))
        .set(
            "/backends/legacy/servers",
            json!(backends.iter().map(|one| format!("http://{}", one.address)).collect::<Vec<_>>()),
        )
        .set("/backends/legacy/protocol", json!("http2"))
        .set("/backends/legacy/max_connections", json!(1))
        .set("/backends/legacy/balance", json!("consistent_hash"))
        .set("/workers", json!(1));
    let gateway = Gateway::start(&config);
    // Of one customer, so of one server.
    let request = gateway.post("/me/x").customer(&gateway.customer_token());
    let begun = || backends.iter().map(H2Backend::begun).sum::<usize>();
    let head = request.clone().header("Content-Length", "500000").bytes();
    let mut upload = gateway.connect();
    upload.send(&head);
    eventually("the upload reaches a server", || begun() == 1);
    for _ in 0..3 {
        request.clone().body("hello").send().ok();
    }
    assert!(backends.iter().all(|backend| backend.begun() > 0));
    is_without_failure(&gateway);
}
