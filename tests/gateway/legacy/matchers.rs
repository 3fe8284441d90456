//! `routes[].headers`, `queries`, `path: {regex}`.

use crate::forward_auth::decisions::{asked_with, plainly, question};
use crate::harness::workspace::Workspace;
use crate::harness::*;
use crate::websocket::tunnel::{backend, handshake, open};

/// A route of /orders/ to a backend.
fn route(name: &str, backend: &str, more: Value) -> Value {
    let mut route =
        json!({"name": name, "path": "/orders/", "methods": ["GET", "POST"], "public": true, "backend": backend});
    route.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    route
}

/// Two versions of /orders/ by header, each at its own backend, and the one for all others.
fn versions(config: Config, new: &Backend) -> Config {
    config
        .set("/backends/new", json!({"servers": [new.url()]}))
        .add_route(route("orders", "legacy", json!({})))
        .add_route(route("orders-2", "new", json!({"headers": [{"name": "X-Api-Version", "equals": "2"}]})))
        .add_route(route(
            "orders-beta",
            "new",
            json!({"queries": [{"name": "beta", "present": true}], "require": ["customer"],
            "public": false, "identifier": {"header": "X-Customer-Id"}}),
        ))
}

fn world_of_versions() -> (Backend, Backend, Gateway) {
    let new = Backend::start();
    let (old, gateway) = world_with(|config| versions(config, &new));
    (old, new, gateway)
}

/// The route of an answer.
#[track_caller]
fn route_of(gateway: &Gateway, answer: &Response) -> String {
    gateway.access_line(answer.header("X-Request-Id").unwrap())["route"].as_str().unwrap().to_owned()
}

#[test]
fn a_header_or_a_query_parameter_chooses_among_routes_of_one_path() {
    let (old, new, gateway) = world_of_versions();
    for (target, version, route) in [
        ("/orders/1", None, "orders"),
        ("/orders/1", Some("1"), "orders"),
        ("/orders/1", Some("2"), "orders-2"),
        ("/orders/1", Some("2.0"), "orders"),
        // In the order of the file, and one without conditions last, though it is the first.
        ("/orders/1?beta=yes", Some("2"), "orders-2"),
    ] {
        let request = gateway.get(target);
        let request = version.into_iter().fold(request, |request, version| request.header("X-Api-Version", version));
        let answer = request.send().ok();
        assert_eq!(route_of(&gateway, &answer), route, "{target} {version:?}");
        let asked = if route == "orders" { &old } else { &new };
        assert_eq!(asked.only().header("X-Api-Version"), version);
        old.forget();
        new.forget();
    }
    gateway.get("/orders/1?beta=yes").send().expect(401, "401-10");
    gateway.get("/orders/1?beta=yes").customer(&gateway.customer_token()).send().ok();
    assert!(new.only().header("X-Customer-Id").is_some());
}

#[test]
fn a_header_that_chooses_the_route_has_one_reading() {
    let (old, new, gateway) = world_of_versions();
    let refused = |lines: &[(&str, &str)]| {
        let request = lines.iter().fold(gateway.get("/orders/1"), |request, (name, value)| request.header(name, value));
        let answer = request.send().expect(400, "400-01");
        let line = gateway.access_line(answer.header("X-Request-Id").unwrap());
        assert_eq!(line["refusal"], "ambiguous_route", "{lines:?}");
    };
    for spelling in ["X_Api_Version", "X-Api_Version", "x.api.version", "X-Api%2dVersion"] {
        refused(&[(spelling, "2")]);
        refused(&[("X-Api-Version", "1"), (spelling, "2")]);
    }
    refused(&[("X-Api-Version", "2"), ("X-Api-Version", "1")]);
    refused(&[("X-Api-Version", "2"), ("x-api-version", "2")]);
    refused(&[("X-Api-Version", "")]);
    // It would end here, and the backend would see none.
    refused(&[("X-Api-Version", "2"), ("Connection", "x-api-version")]);
    old.assert_untouched();
    new.assert_untouched();
    // Where nothing is chosen by it, it is a header like any other.
    gateway.get("/public/x").header("X_Api_Version", "1").header("X-Api-Version", "2").send().ok();
}

