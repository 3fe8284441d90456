//! Checks of `backends`.

use super::{MAXIMAL, SHIPPED, assert_fine, assert_said, edited, read};

#[test]
fn a_token_server_is_reached_by_https_and_has_no_parameter_twice() {
    let url = "token_url: https://login.example.com/oauth/token";
    let parameters = "parameters: { audience: https://legacy.internal }";
    assert_said(
        MAXIMAL,
        &[
            (url, "token_url: login.example.com", "backends.fourth.authorization.oauth.token_url", ""),
            (
                url,
                "token_url: http://login.example.com/token",
                "backends.fourth.authorization.oauth.token_url",
                "plain http",
            ),
            (url, "token_url: \"https://a.test/t#x\"", "backends.fourth.authorization.oauth.token_url", "no fragment"),
            (
                url,
                "token_url: http://127.0.0.1/token",
                "backends.fourth.authorization.oauth.ca",
                "no certificate would be verified",
            ),
            ("client_id: gateway", "client_id: \"\"", "backends.fourth.authorization.oauth.client_id", "empty"),
            ("scopes: [ read ]", "scopes: [ \"a b\" ]", "backends.fourth.authorization.oauth.scopes[0]", ""),
            (
                parameters,
                "parameters: { scope: x }",
                "backends.fourth.authorization.oauth.parameters.scope",
                "key of its own",
            ),
        ],
    );
}

