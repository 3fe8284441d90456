//! Bodies of the gateway's own refusals, compiled.

use std::sync::Arc;

use http::HeaderValue;

use crate::config::error_template::{ErrorTemplate, ErrorValues, Syntax};
use crate::config::raw::{self, StatusMatch};

/// Bodies in place of the gateway's own JSON, in their order.
#[derive(Debug)]
pub struct ErrorBodies(Vec<Entry>);

#[derive(Debug)]
struct Entry {
    /// Empty: all.
    statuses: Vec<StatusMatch>,
    content_type: HeaderValue,
    syntax: Syntax,
    template: ErrorTemplate,
}

impl ErrorBodies {
    /// Those of a route and then those of all; `None` where there are none. What is wrong in them has been reported by
    /// the checks.
    pub(super) fn read<'a>(entries: impl IntoIterator<Item = &'a raw::ErrorBody>) -> Option<Arc<Self>> {
        let entries: Vec<Entry> = entries.into_iter().filter_map(Entry::read).collect();
        (!entries.is_empty()).then(|| Arc::new(Self(entries)))
    }

    /// Content type and body of a refusal; `None` where it keeps the gateway's own.
    pub fn filled(&self, values: &ErrorValues<'_>) -> Option<(HeaderValue, String)> {
        let is_for =
            |entry: &&Entry| entry.statuses.is_empty() || entry.statuses.iter().any(|status| status.has(values.status));
        let entry = self.0.iter().find(is_for)?;
        Some((entry.content_type.clone(), entry.template.filled(entry.syntax, values)))
    }
}

impl Entry {
    fn read(raw: &raw::ErrorBody) -> Option<Self> {
        Some(Self {
            statuses: raw.status.as_ref().map(|statuses| statuses.as_slice().to_vec()).unwrap_or_default(),
            content_type: raw.content_type.parse().ok()?,
            syntax: Syntax::of(&raw.content_type)?,
            template: ErrorTemplate::parse(&raw.body).ok()?,
        })
    }
}
