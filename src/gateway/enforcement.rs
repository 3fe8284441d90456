//! Whose refusals are carried out on a route in `mode: observe` with `enforce: N%`: those of a share of the callers,
//! always the same ones.
//!
//! A caller is a client with its customer, as far as their credentials are authentic; without any of them, its network.
//! Its place does not depend on the route, the process or the version: whoever is refused on one route at 20% is refused
//! at 20% on all, at 50% too, by every replica, and after every restart.

use aws_lc_rs::digest;

use super::connection::client_address::network;
use super::observe::record::Record;
use crate::auth::attribution::Attribution;
use crate::config::percentage::Percentage;
use crate::customer::Identifier;
use crate::policy::route::Route;
use crate::policy::route::enforcement::Enforcement;
use crate::refusal::Refusal;

/// Carries out a refusal where the route does so for this caller; else notes it.
///
/// # Errors
/// This refusal.
pub(crate) fn carry_out(refusal: Refusal, route: &Route, record: &mut Record) -> Result<(), Refusal> {
    match route.enforcement {
        Enforcement::Always => Err(refusal),
        share if share.includes(place_of(record)) => {
            // An earlier refusal of this request was carried out as well.
            record.refused_in_share();
            Err(refusal)
        }
        _ => {
            record.observed.get_or_insert(refusal);
            Ok(())
        }
    }
}

/// The place of a caller among all, from 0 to 999,999. Nobody can choose it by a credential that is not authentic.
fn place_of(record: &Record) -> u32 {
    let Attribution { client, api_key, customer, .. } = &record.known;
    let customer = customer.as_ref().map_or("", Identifier::as_str);
    match (client, api_key) {
        (Some(client), _) => place(["client", client, customer]),
        (None, Some(key)) => place(["api_key", key, customer]),
        (None, None) if !customer.is_empty() => place(["", "", customer]),
        (None, None) => place(["network", &network(record.source.address).to_string(), ""]),
    }
}

fn place(names: [&str; 3]) -> u32 {
    let mut context = digest::Context::new(&digest::SHA256);
    for name in names {
        context.update(&(name.len() as u64).to_be_bytes());
        context.update(name.as_bytes());
    }
    let digest = context.finish();
    let number = digest.as_ref().iter().take(8).fold(0, |number, byte| (number << 8) | u64::from(*byte));
    u32::try_from(number % u64::from(Percentage::WHOLE)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_are_spread_evenly_over_all_places() {
        for kind in ["client", "api_key", "network"] {
            let mut tenths = [0; 10];
            for number in 0..10_000 {
                let place = place([kind, &format!("caller-{number}"), ""]);
                tenths[(place / (Percentage::WHOLE / 10)) as usize] += 1;
            }
            // Six standard deviations of a fair draw.
            assert!(tenths.iter().all(|count| (820..=1_180).contains(count)), "{kind}: {tenths:?}");
        }
    }

    #[test]
    fn the_place_of_a_caller_is_the_same_in_every_process_and_version() {
        let places = [["client", "asapp", ""], ["client", "asapp", "t1-x"], ["api_key", "asapp", ""], ["", "", "t1-x"]];
        assert_eq!(places.map(place), [804_081, 523_506, 487_718, 505_526]);
    }
}
