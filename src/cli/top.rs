//! `wicketgate top`: the status page in the terminal.

mod screen;

use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use http::Method;
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

use super::admin_client::{ExpectedAnswer, exchange, socket_of};
use super::{ConfigFile, say};
use crate::server::admin::status::report::StatusReport;
use screen::{ScreenSize, lines};

pub(super) const EXAMPLE: &str = "Example:\n  wicketgate top --config gateway.yaml\n  wicketgate top --once | head -40\n  \
    wicketgate top --json | jq .backends\n\n\
    Asks the running gateway once a second; Ctrl-C ends it. What the words and numbers mean is in docs/status-page.md.\n\n\
    Exit codes: 0 shown, 1 the gateway does not answer.";

/// Interval between two looks.
const EACH: Duration = Duration::from_secs(1);

/// Shows the other screen of the terminal, without cursor, where lines do not wrap.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l";

/// Shows the screen of before.
const LEAVE: &str = "\x1b[?7h\x1b[?25h\x1b[?1049l";

#[derive(Debug, Args)]
pub(super) struct Top {
    #[command(flatten)]
    file: ConfigFile,
    /// Print once and end, as where the output is no terminal.
    #[arg(long)]
    once: bool,
    /// Print the whole report as JSON and end.
    #[arg(long)]
    json: bool,
}

/// Shows it.
pub(super) fn top(what: &Top) -> anyhow::Result<ExitCode> {
    let socket = socket_of(&what.file.config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    if what.json {
        say(&serde_json::to_string_pretty(&runtime.block_on(asked(&socket))?)?)?;
    } else if what.once || !std::io::stdout().is_terminal() {
        let report = understood(runtime.block_on(asked(&socket))?)?;
        say(&lines(&report, ScreenSize::of_terminal().unlimited_height(), false).join("\n"))?;
    } else {
        runtime.block_on(follow(&socket))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Shows it again and again, until a signal. The terminal is as before then.
async fn follow(socket: &Path) -> anyhow::Result<()> {
    let mut ends = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()]
        .into_iter()
        .map(signal)
        .collect::<std::io::Result<Vec<_>>>()?;
    let has_colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    // The first answer decides whether there is anything to show.
    let mut report = understood(asked(socket).await?)?;
    let mut fault: Option<String> = None;
    let _terminal = OtherScreen::enter()?;
    loop {
        let size = ScreenSize::of_terminal();
        let mut shown = lines(&report, size, has_colours);
        if let Some(fault) = &fault {
            shown.insert(0, screen::fault(fault, size, has_colours));
        }
        shown.truncate(size.height);
        draw(&shown)?;
        tokio::select! {
            () = any(&mut ends) => return Ok(()),
            () = tokio::time::sleep(EACH) => {}
        }
        let answer = tokio::select! {
            () = any(&mut ends) => return Ok(()),
            answer = asked(socket) => answer,
        };
        match answer.and_then(understood) {
            Ok(new) => (report, fault) = (new, None),
            Err(error) => fault = Some(format!("{error:#}")),
        }
    }
}

async fn asked(socket: &Path) -> anyhow::Result<Value> {
    let expected = ExpectedAnswer { at: "/traffic", what: "its status" };
    exchange(socket, Method::GET, "/status", None, expected).await
}

fn understood(answer: Value) -> anyhow::Result<StatusReport> {
    serde_json::from_value(answer).context("the gateway that runs is of another version")
}

/// Waits for any of these signals.
async fn any(signals: &mut [tokio::signal::unix::Signal]) {
    std::future::poll_fn(|context| {
        let is_there = |signal: &mut tokio::signal::unix::Signal| signal.poll_recv(context).is_ready();
        if signals.iter_mut().any(is_there) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}

/// Writes lines over those of before, in one piece: nothing flickers.
fn draw(lines: &[String]) -> std::io::Result<()> {
    let mut frame = "\x1b[H".to_owned();
    for (number, line) in lines.iter().enumerate() {
        if number > 0 {
            frame.push_str("\r\n");
        }
        frame.push_str(line);
        frame.push_str("\x1b[K");
    }
    frame.push_str("\x1b[J");
    let mut output = std::io::stdout();
    output.write_all(frame.as_bytes())?;
    output.flush()
}

/// The other screen of the terminal, until dropped.
struct OtherScreen;

impl OtherScreen {
    fn enter() -> std::io::Result<Self> {
        std::io::stdout().write_all(ENTER.as_bytes())?;
        Ok(Self)
    }
}

impl Drop for OtherScreen {
    fn drop(&mut self) {
        let mut output = std::io::stdout();
        let _ = output.write_all(LEAVE.as_bytes()).and_then(|()| output.flush());
    }
}
