//! Lease of a connection, from the request to the last byte of the response.

use std::rc::Rc;
use std::time::Duration;

use super::worker_endpoints::{Visit, WorkerEndpoint};
use crate::backend::connection::http1_conn::Http1Connection;
use crate::backend::connection::http2_conn::StreamPermit;

/// Connection that serves a request.
pub(super) struct Lease {
    pub(super) visit: Visit,
    /// Longest idle time afterwards.
    pub(super) limit: Duration,
    /// HTTP/1.1 connection; `None` for HTTP/2, which is shared and drives itself.
    pub(super) link: Option<Http1Connection>,
    /// HTTP/2 stream.
    pub(super) _stream: Option<Rc<StreamPermit>>,
}

impl Lease {
    /// Server of the connection.
    pub(super) fn endpoint(&self) -> Rc<WorkerEndpoint> {
        Rc::clone(self.visit.endpoint())
    }

    /// True for HTTP/2.
    pub(super) fn is_http2(&self) -> bool {
        self.link.is_none()
    }

    /// HTTP/1.1 connection, which its user must drive.
    pub(in crate::backend) fn link(&mut self) -> Option<&mut Http1Connection> {
        self.link.as_mut()
    }

    /// Returns the connection to the pool. Only right after the response was read to the end.
    pub(super) fn release(self) {
        if let Some(mut link) = self.link {
            // Mostly it was driven to its end together with the last bytes.
            if !link.is_ready() {
                link.settle();
            }
            if !self.limit.is_zero() || link.is_uploading() {
                self.visit.endpoint().idle.keep(link, self.limit);
            }
        }
    }
}
