//! Bytes of heap that a client connection holds, against benches/budget.toml: counted by the allocator of this program, which
//! runs the gateway in itself; the callers are another process. Futures of this build are larger than those of a release
//! build, so the numbers are good for comparison only.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use wicketgate::app::{self, App};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// A connection may hold this much more than its budget.
const TOLERANCE: f64 = 0.02;

#[test]
fn a_connection_holds_no_more_heap_than_its_budget() {
    let _profiler = dhat::Profiler::builder().testing().build();
    let directory = Directory::new();
    let backend = silent_backend();
    let port = directory.write_configuration(backend);
    let gateway = app::control_runtime().unwrap();
    let file = directory.0.join("gateway.yaml");
    let app = App::start(&file, wicketgate::config::read_draft(&file), Default::default(), gateway).unwrap();
    let counted = [
        // Keys are published by the gateway itself: no backend, so no connection to one.
        ("idle_connection", Callers::Idle { connections: 200, path: "/.well-known/jwks.json" }),
        ("active_connection", Callers::Waiting { connections: 200, streams: 1, protocol: "--h1" }),
        ("http2_connection_32_streams", Callers::Waiting { connections: 20, streams: 32, protocol: "--npn-list=h2" }),
    ]
    .map(|(name, callers)| (name, callers.heap(&app, port)));
    let budget = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/budget.toml")).unwrap();
    let over: Vec<String> = counted
        .iter()
        .filter(|(name, bytes)| *bytes as f64 > allowed(&budget, name) as f64 * (1.0 + TOLERANCE))
        .map(|(name, bytes)| format!("{name}: {bytes} bytes, the budget is {}", allowed(&budget, name)))
        .collect();
    assert!(over.is_empty(), "above benches/budget.toml: {over:?}; all: {counted:?}");
    drop(app);
}

/// The budget of a kind of connection, in bytes.
fn allowed(budget: &str, name: &str) -> usize {
    let (_, section) = budget.split_once(&format!("[{name}]\ncount = ")).expect("benches/budget.toml lacks a section");
    section.lines().next().unwrap().parse().unwrap()
}

/// Callers that hold their connections.
#[derive(Clone, Copy)]
enum Callers {
    /// One request was answered on each.
    Idle { connections: usize, path: &'static str },
    /// So many requests wait for a response on each.
    Waiting { connections: usize, streams: usize, protocol: &'static str },
}

impl Callers {
    /// The heap of one of their connections, in bytes.
    fn heap(self, app: &App, port: u16) -> usize {
        // What is made once for all connections is there before.
        let first = self.with(1).call(app, port);
        let before = settled_heap();
        let all = self.call(app, port);
        let held = settled_heap().saturating_sub(before);
        drop((first, all));
        wait_until(|| metric(app, "wicketgate_connections_open") == 0, "connections closed");
        held / self.connections()
    }

    fn call(self, app: &App, port: u16) -> Running {
        let mut command = Command::new("h2load");
        let connections = self.connections();
        let (parked, waiting) =
            (metric(app, "wicketgate_connections_parked"), metric(app, "wicketgate_requests_in_flight"));
        match self {
            Self::Idle { path, .. } => {
                // Each connection has its second request after 100 seconds.
                command.args(["--h1", "--rps=0.01", &format!("-n{}", 2 * connections), &format!("-c{connections}")]);
                command.arg(format!("https://localhost:{port}{path}"));
            }
            Self::Waiting { streams, protocol, .. } => {
                let [total, each, of_each] = [connections * streams, connections, streams];
                command.args([protocol, &format!("-n{total}"), &format!("-c{each}"), &format!("-m{of_each}")]);
                command.arg(format!("https://localhost:{port}/silent/x"));
            }
        }
        let child =
            command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("h2load is in tests/packages.txt");
        let running = Running(child);
        match self {
            // After a second they are parked.
            Self::Idle { .. } => wait_until(
                || metric(app, "wicketgate_connections_parked") == parked + connections,
                "connections parked",
            ),
            Self::Waiting { streams, .. } => wait_until(
                || metric(app, "wicketgate_requests_in_flight") == waiting + connections * streams,
                "requests in flight",
            ),
        }
        running
    }

    fn connections(self) -> usize {
        let (Self::Idle { connections, .. } | Self::Waiting { connections, .. }) = self;
        connections
    }

    fn with(self, connections: usize) -> Self {
        match self {
            Self::Idle { path, .. } => Self::Idle { connections, path },
            Self::Waiting { streams, protocol, .. } => Self::Waiting { connections, streams, protocol },
        }
    }
}

/// A program that ends with this value.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The sum of a metric's series.
fn metric(app: &App, name: &str) -> usize {
    let text = app.shared().metrics.render().unwrap();
    let series = text.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])));
    series.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap() as usize).sum()
}

/// The heap in use, in bytes, once it stands still.
fn settled_heap() -> usize {
    let mut last = Vec::new();
    wait_until(
        || {
            last.push(dhat::HeapStats::get().curr_bytes);
            last.len() >= 5 && last.iter().rev().take(5).all(|bytes| Some(bytes) == last.last())
        },
        "a heap that stands still",
    );
    last.pop().unwrap()
}

fn wait_until(mut is_so: impl FnMut() -> bool, what: &str) {
    let end = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < end, "no {what} within 60 s");
        thread::sleep(Duration::from_millis(20));
    }
}

/// A server that takes connections and answers nothing.
fn silent_backend() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut taken: Vec<TcpStream> = Vec::with_capacity(4096);
        for stream in listener.incoming() {
            taken.push(stream.unwrap());
        }
    });
    port
}

/// A directory that goes with this value.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("wicketgate-heap-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    /// A gateway with a route to `backend`; returns its port.
    fn write_configuration(&self, backend: u16) -> u16 {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
        std::fs::write(self.0.join("server.pem"), certificate.pem()).unwrap();
        private(&self.0.join("server.key"), &key.serialize_pem());
        let keys = self.0.join("keys");
        std::fs::create_dir(&keys).unwrap();
        private(&keys.join("1.pem"), &rcgen::KeyPair::generate().unwrap().serialize_pem());
        // Taken by the gateway a moment later; nothing else here asks for a port.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let directory = self.0.display();
        let text = format!(
            r#"
workers: 1
log: {{ access: off }}
listen: [{{ address: "127.0.0.1:{port}", tls: {{ certificates: [{{ certificate: {directory}/server.pem, private_key: {directory}/server.key }}] }} }}]
admin: {{ address: "127.0.0.1:0" }}
state: {{ embedded: {{ path: {directory}/state }} }}
issuer: {{ url: "https://gateway.invalid", audience: heap, signing_keys: {directory}/keys }}
routes: [{{ name: silent, path: /silent/, methods: [GET], public: true, backend: silent }}]
backends: {{ silent: {{ servers: ["http://127.0.0.1:{backend}"], concurrency: 10000 }} }}
"#
        );
        private(&self.0.join("gateway.yaml"), &text);
        port
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn private(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
}
