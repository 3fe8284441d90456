//! Warnings: settings that are valid and risky.

use super::super::raw::Protocol;
use super::super::scalar::{Duration, Size};
use super::super::{Config, Warning};
use super::forward_auth::is_wide;
use super::{cors, errors, provider_events, telemetry, trusted, unreachable};

/// The risky settings of `config`. Nothing here opens a file.
pub(in crate::config) fn warnings(config: &Config) -> Vec<Warning> {
    let mut warnings = Vec::new();
    admin(config, &mut warnings);
    forward_auth(config, &mut warnings);
    logins_of_one_address(config, &mut warnings);
    checks_of_one_connection(config, &mut warnings);
    connections_without_queue(config, &mut warnings);
    frequent_checks(config, &mut warnings);
    tokens_longer_than_a_head(config, &mut warnings);
    warnings.extend(trusted::warnings(config));
    warnings.extend(unreachable::routes(config));
    warnings.extend(cors::unsent_cookies(config));
    warnings.extend(unreachable::issuers(config));
    warnings.extend(unreachable::clients(config));
    warnings.extend(provider_events::warnings(config));
    warnings.extend(unreachable::api_keys(config));
    warnings.extend(unreachable::parts(config));
    warnings.extend(unreachable::hosts(config));
    warnings.extend(errors::without_request_id(config));
    warnings.extend(errors::useless_retries(config));
    warnings.extend(telemetry::warnings(config));
    warnings
}

fn admin(config: &Config, warnings: &mut Vec<Warning>) {
    let address = config.raw().admin.address;
    if !address.ip().to_canonical().is_loopback() {
        let message =
            format!("{address} is open to networks, and asks for no credential: metrics and routes are shown");
        let help = "let only Prometheus and probes reach it, or listen on 127.0.0.1";
        warnings.push(config.warning("admin.address", message, help));
        if config.raw().admin.token.is_some() {
            let message =
                format!("the operator's token goes to {address} by plain http: whoever hears it can act with it");
            let help = "listen on 127.0.0.1 and come through a tunnel such as ssh -L, or remove `admin.token`";
            warnings.push(config.warning("admin.token", message, help));
        }
    }
}

fn forward_auth(config: &Config, warnings: &mut Vec<Warning>) {
    let raw = config.raw();
    let Some(forward_auth) = &raw.forward_auth else { return };
    for (index, network) in forward_auth.allow.iter().enumerate().filter(|(_, network)| is_wide(network)) {
        let message = format!("{network} is wide: whoever may ask learns identifiers and uses up limits of others");
        let help = "name only the networks of your own proxies";
        warnings.push(config.warning(&format!("forward_auth.allow[{index}]"), message, help));
    }
    for (index, number) in forward_auth.unanswered(&raw.listen) {
        let message = format!("who asks from there gets 403 on listen[{number}], where it is one of `trusted_proxies`");
        let help = "add a listener for the questions alone, with forward_auth: true";
        warnings.push(config.warning(&format!("forward_auth.allow[{index}]"), message, help));
    }
}

/// Plain http is on loopback only: who calls there is a proxy, and guesses of all its callers would count for one address.
fn logins_of_one_address(config: &Config, warnings: &mut Vec<Warning>) {
    let raw = config.raw();
    if raw.login.is_none() && raw.access_token.is_none() {
        return;
    }
    for (index, listen) in raw.listen.iter().enumerate() {
        let is_asked = listen.tls.is_none() && listen.redirect.is_none() && !listen.forward_auth;
        if is_asked && listen.trusted_proxies.is_empty() && listen.proxy_protocol.is_empty() {
            let message =
                "all that come through a proxy here count as one address: wrong passwords of one lock out all"
                    .to_owned();
            let help = "let the proxy set X-Forwarded-For, and name it in `trusted_proxies`, such as [ 127.0.0.1/32 ]";
            warnings.push(config.warning(&format!("listen[{index}]"), message, help));
        }
    }
}

/// A token in a header field is part of the head. In a body, `limits.body` bounds it.
fn tokens_longer_than_a_head(config: &Config, warnings: &mut Vec<Warning>) {
    for (index, listen) in config.raw().listen.iter().enumerate() {
        let limits = &listen.limits;
        // Below the default nobody counts on longer ones.
        if limits.token > limits.head.max(Size::kib(16)) {
            let message = "a token this long in a header is 431: it is longer than `head`".to_owned();
            let help = "raise `limits.head` above it, with room for the other fields";
            warnings.push(config.warning(&format!("listen[{index}].limits.token"), message, help));
        }
    }
}

/// A server that serves one connection at a time does not come to the one of a health check while another is idle.
fn checks_of_one_connection(config: &Config, warnings: &mut Vec<Warning>) {
    for (name, backend) in &config.raw().backends {
        let is_single = backend.max_connections == Some(1) && backend.protocol == Protocol::Http1;
        if is_single && backend.health_check.is_some() && backend.keep_alive.requests() > 1 {
            let message = "health checks have a connection of their own: a server that serves one at a time does not \
                           answer them while another is idle";
            let help = "add `keep_alive: false`, or remove `health_check`";
            warnings.push(config.warning(&format!("backends.{name}.health_check"), message.to_owned(), help));
        }
    }
}

/// A request for which no connection is free does not wait, unless there is a queue.
fn connections_without_queue(config: &Config, warnings: &mut Vec<Warning>) {
    for (name, backend) in &config.raw().backends {
        let Some(connections) = backend.max_connections.filter(|_| backend.protocol == Protocol::Http1) else {
            continue;
        };
        if backend.queue.is_none() {
            let message = format!("callers above {connections} at once get 503: there is no `queue` to wait in");
            let help = "add `queue: { length: 100, timeout: 5s }`, or remove `max_connections`";
            warnings.push(config.warning(&format!("backends.{name}.max_connections"), message, help));
        }
    }
}

/// Checks that are a load of their own.
fn frequent_checks(config: &Config, warnings: &mut Vec<Warning>) {
    for (name, backend) in &config.raw().backends {
        let interval = backend.health_check.as_ref().map(|health| health.interval);
        if let Some(interval) = interval.filter(|interval| *interval < Duration::millis(100)) {
            let message = format!("each server is asked every {interval}: the checks are a load of their own");
            let help = "write 1s or more; requests that fail tell sooner (`outlier_detection`)";
            warnings.push(config.warning(&format!("backends.{name}.health_check.interval"), message, help));
        }
    }
}
