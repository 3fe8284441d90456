//! `retry: {on: ...}`.
