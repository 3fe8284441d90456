//! No secret in any output: passwords, secrets, tokens, keys, cookies, names.

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
