//! Lockout after failed logins and wrong secrets: it hits the one who fails, and nobody elsewhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::harness::keys::argon2id;
use crate::harness::*;

/// Addresses of an attacker, of a customer or client, and of somebody else.
pub(crate) const ATTACKER: &str = "198.51.100.1";
pub(crate) const HOME: &str = "192.0.2.7";
pub(crate) const ELSEWHERE: &str = "203.0.113.9";

/// Callers say where they are, and the limits are the usual ones.
pub(crate) fn usual(config: Config) -> Config {
    config
        .set("/listen/0/trusted_proxies", json!(["127.0.0.0/8"]))
        .without("/login/limits")
        .without("/access_token/limits")
}

pub(crate) fn from(address: &str, request: Request) -> Request {
    request.header("X-Forwarded-For", address)
}

pub(super) fn log_in(gateway: &Gateway, address: &str, account: Account) -> Response {
    from(address, gateway.login_request(account.name, account.secret)).send()
}

pub(super) fn guess(gateway: &Gateway, address: &str, name: &str) -> Response {
    from(address, gateway.login_request(name, "wrong")).send()
}

pub(crate) fn token(gateway: &Gateway, address: &str, secret: &str) -> Response {
    from(address, gateway.token_request(CLIENT.name, secret)).send()
}

/// Sends this again and again on so many connections until it is dropped.
pub(crate) struct Flood {
    ends: Arc<AtomicBool>,
    answers: Arc<AtomicUsize>,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Flood {
    pub(crate) fn of(connections: usize, request: impl Fn(usize) -> Request) -> Self {
        let (ends, answers) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let one = |number| {
            let (ends, answers, request) = (Arc::clone(&ends), Arc::clone(&answers), request(number));
            thread::spawn(move || {
                let mut connection = Connection::open(request.address);
                while !ends.load(Ordering::Relaxed) {
                    if request.try_on(&mut connection).is_err() {
                        connection = Connection::open(request.address);
                    }
                    answers.fetch_add(1, Ordering::Relaxed);
                }
            })
        };
        let threads = (0..connections).map(one).collect();
        Self { ends, answers, threads }
    }

    pub(crate) fn answers(&self) -> usize {
        self.answers.load(Ordering::Relaxed)
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::Relaxed);
        self.threads.drain(..).for_each(|thread| drop(thread.join()));
    }
}

#[test]
fn a_flood_of_unknown_clients_from_one_address_keeps_no_customer_elsewhere_from_logging_in_and_locks_itself() {
    let attempts = json!({"free_per_address": 20});
    let (_backend, gateway) = world_with(|c| usual(c).set("/access_token/attempts", attempts));
    let flood = Flood::of(75, |number| {
        let basic = format!("Basic {}", keys::base64(format!("nobody{number}:wr%6fng").as_bytes()));
        let request = gateway.post("/oauth/access_token").header("Authorization", &basic);
        from(ATTACKER, request.form("grant_type=client_credentials"))
    });
    eventually("the flood is under way", || flood.answers() > 20);
    for _ in 0..10 {
        log_in(&gateway, HOME, ALICE).ok();
    }
    eventually("the flood is locked", || token(&gateway, ATTACKER, "wrong").status == 429);
    drop(flood);
    assert!(gateway.metric("wicketgate_tokens_total", &[("outcome", "token_locked")]) > 0.0);
}

fn wrong_passwords_from_one_address_do_not_keep_the_customer_out_elsewhere(store: &Store) {
    let (_backend, gateway) = store.world_with(|c| usual(c).set("/login/attempts", json!({"delay": "5m"})));
    for round in 0..10 {
        for _ in 0..4 {
            guess(&gateway, ATTACKER, ALICE.name);
        }
        let answer = log_in(&gateway, [HOME, ELSEWHERE][round % 2], ALICE);
        assert_eq!(answer.status, 200, "in round {round}");
    }
    // Who guesses waits, also with the right password.
    log_in(&gateway, ATTACKER, ALICE).expect(429, "429-02");
}

#[test]
fn right_passwords_and_secrets_are_not_counted_by_the_limit_of_their_name() {
    let few = json!({"rate": "1/m", "burst": 2});
    let (_backend, gateway) =
        world_with(|c| usual(c).set("/login/limits", few.clone()).set("/access_token/limits", few));
    for _ in 0..6 {
        log_in(&gateway, HOME, ALICE).ok();
        token(&gateway, HOME, CLIENT.secret).ok();
    }
    // Wrong ones are, from wherever they come; others' names are not.
    for address in [ATTACKER, ELSEWHERE] {
        guess(&gateway, address, ALICE.name).expect(401, "401-04");
    }
    guess(&gateway, "198.51.100.2", ALICE.name).expect(429, "429-02");
    log_in(&gateway, HOME, BOB).ok();
}

