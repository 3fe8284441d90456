//! Redirects and cookies of backends.

use crate::harness::*;

/// What a caller at this host gets for a field of the backend.
fn field(backend: &Backend, gateway: &Gateway, host: &str, name: &str, value: &str) -> String {
    backend.on("/public/x", Behaviour::reply(302, &[(name, value)], b""));
    let got = gateway.get("/public/x").replace("Host", host).send().expect(302, "");
    got.header(name).unwrap_or_default().to_owned()
}

/// Each value becomes the other, at the host api.example.com. `PORT` is the port of the backend.
#[track_caller]
fn assert_rewritten(backend: &Backend, gateway: &Gateway, name: &str, table: &[(&str, &str)]) {
    let port = backend.address.port().to_string();
    for (value, expected) in table {
        let value = value.replace("PORT", &port);
        let expected = expected.replace("PORT", &port);
        assert_eq!(field(backend, gateway, "api.example.com", name, &value), expected, "{value}");
    }
}

#[test]
fn a_redirect_to_the_backends_own_address_leads_back_to_where_the_caller_came() {
    let (backend, gateway) = world();
    let table = [
        ("http://127.0.0.1:PORT/next?a=b#c", "https://api.example.com/next?a=b#c"),
        ("HTTP://127.0.0.1:PORT", "https://api.example.com/"),
        ("http://127.0.0.1:PORT?x", "https://api.example.com/?x"),
        ("//127.0.0.1:PORT/next", "https://api.example.com/next"),
        // Made of the Host that the server was told, and its own port or scheme.
        ("http://api.example.com:PORT/next", "https://api.example.com/next"),
        ("https://API.example.com:PORT/next", "https://api.example.com/next"),
        ("http://api.example.com/next", "https://api.example.com/next"),
        ("http://api.example.com:80/next", "https://api.example.com/next"),
        ("https://api.example.com/next", "https://api.example.com/next"),
        // No URL has blanks, and old servers write them.
        ("http://127.0.0.1:PORT/a b.asp?c=d\te", "https://api.example.com/a%20b.asp?c=d%09e"),
        ("http://127.0.0.1:PORT? x", "https://api.example.com/?%20x"),
        // Of the same place already.
        ("/next", "/next"),
        ("next/../x", "next/../x"),
        ("?x", "?x"),
        ("", ""),
    ];
    assert_rewritten(&backend, &gateway, "Location", &table);
    assert_rewritten(&backend, &gateway, "Content-Location", &table);
    let refresh = [
        ("5; url=http://127.0.0.1:PORT/next", "5; url=https://api.example.com/next"),
        ("0;URL='http://api.example.com:PORT/'", "0; url='https://api.example.com/'"),
        ("5", "5"),
        ("5; url=https://other.example.com/", "5; url=https://other.example.com/"),
        // The address alone, as HTML allows it.
        ("3;http://127.0.0.1:PORT/next", "3; url=https://api.example.com/next"),
        ("5, http://127.0.0.1:PORT/a;b", "5; url=https://api.example.com/a;b"),
        ("0.5 http://api.example.com:PORT/next", "0.5; url=https://api.example.com/next"),
        ("5;'http://127.0.0.1:PORT/a b'", "5; url='https://api.example.com/a%20b'"),
        ("5; http://other.example.com/", "5; http://other.example.com/"),
        ("5http://127.0.0.1:PORT/next", "5http://127.0.0.1:PORT/next"),
    ];
    assert_rewritten(&backend, &gateway, "Refresh", &refresh);
    // With the port that the caller has asked.
    let location = field(&backend, &gateway, "api.example.com:8443", "Location", "http://api.example.com/x");
    assert_eq!(location, "https://api.example.com:8443/x");
}

#[test]
fn a_redirect_to_another_host_passes_untouched() {
    let (backend, gateway) = world();
    for value in [
        "https://other.example.com/next",
        "http://127.0.0.1:1/next",
        "https://api.example.com:9443/console",
        "//other.example.com/next",
        "http://127.0.0.1:PORT@evil.example/",
        "http://127.0.0.1:PORT\\@evil.example/",
        "http://api.example.com\\.evil.example/",
        "http://127.0.0.1.evil.example:PORT/",
        "http:/\\127.0.0.1:PORT/",
        "javascript://127.0.0.1:PORT/",
        "ftp://127.0.0.1:PORT/",
        "http://127.0.0.1:PORT /x",
        "http://127.0.0.1:PORT\t/x",
        "http:// 127.0.0.1:PORT/x",
        "//\t127.0.0.1:PORT/x",
        "http: //127.0.0.1:PORT/x",
        "mailto:a@b",
    ] {
        assert_rewritten(&backend, &gateway, "Location", &[(value, value)]);
    }
}

