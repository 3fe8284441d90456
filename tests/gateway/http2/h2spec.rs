//! HTTP/2 section by section (RFC 9113, RFC 7541): frames in, and what must come of them.
//!
//! Where a section demands an error of the connection, GOAWAY with its code or a close is right; where it demands one of
//! the stream, RST_STREAM with its code, or the same for the whole connection (RFC 9113 section 5.4.2).

mod frames;
mod hpack;
mod messages;

use crate::harness::h2_frames::{
    ACK, CONTINUATION, Caller, DATA, END_HEADERS, END_STREAM, End, GOAWAY, HEADERS, PADDED, PING, PREFACE, PRIORITY,
    PUSH_PROMISE, RST_STREAM, SETTINGS, WHOLE, WINDOW_UPDATE, WITH_PRIORITY, block, frame, get, head, settings,
};
use crate::harness::*;

// RFC 9113 section 7.
const PROTOCOL: u32 = 0x1;
const FLOW_CONTROL: u32 = 0x3;
const STREAM_CLOSED: u32 = 0x5;
const FRAME_SIZE: u32 = 0x6;
const REFUSED: u32 = 0x7;
const CANCEL: u32 = 0x8;
const COMPRESSION: u32 = 0x9;

// The HTTP library (h2) ends the connection in these cases as it must, but with another code than the section names; in
// the first it could be the stream alone.
const CLOSED: &[u32] = &[STREAM_CLOSED, PROTOCOL];
const TOO_LARGE: &[u32] = &[FLOW_CONTROL, PROTOCOL];
const UNREADABLE: &[u32] = &[COMPRESSION, PROTOCOL];

