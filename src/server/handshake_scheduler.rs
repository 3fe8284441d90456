//! TLS handshakes of a worker, one after the other: each costs far more CPU time than a request, and many at once would
//! delay all established connections.

use std::future::Future;
use std::pin::pin;
use std::task::Poll;

use tokio::sync::Semaphore;

/// Scheduler of the handshakes of one worker.
#[derive(Debug)]
pub(super) struct HandshakeScheduler(Semaphore);

impl HandshakeScheduler {
    /// A scheduler without any handshake.
    pub(super) fn new() -> Self {
        Self(Semaphore::new(1))
    }

    /// Polls a future only in its turn, one step per turn. Other tasks of the worker run between two
    /// steps.
    pub(super) async fn work<Work: Future>(&self, work: Work) -> Work::Output {
        let mut work = pin!(work);
        loop {
            // It is never closed.
            let turn = self.0.acquire().await;
            tokio::task::yield_now().await;
            let step = std::future::poll_fn(|context| Poll::Ready(work.as_mut().poll(context))).await;
            drop(turn);
            if let Poll::Ready(output) = step {
                return output;
            }
            woken().await;
        }
    }
}

/// Waits until this task is woken, by whatever it has polled.
async fn woken() {
    let mut has_waited = false;
    std::future::poll_fn(|_| if std::mem::replace(&mut has_waited, true) { Poll::Ready(()) } else { Poll::Pending })
        .await;
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::rc::Rc;

    use super::*;

    #[test]
    fn others_come_between_two_steps_of_waiting_work() {
        let runtime = tokio::runtime::Builder::new_current_thread().build_local(Default::default()).unwrap();
        runtime.block_on(async {
            let turns = Rc::new(HandshakeScheduler::new());
            let log = Rc::new(RefCell::new(Vec::new()));
            let mut tasks = Vec::new();
            for _ in 0..5 {
                let (turns, log) = (Rc::clone(&turns), Rc::clone(&log));
                tasks.push(tokio::task::spawn_local(async move {
                    turns.work(async { log.borrow_mut().push("handshake") }).await;
                }));
            }
            let other = Rc::clone(&log);
            tasks.push(tokio::task::spawn_local(async move {
                for _ in 0..20 {
                    other.borrow_mut().push("request");
                    tokio::task::yield_now().await;
                }
            }));
            for task in tasks {
                task.await.unwrap();
            }
            let log = log.borrow();
            assert!(!log.windows(3).any(|three| three == ["handshake"; 3]), "{log:?}");
        });
    }

    #[test]
    fn work_that_is_given_up_gives_its_turn_back() {
        let runtime = tokio::runtime::Builder::new_current_thread().build_local(Default::default()).unwrap();
        runtime.block_on(async {
            let turns = HandshakeScheduler::new();
            let mut waiting = Box::pin(turns.work(std::future::pending::<()>()));
            std::future::poll_fn(|context| Poll::Ready(waiting.as_mut().poll(context).is_pending())).await;
            drop(waiting);
            assert_eq!(turns.work(async { 1 }).await, 1);
        });
    }
}
