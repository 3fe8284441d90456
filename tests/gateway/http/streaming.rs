//! Streaming of bodies, with trailers, in both directions.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::time::Duration;

use crate::harness::*;

const CHUNKED: &str = "Transfer-Encoding: chunked\r\nTrailer: X-Checksum\r\n";

#[test]
fn an_upload_reaches_the_backend_before_its_last_byte_is_sent() {
    let (backend, gateway) = world();
    let gate = Gate::default();
    backend.on("/public/x", Behaviour::Hold(gate.clone()));
    let mut caller = gateway.connect();
    caller.send(b"POST /public/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    backend.wait_for(1);
    caller.send(b"6\r\n world\r\n0\r\n\r\n");
    gate.open();
    assert_eq!(caller.receive("POST").unwrap().status, 200);
    assert_eq!(backend.only().body, b"hello world");
}

#[test]
fn a_trailer_that_is_announced_reaches_the_backend() {
    let (backend, gateway) = world();
    let mut caller = gateway.connect();
    let head = format!("POST /public/x HTTP/1.1\r\nHost: localhost\r\n{CHUNKED}\r\n");
    caller.send(head.as_bytes());
    caller.send(b"5\r\nhello\r\n0\r\nX-Checksum: 42\r\n\r\n");
    assert_eq!(caller.receive("POST").unwrap().status, 200);
    let seen = backend.only();
    assert_eq!(seen.body, b"hello");
    assert_eq!(seen.trailers, [("x-checksum".to_owned(), "42".to_owned())]);
}

#[test]
fn a_trailer_of_the_backend_reaches_a_caller_that_takes_trailers() {
    let (backend, gateway) = world();
    let answer = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Checksum\r\n\r\n5\r\nhello\r\n0\r\nX-Checksum: 42\r\n\r\n";
    backend.on("/public/x", Behaviour::Raw(answer.to_vec()));
    let mut caller = gateway.connect();
    caller.send(b"GET /public/x HTTP/1.1\r\nHost: localhost\r\nTE: trailers\r\n\r\n");
    let response = caller.receive("GET").unwrap();
    assert_eq!(response.body, b"hello");
    assert_eq!(response.trailers, [("x-checksum".to_owned(), "42".to_owned())]);
    assert_eq!(backend.only().header("te"), None);
}

#[test]
fn a_large_body_passes_whole_in_both_directions() {
    let (backend, gateway) = world_with(|c| c.route("public", "limits", json!({"body": "32MiB", "timeout": "20s"})));
    let body: Vec<u8> = (0..16 * 1024 * 1024_u32).map(|n| (n % 251) as u8).collect();
    backend.on("/public/x", Behaviour::reply(200, &[], &body));
    let mut caller = gateway.connect();
    caller.patience(Duration::from_secs(20));
    let response = gateway.post("/public/x").body(body.clone()).send_on(&mut caller).ok();
    assert!(response.body == body, "{} bytes came back", response.body.len());
    assert!(backend.only().body == body);
}

/// A backend that answers at once and at length, and only then reads what it was sent.
fn answers_first(body: usize) -> (std::net::SocketAddr, std::thread::JoinHandle<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let reading = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut answering = stream.try_clone().unwrap();
        let writing = std::thread::spawn(move || {
            answering.write_all(&crate::harness::backend::message(200, &[], &vec![b'a'; body]))
        });
        let (mut seen, mut piece) = (Vec::new(), vec![0; 64 * 1024]);
        let head = loop {
            let count = stream.read(&mut piece).unwrap();
            seen.extend_from_slice(&piece[..count]);
            if let Some(at) = seen.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
        };
        let mut count = seen.len() - head;
        while count < body {
            count += stream.read(&mut piece).unwrap();
        }
        writing.join().unwrap().unwrap();
        count
    });
    (address, reading)
}

#[test]
fn an_upload_goes_on_while_nobody_reads_the_answer() {
    // More than all buffers on the way can hold.
    let size = 48 * 1024 * 1024;
    let (address, backend) = answers_first(size);
    let (_, gateway) = world_with(|c| {
        c.set("/backends/legacy/servers", json!([format!("http://{address}")])).route(
            "public",
            "limits",
            json!({"body": "64MiB", "timeout": "20s"}),
        )
    });
    let mut caller = gateway.connect();
    caller.patience(Duration::from_secs(20));
    // All of it is sent before the first byte of the answer is read.
    let response = gateway.post("/public/x").body(vec![b'q'; size]).send_on(&mut caller).ok();
    assert_eq!(response.body.len(), size);
    assert_eq!(backend.join().unwrap(), size);
}

#[test]
fn an_upload_that_its_caller_gives_up_never_looks_whole_whatever_the_reason() {
    let (backend, gateway) = world();
    for (number, reason) in [0_u32, 8].into_iter().enumerate() {
        let mut caller = h2_frames::Caller::open(gateway.address);
        caller.send(
            h2_frames::HEADERS,
            h2_frames::END_HEADERS,
            1,
            &h2_frames::block(&h2_frames::head("POST", "/public/x")),
        );
        caller.send(h2_frames::DATA, 0, 1, b"half");
        backend.wait_for(number + 1);
        caller.send(h2_frames::RST_STREAM, 0, 1, &reason.to_be_bytes());
        caller.lives();
        gateway.expect_metric("wicketgate_requests_in_flight", &[], 0.0);
        gateway.expect_metric("wicketgate_backend_server_in_flight", &[], 0.0);
    }
    // Whatever was on its way has arrived before the next one.
    gateway.get("/public/y").send().ok();
    let seen = backend.requests_for("/public/x");
    assert!(seen.len() == 2 && seen.iter().all(|seen| !seen.complete), "{seen:?}");
}
