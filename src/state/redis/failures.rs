//! Failed attempts, for operators: who is locked out, and the end of that.

use std::collections::HashMap;

use super::Redis;
use super::connection::Connection;
use super::fields::{Fields, failures_in};
use super::listing::PAGE;
use crate::hex::{hex, unhex};
use crate::state::Unavailable;
use crate::state::login_lockout::{AttemptKey, Failures};
use redis::{Pipeline, cmd};

impl Redis {
    /// What has failed and is `wanted`, not more than `most`, of all nodes.
    pub(in crate::state) async fn attempts(
        &self,
        most: usize,
        wanted: impl Fn(&Failures) -> bool,
    ) -> Result<Vec<(AttemptKey, Failures)>, Unavailable> {
        // A key may come more than once, also of two nodes.
        let mut found = HashMap::new();
        let take = |some: Vec<(AttemptKey, Fields)>| {
            let some = some.into_iter().map(|(key, fields)| (key, failures_in(&fields)));
            found.extend(some.filter(|(_, failures)| wanted(failures)));
            Ok(found.len() < most)
        };
        self.walk(&self.inner.attempt_prefix(), "", take).await?;
        let mut found: Vec<_> = found.into_iter().collect();
        found.truncate(most);
        Ok(found)
    }

    /// Forgets all failures of a name, and those of a network where one is named; how many keys there were. All replicas
    /// hear of it.
    pub(in crate::state) async fn clear_attempts(
        &self,
        who: &AttemptKey,
        network: Option<&AttemptKey>,
    ) -> Result<usize, Unavailable> {
        let mut members = cmd("SMEMBERS");
        members.arg(self.inner.name_key(who));
        let names: Vec<String> = self.one(members).await?;
        let keys: Vec<AttemptKey> = names.iter().filter_map(|name| unhex(name)).chain(network.copied()).collect();
        let mut count = 0;
        for some in keys.chunks(self.at_once(PAGE).min(PAGE)) {
            let mut pipeline = Pipeline::new();
            for key in some {
                pipeline.cmd("DEL").arg(self.inner.attempt_key(key));
            }
            let gone: Vec<usize> = self
                .run(move |_, mut connection: Connection| async move { pipeline.query_async(&mut connection).await })
                .await?;
            count += gone.iter().sum::<usize>();
        }
        let mut delete = cmd("DEL");
        delete.arg(self.inner.name_key(who));
        self.one::<usize>(delete).await?;
        let mut publish = cmd("PUBLISH");
        publish.arg(self.inner.channel()).arg(format!("attempts {}", hex(who)));
        self.one::<i64>(publish).await?;
        Ok(count)
    }
}
