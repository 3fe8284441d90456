//! Authentication and TLS towards Redis and its sentinels.

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use rcgen::ExtendedKeyUsagePurpose;

use crate::harness::customer::{by_cookie, log_in};
use crate::harness::*;
use crate::state::replicas::{replicas, until};

const TAKEN: &str = "the state store has accepted the new credentials";
pub(crate) const RIGHTS: [&str; 7] = ["~wg:*", "&wg:*", "+@all", "-@admin", "-@dangerous", "+role", "+wait"];

/// Calls that need the store, one after the other, until it is told to end; how many were not answered with 200.
struct Callers {
    stop: Arc<AtomicBool>,
    calls: Arc<AtomicUsize>,
    thread: thread::JoinHandle<usize>,
}

impl Callers {
    fn start(gateway: &Gateway) -> Self {
        let (stop, calls) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let request = gateway.login_request(ALICE.name, ALICE.secret);
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&calls));
        let thread = thread::spawn(move || {
            let mut failed = 0;
            while !stopped.load(Ordering::Relaxed) {
                failed += usize::from(request.send().status != 200);
                counted.fetch_add(1, Ordering::Relaxed);
            }
            failed
        });
        Self { stop, calls, thread }
    }

    /// Waits for some more of them.
    fn go_on(&self) {
        let before = self.calls.load(Ordering::Relaxed);
        until("calls go on", || self.calls.load(Ordering::Relaxed) > before + 3);
    }

    fn failed(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

fn said(gateway: &Gateway, text: &str) -> Value {
    let says = |line: &Value| line["message"].as_str().is_some_and(|message| message.contains(text));
    gateway.stderr.wait(says).unwrap_or_else(|| panic!("{text:?} is not said: {:#?}", gateway.stderr.all()))
}

/// Why connecting to an address failed, each time that this was said.
fn reasons(gateway: &Gateway, address: &str) -> Vec<String> {
    let lines = gateway.stderr.all();
    let lines = lines.iter().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let of_it =
        lines.filter(|line| line["message"] == "cannot connect to the state store" && line["address"] == address);
    of_it.map(|line| line["reason"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_rotated_password_is_taken_by_a_reload_and_no_call_is_refused() {
    let redis = RedisServer::with(&[("requirepass", "old-secret")]);
    let settings = json!({"url": redis.url(), "password": {"file": "redis.key"}});
    let world = replicas(1, &redis, |c| c.file("redis.key", "old-secret").set("/state/redis", settings));
    let gateway = &world.gateways[0];
    let kept = log_in(gateway, ALICE);
    let callers = Callers::start(gateway);
    redis.command_as("old-secret", &["ACL", "SETUSER", "default", ">new-secret"]);
    gateway.files.write("redis.key", "new-secret");
    gateway.hup("reloaded");
    said(gateway, TAKEN);
    redis.command_as("new-secret", &["ACL", "SETUSER", "default", "<old-secret"]);
    callers.go_on();
    assert_eq!(callers.failed(), 0);
    gateway.expect_metric("wicketgate_state_up", &[], 1.0);
    // What is opened from now on is opened with the new one.
    for kind in ["normal", "pubsub"] {
        redis.command_as("new-secret", &["CLIENT", "KILL", "TYPE", kind]);
    }
    until("logins go on", || gateway.login_request(ALICE.name, ALICE.secret).send().status == 200);
    by_cookie(gateway, &kept).send().ok();
    assert!(!gateway.stderr.all().join("\n").contains("-secret"));
}

#[test]
fn another_user_is_taken_by_a_reload_and_the_one_before_can_go() {
    let redis = RedisServer::start();
    for (name, password) in [("one", ">first"), ("two", ">second")] {
        redis.command(&[&["ACL", "SETUSER", name, "on", password][..], &RIGHTS].concat());
    }
    let settings =
        |user: &str| json!({"url": redis.url(), "username": user, "password": {"file": format!("{user}.key")}});
    let world = replicas(1, &redis, |c| {
        c.file("one.key", "first")
            .file("two.key", "second")
            .file("none.key", "none")
            .set("/state/redis", settings("one"))
    });
    let gateway = &world.gateways[0];
    let callers = Callers::start(gateway);
    // Those that Redis does not take change nothing.
    gateway.reload(&world.config.clone().set("/state/redis", settings("none")), "reloaded");
    let line = said(gateway, "rejects the new credentials");
    assert!(line["reason"].as_str().unwrap().contains("authentication failed"), "{line}");
    callers.go_on();
    gateway.reload(&world.config.clone().set("/state/redis", settings("two")), "reloaded");
    said(gateway, TAKEN);
    callers.go_on();
    assert_eq!(redis.command(&["ACL", "DELUSER", "one"]), "1");
    callers.go_on();
    assert_eq!(callers.failed(), 0);
    gateway.expect_metric("wicketgate_state_up", &[], 1.0);
    // What is no credential still needs a restart.
    let other = settings("two").as_object().unwrap().clone().into_iter().chain([("prefix".to_owned(), json!("x:"))]);
    let other = Value::Object(other.collect());
    gateway.reload(&world.config.clone().set("/state/redis", other), "reload failed");
    let is_refused =
        |line: &Value| line["reason"].as_str().is_some_and(|reason| reason.contains("`state` has changed"));
    assert!(gateway.stderr.wait(is_refused).is_some());
}

#[test]
fn sentinels_are_entered_with_credentials_of_their_own_and_servers_with_theirs() {
    let master = RedisServer::with(&[("requirepass", "server-secret")]);
    let port = master.port.to_string();
    let sentinel = RedisServer::with(&[("sentinel", ""), ("requirepass", "sentinel-secret")]);
    sentinel.command_as("sentinel-secret", &["SENTINEL", "MONITOR", "main", "127.0.0.1", &port, "1"]);
    sentinel.command_as("sentinel-secret", &["SENTINEL", "SET", "main", "auth-pass", "server-secret"]);
    let settings = |sentinel_settings: Value| json!({"url": sentinel.url(), "sentinel": sentinel_settings, "password": {"file": "server.key"}});
    let right = settings(json!({"master": "main", "password": {"file": "sentinel.key"}}));
    let world = replicas(1, &master, |c| {
        c.file("server.key", "server-secret").file("sentinel.key", "sentinel-secret").set("/state/redis", right)
    });
    by_cookie(&world.gateways[0], &log_in(&world.gateways[0], ALICE)).send().ok();
    // The password of the servers is not tried on sentinels.
    let short = Gateway::start(&world.config.clone().set("/state/redis", settings(json!("main"))));
    let address = format!("127.0.0.1:{}", sentinel.port);
    until("it is said", || reasons(&short, &address).iter().any(|reason| reason.contains("NOAUTH")));
    short.login_request(ALICE.name, ALICE.secret).send().expect(503, "503-03");
}

#[test]
fn each_reason_that_connecting_fails_is_said_once_with_its_address() {
    let sentinel = RedisServer::with(&[("sentinel", "")]);
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let settings = json!({"url": format!("redis://{closed}"), "nodes": [format!("127.0.0.1:{}", sentinel.port)], "sentinel": "main"});
    let backend = Backend::start();
    let gateway = Gateway::start(&Config::new(&backend).set("/state/redis", settings));
    let known = format!("127.0.0.1:{}", sentinel.port);
    until("both are said", || !reasons(&gateway, &known).is_empty());
    let mut master = RedisServer::start();
    master.kill();
    let port = master.port.to_string();
    assert_eq!(sentinel.command(&["SENTINEL", "MONITOR", "main", "127.0.0.1", &port, "1"]), "OK");
    // Some attempts later there is a reason of another server.
    let address = format!("127.0.0.1:{port}");
    until("the master's is said", || !reasons(&gateway, &address).is_empty());
    master.restart();
    gateway.is_ready();
    assert_eq!(reasons(&gateway, &known).len(), 1, "{:?}", gateway.stderr.all());
    assert!(reasons(&gateway, &known)[0].contains("no master of this name"));
    for of_it in [reasons(&gateway, &closed.to_string()), reasons(&gateway, &address)] {
        assert!(of_it.len() == 1 && of_it[0].contains("refused"), "{of_it:?}");
    }
}

#[test]
fn a_service_that_keeps_role_to_itself_is_used_and_a_replica_is_not() {
    let kept = RedisServer::start();
    kept.command(&[&["ACL", "SETUSER", "gateway", "on", ">secret"][..], &RIGHTS, &["-role"]].concat());
    let settings = json!({"url": kept.url().replace("redis://", "valkey://"), "username": "gateway", "password": {"file": "redis.key"}});
    let world = replicas(1, &kept, |c| c.file("redis.key", "secret").set("/state/redis", settings));
    by_cookie(&world.gateways[0], &log_in(&world.gateways[0], ALICE)).send().ok();
    let renaming = std::env::temp_dir().join(format!("wicketgate-redis-renaming-{}", std::process::id()));
    std::fs::write(&renaming, "rename-command ROLE \"\"\n").unwrap();
    let renamed = RedisServer::with(&[("include", renaming.to_str().unwrap())]);
    std::fs::remove_file(renaming).unwrap();
    assert!(renamed.command(&["ROLE"]).contains("unknown command"));
    Gateway::start(&world.config.clone().set("/state/redis", json!({"url": renamed.url()}))).is_ready();
    let replica = RedisServer::with(&[("replicaof", &format!("127.0.0.1 {}", kept.port))]);
    let other = Gateway::start(&world.config.clone().set("/state/redis", json!({"url": replica.url()})));
    let address = format!("127.0.0.1:{}", replica.port);
    until("it is said", || reasons(&other, &address).iter().any(|reason| reason.contains("a replica")));
}

/// A Redis with TLS, whose certificate bears these names, and its address.
fn with_tls(names: &[&str]) -> (RedisServer, u16, PathBuf) {
    let pair = keys::certificate(names, ExtendedKeyUsagePurpose::ServerAuth);
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let directory = std::env::temp_dir().join(format!("wicketgate-redis-access-{}-{port}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let file = |name: &str, text: &str| {
        std::fs::write(directory.join(name), text).unwrap();
        directory.join(name).to_str().unwrap().to_owned()
    };
    let redis = RedisServer::with(&[
        ("tls-port", &port.to_string()),
        ("tls-cert-file", &file("cert.pem", &pair.certificate)),
        ("tls-key-file", &file("key.pem", &pair.key)),
        ("tls-ca-cert-file", &file("ca.pem", &keys::authority().pem())),
        ("tls-auth-clients", "optional"),
    ]);
    (redis, port, directory)
}

#[test]
fn the_certificate_of_redis_is_held_against_the_name_that_is_configured() {
    let (redis, port, directory) = with_tls(&["redis.internal"]);
    let settings = |name: Option<&str>| {
        let mut tls = json!({"ca": "certs/ca.pem"});
        if let Some(name) = name {
            tls["server_name"] = json!(name);
        }
        json!({"url": format!("valkeys://127.0.0.1:{port}"), "tls": tls})
    };
    let world = replicas(1, &redis, |c| c.set("/state/redis", settings(Some("redis.internal"))));
    let gateway = &world.gateways[0];
    by_cookie(gateway, &log_in(gateway, ALICE)).send().ok();
    for wrong in [None, Some("other.internal")] {
        let other = Gateway::start(&world.config.clone().set("/state/redis", settings(wrong)));
        let address = format!("127.0.0.1:{port}");
        until("it is said", || reasons(&other, &address).iter().any(|reason| reason.contains("not valid for name")));
        other.login_request(ALICE.name, ALICE.secret).send().expect(503, "503-03");
    }
    // A reload replaces it.
    gateway.reload(&world.config.clone().set("/state/redis", settings(Some("other.internal"))), "reloaded");
    let line = said(gateway, "rejects the new credentials");
    assert!(line["reason"].as_str().unwrap().contains("not valid for name"), "{line}");
    by_cookie(gateway, &log_in(gateway, ALICE)).send().ok();
    std::fs::remove_dir_all(directory).ok();
}

#[test]
fn a_private_key_for_redis_that_is_none_is_found_by_check() {
    let backend = Backend::start();
    let tls = json!({"certificate": "redis.pem", "private_key": "redis.key"});
    let config = Config::new(&backend).file("redis.pem", &keys::server().certificate).file("redis.key", "nothing");
    let config = config.set("/state/redis", json!({"url": "rediss://127.0.0.1:1", "tls": tls}));
    let files = gateway::Workspace::new(&config);
    let (code, out, err) = files.run(&["check"]);
    assert!(code != 0 && format!("{out}{err}").contains("state.redis.tls.private_key"), "{out} {err}");
}
