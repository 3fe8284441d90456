//! Request bytes collected by others, judged by what their collectors expect of a server (RFC 9110, RFC 9112).
//!
//! The gateway stands in front of a backend that does what such a server does with what reaches it: it sends bodies
//! and cookies back, knows one entity tag, and answers OPTIONS. A case passes where the first answer is one of those that
//! its collector accepts, also of those that he only warns of. What does not pass is named here, with the reason.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use serde_json::Value;

use crate::harness::http1::{Framing, Lines, Wire, framing, latin1, parse_head, values};
use crate::harness::*;
use crate::http::smuggling_corpus::{unhex, with_host};

/// Cases of Http11Probe that are answered otherwise than it wants.
const PROBE_EXCEPTIONS: [(&str, &str); 3] = [
    ("COMP-HTTP12-VERSION", "400 and not 505: the parser knows 1.0 and 1.1 and takes all else for no HTTP"),
    ("MAL-LONG-METHOD", "431 and not 400: it says which limit was met"),
    ("MAL-POST-CL-HUGE-NO-BODY", "413 before the body comes, as its length is announced"),
];

/// Cases of llhttp that are answered otherwise than it parses.
const LLHTTP_EXCEPTIONS: [(&str, &str); 0] = [];

/// What the caller sees on its connection.
struct Observed {
    /// The statuses of all final answers.
    statuses: Vec<u16>,
    /// Statuses before the final ones.
    interim: bool,
    closed: bool,
    text: String,
}

/// A server that does what is asked, as a plain origin does.
fn origin() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                stream.set_read_timeout(Some(DEADLINE)).ok();
                let mut wire = Wire::new(stream);
                while serve(&mut wire).is_some() {}
            });
        }
    });
    address
}

fn serve(wire: &mut Wire<TcpStream>) -> Option<()> {
    let head = wire.head().ok()?;
    let (first, lines) = parse_head(&head).ok()?;
    let body = match framing(&lines).ok()? {
        Framing::None => Vec::new(),
        Framing::Length(length) => wire.exact(length).ok()?,
        Framing::Chunked => wire.chunked().ok()?.0,
    };
    let method = first.split(' ').next()?;
    let is_known = !values(&lines, "if-none-match").is_empty();
    let answer = match method {
        "OPTIONS" => "HTTP/1.1 204 No Content\r\nAllow: GET, HEAD, POST, OPTIONS\r\n\r\n".to_owned(),
        _ if is_known => "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n".to_owned(),
        _ => {
            let said = format!("{}{}", latin1(&body), headers_of(&lines));
            let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n\r\n", said.len());
            if method == "HEAD" { head } else { format!("{head}{said}") }
        }
    };
    wire.stream.write_all(answer.as_bytes()).ok()
}

/// Like the echo of a header field.
fn headers_of(lines: &Lines) -> String {
    lines.iter().map(|(name, value)| format!("\n{name}: {value}")).collect()
}

fn observe(gateway: &Gateway, steps: &[Vec<u8>]) -> Observed {
    let mut connection = gateway.connect();
    connection.patience(Duration::from_millis(400));
    let mut closed = false;
    for step in steps {
        connection.send(step);
        loop {
            match connection.wire.fill() {
                Ok(true) => {}
                Ok(false) => {
                    closed = true;
                    break;
                }
                Err(_) => break,
            }
        }
    }
    let text = latin1(&std::mem::take(&mut connection.wire.buffer));
    let all: Vec<u16> = ["HTTP/1.1 ", "HTTP/1.0 "]
        .iter()
        .flat_map(|version| text.match_indices(version))
        .filter_map(|(at, _)| text.get(at + 9..at + 12)?.parse().ok())
        .collect();
    let statuses: Vec<u16> = all.iter().copied().filter(|status| *status >= 200 || *status == 101).collect();
    let interim = all.iter().any(|status| *status < 200);
    connection.abort();
    Observed { statuses, interim, closed, text }
}

