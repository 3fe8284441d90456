//! Load balancing over several servers of a backend: weights, least requests, consistent hashing.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::thread;

use crate::harness::*;

/// A gateway in front of a backend of so many servers.
pub(crate) fn several<const N: usize>(change: impl FnOnce(Config) -> Config) -> ([Backend; N], Gateway) {
    let backends = [(); N].map(|()| Backend::start());
    let servers: Vec<String> = backends.iter().map(Backend::url).collect();
    let gateway = Gateway::start(&change(Config::new(&backends[0]).set("/backends/legacy/servers", json!(servers))));
    (backends, gateway)
}

/// How the gateway calls a server in its metrics.
pub(crate) fn up(gateway: &Gateway, backend: &Backend, value: f64) {
    gateway.expect_metric("wicketgate_backend_server_up", &[("server", &backend.address.to_string())], value);
}

fn counts<const N: usize>(backends: &[Backend; N]) -> [usize; N] {
    std::array::from_fn(|index| backends[index].requests().len())
}

#[test]
fn requests_are_spread_over_all_servers_and_metrics_name_each() {
    let (backends, gateway) = several::<3>(|c| c);
    for _ in 0..60 {
        gateway.get("/public/x").send().ok();
    }
    let counts = counts(&backends);
    assert!(counts.iter().all(|count| *count >= 5), "{counts:?}");
    backends.iter().for_each(|backend| up(&gateway, backend, 1.0));
    gateway.expect_metric("wicketgate_backend_server_in_flight", &[("backend", "legacy")], 0.0);
}

#[test]
fn a_server_of_more_weight_gets_more() {
    let backends = [Backend::start(), Backend::start()];
    let servers = json!([backends[0].url(), {"url": backends[1].url(), "weight": 4}]);
    let gateway = Gateway::start(&Config::new(&backends[0]).set("/backends/legacy/servers", servers));
    for _ in 0..100 {
        gateway.get("/public/x").send().ok();
    }
    let [light, heavy] = counts(&backends);
    assert!(light >= 5 && heavy >= 60, "{light} {heavy}");
}

#[test]
fn a_busy_server_gets_nothing_while_the_other_is_idle() {
    let (backends, gateway) = several::<2>(|c| c);
    let gate = Gate::default();
    backends.iter().for_each(|backend| backend.on("/public/slow", Behaviour::Hold(gate.clone())));
    let slow = gateway.get("/public/slow");
    let waiting = thread::spawn(move || slow.send());
    let until = std::time::Instant::now() + DEADLINE;
    while counts(&backends) == [0, 0] {
        assert!(std::time::Instant::now() < until);
        thread::yield_now();
    }
    let busy = usize::from(counts(&backends)[1] > 0);
    let name = backends[busy].address.to_string();
    gateway.expect_metric("wicketgate_backend_server_in_flight", &[("server", &name)], 1.0);
    for _ in 0..20 {
        gateway.get("/public/x").send().ok();
    }
    assert_eq!(backends[busy].requests_for("/public/x").len(), 0);
    gate.open();
    waiting.join().unwrap().ok();
}

#[test]
fn a_customer_keeps_its_server_and_others_take_over_while_it_is_away() {
    let (backends, gateway) = several::<4>(|c| {
        c.set("/backends/legacy/balance", json!("consistent_hash"))
            .set("/backends/legacy/outlier_detection", json!({"failures": 0}))
    });
    let token = gateway.customer_token();
    let call = || gateway.get("/me/x").customer(&token).send().ok();
    let asked = || (0..4).filter(|index| !backends[*index].requests_for("/me/x").is_empty()).collect::<HashSet<_>>();
    (0..10).for_each(|_| drop(call()));
    let home = asked();
    assert_eq!(home.len(), 1, "{home:?}");
    let home = home.into_iter().next().unwrap();
    // Calls without a customer go everywhere.
    for _ in 0..60 {
        gateway.get("/public/x").send().ok();
    }
    assert!(backends.iter().all(|backend| !backend.requests_for("/public/x").is_empty()));
    backends[home].stop();
    backends.iter().for_each(Backend::forget);
    (0..10).for_each(|_| drop(call()));
    assert!(!asked().contains(&home) && asked().len() == 1, "{:?}", asked());
    backends[home].start_again();
    backends.iter().for_each(Backend::forget);
    let until = std::time::Instant::now() + DEADLINE;
    while !asked().contains(&home) {
        assert!(std::time::Instant::now() < until, "it does not come back");
        call();
    }
}

/// Passes bytes on between a unix socket and a backend.
fn behind(socket: &Path, backend: &Backend) {
    let (listener, address) = (UnixListener::bind(socket).unwrap(), backend.address);
    fn pass(mut from: impl Read + Send + 'static, mut to: impl Write + Send + 'static) {
        thread::spawn(move || std::io::copy(&mut from, &mut to));
    }
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let other = TcpStream::connect(address).unwrap();
            pass(stream.try_clone().unwrap(), other.try_clone().unwrap());
            pass(other, stream);
        }
    });
}

#[test]
fn a_server_can_be_behind_a_unix_socket() {
    let backend = Backend::start();
    let config = Config::new(&backend);
    let files = std::sync::Arc::new(gateway::Workspace::new(&config));
    let socket = files.path.join("app.sock");
    behind(&socket, &backend);
    let server = format!("unix:{}", socket.display());
    files.configure(&config.set("/backends/legacy/servers", json!([server])));
    let gateway = Gateway::start_in(files, keys::TokenKey::generate());
    assert_eq!(gateway.post("/public/x").body("over a socket").send().ok().status, 200);
    assert_eq!(backend.only().body, b"over a socket");
    gateway.expect_metric("wicketgate_backend_server_up", &[("server", &server)], 1.0);
}

#[test]
fn while_one_server_of_a_hundred_lives_every_call_is_answered_also_one_that_is_not_idempotent() {
    let backend = Backend::start();
    let port = backend.address.port();
    // Nobody listens at these addresses of this machine. The one that lives is the last.
    let mut servers: Vec<String> = (1..100).map(|number| format!("http://127.1.0.{number}:{port}")).collect();
    servers.push(backend.url());
    for ejection in [json!({"failures": 0}), json!({})] {
        let config = Config::new(&backend).set("/backends/legacy/servers", json!(servers));
        let gateway = Gateway::start(&config.set("/backends/legacy/outlier_detection", ejection));
        for _ in 0..50 {
            gateway.get("/public/x").send().ok();
            gateway.post("/public/x").body("once").send().ok();
        }
    }
    assert_eq!(backend.requests().len(), 200);
}
