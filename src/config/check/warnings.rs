//! Warnings: settings that are valid and risky.

use super::super::{Config, Warning};
use super::forward_auth::is_wide;

/// The risky settings of `config`. Nothing here opens a file.
pub(in crate::config) fn warnings(config: &Config) -> Vec<Warning> {
    let mut warnings = Vec::new();
    admin(config, &mut warnings);
    forward_auth(config, &mut warnings);
    warnings
}

fn admin(config: &Config, warnings: &mut Vec<Warning>) {
    let address = config.raw().admin.address;
    if !address.ip().to_canonical().is_loopback() {
        let message =
            format!("{address} is open to networks, and asks for no credential: metrics and routes are shown");
        let help = "let only Prometheus and probes reach it, or listen on 127.0.0.1";
        warnings.push(config.warning("admin.address", message, help));
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
