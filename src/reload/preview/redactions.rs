//! What descriptions of routes remove from responses, as far as less is removed than before.

use std::collections::HashMap;

use crate::policy::Policy;
use crate::policy::route::Route;
use crate::policy_change::{ChangeSubject, PolicyChange};

/// Routes whose description still stands and removes less.
pub(super) fn changes(old: &Policy, new: &Policy) -> Vec<PolicyChange> {
    let routes: HashMap<&str, &Route> = new.routes.iter().map(|route| (&*route.name, route)).collect();
    let told = |before: &Route| {
        let after = routes.get(&*before.name)?;
        let (had, has) = (places(before), places(after));
        let what = format!("route {}: its `openapi` removes less from responses (`x-redact`)", before.name);
        let change = PolicyChange::new(ChangeSubject::Routes, true, what);
        (has < had).then(|| change.from_to(Some(format!("{had} members")), Some(format!("{has} members"))))
    };
    old.routes.iter().filter_map(told).collect()
}

fn places(route: &Route) -> usize {
    route.description.as_ref().map_or(0, |description| description.api.redacted_places())
}
