//! `wicketgate state export` and `import`: logins, revocations, locks and what is good once move between a file and Redis.

use std::sync::Arc;

use crate::client_keys;
use crate::harness::gateway::Workspace;
use crate::harness::keys::{TokenKey, now, sha256_hex};
use crate::harness::*;
use crate::redis_access::RIGHTS;
use crate::replicas::{by_cookie, logout, pair};

const CAROL: Account = Account { name: "carol", secret: "carol's password", subject: "3" };

/// The commands of the chapter in docs/operations.md, without the program's name.
fn documented() -> [Vec<&'static str>; 2] {
    let chapter = include_str!("../../docs/operations.md").split("\n#### Moving to Redis and back\n").nth(1).unwrap();
    let chapter = chapter.split("\n#").next().unwrap();
    let lines = chapter.lines().filter_map(|line| line.strip_prefix("wicketgate "));
    let commands: Vec<Vec<&str>> = lines.map(|line| line.split_whitespace().collect()).collect();
    commands.try_into().unwrap_or_else(|other| panic!("{other:?}"))
}

#[track_caller]
fn good(files: &Workspace, args: &[&str]) -> String {
    let (code, said, complained) = files.run(args);
    assert_eq!(code, 0, "{args:?}: {said}{complained}");
    said
}

#[track_caller]
fn refused(files: &Workspace, args: &[&str]) -> String {
    let (code, said, complained) = files.run(args);
    assert_eq!(code, 1, "{args:?}: {said}{complained}");
    complained
}

fn named(answer: &Response, name: &str) -> String {
    answer.json()[name].as_str().unwrap_or_else(|| panic!("{name} in {}", answer.text())).to_owned()
}

fn refresh(gateway: &Gateway, token: &str) -> Response {
    gateway.post("/oauth/access_token").form(&format!("grant_type=refresh_token&refresh_token={token}")).send()
}

/// What there was before a move, and must hold after it.
struct Scene {
    backend: Backend,
    config: Config,
    signer: TokenKey,
    assertion: String,
    /// A login that goes on, and one of somebody who was revoked before it.
    stays: Vec<String>,
    refresh_token: String,
    /// Ended by a logout, and by a revocation of their customer.
    ended: Vec<String>,
    bob: String,
}

impl Scene {
    /// Lives through it on a gateway whose state is in a file.
    fn begin() -> (Self, Gateway) {
        let (backend, signer) = (Backend::start(), TokenKey::generate());
        let config = client_keys::in_file(Config::new(&backend).cookies("both").account(CAROL), &[signer.jwk("one")])
            .set("/login/refresh", json!({"lifetime": "1h", "grace": "0s"}))
            .set("/login/attempts", json!({"free": 1, "delay": "5m"}));
        let gateway = Gateway::start(&config);
        let assertion = client_keys::assertion(&signer, |_| {});
        let mut scene = Self {
            backend,
            config,
            signer,
            assertion,
            stays: Vec::new(),
            refresh_token: String::new(),
            ended: Vec::new(),
            bob: String::new(),
        };
        let answer = gateway.login_request(ALICE.name, ALICE.secret).send().ok();
        scene.stays.push(pair(&answer));
        scene.refresh_token = named(&refresh(&gateway, &named(&answer, "refresh_token")).ok(), "refresh_token");
        scene.log_out(&gateway);
        let answer = gateway.login_request(BOB.name, BOB.secret).send().ok();
        scene.bob = keys::decode(&named(&answer, "JWT")).1["sub"].as_str().unwrap().to_owned();
        scene.ended.push(pair(&answer));
        good(&gateway.files, &["revoke", "customer", &scene.bob]);
        scene.stays.push(pair(&gateway.login_request(BOB.name, BOB.secret).send().ok()));
        for status in [401, 401, 429] {
            gateway.login_request(CAROL.name, "wrong").send().expect(status, "");
        }
        client_keys::ask(&gateway, &scene.assertion).ok();
        scene.holds(&gateway);
        (scene, gateway)
    }

    /// Another login of Alice ends by a logout.
    fn log_out(&mut self, gateway: &Gateway) {
        let out = pair(&gateway.login_request(ALICE.name, ALICE.secret).send().ok());
        logout(gateway, &out).send().expect(204, "");
        self.ended.push(out);
    }

