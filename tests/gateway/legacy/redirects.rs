//! Redirects and cookies of backends.
