//! What the requests of one connection share: who is there, and how far the bytes have come.

pub(crate) mod client_address;
pub(crate) mod drain;
pub(crate) mod framing;
pub mod listener_settings;
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
use client_address::Source;
use drain::{ANNOUNCED, CLOSING, CROSSING, CROSSING_GOAWAY, Drain, FIRST_CALL, QUIET, QUIET_PAUSE};
use framing::{BodyFraming, Framing};
use listener_settings::{Entrance, InForce};

/// Bounds on what one connection may cost.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// Bytes of a request target.
    pub(crate) target: usize,
    /// Bytes of a request head.
    pub(crate) head: usize,
    /// Fields in a request head.
    pub(crate) fields: usize,
    /// Bytes of a request body.
    pub(crate) body: u64,
    /// From connecting to the end of the TLS handshake.
    pub(crate) handshake_timeout: Duration,
    /// From the first to the last byte of a request head.
    pub(crate) head_timeout: Duration,
    /// Between two pieces of a body, in either direction.
    pub(crate) body_idle_timeout: Duration,
    /// From the head of a request to the last byte of its response.
    pub(crate) request_timeout: Duration,
    /// Without a request.
    pub(crate) idle_timeout: Duration,
    /// Streams open at once, on HTTP/2.
    pub(crate) streams: u32,
}

/// What a handshake showed of the caller.
#[derive(Debug)]
pub(crate) struct Shown {
    /// The host that it asked for (SNI), in small letters.
    pub(crate) server_name: Option<Box<str>>,
    /// Its certificate.
    pub(crate) peer: Option<Peer>,
}

/// How much longer than an exchange its connection may live, so that the answer can still say why.
const AFTER_TOTAL: Duration = Duration::from_secs(1);

/// Over HTTP/1.1 a connection goes on behind a body that nobody wants where no more than this is missing of it.
const REST: Discard = Discard { bytes: 64 * 1024, patience: Duration::from_secs(30), pause: Duration::from_secs(2) };

/// The same over HTTP/2, for bodies within the limit too: what is not taken is reset, and many clients then lose the
/// answer.
const REST_OF_STREAM: Discard =
    Discard { bytes: 4 * 1024 * 1024, patience: Duration::from_secs(5), pause: Duration::from_secs(1) };

/// A caller's connection.
pub(crate) struct Connection {
    /// The other side.
    source: RefCell<Rc<Source>>,
    /// What it came in by.
    entrance: RefCell<Arc<Entrance>>,
    /// The same as it is in force now.
    in_force: Arc<InForce>,
    /// Whether the other side is a proxy whose word counts about its callers.
    is_proxy: Cell<bool>,
    /// What its handshake showed, where the listener asks for a certificate.
    shown: Option<Box<Shown>>,
    /// Whether it carries many requests at once (HTTP/2).
    is_multiplexed: bool,
    /// Its bounds.
    pub(crate) limits: Arc<Limits>,
    /// Requests that are being answered.
    active: Cell<usize>,
    /// Whether a request has come whose answer has not been written to its end. Until then all that is written is of
    /// that answer; otherwise it is of the HTTP parser itself.
    is_answering: Cell<bool>,
    /// Since when it has been without a request, or since when it sends the head of one; `None`: since just now. Mostly
    /// the whole head is there at once, and nobody ever needs to know.
    quiet_since: Cell<Option<Instant>>,
    /// Since when it has been answering a request.
    busy_since: Cell<Instant>,
    /// Where requests begin and end; only of HTTP/1.1.
    framing: RefCell<Framing>,
    /// Since when the caller takes nothing of what is written.
    stuck_since: Cell<Option<Instant>>,
    /// Whether it is to end with its next answer.
    is_last: Cell<bool>,
    /// Whether no request has come yet, or none since it is to end.
    is_fresh: Cell<bool>,
    /// What the frames of HTTP/2 say.
    streams: Cell<Streams>,
    /// Whether the body that comes is not well-formed, for whoever reads it.
    pub(super) is_odd: Rc<Cell<bool>>,
    /// Whether a body is arriving, wanted or not.
    pub(crate) arriving: Arriving,
    /// The protocol that follows HTTP on it. The server takes it; the connection need not know which one it is.
    upgrade: Cell<Option<Box<dyn Any>>>,
}

