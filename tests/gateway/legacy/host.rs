//! `host`: which Host a backend gets.
