//! What must never be said: passwords, secrets, tokens, keys, cookies, names.

use crate::harness::*;

/// All that the gateway has said: both outputs, the metrics, and these answers.
fn said(gateway: &Gateway, answers: &[Response]) -> String {
    let metrics = gateway.metrics();
    let status = gateway.admin("/").text();
    let shown = |answer: &Response| {
        let mut answer = answer.clone();
        answer.lines.retain(|(name, _)| !name.eq_ignore_ascii_case("set-cookie"));
        answer.everything()
    };
    let answers: Vec<String> = answers.iter().map(shown).collect();
    [gateway.stdout.all().join("\n"), gateway.stderr.all().join("\n"), metrics, status, answers.join("\n")].join("\n")
}

#[test]
fn no_canary_is_found_in_any_output() {
    let backend = Backend::start();
    let config = Config::new(&backend)
        .cookies("both")
        .set("/log/level", json!("debug"))
        .set("/backends/legacy/timeout", json!("300ms"))
        .set("/backends/legacy/authorization", json!({"bearer": {"file": "certs/backend.token"}}))
        .file("certs/backend.token", "CANARY-backend-credential");
    let gateway = Gateway::start(&config);
    let (client, customer) = (gateway.client_token(), gateway.customer_token());
    let session = gateway.login_request(ALICE.name, ALICE.secret).send().ok();
    let session = session.header("Set-Cookie").unwrap().split(';').next().unwrap().to_owned();
    for (path, behaviour) in [
        ("/public/refuses", Behaviour::reply(401, &[("X-Leak", "CANARY-backend-header")], b"CANARY-backend-body")),
        ("/public/garbage", Behaviour::RawThenClose(b"CANARY-backend-garbage\r\n\r\n".to_vec())),
        ("/public/silent", Behaviour::Silent),
    ] {
        backend.on(path, behaviour);
    }
    let basic = format!("Basic {}", keys::base64(b"asapp:CANARY-basic-secret"));
    let mut raw = gateway.get("/public/x").header("X-Raw", "CANARY-in-a-bad-request").bytes();
    raw.splice(0..0, *b" ");
    let requests = vec![
        gateway.login_request("CANARY-username", "CANARY-password"),
        gateway.login_request(ALICE.name, "CANARY-password"),
        gateway
            .post("/auth/customer_authenticate?password=CANARY-query-password&username=CANARY-query-user")
            .form("a=CANARY-form"),
        gateway.post("/auth/customer_authenticate").json("{\"password\":\"CANARY-json-password\"}"),
        gateway.token_request("asapp", "CANARY-client-secret"),
        gateway.token_request("CANARY-client-id", "CANARY-client-secret"),
        gateway.post("/oauth/access_token?grant_type=client_credentials").form(
            "client_assertion_type=urn:ietf:params:oauth:client-assertion-type:jwt-bearer&client_assertion=CANARY.a.b",
        ),
        gateway
            .post("/oauth/access_token?grant_type=client_credentials&client_assertion=CANARY-query-assertion")
            .form("client_assertion_type=CANARY-type"),
        gateway
            .post("/oauth/access_token?grant_type=client_credentials&client_secret=CANARY-query-secret")
            .form("client_id=asapp"),
        gateway.post("/oauth/access_token?grant_type=client_credentials").header("Authorization", &basic).form(""),
        gateway.profile().replace("api-key", "CANARY-api-key"),
        gateway.profile().replace("Authorization", "Bearer CANARY.bearer.token"),
        gateway.profile().replace("customer-auth", "JWT CANARY.customer.token"),
        gateway.get("/me/x").header("Cookie", "__Host-session=CANARY-cookie; other=CANARY-other-cookie"),
        gateway.get("/me/x").customer(&customer).header("X-Customer-Id", "CANARY-identifier"),
        gateway.get("/me/x").header("Cookie", &session),
        gateway.get("/public/refuses?token=CANARY-query-token").body("CANARY-request-body"),
        gateway.get("/public/garbage").header("X-Any", "CANARY-header"),
        gateway.get("/public/silent").body("CANARY-request-body"),
        // The path of what no route takes is in the access log, but for what looks like a secret.
        gateway.get("/nowhere/wgs_CANARY-path?x=CANARY-query"),
        gateway.get("/public/%00?x=CANARY-query"),
        gateway.get("/public/x").header("User-Agent", "CANARY-agent").header("X-Request-Id", "CANARY request id"),
        gateway.profile(),
    ];
    let mut answers: Vec<Response> = requests.iter().map(Request::send).collect();
    answers.extend(gateway.connect().exchange(&raw));
    gateway.stdout.wait(|line| line["request_id"].as_str() == answers[20].header("X-Request-Id"));
    let said = said(&gateway, &answers);
    let session_value = session.split_once('=').unwrap().1;
    let signature = |token: &str| token.rsplit('.').next().unwrap().to_owned();
    let secrets = [
        ALICE.secret,
        CLIENT.secret,
        API_KEY,
        &client,
        &customer,
        &signature(&client),
        &signature(&customer),
        session_value,
        ALICE.subject,
        "CANARY",
    ];
    for secret in secrets {
        if let Some(at) = said.find(secret) {
            let start = said.floor_char_boundary(at.saturating_sub(200));
            let end = said.ceil_char_boundary((at + 200).min(said.len()));
            panic!("{secret:?} was said: {}", &said[start..end]);
        }
    }
    assert!(backend.requests().iter().all(|seen| seen.all("Authorization") == ["Bearer CANARY-backend-credential"]));
}

