//! A client connection: the state that its requests share, from its listener's settings to the framing of its bytes.

pub(crate) mod client_address;
pub(crate) mod drain;
pub(crate) mod framing;
mod half_close;
mod limits;
pub mod listener_settings;
pub mod listener_view;
pub(crate) mod taken_head;

use std::any::Any;
use std::cell::{Cell, Ref, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderMap;

use crate::auth::tls::certificate::{Certificate, CertificateFault};
use crate::auth::tls::peer::Peer;
use crate::body_stream::{Arriving, Discard};
use crate::refusal::Refusal;
use client_address::ClientAddress;
use drain::{ANNOUNCED, CLOSING, CROSSING, CROSSING_GOAWAY, Drain, FIRST_CALL, QUIET, QUIET_PAUSE};
use framing::{BodyFraming, Framing};
pub(crate) use limits::ConnectionLimits;
use listener_settings::{CurrentSettings, ListenerSettings};

/// The SNI and the certificate that a client showed in its TLS handshake.
#[derive(Debug)]
pub(crate) struct TlsClientInfo {
    /// The server name that it asked for (SNI), in lower case.
    pub(crate) server_name: Option<Box<str>>,
    /// Its certificate.
    pub(crate) peer: Option<Peer>,
}

/// Time that a connection outlives the timeout of its exchange, so that the response can still say why.
const AFTER_TOTAL: Duration = Duration::from_secs(1);

/// Unread rest of a body up to which an HTTP/1.1 connection is kept; it is read and discarded.
const REST: Discard = Discard { bytes: 64 * 1024, patience: Duration::from_secs(30), pause: Duration::from_secs(2) };

/// The same for HTTP/2, for bodies within the limit too: an unread body is reset, and many clients then lose the
/// response.
const REST_OF_STREAM: Discard =
    Discard { bytes: 4 * 1024 * 1024, patience: Duration::from_secs(5), pause: Duration::from_secs(1) };

/// A client connection.
pub(crate) struct Connection {
    /// The peer.
    source: RefCell<Rc<ClientAddress>>,
    /// The listener's settings, as of the current request.
    settings: RefCell<Arc<ListenerSettings>>,
    /// The listener's settings in force.
    current_settings: Arc<CurrentSettings>,
    /// True if the peer is a trusted proxy, whose `X-Forwarded-For` counts.
    is_proxy: Cell<bool>,
    /// Details of the TLS handshake, where the listener asks for a certificate.
    shown: Option<Box<TlsClientInfo>>,
    /// True for HTTP/2, which carries many requests at once.
    is_multiplexed: bool,
    /// Its limits.
    pub(crate) limits: Arc<ConnectionLimits>,
    /// Requests in flight.
    active: Cell<usize>,
    /// True from a request until its response is fully written. Until then all written bytes are of that response;
    /// otherwise they are of the HTTP parser itself.
    is_answering: Cell<bool>,
    /// Start of the time without a request, or of an incomplete head; `None` stands for just now. Mostly the whole head
    /// is there at once, and nobody ever needs to know.
    quiet_since: Cell<Option<Instant>>,
    /// Start of the requests in flight.
    busy_since: Cell<Instant>,
    /// Message boundaries; HTTP/1.1 only.
    framing: RefCell<Framing>,
    /// Start of the time in which the client reads nothing of the written bytes.
    stuck_since: Cell<Option<Instant>>,
    /// True if the connection closes with its next response.
    is_last: Cell<bool>,
    /// True until the first request, and again from the drain until the next request.
    is_fresh: Cell<bool>,
    /// State of the HTTP/2 streams.
    streams: Cell<Streams>,
    /// True if the incoming body is malformed; shared with its reader.
    pub(super) is_malformed: Rc<Cell<bool>>,
    /// Bodies that are still arriving, wanted or not.
    pub(crate) arriving: Arriving,
    /// The protocol that follows HTTP. The server takes it; the connection need not know which one it is.
    upgrade: Cell<Option<Box<dyn Any>>>,
}

/// State of the streams of an HTTP/2 connection.
#[derive(Debug, Clone, Copy, Default)]
struct Streams {
    /// Start of an incomplete request head.
    in_head_since: Option<Instant>,
    /// True if the end of a response has not been taken yet.
    is_open: bool,
    /// Reason to close the connection for its frames, as a word for log and metrics.
    broken: Option<&'static str>,
    /// Progress of the drain.
    drain: Drain,
    /// True if a GOAWAY that names no stream has been sent.
    is_told: bool,
}

impl Connection {
    /// Creates a connection on a listener.
    pub(crate) fn new(
        address: IpAddr,
        secure: bool,
        is_multiplexed: bool,
        current_settings: Arc<CurrentSettings>,
        limits: Arc<ConnectionLimits>,
    ) -> Self {
        let settings = current_settings.now();
        Self {
            source: RefCell::new(Rc::new(ClientAddress::direct(address, secure, &settings.networks))),
            is_proxy: Cell::new(settings.networks.trust(address)),
            settings: RefCell::new(settings),
            current_settings,
            shown: None,
            is_multiplexed,
            limits,
            active: Cell::new(0),
            is_answering: Cell::new(false),
            quiet_since: Cell::new(None),
            busy_since: Cell::new(Instant::now()),
            framing: RefCell::default(),
            stuck_since: Cell::new(None),
            is_last: Cell::new(false),
            is_fresh: Cell::new(true),
            streams: Cell::default(),
            is_malformed: Rc::default(),
            arriving: Arriving::default(),
            upgrade: Cell::new(None),
        }
    }

    /// The same, with the details of its TLS handshake.
    pub(crate) fn showing(self, shown: Option<TlsClientInfo>) -> Self {
        Self { shown: shown.map(Box::new), ..self }
    }

    /// Details of the TLS handshake, where the listener asks for a certificate.
    pub(crate) fn shown(&self) -> Option<&TlsClientInfo> {
        self.shown.as_deref()
    }

    /// The client's certificate, where it has shown one. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// The reason for which a handshake would no longer accept it.
    pub(crate) fn certificate(&self, now: u64) -> Result<Option<&Certificate>, CertificateFault> {
        let Some(peer) = self.shown.as_ref().and_then(|shown| shown.peer.as_ref()) else { return Ok(None) };
        peer.is_good(now)?;
        Ok(Some(&peer.certificate))
    }

    /// Returns whether the connection was opened for this host (421 otherwise). Where clients are asked for a
    /// certificate, it must not count for another host than it was shown to (RFC 9110 section 7.4, RFC 9113 section
    /// 9.1.2).
    pub(crate) fn is_for(&self, host: &str) -> bool {
        let Some(shown) = &self.shown else { return true };
        match &shown.server_name {
            Some(name) => **name == *host,
            // Callers name no host in the handshake only where they know none but its address (RFC 6066 section 3).
            None => host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok(),
        }
    }

    /// Tracks message boundaries in bytes as they were read.
    pub(crate) fn bytes_read(&self, bytes: &[u8]) {
        let mut framing = self.framing.borrow_mut();
        if !framing.is_in_head() && self.active.get() == 0 {
            self.quiet_since.set(None);
        }
        framing.read(bytes);
        if framing.is_malformed() {
            self.is_malformed.set(true);
        }
    }

    /// True if the incoming body is malformed: no further request is read.
    pub(crate) fn is_broken(&self) -> bool {
        self.is_malformed.get()
    }

    /// Returns whether the head of the request that begins now is ambiguous on the wire; `None` without a whole head.
    /// Must be called once for each request.
    pub(super) fn next_head(&self, body: BodyFraming) -> Option<bool> {
        let mut framing = self.framing.borrow_mut();
        let is_ambiguous = framing.next(body);
        if framing.is_malformed() {
            self.is_malformed.set(true);
        }
        is_ambiguous
    }

    /// The source of a request with these fields.
    ///
    /// # Errors
    /// [`Refusal::ForwardedFor`] where a trusted proxy sends a malformed `X-Forwarded-For`.
    pub(super) fn source_of(&self, headers: &HeaderMap) -> Result<Rc<ClientAddress>, Refusal> {
        let source = self.source();
        if !self.is_proxy.get() {
            return Ok(source);
        }
        ClientAddress::behind(&source, headers, &self.settings().networks).map(Rc::new)
    }

    /// The peer.
    pub(crate) fn source(&self) -> Rc<ClientAddress> {
        Rc::clone(&self.source.borrow())
    }

    /// The listener's settings, as of the current request.
    pub(crate) fn settings(&self) -> Ref<'_, Arc<ListenerSettings>> {
        self.settings.borrow()
    }

    /// Applies reloaded listener settings to the request that begins.
    pub(crate) fn renew(&self) {
        if self.settings.borrow().is_over() {
            let (settings, source) = (self.current_settings.now(), self.source());
            let source = ClientAddress::direct(source.address, source.secure, &settings.networks);
            self.is_proxy.set(settings.networks.trust(source.address));
            self.source.replace(Rc::new(source));
            self.settings.replace(settings);
        }
    }

    /// True if all its requests come from the same caller, as no trusted proxy speaks here.
    pub(crate) fn is_of_one_caller(&self) -> bool {
        !self.is_proxy.get()
    }

    /// Counts a request that begins.
    pub(crate) fn request_began(&self, now: Instant) {
        if self.active.get() == 0 {
            self.busy_since.set(now);
        }
        self.is_answering.set(true);
        self.is_fresh.set(false);
        self.active.set(self.active.get() + 1);
    }

    /// Counts a request that ends.
    pub(crate) fn request_ended(&self, now: Instant) {
        self.active.set(self.active.get().saturating_sub(1));
        self.quiet_since.set(Some(now));
    }

    /// True if bytes written now belong to the response to a request.
    pub(crate) fn is_answering(&self) -> bool {
        self.is_answering.get()
    }

    /// Notes that all pending bytes have been written.
    pub(crate) fn all_written(&self) {
        if self.active.get() == 0 {
            self.is_answering.set(false);
        }
    }

    /// True if bytes of the last request's body may still arrive.
    pub(crate) fn has_unread(&self) -> bool {
        self.framing.borrow().is_in_body()
    }

    /// True for HTTP/2, which carries many requests at once.
    pub(crate) fn is_multiplexed(&self) -> bool {
        self.is_multiplexed
    }

    /// Limits for discarding an unwanted body.
    pub(crate) fn discard(&self) -> Discard {
        if self.is_multiplexed {
            Discard { bytes: REST_OF_STREAM.bytes.max(self.limits.body), ..REST_OF_STREAM }
        } else {
            REST
        }
    }

    /// True if another request can follow the present response: the missing rest of the last body is small enough to be
    /// read and discarded. A client that sent `Expect: 100-continue` may never send it.
    pub(crate) fn goes_on(&self, expects_continue: bool) -> bool {
        let missing = self.framing.borrow().missing();
        missing.is_some_and(|missing| missing <= if expects_continue { 0 } else { REST.bytes })
    }

    /// True if only an unwanted body is still arriving: its end is not notified.
    pub(crate) fn discards(&self) -> bool {
        self.active.get() == 0 && self.arriving.is_any()
    }

    /// True if the connection is idle: no request, no part of one, and no part of a response.
    pub(crate) fn is_idle(&self) -> bool {
        let framing = self.framing.borrow();
        let is_answered = self.active.get() == 0 && !self.is_answering.get() && self.stuck_since.get().is_none();
        is_answered && !framing.is_in_head() && !framing.is_in_body() && !self.arriving.is_any()
    }

    /// The time since when it has been idle; `None` where it is not, or only just.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        self.quiet_since.get().filter(|_| self.is_idle())
    }

    /// Closes the connection with its next response.
    pub(crate) fn end_soon(&self) {
        self.is_last.set(true);
    }

    /// True if the connection closes with the present response.
    pub(super) fn ends_soon(&self) -> bool {
        self.is_last.get()
    }

    /// HTTP ends here with the answer that is on its way, and `upgrade` begins.
    pub(super) fn upgrade_to(&self, upgrade: Box<dyn Any>) {
        self.upgrade.set(Some(upgrade));
    }

    /// Takes the protocol that follows HTTP, once.
    pub(super) fn take_upgrade(&self) -> Option<Box<dyn Any>> {
        self.upgrade.take()
    }

    /// The received bytes were no request: the start of the next one is unknown.
    pub(super) fn lost_track(&self) {
        self.framing.borrow_mut().lose();
    }

    /// Notes whether writes are blocked by the client.
    pub(crate) fn write_is_stuck(&self, stuck: bool) {
        if stuck != self.stuck_since.get().is_some() {
            self.stuck_since.set(stuck.then(Instant::now));
        }
    }

    /// Notes the state of the frames: an incomplete request head, and an open response.
    pub(crate) fn frames_moved(&self, is_in_head: bool, is_open: bool) {
        let mut streams = self.streams.get();
        if is_in_head != streams.in_head_since.is_some() || is_open != streams.is_open {
            if is_open && !streams.is_open && self.active.get() == 0 {
                // A request comes; it is counted a little later.
                self.quiet_since.set(None);
                if streams.drain == Drain::Close {
                    // The caller is at it again.
                    streams.drain = Drain::WhenQuiet;
                }
            }
            let in_head_since = is_in_head.then(|| streams.in_head_since.unwrap_or_else(Instant::now));
            self.streams.set(Streams { in_head_since, is_open, ..streams });
        }
    }

    /// Progress of the drain of an HTTP/2 connection.
    pub(crate) fn drain(&self) -> Drain {
        self.streams.get().drain
    }

    /// Sets the progress of the drain of an HTTP/2 connection.
    pub(crate) fn set_drain(&self, drain: Drain) {
        self.streams.set(Streams { drain, ..self.streams.get() });
        if drain == Drain::WhenQuiet {
            // Clients that call now and then are least likely to do so soon after a call.
            self.is_fresh.set(true);
        }
        if matches!(drain, Drain::WhenQuiet | Drain::Close) {
            self.quiet_since.set(None);
        }
    }

    /// Notes a sent GOAWAY that names no stream: crossing requests are waited for from now on.
    pub(crate) fn note_goaway(&self) {
        self.streams.set(Streams { is_told: true, ..self.streams.get() });
        self.quiet_since.set(None);
    }

    /// Notes the reason to close the connection for its frames.
    pub(crate) fn broken(&self, why: &'static str) {
        self.streams.set(Streams { broken: Some(why), ..self.streams.get() });
    }

    /// The reason to close the connection for its frames.
    pub(crate) fn broken_by(&self) -> Option<&'static str> {
        self.streams.get().broken
    }

    /// The time at which the connection is closed if nothing more happens, and the reason as a word for log and
    /// metrics.
    pub(crate) fn deadline(&self) -> Option<(Instant, &'static str)> {
        if let Some(since) = self.stuck_since.get() {
            return Some((since + self.limits.body_idle_timeout, "write_timeout"));
        }
        let streams = self.streams.get();
        if let Some(since) = streams.in_head_since {
            return Some((since + self.limits.head_timeout, "head_timeout"));
        }
        if self.active.get() > 0 {
            // The body ends itself in time, unless the caller takes it so slowly that nobody asks for more of it.
            let limit = self.limits.request_timeout + AFTER_TOTAL;
            return (!self.is_multiplexed).then(|| (self.busy_since.get() + limit, "request_timeout"));
        }
        let (limit, why) = if self.framing.borrow().is_in_head() {
            (self.limits.head_timeout, "head_timeout")
        } else if streams.is_open {
            // All answers have been handed on, and the caller does not take the end of one.
            (self.limits.body_idle_timeout, "write_timeout")
        } else if streams.drain == Drain::Close {
            (CLOSING, ANNOUNCED)
        } else if streams.is_told {
            (CROSSING_GOAWAY, ANNOUNCED)
        } else if matches!(streams.drain, Drain::WhenQuiet | Drain::AfterNext) {
            (if self.is_fresh.get() { FIRST_CALL } else { QUIET_PAUSE }, QUIET)
        } else {
            (self.limits.idle_timeout + CROSSING, "idle")
        };
        let since = self.quiet_since.get().unwrap_or_else(Instant::now);
        self.quiet_since.set(Some(since));
        Some((since + limit, why))
    }
}
