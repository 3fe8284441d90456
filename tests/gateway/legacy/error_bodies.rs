//! `errors`.
