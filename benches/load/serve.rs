//! The gateway with many sessions and revocations: a million logins would take days of password hashing.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use wicketgate::app::{self, App};
use wicketgate::state::revocation::{Rule, Subject};
use wicketgate::state::session::{Agent, LoginId, Session};

/// How many cookies are written down.
const COOKIES: usize = 10_000;

/// How many sessions are begun at once, and how many customers revoked.
const BATCH: usize = 10_000;

pub(crate) fn run(config: &Path, sessions: usize, revocations: usize, cookies: &Path) -> anyhow::Result<()> {
    let control = app::control_runtime()?;
    let mut terminate = {
        let _guard = control.enter();
        signal(SignalKind::terminate())?
    };
    let app = App::start(config, wicketgate::config::read_draft(config), Default::default(), control)?;
    // A shared store is there a moment later.
    let until = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while !app.shared().state.is_up() && std::time::Instant::now() < until {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let policy = app.shared().policy();
    let cookie = policy.auth.cookie.as_ref().context("the configuration has no `login.cookie`")?;
    let deriver = policy.auth.deriver.as_ref().context("the configuration has no `identifier`")?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let mut lines = String::new();
    let mut batch = Vec::new();
    for number in 0..sessions {
        let new = cookie.keys.issue(now).context("no key signs cookies")?;
        let customer = deriver.derive("bench", &format!("customer{number}"))?;
        let (issued_at, last_seen, expires_at) = (now, now, now + 24 * 60 * 60);
        let (login, agent) = (LoginId::random(), Agent::Other);
        let session = Session { customer, login, issued_at, last_seen, expires_at, agent, account: None, number: None };
        batch.push((new.digest, session));
        if batch.len() == BATCH || number + 1 == sessions {
            app.control().block_on(app.shared().state.begin_all(std::mem::take(&mut batch)))?;
        }
        if number % sessions.div_ceil(COOKIES) == 0 {
            writeln!(lines, "{}={}", cookie.name, new.value)?;
        }
    }
    let nobody: Vec<_> = (0..revocations).map(|number| Subject::Customer(format!("nobody{number}").into())).collect();
    for batch in nobody.chunks(BATCH) {
        let rules = batch.iter().map(|subject| Rule::forever(subject.clone(), now + 24 * 60 * 60)).collect();
        app.control().block_on(app.shared().state.revoke(rules))?;
    }
    std::fs::write(cookies, lines).with_context(|| cookies.display().to_string())?;
    drop(policy);
    println!(r#"{{"ready":true,"address":"{}"}}"#, app.addresses.first().context("no listener")?);
    app.control().block_on(terminate.recv());
    app.drain()
}
