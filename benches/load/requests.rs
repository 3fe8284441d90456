//! Requests on kept connections: at a constant rate, or one after the other.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;

use super::To;
use super::caller::{Caller, Target, read};
use super::report::{Report, block_on};

/// Open loop.
pub(crate) fn open(to: &To, rate: u64, seconds: u64, connections: usize) -> anyhow::Result<()> {
    ensure!(rate > 0 && connections > 0, "--rate and --connections are at least 1");
    let target = Target::new(to)?;
    block_on(async {
        let request: Rc<[u8]> = target.request("").into();
        let callers = connect(&target, connections).await?;
        let due = Rc::new(Due::default());
        let report = Rc::new(RefCell::new(Report::begin()));
        let mut working = JoinSet::new();
        for mut caller in callers {
            let (due, report, request) = (Rc::clone(&due), Rc::clone(&report), Rc::clone(&request));
            working.spawn_local(async move {
                while let Some(at) = due.next().await {
                    let status = caller.call(&request).await;
                    let is_lost = status.is_err();
                    report.borrow_mut().note(status, at.elapsed());
                    if is_lost {
                        return;
                    }
                }
            });
        }
        let mut arrivals = arrivals(rate, rate * seconds);
        while let Some(at) = arrivals.recv().await {
            due.times.borrow_mut().push_back(at);
            due.changed.notify_one();
        }
        due.is_over.set(true);
        due.changed.notify_waiters();
        while working.join_next().await.is_some() {}
        let left = due.times.borrow().len();
        let report = Rc::into_inner(report).context("a caller is left")?.into_inner();
        report.print();
        ensure!(left == 0, "{left} requests were never sent: all connections were lost");
        Ok(())
    })
}

/// Requests that should have been sent.
#[derive(Default)]
struct Due {
    times: RefCell<VecDeque<Instant>>,
    changed: Notify,
    is_over: Cell<bool>,
}

impl Due {
    /// The one that has waited longest; `None` when there will be no more.
    async fn next(&self) -> Option<Instant> {
        loop {
            let changed = self.changed.notified();
            if let Some(at) = self.times.borrow_mut().pop_front() {
                return Some(at);
            }
            if self.is_over.get() {
                return None;
            }
            changed.await;
        }
    }
}

/// A thread with a finer clock than the runtime's timers.
fn arrivals(rate: u64, count: u64) -> mpsc::UnboundedReceiver<Instant> {
    let (sender, receiver) = mpsc::unbounded_channel();
    std::thread::spawn(move || {
        let begun = Instant::now();
        for number in 0..count {
            let at = begun + Duration::from_nanos(number * 1_000_000_000 / rate);
            std::thread::sleep(at.saturating_duration_since(Instant::now()));
            if sender.send(at).is_err() {
                return;
            }
        }
    });
    receiver
}

/// Closed loop.
pub(crate) fn closed(
    to: &To,
    requests: usize,
    connections: usize,
    tokens: Option<&Path>,
    before_token: &str,
) -> anyhow::Result<()> {
    let target = Target::new(to)?;
    let bytes: Vec<Vec<u8>> = match tokens {
        None => vec![target.request("")],
        Some(file) => {
            let lines = read(file)?;
            let all: Vec<_> = lines.lines().take(requests).collect();
            ensure!(all.len() == requests, "{} has {} tokens, not {requests}", file.display(), all.len());
            all.iter().map(|token| target.request(&format!("{before_token}{token}\r\n"))).collect()
        }
    };
    block_on(async {
        let callers = connect(&target, connections).await?;
        let (bytes, next) = (Rc::new(bytes), Rc::new(Cell::new(0)));
        let report = Rc::new(RefCell::new(Report::begin()));
        let mut working = JoinSet::new();
        for mut caller in callers {
            let (bytes, next, report) = (Rc::clone(&bytes), Rc::clone(&next), Rc::clone(&report));
            working.spawn_local(async move {
                while next.get() < requests {
                    let number = next.replace(next.get() + 1);
                    let sent = Instant::now();
                    let status = caller.call(&bytes[number % bytes.len()]).await;
                    let is_lost = status.is_err();
                    report.borrow_mut().note(status, sent.elapsed());
                    if is_lost {
                        return;
                    }
                }
            });
        }
        while working.join_next().await.is_some() {}
        Rc::into_inner(report).context("a caller is left")?.into_inner().print();
        Ok(())
    })
}

async fn connect(target: &Target, connections: usize) -> anyhow::Result<Vec<Caller>> {
    let mut callers = Vec::with_capacity(connections);
    for _ in 0..connections {
        callers.push(Caller::connect(target).await?);
    }
    Ok(callers)
}
