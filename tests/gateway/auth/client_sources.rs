//! Where a client's credentials may stand on a route: `client_from`, `header_secrets`, the scheme of an API key.
