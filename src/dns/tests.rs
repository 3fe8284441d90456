#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::collections::HashSet;
use std::sync::Condvar;

use super::*;

/// A system that answers no name while it is closed, but for those that begin with `quick`.
#[derive(Default)]
struct Gate {
    closed: Mutex<bool>,
    moved: Condvar,
    asked: Mutex<Vec<String>>,
    gone: Mutex<HashSet<String>>,
}

impl Gate {
    fn close(&self, is_closed: bool) {
        *self.closed.lock().unwrap() = is_closed;
        self.moved.notify_all();
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    fn answer(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        self.asked.lock().unwrap().push(host.to_owned());
        let waits = |is_closed: &mut bool| *is_closed && !host.starts_with("quick");
        drop(self.moved.wait_while(self.closed.lock().unwrap(), waits).unwrap());
        if self.gone.lock().unwrap().contains(host) {
            Err(io::Error::other("gone"))
        } else {
            Ok(vec![[192, 0, 2, 1].into()])
        }
    }
}

fn behind_gate() -> (Arc<Gate>, Arc<Resolver>) {
    let gate = Arc::<Gate>::default();
    let asked = Arc::clone(&gate);
    (gate, Arc::new(Resolver::new(Arc::new(move |host: &str| asked.answer(host)))))
}

/// Looks up a name in a task of its own.
fn begin(resolver: &Arc<Resolver>, host: &str) -> tokio::task::JoinHandle<Found> {
    let (resolver, host) = (Arc::clone(resolver), host.to_owned());
    tokio::spawn(async move { resolver.look_up(&host).await })
}

async fn until(condition: impl Fn() -> bool) {
    while !condition() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn all_who_wait_for_a_name_share_one_thread_and_one_answer() {
    let (gate, resolver) = behind_gate();
    gate.close(true);
    let waiting: Vec<_> = (0..200).map(|_| begin(&resolver, "slow.test")).collect();
    until(|| gate.asked() > 0).await;
    assert!(resolver.look_up("quick.test").await.is_ok());
    assert_eq!(resolver.threads.available_permits(), THREADS - 1);
    gate.close(false);
    for waiting in waiting {
        assert_eq!(*waiting.await.unwrap().unwrap(), [IpAddr::from([192, 0, 2, 1])]);
    }
    assert_eq!(gate.asked(), 2);
}

#[tokio::test]
async fn whoever_gives_up_leaves_a_look_up_that_others_can_join() {
    let (gate, resolver) = behind_gate();
    gate.close(true);
    let first = begin(&resolver, "slow.test");
    until(|| gate.asked() > 0).await;
    first.abort();
    let second = begin(&resolver, "slow.test");
    // It has joined before the answer comes.
    tokio::task::yield_now().await;
    gate.close(false);
    assert!(second.await.unwrap().is_ok());
    assert_eq!(gate.asked(), 1);
    // What has ended is asked for anew.
    assert!(resolver.look_up("slow.test").await.is_ok());
    assert_eq!(gate.asked(), 2);
}

#[tokio::test]
async fn names_that_were_slow_leave_threads_for_others() {
    let (gate, resolver) = behind_gate();
    for number in 0..2 * THREADS {
        lock(&resolver.names).of(&format!("slow{number}.test")).is_slow = true;
    }
    gate.close(true);
    let waiting: Vec<_> = (0..2 * THREADS).map(|number| begin(&resolver, &format!("slow{number}.test"))).collect();
    until(|| gate.asked() == SLOW_THREADS).await;
    assert!(resolver.look_up("quick.test").await.is_ok());
    assert!(resolver.look_up("quick2.test").await.is_ok());
    assert_eq!(gate.asked(), SLOW_THREADS + 2);
    gate.close(false);
    for waiting in waiting {
        assert!(waiting.await.unwrap().is_ok());
    }
    assert_eq!((resolver.threads.available_permits(), resolver.slow.available_permits()), (THREADS, SLOW_THREADS));
}

#[tokio::test]
async fn the_last_answer_stays_good_while_the_system_fails_or_hangs() {
    let (gate, resolver) = behind_gate();
    gate.gone.lock().unwrap().insert("app.test".to_owned());
    let failed = resolver.look_up_or_last("app.test", PATIENCE).await;
    assert_eq!(failed.unwrap_err().to_string(), "gone");
    gate.gone.lock().unwrap().clear();
    let answer = resolver.look_up_or_last("app.test", PATIENCE).await.unwrap();
    gate.gone.lock().unwrap().insert("app.test".to_owned());
    assert_eq!(resolver.look_up_or_last("app.test", PATIENCE).await.unwrap(), answer);
    assert!(resolver.look_up("app.test").await.is_err(), "who wants news gets none");
    gate.close(true);
    assert_eq!(resolver.look_up_or_last("app.test", PATIENCE).await.unwrap(), answer);
    gate.close(false);
}

#[tokio::test]
async fn an_address_is_its_own_answer_and_names_that_nobody_asks_for_are_forgotten() {
    let (gate, resolver) = behind_gate();
    assert_eq!(*resolver.look_up("2001:db8::1").await.unwrap(), ["2001:db8::1".parse::<IpAddr>().unwrap()]);
    assert_eq!(gate.asked(), 0);
    let long_ago = Instant::now().checked_sub(KEEP).unwrap();
    for number in 0..10 * FEW {
        lock(&resolver.names).of(&number.to_string()).asked = long_ago;
    }
    assert!(lock(&resolver.names).known.len() <= FEW);
}
