//! A backend on raw sockets: it records what the gateway sends, strictly read, and answers as told.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::DEADLINE;
use super::http1::{Fault, Framing, Lines, Wire, framing, latin1, parse_head, values};

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// Which connection it came on.
    pub(crate) connection: usize,
    pub(crate) method: String,
    pub(crate) target: String,
    /// All field lines, in order, also repeated ones.
    pub(crate) lines: Lines,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Lines,
    /// Whether the whole body came.
    pub(crate) complete: bool,
}

impl Seen {
    /// All values of a header.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        values(&self.lines, name)
    }

    /// The value of a header that stands there at most once.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let all = self.all(name);
        assert!(all.len() <= 1, "{name} repeated toward the backend: {:?}", self.lines);
        all.first().copied()
    }

    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }
}

/// What the backend does with a request.
#[derive(Clone)]
pub(crate) enum Behaviour {
    /// Writes these bytes and keeps the connection.
    Raw(Vec<u8>),
    /// Writes these bytes and closes.
    RawThenClose(Vec<u8>),
    /// Never answers.
    Silent,
    /// Answers 200 once the gate is open.
    Hold(Gate),
    /// Writes the first part, and the second once the gate is open.
    Staged(Vec<u8>, Gate, Vec<u8>),
    /// Writes piece after piece, with a pause between them.
    Dribble(Vec<Vec<u8>>, Duration),
    /// Answers 200 after so long.
    Delay(Duration),
    /// Closes without an answer.
    Close,
    /// Answers the first request on a connection, and closes at the second.
    CloseWhenReused,
}

impl Behaviour {
    /// A JSON answer.
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::reply(status, &[("Content-Type", "application/json")], body.to_string().as_bytes())
    }

    pub(crate) fn status(status: u16) -> Self {
        Self::json(status, &json!({"from": "backend", "status": status}))
    }

    pub(crate) fn reply(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Self {
        Self::Raw(message(status, headers, body))
    }
}

/// The bytes of an answer.
pub(crate) fn message(status: u16, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {status} Answer\r\n").into_bytes();
    for (name, value) in headers {
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    bytes.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// Something that stays shut until the test opens it.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub(crate) fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    pub(crate) fn wait(&self) {
        let guard = self.0.0.lock().unwrap();
        drop(self.0.1.wait_timeout_while(guard, DEADLINE * 2, |open| !*open).unwrap());
    }
}

#[derive(Default)]
struct State {
    seen: Vec<Seen>,
    problems: Vec<String>,
    connections: usize,
    /// Those that are open, to be cut off.
    open: Vec<TcpStream>,
    is_down: bool,
    rules: BTreeMap<String, Behaviour>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// A running backend.
pub(crate) struct Backend {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

impl Backend {
    pub(crate) fn start() -> Self {
        Self::start_at("127.0.0.1:0")
    }

    pub(crate) fn start_at(address: &str) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let backend = Self { address: listener.local_addr().unwrap(), shared: Arc::default() };
        backend.listen(listener);
        backend
    }

    fn listen(&self, listener: TcpListener) {
        let accepting = Arc::clone(&self.shared);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&accepting);
                if shared.state.lock().unwrap().is_down {
                    break;
                }
                thread::spawn(move || serve(&shared, stream));
            }
            drop(listener);
            let mut state = accepting.state.lock().unwrap();
            state.is_down = false;
            accepting.changed.notify_all();
        });
    }

    /// Cuts off all connections and refuses new ones.
    pub(crate) fn stop(&self) {
        let mut state = self.shared.state.lock().unwrap();
        state.is_down = true;
        TcpStream::connect(self.address).ok();
        let (mut state, _) = self.shared.changed.wait_timeout_while(state, DEADLINE, |state| state.is_down).unwrap();
        state.open.drain(..).for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
    }

    /// Closes all connections.
    pub(crate) fn hang_up(&self) {
        self.shared.state.lock().unwrap().open.drain(..).for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
    }

    /// Listens again, at the same address.
    pub(crate) fn start_again(&self) {
        self.listen(TcpListener::bind(self.address).unwrap());
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sets what is done with requests for this path; all others are answered with 200 and a small JSON object.
    pub(crate) fn on(&self, path: &str, behaviour: Behaviour) {
        self.shared.state.lock().unwrap().rules.insert(path.to_owned(), behaviour);
    }

    /// What has arrived.
    pub(crate) fn requests(&self) -> Vec<Seen> {
        self.shared.state.lock().unwrap().seen.clone()
    }

    /// What has arrived for this path.
    pub(crate) fn requests_for(&self, path: &str) -> Vec<Seen> {
        self.requests().into_iter().filter(|seen| seen.path() == path).collect()
    }

    /// The only request that has arrived.
    pub(crate) fn only(&self) -> Seen {
        let mut seen = self.requests();
        assert_eq!(seen.len(), 1, "requests at the backend: {seen:#?}");
        seen.remove(0)
    }

    /// The request that arrived last.
    pub(crate) fn last(&self) -> Seen {
        self.requests().pop().expect("no request arrived at the backend")
    }

    pub(crate) fn forget(&self) {
        self.shared.state.lock().unwrap().seen.clear();
    }

    /// Whatever was not strictly HTTP/1.1.
    pub(crate) fn problems(&self) -> Vec<String> {
        self.shared.state.lock().unwrap().problems.clone()
    }

    /// Nothing has arrived.
    #[track_caller]
    pub(crate) fn assert_untouched(&self) {
        let seen = self.requests();
        assert!(seen.is_empty(), "the backend was asked: {seen:#?}");
    }

    /// Waits until this many requests have arrived in all.
    #[track_caller]
    pub(crate) fn wait_for(&self, count: usize) {
        let until = Instant::now() + DEADLINE;
        let mut state = self.shared.state.lock().unwrap();
        while state.seen.len() < count {
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{} of {count} requests arrived at the backend", state.seen.len());
            state = self.shared.changed.wait_timeout(state, left).unwrap().0;
        }
    }
}

