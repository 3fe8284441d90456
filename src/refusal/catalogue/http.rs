//! Texts about refusals of requests as HTTP: heads, bodies, WebSockets, routes, limits.

use super::{Row, row};
use crate::refusal::Refusal as R;

/// One row each.
pub(super) const ROWS: &[Row] = &[
    row(
        R::MalformedRequest,
        "The bytes are not HTTP, or HTTP with two readings (request smuggling); where the `Content-Type` counts, two \
         of them or an invalid one.",
        "The caller, or the proxy in front of it, sends valid HTTP with one reading. Look at `client_address`: a \
         scanner, or a broken proxy.",
        "`Content-Length` and `Transfer-Encoding` in one request.",
    ),
    row(
        R::Host,
        "`Host` is missing, repeated or not a host (an empty label, as in `a..b`, is invalid).",
        "The caller sends one `Host` with the public name. Look at `client_address`: a scanner, or a broken proxy.",
        "`Host: a..b`, or two `Host` lines.",
    ),
    row(
        R::Misdirected,
        "On a listener that asks for client certificates: the request is for another host than the handshake.",
        "Nothing, for a client that shares connections between hosts: it retries on a connection of its own. \
         Otherwise a scanner.",
        "TLS with the server name a.example.com, then `Host: b.example.com`, on a listener with `tls.client_ca`.",
    ),
    row(
        R::HostNotServed,
        "The requested host is not in `listen[].hosts`.",
        "Add the name to `listen[].hosts` if it is missing there; a health check sends a `Host` that is in it. \
         Otherwise a scanner that knows only the address.",
        "`Host: 192.0.2.7` on a listener with `hosts: [api.example.com]`.",
    ),
    row(
        R::PlainHttp,
        "A credential (in a header in which some route takes one, in the query, or any cookie: backends may have \
         sessions of their own), a body, or a method other than GET or HEAD came to a listener with `redirect`; or, \
         on a listener with `plain_http_from`, `X-Forwarded-Proto` does not say https. It was readable on the \
         network.",
        "Have the caller use https, and replace the credential. Behind a proxy that ends TLS: it sends \
         `X-Forwarded-Proto: https` (`listen[].plain_http_from`).",
        "`Authorization: Bearer ...` by http:// to a listener with `redirect`.",
    ),
    row(
        R::ForwardedFor,
        "A proxy of `listen[].trusted_proxies` sends an `X-Forwarded-For` in which a relevant hop is not an address.",
        "Have the proxy of `listen[].trusted_proxies` write only addresses into `X-Forwarded-For`.",
        "`X-Forwarded-For: unknown` from a trusted proxy.",
    ),
    row(
        R::AddressNotAllowed,
        "The caller's address is not in `listen[].allow`, or the route's `allow` and `deny` keep it out (then the \
         line names the route). For route `forward_auth` or `ext_authz`: the proxy is not in `forward_auth.allow`, or \
         is one of `trusted_proxies` of this listener, or uses another listener than the one with `forward_auth: \
         true`.",
        "If the caller is known, add its network to `listen[].allow`, or to the route's `allow`; for a proxy that \
         asks for decisions, to `forward_auth.allow` (docs/forward-auth.md).",
        "A call from 192.0.2.7 to a listener with `allow: [10.0.0.0/8]`.",
    ),
    row(
        R::AmbiguousPath,
        "A path with more than one reading: `..`, `//`, `%2f`, `%00`, a backslash, escapes that are not UTF-8, a dot \
         or space at the end of a segment, `:$`; or, for a backend with `ignores_case`, another path in different \
         letter case.",
        "The caller sends the plain path. If an honest caller cannot, see `routes[].allow_in_path`.",
        "`GET /orders/..%2fadmin`.",
    ),
    row(
        R::AmbiguousRoute,
        "A header field or query parameter by which routes of this path differ (`routes[].headers`, `queries`) is \
         there twice, in another spelling, without a value, or with a value that servers decode differently.",
        "The caller writes the field or parameter once, spelled as in `routes[].headers` or `queries`.",
        "`?version=2&version=3` where `routes[].queries` tells routes apart by `version`.",
    ),
    row(
        R::NoRoute,
        "No route matches the host and path.",
        "The caller corrects its URL, or add the route to `routes`. Otherwise a scanner.",
        "`GET /no/such/path`.",
    ),
    row(
        R::Method,
        "The route does not list this method.",
        "The caller uses one of the methods in `Allow`. Add it to `routes[].methods` only if the backend supports it.",
        "`DELETE` on a route with `methods: [GET]`.",
    ),
    row(
        R::HeadTooLarge,
        "The request head exceeds `limits.head` or `limits.headers`.",
        "The caller sends smaller cookies or tokens. Raise `listen[].limits.head` or `headers` only if the caller is \
         right.",
        "A cookie of 100 KiB.",
    ),
    row(
        R::TargetTooLong,
        "The request target exceeds `limits.target`.",
        "The caller sends a shorter URL. Raise `listen[].limits.target` only if the caller is right.",
        "A query of 20 KiB.",
    ),
    row(
        R::Expectation,
        "An `Expect` other than 100-continue.",
        "The caller omits `Expect`, or sends 100-continue.",
        "`Expect: 200-ok`.",
    ),
    row(
        R::ContentType,
        "The content type is not accepted on this path; or the gateway reads the body or writes into it, and its \
         charset is not UTF-8, or it is encoded.",
        "The caller sends a type of `routes[].content_types`, in UTF-8 and without content encoding. Add the type \
         there if the backend supports it.",
        "`Content-Type: text/xml` on a route with `content_types: [application/json]`.",
    ),
    row(
        R::Json,
        "The body must be a JSON object and is not, or has a repeated member, or, beside the member that counts, one \
         whose name differs from it only in letter case or width.",
        "The caller sends one JSON object, with each member once.",
        "`{\"a\":1,\"a\":2}` where the identifier is written into the body.",
    ),
    row(
        R::Schema,
        "The request does not fit the API description of the route (`routes[].openapi`, `validate: request`): a parameter or \
         a member of the body is missing, has another type or breaks a rule, or the description has no such operation. The \
         message names the place and the rule, never the value.",
        "The caller sends what the description says; if it is right, mend the description.",
        "`{\"amount\":\"ten\"}` where the description has a number.",
    ),
    row(
        R::MalformedBody,
        "The framing of the request body is broken: the caller or a proxy in front disconnected or counts wrongly.",
        "The caller, or the proxy in front of it, sends as many bytes as it announces. Look at `client_address`.",
        "A chunked body with a chunk size that is no number.",
    ),
    row(
        R::BodyTimeout,
        "The caller did not send its request body in time.",
        "One caller: its network. Many: raise `listen[].limits.body_idle_timeout`, or it is a slow-body attack.",
        "`Content-Length: 100`, then 10 bytes and silence.",
    ),
    row(
        R::BodyTooLarge,
        "The request body exceeds `limits.body` of the route or the listener.",
        "The caller sends a smaller body. Raise `limits.body` of the route or the listener only if the caller is \
         right.",
        "An upload of 20 MiB where `limits.body` is 10mb.",
    ),
    row(
        R::WebsocketHandshake,
        "An invalid WebSocket handshake: not a GET, a body, or no `Sec-WebSocket-Key` of 16 bytes.",
        "The caller sends a valid handshake (RFC 6455 section 4.1). A proxy in front has to support WebSockets.",
        "`Upgrade: websocket` without `Sec-WebSocket-Key`.",
    ),
    row(
        R::WebsocketVersion,
        "A WebSocket version other than 13.",
        "The caller speaks version 13 (RFC 6455): older ones are from before 2011. Otherwise a scanner.",
        "`Sec-WebSocket-Version: 8`.",
    ),
    row(
        R::WebsocketShare,
        "The caller holds its maximum of WebSockets to this backend.",
        "The page closes WebSockets that it no longer needs. Many customers behind one client: raise \
         `backends.NAME.websocket_share`.",
        "One customer opens WebSocket after WebSocket and closes none.",
    ),
    row(
        R::UploadShare,
        "The caller has its maximum of uploads to this backend in progress, or of temporary files of buffered bodies \
         (`request_buffer_directory`).",
        "The caller sends its uploads to their end. Many customers behind one client: raise \
         `backends.NAME.upload_share`.",
        "One customer opens upload after upload and sends no byte of them.",
    ),
    row(
        R::ConnectNotAllowed,
        "A CONNECT over HTTP/2 for anything but a WebSocket, or on a route without them.",
        "Set `routes[].websocket`, if there should be a WebSocket.",
        "`:method: CONNECT` over HTTP/2 on a route without `websocket`.",
    ),
    row(
        R::IdentifierMismatch,
        "The request names another customer than the token, or, for a decision, has a header that only the gateway \
         may write.",
        "Correct the caller: it names the customer of the token, or nobody. Otherwise somebody tries other \
         identifiers: investigate it.",
        "A body with the identifier of customer B and a token of customer A.",
    ),
    row(
        R::BadForwardedRequest,
        "A proxy asks for a decision and does not describe the request, or describes two.",
        "The proxy sets all header fields of docs/forward-auth.md, and removes those that callers send themselves.",
        "A question to `/forward-auth` without `X-Forwarded-Method`.",
    ),
    row(
        R::NeedsBody,
        "A proxy asks for a decision that depends on the request body, or would change it or the target.",
        "Let this route's requests go through the gateway: with `customer_token_sources`, `routes[].identifier.body`, `form`, \
         `query` or `path` it does not support forward auth.",
        "A question by `auth_request` about a route with `routes[].identifier.body`.",
    ),
    row(
        R::RateLimited,
        "The rate limit of the route is exceeded.",
        "The caller waits as long as `Retry-After` says. Raise `routes[].limits` if it is right.",
        "The eleventh call within a second where `routes[].limits` has `rate: 10/s`.",
    ),
    row(
        R::Quota,
        "The quota of the API key is used up.",
        "The caller waits until the next day or month: `Retry-After`. Raise `api_keys[].quota` if it is right.",
        "Call 1001 of the day with a key that has `quota: {day: 1000}`.",
    ),
];
