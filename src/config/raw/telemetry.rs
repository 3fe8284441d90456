//! What others observe: `telemetry` and `metrics`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

use super::{FilePath, SecretRef};
use crate::config::scalar::Duration;

/// Traces of requests, for a collector.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TelemetrySettings {
    /// Export of traces by OTLP. Default: off.
    pub otlp: Option<Otlp>,
}

/// Export of traces by OTLP.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Otlp {
    /// Base address of the collector. By HTTP, `/v1/traces` is added.
    pub endpoint: String,
    /// Transport. Default: http.
    #[serde(default)]
    pub protocol: OtlpProtocol,
    /// Share of the requests that are recorded. A trusted proxy's decision counts instead of it.
    #[serde(default)]
    pub sample: SampleShare,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OtlpProtocol {
    /// Binary protobuf by HTTP/1.1; usually port 4318.
    #[default]
    Http,
    /// gRPC by HTTP/2; usually port 4317.
    Grpc,
}

/// Metrics.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MetricsSettings {
    /// Upper bounds of the buckets of durations, in seconds, ascending, at most 40. Default: 0.0005 to 120.
    pub buckets: Option<Vec<f64>>,
}

/// Share of requests, written as `100%` or `0.5%`, in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleShare(u32);

impl SampleShare {
    /// `format` of this type in the schema and the structural check.
    pub(crate) const FORMAT: &str = "sample-share";

    /// From 0 to 1.
    pub fn get(self) -> f64 {
        f64::from(self.0) / 1_000_000.0
    }
}

impl Default for SampleShare {
    fn default() -> Self {
        Self(1_000_000)
    }
}

impl FromStr for SampleShare {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const EXPECTED: &str = "expected a share of the requests such as 100%, 5% or 0.1%";
        let number = text.strip_suffix('%').ok_or(EXPECTED)?;
        let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
        let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !are_digits(whole) || !are_digits(part) || part.len() > 4 {
            return Err(EXPECTED.to_owned());
        }
        let whole: u32 = whole.parse().map_err(|_| EXPECTED)?;
        let part: u32 = format!("{part:0<4}").parse().map_err(|_| EXPECTED)?;
        let share = whole.checked_mul(10_000).and_then(|whole| whole.checked_add(part));
        share.filter(|share| *share <= 1_000_000).map(Self).ok_or_else(|| "more than 100%".to_owned())
    }
}

impl<'de> Deserialize<'de> for SampleShare {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for SampleShare {
    fn schema_name() -> Cow<'static, str> {
        "SampleShare".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A share of the requests: a number up to 100, with at most four digits behind the point, and %.",
            "type": "string",
            "format": Self::FORMAT,
            "pattern": "^[0-9]+(\\.[0-9]{1,4})?%$",
            "examples": ["100%", "5%", "0.1%"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_a_number_of_percent() {
        let share = |text: &str| text.parse::<SampleShare>().map(|share| share.0);
        for (text, millionths) in
            [("100%", 1_000_000), ("0%", 0), ("5%", 50_000), ("0.1%", 1_000), ("12.3456%", 123_456)]
        {
            assert_eq!(share(text), Ok(millionths), "{text}");
        }
        for bad in ["", "%", "100", "101%", "100.0001%", "-1%", "1.%", ".5%", "1.23456%", "1e1%", "99999999999%", "1 %"]
        {
            assert!(share(bad).is_err(), "{bad}");
        }
    }
}
