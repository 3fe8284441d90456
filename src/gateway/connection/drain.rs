//! The steps by which an HTTP/2 connection ends without losing a request, and the time of each.

use std::time::Duration;

/// Progress of the drain of an HTTP/2 connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Drain {
    /// Not draining.
    #[default]
    None,
    /// Ends once no stream has been open for a while, as then no request is on its way.
    WhenQuiet,
    /// GOAWAY with the end of the next response.
    AfterNext,
    /// GOAWAY now, whatever is open.
    Now,
    /// Closes once no stream is open.
    Close,
}

/// Longest time for a request that crosses the end of an idle connection.
pub(super) const CROSSING: Duration = Duration::from_millis(500);

/// Longest time for a request that crosses a GOAWAY that names no stream.
pub(super) const CROSSING_GOAWAY: Duration = Duration::from_millis(250);

/// Longest time for the client to close its side too.
pub(super) const CLOSING: Duration = Duration::from_secs(2);

/// Close reason: the end was announced, and no request crossed it.
pub(crate) const ANNOUNCED: &str = "announced";

/// Close reason: the connection drains and has been quiet for so long that no request seems to be on its way.
pub(crate) const QUIET: &str = "quiet";

/// Length of that quiet time behind a request: clients that call again and again pause less.
pub(super) const QUIET_PAUSE: Duration = Duration::from_millis(100);

/// Length of that quiet time where no request has come since the connection or its drain began.
pub(crate) const FIRST_CALL: Duration = Duration::from_secs(1);
