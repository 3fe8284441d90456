//! nginx with virtual hosts, as a backend.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{before, only_authenticated_calls_arrive, only_our_identifier_arrives, statuses, without_gateway};
use crate::harness::neighbour::Neighbour;
use crate::harness::*;

/// Two virtual hosts, of which `shop.test` is the default one. Old applications behind nginx want underscores in names let through.
fn two_hosts(settings: &str) -> Neighbour {
    let answer = "X_Customer_Id=$http_x_customer_id\\nhost=$host\\nforwarded_host=$http_x_forwarded_host\\nproxy=$http_proxy\\nuser=$remote_user\\n\
                  authorization=$http_authorization\\nremote_user=$http_remote_user\\nclient=$http_ssl_client_s_dn$http_client_cert\\n";
    let host = |name: &str, listen: &str| {
        format!(
            "server {{ listen ADDRESS{listen}; server_name {name}; location / {{ return 200 'server={name}\\n{answer}\\n'; }}\n\
             location /public/small {{ client_max_body_size 1m; proxy_pass http://ADDRESS/sink; }}\n\
             location /public/large {{ client_max_body_size 200m; proxy_pass http://ADDRESS/sink; }}\n\
             location /sink {{ client_max_body_size 0; return 200 '$content_length'; }}\n\
             location /connections {{ access_log off; keepalive_timeout 0; stub_status; }} }}\n"
        )
    };
    let settings = format!("underscores_in_headers on;\nignore_invalid_headers off;\n{settings}\n");
    Neighbour::nginx(&format!("{settings}{}{}", host("shop.test", " default_server"), host("bank.test", "")))
}

#[test]
fn nginx_reads_only_our_identifier_in_whatever_spelling_it_would_fold() {
    let nginx = two_hosts("");
    for folded in ["X-Customer-Id", "X_Customer_Id", "x_customer_id", "X-Customer_Id", "X_CUSTOMER-ID"] {
        let read = without_gateway(&nginx, |request| request.header(folded, "victim"));
        assert_eq!(read.all("X_Customer_Id"), ["victim"], "nginx folds {folded}");
    }
    let gateway = before(&nginx, |config| config);
    only_our_identifier_arrives(&gateway, "X_Customer_Id");
    only_authenticated_calls_arrive(&nginx, &gateway);
}

#[test]
fn nginx_serves_the_virtual_host_that_the_caller_names() {
    let nginx = two_hosts("");
    let gateway = before(&nginx, |config| config);
    for (host, server) in [
        ("shop.test", "shop.test"),
        ("bank.test", "bank.test"),
        ("BANK.test:8443", "bank.test"),
        ("unknown.test", "shop.test"),
    ] {
        let request = gateway.get("/me/x").customer(&gateway.customer_token()).replace("Host", host);
        let read = super::Read::of(request.send());
        assert_eq!(read.all("server"), [server], "{host}");
        assert_eq!(read.all("forwarded_host"), [host]);
    }
}

/// Answers only to names that it knows, as an IIS or a shared nginx does.
fn known_hosts() -> Neighbour {
    let answer = "host=$http_host\\nforwarded_host=$http_x_forwarded_host\\nX_Customer_Id=$http_x_customer_id\\n";
    let host = |name: &str| {
        format!(
            "server {{ listen ADDRESS; server_name {name}; location / {{ return 200 'server={name}\\n{answer}'; }} }}\n"
        )
    };
    let others = "server { listen ADDRESS default_server; return 421; }\n";
    Neighbour::nginx(&format!("{others}{}{}", host("bank.test"), host("127.0.0.1")))
}

/// Whether the gateway holds the server for healthy, once it has asked it, and what a caller of api.test gets then.
fn checked(nginx: &Neighbour, change: impl FnOnce(Config) -> Config) -> (bool, Gateway, Response) {
    let earlier = nginx.requests().len();
    let gateway = before(nginx, |config| {
        change(config.set("/backends/legacy/health_check", json!({"path": "/health", "interval": "50ms"})))
    });
    eventually("health checks", || nginx.requests().len() >= earlier + 3);
    let is_up = gateway.metric("wicketgate_backend_server_up", &[("backend", "legacy")]) == 1.0;
    let request = gateway.get("/me/x").customer(&gateway.customer_token()).replace("Host", "api.test");
    let answer = request.send();
    (is_up, gateway, answer)
}

