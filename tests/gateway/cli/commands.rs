//! Commands: exit codes and texts; problems that `check` finds before `run` does.

use std::os::unix::net::UnixDatagram;

use crate::harness::keys::TokenKey;
use crate::harness::*;

#[track_caller]
fn fails(gateway: &Gateway, args: &[&str], input: &str) -> String {
    let (code, said, complained) = gateway.files.run_with(args, input.as_bytes());
    assert_eq!(code, 1, "{args:?}: {said}{complained}");
    assert_eq!(said, "", "{args:?}");
    complained
}

#[test]
fn part_of_a_token_is_not_revoked_as_if_it_were_the_name_of_one() {
    let (_backend, gateway) = world();
    let token = gateway.login(ALICE);
    let half = &token[..token.rfind('.').unwrap()];
    for pasted in [half, &half[..half.find('.').unwrap()], &format!("JWT {token}"), "two words"] {
        let complained = fails(&gateway, &["revoke", "token", "-"], pasted);
        assert!(complained.contains("whole") && !complained.contains(&half[..40]), "{complained}");
    }
    gateway.get("/me/x").customer(&token).send().ok();
    let (code, said, _) = gateway.files.run_with(&["revoke", "token", "-"], token.as_bytes());
    assert!(code == 0 && said.starts_with("revoked: token "), "{said}");
    gateway.get("/me/x").customer(&token).send().expect(401, "401-03");
    assert_eq!(gateway.files.run(&["revoke", "token", "urn:partner:0.1/7=x"]).0, 0);
}

#[test]
fn sessions_of_a_customer_are_listed_under_each_of_its_names_and_none_is_not_the_answer_about_nobody() {
    let (_backend, gateway) = world_with(|config| config.cookies("cookie"));
    gateway.login_request(ALICE.name, ALICE.secret).send().ok();
    let name = || gateway.files.run(&["id", "for", ALICE.subject]).1.trim().to_owned();
    let count = |customer: &str| {
        let (code, said, complained) = gateway.files.run(&["sessions", "list", "--json", "--customer", customer]);
        assert_eq!(code, 0, "{complained}");
        serde_json::from_str::<Vec<Value>>(&said).unwrap().len()
    };
    let old = name();
    assert_eq!(count(&old), 1);
    assert_eq!(gateway.files.run(&["rotate", "identifier-key"]).0, 0);
    let new = name();
    assert_ne!(old, new);
    gateway.login_request(ALICE.name, ALICE.secret).send().ok();
    assert_eq!((count(&old), count(&new)), (2, 2));
    let bob = gateway.files.run(&["id", "for", BOB.subject]).1;
    assert_eq!(count(bob.trim()), 0);
    for nobody in ["t1-made-up", "customer-1001", &old[..old.len() - 1]] {
        let complained = fails(&gateway, &["sessions", "list", "--customer", nobody], "");
        assert!(complained.contains("identifier"), "{complained}");
    }
}

#[test]
fn a_rotation_that_cannot_see_whether_a_gateway_runs_does_not_say_that_none_does() {
    let config = Config::new(&Backend::start()).set("/admin/socket", json!("other.sock"));
    let files = gateway::Workspace::new(&config);
    let _other = UnixDatagram::bind(files.path.join("other.sock")).unwrap();
    let (code, said, complained) = files.run(&["rotate", "client-secret", CLIENT.name]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("shown this once") && !said.contains("No gateway runs here"), "{said}");
    assert!(complained.contains("other.sock") && complained.contains("has been changed"), "{complained}");
}

#[test]
fn a_mark_of_the_byte_order_before_standard_input_is_no_part_of_it() {
    let (_backend, gateway) = world();
    let token = gateway.login(ALICE);
    let marked = format!("\u{feff}{token}\r\n");
    let (code, said, complained) = gateway.files.run_with(&["revoke", "token", "-"], marked.as_bytes());
    assert!(code == 0 && said.starts_with("revoked: token "), "{complained}");
    gateway.get("/me/x").customer(&token).send().expect(401, "401-03");
    // Nor is it a password.
    let (code, _, complained) = gateway.files.run_with(&["hash-password"], "\u{feff}\n".as_bytes());
    assert!(code == 1 && complained.contains("empty"), "{complained}");
    let marked = format!("\u{feff}{}\n", ALICE.secret);
    let (_, hash, _) = gateway.files.run_with(&["hash-password"], marked.as_bytes());
    let accounts = json!([{"username": ALICE.name, "password": hash.trim(), "subject": ALICE.subject}]);
    gateway.files.write("accounts.yaml", &accounts.to_string());
    gateway.hup("reloaded");
    gateway.login(ALICE);
}

