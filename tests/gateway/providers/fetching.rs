//! Fetching: proxies, addresses that swallow packets, gzip, 429.
