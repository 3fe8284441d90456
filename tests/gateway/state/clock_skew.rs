//! Replicas with different clocks: revocations and later logins hold at both.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::harness::customer::{by_cookie, session_cookie};
use crate::harness::*;
use crate::state::replicas::until;

/// The environment of a gateway whose clock is so far ahead.
pub(crate) fn clock(ahead: &str) -> [(&'static str, PathBuf); 3] {
    let library = format!("/usr/lib/{}-linux-gnu/faketime/libfaketime.so.1", std::env::consts::ARCH);
    assert!(PathBuf::from(&library).exists(), "{library} is missing: install the Debian package libfaketime");
    [("LD_PRELOAD", library.into()), ("FAKETIME", ahead.into()), ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into())]
}

/// Two gateways on one Redis, the first with a clock that is 20 seconds ahead.
fn apart(redis: &RedisServer, backend: &Backend) -> [Gateway; 2] {
    let config = Config::new(backend)
        .cookies("both")
        .set("/state/redis", json!({"url": redis.url()}))
        .set("/issuer/clock_skew", json!("30s"))
        .set("/login/refresh", json!({"lifetime": "1h"}))
        .file("certs/identifier.key", &keys::key_file());
    let clock = clock("+20s");
    let files = || Arc::new(gateway::Workspace::new(&config));
    let ahead = Gateway::start_with(files(), config.signing_key.clone(), &clock);
    let right = Gateway::start_with(files(), config.signing_key.clone(), &[]);
    [&ahead, &right].into_iter().for_each(Gateway::is_ready);
    let issued = |gateway: &Gateway| keys::decode(&gateway.login(BOB)).1["iat"].as_u64().unwrap();
    assert!(issued(&ahead) >= issued(&right) + 15, "the clocks do not differ");
    [ahead, right]
}

/// All that one login gives.
struct Login {
    cookie: String,
    token: String,
    refresh: String,
}

#[track_caller]
fn log_in(gateway: &Gateway) -> Login {
    let answer = gateway.login_request(ALICE.name, ALICE.secret).send().ok();
    let text = |name: &str| answer.json()[name].as_str().unwrap().to_owned();
    Login { cookie: session_cookie(&answer), token: text("JWT"), refresh: text("refresh_token") }
}

impl Login {
    fn statuses(&self, gateway: &Gateway) -> [u16; 2] {
        [by_cookie(gateway, &self.cookie).send().status, gateway.get("/me/x").customer(&self.token).send().status]
    }

    fn refreshed(&self, gateway: &Gateway) -> Response {
        let body = format!("grant_type=refresh_token&refresh_token={}", self.refresh);
        let request = gateway.post("/oauth/access_token");
        request.header("Content-Type", "application/x-www-form-urlencoded").body(body.into_bytes()).send()
    }
}

/// It is good at once, and after every replica has read what there is.
#[track_caller]
fn stays_good(gateways: &[Gateway; 2], statuses: impl Fn(&Gateway) -> Vec<u16>) {
    for _ in 0..15 {
        for gateway in gateways {
            let found = statuses(gateway);
            assert!(found.iter().all(|status| *status == 200), "{found:?}");
        }
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_revocation_at_either_replica_ends_logins_at_both_and_later_logins_are_good_at_both() {
    let (redis, backend) = (RedisServer::start(), Backend::start());
    let gateways = apart(&redis, &backend);
    for revoking in [0, 1, 0] {
        let client = |gateway: &Gateway| gateway.token(CLIENT);
        let called = |gateway: &Gateway, token: &str| gateway.get("/system/x").bearer(token).send().status;
        let (tokens, logins) = (gateways.each_ref().map(client), gateways.each_ref().map(log_in));
        // A JWT that came later than its login.
        let refreshed = logins[1].refreshed(&gateways[0]).ok().json()["JWT"].as_str().unwrap().to_owned();
        let by_refreshed = |gateway: &Gateway| gateway.get("/me/x").customer(&refreshed).send().status;
        stays_good(&gateways, |gateway| {
            let of_clients = tokens.iter().map(|token| called(gateway, token));
            let of_customers = logins.iter().flat_map(|login| login.statuses(gateway));
            of_clients.chain(of_customers).chain([by_refreshed(gateway)]).collect()
        });
        let customer = keys::decode(&refreshed).1["sub"].as_str().unwrap().to_owned();
        gateways[revoking].files.succeeds(&["revoke", "client", CLIENT.name]);
        gateways[revoking].files.succeeds(&["revoke", "customer", &customer]);
        for gateway in &gateways {
            until("the client's are over", || tokens.iter().all(|token| called(gateway, token) == 401));
            until("the customer's are over", || logins.iter().all(|login| login.statuses(gateway) == [401, 401]));
            until("also what was refreshed", || by_refreshed(gateway) == 401);
            logins.iter().for_each(|login| drop(login.refreshed(gateway).expect(400, "")));
        }
        let (tokens, logins) = (gateways.each_ref().map(client), gateways.each_ref().map(log_in));
        stays_good(&gateways, |gateway| {
            let of_clients = tokens.iter().map(|token| called(gateway, token));
            of_clients.chain(logins.iter().flat_map(|login| login.statuses(gateway))).collect()
        });
    }
}

#[test]
fn one_login_is_over_at_both_replicas_and_another_is_not() {
    let (redis, backend) = (RedisServer::start(), Backend::start());
    let gateways = apart(&redis, &backend);
    for (issuing, ending) in [(0, 1), (1, 0)] {
        let (goes, stays) = (log_in(&gateways[issuing]), log_in(&gateways[issuing]));
        gateways[ending].post("/auth/logout").customer(&goes.token).send().expect(204, "");
        for gateway in &gateways {
            until("it is over", || goes.statuses(gateway) == [401, 401]);
        }
        stays_good(&gateways, |gateway| stays.statuses(gateway).to_vec());
    }
}

/// Logs out everywhere, logs in, and logs out everywhere again, as fast as it goes: what came in between is over.
fn has_no_gap(gateways: &[&Gateway], first: &Gateway, between: &Gateway, second: &Gateway) {
    let everywhere = |gateway: &Gateway, login: &Login| {
        gateway.post("/auth/logout?everywhere=true").customer(&login.token).send().expect(204, "");
    };
    let (one, other) = (log_in(first), log_in(second));
    everywhere(first, &one);
    for gateway in gateways {
        until("all are over", || other.statuses(gateway) == [401, 401]);
    }
    for _ in 0..8 {
        let (gap, last) = (log_in(between), log_in(second));
        everywhere(second, &last);
        for gateway in gateways {
            until("it is over", || gap.statuses(gateway) == [401, 401]);
            assert_eq!(last.statuses(gateway), [401, 401]);
        }
        let good = log_in(between);
        for gateway in gateways {
            assert_eq!(good.statuses(gateway), [200, 200]);
        }
    }
}

#[test]
fn logouts_everywhere_within_one_second_leave_no_gap_for_a_login_between_them() {
    let (redis, backend) = (RedisServer::start(), Backend::start());
    let [ahead, right] = &apart(&redis, &backend);
    for (first, between, second) in [(ahead, right, ahead), (right, ahead, right), (ahead, right, right)] {
        has_no_gap(&[ahead, right], first, between, second);
    }
    let (_backend, alone) =
        Store::Embedded.world_with(|config| config.cookies("both").set("/login/refresh", json!({"lifetime": "1h"})));
    has_no_gap(&[&alone], &alone, &alone, &alone);
}
