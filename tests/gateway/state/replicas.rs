//! Several gateways on one Redis, and its failures.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::customer::{by_cookie, log_in, logout_by_cookie, session_cookie};
use crate::harness::*;

/// Gateways that share a Redis and all keys.
pub(crate) struct Replicas {
    pub(crate) backend: Backend,
    pub(crate) config: Config,
    pub(crate) gateways: Vec<Gateway>,
}

pub(crate) fn replicas(count: usize, redis: &RedisServer, change: impl FnOnce(Config) -> Config) -> Replicas {
    let backend = Backend::start();
    let config = Config::new(&backend).cookies("both").set("/state/redis", json!({"url": redis.url()}));
    let config = change(config.file("certs/identifier.key", &keys::key_file()));
    let gateways: Vec<Gateway> = (0..count).map(|_| Gateway::start(&config)).collect();
    gateways.iter().for_each(Gateway::is_ready);
    Replicas { backend, config, gateways }
}

/// Repeats until it is so; how long that took.
#[track_caller]
pub(crate) fn until(what: &str, is_so: impl Fn() -> bool) -> Duration {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < DEADLINE, "not in time: {what}");
        thread::sleep(Duration::from_millis(5));
    }
    begun.elapsed()
}

/// A refusal that tells the caller to come again, and is no logout.
#[track_caller]
pub(crate) fn away(answer: Response) {
    assert!(answer.expect(503, "503-03").retry_after() >= 1);
}

#[test]
fn a_login_at_one_replica_is_good_at_the_other_and_so_is_a_logout() {
    let redis = RedisServer::start();
    let world = replicas(2, &redis, |c| c);
    let (a, b) = (&world.gateways[0], &world.gateways[1]);
    let answer = a.login_request(ALICE.name, ALICE.secret).send().ok();
    let (pair, token) = (session_cookie(&answer), answer.json()["JWT"].as_str().unwrap().to_owned());
    for gateway in [b, a, b, a] {
        by_cookie(gateway, &pair).send().ok();
        gateway.get("/me/x").customer(&token).send().ok();
    }
    logout_by_cookie(b, &pair).send().expect(204, "");
    until("the logout holds at the other", || by_cookie(a, &pair).send().status == 401);
    until("also for its token", || a.get("/me/x").customer(&token).send().status == 401);
    by_cookie(b, &pair).send().expect(401, "401-03");
}

#[test]
fn revocations_of_one_replica_are_in_force_at_the_other_and_at_one_that_starts_later() {
    let redis = RedisServer::start();
    let world = replicas(2, &redis, |c| c);
    let (a, b) = (&world.gateways[0], &world.gateways[1]);
    let token = a.client_token();
    let pair = log_in(a, ALICE);
    b.get("/system/x").bearer(&token).send().ok();
    by_cookie(b, &pair).send().ok();
    b.get("/key/x").api_key(API_KEY).send().ok();
    let identifier = world.backend.requests()[1].header("X-Customer-Id").unwrap().to_owned();
    for args in
        [["revoke", "client", CLIENT.name], ["revoke", "api-key", "asapp-prod"], ["revoke", "customer", &identifier]]
    {
        let (code, _, err) = a.files.run(&[&args[..], &["--config", a.files.config().to_str().unwrap()]].concat());
        assert_eq!(code, 0, "{err}");
    }
    let late = Gateway::start(&world.config);
    late.is_ready();
    for gateway in [b, &late] {
        until("clients", || gateway.get("/system/x").bearer(&token).send().status == 401);
        until("api keys", || gateway.get("/key/x").api_key(API_KEY).send().status == 403);
        until("customers", || by_cookie(gateway, &pair).send().status == 401);
    }
    // What is new is good everywhere.
    by_cookie(b, &log_in(a, ALICE)).send().ok();
}

