//! Checks of what chooses among routes and backends: `headers`, `queries`, expressions as paths, weights, networks.

use super::{assert_fine, assert_said, problems};

/// Routes of one path, each with this beside its name.
fn found(routes: &[&str]) -> Vec<(String, String)> {
    let mut text = "listen: [ { address: \"127.0.0.1:0\" } ]\nroutes:\n".to_owned();
    for (index, route) in routes.iter().enumerate() {
        text.push_str(&format!("  - {{name: r{index}, methods: [GET], public: true, {route}}}\n"));
    }
    text.push_str(
        "backends:\n  b: {servers: ['http://127.0.0.1:9000']}\n  c: {servers: ['http://127.0.0.1:9000']}\n  \
         w: {servers: ['http://127.0.0.1:9000'], ignores_case: true}\n",
    );
    problems(&text).iter().map(|problem| (problem.path.clone(), problem.message.clone())).collect()
}

#[track_caller]
fn assert_refused(routes: &[&str], place: &str, message: &str) {
    let found = found(routes);
    assert!(found.iter().any(|(at, said)| at == place && said.contains(message)), "{routes:?}:\n{found:#?}");
}

#[track_caller]
fn assert_accepted(routes: &[&str]) {
    assert_eq!(found(routes), [], "{routes:?}");
}

/// A route of /x with these conditions.
fn with(conditions: &str) -> String {
    format!("path: /x, backend: b, {conditions}")
}

#[test]
fn routes_of_one_path_may_differ_by_their_conditions() {
    let version = |rest: &str| with(&format!("headers: [{{name: X-Version, {rest}}}]"));
    let plain = "path: /x, backend: b";
    for [one, other] in [
        [version("equals: '1'"), version("equals: '2'")],
        [version("equals: '1'"), plain.to_owned()],
        [plain.to_owned(), version("equals: '1'")],
        [version("equals: '2.1'"), version("prefix: '2'")],
        [version("equals: '2'"), version("present: true")],
        [version("present: true"), version("absent: true")],
        [version("regex: '[12]'"), version("equals: '3'")],
        [version("equals: '1'"), with("queries: [{name: v, equals: '1'}]")],
    ] {
        assert_accepted(&[&one, &other]);
    }
}

#[test]
fn a_route_behind_one_that_takes_all_its_requests_is_refused() {
    let version = |rest: &str| with(&format!("headers: [{{name: X-Version, {rest}}}]"));
    for [one, other] in [
        [version("equals: '1'"), version("equals: '1'")],
        [version("prefix: '2'"), version("equals: '2.1'")],
        [version("prefix: '2'"), version("prefix: '2.1'")],
        [version("present: true"), version("equals: '2'")],
        [version("regex: '[0-9]'"), version("equals: '2'")],
        [
            version("equals: '1'"),
            with("headers: [{name: x-version, equals: '1'}], queries: [{name: v, present: true}]"),
        ],
    ] {
        assert_refused(
            &[&one, &other],
            "routes[1].path",
            "the route on line 3 takes every GET /x that this one would take",
        );
    }
    assert_refused(
        &[&with("hosts: []"), &with("hosts: []")],
        "routes[1].path",
        "GET /x is already the route on line 3",
    );
}

#[test]
fn routes_of_one_path_agree_on_letter_case_and_on_what_a_preflight_is_answered() {
    let version = with("headers: [{name: X-Version, equals: '1'}]");
    assert_refused(&[&version, "path: /x, backend: w"], "routes[1].path", "ignores letter case");
    let cors = |origin: &str| format!("path: /x, backend: b, cors: {{origins: [{origin}]}}");
    assert_refused(&[&version, &cors("https://a.test")], "routes[1].path", "different `cors`");
    let same = format!("{version}, cors: {{origins: [https://a.test]}}");
    assert_accepted(&[&same, &cors("https://a.test")]);
    assert_refused(&[&same, &cors("https://b.test")], "routes[1].path", "different `cors`");
}

#[test]
fn a_condition_has_a_name_of_one_spelling_and_says_one_thing() {
    for (conditions, place, message) in [
        ("headers: [{name: X-Version}]", "headers[0]", "exactly one condition on `X-Version`"),
        ("headers: [{name: X-Version, equals: a, absent: true}]", "headers[0]", "exactly one condition"),
        ("queries: [{name: v, equals: ''}]", "queries[0].equals", "an empty value says nothing"),
        ("queries: [{name: v, prefix: ' a'}]", "queries[0].prefix", "begins or ends with a blank"),
        ("queries: [{name: v, regex: '['}]", "queries[0].regex", "unclosed"),
        ("queries: [{name: 'v[]', present: true}]", "queries[0].name", "one spelling"),
        ("headers: [{name: 'X Version', present: true}]", "headers[0].name", "not the name of a header"),
        ("headers: [{name: Host, present: true}]", "headers[0].name", "`host` cannot be used here"),
        ("headers: [{name: Authorization, present: true}]", "headers[0].name", "`authorization` cannot be used here"),
        ("headers: [{name: X-Forwarded-Port, present: true}]", "headers[0].name", "cannot be used here"),
        ("headers: [{name: X_Remote_User, present: true}]", "headers[0].name", "is removed"),
        (
            "headers: [{name: X-Version, present: true}, {name: X_version, absent: true}]",
            "headers[1].name",
            "stands here twice",
        ),
        ("queries: [{name: v, present: true}, {name: V, absent: true}]", "queries[1].name", "stands here twice"),
    ] {
        assert_refused(&[&with(conditions)], &format!("routes[0].{place}"), message);
    }
    assert_accepted(&[&with(
        "headers: [{name: X-Method-Override, present: true}], pass_request_headers: [X-Method-Override]",
    )]);
}

