//! Requests in HTTP/2 (RFC 9113 section 8): malformed ones are an error of their stream, and no backend sees them.

use super::*;
use crate::harness::client::tls;
use crate::harness::h2_frames::literal;

fn send(caller: &mut Caller, fields: &[(&str, &str)]) {
    caller.send(HEADERS, WHOLE, 1, &block(fields));
}

/// A request with these fields behind the usual ones.
fn with(caller: &mut Caller, fields: &[(&str, &str)]) {
    send(caller, &[&head("GET", "/public/x")[..], fields].concat());
}

/// The usual request without one field.
fn without(caller: &mut Caller, name: &str) {
    let fields: Vec<_> = head("GET", "/public/x").into_iter().filter(|(known, _)| *known != name).collect();
    send(caller, &fields);
}

/// The usual request with another value of one field.
fn changed(caller: &mut Caller, name: &str, value: &str) {
    let mut fields = head("GET", "/public/x");
    fields.iter_mut().filter(|(known, _)| *known == name).for_each(|field| field.1 = value);
    send(caller, &fields);
}

/// The usual request with one field twice.
fn twice(caller: &mut Caller, name: &str) {
    let mut fields = head("GET", "/public/x");
    let again = *fields.iter().find(|(known, _)| *known == name).unwrap();
    fields.push(again);
    send(caller, &fields);
}

const MALFORMED: Must = Resets(&[PROTOCOL]);

#[test]
fn section_8_1_messages() {
    all_hold(&[
        ("GET", |c| c.get(1, "/public/x"), Answer(200)),
        ("HEAD", |c| send(c, &head("HEAD", "/public/x")), Answer(200)),
        (
            "POST with a body",
            |c| {
                half(c);
                c.send(DATA, END_STREAM, 1, b"body")
            },
            Answer(200),
        ),
        (
            "POST with trailers",
            |c| {
                half(c);
                c.send(DATA, 0, 1, b"body");
                c.send(HEADERS, WHOLE, 1, &literal("grpc-status", b"0"));
            },
            Answer(200),
        ),
        (
            "HEADERS in the middle of a body",
            |c| {
                half(c);
                c.send(DATA, 0, 1, b"body");
                c.send(HEADERS, END_HEADERS, 1, &literal("a", b"b"));
                c.send(DATA, END_STREAM, 1, b"body");
            },
            MALFORMED,
        ),
    ]);
}

#[test]
fn section_8_1_a_pseudo_header_field_in_trailers_says_nothing() {
    let (backend, gateway) = world();
    let mut caller = Caller::open(gateway.address);
    half(&mut caller);
    let trailers = block(&[(":path", "/key/x"), (":method", "GET"), ("grpc-status", "0")]);
    caller.send(HEADERS, WHOLE, 1, &trailers);
    // It is an error of the stream; the HTTP library drops the field instead, and nobody sees it.
    let end = caller.end_of(1);
    assert!(matches!(end, End::Answer(200) | End::Reset(PROTOCOL)), "{end:?}");
    for seen in backend.requests() {
        assert_eq!((seen.target.as_str(), seen.method.as_str()), ("/public/x", "POST"));
        assert!(seen.trailers.iter().all(|(name, _)| name == "grpc-status"), "{:?}", seen.trailers);
    }
    assert_eq!(backend.problems(), [""; 0]);
}

#[test]
fn section_8_1_1_content_length_is_the_length_of_the_data() {
    fn post(caller: &mut Caller, lengths: &[&str], data: &[u8]) {
        let mut fields = head("POST", "/public/x");
        fields.extend(lengths.iter().map(|length| ("content-length", *length)));
        caller.send(HEADERS, END_HEADERS, 1, &block(&fields));
        caller.send(DATA, END_STREAM, 1, data);
    }
    all_hold(&[
        ("equal", |c| post(c, &["4"], b"body"), Answer(200)),
        ("smaller", |c| post(c, &["3"], b"body"), MALFORMED),
        ("none where there is a body", |c| post(c, &["0"], b"body"), MALFORMED),
        ("one where there is no body", |c| with(c, &[("content-length", "1")]), MALFORMED),
        (
            "in several frames",
            |c| {
                let mut fields = head("POST", "/public/x");
                fields.push(("content-length", "3"));
                c.send(HEADERS, END_HEADERS, 1, &block(&fields));
                c.send(DATA, 0, 1, b"bo");
                c.send(DATA, END_STREAM, 1, b"dy");
            },
            MALFORMED,
        ),
    ]);
    // The head alone is refused, or what has come is cut off: the backend sees no whole request.
    let (backend, gateway) = world();
    for lengths in [&["5"][..], &["4", "4"], &["4", "5"], &["+4"], &["4,4"], &["0x4"], &[""], &["18446744073709551620"]]
    {
        let mut caller = Caller::open(gateway.address);
        post(&mut caller, lengths, b"body");
        let end = caller.end_of(1);
        assert!(matches!(end, End::Answer(400) | End::Reset(PROTOCOL) | End::Closed), "{lengths:?}: {end:?}");
        assert!(backend.requests().iter().all(|seen| !seen.complete), "{lengths:?}: {:?}", backend.requests());
    }
    assert_eq!(backend.problems(), [""; 0]);
}

