//! Failed attempts, for operators: who is locked out, and the end of that.

use std::collections::HashMap;

use redis::{Pipeline, cmd};

use super::connect::Connection;
use super::inner::{Inner, field};
use super::listing::{Fields, PAGE};
use super::{Redis, failures_from};
use crate::state::Unavailable;
use crate::state::attempts::{AttemptKey, Failures};
use crate::state::session::{hex, unhex};

/// What stands under a key of failures.
pub(super) fn failures_in(fields: &Fields) -> Failures {
    let number = |name| field(fields, name).and_then(|text| text.parse().ok());
    failures_from((number("n"), number("f"), number("l"), number("s")), field(fields, "w"))
}

impl Redis {
    /// What has failed and is `wanted`, not more than `most`, of all nodes.
    pub(in crate::state) async fn attempts(
        &self,
        most: usize,
        wanted: impl Fn(&Failures) -> bool,
    ) -> Result<Vec<(AttemptKey, Failures)>, Unavailable> {
        let before = self.inner.attempt_prefix();
        // A key may come more than once, also of two nodes.
        let mut found = HashMap::new();
        'nodes: for mut node in self.nodes().await? {
            let mut cursor = 0;
            loop {
                let (next, names) = self.inner.names(&mut node, &before, "", cursor).await?;
                let keys: Vec<AttemptKey> = names.iter().filter_map(|name| unhex(name)).collect();
                for some in keys.chunks(PAGE) {
                    let hashes = some.iter().map(|key| self.inner.attempt_key(key));
                    for (key, fields) in some.iter().zip(Inner::hashes(&mut node, hashes).await?) {
                        let failures = failures_in(&fields);
                        if wanted(&failures) {
                            found.insert(*key, failures);
                        }
                    }
                }
                if found.len() >= most {
                    break 'nodes;
                }
                cursor = next;
                if cursor == 0 {
                    break;
                }
            }
        }
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
