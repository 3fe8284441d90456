use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use super::*;
use crate::customer::Identifier;
use crate::state::change::Fate;
use crate::state::embedded::Embedded;
use crate::state::login_lockout::{AttemptKeys, Attempts, Cost, Costs};
use crate::state::refresh_token::RefreshToken;
use crate::state::replay::Use;
use crate::state::revocation::{Issued, Rule, Subject};
use crate::state::session::{Agent, LoginId, Session, SessionDigest, digest_of};
use crate::state::{Bound, Most, StateSettings};

const MOST: Most = Most { sessions: 10_000_000, replay_ids: 1_000_000 };
const BOUND: Bound = Bound { most: 20, until: 5_000 };

fn directory(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("wicketgate-sweep-{name}-{}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    path
}

fn open(path: &Path, now: u64) -> State {
    State::open(StateSettings::Embedded(path.to_owned(), MOST), Arc::default(), &Handle::current(), now).unwrap()
}

fn digest(number: u64) -> SessionDigest {
    digest_of(&number.to_be_bytes())
}

fn session(number: u64, expires_at: u64) -> Session {
    Session {
        customer: Identifier::from_store(&format!("t1-{number}")),
        login: LoginId::of(&digest(number)),
        issued_at: 1_000,
        last_seen: 1_000,
        expires_at,
        agent: Agent::Other,
        number: None,
        account: None,
    }
}

fn family(token: &RefreshToken, expires_at: u64) -> Family {
    Family {
        customer: Identifier::from_store("t1-x"),
        issued_at: 1_000,
        expires_at,
        current: token.digest,
        predecessor: None,
        number: None,
        account: None,
    }
}

/// The keys of all records that this process would write, from its memory.
fn in_memory(state: &State) -> BTreeSet<Vec<u8>> {
    let mut keys = BTreeSet::new();
    keys.extend(state.sessions.known().collect(|digest, _| Some(codec::session_key(digest))));
    keys.extend(state.families.collect(|digest, _| Some(codec::family_key(digest))));
    keys.extend(state.attempts.failures().collect(|key, _| Some(codec::attempt_key(key))));
    keys.extend(state.attempts.right().collect(|key, _| Some(codec::attempt_key(key))));
    keys.extend(state.used.known().collect(|id, _| Some(codec::used_key(id))));
    keys.extend(state.revocations.all().iter().map(|rule| codec::rule_key(&rule.subject)));
    keys
}

/// Closes it, and says what its file holds and what it knew.
fn closed(state: State, path: &Path) -> (BTreeSet<Vec<u8>>, BTreeSet<Vec<u8>>) {
    let known = in_memory(&state);
    state.close();
    drop(state);
    let mut held = BTreeSet::new();
    let file = Embedded::open(path, |key, _| {
        // That of the highest number is no record of its own.
        if key != b"rtoken " {
            held.insert(key.to_vec());
        }
        Ok(Fate::Live)
    });
    file.unwrap().close();
    (held, known)
}

#[tokio::test]
async fn what_ended_while_the_process_was_stopped_leaves_the_file_after_the_next_start() {
    let path = directory("stopped");
    let state = open(&path, 1_000);
    let all: Vec<_> = (0..3_000)
        .map(|number| (digest(number), session(number, if number % 3 == 0 { 9_000 } else { 2_000 })))
        .collect();
    for some in all.chunks(1_000) {
        state.begin_all(some.to_vec()).await.unwrap();
    }
    let (kept, over) = (RefreshToken::first(), RefreshToken::first());
    state.begin_family(&kept, family(&kept, 9_000), BOUND).await.unwrap();
    state.begin_family(&over, family(&over, 2_000), BOUND).await.unwrap();
    assert_eq!(state.use_once([1; 32], 1_000, 2_000, 1_000).await, Ok(Use::First));
    let rule = |name: &str, until| Rule::new(Subject::Client(name.into()), 1_000, until);
    state.revoke(vec![rule("kept", 9_000), rule("over", 2_000)]).await.unwrap();
    let (held, known) = closed(state, &path);
    assert_eq!((held.len(), &held), (3_005, &known));

    let state = open(&path, 3_000);
    assert_eq!(state.session_count(), 1_000, "what is over is not even read into the memory");
    // Without any sweep, and without waiting for one.
    state.begin_all(vec![(digest(1), session(1, 9_000))]).await.unwrap();
    state.delete(vec![b"nothing".to_vec()]).await.unwrap();
    let (held, known) = closed(state, &path);
    assert_eq!((held.len(), &held), (1_003, &known), "and what was begun again under the same name stays");
    std::fs::remove_dir_all(path).unwrap();
}

#[tokio::test]
async fn after_a_restart_and_with_a_clock_set_back_a_new_revocation_comes_after_all_that_tokens_bear() {
    let path = directory("number");
    let state = open(&path, 1_000);
    // Of a clock that was far ahead.
    let later = u64::MAX / 4;
    let rule = |number| Rule { number, ..Rule::new(Subject::Client("asapp".into()), 1_000, 2_000) };
    state.revoke(vec![rule(Some(later))]).await.unwrap();
    let token = Some(Issued { at: 1_500, number: Some(state.revocations.seen()) });
    // Nothing is left of that rule, and nothing bears the number but a token.
    state.sweep(3_000, u64::MAX).await;
    assert!(state.revocations.is_empty());
    closed(state, &path);
    let state = open(&path, 3_000);
    assert!(state.revocations.is_empty(), "it is no rule");
    assert!(!state.revocations.covers(&rule(None).subject, token));
    state.revoke(vec![Rule::new(Subject::Client("asapp".into()), 1_600, 9_000)]).await.unwrap();
    assert!(state.revocations.covers(&rule(None).subject, token));
    closed(state, &path);
    std::fs::remove_dir_all(path).unwrap();
}

#[tokio::test]
async fn a_login_whose_caller_left_during_the_write_leaves_nothing_in_the_file() {
    let path = directory("left");
    let state = open(&path, 1_000);
    let token = RefreshToken::first();
    for number in 0..500 {
        let left = state.begin(digest(number), session(number, 9_000), BOUND);
        // It has begun, and is dropped before the disk answers, or perhaps just as it does.
        match number % 5 {
            0 => tokio::select! { biased; _ = left => {}, () = std::future::ready(()) => {} },
            tenths => drop(tokio::time::timeout(Duration::from_micros(tenths * 100), left).await),
        }
    }
    let _ = tokio::time::timeout(Duration::ZERO, state.begin_family(&token, family(&token, 9_000), BOUND)).await;
    let whole = state.begin(digest(1_000), session(1_000, 9_000), BOUND).await;
    assert_eq!(whole, Ok(()));
    state.sweep(1_000, u64::MAX).await;
    let registered = |number| state.session_registry.beyond(&session(number, 0).customer, 0).len();
    let stayed: Vec<u64> = (0..500).filter(|number| state.sessions.copy(&digest(*number)).is_some()).collect();
    assert!(stayed.iter().all(|number| registered(*number) == 1), "{stayed:?}");
    assert!(stayed.len() < 500, "all waited for the disk");
    let (held, known) = closed(state, &path);
    assert_eq!(held, known);
    std::fs::remove_dir_all(path).unwrap();
}

#[tokio::test]
async fn failed_attempts_that_had_to_make_room_leave_the_file_too() {
    let path = directory("evicted");
    let mut state = open(&path, 1_000);
    state.attempts = Arc::new(Attempts::of_size(8 * PARTS));
    let cost = Cost { free: 1_000_000, delay: 1_000, longest: 60_000 };
    let key = |number: u64, kind: u8| {
        let mut key = [kind; 16];
        key[..8].copy_from_slice(&number.to_be_bytes());
        key
    };
    for number in 0..10_000_u64 {
        let keys = AttemptKeys {
            name: key(number, 1),
            network: key(number, 2),
            right: key(number, 3),
            spelling: 7,
            who: key(number, 1),
        };
        state.fail_later(&keys, Costs { name: cost, network: cost }, 1_000_000);
        if number % 3 == 0 {
            state.note_right(&keys, 1_000_000);
        }
        while state.waiting() > 1_000 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    let failures = state.attempts.failures().len();
    assert!(failures <= 8 * PARTS, "{failures}");
    // What comes after all that waits.
    state.revoke(Vec::new()).await.unwrap();
    state.delete(vec![b"nothing".to_vec()]).await.unwrap();
    let (held, known) = closed(state, &path);
    assert_eq!(held.difference(&known).count(), 0, "{} in the file", held.len());
    assert!(held.len() > 3_000, "{}", held.len());
    std::fs::remove_dir_all(path).unwrap();
}

#[tokio::test]
async fn a_sweep_takes_from_file_and_memory_what_is_over_and_gives_the_memory_back() {
    let path = directory("swept");
    let state = open(&path, 1_000);
    let all = (0..20_000).map(|number| (digest(number), session(number, if number < 100 { 9_000 } else { 2_000 })));
    let all: Vec<_> = all.collect();
    for some in all.chunks(2_000) {
        state.begin_all(some.to_vec()).await.unwrap();
    }
    let ended = Rule::new(Subject::Customer("t1-7".into()), 1_000, 9_000);
    state.revoke(vec![ended]).await.unwrap();
    let room = state.sessions.known().capacity();
    state.sweep(2_000, u64::MAX).await;
    assert_eq!(state.session_count(), 99);
    assert!(state.session_registry.beyond(&session(200, 0).customer, 0).is_empty());
    let after = state.sessions.known().capacity();
    assert!(after * 4 < room, "{after} of {room}");
    let (held, known) = closed(state, &path);
    assert_eq!((held.len(), &held), (100, &known));
    std::fs::remove_dir_all(path).unwrap();
}

/// How long logins and requests wait while very many sessions end at once. `WICKETGATE_ENDED=2000000 cargo test
/// --profile bench --lib very_many_sessions -- --ignored --nocapture` prints what docs/benchmarks.md says.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn while_very_many_sessions_end_logins_and_requests_go_on() {
    let path = directory("many");
    let count: u64 = std::env::var("WICKETGATE_ENDED").ok().and_then(|text| text.parse().ok()).unwrap_or(100_000);
    let state = Arc::new(open(&path, 1_000));
    // In the order of the file, which is much faster.
    let mut all: Vec<_> = (0..count).map(|number| (digest(number), session(number, 2_000))).collect();
    all.sort_by_key(|(digest, _)| *digest);
    for some in all.chunks(10_000) {
        state.begin_all(some.to_vec()).await.unwrap();
    }
    drop(all);
    let file = |path: &Path| std::fs::metadata(path.join("state.redb")).unwrap().len() / 1_000_000;
    println!("{count} sessions, file {} MB", file(&path));
    let (mut logins, mut number) = (Vec::new(), count);
    // The same without a sweep, for what the machine does besides.
    for is_sweeping in [false, true] {
        let sweeping = Arc::clone(&state);
        let begun = Instant::now();
        let sweep = tokio::spawn(async move {
            if is_sweeping {
                sweeping.sweep(3_000, u64::MAX).await;
            } else {
                tokio::time::sleep(Duration::from_secs(20)).await;
            }
        });
        let mut finds = Vec::new();
        logins.clear();
        while !sweep.is_finished() {
            let start = Instant::now();
            state.begin(digest(number), session(number, 9_000), BOUND).await.unwrap();
            logins.push(start.elapsed());
            for of in 0..1_000 {
                let start = Instant::now();
                state.session(&digest(of * count / 1_000), 3_000, u64::MAX, &Default::default());
                finds.push(start.elapsed());
            }
            number += 1;
        }
        let of = |times: &mut Vec<Duration>| {
            times.sort();
            let [half, most, all] = [times.len() / 2, times.len() * 99 / 100, times.len() - 1].map(|at| times[at]);
            format!("median {half:?}, 99% {most:?}, longest {all:?} of {}", times.len())
        };
        println!("sweep: {is_sweeping}, {:?}; logins {}", begun.elapsed(), of(&mut logins));
        println!("  look-ups {}", of(&mut finds));
    }
    let deadline = Instant::now() + Duration::from_secs(60);
    while file(&path) > 20 && Instant::now() < deadline {
        let start = Instant::now();
        state.begin(digest(number), session(number, 9_000), BOUND).await.unwrap();
        logins.push(start.elapsed());
        number += 1;
    }
    println!("file {} MB; longest login with the copying {:?}", file(&path), logins.iter().max());
    assert_eq!(state.session_count() as u64, number - count);
    state.close();
    std::fs::remove_dir_all(path).unwrap();
}
