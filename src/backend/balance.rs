//! Load balancing: least request of two random choices, and consistent hashing. Pure functions of the load.

/// Load of one server at the time of a choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Load {
    /// Requests in flight.
    pub(super) busy: usize,
    /// Configured weight.
    pub(super) weight: u32,
    /// Slow-start share, of [`FULL`].
    pub(super) ramp: u32,
}

/// Share of a server that is not in slow start.
pub(super) const FULL: u32 = 1_000;

impl Load {
    /// True if this server has fewer requests for its weight.
    fn is_below(self, other: Self) -> bool {
        let share = |load: Self| u64::from(load.weight) * u64::from(load.ramp);
        (self.busy as u64) * share(other) < (other.busy as u64) * share(self)
    }
}

/// Server indexes, each as often as its weight says, interleaved: a random pick is a pick by weight.
pub(super) fn tickets(weights: &[u32]) -> Vec<u16> {
    let divisor = weights.iter().fold(0, |divisor, weight| common_divisor(*weight, divisor)).max(1);
    let weights: Vec<i64> = weights.iter().map(|weight| i64::from(weight / divisor)).collect();
    let total: i64 = weights.iter().sum();
    let mut credit = vec![0; weights.len()];
    let mut tickets = Vec::new();
    for _ in 0..total {
        credit.iter_mut().zip(&weights).for_each(|(credit, weight)| *credit += weight);
        let Some(richest) = (0..credit.len()).max_by_key(|index| (credit[*index], -(*index as i64))) else { break };
        credit[richest] -= total;
        tickets.push(u16::try_from(richest).unwrap_or(u16::MAX));
    }
    tickets
}

fn common_divisor(one: u32, other: u32) -> u32 {
    if other == 0 { one } else { common_divisor(other, one % other) }
}

/// Least request: the less loaded of two random servers. `load` returns `None` for servers that must not be
/// chosen.
pub(super) fn least_request(tickets: &[u16], random: u64, load: impl Fn(u16) -> Option<Load>) -> Option<u16> {
    let (first, second) = two_of(tickets, random)?;
    match (load(first), load(second)) {
        (Some(one), Some(other)) => Some(if is_better(other, one, random) { second } else { first }),
        // Rare: one of them is out. Then draw among those that are left.
        _ => {
            let left: Vec<u16> = tickets.iter().copied().filter(|ticket| load(*ticket).is_some()).collect();
            let (first, second) = two_of(&left, random)?;
            let (one, other) = (load(first)?, load(second)?);
            Some(if is_better(other, one, random) { second } else { first })
        }
    }
}

/// True if the second of two random servers wins. A server in slow start gives part of its turns away.
fn is_better(second: Load, first: Load, random: u64) -> bool {
    let gives_way =
        |load: Load| load.ramp < FULL && ((random >> 32) & 0xffff) % u64::from(FULL) >= u64::from(load.ramp);
    match (gives_way(first), gives_way(second)) {
        (true, false) => true,
        (false, true) => false,
        _ => second.is_below(first),
    }
}

/// Two random servers, different where there are two.
fn two_of(tickets: &[u16], random: u64) -> Option<(u16, u16)> {
    let at = place(random & 0xffff_ffff, tickets.len());
    let first = *tickets.get(at)?;
    let offset = place(random >> 32, tickets.len());
    let rest = tickets.iter().cycle().skip(offset).take(tickets.len());
    let second = rest.copied().find(|ticket| *ticket != first).unwrap_or(first);
    Some((first, second))
}

/// Index below `count`, from 32 random bits.
fn place(random: u64, count: usize) -> usize {
    ((random * count as u64) >> 32) as usize
}