    #[track_caller]
    fn holds(&mut self, gateway: &Gateway) {
        for stays in &self.stays {
            by_cookie(gateway, stays).send().ok();
        }
        for ended in &self.ended {
            by_cookie(gateway, ended).send().expect(401, "401-03");
        }
        self.refresh_token = named(&refresh(gateway, &self.refresh_token).ok(), "refresh_token");
        gateway.login_request(CAROL.name, CAROL.secret).send().expect(429, "429-02");
        client_keys::refused(gateway, client_keys::ask(gateway, &self.assertion), "client_assertion_used");
        client_keys::ask(gateway, &client_keys::assertion(&self.signer, |_| {})).ok();
    }

    /// The same files with the state elsewhere.
    fn move_to(&self, files: &Workspace, state: &Value) {
        files.write("gateway.yaml", &self.config.clone().set("/state", state.clone()).text());
    }

    fn start(&self, files: Arc<Workspace>) -> Gateway {
        let gateway = Gateway::start_in(files, self.config.signing_key.clone());
        gateway.is_ready();
        gateway
    }
}

/// These lines of a file, and its last one.
fn whole(lines: &[&str]) -> String {
    let body: String = lines.iter().map(|line| format!("{line}\n")).collect();
    format!("{body}end {} {}\n", lines.len() - 1, sha256_hex(&body))
}

fn in_redis(server: &RedisServer) -> Value {
    json!({"redis": {"url": server.url()}})
}

#[test]
fn a_move_to_redis_and_back_ends_no_login_and_brings_none_back_that_has_ended() {
    let (mut scene, gateway) = Scene::begin();
    let [export, import] = &documented();
    let files = gateway.kill();
    let said = good(&files, export);
    assert!(said.contains(" records written to "), "{said}");
    let redis = RedisServer::start();
    scene.move_to(&files, &in_redis(&redis));
    let said = good(&files, import);
    assert!(said.contains("Logins go on.") && !said.contains("Risk"), "{said}");
    let keys = redis.command(&["KEYS", "*"]);
    for key in keys.lines().filter(|key| !key.starts_with("wg:{rules}")) {
        assert!(redis.command(&["TTL", key]).parse::<i64>().unwrap() > 0, "{key} has no end");
    }
    let gateway = scene.start(files);
    scene.holds(&gateway);
    // What comes after the move gets higher numbers: it ends what was begun before.
    good(&gateway.files, &["revoke", "customer", &scene.bob]);
    scene.ended.extend(scene.stays.pop());
    scene.log_out(&gateway);
    scene.holds(&gateway);

    // While it runs; the file of the first move makes nothing good again.
    let complained = refused(&gateway.files, import);
    assert!(complained.contains("sessions") && complained.contains("`--merge`"), "{complained}");
    good(&gateway.files, &[&import[..], &["--merge"]].concat());
    scene.holds(&gateway);
    let gateway = gateway.restart();
    scene.holds(&gateway);

    good(&gateway.files, export);
    let files = gateway.kill();
    scene.move_to(&files, &json!({}));
    let complained = refused(&files, &[&import[..], &["--merge"]].concat());
    assert!(complained.contains("is for Redis"), "{complained}");
    let said = good(&files, import);
    assert!(said.contains("The state before is "), "{said}");
    let gateway = scene.start(files);
    scene.holds(&gateway);
    scene.stays.push(pair(&gateway.login_request(BOB.name, BOB.secret).send().ok()));
    let gateway = gateway.restart();
    scene.holds(&gateway);
    good(&gateway.files, &["revoke", "customer", &scene.bob]);
    scene.ended.extend(scene.stays.pop());
    scene.holds(&gateway);
    assert!(scene.backend.problems().is_empty());
}