#[test]
fn an_issuer_that_is_not_configured_has_no_customers_with_identifiers() {
    let config = Config::new(&Backend::start()).trust("https://partner.test", &TokenKey::generate());
    let files = gateway::Workspace::new(&config);
    for command in ["for", "migrate"] {
        for wrong in ["https://partner.test/", "https://nobody.test", ""] {
            let args = ["id", command, "--issuer", wrong];
            let (code, said, complained) = files.run_with(&args, b"ann\n");
            assert_eq!((code, said.as_str()), (1, ""), "{command} {wrong}");
            let own = config.yaml["issuer"]["url"].as_str().unwrap();
            assert!(complained.contains("https://partner.test") && complained.contains(own), "{complained}");
        }
    }
    let id = |more: &[&str]| files.run(&[&["id", "for", "ann"], more].concat());
    let (code, partners, complained) = id(&["--issuer", "https://partner.test"]);
    assert_eq!(code, 0, "{complained}");
    let own = id(&["--issuer", config.yaml["issuer"]["url"].as_str().unwrap()]).1;
    assert!(own == id(&[]).1 && own != partners);
    // Where subjects are told apart within a tenant, the issuer stands for it, and the tenant for itself.
    let shared =
        config.clone().set("/trusted_issuers/0/tenant", json!("shop")).set("/identifier/tenant", json!("shop"));
    files.configure(&shared);
    let own = id(&[]).1;
    for name in ["https://partner.test", "shop", config.yaml["issuer"]["url"].as_str().unwrap()] {
        assert_eq!(id(&["--issuer", name]), (0, own.clone(), String::new()), "{name}");
    }
}

#[test]
fn where_all_customers_are_those_of_other_issuers_one_must_be_named_and_identifiers_are_traced() {
    let mut config = Config::new(&Backend::start()).trust("https://partner.test", &TokenKey::generate());
    let keys = config.yaml.as_object_mut().unwrap();
    ["login", "issuer", "access_token", "clients"].iter().for_each(|key| drop(keys.remove(*key)));
    let files = gateway::Workspace::new(
        &config
            .set(
                "/routes",
                json!([{"name": "me", "path": "/me/", "methods": ["GET"],
        "require": ["customer"], "identifier": {"header": "X-Customer-Id"}, "backend": "legacy"}]),
            )
            .set("/api_keys", json!([])),
    );
    assert_eq!(files.run(&["check"]).2, "");
    let (code, said, complained) = files.run(&["id", "for", "ann"]);
    assert!(code == 1 && said.is_empty() && complained.contains("--issuer"), "{said}{complained}");
    let (code, name, complained) = files.run(&["id", "for", "ann", "--issuer", "https://partner.test"]);
    assert_eq!(code, 0, "{complained}");
    let (code, said, complained) = files.run(&["id", "trace", name.trim()]);
    assert!(code == 0 && said.contains("https://partner.test") && said.contains("ann"), "{said}{complained}");
}

/// The paths of the gateway's own, in the words of its configuration where they have some.
const OWN_PATHS: [&str; 8] = [
    "/auth/customer_authenticate",
    "/auth/logout",
    "/oauth/access_token",
    "/oauth/revoke",
    "/oauth/introspect",
    "/.well-known/jwks.json",
    "/.well-known/jwks.pem",
    "/.well-known/oauth-authorization-server",
];

#[test]
fn each_path_that_cannot_be_a_route_stands_in_the_list_of_them() {
    let page = include_str!("../../../docs/configuration.md");
    let section = page.split("### `routes[].path`").nth(1).unwrap().split("###").next().unwrap();
    for path in OWN_PATHS {
        let route = json!({"name": "own", "path": path, "methods": ["POST"], "public": true, "backend": "legacy"});
        let config = Config::new(&Backend::start()).add_route(route);
        let (code, _, complained) = gateway::Workspace::new(&config).run(&["check"]);
        assert!(code == 1 && complained.contains("answered by the gateway itself"), "{path}: {complained}");
        assert!(section.contains(path), "{path} is not in the list");
    }
}

#[test]
fn the_documented_logout_ends_the_login() {
    let page = include_str!("../../../docs/configuration.md");
    let mut blocks = page.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap());
    let block = blocks.find(|block| block.contains("/auth/logout")).unwrap();
    let (_backend, gateway) = world();
    let token = gateway.login(ALICE);
    let place = format!("localhost:{}", gateway.address.port());
    assert!(block.contains("localhost:8443") && block.contains("$JWT"), "{block}");
    let mut command = std::process::Command::new("sh");
    command.arg("-c").arg(block.replace("localhost:8443", &place)).env("JWT", &token).current_dir(&gateway.files.path);
    let output = command.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "204", "{output:?}");
    gateway.get("/me/x").customer(&token).send().expect(401, "401-03");
}