/// Consistent hashing (weighted rendezvous): the server for a key stays while it is a candidate; when it goes, only
/// its own keys move. Candidates are (index, seed, weight).
pub(crate) fn by_key(key: u64, candidates: impl Iterator<Item = (u16, u64, u32)>) -> Option<u16> {
    let score = |seed: u64, weight: u32| {
        // Above 0 and below 1.
        let uniform = ((mixed(key ^ seed) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
        -f64::from(weight) / uniform.ln()
    };
    let scored = candidates.map(|(index, seed, weight)| (score(seed, weight), index));
    scored.max_by(|one, other| one.0.total_cmp(&other.0)).map(|(_, index)| index)
}

/// Hash of a text: the same in every process and version, as replicas must agree.
pub(crate) fn seed(text: &str) -> u64 {
    let sum = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    mixed(sum)
}

/// Mixes the bits of a number (SplitMix64).
fn mixed(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// Next state of the random numbers; not for secrets.
pub(super) fn next_random(state: u64) -> u64 {
    state.wrapping_add(0x9e37_79b9_7f4a_7c15)
}

/// Random number of a state.
pub(super) fn random_of(state: u64) -> u64 {
    mixed(state)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn idle(weight: u32) -> Load {
        Load { busy: 0, weight, ramp: FULL }
    }

    fn draws(count: usize) -> impl Iterator<Item = u64> {
        (0..count as u64).scan(7, |state, _| {
            *state = next_random(*state);
            Some(random_of(*state))
        })
    }

    #[test]
    fn tickets_are_as_many_as_the_weights_say_and_mixed() {
        assert_eq!(tickets(&[1, 1, 1]), [0, 1, 2]);
        assert_eq!(tickets(&[2, 4]), [1, 0, 1]);
        assert_eq!(tickets(&[]), [] as [u16; 0]);
    }

    #[test]
    fn idle_servers_get_requests_by_their_weight() {
        let weights = [1, 2, 5];
        let tickets = tickets(&weights);
        let mut counts = [0_usize; 3];
        for random in draws(80_000) {
            let chosen = least_request(&tickets, random, |index| Some(idle(weights[usize::from(index)])));
            counts[usize::from(chosen.expect("a server"))] += 1;
        }
        for (count, weight) in counts.iter().zip(weights) {
            let expected = 10_000 * weight as usize;
            assert!(count.abs_diff(expected) < expected / 10, "{counts:?}");
        }
    }

    #[test]
    fn the_busier_of_two_is_never_chosen_and_a_busy_one_gets_less_of_many() {
        let busy = [5, 4];
        let load = |index: u16| Some(Load { busy: busy[usize::from(index)], weight: 1, ramp: FULL });
        assert!(draws(1_000).all(|random| least_request(&[0, 1], random, load) == Some(1)));
        let load = |index: u16| Some(Load { busy: if index == 0 { 10 } else { 1 }, weight: 1, ramp: FULL });
        assert!(draws(1_000).all(|random| least_request(&[0, 1, 2, 3], random, load) != Some(0)));
    }

    #[test]
    fn a_server_that_has_just_come_back_gets_little() {
        let load = |index: u16| Some(Load { busy: 0, weight: 1, ramp: if index == 0 { 100 } else { FULL } });
        let count = draws(10_000).filter(|random| least_request(&[0, 1, 2, 3], *random, load) == Some(0)).count();
        assert!((100..500).contains(&count), "{count}");
    }

    #[test]
    fn customers_are_spread_by_weight() {
        let servers = [(0, seed("a"), 1), (1, seed("b"), 3)];
        let count = draws(10_000).filter(|key| by_key(*key, servers.into_iter()) == Some(1)).count();
        assert!((7_200..7_800).contains(&count), "{count}");
    }

    proptest! {
        #[test]
        fn only_what_may_be_chosen_is_chosen(
            weights in proptest::collection::vec(1_u32..100, 1..12),
            out in any::<u16>(),
            random in any::<u64>(),
        ) {
            let tickets = tickets(&weights);
            let load = |index: u16| (out >> index & 1 == 0).then(|| idle(weights[usize::from(index)]));
            let open = (0..weights.len()).any(|index| out >> index & 1 == 0);
            let chosen = least_request(&tickets, random, load);
            prop_assert_eq!(chosen.is_some(), open);
            prop_assert!(chosen.is_none_or(|index| load(index).is_some()));
        }

        #[test]
        fn when_a_server_goes_only_its_customers_move(
            keys in proptest::collection::vec(any::<u64>(), 1..50),
            count in 2_u16..10,
            gone in 0_u16..10,
        ) {
            let gone = gone % count;
            let servers = |without: Option<u16>| {
                let all = (0..count).filter(move |index| Some(*index) != without);
                all.map(|index| (index, seed(&format!("10.0.0.{index}:9000")), 1 + u32::from(index % 3)))
            };
            for key in keys {
                let before = by_key(key, servers(None));
                let after = by_key(key, servers(Some(gone)));
                prop_assert!(before == Some(gone) || before == after);
                prop_assert_ne!(after, Some(gone));
            }
        }
    }
}
