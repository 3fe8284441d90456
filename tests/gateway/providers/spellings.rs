//! Schemes and spaces before credentials.
