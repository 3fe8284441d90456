//! Trailers of responses: which fields may stand there.

use http::HeaderMap;

use crate::harness::h2_backend::{Act, H2Backend};
use crate::harness::*;

/// What may not stand in trailers (RFC 9110 section 6.5.1), what the gateway says itself, and what is removed here.
const WRONG: [(&str, &str); 19] = [
    ("set-cookie", "a=b"),
    ("content-length", "5"),
    ("content-type", "text/html"),
    ("content-encoding", "gzip"),
    ("host", "evil.example"),
    ("x-request-id", "theirs"),
    ("x_request_id", "theirs"),
    ("cache-control", "public"),
    ("age", "1"),
    ("expires", "0"),
    ("location", "https://evil.example"),
    ("www-authenticate", "Basic"),
    ("access-control-allow-origin", "*"),
    ("strict-transport-security", "max-age=0"),
    ("alt-svc", "h3=\":8443\""),
    ("vary", "*"),
    ("x-removed", "1"),
    ("x_removed", "1"),
    ("x-set", "theirs"),
];

const RIGHT: [(&str, &str); 3] = [("grpc-status", "0"), ("x-sum", "1"), ("etag", "\"a\"")];

fn with_rules(config: Config) -> Config {
    config.route("public", "response_headers", json!({"remove": ["X-Removed"], "set": {"X-Set": "ours"}}))
}

/// A chunked answer with these trailers; announced where there is a `Trailer`.
fn chunked(trailers: &[(&str, &str)], announced: bool) -> Behaviour {
    let names: Vec<&str> = trailers.iter().map(|(name, _)| *name).collect();
    let trailer = if announced { format!("Trailer: {}\r\n", names.join(", ")) } else { String::new() };
    let lines: String = trailers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    Behaviour::Raw(
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n{trailer}\r\n5\r\nhello\r\n0\r\n{lines}\r\n").into(),
    )
}

/// The names of the trailers that come over HTTP/2.
fn trailers_of(gateway: &Gateway) -> Vec<String> {
    let request = http::Request::post("https://localhost/public/x").body(()).unwrap();
    let answer = h2_client::send(gateway.address, request, b"hello", None).unwrap();
    assert_eq!((answer.status().as_u16(), answer.body().as_slice()), (200, &b"hello"[..]));
    let trailers = answer.extensions().get::<HeaderMap>();
    let mut names: Vec<_> = trailers.into_iter().flat_map(HeaderMap::keys).map(ToString::to_string).collect();
    names.sort_unstable();
    names
}

#[test]
fn only_what_may_stand_in_trailers_passes_announced_or_not() {
    let (backend, gateway) = world_with(with_rules);
    let all = [&WRONG[..], &[("transfer-encoding", "chunked"), ("connection", "x"), ("te", "x")], &RIGHT].concat();
    for announced in [true, false] {
        backend.on("/public/x", chunked(&all, announced));
        assert_eq!(trailers_of(&gateway), ["etag", "grpc-status", "x-sum"], "announced: {announced}");
    }
    // Nothing is left of them: the answer ends as one without.
    backend.on("/public/x", chunked(&WRONG, true));
    assert_eq!(trailers_of(&gateway), [""; 0]);
    // Over HTTP/1.1 only what is announced passes at all, and to callers that ask for it.
    backend.on("/public/x", chunked(&all, true));
    let mut connection = gateway.connect();
    connection.send(&gateway.get("/public/x").header("TE", "trailers").header("Connection", "TE").bytes());
    let head = http1::latin1(&connection.wire.head().unwrap()).to_ascii_lowercase();
    assert!(head.contains("trailer: grpc-status, x-sum, etag\r\n"), "{head}");
    let (body, trailers) = connection.wire.chunked().unwrap();
    let mut names: Vec<_> = trailers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    names.sort_unstable();
    assert_eq!((body.as_slice(), names), (&b"hello"[..], RIGHT_NAMES.map(str::to_owned).to_vec()));
    gateway.get("/public/y").send_on(&mut connection).ok();
}

const RIGHT_NAMES: [&str; 3] = ["etag", "grpc-status", "x-sum"];

#[test]
fn trailers_of_an_http2_backend_are_held_to_the_same() {
    const ALL: &[(&str, &str)] = &[
        ("set-cookie", "a=b"),
        ("x-request-id", "theirs"),
        ("x-removed", "1"),
        ("location", "https://evil.example"),
        ("access-control-allow-origin", "*"),
        ("grpc-status", "0"),
        ("etag", "\"a\""),
        ("x-sum", "1"),
    ];
    let backend = H2Backend::start(None);
    let config =
        Config::with_server(&format!("http://{}", backend.address)).set("/backends/legacy/protocol", json!("http2"));
    let gateway = Gateway::start(&with_rules(config));
    backend.on("/public/x", Act::Say(200, &[], ALL));
    assert_eq!(trailers_of(&gateway), RIGHT_NAMES);
    backend.on("/public/x", Act::Say(200, &[], &[("set-cookie", "a=b")]));
    assert_eq!(trailers_of(&gateway), [""; 0]);
}
