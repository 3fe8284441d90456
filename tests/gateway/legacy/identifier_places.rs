//! Identifier in a form, the query, the path.

use crate::harness::keys::{TokenKey, decode, now};
use crate::harness::*;

const FORM: &str = "application/x-www-form-urlencoded";

/// A route of customers, with the identifier there.
fn place(config: Config, identifier: Value) -> Config {
    config.route("me", "identifier", identifier)
}

fn own_of(token: &str) -> String {
    decode(token).1["sub"].as_str().unwrap().to_owned()
}

/// A gateway with the identifier there, Alice's token and her identifier.
fn alice_at(identifier: Value) -> (Backend, Gateway, String, String) {
    let (backend, gateway) = world_with(|config| place(config, identifier));
    let token = gateway.customer_token();
    let own = own_of(&token);
    (backend, gateway, token, own)
}

/// Names that PHP, ASP.NET, Rack, qs, Perl or Java take for `customer_id`.
const SPELLINGS: [&str; 26] = [
    "cust%omer_id",
    "customer%_id",
    "customer_id%zz",
    "customer_id%6",
    "Customer_ID",
    "customer.id",
    "customer+id",
    "customer%20id",
    "customer[id",
    "customer%5bid",
    "customer-id",
    "customer_id[]",
    "customer_id%5B%5D",
    "customer_id[x]",
    "customer_id.x",
    "+customer_id",
    "%20customer_id",
    "[customer_id]",
    "customer_id%00",
    "%2563ustomer_id",
    "%u0063ustomer_id",
    "cu%C5%BFtomer_id",
    "%C1%A3ustomer_id",
    "a;customer_id",
    "a=1;customer_id",
    "a=1;Customer.Id",
];

#[test]
fn the_identifier_takes_the_place_of_each_of_that_name_in_a_form() {
    let (backend, gateway, token, own) = alice_at(json!({"form": "customer_id"}));
    let send = |body: &str| gateway.post("/me/x?a=1").customer(&token).form(body).send();
    for (body, expected) in [
        ("", format!("customer_id={own}")),
        ("amount=1", format!("customer_id={own}&amount=1")),
        (&format!("a=b+c&customer_id={own}&amount=%e9&&x"), format!("customer_id={own}&a=b+c&amount=%e9&&x")),
        (&format!("%63ustomer_id={own}&b&customer_id={own}"), format!("customer_id={own}&b")),
    ] {
        send(body).ok();
        let seen = backend.last();
        assert_eq!(String::from_utf8_lossy(&seen.body), expected);
        assert_eq!((seen.header("Content-Type"), seen.target.as_str()), (Some(FORM), "/me/x?a=1"));
        assert_eq!(seen.header("Content-Length"), Some(expected.len().to_string().as_str()));
        assert!(seen.all("X-Customer-Id").is_empty());
    }
    gateway.get("/me/x").customer(&token).send().ok();
    assert_eq!(backend.last().body, format!("customer_id={own}").into_bytes());
}

#[test]
fn a_form_names_no_other_customer_in_no_spelling_and_neither_does_the_query() {
    let (backend, gateway, token, own) = alice_at(json!({"form": "customer_id"}));
    let post = |target: &str, body: &str| gateway.post(target).customer(&token).form(body).send();
    let other = own_of(&gateway.login(BOB));
    for wrong in [other.as_str(), "", "x", ALICE.subject, &format!("{own};x"), &format!("{own}%00")] {
        post("/me/x", &format!("customer_id={wrong}")).expect(403, "403-03");
        post("/me/x", &format!("customer_id={own}&customer_id={wrong}")).expect(403, "403-03");
    }
    post("/me/x", "customer_id").expect(403, "403-03");
    for spelling in SPELLINGS {
        for value in [own.as_str(), &other] {
            post("/me/x", &format!("{spelling}={value}")).expect(400, "400-04");
            post("/me/x", &format!("customer_id={own}&{spelling}={value}&b=1")).expect(400, "400-04");
            post(&format!("/me/x?{spelling}={value}"), "a=1").expect(400, "400-04");
        }
    }
    post(&format!("/me/x?customer_id={own}"), "a=1").expect(400, "400-04");
    backend.assert_untouched();
    post("/me/x?customer=1&id=2", "customer=1&id=2&x[customer_id]=3").ok();
}

