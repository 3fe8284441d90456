//! Backends that respond before they have read the request, and close (RFC 9112 section 9.5): the response reaches its
//! caller, and no other exchange is disturbed.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rcgen::ExtendedKeyUsagePurpose::ServerAuth;

use crate::harness::h2_backend::server_tls;
use crate::harness::other_proxy::OtherProxy;
use crate::harness::*;

/// What is answered.
const TOO_LARGE: &[u8] =
    b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\ntoo large";
const FINE: &[u8] = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";
const DEAF: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// How a server ends an exchange whose request is an upload.
#[derive(Clone, Copy, Debug)]
enum Ending {
    /// Closes after so many bytes of the body: what is on its way is answered with a reset.
    After(usize),
    /// The same, with the answer in two pieces and a pause between them.
    InPieces,
    /// Ends its direction and goes on reading.
    Lingering,
    /// Answers, and then neither reads nor closes.
    Deaf,
    /// Says a part of a head, and closes.
    Half,
    /// Says nothing at all.
    Mute,
}

/// A server that answers a GET, and an upload without reading it.
struct Server(SocketAddr);

impl Server {
    fn start(ending: Ending, tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        if let Ending::Deaf = ending {
            // What is sent does not fit.
            socket2::SockRef::from(&listener).set_recv_buffer_size(64 * 1024).unwrap();
        }
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let tls = tls.clone();
                thread::spawn(move || {
                    stream.set_read_timeout(Some(DEADLINE)).ok();
                    // What waits to be sent when a socket is closed with unread bytes is never sent.
                    stream.set_nodelay(true).ok();
                    let socket = stream.try_clone().unwrap();
                    match tls {
                        None => serve(stream, &socket, ending),
                        Some(tls) => {
                            let session = rustls::ServerConnection::new(tls).unwrap();
                            serve(rustls::StreamOwned::new(session, stream), &socket, ending)
                        }
                    }
                });
            }
        });
        Self(address)
    }

    fn gateway(&self, scheme: &str) -> Gateway {
        let host = if scheme == "https" { "localhost" } else { "127.0.0.1" };
        let config = Config::with_server(&format!("{scheme}://{host}:{}", self.0.port()))
            .set("/backends/legacy/idle_timeout", json!("500ms"))
            .set("/backends/legacy/circuit_breaker", json!({"failures": 3, "pause": "1m"}))
            .route("public", "limits", json!({"body": "8MiB"}));
        let tls = config.clone().set("/backends/legacy/tls", json!({"ca": "certs/ca.pem"}));
        Gateway::start(if scheme == "https" { &tls } else { &config })
    }
}

fn serve(mut stream: impl Read + Write, socket: &TcpStream, ending: Ending) -> Option<()> {
    let mut read = Vec::new();
    let mut piece = [0; 4096];
    let head = loop {
        let count = stream.read(&mut piece).ok().filter(|count| *count > 0)?;
        read.extend_from_slice(&piece[..count]);
        if let Some(head) = http1::find(&read, b"\r\n\r\n") {
            break head + 4;
        }
    };
    if read.starts_with(b"GET") {
        return stream.write_all(FINE).ok();
    }
    match ending {
        Ending::After(most) => {
            let mut body = read.len() - head;
            while body < most {
                body += stream.read(&mut piece).ok().filter(|count| *count > 0)?;
            }
            stream.write_all(TOO_LARGE).ok()
        }
        Ending::InPieces => {
            stream.write_all(&TOO_LARGE[..20]).ok()?;
            thread::sleep(Duration::from_millis(20));
            stream.write_all(&TOO_LARGE[20..]).ok()
        }
        Ending::Lingering => {
            stream.write_all(TOO_LARGE).ok()?;
            socket.shutdown(Shutdown::Write).ok()?;
            while stream.read(&mut piece).is_ok_and(|count| count > 0) {}
            Some(())
        }
        Ending::Deaf => {
            stream.write_all(DEAF).ok()?;
            thread::sleep(DEADLINE * 2);
            None
        }
        Ending::Half => stream.write_all(&TOO_LARGE[..40]).ok(),
        Ending::Mute => Some(()),
    }
}

