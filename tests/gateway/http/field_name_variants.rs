//! Variants of a name that some readers take for the same: `_` and `-` in header fields, letter case and escapes in
//! JSON members.

use crate::harness::keys::decode;
use crate::harness::*;

fn in_the_body(config: Config) -> Config {
    config.route("me", "identifier", json!({"body": "/customer/id"}))
}

#[test]
fn a_member_spelled_otherwise_beside_the_identifier_is_400() {
    let (backend, gateway) = world_with(in_the_body);
    let token = gateway.customer_token();
    let own = decode(&token).1["sub"].as_str().unwrap().to_owned();
    let wide = "\u{ff43}ustomer";
    for body in [
        json!({"Customer": {"Id": "victim"}}),
        json!({"customer": {"id": own}, "Customer": {"id": own}}),
        json!({"customer": {"id": own, "ID": "victim"}}),
        json!({"customer": {"Id": "victim"}}),
        json!({"CUSTOMER": 1}),
        json!({"cu\u{17f}tomer": {"id": "victim"}}),
        json!({wide: {"id": "victim"}}),
        json!({"customer": {"\u{131}d": "victim"}}),
    ] {
        let answer = gateway.post("/me/x").customer(&token).json(&body.to_string()).send();
        assert_eq!((answer.status, answer.code().as_str()), (400, "400-03"), "{body}");
    }
    // To readers in C a name ends at its first NUL.
    for body in [
        r#"{"customer\u0000":{"id":"victim"}}"#,
        r#"{"customer":{"id\u0000":"victim"}}"#,
        r#"{"customer":{"id\u0000x":"victim"}}"#,
    ] {
        gateway.post("/me/x").customer(&token).json(body).send().expect(400, "400-03");
    }
    let escaped = r#"{"\u0043ustomer":{"id":"victim"}}"#;
    gateway.post("/me/x").customer(&token).json(escaped).send().expect(400, "400-03");
    backend.assert_untouched();
}

#[test]
fn elsewhere_in_the_body_other_spellings_pass() {
    let (backend, gateway) = world_with(in_the_body);
    let token = gateway.customer_token();
    let own = decode(&token).1["sub"].as_str().unwrap().to_owned();
    let body = json!({"order": {"Customer": {"ID": 1}, "customer": 2}, "Id": 3, "customers": 4, "customer": {"customer": 5, "Customer": 6}});
    gateway.post("/me/x").customer(&token).json(&body.to_string()).send().ok();
    let mut expected = body;
    expected["customer"]["id"] = json!(own);
    assert_eq!(serde_json::from_slice::<Value>(&backend.only().body).unwrap(), expected);
}

#[test]
fn the_token_in_the_body_has_one_spelling() {
    let (backend, gateway) = world_with(|c| c.route("me", "customer_token_sources", json!([{"body": "/auth/token"}])));
    let (alice, bob) = (gateway.login(ALICE), gateway.login(BOB));
    let send = |body: Value| gateway.post("/me/x").json(&body.to_string()).send();
    send(json!({"auth": {"token": alice, "Token": bob}})).expect(400, "400-03");
    send(json!({"Auth": {"token": bob}, "auth": {"token": alice}})).expect(400, "400-03");
    backend.assert_untouched();
    send(json!({"auth": {"token": alice}, "Token": bob})).ok();
}

#[test]
fn other_spellings_of_fields_that_the_gateway_rewrites_never_reach_a_backend() {
    let (backend, gateway) = world_with(in_the_body);
    let token = gateway.customer_token();
    let mut request = gateway.post("/me/x").customer(&token).json("{}").header("Accept-Encoding", "gzip");
    let spelled = [
        "Content_Digest",
        "content.digest",
        "Content_MD5",
        "content.md5",
        "Repr_Digest",
        "Accept_Encoding",
        "accept.encoding",
        "If_Range",
        "Max_Forwards",
    ];
    for name in spelled {
        request = request.header(name, "stale");
    }
    request.send().ok();
    let arrived = backend.only();
    let stale: Vec<_> = arrived.lines.iter().filter(|(_, value)| *value == "stale").collect();
    assert!(stale.is_empty(), "{stale:?}");
    assert_eq!(arrived.header("accept-encoding"), Some("gzip"));
}