#[test]
fn a_body_that_is_no_form_in_utf_8_is_415() {
    let (backend, gateway, token, _) = alice_at(json!({"form": "customer_id"}));
    let post = gateway.post("/me/x").customer(&token);
    for kind in [
        "application/json",
        "multipart/form-data; boundary=x",
        "text/plain",
        "application/x-www-form-urlencoded; charset=utf-16",
        "application/x-www-form-urlencoded; charset=ibm037",
    ] {
        post.clone().header("Content-Type", kind).body("a=1").send().expect(415, "415-01");
    }
    post.clone().body("a=1").send().expect(415, "415-01");
    post.clone().form("a=1").header("Content-Encoding", "gzip").send().expect(415, "415-01");
    backend.assert_untouched();
    post.header("Content-Type", "Application/X-WWW-Form-URLEncoded; charset=UTF-8").body("a=1").send().ok();
}

#[test]
fn the_identifier_takes_the_place_of_each_of_that_name_in_the_query() {
    let (backend, gateway, token, own) = alice_at(json!({"query": "customer_id"}));
    for (target, expected) in [
        ("/me/x", format!("/me/x?customer_id={own}")),
        ("/me/x?", format!("/me/x?customer_id={own}")),
        ("/me/x?a=b%20c&&d=%e9", format!("/me/x?customer_id={own}&a=b%20c&&d=%e9")),
        (&format!("/me/x?a&%63ustomer_id={own}&customer_id={own}"), format!("/me/x?customer_id={own}&a")),
    ] {
        gateway.get(target).customer(&token).send().ok();
        assert_eq!(backend.last().target, expected);
        assert!(backend.last().all("X-Customer-Id").is_empty());
    }
    for (kind, body) in
        [("text/xml; charset=iso-8859-1", "<a/>"), ("application/json", "[{\"customer_id\":1}]"), (FORM, "a=1&b=%e9")]
    {
        gateway.post("/me/x?a=1").customer(&token).header("Content-Type", kind).body(body).send().ok();
        let seen = backend.last();
        assert_eq!((String::from_utf8_lossy(&seen.body), seen.header("Content-Type")), (body.into(), Some(kind)));
        assert_eq!(seen.target, format!("/me/x?customer_id={own}&a=1"));
    }
}

#[test]
fn a_query_names_no_other_customer_in_no_spelling_and_neither_do_bodies_that_are_merged_with_it() {
    let (backend, gateway, token, own) = alice_at(json!({"query": "customer_id"}));
    let other = own_of(&gateway.login(BOB));
    let get = |query: &str| gateway.get(&format!("/me/x?{query}")).customer(&token).send();
    for wrong in [other.as_str(), "", "x", ALICE.subject] {
        get(&format!("customer_id={wrong}")).expect(403, "403-03");
        get(&format!("customer_id={own}&customer_id={wrong}")).expect(403, "403-03");
    }
    let post =
        |kind: &str, body: &str| gateway.post("/me/x").customer(&token).header("Content-Type", kind).body(body).send();
    for spelling in SPELLINGS {
        get(&format!("{spelling}={own}")).expect(400, "400-04");
        post(FORM, &format!("{spelling}={own}")).expect(400, "400-04");
    }
    get(&format!("?customer_id={own}")).expect(400, "400-04");
    post(FORM, &format!("customer_id={own}")).expect(400, "400-04");
    for name in ["customer_id", "Customer_Id"] {
        for kind in ["application/json", "text/json", "text/x-json", "application/jsonrequest", "application/x-json"] {
            post(kind, &json!({name: own}).to_string()).expect(400, "400-04");
        }
    }
    post("application/json", "{").expect(400, "400-03");
    post("multipart/form-data; boundary=x", "--x--").expect(415, "415-01");
    post(&format!("{FORM}; charset=utf-16"), "a=1").expect(415, "415-01");
    gateway.post("/me/x").customer(&token).body("customer_id=x").send().expect(415, "415-01");
    backend.assert_untouched();
}

#[test]
fn cookies_that_php_would_take_for_the_parameter_do_not_reach_the_backend() {
    for identifier in [json!({"query": "customer_id"}), json!({"form": "customer_id"})] {
        let (backend, gateway, token, _) = alice_at(identifier);
        let request = gateway.get("/me/x").customer(&token);
        let cookies = "a=1; customer_id=x; customer.id[y]=z; c=3 customer_id=x; d=4, Customer_Id=x; b=2";
        request.header("Cookie", cookies).send().ok();
        assert_eq!(backend.last().header("Cookie"), Some("a=1; b=2"));
    }
}

#[test]
fn connection_cannot_take_away_the_type_by_which_a_body_was_judged() {
    let (backend, gateway, token, _) = alice_at(json!({"query": "customer_id"}));
    for (kind, encoding) in [("text/plain", "identity"), ("text/xml; charset=utf-8", "x-own")] {
        let post =
            gateway.post("/me/x").customer(&token).header("Content-Type", kind).header("Content-Encoding", encoding);
        post.header("Connection", "content-type, Content-Encoding, x-other").body("customer_id=EVIL").send().ok();
        assert_eq!(backend.last().header("Content-Type"), Some(kind));
        assert_eq!(backend.last().header("Content-Encoding"), Some(encoding));
    }
}

