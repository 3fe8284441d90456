//! HTTP/2 towards backends: streams on one connection, trailers both ways, retries.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use http::HeaderMap;
use rcgen::ExtendedKeyUsagePurpose::ServerAuth;

use crate::harness::h2_backend::{Act, H2Backend};
use crate::harness::http1::Fault;
use crate::harness::other_proxy::OtherProxy;
use crate::harness::python::{interpreter, python};
use crate::harness::*;

fn world() -> (H2Backend, Gateway) {
    let backend = H2Backend::start(None);
    let config = Config::with_server(&format!("http://{}", backend.address));
    let gateway = Gateway::start(&config.set("/backends/legacy/protocol", json!("http2")).set("/workers", json!(1)));
    (backend, gateway)
}

#[test]
fn requests_of_one_worker_share_a_connection() {
    let (backend, gateway) = world();
    let calls: Vec<_> = (0..20)
        .map(|number| {
            let request = gateway.post("/public/x?a=b").body(format!("body {number}"));
            thread::spawn(move || (number, request.send()))
        })
        .collect();
    for call in calls {
        let (number, answer) = call.join().unwrap();
        assert_eq!(answer.ok().text(), format!("body {number}"));
    }
    let seen = backend.requests();
    assert_eq!(seen.len(), 20);
    for request in seen {
        assert_eq!(request.connection, 1);
        assert_eq!(request.head.uri.to_string(), "http://localhost/public/x?a=b");
        assert!(!request.head.headers.contains_key("host") && request.head.headers.contains_key("x-request-id"));
        assert_eq!(request.head.headers["te"], "trailers");
    }
    gateway.expect_metric("wicketgate_backend_server_in_flight", &[], 0.0);
}

#[test]
fn empty_frames_before_trailers_end_no_connection() {
    let (backend, gateway) = world();
    let mut caller = gateway.connect();
    // A body that is empty comes as an empty frame, and after it a trailer.
    (0..250).for_each(|_| drop(gateway.get("/public/x").send_on(&mut caller).ok()));
    assert_eq!((backend.connections(), backend.requests().len()), (1, 250));
}

/// A way to a backend; the first connections on it end at once, as with a server that is reloaded.
fn ending_at_once(first: usize, backend: SocketAddr) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (address, count) = (listener.local_addr().unwrap(), Arc::<AtomicUsize>::default());
    let counted = Arc::clone(&count);
    thread::spawn(move || {
        for near in listener.incoming().map_while(Result::ok) {
            if counted.fetch_add(1, Ordering::SeqCst) < first {
                continue;
            }
            let far = TcpStream::connect(backend).unwrap();
            for (mut from, mut to) in [(near.try_clone().unwrap(), far.try_clone().unwrap()), (far, near)] {
                thread::spawn(move || std::io::copy(&mut from, &mut to));
            }
        }
    });
    (address, count)
}

#[test]
fn a_new_connection_that_ends_before_a_request_is_sent_on_it_loses_no_post_but_there_is_only_one_more() {
    for (ending, status, connections) in [(1, 200, 2), (9, 502, 2)] {
        let backend = H2Backend::start(None);
        let (address, count) = ending_at_once(ending, backend.address);
        let config = Config::with_server(&format!("http://{address}")).set("/backends/legacy/protocol", json!("http2"));
        let gateway = Gateway::start(&config.set("/workers", json!(1)));
        gateway.post("/public/x").body("order").send().expect(status, "");
        assert_eq!(count.load(Ordering::SeqCst), connections);
        assert_eq!(backend.requests().len(), usize::from(status == 200));
    }
}

#[test]
fn trailers_pass_both_ways() {
    let (backend, gateway) = world();
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", " 1\t".parse().unwrap());
    trailers.insert("x-customer-id", "somebody".parse().unwrap());
    let request = http::Request::post("https://localhost/public/x").body(()).unwrap();
    let answer = h2_client::send(gateway.address, request, b"hello", Some(trailers)).unwrap();
    assert_eq!((answer.status().as_u16(), answer.body().as_slice()), (200, &b"hello"[..]));
    let told = answer.extensions().get::<HeaderMap>().expect("trailers");
    assert_eq!(told["grpc-status"], "0");
    let seen = backend.requests().remove(0).trailers.unwrap();
    assert_eq!(seen["x-sum"], "1", "without the blanks around it");
    assert!(!seen.contains_key("x-customer-id"), "a trailer cannot claim an identity");
}

