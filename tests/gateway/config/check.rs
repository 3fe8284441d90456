//! `wicketgate check`: problems of the configuration, which also keep the gateway from starting.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::harness::gateway::Workspace;
use crate::harness::*;

fn good() -> Config {
    Config::with_server("http://127.0.0.1:9")
}

/// Exit code and all output of `check`.
fn check(files: &Workspace) -> (i32, String) {
    let (code, out, err) = files.run(&["check", "--config", "gateway.yaml"]);
    (code, format!("{out}{err}"))
}

/// `check` finds fault, names the place, and `run` does not start.
#[track_caller]
fn broken(what: &str, config: &Config) -> String {
    let files = Workspace::new(config);
    let (code, said) = check(&files);
    assert_eq!(code, 1, "{what}: {said}");
    let (code, out, err) = files.run(&["run", "--config", "gateway.yaml"]);
    assert!(code > 0 && !err.contains("\"ready\"") && !out.contains("\"ready\""), "{what}: {out}{err}");
    said
}

#[test]
fn a_good_configuration_is_exit_code_0() {
    let (code, said) = check(&Workspace::new(&good()));
    assert_eq!(code, 0, "{said}");
}

#[test]
fn wrong_use_is_exit_code_2() {
    let files = Workspace::new(&good());
    for args in [&["check", "--nonsense"][..], &["nonsense"], &[]] {
        assert_eq!(files.run(args).0, 2, "{args:?}");
    }
    let (code, out, err) = files.run(&["check", "--config", "missing.yaml"]);
    assert!(code != 0 && format!("{out}{err}").contains("missing.yaml"), "{out}{err}");
}

#[test]
fn every_fault_is_told_with_file_line_and_column() {
    let config = good()
        .set("/routes/0/backend", json!("nowhere"))
        .set("/routes/1/listen", json!(["no-such-listener"]))
        .set("/clients/1/id", json!("asapp"));
    let said = broken("three faults", &config);
    for part in ["nowhere", "no-such-listener", "asapp"] {
        assert!(said.contains(part), "{part} in {said}");
    }
    let text = config.text();
    let line = text.lines().position(|l| l.contains("\"nowhere\"")).unwrap() + 1;
    assert!(said.contains(&format!("gateway.yaml:{line}:")), "line {line} in {said}");
}

#[test]
fn unknown_keys_are_refused() {
    for pointer in [
        "/lisen",
        "/listen/0/tls/min_versio",
        "/routes/0/requires",
        "/backends/legacy/time_out",
        "/login/acounts",
        "/clients/0/scope",
        "/listen/0/limits/boddy",
    ] {
        let said = broken(pointer, &good().set(pointer, json!("x")));
        assert!(said.contains(pointer.rsplit('/').next().unwrap()), "{said}");
    }
}

#[test]
fn nothing_is_there_twice() {
    let config = good();
    let repeated = |list: &str| {
        let first = config.yaml[list][0].clone();
        let mut config = config.clone();
        config.yaml[list].as_array_mut().unwrap().push(first);
        config
    };
    for list in ["clients", "api_keys", "routes"] {
        broken(list, &repeated(list));
    }
    let files = Workspace::new(&config);
    files.write("gateway.yaml", &config.text().replacen("\"admin\"", "\"routes\": [],\n  \"admin\"", 1));
    assert_eq!(check(&files).0, 1, "a key of the file twice");
}

#[test]
fn protection_is_never_left_out_by_mistake() {
    let config = good();
    broken("neither require nor public", &config.clone().route("public", "public", json!(false)));
    broken("require and public", &config.clone().route("me", "public", json!(true)));
    broken("a protected route without a backend", &config.clone().without("/routes/0/backend"));
    broken("customers without an issuer", &config.clone().without("/issuer"));
    broken("bearer for two", &config.clone().route("profile", "customer_token_sources", json!([{"bearer": true}])));
    broken("an unknown requirement", &config.route("me", "require", json!(["costumer"])));
}