/// How the streams of an HTTP/2 connection stand.
#[derive(Debug, Clone, Copy, Default)]
struct Streams {
    /// Since when the head of a request has been coming.
    in_head_since: Option<Instant>,
    /// Whether the end of an answer has not been taken yet.
    is_open: bool,
    /// The word for why they have to end.
    broken: Option<&'static str>,
    /// How it is to end.
    drain: Drain,
    /// Whether the caller has been sent a GOAWAY that names no stream.
    is_told: bool,
}

impl Connection {
    /// A new one.
    pub(crate) fn new(
        address: IpAddr,
        secure: bool,
        is_multiplexed: bool,
        in_force: Arc<InForce>,
        limits: Arc<Limits>,
    ) -> Self {
        let entrance = in_force.now();
        Self {
            source: RefCell::new(Rc::new(Source::direct(address, secure, &entrance.networks))),
            is_proxy: Cell::new(entrance.networks.trust(address)),
            entrance: RefCell::new(entrance),
            in_force,
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
            is_odd: Rc::default(),
            arriving: Arriving::default(),
            upgrade: Cell::new(None),
        }
    }

    /// The same, with what its handshake showed.
    pub(crate) fn showing(self, shown: Option<Shown>) -> Self {
        Self { shown: shown.map(Box::new), ..self }
    }

    /// What its handshake showed, where the listener asks for a certificate.
    pub(crate) fn shown(&self) -> Option<&Shown> {
        self.shown.as_deref()
    }

    /// The caller's certificate, where it has shown one. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// Why a handshake would not accept it any more.
    pub(crate) fn certificate(&self, now: u64) -> Result<Option<&Certificate>, CertificateFault> {
        let Some(peer) = self.shown.as_ref().and_then(|shown| shown.peer.as_ref()) else { return Ok(None) };
        peer.is_good(now)?;
        Ok(Some(&peer.certificate))
    }

    /// Whether it was opened for this host. Where callers are asked for a certificate, that must not count for another
    /// host than it was shown to (RFC 9110 section 7.4, RFC 9113 section 9.1.2).
    pub(crate) fn is_for(&self, host: &str) -> bool {
        let Some(shown) = &self.shown else { return true };
        match &shown.server_name {
            Some(name) => **name == *host,
            // Callers name no host in the handshake only where they know none but its address (RFC 6066 section 3).
            None => host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok(),
        }
    }

    /// Notes bytes as they were read.
    pub(crate) fn bytes_read(&self, bytes: &[u8]) {
        let mut framing = self.framing.borrow_mut();
        if !framing.is_in_head() && self.active.get() == 0 {
            self.quiet_since.set(None);
        }
        framing.read(bytes);
        if framing.is_odd() {
            self.is_odd.set(true);
        }
    }

    /// Whether the body that comes is not well-formed: nothing goes on behind it.
    pub(crate) fn is_broken(&self) -> bool {
        self.is_odd.get()
    }

    /// Whether the head of the request that begins now is ambiguous as it was sent. Each request must be asked for once.
    pub(crate) fn next_head(&self, body: BodyFraming) -> Option<bool> {
        let mut framing = self.framing.borrow_mut();
        let is_ambiguous = framing.next(body);
        if framing.is_odd() {
            self.is_odd.set(true);
        }
        is_ambiguous
    }

    /// Where a request with these fields comes from.
    ///
    /// # Errors
    /// [`Refusal::ForwardedFor`] where a trusted proxy does not say it clearly.
    pub(crate) fn source_of(&self, headers: &HeaderMap) -> Result<Rc<Source>, Refusal> {
        let source = self.source();
        if !self.is_proxy.get() {
            return Ok(source);
        }
        Source::behind(&source, headers, &self.entrance().networks).map(Rc::new)
    }

    /// The other side.
    pub(crate) fn source(&self) -> Rc<Source> {
        Rc::clone(&self.source.borrow())
    }

