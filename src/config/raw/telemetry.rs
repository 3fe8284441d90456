//! What others observe: `telemetry` and `metrics`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{FilePath, SecretRef};
use crate::config::percentage::Percentage;
use crate::config::scalar::Duration;

/// Traces of requests, for a collector.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TelemetrySettings {
    /// Export of traces by OTLP. Default: off.
    pub otlp: Option<Otlp>,
}

/// Export of traces by OTLP.
#[derive(Debug, Clone, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Otlp {
    /// Base address of the collector. By HTTP, `/v1/traces` is added.
    pub endpoint: String,
    /// Transport. Default: http.
    #[serde(default)]
    pub protocol: OtlpProtocol,
    /// Share of the requests that are recorded. A trusted proxy's decision counts instead of it.
    #[serde(default)]
    pub sample: Percentage,
    /// Longest time that a span waits to be sent.
    #[serde(default = "default_interval")]
    pub interval: Duration,
    /// CA certificates of the collector, in PEM. Default: those of the system.
    pub ca: Option<FilePath>,
    /// Header fields of each export, such as a key of the collector.
    #[serde(default)]
    pub headers: BTreeMap<String, SecretRef>,
}

fn default_interval() -> Duration {
    Duration::seconds(5)
}

/// Transport of OTLP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OtlpProtocol {
    /// Binary protobuf by HTTP/1.1; usually port 4318.
    #[default]
    Http,
    /// gRPC by HTTP/2; usually port 4317.
    Grpc,
}

/// Metrics.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MetricsSettings {
    /// Upper bounds of the buckets of durations, in seconds, ascending, at most 40. Default: 0.0005 to 120.
    pub buckets: Option<Vec<f64>>,
}
