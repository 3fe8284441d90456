//! `upload_share`: uploads of one caller at once.

use crate::harness::*;

fn four_in_flight(config: Config) -> Config {
    config.set("/backends/legacy/concurrency", json!(4))
}

/// An upload of which nothing but the head comes.
fn begun(request: Request, length: usize) -> Connection {
    let mut connection = Connection::open(request.address);
    connection.send(&request.header("Content-Length", &length.to_string()).bytes());
    connection
}

#[test]
fn one_caller_holds_at_most_its_share_of_a_backend_by_uploads_that_do_not_come() {
    let (_backend, gateway) = world_with(four_in_flight);
    let (alice, bob) = (gateway.customer_token(), gateway.login(BOB));
    let of = |token: &str| gateway.post("/me/x").customer(token);
    let mut held: Vec<Connection> = [1_000, 300_000].map(|length| begun(of(&alice), length)).into();
    gateway.expect_metric("wicketgate_backend_in_flight", &[], 2.0);
    let refused = begun(of(&gateway.login(ALICE)), 1_000).receive("POST").unwrap().expect(429, "429-05");
    assert!(refused.retry_after() >= 1);
    // Calls that are whole are no uploads that are still coming, and others have what is theirs.
    of(&alice).body("whole").send().ok();
    of(&bob).body("whole").send().ok();
    held.push(begun(of(&bob), 1_000));
    gateway.get("/public/x").send().ok();
    // What has come makes room for another.
    held[0].send(&[b'x'; 1_000]);
    held[0].receive("POST").unwrap().ok();
    held.push(begun(of(&alice), 1_000));
    gateway.expect_metric("wicketgate_backend_in_flight", &[], 3.0);
    drop(held);
    gateway.expect_metric("wicketgate_backend_in_flight", &[], 0.0);
    for _ in 0..2 {
        of(&alice).body(vec![b'x'; 300_000]).send().ok();
    }
}

#[test]
fn a_share_of_uploads_is_a_percentage() {
    let backend = Backend::start();
    for (share, fault) in [(0, "no upload would be taken"), (101, "more than 100 percent")] {
        let config = Config::new(&backend).set("/backends/legacy/upload_share", json!(share));
        let (code, out, err) = gateway::Workspace::new(&config).run(&["check", "--config", "gateway.yaml"]);
        let said = format!("{out}{err}");
        assert!(code == 1 && said.contains(fault) && said.contains("upload_share"), "{said}");
    }
}
