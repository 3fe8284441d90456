//! Rotation of every kind of key and secret without a refused call.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::harness::backend::Seen;
use crate::harness::identity_provider::{IdentityProvider, token};
use crate::harness::keys::{TokenKey, decode, key_file, sha256_hex};
use crate::harness::*;
use crate::identity::backend_assertion;

/// What a command says that must succeed.
#[track_caller]
pub(crate) fn run(gateway: &Gateway, args: &[&str]) -> String {
    gateway.files.succeeds(args)
}

/// The line behind "shown this once:".
pub(crate) fn shown(said: &str) -> String {
    said.lines().find_map(|line| line.strip_prefix("  ")).unwrap_or_else(|| panic!("nothing shown: {said}")).to_owned()
}

#[test]
fn a_new_signing_key_is_published_then_signs_and_no_call_is_refused() {
    let (_backend, gateway) = world_with(|config| config.set("/issuer/publish_delay", json!("2s")));
    let first = gateway.login(ALICE);
    let kid = |token: &str| decode(token).0["kid"].as_str().unwrap().to_owned();
    let load = Load::of(gateway.get("/me/x").customer(&first));
    let said = run(&gateway, &["rotate", "signing-key", "--algorithm", "eddsa"]);
    load.goes_on();
    assert!(said.contains("has taken it up"), "{said}");
    let set = gateway.get("/.well-known/jwks.json").send().ok().json();
    assert_eq!(set["keys"].as_array().unwrap().len(), 2, "published at once");
    assert_eq!(kid(&gateway.login(ALICE)), kid(&first), "and does not sign yet");
    let mut second = String::new();
    eventually("the new key signs", || {
        second = gateway.login(ALICE);
        kid(&second) != kid(&first)
    });
    assert_eq!(decode(&second).0["alg"], "EdDSA");
    for token in [&first, &second] {
        gateway.get("/me/x").customer(token).send().ok();
    }
    load.finish();
    let table = run(&gateway, &["keys"]);
    let lines: Vec<&str> = table.lines().filter(|line| line.starts_with("signing_key")).collect();
    assert!(lines[0].contains(&kid(&second)) && lines[0].contains("current"), "{table}");
    assert!(
        lines[1].contains(&kid(&first)) && lines[1].contains("previous") && lines[1].contains("by itself"),
        "{table}"
    );
    let labels = [("kind", "signing_key"), ("version", &*kid(&second))];
    assert!(gateway.metric("wicketgate_key_last_used_timestamp_seconds", &labels) > 1e9);
}

#[test]
fn an_api_key_has_a_next_version_and_the_one_before_ends_by_itself() {
    let (_backend, gateway) = world();
    let load = Load::of(gateway.get("/key/x").api_key(API_KEY));
    let said = run(&gateway, &["rotate", "api-key", "asapp-prod", "--overlap", "1h"]);
    let second = shown(&said);
    assert!(second.starts_with("wgk_asapp-prod."), "{second}");
    let get = |key: &str| gateway.get("/key/x").api_key(key).send();
    get(&second).ok();
    get(API_KEY).ok();
    load.finish();
    let third = shown(&run(&gateway, &["rotate", "api-key", "asapp-prod", "--overlap", "1s"]));
    get(&third).ok();
    eventually("the second one ends", || get(&second).status == 403);
    // The end of the first one has been told: it does not come earlier.
    get(API_KEY).ok();
    let line = gateway.access_line(get(&second).header("x-request-id").unwrap());
    assert_eq!(line["refusal"], "api_key_expired");
    let text = std::fs::read_to_string(gateway.files.config()).unwrap();
    for key in [&second, &third] {
        assert!(!text.contains(key.as_str()), "a key itself never stands in the file");
    }
    let table = run(&gateway, &["keys"]);
    let mine: Vec<&str> = table.lines().filter(|line| line.contains("asapp-prod")).collect();
    assert!(mine[0].contains("current") && mine[1].contains("ended") && mine[1].ends_with("yes"), "{table}");
    assert!(mine[2].contains("previous") && mine[2].ends_with("by itself"), "{table}");
    assert!(!table.contains(&third));
}

