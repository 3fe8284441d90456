//! Unicode normalization of user names and passwords.

use crate::harness::gateway::form_encode;
use crate::harness::keys::{argon2id, decode};
use crate::harness::*;

/// Spellings that a login with a database of its own may well take for one user.
const SPELLINGS: [&str; 6] =
    ["Erin.Ström", "erin.ström", "ERIN.STRO\u{308}M", " erin.ström", "erin.ström\u{a0}", "\u{ff25}rin.ström"];

fn log_in(gateway: &Gateway, name: &str, password: &str) -> Response {
    let form = format!("username={}&password={}", form_encode(name), form_encode(password));
    gateway.post("/auth/customer_authenticate").form(&form).send()
}

fn by_backend(config: Config) -> Config {
    config.set("/login/accounts", json!({"backend": "legacy", "path": "/login", "subject": "/customer/id"}))
}

#[test]
fn failures_under_the_spellings_of_one_user_name_are_counted_together() {
    let attempts = json!({"free": 5, "free_per_address": 1000, "delay": "5m"});
    let (backend, gateway) = world_with(|config| by_backend(config).set("/login/attempts", attempts));
    backend.on("/login", Behaviour::status(401));
    for name in SPELLINGS {
        log_in(&gateway, name, "wrong").expect(401, "401-04");
    }
    for name in SPELLINGS.into_iter().chain(["eRiN.sTrÖm"]) {
        log_in(&gateway, name, "wrong").expect(429, "429-02");
    }
    // What is another name to everybody is another name here.
    for name in ["erin.strom", "erin ström", "erin.ström2"] {
        log_in(&gateway, name, "wrong").expect(401, "401-04");
    }
    // The company's own login gets the name as it was typed.
    let sent: Vec<_> = backend.requests().iter().map(|seen| String::from_utf8(seen.body.clone()).unwrap()).collect();
    let typed = SPELLINGS.iter().filter(|name| {
        let percent = form_encode(name).to_uppercase().replace('+', "%20");
        sent.iter().any(|form| form.to_uppercase().replace("%2E", ".").contains(&percent.replace("%2E", ".")))
    });
    assert_eq!(typed.count(), SPELLINGS.len(), "{sent:?}");
}

#[test]
fn the_spellings_of_one_user_name_share_their_rate() {
    let (backend, gateway) = world_with(|config| {
        by_backend(config)
            .set("/login/limits", json!({"rate": "1/m", "burst": 2}))
            .set("/login/attempts/free", json!(50))
    });
    backend.on("/login", Behaviour::status(401));
    for name in &SPELLINGS[..2] {
        log_in(&gateway, name, "wrong").expect(401, "401-04");
    }
    log_in(&gateway, SPELLINGS[2], "wrong").expect(429, "429-02");
    log_in(&gateway, "bob", "wrong").expect(401, "401-04");
}

#[test]
fn accounts_of_a_file_are_found_by_any_spelling_where_that_is_configured() {
    let erin = Account { name: "Erin.Ström", secret: "Erin-has-a-password", subject: "account-100009" };
    let (_backend, gateway) = world_with(|config| config.account(erin).set("/login/accounts/fold", json!(true)));
    let subject = |answer: Response| decode(answer.ok().json()["JWT"].as_str().unwrap()).1["sub"].clone();
    let own = subject(log_in(&gateway, erin.name, erin.secret));
    for name in SPELLINGS {
        assert_eq!(subject(log_in(&gateway, name, erin.secret)), own, "{name}");
    }
    for name in ["erin.strom", "erin", "Erin Ström"] {
        log_in(&gateway, name, erin.secret).expect(401, "401-04");
    }
    log_in(&gateway, erin.name, &erin.secret.to_lowercase()).expect(401, "401-04");
    let (_backend, gateway) = world_with(|config| config.account(erin));
    log_in(&gateway, erin.name, erin.secret).ok();
    for name in &SPELLINGS[1..] {
        log_in(&gateway, name, erin.secret).expect(401, "401-04");
    }
}