#[test]
fn an_outage_of_the_companys_own_login_is_not_counted_by_the_limit_of_a_name() {
    let (backend, gateway) = world_with(|c| {
        usual(c)
            .set("/login/accounts", json!({"backend": "legacy", "path": "/login", "subject": "/customer/id"}))
            .set("/login/limits", json!({"rate": "1/m", "burst": 2}))
    });
    backend.on("/login", Behaviour::reply(500, &[], b""));
    for _ in 0..5 {
        log_in(&gateway, HOME, ALICE).expect(503, "");
    }
}

fn a_login_of_ones_own_forgives_nothing_of_what_failed_under_other_names(store: &Store) {
    let attempts = json!({"free": 5, "free_per_address": 20, "delay": "5m"});
    let (_backend, gateway) = store.world_with(|c| usual(c).set("/login/attempts", attempts));
    let mut guessed = 0;
    while guessed < 21 {
        for _ in 0..7 {
            guess(&gateway, ATTACKER, &format!("victim{guessed}")).expect(401, "401-04");
            guessed += 1;
        }
        if guessed < 21 {
            log_in(&gateway, ATTACKER, BOB).ok();
        }
    }
    guess(&gateway, ATTACKER, "another").expect(429, "429-02");
    log_in(&gateway, HOME, ALICE).ok();
}

fn an_office_whose_people_mistype_and_then_log_in_is_not_locked(store: &Store) {
    let attempts = json!({"free": 5, "free_per_address": 8, "delay": "5m"});
    let (_backend, gateway) = store.world_with(|c| usual(c).set("/login/attempts", attempts));
    for _ in 0..4 {
        for account in [ALICE, BOB] {
            for _ in 0..3 {
                guess(&gateway, HOME, account.name).expect(401, "401-04");
            }
            log_in(&gateway, HOME, account).ok();
        }
    }
}

#[test]
fn very_many_logins_of_a_known_customer_at_once_lock_nobody() {
    let attempts = json!({"free": 1, "free_per_address": 1, "delay": "5m"});
    let (_backend, gateway) = world_with(|c| usual(c).set("/login/attempts", attempts));
    log_in(&gateway, HOME, ALICE).ok();
    let logins: Vec<_> = (0..120)
        .map(|_| {
            let request = from(HOME, gateway.login_request(ALICE.name, ALICE.secret));
            thread::spawn(move || request.send().status)
        })
        .collect();
    let answers: Vec<u16> = logins.into_iter().map(|login| login.join().unwrap()).collect();
    assert!(answers.iter().all(|status| [200, 503].contains(status)), "{answers:?}");
    log_in(&gateway, HOME, ALICE).ok();
}

#[test]
fn with_a_store_that_is_five_milliseconds_away_a_flood_keeps_nobody_elsewhere_out() {
    let redis = RedisServer::start();
    let far = NetworkLink::to(redis.port, Duration::from_millis(5));
    let (_backend, gateway) = world_with(|c| usual(c).set("/state", json!({"redis": {"url": far.url()}})));
    gateway.is_ready();
    let flood = Flood::of(40, |number| {
        let name = format!("nobody{}", number % 10);
        from(ATTACKER, gateway.login_request(&name, "wrong"))
    });
    eventually("the flood is under way", || flood.answers() > 20);
    for _ in 0..10 {
        log_in(&gateway, HOME, ALICE).ok();
    }
    eventually("the flood is locked", || guess(&gateway, ATTACKER, "another").status == 429);
}

fn concurrent_guesses_get_no_more_attempts_than_sequential_ones(store: &Store) {
    let attempts = json!({"free": 3, "delay": "5m"});
    let (_backend, gateway) = store.world_with(|c| usual(c).set("/login/attempts", attempts));
    let guesses: Vec<_> = (0..20)
        .map(|number| {
            let request = from(ATTACKER, gateway.login_request(ALICE.name, &format!("wrong{number}")));
            thread::spawn(move || request.send().status)
        })
        .collect();
    let answers: Vec<u16> = guesses.into_iter().map(|guess| guess.join().unwrap()).collect();
    assert_eq!(answers.iter().filter(|status| **status == 401).count(), 4, "{answers:?}");
    assert!(answers.iter().all(|status| [401, 429].contains(status)), "{answers:?}");
}

