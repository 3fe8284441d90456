//! Redis Cluster of three nodes, three sentinels, and databases with foreign keys in them.

use std::sync::Arc;
use std::thread;

use crate::harness::customer::{by_cookie, log_in, logout_by_cookie, session_cookie};
use crate::harness::*;
use crate::state::replicas::{Replicas, replicas, until};

/// The logins that are listed.
fn listed(gateway: &Gateway, more: &[&str]) -> Vec<Value> {
    let (code, out, err) = gateway.files.run(&[&["sessions", "list", "--json"][..], more].concat());
    assert_eq!(code, 0, "{err}");
    serde_json::from_str(&out).unwrap()
}

#[test]
fn sessions_and_refresh_tokens_on_all_nodes_of_a_cluster_are_listed_and_ended() {
    let cluster = RedisCluster::start();
    let world = replicas(2, &cluster.nodes[0], |c| {
        c.set("/state/redis/cluster", json!(true)).set("/login/refresh", json!({"lifetime": "1h"}))
    });
    let (a, b) = (&world.gateways[0], &world.gateways[1]);
    let logins: Vec<Response> = (0..12).map(|_| a.login_request(ALICE.name, ALICE.secret).send().ok()).collect();
    let pairs: Vec<String> = logins.iter().map(session_cookie).collect();
    let bob = log_in(b, BOB);
    let kept = |node: &RedisServer, kind: &str| node.command(&["KEYS", kind]).lines().count();
    for kind in ["wg:s:*", "wg:f:*"] {
        let counts: Vec<usize> = cluster.nodes.iter().map(|node| kept(node, kind)).collect();
        assert!(counts.iter().all(|count| *count > 0) && counts.iter().sum::<usize>() == 13, "{kind}: {counts:?}");
    }
    let all = listed(b, &[]);
    assert_eq!(all.len(), 13);
    assert!(all.iter().all(|login| login["kind"] == "session+refresh"), "{all:?}");
    let customer = keys::decode(logins[0].json()["JWT"].as_str().unwrap()).1["sub"].as_str().unwrap().to_owned();
    let theirs = listed(b, &["--customer", &customer]);
    assert_eq!(theirs.len(), 12);
    for login in &theirs {
        let (code, _, err) = b.files.run(&["sessions", "end", login["id"].as_str().unwrap()]);
        assert_eq!(code, 0, "{err}");
    }
    for gateway in [a, b] {
        until("all are over", || pairs.iter().all(|pair| by_cookie(gateway, pair).send().status == 401));
        by_cookie(gateway, &bob).send().ok();
    }
    assert_eq!(listed(a, &[]).len(), 1);
    let counts: Vec<usize> = cluster.nodes.iter().map(|node| kept(node, "wg:s:*")).collect();
    assert_eq!(counts.iter().sum::<usize>(), 1);
}

#[test]
fn the_logins_of_one_customer_are_found_without_looking_at_all_others() {
    let redis = RedisServer::start();
    let world = replicas(1, &redis, |c| c.set("/login/refresh", json!({"lifetime": "1h"})));
    let gateway = &world.gateways[0];
    let answer = gateway.login_request(ALICE.name, ALICE.secret).send().ok();
    let customer = keys::decode(answer.json()["JWT"].as_str().unwrap()).1["sub"].as_str().unwrap().to_owned();
    log_in(gateway, BOB);
    redis.command(&["CONFIG", "RESETSTAT"]);
    let theirs = listed(gateway, &["--customer", &customer]);
    assert_eq!((theirs.len(), &theirs[0]["kind"]), (1, &json!("session+refresh")));
    assert!(!redis.command(&["INFO", "commandstats"]).contains("cmdstat_scan:"));
    // Without a name all are looked at, also those of versions that noted nothing for the customer.
    let noted = redis.command(&["KEYS", "wg:c:*"]);
    noted.lines().for_each(|key| drop(redis.command(&["DEL", key])));
    assert_eq!(listed(gateway, &[]).len(), 2);
    assert!(redis.command(&["INFO", "commandstats"]).contains("cmdstat_scan:"));
}

#[test]
fn very_many_keys_of_others_in_the_database_hinder_nobody() {
    let redis = RedisServer::with(&[("enable-debug-command", "yes")]);
    assert_eq!(redis.command(&["DEBUG", "POPULATE", "800000", "foreign"]), "OK");
    // What makes them wait is the list, and not what else the machine does.
    let world = replicas(1, &redis, |c| c.set("/state/redis/timeout", json!("2s")));
    let gateway = &world.gateways[0];
    let kept = log_in(gateway, ALICE);
    let listing = {
        let files = Arc::clone(&gateway.files);
        thread::spawn(move || files.run(&["sessions", "list", "--json"]))
    };
    let mut calls = 0;
    while !listing.is_finished() || calls == 0 {
        by_cookie(gateway, &kept).send().ok();
        gateway.login_request(BOB.name, BOB.secret).send().ok();
        gateway.expect_metric("wicketgate_state_up", &[], 1.0);
        calls += 1;
    }
    let (code, out, err) = listing.join().unwrap();
    assert_eq!(code, 0, "{err} {:?}", gateway.stderr.all());
    let all: Vec<Value> = serde_json::from_str(&out).unwrap();
    assert!(!all.is_empty());
    assert!(all.iter().all(|login| login["kind"] == "session"), "{all:?}");
}

/// A master, its replica, and three sentinels that ask for passwords and watch both.
struct Trio {
    first: RedisServer,
    second: RedisServer,
    sentinels: Vec<RedisServer>,
}

