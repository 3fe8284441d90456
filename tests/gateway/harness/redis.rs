//! A real Redis on a free port: `redis-server`, or the server that WICKETGATE_REDIS_SERVER names, such as valkey-server.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::DEADLINE;

/// A server, killed with the last use.
pub(crate) struct RedisServer {
    child: Child,
    directory: PathBuf,
    pub(crate) port: u16,
    args: Vec<String>,
}

impl RedisServer {
    /// One that keeps nothing on its disk.
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// The same with more settings: pairs of name and value.
    pub(crate) fn with(settings: &[(&str, &str)]) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("wicketgate-redis-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let words = settings.iter().flat_map(|(name, value)| [format!("--{name}"), (*value).to_owned()]);
        let args: Vec<String> = words.filter(|word| !word.is_empty()).collect();
        // Somebody else may take the port in between.
        loop {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let child = launch(&directory, port, &args);
            let mut server = Self { child, directory: directory.clone(), port, args: args.clone() };
            if server.answers() {
                return server;
            }
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }

    /// Starts it again on the same port, with nothing in it.
    pub(crate) fn restart(&mut self) {
        self.kill();
        self.child = launch(&self.directory, self.port, &self.args);
        assert!(self.answers(), "redis does not come back");
    }

    /// Stops it as it is (SIGSTOP): its connections stay open and nothing answers.
    pub(crate) fn pause(&self) {
        self.signal("STOP");
    }

    pub(crate) fn resume(&self) {
        self.signal("CONT");
    }

    /// The answer to a command, as one text.
    pub(crate) fn command(&self, words: &[&str]) -> String {
        self.try_command(words).unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// The same after AUTH.
    pub(crate) fn command_as(&self, password: &str, words: &[&str]) -> String {
        let answers = self.commands(&[&["AUTH", password], words]).unwrap_or_else(|error| panic!("{words:?}: {error}"));
        assert_eq!(answers[0], "OK");
        answers[1].clone()
    }

    fn try_command(&self, words: &[&str]) -> std::io::Result<String> {
        self.commands(&[words]).map(|mut answers| answers.remove(0))
    }

    /// The answers to commands on one connection.
    fn commands(&self, commands: &[&[&str]]) -> std::io::Result<Vec<String>> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        stream.set_read_timeout(Some(DEADLINE))?;
        let mut bytes = Vec::new();
        for words in commands {
            bytes.extend_from_slice(format!("*{}\r\n", words.len()).as_bytes());
            for word in *words {
                bytes.extend_from_slice(format!("${}\r\n{word}\r\n", word.len()).as_bytes());
            }
        }
        stream.write_all(&bytes)?;
        let mut reader = BufReader::new(stream);
        commands.iter().map(|_| read_value(&mut reader)).collect()
    }

    fn answers(&mut self) -> bool {
        let until = Instant::now() + DEADLINE;
        while Instant::now() < until && self.child.try_wait().unwrap().is_none() {
            match self.try_command(&["PING"]) {
                Ok(answer) if !answer.contains("LOADING") => return true,
                _ => std::thread::sleep(std::time::Duration::from_millis(5)),
            }
        }
        false
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
        std::fs::remove_dir_all(&self.directory).ok();
    }
}

fn launch(directory: &Path, port: u16, args: &[String]) -> Child {
    let program = std::env::var("WICKETGATE_REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned());
    let mut command = Command::new(&program);
    // A sentinel must have a file that it can write, and keeps nothing else.
    if args.iter().any(|arg| arg == "--sentinel") {
        std::fs::write(directory.join("sentinel.conf"), "").unwrap();
        command.arg(directory.join("sentinel.conf"));
    } else {
        command.args(["--save", "", "--appendonly", "no"]);
    }
    command
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--dir"])
        .arg(directory)
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
        .spawn()
        .unwrap_or_else(|error| panic!("cannot run {program} ({error}): install the Debian package redis-server"))
}

/// A RESP answer; the parts of a list on lines of their own.
fn read_value(reader: &mut impl BufRead) -> std::io::Result<String> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    let (kind, rest) = line.trim_end().split_at(1);
    Ok(match kind {
        "$" if rest != "-1" => {
            let mut bytes = vec![0; rest.parse::<usize>().unwrap() + 2];
            reader.read_exact(&mut bytes)?;
            bytes.truncate(bytes.len() - 2);
            String::from_utf8_lossy(&bytes).into_owned()
        }
        "*" if rest != "-1" => {
            let parts = (0..rest.parse::<usize>().unwrap()).map(|_| read_value(reader));
            parts.collect::<std::io::Result<Vec<_>>>()?.join("\n")
        }
        "-" => format!("-{rest}"),
        "$" | "*" => String::new(),
        _ => rest.to_owned(),
    })
}

/// A cluster whose slots are spread over three nodes.
pub(crate) struct RedisCluster {
    pub(crate) nodes: Vec<RedisServer>,
}

impl RedisCluster {
    pub(crate) fn start() -> Self {
        let node = |_| RedisServer::with(&[("cluster-enabled", "yes"), ("cluster-node-timeout", "2000")]);
        let nodes: Vec<RedisServer> = (0..3).map(node).collect();
        for (number, (node, [first, last])) in
            nodes.iter().zip([["0", "5460"], ["5461", "10922"], ["10923", "16383"]]).enumerate()
        {
            assert_eq!(node.command(&["CLUSTER", "SET-CONFIG-EPOCH", &(number + 1).to_string()]), "OK");
            assert_eq!(node.command(&["CLUSTER", "ADDSLOTSRANGE", first, last]), "OK");
            assert_eq!(node.command(&["CLUSTER", "MEET", "127.0.0.1", &nodes[0].port.to_string()]), "OK");
        }
        let begun = Instant::now();
        let is_up = |node: &RedisServer| {
            let info = node.command(&["CLUSTER", "INFO"]);
            info.contains("cluster_state:ok") && info.contains("cluster_size:3")
        };
        while !nodes.iter().all(is_up) {
            assert!(begun.elapsed() < 3 * DEADLINE, "no cluster: {}", nodes[0].command(&["CLUSTER", "NODES"]));
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        Self { nodes }
    }
}
