//! Callers that end their direction after a request, and wait for the answer (RFC 9112 section 9.6 lets them).

use super::Connection;

impl Connection {
    /// True if a request has come as a whole, and its answer is still owed.
    pub(crate) fn owes_answer(&self) -> bool {
        let framing = self.framing.borrow();
        (self.is_answering() && !framing.is_in_body()) || framing.has_head()
    }

    /// True if the caller understands interim answers (1xx), which HTTP/1.0 does not have.
    pub(crate) fn takes_interim(&self) -> bool {
        !self.framing.borrow().is_http10()
    }
}