#[test]
fn a_client_secret_has_a_next_version_and_nobody_else_is_touched() {
    let (_backend, gateway) = world();
    let status = |secret: &str| gateway.token_request(CLIENT.name, secret).send().status;
    let load = Load::of(gateway.token_request(CLIENT.name, CLIENT.secret));
    let rotate = |overlap: &str| {
        let said = run(&gateway, &["rotate", "client-secret", CLIENT.name, "--overlap", overlap]);
        shown(&said)
    };
    let first = rotate("1h");
    load.finish();
    let second = rotate("1s");
    eventually("the one before ends", || status(&first) == 401);
    assert_eq!(status(&second), 200);
    // Its end has been told: it does not come earlier.
    assert_eq!(status(CLIENT.secret), 200);
    assert_eq!(gateway.token_request(OTHER_CLIENT.name, OTHER_CLIENT.secret).send().status, 200);
}

#[test]
fn rotating_changes_one_list_of_a_file_for_people_and_leaves_the_rest() {
    let (_backend, gateway) = world();
    let hash = keys::argon2id(CLIENT.secret);
    let yaml = format!(
        "# ours\n{}clients:   # who calls\n  - id: asapp # them\n    secrets:\n      # made in spring\n      - '{hash}'\n    scopes: [ profile ]\n",
        include_str!("../../../gateway.yaml").split("clients:").next().unwrap()
    );
    let rest = include_str!("../../../gateway.yaml");
    let rest = &rest[rest.find("\napi_keys:").unwrap()..];
    let files = &gateway.files;
    files.write("people.yaml", &(yaml.clone() + rest));
    let (code, said, complained) = files.run(&["rotate", "client-secret", "asapp", "--config", "people.yaml"]);
    assert_eq!(code, 0, "{said}{complained}");
    let changed = std::fs::read_to_string(files.path.join("people.yaml")).unwrap();
    let (before, after) = changed.split_once("      # made in spring\n").unwrap();
    assert_eq!(before, yaml.split_once("      # made in spring\n").unwrap().0);
    let lines: Vec<&str> = after.lines().take(3).collect();
    assert!(lines[0].starts_with("      - \"$argon2id$"), "{lines:?}");
    assert!(lines[1].starts_with(&format!("      - \"{hash} until 20")), "{lines:?}");
    assert_eq!(lines[2], "    scopes: [ profile ]");
    let (code, _, complained) = files.run(&["rotate", "client-secret", "nobody", "--config", "people.yaml"]);
    assert!(code == 1 && complained.contains("no client `nobody`"), "{complained}");
}

#[test]
fn a_cookie_key_has_a_next_version_and_no_login_is_lost() {
    let (_backend, gateway) = world_with(|config| config.cookies("cookie"));
    let log_in = || {
        let answer = gateway.login_request(ALICE.name, ALICE.secret).send().ok();
        answer.header("set-cookie").unwrap().split(';').next().unwrap().to_owned()
    };
    let first = log_in();
    let load = Load::of(gateway.get("/me/x").header("Cookie", &first));
    run(&gateway, &["rotate", "cookie-key", "--overlap", "1h"]);
    let second = log_in();
    let key_of = |cookie: &str| cookie.split('.').nth(1).unwrap().to_owned();
    assert_ne!(key_of(&first), key_of(&second));
    let get = |cookie: &str| gateway.get("/me/x").header("Cookie", cookie).send();
    get(&first).ok();
    get(&second).ok();
    load.finish();
    run(&gateway, &["rotate", "cookie-key", "--overlap", "1s"]);
    let third = log_in();
    eventually("the key before ends", || get(&second).status == 401);
    // The end of the first one has been told: it does not come earlier.
    get(&first).ok();
    get(&third).ok();
}

