//! The login page: a real browser without and with JavaScript, light and dark, CSRF, rate limits.
