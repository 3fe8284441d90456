//! Access log lines other than the usual ones: the fields of `log.access.fields`, lines for people, a sample of successes.

use std::time::Duration;

use super::{NO_ROUTE, Record};
use crate::config::percentage::Percentage;
use crate::config::raw::{AccessField, AccessLogLines, LogFormat};
use crate::customer::Identifier;
use crate::gateway::error;
use crate::log_line::{micros, number, optional, timestamp, word};
use crate::refusal::Refusal;

/// A value of a line.
enum FieldValue<'r> {
    Text(Option<&'r str>),
    Number(Option<u64>),
    Flag(bool),
    Share(Percentage),
    Time,
}

impl Record {
    /// Writes its line, where the request is in the sample.
    pub(super) fn write_chosen(&self, duration: Duration) {
        let log = &self.telemetry.log;
        let lines = log.lines_now();
        if self.is_success() && !log.is_in_sample(lines.sample) {
            self.telemetry.worker_metrics.sampled_out();
            return;
        }
        log.line(|line| match (lines.format, &lines.fields) {
            (LogFormat::Json, None) => {
                self.write(line, duration);
                if lines.sample != Percentage::default() && line.pop() == Some(b'}') {
                    self.add_json(line, ",\"", AccessField::Sample, &lines, duration);
                    line.push(b'}');
                }
            }
            (LogFormat::Json, Some(fields)) => {
                for (at, field) in fields.iter().enumerate() {
                    self.add_json(line, if at == 0 { "{\"" } else { ",\"" }, *field, &lines, duration);
                }
                line.push(b'}');
            }
            (LogFormat::Human, None) => self.write_human(line, duration),
            (LogFormat::Human, Some(fields)) => {
                for (at, field) in fields.iter().enumerate() {
                    line.extend_from_slice(if at == 0 { b"" } else { b" " });
                    line.extend_from_slice(name(*field).as_bytes());
                    line.push(b'=');
                    self.add_human(line, *field, &lines, duration);
                }
            }
        });
    }

    /// Neither refused nor failed nor broken off.
    fn is_success(&self) -> bool {
        self.status < 400 && self.refusal.is_none() && self.observed.is_none() && self.complete
    }

    fn value(&self, field: AccessField, lines: &AccessLogLines, duration: Duration) -> FieldValue<'_> {
        use FieldValue::{Flag, Number, Share, Text, Time};
        let of_refusals = |value| Text(value).filter(self.refusal.is_some() || self.observed.is_some());
        let known = &self.known;
        match field {
            AccessField::Time => Time,
            AccessField::RequestId => Text(Some(self.id())),
            AccessField::ClientAddress => Text(Some(self.source.address_text())),
            AccessField::Protocol => Text(Some(self.protocol)),
            AccessField::Method => Text(Some(self.method)),
            AccessField::Route => Text(Some(&*self.route).filter(|route| *route != NO_ROUTE)),
            AccessField::Status => Number(Some(u64::from(self.status))),
            AccessField::Refusal => Text(self.refusal.map(Refusal::as_str)),
            AccessField::Code => Text(self.refusal.map(|refusal| error::row(refusal).code)),
            AccessField::Observed => Text(self.observed.map(Refusal::as_str)),
            AccessField::Client => Text(known.client.as_deref()),
            AccessField::ApiKey => Text(known.api_key.as_deref()),
            AccessField::Customer => Text(known.customer.as_ref().map(Identifier::as_str)),
            AccessField::Scope => of_refusals(known.lacks.as_deref()),
            AccessField::Attempt => of_refusals(self.attempt.as_deref()),
            AccessField::Path => of_refusals(self.path.as_deref()),
            AccessField::Backend => Text(self.backend.as_deref()),
            AccessField::BytesIn => Number(Some(self.progress.bytes())),
            AccessField::BytesOut => Number(Some(self.bytes_out)),
            AccessField::DurationUs => Number(Some(micros(duration))),
            AccessField::BackendUs => Number(self.backend_time.map(micros)),
            AccessField::Complete => Flag(self.complete),
            AccessField::Sample => Share(lines.sample),
        }
    }

    fn add_json(
        &self,
        line: &mut Vec<u8>,
        before: &str,
        field: AccessField,
        lines: &AccessLogLines,
        duration: Duration,
    ) {
        line.extend_from_slice(before.as_bytes());
        line.extend_from_slice(name(field).as_bytes());
        match self.value(field, lines, duration) {
            FieldValue::Text(value) => optional(line, "\":", value),
            FieldValue::Number(Some(value)) => number(line, "\":", value),
            FieldValue::Number(None) => line.extend_from_slice(b"\":null"),
            FieldValue::Flag(value) => line.extend_from_slice(if value { b"\":true" } else { b"\":false" }),
            FieldValue::Share(share) => {
                line.extend_from_slice(b"\":");
                add_share(line, share);
            }
            FieldValue::Time => {
                line.extend_from_slice(b"\":\"");
                timestamp(line, self.time);
                line.push(b'"');
            }
        }
    }

    fn add_human(&self, line: &mut Vec<u8>, field: AccessField, lines: &AccessLogLines, duration: Duration) {
        match self.value(field, lines, duration) {
            FieldValue::Text(value) => word(line, value),
            FieldValue::Number(Some(value)) => number(line, "", value),
            FieldValue::Number(None) => line.push(b'-'),
            FieldValue::Flag(value) => line.extend_from_slice(if value { b"true" } else { b"false" }),
            FieldValue::Share(share) => add_share(line, share),
            FieldValue::Time => timestamp(line, self.time),
        }
    }

    /// `TIME ADDRESS "METHOD ROUTE" STATUS DURATION NAME=VALUE...`, each value only where there is one.
    fn write_human(&self, line: &mut Vec<u8>, duration: Duration) {
        let lines = AccessLogLines::default();
        timestamp(line, self.time);
        line.push(b' ');
        word(line, Some(self.source.address_text()));
        line.extend_from_slice(b" \"");
        word(line, Some(self.method));
        line.push(b' ');
        word(line, Some(&self.route));
        number(line, "\" ", u64::from(self.status));
        line.push(b' ');
        add_duration(line, duration);
        let more = [
            AccessField::Refusal,
            AccessField::Code,
            AccessField::Observed,
            AccessField::Client,
            AccessField::ApiKey,
            AccessField::Customer,
            AccessField::Scope,
            AccessField::Attempt,
            AccessField::Path,
            AccessField::Backend,
            AccessField::BytesIn,
            AccessField::BytesOut,
            AccessField::RequestId,
        ];
        for field in more {
            if matches!(self.value(field, &lines, duration), FieldValue::Text(None) | FieldValue::Number(Some(0))) {
                continue;
            }
            line.push(b' ');
            line.extend_from_slice(name(field).as_bytes());
            line.push(b'=');
            self.add_human(line, field, &lines, duration);
        }
        if !self.complete {
            line.extend_from_slice(b" incomplete");
        }
    }
}

