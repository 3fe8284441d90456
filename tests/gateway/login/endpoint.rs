//! POST /auth/customer_authenticate.

use std::time::{Duration, Instant};

use std::thread;

use crate::harness::keys::{decode, now};
use crate::harness::*;

#[test]
fn login_answers_exactly_three_string_members() {
    let (backend, gateway) = world();
    let answer = gateway
        .post("/auth/customer_authenticate")
        .form("username=alice&password=Alice-and-the-white-rabbit")
        .send()
        .ok();
    assert!(answer.header("Content-Type").unwrap().starts_with("application/json"));
    let members = answer.json();
    let members = members.as_object().unwrap();
    let mut names: Vec<&str> = members.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["JWT", "expires_in", "issued_at"]);
    assert!(members.values().all(Value::is_string), "{members:?}");
    let issued: u64 = members["issued_at"].as_str().unwrap().parse().unwrap();
    assert!((issued / 1000).abs_diff(now()) <= 5, "issued_at is epoch milliseconds: {issued}");
    backend.assert_untouched();
}

#[test]
fn login_without_content_type_is_read_as_a_form() {
    let (_backend, gateway) = world();
    gateway.post("/auth/customer_authenticate").body("username=alice&password=Alice-and-the-white-rabbit").send().ok();
}

#[test]
fn login_path_can_be_the_bare_form() {
    let (_backend, gateway) = world_with(|c| c.set("/login/path", json!("/customer_authenticate")));
    gateway.login_request(ALICE.name, ALICE.secret).send().expect(404, "404-01");
    let form = format!("username={}&password={}", ALICE.name, ALICE.secret);
    gateway.post("/customer_authenticate").form(&form).send().ok();
}

#[test]
fn the_documented_curl_line_logs_in() {
    let (_backend, gateway) = world();
    let url = format!("https://localhost:{}/auth/customer_authenticate", gateway.address.port());
    let ca = gateway.files.path.join("certs/ca.pem");
    let form = format!("username={}&password={}", ALICE.name, ALICE.secret);
    let args =
        ["-sS", "--cacert", ca.to_str().unwrap(), "-X", "POST", &url, "-H", "cache-control: no-cache", "-d", &form];
    let output = program("curl", "curl", &args);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let body: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(body["JWT"].is_string(), "{body}");
}

#[test]
fn times_of_answer_and_token_agree() {
    let (_backend, gateway) = world();
    let answer = gateway.login_request(ALICE.name, ALICE.secret).send().ok().json();
    let (_, claims) = decode(answer["JWT"].as_str().unwrap());
    let (iat, exp) = (claims["iat"].as_u64().unwrap(), claims["exp"].as_u64().unwrap());
    let number = |name: &str| answer[name].as_str().unwrap().parse::<u64>().unwrap();
    assert_eq!(iat, number("issued_at") / 1000);
    assert!((exp - iat).abs_diff(number("expires_in")) <= 1);
    assert_eq!(number("expires_in"), 28_800);
}

#[test]
fn number_style_number_writes_json_numbers_at_login() {
    let (_backend, gateway) =
        world_with(|c| c.set("/login/number_style", json!("number")).set("/login/lifetime", json!("1h")));
    let answer = gateway.login_request(ALICE.name, ALICE.secret).send().ok().json();
    assert_eq!(answer["expires_in"], 3600);
    assert!(answer["issued_at"].is_u64() && answer["JWT"].is_string(), "{answer}");
}

#[test]
fn a_secret_in_the_query_of_the_login_is_refused() {
    let (_backend, gateway) = world();
    for query in ["password=x", "username=alice", "username=alice&password=Alice-and-the-white-rabbit"] {
        let form = format!("username={}&password={}", ALICE.name, ALICE.secret);
        gateway.post(&format!("/auth/customer_authenticate?{query}")).form(&form).send().expect(400, "400-04");
    }
}

#[test]
fn wrong_password_and_unknown_user_look_alike() {
    let (_backend, gateway) = world();
    let ask = |name: &str| {
        gateway.login_request(name, "wrong").header("X-Request-Id", "same-id").send().expect(401, "401-04")
    };
    let (wrong, unknown) = (ask(ALICE.name), ask("nobody"));
    assert_eq!(wrong.text(), unknown.text());
    let names = |answer: &Response| answer.lines.iter().map(|(n, _)| n.to_ascii_lowercase()).collect::<Vec<_>>();
    assert_eq!(names(&wrong), names(&unknown));
    assert_eq!(wrong.header("WWW-Authenticate"), unknown.header("WWW-Authenticate"));
}