#[test]
fn a_redirect_to_the_host_that_the_server_was_told_leads_back_to_where_the_caller_came() {
    let (backend, gateway) = world_with(|c| c.set("/backends/legacy/host", json!("old.internal")));
    let table = [
        ("http://old.internal/docs/dir/", "https://api.example.com/docs/dir/"),
        ("https://OLD.internal/x", "https://api.example.com/x"),
        ("//old.internal/x", "https://api.example.com/x"),
        ("http://old.internal:80/x", "https://api.example.com/x"),
        ("http://old.internal:PORT/x", "https://api.example.com/x"),
        ("http://old.internal:1/x", "http://old.internal:1/x"),
        ("http://www.old.internal/x", "http://www.old.internal/x"),
        ("http://old.internal.evil.example/x", "http://old.internal.evil.example/x"),
        ("http://127.0.0.1/x", "http://127.0.0.1/x"),
    ];
    assert_rewritten(&backend, &gateway, "Location", &table);
    assert_rewritten(&backend, &gateway, "Set-Cookie", &[("a=1; Domain=old.internal", "a=1")]);
    let (backend, gateway) = world_with(|c| c.set("/backends/legacy/host", json!("server")));
    assert_rewritten(&backend, &gateway, "Location", &[("http://127.0.0.1/x", "https://api.example.com/x")]);
}

#[test]
fn no_rewritten_redirect_leads_to_another_host_than_the_callers() {
    let (backend, gateway) = rewriting(json!({"strip_prefix": "/public", "add_prefix": "/v2"}));
    backend.on("/v2/x", Behaviour::reply(302, &[("Location", "/v2//evil.example/")], b""));
    assert_eq!(gateway.get("/public/x").send().header("Location"), Some("/public//evil.example/"));
    let backend = Backend::start();
    let route = json!({"name": "all", "path": "/", "methods": ["GET"], "public": true, "backend": "legacy", "rewrite": {"add_prefix": "/v2"}});
    let gateway = Gateway::start(&Config::new(&backend).set("/routes", json!([route])).without("/api_keys"));
    for (value, expected) in [
        ("/v2//evil.example/", "/v2//evil.example/".to_owned()),
        // Browsers take a backslash for a slash.
        ("/v2/\\evil.example/", "/v2/\\evil.example/".to_owned()),
        ("/v2/ /evil.example/", "/%20/evil.example/".to_owned()),
        ("/v2/\t/evil.example/", "/%09/evil.example/".to_owned()),
        ("/\t/v2/x", "/\t/v2/x".to_owned()),
        ("/v2/x", "/x".to_owned()),
        ("/v2", "/".to_owned()),
        (&*format!("{}/v2//evil.example/", backend.url()), "https://localhost//evil.example/".to_owned()),
    ] {
        backend.on("/v2/x", Behaviour::reply(302, &[("Location", value)], b""));
        assert_eq!(gateway.get("/x").send().header("Location"), Some(&*expected), "{value}");
    }
}

/// The public route with a rewritten path.
fn rewriting(rewrite: Value) -> (Backend, Gateway) {
    world_with(|c| c.route("public", "rewrite", rewrite))
}

#[test]
fn a_redirect_has_the_path_that_the_caller_knows() {
    for (rewrite, seen, table) in [
        (
            json!({"strip_prefix": "/public"}),
            "/x",
            [("/next?a#b", "/public/next?a#b"), ("/", "/public/"), ("/public/next", "/public/next"), ("next", "next")],
        ),
        (
            json!({"strip_prefix": "/public", "add_prefix": "/v2"}),
            "/v2/x",
            [("/v2/next", "/public/next"), ("/v2", "/public"), ("/v20", "/v20"), ("/login", "/login")],
        ),
    ] {
        let (backend, gateway) = rewriting(rewrite);
        for (path, expected) in table {
            for (before, after) in
                [("", ""), (&*backend.url(), "https://localhost"), ("https://other.example", "https://other.example")]
            {
                if !before.is_empty() && !path.starts_with('/') {
                    continue;
                }
                let expected = if before.contains("other") { path } else { expected };
                backend.on(seen, Behaviour::reply(201, &[("Location", &format!("{before}{path}"))], b""));
                let got = gateway.get("/public/x").send().expect(201, "");
                assert_eq!(got.header("Location"), Some(&*format!("{after}{expected}")), "{path}");
            }
        }
    }
}