#[test]
fn api_keys_of_a_file_of_their_own_change_without_a_signal() {
    let key = "wgk_partner.aYf7sQ2Lr9";
    let entry = |until: &str| {
        json!([{"id": "partner", "sha256": [format!("{}{until}", sha256_hex(key))], "routes": ["key"]}]).to_string()
    };
    let (_backend, gateway) = world_with(|config| {
        config.set("/api_keys_file", json!("certs/api-keys.yaml")).file("certs/api-keys.yaml", "[]")
    });
    let get = |key: &str| gateway.get("/key/x").api_key(key).send().status;
    assert_eq!(get(key), 403);
    gateway.files.write("certs/api-keys.yaml", &entry(""));
    eventually("the new key opens", || get(key) == 200);
    let second = shown(&run(&gateway, &["rotate", "api-key", "partner"]));
    assert_eq!((get(key), get(&second), get(API_KEY)), (200, 200, 200));
    // A mistake changes nothing, and says where it is.
    let from = gateway.stderr.count();
    gateway.files.write("certs/api-keys.yaml", "- id: partner\n  sha256: [ abc ]\n  routes: [ key ]\n");
    let line = gateway.stderr.wait_after(from, |line| line["message"] == "reload failed").unwrap();
    let reason = line["reason"].as_str().unwrap();
    assert!(reason.contains("api-keys.yaml:2:13") && reason.contains("64 hex digits"), "{reason}");
    assert_eq!(get(&second), 200);
    gateway.files.write("certs/api-keys.yaml", "[]");
    eventually("the key is gone", || get(key) == 403 && get(&second) == 403);
    assert_eq!(get(API_KEY), 200);
}

#[test]
fn the_same_api_key_id_in_two_files_is_a_fault_that_names_both() {
    let backend = Backend::start();
    let entry = json!([{"id": "asapp-prod", "sha256": [sha256_hex("x")], "routes": ["key"]}]).to_string();
    let config = Config::new(&backend).set("/api_keys_file", json!("more.yaml")).file("more.yaml", &entry);
    let files = gateway::Workspace::new(&config);
    let (code, _, complained) = files.run(&["check"]);
    assert_eq!(code, 1);
    assert!(complained.contains("more.yaml:1") && complained.contains("already used in gateway.yaml"), "{complained}");
}

#[test]
fn an_api_key_has_its_header_its_networks_and_its_end() {
    let (backend, gateway) = world_with(|config| {
        let key = |id: &str, more: Value| {
            let mut key = json!({"id": id, "sha256": [sha256_hex(id)], "routes": ["key"]});
            key.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            key
        };
        config.route("key", "api_key_header", json!("X-Partner-Key")).set(
            "/api_keys",
            json!([
                key("here", json!({"allow": ["127.0.0.0/8", "2001:db8::/32"]})),
                key("elsewhere", json!({"allow": ["203.0.113.0/24"]})),
                key("over", json!({"expires": "2020-01-01T00:00:00Z"})),
                key("running", json!({"expires": "2099-01-01T00:00:00Z"})),
                json!({"id": "profile", "sha256": [sha256_hex("profile")], "routes": ["profile"]}),
            ]),
        )
    });
    let get = |key: &str| gateway.get("/key/x").header("X-Partner-Key", key).send();
    get("here").ok();
    get("running").ok();
    assert_eq!(backend.last().header("x-partner-key"), None, "the backend does not see it");
    for (key, word) in [("elsewhere", "api_key_address"), ("over", "api_key_expired"), ("nobody", "api_key_unknown")] {
        let answer = get(key).expect(403, "403-01");
        assert_eq!(gateway.access_line(answer.header("x-request-id").unwrap())["refusal"], word);
    }
    let answer = gateway.get("/key/x").api_key("here").send();
    assert_eq!(answer.status, 403, "the usual header means nothing on this route");
}