#[test]
fn an_unknown_user_costs_a_hash_as_a_known_one_does() {
    let (_backend, gateway) = world();
    let fastest = |name: &str| {
        let mut connection = gateway.connect();
        let one = |_| {
            let start = Instant::now();
            gateway.login_request(name, "wrong").send_on(&mut connection).expect(401, "401-04");
            start.elapsed()
        };
        (0..5).map(one).min().unwrap()
    };
    let (wrong, unknown) = (fastest(ALICE.name), fastest("nobody"));
    assert!(wrong > Duration::from_millis(5), "a hash of 19 MiB takes longer than {wrong:?}");
    assert!(unknown > wrong / 3, "unknown {unknown:?}, wrong {wrong:?}");
}

#[test]
fn missing_and_repeated_fields_are_400() {
    let (_backend, gateway) = world();
    let forms = [
        "",
        "username=alice",
        "password=x",
        "username=alice&password=",
        "username=&password=x",
        "username=alice&username=bob&password=x",
        "username=alice&password=x&password=y",
    ];
    for form in forms {
        let answer = gateway.post("/auth/customer_authenticate").form(form).send();
        assert_eq!((answer.status, answer.code().as_str()), (400, "400-04"), "{form}");
    }
}

#[test]
fn other_methods_are_405_with_allow() {
    let (_backend, gateway) = world();
    for method in ["GET", "PUT", "DELETE"] {
        let answer = gateway.request(method, "/auth/customer_authenticate").send().expect(405, "405-01");
        assert_eq!(answer.header("Allow"), Some("POST"));
    }
}

#[test]
fn a_json_login_is_415_unless_enabled() {
    let body = json!({"username": ALICE.name, "password": ALICE.secret}).to_string();
    let (_backend, gateway) = world();
    gateway.post("/auth/customer_authenticate").json(&body).send().expect(415, "415-01");
    let (_backend, gateway) = world_with(|c| c.set("/login/json", json!(true)));
    gateway.post("/auth/customer_authenticate").json(&body).send().ok();
    let twice = r#"{"username":"alice","password":"x","password":"Alice-and-the-white-rabbit"}"#;
    let answer = gateway.post("/auth/customer_authenticate").json(twice).send();
    assert_eq!(answer.status, 400, "{}", answer.text());
}

#[test]
fn an_oversize_login_is_413() {
    let (_backend, gateway) = world();
    let form = format!("username=alice&password={}", "x".repeat(1_200_000));
    gateway.post("/auth/customer_authenticate").form(&form).send().expect(413, "413-01");
}

#[test]
fn a_password_of_one_megabyte_is_refused_before_it_is_hashed() {
    let (_backend, gateway) = world();
    let form = format!("username=alice&password={}", "x".repeat(1_000_000));
    let answer = gateway.post("/auth/customer_authenticate").form(&form).send();
    assert!(matches!(answer.status, 400 | 413), "{}", answer.text());
}

#[test]
fn passwords_are_compared_exactly() {
    let long = "ünïcödé-0123456789-0123456789-0123456789-0123456789-0123456789-0123456789-tail one";
    let carol = Account { name: "carol", secret: long, subject: "account-100003" };
    let dave = Account { name: "dave", secret: " spaces around ", subject: "account-100004" };
    let (_backend, gateway) = world_with(|c| c.account(carol).account(dave));
    gateway.login(carol);
    gateway.login(dave);
    let prefix: String = long.chars().take(long.chars().count() - 4).collect();
    for (name, wrong) in
        [("carol", prefix + " two"), ("dave", "spaces around".into()), ("alice", ALICE.secret.to_lowercase())]
    {
        gateway.login_request(name, &wrong).send().expect(401, "401-04");
    }
}

#[test]
fn extra_fields_of_the_login_form_never_reach_the_token() {
    let (_backend, gateway) = world();
    let form = format!(
        "username={}&password={}&sub=x&iss=x&aud=x&exp=99999999999&scope=admin&admin=1&kid=x",
        ALICE.name, ALICE.secret
    );
    let answer = gateway.post("/auth/customer_authenticate").form(&form).send().ok().json();
    let (header, claims) = decode(answer["JWT"].as_str().unwrap());
    let (usual_header, usual) = decode(&gateway.customer_token());
    assert_eq!(header, usual_header);
    for name in ["sub", "iss", "aud"] {
        assert_eq!(claims[name], usual[name]);
    }
    assert!(claims.get("admin").is_none() && claims.get("scope").is_none(), "{claims}");
}

