//! How an HTTP/2 connection ends without losing a call, and how long each step of it lasts.

use std::time::Duration;

/// How far the end of an HTTP/2 connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Drain {
    /// Not yet.
    #[default]
    None,
    /// Once no stream has been open for a while, as then no call of the caller is on its way.
    WhenQuiet,
    /// The caller is told with the end of its next answer.
    AfterNext,
    /// The caller is told now, whatever is open.
    Now,
    /// It is closed once no stream is open.
    Close,
}

/// How long what crosses an idle connection's end may be on its way.
pub(crate) const CROSSING: Duration = Duration::from_millis(500);

/// The same for what crosses a GOAWAY that names no stream.
pub(crate) const CROSSING_GOAWAY: Duration = Duration::from_millis(250);

/// How long the caller may take to close its side too.
pub(crate) const CLOSING: Duration = Duration::from_secs(2);

/// The word for a connection whose end was announced, and that nothing has crossed.
pub(crate) const ANNOUNCED: &str = "announced";

/// The word for a connection that is to end and has been quiet for so long that no call seems to be on its way.
pub(crate) const QUIET: &str = "quiet";

/// How long that is behind a call: clients that call again and again pause less.
pub(crate) const QUIET_PAUSE: Duration = Duration::from_millis(100);

/// The same where no call has come since the connection began, or since it is to end.
pub(crate) const FIRST_CALL: Duration = Duration::from_secs(1);
