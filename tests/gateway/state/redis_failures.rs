//! Redis that is down, hangs, fails over, comes back empty, answers garbage or is full.

use super::replicas::{away, replicas, until};
use crate::harness::customer::{by_cookie, log_in, logout_by_cookie, session_cookie};
use crate::harness::*;
use std::io::Write;
use std::net::TcpListener;
use std::thread;

#[test]
fn while_redis_is_down_tokens_pass_unknown_sessions_are_503_and_it_recovers_by_itself() {
    let mut redis = RedisServer::start();
    let world = replicas(2, &redis, |c| c);
    let (a, b) = (&world.gateways[0], &world.gateways[1]);
    let answer = a.login_request(ALICE.name, ALICE.secret).send().ok();
    let (seen, token) = (session_cookie(&answer), answer.json()["JWT"].as_str().unwrap().to_owned());
    let unseen = log_in(b, BOB);
    by_cookie(a, &seen).send().ok();
    redis.kill();
    for _ in 0..20 {
        a.get("/me/x").customer(&token).send().ok();
        a.get("/system/x").bearer(&a.client_token()).send().ok();
        // Seen a moment ago: the copy counts.
        by_cookie(a, &seen).send().ok();
        // Never seen here: neither a pass nor a logout.
        away(by_cookie(a, &unseen).send());
    }
    away(a.login_request(ALICE.name, ALICE.secret).send());
    away(logout_by_cookie(a, &unseen).send());
    let forged = format!("{}x", &unseen);
    by_cookie(a, &forged).send().expect(401, "401-03");
    redis.restart();
    until("logins work again", || a.login_request(ALICE.name, ALICE.secret).send().status == 200);
    // Each finds it by itself.
    until("the other has it too", || b.metric("wicketgate_state_up", &[]) == 1.0);
    by_cookie(b, &log_in(a, ALICE)).send().ok();
    a.expect_metric("wicketgate_state_up", &[], 1.0);
}

#[test]
fn logins_ended_by_operators_during_a_redis_outage_end_here_at_once_and_everywhere_afterwards() {
    for command in [["revoke", "login"], ["sessions", "end"]] {
        let mut redis = RedisServer::start();
        let world = replicas(2, &redis, |c| c.set("/state/outage", json!({"revocations": "10m", "sessions": "10m"})));
        let (a, b) = (&world.gateways[0], &world.gateways[1]);
        let logins = [0, 1].map(|_| a.login_request(ALICE.name, ALICE.secret).send().ok());
        let [gone, stays] = logins.map(|answer| answer.json()["JWT"].as_str().unwrap().to_owned());
        let id = keys::decode(&gone).1["sid"].as_str().unwrap().to_owned();
        let passes = |gateway: &Gateway, token: &str| gateway.get("/me/x").customer(token).send().status == 200;
        assert!(passes(a, &gone) && passes(b, &gone));
        redis.kill();
        let config = a.files.config();
        let run = |args: &[&str]| a.files.run(&[args, &["--config", config.to_str().unwrap()]].concat());
        let (code, _, err) = run(&["sessions", "list"]);
        assert!(code == 1 && err.contains("the state store is away") && !err.contains("in force"), "{err}");
        let (code, _, err) = run(&[command[0], command[1], &id]);
        assert!(code == 1 && err.contains("is in force in this process, and may not be elsewhere"), "{err}");
        assert!(!passes(a, &gone) && passes(a, &stays) && passes(b, &gone), "{command:?}");
        redis.restart();
        until("the other has it too", || !passes(b, &gone));
        assert!(passes(b, &stays));
    }
}

#[test]
fn a_redis_that_hangs_holds_nobody_up() {
    let redis = RedisServer::start();
    let world = replicas(1, &redis, |c| c);
    let gateway = &world.gateways[0];
    let answer = gateway.login_request(ALICE.name, ALICE.secret).send().ok();
    let token = answer.json()["JWT"].as_str().unwrap().to_owned();
    redis.pause();
    away(gateway.login_request(ALICE.name, ALICE.secret).send());
    for _ in 0..20 {
        gateway.get("/me/x").customer(&token).send().ok();
        gateway.get("/public/x").send().ok();
    }
    redis.resume();
    until("sessions are known again", || by_cookie(gateway, &session_cookie(&answer)).send().status == 200);
}