fn serve(shared: &Shared, stream: TcpStream) {
    stream.set_read_timeout(Some(Duration::from_secs(60))).ok();
    stream.set_nodelay(true).ok();
    let connection = {
        let mut state = shared.state.lock().unwrap();
        state.connections += 1;
        state.open.extend(stream.try_clone());
        state.connections
    };
    let mut wire = Wire::new(stream);
    let mut count = 0;
    loop {
        count += 1;
        match one(shared, &mut wire, connection, count) {
            Ok(true) => {}
            Ok(false) => break,
            Err(problem) => {
                shared.state.lock().unwrap().problems.push(problem);
                break;
            }
        }
    }
    wire.stream.shutdown(Shutdown::Both).ok();
}

/// Reads and answers one request; false where the connection ends, an error where the bytes are not strictly HTTP/1.1.
fn one(shared: &Shared, wire: &mut Wire<TcpStream>, connection: usize, count: usize) -> Result<bool, String> {
    let head = match wire.head() {
        Ok(head) => head,
        Err(Fault::Closed | Fault::Timeout) => return Ok(false),
        Err(fault) => return Err(format!("a head that breaks off: {fault:?}")),
    };
    let shown = latin1(&head);
    let (first, lines) = parse_head(&head).map_err(|e| format!("{e} in {shown:?}"))?;
    let parts: Vec<&str> = first.split(' ').collect();
    let [method, target, version] = parts[..] else { return Err(format!("request line in {shown:?}")) };
    if version != "HTTP/1.1" || !target.starts_with(['/', '*']) || !target.is_ascii() {
        return Err(format!("request line in {shown:?}"));
    }
    if values(&lines, "host").len() != 1 {
        return Err(format!("not one Host in {shown:?}"));
    }
    let framing = framing(&lines).map_err(|e| format!("{e} in {shown:?}"))?;
    let seen = Seen {
        connection,
        method: method.to_owned(),
        target: target.to_owned(),
        lines,
        body: Vec::new(),
        trailers: Lines::new(),
        complete: false,
    };
    let behaviour = {
        let mut state = shared.state.lock().unwrap();
        state.seen.push(seen.clone());
        shared.changed.notify_all();
        state.rules.get(seen.path()).cloned()
    };
    if !seen.all("expect").is_empty() {
        wire.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").ok();
    }
    let body = match framing {
        Framing::None => Ok((Vec::new(), Lines::new())),
        Framing::Length(length) => wire.exact(length).map(|body| (body, Lines::new())),
        Framing::Chunked => wire.chunked(),
    };
    let (body, trailers) = match body {
        Ok(body) => body,
        Err(Fault::Malformed(problem)) => return Err(format!("{problem} after {shown:?}")),
        Err(_) => return Ok(false),
    };
    let seen = Seen { body, trailers, complete: true, ..seen };
    {
        let mut state = shared.state.lock().unwrap();
        let matching = |s: &&mut Seen| s.connection == connection && !s.complete;
        if let Some(place) = state.seen.iter_mut().rev().find(matching) {
            *place = seen.clone();
        }
        shared.changed.notify_all();
    }
    Ok(answer(&mut wire.stream, &seen, behaviour, count))
}

fn answer(stream: &mut TcpStream, seen: &Seen, behaviour: Option<Behaviour>, count: usize) -> bool {
    let mut ok = message(200, &[("Content-Type", "application/json")], br#"{"ok":true}"#);
    if seen.method == "HEAD" {
        ok.truncate(ok.len() - br#"{"ok":true}"#.len());
    }
    match behaviour {
        None => stream.write_all(&ok).is_ok(),
        Some(Behaviour::Raw(bytes)) => stream.write_all(&bytes).is_ok(),
        Some(Behaviour::RawThenClose(bytes)) => {
            stream.write_all(&bytes).ok();
            false
        }
        Some(Behaviour::Silent) => {
            // The read ends when the gateway gives up and closes.
            let mut wire = Wire::new(stream);
            drop(wire.rest());
            false
        }
        Some(Behaviour::Hold(gate)) => {
            gate.wait();
            stream.write_all(&ok).is_ok()
        }
        Some(Behaviour::Staged(first, gate, second)) => {
            stream.write_all(&first).ok();
            gate.wait();
            stream.write_all(&second).is_ok()
        }
        Some(Behaviour::Dribble(pieces, pause)) => pieces.iter().all(|piece| {
            thread::sleep(pause);
            stream.write_all(piece).is_ok()
        }),
        Some(Behaviour::Delay(time)) => {
            thread::sleep(time);
            stream.write_all(&ok).is_ok()
        }
        Some(Behaviour::Close) => false,
        Some(Behaviour::CloseWhenReused) => count == 1 && stream.write_all(&ok).is_ok(),
    }
}
