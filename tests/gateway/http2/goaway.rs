//! The end of HTTP/2 connections: no call is lost by it, whatever the client makes of GOAWAY.

use std::time::{Duration, Instant};

use crate::harness::h2_frames::{Caller, DATA, END_STREAM, End, Frame, GOAWAY, HEADERS, RST_STREAM};
use crate::harness::*;

/// What GOAWAY says when no stream is named yet, and when this one was the last.
const FIRST: [u8; 8] = [0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0];

fn last(stream: u8) -> [u8; 8] {
    [0, 0, 0, stream, 0, 0, 0, 0]
}

/// All frames up to the end of the connection.
fn rest(caller: &mut Caller) -> Vec<Frame> {
    std::iter::from_fn(|| caller.next()).collect()
}

/// These frames are one GOAWAY, which names this stream as the last, and nothing else.
#[track_caller]
fn is_goaway(frames: &[Frame], stream: u8) {
    let said: Vec<(u8, &[u8])> = frames.iter().map(|frame| (frame.kind, &frame.payload[..8])).collect();
    assert_eq!(said, [(GOAWAY, &last(stream)[..])]);
}

fn is_end(frame: &Frame) -> bool {
    matches!(frame.kind, DATA | HEADERS) && frame.flags & END_STREAM != 0
}

/// How many streams were answered to their end before the first GOAWAY; and no stream was reset.
#[track_caller]
fn answered_before_goaway(frames: &[Frame]) -> usize {
    assert!(frames.iter().all(|frame| frame.kind != RST_STREAM), "{frames:?}");
    let ended = frames.iter().filter(|frame| is_end(frame)).count();
    let before = frames.iter().take_while(|frame| frame.kind != GOAWAY);
    assert_eq!(before.filter(|frame| is_end(frame)).count(), ended, "an answer came behind a GOAWAY: {frames:?}");
    ended
}

#[test]
fn a_process_that_stops_finishes_fifty_streams_and_then_says_goaway() {
    let (backend, mut gateway) = world();
    let gate = Gate::default();
    backend.on("/public/slow", Behaviour::Hold(gate.clone()));
    let mut caller = Caller::open(gateway.address);
    for number in 0..50 {
        caller.get(2 * number + 1, "/public/slow");
    }
    backend.wait_for(50);
    gateway.signal("TERM");
    eventually("nobody listens", || std::net::TcpStream::connect(gateway.address).is_err());
    gate.open();
    let frames = rest(&mut caller);
    assert_eq!(answered_before_goaway(&frames), 50);
    let first = frames.iter().position(|frame| frame.kind == GOAWAY).unwrap();
    is_goaway(&frames[first..], 99);
    assert_eq!(gateway.wait_exit().code(), Some(0));
}

#[test]
fn an_idle_connection_gets_a_goaway_that_names_its_last_stream_and_nothing_else_when_the_process_stops_or_is_replaced()
{
    let (_backend, mut gateway) = world();
    let mut caller = Caller::open(gateway.address);
    caller.get(1, "/public/x");
    assert_eq!(caller.end_of(1), End::Answer(200));
    caller.lives();
    assert_eq!(gateway.terminate(), Some(0));
    is_goaway(&rest(&mut caller), 1);

    let (_backend, gateway) = world();
    let mut caller = Caller::open(gateway.address);
    caller.get(1, "/public/x");
    assert_eq!(caller.end_of(1), End::Answer(200));
    caller.lives();
    let (_new, mut old) = gateway.upgrade();
    is_goaway(&rest(&mut caller), 1);
    assert_eq!(old.wait_exit().code(), Some(0));
}

#[test]
fn a_connection_that_is_used_again_and_again_is_served_until_it_is_quiet() {
    let (_backend, mut gateway) = world();
    let mut caller = Caller::open(gateway.address);
    caller.lives();
    gateway.signal("TERM");
    eventually("nobody listens", || std::net::TcpStream::connect(gateway.address).is_err());
    for number in 0..20 {
        caller.get(2 * number + 1, "/public/x");
        while !is_end(&caller.next().unwrap()) {}
    }
    is_goaway(&rest(&mut caller), 39);
    assert_eq!(gateway.wait_exit().code(), Some(0));
}

#[test]
fn the_goaway_of_a_connection_that_is_never_quiet_comes_with_the_end_of_an_answer() {
    let (backend, mut gateway) = world_with(|config| config.set("/shutdown/grace", json!("4s")));
    let gate = Gate::default();
    backend.on("/public/slow", Behaviour::Hold(gate.clone()));
    let mut caller = Caller::open(gateway.address);
    caller.get(1, "/public/slow");
    backend.wait_for(1);
    gateway.signal("TERM");
    // Between half and three quarters of the grace time.
    std::thread::sleep(Duration::from_millis(2_400));
    gate.open();
    // In one record of TLS: a client that has read the answer has read the GOAWAY too.
    while !is_end(&caller.next().unwrap()) {}
    let buffered = caller.connection.wire.buffer.clone();
    assert!(buffered.len() >= 17 && buffered[3] == GOAWAY && buffered[9..17] == FIRST, "{buffered:?}");
    assert_eq!(gateway.wait_exit().code(), Some(0));
}