#[test]
fn nginx_serves_the_virtual_host_that_is_configured_whatever_callers_ask_for() {
    let nginx = known_hosts();
    let own = nginx.address.to_string();
    for (host, server, sent) in [
        ("bank.test", "bank.test", "bank.test"),
        ("bank.test:81", "bank.test", "bank.test:81"),
        ("server", "127.0.0.1", &*own),
    ] {
        let (is_up, gateway, answer) = checked(&nginx, |config| config.set("/backends/legacy/host", json!(host)));
        assert!(is_up, "{host}");
        let read = super::Read::of(answer);
        assert_eq!((read.all("server"), read.all("host")), (vec![server], vec![sent]));
        assert_eq!(read.all("forwarded_host"), ["api.test"]);
        read.has_only("X_Customer_Id", &super::identifier(&gateway));
    }
}

#[test]
fn a_virtual_host_of_nginx_is_green_where_requests_pass_and_red_where_they_are_misdirected() {
    let nginx = known_hosts();
    // Both get the caller's: the checks that of the routes.
    for (name, passes) in [("bank.test", true), ("api.test", false)] {
        let (is_up, gateway, answer) = checked(&nginx, |config| config.route("me", "hosts", json!([name])));
        assert_eq!(is_up, passes, "{name}");
        let request = gateway.get("/me/x").customer(&gateway.customer_token()).replace("Host", name);
        request.send().expect(if passes { 200 } else { 503 }, "");
        answer.expect(if passes { 404 } else { 503 }, "");
    }
    // Without any, the checks have only the server's own: the 421 is nginx's and reaches the caller.
    let (is_up, _gateway, answer) = checked(&nginx, |config| config);
    assert!(is_up);
    assert!(answer.expect(421, "").text().contains("nginx"));
}

#[test]
fn nginx_refuses_a_long_field_itself() {
    let nginx = two_hosts("");
    let gateway = before(&nginx, |config| config);
    let request = gateway.get("/me/x").customer(&gateway.customer_token());
    request.clone().header("X-Long", &"x".repeat(8_000)).send().ok();
    let refused = request.header("X-Long", &"x".repeat(9_000)).send().expect(400, "");
    assert!(refused.text().contains("Request Header Or Cookie Too Large"), "{}", refused.text());
}

#[test]
fn nginx_loses_no_post_when_it_ends_connections_after_some_requests() {
    let nginx = two_hosts("keepalive_requests 3;");
    let gateway = before(&nginx, |config| config);
    for method in ["POST", "GET"] {
        assert_eq!(statuses(&gateway, method, 100), BTreeMap::from([(200, 400)]), "{method}");
    }
}

#[test]
fn nginx_loses_no_post_after_it_has_closed_an_idle_connection() {
    let nginx = two_hosts("keepalive_timeout 30ms;");
    let gateway = before(&nginx, |config| config);
    let request = gateway.post("/me/x").customer(&gateway.customer_token()).json("{}");
    let mut connection = gateway.connect();
    for _ in 0..20 {
        request.send_on(&mut connection).ok();
        eventually("no connection but that of this question", || {
            let question = Request::new(nginx.address, "GET", "/connections").header("Connection", "close");
            let said = question.send_on(&mut Connection::plain(nginx.address)).text();
            said.starts_with("Active connections: 1 ")
        });
    }
}

