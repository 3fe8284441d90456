//! `concurrency`, `queue` and `adaptive` of a backend: requests wait, or are 503.

use std::thread;
use std::time::Duration;

use crate::harness::*;

#[test]
fn requests_above_the_limit_wait_for_a_place_and_the_queue_has_an_end() {
    let (backend, gateway) = world_with(|c| {
        c.set("/backends/legacy/concurrency", json!(1))
            .set("/backends/legacy/queue", json!({"length": 2, "timeout": "30s"}))
    });
    let gate = Gate::default();
    backend.on("/public/slow", Behaviour::Hold(gate.clone()));
    let send = |target: &str| {
        let request = gateway.get(target);
        thread::spawn(move || request.send())
    };
    let first = send("/public/slow");
    backend.wait_for(1);
    let waiting = [send("/public/x"), send("/public/x")];
    gateway.expect_metric("wicketgate_backend_waiting", &[("backend", "legacy")], 2.0);
    assert!(gateway.get("/public/x").send().expect(503, "503-01").retry_after() >= 1);
    assert_eq!(backend.requests().len(), 1);
    gate.open();
    first.join().unwrap().ok();
    waiting.into_iter().for_each(|call| drop(call.join().unwrap().ok()));
    gateway.expect_metric("wicketgate_backend_waiting", &[("backend", "legacy")], 0.0);
    gateway.expect_metric("wicketgate_backend_in_flight", &[("backend", "legacy")], 0.0);
}

#[test]
fn nobody_waits_for_a_place_longer_than_the_queue_allows() {
    let (backend, gateway) = world_with(|c| {
        c.set("/backends/legacy/concurrency", json!(1))
            .set("/backends/legacy/queue", json!({"length": 9, "timeout": "100ms"}))
    });
    let gate = Gate::default();
    backend.on("/public/slow", Behaviour::Hold(gate.clone()));
    let slow = gateway.get("/public/slow");
    let first = thread::spawn(move || slow.send());
    backend.wait_for(1);
    gateway.get("/public/x").send().expect(503, "503-01");
    // A caller that leaves while it waits takes no place.
    let mut gone = gateway.connect();
    gone.send(&gateway.get("/public/x").bytes());
    gone.abort();
    gate.open();
    first.join().unwrap().ok();
    gateway.expect_metric("wicketgate_backend_waiting", &[("backend", "legacy")], 0.0);
    gateway.get("/public/y").send().ok();
    assert!(backend.requests_for("/public/x").is_empty());
}

#[test]
fn overload_is_503_with_retry_after() {
    let (backend, gateway) = world_with(|c| c.set("/backends/legacy/concurrency", json!(1)));
    let gate = Gate::default();
    backend.on("/public/slow", Behaviour::Hold(gate.clone()));
    let slow = gateway.get("/public/slow");
    let waiting = thread::spawn(move || slow.send());
    backend.wait_for(1);
    let answer = gateway.get("/public/x").send().expect(503, "503-01");
    assert!(answer.retry_after() >= 1);
    gate.open();
    waiting.join().unwrap().ok();
    gateway.get("/public/x").send().ok();
}

#[test]
fn load_is_shed_before_the_queue_grows_where_a_backend_has_become_slow() {
    let (backend, gateway) = world_with(|c| {
        c.set("/backends/legacy/adaptive", json!({"min": 2})).set("/backends/legacy/concurrency", json!(50))
    });
    let call = |path: &'static str, count: usize| {
        let request = gateway.get(path);
        thread::spawn(move || {
            let mut connection = Connection::open(request.address);
            let answers = (0..count).map(|_| request.send_on(&mut connection));
            answers.fold((0, 0), |(fine, shed), answer| match answer.status {
                200 => (fine + 1, shed),
                _ => {
                    assert!(answer.expect(503, "503-01").retry_after() >= 1);
                    (fine, shed + 1)
                }
            })
        })
    };
    // It learns what is usual; then the same backend takes far longer, and more is asked of it than it is given.
    let fast: Vec<_> = (0..4).map(|_| call("/public/x", 150)).collect();
    for caller in fast {
        assert_eq!(caller.join().unwrap(), (150, 0));
    }
    backend.on("/public/slow", Behaviour::Delay(Duration::from_millis(150)));
    let slow: Vec<_> = (0..30).map(|_| call("/public/slow", 10)).collect();
    let (fine, shed) =
        slow.into_iter().map(|caller| caller.join().unwrap()).fold((0, 0), |a, b| (a.0 + b.0, a.1 + b.1));
    assert!(fine >= 2 && shed > 0, "{fine} were answered, {shed} were told to come again");
    gateway.get("/public/x").send().ok();
}
