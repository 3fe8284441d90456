//! Graceful close of exchanges without an end, within the grace time: WebSockets by a Close frame with 1001, event
//! streams between two events. Nothing is cut in the middle.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use crate::harness::python::interpreter;
use crate::harness::*;
use crate::websocket::tunnel::{backend, library_server, open, with_websockets, world_of};

/// What a server says with a Close frame that goes away, and the same masked by a client with no secret in it.
const GOING_AWAY: [u8; 4] = [0x88, 0x02, 0x03, 0xe9];

/// Reads a Close frame of a client, and returns its code.
#[track_caller]
fn masked_close(frame: &[u8]) -> u16 {
    let [0x88, 0x82, mask @ .., high, low] = frame else { panic!("{frame:?}") };
    u16::from_be_bytes([high ^ mask[0], low ^ mask[1]])
}

/// A text frame of a client, whose mask is zeros.
fn from_client(text: &str) -> Vec<u8> {
    [&[0x81, 0x80 | text.len() as u8, 0, 0, 0, 0], text.as_bytes()].concat()
}

#[test]
fn a_websocket_gets_1001_both_ways_at_the_end_of_a_frame_and_never_inside_one() {
    let (address, backend) = backend();
    let mut gateway = world_of(address, |c| c.set("/shutdown/grace", json!("2s")));
    let request = gateway.get("/public/live").header("X-Request-Id", "goodbye");
    let (mut caller, mut opened) = open(&gateway, &backend, request);
    // The backend is in the middle of a frame, the caller between two.
    opened.answer(b"\x82\x7e\x01\x00half of it");
    assert_eq!(caller.wire.exact(14).unwrap(), b"\x82\x7e\x01\x00half of it");
    caller.send(&from_client("whole"));
    assert_eq!(opened.stream.exact(11).unwrap(), from_client("whole"));
    gateway.signal("TERM");
    assert_eq!(masked_close(&opened.stream.exact(8).unwrap()), 1001);
    // The rest of the frame, and in the same piece one that comes too late.
    opened.answer(&[&[b'x'; 246][..], b"\x81\x04late"].concat());
    assert_eq!(caller.wire.exact(246).unwrap(), [b'x'; 246]);
    assert_eq!(caller.wire.exact(4).unwrap(), GOING_AWAY);
    // What a caller sends before it has heard goes nowhere, and both answer the Close frame with theirs.
    caller.send(&from_client("late"));
    caller.send(&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe9]);
    opened.answer(&GOING_AWAY);
    assert_eq!(opened.stream.rest().unwrap(), b"");
    assert!(caller.closes());
    assert_eq!(gateway.wait_exit().code(), Some(0));
    let line = gateway.access_line("goodbye");
    assert_eq!((&line["status"], &line["complete"]), (&json!(101), &json!(true)), "{line}");
}

#[test]
fn a_websocket_that_is_being_closed_by_its_sides_gets_no_second_close_frame() {
    let (address, backend) = backend();
    let mut gateway = world_of(address, |c| c.set("/shutdown/grace", json!("1s")));
    let (mut caller, mut opened) = open(&gateway, &backend, gateway.get("/public/live"));
    opened.answer(&[0x88, 0x02, 0x03, 0xe8]);
    assert_eq!(caller.wire.exact(4).unwrap(), [0x88, 0x02, 0x03, 0xe8]);
    gateway.signal("TERM");
    assert_eq!(masked_close(&opened.stream.exact(8).unwrap()), 1001);
    drop(opened);
    assert!(caller.closes(), "something comes behind a Close frame");
    assert_eq!(gateway.wait_exit().code(), Some(0));
}