#[test]
fn a_move_to_a_cluster_of_three_nodes_and_back_takes_all_of_each_node() {
    let (mut scene, gateway) = Scene::begin();
    let more: Vec<String> =
        (0..9).map(|_| pair(&gateway.login_request(ALICE.name, ALICE.secret).send().ok())).collect();
    scene.stays.extend(more);
    let [export, import] = &documented();
    let files = gateway.kill();
    good(&files, export);
    let cluster = RedisCluster::start();
    let mut state = in_redis(&cluster.nodes[0]);
    state["redis"]["cluster"] = json!(true);
    scene.move_to(&files, &state);
    good(&files, import);
    for node in &cluster.nodes {
        assert!(node.command(&["KEYS", "wg:s:*"]).lines().count() > 0);
    }
    let gateway = scene.start(files);
    scene.holds(&gateway);
    // By customer, and by name: both are sets of their own in Redis.
    let listed = good(&gateway.files, &["sessions", "list", "--json", "--customer", &scene.bob]);
    assert_eq!(serde_json::from_str::<Value>(&listed).unwrap().as_array().unwrap().len(), 1, "{listed}");
    good(&gateway.files, export);
    let said = good(&gateway.files, &["attempts", "clear", "login", CAROL.name]);
    assert!(said.contains(": 1 failure count"), "{said}");
    gateway.login_request(CAROL.name, CAROL.secret).send().ok();
    let files = gateway.kill();
    scene.move_to(&files, &json!({}));
    good(&files, import);
    let gateway = scene.start(files);
    scene.holds(&gateway);
}

