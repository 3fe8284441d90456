//! Redis at a distance or behind a cut network: revocations and sessions in great number delay no call.

use std::thread;
use std::time::{Duration, Instant};

use crate::harness::customer::session_cookie;
use crate::harness::*;

/// Replicas on one Redis behind a network.
struct World {
    _backend: Backend,
    gateways: Vec<Gateway>,
    config: Config,
}

fn world(count: usize, url: &str, change: impl FnOnce(Config) -> Config) -> World {
    let backend = Backend::start();
    let config = Config::new(&backend).cookies("both").set("/state/redis", json!({"url": url}));
    let config = change(config.file("certs/identifier.key", &keys::key_file()));
    let gateways: Vec<Gateway> = (0..count).map(|_| Gateway::start(&config)).collect();
    World { _backend: backend, gateways, config }
}

/// Waits much longer than for anything small.
#[track_caller]
fn within_a_minute(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..3_000 {
        if holds() {
            return;
        }
        thread::sleep(Duration::from_millis(20));
    }
    panic!("never: {what}");
}

/// Puts so many revocations of tokens into the store, as a wicketgate does that numbers them.
fn fill(redis: &RedisServer, count: usize, until: u64) {
    for begin in (0..count).step_by(10_000) {
        let script = format!(
            "local time = redis.call('TIME') \
             local number = math.max(tonumber(redis.call('GET', 'wg:{{rules}}:count') or '0'), time[1] * 1000000) \
             for at = {begin}, {} do \
               local text = string.format('token 18446744073709551615 {until} filled-%d', at) \
               number = number + 1 \
               redis.call('ZADD', 'wg:{{rules}}', string.format('%.0f', number), text) \
               redis.call('ZADD', 'wg:{{rules}}:ends', {until}, text) \
               redis.call('HSET', 'wg:{{rules}}:of', string.format('token filled-%d', at), text) \
             end \
             redis.call('SET', 'wg:{{rules}}:count', string.format('%.0f', number)) return 'ok'",
            (begin + 10_000).min(count) - 1,
        );
        assert_eq!(redis.command(&["EVAL", &script, "0"]), "ok");
    }
}

/// How often the server was asked for this, in scripts and out of them.
fn calls(redis: &RedisServer, command: &str) -> u64 {
    let stats = redis.command(&["INFO", "commandstats"]);
    let line = stats.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
    line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
}

fn rules(redis: &RedisServer) -> u64 {
    redis.command(&["ZCARD", "wg:{rules}"]).parse().unwrap()
}

fn revoke(gateway: &Gateway, what: &[&str]) {
    let (code, _, err) = gateway.files.run(&[&["revoke"], what].concat());
    assert_eq!(code, 0, "{err}");
}

#[test]
fn a_subject_that_is_revoked_again_and_again_has_one_entry() {
    let redis = RedisServer::start();
    let world = world(2, &redis.url(), |c| c);
    world.gateways.iter().for_each(Gateway::is_ready);
    for round in 0..6 {
        revoke(&world.gateways[round % 2], &["client", CLIENT.name]);
    }
    assert_eq!(rules(&redis), 1);
    for gateway in &world.gateways {
        eventually("both have one", || gateway.metric("wicketgate_revocations", &[]) == 1.0);
    }
    let late = Gateway::start(&world.config);
    late.is_ready();
    late.expect_metric("wicketgate_revocations", &[], 1.0);
}

#[test]
fn numbers_of_revocations_go_on_after_the_store_was_emptied() {
    let redis = RedisServer::start();
    let world = world(1, &redis.url(), |c| c);
    let gateway = &world.gateways[0];
    gateway.is_ready();
    let number = || redis.command(&["GET", "wg:{rules}:count"]).parse::<u64>().unwrap_or_default();
    let mut before = 0;
    let all = [["client", CLIENT.name], ["client", OTHER_CLIENT.name], ["api-key", "asapp-prod"]];
    for (round, what) in (0..).zip(all) {
        revoke(gateway, &what);
        eventually("a later number", || number() > before);
        before = number();
        redis.command(&["FLUSHALL"]);
        eventually("the rules are there again", || rules(&redis) == round + 1);
        assert_eq!(number(), before, "a rule that is sent again keeps its number");
    }
}

