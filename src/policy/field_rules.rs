//! Header fields that are set and removed, compiled.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::config::raw;
use crate::fields::FieldSet;

/// Changes of header fields, in their order.
#[derive(Debug, Default)]
pub struct FieldRules {
    changes: Vec<Change>,
    /// Their names.
    about: Arc<FieldSet>,
}

#[derive(Debug)]
enum Change {
    Remove(HeaderName),
    Set(HeaderName, HeaderValue),
}

impl FieldRules {
    /// Those of a backend and then those of a route; `None` where there are none. What is no field has been reported by
    /// the checks.
    pub(super) fn read(sections: [Option<&raw::FieldRules>; 2]) -> Option<Box<Self>> {
        let mut changes = Vec::new();
        for rules in sections.into_iter().flatten() {
            let removed = rules.remove.iter().filter_map(|name| name.parse().ok());
            changes.extend(removed.map(Change::Remove));
            let set = rules.set.iter().filter_map(|(name, value)| Some((name.parse().ok()?, value.parse().ok()?)));
            changes.extend(set.map(|(name, value)| Change::Set(name, value)));
        }
        let mut about = FieldSet::default();
        changes.iter().for_each(|change| about.insert(change.name().as_str()));
        (!changes.is_empty()).then(|| Box::new(Self { changes, about: Arc::new(about) }))
    }

    /// The fields that they are about.
    pub(super) fn names(&self) -> impl Iterator<Item = &HeaderName> {
        self.changes.iter().map(Change::name)
    }

    /// Carries them out.
    pub fn apply(&self, headers: &mut HeaderMap) {
        for change in &self.changes {
            match change {
                Change::Remove(name) => drop(headers.remove(name)),
                Change::Set(name, value) => drop(headers.insert(name, value.clone())),
            }
        }
    }

    /// The fields that they set and remove, in all spellings.
    pub fn about(&self) -> &Arc<FieldSet> {
        &self.about
    }
}

impl Change {
    fn name(&self) -> &HeaderName {
        match self {
            Self::Remove(name) | Self::Set(name, _) => name,
        }
    }
}
