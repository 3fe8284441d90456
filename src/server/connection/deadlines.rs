//! Deadlines and graceful shutdown of a client connection.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use crate::gateway::Gateway;
use crate::gateway::connection::Connection;
use crate::gateway::connection::drain::{ANNOUNCED, Drain, FIRST_CALL, QUIET};
use crate::server::Phase;

/// Time without a request after which a connection gives up its buffers.
const PARKED_AFTER: Duration = Duration::from_secs(1);

/// Poll interval of a connection that leaves once a body has ended.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Reason for the end of a connection that another process continues.
pub(in crate::server) const LEAVES: &str = "handover";

/// No end yet: the connection has been idle for a while, and can go on without what serves it now.
pub(in crate::server) const PARKS: &str = "parked";

/// Runs a connection under its deadlines, and ends it gracefully when the process drains or after its idle timeout.
/// While another process takes over, an idle connection waits, and then leaves. Returns the reason for the end.
pub(in crate::server) async fn watched<Serving: Future<Output = Result<(), Fault>>, Fault: ProtocolFault>(
    mut serving: Pin<&mut Serving>,
    end_gently: impl Fn(Pin<&mut Serving>),
    connection: &Connection,
    mut phase: watch::Receiver<Phase>,
    gateway: &Gateway,
) -> &'static str {
    let (mut is_ending, mut was_awaited) = (false, false);
    let mut alarm = pin!(sleep_until(Instant::now() + connection.limits.idle_timeout.min(PARKED_AFTER)));
    loop {
        let now = *phase.borrow_and_update();
        let goes_over = matches!(now, Phase::Waiting | Phase::Leaving) && !connection.is_multiplexed();
        let ends = matches!(now, Phase::Leaving | Phase::Closing | Phase::Draining | Phase::Stopping) && !goes_over;
        let parks = now == Phase::Running && !connection.is_multiplexed() && !is_ending;
        let is_awaited = ends && !connection.is_multiplexed() && !was_awaited;
        if is_awaited {
            was_awaited = true;
            connection.end_soon();
        } else if ends && !is_ending {
            is_ending = true;
            if connection.is_multiplexed() {
                connection.set_drain(Drain::WhenQuiet);
            } else {
                end_gently(serving.as_mut());
            }
        }
        let turn = std::future::poll_fn(|context| {
            loop {
                if goes_over && connection.is_idle() {
                    return if now == Phase::Leaving { Poll::Ready(LEAVES) } else { Poll::Pending };
                }
                if let Poll::Ready(outcome) = serving.as_mut().poll(context) {
                    let reason = connection.broken_by().unwrap_or_else(|| ended(&outcome, is_ending));
                    return Poll::Ready(reason);
                }
                if goes_over && connection.is_idle() {
                    continue;
                }
                let deadline = connection.deadline();
                if let Some((deadline, _)) = deadline
                    && Instant::from_std(deadline) < alarm.deadline()
                {
                    alarm.as_mut().reset(deadline.into());
                }
                if goes_over && connection.discards() {
                    alarm.as_mut().reset(Instant::now() + LOOK_AGAIN);
                }
                if alarm.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
                match Expiry::of(connection, deadline, is_ending) {
                    Expiry::Ended(reason) => return Poll::Ready(reason),
                    Expiry::Drained => {}
                    Expiry::Idle => {
                        is_ending = true;
                        end_gently(serving.as_mut());
                        alarm.as_mut().reset(Instant::now() + connection.limits.head_timeout);
                    }
                    Expiry::Later(time) if parks => match parks_at(connection) {
                        Some(next) => alarm.as_mut().reset(time.min(next)),
                        None => return Poll::Ready(PARKS),
                    },
                    Expiry::Later(time) => alarm.as_mut().reset(time),
                }
            }
        });
        tokio::select! {
            biased;
            Ok(()) = phase.changed() => {}
            reason = turn => return reason,
            () = sleep(FIRST_CALL), if is_awaited => {}
            drain = insisted(gateway, connection), if connection.is_multiplexed() => connection.set_drain(drain),
        }
    }
}

/// The earliest time at which a connection may be parked; `None` stands for now.
fn parks_at(connection: &Connection) -> Option<Instant> {
    let now = Instant::now();
    let next = connection.idle_since().map_or(now, Instant::from_std) + PARKED_AFTER;
    (next > now).then_some(next)
}

/// Effect of an expired deadline.
enum Expiry {
    /// The connection ends, for this reason.
    Ended(&'static str),
    /// The next GOAWAY is due, and is set.
    Drained,
    /// Idle timeout: the connection ends gracefully.
    Idle,
    /// Nothing is due before this time.
    Later(Instant),
}

impl Expiry {
    /// Effect of the nearest deadline, given with its reason.
    fn of(connection: &Connection, deadline: Option<(std::time::Instant, &'static str)>, is_ending: bool) -> Self {
        let now = Instant::now();
        match deadline {
            Some((deadline, QUIET | ANNOUNCED)) if Instant::from_std(deadline) <= now => {
                if connection.drain() == Drain::Close {
                    return Self::Ended("closed");
                }
                connection.set_drain(Drain::Close);
                Self::Drained
            }
            Some((deadline, why)) if Instant::from_std(deadline) <= now => {
                if why != "idle" || is_ending {
                    Self::Ended(why)
                } else {
                    Self::Idle
                }
            }
            Some((deadline, _)) => Self::Later(deadline.into()),
            None => Self::Later(now + connection.limits.idle_timeout),
        }
    }
}

/// Waits for the times near the end of the grace period at which busy connections are told to end: gracefully at first.
async fn insisted(gateway: &Gateway, connection: &Connection) -> Drain {
    let next = match connection.drain() {
        Drain::WhenQuiet => gateway.insists_from().map(|times| (times[0], Drain::AfterNext)),
        Drain::AfterNext => gateway.insists_from().map(|times| (times[1], Drain::Now)),
        Drain::None | Drain::Now | Drain::Close => None,
    };
    match next {
        Some((time, drain)) => {
            // Boxed, as every connection would have room for it.
            Box::pin(sleep_until(time.into())).await;
            drain
        }
        None => std::future::pending().await,
    }
}

/// Error of an HTTP library that ends a connection.
pub(in crate::server) trait ProtocolFault {
    /// Reason, for metrics.
    fn as_str(&self) -> &'static str;
}

impl ProtocolFault for hyper::Error {
    fn as_str(&self) -> &'static str {
        match self {
            _ if self.is_parse() => "malformed",
            _ if self.is_incomplete_message() => "caller",
            _ => "error",
        }
    }
}

impl ProtocolFault for h2::Error {
    fn as_str(&self) -> &'static str {
        match self.reason() {
            // Not because of what the caller sent.
            _ if !self.is_library() => "error",
            Some(h2::Reason::ENHANCE_YOUR_CALM) => "flood",
            Some(h2::Reason::INTERNAL_ERROR) | None => "error",
            Some(_) => "malformed",
        }
    }
}

fn ended(outcome: &Result<(), impl ProtocolFault>, is_ending: bool) -> &'static str {
    match outcome {
        Ok(()) if is_ending => "closed",
        Ok(()) => "caller",
        Err(fault) => fault.as_str(),
    }
}
