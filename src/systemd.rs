//! Notifications to the service manager (sd_notify(3)), one datagram each; none without `NOTIFY_SOCKET`.

use std::ffi::OsString;
use std::io;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Service manager of this process.
#[derive(Debug, Clone)]
pub struct ServiceManager {
    /// Its notification socket.
    place: Option<OsString>,
    /// Watchdog interval.
    patience: Option<Duration>,
}

impl ServiceManager {
    /// From the environment: `NOTIFY_SOCKET`, `WATCHDOG_USEC`, `WATCHDOG_PID`.
    pub fn from_environment() -> Self {
        let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
        let is_ours = number("WATCHDOG_PID").is_none_or(|id| id == u64::from(std::process::id()));
        let patience = number("WATCHDOG_USEC").filter(|micros| is_ours && *micros > 0).map(Duration::from_micros);
        Self { place: std::env::var_os("NOTIFY_SOCKET").filter(|place| !place.is_empty()), patience }
    }

    /// Watchdog interval; `None` without a watchdog.
    pub fn patience(&self) -> Option<Duration> {
        self.patience.filter(|_| self.place.is_some())
    }

    /// READY: the process serves, or does so again after [`ServiceManager::reloading`].
    pub fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={}", one_line(status)));
    }

    /// RELOADING: the configuration is being read again.
    pub fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1_000;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}\nSTATUS=reloading"));
    }

    /// STOPPING: the process is about to end.
    pub fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=draining");
    }

    /// WATCHDOG: keep-alive.
    pub fn is_alive(&self) {
        self.tell("WATCHDOG=1");
    }

    /// MAINPID: another process is the service now.
    pub fn succeeded_by(&self, id: u32) {
        self.tell(&format!("MAINPID={id}"));
    }

    /// Sends a datagram; failures are ignored.
    fn tell(&self, message: &str) {
        if let Some(place) = &self.place
            && let Err(error) = send(place, message)
        {
            tracing::debug!(%error, "notification of the service manager failed");
        }
    }
}

fn send(place: &OsString, message: &str) -> io::Result<()> {
    UnixDatagram::unbound()?.send_to_addr(message.as_bytes(), &address(place)?)?;
    Ok(())
}

/// Address of a path, or of an abstract name.
fn address(place: &OsString) -> io::Result<SocketAddr> {
    #[cfg(target_os = "linux")]
    if let [b'@', name @ ..] = place.as_encoded_bytes() {
        return <SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name);
    }
    SocketAddr::from_pathname(place)
}

/// First line of a text: a status has one line.
fn one_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// Watches that several counters go on.
#[derive(Debug, Default)]
pub struct Pulse {
    last: Vec<u64>,
}

impl Pulse {
    /// Checks that each counter has changed since the last call.
    ///
    /// # Errors
    /// The index of the first that has not.
    pub fn check(&mut self, now: impl Iterator<Item = u64>) -> Result<(), usize> {
        let last = std::mem::replace(&mut self.last, now.collect());
        let stuck = last.iter().zip(&self.last).position(|(last, now)| last == now);
        stuck.map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_that_stands_still_is_found() {
        let mut pulse = Pulse::default();
        assert_eq!(pulse.check([1, 1].into_iter()), Ok(()), "nothing is known yet");
        assert_eq!(pulse.check([2, 5].into_iter()), Ok(()));
        assert_eq!(pulse.check([3, 5].into_iter()), Err(1));
        assert_eq!(pulse.check([4, 6].into_iter()), Ok(()));
    }

    #[test]
    fn a_status_is_one_line() {
        assert_eq!(one_line("reload failed: a\nREADY=1"), "reload failed: a");
        assert_eq!(one_line(""), "");
    }
}