#[test]
fn where_a_stream_never_ends_two_goaways_are_said_when_the_grace_is_nearly_over_and_what_crosses_is_answered() {
    let (backend, mut gateway) = world_with(|config| config.set("/shutdown/grace", json!("5s")));
    let gate = Gate::default();
    backend.on("/public/never", Behaviour::Hold(gate.clone()));
    let mut caller = Caller::open(gateway.address);
    caller.lives();
    caller.get(1, "/public/never");
    backend.wait_for(1);
    gateway.signal("TERM");
    let begun = Instant::now();
    let first = std::iter::from_fn(|| caller.next()).find(|frame| frame.kind == GOAWAY).unwrap();
    assert_eq!((first.kind, &first.payload[..8]), (GOAWAY, &FIRST[..]));
    assert!(begun.elapsed() > Duration::from_secs(1), "{:?}", begun.elapsed());
    caller.get(3, "/public/x");
    assert_eq!(caller.end_of(3), End::Answer(200));
    gate.open();
    let frames = rest(&mut caller);
    assert_eq!(frames.last().map(|frame| frame.payload[..8].to_vec()), Some(last(3).to_vec()));
    assert_eq!(gateway.wait_exit().code(), Some(0));
}

#[test]
fn a_call_on_a_connection_that_was_quiet_for_longer_than_a_stall_may_be_is_answered() {
    let (_backend, gateway) =
        world_with(|config| config.limit("body_idle_timeout", json!("200ms")).limit("idle_timeout", json!("20s")));
    let mut caller = Caller::open(gateway.address);
    for number in 0..4 {
        caller.get(2 * number + 1, "/public/x");
        assert!(matches!(caller.end_of(2 * number + 1), End::Answer(_)), "call {number}");
        // A pause is what this is about.
        std::thread::sleep(Duration::from_millis(400));
    }
}

#[test]
fn a_call_that_arrives_just_after_the_idle_timeout_is_answered_by_either_version() {
    let (_backend, gateway) = world_with(|config| config.limit("idle_timeout", json!("2s")));
    let mut http1 = gateway.connect();
    let mut http2 = Caller::open(gateway.address);
    for number in 0..3 {
        gateway.get("/public/x").send_on(&mut http1).ok();
        http2.get(2 * number + 1, "/public/x");
        assert!(matches!(http2.end_of(2 * number + 1), End::Answer(_)), "call {number}");
        std::thread::sleep(Duration::from_millis(2_200));
    }
    // And then they end in good order.
    assert!(http1.closes());
    let frames = rest(&mut http2);
    is_goaway(&frames[1..], 5);
    gateway.expect_metric("wicketgate_connections_closed_total", &[("reason", "closed")], 2.0);
}

#[test]
fn http_1_1_a_call_that_was_on_its_way_when_the_process_began_to_stop_is_answered() {
    let (_backend, mut gateway) = world();
    let mut connection = gateway.connect();
    gateway.get("/public/x").send_on(&mut connection).ok();
    gateway.signal("TERM");
    eventually("nobody listens", || std::net::TcpStream::connect(gateway.address).is_err());
    let answer = gateway.get("/public/x").send_on(&mut connection).ok();
    assert!(answer.close);
    assert_eq!(gateway.wait_exit().code(), Some(0));
}

#[test]
fn the_first_request_of_a_new_connection_is_answered_when_the_process_stops() {
    let (_backend, mut gateway) = world();
    let mut caller = Caller::silent(gateway.address);
    gateway.signal("TERM");
    eventually("nobody listens", || std::net::TcpStream::connect(gateway.address).is_err());
    caller.connection.send(&[h2_frames::PREFACE, &h2_frames::frame(h2_frames::SETTINGS, 0, 0, b"")].concat());
    let first = caller.next().unwrap();
    assert_eq!(first.kind, h2_frames::SETTINGS, "{first:?}");
    caller.get(1, "/public/x");
    assert_eq!(caller.end_of(1), End::Answer(200));
    assert_eq!(gateway.wait_exit().code(), Some(0));
}

#[test]
fn a_busy_connection_ends_before_the_old_process_may_decide_no_more() {
    let (_backend, gateway) = world();
    let mut fields = h2_frames::head("GET", "/me/x");
    let token = format!("JWT {}", gateway.customer_token());
    fields.push(("customer-auth", &token));
    let block = h2_frames::block(&fields);
    let mut caller = Caller::open(gateway.address);
    caller.lives();
    let (_new, mut old) = gateway.upgrade();
    // Call after call, without a pause: each is answered, and in the end the caller is told.
    let (mut stream, mut is_told) = (1, false);
    while !is_told {
        caller.send(HEADERS, h2_frames::WHOLE, stream, &block);
        let answer = std::iter::from_fn(|| caller.next()).find(|frame| {
            is_told |= frame.kind == GOAWAY;
            frame.kind == HEADERS
        });
        assert_eq!(answer.map(|frame| frame.payload[0]), Some(0x88), "the answer on stream {stream} is not 200");
        while !is_end(&caller.next().unwrap()) {}
        is_told |= caller.connection.wire.buffer.get(3) == Some(&GOAWAY);
        stream += 2;
    }
    assert_eq!(old.wait_exit().code(), Some(0));
}
