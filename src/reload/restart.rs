//! What only another process takes over.

use crate::config::raw::{Listen, Raw};

/// The keys that differ and cannot be changed while running.
pub fn needs_restart(old: &Raw, new: &Raw) -> Vec<&'static str> {
    let listen = || {
        old.listen.len() != new.listen.len() || old.listen.iter().zip(&new.listen).any(|(old, new)| differ(old, new))
    };
    let all = [
        ("workers", old.workers != new.workers),
        ("admin.address", old.admin.address != new.admin.address),
        ("admin.socket", old.admin.socket != new.admin.socket),
        ("state", old.state.without_credentials() != new.state.without_credentials()),
        ("log.access.to", old.log.access.to() != new.log.access.to()),
        ("log.access.file", old.log.access.file() != new.log.access.file()),
        ("log.format", old.log.format != new.log.format),
        ("listen", listen()),
        ("shutdown.grace", old.shutdown.grace.get() != new.shutdown.grace.get()),
        ("shutdown.delay", old.shutdown.delay.get() != new.shutdown.delay.get()),
        ("telemetry", old.telemetry != new.telemetry),
        ("metrics", old.metrics != new.metrics),
    ];
    all.into_iter().filter_map(|(key, differs)| differs.then_some(key)).collect()
}

/// The sentence about keys that have changed.
pub(super) fn changed(keys: &[&str]) -> String {
    let names: Vec<String> = keys.iter().map(|key| format!("`{key}`")).collect();
    format!("{} {} changed", names.join(", "), if keys.len() == 1 { "has" } else { "have" })
}

/// Returns whether two listeners differ in settings of their sockets.
fn differ(old: &Listen, new: &Listen) -> bool {
    let fixed = |listen: &Listen| {
        let tls = listen.tls.as_ref().map(|tls| (tls.min_version, tls.client_ca.is_some(), tls.client_certificate));
        (listen.address, tls)
    };
    fixed(old) != fixed(new)
}
