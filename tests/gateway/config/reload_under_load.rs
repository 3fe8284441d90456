//! Good and broken configurations as fast as they can be read, under load.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::harness::*;

/// Asks for a reload: whether it was done, and what was said.
fn reload(gateway: &Gateway) -> (bool, String) {
    let mut stream = UnixStream::connect(gateway.files.path.join("data/admin.sock")).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream
        .write_all(b"POST /reload HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    (answer.starts_with("HTTP/1.1 200 "), answer)
}

/// Callers that go on until they are stopped: each must get what it must get, every time.
struct Load {
    stop: Arc<AtomicBool>,
    callers: Vec<JoinHandle<usize>>,
}

impl Load {
    fn begin(gateway: &Gateway, cookie: &str) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let kinds = [
            (gateway.profile(), 200, true),
            (gateway.get("/me/x").header("Cookie", cookie), 200, false),
            (gateway.get("/me/x"), 401, true),
            (gateway.profile().replace("api-key", "wgk_wrong"), 403, true),
        ];
        let callers = kinds.map(|(request, status, keep)| {
            let stop = Arc::clone(&stop);
            thread::spawn(move || {
                let mut connection = Connection::open(request.address);
                let mut count = 0;
                while !stop.load(Ordering::Relaxed) {
                    let answer = request.send_on(&mut connection);
                    assert_eq!(answer.status, status, "{} {}", request.target, answer.text());
                    count += 1;
                    if !keep {
                        connection = Connection::open(request.address);
                    }
                }
                count
            })
        });
        Self { stop, callers: callers.into() }
    }

    /// How many requests each has made.
    #[track_caller]
    fn end(self) -> Vec<usize> {
        self.stop.store(true, Ordering::Relaxed);
        self.callers.into_iter().map(|caller| caller.join().expect("a request got what it must not get")).collect()
    }
}

/// Descriptors and bytes that the gateway holds, waiting until it has no more descriptors than these.
fn held(gateway: &Gateway, descriptors: f64) -> (f64, f64) {
    let until = Instant::now() + DEADLINE;
    loop {
        let held = (gateway.metric("process_open_fds", &[]), gateway.metric("process_resident_memory_bytes", &[]));
        if held.0 <= descriptors || Instant::now() > until {
            return held;
        }
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn random_reloads_under_load_change_nothing_that_they_must_not() {
    let backend = Backend::start();
    // What an earlier configuration has connected to backends is closed after this time.
    let config = Config::new(&backend).cookies("both").set("/backends/legacy/idle_timeout", json!("500ms"));
    let gateway = Gateway::start(&config);
    let login = gateway.login_request(ALICE.name, ALICE.secret).send().ok();
    let cookie = login.header("Set-Cookie").unwrap().split(';').next().unwrap().to_owned();
    let whole = config.text();
    let good = [
        config.clone(),
        config.clone().route("public", "path", json!("/open/")),
        config.clone().set("/backends/legacy/timeout", json!("7s")).set("/listen/0/allow", json!(["127.0.0.0/8"])),
        config.clone().without("/clients/1").without("/api_keys/1"),
    ];
    let broken = [
        config.clone().route("key", "backend", json!("nowhere")).text(),
        whole.replacen("\"routes\"", "\"ruotes\"", 1),
        config.clone().set("/listen/0/tls/certificates/0/certificate", json!("certs/missing.pem")).text(),
        config.clone().set("/listen/0/tls/certificates/0/private_key", json!("certs/identifier.key")).text(),
        config.clone().set("/workers", json!(9)).text(),
        String::new(),
    ];
    // Once all is warm.
    let load = Load::begin(&gateway, &cookie);
    let (is_done, said) = reload(&gateway);
    assert!(is_done, "{said}");
    load.end();
    let (descriptors, bytes) = held(&gateway, f64::MAX);
    let load = Load::begin(&gateway, &cookie);
    let until = Instant::now() + Duration::from_secs(3);
    let mut counts = [0, 0];
    let mut cut = 0;
    for turn in 0.. {
        // Truncated at every tenth byte, and in between one of the others.
        let (text, is_good) = match turn % 4 {
            0 => (good[turn / 4 % good.len()].text(), true),
            1 => (broken[turn / 4 % broken.len()].clone(), false),
            _ => {
                cut = (cut + 10) % whole.len();
                (whole[..cut].to_owned(), false)
            }
        };
        gateway.files.write("gateway.yaml", &text);
        let (is_done, said) = reload(&gateway);
        assert_eq!(is_done, is_good, "{text}\n{said}");
        counts[usize::from(is_good)] += 1;
        if Instant::now() > until {
            break;
        }
    }
    let calls = load.end();
    println!("{} broken and {} good files, {calls:?} calls", counts[0], counts[1]);
    assert!(calls.iter().all(|count| *count > 0), "{calls:?}");
    let (descriptors_after, bytes_after) = held(&gateway, descriptors);
    assert!(descriptors_after <= descriptors, "{descriptors} descriptors became {descriptors_after}");
    assert!(bytes_after <= bytes * 1.2 + 16e6, "{bytes} bytes became {bytes_after}");
    gateway.reload(&config, "reloaded");
    gateway.get("/me/x").header("Cookie", &cookie).send().ok();
}
