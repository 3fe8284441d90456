//! OpenMetrics 1.0 text of metric families, with exemplars.

use std::fmt::{self, Write as _};

use prometheus::proto::{LabelPair, Metric, MetricFamily, MetricType};

use super::exemplars::{Exemplar, Series};

/// Content type of the text.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The text of these families. `exemplar` has the exemplar of a series.
pub(super) fn text(families: &[MetricFamily], exemplar: impl Fn(&Series<'_>) -> Option<Exemplar>) -> String {
    let mut text = String::new();
    for family in families {
        // A String takes all that is written.
        let _ = write_family(&mut text, family, &exemplar);
    }
    text.push_str("# EOF\n");
    text
}

fn write_family(
    text: &mut String,
    family: &MetricFamily,
    exemplar: impl Fn(&Series<'_>) -> Option<Exemplar>,
) -> fmt::Result {
    let kind = family.get_field_type();
    let (word, name) = match kind {
        // The family's name lacks what its samples end with.
        MetricType::COUNTER => ("counter", family.name().trim_end_matches("_total")),
        MetricType::HISTOGRAM => ("histogram", family.name()),
        _ => ("gauge", family.name()),
    };
    writeln!(text, "# TYPE {name} {word}")?;
    for unit in ["seconds", "bytes"].into_iter().filter(|unit| has_unit(name, unit)) {
        writeln!(text, "# UNIT {name} {unit}")?;
    }
    writeln!(text, "# HELP {name} {}", Escaped(family.help()))?;
    for metric in family.get_metric() {
        let labels = metric.get_label();
        let series = |bucket| Series { family: family.name(), labels, bucket };
        match kind {
            MetricType::COUNTER => {
                write_series(text, format_args!("{name}_total"), labels, None)?;
                write!(text, " {}", Number(metric.get_counter().get_value()))?;
                write_exemplar(text, exemplar(&series(None)))?;
            }
            MetricType::HISTOGRAM => write_histogram(text, name, metric, |bucket| exemplar(&series(Some(bucket))))?,
            _ => {
                write_series(text, format_args!("{name}"), labels, None)?;
                writeln!(text, " {}", Number(metric.get_gauge().get_value()))?;
            }
        }
    }
    Ok(())
}

fn has_unit(name: &str, unit: &str) -> bool {
    name.strip_suffix(unit).is_some_and(|before| before.ends_with('_'))
}

fn write_histogram(
    text: &mut String,
    name: &str,
    metric: &Metric,
    exemplar: impl Fn(usize) -> Option<Exemplar>,
) -> fmt::Result {
    let (labels, histogram) = (metric.get_label(), metric.get_histogram());
    let buckets = histogram.get_bucket().iter().map(|bucket| (bucket.upper_bound(), bucket.cumulative_count()));
    let all = (f64::INFINITY, histogram.get_sample_count());
    for (place, (bound, count)) in buckets.chain([all]).enumerate() {
        write_series(text, format_args!("{name}_bucket"), labels, Some(bound))?;
        write!(text, " {count}")?;
        write_exemplar(text, exemplar(place))?;
    }
    write_series(text, format_args!("{name}_count"), labels, None)?;
    writeln!(text, " {}", histogram.get_sample_count())?;
    write_series(text, format_args!("{name}_sum"), labels, None)?;
    writeln!(text, " {}", Number(histogram.get_sample_sum()))
}

fn write_series(text: &mut String, name: fmt::Arguments<'_>, labels: &[LabelPair], bound: Option<f64>) -> fmt::Result {
    text.write_fmt(name)?;
    if labels.is_empty() && bound.is_none() {
        return Ok(());
    }
    let mut before = '{';
    for pair in labels {
        write!(text, "{before}{}=\"{}\"", pair.name(), Escaped(pair.value()))?;
        before = ',';
    }
    if let Some(bound) = bound {
        write!(text, "{before}le=\"{}\"", Number(bound))?;
    }
    text.push('}');
    Ok(())
}

fn write_exemplar(text: &mut String, exemplar: Option<Exemplar>) -> fmt::Result {
    if let Some(Exemplar { trace_id, value, time }) = exemplar {
        write!(text, " # {{trace_id=\"{trace_id:032x}\"}} {} {time:.3}", Number(value))?;
    }
    text.push('\n');
    Ok(())
}

/// A number in its canonical form: with a point where it is whole, as bounds must be.
struct Number(f64);

impl fmt::Display for Number {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            infinite if infinite == f64::INFINITY => formatter.write_str("+Inf"),
            infinite if infinite == f64::NEG_INFINITY => formatter.write_str("-Inf"),
            number if number.is_nan() => formatter.write_str("NaN"),
            // Debug keeps the point: 1.0, and an exponent only far away from what is measured here.
            number => write!(formatter, "{number:?}"),
        }
    }
}

/// A text with backslash, quotation mark and line feed escaped.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|character| match character {
            '\\' => formatter.write_str("\\\\"),
            '"' => formatter.write_str("\\\""),
            '\n' => formatter.write_str("\\n"),
            character => formatter.write_char(character),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::super::{BucketBounds, Metrics, RequestKey};

    #[test]
    fn a_duration_and_a_refusal_have_the_last_recorded_trace() {
        let metrics = Metrics::new(BucketBounds::new(&[0.5, 1.0, 30.0]));
        let (one, other) = (metrics.worker(), metrics.worker());
        let route: Arc<str> = "pro\"file".into();
        let key = RequestKey { route, method: "GET", status: 401, refusal: "no_customer" };
        for (worker, trace_id, seconds) in [(&one, 7, 1), (&other, 8, 2), (&one, 9, 60)] {
            worker.request_began();
            worker.exemplar(&key, trace_id, Duration::from_secs(seconds));
            worker.request_ended(key.clone(), Duration::from_secs(seconds));
        }
        let text = metrics.render_openmetrics();
        let expected = [
            "# TYPE wicketgate_requests counter\n",
            "# HELP wicketgate_requests Requests, by route, method, status and refusal.\n",
            "wicketgate_requests_total{route=\"pro\\\"file\",method=\"GET\",status=\"401\",refusal=\"no_customer\"} 3.0 # {trace_id=\"00000000000000000000000000000009\"} 1.0 ",
            "# UNIT wicketgate_request_duration_seconds seconds\n",
            "wicketgate_request_duration_seconds_bucket{route=\"pro\\\"file\",le=\"0.5\"} 0\n",
            "le=\"1.0\"} 1 # {trace_id=\"00000000000000000000000000000007\"} 1.0 ",
            "le=\"30.0\"} 2 # {trace_id=\"00000000000000000000000000000008\"} 2.0 ",
            "le=\"+Inf\"} 3 # {trace_id=\"00000000000000000000000000000009\"} 60.0 ",
            "wicketgate_request_duration_seconds_count{route=\"pro\\\"file\"} 3\n",
            "# TYPE wicketgate_certificate_expiry_timestamp_seconds",
        ];
        for line in &expected[..9] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        assert!(!text.contains(expected[9]), "a family without series is left out");
        assert!(text.ends_with("# EOF\n") && !text.contains("\n\n"), "{text}");
        metrics.names([&"pro\"file".into()], [], std::time::Instant::now());
    }
}
