//! Decoy for names that do not exist, so that the time of a refusal does not tell which names do.

use super::work::{Kind, Work};
use super::{PasswordHash, dummy};

/// What a refusal takes, whoever is named.
#[derive(Debug, Clone)]
pub struct Decoy {
    /// A hash that fits nobody and costs what the dearest in use costs.
    pub hash: PasswordHash,
    /// Work of the refusals that may take longest: each verifies all hashes of one client or account. Which of them takes
    /// longest is up to the machine.
    pub refusals: Vec<Work>,
    /// A hash that fits nobody of each kind in use, by which the speed of the machine is measured.
    pub samples: Vec<PasswordHash>,
}

impl Decoy {
    /// A decoy with the cost of the dearest of these hashes.
    pub fn of<'h, Hashes: IntoIterator<Item = &'h PasswordHash>>(all: impl IntoIterator<Item = Hashes>) -> Self {
        let (mut refusals, mut dearest): (Vec<Work>, [Option<&PasswordHash>; Kind::COUNT]) = Default::default();
        for hashes in all {
            let mut work = Work::default();
            for hash in hashes {
                work.add(hash.kind(), hash.units());
                let known = &mut dearest[hash.kind() as usize];
                if known.is_none_or(|known| known.units() < hash.units()) {
                    *known = Some(hash);
                }
            }
            keep(&mut refusals, work);
        }
        let dearest = dearest.iter().flatten();
        let hash = dearest.clone().max_by_key(|hash| hash.cost()).map_or_else(dummy, |hash| hash.decoy());
        // A client without a secret costs the decoy.
        let mut work = Work::default();
        work.add(hash.kind(), hash.units());
        keep(&mut refusals, work);
        Self { hash, refusals, samples: dearest.map(|hash| hash.decoy()).collect() }
    }
}

/// Keeps what no other covers.
fn keep(refusals: &mut Vec<Work>, work: Work) {
    if !refusals.iter().any(|known| known.covers(&work)) {
        refusals.retain(|known| !work.covers(known));
        refusals.push(work);
    }
}
