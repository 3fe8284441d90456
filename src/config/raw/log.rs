//! `log`: the access log and the log of the process.

use std::borrow::Cow;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, de};

/// Logging.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// The access log, one line per request: its destination, or a section. `access: "off"` is short for
    /// `access: {to: "off"}`.
    pub access: AccessLog,
    /// Level of the gateway's own log, on standard error.
    pub level: Level,
    /// Form of the gateway's own log.
    pub format: LogFormat,
}

/// The access log: its destination, or all about it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum AccessLog {
    /// Its destination alone.
    Word(AccessLogWord),
    /// All about it.
    Section(AccessLogSection),
}

impl Default for AccessLog {
    fn default() -> Self {
        Self::Word(AccessLogWord::Stdout)
    }
}

impl AccessLog {
    /// Its destination.
    pub fn to(&self) -> AccessLogTo {
        match self {
            Self::Word(AccessLogWord::Stdout) => AccessLogTo::Stdout,
            Self::Word(AccessLogWord::Off) => AccessLogTo::Off,
            Self::Section(section) => {
                let usual = if section.file.is_some() { AccessLogTo::File } else { AccessLogTo::Stdout };
                section.to.unwrap_or(usual)
            }
        }
    }

    /// Its file, where that is where it goes.
    pub fn file(&self) -> Option<&PathBuf> {
        match self {
            Self::Section(section) if self.to() == AccessLogTo::File => section.file.as_ref(),
            _ => None,
        }
    }

    /// The form of its lines, and which of them are kept.
    pub fn lines(&self) -> AccessLogLines {
        match self {
            Self::Word(_) => AccessLogLines::default(),
            Self::Section(section) => AccessLogLines {
                format: section.format,
                fields: section.fields.clone(),
                sample: section.sample.unwrap_or_default(),
            },
        }
    }
}

/// Destination of the access log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AccessLogWord {
    /// Standard output.
    Stdout,
    /// Nowhere.
    Off,
}

/// All about the access log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AccessLogSection {
    /// Its destination. Default: `file` where that is set, else `stdout`.
    pub to: Option<AccessLogTo>,
    /// The file to which lines are added; created with mode 0640, and opened again on SIGUSR1.
    pub file: Option<PathBuf>,
    /// Form of a line.
    pub format: LogFormat,
    /// The fields of a line, in this order. Default: all of docs/logs.md.
    pub fields: Option<Vec<AccessField>>,
    /// Share of successful requests that get a line, such as 10%. Refusals and errors always do. Default: all.
    pub sample: Option<SampleShare>,
}

/// The form of the lines of an access log, and which of them are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccessLogLines {
    /// Their form.
    pub format: LogFormat,
    /// Their fields; `None`: all.
    pub fields: Option<Vec<AccessField>>,
    /// The share of successes that is kept.
    pub sample: SampleShare,
}

/// Destination of the access log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AccessLogTo {
    /// Standard output.
    Stdout,
    /// Nowhere.
    Off,
    /// A file.
    File,
}

/// Form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// A JSON object.
    #[default]
    Json,
    /// Text for people.
    Human,
}

/// Field of an access log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AccessField {
    /// Time of arrival.
    Time,
    /// Request id.
    RequestId,
    /// Address of the caller.
    ClientAddress,
    /// HTTP version.
    Protocol,
    /// Method.
    Method,
    /// Name of the route or endpoint.
    Route,
    /// Status of the response.
    Status,
    /// Word of the refusal.
    Refusal,
    /// Code of the refusal.
    Code,
    /// Refusal that an observing route did not carry out.
    Observed,
    /// Client.
    Client,
    /// Id of the API key.
    ApiKey,
    /// Identifier of the customer.
    Customer,
    /// Scopes that the access token lacks.
    Scope,
    /// Pseudonym of the name that a login tried.
    Attempt,
    /// Path of a request without a route.
    Path,
    /// Backend, on a route with several.
    Backend,
    /// Bytes of the request body.
    BytesIn,
    /// Bytes of the response body.
    BytesOut,
    /// Duration in microseconds.
    DurationUs,
    /// Time of the backend in microseconds.
    BackendUs,
    /// Whether the response was complete.
    Complete,
    /// Share of successes that is kept.
    Sample,
}

/// Log level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Only what needs someone.
    Error,
    /// Also what may soon need someone.
    Warn,
    /// Also what starts, stops and changes.
    #[default]
    Info,
    /// Also what helps to find a fault.
    Debug,
}

/// A share in percent, with at most four digits behind the point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SampleShare {
    /// Parts in a million.
    parts: u32,
}

impl Default for SampleShare {
    fn default() -> Self {
        Self { parts: Self::ALL }
    }
}

impl SampleShare {
    pub(crate) const FORMAT: &str = "share";
    /// Parts of the whole.
    pub const ALL: u32 = 1_000_000;

    /// Parts in a million.
    pub fn parts(self) -> u32 {
        self.parts
    }
}

impl FromStr for SampleShare {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        const EXPECTED: &str = "expected a share from 0% to 100%, such as 10% or 0.5%";
        let (whole, rest) =
            text.strip_suffix('%').map(|text| text.split_once('.').unwrap_or((text, "0"))).ok_or(EXPECTED)?;
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(whole) || !is_number(rest) || whole.len() > 3 || rest.len() > 4 {
            return Err(EXPECTED.to_owned());
        }
        let parts: u32 = format!("{whole}{rest:0<4}").parse().map_err(|_| EXPECTED)?;
        if parts > Self::ALL { Err(EXPECTED.to_owned()) } else { Ok(Self { parts }) }
    }
}

impl fmt::Display for SampleShare {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}%", f64::from(self.parts) / 10_000.0)
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
            "description": "A share in percent.",
            "type": "string",
            "format": Self::FORMAT,
            "pattern": "^[0-9]{1,3}(\\.[0-9]{1,4})?%$",
            "examples": ["10%", "0.5%"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_read_and_written_in_the_same_words() {
        for (text, parts) in [("10%", 100_000), ("0.5%", 5_000), ("100%", 1_000_000), ("0%", 0), ("0.0001%", 1)] {
            assert_eq!(
                text.parse::<SampleShare>().map(|share| (share.parts(), share.to_string())),
                Ok((parts, text.to_owned()))
            );
        }
        for text in ["10", "%", "-1%", "101%", "100.1%", "1.%", ".5%", "1e1%", "10 %", "0.00001%", "1000%"] {
            assert!(text.parse::<SampleShare>().is_err(), "{text}");
        }
    }
}
