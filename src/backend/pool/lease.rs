//! A connection while it serves a request, from its head to the last byte of the response.

use std::rc::Rc;
use std::time::Duration;

use super::worker_endpoints::{Station, Visit};
use crate::backend::connection::http1_conn::Link;
use crate::backend::connection::http2_conn::StreamPermit;

/// A connection that is serving a request.
pub(super) struct Lease {
    pub(super) visit: Visit,
    /// How long it may wait for the next request.
    pub(super) limit: Duration,
    /// None where the connection serves others too, and drives itself.
    pub(super) link: Option<Link>,
    /// Its stream, where the connection has several.
    pub(super) _stream: Option<Rc<StreamPermit>>,
}

impl Lease {
    /// Where it is.
    pub(super) fn station(&self) -> Rc<Station> {
        Rc::clone(self.visit.station())
    }

    /// Whether it is one of HTTP/2.
    pub(super) fn is_http2(&self) -> bool {
        self.link.is_none()
    }

    /// The connection, where nobody else drives it.
    pub(in crate::backend) fn link(&mut self) -> Option<&mut Link> {
        self.link.as_mut()
    }

    /// Gives the connection back. Only right after its response was read to the end.
    pub(super) fn release(self) {
        if let Some(mut link) = self.link {
            link.settle();
            if !self.limit.is_zero() || link.is_uploading() {
                self.visit.station().keep(link, self.limit);
            }
        }
    }
}
