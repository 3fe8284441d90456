//! Keys that a set no longer lists. A provider with several nodes publishes different sets in turn, and tokens outlive
//! the key that signed them: what was good once stays good for a while, unless the new set says otherwise.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::jwk;
use super::public_key::PublicKey;
use crate::auth::jwt::algorithm::Algorithm;

/// Limit of lapsed keys.
const MOST: usize = 32;

/// What a new set says of the keys that it follows.
pub(in crate::auth::jwt) struct NewKeySet {
    /// The public keys that it has, whatever it has them for.
    numbers: HashSet<PublicKey>,
    /// The `kid`s that it gives to keys of use.
    reused: HashSet<String>,
    /// The `kid`s of the keys that it marks as withdrawn.
    withdrawn_ids: HashSet<String>,
    /// Those keys.
    withdrawn: HashSet<PublicKey>,
    now: u64,
    allowed: Vec<Algorithm>,
}

impl NewKeySet {
    /// The set of these keys. `now` is in seconds since 1970.
    pub(in crate::auth::jwt) fn of(keys: &[Value], allowed: &[Algorithm], now: u64) -> Self {
        let mut new = Self {
            numbers: HashSet::new(),
            reused: HashSet::new(),
            withdrawn_ids: HashSet::new(),
            withdrawn: HashSet::new(),
            now,
            allowed: allowed.to_vec(),
        };
        for key in keys {
            let id = key["kid"].as_str().filter(|id| !id.is_empty()).map(str::to_owned);
            let numbers = jwk::public_key(key);
            match jwk::parse(key, allowed, now) {
                Ok(_) => new.reused.extend(id),
                Err(unusable) if unusable.is_withdrawn => {
                    new.withdrawn_ids.extend(id);
                    new.withdrawn.extend(numbers.clone());
                }
                Err(_) => {}
            }
            new.numbers.extend(numbers);
        }
        new
    }

    /// Those of `before` that stay good beside the new set, until `exp`: the keys of the last good set until `ends` (in
    /// seconds since 1970), and those that had lapsed by then until their own end.
    pub(in crate::auth::jwt) fn lapsed(&self, before: &[Value], lapsed: &[Value], ends: u64) -> Vec<Value> {
        let until = |key: &Value| {
            let mut key = key.clone();
            let end = jwk::Jwk::of(&key).and_then(|key| key.end()).unwrap_or(u64::MAX).min(ends);
            if let Some(members) = key.as_object_mut() {
                members.insert("exp".to_owned(), json!(end));
            }
            key
        };
        let all = before.iter().map(until).chain(lapsed.iter().cloned());
        all.filter(|key| self.leaves(key) && !self.replaces(key)).take(MOST).collect()
    }

    /// Returns whether the new set marks one of `keys` as withdrawn.
    pub(in crate::auth::jwt) fn withdraws(&self, keys: &[Value]) -> bool {
        keys.iter().any(|key| self.marks(key))
    }

    /// Those of `keys` that the new set does not mark as withdrawn.
    pub(in crate::auth::jwt) fn left(&self, keys: &[Value]) -> Vec<Value> {
        keys.iter().filter(|key| self.leaves(key)).cloned().collect()
    }

    /// Returns whether a key is of use, and not marked as withdrawn.
    fn leaves(&self, key: &Value) -> bool {
        jwk::parse(key, &self.allowed, self.now).is_ok() && !self.marks(key)
    }

    fn marks(&self, key: &Value) -> bool {
        key["kid"].as_str().is_some_and(|id| self.withdrawn_ids.contains(id))
            || jwk::public_key(key).is_some_and(|public| self.withdrawn.contains(&public))
    }

    /// Returns whether the new set has this key itself, or another one under its name.
    fn replaces(&self, key: &Value) -> bool {
        key["kid"].as_str().is_some_and(|id| self.reused.contains(id))
            || jwk::public_key(key).is_some_and(|public| self.numbers.contains(&public))
    }
}
