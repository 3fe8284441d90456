//! Each kind of frame (RFC 9113 section 6).

use super::*;

#[test]
fn section_6_1_to_6_4_data_headers_priority_rst_stream() {
    all_hold(&[
        ("6.1 DATA on stream 0", |c| c.send(DATA, END_STREAM, 0, b"x"), Fails(&[PROTOCOL])),
        (
            "6.1 DATA with padding",
            |c| {
                half(c);
                c.send(DATA, END_STREAM | PADDED, 1, &[3, b'x', 0, 0, 0])
            },
            Answer(200),
        ),
        (
            "6.1 DATA with more padding than frame",
            |c| {
                half(c);
                c.send(DATA, END_STREAM | PADDED, 1, &[6, b'x', 0, 0, 0])
            },
            Fails(&[PROTOCOL]),
        ),
        (
            "6.1 empty DATA at the end",
            |c| {
                half(c);
                c.send(DATA, END_STREAM, 1, b"")
            },
            Answer(200),
        ),
        ("6.2 HEADERS on stream 0", |c| c.get(0, "/public/x"), Fails(&[PROTOCOL])),
        (
            "6.2 HEADERS with padding",
            |c| c.send(HEADERS, WHOLE | PADDED, 1, &[&[2], &get("/public/x")[..], &[0, 0]].concat()),
            Answer(200),
        ),
        (
            "6.2 HEADERS with a priority",
            |c| {
                c.send(HEADERS, WHOLE | WITH_PRIORITY, 1, &[&[0, 0, 0, 0, 9], &get("/public/x")[..]].concat());
            },
            Answer(200),
        ),
        (
            "6.2 HEADERS with more padding than frame",
            |c| c.send(HEADERS, WHOLE | PADDED, 1, &[&[255], &get("/public/x")[..]].concat()),
            Fails(&[PROTOCOL]),
        ),
        ("6.3 PRIORITY on stream 0", |c| c.send(PRIORITY, 0, 0, &[0, 0, 0, 0, 9]), Fails(&[PROTOCOL])),
        (
            "6.3 PRIORITY of 4 bytes",
            |c| {
                half(c);
                c.send(PRIORITY, 0, 1, &[0, 0, 0, 0])
            },
            Resets(&[FRAME_SIZE]),
        ),
        ("6.4 RST_STREAM on stream 0", |c| c.send(RST_STREAM, 0, 0, &CANCEL.to_be_bytes()), Fails(&[PROTOCOL])),
        (
            "6.4 RST_STREAM of 3 bytes",
            |c| {
                half(c);
                c.send(RST_STREAM, 0, 1, &[0, 0, 0])
            },
            Fails(&[FRAME_SIZE]),
        ),
        (
            "6.4 RST_STREAM with an unknown code",
            |c| {
                half(c);
                c.send(RST_STREAM, 0, 1, &[0, 0, 0, 0xff])
            },
            Live,
        ),
    ]);
}

#[test]
fn section_6_5_settings() {
    all_hold(&[
        ("6.5 an ACK with a payload", |c| c.send(SETTINGS, ACK, 0, &[0; 6]), Fails(&[FRAME_SIZE])),
        ("6.5 on a stream", |c| c.send(SETTINGS, 0, 1, b""), Fails(&[PROTOCOL])),
        ("6.5 a length that is no multiple of 6", |c| c.send(SETTINGS, 0, 0, &[0, 3, 0]), Fails(&[FRAME_SIZE])),
        ("6.5.2 ENABLE_PUSH of 2", |c| c.send(SETTINGS, 0, 0, &settings(&[(2, 2)])), Fails(&[PROTOCOL])),
        ("6.5.2 INITIAL_WINDOW_SIZE of 2^31", |c| c.send(SETTINGS, 0, 0, &settings(&[(4, 1 << 31)])), Fails(TOO_LARGE)),
        (
            "6.5.2 MAX_FRAME_SIZE below 2^14",
            |c| c.send(SETTINGS, 0, 0, &settings(&[(5, (1 << 14) - 1)])),
            Fails(&[PROTOCOL]),
        ),
        (
            "6.5.2 MAX_FRAME_SIZE above 2^24 - 1",
            |c| c.send(SETTINGS, 0, 0, &settings(&[(5, 1 << 24)])),
            Fails(&[PROTOCOL]),
        ),
        ("6.5.2 an unknown setting", |c| c.send(SETTINGS, 0, 0, &settings(&[(0xff, 1)])), Live),
        (
            "6.5.3 the last of two values holds",
            |c| {
                c.send(SETTINGS, 0, 0, &settings(&[(4, 100), (4, 1)]));
                c.get(1, "/public/x");
                while c.next().unwrap().kind != HEADERS {}
                assert_eq!(c.next().unwrap().payload.len(), 1);
            },
            Live,
        ),
        (
            "6.5.3 they are acknowledged",
            |c| {
                c.send(SETTINGS, 0, 0, b"");
                for _ in 0..2 {
                    while !matches!(c.next().unwrap(), frame if (frame.kind, frame.flags) == (SETTINGS, ACK)) {}
                }
            },
            Live,
        ),
    ]);
}