#[test]
fn backends_are_reached_safely() {
    let servers = "servers: [ \"http://127.0.0.1:9000\" ]";
    assert_said(
        SHIPPED,
        &[
            (
                servers,
                "servers: [ \"http://10.0.0.1:9000\" ]",
                "backends.legacy.servers[0]",
                "plain http leaves this machine",
            ),
            (
                servers,
                "servers: [ \"http://localhost.example.com\" ]",
                "backends.legacy.servers[0]",
                "plain http leaves this machine",
            ),
            (servers, "servers: [ \"10.0.0.1:9000\" ]", "backends.legacy.servers[0]", "not an http or https address"),
            (servers, "servers: [ \"ftp://10.0.0.1\" ]", "backends.legacy.servers[0]", "http:// or https://"),
            (servers, "servers: [ \"https://a.example.com/api\" ]", "backends.legacy.servers[0]", "no path"),
            (servers, "servers: [ \"https://a.example.com?x\" ]", "backends.legacy.servers[0]", "no query"),
            (servers, "servers: [ \"https://me:pw@a.example.com\" ]", "backends.legacy.servers[0]", "no user name"),
            (servers, "servers: [ \"https://a.example.com:99999\" ]", "backends.legacy.servers[0]", "1 to 65535"),
            (servers, "servers: [ \"https://a.example.com:\" ]", "backends.legacy.servers[0]", "1 to 65535"),
            (servers, "servers: [ \"https://[::1\" ]", "backends.legacy.servers[0]", "`]` is missing"),
            (servers, "servers: [ \"https://\" ]", "backends.legacy.servers[0]", "no host name"),
            (
                servers,
                "servers: [ \"http://127.0.0.1:9000\" ]\n    tls: { ca: ca.pem }",
                "backends.legacy.tls",
                "no server of this backend is https",
            ),
            (
                servers,
                "servers: [ \"https://a\" ]\n    tls: { certificate: a }",
                "backends.legacy.tls.certificate",
                "without `private_key`",
            ),
            (
                servers,
                "servers: [ \"https://a\" ]\n    tls: { private_key: a }",
                "backends.legacy.tls.private_key",
                "without `certificate`",
            ),
            ("connect_timeout: 2s", "connect_timeout: 0s", "backends.legacy.connect_timeout", "no time at all"),
            (servers, "servers: [ \"unix:app.sock\" ]", "backends.legacy.servers[0]", "with its whole path"),
            (
                servers,
                "servers: [ { url: \"http://127.0.0.1:1\", weight: 0 } ]",
                "backends.legacy.servers[0].weight",
                "from 1 to 100",
            ),
            (
                "    timeout: 10s",
                "    health_check: { path: h, interval: 0s, status: [ 99 ] }",
                "backends.legacy.health_check.path",
                "starts with `/`",
            ),
            (
                "    timeout: 10s",
                "    health_check: { path: /, interval: 0s }",
                "backends.legacy.health_check.interval",
                "no time",
            ),
            (
                "    timeout: 10s",
                "    health_check: { path: /, status: [ 99 ] }",
                "backends.legacy.health_check.status[0]",
                "99 is not a response status",
            ),
            (
                "    timeout: 10s",
                "    outlier_detection: { max_ejection_time: 1s }",
                "backends.legacy.outlier_detection.max_ejection_time",
                "shorter",
            ),
            (
                "    timeout: 10s",
                "    outlier_detection: { max_ejection_percent: 101 }",
                "backends.legacy.outlier_detection.max_ejection_percent",
                "100 percent",
            ),
            ("    timeout: 10s", "    resolve: { interval: 0s }", "backends.legacy.resolve.interval", "no time"),
            ("    timeout: 10s", "    timeout: 0s", "backends.legacy.timeout", "no time at all"),
            ("    timeout: 10s", "    idle_timeout: 0s", "backends.legacy.idle_timeout", "no time at all"),
            ("    timeout: 10s", "    concurrency: 0", "backends.legacy.concurrency", "zero"),
            ("    timeout: 10s", "    max_connections: 0", "backends.legacy.max_connections", "zero"),
            ("    timeout: 10s", "    keep_alive: { requests: 0 }", "backends.legacy.keep_alive.requests", "zero"),
            (
                "    timeout: 10s",
                "    protocol: http2\n    keep_alive: false",
                "backends.legacy.keep_alive",
                "by HTTP/2",
            ),
            (
                "    timeout: 10s",
                "    proxy_protocol: v1\n    keep_alive: { requests: 5 }",
                "backends.legacy.keep_alive",
                "of its own",
            ),
            (
                "    timeout: 10s",
                "    protocol: http2\n    max_connections: 0",
                "backends.legacy.max_connections",
                "zero",
            ),
        ],
    );
    let timeout = "    timeout: 10s";
    assert_said(
        SHIPPED,
        &[
            (
                timeout,
                "    backend_assertion: { lifetime: 0s }",
                "backends.legacy.backend_assertion.lifetime",
                "no time at all",
            ),
            (
                timeout,
                "    backend_assertion: { lifetime: 6m }",
                "backends.legacy.backend_assertion.lifetime",
                "an assertion is for one request",
            ),
            (
                timeout,
                "    backend_assertion: { audience: \"\" }",
                "backends.legacy.backend_assertion.audience",
                "empty",
            ),
            (
                timeout,
                "    backend_assertion: { header: Cookie }",
                "backends.legacy.backend_assertion.header",
                "meaning of its own",
            ),
            (
                timeout,
                "    backend_assertion: { header: x-CUSTOMER-id }",
                "backends.legacy.backend_assertion.header",
                "another use",
            ),
            (
                timeout,
                "    backend_assertion: { header: X-Customer-Id-Previous }",
                "backends.legacy.backend_assertion.header",
                "another use",
            ),
            (
                timeout,
                "    backend_assertion: { body: required }",
                "backends.legacy.backend_assertion.body",
                "not a word",
            ),
        ],
    );
    assert_said(
        MAXIMAL,
        &[
            ("username: gateway", "username: \"a:b\"", "backends.legacy.authorization.basic.username", "no `:`"),
            ("name: X-Key", "name: Connection", "backends.third.one.authorization.header.name", "meaning of its own"),
        ],
    );
    assert_said(
        MAXIMAL,
        &[
            (
                "      ca: ca.pem\n      certificate: client.pem",
                "      ca: ca.pem\n      pin_sha256: [ AB:cd ]\n      certificate: client.pem",
                "backends.legacy.tls.pin_sha256",
                "`ca` says whom to trust",
            ),
            ("[ \"sha256 Fingerprint=AB:cd\" ]", "[]", "backends.fourth.tls.pin_sha256", "is empty"),
            (
                "danger_accept_any_certificate: false",
                "danger_accept_any_certificate: true",
                "backends.legacy.tls.danger_accept_any_certificate",
                "`ca` says whom to trust",
            ),
            (
                "      ca: ca.pem\n      certificate: client.pem\n      private_key: client.key\n      \
                 server_name: legacy.internal\n      danger_accept_any_certificate: false",
                "      pin_sha256: [ AB:cd ]\n      danger_accept_any_certificate: true",
                "backends.legacy.tls.danger_accept_any_certificate",
                "`pin_sha256` says whom to trust",
            ),
        ],
    );
    assert_fine(
        MAXIMAL,
        &[("      ca: ca.pem\n      certificate: c", "      pin_sha256: [ AB:cd ]\n      certificate: c")],
    );
    assert_fine(
        SHIPPED,
        &[
            (servers, "servers: [ \"http://localhost:9000\", \"http://[::1]:9000\", \"http://127.3.2.1\" ]"),
            (servers, "servers: [ \"https://a.example.com\", \"https://b.example.com:8443\" ]"),
            (servers, "servers: [ \"http://10.0.0.1\" ]\n    danger_plaintext: true"),
        ],
    );
    assert_fine(MAXIMAL, &[("name: X-Key", "name: api-key")]);
}

