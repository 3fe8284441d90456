//! What came of a number of requests.

use std::time::{Duration, Instant};

/// Counts and times.
pub(crate) struct Report {
    begun: Instant,
    micros: Vec<u64>,
    not_2xx: u64,
    errors: u64,
}

impl Report {
    /// From now on.
    pub(crate) fn begin() -> Self {
        Self { begun: Instant::now(), micros: Vec::new(), not_2xx: 0, errors: 0 }
    }

    /// A request that was answered after `time`, or failed.
    pub(crate) fn note(&mut self, status: anyhow::Result<u16>, time: Duration) {
        match status {
            Ok(200..=299) => self.micros.push(u64::try_from(time.as_micros()).unwrap_or(u64::MAX)),
            Ok(status) => {
                self.not_2xx += 1;
                if self.not_2xx == 1 {
                    eprintln!("answered {status}");
                }
            }
            Err(error) => {
                self.errors += 1;
                if self.errors == 1 {
                    eprintln!("{error:#}");
                }
            }
        }
    }

    /// One line of JSON.
    pub(crate) fn print(mut self) {
        let seconds = self.begun.elapsed().as_secs_f64();
        self.micros.sort_unstable();
        let at = |part: f64| {
            let last = self.micros.len().saturating_sub(1);
            self.micros.get((last as f64 * part).round() as usize).copied().unwrap_or(0)
        };
        let answered = self.micros.len() as u64 + self.not_2xx;
        println!(
            r#"{{"requests":{answered},"not_2xx":{},"errors":{},"seconds":{seconds:.3},"p50_us":{},"p99_us":{},"p999_us":{},"max_us":{}}}"#,
            self.not_2xx,
            self.errors,
            at(0.5),
            at(0.99),
            at(0.999),
            at(1.0)
        );
    }
}

/// Runs on this thread.
pub(crate) fn block_on<F: Future<Output = anyhow::Result<()>>>(work: F) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default())?;
    runtime.block_on(work)
}