impl FieldValue<'_> {
    fn filter(self, is_shown: bool) -> Self {
        if is_shown { self } else { Self::Text(None) }
    }
}

/// The name of a field, as in `log.access.fields` and in JSON.
fn name(field: AccessField) -> &'static str {
    match field {
        AccessField::Time => "time",
        AccessField::RequestId => "request_id",
        AccessField::ClientAddress => "client_address",
        AccessField::Protocol => "protocol",
        AccessField::Method => "method",
        AccessField::Route => "route",
        AccessField::Status => "status",
        AccessField::Refusal => "refusal",
        AccessField::Code => "code",
        AccessField::Observed => "observed",
        AccessField::Client => "client",
        AccessField::ApiKey => "api_key",
        AccessField::Customer => "customer",
        AccessField::Scope => "scope",
        AccessField::Attempt => "attempt",
        AccessField::Path => "path",
        AccessField::Backend => "backend",
        AccessField::BytesIn => "bytes_in",
        AccessField::BytesOut => "bytes_out",
        AccessField::DurationUs => "duration_us",
        AccessField::BackendUs => "backend_us",
        AccessField::Complete => "complete",
        AccessField::Sample => "sample",
    }
}

/// A share from 0 to 1, as a JSON number.
fn add_share(line: &mut Vec<u8>, share: Percentage) {
    let share = f64::from(share.millionths()) / f64::from(Percentage::WHOLE);
    line.extend_from_slice(share.to_string().as_bytes());
}

/// A duration for people: `340us`, `12ms`, `1.204s`.
fn add_duration(line: &mut Vec<u8>, duration: Duration) {
    let text = match micros(duration) {
        micros @ ..1_000 => format!("{micros}us"),
        micros @ ..1_000_000 => format!("{}ms", micros / 1_000),
        micros => format!("{}.{:03}s", micros / 1_000_000, micros / 1_000 % 1_000),
    };
    line.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_for_people_are_short() {
        let shown = |micros| {
            let mut line = Vec::new();
            add_duration(&mut line, Duration::from_micros(micros));
            String::from_utf8_lossy(&line).into_owned()
        };
        assert_eq!([shown(340), shown(12_999), shown(1_204_500)], ["340us", "12ms", "1.204s"]);
    }
}