#[test]
fn a_buffer_for_requests_is_of_use() {
    assert_said(
        MAXIMAL,
        &[
            (
                "    request_buffering: true\n",
                "",
                "backends.legacy.request_buffer",
                "`request_buffer` is set, and bodies are not buffered",
            ),
            (
                "    request_buffering: true\n    request_buffer: 64KiB\n",
                "",
                "backends.legacy.request_buffer_directory",
                "bodies are not buffered",
            ),
            (
                "request_buffer: 64KiB",
                "request_buffer: 0B",
                "backends.legacy.request_buffer",
                "zero lets nothing through",
            ),
            (
                "    request_buffer_directory: buffer\n",
                "",
                "backends.legacy.request_buffer_total",
                "there are no temporary files",
            ),
            (
                "request_buffer_total: 100MiB",
                "request_buffer_total: 64KiB",
                "backends.legacy.request_buffer_total",
                "no temporary file would have room",
            ),
            ("body: streamed", "body: covered", "backends.legacy.request_buffering", "read whole for it already"),
        ],
    );
    assert_fine(MAXIMAL, &[("redirects: pass", "redirects: rewrite")]);
}

#[test]
fn the_host_and_the_names_of_headers_that_a_backend_gets_are_ones_that_can_be_sent() {
    let server = "servers: [ \"http://127.0.0.1:9000\" ]";
    let with = |keys: &str| &*format!("{server}\n    {keys}").leak();
    for fine in [
        "host: caller",
        "host: server",
        "host: shop",
        "host: shop.internal:8080",
        "host: '[::1]:9000'",
        "host: 10.0.0.1",
    ] {
        assert_fine(SHIPPED, &[(server, with(fine))]);
    }
    assert_fine(SHIPPED, &[(server, with("header_case: title\n    header_names: [ SOAPAction, api_key ]"))]);
    let faults = [
        ("host: 'https://shop'", "backends.legacy.host", "neither `caller` nor `server`"),
        ("host: 'shop:'", "backends.legacy.host", "neither `caller` nor `server`"),
        ("host: 'shop:0'", "backends.legacy.host", "neither `caller` nor `server`"),
        ("host: 'shop:+80'", "backends.legacy.host", "neither `caller` nor `server`"),
        ("host: 'a b'", "backends.legacy.host", "not a host name"),
        ("host: '::1'", "backends.legacy.host", "stands in brackets"),
        ("host: ''", "backends.legacy.host", "not a host name"),
        ("host: 'ex.com.'", "backends.legacy.host", "without a dot"),
        ("host: Shop", "backends.legacy.host", "in lower case"),
        ("header_names: [ 'X Y' ]", "backends.legacy.header_names[0]", "not the name of a header"),
        ("header_names: [ 'X:' ]", "backends.legacy.header_names[0]", "not the name of a header"),
        ("header_names: [ X-Id, X-ID ]", "backends.legacy.header_names[1]", "`X-Id` and `X-ID` are one name"),
        ("header_names: [ X-Id ]\n    protocol: http2", "backends.legacy.header_names", "in lower case"),
        ("header_case: title\n    protocol: http2", "backends.legacy.header_case", "in lower case"),
    ];
    assert_said(SHIPPED, &faults.map(|(keys, at, message)| (server, with(keys), at, message)));
}

#[test]
fn a_host_is_one_value_and_the_help_has_it() {
    for (host, help) in [
        ("'::1'", "write \"[::1]\""),
        ("'ex.com.'", "write ex.com"),
        ("'a b'", "write it like api.example.com"),
        ("''", "write it like api.example.com"),
    ] {
        let text = edited(SHIPPED, "    timeout: 10s", &format!("    host: {host}"));
        assert_eq!(super::only_problem(&text).help, help, "{host}");
    }
}

