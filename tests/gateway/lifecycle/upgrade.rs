//! Upgrade to a new process without a lost request or session.

use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::customer::{by_cookie, logout_by_cookie};
use crate::harness::*;

/// `name=value` of the cookie of a new login, over this connection.
#[track_caller]
fn log_in(gateway: &Gateway, connection: &mut Connection) -> String {
    let answer = gateway.login_request(ALICE.name, ALICE.secret).send_on(connection).ok();
    answer.header("Set-Cookie").unwrap().split(';').next().unwrap().to_owned()
}

/// Sends on a connection, on a new one where the last answer ended it.
#[track_caller]
fn send(request: &Request, connection: &mut Option<Connection>) -> Response {
    let mut open = connection.take().unwrap_or_else(|| Connection::open(request.address));
    let answer = request.send_on(&mut open);
    if !answer.close {
        *connection = Some(open);
    }
    answer
}

/// What one caller does over and over, on a connection that it keeps while it can.
type Load = Box<dyn Fn(&mut Option<Connection>) + Send>;

fn upgrades_under_load_lose_no_request_and_no_session(store: &Store) {
    let (_backend, mut gateway) = store.world_with(|c| c.cookies("both"));
    let stop = Arc::new(AtomicBool::new(false));
    let (count, longest) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicU64::new(0)));
    let cookie = log_in(&gateway, &mut gateway.connect());
    let (called, session) = (gateway.profile(), by_cookie(&gateway, &cookie));
    let login = gateway.login_request(BOB.name, BOB.secret);
    let load: [Load; 4] = [
        Box::new(move |connection| drop(send(&called, connection).ok())),
        {
            let session = session.clone();
            Box::new(move |_| drop(session.send().ok()))
        },
        {
            let session = session.clone();
            Box::new(move |connection| {
                thread::sleep(Duration::from_millis(50));
                send(&session, connection).ok();
            })
        },
        // What one process has just been told holds at once on connections of the other.
        Box::new(move |connection| {
            send(&session, connection).ok();
            let answer = login.send().ok();
            let cookie = answer.header("Set-Cookie").unwrap().split(';').next().unwrap().to_owned();
            let mine = session.clone().replace("Cookie", &cookie);
            send(&mine, connection).ok();
        }),
    ];
    let load = load.map(|act| {
        let (stop, count, longest) = (Arc::clone(&stop), Arc::clone(&count), Arc::clone(&longest));
        thread::spawn(move || {
            let mut connection = None;
            while !stop.load(Ordering::Relaxed) {
                let begun = Instant::now();
                act(&mut connection);
                longest.fetch_max(begun.elapsed().as_millis() as u64, Ordering::Relaxed);
                count.fetch_add(1, Ordering::Relaxed);
            }
        })
    });
    for _ in 0..if matches!(store, Store::Embedded) { 10 } else { 3 } {
        let before = count.load(Ordering::Relaxed);
        let (new, mut old) = gateway.upgrade();
        assert_eq!(old.wait_exit().code(), Some(0));
        gateway = new;
        while count.load(Ordering::Relaxed) == before && !load.iter().any(|one| one.is_finished()) {
            thread::yield_now();
        }
    }
    stop.store(true, Ordering::Relaxed);
    for one in load {
        one.join().expect("a request was lost during an upgrade");
    }
    println!(
        "{} rounds of calls, the longest took {} ms",
        count.load(Ordering::Relaxed),
        longest.load(Ordering::Relaxed)
    );
    by_cookie(&gateway, &cookie).send().ok();
}

