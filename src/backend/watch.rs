//! Background tasks on the control runtime: DNS look-ups and health checks of servers.

mod health_probe;
mod resolve;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::runtime::Handle;

use super::endpoints::servers::Servers;

impl Servers {
    /// Starts DNS look-ups and health checks, for as long as the servers are held.
    pub fn start(self: &Arc<Self>, control: &Handle) {
        if self.is_started.swap(true, Ordering::Relaxed) {
            return;
        }
        self.look_up(control);
        if let Some(health) = &self.rules.health_check {
            control.spawn(health_probe::keep_checking(Arc::downgrade(self), health.clone()));
        }
    }

    /// Starts DNS look-ups.
    pub fn look_up(self: &Arc<Self>, control: &Handle) {
        for name in self.names() {
            control.spawn(resolve::keep_looking(Arc::downgrade(self), name, self.rules.resolve));
        }
    }

    /// Connects to each server once, with TLS where configured, and makes one health check where configured. Returns
    /// each name with the reason why it cannot be used within `patience`.
    pub async fn try_each(&self, patience: Duration) -> Vec<(String, Result<(), String>)> {
        let mut tries = tokio::task::JoinSet::new();
        for server in &self.present().servers {
            let (server, health) = (Arc::clone(server), self.rules.health_check.clone());
            tries.spawn(async move {
                let asked = health_probe::try_server(&server, health.as_ref());
                let outcome = tokio::time::timeout(patience, asked).await;
                let outcome = outcome.unwrap_or_else(|_| Err("no answer in time".to_owned()));
                (server.standing.name.clone(), outcome)
            });
        }
        let mut outcomes = tries.join_all().await;
        let lacking = self.names().into_iter().filter(|name| self.lacks_addresses(name));
        outcomes.extend(lacking.map(|(name, _)| (name, Err("DNS lookup failed".to_owned()))));
        outcomes.sort();
        outcomes
    }
}