#[test]
fn keys_and_words_below_oauth_are_shown_and_its_secret_is_not() {
    let shown = |from: &str, to: &str| super::problems(&edited(MAXIMAL, from, to)).to_string();
    for (from, to, said) in [
        ("        auth: form", "        aut_h_x: form", "unknown key `aut_h_x`"),
        ("        auth: form", "        auth: frm", "`frm` is not a word"),
        ("        auth: form", "        auth: frm", "        auth: frm"),
        ("        timeout: 2s", "        timeout: 2", "write it with a unit"),
        ("        auth: form", "        scopes: [ write ]", "`scopes` is already set"),
    ] {
        let shown = shown(from, to);
        assert!(shown.contains(said), "{to} should say {said}:\n{shown}");
    }
    for secret in ["hunter2", "{ hunter2: hunter2 }", "{ file: a, hunter2: b }", "[ hunter2 ]"] {
        let shown = shown("{ env: TOKEN_SECRET }", secret);
        assert!(!shown.is_empty() && !shown.contains("hunter2"), "{shown}");
    }
}

#[test]
fn limits_that_refuse_more_than_they_seem_to_are_a_warning() {
    let timeout = "    timeout: 10s";
    super::assert_warned(
        SHIPPED,
        &[
            (timeout, "    max_connections: 1", "backends.legacy.max_connections", "callers above 1 at once get 503"),
            (timeout, "    max_connections: 50", "backends.legacy.max_connections", "above 50"),
            (
                timeout,
                "    health_check: { path: /, interval: 99ms }",
                "backends.legacy.health_check.interval",
                "a load of their own",
            ),
        ],
    );
    for fine in [
        "    max_connections: 1\n    queue: { length: 1 }",
        "    max_connections: 1\n    protocol: http2",
        "    health_check: { path: /, interval: 100ms }",
    ] {
        let (config, found) = read(&edited(SHIPPED, timeout, fine)).unwrap();
        let warnings = config.warnings();
        let is_said = warnings.iter().any(|warning| warning.place.contains("backends."));
        assert!(found.is_empty() && !is_said, "{fine}: {found} {warnings:?}");
    }
}

#[test]
fn what_is_forgiven_of_a_backend_is_something_that_it_can_do() {
    let server = "servers: [ \"http://127.0.0.1:9000\" ]";
    let with = |keys: &str| &*format!("{server}\n    {keys}").leak();
    let faults = [
        ("tolerate: [ folded_fields, folded_fields ]", "backends.legacy.tolerate[1]", "already used"),
        ("tolerate: [ missing_close_notify ]", "backends.legacy.tolerate", "no server of this backend is https"),
        ("tolerate: [ folded_fields ]\n    protocol: http2", "backends.legacy.tolerate", "are of HTTP/1.1"),
        ("max_response_fields: 0", "backends.legacy.max_response_fields", "from 1 to 1,000"),
        ("max_response_fields: 1001", "backends.legacy.max_response_fields", "from 1 to 1,000"),
        (
            "max_response_fields: 7\n    protocol: http2",
            "backends.legacy.max_response_fields",
            "`max_response_head` alone",
        ),
        ("max_response_head: 4KiB", "backends.legacy.max_response_head", "8KiB to 1MiB"),
        ("max_response_head: 2MiB", "backends.legacy.max_response_head", "8KiB to 1MiB"),
    ];
    assert_said(SHIPPED, &faults.map(|(keys, at, message)| (server, with(keys), at, message)));
    assert_fine(SHIPPED, &[(server, "servers: [ \"https://a\" ]\n    tolerate: [ missing_close_notify ]")]);
}

#[test]
fn health_checks_of_a_server_that_may_serve_one_connection_at_a_time_are_a_warning() {
    let with = |keys: &str| {
        let text = edited(SHIPPED, "    timeout: 10s", &format!("    health_check: {{ path: / }}\n{keys}"));
        let (config, found) = read(&text).unwrap();
        assert!(found.is_empty(), "{found}");
        config.warnings().iter().any(|warning| warning.place.contains("backends.legacy.health_check"))
    };
    assert!(with("    max_connections: 1"));
    for keys in ["    max_connections: 1\n    keep_alive: false", "    max_connections: 2", "    timeout: 10s"] {
        assert!(!with(keys), "{keys}");
    }
}
