//! The company's own login as it is: names of its fields, form or JSON, a no in a body, claims in its answer.

use crate::harness::*;

/// Logins are asked of the backend; this member of `login.accounts` beside it.
fn asked(config: Config, more: Value) -> Config {
    let mut accounts = json!({"backend": "legacy", "path": "/login", "subject": "/customer/id"});
    accounts.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    config.set("/login/accounts", accounts).set("/login/limits", json!({"rate": "1000/s", "burst": 1000}))
}

fn welcome(more: Value) -> Behaviour {
    let mut answer = json!({"customer": {"id": "account-7"}});
    answer.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Behaviour::json(200, &answer)
}

#[test]
fn the_companys_own_login_gets_its_fields_by_its_own_names_as_form_or_json() {
    let fields = json!({"username": "j_user&", "password": "j_pass"});
    let (backend, gateway) = world_with(|config| asked(config, json!({"fields": fields})));
    backend.on("/login", welcome(json!({})));
    gateway.login_request("e&r=in", "x y\u{e9}").send().ok();
    let seen = backend.last();
    assert_eq!(seen.all("Content-Type"), ["application/x-www-form-urlencoded"]);
    assert_eq!(String::from_utf8_lossy(&seen.body), "j%5Fuser%26=e%26r%3Din&j%5Fpass=x%20y%C3%A9");
    let (backend, gateway) = world_with(|config| asked(config, json!({"fields": fields, "encoding": "json"})));
    backend.on("/login", welcome(json!({})));
    gateway.login_request("e\"r=in", "x\\y\u{e9}\u{1f600}").send().ok();
    let seen = backend.last();
    assert_eq!(seen.all("Content-Type"), ["application/json"]);
    let body: Value = serde_json::from_slice(&seen.body).unwrap();
    assert_eq!(body, json!({"j_user&": "e\"r=in", "j_pass": "x\\y\u{e9}\u{1f600}"}));
    // Only the names are the company's: a caller logs in as ever.
    gateway.post("/auth/customer_authenticate").form("j_user%26=erin&j_pass=x").send().expect(400, "");
}

#[test]
fn a_success_whose_body_says_no_is_a_wrong_password_and_is_counted() {
    let no = json!({"no": {"body": {"pointer": "/result", "equals": "DENIED"}}});
    let attempts = json!({"free": 2, "delay": "5m"});
    let (backend, gateway) = world_with(|config| asked(config, no).set("/login/attempts", attempts));
    backend.on("/login", Behaviour::json(200, &json!({"result": "DENIED"})));
    for _ in 0..3 {
        gateway.login_request("erin", "x").send().expect(401, "401-04");
    }
    gateway.login_request("erin", "x").send().expect(429, "429-02");
    // Also where it names a customer.
    backend.on("/login", welcome(json!({"result": "DENIED"})));
    gateway.login_request("other", "x").send().expect(401, "401-04");
    for result in [json!({"result": "denied"}), json!({"result": ["DENIED"]}), json!({"Result": "DENIED"}), json!({})] {
        backend.on("/login", welcome(result));
        gateway.login_request("third", "x").send().ok();
    }
    // A status that says no does so without a body, and one that is an outage is one whatever its body says.
    backend.on("/login", Behaviour::status(404));
    gateway.login_request("fourth", "x").send().expect(401, "401-04");
    backend.on("/login", Behaviour::json(500, &json!({"result": "DENIED"})));
    gateway.login_request("fourth", "x").send().expect(503, "503-02");
    backend.on("/login", Behaviour::reply(200, &[("Content-Type", "application/json")], b"{\"result\":\"DENIED\""));
    gateway.login_request("fourth", "x").send().expect(503, "503-02");
    backend.on(
        "/login",
        Behaviour::reply(
            200,
            &[("Content-Type", "application/json")],
            br#"{"result":"OK","result":"DENIED","customer":{"id":"1"}}"#,
        ),
    );
    gateway.login_request("fourth", "x").send().expect(503, "503-02");
}

#[test]
fn the_values_that_mean_no_are_compared_with_their_type() {
    let no = json!({"no": {"body": {"pointer": "/login/ok", "one_of": [false, 0, -1, "no"]}}});
    let (backend, gateway) = world_with(|config| asked(config, no));
    for (value, status) in [
        (json!(false), 401),
        (json!(0), 401),
        (json!(-1), 401),
        (json!("no"), 401),
        (json!(true), 200),
        (json!("false"), 200),
        (json!("0"), 200),
        (json!(1), 200),
        (json!(null), 200),
    ] {
        backend.on("/login", welcome(json!({"login": {"ok": value}})));
        assert_eq!(gateway.login_request("erin", "x").send().status, status, "{value}");
    }
}