#[test]
fn all_spellings_of_a_field_that_is_set_or_removed_go() {
    let (backend, gateway) = world_with(|c| {
        c.set("/backends/legacy/request_headers", json!({"remove": ["X-Debug-Mode"]})).route(
            "public",
            "request_headers",
            json!({"set": {"X-Tenant-Id": "acme"}}),
        )
    });
    let mut request = gateway.post("/public/x").header("Transfer-Encoding", "chunked").header("Trailer", "X-Tenant-Id");
    for name in ["X-Tenant-Id", "X_Tenant_Id", "x.tenant.id", "X-Tenant_Id", "x%2dtenant%2did"] {
        request = request.header(name, "evil");
    }
    for name in ["X-Debug-Mode", "X_Debug_Mode", "X.Debug-Mode"] {
        request = request.header(name, "on");
    }
    request = request.header("X-Tenant", "mine").header("X-Debug", "mine");
    let mut connection = gateway.connect();
    connection.send(&request.bytes());
    connection.send(b"2\r\n{}\r\n0\r\nX-Tenant-Id: evil\r\nX_Debug_Mode: on\r\n\r\n");
    connection.receive("POST").unwrap().ok();
    let seen = backend.only();
    let like = |word: &str| -> Vec<(String, String)> {
        seen.lines.iter().filter(|(name, _)| name.to_ascii_lowercase().contains(word)).cloned().collect()
    };
    assert_eq!(
        like("tenant"),
        [("x-tenant".to_owned(), "mine".to_owned()), ("x-tenant-id".to_owned(), "acme".to_owned())]
    );
    assert_eq!(like("debug"), [("x-debug".to_owned(), "mine".to_owned())]);
    assert!(seen.trailers.is_empty(), "{:?}", seen.trailers);
}

#[test]
fn other_spellings_of_what_frames_and_describes_the_message_do_not_pass() {
    let (backend, gateway) = world();
    let mut request = gateway.post("/public/x").json("{}").header("Accept_Language", "mine");
    for name in ["Content_Length", "content.length", "Content_Type", "Transfer_Encoding", "Content_Encoding", "%48ost"]
    {
        request = request.header(name, "forged");
    }
    request.send().ok();
    let seen = backend.only();
    let forged: Vec<_> = seen.lines.iter().filter(|(_, value)| value == "forged").collect();
    assert!(forged.is_empty(), "{forged:?}");
    assert_eq!((seen.header("content-type"), seen.header("content-length")), (Some("application/json"), Some("2")));
    assert_eq!(seen.header("accept_language"), Some("mine"));
}

const OF_OTHER_GATEWAYS: [&str; 30] = [
    "Proxy",
    "Remote-User",
    "Remote_User",
    "Remote-Groups",
    "X-Remote-User",
    "X-Forwarded-User",
    "X-Forwarded-Email",
    "X-Forwarded-Groups",
    "X-Forwarded-Preferred-Username",
    "x_forwarded_email",
    "X-Auth-Request-User",
    "X-Auth-Request-Email",
    "X-Auth-Request-Anything",
    "X_Auth_Request_User",
    "SSL_CLIENT_S_DN",
    "SSL-Client-Verify",
    "ssl_client_cert",
    "X-SSL-Client-S-DN-CN",
    "X-SSL-Issuer",
    "X_SSL_Anything",
    "X-Client-Cert",
    "X-Client-Cert-Chain",
    "X-Client-Certificate-Subject",
    "X-Original-URL",
    "X-Original-URI",
    "X-Original-Method",
    "X-Rewrite-URL",
    "X-Envoy-Original-Path",
    "X.Envoy.External.Address",
    "X-HTTP-Method-Override",
];