#[test]
fn an_older_version_that_puts_and_reads_revocations_is_understood() {
    let redis = RedisServer::start();
    let world = world(1, &redis.url(), |c| c);
    let gateway = &world.gateways[0];
    gateway.is_ready();
    let token = gateway.client_token();
    let passes = || gateway.get("/system/x").bearer(&token).send().status == 200;
    assert!(passes());
    // What it reads: a text and a number that grows.
    revoke(gateway, &["client", OTHER_CLIENT.name]);
    let text = redis.command(&["ZRANGE", "wg:{rules}", "0", "-1"]);
    let words: Vec<&str> = text.split(' ').collect();
    assert_eq!((words.len(), words[0], words[3]), (4, "client", OTHER_CLIENT.name), "{text}");
    // What it writes: a member with the next number, and nothing beside it.
    let (now, until) = (keys::now() + 5, keys::now() + 1_000);
    let put = |text: &str| {
        let number = redis.command(&["INCR", "wg:{rules}:count"]);
        assert_eq!(redis.command(&["ZADD", "wg:{rules}", &number, text]), "1");
    };
    put(&format!("client {now} {until} {}", CLIENT.name));
    eventually("it holds", || !passes());
    put(&format!("client {} {until} {}", now - 1, CLIENT.name));
    eventually("one entry is left", || rules(&redis) == 2);
    eventually("and its end is known", || redis.command(&["ZCARD", "wg:{rules}:ends"]) == "2");
    assert!(!passes());
    let subject = format!("client {}", CLIENT.name);
    assert_eq!(redis.command(&["HGET", "wg:{rules}:of", &subject]), format!("client {now} {until} {}", CLIENT.name));
}

/// Calls that need nothing but what this process knows, until it is so; none of them may be refused. How many there were,
/// and how long the longest took.
fn calls_pass_until(gateway: &Gateway, token: &str, is_so: impl Fn() -> bool) -> (usize, Duration) {
    let mut connection = gateway.connect();
    let (mut passed, mut longest) = (0, Duration::ZERO);
    while !is_so() {
        let begun = Instant::now();
        gateway.get("/me/x").customer(token).send_on(&mut connection).ok();
        longest = longest.max(begun.elapsed());
        passed += 1;
        assert!(passed < 100_000, "never");
    }
    (passed, longest)
}

#[test]
fn a_killed_connection_is_back_soon_however_many_revocations_there_are_and_no_call_is_refused() {
    // The numbers of docs/benchmarks.md: WICKETGATE_RULES=1000000 WICKETGATE_DELAY=5 and a release binary.
    let number = |name: &str, usual: u64| std::env::var(name).map_or(usual, |text| text.parse().unwrap());
    let (count, delay) = (number("WICKETGATE_RULES", 100_000), number("WICKETGATE_DELAY", 2));
    let redis = RedisServer::start();
    fill(&redis, count as usize, keys::now() + 3_600);
    let far = NetworkLink::to(redis.port, Duration::from_millis(delay) + Duration::from_micros(400));
    let begun = Instant::now();
    let world = world(1, &far.url(), |c| c.set("/state/redis/timeout", json!("250ms")));
    let gateway = &world.gateways[0];
    within_a_minute("it has read all", || gateway.admin("/readyz").status == 200);
    println!("{count} revocations at {delay} ms: read after {:?}", begun.elapsed());
    gateway.expect_metric("wicketgate_revocations", &[], count as f64);
    let token = gateway.customer_token();
    let is_back = |since: usize| gateway.stderr.all()[since..].iter().any(|line| line.contains("reachable again"));
    for kill in ["CLIENT KILL", "cut"] {
        let since = gateway.stderr.count();
        let read = calls(&redis, "zrangebyscore");
        let begun = Instant::now();
        if kill == "cut" {
            far.cut();
        } else {
            redis.command(&["CLIENT", "KILL", "TYPE", "pubsub"]);
            redis.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
        }
        let (passed, longest) = calls_pass_until(gateway, &token, || is_back(since));
        let memory = gateway.metric("process_resident_memory_bytes", &[]) / 1e6;
        println!("{kill}: back after {:?}, {passed} calls took {longest:?} at most, {memory} MB", begun.elapsed());
        gateway.expect_metric("wicketgate_state_up", &[], 1.0);
        // Rules are not read again. Every look reads those that have ended: four a second.
        let again = calls(&redis, "zrangebyscore") - read;
        assert!(again < count / 1_000, "{kill}: read {again} pages again");
    }
    assert!(gateway.metric("wicketgate_state_staleness_seconds", &[]) < 5.0);
    revoke(gateway, &["client", CLIENT.name]);
    assert_eq!(rules(&redis), count + 1);
}

