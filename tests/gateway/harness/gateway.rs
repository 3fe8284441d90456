//! The program under test, as a process with a directory of its own.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::client::{Connection, Request, Response};
use super::config::{ALICE, API_KEY, Account, CLIENT, Config};
use super::keys::{self, TokenKey};
pub(crate) use super::workspace::Workspace;
use super::workspace::command;
use super::{DEADLINE, program};

/// The lines of an output, as they come.
#[derive(Default)]
pub(crate) struct Output {
    lines: Mutex<(Vec<String>, bool)>,
    changed: Condvar,
}

impl Output {
    pub(crate) fn follow(stream: impl Read + Send + 'static) -> Arc<Self> {
        let output = Arc::<Self>::default();
        let writing = Arc::clone(&output);
        thread::spawn(move || {
            let mut reader = BufReader::new(stream);
            let mut line = Vec::new();
            while matches!(reader.read_until(b'\n', &mut line), Ok(n) if n > 0) {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                writing.lines.lock().unwrap().0.push(text);
                writing.changed.notify_all();
                line.clear();
            }
            writing.lines.lock().unwrap().1 = true;
            writing.changed.notify_all();
        });
        output
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.lines.lock().unwrap().0.clone()
    }

    /// The first line that fits, waiting for it; none at the deadline or when the program has ended.
    pub(crate) fn wait(&self, fits: impl Fn(&Value) -> bool) -> Option<Value> {
        self.wait_after(0, fits)
    }

    pub(crate) fn count(&self) -> usize {
        self.lines.lock().unwrap().0.len()
    }

    /// The same, from a line on.
    pub(crate) fn wait_after(&self, mut next: usize, fits: impl Fn(&Value) -> bool) -> Option<Value> {
        let until = Instant::now() + DEADLINE;
        let mut guard = self.lines.lock().unwrap();
        loop {
            while next < guard.0.len() {
                if let Some(value) = serde_json::from_str(&guard.0[next]).ok().filter(|v| fits(v)) {
                    return Some(value);
                }
                next += 1;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || guard.1 {
                return None;
            }
            guard = self.changed.wait_timeout(guard, left).unwrap().0;
        }
    }
}

/// A running gateway.
pub(crate) struct Gateway {
    child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) stdout: Arc<Output>,
    pub(crate) stderr: Arc<Output>,
    pub(crate) signing_key: TokenKey,
    pub(crate) files: Arc<Workspace>,
    customer: OnceLock<String>,
    client: OnceLock<String>,
}

impl Gateway {
    #[track_caller]
    pub(crate) fn start(config: &Config) -> Self {
        Self::start_in(Arc::new(Workspace::new(config)), config.signing_key.clone())
    }

    #[track_caller]
    pub(crate) fn start_in(files: Arc<Workspace>, signing_key: TokenKey) -> Self {
        Self::start_with(files, signing_key, &[])
    }

    /// The same with more in its environment.
    #[track_caller]
    pub(crate) fn start_with(files: Arc<Workspace>, signing_key: TokenKey, more: &[(&str, PathBuf)]) -> Self {
        let mut command = command(&files.path);
        command.envs(more.iter().map(|(name, value)| (name, value)));
        Self::start_by(command, files, signing_key)
    }

    /// The same by a shell that does something else before: `"$@"` is the gateway.
    #[track_caller]
    pub(crate) fn start_in_shell(files: Arc<Workspace>, signing_key: TokenKey, script: &str) -> Self {
        let mut command = Command::new("bash");
        command.current_dir(&files.path).args(["-c", script, "bash", env!("CARGO_BIN_EXE_wicketgate")]);
        Self::start_by(command, files, signing_key)
    }

    /// In a mount namespace of its own, where the file `hosts` beside gateway.yaml is all that names are looked up in, unless
    /// there is a `resolv.conf` beside it.
    #[track_caller]
    pub(crate) fn start_with_hosts(config: &Config) -> Self {
        let mut config = config.clone();
        if !config.files.iter().any(|(name, _)| name == "resolv.conf") {
            config = config.file("resolv.conf", "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n");
        }
        let mounts = "mount --bind hosts /etc/hosts && mount --bind resolv.conf /etc/resolv.conf";
        let script = format!("exec unshare -m bash -c '{mounts} && exec \"$@\"' bash \"$@\"");
        Self::start_in_shell(Arc::new(Workspace::new(&config)), config.signing_key, &script)
    }

