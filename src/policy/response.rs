//! Response filter of a route, compiled.

use crate::config::raw;
use crate::config::scalar::Size;
use crate::json_body::filter::{self, Filter, MemberPath, Redaction};

/// Requirements on a backend's responses.
#[derive(Debug)]
pub struct ResponseRules {
    /// Filter of the members of its JSON.
    pub filter: Filter,
    /// True if JSON is read whatever its `Content-Type` says.
    pub any_content_type: bool,
    /// The most bytes that are read.
    pub limit: usize,
}

impl ResponseRules {
    /// No rules but what the description of the API removes.
    pub(super) fn of_description() -> Self {
        Self { filter: Filter::default(), any_content_type: false, limit: Size::mib(1).bytes() }
    }

    /// As configured.
    ///
    /// # Errors
    /// The key below `response` that is wrong, and what is wrong with it.
    pub(super) fn read(raw: &raw::ResponseRules) -> Result<Self, (String, String)> {
        let paths = |key: &str, texts: &[String]| {
            let parse = |(index, text): (usize, &String)| {
                MemberPath::parse(text).map_err(|fault| (format!("{key}[{index}]"), fault))
            };
            texts.iter().enumerate().map(parse).collect::<Result<Vec<_>, _>>()
        };
        let read = |(index, redaction): (usize, &raw::Redaction)| -> Result<Redaction, (String, String)> {
            let at = |key: &str| format!("redact[{index}].{key}");
            let path = redaction.path.as_deref().map(MemberPath::parse).transpose();
            let pattern = redaction.pattern.as_deref().map(filter::pattern).transpose();
            Ok(Redaction {
                path: path.map_err(|fault| (at("path"), fault))?,
                pattern: pattern.map_err(|fault| (at("pattern"), fault))?,
                with: redaction.with.clone(),
            })
        };
        let filter = Filter {
            allow: raw.allow.as_deref().map(|texts| paths("allow", texts)).transpose()?,
            remove: paths("remove", &raw.remove)?,
            redact: raw.redact.iter().enumerate().map(read).collect::<Result<_, _>>()?,
        };
        Ok(Self { filter, any_content_type: raw.any_content_type, limit: raw.body.bytes() })
    }
}