#[test]
fn identity_headers_of_other_gateways_do_not_reach_the_backend() {
    let (backend, gateway) = world();
    let mut request = gateway.get("/public/x").header("X-Auth", "1").header("X-Sslx", "2").header("Proxy-Hint", "3");
    for name in OF_OTHER_GATEWAYS {
        request = request.header(name, "forged");
    }
    request.send().ok();
    let seen = backend.only();
    let forged: Vec<_> = seen.lines.iter().filter(|(_, value)| value == "forged").collect();
    assert!(forged.is_empty(), "{forged:?}");
    for (name, value) in [("X-Auth", "1"), ("X-Sslx", "2"), ("Proxy-Hint", "3")] {
        assert_eq!(seen.header(name), Some(value));
    }
}

#[test]
fn a_route_can_let_such_fields_pass_in_the_spelling_that_it_names() {
    let passed = json!(["X-HTTP-Method-Override", "X-Envoy-Attempt-Count", "Remote-User"]);
    let (backend, gateway) = world_with(|c| c.route("public", "pass_request_headers", passed));
    let request = |path: &str| {
        gateway
            .get(path)
            .header("X-HTTP-Method-Override", "PATCH")
            .header("x-envoy-attempt-count", "2")
            .header("X_HTTP_Method_Override", "DELETE")
            .header("X-Envoy-Original-Path", "/admin")
            .header("Connection", "Remote-User")
            .header("Remote-User", "root")
    };
    request("/public/x").send().ok();
    let seen = backend.last();
    assert_eq!(seen.header("x-http-method-override"), Some("PATCH"));
    assert_eq!(seen.header("x-envoy-attempt-count"), Some("2"));
    for name in ["x_http_method_override", "x-envoy-original-path", "remote-user"] {
        assert!(seen.all(name).is_empty(), "{name}");
    }
    request("/me/x").customer(&gateway.customer_token()).send().ok();
    assert!(backend.last().all("x-http-method-override").is_empty(), "only on the route that says so");
}

#[test]
fn pass_request_headers_takes_only_headers_that_are_removed_by_default() {
    for (name, said) in [
        ("X-Customer-Id", "carries a credential or an identity"),
        ("Authorization", "a meaning of its own"),
        ("X-Forwarded-For", "a meaning of its own"),
        ("X-Tenant", "passes anyway"),
        ("DPoP", "is for the gateway alone"),
        ("Content_Type", "is for the gateway alone"),
    ] {
        let backend = Backend::start();
        let config = Config::new(&backend).route("public", "pass_request_headers", json!([name]));
        let files = gateway::Workspace::new(&config);
        let (code, out, err) = files.run(&["check", "--config", "gateway.yaml"]);
        assert!(code != 0 && format!("{out}{err}").contains(said), "{name}: {out}{err}");
    }
}

#[test]
fn a_per_cent_sign_is_a_spelling_of_a_dash_also_where_it_looks_like_an_escape() {
    let (backend, gateway) = world_with(|c| {
        c.route("me", "identifier", json!({"header": "X-Account-Id"})).route(
            "me",
            "request_headers",
            json!({"set": {"X-Backend-Key": "k"}, "remove": ["X-Bad"]}),
        )
    });
    let token = gateway.customer_token();
    let spoofed =
        ["X%Account-Id", "X%Account%Id", "X%2DAccount%Id", "X%Backend%Key", "X%Bad", "Client%Cert", "Remote%Addr"];
    let request = spoofed.iter().fold(gateway.get("/me/x").customer(&token), |it, name| it.header(name, "evil"));
    request.send().ok();
    let seen = backend.only();
    let left: Vec<_> = seen.lines.iter().filter(|(_, value)| value == "evil").collect();
    assert!(left.is_empty(), "{left:?}");
    // One that is no spelling of anything passes.
    gateway.get("/me/x").customer(&token).header("X%Fine", "1").send().ok();
    assert_eq!(backend.last().header("x%fine"), Some("1"));
}
