//! The embedded state on a disk that is full, fails or is slow, and after kill -9.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::customer::{by_cookie, logout_by_cookie, session_cookie};
use crate::harness::*;

fn log_in(gateway: &Gateway) -> Response {
    gateway.login_request(ALICE.name, ALICE.secret).send()
}

/// The library that makes a disk fail, compiled once.
fn faulty_disk() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let build = || {
        let library = std::env::temp_dir().join(format!("wicketgate-faulty-disk-{}.so", std::process::id()));
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/gateway/harness/faulty_disk.c");
        let output =
            program("gcc", "gcc", &["-shared", "-fPIC", "-O1", "-o", library.to_str().unwrap(), source, "-ldl"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        library
    };
    BUILT.get_or_init(build).clone()
}

/// A gateway with cookies on a disk that can be told to fail.
fn on_faulty_disk() -> (Backend, Gateway, impl Fn(&str)) {
    on_faulty_disk_with(|config| config)
}

/// The same with a changed configuration.
pub(crate) fn on_faulty_disk_with(change: impl FnOnce(Config) -> Config) -> (Backend, Gateway, impl Fn(&str)) {
    let backend = Backend::start();
    let config = change(Config::new(&backend).cookies("both"));
    let files = Arc::new(gateway::Workspace::new(&config));
    let switch = files.path.join("fault");
    let environment = [("LD_PRELOAD", faulty_disk()), ("FAULTY_DISK", switch.clone())];
    let gateway = Gateway::start_with(Arc::clone(&files), config.signing_key.clone(), &environment);
    (backend, gateway, move |fault: &str| std::fs::write(&switch, fault).unwrap())
}

#[test]
fn on_a_full_disk_nobody_logs_in_or_out_calls_go_on_and_room_heals_it() {
    let (_backend, gateway, fault) = on_faulty_disk();
    let answer = log_in(&gateway).ok();
    let (kept, token) = (session_cookie(&answer), answer.json()["JWT"].as_str().unwrap().to_owned());
    fault("full");
    for _ in 0..3 {
        assert!(log_in(&gateway).expect(503, "503-03").retry_after() >= 1);
        by_cookie(&gateway, &kept).send().ok();
        gateway.get("/me/x").customer(&token).send().ok();
    }
    gateway.expect_metric("wicketgate_state_up", &[], 0.0);
    fault("");
    let new = session_cookie(&log_in(&gateway).ok());
    by_cookie(&gateway, &new).send().ok();
    gateway.expect_metric("wicketgate_state_up", &[], 1.0);
    let gateway = gateway.restart();
    by_cookie(&gateway, &kept).send().ok();
    by_cookie(&gateway, &new).send().ok();
}

#[test]
fn a_logout_that_could_not_be_written_is_made_good_by_the_next_try() {
    let (_backend, gateway, fault) = on_faulty_disk();
    let answer = log_in(&gateway).ok();
    let (pair, token) = (session_cookie(&answer), answer.json()["JWT"].as_str().unwrap().to_owned());
    fault("full");
    logout_by_cookie(&gateway, &pair).send().expect(503, "503-03");
    fault("");
    // It was over in this process already, and now it is on the disk too.
    logout_by_cookie(&gateway, &pair).send().expect(401, "401-03");
    let gateway = gateway.restart();
    by_cookie(&gateway, &pair).send().expect(401, "401-03");
    gateway.get("/me/x").customer(&token).send().expect(401, "401-03");
}

#[test]
fn a_revocation_that_the_disk_did_not_take_is_written_with_what_it_takes_next() {
    let (_backend, gateway, fault) =
        on_faulty_disk_with(|c| c.set("/login/issue", json!("jwt")).set("/login/refresh", json!({})));
    let (first, second) = (log_in(&gateway).ok(), log_in(&gateway).ok());
    let token = |answer: &Response| answer_member(answer, "JWT");
    fault("full");
    gateway.post("/auth/logout").customer(&token(&first)).send().expect(503, "503-03");
    let form = format!("refresh_token={}", answer_member(&second, "refresh_token"));
    gateway.post("/auth/logout").form(&form).send().expect(503, "503-03");
    fault("");
    gateway.get("/me/x").customer(&token(&first)).send().expect(401, "401-03");
    let later = log_in(&gateway).ok();
    let gateway = gateway.restart();
    for ended in [&first, &second] {
        gateway.get("/me/x").customer(&token(ended)).send().expect(401, "401-03");
    }
    gateway.get("/me/x").customer(&token(&later)).send().ok();
}

#[test]
fn after_a_failed_fsync_nothing_is_acknowledged_until_a_restart() {
    let (_backend, gateway, fault) = on_faulty_disk();
    let kept = session_cookie(&log_in(&gateway).ok());
    fault("sync");
    log_in(&gateway).expect(503, "503-03");
    fault("");
    // The disk says that all is well again; what it has lost it does not say.
    log_in(&gateway).expect(503, "503-03");
    by_cookie(&gateway, &kept).send().ok();
    let told = |line: &Value| line["message"].as_str().is_some_and(|message| message.contains("disk under the state"));
    gateway.stderr.wait(told).unwrap();
    let gateway = gateway.restart();
    by_cookie(&gateway, &kept).send().ok();
    log_in(&gateway).ok();
}

#[test]
fn a_refresh_token_that_the_disk_did_not_take_is_no_theft_when_it_comes_again() {
    let (_backend, gateway, fault) = on_faulty_disk_with(|c| c.set("/login/refresh", json!({"grace": "0s"})));
    let hand_in = |gateway: &Gateway, token: &str| {
        let form = format!("grant_type=refresh_token&refresh_token={token}");
        gateway.post("/oauth/access_token").form(&form).send()
    };
    let first = answer_member(&log_in(&gateway).ok(), "refresh_token");
    fault("full");
    hand_in(&gateway, &first).expect(503, "");
    fault("");
    let second = answer_member(&hand_in(&gateway, &first).ok(), "refresh_token");
    // Nobody knows whether this is on the disk.
    fault("sync");
    hand_in(&gateway, &second).expect(503, "");
    let gateway = gateway.restart();
    let third = answer_member(&hand_in(&gateway, &second).ok(), "refresh_token");
    hand_in(&gateway, &second).expect(400, "");
    hand_in(&gateway, &third).expect(400, "");
}

#[test]
fn on_a_slow_disk_logins_wait_and_calls_do_not() {
    let (_backend, gateway, fault) = on_faulty_disk();
    let kept = session_cookie(&log_in(&gateway).ok());
    fault("slow");
    let request = gateway.login_request(ALICE.name, ALICE.secret);
    let slow = thread::spawn(move || {
        let begun = Instant::now();
        request.send().ok();
        begun.elapsed()
    });
    let mut connection = gateway.connect();
    let mut served = 0;
    while !slow.is_finished() {
        by_cookie(&gateway, &kept).send_on(&mut connection).ok();
        served += 1;
    }
    assert!(slow.join().unwrap() >= Duration::from_millis(200));
    assert!(served > 10, "{served}");
}

/// What was acknowledged to a caller: cookies, and whether each was logged out again.
#[derive(Default)]
struct Acknowledged {
    live: Vec<String>,
    ended: Vec<String>,
}

#[test]
fn kill_9_at_any_moment_loses_nothing_that_was_acknowledged() {
    let kills: u64 = std::env::var("WICKETGATE_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(20);
    let backend = Backend::start();
    // Refresh tokens write as logins do, without the cost of a hash.
    let config = Config::new(&backend).cookies("both").set("/login/refresh", json!({}));
    let config = config.set("/login/max_per_customer", json!(1000));
    let mut gateway = Gateway::start(&config);
    let mut known = Acknowledged::default();
    let mut refresh = Vec::new();
    for round in 0..kills {
        let acknowledged = Arc::new(Mutex::new(Acknowledged::default()));
        let tokens = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let callers: Vec<_> = (0..3)
            .map(|_| {
                let (acknowledged, tokens, stop) = (Arc::clone(&acknowledged), Arc::clone(&tokens), Arc::clone(&stop));
                let login = gateway.login_request(ALICE.name, ALICE.secret);
                let (out, renew) = (logout_by_cookie(&gateway, "x"), gateway.post("/oauth/access_token"));
                thread::spawn(move || {
                    let mut connection = Connection::open(login.address);
                    while !stop.load(Ordering::Relaxed) {
                        let Ok(answer) = login.try_on(&mut connection) else { return };
                        let cookie = session_cookie(&answer);
                        let ends = acknowledged.lock().unwrap().live.len() % 2 == 1;
                        if ends {
                            // Until it is answered, nobody knows whether it holds.
                            let request = out.clone().replace("Cookie", &cookie);
                            let Ok(answer) = request.try_on(&mut connection) else { return };
                            assert_eq!(answer.status, 204);
                            acknowledged.lock().unwrap().ended.push(cookie);
                            continue;
                        }
                        acknowledged.lock().unwrap().live.push(cookie);
                        let mut token = answer_member(&answer, "refresh_token");
                        for _ in 0..20 {
                            let form = format!("grant_type=refresh_token&refresh_token={token}");
                            let Ok(answer) = renew.clone().form(&form).try_on(&mut connection) else { return };
                            token = answer_member(&answer, "refresh_token");
                        }
                        tokens.lock().unwrap().push(token);
                    }
                })
            })
            .collect();
        // Every moment in turn, in steps of a prime number: after the start, and after the first login however long it takes.
        let are_calling = || callers.iter().any(|caller| !caller.is_finished());
        while round % 2 == 1 && acknowledged.lock().unwrap().live.is_empty() && are_calling() {
            thread::sleep(Duration::from_millis(1));
        }
        thread::sleep(Duration::from_millis(60 + round * 37 % 400));
        let files = gateway.kill();
        stop.store(true, Ordering::Relaxed);
        callers.into_iter().for_each(|caller| caller.join().unwrap());
        let begun = Instant::now();
        gateway = Gateway::start_in(files, config.signing_key.clone());
        assert!(begun.elapsed() < DEADLINE, "it takes long to open");
        let mut round = acknowledged.lock().unwrap();
        known.live.append(&mut round.live);
        known.ended.append(&mut round.ended);
        refresh.append(&mut tokens.lock().unwrap());
        let mut connection = gateway.connect();
        for cookie in &known.live {
            by_cookie(&gateway, cookie).send_on(&mut connection).ok();
        }
        for cookie in &known.ended {
            by_cookie(&gateway, cookie).send_on(&mut connection).expect(401, "401-03");
        }
        for token in refresh.drain(..) {
            let form = format!("grant_type=refresh_token&refresh_token={token}");
            gateway.post("/oauth/access_token").form(&form).send_on(&mut connection).ok();
        }
    }
    assert!(known.live.len() >= kills as usize / 2, "{} logins", known.live.len());
}

#[track_caller]
fn answer_member(answer: &Response, name: &str) -> String {
    answer.json()[name].as_str().unwrap_or_else(|| panic!("{name} in {}", answer.text())).to_owned()
}