fn certified() -> Arc<rustls::ServerConfig> {
    server_tls(&keys::certificate(&["localhost"], ServerAuth), &[])
}

/// Uploads, several at a time, and their answers.
fn upload(gateway: &Gateway, count: usize) -> Vec<Response> {
    let request = gateway.post("/public/upload").body(vec![b'u'; 3_000_000]);
    let callers: Vec<_> = (0..3)
        .map(|_| {
            let request = request.clone();
            thread::spawn(move || (0..count / 3).map(|_| request.send()).collect::<Vec<_>>())
        })
        .collect();
    callers.into_iter().flat_map(|caller| caller.join().unwrap()).collect()
}

#[test]
fn an_answer_that_comes_before_the_end_of_an_upload_reaches_its_caller_each_time() {
    for scheme in ["http", "https"] {
        let endings = [Ending::After(0), Ending::After(100_000), Ending::InPieces, Ending::Lingering];
        for ending in endings {
            let server = Server::start(ending, (scheme == "https").then(certified));
            let gateway = server.gateway(scheme);
            for answer in upload(&gateway, 15) {
                let text = answer.text();
                assert_eq!((answer.status, &*text), (413, "too large"), "{scheme} {ending:?}");
            }
            assert_eq!(gateway.get("/public/x").send().ok().text(), "ok");
            gateway.expect_metric("wicketgate_backend_failures_total", &[], 0.0);
        }
    }
}

#[test]
fn a_backend_that_has_said_anything_about_an_upload_is_not_one_that_does_not_answer() {
    let server = Server::start(Ending::Half, None);
    let gateway = server.gateway("http");
    for answer in upload(&gateway, 6) {
        answer.expect(502, "502-01");
    }
    gateway.get("/public/x").send().ok();
    gateway.expect_metric("wicketgate_backend_failures_total", &[("kind", "malformed")], 6.0);
}

#[test]
fn a_backend_that_cuts_uploads_off_without_a_word_does_not_answer() {
    let server = Server::start(Ending::Mute, None);
    let gateway = server.gateway("http");
    assert!(upload(&gateway, 6).iter().all(|answer| matches!(answer.status, 502 | 503)));
    gateway.get("/public/x").send().expect(503, "503-05");
}

#[test]
fn an_upload_that_a_backend_neither_reads_nor_ends_after_its_answer_is_given_up() {
    let server = Server::start(Ending::Deaf, None);
    let gateway = server.gateway("http");
    let descriptors = || std::fs::read_dir(format!("/proc/{}/fd", gateway.id())).unwrap().count();
    gateway.get("/public/x").send().ok();
    let before = descriptors();
    let request = gateway.post("/public/upload").body(vec![b'u'; 8_000_000]).bytes();
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let (mut caller, request) = (gateway.connect(), request.clone());
            // Its first bytes are enough for an answer.
            caller.send(&request[..100_000]);
            let answer = caller.receive("POST").unwrap();
            assert_eq!((answer.status, &*answer.text()), (200, "ok"));
            gateway.get("/public/x").send().ok();
            thread::spawn(move || caller.send(&request[100_000..]))
        })
        .collect();
    eventually("its connections are closed", || descriptors() <= before);
    callers.into_iter().for_each(|caller| caller.join().unwrap());
}

#[test]
fn a_real_nginx_that_refuses_an_upload_is_heard_each_time_by_both_protocols() {
    for (protocol, flag) in [("http1", ""), ("http2", " http2")] {
        let server = "client_max_body_size 1k; location / { return 200 fine; }";
        let nginx = OtherProxy::nginx(|own| format!("server {{ listen {own}{flag}; {server} }}"));
        let config = Config::with_server(&format!("http://{}", nginx.address))
            .set("/backends/legacy/protocol", json!(protocol))
            .route("public", "limits", json!({"body": "8MiB"}));
        let gateway = Gateway::start(&config);
        for answer in upload(&gateway, 15) {
            assert!(answer.status == 413 && answer.text().contains("nginx"), "{protocol} {answer:?}");
        }
        assert_eq!(gateway.get("/public/x").send().ok().text(), "fine");
        gateway.expect_metric("wicketgate_backend_failures_total", &[], 0.0);
    }
}
