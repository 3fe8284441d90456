//! The form of /metrics that a scraper asks for (RFC 9110 section 12.5.1).

use http::HeaderMap;
use http::header;

/// Returns whether OpenMetrics is wished at least as much as the Prometheus text format.
pub(super) fn accepts_openmetrics(headers: &HeaderMap) -> bool {
    let (mut open, mut plain) = (0, 0);
    for line in headers.get_all(header::ACCEPT).iter().filter_map(|line| line.to_str().ok()) {
        for range in line.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let media_type = parts.next().unwrap_or_default().to_ascii_lowercase();
            let parameters: Vec<(&str, &str)> = parts.filter_map(|part| part.split_once('=')).collect();
            let of = |name: &str| parameters.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, it)| *it);
            let weight = of("q").map_or(1_000, thousandths);
            match (&*media_type, of("version").map(|version| version.trim_matches('"'))) {
                ("application/openmetrics-text", None | Some("1.0.0")) => open = open.max(weight),
                ("text/plain", None | Some("0.0.4")) => plain = plain.max(weight),
                _ => {}
            }
        }
    }
    open > 0 && open >= plain
}

/// A weight in thousandths; one that cannot be read is none.
fn thousandths(weight: &str) -> u32 {
    weight.parse::<f32>().map_or(0, |weight| (weight.clamp(0.0, 1.0) * 1_000.0) as u32)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn what_prometheus_asks_for_is_openmetrics_and_what_others_ask_for_is_text() {
        let accepts = |line: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(line));
            accepts_openmetrics(&headers)
        };
        for open in [
            "application/openmetrics-text",
            "application/openmetrics-text; version=1.0.0; charset=utf-8",
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.4",
        ] {
            assert!(accepts(open), "{open}");
        }
        for plain in [
            "*/*",
            "text/html,application/xhtml+xml,*/*;q=0.8",
            "text/plain;version=0.0.4",
            "application/openmetrics-text;version=0.0.1",
            "application/openmetrics-text;version=2.0.0",
            "application/openmetrics-text;q=0",
            "application/openmetrics-text;q=0.3,text/plain;q=0.5",
            "application/openmetrics-text;q=much",
            "",
        ] {
            assert!(!accepts(plain), "{plain}");
        }
        assert!(!accepts_openmetrics(&HeaderMap::new()));
    }
}