#[test]
fn a_first_read_that_is_cut_again_and_again_goes_on_where_it_was() {
    let redis = RedisServer::start();
    fill(&redis, 60_000, keys::now() + 3_600);
    let far = NetworkLink::to(redis.port, Duration::from_millis(20));
    let world = world(1, &far.url(), |c| c);
    let gateway = &world.gateways[0];
    let pages = || calls(&redis, "zrangebyscore");
    for _ in 0..5 {
        // Honest as long as it does not know all.
        let answer = gateway.get("/key/x").api_key(API_KEY).send().status;
        assert!(answer == 503 || gateway.metric("wicketgate_revocations", &[]) == 60_000.0);
        let before = pages();
        within_a_minute("it reads", || pages() > before + 1 || gateway.admin("/readyz").status == 200);
        far.cut();
    }
    within_a_minute("it has read all", || gateway.admin("/readyz").status == 200);
    gateway.expect_metric("wicketgate_revocations", &[], 60_000.0);
    gateway.get("/key/x").api_key(API_KEY).send().ok();
}

#[test]
fn a_store_that_lost_some_of_very_many_revocations_gets_those_and_no_others() {
    let redis = RedisServer::start();
    fill(&redis, 10_000, keys::now() + 3_600);
    let far = NetworkLink::to(redis.port, Duration::from_millis(2));
    let world = world(2, &far.url(), |c| c);
    world.gateways.iter().for_each(|gateway| within_a_minute("ready", || gateway.admin("/readyz").status == 200));
    let lost = redis.command(&["ZRANGE", "wg:{rules}", "3000", "3019"]);
    let digest = || {
        redis.command(&[
            "EVAL",
            "return redis.sha1hex(table.concat(redis.call('ZRANGE', 'wg:{rules}', 0, -1, 'WITHSCORES'), ' '))",
            "0",
        ])
    };
    let before = digest();
    let added = calls(&redis, "zadd");
    for text in lost.lines() {
        redis.command(&["ZREM", "wg:{rules}", text]);
        redis.command(&["ZREM", "wg:{rules}:ends", text]);
        let name = text.split(' ').next_back().unwrap();
        redis.command(&["HDEL", "wg:{rules}:of", &format!("token {name}")]);
    }
    eventually("they are there again", || rules(&redis) == 10_000);
    assert_eq!(digest(), before, "with the numbers that they had");
    let added = calls(&redis, "zadd") - added;
    assert!((40..2_000).contains(&added), "{added}");
    // All of them.
    redis.command(&["FLUSHALL"]);
    within_a_minute("they are there once more", || rules(&redis) == 10_000);
    assert_eq!(digest(), before);
    let late = Gateway::start(&world.config);
    late.is_ready();
    late.expect_metric("wicketgate_revocations", &[], 10_000.0);
}

#[test]
fn revocations_that_have_ended_are_sent_to_nobody_where_an_older_version_removes_them() {
    let redis = RedisServer::start();
    let world = world(2, &redis.url(), |c| c);
    let (now, ends) = (keys::now(), keys::now() + 6);
    fill(&redis, 4_980, now + 3_600);
    let script = format!(
        "for at = 1, 20 do redis.call('ZADD', 'wg:{{rules}}', redis.call('INCR', 'wg:{{rules}}:count'), \
         string.format('token 18446744073709551615 {ends} old-%d', at)) end return 'ok'"
    );
    assert_eq!(redis.command(&["EVAL", &script, "0"]), "ok");
    world.gateways.iter().for_each(Gateway::is_ready);
    for gateway in &world.gateways {
        eventually("all are known", || gateway.metric("wicketgate_revocations", &[]) == 5_000.0);
    }
    eventually("they have ended", || keys::now() > ends);
    let before = calls(&redis, "zadd");
    for at in 1..=20 {
        redis.command(&["ZREM", "wg:{rules}", &format!("token 18446744073709551615 {ends} old-{at}")]);
    }
    // Both have looked several times.
    let looked = calls(&redis, "publish");
    eventually("they look", || calls(&redis, "publish") >= looked + 20);
    assert_eq!(calls(&redis, "zadd"), before, "something was sent again");
    assert_eq!(rules(&redis), 4_980);
}

