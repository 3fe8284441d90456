//! Checks of `backends`.

use super::{MAXIMAL, SHIPPED, assert_fine, assert_said, edited, read};

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