#[test]
fn expressions_that_meet_are_refused_with_a_path_that_is_of_both() {
    let regex = |text: &str| format!("path: {{regex: \"{text}\"}}, backend: b");
    assert_refused(
        &[&regex("/v[0-9]+/orders"), &regex("/v1/[a-z]+")],
        "routes[1].path.regex",
        "/v1/orders is a path of this route and of that on line 3",
    );
    assert_refused(
        &["path: {regex: /a}, backend: w", &regex("/A")],
        "routes[1].path.regex",
        "/A is a path of this route and of that on line 3",
    );
    assert_refused(&[&regex("/v[0-9]+"), &regex("/v[0-9]+")], "routes[1].path", "is already the route on line 3");
    let long = ["/(a|b)*a(a|b){14}", "/(a|b)*b(a|b){14}c"];
    assert_refused(&[&regex(long[0]), &regex(long[1])], "routes[1].path.regex", "takes too long to find out");
    assert_accepted(&[&regex("/v[0-9]+/orders"), &regex("/v[0-9]+/customers")]);
    let host = |text: &str, host: &str| format!("{}, hosts: [{host}]", regex(text));
    assert_accepted(&[&host("/v[0-9]", "a.test"), &host("/v1", "b.test")]);
}

#[test]
fn an_expression_opens_nothing_of_a_prefix_that_demands_more() {
    let public = |text: &str| format!("path: {{regex: \"{text}\"}}, backend: b");
    let closed = "path: /admin/, backend: b, deny: [203.0.113.0/24]";
    assert_refused(
        &[closed, &public("/[a-z]+/x")],
        "routes[1].path.regex",
        "/admin/x is a path of this route and of that on line 3, which demands more of callers",
    );
    // Also where a part of it is below the prefix, as it is written.
    assert_refused(&[closed, &public("/admin/x|/[a-z]+/y")], "routes[1].path.regex", "demands more of callers");
    assert_accepted(&[closed, &public("/admin/[0-9]+")]);
    assert_accepted(&["path: /, backend: b, deny: [203.0.113.0/24]", &public("/[a-z]+/x")]);
    assert_accepted(&["path: /admin/, backend: b", &format!("{}, deny: [203.0.113.0/24]", public("/[a-z]+/x"))]);
}

#[test]
fn an_expression_that_is_no_path_is_refused() {
    for (text, place, message) in [
        ("v[0-9]", "path.regex", "a path starts with `/`"),
        ("/v[0-9", "path.regex", "unclosed"),
        ("/a)|(/b", "path.regex", "unopened"),
        ("/(\\\\w{500}){500}", "path.regex", "size limit"),
        ("/\\\\bx", "path.regex", "cannot be compared"),
        ("/v[0-9]\", exact: \"/v", "path", "stand side by side"),
    ] {
        assert_refused(&[&format!("path: {{regex: \"{text}\"}}, backend: b")], &format!("routes[0].{place}"), message);
    }
    let stripped = "path: {regex: /v.}, backend: b, rewrite: {strip_prefix: /v}";
    assert_refused(&[stripped], "routes[0].rewrite.strip_prefix", "no beginning that could be removed");
    assert_accepted(&["path: {regex: /v.}, backend: b, rewrite: {add_prefix: /w}"]);
}

#[test]
fn a_route_has_one_backend_or_several_with_weights() {
    let route = |backends: &str| format!("path: /x, {backends}");
    for (backends, place, message) in [
        ("retry: never", "backend", "`backend` is missing"),
        ("backends: []", "backend", "`backend` is missing"),
        ("backend: b, backends: [{name: c, weight: 1}]", "backends", "side by side"),
        ("backends: [{name: b, weight: 0}, {name: c, weight: 0}]", "backends", "all weights are 0"),
        ("backends: [{name: b, weight: 1}, {name: b, weight: 2}]", "backends[1].name", "already used"),
        ("backends: [{name: b, weight: 1}, {name: d, weight: 2}]", "backends[1].name", "there is no backend `d`"),
        ("backends: [{name: b, weight: 1}, {name: w, weight: 2}]", "backends", "ignores letter case"),
        ("backends: [{name: b}]", "backends[0].weight", "`weight` is missing"),
    ] {
        assert_refused(&[&route(backends)], &format!("routes[0].{place}"), message);
    }
    assert_accepted(&[&route("backends: [{name: b, weight: 95}, {name: c, weight: 0}]")]);
}

#[test]
fn networks_that_let_nobody_in_are_refused() {
    for (networks, place, message) in [
        ("deny: [0.0.0.0/0, '::/0']", "deny", "names all addresses"),
        ("allow: [10.1.0.0/16], deny: [10.0.0.0/8]", "deny", "nobody may call"),
        ("deny: [10.0.0.0/8, 10.0.0.0/8]", "deny[1]", "twice"),
        ("deny: [10.0.0.0/33]", "deny[0]", "is not a network"),
    ] {
        assert_refused(&[&with(networks)], &format!("routes[0].{place}"), message);
    }
    assert_accepted(&[&with("allow: [10.0.0.0/8], deny: [10.1.0.0/16]")]);
}

#[test]
fn weights_do_not_change_by_which_name_a_customer_is_known() {
    let text = super::MAXIMAL;
    let pairwise = "{ name: third.one, weight: 5 }, { name: legacy, weight: 5 }";
    assert_said(text, &[("{ name: third.one, weight: 5 }", pairwise, "routes[7].backends", "`pairwise`")]);
    assert_fine(text, &[("{ name: third.one, weight: 5 }", "{ name: third.one, weight: 0 }")]);
}