#[test]
fn revocations_that_expire_are_removed_and_nobody_sends_anything_again() {
    let redis = RedisServer::start();
    let world = world(2, &redis.url(), |c| c);
    fill(&redis, 5_000, keys::now() + 3_600);
    let now = keys::now();
    // Two that end, at every stage: over for this second, for less than the margin, and for longer.
    let script = format!(
        "for at = 1, 20 do local until_ = {now} - 130 + at \
           local text = string.format('token 18446744073709551615 %d old-%d', until_, at) \
           redis.call('ZADD', 'wg:{{rules}}', redis.call('INCR', 'wg:{{rules}}:count'), text) \
           redis.call('ZADD', 'wg:{{rules}}:ends', until_, text) \
           redis.call('HSET', 'wg:{{rules}}:of', 'token old-' .. at, text) end return 'ok'"
    );
    assert_eq!(redis.command(&["EVAL", &script, "0"]), "ok");
    world.gateways.iter().for_each(Gateway::is_ready);
    let added = calls(&redis, "zadd");
    within_a_minute("those that ended are gone", || rules(&redis) == 5_000);
    assert_eq!(redis.command(&["HLEN", "wg:{rules}:of"]), "5000");
    assert_eq!(redis.command(&["ZCARD", "wg:{rules}:ends"]), "5000");
    for gateway in &world.gateways {
        eventually("here too", || gateway.metric("wicketgate_revocations", &[]) == 5_000.0);
        gateway.expect_metric("wicketgate_state_up", &[], 1.0);
    }
    assert_eq!(calls(&redis, "zadd"), added, "something was sent again");
}

#[test]
fn the_use_of_very_many_sessions_at_once_never_hinders_a_call() {
    let redis = RedisServer::start();
    let far = NetworkLink::to(redis.port, Duration::from_millis(20));
    let world = world(1, &far.url(), |c| {
        c.set("/login/cookie/idle", json!("2m"))
            .set("/state/redis/timeout", json!("3s"))
            .set("/login/max_per_customer", json!(1_000))
            .without("/login/limits")
    });
    let gateway = &world.gateways[0];
    gateway.is_ready();
    let request = gateway.login_request(ALICE.name, ALICE.secret);
    let logins = (0..4).map(|_| {
        let request = request.clone();
        thread::spawn(move || (0..30).map(|_| session_cookie(&request.send_patiently().ok())).collect::<Vec<_>>())
    });
    let logins: Vec<_> = logins.collect();
    let cookies: Vec<String> = logins.into_iter().flat_map(|login| login.join().unwrap()).collect();
    let told = || calls(&redis, "hset") - 120;
    let mut connection = gateway.connect();
    let begun = Instant::now();
    while told() < 120 {
        for cookie in &cookies {
            gateway.get("/me/x").header("Cookie", cookie).send_on(&mut connection).ok();
        }
        assert!(begun.elapsed() < DEADLINE * 6, "the store is not told: {}", told());
    }
    assert!(!gateway.stderr.all().iter().any(|line| line.contains("is unreachable")), "{:?}", gateway.stderr.all());
    gateway.expect_metric("wicketgate_state_up", &[], 1.0);
}

#[test]
fn a_write_that_too_few_redis_replicas_have_is_refused_and_everything_else_goes_on() {
    let redis = RedisServer::start();
    let follower = RedisServer::with(&[("replicaof", &format!("127.0.0.1 {}", redis.port))]);
    eventually("the replica follows", || follower.command(&["ROLE"]).contains("connected"));
    let world = world(2, &redis.url(), |c| c.set("/state/redis/replicas", json!(1)).without("/login/limits"));
    world.gateways.iter().for_each(Gateway::is_ready);
    let gateway = &world.gateways[0];
    let kept = session_cookie(&gateway.login_request(ALICE.name, ALICE.secret).send().ok());
    follower.pause();
    let request = gateway.login_request(BOB.name, BOB.secret);
    let logins: Vec<_> = (0..12)
        .map(|_| {
            let request = request.clone();
            thread::spawn(move || (0..3).map(|_| request.send().status).collect::<Vec<_>>())
        })
        .collect();
    let mut calls = 0;
    while !logins.iter().all(thread::JoinHandle::is_finished) || calls < 20 {
        for gateway in &world.gateways {
            gateway.get("/me/x").header("Cookie", &kept).send().ok();
            gateway.expect_metric("wicketgate_state_up", &[], 1.0);
        }
        calls += 1;
    }
    let statuses: Vec<u16> = logins.into_iter().flat_map(|login| login.join().unwrap()).collect();
    assert!(statuses.iter().all(|status| *status == 503), "{statuses:?}");
    // What was not acknowledged is said so, and nothing else: the store is there.
    let (code, _, told) = gateway.files.run(&["revoke", "client", OTHER_CLIENT.name]);
    assert!(code == 1 && told.contains("has not acknowledged this") && !told.contains("is away"), "{told}");
    let said = gateway.stderr.all();
    assert!(said.iter().any(|line| line.contains("too few replicas acknowledged a write")), "{said:?}");
    assert!(!said.iter().any(|line| line.contains("is unreachable")), "{said:?}");
    follower.resume();
    eventually("logins go on", || request.send().status == 200);
    assert!(gateway.stderr.wait(|line| line["message"] == "enough replicas acknowledge writes again").is_some());
    revoke(gateway, &["client", OTHER_CLIENT.name]);
    let line = gateway.stderr.wait(|line| line["message"] == "an operator revoked").unwrap();
    assert_eq!(line["revoked"], OTHER_CLIENT.name);
    drop(follower);
}

