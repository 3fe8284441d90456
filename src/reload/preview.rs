//! What another configuration would do to callers: two configurations, compared by their meaning.

mod callers;
mod causes;
mod checks;
mod cuts;
mod identifiers;
mod key_change;
mod key_versions;
mod meaning;
mod redactions;
mod replay;
mod routes;
mod rules;
mod written;

use std::sync::Arc;

use crate::gateway::observe::request_shapes::RequestShapes;
use crate::policy::Policy;
use crate::policy_change::{ChangeSubject, PolicyChange};
pub use causes::{RefusalJudge, ReloadCauses};
pub use meaning::{KeptMeaning, Meaning, Section};

/// A configuration, as it is compared.
#[derive(Clone)]
pub struct Compared {
    /// As it is written, in one spelling.
    pub meaning: Arc<Meaning>,
    /// As it is compiled.
    pub policy: Arc<Policy>,
}

/// All that is different, the dangerous changes first. `now` is in seconds since 1970.
pub fn differences(old: &Compared, new: &Compared, now: u64) -> Vec<PolicyChange> {
    let mut changes = identifiers::changes(old, new, now);
    changes.extend(routes::changes(&old.meaning, &new.meaning));
    changes.extend(redactions::changes(&old.policy, &new.policy));
    changes.extend(cuts::changes(old, new));
    changes.extend(callers::changes(old, new));
    changes.extend(identifiers::vanished_accounts(&old.policy, &new.policy));
    changes.extend(key_versions::changes(old, new, now));
    for section in [Section::TrustedIssuers, Section::Listen, Section::Backends, Section::Settings] {
        changes.extend(written::section_changes(section, &old.meaning, &new.meaning));
    }
    in_order(changes)
}

/// Calls of the last hour that were answered and that another configuration would refuse.
pub fn replay(shapes: &RequestShapes, old: &Compared, new: &Compared) -> Vec<PolicyChange> {
    replay::replay(shapes, &old.policy, &new.policy, &routes::renamed(&old.meaning, &new.meaning))
}

/// The keys that only another process takes over, as a change that is no danger.
pub fn restart_change(keys: &[&str]) -> Option<PolicyChange> {
    let names: Vec<String> = keys.iter().map(|key| format!("`{key}`")).collect();
    let what = format!("{}: a reload does not take this over, it needs an upgrade or a restart", names.join(", "));
    (!keys.is_empty()).then(|| PolicyChange::new(ChangeSubject::Restart, false, what))
}

/// The dangerous ones first; within each of both halves by what they are about. None twice.
pub fn in_order(mut changes: Vec<PolicyChange>) -> Vec<PolicyChange> {
    changes.sort_by(|one, other| {
        let key = |change: &PolicyChange| (!change.danger, change.about);
        key(one).cmp(&key(other)).then_with(|| one.what.cmp(&other.what))
    });
    changes.dedup();
    changes
}