#[test]
fn guesses_at_the_companys_own_login_are_asked_one_after_another() {
    let (backend, gateway) = world_with(|c| {
        usual(c)
            .set("/login/accounts", json!({"backend": "legacy", "path": "/login", "subject": "/customer/id"}))
            .set("/login/attempts", json!({"free": 3, "delay": "5m"}))
    });
    backend.on("/login", Behaviour::reply(401, &[], b""));
    let guesses: Vec<_> = (0..20)
        .map(|number| {
            let request = from(ATTACKER, gateway.login_request(ALICE.name, &format!("wrong{number}")));
            thread::spawn(move || request.send().status)
        })
        .collect();
    assert!(guesses.into_iter().all(|guess| [401, 429].contains(&guess.join().unwrap())));
    assert_eq!(backend.requests_for("/login").len(), 4);
}

#[test]
fn guesses_whose_caller_does_not_wait_for_the_answer_are_counted() {
    let attempts = json!({"free": 3, "delay": "5m"});
    let (_backend, gateway) = world_with(|c| usual(c).set("/login/attempts", attempts));
    eventually("they are locked", || {
        let mut caller = gateway.connect();
        caller.send(&from(ATTACKER, gateway.login_request(ALICE.name, "wrong")).bytes());
        drop(caller);
        gateway.metric("wicketgate_logins_total", &[("outcome", "login_locked")]) > 0.0
            || gateway.metric("wicketgate_password_hashes_total", &[]) > 3.0
                && log_in(&gateway, ATTACKER, ALICE).status == 429
    });
    log_in(&gateway, HOME, ALICE).ok();
}

fn a_customer_is_let_in_from_where_he_was_before_while_strangers_use_up_the_limit_of_his_name(store: &Store) {
    let few = json!({"rate": "1/m", "burst": 2});
    let (_backend, gateway) = store.world_with(|c| usual(c).set("/login/limits", few));
    log_in(&gateway, HOME, ALICE).ok();
    // What is known of him outlives the process.
    let (mut gateway, key) = (gateway, keys::TokenKey::generate());
    assert_eq!(gateway.terminate(), Some(0));
    let gateway = Gateway::start_in(Arc::clone(&gateway.files), key);
    gateway.is_ready();
    for address in [ATTACKER, "198.51.100.2"] {
        guess(&gateway, address, ALICE.name).expect(401, "401-04");
    }
    guess(&gateway, "198.51.100.3", ALICE.name).expect(429, "429-02");
    for _ in 0..5 {
        log_in(&gateway, HOME, ALICE).ok();
    }
    log_in(&gateway, ELSEWHERE, ALICE).expect(429, "429-02");
}

fn refresh_tokens_that_are_none_are_counted_and_good_ones_pass_from_there_all_the_same(store: &Store) {
    let attempts = json!({"free": 2, "free_per_address": 4, "delay": "5m"});
    let (_backend, gateway) = store.world_with(|c| {
        usual(c).set("/login/refresh", json!({"lifetime": "1h"})).set("/access_token/attempts", attempts)
    });
    let refresh = |address: &str, token: &str| {
        let form = format!("grant_type=refresh_token&refresh_token={token}");
        from(address, gateway.post("/oauth/access_token").form(&form)).send()
    };
    let mut good = log_in(&gateway, HOME, ALICE).ok().json()["refresh_token"].as_str().unwrap().to_owned();
    let unknown = |number: usize| format!("wgr_{}", keys::base64url(&[u8::try_from(number).unwrap(); 48]));
    for number in 0..5 {
        refresh(ATTACKER, &unknown(number)).expect(400, "");
    }
    for token in ["x", &unknown(9)] {
        assert!(refresh(ATTACKER, token).expect(429, "").retry_after() >= 1);
    }
    for address in [ATTACKER, HOME, ATTACKER] {
        good = refresh(address, &good).ok().json()["refresh_token"].as_str().unwrap().to_owned();
    }
    // Neither logins nor tokens of clients are locked by it.
    log_in(&gateway, ATTACKER, BOB).ok();
    token(&gateway, ATTACKER, CLIENT.secret).ok();
}

#[test]
fn a_network_that_has_used_up_its_free_failures_tries_one_name_at_a_time() {
    let (backend, gateway) = world_with(|c| {
        usual(c)
            .set("/login/accounts", json!({"backend": "legacy", "path": "/login", "subject": "/customer/id"}))
            .set("/login/attempts", json!({"free_per_address": 3, "delay": "5m"}))
    });
    let slowly = vec![b"HTTP/1.1 401 No\r\n".to_vec(), b"Content-Length: 0\r\n\r\n".to_vec()];
    backend.on("/login", Behaviour::Dribble(slowly, Duration::from_millis(200)));
    for number in 0..3 {
        guess(&gateway, ATTACKER, &format!("first{number}")).expect(401, "401-04");
    }
    let guesses: Vec<_> = (0..20)
        .map(|number| {
            let request = from(ATTACKER, gateway.login_request(&format!("victim{number}"), "wrong"));
            thread::spawn(move || request.send().status)
        })
        .collect();
    assert!(guesses.into_iter().all(|guess| [401, 429].contains(&guess.join().unwrap())));
    assert_eq!(backend.requests_for("/login").len(), 4);
}

