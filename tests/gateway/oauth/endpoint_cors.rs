//! CORS on login, token and logout.
