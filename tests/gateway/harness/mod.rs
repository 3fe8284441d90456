//! What every topic uses: a gateway process, a recording backend, and callers that can send any bytes.

pub(crate) mod backend;
pub(crate) mod browser;
pub(crate) mod client;
pub(crate) mod client_certificates;
pub(crate) mod config;
pub(crate) mod customer;
pub(crate) mod gateway;
pub(crate) mod h2_backend;
pub(crate) mod h2_client;
pub(crate) mod h2_frames;
pub(crate) mod http1;
pub(crate) mod identity_provider;
pub(crate) mod keys;
pub(crate) mod load;
pub(crate) mod login_page;
pub(crate) mod neighbour;
pub(crate) mod network_link;
pub(crate) mod node;
pub(crate) mod other_proxy;
pub(crate) mod python;
pub(crate) mod redis;
pub(crate) mod slapd;
pub(crate) mod workspace;

use std::io::Read;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

pub(crate) use backend::{Backend, Behaviour, Gate};
pub(crate) use client::{Connection, Request, Response};
pub(crate) use config::{ALICE, API_KEY, Account, BOB, CLIENT, Config, OTHER_CLIENT};
pub(crate) use gateway::Gateway;
pub(crate) use load::Load;
pub(crate) use network_link::NetworkLink;
pub(crate) use redis::{RedisCluster, RedisServer};
pub(crate) use serde_json::{Value, json};

/// How long anything that must happen may take.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

/// A gateway with the usual configuration in front of a backend.
pub(crate) fn world() -> (Backend, Gateway) {
    world_with(|config| config)
}

/// The same, with a changed configuration.
pub(crate) fn world_with(change: impl FnOnce(Config) -> Config) -> (Backend, Gateway) {
    let backend = Backend::start();
    let gateway = Gateway::start(&change(Config::new(&backend)));
    (backend, gateway)
}

/// Where a gateway keeps its state: what is promised holds for both.
pub(crate) enum Store {
    Embedded,
    Redis(RedisServer),
}

impl Store {
    /// A gateway whose state is here, in front of a backend.
    pub(crate) fn world_with(&self, change: impl FnOnce(Config) -> Config) -> (Backend, Gateway) {
        let backend = Backend::start();
        let config = change(Config::new(&backend));
        let gateway = Gateway::start(&self.keeps(config));
        gateway.is_ready();
        (backend, gateway)
    }

    pub(crate) fn world(&self) -> (Backend, Gateway) {
        self.world_with(|config| config)
    }

    /// The configuration with its state here.
    pub(crate) fn keeps(&self, config: Config) -> Config {
        match self {
            Self::Embedded => config,
            Self::Redis(server) => config.set("/state", json!({"redis": {"url": server.url()}})),
        }
    }
}

/// Makes a test on each store of functions that take one.
macro_rules! on_both_stores {
    ($($name:ident)*) => {
        mod embedded {
            $(#[test] fn $name() { super::$name(&crate::harness::Store::Embedded) })*
        }
        mod redis {
            $(#[test] fn $name() {
                super::$name(&crate::harness::Store::Redis(crate::harness::RedisServer::start()))
            })*
        }
    };
}
pub(crate) use on_both_stores;

/// Waits until this holds.
#[track_caller]
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + DEADLINE;
    while !holds() {
        assert!(Instant::now() < until, "never: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Runs a program of the system; one that is missing fails with the package to install.
pub(crate) fn program(name: &str, package: &str, args: &[&str]) -> Output {
    match finish(Command::new(name).args(args)) {
        Ok(output) => output,
        Err(error) => panic!("cannot run {name} ({error}): install the Debian package {package}"),
    }
}

/// Runs a command to its end; at the deadline it is killed, which shows as a status without a code.
pub(crate) fn finish(command: &mut Command) -> std::io::Result<Output> {
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let (mut stdout, mut stderr) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    let out = thread::spawn(move || read_all(&mut stdout));
    let err = thread::spawn(move || read_all(&mut stderr));
    let until = Instant::now() + DEADLINE;
    while child.try_wait()?.is_none() {
        if Instant::now() > until {
            child.kill()?;
        }
        thread::sleep(Duration::from_millis(5));
    }
    Ok(Output { status: child.wait()?, stdout: out.join().unwrap(), stderr: err.join().unwrap() })
}

fn read_all(stream: &mut impl Read) -> Vec<u8> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).ok();
    bytes
}
