//! `respond` and `redirect` routes, `listen[].hosts`.
