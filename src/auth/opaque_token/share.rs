//! Limit of questions to an issuer, and the share that each network has in it.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Most questions at once.
const MOST: usize = 32;
/// Most of one network at once.
const MOST_OF_NETWORK: usize = 8;
/// Most questions that run or wait.
const MAX_WAITING: usize = 1_024;
/// Most of one network that run or wait.
const MAX_WAITING_OF_NETWORK: usize = 64;

/// The questions that run and wait.
pub(super) struct FairShare {
    all: Arc<Semaphore>,
    waiting: Mutex<Networks>,
}

#[derive(Default)]
struct Networks {
    of: HashMap<IpAddr, (Arc<Semaphore>, usize)>,
    count: usize,
}

/// A question that may be asked, until this is dropped.
pub(super) struct QuestionTurn<'s> {
    _permits: [OwnedSemaphorePermit; 2],
    _place: WaitingPlace<'s>,
}

/// One of the places of those that run or wait.
struct WaitingPlace<'s>(&'s FairShare, IpAddr);

impl Default for FairShare {
    fn default() -> Self {
        Self { all: Arc::new(Semaphore::new(MOST)), waiting: Mutex::default() }
    }
}

impl FairShare {
    /// Waits for a turn; `None`: there is no place to wait.
    pub(super) async fn turn(&self, network: IpAddr) -> Option<QuestionTurn<'_>> {
        let (place, own) = self.place(network)?;
        // Its own limit first: a network stands in the line of all with as many as may run, and no more.
        let own = own.acquire_owned().await.ok()?;
        let all = Arc::clone(&self.all).acquire_owned().await.ok()?;
        Some(QuestionTurn { _permits: [own, all], _place: place })
    }

    fn place(&self, network: IpAddr) -> Option<(WaitingPlace<'_>, Arc<Semaphore>)> {
        let mut waiting = self.lock();
        if waiting.count >= MAX_WAITING {
            return None;
        }
        let (own, count) = waiting.of.entry(network).or_insert_with(|| (Arc::new(Semaphore::new(MOST_OF_NETWORK)), 0));
        if *count >= MAX_WAITING_OF_NETWORK {
            return None;
        }
        *count += 1;
        let own = Arc::clone(own);
        waiting.count += 1;
        Some((WaitingPlace(self, network), own))
    }

    fn lock(&self) -> MutexGuard<'_, Networks> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for WaitingPlace<'_> {
    fn drop(&mut self) {
        let Self(share, network) = self;
        let mut waiting = share.lock();
        waiting.count -= 1;
        if let Some((_, count)) = waiting.of.get_mut(network) {
            *count -= 1;
            if *count == 0 {
                waiting.of.remove(network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn is_pending(future: &mut std::pin::Pin<Box<impl Future>>) -> bool {
        std::future::poll_fn(|context| std::task::Poll::Ready(future.as_mut().poll(context).is_pending())).await
    }

    fn network(last: u8) -> IpAddr {
        IpAddr::from([192, 0, 2, last])
    }

    #[tokio::test]
    async fn a_flood_of_one_network_leaves_the_turns_of_the_others() {
        let share = FairShare::default();
        let mut flood: Vec<_> = (0..MAX_WAITING_OF_NETWORK).map(|_| Box::pin(share.turn(network(1)))).collect();
        let mut held = Vec::new();
        for turn in &mut flood {
            std::future::poll_fn(|context| {
                if let std::task::Poll::Ready(turn) = turn.as_mut().poll(context) {
                    held.push(turn);
                }
                std::task::Poll::Ready(())
            })
            .await;
        }
        assert_eq!(held.len(), MOST_OF_NETWORK);
        assert!(share.turn(network(1)).await.is_none(), "its places are taken");
        assert!(share.turn(network(2)).await.is_some(), "another network does not wait");
        // Whoever gives up gives back its place, and the turn of one that ends is the next one's.
        flood.truncate(MAX_WAITING_OF_NETWORK - 1);
        let mut late = Box::pin(share.turn(network(1)));
        assert!(is_pending(&mut late).await);
        drop(flood);
        held.clear();
        assert!(!is_pending(&mut late).await);
        drop(late);
        assert!(share.lock().of.is_empty() && share.lock().count == 0, "nothing is left of those that have gone");
    }

    #[tokio::test]
    async fn all_networks_together_have_a_limit() {
        let share = FairShare::default();
        let mut turns = Vec::new();
        for last in 0..4 {
            for _ in 0..MOST_OF_NETWORK {
                turns.push(share.turn(network(last)).await);
            }
        }
        let mut next = Box::pin(share.turn(network(9)));
        assert!(is_pending(&mut next).await);
        turns.pop();
        assert!(!is_pending(&mut next).await);
    }
}
