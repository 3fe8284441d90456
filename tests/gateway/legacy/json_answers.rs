//! JSON that old servers write.

use std::io::Write;

use crate::harness::*;

type Fields<'a> = &'a [(&'a str, &'a str)];
/// Header fields and a body.
type Form = (Vec<(&'static str, &'static str)>, Vec<u8>);

const LATIN: &[u8] = b"{\"name\":\"Zo\xeb\",\"card\":1}";

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// What old servers write for `{"name":"Zoë","card":1}`.
fn forms() -> Vec<Form> {
    let text = "{\"name\":\"Zoë\",\"card\":1}";
    let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    vec![
        (vec![("Content-Type", "application/json")], format!("\u{feff}{text}").into_bytes()),
        (vec![("Content-Type", "application/json; charset=iso-8859-1")], LATIN.to_vec()),
        (vec![("Content-Type", "application/json;charset=\"Windows-1252\"")], LATIN.to_vec()),
        (vec![("Content-Type", "application/json; charset=utf-16")], utf16),
        (vec![("Content-Type", "application/json"), ("Content-Encoding", "gzip")], gzip(text.as_bytes())),
        (vec![("Content-Type", "application/json; charset=latin1"), ("Content-Encoding", "gzip")], gzip(LATIN)),
    ]
}

#[test]
fn json_of_old_servers_is_read_by_response_rules_and_goes_on_in_utf_8() {
    let (backend, gateway) = world_with(|c| c.route("public", "response", json!({"remove": ["/card"]})));
    for (fields, body) in forms() {
        backend.on("/public/x", Behaviour::reply(200, &fields, &body));
        let got = gateway.get("/public/x").send().ok();
        assert_eq!(got.text(), "{\"name\":\"Zoë\"}", "{fields:?}");
        assert_eq!(got.header("Content-Encoding"), None);
        assert_eq!(got.header("Content-Length"), Some("15"));
        let kind = got.header("Content-Type").unwrap().to_owned();
        assert!(["application/json", "application/json; charset=utf-8"].contains(&&*kind), "{kind}");
    }
}

#[test]
fn json_under_any_content_type_is_read_where_the_route_says_so() {
    let rules = json!({"remove": ["/card"], "any_content_type": true});
    let (backend, gateway) = world_with(|c| c.route("public", "response", rules));
    let (strict_backend, strict) = world_with(|c| c.route("public", "response", json!({"remove": ["/card"]})));
    let kinds = ["text/html", "text/plain; charset=utf-8", "text/json", "application/octet-stream", "", "x"];
    for kind in kinds {
        let fields: Vec<_> = [("Content-Type", kind)].into_iter().filter(|_| !kind.is_empty()).collect();
        let on = |backend: &Backend, body: &[u8]| backend.on("/public/x", Behaviour::reply(200, &fields, body));
        on(&backend, b"{\"name\":\"a\",\"card\":1}");
        let got = gateway.get("/public/x").send().ok();
        assert_eq!(
            (&*got.text(), got.header("Content-Type")),
            ("{\"name\":\"a\"}", Some("application/json")),
            "{kind}"
        );
        for body in [&b"<html>"[..], b"{\"card\":1,\"card\":2}", b"{\"card\":1} x", LATIN] {
            on(&backend, body);
            gateway.get("/public/x").send().expect(502, "502-03");
        }
        on(&strict_backend, b"{\"name\":\"a\",\"card\":1}");
        strict.get("/public/x").send().expect(502, "502-03");
    }
    assert_said(&strict, "routes[].response.any_content_type");
    let kind = [("Content-Type", "application/hal+json")];
    backend.on("/public/x", Behaviour::reply(200, &kind, b"{}"));
    assert_eq!(gateway.get("/public/x").send().ok().header("Content-Type"), Some("application/hal+json"));
}

