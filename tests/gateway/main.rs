//! The gateway from outside: real processes, real sockets, raw bytes. tests/README.md says where a new test goes.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]
#![allow(clippy::too_many_lines, reason = "a journey or a table of cases may be long")]

mod docs;
mod harness;

/// Credentials of a call: which a route requires, which are accepted, which are refused.
mod auth {
    mod audiences;
    mod certificate_bound_tokens;
    mod client_sources;
    mod customer_token_sources;
    pub(crate) mod dpop;
    mod issuers;
    mod jwks;
    mod jwt;
    mod malformed_credentials;
    mod observe_mode;
    mod revocation;
    mod route_credentials;
    mod signing_keys;
}

/// The way to a backend and back: load balancing, health, failures, responses.
mod backend {
    mod circuit_breaker;
    mod concurrency_limit;
    mod dns;
    mod early_responses;
    mod failure_log;
    mod failures;
    mod health_checks;
    mod http2;
    mod http2_streams;
    mod load_balancing;
    mod response_framing;
    mod response_rules;
    mod responses;
    mod retry;
    mod tls;
}

/// Commands other than `check` and `state`.
mod cli {
    mod commands;
    mod completions;
    mod demo;
    mod doctor;
    mod file_writes;
    mod plan;
    mod version;
}

/// The configuration: `check`, reload, files, Kubernetes.
mod config {
    mod check;
    mod check_preflight;
    mod file_permissions;
    mod file_types;
    mod hanging_disk;
    mod kubernetes;
    mod reload;
    mod reload_guard;
    mod reload_under_load;
    mod systemd_credentials;
}

/// Other proxies ask before they forward: nginx, Caddy, Traefik, Envoy.
mod forward_auth {
    mod allowed_proxies;
    pub(crate) mod decisions;
    mod header_spoofing;
}

/// A request and its response as messages: framing, paths, headers, bodies.
mod http {
    mod chunked_bodies;
    mod conformance;
    mod content_types;
    mod cors;
    mod field_name_variants;
    mod framing;
    mod headers;
    mod intermediary;
    mod keep_alive;
    mod openapi;
    mod openapi_validation;
    mod path_case_and_encoding;
    mod paths;
    mod rejected_bodies;
    mod smuggling_corpus;
    mod streaming;
    mod trailers;
}

/// HTTP/2 towards callers.
mod http2 {
    mod floods;
    mod goaway;
    mod h2spec;
    mod protocol_errors;
}

/// The customer identifier: what it is, who may send it, how a backend checks it.
mod identity {
    pub(crate) mod backend_assertion;
    mod identifier;
    mod subjects;
}

/// Programs of others: TLS scanner, OAuth libraries, HTTP clients, proxies on both sides.
mod interop {
    mod http_clients;
    mod oauth_clients;
    mod proxy_chain;
    mod scanners_and_libraries;
}

/// Backends as they are: one scripted server for each behaviour of docs/legacy-backends.md, and real neighbours.
mod legacy {
    mod backend_oauth;
    mod connections;
    mod deny;
    mod error_bodies;
    mod half_close;
    mod header_names;
    mod host;
    mod http_1_0;
    mod identifier_places;
    mod json_answers;
    mod matchers;
    mod neighbours;
    mod odd_responses;
    mod pem_files;
    mod redirects;
    mod request_buffer_limits;
    mod request_buffering;
    mod request_header_values;
    mod respond;
    mod retry_on;
    mod tls;
    mod weights;
}

/// Start, shutdown, upgrade to a new process, systemd.
mod lifecycle {
    mod graceful_close;
    mod parked_connections;
    mod shutdown;
    mod systemd;
    mod takeover;
    mod upgrade;
}

/// Limits of size, time and rate, and what happens above them.
mod limits {
    mod overload;
    mod rate_limit;
    mod request_limits;
    mod upload_share;
}

/// Listeners, their routes, and the proxies in front of them.
mod listener {
    pub(crate) mod listeners;
    mod trusted_proxies;
}

/// Logins of customers: the endpoint, cookies, sessions, logout, lockout.
mod login {
    mod account_changes;
    mod account_hashes;
    mod backend;
    mod backend_answers;
    mod cookies;
    mod endpoint;
    mod ldap;
    pub(crate) mod lockout;
    mod lockout_admin;
    mod lockout_spelling;
    mod logout;
    mod logout_by_operators;
    mod max_per_customer;
    mod page;
    mod provider;
    mod response_time;
    mod sessions;
    mod unicode_names;
}

/// The OAuth endpoints and how clients authenticate at them.
mod oauth {
    mod access_token_claims;
    mod authorization_code;
    mod client_lockout;
    mod client_secrets;
    mod clients_file;
    mod endpoint_cors;
    mod errors;
    mod jwt_bearer;
    pub(crate) mod private_key_jwt;
    mod protected_resource;
    mod refresh_tokens;
    mod revocation_and_introspection;
    mod token_endpoint;
    mod token_exchange;
}

/// Metrics, access log, messages of refusals, the admin listener.
mod observability {
    mod access_log;
    mod access_log_files;
    mod admin_listener;
    mod audit;
    mod blocked_log_output;
    mod explain;
    mod metrics;
    mod prometheus;
    mod readiness;
    mod refusal_messages;
    mod refusal_words;
    mod secrets;
    mod status_page;
    mod telemetry;
    mod terminal_view;
    mod twenty_refusals;
}

/// Identity providers as they are: their keys, tokens, metadata, outages.
mod providers {
    mod backchannel_logout;
    mod claims;
    mod client_role;
    mod discovery;
    mod fetching;
    mod header_parameters;
    mod key_rotation;
    mod key_sets;
    mod opaque_tokens;
    mod products;
    mod security_events;
    mod spellings;
    mod tenants;
}

/// Rotation of keys and secrets without a lost call.
mod rotation {
    mod identifier_key;
    mod keys;
    mod overlap;
    mod replicas;
    mod status;
}

/// Sessions and revocations: Redis, the embedded store, backup, moves.
mod state {
    mod backup_restore;
    pub(crate) mod clock_skew;
    mod directory_permissions;
    pub(crate) mod disk_failures;
    mod export_import;
    mod redis_auth_and_tls;
    mod redis_cluster_and_sentinel;
    mod redis_failures;
    mod redis_latency;
    mod redis_outages;
    pub(crate) mod replicas;
}

/// TLS towards callers, and their certificates.
mod tls {
    mod client_certificates;
    mod server;
}

/// WebSockets: handshake, tunnel, how long one stays open.
mod websocket {
    mod allow_list;
    mod close;
    mod share;
    pub(crate) mod tunnel;
}
