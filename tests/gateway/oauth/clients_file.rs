//! `clients_file`: clients in a file of their own, which is read again by itself.

use crate::harness::keys::argon2id;
use crate::harness::login_page::{APP, code, query, redeem, with_codes};
use crate::harness::*;

fn partner(secret: &str) -> String {
    json!([{"id": "partner", "secrets": [argon2id(secret)], "scopes": ["partner.read"], "audiences": ["partner-api"]}])
        .to_string()
}

fn with_file(config: Config, text: &str) -> Config {
    config.set("/clients_file", json!("clients.yaml")).file("clients.yaml", text)
}

#[test]
fn clients_of_a_file_of_their_own_are_clients_like_others_and_change_without_a_signal() {
    let (_backend, gateway) = world_with(|config| with_file(config, "[]"));
    let asks = |secret: &str| gateway.token_request("partner", secret).send().status;
    assert_eq!(asks("first"), 401);
    gateway.files.write("clients.yaml", &partner("first"));
    eventually("the new client is known", || asks("first") == 200);
    let form =
        "grant_type=client_credentials&client_id=partner&client_secret=first&scope=partner.read&resource=partner-api";
    let token = gateway.post("/oauth/access_token").form(form).send().ok().json();
    assert_eq!(keys::decode(token["access_token"].as_str().unwrap()).1["aud"], "partner-api");
    let metadata = gateway.get("/.well-known/oauth-authorization-server").send().ok().json();
    assert!(metadata["scopes_supported"].as_array().unwrap().contains(&json!("partner.read")), "{metadata}");
    gateway.token(CLIENT);
    // A mistake changes nothing, and says where it is.
    let from = gateway.stderr.count();
    gateway.files.write("clients.yaml", "- id: partner\n  secrets: [ abc ]\n");
    let line = gateway.stderr.wait_after(from, |line| line["message"] == "reload failed").unwrap();
    let reason = line["reason"].as_str().unwrap();
    assert!(reason.contains("clients.yaml:2:14") && reason.contains("not a password hash"), "{reason}");
    assert_eq!(asks("first"), 200);
    gateway.files.write("clients.yaml", &partner("second"));
    eventually("the new secret is good", || asks("second") == 200);
    assert_eq!(asks("first"), 401);
    let answer = gateway.token_request("partner", "second").send().ok().json();
    let call = gateway.get("/system/x").bearer(answer["access_token"].as_str().unwrap());
    call.send().ok();
    gateway.files.write("clients.yaml", "[]");
    gateway.hup("reloaded");
    assert_eq!((asks("second"), call.send().status), (401, 401), "it is gone, and its tokens are");
    gateway.token(CLIENT);
}

#[test]
fn what_is_wrong_in_a_file_of_clients_is_said_with_its_line_and_nothing_of_the_secrets() {
    let backend = Backend::start();
    let digest = keys::sha256_hex("a secret of two clients");
    let config = || Config::new(&backend).set("/clients/0/header_secrets", json!([digest]));
    let repeated = format!("- id: a\n  header_secrets: [ {} ]\n", digest.to_uppercase());
    let check = |text: &str| gateway::Workspace::new(&with_file(config(), text)).fails(&["check"]);
    for (text, parts) in [
        ("- id: asapp\n  jwks: https://partner.example/jwks\n", ["clients.yaml:1", "already used in"]),
        (
            "- id: a\n  jwks: https://partner.example/jwks\n- id: a\n  jwks: https://partner.example/jwks\n",
            ["clients.yaml:3", "already used on line 1"],
        ),
        ("- id: a\n  header_secrets: [ hunter2 ]\n", ["clients.yaml:2", "not a SHA-256"]),
        (repeated.as_str(), ["clients.yaml:2", "this digest is already used in"]),
        (
            "- id: a\n  jwks: https://a.example/jwks\n  redirect_uris: [ http://a.example/back ]\n",
            ["clients.yaml:3", "plain http"],
        ),
        ("- id: a\n  public: true\n", ["clients.yaml:2", "has no `redirect_uris`"]),
        ("- id: a\n  jwks: https://a.example/jwks\n  grant_types: []\n", ["clients.yaml:3", "`grant_types` is empty"]),
        ("- id: a\n  jwks: https://a.example/jwks\n  client_ca: nope.pem\n", ["clients.yaml:3", "client_ca"]),
        ("- id: a\n  secret: x\n", ["clients.yaml:2", "secret"]),
        ("- id: a\n  secrets: [ hunter2 ]\n", ["clients.yaml:2", "not a password hash"]),
        ("- id: a\n  jwks: { file: nope.json }\n", ["clients.yaml:2", "nope.json"]),
        ("clients: []\n", ["clients.yaml:1", "list"]),
        ("", ["clients.yaml", "there is no value"]),
    ] {
        let complained = check(text);
        for part in parts {
            assert!(complained.contains(part), "{text}: {complained}");
        }
        assert!(!complained.contains("hunter2"), "{complained}");
    }
    let unproved = gateway::Workspace::new(&with_file(config(), "- id: a\n"));
    let (code, _, warned) = unproved.run(&["check"]);
    assert!(code == 0 && warned.contains("clients.yaml:1") && warned.contains("proves itself"), "{warned}");
    let missing = Config::new(&backend).set("/clients_file", json!("nope.yaml"));
    let complained = gateway::Workspace::new(&missing).fails(&["check"]);
    assert!(complained.contains("clients_file") && complained.contains("nope.yaml"), "{complained}");
}