#[test]
fn a_redis_outage_is_reported_at_once_and_not_with_the_first_failed_call() {
    let mut redis = RedisServer::start();
    let world = replicas(1, &redis, |c| c);
    let gateway = &world.gateways[0];
    let token = gateway.customer_token();
    redis.kill();
    until("it is degraded", || gateway.admin("/readyz").text() == "ok\ndegraded: state\n");
    gateway.expect_metric("wicketgate_degraded", &[("part", "state")], 1.0);
    gateway.get("/me/x").customer(&token).send().ok();
    redis.restart();
    until("it is whole again", || gateway.admin("/readyz").text() == "ok\n");
}

#[test]
fn revocations_fail_closed_once_too_much_may_have_been_missed() {
    let mut redis = RedisServer::start();
    let world = replicas(1, &redis, |c| c.set("/state/outage", json!({"revocations": "2s", "sessions": "1s"})));
    let gateway = &world.gateways[0];
    let (token, pair) = (gateway.customer_token(), log_in(gateway, BOB));
    by_cookie(gateway, &pair).send().ok();
    redis.kill();
    gateway.get("/me/x").customer(&token).send().ok();
    until("tokens are refused", || gateway.get("/me/x").customer(&token).send().status == 503);
    away(gateway.get("/me/x").customer(&token).send());
    away(gateway.get("/key/x").api_key(API_KEY).send());
    away(by_cookie(gateway, &pair).send());
    gateway.get("/public/x").send().ok();
    // All replicas lose it together: none is taken away from its callers.
    let ready = gateway.admin("/readyz");
    assert_eq!((ready.status, &*ready.text()), (200, "ok\ndegraded: state\n"));
    redis.restart();
    until("all goes on", || gateway.get("/me/x").customer(&token).send().status == 200);
}

#[test]
fn a_redis_that_comes_back_empty_gets_the_revocations_again() {
    let mut redis = RedisServer::start();
    let world = replicas(2, &redis, |c| c);
    let (a, b) = (&world.gateways[0], &world.gateways[1]);
    let answer = a.login_request(ALICE.name, ALICE.secret).send().ok();
    let (gone, token) = (session_cookie(&answer), answer.json()["JWT"].as_str().unwrap().to_owned());
    let kept = log_in(a, BOB);
    by_cookie(b, &kept).send().ok();
    logout_by_cookie(a, &gone).send().expect(204, "");
    for _ in 0..3 {
        redis.command(&["FLUSHALL"]);
        until("the rules are there again", || redis.command(&["ZCARD", "wg:{rules}"]) != "0");
    }
    redis.restart();
    until("and once more", || redis.command(&["ZCARD", "wg:{rules}"]) != "0");
    let late = Gateway::start(&world.config);
    late.is_ready();
    for gateway in [a, b, &late] {
        until("the token stays revoked", || gateway.get("/me/x").customer(&token).send().status == 401);
        until("sessions that were lost are unknown", || by_cookie(gateway, &kept).send().status == 401);
    }
    by_cookie(b, &log_in(a, ALICE)).send().ok();
}

#[test]
fn a_gateway_starts_while_redis_is_away_and_serves_once_it_is_there() {
    let mut redis = RedisServer::start();
    redis.kill();
    let backend = Backend::start();
    let config = Config::new(&backend).cookies("both").set("/state/redis", json!({"url": redis.url()}));
    let gateway = Gateway::start(&config);
    gateway.get("/public/x").send().ok();
    away(gateway.get("/key/x").api_key(API_KEY).send());
    redis.restart();
    gateway.is_ready();
    gateway.get("/key/x").api_key(API_KEY).send().ok();
    by_cookie(&gateway, &log_in(&gateway, ALICE)).send().ok();
}

