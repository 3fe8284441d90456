//! Logins that operators list and end by session, token or name.

use super::logout::{by_jwt, everything, has_ended, lives, log_in};
use crate::harness::keys::decode;
use crate::harness::*;

fn operators_end_a_login_by_its_refresh_token_or_cookie_and_no_secret_is_kept_or_shown(store: &Store) {
    let (_backend, gateway) = store.world_with(everything);
    let config = gateway.files.config();
    let run = |args: &[&str], input: &str| {
        gateway.files.run_with(&[args, &["--config", config.to_str().unwrap()]].concat(), input.as_bytes())
    };
    let mut secrets: Vec<String> = Vec::new();
    for by_refresh_token in [true, false] {
        let (login, other) = (log_in(&gateway), log_in(&gateway));
        let cookie = login.cookie.split_once('=').unwrap().1;
        let secret = if by_refresh_token { login.refresh.clone() } else { cookie.to_owned() };
        let id = decode(&login.jwt).1["sid"].as_str().unwrap().to_owned();
        let (code, said, err) = run(&["revoke", "token", "-"], &secret);
        assert!(code == 0 && said.contains(&format!("revoked: login {id}")), "{said}{err}");
        has_ended(&gateway, &login);
        lives(&gateway, &other);
        let (code, again, err) = run(&["revoke", "token", "-"], &secret);
        assert!(code == 1 && err.contains("nothing to end"), "{err}");
        assert!(![said, again, err].iter().any(|text| text.contains(&*secret)));
        secrets.push(secret);
    }
    secrets.push(log_in(&gateway).jwt);
    secrets.push(log_in(&gateway).cookie);
    secrets.push("wgr_AAAA".to_owned());
    secrets.push(format!("wgs_{}", "a".repeat(43)));
    secrets.push(format!("wgk_asapp-prod.{}", "a".repeat(43)));
    for secret in &secrets {
        for command in [
            &["revoke", "login", secret][..],
            &["revoke", "customer", secret],
            &["revoke", "client", secret],
            &["revoke", "api-key", secret],
            &["revoke", "token", "--issuer", "https://gateway.test", secret],
            &["sessions", "show", secret],
            &["sessions", "end", secret],
            &["sessions", "list", "--customer", secret],
        ] {
            let (code, said, err) = run(command, "");
            assert!(code == 1 && err.contains("secret") && !format!("{said}{err}").contains(&**secret), "{err}");
        }
    }
    let listed = run(&["revoke", "list"], "").1;
    assert!(!secrets.iter().any(|secret| listed.contains(&**secret)), "{listed}");
}

fn operators_see_and_end_logins_of_which_only_refresh_tokens_are_left(store: &Store) {
    let (_backend, gateway) = store.world_with(|c| everything(c).set("/login/cookie/idle", json!("1s")));
    let config = gateway.files.config();
    let run = |args: &[&str]| gateway.files.run(&[args, &["--config", config.to_str().unwrap()]].concat());
    let listed = || -> Vec<Value> { serde_json::from_str(&run(&["sessions", "list", "--json"]).1).unwrap() };
    for command in [["sessions", "end"], ["revoke", "login"]] {
        let (login, other) = (log_in(&gateway), log_in(&gateway));
        let id = decode(&login.jwt).1["sid"].as_str().unwrap().to_owned();
        eventually("it is idle", || listed().iter().any(|found| found["id"] == id && found["kind"] == "refresh"));
        let (code, said, err) = run(&["sessions", "show", &id]);
        assert!(code == 0 && said.contains("refresh"), "{said}{err}");
        let (code, said, err) = run(&[command[0], command[1], &id]);
        assert!(code == 0 && said.contains(&id) && !said.contains("nothing is known"), "{said}{err}");
        has_ended(&gateway, &login);
        by_jwt(&gateway, &other.jwt).ok();
        assert!(!listed().iter().any(|found| found["id"] == id));
    }
}

fn operators_see_a_login_by_the_name_that_its_tokens_bear_and_end_it_by_that(store: &Store) {
    let (_backend, gateway) = store.world_with(everything);
    let config = gateway.files.config();
    let run = |args: &[&str]| gateway.files.run(&[args, &["--config", config.to_str().unwrap()]].concat());
    for command in [["sessions", "end"], ["revoke", "login"]] {
        let (login, other) = (log_in(&gateway), log_in(&gateway));
        let id = decode(&login.jwt).1["sid"].as_str().unwrap().to_owned();
        let (code, listed, err) = run(&["sessions", "list"]);
        assert!(code == 0 && listed.contains(&id), "{listed}{err}");
        let (code, said, err) = run(&[command[0], command[1], &id]);
        assert!(code == 0 && said.contains(&id) && !said.contains("no live session"), "{said}{err}");
        has_ended(&gateway, &login);
        lives(&gateway, &other);
        let (code, said, _) = run(&["revoke", "login", &id]);
        assert!(code == 0 && said.contains("no live session"), "{said}");
    }
    let (code, _, err) = run(&["revoke", "login", "abc"]);
    assert!(code == 1 && err.contains("there is no login `abc`"), "{err}");
}

on_both_stores! {
    operators_end_a_login_by_its_refresh_token_or_cookie_and_no_secret_is_kept_or_shown
    operators_see_and_end_logins_of_which_only_refresh_tokens_are_left
    operators_see_a_login_by_the_name_that_its_tokens_bear_and_end_it_by_that
}