/// A backend that sends these bytes of a body as a chunk, and more as told, until nobody takes it.
fn streaming(head: &'static str, first: &'static str) -> (String, std::sync::mpsc::Sender<&'static str>, Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let ((sender, more), (ended, is_ended)) = (channel::<&'static str>(), channel());
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut read = [0; 1];
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            stream.read_exact(&mut read).unwrap();
            request.extend(read);
        }
        write!(stream, "HTTP/1.1 200 OK\r\n{head}Transfer-Encoding: chunked\r\n\r\n").unwrap();
        let chunk = |mut stream: &TcpStream, text: &str| write!(stream, "{:x}\r\n{text}\r\n", text.len());
        chunk(&stream, first).unwrap();
        let mut watched = stream.try_clone().unwrap();
        thread::spawn(move || {
            watched.read_exact(&mut [0; 1]).ok();
            ended.send(()).ok();
        });
        while let Ok(text) = more.recv() {
            chunk(&stream, text).ok();
        }
    });
    (url, sender, is_ended)
}

const EVENTS: &str = "Content-Type: text/event-stream; charset=utf-8\r\n";

/// A program with a library that waits for an end: the lines that it says.
fn client(gateway: &Gateway, url: &str) -> impl Iterator<Item = String> + use<> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/graceful_close_client.py");
    let ca = gateway.files.path.join("certs/ca.pem");
    let mut command = Command::new(interpreter());
    command.arg(script).arg(url).arg(ca).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok).chain(std::iter::once_with(move || {
        child.wait().unwrap();
        String::new()
    }))
}

#[test]
fn a_websocket_library_sees_1001_of_a_process_that_ends_or_hands_over() {
    let (_server, url) = library_server();
    for signal in ["TERM", "USR2"] {
        let mut gateway =
            Gateway::start(&with_websockets(Config::with_server(&url)).set("/shutdown/grace", json!("3s")));
        let mut lines = client(&gateway, &format!("wss://localhost:{}/public/live", gateway.address.port()));
        assert_eq!(lines.next().unwrap(), "open");
        let successor = if signal == "TERM" {
            gateway.signal("TERM");
            None
        } else {
            let (new, old) = gateway.upgrade();
            gateway = old;
            Some(new)
        };
        assert_eq!(lines.next().unwrap(), "closed 1001");
        assert_eq!(gateway.wait_exit().code(), Some(0));
        gateway.stderr.all().iter().for_each(|line| assert!(!line.contains("cut off"), "{line}"));
        drop(successor);
    }
}

#[test]
fn an_event_stream_ends_whole_between_two_events_by_both_versions() {
    for (version, said) in [("1", "HTTP/1.1"), ("2", "HTTP/2")] {
        let (url, more, is_ended) = streaming(EVENTS, "data: one\n\ndata: tw");
        let mut gateway = Gateway::start(&Config::with_server(&url).set("/shutdown/grace", json!("3s")));
        let mut lines = client(&gateway, &format!("{version}+https://localhost:{}/public/x", gateway.address.port()));
        assert_eq!(lines.next().unwrap(), "open");
        gateway.signal("TERM");
        // It goes on until the second event is whole, however late that is.
        gateway.stderr.wait(|line| line["message"] == "draining").unwrap();
        more.send("o\n\n").unwrap();
        assert_eq!(lines.next().unwrap(), format!(r"{said} b'data: one\n\ndata: two\n\n'"));
        is_ended.recv_timeout(DEADLINE).expect("the backend is not told");
        assert_eq!(gateway.wait_exit().code(), Some(0));
    }
}

#[test]
fn an_event_stream_in_the_middle_of_an_event_ends_whole_all_the_same_and_another_answer_never_looks_whole() {
    for (head, is_whole) in [(EVENTS, true), ("Content-Type: text/plain\r\n", false)] {
        let (url, _more, _) = streaming(head, "data: half");
        let mut gateway = Gateway::start(&Config::with_server(&url).set("/shutdown/grace", json!("1s")));
        let mut caller = gateway.connect();
        caller.send(&gateway.get("/public/x").bytes());
        let mut seen = Vec::new();
        while !seen.ends_with(b"data: half\r\n") {
            seen.extend(caller.wire.exact(1).unwrap());
        }
        gateway.signal("TERM");
        let rest = caller.wire.rest().unwrap_or_default();
        assert_eq!(rest, if is_whole { &b"0\r\n\r\n"[..] } else { b"" });
        gateway.wait_exit();
    }
}
