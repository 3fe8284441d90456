//! Several listeners: routes of each, redirect to https, plain HTTP, HSTS, audiences set apart.

use crate::harness::*;

/// The addresses of all listeners, in the order of the configuration.
fn addresses(gateway: &Gateway) -> Vec<std::net::SocketAddr> {
    let lines = gateway.stderr.all();
    let lines = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let ours = lines.filter(|line| line["message"] == "listening" && line["role"] == "gateway");
    ours.map(|line| line["address"].as_str().unwrap().parse().unwrap()).collect()
}

fn second(listener: Value) -> impl FnOnce(Config) -> Config {
    move |config| {
        let mut list = config.yaml["listen"].clone();
        list[0]["name"] = json!("public");
        let mut other = list[0].clone();
        for (key, value) in listener.as_object().unwrap() {
            other[key] = value.clone();
        }
        if listener["tls"].is_null() && listener.get("tls").is_some() {
            other.as_object_mut().unwrap().remove("tls");
        }
        list.as_array_mut().unwrap().push(other);
        config.set("/listen", list)
    }
}

#[test]
fn a_route_is_served_on_its_listeners_only() {
    let (backend, gateway) = world_with(|config| {
        second(json!({"name": "inside"}))(config)
            .route("system", "listen", json!(["inside"]))
            .route("public", "listen", json!(["public"]))
            .add_route(json!({"name": "same", "path": "/public/", "methods": ["GET"], "public": true, "backend": "legacy", "listen": ["inside"]}))
    });
    let [public, inside] = addresses(&gateway)[..] else { panic!("two listeners") };
    let get = |address, target: &str| Request::new(address, "GET", target).bearer(&gateway.client_token()).send();
    get(inside, "/system/x").ok();
    get(public, "/system/x").expect(404, "404-01");
    for (address, route) in [(public, "public"), (inside, "same")] {
        let answer = get(address, "/public/x").ok();
        assert_eq!(gateway.access_line(answer.header("X-Request-Id").unwrap())["route"], route);
    }
    assert_eq!(backend.requests().len(), 3);
}

#[test]
fn each_listener_has_its_own_bounds() {
    let (_backend, gateway) = world_with(second(json!({"name": "small", "limits": {"body": "1KiB"}})));
    let [public, small] = addresses(&gateway)[..] else { panic!("two listeners") };
    let post = |address| Request::new(address, "POST", "/public/x").body(vec![b'x'; 2000]).send().status;
    assert_eq!((post(public), post(small)), (200, 413));
}

pub(crate) fn redirecting() -> (Backend, Gateway, std::net::SocketAddr) {
    let listener = json!({"name": "plain", "tls": null, "redirect": "https://api.example.com:8443"});
    let (backend, gateway) = world_with(second(listener));
    let plain = addresses(&gateway)[1];
    (backend, gateway, plain)
}

#[test]
fn a_listener_that_redirects_sends_callers_to_the_same_target_by_https() {
    let (backend, _gateway, plain) = redirecting();
    let mut connection = Connection::plain(plain);
    for (method, target) in [("GET", "/public/x?a=1&b=%2f"), ("HEAD", "/"), ("GET", "/nowhere")] {
        let request = Request::new(plain, method, target).replace("Host", "evil.example");
        let answer = request.send_on(&mut connection).expect(308, "");
        assert_eq!(answer.header("Location"), Some(&*format!("https://api.example.com:8443{target}")));
    }
    backend.assert_untouched();
}

#[test]
fn a_credential_by_plain_http_is_refused_and_not_redirected() {
    let (backend, gateway, plain) = redirecting();
    let get = |name: &str, value: &str| Request::new(plain, "GET", "/me/x").header(name, value);
    let form = Request::new(plain, "POST", "/auth/customer_authenticate").form("username=alice&password=x");
    for request in [
        get("Authorization", &format!("Bearer {}", gateway.client_token())),
        get("customer-auth", "JWT x"),
        get("api-key", API_KEY),
        get("Cookie", "__Host-session=x"),
        form,
        Request::new(plain, "POST", "/public/x"),
        Request::new(plain, "OPTIONS", "/public/x"),
    ] {
        let answer = request.send_on(&mut Connection::plain(plain)).expect(403, "403-06");
        assert_eq!(answer.header("Location"), None);
    }
    backend.assert_untouched();
}

