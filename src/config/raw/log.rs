//! `log`: the access log and the log of the process.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::config::percentage::Percentage;

/// Logging.
#[derive(Debug, Clone, Default, Deserialize, Serialize, JsonSchema)]
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
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AccessLogWord {
    /// Standard output.
    Stdout,
    /// Nowhere.
    Off,
}

/// All about the access log.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
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
    pub sample: Option<Percentage>,
}

/// The form of the lines of an access log, and which of them are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccessLogLines {
    /// Their form.
    pub format: LogFormat,
    /// Their fields; `None`: all.
    pub fields: Option<Vec<AccessField>>,
    /// The share of successes that is kept.
    pub sample: Percentage,
}

/// Destination of the access log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// A JSON object.
    #[default]
    Json,
    /// Text for people.
    Human,
}

/// Field of an access log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, Serialize, JsonSchema)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, JsonSchema)]
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
