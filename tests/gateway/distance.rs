//! A store that is far away, or that nothing reaches for a while: what grows there must not keep anybody waiting.

use std::thread;
use std::time::Duration;

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
