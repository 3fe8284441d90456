//! `login.max_per_customer`: the number of logins of one customer.

use std::thread;

use super::account_changes::{Login, all_kinds, by_cookie, by_jwt, is_live, log_in, refresh};
use crate::harness::*;

fn the_oldest_login_of_a_customer_goes_when_there_are_too_many(store: &Store) {
    let change = |c: Config| all_kinds(c).set("/login/max_per_customer", json!(3));
    let (_backend, gateway) = store.world_with(change);
    let mut bob = log_in(&gateway, BOB);
    let mut logins: Vec<Login> = (0..5).map(|_| log_in(&gateway, ALICE)).collect();
    for (number, login) in logins.iter_mut().enumerate() {
        if number < 2 {
            by_cookie(&gateway, login).send().expect(401, "401-03");
            by_jwt(&gateway, login).send().expect(401, "401-03");
            refresh(&gateway, login).send().expect(400, "");
        } else {
            is_live(&gateway, login);
        }
    }
    is_live(&gateway, &mut bob);
    // Those from before a restart count too.
    let gateway = gateway.restart();
    let newest = log_in(&gateway, ALICE);
    logins.push(newest);
    let live = |login: &&Login| by_cookie(&gateway, login).send().status == 200;
    assert_eq!(logins.iter().filter(live).count(), 3);
    is_live(&gateway, logins.last_mut().unwrap());
}

fn logins_that_ended_already_leave_room_for_others(store: &Store) {
    let change = |c: Config| c.cookies("cookie").set("/login/max_per_customer", json!(2));
    let (_backend, gateway) = store.world_with(change);
    let kept = log_in(&gateway, ALICE);
    for _ in 0..4 {
        let short = log_in(&gateway, ALICE);
        let logout = gateway.post("/auth/logout").header("Sec-Fetch-Site", "same-origin");
        logout.header("Cookie", &short.cookie).send().expect(204, "");
    }
    by_cookie(&gateway, &kept).send().ok();
}

fn logins_of_one_customer_that_come_at_once_leave_as_many_as_there_may_be(store: &Store) {
    let change = |c: Config| {
        let limits = json!({"rate": "1000/s", "burst": 1000});
        c.cookies("cookie").set("/login/max_per_customer", json!(2)).set("/login/limits", limits)
    };
    let (_backend, gateway) = store.world_with(change);
    let logins: Vec<_> = (0..8)
        .map(|_| {
            let request = gateway.login_request(ALICE.name, ALICE.secret);
            thread::spawn(move || request.send().ok())
        })
        .collect();
    let cookies: Vec<Login> = logins
        .into_iter()
        .map(|login| {
            let answer = login.join().unwrap();
            let cookie = answer.header("Set-Cookie").and_then(|line| line.split(';').next()).unwrap().to_owned();
            Login { cookie, jwt: String::new(), refresh: String::new() }
        })
        .collect();
    let live = cookies.iter().filter(|login| by_cookie(&gateway, login).send().status == 200);
    assert_eq!(live.count(), 2);
}

#[test]
fn refresh_tokens_count_towards_max_sessions_and_leave_nobody_out_whose_oldest_goes() {
    let change = |c: Config| {
        let c = c.set("/login/refresh", json!({})).set("/login/max_per_customer", json!(2));
        c.set("/state/embedded", json!({"path": "data/", "max_sessions": 3}))
    };
    let (_backend, gateway) = world_with(change);
    for _ in 0..3 {
        log_in(&gateway, ALICE);
    }
    log_in(&gateway, BOB);
    gateway.login_request(BOB.name, BOB.secret).send().expect(503, "503-03");
}

#[test]
fn the_oldest_login_goes_in_a_cluster_too_and_the_store_forgets_which_logins_a_customer_had() {
    let node = RedisServer::with(&[("cluster-enabled", "yes")]);
    node.command(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
    eventually("the cluster is up", || node.command(&["CLUSTER", "INFO"]).contains("cluster_state:ok"));
    let redis = json!({"redis": {"url": node.url(), "cluster": true}});
    let (_backend, gateway) =
        world_with(|c| all_kinds(c).set("/login/max_per_customer", json!(2)).set("/state", redis));
    gateway.is_ready();
    let mut logins = [0, 1, 2, 3, 4].map(|_| log_in(&gateway, ALICE));
    for gone in &logins[..3] {
        by_cookie(&gateway, gone).send().expect(401, "401-03");
        refresh(&gateway, gone).send().expect(400, "");
    }
    logins[3..].iter_mut().for_each(|login| is_live(&gateway, login));
    let keys = node.command(&["KEYS", "wg:c:*"]);
    assert_eq!(keys.lines().count(), 2, "{keys}");
    for key in keys.lines() {
        // The one that has just ended is taken out with the next.
        assert_eq!(node.command(&["ZCARD", key]), "3");
        assert!(node.command(&["TTL", key]).parse::<i64>().unwrap() > 0, "{key}");
    }
}

on_both_stores! {
    the_oldest_login_of_a_customer_goes_when_there_are_too_many
    logins_that_ended_already_leave_room_for_others
    logins_of_one_customer_that_come_at_once_leave_as_many_as_there_may_be
}
