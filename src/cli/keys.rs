//! `wicketgate keys`: all versions of all keys and secrets, when each was last used, and which can go.

use http::Method;

use super::admin_client::{Expected, ask, when};
use super::{ConfigFile, say};

pub(super) const EXAMPLE: &str = "Example:\n  wicketgate keys --config gateway.yaml\n\nAsks the running gateway. \
    `last used` is what this process knows; with several replicas, ask each.";

/// Shows them.
pub(super) fn keys(file: &ConfigFile) -> anyhow::Result<()> {
    let versions = ask(&file.config, Method::GET, "/keys", None, Expected { at: "", what: "what keys there are" })?;
    say(
        "kind            id                version                                      standing  from                  until                 last used             remove?",
    )?;
    for version in versions.as_array().into_iter().flatten() {
        let text = |key: &str| version[key].as_str().unwrap_or_default().to_owned();
        say(&format!(
            "{:<15} {:<17} {:<44} {:<9} {:<21} {:<21} {:<21} {}",
            text("kind"),
            text("id"),
            text("version"),
            text("standing"),
            when(&version["from"]),
            when(&version["until"]),
            when(&version["last_used"]),
            text("remove"),
        ))?;
    }
    Ok(())
}
