//! A connection under its deadlines, and at the end of the process.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::Phase;
use crate::gateway::Gateway;
use crate::gateway::connection::{ANNOUNCED, Connection, Goodbye};

/// How long a request that may be on its way is waited for when the process is to end: the next one of an HTTP/1.1
/// connection, the first one of HTTP/2.
const NEXT_REQUEST: Duration = Duration::from_secs(1);

/// The word for a connection with which another process goes on.
pub(super) const LEAVES: &str = "handover";

/// Runs a connection under its deadlines, and lets it end gently when the process drains or it has been idle. While
/// another process takes over, one that carries nothing waits, and then leaves.
pub(super) async fn watched<Serving>(
    mut serving: Pin<&mut Serving>,
    end_gently: impl Fn(Pin<&mut Serving>),
    connection: &Connection,
    mut phase: watch::Receiver<Phase>,
    gateway: &Gateway,
) -> &'static str
where
    Serving: Future<Output = hyper::Result<()>>,
{
    let (mut is_ending, mut was_awaited) = (false, false);
    let mut alarm = pin!(sleep_until(Instant::now() + connection.limits.idle_timeout));
    loop {
        let now = *phase.borrow_and_update();
        // An HTTP/2 connection is told that it ends, and its caller opens another one without losing anything.
        let goes_over = matches!(now, Phase::Waiting | Phase::Leaving) && !connection.is_multiplexed();
        let may_come = !connection.is_multiplexed() || connection.is_fresh();
        let is_awaited = matches!(now, Phase::Draining | Phase::Leaving) && !goes_over && may_come && !was_awaited;
        if is_awaited {
            was_awaited = true;
            connection.end_soon();
        } else if now != Phase::Running && !goes_over && !is_ending {
            is_ending = true;
            end_gently(serving.as_mut());
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
                if alarm.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
                match deadline {
                    Some((deadline, ANNOUNCED)) if Instant::from_std(deadline) <= Instant::now() => {
                        if connection.goodbye() == Goodbye::Close {
                            return Poll::Ready("closed");
                        }
                        connection.say_goodbye(Goodbye::Close);
                        alarm.as_mut().reset(Instant::now() + connection.limits.head_timeout);
                    }
                    Some((deadline, why)) if Instant::from_std(deadline) <= Instant::now() => {
                        if why != "idle" || is_ending {
                            return Poll::Ready(why);
                        }
                        is_ending = true;
                        end_gently(serving.as_mut());
                        alarm.as_mut().reset(Instant::now() + connection.limits.head_timeout);
                    }
                    Some((deadline, _)) => alarm.as_mut().reset(deadline.into()),
                    None => alarm.as_mut().reset(Instant::now() + connection.limits.idle_timeout),
                }
            }
        });
        tokio::select! {
            biased;
            Ok(()) = phase.changed() => {}
            reason = turn => return reason,
            () = sleep(NEXT_REQUEST), if is_awaited => {}
            () = told_at_last(gateway), if connection.goodbye() == Goodbye::WhenIdle => {
                connection.say_goodbye(Goodbye::Now);
            }
        }
    }
}

/// When callers are told that are never idle: the grace time is nearly over.
async fn told_at_last(gateway: &Gateway) {
    match gateway.insists_from() {
        Some(time) => sleep_until(time.into()).await,
        None => std::future::pending().await,
    }
}

fn ended(outcome: &hyper::Result<()>, is_ending: bool) -> &'static str {
    match outcome {
        Ok(()) if is_ending => "closed",
        Ok(()) => "caller",
        Err(error) if error.is_parse() => "malformed",
        Err(error) if error.is_incomplete_message() => "caller",
        Err(_) => "error",
    }
}
