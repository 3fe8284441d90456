//! Connections that are opened and held.

use std::io::Read as _;

use anyhow::ensure;

use super::To;
use super::caller::{Caller, Target};
use super::report::block_on;

pub(crate) fn run(to: &To, connections: usize) -> anyhow::Result<()> {
    let target = Target::new(to)?;
    let request = target.request("");
    block_on(async {
        let mut callers = Vec::with_capacity(connections);
        for _ in 0..connections {
            let mut caller = Caller::connect(&target).await?;
            if to.headers.is_some() {
                let status = caller.call(&request).await?;
                ensure!((200..300).contains(&status), "answered {status}");
            }
            callers.push(caller);
        }
        println!(r#"{{"held":{}}}"#, callers.len());
        tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
        Ok(())
    })
}
