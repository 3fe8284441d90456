//! Scanning the keys of one node, step by step.

use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue, RedisResult, cmd};

/// Keys that the store looks at in one step.
const STEP: usize = 5_000;

/// One step from `cursor`: keys that begin with `prefix`, and the next cursor, which is 0 after the last step. A key may
/// come more than once.
pub(super) async fn scan<K: FromRedisValue>(
    node: &mut MultiplexedConnection,
    prefix: &str,
    cursor: u64,
) -> RedisResult<(u64, Vec<K>)> {
    let mut scan = cmd("SCAN");
    scan.arg(cursor).arg("MATCH").arg(format!("{}*", escaped(prefix))).arg("COUNT").arg(STEP);
    scan.query_async(node).await
}

/// Escapes a prefix for a pattern.
fn escaped(prefix: &str) -> String {
    prefix
        .chars()
        .flat_map(|c| ['*', '?', '[', ']', '\\'].contains(&c).then_some('\\').into_iter().chain([c]))
        .collect()
}
