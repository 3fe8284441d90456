//! Header fields that are set and removed, compiled.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::auth::Caller;
use crate::config::raw;
use crate::field_template::{FieldPart, FieldTemplate};
use crate::fields::FieldSet;
use crate::log_throttle::LogThrottle;

/// Changes of header fields, in their order.
#[derive(Debug, Default)]
pub struct FieldRules {
    changes: Vec<Change>,
    /// Their names.
    about: Arc<FieldSet>,
    log: LogThrottle,
}

#[derive(Debug)]
enum Change {
    Remove(HeaderName),
    Set(HeaderName, HeaderValue),
    /// With what is proved of the call.
    Fill(HeaderName, FieldTemplate),
}

/// What the values of fields can be filled with.
#[derive(Clone, Copy)]
pub struct Proved<'a> {
    /// The caller.
    pub caller: &'a Caller,
    /// The id of the request.
    pub request_id: &'a HeaderValue,
}

impl FieldRules {
    /// Those of a backend and then those of a route about requests; `None` where there are none. What is no field has
    /// been reported by the checks.
    pub(super) fn of_requests(sections: [Option<&raw::FieldRules>; 2]) -> Option<Box<Self>> {
        Self::read(sections, |name, value| {
            let template = FieldTemplate::parse(value).ok()?;
            match template.plain() {
                Some(plain) => Some(Change::Set(name, plain.parse().ok()?)),
                None => Some(Change::Fill(name, template)),
            }
        })
    }

    /// The same about responses, whose values are taken literally.
    pub(super) fn of_responses(sections: [Option<&raw::FieldRules>; 2]) -> Option<Box<Self>> {
        Self::read(sections, |name, value| Some(Change::Set(name, value.parse().ok()?)))
    }

    fn read(
        sections: [Option<&raw::FieldRules>; 2],
        set: impl Fn(HeaderName, &str) -> Option<Change>,
    ) -> Option<Box<Self>> {
        let mut changes = Vec::new();
        for rules in sections.into_iter().flatten() {
            let removed = rules.remove.iter().filter_map(|name| name.parse().ok());
            changes.extend(removed.map(Change::Remove));
            changes.extend(rules.set.iter().filter_map(|(name, value)| set(name.parse().ok()?, value)));
        }
        let mut about = FieldSet::default();
        changes.iter().for_each(|change| about.insert(change.name().as_str()));
        (!changes.is_empty()).then(|| Box::new(Self { changes, about: Arc::new(about), log: LogThrottle::default() }))
    }

    /// The fields that they are about.
    pub(super) fn names(&self) -> impl Iterator<Item = &HeaderName> {
        self.changes.iter().map(Change::name)
    }

    /// Carries them out. A field whose value is not proved is removed.
    pub fn apply(&self, headers: &mut HeaderMap, proved: Option<Proved<'_>>) {
        for change in &self.changes {
            match change {
                Change::Remove(name) => drop(headers.remove(name)),
                Change::Set(name, value) => drop(headers.insert(name, value.clone())),
                Change::Fill(name, template) => match proved.and_then(|proved| self.filled(name, template, proved)) {
                    Some(value) => drop(headers.insert(name, value)),
                    None => drop(headers.remove(name)),
                },
            }
        }
    }

    /// The value with what is proved in it; `None` where some of it is not, or no field can carry it.
    fn filled(&self, name: &HeaderName, template: &FieldTemplate, proved: Proved<'_>) -> Option<HeaderValue> {
        let Proved { caller, request_id } = proved;
        let mut text = String::new();
        for part in template.parts() {
            text.push_str(match part {
                FieldPart::Text(text) => text,
                FieldPart::ClientId => caller.client.as_deref()?,
                FieldPart::ApiKeyId => caller.api_key.as_deref()?,
                FieldPart::Claim(claim) => caller.claims.as_ref()?.value(claim)?,
                FieldPart::RequestId => request_id.to_str().ok()?,
            });
        }
        // Claims were seen to; the ids of clients and keys are the operator's own words.
        let is_plain = text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
        let value = HeaderValue::from_str(&text).ok().filter(|_| is_plain);
        if value.is_none()
            && let Some(left_out) = self.log.allow()
        {
            tracing::warn!(field = %name, left_out, "not setting a field: its value has other than visible ASCII characters");
        }
        value
    }

    /// The fields that they set and remove, in all spellings.
    pub fn about(&self) -> &Arc<FieldSet> {
        &self.about
    }
}

impl Change {
    fn name(&self) -> &HeaderName {
        match self {
            Self::Remove(name) | Self::Set(name, _) | Self::Fill(name, _) => name,
        }
    }
}
