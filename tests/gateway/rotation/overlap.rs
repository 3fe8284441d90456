//! A rotation within the overlap of the one before: no announced end comes earlier.

use crate::harness::keys::sha256_hex;
use crate::harness::*;
use crate::rotation::keys::{run, shown};

#[test]
fn an_api_key_rotated_twice_keeps_the_end_that_was_announced_first() {
    let (_backend, gateway) = world();
    let get = |key: &str| gateway.get("/key/x").api_key(key).send();
    let said = run(&gateway, &["rotate", "api-key", "asapp-prod", "--overlap", "1h"]);
    let second = shown(&said);
    let said = run(&gateway, &["rotate", "api-key", "asapp-prod", "--overlap", "1s"]);
    let third = shown(&said);
    assert_eq!(said.matches(" is good until ").count(), 2, "{said}");
    get(&third).ok();
    eventually("the second one ends", || get(&second).status == 403);
    get(API_KEY).ok();
    get(&third).ok();
}

#[test]
fn two_live_api_keys_both_get_the_end_of_a_rotation() {
    let other = "wgk_asapp.other";
    let (_backend, gateway) =
        world_with(|c| c.set("/api_keys/0/sha256", json!([sha256_hex(API_KEY), sha256_hex(other)])));
    let get = |key: &str| gateway.get("/key/x").api_key(key).send();
    let new = shown(&run(&gateway, &["rotate", "api-key", "asapp-prod", "--overlap", "1h"]));
    for key in [API_KEY, other, &new] {
        get(key).ok();
    }
    let text = std::fs::read_to_string(gateway.files.config()).unwrap();
    assert_eq!(text.matches(" until 20").count(), 2, "{text}");
}

#[test]
fn two_live_client_secrets_both_stay_good_until_the_end_that_is_announced() {
    let other = "asapp-secret-two-Zk3vQ9";
    let (_backend, gateway) =
        world_with(|c| c.set("/clients/0/secrets", json!([keys::argon2id(CLIENT.secret), keys::argon2id(other)])));
    let status = |secret: &str| gateway.token_request(CLIENT.name, secret).send().status;
    let new = shown(&run(&gateway, &["rotate", "client-secret", CLIENT.name]));
    for secret in [CLIENT.secret, other, &new] {
        assert_eq!(status(secret), 200);
    }
    // One more within the overlap, which is shorter.
    let newest = shown(&run(&gateway, &["rotate", "client-secret", CLIENT.name, "--overlap", "1s"]));
    eventually("the one before ends", || status(&new) == 401);
    for secret in [CLIENT.secret, other, &newest] {
        assert_eq!(status(secret), 200);
    }
}

#[test]
fn a_cookie_key_rotated_twice_keeps_the_end_that_was_announced_first() {
    let (_backend, gateway) = world_with(|config| config.cookies("cookie"));
    let log_in = || {
        let answer = gateway.login_request(ALICE.name, ALICE.secret).send().ok();
        answer.header("set-cookie").unwrap().split(';').next().unwrap().to_owned()
    };
    let get = |cookie: &str| gateway.get("/me/x").header("Cookie", cookie).send();
    let first = log_in();
    run(&gateway, &["rotate", "cookie-key", "--overlap", "1h"]);
    let second = log_in();
    run(&gateway, &["rotate", "cookie-key", "--overlap", "1s"]);
    eventually("the key before ends", || get(&second).status == 401);
    get(&first).ok();
    get(&log_in()).ok();
}

#[test]
fn a_cookie_key_whose_time_has_not_come_is_followed_by_another_and_the_file_stays_good() {
    let (_backend, gateway) = world_with(|config| config.cookies("cookie"));
    run(&gateway, &["rotate", "cookie-key", "--delay", "1h"]);
    run(&gateway, &["rotate", "cookie-key", "--delay", "0s", "--overlap", "1s"]);
    assert_eq!(gateway.files.run(&["check"]).0, 0);
    gateway.hup("reloaded");
}

#[test]
fn a_rotation_that_would_give_nothing_is_refused_and_the_end_that_is_told_is_the_one_that_counts() {
    let (_backend, gateway) = world_with(|c| {
        c.set("/api_keys/0/expires", json!("2020-01-01T00:00:00Z"))
            .set("/api_keys/2/expires", json!("2030-01-01T00:00:00Z"))
    });
    let before = std::fs::read_to_string(gateway.files.config()).unwrap();
    let (code, said, complained) = gateway.files.run(&["rotate", "api-key", "asapp-prod"]);
    assert!(code == 1 && !said.contains("shown this once") && complained.contains("expires"), "{said}{complained}");
    assert_eq!(std::fs::read_to_string(gateway.files.config()).unwrap(), before);
    let said = run(&gateway, &["rotate", "api-key", "free", "--overlap", "3650d"]);
    assert!(said.contains("is good until 2030-01-01T00:00:00Z"), "{said}");
}

#[test]
fn rotations_at_the_same_time_lose_none_of_the_secrets_that_they_show() {
    let (_backend, gateway) = world();
    let files = &gateway.files;
    let said: Vec<String> = std::thread::scope(|scope| {
        let rotations: Vec<_> = (0..8)
            .map(|number| {
                let args = if number % 2 == 0 { ["client-secret", CLIENT.name] } else { ["api-key", "free"] };
                scope.spawn(move || files.run(&["rotate", args[0], args[1]]))
            })
            .collect();
        rotations
            .into_iter()
            .map(|rotation| rotation.join().unwrap())
            .map(|(code, said, complained)| {
                assert_eq!(code, 0, "{said}{complained}");
                shown(&said)
            })
            .collect()
    });
    gateway.hup("reloaded");
    for (number, secret) in said.iter().enumerate() {
        let status = match number % 2 {
            0 => gateway.token_request(CLIENT.name, secret).send().status,
            _ => gateway.get("/key/x").api_key(secret).send().status,
        };
        assert_eq!(status, 200, "{number}");
    }
}