#[test]
fn every_credential_that_some_route_takes_is_refused_by_plain_http() {
    let listener = json!({"name": "plain", "tls": null, "redirect": "https://api.example.com:8443"});
    let (backend, gateway) = world_with(|config| {
        second(listener)(config).route("key", "api_key_header", json!("X-Partner-Key")).route(
            "me",
            "customer_token_sources",
            json!([{"header": {"name": "X-Session-Token"}}]),
        )
    });
    let plain = addresses(&gateway)[1];
    let get = |name: &str, value: &str| Request::new(plain, "GET", "/me/x").header(name, value);
    for request in [
        get("X-Partner-Key", API_KEY),
        get("x_partner_key", API_KEY),
        get("X-Session-Token", "x"),
        get("DPoP", "x"),
        get("Proxy-Authorization", "Basic x"),
        Request::new(plain, "GET", "/oauth/access_token?client_id=asapp&client_secret=x"),
        Request::new(plain, "GET", "/me/x?access_token=x"),
        Request::new(plain, "GET", "/me/x?%70assword=x"),
        Request::new(plain, "GET", "/me/x").body("token=x"),
        Request::new(plain, "GET", "/me/x").header("Transfer-Encoding", "chunked"),
    ] {
        let answer = request.send_on(&mut Connection::plain(plain));
        assert_eq!((answer.status, answer.header("Location")), (403, None), "{}", http1::latin1(&request.bytes()));
    }
    // What proxies and browsers add is none.
    for (name, value) in [("X-Forwarded-For", "192.0.2.1"), ("X-Request-Id", "x"), ("User-Agent", "x"), ("Origin", "x")]
    {
        get(name, value).send_on(&mut Connection::plain(plain)).expect(308, "");
    }
    backend.assert_untouched();
}

#[test]
fn browsers_are_told_to_stay_with_https_where_that_is_configured() {
    let (backend, gateway) = world_with(|config| config.set("/listen/0/tls/hsts", json!("365d")));
    let told = |answer: Response| answer.header("Strict-Transport-Security").map(str::to_owned);
    let year = Some("max-age=31536000".to_owned());
    assert_eq!(told(gateway.get("/public/x").send()), year);
    assert_eq!(told(gateway.get("/nowhere").send()), year);
    assert_eq!(told(gateway.login_request(ALICE.name, ALICE.secret).send()), year);
    let unparsed = gateway.connect().exchange(b"GET /public/x HTTP/1.1\r\nHost: local\0host\r\n\r\n").unwrap();
    assert_eq!((unparsed.status, unparsed.header("X-Content-Type-Options")), (400, Some("nosniff")));
    assert_eq!(told(unparsed), year, "also where the HTTP parser refuses it");
    backend.on("/public/own", Behaviour::reply(200, &[("Strict-Transport-Security", "max-age=1")], b""));
    assert_eq!(told(gateway.get("/public/own").send()).as_deref(), Some("max-age=1"), "the backend's own word counts");
    let (_backend, gateway) = world();
    assert_eq!(told(gateway.get("/public/x").send()), None);
}

