//! Texts about refusals because of a backend, and of this gateway's own resources.

use super::{Row, row};
use crate::refusal::Refusal as R;

/// One row each.
pub(super) const ROWS: &[Row] = &[
    row(
        R::BackendConnect,
        "No connection to the backend, or its TLS handshake failed.",
        "Start the backend, or open the network to it: `backends.NAME.servers`. TLS: its certificate and \
         `backends.NAME.tls`. `backend_fault` in the access log says which server, and why.",
        "A call while nothing listens at the backend's address.",
    ),
    row(
        R::BackendResponse,
        "The backend's response broke off, is not HTTP, or has two readings.",
        "`backend_fault` in the access log says which server, and why; standard error has more under the request id \
         (docs/operations.md, \"Servers that fail\"), and so has the backend's own log. If it closes idle \
         connections: `idle_timeout` well below its limit, or `keep_alive: false`. If it answers oddly: \
         `backends.NAME.tolerate`.",
        "A backend that dies in the middle of its answer.",
    ),
    row(
        R::BackendTimeout,
        "The backend did not answer in time.",
        "Look at the load of the backend; raise `backends.NAME.timeout` or `routes[].limits.timeout` if it is right.",
        "A report that takes two minutes where `timeout` is 30s.",
    ),
    row(
        R::BackendUnavailable,
        "No server of the backend is healthy, or the circuit breaker is open: no request is sent.",
        "Bring a server back: `wicketgate_backend_server_up`, `wicketgate_backend_circuit_open` and standard error \
         name the server and the reason.",
        "A call while each server fails its health check.",
    ),
    row(
        R::BackendOverload,
        "Too many requests to this backend at once.",
        "Raise `backends.NAME.concurrency`, or find out why the backend is slower than usual; over HTTP/2 also its own \
         stream limit, `backends.NAME.max_connections`, and requests that it refused unprocessed.",
        "Call 101 at once where `concurrency` is 100.",
    ),
    row(
        R::BackendCredential,
        "The backend answered 401 or 407, whether or not it has `authorization`.",
        "Correct `backends.NAME.authorization`. A backend whose 401 is about the customer: \
         `routes[].pass_unauthorized`, which passes a 401, never a 407.",
        "A backend whose password was changed.",
    ),
    row(
        R::BackendToken,
        "There is no access token for the backend: its OAuth server (`authorization.oauth`) refuses the gateway or \
         does not answer, and the last token has expired.",
        "Correct `client_id` or `client_secret` of `backends.NAME.authorization.oauth`, or bring the OAuth server \
         back. `wicketgate_backend_token_fetches_total` has the reason, standard error the address and the OAuth \
         error.",
        "An OAuth server that answers `invalid_client`.",
    ),
    row(
        R::ResponseNotJson,
        "`routes[].response` cannot be applied to the backend's response: it is not JSON in UTF-8, has a repeated \
         member, is encoded or broken.",
        "The backend answers JSON in UTF-8 without content encoding; does it answer gzip to `Accept-Encoding: \
         identity`? Otherwise remove `routes[].response`.",
        "An HTML page from a backend of a route with `response`.",
    ),
    row(
        R::ResponseTooLarge,
        "The backend's response exceeds `routes[].response.body`.",
        "Raise `routes[].response.body`, or have the backend answer in pages.",
        "An answer of 2 MiB where `response.body` is 1mb.",
    ),
    row(
        R::StateUnavailable,
        "The state store cannot be read or written: nobody was logged in, out or revoked.",
        "Bring the store back: `state` (docs/operations.md, \"The state\"); standard error has the reason.",
        "A login while Redis is down.",
    ),
    row(
        R::RequestBuffer,
        "The temporary file of a buffered request body cannot be made, written or read; nothing was sent, or the rest \
         of it was not.",
        "Make room on the disk of `backends.NAME.request_buffer_directory`: full, read-only, or slow; standard error \
         has the cause. Or raise `request_buffer_total`, or RLIMIT_NOFILE; otherwise slow callers, or an attack.",
        "A buffered upload while the disk is full.",
    ),
    row(
        R::Memory,
        "The process is above `memory_limit`.",
        "Raise `memory_limit`, or lower `listen[].limits`: more callers than the machine is sized for, or an attack.",
        "A flood of uploads.",
    ),
    row(
        R::Internal,
        "A fault of the gateway itself.",
        "Report it, with the line that standard error has under the same request id.",
        "None is known.",
    ),
];
