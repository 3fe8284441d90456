//! Proof for the backend: what it can check by itself, with the lines that the documentation gives it.

use std::path::Path;
use std::process::Command;

use crate::harness::backend::Seen;
use crate::harness::keys::{TokenKey, decode, now, sha256_hex, signing_input};
use crate::harness::*;

pub(crate) const HEADER: &str = "x-wicketgate-proof";

fn proved(config: Config) -> Config {
    config.set("/backends/legacy/backend_assertion", json!({}))
}

/// The claims of a proof.
#[track_caller]
fn claims(seen: &Seen) -> Value {
    decode(seen.header(HEADER).expect("a proof")).1
}

/// What the Python checker of the documentation is given.
pub(crate) fn case(seen: &Seen) -> Value {
    let body: String = seen.body.iter().map(|byte| format!("{byte:02x}")).collect();
    json!({"proof": seen.header(HEADER), "method": seen.method, "host": seen.header("host"), "target": seen.target, "body": body})
}

/// A case with something changed.
fn with(case: &Value, name: &str, value: &str) -> Value {
    let mut case = case.clone();
    case[name] = json!(value);
    case
}

/// What the Python checker of docs/backend-assertion.md says about each.
#[track_caller]
pub(crate) fn checked(gateway: &Gateway, cases: &[Value]) -> Vec<Value> {
    let document = include_str!("../../docs/backend-assertion.md");
    let checker = document.split("```python\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let own = format!("https://localhost:{}/.well-known", gateway.address.port());
    let checker = checker.replace("https://api.example.com/.well-known", &own);
    gateway.files.write("check.py", &checker.replace("https://api.example.com", "https://gateway.test"));
    gateway.files.write("cases.json", &json!(cases).to_string());
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let interpreter = root.join("target/python/bin/python");
    let files = &gateway.files.path;
    let output = finish(
        Command::new(&interpreter)
            .arg(root.join("tests/clients/proof_check.py"))
            .args([files.join("check.py"), files.join("cases.json")])
            .env("SSL_CERT_FILE", files.join("certs/ca.pem")),
    );
    let output = output.unwrap_or_else(|error| panic!("cannot run {} ({error}): `make deps`", interpreter.display()));
    let said = String::from_utf8_lossy(&output.stdout);
    let found = serde_json::from_str(&said);
    found.unwrap_or_else(|_| panic!("{said}{}", String::from_utf8_lossy(&output.stderr)))
}

#[test]
fn the_python_checker_takes_what_came_through_the_gateway_and_nothing_else() {
    let (backend, gateway) = world_with(proved);
    let me = |request: Request| request.customer(&gateway.customer_token());
    me(gateway.post("/me/x?q=a%20b&c=").json("{\"n\": 1}")).send().ok();
    let seen = backend.only();
    let customer = seen.header("x-customer-id").unwrap().to_owned();
    let right = case(&seen);
    for request in [
        gateway.get("/me/y"),
        gateway.post("/me/y"),
        gateway.request("PUT", "/me/y").header("Transfer-Encoding", "chunked"),
    ] {
        let is_chunked = request.method == "PUT";
        let mut connection = gateway.connect();
        connection.send(&me(request.clone()).bytes());
        if is_chunked {
            connection.send(b"5\r\nhello\r\n0\r\n\r\n");
        }
        connection.receive(&request.method).unwrap().ok();
    }
    let mut honest = vec![right.clone()];
    honest.extend(backend.requests()[1..].iter().map(case));
    assert_eq!(checked(&gateway, &honest), vec![json!({"customer": customer}); 4]);
    assert_eq!(honest[3]["body"], "68656c6c6f");

    let proof = seen.header(HEADER).unwrap();
    let (header, claims) = decode(proof);
    let changed = |key: &TokenKey, change: &dyn Fn(&mut Value, &mut Value)| {
        let (mut header, mut claims) = (header.clone(), claims.clone());
        change(&mut header, &mut claims);
        with(&right, "proof", &key.sign(&header, &claims))
    };
    let (own, stranger) = (&gateway.signing_key, &TokenKey::generate());
    let mut other = claims.clone();
    other["sub"] = json!("t1-somebody-else");
    let moved = format!("{}.{}", signing_input(&header, &other), proof.rsplit('.').next().unwrap());
    let cases = [
        ("only signed again", changed(own, &|_, _| {})),
        ("another body", with(&right, "body", "7b7d")),
        ("no body", with(&right, "body", "")),
        ("another path", with(&right, "target", "/me/z?q=a%20b&c=")),
        ("another query", with(&right, "target", "/me/x?q=a+b&c=")),
        ("another method", with(&right, "method", "PUT")),
        ("another host", with(&right, "host", "shop.localhost")),
        ("another port of the host", with(&right, "host", "localhost:8443")),
        ("another customer", with(&right, "proof", &moved)),
        ("somebody's own key", changed(stranger, &|_, _| {})),
        ("an unknown key", changed(stranger, &|header, _| header["kid"] = json!("mine"))),
        ("expired", changed(own, &|_, claims| claims["exp"] = json!(now() - 6))),
        ("without an end", changed(own, &|_, claims| drop(claims.as_object_mut().unwrap().remove("exp")))),
        ("for another backend", changed(own, &|_, claims| claims["aud"] = json!("other"))),
        ("of another gateway", changed(own, &|_, claims| claims["iss"] = json!("https://sandbox.test"))),
        ("of another type", changed(own, &|header, _| header["typ"] = json!("JWT"))),
        ("a customer's token", with(&right, "proof", &gateway.customer_token())),
        ("an access token", with(&right, "proof", &gateway.client_token())),
        ("a body that is not covered", changed(own, &|_, claims| claims["body_sha256"] = json!(null))),
    ];
    let found = checked(&gateway, &cases.clone().map(|(_, case)| case));
    assert_eq!(found[0], json!({"customer": customer}), "so it is not the test that is refused below");
    for ((what, _), found) in cases.iter().zip(&found).skip(1) {
        assert!(found["refused"].is_string(), "{what}: {found}");
    }
    assert!(backend.problems().is_empty(), "{:?}", backend.problems());
}

#[test]
fn a_proof_says_who_is_meant_for_which_backend_and_for_how_long() {
    let other = Backend::start();
    let (backend, gateway) = world_with(|config| {
        let route = |name: &str, require: Value, placed: Value| {
            json!({"name": name, "path": format!("/{name}/"), "methods": ["GET", "POST"], "require": require,
                   "identifier": placed, "backend": "second"})
        };
        proved(config)
            .set(
                "/backends/second",
                json!({"servers": [other.url()], "pairwise": true,
                       "backend_assertion": {"header": "X-Signed", "audience": "https://second.test", "lifetime": "10s"}}),
            )
            .add_route(route("own", json!(["client", "customer"]), json!({"header": "X-Customer-Id"})))
            .add_route(route("named", json!(["customer"]), json!({"header": "X-Account", "send": "subject"})))
            .add_route(route("inside", json!(["customer"]), json!({"body": "/customer/id"})))
    });
    gateway.profile().send().ok();
    let said = claims(&backend.only());
    let header = decode(backend.only().header(HEADER).unwrap()).0;
    assert_eq!(header, json!({"typ": "proof+jwt", "alg": "ES256", "kid": header["kid"]}));
    assert_eq!(header["kid"], decode(&gateway.customer_token()).0["kid"]);
    assert_eq!((&said["iss"], &said["aud"]), (&json!("https://gateway.test"), &json!("legacy")));
    assert_eq!((&said["client_id"], &said["htm"]), (&json!(CLIENT.name), &json!("POST")));
    assert_eq!(said["host"], "localhost");
    assert_eq!(said["exp"].as_u64().unwrap() - said["iat"].as_u64().unwrap(), 30);
    assert_eq!(said["body_sha256"], json!(sha256_hex("")));
    assert_eq!(said["sub"], decode(&gateway.customer_token()).1["sub"]);
    gateway.get("/public/x").send().ok();
    gateway.get("/key/x").api_key(API_KEY).send().ok();
    for seen in &backend.requests()[1..] {
        let said = claims(seen);
        assert!(said.get("sub").is_none() && said.get("client_id").is_none(), "nobody is named: {said}");
        assert_eq!(said["target"], json!(seen.target));
    }
    let names: Vec<Value> = backend.requests().iter().map(|seen| claims(seen)["jti"].clone()).collect();
    assert!(names[0] != names[1] && names[1] != names[2], "{names:?}");

    let me = |request: Request| request.customer(&gateway.customer_token());
    me(gateway.get("/own/x")).bearer(&gateway.client_token()).send().ok();
    me(gateway.get("/named/x")).send().ok();
    me(gateway.post("/inside/x").json("{\"a\": 1}")).send().ok();
    let seen = other.requests();
    let said: Vec<Value> = seen.iter().map(|seen| decode(seen.header("x-signed").unwrap()).1).collect();
    assert_eq!(said[0]["aud"], "https://second.test");
    assert_eq!(said[0]["exp"].as_u64().unwrap() - said[0]["iat"].as_u64().unwrap(), 10);
    assert_eq!(said[0]["sub"], json!(seen[0].header("x-customer-id").unwrap()), "its own name of the customer");
    assert_ne!(said[0]["sub"], decode(&gateway.customer_token()).1["sub"]);
    assert_eq!((&said[1]["sub"], seen[1].header("x-account")), (&json!(ALICE.subject), Some(ALICE.subject)));
    let body: Value = serde_json::from_slice(&seen[2].body).unwrap();
    assert_eq!(said[2]["sub"], body["customer"]["id"]);
    assert_eq!(said[2]["body_sha256"], json!(sha256_hex(std::str::from_utf8(&seen[2].body).unwrap())), "as it is sent");
}

#[test]
fn g1_what_a_caller_sends_as_proof_never_arrives() {
    let plain = Backend::start();
    let (backend, gateway) = world_with(|config| {
        proved(config)
            .set("/backends/plain", json!({"servers": [plain.url()]}))
            .set("/backends/other", json!({"servers": [plain.url()], "backend_assertion": {"header": "X-Signed"}}))
            .add_route(json!({"name": "plain", "path": "/plain/", "methods": ["GET", "POST"], "public": true, "backend": "plain"}))
    });
    gateway.profile().send().ok();
    let stolen = backend.only().header(HEADER).unwrap().to_owned();
    backend.forget();
    for target in ["/public/x", "/plain/x"] {
        let mut request = gateway.post(target).header("Connection", "X-Wicketgate-Proof, X-Signed");
        for name in ["X-Wicketgate-Proof", "x_wicketgate_proof", "X-WICKETGATE_PROOF", "X.Wicketgate.Proof", "X_Signed"]
        {
            request = request.header(name, &stolen);
        }
        let chunked = request.header("Transfer-Encoding", "chunked").header("Trailer", "X-Wicketgate-Proof").bytes();
        let trailer = format!("2\r\nok\r\n0\r\nX-Wicketgate-Proof: {stolen}\r\n\r\n");
        gateway.connect().exchange(&[&chunked, trailer.as_bytes()].concat()).unwrap().ok();
    }
    for (seen, own) in [(backend.only(), 1), (plain.only(), 0)] {
        let text = format!("{:?} {:?}", seen.lines, seen.trailers);
        assert!(!text.contains(&stolen), "{text}");
        assert_eq!(seen.all(HEADER).len(), own, "{text}");
        assert_eq!(text.to_lowercase().matches("proof").count(), own, "{text}");
        assert!(seen.all("x-signed").is_empty() && seen.all("x_signed").is_empty(), "{text}");
    }
    // Nor where nobody wants proofs any more: an old checker could still take a stolen one.
    let (backend, gateway) = world();
    gateway.get("/public/x").header("x_wicketgate-proof", &stolen).send().ok();
    assert!(!format!("{:?}", backend.only().lines).contains(&stolen));
}

#[test]
fn d16_a_proof_is_neither_an_access_token_nor_a_customers() {
    let (backend, gateway) = world_with(proved);
    gateway.profile().send().ok();
    let proof = backend.only().header(HEADER).unwrap().to_owned();
    backend.forget();
    for (request, word) in [
        (gateway.get("/me/x").customer(&proof), "customer_token_type"),
        (gateway.get("/system/x").bearer(&proof), "client_token_type"),
    ] {
        let answer = request.send().expect(401, "");
        assert_eq!(gateway.access_line(answer.header("x-request-id").unwrap())["refusal"], word);
    }
    backend.assert_untouched();
}

#[test]
fn a_body_is_covered_up_to_the_limit_or_passes_as_it_comes() {
    let (backend, gateway) = world_with(|config| proved(config).limit("body", json!("1KiB")));
    gateway.post("/public/x").body(vec![b'a'; 1024]).send().ok();
    assert_eq!(claims(&backend.only())["body_sha256"], json!(sha256_hex(&"a".repeat(1024))));
    gateway.post("/public/x").body(vec![b'a'; 1025]).send().expect(413, "413-01");
    let mut unannounced = gateway.connect();
    unannounced.send(&gateway.post("/public/x").header("Transfer-Encoding", "chunked").bytes());
    unannounced.send(&[b"401\r\n", &[b'a'; 1025][..], b"\r\n0\r\n\r\n"].concat());
    unannounced.receive("POST").unwrap().expect(413, "413-01");
    assert_eq!(backend.requests().len(), 1, "what is too large has no proof and goes nowhere");

    let (backend, gateway) =
        world_with(|config| config.set("/backends/legacy/backend_assertion", json!({"body": "streamed"})));
    let mut upload = gateway.connect();
    upload.send(&gateway.post("/public/x").header("Content-Length", "4").bytes());
    upload.send(b"ab");
    backend.wait_for(1);
    assert_eq!(claims(&backend.only())["body_sha256"], json!(null), "it has left before it was all there");
    upload.send(b"cd");
    upload.receive("POST").unwrap().ok();
    gateway.get("/public/x").send().ok();
    assert_eq!(claims(&backend.last())["body_sha256"], json!(sha256_hex("")));
    let found = checked(&gateway, &backend.requests().iter().map(case).collect::<Vec<_>>());
    assert!(found[0]["refused"].is_string(), "the checker wants bodies covered: {found:?}");
    assert_eq!(found[1], json!({"customer": null}));
}
