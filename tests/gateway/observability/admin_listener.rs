//! The admin listener and the admin socket: idle connections, host names, a foreign file in the socket's place.

use std::os::unix::net::UnixListener;

use crate::harness::*;

fn admin(gateway: &Gateway, path: &str, host: &str) -> Response {
    Request::new(gateway.admin, "GET", path).replace("Host", host).send_on(&mut Connection::plain(gateway.admin))
}

#[test]
fn idle_connections_do_not_silence_the_operators_listener() {
    let (_backend, gateway) = world();
    let mut used = Connection::plain(gateway.admin);
    let live = Request::new(gateway.admin, "GET", "/livez");
    let mut idle: Vec<Connection> = (0..300).map(|_| Connection::plain(gateway.admin)).collect();
    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(gateway.admin(path).status, 200, "{path}");
    }
    // Those go first that have been idle longest.
    assert!(used.closes());
    assert!(idle[0].closes());
    let last = idle.last_mut().unwrap();
    assert_eq!(live.send_on(last).status, 200);
    used = Connection::plain(gateway.admin);
    assert_eq!(live.send_on(&mut used).status, 200);
}

#[test]
fn a_connection_that_is_used_outlives_those_that_are_idle() {
    let (_backend, gateway) = world();
    let live = Request::new(gateway.admin, "GET", "/livez");
    let mut used = Connection::plain(gateway.admin);
    let mut idle = Vec::new();
    for _ in 0..6 {
        idle.extend((0..100).map(|_| Connection::plain(gateway.admin)));
        assert_eq!(live.send_on(&mut used).status, 200);
    }
}

#[test]
fn the_operators_listener_answers_only_under_names_that_are_its_own() {
    let (_backend, gateway) = world_with(|c| c.set("/admin/hosts", json!(["wicketgate.internal"])));
    let port = gateway.admin.port();
    for host in [
        "localhost",
        "127.0.0.1",
        "10.1.2.3",
        "[::1]",
        "[fd00::7]:9900",
        "wicketgate.internal",
        "WicketGate.Internal:9900",
    ] {
        assert_eq!(admin(&gateway, "/metrics", host).status, 200, "{host}");
    }
    assert_eq!(admin(&gateway, "/", &format!("localhost:{port}")).status, 200);
    for host in
        ["evil.example", "evil.example:9900", "localhost.evil.example", "127.0.0.1.evil.example", "internal", ""]
    {
        for path in ["/metrics", "/", "/elsewhere"] {
            let refused = admin(&gateway, path, host);
            assert_eq!(refused.status, 421, "{host:?} {path}");
            assert!(refused.text().contains("admin.hosts") && !refused.text().contains("wicketgate_"));
        }
    }
    let two = Request::new(gateway.admin, "GET", "/metrics").header("Host", "evil.example");
    assert_ne!(two.send_on(&mut Connection::plain(gateway.admin)).status, 200);
    let whole = Request::new(gateway.admin, "GET", "http://evil.example/metrics");
    assert_eq!(whole.send_on(&mut Connection::plain(gateway.admin)).status, 421);
    // Probes tell nobody anything, and whoever asks by another name would restart the gateway.
    assert_eq!(admin(&gateway, "/livez", "gateway-1").status, 200);
    assert_eq!(admin(&gateway, "/readyz", "gateway-1").status, 200);
    // Old probes say no host at all.
    let mut old = Connection::plain(gateway.admin);
    assert_eq!(old.exchange(b"GET /livez HTTP/1.0\r\n\r\n").unwrap().status, 200);
}

#[test]
fn names_of_the_operators_listener_change_with_a_reload() {
    let backend = Backend::start();
    let config = Config::new(&backend);
    let gateway = Gateway::start(&config);
    assert_eq!(admin(&gateway, "/metrics", "prometheus.internal").status, 421);
    gateway.reload(&config.set("/admin/hosts", json!(["prometheus.internal"])), "reloaded");
    assert_eq!(admin(&gateway, "/metrics", "prometheus.internal").status, 200);
}

#[test]
fn check_warns_where_the_operators_listener_is_open_to_networks() {
    let backend = Backend::start();
    let check = |config: Config| gateway::Workspace::new(&config).run(&["check"]);
    let (code, said, complained) = check(Config::new(&backend).set("/admin/address", json!("0.0.0.0:9900")));
    assert!(code == 0 && said.contains("is good"), "{complained}");
    assert!(complained.contains("warning") && complained.contains("admin.address"), "{complained}");
    let (code, _, complained) = check(Config::new(&backend));
    assert_eq!((code, complained.as_str()), (0, ""));
    for wrong in ["a b", "http://a.test", "a.test:9900", ""] {
        let (code, _, complained) = check(Config::new(&backend).set("/admin/hosts", json!([wrong])));
        assert!(code == 1 && complained.contains("admin.hosts[0]"), "{wrong}: {complained}");
    }
}

#[test]
fn a_file_that_is_no_socket_in_place_of_the_admin_socket_stays() {
    let backend = Backend::start();
    let config = Config::new(&backend).set("/admin/socket", json!("orders.db")).file("orders.db", "all our orders");
    let files = gateway::Workspace::new(&config);
    for command in ["check", "run"] {
        let (code, _, complained) = files.run(&[command]);
        assert_eq!(code, 1, "{command}");
        assert!(complained.contains("orders.db") && complained.contains("admin.socket"), "{complained}");
        assert_eq!(std::fs::read_to_string(files.path.join("orders.db")).unwrap(), "all our orders");
    }
    std::fs::remove_file(files.path.join("orders.db")).unwrap();
    std::fs::create_dir(files.path.join("orders.db")).unwrap();
    assert_eq!(files.run(&["run"]).0, 1);
    for impossible in ["x".repeat(120), "accounts.yaml/admin.sock".to_owned()] {
        let config = Config::new(&backend).set("/admin/socket", json!(impossible));
        let (code, _, complained) = gateway::Workspace::new(&config).run(&["check"]);
        assert!(code == 1 && complained.contains("admin.socket"), "{complained}");
    }
}

#[test]
fn a_socket_on_which_nobody_listens_is_replaced_and_one_of_another_kind_stays() {
    let backend = Backend::start();
    let config = Config::new(&backend).set("/admin/socket", json!("operators.sock"));
    let files = std::sync::Arc::new(gateway::Workspace::new(&config));
    let path = files.path.join("operators.sock");
    let other = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    let (code, _, complained) = files.run(&["run"]);
    assert!(code == 1 && complained.contains("operators.sock") && path.exists(), "{complained}");
    drop(other);
    std::fs::remove_file(&path).unwrap();
    let stale = UnixListener::bind(&path).unwrap();
    drop(stale);
    let mut gateway = Gateway::start_in(std::sync::Arc::clone(&files), config.signing_key.clone());
    assert_eq!(gateway.files.run(&["sessions", "list"]).0, 0);
    // At the end it takes away its own, and nothing else that has come in its place.
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "something else").unwrap();
    assert_eq!(gateway.terminate(), Some(0));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "something else");
}
