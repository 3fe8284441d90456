//! wicketgate: an authenticating reverse proxy that checks who calls, on whose behalf, and tells backends only an
//! opaque customer identifier. This file is the map.
//!
//! # Where things are
//!
//! A module names only modules of lower rows, and its own children; a test below holds it to that.
//!
//! | row | module | what it is |
//! |--:|---|---|
//! | 9 | [`cli`] | the command line, one file per command |
//! | 8 | [`app`] | build everything, bind everything, run, drain |
//! | 7 | [`reload`] | another configuration without a restart |
//! | 6 | [`server`] | sockets, TLS, workers, the operators' listener |
//! | 5 | [`gateway`] | one request in, one response out; **start reading there** |
//! | 4 | [`policy`] | all that configuration decides about a request |
//! | 3 | [`auth`] | credentials in, a `Caller` or a refusal out |
//! | 2 | [`state`], [`backend`], [`config`] | logins and revocations; the company's servers; gateway.yaml |
//! | 1 | [`json_body`], [`customer`], [`process_log`], [`fetch`], [`body_stream`] | members of JSON bodies; the opaque identifier; what the process says of itself; documents of others; bodies on their way |
//! | 0 | [`validity`], [`fields`], [`log_writer`], [`log_throttle`], [`metrics`], [`systemd`], [`private_file`], [`refusal`], [`dns`], [`secret`], [`socket`], [`normalization`], [`plural`], [`version`] | small things that know nothing else |
//!
//! # The walk of a request
//!
//! `server::worker` accepts a connection and finishes its TLS handshake under a deadline; hyper parses;
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
//!
//! # Words
//!
//! *customer*: the end user. *client*: a system that calls. *caller*: both, proved. *credential*: what is presented.
//! *backend*: the company's server. *route*: what may be called. *policy*: what configuration decides. *login*: all that
//! one password has given, by its `sid`. *session*: its part that a cookie names. *state*: what outlives a request. *rule*: a revocation. *identifier*: what backends know
//! the customer by. *refusal*: why not.

pub mod app;
pub mod auth;
pub mod backend;
pub mod body_stream;
pub mod cli;
pub mod config;
pub mod customer;
pub mod dns;
pub mod fetch;
pub mod fields;
pub mod gateway;
pub mod json_body;
pub mod log_throttle;
pub mod log_writer;
pub mod metrics;
pub mod normalization;
pub mod plural;
pub mod policy;
pub mod private_file;
pub mod process_log;
pub mod refusal;
pub mod reload;
pub mod secret;
pub mod server;
pub mod socket;
pub mod state;
pub mod systemd;
pub mod validity;
pub mod version;

#[cfg(test)]
mod layers;
