//! Warning about hashes that differ in cost. A refusal takes as long as the dearest, but the wait of others for their
//! turn meanwhile still tells which hash it was, and with that whether a name exists.

use super::Policy;
use super::accounts::Accounts;
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

/// A warning for the accounts and one for the secrets of clients, where their hashes differ in cost.
pub fn warnings(config: &Config, policy: &Policy) -> Vec<Warning> {
    of_accounts(config, policy).into_iter().chain(of_clients(config, policy)).collect()
}

fn of_accounts(config: &Config, policy: &Policy) -> Option<Warning> {
    let Accounts::File(accounts) = &policy.login.as_ref()?.accounts else { return None };
    let uneven = Uneven::of(&accounts.costs)?;
    let file = config.resolve(config.raw().login.as_ref()?.accounts.file.as_deref()?);
    Some(Warning {
        place: format!("{}, entry {}", file.display(), uneven.cheap + 1),
        message: uneven.message(&format!("entry {}", uneven.dear + 1)),
        help: "make all with the same cost: `wicketgate hash-password`".to_owned(),
    })
}

fn of_clients(config: &Config, policy: &Policy) -> Option<Warning> {
    let (mut places, mut costs) = (Vec::new(), Vec::new());
    for (number, raw) in config.raw().clients.iter().enumerate() {
        let client = policy.auth.clients.get(raw.id.as_str());
        for (nth, secret) in client.into_iter().flat_map(|client| client.secrets.iter().enumerate()) {
            places.push(format!("clients[{number}].secrets[{nth}]"));
            costs.push(secret.hash.cost());
        }
    }
    let uneven = Uneven::of(&costs)?;
    let message = uneven.message(&places[uneven.dear]);
    Some(config.warning(&places[uneven.cheap], message, "make all with the same cost: `wicketgate new client-secret`"))
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
