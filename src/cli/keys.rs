//! `wicketgate keys`: versions of all keys and secrets, their last use, and those that can be removed.

use http::Method;
use serde_json::Value;

use super::ConfigFile;
use super::admin_client::{ExpectedAnswer, ask, when};
use super::listing::Listing;

pub(super) const EXAMPLE: &str = "Example:\n  wicketgate keys --config gateway.yaml\n\nAsks the running gateway. \
    `last used` is what this process knows; with several replicas, ask each.";

/// Shows them.
pub(super) fn keys(file: &ConfigFile) -> anyhow::Result<()> {
    let versions =
        ask(&file.config, Method::GET, "/keys", None, ExpectedAnswer { at: "", what: "what keys there are" })?;
    let heading = "kind            id                version                                      standing  from                  until                 last used             remove?";
    Listing { rows: &versions, heading, line, cut_off: None }.print(false)
}

fn line(version: &Value) -> String {
    let text = |key: &str| version[key].as_str().unwrap_or_default().to_owned();
    format!(
        "{:<15} {:<17} {:<44} {:<9} {:<21} {:<21} {:<21} {}",
        text("kind"),
        text("id"),
        text("version"),
        text("standing"),
        when(&version["from"]),
        when(&version["until"]),
        when(&version["last_used"]),
        text("remove"),
    )
}
