//! The proxies that may ask for a decision, where callers come from the same addresses.

use std::net::SocketAddr;

use crate::forward_auth::decisions::{asked_with, nginx_with, plainly, question};
use crate::harness::client::tls;
use crate::harness::client_certificates::Caller;
use crate::harness::*;

/// What a trusted proxy on this machine passes on of a caller's own question.
fn by_a_trusted_proxy(config: Config) -> Config {
    config.set("/listen/1/trusted_proxies", json!(["127.0.0.0/8"]))
}

#[test]
fn a_caller_behind_a_trusted_proxy_gets_no_decision() {
    let (backend, gateway, plain) = asked_with(|c| {
        by_a_trusted_proxy(c).route("public", "limits", json!({"rate": "1/h", "burst": 1, "per": "address"}))
    });
    let caller = question(plain, "GET", "/public/x").replace("X-Forwarded-For", "203.0.113.9");
    let refused = plainly(&caller).expect(403, "403-04");
    let line = gateway.access_line(refused.header("X-Request-Id").unwrap());
    assert_eq!((&line["refusal"], &line["client_address"]), (&json!("address_not_allowed"), &json!("203.0.113.9")));
    // What it says about others has used up nobody's limit.
    let victim = Request::new(plain, "GET", "/public/x").header("X-Forwarded-For", "203.0.113.9");
    plainly(&victim).ok();
    backend.only();
    // Also where the caller says that it is this machine, and where the proxy names nobody.
    plainly(&caller.clone().replace("X-Forwarded-For", "127.0.0.1, 203.0.113.9")).expect(403, "403-04");
    plainly(&caller.replace("X-Forwarded-For", "127.0.0.1")).expect(403, "403-04");
}

/// A third listener, on which only questions are answered.
fn with_own_listener(config: Config) -> Config {
    let mut listeners = config.yaml["listen"].as_array().unwrap().clone();
    listeners.push(json!({"address": "127.0.0.1:0", "forward_auth": true, "name": "questions"}));
    by_a_trusted_proxy(config.set("/listen", json!(listeners)))
}

/// The listener for callers of a trusted proxy, and that of the questions.
fn places(gateway: &Gateway) -> (SocketAddr, SocketAddr) {
    let lines = gateway.stderr.all();
    let lines = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let listening = lines.filter(|line| line["message"] == "listening" && line["role"] == "gateway");
    let addresses: Vec<SocketAddr> = listening.map(|line| line["address"].as_str().unwrap().parse().unwrap()).collect();
    let [_, callers, own] = addresses[..] else { panic!("{addresses:?}") };
    (callers, own)
}

#[test]
fn the_documented_nginx_asks_on_one_listener_and_forwards_logins_of_its_callers_to_another() {
    let (backend, gateway, _) = asked_with(with_own_listener);
    let (callers, own) = places(&gateway);
    let nginx = nginx_with(&backend, callers, own);
    let to = |method: &str, target: &str| Request::new(nginx.address, method, target);
    let form = format!("username={}&password={}", ALICE.name, ALICE.secret);
    let login =
        plainly(&to("POST", "/auth/customer_authenticate").header("X-Forwarded-For", "203.0.113.9").form(&form)).ok();
    // What the caller says of its own address does not count.
    assert_eq!(gateway.access_line(login.header("X-Request-Id").unwrap())["client_address"], "127.0.0.1");
    let token = login.json()["JWT"].as_str().unwrap().to_owned();
    assert_eq!(plainly(&to("GET", "/me/x").customer(&token)).status, 200);
    assert_eq!(backend.only().header("X-Customer-Id"), keys::decode(&token).1["sub"].as_str());
    assert_eq!(plainly(&to("GET", "/me/x")).status, 401);
    // Nobody asks through it.
    assert_eq!(plainly(&to("GET", "/_wicketgate/auth")).status, 404);
    let asked = question(nginx.address, "GET", "/public/x");
    for target in ["/auth/..%2f_wicketgate/auth", "/auth/../_wicketgate/auth", "/auth/_wicketgate/auth"] {
        let answer = plainly(&Request { target: target.to_owned(), ..asked.clone() });
        assert!(answer.status >= 400, "{target}: {}", answer.status);
    }
}

#[test]
fn a_browser_at_a_port_of_its_own_logs_in_and_out_by_cookie_through_the_documented_nginx() {
    let (backend, gateway, _) = asked_with(|config| with_own_listener(config.cookies("cookie")));
    let (callers, own) = places(&gateway);
    let nginx = nginx_with(&backend, callers, own);
    let site = nginx.address.to_string();
    let post = |target: &str, origin: &str| {
        Request::new(nginx.address, "POST", target).replace("Host", &site).header("Origin", origin)
    };
    let (page, strange) = (format!("http://{site}"), "http://127.0.0.1:1");
    let form = format!("username={}&password={}", ALICE.name, ALICE.secret);
    plainly(&post("/auth/customer_authenticate", strange).form(&form)).expect(403, "403-05");
    let login = plainly(&post("/auth/customer_authenticate", &page).form(&form)).ok();
    let cookie = login.header("Set-Cookie").unwrap().split(';').next().unwrap().to_owned();
    let with = |target: &str, origin: &str| plainly(&post(target, origin).header("Cookie", &cookie));
    assert_eq!(with("/me/x", strange).status, 403);
    assert_eq!(with("/me/x", &page).status, 200);
    with("/auth/logout", strange).expect(403, "403-05");
    with("/auth/logout", &page).expect(204, "");
    assert_eq!(with("/me/x", &page).status, 401);
}