#[test]
fn a_cluster_that_was_emptied_gets_the_revocations_again_and_is_told_of_sessions_in_use() {
    let node = RedisServer::with(&[("cluster-enabled", "yes")]);
    node.command(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
    eventually("the cluster is up", || node.command(&["CLUSTER", "INFO"]).contains("cluster_state:ok"));
    let world = world(2, &node.url(), |c| {
        c.set("/state/redis/cluster", json!(true)).set("/login/cookie/idle", json!("8s")).without("/login/limits")
    });
    world.gateways.iter().for_each(Gateway::is_ready);
    let (a, b) = (&world.gateways[0], &world.gateways[1]);
    revoke(a, &["client", CLIENT.name]);
    revoke(b, &["client", OTHER_CLIENT.name]);
    eventually("both know both", || world.gateways.iter().all(|g| g.metric("wicketgate_revocations", &[]) == 2.0));
    node.command(&["FLUSHALL"]);
    eventually("both are there again", || rules(&node) == 2);
    let cookies: Vec<String> =
        [ALICE, BOB].map(|account| session_cookie(&a.login_request(account.name, account.secret).send().ok())).into();
    let begun = Instant::now();
    while begun.elapsed() < DEADLINE {
        cookies.iter().for_each(|pair| drop(b.get("/me/x").header("Cookie", pair).send().ok()));
    }
    for gateway in &world.gateways {
        let said = gateway.stderr.all().join("\n");
        assert!(!said.contains("background work on the state store") && !said.contains("is unreachable"), "{said}");
    }
}

#[test]
fn an_earlier_version_beside_this_one_has_the_same_revocations() {
    let Ok(earlier) = std::env::var("WICKETGATE_EARLIER") else {
        println!("NOT TESTED: WICKETGATE_EARLIER names no binary of an earlier version");
        return;
    };
    let redis = RedisServer::start();
    let world = world(1, &redis.url(), |c| c);
    let new = &world.gateways[0];
    let files = std::sync::Arc::new(gateway::Workspace::new(&world.config));
    let script = format!("shift; exec {earlier} \"$@\"");
    let old = Gateway::start_in_shell(files, world.config.signing_key.clone(), &script);
    [new, &old].iter().for_each(|gateway| gateway.is_ready());
    let passes = |gateway: &Gateway, token: &str| gateway.get("/system/x").bearer(token).send().status == 200;
    let (one, other) = (new.token(CLIENT), new.token(OTHER_CLIENT));
    assert!([new, &old].iter().all(|gateway| passes(gateway, &one)));
    // Each revokes for both, and again what the other has revoked.
    revoke(new, &["client", CLIENT.name]);
    eventually("the earlier one has it", || !passes(&old, &one));
    revoke(&old, &["client", OTHER_CLIENT.name]);
    eventually("this one has it", || !passes(new, &other));
    for round in 0..4 {
        revoke([new, &old][round % 2], &["client", CLIENT.name]);
        revoke([&old, new][round % 2], &["client", OTHER_CLIENT.name]);
    }
    eventually("one entry each", || rules(&redis) == 2);
    redis.command(&["FLUSHALL"]);
    eventually("they are there again", || rules(&redis) >= 2);
    redis.command(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"]);
    eventually("one entry each again", || rules(&redis) == 2);
    for gateway in [new, &old] {
        eventually("all hold", || !passes(gateway, &one) && !passes(gateway, &other));
        eventually("it is up", || gateway.metric("wicketgate_state_up", &[]) == 1.0);
        gateway.expect_metric("wicketgate_revocations", &[], 2.0);
    }
    // Neither sends anything again and again.
    eventually("it is quiet", || {
        let (sent, looked) = (calls(&redis, "zadd"), calls(&redis, "publish"));
        eventually("both look", || calls(&redis, "publish") >= looked + 20);
        calls(&redis, "zadd") == sent
    });
}
