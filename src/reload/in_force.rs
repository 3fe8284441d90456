//! The configuration in force, as far as a reload replaces it and can put it back.

use std::path::PathBuf;
use std::sync::Arc;

use aws_lc_rs::digest::{Context, SHA256};

use super::preview::KeptMeaning;
use crate::config::raw::{Listen, ReloadGuard};
use crate::gateway::Shared;
use crate::gateway::connection::listener_settings::{CurrentSettings, ListenerSettings};
use crate::policy::Policy;
use crate::process_log;
use crate::server::limits::conn_limits;
use crate::server::tls::{TlsInForce, TlsStore};

/// Parts of a listener that a reload replaces.
pub struct Reloadable {
    /// Its certificates, and whose it takes.
    pub tls: Option<TlsStore>,
    /// Settings for its requests.
    pub settings: Arc<CurrentSettings>,
    /// Limits of its connections.
    pub bounds: Arc<conn_limits::CurrentLimits>,
}

/// What is known of the configuration in force beside its policy.
#[derive(Clone)]
pub(super) struct InForce {
    /// Its meaning, to be compared with others.
    pub(super) meaning: KeptMeaning,
    pub(super) listen: Arc<[Listen]>,
    /// Of the log.
    pub(super) level: tracing::Level,
    pub(super) guard: Option<ReloadGuard>,
    /// Of all its files.
    pub(super) digest: FilesDigest,
}

/// The digest of all files of a configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FilesDigest([u8; 32]);

impl FilesDigest {
    /// Reads all files; those that are gone count as empty. May wait for a disk.
    pub(super) fn of(files: &[PathBuf]) -> Self {
        let mut files: Vec<&PathBuf> = files.iter().collect();
        files.sort_unstable();
        files.dedup();
        let mut context = Context::new(&SHA256);
        for file in files {
            let content = if file.is_file() { std::fs::read(file).unwrap_or_default() } else { Vec::new() };
            let path = file.as_os_str().as_encoded_bytes();
            for part in [path, &content] {
                context.update(&(part.len() as u64).to_be_bytes());
                context.update(part);
            }
        }
        let mut digest = [0; 32];
        digest.copy_from_slice(context.finish().as_ref());
        Self(digest)
    }
}

/// A configuration that was in force, whole: it can be put back.
pub(super) struct Earlier {
    pub(super) policy: Arc<Policy>,
    tls: Vec<Option<TlsInForce>>,
    pub(super) in_force: InForce,
}

impl Earlier {
    /// What is in force now.
    pub(super) fn now(shared: &Shared, listeners: &[Reloadable], in_force: InForce) -> Self {
        let tls = listeners.iter().map(|listener| listener.tls.as_ref().map(TlsStore::in_force)).collect();
        Self { policy: shared.policy(), tls, in_force }
    }

    /// Puts it back. Returns what is known of it, and the policy that it replaces.
    pub(super) fn put_back(self, shared: &Shared, listeners: &[Reloadable]) -> (InForce, Arc<Policy>) {
        put_listeners(listeners, &self.in_force.listen);
        for (listener, tls) in listeners.iter().zip(self.tls) {
            if let (Some(store), Some(tls)) = (&listener.tls, tls) {
                store.put_back(tls);
            }
        }
        process_log::set_level(self.in_force.level);
        (self.in_force, shared.replace_policy(self.policy))
    }
}

/// Puts the settings of all listeners in force, but for their TLS.
pub(super) fn put_listeners(listeners: &[Reloadable], listen: &[Listen]) {
    for (number, (listener, raw)) in listeners.iter().zip(listen).enumerate() {
        listener.settings.replace(ListenerSettings::new(number, raw));
        listener.bounds.replace(&raw.limits);
    }
}