/// Whether this is what the collector of Http11Probe accepts.
fn is_accepted(case: &Value, observed: &Observed) -> bool {
    let first = observed.statuses.first().copied();
    let has = |class: u16| first.is_some_and(|status| status / 100 == class);
    let refused = first == Some(400);
    let silent = first.is_none();
    let close_ok = case["close_ok"].as_bool().unwrap_or_default() && silent;
    match case["expect_status"].as_str() {
        Some("Exact(400)") => return refused || close_ok,
        Some("Range2xx") => return has(2) || close_ok,
        _ => {}
    }
    let text = case["expect_text"].as_str().unwrap_or_default();
    let says = |word: &str| text.contains(word);
    let echo = |word: &str| observed.text.contains(word);
    match text {
        "304" => observed.statuses.last() == Some(&304),
        "!101" => first != Some(101),
        "non-101 (426 preferred)" => first.is_some_and(|status| status != 101),
        "not 414" => first.is_some_and(|status| status != 414),
        "non-1xx response" => first.is_some() && !observed.interim,
        "2xx + echo" => has(2) && (echo("hello") || echo("helloworld")),
        "2xx + close" => has(2) && observed.closed,
        "2xx + 2xx" => observed.statuses.len() == 2 && observed.statuses.iter().all(|status| status / 100 == 2),
        "2xx with no body" => has(2) && observed.text.ends_with("\r\n\r\n"),
        "2xx with Date header" | "IMF-fixdate format" => has(2) && echo("\r\ndate: ") && echo(" GMT\r\n"),
        "2xx with Allow header" => has(2) && echo("\r\nallow: "),
        "405 + Allow header" => first == Some(405) && echo("\r\nallow: "),
        "2xx with Content-Type" => has(2) && echo("\r\ncontent-type: "),
        "204 without CL" => first == Some(204) && !echo("\r\ncontent-length: "),
        "2xx with Cookie in body" | "2xx with foo=bar in body" => has(2) && echo("foo=bar"),
        "2xx with both cookies" => has(2) && echo("a=1") && echo("b=2"),
        "2xx with a=1, b=2, c=3 in body" => has(2) && echo("a=1; b=2; c=3"),
        _ if says("Reject/drop") => {
            let name = case["id"].as_str().unwrap_or_default();
            let normal = if name.ends_with("CL") { "content-length: 99" } else { "transfer-encoding: " };
            refused || silent || (has(2) && !observed.text.to_ascii_lowercase().contains(normal))
        }
        // Whatever is answered, its collector only warns of it.
        _ if says("poisoned follow-up = warn") || says("extra response on step 2 = warn") => first.is_some(),
        // Of two requests in one, only the first may be answered.
        _ if says("400, or close") => refused && observed.closed && observed.statuses.len() == 1,
        _ => {
            let named = |status: u16| text.contains(&status.to_string());
            let is_named = first.is_some_and(named);
            let closes = !says("2xx + close") && !says("2xx+close");
            is_named
                || (has(2) && says("2xx") && (closes || observed.closed))
                || (silent && (says("close") || says("timeout")))
        }
    }
}

/// Whether the answer fits to what llhttp makes of the bytes: a whole request is answered, one with a fault is not served.
fn fits(case: &Value, observed: &Observed) -> bool {
    let served = observed.statuses.iter().filter(|status| **status < 400).count() as u64;
    served <= case["messages_complete"].as_u64().unwrap_or_default()
}

fn all_of(file: &str, kind: impl Fn(&Value) -> bool) -> Vec<Value> {
    let file: Value = serde_json::from_str(file).unwrap();
    file["cases"].as_array().unwrap().iter().filter(|case| kind(case)).cloned().collect()
}

fn steps(case: &Value) -> Vec<Vec<u8>> {
    match case["payload_hex"].as_array() {
        Some(steps) => steps.iter().map(|step| with_host(&unhex(step.as_str().unwrap()))).collect(),
        None => vec![unhex(case["input_hex"].as_str().unwrap())],
    }
}

/// The names of the cases that do not pass, with what was seen.
fn failing(
    gateway: &Gateway,
    cases: &[Value],
    passes: impl Fn(&Value, &Observed) -> bool + Sync,
) -> Vec<(String, String)> {
    let failing = Mutex::new(Vec::new());
    let (threads, passes, shared) = (16, &passes, &failing);
    thread::scope(|scope| {
        for number in 0..threads {
            scope.spawn(move || {
                for case in cases.iter().skip(number).step_by(threads) {
                    let observed = observe(gateway, &steps(case));
                    if !passes(case, &observed) {
                        let seen = format!(
                            "{:?} closed: {}, wanted {} {}",
                            observed.statuses, observed.closed, case["expect_status"], case["expect_text"]
                        );
                        shared.lock().unwrap().push((case["id"].as_str().unwrap().to_owned(), seen));
                    }
                }
            });
        }
    });
    let mut failing = failing.into_inner().unwrap();
    failing.sort();
    failing
}

#[track_caller]
fn are_these(failing: &[(String, String)], exceptions: &[(&str, &str)]) {
    let unexpected: Vec<_> = failing.iter().filter(|(id, _)| !exceptions.iter().any(|(name, _)| name == id)).collect();
    assert!(unexpected.is_empty(), "{unexpected:#?}");
    let mended: Vec<_> = exceptions.iter().filter(|(name, _)| !failing.iter().any(|(id, _)| id == name)).collect();
    assert!(mended.is_empty(), "these pass and are still named as exceptions: {mended:?}");
}

fn plain_origin() -> Gateway {
    let methods = json!(["GET", "HEAD", "POST", "PUT", "OPTIONS", "PATCH"]);
    let all = json!({"name": "all", "path": "/", "methods": methods, "public": true, "backend": "legacy"});
    let config = Config::with_server(&format!("http://{}", origin()));
    Gateway::start(&config.without("/api_keys").set("/routes", json!([all])))
}

#[test]
fn all_but_the_named_of_207_cases_of_http11probe_pass() {
    let cases =
        all_of(include_str!("../../vectors/http1/http11probe_cases.json"), |case| case["payload_hex"].is_array());
    assert_eq!(cases.len(), 207);
    let failing = failing(&plain_origin(), &cases, is_accepted);
    println!("Http11Probe: {} of {} pass", cases.len() - failing.len(), cases.len());
    are_these(&failing, &PROBE_EXCEPTIONS);
}

#[test]
fn all_but_the_named_of_134_cases_of_llhttp_pass() {
    let cases = all_of(include_str!("../../vectors/http1/llhttp_cases.json"), |case| case["meta"]["type"] == "request");
    assert_eq!(cases.len(), 134);
    let failing = failing(&plain_origin(), &cases, fits);
    println!("llhttp: {} of {} pass", cases.len() - failing.len(), cases.len());
    are_these(&failing, &LLHTTP_EXCEPTIONS);
}