#[test]
fn a_replica_that_dies_under_load_takes_no_login_along() {
    let redis = RedisServer::start();
    let mut world = replicas(2, &redis, |c| c);
    let victim = world.gateways.remove(0);
    let pairs: Arc<Vec<String>> = Arc::new((0..4).map(|_| log_in(&victim, ALICE)).collect());
    let survivor = &world.gateways[0];
    let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let callers: Vec<_> = (0..4)
        .map(|number| {
            let (stop, served, pairs) = (Arc::clone(&stop), Arc::clone(&served), Arc::clone(&pairs));
            let request = by_cookie(survivor, &pairs[number]);
            thread::spawn(move || {
                let mut connection = Connection::open(request.address);
                while !stop.load(Ordering::Relaxed) {
                    request.send_on(&mut connection).ok();
                    served.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    until("there is load", || served.load(Ordering::Relaxed) > 100);
    drop(victim.kill());
    let before = served.load(Ordering::Relaxed);
    until("load goes on", || served.load(Ordering::Relaxed) > before + 200);
    stop.store(true, Ordering::Relaxed);
    callers.into_iter().for_each(|caller| caller.join().unwrap());
}

#[test]
fn failures_at_one_replica_count_at_the_other() {
    let redis = RedisServer::start();
    let world = replicas(2, &redis, |c| c.set("/login/attempts", json!({"free": 2, "delay": "5m"})));
    let (a, b) = (&world.gateways[0], &world.gateways[1]);
    for gateway in [a, b, a] {
        gateway.login_request(ALICE.name, "wrong").send().expect(401, "401-04");
    }
    b.login_request(ALICE.name, ALICE.secret).send().expect(429, "429-02");
    a.login_request(ALICE.name, ALICE.secret).send().expect(429, "429-02");
    b.login_request(BOB.name, BOB.secret).send().ok();
}

#[test]
fn a_cluster_keeps_state_too() {
    let node = RedisServer::with(&[("cluster-enabled", "yes")]);
    node.command(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
    until("the cluster is up", || node.command(&["CLUSTER", "INFO"]).contains("cluster_state:ok"));
    let world = replicas(2, &node, |c| c.set("/state/redis/cluster", json!(true)));
    let (a, b) = (&world.gateways[0], &world.gateways[1]);
    let pair = log_in(a, ALICE);
    by_cookie(b, &pair).send().ok();
    logout_by_cookie(b, &pair).send().expect(204, "");
    until("the logout holds", || by_cookie(a, &pair).send().status == 401);
}

#[test]
fn an_acl_user_and_tls_are_used_and_what_is_wrong_with_them_is_said() {
    let pair = keys::server();
    let directory = std::env::temp_dir().join(format!("wicketgate-redis-tls-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let file = |name: &str, text: &str| {
        std::fs::write(directory.join(name), text).unwrap();
        directory.join(name).to_str().unwrap().to_owned()
    };
    let tls_port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let redis = RedisServer::with(&[
        ("tls-port", &tls_port.to_string()),
        ("tls-cert-file", &file("cert.pem", &pair.certificate)),
        ("tls-key-file", &file("key.pem", &pair.key)),
        ("tls-ca-cert-file", &file("ca.pem", &keys::authority().pem())),
        ("tls-auth-clients", "no"),
    ]);
    // The rights that docs/configuration.md names.
    let rights = ["~wg:*", "&wg:*", "+@all", "-@admin", "-@dangerous", "+role", "+wait"];
    let user = [&["ACL", "SETUSER", "gateway", "on", ">hush-hush"][..], &rights].concat();
    assert_eq!(redis.command(&user), "OK");
    redis.command(&["ACL", "SETUSER", "default", "off"]);
    let settings = |secret: &str| {
        json!({
            "url": format!("rediss://localhost:{tls_port}"), "tls": {"ca": "certs/ca.pem"},
            "username": "gateway", "password": {"file": secret},
        })
    };
    let world = replicas(1, &redis, |c| {
        c.file("right.key", "hush-hush").file("wrong.key", "hush").set("/state/redis", settings("right.key"))
    });
    let gateway = &world.gateways[0];
    by_cookie(gateway, &log_in(gateway, ALICE)).send().ok();
    let locked_out = Gateway::start(&world.config.clone().set("/state/redis", settings("wrong.key")));
    locked_out.stderr.wait(|line| line["message"].as_str().is_some_and(|m| m.contains("state store is away"))).unwrap();
    assert!(!locked_out.stderr.all().join("\n").contains("hush"));
    away(locked_out.get("/key/x").api_key(API_KEY).send());
    std::fs::remove_dir_all(directory).ok();
}

#[test]
fn the_use_of_a_session_at_one_replica_keeps_it_alive_at_the_other() {
    let redis = RedisServer::start();
    let world = replicas(2, &redis, |c| c.set("/login/cookie/idle", json!("3s")));
    let (a, b) = (&world.gateways[0], &world.gateways[1]);
    let pair = log_in(a, ALICE);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(5) {
        by_cookie(b, &pair).send().ok();
        thread::sleep(Duration::from_millis(100));
    }
    by_cookie(a, &pair).send().ok();
}

#[test]
fn replicas_that_share_a_limit_let_no_more_pass_than_one_would() {
    let redis = RedisServer::start();
    let limit = json!({"rate": "6/m", "burst": 40, "shared": true, "per": "api_key"});
    let world = replicas(2, &redis, |c| c.route("key", "limits", limit));
    let callers: Vec<_> = (0..4)
        .map(|number| {
            let request = world.gateways[number % 2].get("/key/x").api_key(API_KEY);
            thread::spawn(move || {
                let mut connection = Connection::open(request.address);
                (0..40).filter(|_| request.send_on(&mut connection).status == 200).count()
            })
        })
        .collect();
    let passed: usize = callers.into_iter().map(|caller| caller.join().unwrap()).sum();
    assert!((36..=42).contains(&passed), "{passed}");
    let refused = world.gateways[0].get("/key/x").api_key(API_KEY).send().expect(429, "429-01");
    assert!(refused.retry_after() <= 11);
    world.gateways[0].get("/key/x").api_key(config::FREE_API_KEY).send().ok();
}

#[test]
fn two_replicas_count_towards_one_quota() {
    let redis = RedisServer::start();
    let world = replicas(2, &redis, |c| c.set("/api_keys/0/quota", json!({"month": 6})));
    let call = |number: usize| world.gateways[number % 2].get("/key/x").api_key(API_KEY).send();
    for number in 0..6 {
        call(number).ok();
    }
    for number in 0..4 {
        call(number).expect(429, "429-03");
    }
}

#[test]
fn a_replica_that_lacks_the_state_is_not_ready_where_the_operator_requires_it() {
    let mut redis = RedisServer::start();
    let world = replicas(1, &redis, |c| {
        c.set("/state/outage", json!({"revocations": "2s", "sessions": "1s"}))
            .set("/readiness", json!({"require": ["state"]}))
    });
    let gateway = &world.gateways[0];
    gateway.is_ready();
    redis.kill();
    until("it is not ready", || gateway.admin("/readyz").status == 503);
    redis.restart();
    gateway.is_ready();
}

#[test]
fn a_list_of_very_many_sessions_of_a_store_that_is_far_away_hinders_nobody() {
    let redis = RedisServer::start();
    let far = NetworkLink::to(redis.port, Duration::from_millis(5));
    let world = replicas(1, &redis, |c| c.set("/state/redis", json!({"url": far.url(), "timeout": "500ms"})));
    let gateway = &world.gateways[0];
    let now = keys::now();
    let script = format!(
        "for number = 1, 12000 do redis.call('HSET', 'wg:s:' .. string.format('%064x', number), \
         'c', 't1-someone', 'i', {now}, 'l', {now}, 'e', {}, 'a', 'other') end return 'ok'",
        now + 600
    );
    assert_eq!(redis.command(&["EVAL", &script, "0"]), "ok");
    let kept = log_in(gateway, ALICE);
    // On a busy machine a call may be late by itself, though not at each list.
    let hinders_nobody = || {
        let files = Arc::clone(&gateway.files);
        let listing = thread::spawn(move || files.run_with(&["sessions", "list"], b""));
        let (mut calls, mut hindered) = (0, 0);
        while !listing.is_finished() {
            let used = by_cookie(gateway, &kept).send().status;
            let login = gateway.login_request(BOB.name, BOB.secret).send().status;
            let is_up = gateway.metric("wicketgate_state_up", &[]) == 1.0;
            hindered += usize::from((used, login, is_up) != (200, 200, true));
            calls += 1;
        }
        let (code, listed, complained) = listing.join().unwrap();
        let is_whole = code == 0 && listed.lines().count() > 9_000;
        println!("{hindered} of {calls} were hindered by a list ({code}) {complained}");
        calls > 0 && hindered == 0 && is_whole
    };
    assert!((0..5).any(|_| hinders_nobody()), "{:?}", gateway.stderr.all());
    // One customer is found among all others.
    let customer = keys::decode(&gateway.customer_token()).1["sub"].as_str().unwrap().to_owned();
    let list = gateway.files.run(&["sessions", "list", "--customer", &customer]);
    assert!(list.0 == 0 && list.1.lines().count() < 10 && list.1.contains(&customer), "{} {}", list.1, list.2);
}

#[test]
fn a_session_that_the_store_has_lost_and_that_still_passes_ends_with_its_logout_everywhere() {
    let redis = RedisServer::start();
    let world = replicas(2, &redis, |c| c);
    let (a, b) = (&world.gateways[0], &world.gateways[1]);
    let answer = a.login_request(ALICE.name, ALICE.secret).send().ok();
    let (pair, token) = (session_cookie(&answer), answer.json()["JWT"].as_str().unwrap().to_owned());
    [a, b].iter().for_each(|gateway| drop(by_cookie(gateway, &pair).send().ok()));
    redis.command(&["FLUSHALL"]);
    by_cookie(b, &pair).send().ok();
    let logout = b.post("/auth/logout").header("Sec-Fetch-Site", "same-origin").header("Cookie", &pair);
    logout.send().expect(204, "");
    until("it is over everywhere", || [a, b].iter().all(|gateway| by_cookie(gateway, &pair).send().status == 401));
    until("its token too", || [a, b].iter().all(|gateway| gateway.get("/me/x").customer(&token).send().status == 401));
}