    /// What it came in by.
    pub(crate) fn entrance(&self) -> Ref<'_, Arc<Entrance>> {
        self.entrance.borrow()
    }

    /// A request begins: what has been reloaded holds for it.
    pub(crate) fn renew(&self) {
        if self.entrance.borrow().is_over() {
            let (entrance, source) = (self.in_force.now(), self.source());
            let source = Source::direct(source.address, source.secure, &entrance.networks);
            self.is_proxy.set(entrance.networks.trust(source.address));
            self.source.replace(Rc::new(source));
            self.entrance.replace(entrance);
        }
    }

    /// Whether all its requests come from the same caller.
    pub(crate) fn is_of_one_caller(&self) -> bool {
        !self.is_proxy.get()
    }

    /// A request began.
    pub(crate) fn request_began(&self, now: Instant) {
        if self.active.get() == 0 {
            self.busy_since.set(now);
        }
        self.is_answering.set(true);
        self.is_fresh.set(false);
        self.active.set(self.active.get() + 1);
    }

    /// A request ended.
    pub(crate) fn request_ended(&self, now: Instant) {
        self.active.set(self.active.get().saturating_sub(1));
        self.quiet_since.set(Some(now));
    }

    /// Whether what is written now is of the answer to a request.
    pub(crate) fn is_answering(&self) -> bool {
        self.is_answering.get()
    }

    /// All bytes that there were to write have been written.
    pub(crate) fn all_written(&self) {
        if self.active.get() == 0 {
            self.is_answering.set(false);
        }
    }

    /// Whether bytes of the last request may still be on their way to us.
    pub(crate) fn has_unread(&self) -> bool {
        self.framing.borrow().is_in_body()
    }

    /// Whether it carries many requests at once (HTTP/2).
    pub(crate) fn is_multiplexed(&self) -> bool {
        self.is_multiplexed
    }

    /// What is read of bodies that nobody wants.
    pub(crate) fn discard(&self) -> Discard {
        if self.is_multiplexed {
            Discard { bytes: REST_OF_STREAM.bytes.max(self.limits.body), ..REST_OF_STREAM }
        } else {
            REST
        }
    }

    /// Whether another request can follow the answer that is given now: where so little is missing of the last one that
    /// it is read, whoever wants it. A caller that expects to be asked for its body may never send it.
    pub(crate) fn goes_on(&self, expects_continue: bool) -> bool {
        let missing = self.framing.borrow().missing();
        missing.is_some_and(|missing| missing <= if expects_continue { 0 } else { REST.bytes })
    }

    /// Whether a body is arriving that nobody wants any more: nobody is told when it has ended.
    pub(crate) fn discards(&self) -> bool {
        self.active.get() == 0 && self.arriving.is_any()
    }

    /// Whether it carries nothing: no request, no part of one, and no part of an answer.
    pub(crate) fn is_idle(&self) -> bool {
        let framing = self.framing.borrow();
        let is_answered = self.active.get() == 0 && !self.is_answering.get() && self.stuck_since.get().is_none();
        is_answered && !framing.is_in_head() && !framing.is_in_body() && !self.arriving.is_any()
    }

    /// It shall end with its next answer.
    pub(crate) fn end_soon(&self) {
        self.is_last.set(true);
    }

    /// Whether it ends with the answer that is given now.
    pub(crate) fn ends_soon(&self) -> bool {
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

    /// What came was no request: nothing is known any more of where the next one begins.
    pub(crate) fn lost_track(&self) {
        self.framing.borrow_mut().lose();
    }

    /// Notes whether the caller takes what is written.
    pub(crate) fn write_is_stuck(&self, stuck: bool) {
        if stuck != self.stuck_since.get().is_some() {
            self.stuck_since.set(stuck.then(Instant::now));
        }
    }

    /// Notes what the frames show: whether the head of a request is on its way, and an answer.
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

    /// How an HTTP/2 connection is to end.
    pub(crate) fn drain(&self) -> Drain {
        self.streams.get().drain
    }

    /// An HTTP/2 connection is to end so.
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

    /// Notes that the caller has been sent a GOAWAY that names no stream: what crosses it is waited for from now on.
    pub(crate) fn note_goaway(&self) {
        self.streams.set(Streams { is_told: true, ..self.streams.get() });
        self.quiet_since.set(None);
    }

    /// Notes the word for why the frames have to end.
    pub(crate) fn broken(&self, why: &'static str) {
        self.streams.set(Streams { broken: Some(why), ..self.streams.get() });
    }

    /// That word, where they have.
    pub(crate) fn broken_by(&self) -> Option<&'static str> {
        self.streams.get().broken
    }

    /// When this connection is to be closed if nothing more happens, and the word for why.
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