#[test]
fn contradictions_between_listeners_are_told() {
    let backend = Backend::start();
    let listener = json!({"name": "public", "redirect": "http://api.example.com/x"});
    let config = second(listener)(Config::new(&backend)).route("public", "listen", json!(["publik"]));
    let (code, _, said) = gateway::Workspace::new(&config).run(&["check"]);
    assert_eq!(code, 1);
    for part in [
        "the listener name `public` is already used",
        "callers are only ever sent to https",
        "a listener that redirects has no `tls`",
        "did you mean `public`?",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

/// A listener for tests of others beside the one for customers; each has the same routes.
fn sandbox(config: Config) -> Config {
    let mut config = second(json!({"name": "sandbox", "audience": "legacy-sandbox"}))(config);
    let mut routes = config.yaml["routes"].as_array().unwrap().clone();
    for route in &mut routes {
        route["listen"] = json!(["public"]);
    }
    let of_sandbox = |route: &Value| {
        let mut route = route.clone();
        route["name"] = json!(format!("sandbox-{}", route["name"].as_str().unwrap()));
        route["listen"] = json!(["sandbox"]);
        route
    };
    let more: Vec<Value> = routes.iter().filter(|route| route["name"] != "key").map(of_sandbox).collect();
    routes.extend(more);
    for key in config.yaml["api_keys"].as_array_mut().unwrap() {
        key["routes"].as_array_mut().unwrap().push(json!("sandbox-profile"));
    }
    config.set("/routes", json!(routes))
}

#[test]
fn tokens_of_the_sandbox_are_refused_in_production_and_the_other_way_round() {
    let (backend, gateway) = world_with(sandbox);
    let [production, sandbox] = addresses(&gateway)[..] else { panic!("two listeners") };
    let at = |address, request: Request| Request { address, ..request };
    let tokens = [production, sandbox].map(|address| {
        let login = at(address, gateway.login_request(ALICE.name, ALICE.secret)).send().ok().json();
        let token = at(address, gateway.token_request(CLIENT.name, CLIENT.secret)).send().ok().json();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        (text(&token["access_token"]), text(&login["JWT"]))
    });
    let call = |address, client: &str, customer: &str| {
        let request = Request::new(address, "POST", "/account/getprofile");
        request.bearer(client).customer(customer).api_key(API_KEY).send()
    };
    let [(client, customer), (their_client, their_customer)] = &tokens;
    // Twice: what was verified before is not good everywhere either.
    for _ in 0..2 {
        call(production, client, customer).ok();
        call(sandbox, their_client, their_customer).ok();
        call(production, their_client, customer).expect(401, "401-11");
        call(production, client, their_customer).expect(401, "401-03");
        call(sandbox, client, their_customer).expect(401, "401-11");
        call(sandbox, their_client, customer).expect(401, "401-03");
    }
    assert_eq!(backend.requests().len(), 4);
    let asked = at(production, gateway.token_request(CLIENT.name, CLIENT.secret));
    let resource = Request { target: format!("{}&resource=legacy-sandbox", asked.target), ..asked };
    assert_eq!(resource.send().status, 400, "the sandbox's tokens are had in the sandbox only");
}

#[test]
fn a_token_of_one_audience_ends_nothing_where_another_is_wanted() {
    let (_backend, gateway) = world_with(sandbox);
    let [production, sandbox] = addresses(&gateway)[..] else { panic!("two listeners") };
    let at = |address, request: Request| Request { address, ..request };
    let log_in = |address| {
        let answer = at(address, gateway.login_request(ALICE.name, ALICE.secret)).send().ok();
        answer.json()["JWT"].as_str().unwrap().to_owned()
    };
    let call = |address, token: &str| Request::new(address, "GET", "/me/x").customer(token).send().status;
    let logout = |address, token: &str, form: &str| {
        Request::new(address, "POST", "/auth/logout").customer(token).form(form).send()
    };
    for (here, there) in [(production, sandbox), (sandbox, production)] {
        let (mine, another, theirs) = (log_in(here), log_in(here), log_in(there));
        for form in ["", "everywhere=true"] {
            let answer = logout(here, &theirs, form).expect(401, "401-03");
            let line = gateway.access_line(answer.header("X-Request-Id").unwrap());
            assert_eq!(line["refusal"], "customer_token_audience");
        }
        assert_eq!((call(here, &mine), call(there, &theirs)), (200, 200));
        logout(here, &mine, "everywhere=true").expect(204, "");
        // What has this audience ends, and nothing else.
        assert_eq!((call(here, &mine), call(here, &another), call(there, &theirs)), (401, 401, 200));
        // A login in the same second is new.
        assert_eq!(call(here, &log_in(here)), 200);
    }
}

#[test]
fn an_operator_ends_all_logins_of_a_customer_whomever_they_are_for() {
    let (_backend, gateway) = world_with(sandbox);
    let config = gateway.files.config();
    let tokens: Vec<_> = addresses(&gateway)
        .into_iter()
        .map(|address| {
            let answer = Request { address, ..gateway.login_request(ALICE.name, ALICE.secret) }.send().ok();
            (address, answer.json()["JWT"].as_str().unwrap().to_owned())
        })
        .collect();
    let customer = crate::harness::keys::decode(&tokens[0].1).1["sub"].as_str().unwrap().to_owned();
    let (code, _, err) = gateway.files.run(&["revoke", "customer", &customer, "--config", config.to_str().unwrap()]);
    assert_eq!(code, 0, "{err}");
    for (address, token) in &tokens {
        Request::new(*address, "GET", "/me/x").customer(token).send().expect(401, "401-03");
    }
}

#[test]
fn a_client_is_told_of_tokens_and_revokes_them_where_they_are_good() {
    let (_backend, gateway) = world_with(sandbox);
    let [production, sandbox] = addresses(&gateway)[..] else { panic!("two listeners") };
    let about = |address, path: &str, token: &str| {
        let form = format!("client_id={}&client_secret={}&token={token}", CLIENT.name, CLIENT.secret);
        Request::new(address, "POST", path).form(&form).send().ok().json()
    };
    for (here, there) in [(production, sandbox), (sandbox, production)] {
        let login = Request { address: here, ..gateway.login_request(ALICE.name, ALICE.secret) }.send().ok().json();
        let access = Request { address: here, ..gateway.token_request(CLIENT.name, CLIENT.secret) }.send().ok().json();
        for token in [login["JWT"].as_str().unwrap(), access["access_token"].as_str().unwrap()] {
            about(there, "/oauth/revoke", token);
            assert_eq!(about(there, "/oauth/introspect", token), json!({"active": false}));
            assert_eq!(about(here, "/oauth/introspect", token)["active"], true);
            about(here, "/oauth/revoke", token);
            assert_eq!(about(here, "/oauth/introspect", token), json!({"active": false}));
        }
    }
}

#[test]
fn check_refuses_cookies_and_shared_routes_beside_a_listener_with_its_own_audience() {
    let backend = Backend::start();
    let said = |config: Config| {
        let (code, _, said) = gateway::Workspace::new(&config).run(&["check"]);
        assert_eq!(code, 1, "{said}");
        said
    };
    let cookies = said(sandbox(Config::new(&backend)).cookies("both"));
    assert!(cookies.contains("a session cookie and a refresh token know no audience"), "{cookies}");
    let everywhere = said(sandbox(Config::new(&backend)).without("/routes/0/listen"));
    assert!(everywhere.contains("tokens of one would be good on the other"), "{everywhere}");
    let same = said(sandbox(Config::new(&backend)).set("/listen/1/audience", json!("legacy-api")));
    assert!(same.contains("write another one than issuer.audience"), "{same}");
}

#[test]
fn plain_http_is_taken_from_load_balancers_alone_and_of_what_came_to_them_by_https() {
    let (backend, gateway) = world_with(|c| {
        c.set(
            "/listen",
            json!([{
                "address": "0.0.0.0:0", "plain_http_from": ["127.0.0.9/32"], "trusted_proxies": ["127.0.0.9/32"],
            }]),
        )
    });
    let address = std::net::SocketAddr::from(([127, 0, 0, 1], gateway.address.port()));
    let by = |source: &str, scheme: Option<&str>| {
        let request = Request::new(address, "GET", "/public/x").header("X-Forwarded-For", "203.0.113.9");
        let request = scheme.map_or(request.clone(), |scheme| request.header("X-Forwarded-Proto", scheme));
        request.send_on(&mut Connection::plain_from(source, address))
    };
    by("127.0.0.9", Some("https")).ok();
    assert_eq!(backend.only().header("X-Forwarded-For"), Some("203.0.113.9, 127.0.0.9"));
    backend.forget();
    for scheme in [None, Some("http"), Some("https, http"), Some("wss")] {
        by("127.0.0.9", scheme).expect(403, "403-06");
    }
    // Nobody else, whatever he says.
    assert!(Connection::plain_from("127.0.0.8", address).closes());
    backend.assert_untouched();
    gateway.expect_metric("wicketgate_connections_closed_total", &[("reason", "plain_http")], 1.0);
}

#[test]
fn check_takes_plain_http_beyond_loopback_only_from_networks_that_are_named() {
    let backend = Backend::start();
    let check =
        |listen: Value| gateway::Workspace::new(&Config::new(&backend).set("/listen", json!([listen]))).run(&["check"]);
    let balanced = |from: &str, more: Value| {
        let mut listen = json!({"address": "0.0.0.0:0", "plain_http_from": [from]});
        listen.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        listen
    };
    let trusted = json!({"trusted_proxies": ["10.0.2.0/24"]});
    for good in [balanced("10.0.2.0/24", trusted.clone()), balanced("10.0.2.0/24", json!({"require_https": false}))] {
        assert_eq!(check(good.clone()).0, 0, "{good}: {}", check(good.clone()).2);
    }
    for (wrong, place) in [
        (json!({"address": "0.0.0.0:0"}), "listen[0].address"),
        (balanced("0.0.0.0/0", trusted), "listen[0].plain_http_from[0]"),
        (balanced("10.0.2.0/24", json!({})), "listen[0].require_https"),
        (balanced("10.0.2.0/24", json!({"redirect": "https://a.test"})), "listen[0].plain_http_from"),
        (json!({"address": "127.0.0.1:0", "require_https": false}), "listen[0].require_https"),
    ] {
        let (code, _, complained) = check(wrong.clone());
        assert!(code == 1 && complained.contains(place), "{wrong}: {complained}");
    }
}

#[test]
fn callers_from_other_addresses_are_403() {
    let (backend, gateway) = world_with(|c| c.set("/listen/0/allow", json!(["203.0.113.0/24"])));
    gateway.get("/public/x").send().expect(403, "403-04");
    gateway.get("/public/x").header("X-Forwarded-For", "203.0.113.5").send().expect(403, "403-04");
    backend.assert_untouched();
    let (_backend, gateway) = world_with(|c| c.set("/listen/0/allow", json!(["127.0.0.0/8"])));
    gateway.get("/public/x").send().ok();
}