#[test]
fn section_8_2_2_fields_of_the_connection() {
    let (backend, gateway) = world();
    let fields = [
        ("connection", "keep-alive"),
        ("keep-alive", "timeout=5"),
        ("proxy-connection", "keep-alive"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
        ("te", "chunked"),
        ("te", "trailers, deflate"),
    ];
    for field in fields {
        let mut caller = Caller::open(gateway.address);
        with(&mut caller, &[field]);
        let end = caller.end_of(1);
        assert!(matches!(end, End::Reset(PROTOCOL) | End::GoAway(PROTOCOL) | End::Closed), "{field:?}: {end:?}");
    }
    backend.assert_untouched();
    let mut caller = Caller::open(gateway.address);
    with(&mut caller, &[("te", "trailers")]);
    assert_eq!(caller.end_of(1), End::Answer(200));
    assert_eq!(backend.only().all("te"), [""; 0]);
}

#[test]
fn section_8_2_1_bytes_that_may_not_stand_in_names_and_values() {
    let (backend, gateway) = world();
    let is_refused = |name: &[u8], value: &[u8]| {
        let mut caller = Caller::open(gateway.address);
        let mut fields = get("/public/x");
        fields.push(0);
        for text in [name, value] {
            fields.push(u8::try_from(text.len()).unwrap());
            fields.extend_from_slice(text);
        }
        caller.send(HEADERS, WHOLE, 1, &fields);
        !matches!(caller.end_of(1), End::Answer(200))
    };
    for byte in (0..=0x20).chain(b'A'..=b'Z').chain(0x7f..=0xff).chain(*b":\"(),/;<=>?@[\\]{}") {
        assert!(is_refused(&[b'x', byte], b"1"), "a name with {byte:#x}");
    }
    assert!(is_refused(b"", b"1"), "no name");
    for byte in (0..0x20).filter(|byte| *byte != b'\t').chain([0x7f]) {
        assert!(is_refused(b"y", &[b'a', byte, b'b']), "a value with {byte:#x}");
    }
    assert_eq!(backend.problems(), [""; 0]);
    backend.assert_untouched();
    // Nor a blank at an end of a value.
    for value in [&b" a"[..], b"a ", b"\ta", b"a\t", b" ", b"\t"] {
        assert!(is_refused(b"y", value), "{value:?}");
    }
    backend.assert_untouched();
    assert!(!is_refused(b"y", b"a\tb \xe4") && !is_refused(b"y", b""));
    // Nor in trailers.
    let mut caller = Caller::open(gateway.address);
    half(&mut caller);
    caller.send(HEADERS, WHOLE, 1, &block(&[("x\"y", "1"), ("grpc-status", "0")]));
    caller.end_of(1);
    assert_eq!(backend.problems(), [""; 0]);
}

#[test]
fn section_8_3_pseudo_header_fields() {
    all_hold(&[
        ("an unknown one", |c| send(c, &[&[(":test", "1")], &head("GET", "/public/x")[..]].concat()), MALFORMED),
        ("that of responses", |c| send(c, &[&[(":status", "200")], &head("GET", "/public/x")[..]].concat()), MALFORMED),
        (
            "one behind a field",
            |c| {
                send(
                    c,
                    &[
                        (":method", "GET"),
                        (":scheme", "https"),
                        (":authority", "localhost"),
                        ("a", "b"),
                        (":path", "/public/x"),
                    ],
                );
            },
            MALFORMED,
        ),
        (":method missing", |c| without(c, ":method"), MALFORMED),
        (":scheme missing", |c| without(c, ":scheme"), MALFORMED),
        (":path missing", |c| without(c, ":path"), MALFORMED),
        (":method twice", |c| twice(c, ":method"), MALFORMED),
        (":scheme twice", |c| twice(c, ":scheme"), MALFORMED),
        (":path twice", |c| twice(c, ":path"), MALFORMED),
        (":authority twice", |c| twice(c, ":authority"), MALFORMED),
    ]);
}

#[test]
fn section_8_3_1_pseudo_header_fields_that_are_not_what_they_should_be() {
    let (backend, gateway) = world();
    let cases = [
        (":path", ""),
        (":path", "public/x"),
        (":path", "*"),
        (":path", "/public/x y"),
        (":path", "/public/x\r\nX: y"),
        (":path", "/public/\u{e4}"),
        (":path", "https://localhost/public/x"),
        (":path", "//evil.test/public/x"),
        (":method", ""),
        (":method", "GET /admin"),
        (":method", "GET\r\nX: y"),
        (":method", "G\0T"),
        (":scheme", ""),
        (":scheme", "ftp"),
        (":scheme", "https://evil.test/?"),
        (":scheme", "ht tp"),
        (":authority", "user@localhost"),
        (":authority", "local host"),
        (":authority", "localhost/x"),
        (":authority", "localhost\r\nX: y"),
        (":authority", "localhost:80:80"),
    ];
    for (name, value) in cases {
        let mut caller = Caller::open(gateway.address);
        changed(&mut caller, name, value);
        let end = caller.end_of(1);
        assert!(!matches!(end, End::Answer(200..400)), "{name}: {value:?}: {end:?}");
    }
    assert_eq!(backend.problems(), [""; 0]);
    backend.assert_untouched();
}

#[test]
fn a_fragment_takes_no_part_in_what_is_asked() {
    let (backend, gateway) = world();
    for path in ["/public/x#y", "/public/x#/../../key/x", "/public/x#?a=b"] {
        let mut caller = Caller::open(gateway.address);
        changed(&mut caller, ":path", path);
        caller.end_of(1);
    }
    // Over HTTP/1.1 it is 400. The HTTP library takes it off before anybody sees it.
    for seen in backend.requests() {
        assert_eq!(seen.target, "/public/x");
    }
}

#[test]
fn section_8_3_1_the_host_that_is_asked() {
    let (backend, gateway) = world();
    for (host, is_fine) in [("localhost", true), ("evil.test", false), ("localhost:1", false), ("", false)] {
        let mut caller = Caller::open(gateway.address);
        with(&mut caller, &[("host", host)]);
        assert_eq!(caller.end_of(1) == End::Answer(200), is_fine, "{host}");
    }
    let mut caller = Caller::open(gateway.address);
    with(&mut caller, &[("host", "localhost"), ("host", "localhost")]);
    assert_eq!(caller.end_of(1), End::Answer(400));
    let mut caller = Caller::open(gateway.address);
    without(&mut caller, ":authority");
    assert_eq!(caller.end_of(1), End::Answer(400), "nobody is asked");
    assert_eq!(backend.only().all("x-forwarded-host"), ["localhost"]);
}

#[test]
fn connect_and_extended_connect_are_refused() {
    let (backend, gateway) = world();
    for fields in [
        vec![(":method", "CONNECT"), (":authority", "localhost")],
        vec![(":method", "CONNECT"), (":authority", "localhost"), (":path", "/public/x"), (":scheme", "https")],
        vec![
            (":method", "CONNECT"),
            (":authority", "localhost"),
            (":path", "/public/x"),
            (":scheme", "https"),
            (":protocol", "websocket"),
        ],
    ] {
        let mut caller = Caller::open(gateway.address);
        send(&mut caller, &fields);
        let end = caller.end_of(1);
        assert!(matches!(end, End::Answer(400..600) | End::Reset(_)), "{fields:?}: {end:?}");
        caller.lives();
    }
    backend.assert_untouched();
}

#[test]
fn without_its_alpn_the_preface_of_http2_is_no_request() {
    let (backend, gateway) = world_with(|mut config| {
        config.yaml["listen"].as_array_mut().unwrap().push(json!({"address": "127.0.0.1:0"}));
        config
    });
    let plain = gateway.stderr.all().into_iter().filter_map(|line| serde_json::from_str::<Value>(&line).ok());
    let plain = plain.filter(|line| line["role"] == "gateway").nth(1).unwrap();
    let plain = plain["address"].as_str().unwrap().parse().unwrap();
    let tls = Connection::with(gateway.address, tls(b"http/1.1", None)).unwrap();
    for mut connection in [tls, Connection::plain(plain)] {
        connection.send(&[PREFACE, &frame(SETTINGS, 0, 0, b""), &frame(HEADERS, WHOLE, 1, &get("/public/x"))].concat());
        let answer = connection.receive("PRI").map(|answer| answer.status);
        assert!(matches!(answer, Ok(400 | 505) | Err(_)), "{answer:?}");
        assert!(connection.wire.rest().is_ok());
    }
    backend.assert_untouched();
}