/// Everything below /profile goes to the customer's own.
fn profile(config: Config) -> Config {
    config.add_route(json!({
        "name": "path", "path": "/profile", "methods": ["GET", "POST"], "require": ["customer"], "backend": "legacy",
        "identifier": {"path": "customer"}, "rewrite": {"target": "/v1/customers/{customer}/profile{rest}"},
    }))
}

/// The same for paths that name the customer.
fn customers(config: Config) -> Config {
    config.add_route(json!({
        "name": "named", "path": "/customers/", "methods": ["GET"], "require": ["customer"], "backend": "legacy",
        "identifier": {"path": "customer"},
        "rewrite": {"from": "/customers/{customer}/orders{rest}", "target": "/v1/orders/{customer}{rest}"},
    }))
}

#[test]
fn the_identifier_stands_in_the_path() {
    let (backend, gateway) = world_with(|config| {
        profile(config).add_route(json!({
            "name": "exact", "path": {"exact": "/one"}, "methods": ["GET"], "require": ["customer"], "backend": "legacy",
            "identifier": {"path": "id"}, "rewrite": {"target": "/c/{id}"},
        }))
    });
    let token = gateway.customer_token();
    let own = own_of(&token);
    for (target, expected) in [
        ("/profile", format!("/v1/customers/{own}/profile")),
        ("/profile?a=%20b", format!("/v1/customers/{own}/profile?a=%20b")),
        ("/profile/", format!("/v1/customers/{own}/profile/")),
        ("/profile/a/b%2bc?d", format!("/v1/customers/{own}/profile/a/b%2Bc?d")),
        ("/one", format!("/c/{own}")),
    ] {
        gateway.get(target).customer(&token).send().ok();
        assert_eq!(backend.last().target, expected);
        assert!(backend.last().all("X-Customer-Id").is_empty());
    }
    backend.forget();
    gateway.get("/profiles").customer(&token).send().expect(404, "404-01");
    for target in ["/profile/../x", "/profile//x", "/profile/%2e%2e/x", "/profile/..%2fx"] {
        gateway.get(target).customer(&token).send().expect(400, "400-01");
    }
    gateway.get("/profile").send().expect(401, "401-10");
    backend.assert_untouched();
}

#[test]
fn a_path_that_names_the_customer_must_name_that_of_the_token() {
    let (backend, gateway) = world_with(customers);
    let token = gateway.customer_token();
    let (own, other) = (own_of(&token), own_of(&gateway.login(BOB)));
    let get = |path: &str| gateway.get(path).customer(&token).send();
    for wrong in [other.as_str(), "x", ALICE.subject, &own.to_uppercase(), "%C3%A9"] {
        get(&format!("/customers/{wrong}/orders/7")).expect(403, "403-03");
    }
    for path in ["/customers/", "/customers/x", "/customers/x/", "/customers/x/other"] {
        get(path).expect(404, "404-01");
    }
    get(&format!("/customers/{own}%2f{other}/orders")).expect(400, "400-01");
    backend.assert_untouched();
    get(&format!("/customers/{own}/orders/7?q")).ok();
    assert_eq!(backend.last().target, format!("/v1/orders/{own}/7?q"));
    get(&format!("/customers/{own}/orders")).ok();
    assert_eq!(backend.last().target, format!("/v1/orders/{own}"));
}

