//! CORS: preflights, response headers, and what stays refused.

use crate::harness::*;

const PAGE: &str = "https://www.example.com";

/// Routes that pages of one origin may call, and one that all may.
fn shared_with(change: impl FnOnce(Config) -> Config) -> (Backend, Gateway) {
    world_with(|c| {
        let cors = json!({"origins": [PAGE], "headers": ["customer-auth", "Content-Type"], "expose": ["X-Request-Id"], "max_age": "1h"});
        change(c.route("me", "cors", cors).route("public", "cors", json!({"origins": ["*"]})))
    })
}

fn preflight(gateway: &Gateway, target: &str, origin: &str, method: &str) -> Request {
    gateway
        .request("OPTIONS", target)
        .header("Origin", origin)
        .header("Access-Control-Request-Method", method)
        .header("Access-Control-Request-Headers", "customer-auth")
}

/// What an answer says about other origins.
fn said(answer: &Response) -> Vec<(&str, &str)> {
    let about = |name: &str| name.to_ascii_lowercase().starts_with("access-control-");
    answer.lines.iter().filter(|(name, _)| about(name)).map(|(name, value)| (&**name, &**value)).collect()
}

#[test]
fn a_preflight_is_answered_without_credentials_and_never_reaches_a_backend() {
    let (backend, gateway) = shared_with(|c| c);
    let asked = preflight(&gateway, "/me/orders", PAGE, "POST");
    for request in [asked.clone(), asked.customer(&gateway.customer_token()).header("X-Customer-Id", "somebody")] {
        let answer = request.send().expect(204, "");
        assert_eq!(answer.header("Access-Control-Allow-Origin"), Some(PAGE));
        assert_eq!(answer.header("Access-Control-Allow-Methods"), Some("GET, HEAD, POST, PUT, DELETE"));
        assert_eq!(answer.header("Access-Control-Allow-Headers"), Some("customer-auth, Content-Type"));
        assert_eq!(answer.header("Access-Control-Max-Age"), Some("3600"));
        assert_eq!((answer.header("Access-Control-Allow-Credentials"), answer.header("Vary")), (None, Some("Origin")));
        assert_eq!(gateway.access_line(answer.header("X-Request-Id").unwrap())["route"], "me");
    }
    backend.assert_untouched();
}

#[test]
fn a_preflight_of_another_page_method_or_route_gets_no_leave() {
    let (backend, gateway) = shared_with(|c| c.route("system", "methods", json!(["GET", "OPTIONS"])));
    for origin in
        ["https://evil.example", "https://www.example.com.evil.example", "http://www.example.com", "null", "*"]
    {
        let answer = preflight(&gateway, "/me/orders", origin, "POST").send();
        assert_eq!((answer.status, said(&answer)), (204, vec![]), "{origin}");
    }
    let answer = preflight(&gateway, "/me/orders", PAGE, "PATCH").send().expect(405, "405-01");
    assert_eq!(said(&answer), vec![]);
    let answer = preflight(&gateway, "/nothing", PAGE, "GET").send().expect(404, "404-01");
    assert_eq!(said(&answer), vec![]);
    // A route without `cors` is asked for its credential, as ever.
    let answer = preflight(&gateway, "/system/x", PAGE, "GET").send().expect(401, "401-10");
    assert_eq!(said(&answer), vec![]);
    // OPTIONS that is no preflight is a call like any other.
    gateway.request("OPTIONS", "/me/orders").send().expect(405, "405-01");
    backend.assert_untouched();
}

#[test]
fn answers_and_refusals_say_who_may_read_them_and_the_backend_has_no_say() {
    let (backend, gateway) = shared_with(|c| c.route("me", "limits", json!({"rate": "1/h", "burst": 1})));
    let theirs =
        [("Access-Control-Allow-Origin", "*"), ("Access-Control-Allow-Credentials", "true"), ("Vary", "Accept")];
    backend.on("/me/orders", Behaviour::reply(200, &theirs, b"{}"));
    let call = gateway.get("/me/orders").customer(&gateway.customer_token());
    let got = call.clone().header("Origin", PAGE).send().ok();
    assert_eq!(said(&got), [("access-control-allow-origin", PAGE), ("access-control-expose-headers", "X-Request-Id")]);
    assert_eq!(got.all("Vary"), ["Accept", "Origin"]);
    for refused in [
        gateway.get("/me/orders").header("Origin", PAGE).send().expect(401, "401-10"),
        call.header("Origin", PAGE).send().expect(429, "429-01"),
    ] {
        assert_eq!(refused.header("Access-Control-Allow-Origin"), Some(PAGE));
    }
    for other in [gateway.get("/me/orders").header("Origin", "https://evil.example"), gateway.get("/me/orders")] {
        let refused = other.send().expect(401, "401-10");
        assert_eq!((said(&refused), refused.header("Vary")), (vec![], Some("Origin")));
    }
    let open = gateway.get("/public/x").header("Origin", "https://anyone.example").send().ok();
    assert_eq!(said(&open), [("access-control-allow-origin", "*")]);
}

#[test]
fn without_cors_no_page_of_another_origin_may_read_an_answer_whatever_the_backend_says() {
    let set = json!({"set": {"Access-Control-Allow-Origin": "https://by.hand.example"}});
    let (backend, gateway) = world_with(|c| c.route("key", "response_headers", set));
    let theirs = [
        ("Access-Control-Allow-Origin", "*"),
        ("access-control-allow-credentials", "true"),
        ("Access-Control-Expose-Headers", "X-Own"),
        ("X-Own", "1"),
        ("Vary", "Origin"),
    ];
    backend.on("/system/x", Behaviour::reply(200, &theirs, b"{}"));
    let own = gateway.get("/system/x").bearer(&gateway.client_token()).header("Origin", PAGE).send().ok();
    assert_eq!((said(&own), own.header("X-Own"), own.header("Vary")), (vec![], Some("1"), Some("Origin")));
    // What the operator writes into an answer stays.
    backend.on("/key/x", Behaviour::reply(200, &theirs, b"{}"));
    let by_hand = gateway.get("/key/x").api_key(crate::harness::API_KEY).header("Origin", PAGE).send().ok();
    assert_eq!(said(&by_hand), [("access-control-allow-origin", "https://by.hand.example")]);
}

#[test]
fn with_cookies_reading_is_one_thing_and_changing_another() {
    let world = |origins: Value| {
        world_with(|c| {
            c.cookies("cookie").set("/login/cookie/origins", origins).route(
                "me",
                "cors",
                json!({"origins": [PAGE], "credentials": true}),
            )
        })
    };
    let (backend, gateway) = world(json!(["https://other.example.com"]));
    let login = gateway.login_request(ALICE.name, ALICE.secret).send().ok();
    let cookie = login.header("Set-Cookie").unwrap().split(';').next().unwrap().to_owned();
    let call = |method: &str| gateway.request(method, "/me/x").header("Cookie", &cookie).header("Origin", PAGE);
    let read = call("GET").send().ok();
    assert_eq!(read.header("Access-Control-Allow-Credentials"), Some("true"));
    backend.forget();
    let refused = call("POST").send().expect(403, "403-05");
    assert_eq!(refused.header("Access-Control-Allow-Origin"), Some(PAGE));
    backend.assert_untouched();
    let (_backend, gateway) = world(json!([PAGE]));
    let login = gateway.login_request(ALICE.name, ALICE.secret).send().ok();
    let cookie = login.header("Set-Cookie").unwrap().split(';').next().unwrap().to_owned();
    gateway.post("/me/x").header("Cookie", &cookie).header("Origin", PAGE).send().ok();
}