/// What must come of it.
#[derive(Debug, Clone, Copy)]
enum Must {
    /// An error of the connection with one of these codes.
    Connection(&'static [u32]),
    /// An error of stream 1 with one of these codes.
    Stream(&'static [u32]),
    /// An answer on stream 1.
    Answer(u16),
    /// The connection goes on.
    Live,
}
use Must::{Answer, Connection as Fails, Live, Stream as Resets};

/// What it is, what is sent, what must come of it.
type Case = (&'static str, fn(&mut Caller), Must);

/// Plays each case on a connection of its own. The backend sees whole requests only, and nobody else is disturbed.
#[track_caller]
fn all_hold(cases: &[Case]) {
    let (backend, gateway) = world();
    backend.on("/public/slow", Behaviour::Silent);
    let mut failed = Vec::new();
    for (what, play, must) in cases {
        let mut caller = Caller::open(gateway.address);
        play(&mut caller);
        if let Err(got) = holds(&mut caller, *must) {
            failed.push(format!("{what}: {got:?} where it must be {must:?}"));
        }
    }
    gateway.get("/public/x").send().ok();
    assert_eq!(failed, [""; 0], "{} of {} cases", failed.len(), cases.len());
    assert_eq!(backend.problems(), [""; 0]);
    for seen in backend.requests() {
        assert!(["/public/x", "/public/slow"].contains(&seen.target.as_str()), "{seen:?}");
        assert!(seen.all("x").is_empty(), "{seen:?}");
    }
}

fn holds(caller: &mut Caller, must: Must) -> Result<(), End> {
    let end = match must {
        Live => {
            caller.lives();
            return Ok(());
        }
        Fails(_) => caller.ends(),
        Resets(_) | Answer(_) => caller.end_of(1),
    };
    let is_right = match (must, end) {
        (Fails(codes), End::GoAway(code)) => codes.contains(&code),
        (Resets(codes), End::Reset(code) | End::GoAway(code)) => codes.contains(&code),
        (Fails(_) | Resets(_), End::Closed) => true,
        (Answer(status), End::Answer(got)) => status == got,
        _ => false,
    };
    if is_right { Ok(()) } else { Err(end) }
}

/// A request whose answer does not come, and one that is not whole yet.
fn slow(caller: &mut Caller) {
    caller.get(1, "/public/slow");
}
fn half(caller: &mut Caller) {
    caller.send(HEADERS, END_HEADERS, 1, &block(&head("POST", "/public/x")));
}
/// A request that has been answered to its end.
fn done(caller: &mut Caller) {
    caller.get(1, "/public/x");
    assert_eq!(caller.end_of(1), End::Answer(200));
    while caller.next().unwrap().flags & END_STREAM == 0 {}
}
/// A request that has been given up.
fn given_up(caller: &mut Caller) {
    half(caller);
    caller.send(RST_STREAM, 0, 1, &CANCEL.to_be_bytes());
}

#[test]
fn section_3_4_the_preface() {
    let (backend, gateway) = world();
    let begun = |bytes: &[u8]| {
        let mut caller = Caller::silent(gateway.address);
        caller.connection.send(bytes);
        caller
    };
    Caller::open(gateway.address).lives();
    let others: [&[u8]; 3] =
        [b"GET /public/x HTTP/1.1\r\nHost: localhost\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r.", &[0; 24]];
    for bytes in others {
        let end = begun(bytes).ends();
        assert!(matches!(end, End::GoAway(PROTOCOL) | End::Closed), "{bytes:?}: {end:?}");
    }
    let end = begun(&[PREFACE, &frame(PING, 0, 0, b"12345678")].concat()).ends();
    assert!(matches!(end, End::GoAway(PROTOCOL) | End::Closed), "the first frame is not SETTINGS: {end:?}");
    backend.assert_untouched();
}

#[test]
fn section_4_frames() {
    all_hold(&[
        ("4.1 a frame of an unknown type", |c| c.send(0x16, 0, 0, b"12345678"), Live),
        ("4.1 an unknown flag", |c| c.send(PING, 0x16, 0, b"12345678"), Live),
        ("4.1 the reserved bit", |c| c.send(PING, 0, 1 << 31, b"12345678"), Live),
        (
            "4.2 a frame of 2^14 bytes",
            |c| {
                half(c);
                c.send(DATA, END_STREAM, 1, &[b'x'; 1 << 14])
            },
            Answer(200),
        ),
        (
            "4.2 DATA that is too large",
            |c| {
                half(c);
                c.send(DATA, END_STREAM, 1, &[b'x'; (1 << 14) + 1])
            },
            Resets(&[FRAME_SIZE]),
        ),
        ("4.2 HEADERS that are too large", |c| c.send(HEADERS, WHOLE, 1, &[0; (1 << 14) + 1]), Fails(&[FRAME_SIZE])),
        ("4.2 SETTINGS that are too large", |c| c.send(SETTINGS, 0, 0, &[0; 18_000]), Fails(&[FRAME_SIZE])),
        (
            "4.3 PRIORITY within a header block",
            |c| {
                c.send(HEADERS, END_STREAM, 1, &get("/public/x"));
                c.send(PRIORITY, 0, 1, &[0, 0, 0, 0, 9]);
                c.send(CONTINUATION, END_HEADERS, 1, b"");
            },
            Fails(&[PROTOCOL]),
        ),
        (
            "4.3 another stream within a header block",
            |c| {
                c.send(HEADERS, END_STREAM, 1, &get("/public/x"));
                c.get(3, "/public/x");
            },
            Fails(&[PROTOCOL]),
        ),
    ]);
}

#[test]
fn section_5_1_states_of_streams() {
    let cases: &[Case] = &[
        ("idle: DATA", |c| c.send(DATA, END_STREAM, 1, b"x"), Fails(&[PROTOCOL])),
        ("idle: RST_STREAM", |c| c.send(RST_STREAM, 0, 1, &CANCEL.to_be_bytes()), Fails(&[PROTOCOL])),
        ("idle: WINDOW_UPDATE", |c| c.send(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 9]), Fails(&[PROTOCOL])),
        ("idle: CONTINUATION", |c| c.send(CONTINUATION, END_HEADERS, 1, &get("/public/x")), Fails(&[PROTOCOL])),
        ("idle: PRIORITY", |c| c.send(PRIORITY, 0, 1, &[0, 0, 0, 0, 9]), Live),
        (
            "half-closed: DATA",
            |c| {
                slow(c);
                c.send(DATA, END_STREAM, 1, b"x")
            },
            Resets(CLOSED),
        ),
        (
            "half-closed: HEADERS",
            |c| {
                slow(c);
                c.get(1, "/public/x")
            },
            Resets(CLOSED),
        ),
        (
            "half-closed: CONTINUATION",
            |c| {
                slow(c);
                c.send(CONTINUATION, END_HEADERS, 1, b"")
            },
            Fails(CLOSED),
        ),
        (
            "half-closed: WINDOW_UPDATE",
            |c| {
                slow(c);
                c.send(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 9])
            },
            Live,
        ),
        (
            "half-closed: PRIORITY",
            |c| {
                slow(c);
                c.send(PRIORITY, 0, 1, &[0, 0, 0, 0, 9])
            },
            Live,
        ),
        (
            "half-closed: RST_STREAM",
            |c| {
                slow(c);
                c.send(RST_STREAM, 0, 1, &CANCEL.to_be_bytes())
            },
            Live,
        ),
        (
            "given up: DATA",
            |c| {
                given_up(c);
                c.send(DATA, END_STREAM, 1, b"x")
            },
            Resets(CLOSED),
        ),
        (
            "given up: HEADERS",
            |c| {
                given_up(c);
                c.get(1, "/public/x")
            },
            Resets(CLOSED),
        ),
        (
            "given up: CONTINUATION",
            |c| {
                given_up(c);
                c.send(CONTINUATION, END_HEADERS, 1, b"")
            },
            Fails(CLOSED),
        ),
        (
            "given up: PRIORITY",
            |c| {
                given_up(c);
                c.send(PRIORITY, 0, 1, &[0, 0, 0, 0, 9])
            },
            Live,
        ),
        (
            "closed: DATA",
            |c| {
                done(c);
                c.send(DATA, END_STREAM, 1, b"x")
            },
            Resets(CLOSED),
        ),
        (
            "closed: HEADERS",
            |c| {
                done(c);
                c.get(1, "/public/x")
            },
            Fails(CLOSED),
        ),
        (
            "closed: CONTINUATION",
            |c| {
                done(c);
                c.send(CONTINUATION, END_HEADERS, 1, b"")
            },
            Fails(CLOSED),
        ),
        (
            "closed: WINDOW_UPDATE",
            |c| {
                done(c);
                c.send(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 9])
            },
            Live,
        ),
        (
            "closed: PRIORITY",
            |c| {
                done(c);
                c.send(PRIORITY, 0, 1, &[0, 0, 0, 0, 9])
            },
            Live,
        ),
        (
            "closed: RST_STREAM",
            |c| {
                done(c);
                c.send(RST_STREAM, 0, 1, &CANCEL.to_be_bytes())
            },
            Live,
        ),
        ("5.1.1 an even number", |c| c.get(2, "/public/x"), Fails(&[PROTOCOL])),
        (
            "5.1.1 a number below the last",
            |c| {
                c.get(5, "/public/slow");
                c.get(3, "/public/x")
            },
            Fails(&[PROTOCOL, STREAM_CLOSED]),
        ),
        (
            "5.1.2 more streams than are allowed",
            |c| {
                for number in (0..101).rev() {
                    c.get(201 - 2 * number, "/public/slow");
                }
                c.get(203, "/public/slow");
                assert_eq!(c.end_of(203), End::Reset(REFUSED));
            },
            Live,
        ),
        (
            "5.3.1 HEADERS that depend on their own stream",
            |c| {
                c.send(HEADERS, WHOLE | WITH_PRIORITY, 1, &[&[0, 0, 0, 1, 9], &get("/public/x")[..]].concat());
            },
            Resets(&[PROTOCOL]),
        ),
        (
            "5.3.1 PRIORITY that depends on its own stream",
            |c| {
                half(c);
                c.send(PRIORITY, 0, 1, &[0, 0, 0, 1, 9])
            },
            Resets(&[PROTOCOL]),
        ),
        (
            "5.5 a frame of an unknown type within a header block",
            |c| {
                c.send(HEADERS, END_STREAM, 1, &get("/public/x"));
                c.send(0x16, 0, 0, b"12345678");
            },
            Fails(&[PROTOCOL]),
        ),
    ];
    all_hold(cases);
}

#[test]
fn section_5_4_errors_of_the_connection_are_said_with_the_last_stream() {
    let (_backend, gateway) = world();
    let mut caller = Caller::open(gateway.address);
    done(&mut caller);
    caller.send(PING, 0, 3, b"12345678");
    let last = std::iter::from_fn(|| caller.next()).find(|frame| frame.kind == GOAWAY).unwrap();
    assert_eq!(last.payload[..8], [0, 0, 0, 1, 0, 0, 0, 1], "stream 1, PROTOCOL_ERROR");
    assert_eq!(caller.ends(), End::Closed);
}
