//! Checks of `respond` and `redirect`, `errors`, `retry: {on: ...}` and `listen[].hosts`.

use super::{MAXIMAL, assert_fine, assert_said, assert_warned};

const RESPOND: &str = "respond: { status: 410, headers: { Content-Type: text/html }, body: <p>Gone }";
const REDIRECT: &str = r#"redirect: { to: "https://new.example.com/v2/", status: 308, keep_path: true }"#;
const ERRORS: &str = r#"errors: [ { status: 403, content_type: text/plain, body: "no: ${request.id}" } ]"#;
const RETRY: &str = "retry: { on: [ 503, 5xx ], attempts: 3, backoff: 50ms, requests: idempotent }";

#[test]
fn a_route_has_exactly_one_answer() {
    assert_said(
        MAXIMAL,
        &[
            (RESPOND, "scopes: []", "routes[8].backend", "nothing answers this route"),
            (RESPOND, "respond: { status: 200 }\n    backend: legacy", "routes[8].respond", "stand side by side"),
            (
                RESPOND,
                "respond: { status: 200 }\n    redirect: { to: /public/ }",
                "routes[8].redirect",
                "stand side by side",
            ),
        ],
    );
    for (key, value) in [
        ("retry", "never"),
        ("websocket", "true"),
        ("pass_unauthorized", "true"),
        ("forward_credentials", "[ client ]"),
        ("request_headers", "{ remove: [ X-Debug ] }"),
        ("response_headers", "{ remove: [ X-Debug ] }"),
        ("rewrite", "{ strip_prefix: /gone }"),
        ("response", "{ json: true }"),
    ] {
        let edit = format!("{RESPOND}\n    {key}: {value}");
        let found = super::problems(&super::edited(MAXIMAL, RESPOND, &edit));
        let place = format!("routes[8].{key}");
        let is_said = found.iter().any(|problem| problem.path == place && problem.message.contains("about a backend"));
        assert!(is_said, "{key}:\n{found}");
    }
}

#[test]
fn a_response_of_the_gateway_is_one_that_callers_can_read() {
    assert_said(
        MAXIMAL,
        &[
            (RESPOND, "respond: { status: 101 }", "routes[8].respond.status", "not the status"),
            (RESPOND, "respond: { status: 700 }", "routes[8].respond.status", "not the status"),
            (RESPOND, "respond: { status: 302 }", "routes[8].respond.status", "a redirect has an address"),
            (RESPOND, "respond: { status: 204, body: x }", "routes[8].respond.body", "has no body"),
            (
                RESPOND,
                r#"respond: { status: 200, headers: { Content-Length: "3" } }"#,
                "routes[8].respond.headers.Content-Length",
                "a meaning of its own",
            ),
            (
                RESPOND,
                "respond: { status: 200, headers: { Connection: close } }",
                "routes[8].respond.headers.Connection",
                "a meaning of its own",
            ),
            (
                RESPOND,
                "respond: { status: 200, headers: { Access-Control-Allow-Origin: x } }",
                "routes[8].respond.headers.Access-Control-Allow-Origin",
                "written by the gateway",
            ),
            (
                RESPOND,
                r#"respond: { status: 200, headers: { X-A: "a\nb" } }"#,
                "routes[8].respond.headers.X-A",
                "visible ASCII",
            ),
            (
                RESPOND,
                "respond: { status: 200, headers: { X-A: a, x-a: b } }",
                "routes[8].respond.headers.x-a",
                "already used",
            ),
        ],
    );
    assert_fine(MAXIMAL, &[(RESPOND, "respond: { status: 204 }"), (RESPOND, "respond: { status: 503, body: later }")]);
}

