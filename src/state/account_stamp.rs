//! The account that a login is of, and the accounts in force: no login outlives its account.

use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;

/// Bytes of a stamp: 96 of the 256 bits of a digest.
const LENGTH: usize = 12;

/// Fingerprint of an account and its present password. It reveals neither: the hash of a password has 128 random bits
/// of salt in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AccountStamp([u8; LENGTH]);

impl AccountStamp {
    /// The stamp of an account: its user name, the subject it stands for, and the hash of its password.
    pub fn of(username: &str, subject: &str, password_hash: &str) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        for part in [username, subject, password_hash] {
            context.update(&part.len().to_be_bytes());
            context.update(part.as_bytes());
        }
        let mut stamp = [0; LENGTH];
        stamp.copy_from_slice(&context.finish().as_ref()[..LENGTH]);
        Self(stamp)
    }

    /// The stamp in a text that [`fmt::Display`] made.
    pub fn parse(text: &str) -> Option<Self> {
        BASE64.decode(text).ok()?.try_into().ok().map(Self)
    }
}

impl fmt::Display for AccountStamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&BASE64.encode(self.0))
    }
}

/// The accounts in force, by their stamps. By default there are none: no file of accounts is in force.
#[derive(Debug, Default)]
pub struct AccountStamps {
    known: HashSet<AccountStamp>,
    /// Different for every set; 0 if there are no accounts.
    pub(super) generation: u64,
}

impl AccountStamps {
    /// Exactly these accounts.
    pub fn new(stamps: impl IntoIterator<Item = AccountStamp>) -> Self {
        static GENERATIONS: AtomicU64 = AtomicU64::new(1);
        Self { known: stamps.into_iter().collect(), generation: GENERATIONS.fetch_add(1, Ordering::Relaxed) }
    }

    /// Returns whether a login of this account is valid. One that names no account is: it was begun by an earlier
    /// version, or by the company's own login.
    pub fn admit(&self, account: Option<AccountStamp>) -> bool {
        account.is_none_or(|account| self.known.contains(&account))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_changes_with_name_subject_and_password_and_survives_its_text() {
        let stamp = AccountStamp::of("alice", "1", "hash");
        let others = [("alic", "e1", "hash"), ("alice", "2", "hash"), ("alice", "1", "hush"), ("alice1", "", "hash")];
        for (name, subject, hash) in others {
            assert_ne!(AccountStamp::of(name, subject, hash), stamp, "{name}");
        }
        assert_eq!(AccountStamp::of("alice", "1", "hash"), stamp);
        assert_eq!(stamp.to_string().len(), 16);
        assert_eq!(AccountStamp::parse(&stamp.to_string()), Some(stamp));
        for wrong in ["", "AAAA", "AAAAAAAAAAAAAAA*", "AAAAAAAAAAAAAAAAAAAA"] {
            assert_eq!(AccountStamp::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn only_accounts_in_force_are_admitted_and_logins_without_one() {
        let [alice, bob] = ["alice", "bob"].map(|name| AccountStamp::of(name, "1", "hash"));
        let known = AccountStamps::new([alice]);
        assert!(known.admit(Some(alice)) && known.admit(None) && !known.admit(Some(bob)));
        assert!(!AccountStamps::default().admit(Some(bob)) && AccountStamps::default().admit(None));
        assert_ne!(AccountStamps::new([alice]).generation, known.generation);
    }
}