#[test]
fn a_client_of_the_file_owns_api_keys_and_gets_a_new_secret_by_the_command() {
    let config = |config: Config| {
        let mut keys = config.yaml["api_keys"].clone();
        keys[2]["client"] = json!("partner");
        with_file(
            config,
            &format!("# partners\n- id: partner # the first\n  secrets:\n    - \"{}\"\n", argon2id("first")),
        )
        .set("/api_keys", keys)
    };
    let (_backend, gateway) = world_with(config);
    let (code, said, warned) = gateway.files.run(&["check"]);
    assert!(code == 0 && !warned.contains("there is no client") && said.contains("3 clients"), "{said}{warned}");
    gateway.get("/key/x").api_key(config::FREE_API_KEY).send().ok();
    let main = std::fs::read_to_string(gateway.files.config()).unwrap();
    let said = gateway.files.succeeds(&["rotate", "client-secret", "partner"]);
    let secret = said.lines().map(str::trim).find(|line| line.starts_with("wgs_")).unwrap();
    assert_eq!(std::fs::read_to_string(gateway.files.config()).unwrap(), main, "gateway.yaml stays as it was");
    let written = std::fs::read_to_string(gateway.files.path.join("clients.yaml")).unwrap();
    assert!(written.starts_with("# partners\n- id: partner # the first\n"), "{written}");
    for secret in ["first", secret] {
        assert_eq!(gateway.token_request("partner", secret).send().status, 200, "{secret}");
    }
}

#[test]
fn a_client_of_the_file_logs_customers_in_and_shows_a_secret_in_a_header_and_has_only_its_grants() {
    let (backend, gateway) = world_with(|config| {
        let config = with_codes(config);
        let mut all = config.yaml["clients"].clone();
        all[0]["header_secrets"] = json!([keys::sha256_hex("shown with each call")]);
        all[0]["grant_types"] = json!(["client_credentials"]);
        let public = all[2].clone();
        assert_eq!(public["id"], APP);
        let file = json!([all[0], public]).to_string();
        with_file(config, &file).set("/clients", json!([all[1]])).route(
            "system",
            "client_from",
            json!(["bearer", {"header": "X-Client-Secret"}]),
        )
    });
    let answer = redeem(&gateway, &code(&gateway, &query(), ALICE)).send().ok().json();
    gateway.get("/me/x").customer(answer["access_token"].as_str().unwrap()).send().ok();
    gateway.get("/system/x").header("X-Client-Secret", "shown with each call").send().ok();
    gateway.get("/system/x").header("X-Client-Secret", "another").send().expect(401, "401-13");
    let exchange = "grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer&assertion=x";
    let answer = gateway.post("/oauth/access_token").form(&format!("{exchange}&{}", first())).send();
    assert_eq!((answer.status, answer.json()["error"].as_str()), (400, Some("unauthorized_client")));
    // The page belongs to the gateway as soon as the file may bring it.
    let taken = Config::new(&backend).route("system", "path", json!("/oauth/authorize"));
    let complained = gateway::Workspace::new(&with_file(taken, "[]")).fails(&["check"]);
    assert!(complained.contains("is answered by the gateway itself"), "{complained}");
}

fn first() -> String {
    format!("client_id={}&client_secret={}", CLIENT.name, CLIENT.secret)
}