#[test]
fn refused_streams_are_retried_also_a_post() {
    let (backend, gateway) = world();
    backend.on("/public/x", Act::Reset(2, ::h2::Reason::REFUSED_STREAM));
    assert_eq!(gateway.post("/public/x").body("pay").send().ok().text(), "pay");
    assert_eq!(backend.requests().iter().map(|seen| &seen.body[..]).collect::<Vec<_>>(), [b"pay"]);
}

#[test]
fn a_stream_refused_again_and_again_is_overload_and_does_not_open_the_circuit_breaker() {
    let backend = H2Backend::start(None);
    let config = Config::with_server(&format!("http://{}", backend.address))
        .set("/backends/legacy/protocol", json!("http2"))
        .set("/backends/legacy/circuit_breaker", json!({"failures": 2, "pause": "1m"}));
    let gateway = Gateway::start(&config);
    backend.on("/public/x", Act::Reset(usize::MAX, ::h2::Reason::REFUSED_STREAM));
    for _ in 0..4 {
        assert!(gateway.post("/public/x").body("pay").send().expect(503, "503-01").retry_after() >= 1);
    }
    gateway.post("/public/y").body("pay").send().ok();
    gateway.expect_metric("wicketgate_backend_failures_total", &[("kind", "overload")], 4.0);
}

#[test]
fn a_post_that_the_backend_gave_up_is_not_sent_again() {
    let (backend, gateway) = world();
    backend.on("/public/x", Act::Reset(1, ::h2::Reason::INTERNAL_ERROR));
    gateway.post("/public/x").body("pay").send().expect(502, "502-01");
    assert_eq!(backend.requests().len(), 0);
    gateway.get("/public/x").send().ok();
}

#[test]
fn a_backend_that_closes_its_connections_gently_loses_no_request() {
    let (backend, gateway) = world();
    backend.on("/public/x", Act::GoAway);
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let request = gateway.post("/public/x").body("pay");
            thread::spawn(move || {
                let mut connection = Connection::open(request.address);
                (0..10).for_each(|_| drop(request.send_on(&mut connection).ok()));
            })
        })
        .collect();
    callers.into_iter().for_each(|caller| caller.join().unwrap());
    let seen = backend.requests();
    assert_eq!(seen.len(), 40);
    assert!(seen.iter().map(|request| request.connection).max() > Some(1), "it was another connection");
}

#[test]
fn the_head_of_an_answer_may_be_as_large_as_by_http_1_1() {
    let (backend, gateway) = world();
    backend.on("/public/x", Act::Head(50_000));
    assert_eq!(gateway.get("/public/x").send().ok().header("x-large").map(str::len), Some(50_000));
    backend.on("/public/x", Act::Head(70_000));
    gateway.get("/public/x").send().expect(502, "502-01");
}

#[test]
fn an_answer_that_is_cut_off_is_an_abort() {
    let (backend, gateway) = world();
    // Also where it says that nothing went wrong: it has not said that this is the end.
    for reason in [::h2::Reason::INTERNAL_ERROR, ::h2::Reason::NO_ERROR] {
        backend.on("/public/x", Act::Cut(reason));
        let broken = gateway.post("/public/x").body("hello").try_on(&mut gateway.connect());
        assert!(matches!(broken, Err(Fault::Truncated(_) | Fault::Closed)), "{reason:?}: {broken:?}");
        let request = http::Request::post("https://localhost/public/x").body(()).unwrap();
        let broken = h2_client::send(gateway.address, request, b"hello", None);
        assert!(broken.is_err(), "{reason:?}: {broken:?}");
        gateway.get("/public/y").send().ok();
    }
}

#[test]
fn a_whole_answer_before_the_end_of_the_request_passes_whole() {
    let (backend, gateway) = world();
    backend.on("/public/x", Act::Early);
    // The backend says with RST_STREAM and NO_ERROR that it wants no more of the request (RFC 9113 section 8.1).
    let mut connection = gateway.connect();
    connection
        .send(&[&gateway.post("/public/x").header("Content-Length", "200000").bytes()[..], &[b'x'; 1000]].concat());
    let answer = connection.receive("POST").unwrap();
    assert_eq!((answer.status, answer.text().as_str()), (413, "too large"));
}