fn logins_and_logouts_at_the_new_process_hold_on_connections_of_the_old_one(store: &Store) {
    let (_backend, gateway) = store.world_with(|c| c.cookies("cookie"));
    let (mut one, mut other, mut third) = (gateway.connect(), gateway.connect(), gateway.connect());
    let (stays, goes) = (log_in(&gateway, &mut one), log_in(&gateway, &mut other));
    for connection in [&mut one, &mut other, &mut third] {
        by_cookie(&gateway, &goes).send_on(connection).ok();
    }
    let (new, mut old) = gateway.upgrade();
    let later = log_in(&new, &mut new.connect());
    logout_by_cookie(&new, &goes).send().expect(204, "");
    let answer = by_cookie(&new, &goes).send_on(&mut one).expect(401, "401-03");
    assert!(answer.close, "it ends soon, so that the old process can: {:?}", answer.lines);
    by_cookie(&new, &later).send_on(&mut other).ok();
    logout_by_cookie(&new, &stays).send_on(&mut third).expect(204, "");
    by_cookie(&new, &stays).send().expect(401, "401-03");
    drop((one, other, third));
    assert_eq!(old.wait_exit().code(), Some(0));
    let new = new.restart();
    by_cookie(&new, &later).send().ok();
    by_cookie(&new, &goes).send().expect(401, "401-03");
}

on_both_stores! {
    upgrades_under_load_lose_no_request_and_no_session
    logins_and_logouts_at_the_new_process_hold_on_connections_of_the_old_one
}

#[test]
fn a_request_in_flight_is_answered_by_the_old_process_and_the_next_one_by_the_new() {
    let backend = Backend::start();
    let config = Config::new(&backend);
    let gateway = Gateway::start(&config);
    let gate = Gate::default();
    backend.on("/public/slow", Behaviour::Hold(gate.clone()));
    let mut connection = gateway.connect();
    connection.send(&gateway.get("/public/slow").bytes());
    backend.wait_for(1);
    gateway.files.configure(&config.route("key", "path", json!("/keys/")));
    let (new, mut old) = gateway.upgrade();
    assert!(old.running());
    new.expect_metric("wicketgate_connections_open", &[], 0.0);
    gate.open();
    let answer = connection.receive("GET").unwrap().ok();
    assert!(!answer.close, "{:?}", answer.lines);
    new.get("/keys/x").api_key(API_KEY).send_on(&mut connection).ok();
    assert!(connection.closes());
    assert_eq!(old.wait_exit().code(), Some(0));
}

#[test]
fn over_http_2_a_request_in_flight_gets_its_whole_answer() {
    let (backend, gateway) = world();
    let gate = Gate::default();
    backend.on("/public/slow", Behaviour::Hold(gate.clone()));
    let address = gateway.address;
    let waiting = thread::spawn(move || {
        let request = http::Request::get("https://localhost/public/slow").body(()).unwrap();
        h2_client::send(address, request, b"", None)
    });
    backend.wait_for(1);
    let (_new, mut old) = gateway.upgrade();
    gate.open();
    assert_eq!(waiting.join().unwrap().unwrap().status(), 200);
    assert_eq!(old.wait_exit().code(), Some(0));
}

#[test]
fn connections_without_tls_go_over_as_they_are() {
    let (_backend, gateway) = world_with(|c| c.without("/listen/0/tls"));
    let mut connection = Connection::plain(gateway.address);
    gateway.get("/public/x").send_on(&mut connection).ok();
    let (new, mut old) = gateway.upgrade();
    assert_eq!(old.wait_exit().code(), Some(0), "it need not wait for them");
    for _ in 0..2 {
        assert!(!new.get("/public/x").send_on(&mut connection).ok().close);
    }
    let (third, mut new) = new.upgrade();
    assert_eq!(new.wait_exit().code(), Some(0));
    third.get("/public/x").send_on(&mut connection).ok();
}

