//! Readiness of this replica, for load balancers. An unavailable partner is reported, but only makes it unready where
//! the operator wants that.

use crate::gateway::Shared;

/// Readiness of this replica while it takes requests.
#[derive(Debug)]
pub(in crate::server) struct Readiness {
    /// Degraded parts, by the names of `readiness.require`: `state`, `issuer:URL`.
    pub(in crate::server) degraded: Vec<String>,
    /// First degraded part that is required.
    pub(in crate::server) lacking: Option<String>,
}

impl Readiness {
    /// Readiness at `now`, in seconds since 1970.
    pub(in crate::server) fn of(shared: &Shared, now: u64) -> Self {
        let policy = shared.policy();
        let mut degraded = Vec::new();
        if shared.state.is_stale() || !shared.state.is_up() {
            degraded.push("state".to_owned());
        }
        let without_keys = policy.published().filter(|keys| !keys.has_keys(now));
        degraded.extend(without_keys.map(|keys| format!("issuer:{}", keys.issuer())));
        let failing = policy.introspectors().filter(|introspector| introspector.is_failing(now));
        let failing = failing.map(|introspector| format!("issuer:{}", introspector.issuer()));
        degraded.extend(failing.filter(|part| !degraded.contains(part)).collect::<Vec<_>>());
        // All replicas lose a shared store at once: an honest 503 is more than no answer from any of them. One that has
        // never heard it knows no revocation.
        let is_required = |part: &&String| {
            policy.required_parts.contains(part) || (*part == "state" && !shared.state.has_been_heard())
        };
        let lacking = degraded.iter().find(is_required).cloned();
        Self { degraded, lacking }
    }

    /// Body of /readyz.
    pub(in crate::server) fn text(&self) -> String {
        let mut text = match &self.lacking {
            None => "ok\n".to_owned(),
            Some(part) => format!("not ready: {part}\n"),
        };
        for part in &self.degraded {
            text.push_str(&format!("degraded: {part}\n"));
        }
        text
    }
}
