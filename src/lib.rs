//! wicketgate: an authenticating reverse proxy that checks who calls, on whose behalf, and tells backends only an
//! opaque customer identifier. This file is the map.
//!
//! # Words
//!
//! | word | meaning |
//! |---|---|
//! | customer | the end user |
//! | client | a system that calls (OAuth client, API consumer) |
//! | caller | client and customer, both proved |
//! | credential | a token, cookie or key as it is presented |
//! | backend | the company's service; its *servers* are what Envoy calls endpoints |
//! | route | a host, path and method that may be called, and its rules |
//! | policy | the whole configuration, compiled; swapped on reload |
//! | login | everything that one password has given, by its `sid` |
//! | session | the part of a login that a cookie names |
//! | state | what outlives a request: logins, revocations, counts |
//! | rule (in `state`) | a revocation: whose tokens, issued until when, are no longer valid |
//! | identifier | the opaque name by which backends know the customer |
//! | refusal | the reason why a request is rejected |
//!
//! # Where things are
//!
//! A module names only modules of lower rows, and its own children; siblings form no circle. Tests in `layers.rs` hold the
//! tables below to that. In each table reading starts at the top; the ground knows nothing else.
//!
//! | row | module | contents |
//! |--:|---|---|
//! | 9 | [`cli`] | command line: one file per command |
//! | 8 | [`app`] | start and end of the process: builds, binds, runs and drains everything |
//! | 7 | [`reload`] | configuration reload without a restart |
//! | 6 | [`server`] | sockets, TLS, workers, connection limits, admin listener, upgrade |
//! | 5 | [`gateway`] | one request in, one response out; **start reading there** |
//! | 4 | [`policy`] | the configuration, compiled: routes, listeners' tables, keys and certificates |
//! | 3 | [`auth`] | authentication: credentials in, a `Caller` or a refusal out |
//! | 2 | [`otlp`] | traces for a collector: spans wait in a bounded queue and are exported by HTTP or gRPC |
//! | 2 | [`state`], [`backend`], [`config`] | sessions, revocations, lockout and quotas (embedded or Redis); the company's servers; gateway.yaml |
//! | 1 | [`json_body`] | members of JSON bodies: read, set, filtered |
//! | 1 | [`parameters`] | one parameter of a query or form: found in every spelling, replaced |
//! | 1 | [`customer`] | the opaque customer identifier: derived, traced |
//! | 1 | [`audit`] | the audit log: events in a chain of hashes beside the state, and its verification |
//! | 1 | [`process_log`] | the log of the process on standard error |
//! | 1 | [`fetch`] | small documents by HTTPS: proxies, addresses that are tried side by side |
//! | 1 | [`directory`] | a directory that verifies passwords by LDAP |
//! | 1 | [`body_stream`] | request and response bodies on their way: size limits, timeouts, trailers |
//! | 0 | [`refusal`] | the closed set of reasons for a refusal, as in log, metrics and docs: cause, fix and example of each |
//! | 1 | [`explanation`] | explanation of one decision: each check, what it wanted and saw |
//! | 0 | [`policy_change`] | one change that another configuration makes, as it is told |
//! | 0 | [`metrics`] | Prometheus metrics: counters, gauges, histogram buckets, OpenMetrics with exemplars |
//! | 0 | [`trace_context`] | W3C `traceparent` and `tracestate` |
//! | 0 | [`fields`] | HTTP header field names: hop-by-hop, identity claims, spellings |
//! | 0 | [`secret`] | values that cannot be printed; shapes of secrets |
//! | 0 | [`key_validity`] | times from which and until which a key or secret version is valid |
//! | 0 | [`dns`] | DNS lookups |
//! | 0 | [`socket`] | TCP stream that sends a single piece by the cheaper system call |
//! | 0 | [`log_writer`], [`log_throttle`], [`log_line`] | log lines on their way to a descriptor; at most one line in a while; pieces of lines |
//! | 0 | [`open_files`] | shares of RLIMIT_NOFILE: operators, connections, temporary files |
//! | 0 | [`systemd`] | sd_notify |
//! | 0 | [`pem`] | PEM files, as other programs and people write them |
//! | 0 | [`private_file`] | files beside the state that only this user may read |
//! | 0 | [`pattern`] | regular expressions of whole values: bounded, comparable |
//! | 0 | [`normalization`] | Unicode normalization of names and passwords |
//! | 0 | [`field_template`] | values of header fields with placeholders for what is proved |
//! | 0 | [`path_template`] | paths with a placeholder for the customer |
//! | 0 | [`gzip`] | content coding gzip, decoded up to a limit |
//! | 0 | [`hex`], [`plural`], [`version`] | hex digits; `1 listener`, `2 listeners`; the build |
//!
//! ## Inside `gateway`
//!
//! | row | room | contents |
//! |--:|---|---|
//! | 12 | `explain` | explanations: the checks of a request without any effect, and what they noted |
//! | 11 | `own_endpoint` | calls that the gateway answers itself: which endpoint has which target |
//! | 11 | `shared` | state that all workers share |
//! | 10 | `direct_response` | responses of routes without a backend |
//! | 10 | `forward_auth` | another proxy asks before it forwards: nginx `auth_request`, Traefik, Caddy; Envoy `ext_authz` by gRPC |
//! | 9 | `forward` | the way to the backend and back: request headers (`X-Forwarded-*`, `Via`, tracing headers), signed backend assertion, JSON response filter |
//! | 9 | `refusal_response` | responses to refused requests |
//! | 8 | `endpoints` | own endpoints: login, logout, OAuth token, refresh, revoke, introspect, `/.well-known` (JWKS, metadata), logouts and security events that other issuers tell, client authentication, password hashing and its fair queue, lockout of attempts |
//! | 8 | `exchange` | what one exchange carries between its steps |
//! | 7 | `authorize` | authorization of a call: credentials, the DPoP header held against the request, CSRF, rate limits, named customer |
//! | 7 | `backend_choice` | the caller's backend, on a route with several |
//! | 7 | `websocket` | WebSockets: handshake; tunnel (lifetime, end, Close frame); relay (bytes, idle timeout); recheck; frames |
//! | 6 | `identifier` | the customer's identifier, read and written in a request |
//! | 6 | `rate_limit` | rate limits (GCRA), quotas, shares per caller, `RateLimit` headers |
//! | 5 | `entry` | checks of a listener: allowed addresses, https, client certificate |
//! | 5 | `request` | request head and target, read strictly: Host, path, content type, `X-Request-Id` |
//! | 4 | `cors` | preflights and CORS headers |
//! | 4 | `redirect` | redirect from http to https |
//! | 3 | `enforcement` | whose refusals are carried out on a route in `mode: observe` |
//! | 3 | `response` | response bodies, event streams, trailers, framing |
//! | 2 | `observe` | access log, counts and spans of requests |
//! | 1 | `connection` | client connection: HTTP/1.1 framing, idle and head timeouts, client address (X-Forwarded-For, trusted proxies), listener settings, drain |
//! | 1 | `error` | refusal -> status code, code and message |
//! | 0 | `body_headers` | headers of rewritten bodies |
//! | 0 | `host` | requested host, `Forwarded` |
//! | 0 | `memory` | memory limit |
//! | 0 | `token_id` | `jti` |
//! | 0 | `websocket_protocol` | names of the WebSocket protocol |
//!
//! ## Inside `auth`
//!
//! | row | room | contents |
//! |--:|---|---|
//! | 6 | `customer` | customer token or session cookie -> identifier |
//! | 6 | `client_secret` | clients that show a secret with each call |
//! | 6 | `system_token` | system tokens of trusted issuers -> client |
//! | 5 | `explained` | what the checks of credentials want and see, for explanations |
//! | 5 | `caller` | the proved caller |
//! | 5 | `provider_events` | logouts and security events that other issuers tell |
//! | 5 | `id_token` | ID tokens of the provider at which customers log in |
//! | 5 | `introspection` | verdict on a token for introspection, revocation and logout |
//! | 5 | `token_binding` | tokens bound to a certificate or a DPoP key |
//! | 4 | `context` | context of a check, pending lookups |
//! | 3 | `client` | clients (API consumers) |
//! | 2 | `client_role` | how system tokens of an issuer name their client |
//! | 3 | `trusted_issuer` | issuers besides this gateway |
//! | 2 | `opaque_token` | tokens that only their issuer can read: questions to it (RFC 7662), answers kept, shares of networks |
//! | 3 | `token_cache` | verified tokens of a worker |
//! | 2 | `client_assertion` | `private_key_jwt` |
//! | 2 | `dpop` | DPoP proofs (RFC 9449), parsed and verified |
//! | 2 | `verdict` | verdict on a token |
//! | 1 | `credentials` | credentials as presented; API keys, session cookies, password hashes |
//! | 1 | `jwt` | JWT verification (`jwt.rs`: iss, aud, exp, iat, nbf), JWS, JWKS (own and remote), claim rules, signing keys |
//! | 0 | `attribution` | owners of authentic credentials, for the log |
//! | 0 | `redirect_uris` | redirect URIs of clients |
//! | 0 | `requirements` | requirements of a route |
//! | 0 | `tls` | client certificates (mTLS): trust, CRLs, distinguished names |
//!
//! ## Inside `policy`
//!
//! | row | room | contents |
//! |--:|---|---|
//! | 6 | `forward_auth` | forward-auth |
//! | 6 | `openapi` | the OpenAPI document of what listeners serve and protect |
//! | 5 | `target` | own endpoints and routes of a listener |
//! | 4 | `callers` | clients and cookie keys |
//! | 4 | `choice` | routes of one path, told apart by header fields and query |
//! | 3 | `issuer` | own issuer: signing keys, metadata |
//! | 3 | `route` | routes |
//! | 2 | `api_description` | the company's OpenAPI documents of routes: requests held against them, `x-redact` |
//! | 2 | `backends` | backends |
//! | 2 | `direct_response` | responses of routes without a backend |
//! | 2 | `login` | `login` |
//! | 2 | `trusted_issuers` | trusted issuers |
//! | 1 | `access_token` | `access_token` |
//! | 1 | `api_keys` | API keys |
//! | 1 | `backend_tokens` | access tokens of backends |
//! | 2 | `hash_costs` | costs of password hashes |
//! | 1 | `header_secrets` | secrets of clients for headers |
//! | 1 | `identifiers` | identifier key |
//! | 1 | `introspection` | introspection of other issuers' tokens |
//! | 1 | `path_placement` | path with the customer in it |
//! | 1 | `login_provider` | the provider at which customers log in |
//! | 1 | `login_page` | title and style of the login page |
//! | 1 | `protected_resource` | metadata of protected resources (RFC 9728) |
//! | 1 | `remote_jwks` | remote JWKS |
//! | 1 | `rewrite` | path rewrite |
//! | 1 | `servers` | servers of backends |
//! | 1 | `state` | stores |
//! | 1 | `telemetry` | export of traces |
//! | 1 | `stripped_headers` | headers removed from requests |
//! | 1 | `table` | route table: host, path (exact, expression, prefix), method |
//! | 1 | `accounts` | accounts: a file, a login backend, a directory |
//! | 0 | `ca_certificates` | CA certificates |
//! | 0 | `caller_networks` | networks that may call a route |
//! | 0 | `certificate_pair` | certificate chains with their private keys |
//! | 0 | `client_certificates` | client certificates of listeners |
//! | 0 | `cors` | CORS |
//! | 0 | `endpoint_proof` | how this gateway authenticates at an endpoint of an issuer |
//! | 0 | `error_bodies` | bodies of refusals |
//! | 0 | `field_rules` | header rules |
//! | 0 | `key_lines` | key files |
//! | 0 | `key_usage` | last use of keys |
//! | 0 | `lockout` | `attempts` of gateway.yaml; the delays are computed in `state::login_lockout` |
//! | 0 | `matchers` | conditions on header fields and query |
//! | 0 | `operator_token` | the operator's token for the status page |
//! | 0 | `path` | path normalization |
//! | 0 | `query` | query parameters that choose a route |
//! | 0 | `response` | response filter |
//! | 0 | `way_out` | proxies on the way to others |
//!
//! ## Inside `server`
//!
//! | row | room | contents |
//! |--:|---|---|
//! | 1 | `admin` | admin HTTP (`/metrics` and its format, `/readyz`, status page) and admin socket |
//! | 1 | `worker` | accept loop, connections of a worker |
//! | 0 | `connection` | client I/O, HTTP/2 flood detection, deadlines and drain, GOAWAY, PROXY protocol |
//! | 0 | `handshake_scheduler` | turns of TLS handshakes |
//! | 0 | `limits` | connection limits: per listener, per address, file descriptors |
//! | 0 | `tls` | server TLS: server certificates by SNI, tickets, cipher suites |
//! | 0 | `upgrade` | binary upgrade: handover of sockets, state and connections |
//!
//! ## Inside `backend`
//!
//! | row | room | contents |
//! |--:|---|---|
//! | 3 | `pool` | a worker's connection pool: sending, retries, timeouts, response bodies; idle HTTP/1.1 connections in `idle_connections` |
//! | 3 | `watch` | DNS refresh; health checks (`health_probe` sends, `endpoints::health_check` counts) |
//! | 2 | `standing` | standing of a backend and its servers, for operators |
//! | 2 | `connection` | dialling, HTTP/1.1 and HTTP/2 connections; header names spelled and odd response heads mended on the way; errors with their `causes` and the key that helps |
//! | 1 | `token` | access token of a backend, from an OAuth server |
//! | 1 | `admission` | concurrency limit, adaptive limit, queue, circuit breaker, retry budget |
//! | 1 | `endpoints` | servers (Envoy: endpoints) and their status, outlier detection, how long they keep idle connections |
//! | 0 | `balance` | load balancing |
//! | 0 | `clock` | monotonic milliseconds |
//! | 0 | `fault` | errors of attempts |
//! | 0 | `proxy_protocol` | PROXY protocol header sent to servers; `server::connection` reads that of load balancers |
//!
//! ## Inside `state`
//!
//! | row | room | contents |
//! |--:|---|---|
//! | 6 | `operations` | logins, refresh, logout, revocation, quotas, lockout: memory first, then the store |
//! | 5 | `redis` | Redis or Valkey: dial (one TCP or TLS connection), connect (standalone, sentinels, cluster), Lua scripts, sync of revocations, export and import |
//! | 4 | `archive` | backups |
//! | 3 | `codec` | stored records as bytes |
//! | 2 | `customer_logins` | logins of each customer |
//! | 2 | `refresh_token` | refresh token families |
//! | 2 | `replay` | replay protection |
//! | 2 | `session_cache` | sessions in memory |
//! | 1 | `embedded` | redb file: writer, compaction, snapshots |
//! | 1 | `login_lockout` | lockout: counts of failed attempts, doubling delays |
//! | 1 | `session` | session records |
//! | 1 | `unwritten_revocations` | revocations that the disk did not take |
//! | 0 | `account_stamp` | accounts in force |
//! | 0 | `change` | changes of records |
//! | 0 | `quota` | API key quotas |
//! | 0 | `revocation` | revocation rules |
//! | 0 | `sharded_map` | concurrent map |
//!
//! ## Inside `config`
//!
//! | row | room | contents |
//! |--:|---|---|
//! | 7 | `api_keys` | `api_keys_file` |
//! | 7 | `clients` | `clients_file` |
//! | 6 | `list_file` | a list of gateway.yaml in a file of its own |
//! | 5 | `position` | lines of gateway.yaml by JSON pointer and name |
//! | 5 | `structure` | validation against the schema |
//! | 4 | `check` | semantic checks and warnings |
//! | 4 | `tree` | YAML tree with positions |
//! | 3 | `diagnostic` | errors with file, line and remedy |
//! | 2 | `schema` | JSON Schema |
//! | 1 | `raw` | every key, its type and default |
//! | 0 | `error_template` | placeholders in error bodies |
//! | 0 | `files` | files and environment variables |
//! | 0 | `renamed` | earlier names of keys and words |
//! | 0 | `scalar`, `percentage` | durations, sizes, rates; shares |
//!
//! # The walk of a request
//!
//! `server::worker` accepts a connection and finishes its TLS handshake under a deadline; hyper parses HTTP/1.1, and h2 HTTP/2;
//! `gateway::Gateway::handle` opens the record of the request and takes the policy once. `answer` reads the head
//! strictly, finds who answers, and for a route: `Authenticator::admit` proves the caller (API key, client token,
//! customer token, in this order), `gateway::forward::headers` removes what the caller claims and writes what is proved, and
//! `gateway::forward` sends it on a connection of this worker and streams both ways. The record closes with the last
//! byte: one log line, one set of counts.
//!
//! # One core, one world
//!
//! The data path runs as workers, each a thread with its own runtime, listener sockets, backend connections,
//! verified-token cache and counters. They share immutable policies (swapped as a whole), the session store and the
//! limiters. Everything slow (password hashes, reload, the operators' listener) runs on the control runtime.

#![cfg_attr(test, allow(clippy::too_many_lines, reason = "tests may be long tables"))]

pub mod app;
pub mod audit;
pub mod auth;
pub mod backend;
pub mod body_stream;
pub mod cli;
pub mod config;
pub mod customer;
pub mod directory;
pub mod dns;
pub mod explanation;
pub mod fetch;
pub mod field_template;
pub mod fields;
pub mod gateway;
pub mod gzip;
pub mod hex;
pub mod json_body;
pub mod key_validity;
pub mod log_line;
pub mod log_throttle;
pub mod log_writer;
pub mod metrics;
pub mod normalization;
pub mod open_files;
pub mod otlp;
pub mod parameters;
pub mod path_template;
pub mod pattern;
pub mod pem;
pub mod plural;
pub mod policy;
pub mod policy_change;
pub mod private_file;
pub mod process_log;
pub mod refusal;
pub mod reload;
pub mod secret;
pub mod server;
pub mod socket;
pub mod state;
pub mod systemd;
pub mod trace_context;
pub mod version;

#[cfg(test)]
mod layers;
