//! Connections to a name with several addresses: attempts that begin one after the other and run side by side (RFC 8305),
//! so that an address that swallows packets costs a moment and not the whole time.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::sleep;

use super::FetchFault;

/// Connection Attempt Delay (RFC 8305 section 8).
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// The first connection that stands, of attempts at each of these addresses; `timeout` is the time for all of them.
///
/// # Errors
/// The last failure, or `nowhere` where there is no address.
pub(super) async fn first<Stream, Attempt>(
    addresses: Vec<SocketAddr>,
    timeout: Duration,
    nowhere: FetchFault,
    attempt: impl Fn(SocketAddr) -> Attempt,
) -> Result<Stream, FetchFault>
where
    Stream: Send + 'static,
    Attempt: Future<Output = Result<Stream, FetchFault>> + Send + 'static,
{
    let count = u32::try_from(addresses.len()).unwrap_or(u32::MAX);
    // Of many addresses each gets its turn within the first half of the time.
    let pause = LONGEST_PAUSE.min(timeout / count.saturating_mul(2).max(1));
    let mut waiting = families_in_turn(addresses).into_iter();
    // The others end where this is dropped.
    let mut running = JoinSet::new();
    let mut last = nowhere;
    loop {
        if running.is_empty() {
            match waiting.next() {
                Some(address) => running.spawn(attempt(address)),
                None => return Err(last),
            };
        }
        tokio::select! {
            ended = running.join_next() => match ended {
                Some(Ok(Ok(stream))) => return Ok(stream),
                Some(Ok(Err(fault))) => {
                    last = fault;
                    waiting.next().into_iter().for_each(|next| drop(running.spawn(attempt(next))));
                }
                Some(Err(_)) | None => {}
            },
            () = sleep(pause), if waiting.len() > 0 => {
                waiting.next().into_iter().for_each(|next| drop(running.spawn(attempt(next))));
            }
        }
    }
}

/// IPv6 and IPv4 by turns, in the order of the system otherwise (RFC 8305 section 4).
fn families_in_turn(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let begins_with_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (one, other): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|address| address.is_ipv6() == begins_with_v6);
    let mut other = other.into_iter();
    let mut sorted = Vec::with_capacity(one.len() + other.len());
    for address in one {
        sorted.push(address);
        sorted.extend(other.next());
    }
    sorted.extend(other);
    sorted
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops where it fails")]
mod tests {
    use std::sync::{Arc, Mutex};
    use std::time::Instant;

    use super::*;

    fn addresses(texts: &[&str]) -> Vec<SocketAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn the_families_take_turns() {
        let sorted = families_in_turn(addresses(&["[::1]:1", "[::2]:1", "[::3]:1", "10.0.0.1:1", "10.0.0.2:1"]));
        assert_eq!(sorted, addresses(&["[::1]:1", "10.0.0.1:1", "[::2]:1", "10.0.0.2:1", "[::3]:1"]));
        let sorted = families_in_turn(addresses(&["10.0.0.1:1", "10.0.0.2:1"]));
        assert_eq!(sorted, addresses(&["10.0.0.1:1", "10.0.0.2:1"]));
    }

    /// The last byte of an address says what becomes of it: 1 hangs, 2 fails, 3 stands.
    async fn dial(texts: &[&str], timeout: Duration) -> (Result<SocketAddr, FetchFault>, Vec<SocketAddr>) {
        let tried = Arc::new(Mutex::new(Vec::new()));
        let attempt = |address: SocketAddr| {
            let tried = Arc::clone(&tried);
            async move {
                tried.lock().unwrap().push(address);
                match address.ip().to_string().as_bytes().last() {
                    Some(b'1') => std::future::pending().await,
                    Some(b'2') => Err(FetchFault::Connect(address.to_string())),
                    _ => Ok(address),
                }
            }
        };
        let outcome = first(addresses(texts), timeout, FetchFault::Broken, attempt).await;
        let tried = tried.lock().unwrap().clone();
        (outcome, tried)
    }

    #[tokio::test]
    async fn an_address_that_hangs_costs_a_moment_and_one_that_fails_nothing() {
        let begun = Instant::now();
        let (outcome, _) = dial(&["10.0.0.1:1", "10.0.0.3:1"], Duration::from_secs(5)).await;
        assert_eq!(outcome, Ok("10.0.0.3:1".parse().unwrap()));
        assert!(begun.elapsed() >= LONGEST_PAUSE && begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
        let begun = Instant::now();
        let (outcome, _) = dial(&["10.0.0.2:1", "10.0.1.2:1", "10.0.0.3:1"], Duration::from_secs(5)).await;
        assert_eq!(outcome, Ok("10.0.0.3:1".parse().unwrap()));
        assert!(begun.elapsed() < LONGEST_PAUSE, "{:?}", begun.elapsed());
        let (outcome, tried) = dial(&["10.0.0.3:1", "10.0.0.1:1"], Duration::from_secs(5)).await;
        assert_eq!((outcome.is_ok(), tried.len()), (true, 1), "nobody else is asked where the first answers");
    }

    #[tokio::test]
    async fn of_many_addresses_that_hang_the_last_gets_its_turn_in_time() {
        let many: Vec<String> = (0..60).map(|number| format!("10.0.{number}.1:1")).collect();
        let all: Vec<&str> = many.iter().map(String::as_str).chain(["10.0.0.3:1"]).collect();
        let begun = Instant::now();
        let (outcome, _) = dial(&all, Duration::from_secs(2)).await;
        assert!(outcome.is_ok() && begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    }

    #[tokio::test]
    async fn where_all_fail_the_last_failure_is_told() {
        let begun = Instant::now();
        let (outcome, _) = dial(&["10.0.0.2:1", "10.0.1.2:1"], Duration::from_secs(5)).await;
        assert_eq!(outcome, Err(FetchFault::Connect("10.0.1.2:1".to_owned())));
        assert_eq!(dial(&[], Duration::from_secs(5)).await.0, Err(FetchFault::Broken));
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
}