#[test]
fn a_subject_of_any_letters_is_one_value_at_each_place() {
    let partner = TokenKey::generate();
    let (backend, gateway) = world_with(|config| {
        let subject = |place: &str, name: &str| json!({place: name, "send": "subject"});
        let route = |name: &str, identifier: Value| {
            json!({"name": name, "path": format!("/{name}"), "methods": ["POST"], "require": ["customer"],
                   "backend": "legacy", "identifier": identifier})
        };
        let mut path = route("p", subject("path", "customer"));
        path["rewrite"] = json!({"target": "/c/{customer}{rest}"});
        config
            .trust("https://login.example.com", &partner)
            .add_route(route("f", subject("form", "customer_id")))
            .add_route(route("q", subject("query", "customer_id")))
            .add_route(path)
    });
    let token = |subject: &str| {
        let claims = json!({"iss": "https://login.example.com", "aud": "legacy-api", "sub": subject, "iat": now(), "exp": now() + 600});
        partner.sign(&json!({"alg": "ES256", "typ": "JWT", "kid": "partner-1"}), &claims)
    };
    let send = |path: &str, subject: &str| gateway.post(path).customer(&token(subject)).send();
    for (subject, encoded) in [
        ("J\u{fc}rg & S\u{f6}hne = 1+1;", "J%C3%BCrg%20%26%20S%C3%B6hne%20%3D%201%2B1%3B"),
        ("a/../b", "a%2F..%2Fb"),
        ("100%25", "100%2525"),
    ] {
        send("/f", subject).ok();
        let form = encoded.replace("%20", "+");
        assert_eq!(String::from_utf8_lossy(&backend.last().body), format!("customer_id={form}"));
        send("/q?x=1", subject).ok();
        assert_eq!(backend.last().target, format!("/q?customer_id={encoded}&x=1"));
        gateway.post(&format!("/q?customer_id={encoded}")).customer(&token(subject)).send().ok();
        assert_eq!(backend.last().target, format!("/q?customer_id={encoded}"));
    }
    send("/p/x", "J\u{fc}rg & S\u{f6}hne").ok();
    assert_eq!(backend.last().target, "/c/J%C3%BCrg%20%26%20S%C3%B6hne/x");
    backend.forget();
    for subject in ["a/b", "..", ".", "../admin", "a;b", "a%2fb", "a\\b", "a ", "a."] {
        send("/p/x", subject).expect(500, "500-01");
    }
    backend.assert_untouched();
}

#[test]
fn the_assertion_is_over_the_target_and_the_body_with_the_identifier_in_them() {
    let proved = |config: Config| config.set("/backends/legacy/backend_assertion", json!({}));
    let claims = |backend: &Backend| decode(backend.last().header("x-wicketgate-proof").unwrap()).1;
    let (backend, gateway) = world_with(|config| proved(profile(place(config, json!({"form": "customer_id"})))));
    let token = gateway.customer_token();
    gateway.post("/me/x").customer(&token).form("a=1").send().ok();
    let body = String::from_utf8(backend.last().body).unwrap();
    assert_eq!(claims(&backend)["body_sha256"], json!(keys::sha256_hex(&body)));
    assert!(body.starts_with("customer_id="), "{body}");
    gateway.get("/profile/x").customer(&token).send().ok();
    assert_eq!(claims(&backend)["target"], json!(backend.last().target));
    let (backend, gateway) = world_with(|config| proved(place(config, json!({"query": "customer_id"}))));
    gateway.get("/me/x?a").customer(&gateway.customer_token()).send().ok();
    assert_eq!(claims(&backend)["target"], json!(backend.last().target));
    assert_eq!(claims(&backend)["sub"], json!(own_of(&gateway.customer_token())));
}

#[test]
fn no_decision_is_made_for_another_proxy_where_it_could_not_place_the_identifier() {
    for identifier in [json!({"form": "customer_id"}), json!({"query": "customer_id"})] {
        let (backend, gateway) = world_with(|config| place(config, identifier).set("/forward_auth", json!({})));
        let token = gateway.customer_token();
        let ask = gateway.get("/_wicketgate/auth").customer(&token);
        let ask = ask.header("X-Forwarded-Method", "GET").header("X-Forwarded-Proto", "https");
        let ask = ask.header("X-Forwarded-Host", "localhost").header("X-Forwarded-For", "192.0.2.1");
        ask.clone().header("X-Forwarded-Uri", "/me/x").send().expect(403, "403-08");
        ask.header("X-Forwarded-Uri", "/public/x").send().ok();
        backend.assert_untouched();
    }
}

#[test]
fn a_route_that_observes_writes_nobody_and_takes_strangers_away() {
    let (backend, gateway) =
        world_with(|config| place(config, json!({"query": "customer_id"})).route("me", "mode", json!("observe")));
    gateway.get("/me/x?customer_id=x&a=1").send().ok();
    assert_eq!(backend.last().target, "/me/x?a=1");
    let token = gateway.customer_token();
    gateway.get("/me/x?customer_id=x&a=1").customer(&token).send().ok();
    assert_eq!(backend.last().target, format!("/me/x?customer_id={}&a=1", own_of(&token)));
}

#[test]
fn a_websocket_is_opened_with_the_identifier_in_its_query() {
    let (backend, gateway) =
        world_with(|config| place(config, json!({"query": "customer_id"})).route("me", "websocket", json!(true)));
    let token = gateway.customer_token();
    let request = gateway.get("/me/live?room=1").customer(&token).header("Connection", "Upgrade");
    let request = request.header("Upgrade", "websocket").header("Sec-WebSocket-Version", "13");
    request.header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==").send();
    assert_eq!(backend.only().target, format!("/me/live?customer_id={}&room=1", own_of(&token)));
    assert_eq!(backend.only().header("Upgrade"), Some("websocket"));
}