#[test]
fn a_query_parameter_that_chooses_the_route_has_one_reading() {
    let (old, new, gateway) = world_of_versions();
    for query in
        ["beta=1&beta=2", "Beta=1", "beta[]=1", "%62eta=1", "a=1;beta=1", "beta", "beta=", "beta=%u0031", "beta=%2531"]
    {
        let answer = gateway.get(&format!("/orders/1?{query}")).customer(&gateway.customer_token()).send();
        let line = gateway.access_line(answer.expect(400, "400-01").header("X-Request-Id").unwrap());
        assert_eq!(line["refusal"], "ambiguous_route", "{query}");
    }
    old.assert_untouched();
    new.assert_untouched();
    gateway.get("/orders/1?a=Beta&betas=1").send().ok();
    assert_eq!(old.only().target, "/orders/1?a=Beta&betas=1");
    gateway.get("/public/x?beta=1&Beta=2").send().ok();
}

#[test]
fn a_request_for_which_no_condition_holds_is_404_and_does_not_fall_back_to_a_shorter_prefix() {
    let (backend, gateway) = world_with(|config| {
        let narrow = json!({"path": "/public/orders/", "headers": [{"name": "X-Api-Version", "regex": "[23]"}]});
        config.add_route(route("narrow", "legacy", narrow))
    });
    gateway.get("/public/orders/1").send().expect(404, "404-01");
    gateway.get("/public/orders/1").header("X-Api-Version", "23").send().expect(404, "404-01");
    backend.assert_untouched();
    gateway.get("/public/orders/1").header("X-Api-Version", "3").send().ok();
    gateway.request("PUT", "/public/orders/1").header("X-Api-Version", "3").send().expect(405, "405-01");
    gateway.get("/public/order").send().ok();
}

#[test]
fn a_slash_less_does_not_lead_around_the_conditions_of_a_route() {
    let (backend, gateway) = world_with(|config| {
        let closed = json!({"path": "/public/admin/", "require": ["customer"], "public": false,
            "headers": [{"name": "X-Api-Version", "equals": "2"}]});
        config.add_route(route("closed", "legacy", closed))
    });
    let two = |target: &str| gateway.get(target).header("X-Api-Version", "2");
    two("/public/admin/").send().expect(401, "401-10");
    two("/public/admin").send().expect(401, "401-10");
    gateway.get("/public/admin").send().expect(404, "404-01");
    backend.assert_untouched();
}

#[test]
fn a_preflight_is_answered_by_the_rules_that_all_routes_of_its_path_have() {
    let cors = json!({"origins": ["https://www.example.com"], "headers": ["X-Api-Version"]});
    let (backend, gateway) = world_with(|config| {
        let version = json!({"cors": cors, "headers": [{"name": "X-Api-Version", "equals": "2"}]});
        config
            .add_route(route("orders", "legacy", json!({"cors": cors})))
            .add_route(route("orders-2", "legacy", version))
    });
    let preflight = |origin: &str| {
        let request = gateway.request("OPTIONS", "/orders/1").header("Origin", origin);
        let request = request.header("Access-Control-Request-Method", "POST");
        request.header("Access-Control-Request-Headers", "x-api-version").send()
    };
    let answer = preflight("https://www.example.com").expect(204, "");
    assert_eq!(answer.header("Access-Control-Allow-Origin"), Some("https://www.example.com"));
    assert_eq!(preflight("https://evil.example").header("Access-Control-Allow-Origin"), None);
    backend.assert_untouched();
    let call = gateway.post("/orders/1").header("Origin", "https://www.example.com").header("X-Api-Version", "2");
    let answer = call.send().ok();
    assert_eq!(answer.header("Access-Control-Allow-Origin"), Some("https://www.example.com"));
    assert_eq!(route_of(&gateway, &answer), "orders-2");
}

#[test]
fn a_question_of_another_proxy_is_about_the_route_that_the_request_chooses() {
    let (_, _gateway, plain) = asked_with(|config| versions(config, &Backend::start()));
    let ask = |uri: &str| question(plain, "GET", uri);
    plainly(&ask("/orders/1")).ok();
    plainly(&ask("/orders/1").header("X-Api-Version", "2")).ok();
    plainly(&ask("/orders/1?beta=1")).expect(401, "401-10");
    plainly(&ask("/orders/1").header("X_Api_Version", "2")).expect(400, "400-01");
}

#[test]
fn all_readings_of_an_ambiguous_path_lead_to_the_chosen_route() {
    let (backend, gateway) = world_with(|config| {
        let two = json!({"headers": [{"name": "X-Api-Version", "equals": "2"}], "allow_in_path": ["encoded_slash"]});
        config.add_route(route("orders", "legacy", json!({}))).add_route(route("orders-2", "legacy", two))
    });
    gateway.get("/orders/a%2Fb").header("X-Api-Version", "2").send().ok();
    assert_eq!(backend.only().target, "/orders/a%2Fb");
    gateway.get("/orders/a%2Fb").send().expect(400, "400-01");
    gateway.get("/orders%2Fb").header("X-Api-Version", "2").send().expect(404, "404-01");
}

