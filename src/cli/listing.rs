//! Lists of the gateway that runs, printed: one row a line, or JSON.

use serde_json::Value;

use super::{complain, say};
use crate::server::admin::admin_socket::logins::MAX_SHOWN;

/// A list with its heading.
pub(super) struct Listing<'a> {
    /// A JSON array.
    pub(super) rows: &'a Value,
    /// The line above the rows.
    pub(super) heading: &'a str,
    /// The line of a row.
    pub(super) line: fn(&Value) -> String,
    /// The complaint about a list that was cut off at [`MAX_SHOWN`] rows; `None` for lists that never are.
    pub(super) cut_off: Option<String>,
}

impl Listing<'_> {
    /// Prints it, as JSON where that is asked for.
    ///
    /// # Errors
    /// Standard output cannot be written.
    pub(super) fn print(&self, as_json: bool) -> anyhow::Result<()> {
        if as_json {
            return say(&serde_json::to_string_pretty(self.rows)?);
        }
        let rows = self.rows.as_array().map_or(&[][..], Vec::as_slice);
        if let Some(complaint) = self.cut_off.as_ref().filter(|_| rows.len() >= MAX_SHOWN) {
            complain(&anyhow::anyhow!("{complaint}"));
        }
        say(self.heading)?;
        for row in rows {
            say(&(self.line)(row))?;
        }
        Ok(())
    }
}
