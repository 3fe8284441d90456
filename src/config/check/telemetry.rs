//! Checks of `telemetry` and `metrics`.

use super::super::raw::{Otlp, OtlpProtocol};
use super::super::scalar::Duration;
use super::super::{Config, Warning};
use super::{Check, grammar};

/// Most buckets of a histogram: each is a series of each route and each backend.
const MOST_BUCKETS: usize = 40;

impl Check<'_> {
    /// The export of traces, and the buckets of histograms.
    pub(super) fn telemetry(&mut self) {
        if let Some(otlp) = &self.raw.telemetry.otlp {
            self.otlp(otlp);
        }
        if let Some(buckets) = &self.raw.metrics.buckets {
            self.buckets(buckets);
        }
    }

    fn otlp(&mut self, otlp: &Otlp) {
        let at = "telemetry.otlp";
        match grammar::UrlParts::parse(&otlp.endpoint) {
            Err((message, _)) => {
                self.add(&format!("{at}.endpoint"), message, "write it like https://collector.example.com:4318");
            }
            Ok(parts) => {
                let path = parts.rest.trim_end_matches('/');
                let help = "write scheme, host and port, such as https://collector.example.com:4318";
                let fault = if path.contains(['?', '#']) {
                    Some("a query and a fragment have no meaning here")
                } else if path.ends_with("/v1/traces") {
                    Some("`/v1/traces` is added: this is the base address")
                } else if otlp.protocol == OtlpProtocol::Grpc && !path.is_empty() {
                    Some("a collector that speaks gRPC has no path")
                } else {
                    None
                };
                if let Some(message) = fault {
                    self.add(&format!("{at}.endpoint"), message, help);
                }
            }
        }
        if !(Duration::millis(100)..=Duration::seconds(300)).contains(&otlp.interval) {
            let message = format!("{} is no interval for spans that wait in memory", otlp.interval);
            self.add(&format!("{at}.interval"), message, "write 100ms to 5m; the default is 5s");
        }
        for name in otlp.headers.keys() {
            if let Some((message, help)) = grammar::header_fault(name, &["authorization", "api-key"]) {
                self.add(&format!("{at}.headers.{name}"), message, help);
            }
        }
    }

    fn buckets(&mut self, buckets: &[f64]) {
        let at = "metrics.buckets";
        self.no_empty_list(at, "write bounds in seconds, or remove the key");
        if buckets.len() > MOST_BUCKETS {
            let message = format!("{} buckets are too many: each is a series of each route", buckets.len());
            self.add(at, message, format!("write at most {MOST_BUCKETS}"));
        }
        for (index, bound) in buckets.iter().enumerate() {
            if *bound <= 0.0 {
                self.add(&format!("{at}[{index}]"), "a bound is above zero", "write seconds, such as 0.005");
            } else if index > 0 && buckets[index - 1] >= *bound {
                self.add(&format!("{at}[{index}]"), "the bounds do not ascend", "sort them, and write each once");
            }
        }
    }
}

/// Spans and the collector's key that go over a network for all to read.
pub(super) fn warnings(config: &Config) -> Option<Warning> {
    let otlp = config.raw().telemetry.otlp.as_ref()?;
    let parts = grammar::UrlParts::parse(&otlp.endpoint).ok()?;
    let is_near = parts.is_loopback() || parts.is_private();
    (parts.scheme == "http" && (!is_near || !otlp.headers.is_empty() && !parts.is_loopback())).then(|| {
        let message =
            "spans, and the fields of `headers`, go by plain http over a network: anybody on the way reads them";
        config.warning("telemetry.otlp.endpoint", message.to_owned(), "write https://")
    })
}
