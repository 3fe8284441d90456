//! The status of this process for operators: one report, gathered once a second at most for all who look, as JSON, as a
//! page and as events that keep the page current.
//!
//! Nothing here runs on a worker. Everything that stands on the page is rendered here, escaped by type ([`html`]); the
//! script only puts newer sections in place of older ones and opens explanations.

mod board;
mod chart;
mod events;
mod explained;
mod gather;
mod history;
mod html;
mod page;
mod problems;
mod refused;
pub mod report;
pub mod shown;
mod tables;
mod upstreams;
mod words;

pub use board::StatusBoard;
pub(in crate::server::admin) use events::StatusEvents;
pub(in crate::server::admin) use explained::{explained_json, explained_page, unknown_page};
pub(in crate::server::admin) use page::page;

/// The style sheet of the page.
pub(in crate::server::admin) const STYLE: &str = include_str!("status/page.css");

/// The script of the page.
pub(in crate::server::admin) const SCRIPT: &str = include_str!("status/page.js");

/// The icon of the page.
pub(in crate::server::admin) const ICON: &str = include_str!("status/icon.svg");
