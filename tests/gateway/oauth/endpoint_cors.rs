//! CORS on login, token and logout.

use crate::harness::*;

const PAGE: &str = "https://app.example.net";
const OTHER: &str = "https://evil.example";

/// Pages of one origin may log in and out, and ask for tokens.
fn shared_with(change: impl FnOnce(Config) -> Config) -> (Backend, Gateway) {
    world_with(|c| {
        let cors = json!({"origins": [PAGE], "headers": ["customer-auth", "Content-Type"], "expose": ["Retry-After"], "max_age": "1h"});
        let tokens = json!({"origins": [PAGE], "headers": ["Authorization"]});
        change(c.set("/login/cors", cors).set("/login/json", json!(true)).set("/access_token/cors", tokens))
    })
}

fn preflight(gateway: &Gateway, target: &str, origin: &str, method: &str) -> Response {
    let asked = gateway.request("OPTIONS", target).header("Origin", origin);
    asked.header("Access-Control-Request-Method", method).send()
}

/// What an answer says about other origins.
fn said(answer: &Response) -> Vec<(&str, &str)> {
    let about = |name: &str| name.to_ascii_lowercase().starts_with("access-control-");
    answer.lines.iter().filter(|(name, _)| about(name)).map(|(name, value)| (&**name, &**value)).collect()
}

fn may_read(answer: &Response) -> bool {
    assert_eq!(answer.header("Vary"), Some("Origin"));
    answer.header("Access-Control-Allow-Origin") == Some(PAGE)
}

#[test]
fn a_preflight_of_an_own_endpoint_is_answered_without_credentials() {
    let (backend, gateway) = shared_with(|c| c);
    for (target, name, headers) in [
        ("/auth/customer_authenticate", "login", "customer-auth, Content-Type"),
        ("/auth/logout", "logout", "customer-auth, Content-Type"),
        ("/oauth/access_token", "access_token", "Authorization"),
        ("/oauth/revoke", "revoke", "Authorization"),
    ] {
        let answer = preflight(&gateway, target, PAGE, "POST").expect(204, "");
        assert!(may_read(&answer), "{target}");
        assert_eq!(answer.header("Access-Control-Allow-Methods"), Some("POST"));
        assert_eq!(answer.header("Access-Control-Allow-Headers"), Some(headers));
        assert_eq!(gateway.access_line(answer.header("X-Request-Id").unwrap())["route"], name);
        for origin in [OTHER, "null", "*", "http://app.example.net", "https://app.example.net.evil.example"] {
            let answer = preflight(&gateway, target, origin, "POST").expect(204, "");
            assert_eq!(said(&answer), vec![], "{target} {origin}");
        }
        assert_eq!(said(&preflight(&gateway, target, PAGE, "DELETE").expect_one_of(&[405])), vec![]);
    }
    // Clients introspect from servers: no page does.
    assert_eq!(said(&preflight(&gateway, "/oauth/introspect", PAGE, "POST").expect_one_of(&[405])), vec![]);
    backend.assert_untouched();
}

#[test]
fn a_page_of_another_origin_logs_in_reads_why_it_is_refused_and_logs_out() {
    let (_backend, gateway) = shared_with(|c| c);
    let login = |origin: &str, password: &str| {
        gateway
            .login_request(ALICE.name, password)
            .header("Origin", origin)
            .header("Sec-Fetch-Site", "cross-site")
            .send()
    };
    let refused = login(PAGE, "wrong").expect(401, "401-04");
    assert!(may_read(&refused));
    assert_eq!(refused.header("Access-Control-Expose-Headers"), Some("Retry-After"));
    let answer = login(PAGE, ALICE.secret).ok();
    assert!(may_read(&answer));
    assert_eq!(answer.header("Access-Control-Allow-Credentials"), None);
    let jwt = answer.json()["JWT"].as_str().unwrap().to_owned();
    gateway.get("/me/x").customer(&jwt).send().ok();
    for answer in [login(OTHER, "wrong").expect(401, "401-04"), login(OTHER, ALICE.secret).ok()] {
        assert_eq!((said(&answer), answer.header("Vary")), (vec![], Some("Origin")), "it may not read that");
    }
    // Malformed ones can be read as well.
    let malformed = gateway.post("/auth/customer_authenticate").header("Origin", PAGE).json("[]").send();
    assert!(may_read(&malformed.expect(400, "400-03")));
    let out = gateway.post("/auth/logout").customer(&jwt).header("Origin", PAGE).send().expect(204, "");
    assert!(may_read(&out));
    gateway.get("/me/x").customer(&jwt).send().expect(401, "401-03");
    let again = gateway.post("/auth/logout").header("Origin", PAGE).send().expect(401, "401-10");
    assert!(may_read(&again));
}

#[test]
fn a_page_of_another_origin_renews_and_revokes_its_tokens() {
    let (_backend, gateway) = shared_with(|c| c.set("/login/refresh", json!({})));
    let login = gateway.login_request(ALICE.name, ALICE.secret).header("Origin", PAGE).send().ok();
    let form = format!("grant_type=refresh_token&refresh_token={}", login.json()["refresh_token"].as_str().unwrap());
    let renewed = gateway.post("/oauth/access_token").form(&form).header("Origin", PAGE).send().ok();
    assert!(may_read(&renewed));
    let refused =
        gateway.post("/oauth/access_token").form("grant_type=refresh_token&refresh_token=x").header("Origin", PAGE);
    let refused = refused.send();
    assert_eq!((refused.status, may_read(&refused)), (400, true));
    assert_eq!(refused.json()["error"], "invalid_grant");
    let revoked = gateway.post("/oauth/revoke").form("token=a.b.c").header("Origin", PAGE).send();
    assert_eq!((revoked.status, may_read(&revoked)), (401, true));
    // A token of ours is opaque to a page to which nobody has opened it.
    let foreign = gateway.token_request(CLIENT.name, CLIENT.secret).header("Origin", OTHER).send().ok();
    assert_eq!(said(&foreign), vec![]);
}

