//! The audit log: each event, the chain, and what is found when somebody changes it.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use crate::harness::customer::member;
use crate::harness::*;

const FILE: &str = "data/audit.jsonl";

fn lines_of(files: &gateway::Workspace) -> Vec<Value> {
    let text = fs::read_to_string(files.path.join(FILE)).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// The first line that fits, waiting for it.
#[track_caller]
fn line(gateway: &Gateway, event: &str, fits: impl Fn(&Value) -> bool) -> Value {
    let mut found = None;
    let holds = || {
        found = lines_of(&gateway.files).into_iter().find(|line| line["event"] == event && fits(line));
        found.is_some()
    };
    eventually(&format!("a line `{event}` in {:#?}", lines_of(&gateway.files)), holds);
    found.unwrap()
}

#[track_caller]
fn is_whole(files: &gateway::Workspace) -> String {
    files.succeeds(&["audit", "verify", "--config", "gateway.yaml"])
}

fn with_refresh_tokens(config: Config) -> Config {
    config.cookies("both").set("/login/refresh", json!({"lifetime": "1h"})).set("/identifier/mode", json!("traceable"))
}

#[test]
fn callers_logins_tokens_refusals_revocations_and_logouts_are_noted() {
    let (_backend, gateway) = world_with(with_refresh_tokens);
    let started = line(&gateway, "start", |_| true);
    let text = fs::read(gateway.files.config()).unwrap();
    assert_eq!(started["config_sha256"], keys::sha256_hex(std::str::from_utf8(&text).unwrap()));
    assert_eq!((&started["outcome"], &started["takes_over"]), (&json!("ok"), &json!(false)));

    let login = gateway.login_request(ALICE.name, ALICE.secret).send().ok();
    let noted = line(&gateway, "login", |line| line["outcome"] == "ok");
    let access = gateway.access_line(login.header("X-Request-Id").unwrap());
    for key in ["request_id", "client_address", "customer"] {
        assert_eq!(noted[key], access[key], "{key}: {noted}");
    }
    assert!(noted["login"].as_str().unwrap().len() == 16, "{noted}");

    gateway.login_request(ALICE.name, "wrong").send().expect(401, "401-04");
    let noted = line(&gateway, "login", |line| line["outcome"] == "login_wrong_password");
    assert!(noted["attempt"].is_string() && noted["customer"].is_null(), "{noted}");

    let token = gateway.token(CLIENT);
    let noted = line(&gateway, "token", |line| line["outcome"] == "ok");
    assert_eq!(
        (&noted["client"], &noted["grant"], &noted["scope"]),
        (&json!(CLIENT.name), &json!("client_credentials"), &json!("profile"))
    );
    let (_, claims) = keys::decode(&token);
    assert_eq!(noted["jti"], claims["jti"]);
    gateway.token_request(CLIENT.name, "wrong").send();
    line(&gateway, "token", |line| line["outcome"] == "wrong_client_secret" && line["client"] == CLIENT.name);

    // A refresh token that comes again.
    let first = member(&login, "refresh_token");
    let refresh = |token: &str| {
        gateway.post("/oauth/access_token").form(&format!("grant_type=refresh_token&refresh_token={token}"))
    };
    let second = member(&refresh(&first).send().ok(), "refresh_token");
    let third = member(&refresh(&second).send().ok(), "refresh_token");
    assert_eq!(refresh(&first).send().status, 400);
    let noted = line(&gateway, "token", |line| line["outcome"] == "refresh_token_reused");
    assert_eq!((&noted["grant"], &noted["customer"]), (&json!("refresh_token"), &access["customer"]));

    // Revocation at the endpoint, and logout.
    let about = |token: &str| {
        let form = format!("client_id={}&client_secret={}&token={token}", CLIENT.name, CLIENT.secret);
        gateway.post("/oauth/revoke").form(&form)
    };
    about(&token).send().ok();
    let noted = line(&gateway, "revocation", |line| line["outcome"] == "ok");
    assert_eq!((&noted["kind"], &noted["client"]), (&json!("token"), &json!(CLIENT.name)));
    assert_eq!(noted["revoked"], claims["jti"]);
    about("x").send().ok();
    line(&gateway, "revocation", |line| line["outcome"] == "nothing_to_revoke");
    let customer = gateway.login(BOB);
    assert_eq!(gateway.post("/auth/logout").customer(&customer).send().status, 204);
    line(&gateway, "logout", |line| line["outcome"] == "ok" && line["customer"].is_string());
    assert_eq!(gateway.post("/auth/logout").send().status, 401);
    line(&gateway, "logout", |line| line["outcome"] == "no_credential");

    // What nobody may read there.
    let text = fs::read_to_string(gateway.files.path.join(FILE)).unwrap();
    for secret in [
        ALICE.name,
        BOB.name,
        ALICE.secret,
        ALICE.subject,
        CLIENT.secret,
        &token,
        &customer,
        &first,
        &third,
        "eyJ",
        "wgr_",
    ] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
    let said = is_whole(&gateway.files);
    assert!(said.contains("lines, whole; the last hash is "), "{said}");
}

#[test]
fn what_operators_do_is_noted_with_the_user_who_did_it() {
    let (_backend, mut gateway) = world_with(with_refresh_tokens);
    let files = Arc::clone(&gateway.files);
    let run = |args: &[&str]| files.succeeds(args);
    let login = gateway.login_request(ALICE.name, ALICE.secret).send().ok();
    let customer = gateway.access_line(login.header("X-Request-Id").unwrap())["customer"].as_str().unwrap().to_owned();
    let id = line(&gateway, "login", |_| true)["login"].as_str().unwrap().to_owned();

    run(&["sessions", "end", &id]);
    let noted = line(&gateway, "session_ended", |_| true);
    assert_eq!((&noted["id"], &noted["customer"], &noted["actor"]), (&json!(id), &json!(customer), &json!("operator")));
    assert!(noted["uid"].is_u64() && noted["pid"].is_u64(), "{noted}");
    run(&["revoke", "customer", &customer]);
    let noted = line(&gateway, "revocation", |_| true);
    assert_eq!((&noted["kind"], &noted["actor"]), (&json!("customer"), &json!("operator")));
    files.fails(&["revoke", "client", "nobody"]);
    line(&gateway, "revocation", |line| line["outcome"] == "failed" && line["status"] == 404);
    gateway.login_request(ALICE.name, "wrong").send();
    run(&["attempts", "clear", "login", ALICE.name]);
    let noted = line(&gateway, "attempts_cleared", |_| true);
    assert!(noted["attempt"].is_string() && noted["cleared"] == 1, "{noted}");

    // Reloads, good and bad.
    gateway.hup("reloaded");
    line(&gateway, "reload", |line| line["outcome"] == "ok" && line["cause"] == "signal");
    let text = fs::read_to_string(files.config()).unwrap();
    files.write("gateway.yaml", &text.replace("routes", "rootes"));
    gateway.hup("reload failed");
    let noted = line(&gateway, "reload", |line| line["outcome"] == "failed");
    assert!(noted["config_sha256"] == keys::sha256_hex(&text) && noted["reason"].is_string(), "{noted}");
    files.write("gateway.yaml", &text);

    // Commands beside the gateway.
    run(&["id", "trace", &customer]);
    let noted = line(&gateway, "id_trace", |_| true);
    assert_eq!((&noted["identifier"], &noted["outcome"]), (&json!(customer), &json!("ok")));
    let (code, ..) = files.run_with(&["id", "for"], ALICE.subject.as_bytes());
    assert_eq!(code, 0);
    line(&gateway, "id_for", |line| line["uid"].is_u64());
    run(&["rotate", "signing-key"]);
    line(&gateway, "key_rotated", |line| line["kind"] == "signing_key");
    line(&gateway, "reload_asked", |line| line["actor"] == "operator");
    files.fails(&["rotate", "api-key", "nobody"]);
    line(&gateway, "key_rotated", |line| line["outcome"] == "failed" && line["id"] == "nobody");
    run(&["state", "backup", "one.backup"]);
    line(&gateway, "state_backup", |line| line["outcome"] == "ok");

    assert_eq!(gateway.terminate(), Some(0));
    line(&gateway, "stop", |line| line["handed_over"] == false);
    // Without a gateway.
    run(&["id", "trace", &customer]);
    let noted = lines_of(&files).pop().unwrap();
    assert_eq!(noted["event"], "id_trace");
    let text = fs::read_to_string(files.path.join(FILE)).unwrap();
    assert!(!text.contains(ALICE.subject) && !text.contains(ALICE.name), "{text}");
    is_whole(&files);
}

#[test]
fn whoever_changes_the_log_is_found_with_the_line() {
    let (_backend, mut gateway) = world();
    for _ in 0..6 {
        gateway.token(CLIENT);
    }
    assert_eq!(gateway.terminate(), Some(0));
    let files = Arc::clone(&gateway.files);
    let path = files.path.join(FILE);
    let whole = fs::read_to_string(&path).unwrap();
    let lines: Vec<String> = whole.lines().map(str::to_owned).collect();
    assert!(lines.len() >= 9, "{whole}");
    let said = is_whole(&files);
    let head = said.trim_end().rsplit(' ').next().unwrap().to_owned();
    let found = |lines: &[String]| {
        files.write(FILE, &(lines.join("\n") + "\n"));
        files.fails(&["audit", "verify", "--config", "gateway.yaml"])
    };
    let with = |change: &dyn Fn(&mut Vec<String>)| {
        let mut changed = lines.clone();
        change(&mut changed);
        found(&changed)
    };
    let edited = lines[4].replace(CLIENT.name, "bsapp");
    for (said, at, what) in [
        (with(&|lines| lines[4] = edited.clone()), 5, "edited"),
        (with(&|lines| drop(lines.remove(4))), 5, "1 line before this one was removed"),
        (with(&|lines| lines.swap(4, 5)), 5, "1 line before this one was removed"),
        (with(&|lines| lines.insert(5, lines[2].clone())), 6, "put in or moved"),
        (with(&|lines| lines.insert(5, "{\"event\":\"login\"}".to_owned())), 6, "put in"),
        (with(&|lines| drop(lines.drain(..2))), 1, "the log does not begin here"),
    ] {
        assert!(said.contains(&format!("audit.jsonl:{at}: ")) && said.contains(what), "{what}: {said}");
    }
    // Lines that are removed at the end are missed only by who knows the last hash.
    files.write(FILE, &(lines[..lines.len() - 2].join("\n") + "\n"));
    is_whole(&files);
    let anchored = ["audit", "verify", "--config", "gateway.yaml", "--anchor", &head];
    let said = files.fails(&anchored);
    assert!(said.contains("the anchor is not in this log"), "{said}");
    files.write(FILE, "");
    assert!(files.fails(&["audit", "verify"]).contains("no lines"));
    files.write(FILE, &whole);
    files.succeeds(&anchored);
}

#[test]
fn a_process_that_is_killed_in_the_middle_leaves_a_log_that_is_whole() {
    let (_backend, mut gateway) = world();
    let key = gateway.signing_key.clone();
    for round in 0..3 {
        let stop = Arc::<AtomicBool>::default();
        let request = gateway.token_request(CLIENT.name, CLIENT.secret);
        let callers: Vec<_> = (0..3)
            .map(|_| {
                let (stop, request) = (Arc::clone(&stop), request.clone());
                thread::spawn(move || {
                    let mut connection = Connection::open(request.address);
                    while !stop.load(Ordering::SeqCst) && request.try_on(&mut connection).is_ok() {}
                })
            })
            .collect();
        let before = lines_of(&gateway.files).len();
        eventually("lines under load", || lines_of(&gateway.files).len() > before + 50);
        let files = gateway.kill();
        stop.store(true, Ordering::SeqCst);
        for caller in callers {
            caller.join().unwrap();
        }
        is_whole(&files);
        if round == 1 {
            // As a power failure may leave it.
            let path = files.path.join(FILE);
            let torn = fs::read(&path).unwrap();
            fs::write(&path, &torn[..torn.len() - 30]).unwrap();
            assert!(is_whole(&files).contains("the last line is incomplete"), "a torn line");
        }
        gateway = Gateway::start_in(files, key.clone());
        line(&gateway, "start", |line| line["pid"] == gateway.id().parse::<u64>().unwrap());
        assert_eq!(lines_of(&gateway.files).iter().any(|line| line["event"] == "recovered"), round >= 1);
    }
    is_whole(&gateway.files);
}

#[test]
fn a_flood_of_failures_is_counted_and_fills_no_disk() {
    let (_backend, gateway) = world();
    gateway.token(CLIENT);
    let count = 3_000;
    let mut connection = gateway.connect();
    let request = gateway.token_request("nobody", "wrong");
    for _ in 0..count {
        let status = request.send_on(&mut connection).status;
        assert!(matches!(status, 401 | 429), "{status}");
    }
    let failures = || {
        let mut sums = BTreeMap::<bool, (u64, usize)>::new();
        for line in lines_of(&gateway.files) {
            let is_sum = line["event"] == "token_failures";
            if is_sum || (line["event"] == "token" && line["outcome"] != "ok") {
                let sum = sums.entry(is_sum).or_default();
                *sum = (sum.0 + line["count"].as_u64().unwrap_or(1), sum.1 + 1);
            }
        }
        (sums.values().map(|sum| sum.0).sum::<u64>(), sums.values().map(|sum| sum.1).sum::<usize>())
    };
    eventually("all failures in lines or counts", || failures().0 == count);
    assert!(failures().1 < 400, "{:?}", failures());
    // Somebody else's success has its line all the while.
    gateway.token(OTHER_CLIENT);
    line(&gateway, "token", |line| line["outcome"] == "ok" && line["client"] == OTHER_CLIENT.name);
    assert_eq!(gateway.metric("wicketgate_audit_events_lost_total", &[]), 0.0);
    is_whole(&gateway.files);
}

#[test]
fn two_processes_of_an_upgrade_write_one_chain() {
    let (_backend, gateway) = world();
    let (stop, count) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
    let (stopped, counted, request) =
        (Arc::clone(&stop), Arc::clone(&count), gateway.token_request(CLIENT.name, CLIENT.secret));
    let caller = thread::spawn(move || {
        while !stopped.load(Ordering::SeqCst) {
            // A connection may end with the old process.
            let answer = request.try_on(&mut Connection::open(request.address));
            counted.fetch_add(u64::from(answer.is_ok_and(|answer| answer.status == 200)), Ordering::SeqCst);
        }
    });
    let goes_on = || {
        let enough = count.load(Ordering::SeqCst) + 20;
        eventually("more tokens", || count.load(Ordering::SeqCst) > enough);
    };
    goes_on();
    let (new, mut old) = gateway.upgrade();
    goes_on();
    assert_eq!(old.wait_exit().code(), Some(0));
    goes_on();
    stop.store(true, Ordering::SeqCst);
    caller.join().unwrap();
    let tokens = || lines_of(&new.files).iter().filter(|line| line["event"] == "token").count() as u64;
    eventually("a line for each token", || tokens() >= count.load(Ordering::SeqCst));
    line(&new, "start", |line| line["takes_over"] == true);
    line(&new, "handover", |line| line["outcome"] == "ok" && line["successor_pid"] == new.id().parse::<u64>().unwrap());
    line(&new, "stop", |line| line["handed_over"] == true);
    is_whole(&new.files);
}

#[test]
fn a_log_that_cannot_be_written_stops_nobody_and_tells_how_much_is_missing() {
    let backend = Backend::start();
    let config = Config::new(&backend);
    let files = Arc::new(gateway::Workspace::new(&config));
    // A directory has its name.
    fs::create_dir_all(files.path.join(FILE)).unwrap();
    let gateway = Gateway::start_in(files, config.signing_key.clone());
    gateway.token(CLIENT);
    eventually("lost events", || gateway.metric("wicketgate_audit_events_lost_total", &[]) >= 2.0);
    assert!(
        gateway
            .stderr
            .wait(|line| line["message"].as_str().is_some_and(|said| said.contains("the audit log cannot be written")))
            .is_some()
    );
    let said = gateway.files.run(&["rotate", "signing-key"]).2;
    assert!(said.contains("done, but not noted in the audit log"), "{said}");
    fs::remove_dir(gateway.files.path.join(FILE)).unwrap();
    gateway.token(CLIENT);
    let noted = line(&gateway, "lost", |_| true);
    assert!(noted["count"].as_u64().unwrap() >= 2, "{noted}");
    line(&gateway, "token", |line| line["outcome"] == "ok");
    is_whole(&gateway.files);
}

#[test]
fn a_renamed_log_is_followed_by_one_that_begins_with_its_last_hash() {
    let (_backend, gateway) = world();
    gateway.token(CLIENT);
    line(&gateway, "token", |_| true);
    let renamed = gateway.files.path.join("data/audit.jsonl.1");
    fs::rename(gateway.files.path.join(FILE), &renamed).unwrap();
    gateway.signal("USR1");
    let opened = line(&gateway, "opened", |_| true);
    assert!(opened["seq"].as_u64().unwrap() > 1, "{opened}");
    gateway.token(OTHER_CLIENT);
    line(&gateway, "token", |line| line["client"] == OTHER_CLIENT.name);
    let both = ["audit", "verify", "data/audit.jsonl.1", "data/audit.jsonl"];
    gateway.files.succeeds(&both);
    is_whole(&gateway.files);
    // The older one lacks its last line.
    let text = fs::read_to_string(&renamed).unwrap();
    let cut = text.trim_end().rsplit_once('\n').unwrap().0;
    fs::write(&renamed, format!("{cut}\n")).unwrap();
    let said = gateway.files.fails(&both);
    assert!(said.contains("data/audit.jsonl:1: 1 line before this one was removed"), "{said}");
}

#[test]
fn an_audit_log_of_an_earlier_version_is_kept_and_sealed() {
    let backend = Backend::start();
    let config = Config::new(&backend);
    let files = Arc::new(gateway::Workspace::new(&config));
    fs::create_dir_all(files.path.join("data")).unwrap();
    files.write(FILE, "{\"time\":\"2026-11-01T00:00:00Z\",\"action\":\"id trace\",\"identifier\":\"t1-x\"}\n");
    let gateway = Gateway::start_in(files, config.signing_key.clone());
    line(&gateway, "start", |_| true);
    let said = is_whole(&gateway.files);
    assert!(said.contains("before the chain: 1 line"), "{said}");
    let path = gateway.files.path.join(FILE);
    let text = fs::read_to_string(&path).unwrap();
    gateway.files.write(FILE, &text.replace("t1-x", "t1-y"));
    let said = gateway.files.fails(&["audit", "verify"]);
    assert!(said.contains("audit.jsonl:2: the lines before this one are not those"), "{said}");
}