#[test]
fn on_a_listener_of_its_own_the_endpoint_answers_and_nothing_else_does_and_it_answers_nowhere_else() {
    let (backend, gateway, _) = asked_with(with_own_listener);
    let (callers, own) = places(&gateway);
    let token = gateway.customer_token();
    let asked = |address| question(address, "GET", "/me/x").customer(&token);
    let told = plainly(&asked(own)).ok();
    assert_eq!(told.header("X-Customer-Id"), keys::decode(&token).1["sub"].as_str());
    plainly(&question(own, "GET", "/me/x")).expect(401, "401-10");
    // Paths that the gateway answers itself are the proxy's to forward, not to ask about.
    plainly(&question(own, "POST", "/auth/logout")).expect(404, "404-01");
    for target in ["/public/x", "/auth/customer_authenticate", "/.well-known/jwks.json"] {
        plainly(&Request::new(own, "GET", target)).expect(404, "404-01");
    }
    plainly(&asked(callers)).expect(403, "403-04");
    // Nor does a route answer there in its place.
    asked(gateway.address).send().expect(403, "403-04");
    backend.assert_untouched();
}

#[test]
fn check_says_where_nobody_could_ask_and_where_too_many_can() {
    let backend = Backend::start();
    let checked = |config: Config| gateway::Workspace::new(&config).run(&["check"]);
    let asks = |config: Config| config.set("/forward_auth", json!({}));
    let (code, _, complained) = checked(asks(Config::new(&backend)));
    assert_eq!((code, complained.as_str()), (0, ""));
    // All that may ask speak for their callers on the only listener.
    let trusted = json!(["127.0.0.0/8", "::1/128"]);
    let (code, _, complained) = checked(asks(Config::new(&backend)).set("/listen/0/trusted_proxies", trusted.clone()));
    assert_eq!(code, 1, "{complained}");
    assert!(complained.contains("forward_auth.allow") && complained.contains("forward_auth: true"), "{complained}");
    // With a listener of its own that is well.
    let own = |config: Config| {
        let first = config.yaml["listen"][0].clone();
        config.set("/listen", json!([first, {"address": "127.0.0.1:0", "forward_auth": true}]))
    };
    let (code, _, complained) =
        checked(own(asks(Config::new(&backend))).set("/listen/0/trusted_proxies", trusted.clone()));
    assert_eq!(code, 0, "{complained}");
    // Not one that speaks for callers, or that only redirects, or without the endpoint.
    for (config, said) in [
        (own(asks(Config::new(&backend))).set("/listen/1/trusted_proxies", trusted), "listen[1].trusted_proxies"),
        (own(Config::new(&backend)), "listen[1].forward_auth"),
        (own(asks(Config::new(&backend))).set("/listen/1/redirect", json!("https://a.test")), "listen[1].redirect"),
    ] {
        let (code, _, complained) = checked(config);
        assert!(code == 1 && complained.contains(said), "{said}: {complained}");
    }
    // Nor one on which none of them may connect.
    for (allow, good) in [(json!(["192.0.2.0/24"]), 1), (json!(["127.0.0.1/32"]), 0), (json!(["0.0.0.0/0"]), 0)] {
        let (code, _, complained) = checked(asks(Config::new(&backend)).set("/listen/0/allow", allow));
        assert!(code == good && complained.contains("forward_auth.allow") == (good == 1), "{complained}");
    }
    for wide in ["0.0.0.0/0", "::/0", "203.0.0.0/16", "2001:db8::/32"] {
        let config = asks(Config::new(&backend)).set("/forward_auth/allow", json!(["127.0.0.1/32", wide]));
        let (code, _, complained) = checked(config);
        assert_eq!(code, 0, "{complained}");
        assert!(complained.contains("forward_auth.allow[1]") && complained.contains(wide), "{complained}");
    }
    let narrow = json!(["10.0.0.0/8", "192.0.2.7/32", "fd00::/8", "2001:db8::/64"]);
    let (code, _, complained) = checked(asks(Config::new(&backend)).set("/forward_auth/allow", narrow));
    assert_eq!((code, complained.as_str()), (0, ""));
}

#[test]
fn the_certificate_of_the_proxy_that_asks_is_not_taken_for_that_of_its_caller() {
    let (_backend, gateway, _) = asked_with(|c| {
        c.set("/listen/0/tls/client_ca", json!("certs/ca.pem"))
            .set("/listen/0/tls/client_certificate", json!("optional"))
            .set("/clients/0/certificate_bound_tokens", json!(true))
    });
    let pair = Caller::named("asapp").pair();
    let open = || Connection::with(gateway.address, tls(b"http/1.1", Some(&pair))).unwrap();
    let bound = gateway.token_request(CLIENT.name, CLIENT.secret).send_on(&mut open()).ok().json();
    let asked = |token: &str| question(gateway.address, "GET", "/system/x").bearer(token).send_on(&mut open());
    asked(bound["access_token"].as_str().unwrap()).expect(401, "401-14");
    asked(&gateway.token(OTHER_CLIENT)).ok();
}
