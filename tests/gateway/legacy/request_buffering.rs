//! Bodies with a length.

use std::sync::Arc;

use crate::harness::h2_frames::{self, Caller, DATA, END_HEADERS, END_STREAM, End, HEADERS};
use crate::harness::workspace::Workspace;
use crate::harness::*;

const CHUNKED: &str = "Host: localhost\r\nTransfer-Encoding: chunked\r\n";

/// A backend that wants lengths, and this member of it beside.
fn buffering(config: Config) -> Config {
    config.set("/backends/legacy/request_buffering", json!(true))
}

/// A gateway with a directory for what is larger than so much.
fn with_directory(size: &str, change: impl FnOnce(Config) -> Config) -> (Backend, Gateway) {
    let backend = Backend::start();
    let config = buffering(Config::new(&backend))
        .set("/backends/legacy/request_buffer", json!(size))
        .set("/backends/legacy/request_buffer_directory", json!("buffer"));
    let config = change(config);
    let files = Workspace::new(&config);
    std::fs::create_dir(files.path.join("buffer")).unwrap();
    (backend, Gateway::start_in(Arc::new(files), config.signing_key.clone()))
}

/// A request of chunks of so many bytes.
fn chunked(method: &str, body: &[u8], size: usize) -> Vec<u8> {
    let mut bytes = format!("{method} /public/x HTTP/1.1\r\n{CHUNKED}\r\n").into_bytes();
    for chunk in body.chunks(size) {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

#[track_caller]
fn assert_length(seen: &backend::Seen, body: &[u8]) {
    assert_eq!(seen.header("Content-Length"), Some(&*body.len().to_string()), "{seen:?}");
    assert_eq!((seen.header("Transfer-Encoding"), seen.header("Trailer")), (None, None));
    assert!(seen.body == body && seen.trailers.is_empty() && seen.complete, "{} bytes", seen.body.len());
}

#[test]
fn a_body_without_a_length_goes_out_with_one() {
    let (backend, gateway) = world_with(buffering);
    for method in ["POST", "PUT", "GET", "DELETE"] {
        gateway.connect().exchange(&chunked(method, b"{\"a\":1}", 3)).unwrap().ok();
        assert_length(&backend.last(), b"{\"a\":1}");
    }
    let request = http::Request::post("https://localhost/public/x").body(()).unwrap();
    let trailers = http::HeaderMap::from_iter([("x-checksum".parse().unwrap(), "1".parse().unwrap())]);
    let answer = h2_client::send(gateway.address, request, b"by HTTP/2", Some(trailers)).unwrap();
    assert_eq!(answer.status(), 200);
    assert_length(&backend.last(), b"by HTTP/2");
    let trailed = format!("POST /public/x HTTP/1.1\r\n{CHUNKED}Trailer: X-Sum\r\n\r\n1\r\nx\r\n0\r\nX-Sum: 1\r\n\r\n");
    gateway.connect().exchange(trailed.as_bytes()).unwrap().ok();
    assert_length(&backend.last(), b"x");
    gateway.connect().exchange(&chunked("POST", b"", 1)).unwrap().ok();
    assert_length(&backend.last(), b"");
    assert!(backend.problems().is_empty(), "{:?}", backend.problems());
}

#[test]
fn without_buffering_a_body_streams_in_chunks() {
    let (backend, gateway) = world();
    gateway.connect().exchange(&chunked("POST", b"abcdef", 3)).unwrap().ok();
    assert_eq!((backend.only().header("Transfer-Encoding"), &*backend.only().body), (Some("chunked"), &b"abcdef"[..]));
}

#[test]
fn a_known_length_needs_no_buffer_and_streams() {
    let (backend, gateway) = world_with(|c| buffering(c).set("/backends/legacy/request_buffer", json!("4B")));
    let mut connection = gateway.connect();
    connection.send(b"POST /public/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nhello");
    // The backend has it before it is complete.
    backend.wait_for(1);
    connection.send(b"world");
    connection.receive("POST").unwrap().ok();
    assert_length(&backend.last(), b"helloworld");
}

#[test]
fn a_larger_body_than_the_buffer_is_refused_and_nothing_is_sent() {
    let (backend, gateway) = world_with(|c| buffering(c).set("/backends/legacy/request_buffer", json!("8B")));
    let refused = gateway.connect().exchange(&chunked("POST", b"123456789", 4)).unwrap().expect(413, "413-01");
    assert!(refused.text().contains("the limit is 8 bytes"), "{}", refused.text());
    backend.assert_untouched();
    gateway.connect().exchange(&chunked("POST", b"12345678", 4)).unwrap().ok();
    assert_length(&backend.last(), b"12345678");
}

#[test]
fn a_larger_body_goes_by_a_temporary_file_up_to_the_limit_of_the_route() {
    let (backend, gateway) = with_directory("1KiB", |c| c.route("public", "limits", json!({"body": "3MiB"})));
    let body: Vec<u8> = (0..3_u32 << 20).map(|number| (number % 251) as u8).collect();
    gateway.connect().exchange(&chunked("POST", &body, 100_000)).unwrap().ok();
    assert_length(&backend.last(), &body);
    let names = || std::fs::read_dir(gateway.files.path.join("buffer")).unwrap().count();
    assert_eq!(names(), 0);
    backend.forget();
    gateway.connect().exchange(&chunked("POST", &[&body[..], b"x"].concat(), 100_000)).unwrap().expect(413, "413-01");
    backend.assert_untouched();
    // A caller that leaves in the middle leaves nothing.
    let mut connection = gateway.connect();
    connection.send(&chunked("POST", &body, 100_000)[..1_000_000]);
    connection.abort();
    assert_eq!(names(), 0);
    let line = gateway.connect().exchange(&chunked("PUT", &body[..2_000], 700)).unwrap().ok();
    assert_eq!(gateway.access_line(line.header("X-Request-Id").unwrap())["bytes_in"], 2_000);
    assert_length(&backend.last(), &body[..2_000]);
}

#[test]
fn a_disk_that_fails_refuses_only_what_needs_it_and_says_so() {
    let (backend, gateway) = with_directory("1KiB", |c| c);
    std::fs::remove_dir(gateway.files.path.join("buffer")).unwrap();
    let refused = gateway.connect().exchange(&chunked("POST", &[b'x'; 2_000], 500)).unwrap().expect(503, "503-01");
    assert_eq!(gateway.access_line(refused.header("X-Request-Id").unwrap())["refusal"], "request_buffer");
    let said = gateway.stderr.wait(|line| line["message"].as_str().is_some_and(|text| text.contains("temporary file")));
    let said = said.unwrap();
    assert!(said["error"].as_str().is_some_and(|error| error.contains("No such file")), "{said}");
    let directory = gateway.files.path.join("buffer");
    assert_eq!((&said["backend"], &said["directory"]), (&json!("legacy"), &json!(directory.to_str().unwrap())));
    backend.assert_untouched();
    gateway.connect().exchange(&chunked("POST", &[b'x'; 1_000], 500)).unwrap().ok();
}

#[test]
fn a_directory_that_is_not_there_is_said_before_the_start() {
    let backend = Backend::start();
    let config = buffering(Config::new(&backend)).set("/backends/legacy/request_buffer_directory", json!("missing"));
    let said = Workspace::new(&config).fails(&["check", "--config", "gateway.yaml"]);
    assert!(said.contains("request_buffer_directory") && said.contains("no temporary file can be made"), "{said}");
}

#[test]
fn a_caller_that_stops_sending_has_no_place_at_the_backend() {
    let (backend, gateway) = world_with(|c| buffering(c).limit("body_idle_timeout", json!("200ms")));
    let mut connection = gateway.connect();
    let refused = connection.exchange(format!("POST /public/x HTTP/1.1\r\n{CHUNKED}\r\n3\r\nabc\r\n").as_bytes());
    refused.unwrap().expect(408, "408-01");
    backend.assert_untouched();
}

#[test]
fn a_buffered_body_is_sent_again_where_the_route_allows_it() {
    for (retry, body, method, sent) in [
        ("safe", 10, "POST", 2),
        ("safe", 300_000, "POST", 2),
        ("idempotent", 300_000, "PUT", 2),
        ("idempotent", 300_000, "POST", 1),
        ("never", 10, "PUT", 1),
    ] {
        let (backend, gateway) =
            with_directory("1KiB", |c| c.set("/workers", json!(1)).route("public", "retry", json!(retry)));
        backend.on("/public/x", Behaviour::CloseWhenReused);
        gateway.get("/public/x").send().ok();
        let body = vec![b'r'; body];
        let answer = gateway.connect().exchange(&chunked(method, &body, 50_000)).unwrap();
        let seen: Vec<_> = backend.requests().into_iter().filter(|seen| seen.method == method).collect();
        assert_eq!(seen.len(), sent, "{retry} {method}");
        if sent == 2 {
            answer.ok();
            assert_length(&seen[1], &body);
        } else {
            answer.expect(502, "502-01");
        }
    }
}

#[test]
fn a_larger_body_of_known_length_is_sent_again_where_the_buffer_has_room_for_it() {
    for (retry, size, has_directory, sent) in [
        ("safe", "1MiB", false, 2),
        ("safe", "1KiB", true, 2),
        ("safe", "100KiB", false, 1),
        ("idempotent", "1MiB", false, 1),
    ] {
        let change = |c: Config| {
            let c = c.set("/workers", json!(1)).route("public", "retry", json!(retry));
            if has_directory { c } else { c.without("/backends/legacy/request_buffer_directory") }
        };
        let (backend, gateway) = with_directory(size, change);
        backend.on("/public/x", Behaviour::CloseWhenReused);
        gateway.get("/public/x").send().ok();
        let body = vec![b'r'; 300_000];
        let head = format!("POST /public/x HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len());
        let answer = gateway.connect().exchange(&[head.as_bytes(), &body].concat()).unwrap();
        let seen: Vec<_> = backend.requests().into_iter().filter(|seen| seen.method == "POST").collect();
        assert_eq!(seen.len(), sent, "{retry} {size}");
        if sent == 2 {
            answer.ok();
            assert_length(&seen[1], &body);
        } else {
            answer.expect(502, "502-01");
        }
    }
}

/// The frames of a request whose head does not end it.
fn begun(method: &str, data: Option<(u8, &[u8])>) -> Vec<u8> {
    let head = h2_frames::block(&h2_frames::head(method, "/public/x"));
    let mut frames = h2_frames::frame(HEADERS, END_HEADERS, 1, &head);
    if let Some((flags, data)) = data {
        frames.extend_from_slice(&h2_frames::frame(DATA, flags, 1, data));
    }
    frames
}

#[test]
fn an_empty_frame_behind_the_head_is_no_body() {
    let (backend, gateway) = world();
    for (method, length) in [("GET", None), ("HEAD", None), ("DELETE", None), ("POST", Some("0")), ("PUT", Some("0"))] {
        let mut caller = Caller::open(gateway.address);
        caller.connection.send(&begun(method, Some((END_STREAM, b""))));
        assert_eq!(caller.end_of(1), End::Answer(200), "{method}");
        let seen = backend.last();
        assert_eq!((&*seen.method, seen.header("Content-Length")), (method, length));
        assert_eq!(seen.header("Transfer-Encoding"), None, "{method}");
    }
    // The end comes later, and an empty frame before it.
    for method in ["GET", "DELETE"] {
        let mut caller = Caller::open(gateway.address);
        caller.connection.send(&begun(method, Some((0, b""))));
        caller.lives();
        caller.send(DATA, END_STREAM, 1, b"");
        assert_eq!(caller.end_of(1), End::Answer(200), "{method}");
        assert_eq!(backend.last().header("Transfer-Encoding"), None, "{method}");
    }
    assert!(backend.problems().is_empty(), "{:?}", backend.problems());
}

#[test]
fn a_get_with_a_body_over_http2_streams_from_its_first_byte_on() {
    let (backend, gateway) = world();
    let mut caller = Caller::open(gateway.address);
    caller.connection.send(&begun("GET", None));
    caller.lives();
    backend.assert_untouched();
    caller.send(DATA, 0, 1, b"first ");
    backend.wait_for(1);
    caller.send(DATA, END_STREAM, 1, b"and last");
    assert_eq!(caller.end_of(1), End::Answer(200));
    let seen = backend.only();
    assert_eq!((seen.header("Transfer-Encoding"), &*seen.body), (Some("chunked"), &b"first and last"[..]));
}

#[test]
fn a_get_over_http2_that_never_ends_is_refused_in_time() {
    let (backend, gateway) = world_with(|c| c.limit("body_idle_timeout", json!("200ms")));
    let mut caller = Caller::open(gateway.address);
    caller.connection.send(&begun("GET", None));
    assert_eq!(caller.end_of(1), End::Answer(408));
    backend.assert_untouched();
}