#[test]
fn an_answer_of_204_or_304_has_no_content_whatever_the_backend_sends() {
    let (backend, gateway) = world();
    for status in [204, 304] {
        backend.on("/public/x", Act::Say(status, &[], &[("x-sum", "1")]));
        let request = http::Request::post("https://localhost/public/x").body(()).unwrap();
        let answer = h2_client::send(gateway.address, request, b"secret", None).unwrap();
        assert_eq!((answer.status().as_u16(), answer.body().as_slice()), (status, &b""[..]));
        assert!(answer.extensions().get::<HeaderMap>().is_none(), "trailers of no body");
        let mut connection = gateway.connect();
        let answer = gateway.post("/public/x").body("secret").send_on(&mut connection);
        assert_eq!((answer.status, answer.text().as_str()), (status, ""));
        gateway.post("/public/y").body("next").send_on(&mut connection).ok();
    }
}

#[test]
fn over_tls_http2_is_agreed_on_or_nothing_is_sent() {
    let pair = keys::certificate(&["localhost"], ServerAuth);
    for (offered, is_good) in [(&[&b"h2"[..]][..], true), (&[b"http/1.1"], false), (&[], false)] {
        let backend = H2Backend::start(Some((&pair, offered)));
        let config = Config::with_server(&format!("https://localhost:{}", backend.address.port()))
            .set("/backends/legacy/protocol", json!("http2"))
            .set("/backends/legacy/tls", json!({"ca": "certs/ca.pem"}));
        let gateway = Gateway::start(&config);
        let answer = gateway.post("/public/x").body("hello").send();
        if is_good {
            assert_eq!(answer.ok().text(), "hello");
            assert_eq!(backend.requests()[0].head.uri.scheme_str(), Some("https"));
        } else {
            answer.expect(502, "502-01");
            assert!(backend.requests().is_empty());
        }
    }
}

#[test]
fn checks_speak_http2_too() {
    let backend = H2Backend::start(None);
    let health = json!({"path": "/health", "interval": "50ms"});
    let config = Config::with_server(&format!("http://{}", backend.address))
        .set("/backends/legacy/protocol", json!("http2"))
        .set("/backends/legacy/health_check", health);
    let gateway = Gateway::start(&config);
    let until = std::time::Instant::now() + DEADLINE;
    while !backend.requests().iter().any(|seen| seen.head.uri.path() == "/health") {
        assert!(std::time::Instant::now() < until);
        thread::yield_now();
    }
    gateway.expect_metric("wicketgate_backend_server_up", &[], 1.0);
    backend.on("/health", Act::Reset(usize::MAX, ::h2::Reason::INTERNAL_ERROR));
    gateway.expect_metric("wicketgate_backend_server_up", &[], 0.0);
    gateway.get("/public/x").send().expect(503, "503-05");
}

/// A program that runs until this is dropped.
struct Serving(Child);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
fn a_grpc_library_calls_another_through_an_authenticated_route() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/grpc_server.py");
    let mut child = Command::new(interpreter()).arg(script).stdout(Stdio::piped()).spawn().unwrap();
    let mut port = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut port).unwrap();
    let _server = Serving(child);
    let config = Config::with_server(&format!("http://127.0.0.1:{}", port.trim()))
        .set("/backends/legacy/protocol", json!("http2"))
        .route("me", "path", json!("/me.Echo/"));
    let gateway = Gateway::start(&config);
    let token = gateway.customer_token();
    let identifier = keys::decode(&token).1["sub"].as_str().unwrap().to_owned();
    let ca = gateway.files.path.join("certs/ca.pem");
    python("grpc_client.py", &[&gateway.address.port().to_string(), ca.to_str().unwrap(), &token, &identifier]);
}

#[test]
fn nginx_that_closes_each_connection_after_a_few_requests_loses_no_post() {
    for (protocol, flag, version) in [("http1", "", "HTTP/1.1"), ("http2", " http2", "HTTP/2.0")] {
        let server = "keepalive_requests 5; location / { return 200 \"$server_protocol $request_method\"; }";
        let nginx = OtherProxy::nginx(|own| format!("server {{ listen {own}{flag}; {server} }}"));
        let config = Config::with_server(&format!("http://{}", nginx.address));
        let gateway = Gateway::start(&config.set("/backends/legacy/protocol", json!(protocol)));
        let callers: Vec<_> = (0..4)
            .map(|_| {
                let request = gateway.post("/public/x").body("pay");
                thread::spawn(move || {
                    let mut connection = Connection::open(request.address);
                    (0..15).map(|_| request.send_on(&mut connection).ok().text()).collect::<Vec<_>>()
                })
            })
            .collect();
        for caller in callers {
            assert!(caller.join().unwrap().iter().all(|text| *text == format!("{version} POST")));
        }
        gateway.expect_metric("wicketgate_backend_failures_total", &[], 0.0);
    }
}
