//! `clients_file`: clients in a file of their own, which is read again by itself.

use crate::harness::keys::argon2id;
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
    let call = gateway.get("/system/x").bearer(
        &gateway.token_request("partner", "second").send().ok().json()["access_token"].as_str().unwrap().to_owned(),
    );
    call.send().ok();
    gateway.files.write("clients.yaml", "[]");
    gateway.hup("reloaded");
    assert_eq!((asks("second"), call.send().status), (401, 401), "it is gone, and its tokens are");
    gateway.token(CLIENT);
}

#[test]
fn what_is_wrong_in_a_file_of_clients_is_said_with_its_line_and_nothing_of_the_secrets() {
    let backend = Backend::start();
    let check = |text: &str| gateway::Workspace::new(&with_file(Config::new(&backend), text)).fails(&["check"]);
    for (text, parts) in [
        ("- id: asapp\n  jwks: https://partner.example/jwks\n", ["clients.yaml:1", "already used in"]),
        (
            "- id: a\n  jwks: https://partner.example/jwks\n- id: a\n  jwks: https://partner.example/jwks\n",
            ["clients.yaml:3", "already used on line 1"],
        ),
        ("- id: a\n", ["clients.yaml:1", "nothing says how this client proves itself"]),
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