#[test]
fn check_finds_a_state_that_is_no_directory() {
    let backend = Backend::start();
    for path in ["accounts.yaml", "accounts.yaml/state"] {
        let config = Config::new(&backend).set("/state", json!({"embedded": {"path": path}}));
        let files = gateway::Workspace::new(&config);
        for command in ["check", "run"] {
            let (code, _, complained) = files.run(&[command]);
            assert!(code == 1 && complained.contains("state.embedded.path"), "{command} {path}: {complained}");
        }
    }
    let config = Config::new(&backend).set("/state", json!({"embedded": {"path": "not/yet/there"}}));
    assert_eq!(gateway::Workspace::new(&config).run(&["check"]).0, 0);
}

#[test]
fn check_warns_of_a_certificate_that_has_expired() {
    let files = gateway::Workspace::new(&Config::new(&Backend::start()));
    let expired = keys::expired(&["localhost"]);
    files.write("certs/server.pem", &expired.certificate);
    files.write("certs/server.key", &expired.key);
    let (code, said, complained) = files.run(&["check"]);
    assert!(code == 0 && said.contains("is good"), "{complained}");
    assert!(
        complained.contains("warning") && complained.contains("server.pem") && complained.contains("expired"),
        "{complained}"
    );
}

#[test]
fn check_warns_where_hashes_of_accounts_or_of_clients_secrets_differ_in_cost_and_names_them() {
    let account = |name: &str, hash: String| json!({"username": name, "password": hash, "subject": name});
    let (usual, dear) = (|| keys::argon2id("secret"), || keys::argon2id_in("secret", 2 * 19_456));
    let complained = |accounts: Value, secrets: Value| {
        let config = Config::new(&Backend::start()).set("/login/accounts/file", json!("some.yaml"));
        let config = config.file("some.yaml", &accounts.to_string()).set("/clients/0/secrets", secrets);
        let (code, _, complained) = gateway::Workspace::new(&config).run(&["check"]);
        assert_eq!(code, 0, "{complained}");
        complained
    };
    let even = complained(json!([account("a", usual()), account("b", usual())]), json!([usual()]));
    assert!(!even.contains("cost"), "{even}");
    let uneven =
        complained(json!([account("a", usual()), account("b", dear()), account("c", usual())]), json!([dear()]));
    for said in [
        "some.yaml, entry 1: ",
        "2 of 3 hashes cost less",
        "that of entry 2",
        "clients[1].secrets[0]: ",
        "clients[0].secrets[0]",
    ] {
        assert!(uneven.contains(said), "{said}: {uneven}");
    }
    assert!(uneven.contains("wicketgate hash-password") && uneven.contains("wicketgate new client-secret"), "{uneven}");
}

#[test]
fn in_an_incident_the_gateway_is_asked_though_gateway_yaml_is_not_good() {
    let (_backend, gateway) = world();
    let file = gateway.files.path.join("gateway.yaml");
    let good = std::fs::read_to_string(&file).unwrap();
    for fault in ["\nfoo: [", "\nfoo: 1\n"] {
        gateway.files.write("gateway.yaml", &(good.clone() + fault));
        for args in [
            &["sessions", "list"][..],
            &["attempts", "list"],
            &["keys"],
            &["top", "--once"],
            &["state", "backup", "to.backup"],
            &["revoke", "client", "asapp"],
        ] {
            let (code, said, complained) = gateway.files.run(args);
            assert_eq!(code, 0, "{args:?}: {said}{complained}");
            assert!(complained.contains("is not good: asking the gateway at"), "{args:?}: {complained}");
        }
        std::fs::remove_file(gateway.files.path.join("to.backup")).unwrap();
    }
    let stopped = gateway::Workspace::new(&Config::new(&Backend::start()));
    stopped.write("gateway.yaml", "foo: [");
    let said = stopped.fails(&["sessions", "list"]);
    assert!(said.contains("no gateway answers at") && said.contains("--config"), "{said}");
}

#[test]
fn an_access_log_among_the_files_of_the_state_is_refused_also_by_a_symbolic_link() {
    let found = |file: &str| {
        let config = Config::new(&Backend::start()).set("/log/access", json!({"file": file}));
        let files = gateway::Workspace::new(&config);
        std::fs::create_dir_all(files.path.join("data")).unwrap();
        std::os::unix::fs::symlink("data/audit.jsonl", files.path.join("link.log")).unwrap();
        std::fs::write(files.path.join("data/audit.jsonl"), "").unwrap();
        files.run(&["check"])
    };
    for file in ["data/audit.jsonl", "link.log"] {
        let (code, _, complained) = found(file);
        assert!(code == 1 && complained.contains("log.access.file"), "{file}: {complained}");
    }
    let (code, _, complained) = found("access.log");
    assert_eq!(code, 0, "{complained}");
}