    #[track_caller]
    fn start_by(command: Command, files: Arc<Workspace>, signing_key: TokenKey) -> Self {
        Self::start_with_arguments(command, files, signing_key, &[])
    }

    #[track_caller]
    fn start_with_arguments(mut command: Command, files: Arc<Workspace>, signing_key: TokenKey, more: &[&str]) -> Self {
        let mut child = command
            .args(["run", "--config"])
            .arg(files.config())
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stdout = Output::follow(child.stdout.take().unwrap());
        let stderr = Output::follow(child.stderr.take().unwrap());
        if stderr.wait(|line| line["message"] == "ready").is_none() {
            child.kill().ok();
            child.wait().ok();
            panic!("the gateway did not start:\n{}\n{}", stderr.all().join("\n"), stdout.all().join("\n"));
        }
        let address = |role: &str| {
            let line = stderr.wait(|line| line["message"] == "listening" && line["role"] == role);
            let line = line.unwrap_or_else(|| panic!("no listening line for {role}"));
            line["address"].as_str().unwrap().parse().unwrap()
        };
        let (address, admin) = (address("gateway"), address("admin"));
        Self {
            child,
            address,
            admin,
            stdout,
            stderr,
            signing_key,
            files,
            customer: OnceLock::new(),
            client: OnceLock::new(),
        }
    }

