//! Real proxies on both sides of the gateway: caller, nginx or HAProxy, gateway, the same again, backend.

use std::net::SocketAddr;
use std::time::Duration;

use crate::harness::http1::Fault;
use crate::harness::keys::decode;
use crate::harness::other_proxy::OtherProxy;
use crate::harness::python::python;
use crate::harness::*;
use crate::websocket::tunnel::library_server;

/// What begins with /me/live goes to `live`, all else to `other`.
fn haproxy(other: SocketAddr, live: SocketAddr) -> OtherProxy {
    OtherProxy::haproxy(|address| {
        format!(
            "defaults\n mode http\n timeout connect 5s\n timeout client 20s\n timeout server 20s\n timeout tunnel 20s\n\
             frontend all\n bind {address}\n use_backend live if {{ path_beg /me/live }}\n default_backend other\n\
             backend live\n server live {live}\nbackend other\n server other {other}\n"
        )
    })
}

/// The same.
fn nginx(other: SocketAddr, live: SocketAddr) -> OtherProxy {
    OtherProxy::nginx(|address| {
        let passes = |place: &str, to: SocketAddr| format!("        location {place} {{ proxy_pass http://{to}; }}\n");
        // What nginx needs to be told to keep connections, to stream and to know WebSockets.
        format!(
            "    map $http_upgrade $change {{ default upgrade; '' ''; }}\n    upstream other {{ server {other}; keepalive 8; }}\n    \
             server {{\n        listen {address};\n        client_max_body_size 0;\n        proxy_http_version 1.1;\n        \
             proxy_request_buffering off;\n        proxy_set_header Host $http_host;\n        proxy_set_header Upgrade $http_upgrade;\n        \
             proxy_set_header Connection $change;\n{}        location / {{ proxy_pass http://other; }}\n    }}\n",
            passes("/me/live", live)
        )
    })
}

/// All that must pass through both, whoever they are.
fn everything_passes(start: impl Fn(SocketAddr, SocketAddr) -> OtherProxy) {
    let backend = Backend::start();
    let (_server, live) = library_server();
    let live: SocketAddr = live.trim_start_matches("http://").parse().unwrap();
    let behind = start(backend.address, live);
    let config = Config::with_server(&format!("http://{}", behind.address))
        .without("/listen/0/tls")
        .route("me", "websocket", json!(true))
        .route("public", "limits", json!({"body": "32MiB", "timeout": "20s"}));
    let gateway = Gateway::start(&config);
    let front = start(gateway.address, gateway.address);
    let address = front.address;
    let token = || {
        let form = gateway.login_request(ALICE.name, ALICE.secret);
        let answer = form.send_on(&mut Connection::plain(gateway.address)).ok();
        answer.json()["JWT"].as_str().unwrap().to_owned()
    };
    let token = token();
    let identifier = decode(&token).1["sub"].as_str().unwrap().to_owned();
    let mut caller = Connection::plain(address);
    caller.patience(Duration::from_secs(20));
    // Many on one connection, and few towards the backend.
    for number in 0..50 {
        let request = Request::new(address, "GET", &format!("/me/{number}?q=a%2Fb")).customer(&token);
        request.send_on(&mut caller).ok();
    }
    let seen = backend.requests();
    let connections: std::collections::HashSet<usize> = seen.iter().map(|seen| seen.connection).collect();
    assert!(seen.len() == 50 && connections.len() < 10, "{} connections for {}", connections.len(), seen.len());
    assert!(seen.iter().all(|seen| seen.header("X-Customer-Id") == Some(identifier.as_str())));
    assert_eq!(seen[7].target, "/me/7?q=a%2Fb");
    // Large, in both directions.
    let body: Vec<u8> = (0..6 * 1024 * 1024_u32).map(|n| (n % 251) as u8).collect();
    backend.on("/public/large", Behaviour::reply(200, &[("X-Kept", "1")], &body));
    let answer = Request::new(address, "POST", "/public/large").body(body.clone()).send_on(&mut caller).ok();
    assert!(answer.body == body && backend.last().body == body && answer.header("X-Kept") == Some("1"));
    // Errors of each, and what comes after them.
    Request::new(address, "GET", "/me/x").send_on(&mut caller).expect(401, "401-10");
    Request::new(address, "GET", "/nowhere").send_on(&mut Connection::plain(address)).expect(404, "404-01");
    backend.on("/public/error", Behaviour::status(503));
    let answer = Request::new(address, "GET", "/public/error").send_on(&mut Connection::plain(address));
    assert_eq!((answer.status, answer.json()["from"].as_str()), (503, Some("backend")));
    backend
        .on("/public/broken", Behaviour::RawThenClose(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello".to_vec()));
    let broken = Request::new(address, "GET", "/public/broken").try_on(&mut Connection::plain(address));
    assert!(matches!(broken, Err(Fault::Truncated(_) | Fault::Closed)), "{broken:?}");
    Request::new(address, "GET", "/public/x").send_on(&mut Connection::plain(address)).ok();
    assert_eq!(backend.problems(), [""; 0]);
    // WebSockets, by libraries of others.
    let ca = gateway.files.path.join("certs/ca.pem");
    python("websocket_client.py", &[&format!("ws://{address}/me/live"), ca.to_str().unwrap(), &token, &identifier]);
    gateway.expect_metric("wicketgate_websockets_open", &[], 0.0);
}

#[test]
fn all_that_a_caller_needs_passes_between_two_nginx() {
    everything_passes(nginx);
}

#[test]
fn all_that_a_caller_needs_passes_between_two_haproxy() {
    everything_passes(haproxy);
}
