//! `routes[].deny`.
