//! The log of rules in the store, sorted by number.
//!
//! | key | type | what |
//! |---|---|---|
//! | `{rules}` | sorted set | the texts of rules by number |
//! | `{rules}:count` | string | the last number |
//! | `{rules}:of` | hash | subject to its text |
//! | `{rules}:ends` | sorted set | the texts by end, in seconds since 1970 |

use super::connection::RedisConnection;
use super::revocation_rules::{CHUNK, MARGIN, MOST_REMOVED, Numbered, PutRule, RuleStatus};
use super::store::Inner;
use crate::state::revocation::Rule;
use redis::{Pipeline, RedisResult, Script, ScriptInvocation, cmd};

impl Inner {
    /// Puts rules, with their numbers if they have one; returns the numbers given.
    pub(super) async fn put_rules(
        &self,
        connection: &mut RedisConnection,
        rules: &[Numbered],
        how: PutRule,
    ) -> RedisResult<Vec<u64>> {
        let mut numbers = Vec::with_capacity(rules.len());
        for some in rules.chunks(CHUNK) {
            let mut invocation = self.on_rules(&self.scripts.put_rules);
            invocation.arg(if how == PutRule::Announced { self.channel() } else { String::new() });
            // Also after the store was emptied no number comes twice.
            invocation.arg(self.revocations.seen()).arg(u8::from(how == PutRule::Standing));
            for (text, number) in some {
                invocation.arg(number).arg(text);
            }
            let given: Vec<u64> = invocation.invoke_async(connection).await?;
            numbers.extend(given);
        }
        Ok(numbers)
    }

    /// Raises the store's last number to the highest known here, so that every later rule gets a higher one.
    pub(super) async fn keep_number(&self, connection: &mut RedisConnection) -> RedisResult<()> {
        let mut invocation = self.on_rules(&self.scripts.put_rules);
        invocation.arg("").arg(self.revocations.seen());
        invocation.invoke_async::<Vec<u64>>(connection).await.map(drop)
    }

    /// Puts rules, and notes their numbers here.
    pub(super) async fn send_rules(
        &self,
        connection: &mut RedisConnection,
        rules: &[Rule],
        announces: bool,
    ) -> RedisResult<()> {
        for some in rules.chunks(CHUNK) {
            let texts: Vec<_> = some.iter().map(|rule| (rule.to_string(), rule.number.unwrap_or_default())).collect();
            let how = if announces { PutRule::Announced } else { PutRule::Quiet };
            let numbers = self.put_rules(connection, &texts, how).await?;
            for (rule, number) in some.iter().zip(numbers) {
                self.revocations.apply(Rule { number: Some(number), ..rule.clone() });
            }
        }
        Ok(())
    }

    /// Removes rules that expired long ago; returns the status of the log.
    pub(super) async fn look(&self, connection: &mut RedisConnection) -> RedisResult<RuleStatus> {
        let mut invocation = self.on_rules(&self.scripts.look);
        invocation.arg(MARGIN).arg(MOST_REMOVED);
        let (number, rules, ends, overdue, time): (u64, u64, u64, u64, u64) =
            invocation.invoke_async(connection).await?;
        Ok(RuleStatus { number, live: rules.saturating_sub(overdue), has_all_ends: rules == ends, time })
    }

    /// Rules with numbers above `after` up to `last`, sorted.
    pub(super) async fn page(
        &self,
        connection: &mut RedisConnection,
        after: u64,
        last: u64,
        most: usize,
    ) -> RedisResult<Vec<Numbered>> {
        let mut range = cmd("ZRANGEBYSCORE");
        range.arg(self.rules_key()).arg(format!("({after}")).arg(last).arg("WITHSCORES");
        range.arg("LIMIT").arg(0).arg(most);
        let found: Vec<(String, f64)> = range.query_async(connection).await?;
        // Whole numbers below 2^53.
        Ok(found.into_iter().map(|(text, number)| (text, number as u64)).collect())
    }

    /// Number of rules within each of these ranges: above the first number, up to the second.
    pub(super) async fn counts(
        &self,
        connection: &mut RedisConnection,
        ranges: &[(u64, u64)],
    ) -> RedisResult<Vec<u64>> {
        let mut pipeline = Pipeline::new();
        for (after, last) in ranges {
            pipeline.cmd("ZCOUNT").arg(self.rules_key()).arg(format!("({after}")).arg(last);
        }
        pipeline.query_async(connection).await
    }

    /// Those of these rules without a noted expiry: an earlier version put them.
    pub(super) async fn without_end(
        &self,
        connection: &mut RedisConnection,
        rules: Vec<Numbered>,
    ) -> RedisResult<Vec<Numbered>> {
        let mut scores = cmd("ZMSCORE");
        scores.arg(self.ends_key()).arg(rules.iter().map(|(text, _)| text).collect::<Vec<_>>());
        let known: Vec<Option<f64>> = scores.query_async(connection).await?;
        let missing = rules.into_iter().zip(known).filter(|(_, end)| end.is_none());
        Ok(missing.map(|(rule, _)| rule).collect())
    }

    /// The braces keep all in one slot of a cluster.
    fn rules_key(&self) -> String {
        format!("{}{{rules}}", self.settings.prefix)
    }

    fn ends_key(&self) -> String {
        format!("{}:ends", self.rules_key())
    }

    fn on_rules<'a>(&self, script: &'a Script) -> ScriptInvocation<'a> {
        let rules = self.rules_key();
        let mut invocation = script.key(&rules);
        invocation.key(format!("{rules}:count")).key(format!("{rules}:of")).key(self.ends_key());
        invocation
    }
}