#[test]
fn empty_lists_are_not_nothing_to_check() {
    let key = keys::TokenKey::generate();
    let trusting = good().trust("https://login.example.com", &key);
    broken("no algorithms", &trusting.clone().set("/trusted_issuers/0/algorithms", json!([])));
    broken("no audiences", &trusting.clone().set("/trusted_issuers/0/audiences", json!([])));
    broken("no methods", &good().route("me", "methods", json!([])));
    broken("no secrets", &good().set("/clients/0/secrets", json!([])));
    broken("no digests", &good().set("/api_keys/0/sha256", json!([])));
    broken("no servers", &good().set("/backends/legacy/servers", json!([])));
    broken("nowhere to listen", &good().set("/listen", json!([])));
    let files = Workspace::new(&trusting);
    files.write("certs/partner.json", "{\"keys\":[]}");
    assert_eq!(check(&files).0, 1, "no keys");
}

#[test]
fn weak_hashes_and_digests_are_refused() {
    broken("a secret in clear", &good().set("/clients/0/secrets", json!(["asapp-secret"])));
    let weak = keys::argon2id("x").replace("m=19456", "m=1024");
    broken("a weak hash", &good().set("/clients/0/secrets", json!([weak])));
    broken("a short digest", &good().set("/api_keys/0/sha256", json!(["abc"])));
    let files = Workspace::new(&good());
    files.write("certs/identifier.key", "v1:c2hvcnQ\n");
    assert_eq!(check(&files).0, 1, "a short identifier key");
    files.write("accounts.yaml", "[{username: alice, password: plain, subject: a}]");
    assert_eq!(check(&files).0, 1, "a password in clear");
}

#[test]
fn weak_password_hashes_in_the_accounts_are_refused() {
    let files = Workspace::new(&good());
    let weak = files.path.join("accounts.yaml");
    let text = std::fs::read_to_string(&weak).unwrap();
    files.write("accounts.yaml", &text.replacen("m=19456,t=2", "m=8,t=1", 1));
    assert_eq!(check(&files).0, 1);
    files.write("accounts.yaml", &text);
    assert_eq!(check(&files).0, 0);
}

#[test]
fn a_claim_that_says_who_it_is_keeps_the_gateway_from_starting() {
    for claim in ["email", "name", "phone_number", "given_name"] {
        broken(claim, &good().set("/login/claims", json!([claim])));
    }
}

#[test]
fn secrets_that_others_can_read_or_that_are_not_there_are_refused() {
    let files = Workspace::new(&good());
    for name in ["certs/identifier.key", "certs/server.key", "certs/signing/20260101T000000Z-es256.pem"] {
        let path = files.path.join(name);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        let (code, said) = check(&files);
        assert_eq!((code, said.contains(name.rsplit('/').next().unwrap())), (1, true), "{name}: {said}");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    broken("a missing file", &good().set("/identifier/key", json!({"file": "certs/missing.key"})));
    broken("a missing variable", &good().set("/identifier/key", json!({"env": "WICKETGATE_TEST_NOT_SET"})));
    broken("a secret in the file", &good().set("/identifier/key", json!("v1:AAAA")));
    files.write("certs/identifier.key", "");
    assert_eq!(check(&files).0, 1, "an empty secret");
}

#[test]
fn plain_http_to_a_backend_elsewhere_needs_to_be_said() {
    let config = Config::with_server("http://192.0.2.1:80");
    broken("plain http", &config);
    let (code, said) = check(&Workspace::new(&config.set("/backends/legacy/danger_plaintext", json!(true))));
    assert_eq!(code, 0, "{said}");
}

#[test]
fn made_keys_and_hashes_are_taken_by_the_configuration() {
    let files = Workspace::new(&good());
    let (code, key, err) = files.run(&["new", "identifier-key"]);
    assert_eq!(code, 0, "{err}");
    files.write("certs/identifier.key", &key);
    assert_eq!(check(&files).0, 0);
    let (code, out, err) = files.run(&["new", "api-key"]);
    assert_eq!(code, 0, "{err}");
    let words: Vec<&str> = out.split(|c: char| !c.is_ascii_alphanumeric() && !"_-.".contains(c)).collect();
    let digest = words
        .iter()
        .find(|w| w.len() == 64 && w.bytes().all(|b| b.is_ascii_hexdigit()))
        .unwrap_or_else(|| panic!("no digest in {out}"));
    assert!(
        words.iter().any(|word| keys::sha256_hex(word) == *digest),
        "no word of the output has this digest:\n{out}"
    );
}

#[test]
fn a_port_that_is_taken_is_one_clear_line_and_no_half_start() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let files = Workspace::new(&good().set("/listen/0/address", json!(address)));
    let (code, _, err) = files.run(&["run", "--config", "gateway.yaml"]);
    assert!(code > 0 && err.contains(&address), "{err}");
}