#[test]
fn a_redirect_has_an_address_that_leads_elsewhere() {
    assert_said(
        MAXIMAL,
        &[
            (REDIRECT, "redirect: { to: /x, status: 200 }", "routes[9].redirect.status", "of a redirect"),
            (REDIRECT, "redirect: { to: //evil.test }", "routes[9].redirect.to", "the name of a host"),
            (REDIRECT, r#"redirect: { to: "/\\evil.test" }"#, "routes[9].redirect.to", "the name of a host"),
            (REDIRECT, r#"redirect: { to: "ftp://a.test" }"#, "routes[9].redirect.to", "http:// or https://"),
            (REDIRECT, "redirect: { to: here }", "routes[9].redirect.to", "not an http or https address"),
            (REDIRECT, "redirect: { to: /moved/x }", "routes[9].redirect.to", "back to the same route"),
            (REDIRECT, "redirect: { to: /x?a=b, keep_path: true }", "routes[9].redirect.to", "the query is that of"),
            (REDIRECT, r#"redirect: { to: "/a b" }"#, "routes[9].redirect.to", "a blank"),
        ],
    );
    assert_fine(
        MAXIMAL,
        &[(REDIRECT, "redirect: { to: /x?a=%20 }"), (REDIRECT, r#"redirect: { to: "https://a.test" }"#)],
    );
}

#[test]
fn an_error_body_can_be_read_whatever_its_values_are() {
    let of = |entry: &str| format!("errors: [ {{ {entry} }} ]");
    for (entry, path, message) in [
        ("status: 200, content_type: text/plain, body: x", "status", "not the status of an error"),
        ("status: 3xx, content_type: text/plain, body: x", "status", "not the status of an error"),
        ("status: [], content_type: text/plain, body: x", "status", "is empty"),
        ("status: 4x, content_type: text/plain, body: x", "status", "is not a status"),
        ("status: 70000, content_type: text/plain, body: x", "status", "not the status of an error"),
        ("content_type: text/csv, body: x", "content_type", "could not be escaped"),
        ("content_type: text/html; charset=latin1, body: x", "content_type", "could not be escaped"),
        ("content_type: text/plain, body: \"${requestId}\"", "body", "unknown placeholder"),
        ("content_type: text/plain, body: \"\"", "body", "is empty"),
        ("content_type: application/json, body: '{\"code\":${error.code}}'", "body", "is not JSON"),
    ] {
        let found = super::problems(&super::edited(MAXIMAL, ERRORS, &of(entry)));
        let place = format!("routes[3].errors[0].{path}");
        let is_said = found.iter().any(|problem| problem.path == place && problem.message.contains(message));
        assert!(is_said, "{entry} should say {place}: {message}\n{found}");
    }
    assert_said(MAXIMAL, &[("errors:\n  - { status: [ 404, 5xx ],", "errors:\n  - {", "errors[1]", "is used for all")]);
    assert_warned(
        MAXIMAL,
        &[("body: \"no: ${request.id}\"", "body: \"no\"", "routes[3].errors[0].body", "request id is not in")],
    );
}

#[test]
fn a_body_of_refusals_is_not_in_the_shadow_of_an_earlier_one() {
    let entry = |status: &str| format!("{{ status: {status}, content_type: text/plain, body: \"${{request.id}}\" }}");
    let found = |first: &str, then: &str| {
        let both = format!("errors: [ {}, {} ]", entry(first), entry(then));
        super::problems(&super::edited(MAXIMAL, ERRORS, &both))
    };
    for (first, then) in [("404", "404"), ("4xx", "404"), ("4xx", "4xx"), ("[ 401, 5xx ]", "[ 404, 503 ]")] {
        let found = found(first, then);
        let is_said =
            |it: &super::Problem| it.path == "routes[3].errors[1].status" && it.message.contains("before this");
        assert!(found.len() == 1 && found.iter().all(is_said), "{first}, {then}: {found}");
    }
    for (first, then) in [("404", "4xx"), ("4xx", "503")] {
        assert!(found(first, then).is_empty(), "{first}, {then}");
    }
}

#[test]
fn backends_of_the_wrong_shape_are_one_problem() {
    let route = "dpop: required\n    backend: legacy";
    for backends in ["{ legacy: 95 }", "legacy", "5"] {
        let text = super::edited(MAXIMAL, route, &format!("dpop: required\n    backends: {backends}"));
        assert_eq!(super::only_problem(&text).path, "routes[3].backends", "{backends}");
    }
}

#[test]
fn retries_after_a_status_are_of_some_use() {
    assert_said(
        MAXIMAL,
        &[
            (RETRY, "retry: { on: [] }", "routes[3].retry.on", "is empty"),
            (RETRY, "retry: { on: [ 200 ] }", "routes[3].retry.on", "not the status of an error"),
            (RETRY, "retry: { attempts: 2 }", "routes[3].retry.on", "`on` is missing"),
            (RETRY, "retry: { on: [ 503 ], attempts: 0 }", "routes[3].retry.attempts", "from 1 to 10"),
            (RETRY, "retry: { on: [ 503 ], requests: never }", "routes[3].retry.requests", "`never` is not a word"),
            (RETRY, "retry: sometimes", "routes[3].retry", "not a word that is known"),
        ],
    );
    let help = |retry: &str| super::only_problem(&super::edited(MAXIMAL, RETRY, retry)).help;
    assert_eq!(help("retry: { on: [ 503 ], requests: all }"), "the words are `idempotent` and `safe`");
    assert!(help("retry: yes").ends_with(", or a section with `on`"), "{}", help("retry: yes"));
    assert_warned(
        MAXIMAL,
        &[
            (RETRY, "retry: { on: [ 503 ], backoff: 5s }", "routes[3].retry.backoff", "than the timeout, 5s"),
            (
                RETRY,
                "retry: { on: [ 503 ] }\n    limits: { timeout: 50ms }",
                "routes[3].retry.backoff",
                "timeout, 50ms",
            ),
            ("retry_budget: 20", "retry_budget: 0", "routes[3].retry.on", "`retry_budget: 0`"),
        ],
    );
    let post =
        &super::edited(MAXIMAL, "dpop: required\n    backend: legacy", "dpop: required\n    backend: \"legacy\"");
    let post = &post.replace("path: /bound/\n    methods: [ GET ]", "path: /bound/\n    methods: [ POST, PATCH ]");
    let idempotent = "is idempotent: no request is sent again";
    assert_warned(post, &[(RETRY, "retry: { on: [ 503 ] }", "routes[3].retry.requests", idempotent)]);
    let (config, _) = super::read(&super::edited(post, RETRY, "retry: { on: [ 503 ], requests: safe }")).unwrap();
    assert!(!config.warnings().iter().any(|warning| warning.place.contains(".retry")));
    assert_fine(MAXIMAL, &[(RETRY, "retry: idempotent"), (RETRY, "retry: { on: [ 429, \"503\" ] }")]);
}

#[test]
fn a_listener_serves_hosts_by_their_plain_names() {
    const HOSTS: &str = "hosts: [ api.example.com, www.example.com ]\n    default_host: www.example.com";
    assert_said(
        MAXIMAL,
        &[
            (HOSTS, "hosts: [ \"*.example.com\" ]", "listen[0].hosts[0]", "not a host name"),
            (HOSTS, "hosts: [ API.example.com ]", "listen[0].hosts[0]", "lower case"),
            (HOSTS, "hosts: [ a.test, a.test ]", "listen[0].hosts[1]", "already used"),
            (HOSTS, "default_host: \"a.test:443\"", "listen[0].default_host", "without port"),
            (HOSTS, "hosts: [ a.test ]\n    default_host: b.test", "listen[0].default_host", "would get 421"),
            (
                "redirect: https://api.example.com",
                "redirect: https://api.example.com\n    hosts: [ a.test ]",
                "listen[1].hosts[0]",
                "sends every host",
            ),
        ],
    );
    assert_warned(MAXIMAL, &[(HOSTS, "hosts: [ a.test ]", "routes[0].hosts[0]", "no listener of this route serves")]);
}
