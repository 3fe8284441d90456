//! Warnings about hashes that are cheap to guess, and about those that differ in cost. A refusal takes as long as the
//! dearest, but the wait of others for their turn meanwhile still tells which hash it was, and with that whether a name
//! exists.

use super::Policy;
use super::accounts::Accounts;
use crate::auth::credentials::password::PasswordHash;
use crate::config::{Config, Warning};

/// Positions in a list at which costs differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Uneven {
    /// The first that costs less than the dearest.
    cheap: usize,
    /// The first of the dearest.
    dear: usize,
    /// Count of cheaper hashes.
    less: usize,
    /// Count of all hashes.
    all: usize,
}

impl Uneven {
    /// `None` where all cost the same.
    fn of(costs: &[u64]) -> Option<Self> {
        let dearest = costs.iter().max()?;
        let cheap = costs.iter().position(|cost| cost < dearest)?;
        let dear = costs.iter().position(|cost| cost == dearest)?;
        let less = costs.iter().filter(|cost| *cost < dearest).count();
        Some(Self { cheap, dear, less, all: costs.len() })
    }

    fn message(self, dear: &str) -> String {
        let Self { less, all, .. } = self;
        format!("{less} of {all} hashes cost less than that of {dear}, this one first: the load can tell who exists")
    }
}

/// Warnings for the accounts and for the secrets of clients, where their hashes differ in cost, or cost less than is usual
/// today.
pub fn warnings(config: &Config, policy: &Policy) -> Vec<Warning> {
    of_accounts(policy).into_iter().chain(of_clients(config, policy)).collect()
}

fn of_accounts(policy: &Policy) -> Vec<Warning> {
    let Some(Accounts::File(accounts)) = policy.login.as_ref().map(|login| &login.accounts) else { return Vec::new() };
    let place = |nth: usize| accounts.hashes[nth].place.clone();
    let hashes: Vec<&PasswordHash> = accounts.hashes.iter().map(|placed| &placed.hash).collect();
    let warning = |nth, message, help| Warning { place: place(nth), message, help };
    // `entry 3` of the same file.
    let name = |nth| place(nth).rsplit(", ").next().unwrap_or_default().to_owned();
    of_hashes(&hashes, name, warning, "`wicketgate hash-password`")
}

fn of_clients(config: &Config, policy: &Policy) -> Vec<Warning> {
    let (mut places, mut hashes) = (Vec::new(), Vec::new());
    for (number, raw) in config.raw().clients.iter().enumerate() {
        let client = policy.auth.clients.get(raw.id.as_str());
        for (nth, secret) in client.into_iter().flat_map(|client| client.secrets.iter().enumerate()) {
            places.push(format!("clients[{number}].secrets[{nth}]"));
            hashes.push(&secret.hash);
        }
    }
    let warning = |nth: usize, message, help: String| config.warning(&places[nth], message, &help);
    of_hashes(&hashes, |nth| places[nth].clone(), warning, "`wicketgate new client-secret`")
}

fn of_hashes(
    hashes: &[&PasswordHash],
    place: impl Fn(usize) -> String,
    warning: impl Fn(usize, String, String) -> Warning,
    command: &str,
) -> Vec<Warning> {
    let costs: Vec<u64> = hashes.iter().map(|hash| hash.cost()).collect();
    let uneven = Uneven::of(&costs).map(|uneven| {
        let help = format!("make all with the same cost: {command}");
        warning(uneven.cheap, uneven.message(&place(uneven.dear)), help)
    });
    let mut weak = hashes.iter().enumerate().filter_map(|(nth, hash)| Some((nth, hash.weakness()?)));
    let first = weak.next().map(|(nth, weakness)| {
        let message = match weak.count() {
            0 => format!("this hash is cheap to guess: {weakness}"),
            more => format!("{} of {} hashes are cheap to guess, this one first: {weakness}", more + 1, hashes.len()),
        };
        warning(nth, message, format!("make new ones when the passwords are known again: {command}"))
    });
    uneven.into_iter().chain(first).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_uneven_where_any_costs_less_than_the_dearest() {
        assert_eq!(Uneven::of(&[]), None);
        assert_eq!(Uneven::of(&[4, 4, 4]), None);
        assert_eq!(Uneven::of(&[4, 3, 4, 2]), Some(Uneven { cheap: 1, dear: 0, less: 2, all: 4 }));
    }
}
