//! Operators' HTTP listener, apart from those for callers: /metrics, /livez, /readyz and a status page.

mod connections;
mod operate;
mod responses;
mod status_page;

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use http::header::{self, HeaderValue};
use http::uri::Authority;
use http::{Method, Request, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use super::accept::accepts_openmetrics;
use super::admin_socket::Wish;
use super::readiness::Readiness;
use super::status::StatusBoard;
use crate::backend::Backend;
use crate::backend::token::TokenStatus;
use crate::gateway::Shared;
use crate::metrics::{
    BackendLevels, BackendTokenLevels, IntrospectionLevels, IssuerLevels, KeyUse, Levels, ServerLevels, openmetrics,
};
use crate::open_files;
use crate::server::Phase;
use connections::Connections;
use operate::operate;
use responses::{AdminResponse, text};
use status_page::status_page;

/// Longest use of a connection; then it is closed after a response.
const LONGEST: Duration = Duration::from_secs(60);

/// Longest wait for the last response on it.
const LAST: Duration = Duration::from_secs(10);

/// What the answers come from.
struct AdminSources {
    shared: Arc<Shared>,
    board: Arc<StatusBoard>,
    wishes: mpsc::Sender<Wish>,
    phase: watch::Receiver<Phase>,
}

/// Serves until another process takes over. `wishes` are requests to the process as a whole.
pub async fn serve(
    socket: TcpListener,
    shared: Arc<Shared>,
    board: Arc<StatusBoard>,
    wishes: mpsc::Sender<Wish>,
    phase: watch::Receiver<Phase>,
) {
    let mut left = phase.clone();
    let connections = Connections::new(open_files::for_operators());
    let sources = Arc::new(AdminSources { shared, board, wishes, phase });
    loop {
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            _ = left.wait_for(|phase| *phase == Phase::Leaving) => return,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept an operator's connection");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let (place, another_took_it) = connections.enter();
        let sources = Arc::clone(&sources);
        tokio::spawn(async move {
            let end = Instant::now() + LONGEST;
            let service = service_fn(|request| {
                place.used();
                let sources = Arc::clone(&sources);
                async move { Ok::<_, Infallible>(answer(request, &sources, peer.ip(), end).await) }
            });
            let mut builder = http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(10));
            let serve = async {
                let mut serving = pin!(builder.serve_connection(TokioIo::new(stream), service));
                if timeout(LONGEST, serving.as_mut()).await.is_err() {
                    serving.as_mut().graceful_shutdown();
                    let _ = timeout(LAST, serving).await;
                }
            };
            tokio::select! {
                () = serve => {}
                _ = another_took_it => {}
            }
        });
        // Whoever has just come is heard before so many others come that its place is taken.
        tokio::task::yield_now().await;
    }
}

