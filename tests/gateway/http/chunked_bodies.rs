//! Chunked bodies: sizes, extensions, terminators.

use super::framing::{post, refused};
use crate::harness::*;

#[test]
fn a_bad_chunked_body_is_400_and_the_backend_stays_usable() {
    let (backend, gateway) = world();
    let bad = [
        "+5\r\nhello\r\n0\r\n\r\n",
        "-5\r\nhello\r\n0\r\n\r\n",
        "0x5\r\nhello\r\n0\r\n\r\n",
        "5_\r\nhello\r\n0\r\n\r\n",
        "\r\nhello\r\n0\r\n\r\n",
        " 5\r\nhello\r\n0\r\n\r\n",
        "g\r\nhello\r\n0\r\n\r\n",
        "ffffffffffffffff1\r\nhello\r\n0\r\n\r\n",
        "5\rhello\r\n0\r\n\r\n",
        "5\nhello\r\n0\r\n\r\n",
        "5\r\nhelloX\r\n0\r\n\r\n",
        "5\r\nhello\n0\r\n\r\n",
        "5;a\nb\r\nhello\r\n0\r\n\r\n",
        "5\r\nhello\r\nzz\r\nmore\r\n0\r\n\r\n",
        "5\r\nhello\r\n0\r\nbad trailer\r\n\r\n",
    ];
    for body in bad {
        let answer = gateway.connect().exchange(&post("Transfer-Encoding: chunked\r\n", body));
        let answer = answer.unwrap_or_else(|fault| panic!("{fault:?} to {body:?}"));
        assert_eq!((answer.status, answer.code().as_str()), (400, "400-01"), "{body:?}");
        gateway.get("/public/canary").send().ok();
    }
    assert!(!backend.requests_for("/public/x").iter().any(|seen| seen.complete));
    assert_eq!(backend.problems(), [""; 0]);
    assert_eq!(
        gateway.metric("wicketgate_backend_failures_total", &[]),
        0.0,
        "the caller's fault is not the backend's"
    );
}

#[test]
fn chunk_extensions_have_their_grammar_or_are_refused() {
    let (backend, gateway) = world();
    let chunked = |line: &str| post("Transfer-Encoding: chunked\r\n", &format!("{line}\r\nhello\r\n0\r\n\r\n"));
    for line in ["5;a", "5;a=b", "5;a=b;c=\"d e\\\"f\"", "5 ; a = b"] {
        gateway.connect().exchange(&chunked(line)).unwrap().ok();
        assert_eq!(backend.last().body, b"hello", "{line:?}");
    }
    backend.forget();
    for line in [
        "5;",
        "5 ",
        "5;\u{0}ext",
        "5;a\u{1}=b",
        "5;bad[=x",
        "5;a=",
        "5;a=\"b",
        "5;=b",
        "5 a",
        "5;a=b c",
        "5;a=\"\u{7f}\"",
    ] {
        refused(&backend, &gateway, &chunked(line), &[]);
    }
    refused(&backend, &gateway, &post("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\n"), &[]);
}