#[test]
fn an_office_whose_people_all_log_in_at_once_is_not_locked_and_who_waits_is_let_in() {
    let password = argon2id("password");
    let account = |number: usize| json!({"username": format!("user{number}"), "password": password, "subject": format!("{number}")});
    let accounts: Vec<_> = (0..150).map(account).collect();
    let attempts = json!({"free": 1, "free_per_address": 1, "delay": "1s"});
    let (_backend, gateway) = world_with(|c| {
        usual(c)
            .set("/login/attempts", attempts)
            .set("/login/accounts/file", json!("office.yaml"))
            .file("office.yaml", &json!(accounts).to_string())
    });
    let logins: Vec<_> = (0..150)
        .map(|number| {
            let request = from(HOME, gateway.login_request(&format!("user{number}"), "password"));
            thread::spawn(move || request.send())
        })
        .collect();
    let answers: Vec<Response> = logins.into_iter().map(|login| login.join().unwrap()).collect();
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert!(statuses.iter().all(|status| [200, 503].contains(status)), "{statuses:?}");
    assert!(statuses.iter().filter(|status| **status == 200).count() >= 64, "{statuses:?}");
    assert!(answers.iter().filter(|answer| answer.status == 503).all(|answer| answer.retry_after() >= 1));
    eventually("the crowd is over", || {
        let again = from(HOME, gateway.login_request("user1", "password")).send();
        assert!([200, 503].contains(&again.status), "{}", again.status);
        again.status == 200
    });
}

fn wrong_passwords_must_wait_longer_and_longer_and_the_right_one_works_later(store: &Store) {
    let (_backend, gateway) = store.world_with(|c| {
        c.set("/login/attempts", json!({"free": 2, "delay": "1s", "longest": "2s"}))
            .set("/login/limits", json!({"rate": "1000/s", "burst": 1000}))
    });
    for name in ["nobody", ALICE.name] {
        for _ in 0..3 {
            gateway.login_request(name, "wrong").send().expect(401, "401-04");
        }
        // Whoever fails learns nothing of whether there is such an account.
        let answer = gateway.login_request(name, "wrong").send().expect(429, "429-02");
        assert!(answer.retry_after() <= 2);
    }
    // The right password is no way to find out whether it is right either.
    gateway.login_request(ALICE.name, ALICE.secret).send().expect(429, "429-02");
    let gateway = gateway.restart();
    let until = std::time::Instant::now() + DEADLINE;
    // Costs no hash: it comes before the lock has ended.
    let mut refused = u32::from(gateway.login_request(ALICE.name, "wrong").send().status == 429);
    gateway.login_request(BOB.name, BOB.secret).send().ok();
    while gateway.login_request(ALICE.name, ALICE.secret).send().status == 429 {
        refused += 1;
        assert!(std::time::Instant::now() < until, "locked for ever");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!(refused > 0, "a restart forgives");
    for _ in 0..2 {
        gateway.login_request(ALICE.name, "wrong").send().expect(401, "401-04");
    }
    gateway.login_request(ALICE.name, ALICE.secret).send().ok();
}

fn one_address_that_fails_under_many_names_must_wait_too(store: &Store) {
    let (_backend, gateway) = store.world_with(|c| {
        c.set("/login/attempts", json!({"free_per_address": 4, "delay": "5m"}))
            .set("/access_token/attempts", json!({"free_per_address": 2, "delay": "5m"}))
    });
    for number in 0..5 {
        gateway.login_request(&format!("nobody{number}"), "wrong").send().expect(401, "401-04");
    }
    gateway.login_request(ALICE.name, ALICE.secret).send().expect(429, "429-02");
    for number in 0..3 {
        gateway.token_request(&format!("nobody{number}"), "wrong").send().expect(401, "");
    }
    let answer = gateway.token_request(CLIENT.name, CLIENT.secret).send();
    assert_eq!(answer.expect(429, "").json()["error"], "temporarily_unavailable");
}

on_both_stores! {
    wrong_passwords_from_one_address_do_not_keep_the_customer_out_elsewhere
    a_login_of_ones_own_forgives_nothing_of_what_failed_under_other_names
    an_office_whose_people_mistype_and_then_log_in_is_not_locked
    concurrent_guesses_get_no_more_attempts_than_sequential_ones
    a_customer_is_let_in_from_where_he_was_before_while_strangers_use_up_the_limit_of_his_name
    refresh_tokens_that_are_none_are_counted_and_good_ones_pass_from_there_all_the_same
    wrong_passwords_must_wait_longer_and_longer_and_the_right_one_works_later
    one_address_that_fails_under_many_names_must_wait_too
}