#[test]
fn of_a_file_that_is_cut_off_or_of_a_later_version_nothing_is_imported_and_what_broke_off_can_be_done_again() {
    let (mut scene, gateway) = Scene::begin();
    let [export, import] = &documented();
    let files = gateway.kill();
    good(&files, export);
    let name = export[2];
    let text = std::fs::read_to_string(files.path.join(name)).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let records = &lines[..lines.len() - 1];
    let redis = RedisServer::start();
    let states = [json!({}), in_redis(&redis)];
    for (bad, why) in [
        (format!("{}\n", records.join("\n")), "is cut off after"),
        (whole(&[records, &["780000 {}"]].concat()), "a later version of wicketgate (a record of kind `x`)"),
        (whole(&[records, &[r#"7267616c617879 {"since":1}"#]].concat()), "(a revocation of kind `galaxy`)"),
    ] {
        files.write("bad", &bad);
        for state in &states {
            scene.move_to(&files, state);
            let complained = refused(&files, &["state", "import", "bad"]);
            assert!(complained.contains(why) && complained.contains("bad"), "{complained}");
        }
        assert_eq!(redis.command(&["DBSIZE"]), "0", "{why}");
    }
    // A store that takes nothing.
    redis.command(&["CONFIG", "SET", "maxmemory", "1"]);
    let complained = refused(&files, import);
    assert!(complained.contains("broken off after 0 of") && complained.contains("`--merge`"), "{complained}");
    redis.command(&["CONFIG", "SET", "maxmemory", "0"]);
    let old = records[0].rsplit_once(' ').unwrap().0.to_owned() + &format!(" {}", now() - 3_600);
    files.write(name, &whole(&[&[old.as_str()], &records[1..]].concat()));
    let said = good(&files, &[&import[..], &["--merge"]].concat());
    assert!(said.contains("Risk: logins that have ended since"), "{said}");
    let gateway = scene.start(files);
    scene.holds(&gateway);
}

#[test]
fn what_was_revoked_in_the_file_that_an_import_replaces_stays_revoked() {
    let (mut scene, gateway) = Scene::begin();
    let [export, import] = &documented();
    good(&gateway.files, export);
    good(&gateway.files, &["revoke", "customer", &scene.bob]);
    good(&gateway.files, &["revoke", "api-key", "asapp-prod"]);
    scene.ended.extend(scene.stays.pop());
    scene.log_out(&gateway);
    let complained = refused(&gateway.files, import);
    assert!(complained.contains("a gateway runs with this state"), "{complained}");
    let files = gateway.kill();
    good(&files, import);
    let gateway = scene.start(files);
    scene.holds(&gateway);
    gateway.get("/key/x").api_key(API_KEY).send().expect(403, "403-01");
}

#[test]
fn the_highest_number_of_a_revocation_moves_also_where_nothing_bears_it_and_what_is_revoked_later_ends_what_knew_it() {
    let backend = Backend::start();
    let config = Config::new(&backend);
    let files = Arc::new(Workspace::new(&config));
    let [export, import] = &documented();
    // Of a revocation that is over, by a clock that was an hour ahead.
    let number = (now() + 3_600) * 1_000_000;
    let rule: String = b"rclient gone".iter().map(|byte| format!("{byte:02x}")).collect();
    let record = format!(r#"{rule} {{"since":1,"until":2,"number":{number}}}"#);
    files.write(export[2], &whole(&[&format!("wicketgate-state 1 {}", now()), &record]));
    let redis = RedisServer::start();
    let start = |files: Arc<Workspace>, state: Value| {
        files.write("gateway.yaml", &config.clone().set("/state", state).text());
        good(&files, import);
        let gateway = Gateway::start_in(files, config.signing_key.clone());
        gateway.is_ready();
        gateway
    };
    let gateway = start(files, in_redis(&redis));
    assert_eq!(redis.command(&["GET", "wg:{rules}:count"]), number.to_string());
    let token = gateway.client_token();
    good(&gateway.files, export);
    let gateway = start(gateway.kill(), json!({}));
    gateway.get("/system/x").bearer(&token).send().ok();
    good(&gateway.files, &["revoke", "client", CLIENT.name]);
    gateway.get("/system/x").bearer(&token).send().expect(401, "");
}

/// A record as a line: its kind, its name and what it says.
fn record(kind: u8, name: &[u8], value: &Value) -> String {
    let key: String = [&[kind], name].concat().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{key} {value}")
}

/// What a store holds, by key.
#[track_caller]
fn exported(files: &Workspace) -> Vec<(String, Value)> {
    good(files, &["state", "export", "out"]);
    let text = std::fs::read_to_string(files.path.join("out")).unwrap();
    let records = text.lines().skip(1).filter(|line| !line.starts_with("end "));
    let mut records: Vec<_> = records.map(read).collect();
    records.sort_by(|one, other| one.0.cmp(&other.0));
    records
}

fn read(line: &str) -> (String, Value) {
    let (key, value) = line.split_once(' ').unwrap();
    (key.to_owned(), serde_json::from_str(value).unwrap())
}

#[test]
fn every_kind_of_record_comes_back_as_it_went_and_of_two_counts_the_stricter_stays() {
    let backend = Backend::start();
    let config = Config::new(&backend);
    let files = Workspace::new(&config);
    let (now, redis) = (now(), RedisServer::start());
    let (ends, millis, day) = (now + 3_600, (now + 600) * 1_000, now - now % 86_400);
    let (digest, who) = ("0a".repeat(32), "0b".repeat(16));
    let family = json!({"customer": "t1-b", "issued": now, "expires": ends, "current": digest, "before": [digest, millis],
        "number": now * 1_000_000 + 1});
    let mut unanswered = family.clone();
    unanswered["before"][1] = json!(u64::MAX);
    let failures = json!({"count": 3, "forgotten": millis, "locked": millis - 9, "spelling": 5, "who": who});
    let mut records = vec![
        record(b'a', &[1; 16], &failures),
        record(b'a', &[2; 16], &json!({"count": 1, "forgotten": millis, "locked": 0})),
        record(b'a', &[3; 16], &json!({"count": 0, "forgotten": millis, "locked": 0, "right": true})),
        record(b'f', &[1; 32], &family),
        record(b'f', &[2; 32], &unanswered),
        record(b'q', b"day a key: of two words", &json!({"begun": day, "used": 7})),
        record(
            b's',
            &[1; 32],
            &json!({"customer": "t1-a", "issued": now, "seen": now, "expires": ends, "agent": "edge",
            "login": "0102030405060708", "account": "AAAAAAAAAAAAAAAA", "number": now * 1_000_000}),
        ),
        record(b'u', &[1; 32], &json!(ends)),
    ];
    for (at, subject) in ["token x", "login 0102", "customer t1-a a b", "client c", "api_key aa"].iter().enumerate() {
        let value = json!({"since": now, "until": ends + at as u64, "number": now * 1_000_000 + 2 + at as u64});
        records.push(record(b'r', subject.as_bytes(), &value));
    }
    records.push(record(b'r', b"all *", &json!({"since": u64::MAX, "until": ends, "number": now * 1_000_000 + 9})));
    let first = format!("wicketgate-state 1 {now}");
    let file = |records: &[String]| {
        whole(&[&[first.as_str()], &records.iter().map(String::as_str).collect::<Vec<_>>()[..]].concat())
    };
    files.write("in", &file(&records));
    let mut expected: Vec<_> = records.iter().map(|line| read(line)).collect();
    expected.sort_by(|one, other| one.0.cmp(&other.0));
    good(&files, &["state", "import", "in"]);
    assert_eq!(exported(&files), expected);
    files.write("gateway.yaml", &config.clone().set("/state", in_redis(&redis)).text());
    good(&files, &["state", "import", "out"]);
    assert_eq!(exported(&files), expected);
    // Nothing but what is made of other records.
    let other = RedisServer::start();
    other.command(&["SADD", "wg:n:0b", "0a"]);
    files.write("redis.yaml", &config.clone().set("/state", in_redis(&other)).text());
    let said = good(&files, &["state", "export", "none", "--config", "redis.yaml"]);
    assert!(said.starts_with("0 records"), "{said}");
    good(&files, &["state", "import", "out", "--merge"]);
    assert_eq!(exported(&files), expected);

    // What the file knows better, and what it knows worse.
    let other = json!({"count": 1, "forgotten": millis + 5, "locked": 0, "spelling": 6});
    let rule = json!({"since": now - 5, "until": ends + 50, "number": now * 1_000_000 + 3});
    let more = [
        record(b'a', &[1; 16], &other),
        record(b'q', b"day a key: of two words", &json!({"begun": day, "used": 6})),
        record(b'r', b"login 0102", &rule),
        record(b'u', &[1; 32], &json!(ends - 50)),
    ];
    files.write("in", &file(&more));
    good(&files, &["state", "import", "in", "--merge"]);
    let merged = exported(&files);
    let of = |at: usize| merged.iter().find(|(key, _)| *key == read(&more[at]).0).unwrap().1.clone();
    let both = json!({"count": 3, "forgotten": millis + 5, "locked": millis - 9, "spelling": u64::MAX, "who": who});
    assert_eq!((of(0), of(1)["used"].clone(), of(3)), (both, json!(7), json!(ends)));
    assert_eq!((&of(2)["since"], &of(2)["until"]), (&json!(now), &json!(ends + 50)));
    assert!(of(2)["number"].as_u64().unwrap() > now * 1_000_000 + 3);
}

#[test]
fn a_move_needs_no_more_rights_in_redis_than_a_gateway_touches_no_other_keys_and_waits_for_replicas() {
    let backend = Backend::start();
    let config = Config::new(&backend).file("redis.key", "a-secret").file("wrong.key", "another-secret");
    let files = Workspace::new(&config);
    let redis = RedisServer::start();
    redis.command(&[&["ACL", "SETUSER", "gateway", "on", ">a-secret"][..], &RIGHTS].concat());
    let other = format!("other:s:{}", "0a".repeat(32));
    redis.command(&["SET", &other, "1"]);
    let settings = |key: &str, replicas: u32| {
        let password = json!({"file": key});
        let redis = json!({"url": redis.url(), "username": "gateway", "password": password, "replicas": replicas});
        files.write("gateway.yaml", &config.clone().set("/state", json!({"redis": redis})).text());
    };
    let until = now() + 3_600;
    let session = json!({"customer": "t1-a", "issued": now(), "seen": now(), "expires": until, "agent": "edge",
        "login": "0102030405060708"});
    let records = [
        record(b's', &[1; 32], &session),
        record(b'r', b"client c", &json!({"since": 1, "until": until, "number": 5})),
    ];
    let first = format!("wicketgate-state 1 {}", now());
    files.write("in", &whole(&[&first, &records[0], &records[1]]));
    settings("wrong.key", 0);
    for command in ["import", "export"] {
        let complained = refused(&files, &["state", command, "in"]);
        assert!(complained.contains("the state in Redis: ") && !complained.contains("secret"), "{complained}");
    }
    settings("redis.key", 0);
    good(&files, &["state", "import", "in"]);
    let there = exported(&files);
    assert!(records.iter().all(|line| there.contains(&read(line))) && there.len() == 2, "{there:?}");
    assert_eq!(redis.command(&["GET", &other]), "1");
    // As many replicas as a gateway waits for must have it; there is none.
    settings("redis.key", 1);
    let complained = refused(&files, &["state", "import", "in", "--merge"]);
    assert!(complained.contains("0 replicas have it, and not 1"), "{complained}");
}
