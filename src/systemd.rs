//! What the service manager is told (sd_notify(3)): one datagram each. Without a service manager that asks, nothing is.

use std::ffi::OsString;
use std::io;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The service manager of this process.
#[derive(Debug, Clone)]
pub struct ServiceManager {
    /// Where it listens.
    place: Option<OsString>,
    /// How often it wants a sign of life at least.
    patience: Option<Duration>,
}

impl ServiceManager {
    /// As the environment has it: `NOTIFY_SOCKET`, `WATCHDOG_USEC`, `WATCHDOG_PID`.
    pub fn from_environment() -> Self {
        let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
        let is_ours = number("WATCHDOG_PID").is_none_or(|id| id == u64::from(std::process::id()));
        let patience = number("WATCHDOG_USEC").filter(|micros| is_ours && *micros > 0).map(Duration::from_micros);
        Self { place: std::env::var_os("NOTIFY_SOCKET").filter(|place| !place.is_empty()), patience }
    }

    /// How often it wants a sign of life at least; `None` where it does not.
    pub fn patience(&self) -> Option<Duration> {
        self.patience.filter(|_| self.place.is_some())
    }

    /// The process serves, or does so again after [`ServiceManager::reloading`].
    pub fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={}", one_line(status)));
    }

    /// The configuration is being read again.
    pub fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1_000;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}\nSTATUS=reloading"));
    }

    /// The process is about to end.
    pub fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=draining");
    }

    /// It turns.
    pub fn is_alive(&self) {
        self.tell("WATCHDOG=1");
    }

    /// Another process is the service now.
    pub fn succeeded_by(&self, id: u32) {
        self.tell(&format!("MAINPID={id}"));
    }

    /// Whoever does not hear it has no say in what this process does.
    fn tell(&self, message: &str) {
        if let Some(place) = &self.place
            && let Err(error) = send(place, message)
        {
            tracing::debug!(%error, "the service manager does not listen");
        }
    }
}

fn send(place: &OsString, message: &str) -> io::Result<()> {
    UnixDatagram::unbound()?.send_to_addr(message.as_bytes(), &address(place)?)?;
    Ok(())
}

/// A path, or a name that stands in no directory.
fn address(place: &OsString) -> io::Result<SocketAddr> {
    #[cfg(target_os = "linux")]
    if let [b'@', name @ ..] = place.as_encoded_bytes() {
        return <SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name);
    }
    SocketAddr::from_pathname(place)
}

/// A status is one line: the first of a longer text.
fn one_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// Whether all of several counters go on.
#[derive(Debug, Default)]
pub struct Pulse {
    last: Vec<u64>,
}

impl Pulse {
    /// Whether each has changed since the last time; the first that has not, otherwise.
    ///
    /// # Errors
    /// Its place.
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
