//! Which build this is.

/// The version of the program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit that it was built from, or `unknown`. `-changed` behind it: with changes that are in no commit.
pub const COMMIT: &str = env!("WICKETGATE_COMMIT");

/// The day of that commit, in UTC, or `unknown`.
pub const DATE: &str = env!("WICKETGATE_DATE");

/// All of it, as `0.1.0 (1f0a9c3be2d4 2026-11-27)`.
pub const FULL: &str =
    concat!(env!("CARGO_PKG_VERSION"), " (", env!("WICKETGATE_COMMIT"), " ", env!("WICKETGATE_DATE"), ")");