/// Statuses of calls during which nginx is reloaded again and again, and how often it was.
fn statuses_under_reloads(nginx: &Neighbour, gateway: &Gateway, method: &str) -> (BTreeMap<u16, usize>, usize) {
    let (stop, mut reloads) = (AtomicBool::new(false), 0);
    // The old worker ends once its connections have.
    let ended = || nginx.output().matches("exited with code 0").count();
    let counts = std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            let counts = std::panic::catch_unwind(|| statuses(gateway, method, 100));
            stop.store(true, Ordering::SeqCst);
            counts.unwrap()
        });
        while !stop.load(Ordering::SeqCst) {
            let before = ended();
            nginx.signal("HUP");
            reloads += 1;
            let is_over = || stop.load(Ordering::SeqCst);
            eventually("a reload", || is_over() || ended() > before);
            let calls = nginx.requests().len();
            eventually("calls after the reload", || is_over() || nginx.requests().len() >= calls + 20);
        }
        load.join().unwrap()
    });
    (counts, reloads)
}

/// At each reload nginx closes its idle connections at once, and requests may be on their way. GETs are repeated then. POSTs are
/// not: in the first moments one at a time tries an idle connection, and later, when the gateway has seen connections close that
/// were hardly idle, each has a new one.
#[test]
fn nginx_loses_no_get_when_it_is_reloaded_and_a_post_only_by_an_honest_502() {
    let nginx = two_hosts("");
    let gateway = before(&nginx, |config| config);
    assert_eq!(statuses_under_reloads(&nginx, &gateway, "GET").0, BTreeMap::from([(200, 400)]));
    // One that has learned nothing of the reloads yet.
    let gateway = before(&nginx, |config| config);
    let (counts, reloads) = statuses_under_reloads(&nginx, &gateway, "POST");
    let lost = counts.get(&502).copied().unwrap_or_default();
    println!("{lost} POSTs lost in {reloads} reloads");
    assert!(counts.keys().all(|status| [200, 502].contains(status)), "{counts:?}");
    assert!(lost <= 1, "{lost} lost in {reloads} reloads");
}

/// HTTP/2 says which of the requests that were sent will not be answered (GOAWAY).
#[test]
fn nginx_loses_no_post_when_it_is_reloaded_and_speaks_http2() {
    let nginx = Neighbour::nginx(
        "server { listen ADDRESS http2; location / { return 200 'X_Customer_Id=$http_x_customer_id\\n'; } }",
    );
    let gateway = before(&nginx, |config| {
        // With one connection at a time, the next is always to the worker that stays.
        config.set("/backends/legacy/protocol", json!("http2")).set("/workers", json!(1))
    });
    let (counts, reloads) = statuses_under_reloads(&nginx, &gateway, "POST");
    assert_eq!(counts, BTreeMap::from([(200, 400)]), "in {reloads} reloads");
}

#[test]
fn nginx_refuses_an_upload_before_its_end_and_takes_one_that_it_allows() {
    let nginx = two_hosts("");
    let gateway = before(&nginx, |config| {
        config.without("/listen/0/tls").route("public", "limits", json!({"body": "200MiB", "timeout": "30s"}))
    });
    let length = 100_000_000;
    let head = |path: &str, framing: &str| {
        let request = gateway.post(path).header("Content-Type", "application/octet-stream");
        match framing {
            "chunked" => request.header("Transfer-Encoding", "chunked").bytes(),
            _ => request.header("Content-Length", &length.to_string()).bytes(),
        }
    };
    let piece = vec![b'x'; 1_000_000];
    for framing in ["chunked", "length"] {
        for (path, status) in [("/public/small/x", 413), ("/public/large/x", 200)] {
            let mut connection = Connection::plain(gateway.address);
            connection.patience(3 * DEADLINE);
            connection.send(&head(path, framing));
            let mut sent = 0;
            // Whoever was refused may find that nobody reads on.
            while sent < length {
                let chunk = match framing {
                    "chunked" => [format!("{:x}\r\n", piece.len()).as_bytes(), &piece, b"\r\n"].concat(),
                    _ => piece.clone(),
                };
                if connection.try_send(&chunk).is_err() {
                    break;
                }
                sent += piece.len();
            }
            connection.send(if framing == "chunked" { b"0\r\n\r\n" } else { b"" });
            let answer = connection.receive("POST").unwrap();
            assert_eq!(answer.status, status, "{path} {framing}: {}", answer.text());
            assert_eq!(status == 200, sent == length && answer.text() == length.to_string(), "{path} {framing} {sent}");
        }
    }
}