#[test]
fn a_new_process_that_cannot_start_leaves_the_old_one_as_it_was() {
    let backend = Backend::start();
    let config = Config::new(&backend).cookies("cookie");
    let gateway = Gateway::start(&config);
    let mut connection = gateway.connect();
    let cookie = log_in(&gateway, &mut connection);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut second = config.yaml["listen"][0].clone();
    second["address"] = json!(taken.local_addr().unwrap().to_string());
    std::fs::create_dir(gateway.files.path.join("damaged")).unwrap();
    gateway.files.write("damaged/state.redb", "");
    let broken = [
        (config.clone().route("key", "backend", json!("nowhere")), "there is no backend"),
        (config.clone().set("/identifier/key/file", json!("certs/missing.key")), "no such file"),
        (config.clone().set("/listen", json!([config.yaml["listen"][0], second])), "cannot listen on"),
        // Only this one fails once the state has been given.
        (
            config.clone().set("/state/embedded/path", json!("damaged")).set("/admin/socket", json!("data/admin.sock")),
            "is damaged",
        ),
    ];
    for (broken, why) in broken {
        gateway.files.configure(&broken);
        let (code, _, err) = gateway.files.run(&["run", "--upgrade", "--config", "gateway.yaml"]);
        assert!(code == 1 && err.contains(why), "{why}: {err}");
        by_cookie(&gateway, &cookie).send_on(&mut connection).ok();
        let other = log_in(&gateway, &mut gateway.connect());
        by_cookie(&gateway, &other).send().ok();
    }
    assert!(
        gateway.stderr.wait(|line| line["message"] == "no other process has taken over: this one goes on").is_some()
    );
    gateway.files.configure(&config);
    let (new, mut old) = gateway.upgrade();
    by_cookie(&new, &cookie).send_on(&mut connection).ok();
    drop(connection);
    assert_eq!(old.wait_exit().code(), Some(0));
}

#[test]
fn workers_and_addresses_change_with_an_upgrade() {
    let backend = Backend::start();
    let config = Config::new(&backend).set("/workers", json!(2));
    let listen = config.yaml["listen"][0].clone();
    let gateway = Gateway::start(&config.clone().set("/listen", json!([listen, listen])));
    let both: Vec<_> =
        gateway.stderr.all().iter().filter(|line| line.contains(r#""role":"gateway""#)).cloned().collect();
    assert_eq!(both.len(), 2);
    let address = gateway.address;
    let mut all = vec![gateway];
    for workers in [5, 1, 3] {
        all[0].files.configure(&config.clone().set("/workers", json!(workers)));
        let (new, mut old) = all.remove(0).upgrade();
        // Whatever socket the kernel chooses, there is a worker behind it.
        for _ in 0..20 {
            Request::new(address, "GET", "/public/x").send().ok();
        }
        assert_eq!(old.wait_exit().code(), Some(0));
        all.push(new);
    }
}

#[test]
fn a_sigusr2_upgrades_and_a_sigterm_to_the_old_process_changes_nothing() {
    let (backend, mut gateway) = world();
    let gate = Gate::default();
    backend.on("/public/slow", Behaviour::Hold(gate.clone()));
    let mut connection = gateway.connect();
    connection.send(&gateway.get("/public/slow").bytes());
    backend.wait_for(1);
    gateway.signal("USR2");
    let line = gateway.stderr.wait(|line| line["message"] == "another process has taken over").unwrap();
    let id = line["id"].to_string();
    let _guard = Ends(&id);
    gateway.signal("TERM");
    gate.open();
    connection.receive("GET").unwrap().ok();
    drop(connection);
    assert_eq!(gateway.wait_exit().code(), Some(0));
    gateway.profile().send().ok();
    assert_eq!(gateway.admin("/readyz").status, 200);
}

/// Ends a process that is no child of this one.
struct Ends<'a>(&'a str);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        program("kill", "procps", &["-s", "KILL", self.0]);
    }
}

#[test]
fn an_operators_socket_that_does_not_answer_is_no_reason_to_wait_for_ever() {
    let backend = Backend::start();
    let files = gateway::Workspace::new(&Config::new(&backend).set("/admin/socket", json!("dumb.sock")));
    let _dumb = UnixListener::bind(files.path.join("dumb.sock")).unwrap();
    let begun = Instant::now();
    for (arguments, why) in [
        (&["run", "--upgrade", "--config", "gateway.yaml"][..], "does not answer in time"),
        (&["run", "--config", "gateway.yaml"], "that does not say which it is"),
    ] {
        let (code, _, err) = files.run(arguments);
        assert!(code == 1 && err.contains(why), "{err}");
    }
    assert!(begun.elapsed() < DEADLINE);
}