#[test]
fn secrets_come_from_a_mounted_directory_too() {
    let backend = Backend::start();
    let config = Config::new(&backend)
        .set("/identifier/key", json!({"credential": "identifier.key"}))
        .set("/backends/legacy/authorization", json!({"bearer": {"credential": "backend.token"}}));
    let files = Arc::new(gateway::Workspace::new(&config));
    // As Kubernetes mounts secrets: the names lead to a directory that is swapped as a whole.
    let mounted = files.path.join("credentials");
    let swap = |version: &str, token: &str, key: &str| {
        std::fs::create_dir_all(mounted.join(version)).unwrap();
        for (name, text) in [("identifier.key", key), ("backend.token", token)] {
            let name = format!("credentials/{version}/{name}");
            files.write(&name, text);
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o440);
            std::fs::set_permissions(files.path.join(name), mode).unwrap();
        }
        std::os::unix::fs::symlink(version, mounted.join("..data_tmp")).unwrap();
        std::fs::rename(mounted.join("..data_tmp"), mounted.join("..data")).unwrap();
    };
    let key = key_file();
    swap("..2026_1", "first-token", &key);
    for name in ["identifier.key", "backend.token"] {
        std::os::unix::fs::symlink(format!("..data/{name}"), mounted.join(name)).unwrap();
    }
    let (code, _, complained) = files.run(&["check"]);
    assert!(code == 1 && complained.contains("CREDENTIALS_DIRECTORY is not set"), "{complained}");
    let directory = files.path.join("credentials");
    let gateway =
        Gateway::start_with(Arc::clone(&files), config.signing_key.clone(), &[("CREDENTIALS_DIRECTORY", directory)]);
    gateway.get("/me/x").customer(&gateway.customer_token()).send().ok();
    assert!(backend.last().header("x-customer-id").unwrap().starts_with("t1-"));
    assert_eq!(backend.last().header("authorization"), Some("Bearer first-token"));
    swap("..2026_2", "second-token", &key);
    eventually("the next version is taken up without a signal", || {
        gateway.get("/public/x").send().ok();
        backend.last().header("authorization") == Some("Bearer second-token")
    });
    let from = gateway.stderr.count();
    swap("..2026_3", "", &key);
    assert!(gateway.stderr.wait_after(from, |line| line["message"] == "reload failed").is_some());
    gateway.get("/me/x").customer(&gateway.customer_token()).send().ok();
    assert_eq!(backend.last().header("authorization"), Some("Bearer second-token"));
}

#[test]
fn a_renewed_certificate_is_served_without_a_signal() {
    let (_backend, gateway) = world();
    let serial = || {
        let connection = Connection::open(gateway.address);
        connection.server_certificate()
    };
    let before = serial();
    let load = Load::of(gateway.get("/public/x"));
    let pair = keys::certificate(&["localhost", "127.0.0.1"], rcgen::ExtendedKeyUsagePurpose::ServerAuth);
    // First the key alone: for a moment the two do not fit, and the old ones stay.
    gateway.files.write("certs/server.key", &pair.key);
    load.goes_on();
    gateway.files.write("certs/server.pem", &pair.certificate);
    eventually("the new certificate is served", || serial() != before);
    load.finish();
}

