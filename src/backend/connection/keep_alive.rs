//! `Keep-Alive: timeout=5, max=100` of a server: how long it keeps an idle connection, in seconds, and how many more
//! requests it takes on it (RFC 2068 section 19.7.1).

use std::time::Duration;

use http::{HeaderMap, HeaderName};

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");

/// How long the connection of this response may be kept idle: at most `most`, and less than the server says; zero where it
/// takes no more requests. What cannot be read says nothing.
pub(in crate::backend) fn idle_limit(headers: &HeaderMap, most: Duration) -> Duration {
    if !headers.contains_key(KEEP_ALIVE) {
        return most;
    }
    let mut limit = most;
    let lines = headers.get_all(KEEP_ALIVE).iter().filter_map(|line| line.to_str().ok());
    for (name, value) in lines.flat_map(|line| line.split(',')).filter_map(|parameter| parameter.split_once('=')) {
        let Ok(value) = value.trim().trim_matches('"').parse::<u32>() else { continue };
        match name.trim() {
            name if name.eq_ignore_ascii_case("timeout") => limit = limit.min(less_than(value)),
            name if name.eq_ignore_ascii_case("max") && value == 0 => limit = Duration::ZERO,
            _ => {}
        }
    }
    limit
}

/// A tenth less than so many seconds, and at least half a second.
fn less_than(seconds: u32) -> Duration {
    let timeout = Duration::from_secs(seconds.into());
    timeout.saturating_sub((timeout / 10).max(Duration::from_millis(500)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_connection_is_kept_for_less_than_its_server_says() {
        let most = Duration::from_secs(60);
        for (lines, milliseconds) in [
            (&[][..], 60_000),
            (&["timeout=5, max=100"], 4_500),
            (&["max=100,TimeOut = \"20\""], 18_000),
            (&["timeout=1"], 500),
            (&["timeout=0"], 0),
            (&["timeout=600"], 60_000),
            (&["timeout=5", "max=0"], 0),
            (&["max=1"], 60_000),
            (&["timeout=-1, max=none, 7, timeout"], 60_000),
            (&["timeout=99999999999"], 60_000),
            (&["timeout=\u{e4}"], 60_000),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(KEEP_ALIVE, HeaderValue::from_bytes(line.as_bytes()).unwrap());
            }
            assert_eq!(idle_limit(&headers, most), Duration::from_millis(milliseconds), "{lines:?}");
        }
    }
}