#[test]
fn each_request_leaves_one_audit_line_without_secrets() {
    let (_backend, gateway) = world();
    gateway.profile().header("X-Request-Id", "good-one").send().ok();
    let line = gateway.access_line("good-one");
    assert_eq!(
        (line["method"].as_str(), line["route"].as_str(), line["status"].as_u64()),
        (Some("POST"), Some("profile"), Some(200))
    );
    assert_eq!((line["client"].as_str(), line["api_key"].as_str()), (Some(CLIENT.name), Some("asapp-prod")));
    let identifier = keys::decode(&gateway.customer_token()).1["sub"].clone();
    assert_eq!(line["customer"], identifier);
    assert!(line["refusal"].is_null() && line["time"].is_string(), "{line}");
    assert!(line["client_address"].as_str().unwrap().starts_with("127.0.0.1"), "{line}");
    assert!(line["bytes_out"].as_u64().unwrap() >= 11 && line["protocol"].is_string(), "{line}");

    gateway.profile().replace("api-key", "unknown").header("X-Request-Id", "bad-one").send().expect(403, "403-01");
    let line = gateway.access_line("bad-one");
    assert_eq!((line["status"].as_u64(), line["code"].as_str()), (Some(403), Some("403-01")));
    assert!(line["refusal"].is_string() && line["route"] == "profile", "{line}");

    gateway.get("/nowhere?x=1").header("X-Request-Id", "lost-one").send().expect(404, "404-01");
    let line = gateway.access_line("lost-one");
    assert!(line["route"].is_null() && line["status"] == 404 && !line.to_string().contains("x=1"), "{line}");
}

#[test]
fn the_access_log_is_one_json_object_a_line_whatever_is_sent() {
    let (_backend, gateway) = world();
    for odd in ["\"quoted\"", "\u{1b}[31mred", "a\\nb", "{\"x\":1}", "\u{fc}"] {
        gateway.get("/public/x").header("User-Agent", odd).header("Referer", odd).try_on(&mut gateway.connect()).ok();
    }
    gateway.get("/public/last").header("X-Request-Id", "last").send().ok();
    gateway.access_line("last");
    for line in gateway.stdout.all() {
        assert!(serde_json::from_str::<Value>(&line).is_ok_and(|v| v.is_object()), "{line:?}");
        assert!(!line.contains('\u{1b}'), "{line:?}");
    }
    for line in gateway.stderr.all() {
        assert!(serde_json::from_str::<Value>(&line).is_ok_and(|v| v["level"].is_string()), "{line:?}");
    }
}

#[test]
fn the_access_log_can_be_switched_off() {
    let (_backend, mut gateway) = world_with(|c| c.set("/log/access", json!("off")));
    gateway.get("/public/x").send().ok();
    assert_eq!(gateway.terminate(), Some(0));
    assert_eq!(gateway.stdout.all(), [""; 0]);
}