#[test]
fn another_issuers_keys_rotate_and_no_call_is_refused() {
    let keys: [TokenKey; 3] = std::array::from_fn(|_| TokenKey::generate());
    let published = |from: usize, to: usize| -> Vec<Value> {
        (from..=to).map(|number| keys[number].jwk(&format!("k{number}"))).collect()
    };
    let provider = IdentityProvider::start(&published(0, 0));
    let (_backend, gateway) = world_with(|config| {
        config.set(
            "/trusted_issuers",
            json!([{"issuer": "https://login.example.com", "jwks": provider.jwks_url(), "audiences": ["legacy-api"],
                    "algorithms": ["ES256"], "refresh": {"interval": "1s", "cooldown": "1s", "timeout": "2s"}}]),
        )
    });
    let signs = Arc::<AtomicUsize>::default();
    let (signing, signers, me) = (Arc::clone(&signs), keys.clone(), gateway.get("/me/x"));
    let load = Load::start(move || {
        let number = signing.load(Ordering::SeqCst);
        me.clone().customer(&token(&signers[number], &format!("k{number}"), "https://login.example.com", "ann"))
    });
    for next in [1, 2] {
        provider.publish_keys(&published(next - 1, next));
        let asked = provider.asked();
        eventually("the new key is fetched", || provider.asked() > asked);
        let labels = [("issuer", "https://login.example.com")];
        eventually("and known", || gateway.metric("wicketgate_issuer_keys", &labels) == 2.0);
        load.goes_on();
        signs.store(next, Ordering::SeqCst);
        load.goes_on();
        provider.publish_keys(&published(next, next));
        eventually("the old key is gone", || gateway.metric("wicketgate_issuer_keys", &labels) == 1.0);
    }
    load.finish();
    let old = token(&keys[0], "k0", "https://login.example.com", "ann");
    assert_eq!(gateway.get("/me/x").customer(&old).send().status, 401);
}

#[test]
fn backend_assertions_verify_during_a_key_rotation() {
    let (backend, gateway) = world_with(|config| {
        config.set("/issuer/publish_delay", json!("1s")).set("/backends/legacy/backend_assertion", json!({}))
    });
    let kid = |seen: &Seen| decode(seen.header(backend_assertion::HEADER).unwrap()).0["kid"].clone();
    let load = Load::of(gateway.get("/me/x").customer(&gateway.customer_token()));
    let first = kid(&backend.last());
    run(&gateway, &["rotate", "signing-key", "--algorithm", "eddsa"]);
    eventually("the new key signs", || kid(&backend.last()) != first);
    load.finish();
    let seen = backend.requests();
    let cases: Vec<Value> = seen.iter().map(backend_assertion::case).collect();
    let customer = json!({"customer": seen[0].header("x-customer-id")});
    for found in backend_assertion::checked(&gateway, &cases) {
        assert_eq!(found, customer);
    }
    assert!(kid(&seen[0]) == first && kid(&seen[seen.len() - 1]) != first);
}

#[test]
fn clients_find_the_endpoints_in_the_metadata() {
    let (_backend, gateway) = world();
    let metadata = gateway.get("/.well-known/oauth-authorization-server").send().ok().json();
    assert_eq!(metadata["issuer"], "https://gateway.test");
    assert_eq!(metadata["token_endpoint"], "https://gateway.test/oauth/access_token");
    assert_eq!(metadata["jwks_uri"], "https://gateway.test/.well-known/jwks.json");
    let kinds = [
        "client_credentials",
        "urn:ietf:params:oauth:grant-type:token-exchange",
        "urn:ietf:params:oauth:grant-type:jwt-bearer",
    ];
    assert_eq!(metadata["grant_types_supported"], json!(kinds));
    assert_eq!(metadata["scopes_supported"], json!(["profile"]));
    let (_backend, gateway) = world_with(|config| config.set("/issuer/url", json!("https://gateway.test/tenant")));
    let metadata = gateway.get("/.well-known/oauth-authorization-server/tenant").send().ok().json();
    assert_eq!(metadata["issuer"], "https://gateway.test/tenant");
}

#[test]
fn the_last_use_of_keys_is_known_after_a_restart() {
    let (_backend, mut gateway) = world();
    gateway.get("/key/x").api_key(API_KEY).send().ok();
    assert_eq!(gateway.terminate(), Some(0));
    let gateway = gateway.restart();
    let labels = [("kind", "api_key"), ("id", "asapp-prod")];
    assert!(gateway.metric("wicketgate_key_last_used_timestamp_seconds", &labels) > 1e9);
    assert!(!gateway.metrics().contains(API_KEY));
}