#[test]
fn two_accounts_that_are_one_by_any_spelling_are_an_error_that_names_both() {
    let one = Account { name: "Erin", secret: "x", subject: "account-100010" };
    let two = Account { name: "ERIN ", secret: "y", subject: "account-100011" };
    let backend = Backend::start();
    let config = Config::new(&backend).account(one).account(two);
    let check = |config: &Config| gateway::Workspace::new(config).run(&["check"]);
    let (code, out, complained) = check(&config.clone().set("/login/accounts/fold", json!(true)));
    assert_ne!(code, 0);
    for part in ["`Erin`", "`ERIN `", "login.accounts.file"] {
        assert!(format!("{out}{complained}").contains(part), "{part}: {out}{complained}");
    }
    let (code, out, complained) = check(&config);
    assert_eq!(code, 0, "{out}{complained}");
}

/// One password as keyboards of several makers send it.
const TYPED: [&str; 3] = ["Zürich\u{20}Cañón", "Zu\u{308}rich\u{20}Can\u{303}o\u{301}n", "Zürich\u{a0}Can\u{303}ón"];
/// What is not that password.
const OTHERS: [&str; 4] = ["zürich Cañón", "Zurich Canon", "ZürichCañón", "Zürich  Cañón"];

#[test]
fn a_password_is_the_same_from_a_mac_and_from_a_phone() {
    let (backend, gateway) = world();
    for hashed in TYPED {
        let (code, hash, _) = gateway.files.run_with(&["hash-password"], format!("{hashed}\n").as_bytes());
        assert_eq!(code, 0);
        let account = json!([{"username": "carol", "password": hash.trim(), "subject": "account-100012"}]);
        let config = Config::new(&backend)
            .set("/login/accounts/file", json!("carol.yaml"))
            .set("/login/attempts", json!({"free": 100}))
            .file("carol.yaml", &account.to_string());
        gateway.reload(&config, "reloaded");
        for typed in TYPED {
            log_in(&gateway, "carol", typed).ok();
        }
        for other in OTHERS {
            log_in(&gateway, "carol", other).expect(401, "401-04");
        }
    }
    let (code, _, complained) = gateway.files.run_with(&["hash-password"], b"caf\xe9\n");
    assert!(code != 0 && complained.contains("UTF-8"), "no login could ever send it: {complained}");
}

#[test]
fn a_hash_of_a_password_as_it_was_typed_then_stays_good() {
    // Made by an earlier version, or by another program: of the bytes as they came.
    for typed in TYPED {
        let account = json!([{"username": "carol", "password": argon2id(typed), "subject": "account-100012"}]);
        let (_backend, gateway) = world_with(|config| {
            config.set("/login/accounts/file", json!("carol.yaml")).file("carol.yaml", &account.to_string())
        });
        log_in(&gateway, "carol", typed).ok();
        log_in(&gateway, "carol", OTHERS[0]).expect(401, "401-04");
    }
}

#[test]
fn an_account_is_found_by_its_name_from_every_keyboard() {
    let (backend, gateway) = world();
    let (_, hash, _) = gateway.files.run_with(&["hash-password"], b"secret\n");
    let account = json!([{"username": "M\u{fc}ller", "password": hash.trim(), "subject": "account-100013"}]);
    let config = Config::new(&backend).set("/login/accounts/file", json!("names.yaml"));
    gateway.reload(&config.file("names.yaml", &account.to_string()), "reloaded");
    log_in_as(&gateway, "M\u{fc}ller").ok();
    log_in_as(&gateway, "Mu\u{308}ller").ok();
    log_in_as(&gateway, "Muller").expect(401, "401-04");
    log_in_as(&gateway, "m\u{fc}ller").expect(401, "401-04");
}

fn log_in_as(gateway: &Gateway, name: &str) -> Response {
    gateway.login_request(name, "secret").send()
}