/// The response. `end` is the end of the connection.
async fn answer(request: Request<Incoming>, sources: &AdminSources, from: IpAddr, end: Instant) -> AdminResponse {
    let shared = &sources.shared;
    let path = request.uri().path();
    // Probes tell nobody anything, and must not fail because of the name by which they ask.
    if !matches!(path, "/livez" | "/readyz") && !is_asked_by_an_own_name(&request, &shared.policy().admin_hosts) {
        let told = "this listener does not answer to that host: add it to admin.hosts, or ask by address\n".to_owned();
        return text(StatusCode::MISDIRECTED_REQUEST, "text/plain", told);
    }
    if let Some(action) = path.strip_prefix("/operate/").map(str::to_owned) {
        return operate(request, &action, shared, &sources.wishes, from).await;
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = text(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "only GET\n".to_owned());
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let phase = *sources.phase.borrow();
    let serves = matches!(phase, Phase::Running | Phase::Waiting);
    match path {
        "/metrics" if accepts_openmetrics(request.headers()) => {
            note_levels(shared);
            text(StatusCode::OK, openmetrics::CONTENT_TYPE, shared.metrics.render_openmetrics())
        }
        "/metrics" => match rendered(shared) {
            Ok(metrics) => text(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", metrics),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", format!("{error}\n")),
        },
        "/livez" => text(StatusCode::OK, "text/plain", "ok\n".to_owned()),
        "/readyz" if serves => {
            let readiness = Readiness::of(shared, unix_seconds());
            let is_ready = readiness.lacking.is_none();
            let status = if is_ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
            text(status, "text/plain", readiness.text())
        }
        "/readyz" => text(StatusCode::SERVICE_UNAVAILABLE, "text/plain", "draining\n".to_owned()),
        _ => match status_page(&request, &sources.board, end).await {
            Some(response) => response,
            None => {
                let known = "/metrics /livez /readyz / /status.json /status/events /refusals/ID\n".to_owned();
                text(StatusCode::NOT_FOUND, "text/plain", known)
            }
        },
    }
}

/// True if all hosts that a request names are IP addresses, this machine or one of `names`. A web page whose name has
/// been made to lead here (DNS rebinding) names another host. A request without a host is from no browser.
fn is_asked_by_an_own_name<B>(request: &Request<B>, names: &[String]) -> bool {
    let named = request.headers().get_all(header::HOST).iter().map(HeaderValue::as_bytes);
    let target = request.uri().authority().map(|authority| authority.as_str().as_bytes());
    named.chain(target).all(|named| {
        let Ok(authority) = Authority::try_from(named) else { return false };
        let host = authority.host().to_ascii_lowercase();
        let host = host.strip_suffix('.').unwrap_or(&host);
        let is_address = host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        is_address || host == "localhost" || names.iter().any(|name| name == host)
    })
}

/// All metrics in text format, levels included.
fn rendered(shared: &Shared) -> prometheus::Result<String> {
    note_levels(shared);
    shared.metrics.render()
}

/// Levels as they are now.
fn note_levels(shared: &Shared) {
    let state = &shared.state;
    let (staleness, propagation) = state.lag().unwrap_or_default();
    let (used_ids, used_ids_limit) = state.used_ids();
    shared.metrics.state.stands(Levels {
        sessions: state.session_count(),
        revocations: state.revocations().len(),
        waiting: state.waiting(),
        used_ids,
        used_ids_limit,
        up: state.is_up(),
        password_hashes_in_flight: shared.hashing.waiting(),
        password_hashes: shared.hashing.hashed(),
        staleness,
        propagation,
    });
    shared.metrics.earlier_policies(shared.earlier_policies());
    let policy = shared.policy();
    let issuers = policy.published().map(|keys| {
        let standing = keys.standing(unix_seconds());
        IssuerLevels {
            issuer: standing.issuer,
            keys: standing.keys,
            age: standing.age,
            outcomes: standing.outcomes,
            last_outcome: standing.last_outcome,
        }
    });
    shared.metrics.issuers(issuers.collect());
    let introspectors = policy.introspectors().map(|introspector| IntrospectionLevels {
        issuer: introspector.issuer().to_owned(),
        outcomes: introspector.outcomes(),
    });
    shared.metrics.introspections(introspectors.collect());
    let tokens = policy.tokens().map(|token| {
        let TokenStatus { backend, left, outcomes } = token.standing();
        BackendTokenLevels { backend, left, outcomes }
    });
    shared.metrics.backend_tokens(tokens.collect());
    shared.metrics.degraded(Readiness::of(shared, unix_seconds()).degraded);
    shared.metrics.backends(policy.backends.iter().map(|backend| levels(backend)).collect());
    let uses = policy.versions.iter().filter_map(|version| {
        let seconds = version.used.seconds()?;
        Some(KeyUse { kind: version.kind, id: version.id.clone(), version: version.version.clone(), seconds })
    });
    shared.metrics.key_uses(uses.collect());
}

/// Levels of a backend and its servers.
fn levels(backend: &Backend) -> BackendLevels {
    let (now, admission, present) = (Instant::now(), &backend.admission, backend.servers.present());
    let is_open = admission.circuit.is_open();
    let servers = present.servers.iter().map(|server| ServerLevels {
        backend: Arc::clone(&backend.name),
        server: server.standing.name.clone(),
        // While the circuit is open none of them is asked.
        up: !server.standing.is_out(now) && !is_open,
        in_flight: server.standing.in_flight(),
        ejections: server.standing.ejections(),
        lost_connections: server.standing.lost_connections(),
    });
    BackendLevels {
        backend: Arc::clone(&backend.name),
        in_flight: admission.in_flight(),
        limit: backend.limit(),
        waiting: admission.waiting(),
        circuit_open: is_open,
        retries: admission.retry_budget.count(),
        servers: servers.collect(),
    }
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