#[test]
fn the_content_type_of_head_is_that_of_get() {
    let (backend, gateway) = world_with(|c| {
        c.route("public", "response", json!({"remove": ["/card"], "any_content_type": true})).route(
            "public",
            "methods",
            json!(["GET", "HEAD"]),
        )
    });
    for kind in ["application/json; charset=iso-8859-1", "text/html; charset=iso-8859-1", "application/json"] {
        backend.on("/public/x", Behaviour::reply(200, &[("Content-Type", kind)], b"{\"name\":\"a\"}"));
        let [get, head] = ["GET", "HEAD"].map(|method| gateway.request(method, "/public/x").send().ok());
        assert_eq!(head.header("Content-Type"), get.header("Content-Type"), "{kind}");
        assert!(!get.header("Content-Type").unwrap().contains("8859"), "{kind}");
    }
}

#[test]
fn json_of_old_servers_passes_as_it_is_where_nobody_reads_it() {
    let (backend, gateway) = world();
    for (fields, body) in forms() {
        backend.on("/public/x", Behaviour::reply(200, &fields, &body));
        let got = gateway.get("/public/x").send().ok();
        assert_eq!(got.body, body);
        assert!(fields.iter().all(|(name, value)| got.header(name) == Some(value)), "{:?}", got.lines);
    }
}

#[test]
fn the_answer_of_an_old_login_is_read_in_each_of_these_forms() {
    let accounts = json!({"backend": "legacy", "path": "/login", "subject": "/name"});
    let (backend, gateway) = world_with(|c| c.set("/login/accounts", accounts));
    let subject = || {
        keys::decode(gateway.login_request("erin", "x").send().ok().json()["JWT"].as_str().unwrap()).1["sub"].clone()
    };
    backend.on("/login", Behaviour::json(200, &json!({"name": "Zoë"})));
    let plain = subject();
    for (fields, body) in forms() {
        backend.on("/login", Behaviour::reply(200, &fields, &body));
        assert_eq!(subject(), plain, "{fields:?}");
    }
    let kind = ("Content-Type", "application/json; charset=shift_jis");
    backend.on("/login", Behaviour::reply(200, &[kind], b"{\"name\":\"a\"}"));
    gateway.login_request("erin", "x").send().expect(503, "503-02");
    assert_said(&gateway, "another charset than UTF-8");
}

#[test]
fn what_gzip_holds_counts_for_the_limit() {
    let rules = json!({"json": true, "body": "1KiB"});
    let (backend, gateway) = world_with(|c| c.route("public", "response", rules));
    let bomb = gzip(format!("{{\"x\":\"{}\"}}", "x".repeat(900_000)).as_bytes());
    assert!(bomb.len() < 1_024);
    let fields = [("Content-Type", "application/json"), ("Content-Encoding", "gzip")];
    backend.on("/public/x", Behaviour::reply(200, &fields, &bomb));
    gateway.get("/public/x").send().expect(502, "502-04");
    let accounts = json!({"backend": "legacy", "path": "/login", "subject": "/name"});
    let (backend, gateway) = world_with(|c| c.set("/login/accounts", accounts));
    backend.on("/login", Behaviour::reply(200, &fields, &bomb));
    gateway.login_request("erin", "x").send().expect(503, "503-02");
    assert_said(&gateway, "larger than its limit");
}

#[test]
fn what_cannot_be_read_is_refused_with_its_reason_in_the_log() {
    let table: [(Fields, &[u8], &str); 4] = [
        (&[("Content-Type", "application/json; charset=iso-2022-jp")], b"{}", "another charset than UTF-8"),
        (&[("Content-Type", "application/json"), ("Content-Encoding", "br")], b"{}", "something else than gzip"),
        (&[("Content-Type", "application/json"), ("Content-Encoding", "gzip")], b"{}", "gzip, and the body is not"),
        (&[("Content-Type", "application/json")], LATIN, "not in its charset"),
    ];
    for (fields, body, reason) in table {
        // A gateway for each: one line a second.
        let (backend, gateway) = world_with(|c| c.route("public", "response", json!({"remove": ["/card"]})));
        backend.on("/public/x", Behaviour::reply(200, fields, body));
        gateway.get("/public/x").send().expect(502, "502-03");
        assert_said(&gateway, reason);
    }
}

/// Standard error has a line with these words.
#[track_caller]
fn assert_said(gateway: &Gateway, words: &str) {
    let line = gateway.stderr.wait(|line| line.to_string().contains(words));
    assert!(line.is_some(), "no {words:?}:\n{}", gateway.stderr.all().join("\n"));
}