#[test]
fn claims_from_the_answer_go_into_the_jwt_and_nothing_else_does() {
    let claims = json!({"claims": {"tier": "/customer/tier", "groups": "/roles"}});
    let (backend, gateway) = world_with(|config| {
        asked(config, claims)
            .set("/login/claims", json!(["tier", "groups", "branch"]))
            .set("/login/forward_claims", json!(["tier"]))
            .route("me", "request_headers", json!({"set": {"X-Tier": "${claims.tier}"}}))
    });
    let answer = |more: Value| {
        backend.on("/login", Behaviour::json(200, &more));
        let answer = gateway.login_request("erin", "x").send().ok().json();
        answer["JWT"].as_str().unwrap().to_owned()
    };
    let jwt = answer(json!({
        "customer": {"id": "account-7", "tier": "gold", "email": "erin@example.com"}, "roles": ["a", "b"], "branch": "north", "sub": "x",
    }));
    let said = keys::decode(&jwt).1;
    assert_eq!((&said["tier"], &said["groups"]), (&json!("gold"), &json!(["a", "b"])));
    assert!(said.get("branch").is_none() && said.get("email").is_none() && said["sub"] != "x", "{said}");
    gateway.get("/me/x").customer(&jwt).send().ok();
    assert_eq!(backend.last().all("X-Tier"), ["gold"]);
    // What is not there is not claimed.
    let said = keys::decode(&answer(json!({"customer": {"id": "account-7", "tier": null}}))).1;
    assert!(said.get("tier").is_none() && said.get("groups").is_none(), "{said}");
    // Nothing that no request could carry.
    backend.on("/login", Behaviour::json(200, &json!({"customer": {"id": "account-7", "tier": "x".repeat(5_000)}})));
    gateway.login_request("erin", "x").send().expect(503, "503-02");
}

#[test]
fn what_the_login_backend_gets_and_says_is_checked_with_the_key_at_fault() {
    let backend = Backend::start();
    for (more, key, said) in [
        (json!({"claims": {"tier": "/tier"}}), "login.accounts.claims.tier", "no claim in `login.claims` `tier`"),
        (json!({"no": {"body": {"pointer": "/x"}}}), "login.accounts.no.body", "nothing says which value"),
        (json!({"no": {"body": {"pointer": "x", "equals": 1}}}), "login.accounts.no.body.pointer", "JSON pointer"),
        (json!({"no": {"body": {"pointer": "/x", "one_of": []}}}), "login.accounts.no.body.one_of", "is empty"),
        (json!({"fields": {"username": "a", "password": "a"}}), "login.accounts.fields", "one name"),
        (json!({"fields": {"username": " "}}), "login.accounts.fields.username", "empty"),
        (json!({"encoding": "xml"}), "login.accounts.encoding", "json"),
    ] {
        let complained = gateway::Workspace::new(&asked(Config::new(&backend), more)).fails(&["check"]);
        assert!(complained.contains(key) && complained.contains(said), "{key}: {complained}");
    }
    let personal =
        asked(Config::new(&backend), json!({"claims": {"email": "/email"}})).set("/login/claims", json!(["email"]));
    assert!(gateway::Workspace::new(&personal).fails(&["check"]).contains("personal data"));
    let of_a_file = Config::new(&backend).set("/login/accounts/encoding", json!("json"));
    assert!(gateway::Workspace::new(&of_a_file).fails(&["check"]).contains("`encoding` belongs to `backend`"));
}

#[test]
fn a_login_as_json_may_have_any_other_members() {
    let (_backend, gateway) = world_with(|config| config.set("/login/json", json!(true)));
    let log_in = |kind: &str, body: &str| {
        gateway.post("/auth/customer_authenticate").header("Content-Type", kind).body(body.as_bytes()).send().status
    };
    let right = format!(r#""username":"alice","password":"{}""#, ALICE.secret);
    for (more, status) in [
        ("", 200),
        (r#","remember":true"#, 200),
        (r#","device":{"id":[1,null,{"x":"y"}]},"ttl":3e2,"x":null"#, 200),
        (r#","x":1,"x":2"#, 200),
        (r#","Username":"bob""#, 200),
        (r#","username":"alice""#, 400),
        (r#","username":"bob""#, 400),
        (r#","password":"x""#, 400),
        (r#","\u0070assword":"x""#, 400),
        (r#","username":1"#, 400),
        (r#","x":tru"#, 400),
    ] {
        for kind in ["application/json", "application/json; charset=utf-8", "application/json;charset=UTF-8"] {
            assert_eq!(log_in(kind, &format!("{{{right}{more}}}")), status, "{kind} {more}");
        }
    }
    for body in [
        r#"{"username":1,"password":"x"}"#,
        r#"{"username":"alice","password":["x"]}"#,
        r#"{"username":null,"password":"x"}"#,
    ] {
        assert_eq!(log_in("application/json", body), 400, "{body}");
    }
}
