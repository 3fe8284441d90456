//! What no packaged load generator does: arrivals that do not wait for answers, another token with each request,
//! handshakes alone, connections that are only held, and a gateway that already has a million sessions or revocations.
//!
//! Each command prints one line of JSON.

mod caller;
mod handshakes;
mod hold;
mod report;
mod requests;
mod serve;
mod tokens;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[derive(Parser)]
#[command(about = "Makes load for the benchmarks, and prints what came of it")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Requests at a constant rate, whether or not answers come; each counts from when it was due
    Open {
        #[command(flatten)]
        to: To,
        /// Requests per second
        #[arg(long)]
        rate: u64,
        #[arg(long)]
        seconds: u64,
        #[arg(long, default_value_t = 64)]
        connections: usize,
    },
    /// So many requests, each connection's next when the last was answered
    Closed {
        #[command(flatten)]
        to: To,
        #[arg(long)]
        requests: usize,
        #[arg(long, default_value_t = 64)]
        connections: usize,
        /// A file with one token per line; each goes with one request
        #[arg(long)]
        tokens: Option<PathBuf>,
        /// What stands before the token
        #[arg(long, default_value = "customer-auth: JWT ")]
        token_header: String,
    },
    /// New TLS connections, with one request each
    Handshakes {
        #[command(flatten)]
        to: To,
        #[arg(long)]
        count: usize,
        #[arg(long, default_value_t = 16)]
        concurrency: usize,
        /// Resume TLS sessions
        #[arg(long)]
        resume: bool,
    },
    /// Opens connections, sends one request on each where there are headers, and holds them until stdin ends
    Hold {
        #[command(flatten)]
        to: To,
        #[arg(long)]
        connections: usize,
    },
    /// Customers' tokens of another issuer
    Tokens {
        #[arg(long)]
        algorithm: jsonwebtoken::Algorithm,
        /// A private key in PEM
        #[arg(long)]
        key: PathBuf,
        #[arg(long)]
        key_id: String,
        #[arg(long)]
        issuer: String,
        #[arg(long)]
        audience: String,
        #[arg(long)]
        count: usize,
        #[arg(long)]
        out: PathBuf,
        #[arg(long, default_value = "customer")]
        subject_prefix: String,
    },
    /// Runs the gateway with sessions that nobody had to log in for, and with revocations
    Serve {
        #[arg(long)]
        config: PathBuf,
        #[arg(long)]
        sessions: usize,
        /// How many customers are revoked, none of them one who has a session
        #[arg(long, default_value_t = 0)]
        revocations: usize,
        /// Where the cookies of up to 10,000 of them go, one per line
        #[arg(long)]
        cookies: PathBuf,
    },
}

/// Where to, and with what.
#[derive(Args)]
struct To {
    /// http://ADDRESS/PATH or https://ADDRESS/PATH
    #[arg(long)]
    url: String,
    /// The CA that signed the certificate, in PEM
    #[arg(long)]
    ca: Option<PathBuf>,
    #[arg(long, default_value = "GET")]
    method: String,
    /// A file with one `name: value` per line
    #[arg(long)]
    headers: Option<PathBuf>,
    /// A file with the body
    #[arg(long)]
    body: Option<PathBuf>,
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Open { to, rate, seconds, connections } => requests::open(&to, rate, seconds, connections),
        Command::Closed { to, requests, connections, tokens, token_header } => {
            requests::closed(&to, requests, connections, tokens.as_deref(), &token_header)
        }
        Command::Handshakes { to, count, concurrency, resume } => handshakes::run(&to, count, concurrency, resume),
        Command::Hold { to, connections } => hold::run(&to, connections),
        Command::Tokens { algorithm, key, key_id, issuer, audience, count, out, subject_prefix } => {
            let token = tokens::Issuer { algorithm, key_id, issuer, audience, subject_prefix };
            token.write(&key, count, &out)
        }
        Command::Serve { config, sessions, revocations, cookies } => {
            serve::run(&config, sessions, revocations, &cookies)
        }
    }
}