#[test]
fn a_websocket_stays_with_the_route_by_which_it_was_opened() {
    let (address, backend) = backend();
    let config = |methods: Value, deny: Value| {
        let two = json!({"methods": methods, "websocket": true, "deny": deny, "limits": {"recheck": "100ms"},
            "headers": [{"name": "X-Api-Version", "equals": "2"}]});
        let one = json!({"websocket": true, "limits": {"recheck": "100ms"}});
        let config = Config::with_server(&format!("http://{address}"));
        config.add_route(route("orders", "legacy", one)).add_route(route("orders-2", "legacy", two))
    };
    let gateway = Gateway::start(&config(json!(["GET"]), json!([])));
    let request = |version: &str, id: &str| {
        gateway.get("/orders/live").header("X-Api-Version", version).header("X-Request-Id", id)
    };
    let (mut first, mut one) = open(&gateway, &backend, request("1", "first"));
    let (mut second, mut two) = open(&gateway, &backend, request("2", "second"));
    // A reload that changes nothing for it.
    gateway.reload(&config(json!(["GET", "PUT"]), json!([])), "reloaded");
    second.send(b"x");
    assert_eq!(two.stream.exact(1).unwrap(), b"x");
    gateway.reload(&config(json!(["GET"]), json!(["127.0.0.0/8"])), "reloaded");
    assert!(second.closes());
    assert_eq!(gateway.access_line("second")["refusal"], "address_not_allowed");
    handshake(request("2", "third")).send().expect(403, "403-04");
    first.send(b"x");
    assert_eq!(one.stream.exact(1).unwrap(), b"x", "the other one goes on");
}

#[test]
fn an_expression_matches_whole_paths_as_they_are_decoded() {
    let (backend, gateway) = world_with(|config| {
        let versioned = json!({"path": {"regex": "/v[0-9]+/orders/[^/]+"}, "require": ["customer"], "public": false});
        let all = json!({"path": "/"});
        config.add_route(route("versioned", "legacy", versioned)).add_route(route("all", "legacy", all))
    });
    for path in ["/v1/orders/7", "/v12/orders/7", "/%76%31/orders/7", "/v1/orders/7%C3%A9"] {
        gateway.get(path).send().expect(401, "401-10");
        gateway.get(path).customer(&gateway.customer_token()).send().ok();
    }
    // One slash more is the same page to many servers.
    gateway.get("/v1/orders/7/").send().expect(401, "401-10");
    gateway.request("PUT", "/v1/orders/7").send().expect(405, "405-01");
    backend.forget();
    for path in ["/v1/orders", "/v1/orders/", "/v1/orders/7/lines", "/V1/orders/7", "/x/v1/orders/7"] {
        let answer = gateway.get(path).send().ok();
        assert_eq!(route_of(&gateway, &answer), "all", "{path}");
    }
    assert_eq!(backend.requests().len(), 5);
}

#[test]
fn an_expression_ignores_letter_case_where_its_backend_does() {
    let (backend, gateway) = world_with(|config| {
        let versioned = json!({"path": {"regex": "/v[0-9]+/orders"}, "require": ["customer"], "public": false});
        config
            .set("/backends/legacy/ignores_case", json!(true))
            .add_route(route("versioned", "legacy", versioned))
            .add_route(route("all", "legacy", json!({"path": "/"})))
    });
    for path in ["/v1/orders", "/V1/ORDERS", "/v1/Orders/", "/v1/%4Frders"] {
        gateway.get(path).send().expect(401, "401-10");
    }
    backend.assert_untouched();
    gateway.get("/V1/Customers").send().ok();
}

#[test]
fn check_names_a_path_that_two_expressions_match() {
    let backend = Backend::start();
    let config = Config::new(&backend)
        .add_route(route("one", "legacy", json!({"path": {"regex": "/v[0-9]+/orders"}})))
        .add_route(route("two", "legacy", json!({"path": {"regex": "/v1/[a-z]+"}})));
    let (code, said, fault) = Workspace::new(&config).run(&["check", "--config", "gateway.yaml"]);
    assert_eq!(code, 1, "{said}{fault}");
    assert!(fault.contains("/v1/orders is a path of this route and of that on line"), "{said}{fault}");
}
