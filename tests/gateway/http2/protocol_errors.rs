//! Log lines about connections that break the HTTP/2 protocol, with the caller's address.

use crate::harness::h2_frames::{Caller, End, frame};
use crate::harness::*;

const MESSAGE: &str = "HTTP/2 connection closed for a protocol error or flood";

/// The line about a connection, of those after the first `seen`.
#[track_caller]
fn said(gateway: &Gateway, seen: usize) -> Value {
    gateway.stderr.wait_after(seen, |line| line["message"] == MESSAGE).expect("nothing is said of the connection")
}

/// Sends these bytes by HTTP/2, in the place of the preface or behind it.
fn send(gateway: &Gateway, bytes: &[u8], behind: bool) {
    let mut caller = if behind { Caller::open(gateway.address) } else { Caller::silent(gateway.address) };
    caller.connection.send(bytes);
    assert_ne!(caller.ends(), End::Answer(200));
}

#[test]
fn bytes_that_are_no_http_2_leave_a_line_with_the_callers_address() {
    let padded = frame(0x0, 0x8, 1, &[255, 1]);
    let settings_of_a_stream = frame(0x4, 0, 1, b"");
    let ping_of_five = frame(0x6, 0, 0, b"hello");
    let huge = [&[0xff, 0xff, 0xff, 0x0, 0x0, 0, 0, 0, 1][..], b"x"].concat();
    let block = frame(0x1, 0x5, 1, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    for (bytes, behind) in [
        (&b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"[..], false),
        (&[0; 64][..], false),
        (&padded, true),
        (&settings_of_a_stream, true),
        (&ping_of_five, true),
        (&huge, true),
        (&block, true),
    ] {
        let (_backend, gateway) = world();
        send(&gateway, bytes, behind);
        let line = said(&gateway, 0);
        assert_eq!(
            (&line["ip"], &line["reason"], &line["left_out"]),
            (&json!("127.0.0.1"), &json!("malformed"), &json!(0))
        );
        gateway.expect_metric("wicketgate_connections_closed_total", &[("reason", "malformed")], 1.0);
    }
}

#[test]
fn many_broken_connections_leave_one_line_a_second_with_the_number_of_the_others() {
    let (_backend, gateway) = world();
    let mut broken = 0;
    let mut send = || {
        send(&gateway, b"GET / HTTP/1.1\r\n\r\n\r\n\r\n", false);
        broken += 1;
    };
    (0..20).for_each(|_| send());
    eventually("a line that counts the others", || {
        send();
        gateway.stderr.all().iter().any(|line| line.contains(MESSAGE) && !line.contains("\"left_out\":0"))
    });
    let lines = gateway.stderr.all().iter().filter(|line| line.contains(MESSAGE)).count();
    assert!(lines < broken, "{lines} lines of {broken} connections");
}

#[test]
fn a_flood_leaves_a_line_and_a_caller_that_ends_well_or_hangs_up_leaves_none() {
    let (_backend, gateway) = world();
    let mut caller = Caller::open(gateway.address);
    caller.get(1, "/public/x");
    assert_eq!(caller.end_of(1), End::Answer(200));
    drop(caller);
    // GOAWAY with an error of the caller's own, and a connection that breaks off.
    let mut caller = Caller::open(gateway.address);
    caller.send(0x7, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 2]);
    caller.ends();
    let mut caller = Caller::open(gateway.address);
    caller.get(1, "/public/x");
    caller.connection.abort();
    let mut caller = Caller::open(gateway.address);
    let pings = frame(0x6, 0, 0, b"pingping").repeat(1_000);
    while caller.connection.try_send(&pings).is_ok() {}
    let line = said(&gateway, 0);
    assert_eq!((&line["ip"], &line["reason"], &line["left_out"]), (&json!("127.0.0.1"), &json!("flood"), &json!(0)));
}