#[test]
fn a_page_of_another_origin_logs_in_with_a_cookie() {
    let (_backend, gateway) = world_with(|c| {
        let cors = json!({"origins": [PAGE], "credentials": true});
        c.cookies("cookie")
            .set("/login/cookie/same_site", json!("none"))
            .set("/login/cookie/origins", json!([PAGE]))
            .set("/login/cors", cors.clone())
            .route("me", "cors", cors)
    });
    let login = |origin: &str| gateway.login_request(ALICE.name, ALICE.secret).header("Origin", origin).send();
    let answer = login(PAGE).ok();
    assert!(may_read(&answer));
    assert_eq!(answer.header("Access-Control-Allow-Credentials"), Some("true"));
    let line = answer.header("Set-Cookie").unwrap();
    assert!(line.contains("SameSite=None") && line.contains("Secure"), "{line}");
    let cookie = line.split(';').next().unwrap().to_owned();
    let call = |target: &str| gateway.post(target).header("Cookie", &cookie).header("Origin", PAGE);
    call("/me/x").send().ok();
    // Nobody else's page logs a browser in, or out.
    let refused = login(OTHER).expect(403, "403-05");
    assert_eq!(said(&refused), vec![]);
    gateway.post("/auth/logout").header("Cookie", &cookie).header("Origin", OTHER).send().expect(403, "403-05");
    let out = call("/auth/logout").send().expect(204, "");
    assert_eq!(out.header("Access-Control-Allow-Credentials"), Some("true"));
    assert!(may_read(&call("/me/x").send().expect(401, "401-03")));
}

#[test]
fn without_cors_no_page_of_another_origin_may_read_an_answer_of_an_own_endpoint() {
    let (_backend, gateway) = world_with(|c| c);
    for target in ["/auth/customer_authenticate", "/auth/logout", "/oauth/access_token", "/oauth/revoke"] {
        assert_eq!(said(&preflight(&gateway, target, PAGE, "POST").expect_one_of(&[405])), vec![], "{target}");
    }
    let answer = gateway.login_request(ALICE.name, ALICE.secret).header("Origin", PAGE).send().ok();
    assert_eq!((said(&answer), answer.header("Vary")), (vec![], None));
}

#[test]
fn public_documents_may_be_read_by_any_page() {
    let (_backend, gateway) = world_with(|c| c);
    for path in ["/.well-known/jwks.json", "/.well-known/jwks.pem", "/.well-known/oauth-authorization-server"] {
        let answer = gateway.get(path).header("Origin", OTHER).header("Cookie", "a=b").send().ok();
        assert_eq!(said(&answer), [("access-control-allow-origin", "*")], "{path}: and no credentials");
        // Agents in browsers add fields of their own.
        let asked = gateway.request("OPTIONS", path).header("Origin", OTHER);
        let asked = asked.header("Access-Control-Request-Headers", "mcp-protocol-version");
        let answer = asked.header("Access-Control-Request-Method", "GET").send().expect(204, "");
        assert_eq!(answer.header("Access-Control-Allow-Origin"), Some("*"));
        assert_eq!(answer.header("Access-Control-Allow-Headers"), Some("*"));
        assert_eq!(said(&preflight(&gateway, path, OTHER, "POST").expect_one_of(&[405])), vec![]);
    }
}

#[test]
fn check_says_what_a_page_of_another_origin_needs_to_log_in_by_cookie() {
    let config = |cors: Value| {
        let config = Config::new(&Backend::start()).cookies("cookie");
        gateway::Workspace::new(&config.set("/login/cookie/origins", json!([PAGE])).set("/login/cors", cors))
    };
    let said = config(json!({"origins": [PAGE]})).fails(&["check"]);
    assert!(said.contains("login.cors") && said.contains("`credentials: true`"), "{said}");
    let said = config(json!({"origins": [PAGE, OTHER], "credentials": true})).fails(&["check"]);
    assert!(said.contains("login.cors.origins[1]") && said.contains("`login.cookie.origins`"), "{said}");
    let said = config(json!({"origins": ["*"], "credentials": true})).fails(&["check"]);
    assert!(said.contains("every page on the web"), "{said}");
    let (code, _, warned) = config(json!({"origins": [PAGE], "credentials": true})).run(&["check"]);
    assert!(code == 0 && warned.contains("same_site: none"), "{warned}");
    let both = Config::new(&Backend::start()).cookies("both").set("/login/cookie/origins", json!([PAGE]));
    for (cors, is_warned) in
        [(json!({"origins": [PAGE]}), true), (json!({"origins": [PAGE], "credentials": true}), false)]
    {
        let (code, _, warned) = gateway::Workspace::new(&both.clone().set("/login/cors", cors)).run(&["check"]);
        assert_eq!((code, warned.contains("browsers drop the cookie")), (0, is_warned), "{warned}");
    }
    // With a JWT no cookie is needed.
    let jwt = Config::new(&Backend::start()).set("/login/cors", json!({"origins": ["*"]}));
    gateway::Workspace::new(&jwt).succeeds(&["check"]);
}
