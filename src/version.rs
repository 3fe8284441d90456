//! Version of this build.

/// Version of the program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Commit of the build, or `unknown`; ends with `-changed` if there were uncommitted changes.
pub const COMMIT: &str = env!("WICKETGATE_COMMIT");

/// Date of that commit in UTC, or `unknown`.
pub const DATE: &str = env!("WICKETGATE_DATE");

/// Version, commit and date: `0.1.0 (1f0a9c3be2d4 2026-11-27)`.
pub const FULL: &str =
    concat!(env!("CARGO_PKG_VERSION"), " (", env!("WICKETGATE_COMMIT"), " ", env!("WICKETGATE_DATE"), ")");