    /// Waits until it says that it can serve.
    #[track_caller]
    pub(crate) fn is_ready(&self) {
        let until = Instant::now() + DEADLINE;
        while Request::new(self.admin, "GET", "/readyz").try_on(&mut Connection::plain(self.admin)).unwrap().status
            != 200
        {
            assert!(Instant::now() < until, "the gateway does not become ready");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Kills it; its directory stays.
    pub(crate) fn kill(mut self) -> Arc<Workspace> {
        self.child.kill().ok();
        self.child.wait().ok();
        Arc::clone(&self.files)
    }

    /// Kills it and starts it again on the same directory.
    #[track_caller]
    pub(crate) fn restart(mut self) -> Self {
        self.child.kill().ok();
        self.child.wait().ok();
        let gateway = Self::start_in(Arc::clone(&self.files), self.signing_key.clone());
        gateway.is_ready();
        gateway
    }

    /// The same, to take over from the one that runs on this directory.
    #[track_caller]
    pub(crate) fn start_to_take_over(files: Arc<Workspace>, signing_key: TokenKey) -> Self {
        Self::start_with_arguments(command(&files.path), files, signing_key, &["--upgrade"])
    }

    /// Starts the program once more on the same directory, to take over. This one is given back, ending.
    #[track_caller]
    pub(crate) fn upgrade(self) -> (Self, Self) {
        let new = Self::start_to_take_over(Arc::clone(&self.files), self.signing_key.clone());
        assert_eq!((new.address, new.admin), (self.address, self.admin));
        (new, self)
    }

    pub(crate) fn request(&self, method: &str, target: &str) -> Request {
        Request::new(self.address, method, target)
    }

    pub(crate) fn get(&self, target: &str) -> Request {
        self.request("GET", target)
    }

    pub(crate) fn post(&self, target: &str) -> Request {
        self.request("POST", target)
    }

    /// POST /account/getprofile with all three credentials and no body.
    #[track_caller]
    pub(crate) fn profile(&self) -> Request {
        self.post("/account/getprofile")
            .bearer(&self.client_token())
            .customer(&self.customer_token())
            .api_key(API_KEY)
            .header("Content-Type", "application/json")
    }

    pub(crate) fn login_request(&self, name: &str, password: &str) -> Request {
        let form = format!("username={}&password={}", form_encode(name), form_encode(password));
        self.post("/auth/customer_authenticate").form(&form)
    }

    /// The JWT of a new login.
    #[track_caller]
    pub(crate) fn login(&self, account: Account) -> String {
        let answer = self.login_request(account.name, account.secret).send().ok();
        answer.json()["JWT"].as_str().unwrap().to_owned()
    }

    pub(crate) fn token_request(&self, id: &str, secret: &str) -> Request {
        let form = format!("client_id={}&client_secret={}", form_encode(id), form_encode(secret));
        self.post("/oauth/access_token?grant_type=client_credentials").form(&form)
    }

    /// A new access token.
    #[track_caller]
    pub(crate) fn token(&self, client: Account) -> String {
        let answer = self.token_request(client.name, client.secret).send().ok();
        answer.json()["access_token"].as_str().unwrap().to_owned()
    }

    /// Alice's JWT, fetched once.
    #[track_caller]
    pub(crate) fn customer_token(&self) -> String {
        self.customer.get_or_init(|| self.login(ALICE)).clone()
    }

    /// The first client's access token, fetched once.
    #[track_caller]
    pub(crate) fn client_token(&self) -> String {
        self.client.get_or_init(|| self.token(CLIENT)).clone()
    }

    /// Alice's JWT with header and claims changed, signed again with the gateway's own key.
    #[track_caller]
    pub(crate) fn forge(&self, change: impl FnOnce(&mut Value, &mut Value)) -> String {
        let (mut header, mut claims) = keys::decode(&self.customer_token());
        change(&mut header, &mut claims);
        self.signing_key.sign(&header, &claims)
    }

    pub(crate) fn connect(&self) -> Connection {
        Connection::open(self.address)
    }

    /// An answer of the operators' listener.
    #[track_caller]
    pub(crate) fn admin(&self, path: &str) -> Response {
        let mut connection = Connection::plain(self.admin);
        Request::new(self.admin, "GET", path).send_on(&mut connection)
    }

    /// What Prometheus gets.
    #[track_caller]
    pub(crate) fn metrics(&self) -> String {
        let response = self.admin("/metrics");
        assert_eq!(response.status, 200);
        response.text()
    }

    /// The sum of a metric's series that carry all these labels.
    #[track_caller]
    pub(crate) fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let text = self.metrics();
        let fits = |line: &&str| {
            let end = line.find(['{', ' ']).unwrap_or(line.len());
            &line[..end] == name && labels.iter().all(|(l, v)| line.contains(&format!("{l}=\"{v}\"")))
        };
        text.lines().filter(fits).map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    }

    /// Resident memory of the process, in bytes.
    pub(crate) fn memory(&self) -> f64 {
        self.metric("process_resident_memory_bytes", &[])
    }

    /// Waits until a metric has this value: it may be written just after the answer.
    #[track_caller]
    pub(crate) fn expect_metric(&self, name: &str, labels: &[(&str, &str)], value: f64) {
        let until = Instant::now() + DEADLINE / 2;
        loop {
            let now = self.metric(name, labels);
            if (now - value).abs() < 1e-9 {
                return;
            }
            assert!(Instant::now() < until, "{name} {labels:?} is {now}, not {value}");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// The access-log line of the request with this id.
    #[track_caller]
    pub(crate) fn access_line(&self, request_id: &str) -> Value {
        self.stdout
            .wait(|line| line["request_id"] == request_id)
            .unwrap_or_else(|| panic!("no access-log line for {request_id}:\n{}", self.stdout.all().join("\n")))
    }

    /// The number of its process.
    pub(crate) fn id(&self) -> String {
        self.child.id().to_string()
    }

    pub(crate) fn signal(&self, name: &str) {
        let output = program("kill", "procps", &["-s", name, &self.id()]);
        assert!(output.status.success(), "kill -s {name}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Writes another configuration, sends SIGHUP and waits for what the gateway says.
    #[track_caller]
    pub(crate) fn reload(&self, config: &Config, said: &str) {
        self.files.configure(config);
        self.hup(said);
    }

    /// Sends SIGHUP and waits for what the gateway says.
    #[track_caller]
    pub(crate) fn hup(&self, said: &str) {
        let from = self.stderr.count();
        self.signal("HUP");
        let line = self.stderr.wait_after(from, |line| line["message"] == said);
        assert!(line.is_some(), "no {said:?}:\n{}", self.stderr.all().join("\n"));
    }

    /// Waits for the end of the process.
    #[track_caller]
    pub(crate) fn wait_exit(&mut self) -> ExitStatus {
        let until = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < until, "the gateway does not end");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// SIGTERM, and the exit code.
    #[track_caller]
    pub(crate) fn terminate(&mut self) -> Option<i32> {
        self.signal("TERM");
        self.wait_exit().code()
    }

    pub(crate) fn running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        if thread::panicking() {
            eprintln!("gateway's stderr:\n{}\nstdout:\n{}", self.stderr.all().join("\n"), self.stdout.all().join("\n"));
        }
    }
}

/// A value of a form, with everything but letters and digits percent-encoded.
pub(crate) fn form_encode(text: &str) -> String {
    text.bytes()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect()
}