#[test]
fn a_cookie_for_the_backends_own_host_comes_back_to_the_gateway() {
    let (backend, gateway) = rewriting(json!({"strip_prefix": "/public", "add_prefix": "/v2"}));
    let table = [
        ("a=1; Domain=127.0.0.1; Path=/v2; HttpOnly", "a=1; Path=/public; HttpOnly"),
        ("a=1; domain=.127.0.0.1;path=/v2/app/;Secure", "a=1; Path=/public/app/;Secure"),
        ("a=1; Path=/", "a=1; Path=/"),
        ("a=1; Domain=example.com", "a=1; Domain=example.com"),
        ("a=1; Domain=api.example.com", "a=1; Domain=api.example.com"),
        ("a=1; Domain=other.example", "a=1; Domain=other.example"),
        ("__Host-a=1; Path=/v2; Secure", "__Host-a=1; Path=/v2; Secure"),
        ("a=Domain=127.0.0.1", "a=Domain=127.0.0.1"),
        ("a=b=c; SameSite=Lax", "a=b=c; SameSite=Lax"),
    ];
    let fields: Vec<_> = table.iter().map(|(value, _)| ("Set-Cookie", *value)).collect();
    backend.on("/v2/x", Behaviour::reply(200, &fields, b""));
    let got = gateway.get("/public/x").replace("Host", "api.example.com").send().ok();
    assert_eq!(got.all("Set-Cookie"), table.map(|(_, expected)| expected));
    let (backend, gateway) = rewriting(json!({"strip_prefix": "/public"}));
    backend.on("/x", Behaviour::reply(200, &[("Set-Cookie", "a=1; Path=/"), ("Set-Cookie", "b=1; Path=/app")], b""));
    let got = gateway.get("/public/x").send().ok();
    assert_eq!(got.all("Set-Cookie"), ["a=1; Path=/public", "b=1; Path=/public/app"]);
}

#[test]
fn with_pass_redirects_and_cookies_stay_as_they_are() {
    let (backend, gateway) = world_with(|c| c.set("/backends/legacy/redirects", json!("pass")));
    for (name, value) in [
        ("Location", "http://127.0.0.1:PORT/next"),
        ("Location", "http://api.example.com:PORT/next"),
        ("Refresh", "5; url=http://127.0.0.1:PORT/next"),
        ("Set-Cookie", "a=1; Domain=127.0.0.1"),
    ] {
        assert_rewritten(&backend, &gateway, name, &[(value, value)]);
    }
}

#[test]
fn over_plain_http_a_redirect_to_https_is_meant_and_the_rest_is_plain() {
    let (backend, gateway) = world_with(|c| c.without("/listen/0/tls"));
    let own = backend.url();
    for (value, expected) in [
        ("https://api.example.com/x", "https://api.example.com/x"),
        ("http://api.example.com/x", "http://api.example.com/x"),
        (&*format!("{own}/x"), "http://api.example.com/x"),
    ] {
        backend.on("/public/x", Behaviour::reply(302, &[("Location", value)], b""));
        let request = gateway.get("/public/x").replace("Host", "api.example.com");
        let got = request.send_on(&mut Connection::plain(gateway.address));
        assert_eq!(got.header("Location"), Some(expected), "{value}");
    }
}

#[test]
fn a_redirect_to_https_is_meant_also_where_the_server_is_told_the_callers_name() {
    let (backend, gateway) =
        world_with(|c| c.without("/listen/0/tls").set("/backends/legacy/host", json!("api.example.com")));
    backend.on("/public/x", Behaviour::reply(302, &[("Location", "https://api.example.com/x")], b""));
    let request = gateway.get("/public/x").replace("Host", "api.example.com");
    let got = request.send_on(&mut Connection::plain(gateway.address));
    assert_eq!(got.header("Location"), Some("https://api.example.com/x"));
}

#[test]
fn what_the_operator_writes_is_not_rewritten() {
    let rules = json!({"set": {"Location": "http://api.example.com/fixed"}});
    let (backend, gateway) = world_with(|c| c.route("public", "response_headers", rules));
    let location = field(&backend, &gateway, "api.example.com", "Location", "http://api.example.com/x");
    assert_eq!(location, "http://api.example.com/fixed");
}

#[test]
fn a_redirect_within_a_path_that_names_the_customer_has_the_path_that_the_caller_knows() {
    let (backend, gateway) = world_with(|c| {
        c.route("me", "identifier", json!({"path": "customer"})).route(
            "me",
            "rewrite",
            json!({"target": "/v1/customers/{customer}/me{rest}"}),
        )
    });
    let token = gateway.customer_token();
    let customer = keys::decode(&token).1["sub"].as_str().unwrap().to_owned();
    let own = format!("/v1/customers/{customer}/me");
    for (location, expected) in [
        (format!("{own}/orders/5?a=1"), "/me/orders/5?a=1"),
        (format!("{}{own}/", backend.url()), "https://localhost/me/"),
        ("/login".to_owned(), "/login"),
    ] {
        backend.on(&format!("{own}/x"), Behaviour::reply(302, &[("Location", &location)], b""));
        let got = gateway.get("/me/x").customer(&token).send().expect(302, "");
        assert_eq!(got.header("Location"), Some(expected), "{location}");
    }
}
