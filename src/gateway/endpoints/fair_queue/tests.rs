use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use super::*;

type Turning<'a> = Pin<Box<dyn Future<Output = Result<Turn, Full>> + 'a>>;

fn origin(network: u8, name: u16) -> AttemptOrigin {
    let mut key = AttemptKey::default();
    key[0] = network;
    key[1..3].copy_from_slice(&name.to_be_bytes());
    AttemptOrigin { network: [192, 0, 2, network].into(), name: key, lane: Lane::Unknown }
}

fn known(network: u8, name: u16) -> AttemptOrigin {
    AttemptOrigin { lane: Lane::Known, ..origin(network, name) }
}

/// Waits in the queue from now on.
fn waits(queue: &FairQueue, origin: AttemptOrigin) -> Turning<'_> {
    let mut turn: Turning<'_> = Box::pin(queue.turn(origin));
    assert!(now(&mut turn).is_none(), "it does not wait");
    turn
}

fn now(turn: &mut Turning<'_>) -> Option<Result<Turn, Full>> {
    match turn.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(turn) => Some(turn),
        Poll::Pending => None,
    }
}

/// The order of the turns, if each attempt has ended before the next begins.
fn order<'a>(running: Turn, mut waiting: Vec<(&'a str, Turning<'a>)>) -> Vec<&'a str> {
    let mut order = Vec::new();
    drop(running);
    while !waiting.is_empty() {
        let place = waiting.iter_mut().position(|(_, turn)| match now(turn) {
            Some(turn) => {
                drop(turn.expect("it is not full"));
                true
            }
            None => false,
        });
        order.push(waiting.remove(place.expect("somebody's turn it is")).0);
    }
    order
}

fn begun(queue: &FairQueue) -> Turn {
    now(&mut (Box::pin(queue.turn(origin(255, 0))) as Turning<'_>)).expect("it is free").expect("it is not full")
}

#[test]
fn networks_take_turns_however_many_of_one_wait() {
    let queue = FairQueue::new(1);
    let running = begun(&queue);
    let mut waiting: Vec<_> = (0..5).map(|name| ("flood", waits(&queue, origin(1, name)))).collect();
    waiting.push(("quiet", waits(&queue, origin(2, 0))));
    waiting.push(("other", waits(&queue, origin(3, 0))));
    assert_eq!(order(running, waiting), ["flood", "quiet", "other", "flood", "flood", "flood", "flood"]);
    assert_eq!(queue.len(), 0);
}

#[test]
fn those_who_were_right_before_go_first_and_leave_every_fourth_turn_to_others() {
    let queue = FairQueue::new(1);
    let running = begun(&queue);
    let mut waiting: Vec<_> = (0..3).map(|name| ("unknown", waits(&queue, origin(1, name)))).collect();
    waiting.extend((0..4).map(|name| ("known", waits(&queue, known(2, name)))));
    let order = order(running, waiting);
    assert_eq!(order, ["known", "known", "unknown", "known", "known", "unknown", "unknown"]);
}

#[test]
fn under_one_name_from_one_network_one_runs_at_a_time_and_others_overtake() {
    let queue = FairQueue::new(3);
    let first = now(&mut (Box::pin(queue.turn(origin(1, 7))) as Turning<'_>)).expect("free").expect("not full");
    let mut same = waits(&queue, origin(1, 7));
    let mut other = Box::pin(queue.turn(origin(1, 8))) as Turning<'_>;
    assert!(now(&mut other).is_some_and(|turn| turn.is_ok()), "another name");
    // Its hash is over; it has not been judged.
    drop(first.permit);
    assert!(now(&mut same).is_none());
    drop(first.name);
    assert!(now(&mut same).is_some_and(|turn| turn.is_ok()));
}

#[test]
fn a_network_has_its_share_and_no_more_and_others_have_theirs() {
    let queue = FairQueue::new(1);
    let _running = begun(&queue);
    let most = u16::try_from(MAX_OF_NETWORK).expect("few");
    let _waiting: Vec<_> = (0..most).map(|name| waits(&queue, origin(1, name))).collect();
    let refused = now(&mut (Box::pin(queue.turn(origin(1, most))) as Turning<'_>));
    assert_eq!(refused.expect("at once").expect_err("full"), Full::Network);
    let _other = waits(&queue, origin(2, 0));
    assert_eq!(queue.len(), MAX_OF_NETWORK + 2);
}

#[test]
fn where_all_places_are_taken_the_newest_of_the_longest_queue_gives_way_and_not_a_quiet_newcomer() {
    let queue = FairQueue::new(1);
    let _running = begun(&queue);
    let share = u16::try_from(MAX_OF_NETWORK).expect("few");
    let networks = u8::try_from(MAX_WAITING / MAX_OF_NETWORK).expect("few");
    let mut floods: Vec<_> = (0..networks)
        .flat_map(|network| (0..share).map(move |name| (network, name)))
        .map(|(network, name)| waits(&queue, origin(network, name)))
        .collect();
    let mut quiet = waits(&queue, origin(200, 0));
    let gone: Vec<_> =
        floods.iter_mut().enumerate().filter_map(|(at, turn)| now(turn).map(|turn| (at, turn))).collect();
    assert_eq!(gone.len(), 1);
    assert_eq!(gone[0].0 % MAX_OF_NETWORK, MAX_OF_NETWORK - 1, "the newest of its network");
    assert!(matches!(gone[0].1, Err(Full::Queue)));
    assert!(now(&mut quiet).is_none(), "it stays");
    // Nobody gives way to one that would wait behind as many of its own.
    let queue = FairQueue::new(1);
    let _running = begun(&queue);
    let _waiting: Vec<_> = (0..MAX_WAITING)
        .map(|number| {
            let number = u16::try_from(number).expect("few");
            let [high, low] = number.to_be_bytes();
            waits(&queue, AttemptOrigin { network: [10, 0, high, low].into(), ..origin(high, number) })
        })
        .collect();
    let refused = now(&mut (Box::pin(queue.turn(origin(1, 9_999))) as Turning<'_>));
    assert_eq!(refused.expect("at once").expect_err("full"), Full::Queue);
}

#[test]
fn who_gives_up_leaves_nothing_behind() {
    let queue = FairQueue::new(1);
    let running = begun(&queue);
    let (first, second) = (waits(&queue, origin(1, 1)), waits(&queue, origin(1, 2)));
    let mut third = waits(&queue, origin(2, 1));
    drop(first);
    assert_eq!(queue.len(), 3);
    drop(running);
    // It is the second's turn, who has not looked yet, and goes.
    drop(second);
    assert!(now(&mut third).is_some_and(|turn| turn.is_ok()));
    assert_eq!(queue.len(), 0);
    let waiting = queue.0.lock();
    assert!(waiting.held.is_empty() && waiting.unknown.networks.is_empty() && waiting.unknown.ring.is_empty());
}
