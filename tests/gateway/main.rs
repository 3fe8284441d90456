//! The gateway from outside: real processes, real sockets, raw bytes.
//!
//! Names of tests begin with what they prove: `contract_N` is requirement N of the contract with ASAPP's calls,
//! a letter with a number is a row of the security checklist.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

mod audiences;
mod backend_http2;
mod backend_tls;
mod balance;
mod bound_tokens;
mod chaos;
mod client_certificates;
mod client_keys;
mod client_secrets;
mod clients;
mod config_cli;
mod conformance;
mod contract_keys;
mod contract_login;
mod contract_routes;
mod contract_token;
mod cookies;
mod cors;
mod demo;
mod disk;
mod dpop;
mod faults;
mod floods;
mod forward_auth;
mod forward_auth_fields;
mod forward_auth_proxies;
mod framing;
mod h2spec;
mod harness;
mod headers;
mod health;
mod identity;
mod issuers;
mod limits;
mod listeners;
mod metrics;
mod names;
mod neighbours;
mod oauth;
mod observe;
mod paths;
mod pressure;
mod privacy;
mod proof;
mod proxies;
mod reload;
mod replicas;
mod response_rules;
mod responses;
mod retry;
mod rfc;
mod rotation;
mod service;
mod sessions;
mod shutdown;
mod streaming;
mod tls;
mod tokens;
mod upgrade;
mod vectors;
mod websocket;