#[test]
fn the_login_answer_is_never_stored() {
    let (_backend, gateway) = world();
    let answer = gateway.login_request(ALICE.name, ALICE.secret).send().ok();
    assert_eq!(answer.header("Cache-Control"), Some("no-store"));
    let refused = gateway.login_request(ALICE.name, "wrong").send().expect(401, "401-04");
    assert_eq!(refused.header("Cache-Control"), Some("no-store"));
}

#[test]
fn a_login_name_that_is_tried_too_often_is_429_and_others_are_not() {
    let (_backend, gateway) = world_with(|c| c.set("/login/limits", json!({"rate": "1/m", "burst": 2})));
    for _ in 0..2 {
        gateway.login_request(ALICE.name, "wrong").send().expect(401, "401-04");
    }
    let answer = gateway.login_request(ALICE.name, ALICE.secret).send().expect(429, "");
    assert!(answer.code().starts_with("429-"), "{}", answer.text());
    gateway.login_request(BOB.name, BOB.secret).send().ok();
}

fn login_by_backend(config: Config) -> Config {
    config
        .set("/login/accounts", json!({"backend": "legacy", "path": "/login", "subject": "/customer/id"}))
        .set("/backends/legacy/timeout", json!("300ms"))
}

#[test]
fn login_can_ask_the_companys_own_login() {
    let (backend, gateway) = world_with(login_by_backend);
    backend.on("/login", Behaviour::json(200, &json!({"customer": {"id": "account-7"}})));
    let form = "username=erin+x&password=p%26w%3D1";
    let answer = gateway.post("/auth/customer_authenticate").form(form).send().ok();
    assert!(answer.json()["JWT"].is_string());
    let seen = backend.only();
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("POST", "/login"));
    let sent = String::from_utf8(seen.body.clone()).unwrap();
    assert!(sent == "username=erin+x&password=p%26w%3D1" || sent == "username=erin%20x&password=p%26w%3D1", "{sent}");
    let (_, claims) = decode(answer.json()["JWT"].as_str().unwrap());
    assert!(!claims.to_string().contains("account-7") && !claims.to_string().contains("erin"), "{claims}");
}

#[test]
fn a_no_of_the_companys_own_login_is_401_and_anything_else_is_503() {
    let (backend, gateway) = world_with(login_by_backend);
    for status in [401, 403] {
        backend.on("/login", Behaviour::status(status));
        gateway.login_request("erin", "x").send().expect(401, "401-04");
    }
    let faults = [
        Behaviour::status(500),
        Behaviour::status(302),
        Behaviour::Silent,
        Behaviour::Close,
        Behaviour::reply(200, &[("Content-Type", "text/html")], b"<p>hello"),
        Behaviour::json(200, &json!({"customer": {}})),
        Behaviour::json(200, &json!({"customer": {"id": ""}})),
    ];
    for fault in faults {
        backend.on("/login", fault);
        gateway.login_request("erin", "x").send().expect(503, "503-02");
    }
}

#[test]
fn a_login_backend_that_is_down_is_503_never_401() {
    let gateway = Gateway::start(&login_by_backend(Config::with_server("http://127.0.0.1:9")));
    let answer = gateway.login_request("erin", "x").send().expect(503, "503-02");
    assert!(answer.retry_after() >= 1);
}

#[test]
fn a_route_of_a_host_with_a_wide_path_gets_no_password() {
    let wide = json!({"name": "wide", "hosts": ["localhost"], "path": "/", "methods": ["GET", "POST"], "public": true, "backend": "legacy"});
    let (backend, gateway) = world_with(|config| config.add_route(wide));
    assert!(gateway.login_request(ALICE.name, ALICE.secret).send().ok().json()["JWT"].is_string());
    assert!(gateway.token_request(CLIENT.name, CLIENT.secret).send().ok().json()["access_token"].is_string());
    assert!(gateway.get("/.well-known/jwks.json").send().ok().json()["keys"].is_array());
    backend.assert_untouched();
    gateway.post("/auth/other").send().ok();
    assert_eq!(backend.requests().len(), 1);
}

#[test]
fn logins_above_what_can_be_hashed_are_503_and_other_requests_go_on() {
    let (_backend, gateway) = world();
    let logins: Vec<_> = (0..60)
        .map(|number| {
            let request = gateway.login_request(&format!("nobody{number}"), "wrong");
            thread::spawn(move || request.try_on(&mut Connection::open(request.address)).map(|a| a.status))
        })
        .collect();
    for _ in 0..5 {
        gateway.get("/public/x").send().ok();
    }
    for login in logins {
        let status = login.join().unwrap();
        assert!(matches!(status, Ok(401 | 503)), "{status:?}");
    }
    gateway.login_request(ALICE.name, ALICE.secret).send().ok();
}
