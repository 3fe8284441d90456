//! New TLS connections, with one request each.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

use anyhow::ensure;
use tokio::task::JoinSet;

use super::To;
use super::caller::{Caller, Target};
use super::report::block_on;

pub(crate) fn run(to: &To, count: usize, concurrency: usize, resume: bool) -> anyhow::Result<()> {
    let target = Target::new(to)?;
    let request: Rc<[u8]> = target.request("Connection: close\r\n").into();
    block_on(async {
        let left = Rc::new(Cell::new(count));
        let begun = Instant::now();
        let mut working = JoinSet::new();
        for _ in 0..concurrency {
            // Sessions are each task's own, so that none is used twice at once.
            let target = if resume { target.resuming(to)? } else { target.clone() };
            let (left, request) = (Rc::clone(&left), Rc::clone(&request));
            working.spawn_local(async move {
                let (mut done, mut resumed) = (0_u64, 0_u64);
                while left.get() > 0 {
                    left.set(left.get() - 1);
                    resumed += u64::from(once(&target, &request).await?);
                    done += 1;
                }
                anyhow::Ok((done, resumed))
            });
        }
        let (mut handshakes, mut resumed, mut errors) = (0, 0, 0);
        while let Some(outcome) = working.join_next().await {
            match outcome? {
                Ok((done, again)) => (handshakes, resumed) = (handshakes + done, resumed + again),
                Err(error) => {
                    eprintln!("{error:#}");
                    errors += 1;
                }
            }
        }
        let seconds = begun.elapsed().as_secs_f64();
        println!(r#"{{"handshakes":{handshakes},"resumed":{resumed},"errors":{errors},"seconds":{seconds:.3}}}"#);
        Ok(())
    })
}

async fn once(target: &Target, request: &[u8]) -> anyhow::Result<bool> {
    let mut caller = Caller::connect(target).await?;
    let status = caller.call(request).await?;
    ensure!((200..300).contains(&status), "answered {status}");
    caller.finish().await
}