#[test]
fn section_6_6_to_6_8_push_promise_ping_goaway() {
    all_hold(&[
        (
            "6.6 PUSH_PROMISE",
            |c| {
                half(c);
                c.send(PUSH_PROMISE, END_HEADERS, 1, &[&[0, 0, 0, 2], &get("/public/x")[..]].concat())
            },
            Fails(&[PROTOCOL]),
        ),
        (
            "6.7 an ACK is not answered",
            |c| {
                c.send(PING, ACK, 0, b"unasked!");
                c.send(PING, 0, 0, b"question");
                let pings = std::iter::from_fn(|| c.next()).find(|frame| frame.kind == PING);
                assert_eq!(pings.unwrap().payload, b"question");
            },
            Live,
        ),
        ("6.7 on a stream", |c| c.send(PING, 0, 1, b"12345678"), Fails(&[PROTOCOL])),
        ("6.7 of 6 bytes", |c| c.send(PING, 0, 0, b"123456"), Fails(&[FRAME_SIZE])),
        ("6.8 GOAWAY on a stream", |c| c.send(GOAWAY, 0, 1, &[0; 8]), Fails(&[PROTOCOL])),
    ]);
}

#[test]
fn section_6_9_windows() {
    all_hold(&[
        ("6.9 an increment of 0", |c| c.send(WINDOW_UPDATE, 0, 0, &[0; 4]), Fails(&[PROTOCOL])),
        (
            "6.9 an increment of 0 on a stream",
            |c| {
                half(c);
                c.send(WINDOW_UPDATE, 0, 1, &[0; 4])
            },
            Resets(&[PROTOCOL]),
        ),
        ("6.9 of 3 bytes", |c| c.send(WINDOW_UPDATE, 0, 0, &[0, 0, 1]), Fails(&[FRAME_SIZE])),
        (
            "6.9.1 a window above 2^31 - 1",
            |c| {
                c.send(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]);
                c.send(WINDOW_UPDATE, 0, 0, &[0x7f, 0xff, 0xff, 0xff]);
            },
            Fails(&[FLOW_CONTROL]),
        ),
        (
            "6.9.1 a window above 2^31 - 1 on a stream",
            |c| {
                half(c);
                c.send(WINDOW_UPDATE, 0, 1, &[0x7f, 0xff, 0xff, 0xff]);
                c.send(WINDOW_UPDATE, 0, 1, &[0x7f, 0xff, 0xff, 0xff]);
            },
            Resets(&[FLOW_CONTROL]),
        ),
        (
            "6.9.1 a window of 1 is kept to, and one that grows is used",
            |c| {
                c.send(SETTINGS, 0, 0, &settings(&[(4, 1)]));
                c.get(1, "/public/x");
                while c.next().unwrap().kind != HEADERS {}
                assert_eq!(c.next().unwrap().payload.len(), 1);
                c.send(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 100]);
                assert!(c.next().unwrap().payload.len() > 1);
            },
            Live,
        ),
        (
            "6.9.2 a window of 0 that SETTINGS open",
            |c| {
                c.send(SETTINGS, 0, 0, &settings(&[(4, 0)]));
                c.get(1, "/public/x");
                while c.next().unwrap().kind != HEADERS {}
                c.send(SETTINGS, 0, 0, &settings(&[(4, 1)]));
                while c.next().unwrap().kind != DATA {}
            },
            Live,
        ),
        (
            "6.9.2 a window below 0",
            |c| {
                c.send(SETTINGS, 0, 0, &settings(&[(4, 3)]));
                c.get(1, "/public/x");
                while c.next().unwrap().kind != DATA {}
                c.send(SETTINGS, 0, 0, &settings(&[(4, 2)]));
                c.send(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 2]);
                let data = std::iter::from_fn(|| c.next()).find(|frame| frame.kind == DATA).unwrap();
                assert_eq!(data.payload.len(), 1);
            },
            Live,
        ),
        (
            "6.9.2 SETTINGS that make a window too large",
            |c| {
                half(c);
                c.send(WINDOW_UPDATE, 0, 1, &[0x7f, 0xff, 0, 0]);
                c.send(SETTINGS, 0, 0, &settings(&[(4, (1 << 31) - 1)]));
            },
            Fails(&[FLOW_CONTROL]),
        ),
    ]);
}

#[test]
fn section_6_10_continuation() {
    all_hold(&[
        (
            "several of them",
            |c| {
                let block = get("/public/x");
                c.send(HEADERS, END_STREAM, 1, &block[..10]);
                c.send(CONTINUATION, 0, 1, &block[10..20]);
                c.send(CONTINUATION, END_HEADERS, 1, &block[20..]);
            },
            Answer(200),
        ),
        (
            "another frame behind one",
            |c| {
                c.send(HEADERS, END_STREAM, 1, &get("/public/x"));
                c.send(CONTINUATION, 0, 1, b"");
                c.send(DATA, END_STREAM, 1, b"x");
            },
            Fails(&[PROTOCOL]),
        ),
        (
            "on stream 0",
            |c| {
                c.send(HEADERS, END_STREAM, 1, &get("/public/x"));
                c.send(CONTINUATION, END_HEADERS, 0, b"");
            },
            Fails(&[PROTOCOL]),
        ),
        (
            "behind HEADERS that had an end",
            |c| {
                slow(c);
                c.send(CONTINUATION, END_HEADERS, 1, b"")
            },
            Fails(&[PROTOCOL]),
        ),
        (
            "behind CONTINUATION that had an end",
            |c| {
                c.send(HEADERS, END_STREAM, 1, &get("/public/x"));
                c.send(CONTINUATION, END_HEADERS, 1, b"");
                c.send(CONTINUATION, END_HEADERS, 1, b"");
            },
            Fails(&[PROTOCOL]),
        ),
        (
            "behind DATA",
            |c| {
                half(c);
                c.send(DATA, 0, 1, b"x");
                c.send(CONTINUATION, END_HEADERS, 1, b"")
            },
            Fails(&[PROTOCOL]),
        ),
        (
            "7 GOAWAY with an unknown code",
            |c| {
                c.get(1, "/public/x");
                c.send(GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 0xff])
            },
            Answer(200),
        ),
    ]);
}