impl Trio {
    fn start() -> Self {
        let guarded = [("requirepass", "server-secret"), ("masterauth", "server-secret")];
        let first = RedisServer::with(&guarded);
        let port = first.port.to_string();
        let second = RedisServer::with(&[&guarded[..], &[("replicaof", &format!("127.0.0.1 {port}"))]].concat());
        until("the replica follows", || Self::role(&second).contains("connected"));
        let sentinel = |_| RedisServer::with(&[("sentinel", ""), ("requirepass", "sentinel-secret")]);
        let sentinels: Vec<RedisServer> = (0..3).map(sentinel).collect();
        for sentinel in &sentinels {
            assert_eq!(Self::ask(sentinel, &["SENTINEL", "MONITOR", "main", "127.0.0.1", &port, "2"]), "OK");
            for (name, value) in
                [("auth-pass", "server-secret"), ("down-after-milliseconds", "500"), ("failover-timeout", "1000")]
            {
                assert_eq!(Self::ask(sentinel, &["SENTINEL", "SET", "main", name, value]), "OK");
            }
        }
        until("the three know each other, and the replica", || {
            let knows = |sentinel: &RedisServer| {
                Self::ask(sentinel, &["SENTINEL", "CKQUORUM", "main"]).starts_with("OK 3")
                    && Self::ask(sentinel, &["SENTINEL", "REPLICAS", "main"]).contains("slave")
            };
            sentinels.iter().all(knows)
        });
        Self { first, second, sentinels }
    }

    fn ask(sentinel: &RedisServer, words: &[&str]) -> String {
        sentinel.command_as("sentinel-secret", words)
    }

    fn role(server: &RedisServer) -> String {
        server.command_as("server-secret", &["ROLE"])
    }

    /// How many sessions a server has.
    fn sessions(server: &RedisServer) -> usize {
        server.command_as("server-secret", &["KEYS", "wg:s:*"]).lines().count()
    }

    /// Gateways that know all three sentinels, and how long they wait for Redis.
    fn gateways(&self, count: usize, timeout: &str) -> Replicas {
        let nodes: Vec<String> =
            self.sentinels[1..].iter().map(|sentinel| format!("127.0.0.1:{}", sentinel.port)).collect();
        let settings = json!({
            "url": self.sentinels[0].url(), "nodes": nodes, "password": {"file": "server.key"}, "timeout": timeout,
            "sentinel": {"master": "main", "password": {"file": "sentinel.key"}},
        });
        replicas(count, &self.sentinels[0], |c| {
            c.file("server.key", "server-secret").file("sentinel.key", "sentinel-secret").set("/state/redis", settings)
        })
    }
}

#[test]
fn gateways_come_back_after_a_failover_by_a_trio_of_sentinels_that_ask_for_passwords() {
    let trio = Trio::start();
    let world = trio.gateways(2, "250ms");
    let Trio { first, second, mut sentinels } = trio;
    let (a, b) = (&world.gateways[0], &world.gateways[1]);
    let (stays, goes) = (log_in(a, ALICE), log_in(b, BOB));
    logout_by_cookie(a, &goes).send().expect(204, "");
    until("the replica has it", || Trio::sessions(&second) == 1);
    // The sentinel that gateways ask first goes with it.
    drop(first);
    drop(sentinels.remove(0));
    until("the replica takes over", || Trio::role(&second).starts_with("master"));
    for gateway in [a, b] {
        until("logins go on", || gateway.login_request(BOB.name, BOB.secret).send().status == 200);
        until("the session is known", || by_cookie(gateway, &stays).send().status == 200);
        by_cookie(gateway, &goes).send().expect(401, "401-03");
    }
}

#[test]
fn gateways_follow_a_failover_in_which_nobody_dies_before_the_old_master_is_demoted() {
    let trio = Trio::start();
    // Long enough that no operation fails by itself.
    let world = trio.gateways(2, "2s");
    let stays = log_in(&world.gateways[0], ALICE);
    until("the replica has it", || Trio::sessions(&trio.second) == 1);
    // The one that is named first hangs.
    trio.sentinels[0].pause();
    assert_eq!(Trio::ask(&trio.sentinels[1], &["SENTINEL", "FAILOVER", "main"]), "OK");
    let told = |sentinel: &RedisServer| Trio::ask(sentinel, &["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main"]);
    until("the sentinels switch", || {
        trio.sentinels[1..].iter().all(|sentinel| told(sentinel).ends_with(&trio.second.port.to_string()))
    });
    let is_there = |before: usize| Trio::sessions(&trio.second) > before;
    for gateway in &world.gateways {
        until("a login is in the new master", || {
            let before = Trio::sessions(&trio.second);
            gateway.login_request(BOB.name, BOB.secret).send().status == 200 && is_there(before)
        });
    }
    assert!(Trio::role(&trio.first).starts_with("master"), "the old master was demoted before gateways followed");
    trio.sentinels[0].resume();
    // From then on nothing goes elsewhere, whatever becomes of the old one.
    let pairs: Vec<String> = (0..10).map(|number| log_in(&world.gateways[number % 2], ALICE)).collect();
    trio.first.command_as("server-secret", &["REPLICAOF", "127.0.0.1", &trio.second.port.to_string()]);
    until("the old master follows", || Trio::role(&trio.first).contains("connected"));
    for pair in pairs.iter().chain([&stays]) {
        for gateway in &world.gateways {
            until("the login is there", || by_cookie(gateway, pair).send().status == 200);
        }
    }
}