#[test]
fn after_a_failover_nothing_acknowledged_is_lost() {
    let mut master = RedisServer::start();
    let port = master.port.to_string();
    let replica = RedisServer::with(&[("replicaof", &format!("127.0.0.1 {port}"))]);
    let sentinel = RedisServer::with(&[("sentinel", "")]);
    until("the replica follows", || replica.command(&["ROLE"]).contains("connected"));
    assert_eq!(sentinel.command(&["SENTINEL", "MONITOR", "main", "127.0.0.1", &port, "1"]), "OK");
    for (name, value) in [("down-after-milliseconds", "300"), ("failover-timeout", "2000")] {
        sentinel.command(&["SENTINEL", "SET", "main", name, value]);
    }
    let redis = json!({"url": sentinel.url(), "sentinel": "main", "replicas": 1, "timeout": "1s"});
    until("the sentinel knows the replica", || sentinel.command(&["SENTINEL", "REPLICAS", "main"]).contains("slave"));
    let world = replicas(1, &sentinel, |c| c.set("/state/redis", redis));
    let gateway = &world.gateways[0];
    let (stays, goes) = (log_in(gateway, ALICE), log_in(gateway, BOB));
    logout_by_cookie(gateway, &goes).send().expect(204, "");
    master.kill();
    until("the replica takes over", || replica.command(&["ROLE"]).starts_with("master"));
    until("the session is known", || by_cookie(gateway, &stays).send().status == 200);
    until("the logout holds", || by_cookie(gateway, &goes).send().status == 401);
    // No replica is left that could have it as well: it is not acknowledged.
    away(gateway.login_request(ALICE.name, ALICE.secret).send());
    by_cookie(gateway, &stays).send().ok();
    let late = Gateway::start(&world.config);
    late.is_ready();
    by_cookie(&late, &stays).send().ok();
    by_cookie(&late, &goes).send().expect(401, "401-03");
}

#[test]
fn a_redis_that_answers_garbage_or_is_full_is_a_503_and_no_harm() {
    let redis = RedisServer::start();
    let world = replicas(1, &redis, |c| c);
    let gateway = &world.gateways[0];
    let pair = log_in(gateway, ALICE);
    redis.command(&["CONFIG", "SET", "maxmemory", "1"]);
    away(gateway.login_request(ALICE.name, ALICE.secret).send());
    by_cookie(gateway, &pair).send().ok();
    redis.command(&["CONFIG", "SET", "maxmemory", "0"]);
    until("there is room again", || gateway.login_request(ALICE.name, ALICE.secret).send().status == 200);
    for answer in ["-LOADING Redis is loading\r\n", "\0\u{1}garbage\r\n\r\n", "$99999999999\r\n", "*-7\r\n", ""] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for stream in listener.incoming() {
                stream.unwrap().write_all(answer.repeat(20).as_bytes()).ok();
            }
        });
        let url = format!("redis://127.0.0.1:{port}");
        let gateway = Gateway::start(&world.config.clone().set("/state/redis/url", json!(url)));
        away(gateway.get("/key/x").api_key(API_KEY).send());
        gateway.get("/public/x").send().ok();
    }
    // A session that is none any more is not taken for a logout.
    let keys = redis.command(&["KEYS", "wg:s:*"]);
    for key in keys.lines() {
        redis.command(&["DEL", key]);
        redis.command(&["SET", key, "x"]);
    }
    let other = Gateway::start(&world.config);
    other.is_ready();
    away(by_cookie(&other, &pair).send());
}

#[test]
fn while_redis_is_down_shared_limits_are_counted_by_each_replica_and_quotas_let_pass() {
    let mut redis = RedisServer::start();
    let limit = json!({"rate": "1/m", "burst": 5, "shared": true, "per": "api_key"});
    let world = replicas(1, &redis, |c| c.route("key", "limits", limit).set("/api_keys/0/quota", json!({"day": 1})));
    let gateway = &world.gateways[0];
    redis.kill();
    until("it is known", || gateway.login_request(ALICE.name, ALICE.secret).send().status == 503);
    for _ in 0..5 {
        gateway.get("/key/x").api_key(API_KEY).send().ok();
    }
    gateway.get("/key/x").api_key(API_KEY).send().expect(429, "429-01");
    gateway.expect_metric("wicketgate_rate_limit_fallback_total", &[], 11.0);
}