#[test]
fn missing_files_are_told_together_with_wrong_types_and_unknown_keys() {
    let backend = Backend::start();
    let config = Config::new(&backend)
        .set("/listen/0/tls/min_version", json!(1.3))
        .set("/listen/0/tls/certificates/0/private_key", json!("certs/missing.key"))
        .set("/admn", json!({}))
        .set("/clients/0/secrets", json!(["hunter2-hunter2"]));
    let files = Workspace::new(&config);
    let (code, _, said) = files.run(&["check", "--config", files.config().to_str().unwrap()]);
    assert_eq!(code, 1);
    for part in
        ["listen[0].tls.min_version", "certs/missing.key: there is no such file", "unknown key `admn`", "argon2id"]
    {
        assert_eq!(said.matches(part).count(), 1, "{part} in {said}");
    }
    assert!(!said.contains("hunter2"), "{said}");
}

/// How a path below the directory of gateway.yaml is spelled.
type Spell<'a> = &'a dyn Fn(&str) -> String;

/// A configuration in which every key that takes a path has one, spelled so.
fn with_paths(spell: Spell<'_>) -> Config {
    let file = |name: &str| json!({"file": spell(name)});
    let keys = json!({"keys": [keys::TokenKey::generate().jwk("one")]}).to_string();
    let pair = |more: &[(&str, Value)]| {
        let mut pair = json!({"certificate": spell("certs/server.pem"), "private_key": spell("certs/server.key")});
        more.iter().for_each(|(name, value)| pair[*name] = value.clone());
        pair
    };
    good()
        .file("certs/partner.json", &keys)
        .file("certs/cookie.key", &keys::key_file())
        .file("keys.yaml", "[]")
        .set("/listen/0/tls", json!({"certificates": [pair(&[])], "client_ca": spell("certs/ca.pem")}))
        .set("/admin/socket", json!(spell("operators.sock")))
        .set("/issuer/signing_keys", json!(spell("certs/signing")))
        .set("/identifier/key", file("certs/identifier.key"))
        .set("/login/accounts/file", json!(spell("accounts.yaml")))
        .set("/login/issue", json!("both"))
        .set("/login/cookie", json!({"keys": [file("certs/cookie.key")]}))
        .set("/api_keys_file", json!(spell("keys.yaml")))
        .set(
            "/trusted_issuers",
            json!([{"issuer": "https://login.example.com", "jwks": file("certs/partner.json"),
                "audiences": ["legacy-api"], "algorithms": ["ES256"]}]),
        )
        .set("/state/embedded/path", json!(spell("data")))
        .set("/backends/legacy/servers", json!(["https://127.0.0.1:1"]))
        .set("/backends/legacy/tls", pair(&[("ca", json!(spell("certs/ca.pem")))]))
}

#[test]
fn paths_start_at_the_directory_of_gateway_yaml_from_whatever_directory_it_is_named() {
    let files = Workspace::new(&good());
    let home = files.path.clone();
    let above = home.parent().unwrap();
    let name = home.file_name().unwrap().to_str().unwrap().to_owned();
    let absolute = |path: &str| home.join(path).to_str().unwrap().to_owned();
    let spellings: [(&str, Spell<'_>); 4] = [
        ("relative", &|path| path.to_owned()),
        ("absolute", &absolute),
        ("with ..", &|path| format!("certs/../{path}")),
        ("from the one above", &|path| format!("../{name}/{path}")),
    ];
    for (how, spell) in spellings {
        files.configure(&with_paths(spell));
        let from_root = format!("{}/gateway.yaml", home.strip_prefix("/").unwrap().display());
        for (directory, config) in [
            (&*home, "gateway.yaml".to_owned()),
            (above, format!("{name}/gateway.yaml")),
            (above, format!("./{name}/../{name}/gateway.yaml")),
            (Path::new("/"), from_root),
            (Path::new("/"), absolute("gateway.yaml")),
        ] {
            let (code, out, err) = files.run_from(directory, &["check", "--config", &config]);
            assert_eq!((code, err.as_str()), (0, ""), "{how}, {config} in {}: {out}", directory.display());
        }
    }
}
