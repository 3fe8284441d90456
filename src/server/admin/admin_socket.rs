//! What operators do to logins: a small HTTP API on a Unix socket that only the user of this process can open. It shows
//! no secret: sessions go by their handle, API keys by their id.

use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::unix::UCred;
use tokio::sync::{mpsc, oneshot, watch};

use crate::auth::ApiKeyVersion;
use crate::auth::credentials::api_key;
use crate::auth::introspection::Purpose;
use crate::config::Config;
use crate::customer::{Identifier, Mode};
use crate::gateway::{
    Shared, attempts_from, attempts_of, customer_of_backend, customer_rules, end_family, end_of, last_end,
    shown_attempt,
};
use crate::hex::hex;
use crate::policy::Policy;
use crate::refusal::TokenFault;
use crate::secret::has_secret_shape;
use crate::server::Phase;
use crate::server::upgrade::lock_owner::Owner;
use crate::server::upgrade::{self, Successor};
use crate::state::login_lockout::{AttemptKey, Failures, NOBODY};
use crate::state::refresh_token::{Family, RefreshToken};
use crate::state::revocation::{Revocations, Rule, Subject};
use crate::state::session::{LoginId, Session, SessionDigest};
use crate::state::{Among, LONGEST, Unavailable};
use crate::validity::KeyVersion;

/// The name of the socket in the directory of the state.
const SOCKET: &str = "admin.sock";
/// The longest path that a socket can have, in bytes (`sun_path` of unix(7), with the zero at its end).
const LONGEST_PATH: usize = 107;
/// No request is larger.
const MAX_BODY: usize = 64 * 1024;

/// No more sessions are listed.
pub const MAX_SHOWN: usize = 10_000;

/// Of logins that have given nothing but JWTs nothing is kept.
const NO_SESSION: &str =
    "no live session is of this login, nor a refresh token: if it has JWTs, they are refused from now on";

/// Neither is there anything to end by it.
const NOT_GOOD: &str = "this token is not good anyway, or none of this gateway's: there is nothing to end by it";

/// What was named is no name.
const SECRET: &str = "this is a secret, and no name of anything: a JWT, a refresh token or the value of a session cookie goes to \
     `wicketgate revoke token -`, on standard input and without --issuer; API keys go by their id, and clients by theirs";

/// Nobody can tell a one-way identifier of one backend from that of all.
const ONE_WAY: &str = "if this is an identifier of a backend with `pairwise`, it ended nothing: in mode one_way it cannot be \
     traced to its customer. `wicketgate id for SUBJECT --backend NAME` finds what a backend calls a customer, and without \
     --backend what to revoke";

/// A revocation as it is asked for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revocation {
    /// `token`, `login`, `customer`, `client` or `api_key`.
    pub kind: String,
    /// A JWT or its `jti`; a login's id; an identifier; a client's id; an API key's id.
    pub name: String,
    /// Who has issued the token of this `jti`; nothing: this gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
}

/// Where the socket of a configuration is.
pub fn socket_path(config: &Config) -> PathBuf {
    let raw = config.raw();
    match &raw.admin.socket {
        Some(path) => config.resolve(path),
        None => config.data_directory().join(SOCKET),
    }
}

/// Why there can be no socket at a path, whoever runs; `None` where nothing is known against it. What is there may be a
/// socket: whether somebody listens on it is seen when it is opened.
pub fn fault_of(path: &Path) -> Option<String> {
    let length = path.as_os_str().len();
    if length > LONGEST_PATH {
        return Some(format!("the path of a socket has at most {LONGEST_PATH} bytes, and this one has {length}"));
    }
    if fs::symlink_metadata(path).is_ok_and(|found| !found.file_type().is_socket()) {
        return Some(format!("{} is there and is no socket: it stays as it is", path.display()));
    }
    let above = path.ancestors().skip(1).find_map(|path| Some((path, path.metadata().ok()?)));
    above.filter(|(_, found)| !found.is_dir()).map(|(path, _)| format!("{} is no directory", path.display()))
}

/// Opens the socket; one that a dead process left behind is replaced, and nothing else.
///
/// # Errors
/// Where it cannot be had, something else is there, or another process answers on it.
pub fn bind(path: &Path) -> io::Result<UnixListener> {
    if let Some(fault) = fault_of(path) {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, fault));
    }
    match UnixStream::connect(path) {
        Ok(_) => return Err(io::Error::new(io::ErrorKind::AddrInUse, "another process answers there")),
        // Nobody listens there any more.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => {
            let fault = format!("a socket is there that may be another program's: {error}");
            return Err(io::Error::new(error.kind(), fault));
        }
    }
    if let Some(directory) = path.parent().filter(|directory| !directory.is_dir()) {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    let socket = UnixListener::bind(path)?;
    socket.set_nonblocking(true)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(socket)
}

/// A socket in the file system, told from whatever else may come to stand at its path.
#[derive(Debug)]
pub struct BoundSocket {
    path: PathBuf,
    /// Its device and number there; `None` where it is gone already.
    file: Option<(u64, u64)>,
}

impl BoundSocket {
    /// The one that is at this path now.
    pub fn at(path: PathBuf) -> Self {
        Self { file: file_at(&path), path }
    }

    /// Takes it away, where it is still there.
    pub fn remove(&self) {
        if self.file.is_some() && file_at(&self.path) == self.file {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn file_at(path: &Path) -> Option<(u64, u64)> {
    fs::symlink_metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

/// What only the process as a whole can do.
pub enum Wish {
    /// The configuration is to be read again; who asks is told why not.
    Reload(oneshot::Sender<Result<(), String>>),
    /// The configuration is to be compared with what runs: which keys no reload takes.
    Compare(oneshot::Sender<Result<Vec<&'static str>, String>>),
    /// Another process wants to take over, and may.
    Handover(Successor),
}

/// Serves until another process does. What only the process as a whole can do is passed on. `owner` is this process.
pub async fn serve(
    socket: tokio::net::UnixListener,
    owner: Owner,
    shared: Arc<Shared>,
    wishes: mpsc::Sender<Wish>,
    mut phase: watch::Receiver<Phase>,
) {
    let owner = Arc::new(owner);
    loop {
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            _ = phase.wait_for(|phase| *phase == Phase::Leaving) => return,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "cannot accept an operator's connection");
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                continue;
            }
        };
        let (owner, shared, wishes) = (Arc::clone(&owner), Arc::clone(&shared), wishes.clone());
        tokio::spawn(async move {
            let peer = stream.peer_cred();
            let service = service_fn(|request| {
                let (owner, shared, wishes) = (Arc::clone(&owner), Arc::clone(&shared), wishes.clone());
                let may_take_over = asks_for_handover(&request).then(|| successor(&owner, &request, &peer));
                async move {
                    Ok::<_, Infallible>(match may_take_over {
                        Some(Ok(())) => hand_over(request, wishes),
                        Some(Err(fault)) => response(Err(fault)),
                        None => response(answer(request, &owner, &shared, &wishes).await),
                    })
                }
            });
            let mut builder = http1::Builder::new();
            builder.timer(TokioTimer::new()).header_read_timeout(std::time::Duration::from_secs(10));
            let _ = builder.serve_connection(TokioIo::new(stream), service).with_upgrades().await;
        });
    }
}

/// Why nothing was done, in a sentence that says what to do.
struct Fault(StatusCode, String);

impl From<Unavailable> for Fault {
    fn from(_: Unavailable) -> Self {
        let message = "the state store is away, and nobody here can tell: see the log of the gateway, then ask again";
        Self(StatusCode::SERVICE_UNAVAILABLE, message.to_owned())
    }
}

impl Fault {
    /// Rules are in force here, and nobody knows whether the store has them.
    fn here_only(_: Unavailable) -> Self {
        let message = "the state store has not acknowledged this: what was revoked is in force in this process, and may not \
                       be elsewhere or after a restart; see its log, then do it again";
        Self(StatusCode::SERVICE_UNAVAILABLE, message.to_owned())
    }
}

fn response(outcome: Result<Value, Fault>) -> Response<Full<Bytes>> {
    let (status, body) = match outcome {
        Ok(body) => (StatusCode::OK, body),
        Err(Fault(status, message)) => (status, json!({ "error": message })),
    };
    let mut response = Response::new(Full::new(body.to_string().into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn asks_for_handover(request: &Request<Incoming>) -> bool {
    request.method() == Method::POST
        && request.uri().path() == "/handover"
        && request.headers().get(header::UPGRADE).is_some_and(|protocol| protocol == upgrade::PROTOCOL)
}

/// Whether the process that asks may take over.
fn successor(owner: &Owner, request: &Request<Incoming>, peer: &io::Result<UCred>) -> Result<(), Fault> {
    let fault = |message: String| {
        tracing::warn!(reason = message, "another process may not take over: this one goes on");
        Fault(StatusCode::CONFLICT, message)
    };
    let told = request.headers().get(upgrade::SUCCESSOR);
    let other: Owner = told
        .and_then(|told| serde_json::from_slice(told.as_bytes()).ok())
        .ok_or_else(|| fault(format!("{owner} runs, and the one that asks does not say who it is")))?;
    let peer = peer.as_ref().map_err(|error| fault(format!("{owner} cannot see who asks: {error}")))?;
    owner.admits(&other, peer).map_err(fault)
}

/// From here on the connection speaks another protocol.
fn hand_over(request: Request<Incoming>, wishes: mpsc::Sender<Wish>) -> Response<Full<Bytes>> {
    tokio::spawn(async move {
        let upgraded = hyper::upgrade::on(request).await.ok()?;
        let stream = upgraded.downcast::<TokioIo<tokio::net::UnixStream>>().ok()?.io.into_inner();
        wishes.send(Wish::Handover(Successor::new(stream))).await.ok()
    });
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    response.headers_mut().insert(header::UPGRADE, HeaderValue::from_static(upgrade::PROTOCOL));
    response
}

async fn answer(
    request: Request<Incoming>,
    owner: &Owner,
    shared: &Shared,
    wishes: &mpsc::Sender<Wish>,
) -> Result<Value, Fault> {
    let (parts, body) = request.into_parts();
    let customer = parts.uri.query().and_then(|query| query.strip_prefix("customer="));
    let path: Vec<&str> = parts.uri.path().split('/').skip(1).collect();
    match (&parts.method, &path[..]) {
        (&Method::GET, ["sessions"]) => {
            let names = customer.map(|customer| names_of(shared, customer)).transpose()?;
            let mut live = live(shared, names.as_deref()).await?;
            live.sort_by_key(|login| std::cmp::Reverse(login.last_seen()));
            live.truncate(MAX_SHOWN);
            Ok(live.iter().map(Login::shown).collect())
        }
        (&Method::GET, ["sessions", id]) => {
            let login = live(shared, None).await?.into_iter().find(|login| login.id().to_string() == *id);
            Ok(login.ok_or_else(|| no_login(id))?.shown())
        }
        (&Method::DELETE, ["sessions", id]) => {
            let login = end_login(shared, LoginId::parse(id).ok_or_else(|| no_login(id))?).await?;
            tracing::info!(login = id, customer = login.customer().as_str(), "an operator ended this login");
            Ok(login.shown())
        }
        (&Method::GET, ["revocations"]) => {
            let rule = |rule: &Rule| {
                let since = (rule.since != u64::MAX).then_some(rule.since);
                let until = (rule.until != u64::MAX).then_some(rule.until);
                // An earlier version kept whatever it was given.
                let name = Some(rule.subject.name()).filter(|name| !has_secret_shape(name)).unwrap_or("(a secret)");
                json!({ "kind": rule.subject.kind(), "name": name, "since": since, "until": until })
            };
            Ok(shared.state.revocations().all().iter().map(rule).collect())
        }
        (&Method::POST, ["revocations"]) => {
            let asked: Revocation = read(body).await?;
            if let Some(login) = end_shown(shared, &asked).await? {
                tracing::info!(kind = login.kind(), revoked = login.name(), "an operator revoked");
                return Ok(json!({ "kind": login.kind(), "revoked": [login.name()], "note": null }));
            }
            let (rules, note) = rules(shared, &asked).await?;
            let shown: Vec<String> = rules.iter().map(|rule| rule.subject.name().to_owned()).collect();
            shared.state.revoke(rules).await.map_err(Fault::here_only)?;
            tracing::info!(kind = asked.kind, revoked = shown.join(", "), "an operator revoked");
            Ok(json!({ "kind": asked.kind, "revoked": shown, "note": note }))
        }
        (&Method::GET, ["process"]) => Ok(json!(owner)),
        (&Method::GET, ["state", "records"]) => {
            let place = parts.uri.query().and_then(|query| query.strip_prefix("at="));
            let page = shared.state.records(place).await;
            let (records, next) = page.map_err(|fault| Fault(StatusCode::CONFLICT, fault.to_owned()))?;
            Ok(json!({ "records": records, "next": next }))
        }
        (&Method::GET, ["attempts"]) => {
            let asked: Option<Named> = read(body).await?;
            let who = asked.map(|asked| asked.who()).transpose()?;
            let (policy, millis) = (shared.policy(), now().saturating_mul(1_000));
            let known = shared.state.attempts(millis, if who.is_some() { usize::MAX } else { MAX_SHOWN }).await?;
            let shown = |(_, failures): &(_, Failures)| {
                let attempt = (failures.who != NOBODY).then(|| shown_attempt(&policy, &failures.who));
                json!({
                    "attempt": attempt, "failures": failures.count, "wait": failures.wait(millis).div_ceil(1_000),
                    "forgotten_at": failures.forgotten_at / 1_000,
                })
            };
            let is_wanted = |(_, failures): &&(_, Failures)| who.is_none_or(|who| failures.who == who);
            Ok(known.iter().filter(is_wanted).map(shown).collect())
        }
        (&Method::DELETE, ["attempts"]) => {
            let asked: Named = read(body).await?;
            let who = asked.who()?;
            let from = asked.from.and_then(|address| attempts_from(&asked.kind, address));
            let cleared = shared.state.clear_attempts(&who, from.as_ref()).await?;
            let attempt = shown_attempt(&shared.policy(), &who);
            tracing::info!(kind = asked.kind, attempt, cleared, "an operator cleared failed attempts");
            Ok(json!({ "attempt": attempt, "cleared": cleared }))
        }
        (&Method::GET, ["keys"]) => Ok(key_versions(&shared.policy(), shared.state.revocations(), now())),
        (&Method::POST, ["reload"]) => {
            let (told, outcome) = oneshot::channel();
            let stopping = || Fault(StatusCode::SERVICE_UNAVAILABLE, "the gateway is stopping".to_owned());
            wishes.send(Wish::Reload(told)).await.map_err(|_| stopping())?;
            let outcome = outcome.await.map_err(|_| stopping())?;
            outcome.map_err(|fault| Fault(StatusCode::CONFLICT, fault))?;
            Ok(json!({ "reloaded": true }))
        }
        (&Method::GET, ["reload"]) => {
            let (told, outcome) = oneshot::channel();
            let stopping = || Fault(StatusCode::SERVICE_UNAVAILABLE, "the gateway is stopping".to_owned());
            wishes.send(Wish::Compare(told)).await.map_err(|_| stopping())?;
            let keys = outcome.await.map_err(|_| stopping())?;
            Ok(json!({ "needs_restart": keys.map_err(|fault| Fault(StatusCode::CONFLICT, fault))? }))
        }
        _ => {
            let known = "/sessions /sessions/ID /revocations /attempts /state/records /keys /process /reload /handover";
            Err(Fault(StatusCode::NOT_FOUND, known.to_owned()))
        }
    }
}

/// What is asked; an empty body is `null`.
async fn read<T: DeserializeOwned>(body: Incoming) -> Result<T, Fault> {
    let bytes = Limited::new(body, MAX_BODY).collect().await;
    let bytes = bytes.map_err(|_| Fault(StatusCode::BAD_REQUEST, "the request broke off".to_owned()))?.to_bytes();
    let text: &[u8] = if bytes.is_empty() { b"null" } else { &bytes };
    serde_json::from_slice(text).map_err(|error| Fault(StatusCode::BAD_REQUEST, format!("not understood: {error}")))
}

/// A name under which something was tried.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    /// `login` or `client`.
    kind: String,
    /// What is typed in as a username, or a client's id.
    name: String,
    /// An address of a network.
    #[serde(default)]
    from: Option<IpAddr>,
}

impl Named {
    fn who(&self) -> Result<AttemptKey, Fault> {
        if has_secret_shape(&self.name) {
            return Err(Fault(StatusCode::BAD_REQUEST, SECRET.to_owned()));
        }
        let unknown = || Fault(StatusCode::BAD_REQUEST, format!("`{}` is neither login nor client", self.kind));
        attempts_of(&self.kind, &self.name).ok_or_else(unknown)
    }
}

/// All versions of all keys, with how each stands.
fn key_versions(policy: &Policy, revocations: &Revocations, now: u64) -> Value {
    let versions = &policy.versions;
    let all_keys = policy.auth.api_keys.iter().filter(|(digest, _)| revocations.covers_api_key(digest));
    let revoked: HashSet<(&str, String)> =
        all_keys.map(|(digest, version)| (&*version.key.id, api_key::version(digest))).collect();
    let is_revoked = |version: &KeyVersion| {
        version.kind == "api_key" && revoked.contains(&(version.id.as_str(), version.version.clone()))
    };
    let is_live = |version: &KeyVersion| (now < version.until || version.until == u64::MAX) && !is_revoked(version);
    // The newest whose time has come; where there is none, the oldest.
    let mut current: HashMap<(&str, &str), &KeyVersion> = HashMap::new();
    for version in versions.iter().filter(|version| is_live(version)) {
        let chosen = current.entry((version.kind, &version.id)).or_insert(version);
        if chosen.from > now {
            *chosen = version;
        }
    }
    let shown = versions.iter().map(|version| {
        let current = current.get(&(version.kind, version.id.as_str()));
        let is_current = current.is_some_and(|current| current.version == version.version);
        let from = Some(version.from).filter(|from| *from > 0 && !(is_current && *from > now));
        let (standing, remove) = match () {
            () if is_revoked(version) => ("revoked", "yes".to_owned()),
            // Whoever still has an old identifier may have to know whose it was.
            () if now >= version.until && version.kind == "identifier_key" => ("ended", "no: it traces".to_owned()),
            () if now >= version.until => ("ended", "yes".to_owned()),
            () if is_current => ("current", "no".to_owned()),
            () if version.from > now => ("next", "no".to_owned()),
            () if version.kind == "identifier_key" => ("previous", "no: it traces".to_owned()),
            () if version.until < u64::MAX => ("previous", "by itself".to_owned()),
            () => ("previous", "when it is not used any more".to_owned()),
        };
        json!({
            "kind": version.kind, "id": version.id, "version": version.version, "standing": standing,
            "from": from,
            "until": (version.until < u64::MAX).then_some(version.until),
            "last_used": version.used.seconds(), "remove": remove,
        })
    });
    shown.collect()
}

/// The rules that do what is asked for, and what whoever asks should know of it.
async fn rules(shared: &Shared, asked: &Revocation) -> Result<(Vec<Rule>, Option<String>), Fault> {
    let missing = |what: &str| Fault(StatusCode::NOT_FOUND, format!("there is no {what} `{}`", asked.name));
    let policy = shared.policy();
    let now = now();
    let until = now.saturating_add(LONGEST);
    let name: Box<str> = asked.name.as_str().into();
    if name.is_empty() {
        return Err(Fault(StatusCode::BAD_REQUEST, "nothing is named".to_owned()));
    }
    if asked.issuer.is_some() && asked.kind != "token" {
        let message = "an issuer goes with the `jti` of a token only";
        return Err(Fault(StatusCode::BAD_REQUEST, message.to_owned()));
    }
    let mut note = None;
    let rules = match asked.kind.as_str() {
        // A JWT begins with the base64url of `{"`.
        "token"
            if name.contains(char::is_whitespace) || (name.starts_with("eyJ") && name.matches('.').count() != 2) =>
        {
            let message = "this is neither a whole JWT, without what stands before it in its header, nor a `jti`";
            return Err(Fault(StatusCode::BAD_REQUEST, message.to_owned()));
        }
        "token" if name.matches('.').count() == 2 && asked.issuer.is_none() => {
            let token = policy.auth.inspect(&name, now, &shared.state, Purpose::Use).await;
            let token = token.map_err(|_| Fault(StatusCode::NOT_FOUND, NOT_GOOD.to_owned()))?;
            vec![Rule::forever(token.subject(), token.claims.ends)]
        }
        _ if has_secret_shape(&name) || asked.issuer.as_deref().is_some_and(has_secret_shape) => {
            return Err(Fault(StatusCode::BAD_REQUEST, SECRET.to_owned()));
        }
        "token" => {
            let issuer = issuer_of(&policy, asked.issuer.as_deref())?;
            let is_own = policy.issuer.as_ref().is_some_and(|own| own.url == issuer);
            let id = if is_own { name } else { Subject::token_of(&issuer, &name) };
            note = Some(format!(
                "a token of {issuer} with this `jti` is refused from now on, for 400 days. Nobody here can tell whether there is \
                 one: `revoke token -` with the token itself can. One of another issuer needs --issuer"
            ));
            vec![Rule::forever(Subject::Token(id), until)]
        }
        "login" => {
            let id = LoginId::parse(&name).ok_or_else(|| missing("login"))?;
            let known = logins(shared, Some(id)).await.map(|found| !found.is_empty());
            // While nobody can tell, the rule is in force here all the same.
            note = matches!(known, Ok(false)).then(|| NO_SESSION.to_owned());
            vec![Rule::forever(id.subject(), until)]
        }
        "customer" => {
            let (rules, about) = rules_of(shared, &name)?;
            note = about;
            rules
        }
        "client" => {
            if !policy.auth.clients.contains_key(&*name) {
                return Err(missing("client"));
            }
            vec![shared.state.revocations().until_now(Subject::Client(name), now, until)]
        }
        "api_key" => {
            let of = |(digest, version): (&api_key::Digest, &ApiKeyVersion)| {
                (*version.key.id == *name).then(|| Rule::forever(Subject::ApiKey(hex(digest).into()), u64::MAX))
            };
            let rules: Vec<Rule> = policy.auth.api_keys.iter().filter_map(of).collect();
            if rules.is_empty() { Err(missing("API key"))? } else { rules }
        }
        _ => {
            let message = "kinds are token, login, customer, client and api_key".to_owned();
            return Err(Fault(StatusCode::BAD_REQUEST, message));
        }
    };
    Ok((rules, note))
}

/// The issuer of this name, which is known here; without a name this gateway.
fn issuer_of(policy: &Policy, named: Option<&str>) -> Result<String, Fault> {
    let own = policy.issuer.as_ref().map(|issuer| issuer.url.as_str());
    let trusted = policy.auth.trusted.keys().map(String::as_str);
    let found = match named {
        None => own,
        Some(named) => own.into_iter().chain(trusted).find(|known| *known == named),
    };
    found.map(str::to_owned).ok_or_else(|| {
        let message = match named {
            None => "this gateway issues no tokens: name the issuer with --issuer".to_owned(),
            Some(named) => {
                format!("there is no issuer `{named}`: write it as in `trusted_issuers`, or as `issuer.url`")
            }
        };
        Fault(StatusCode::NOT_FOUND, message)
    })
}

/// The rules that end all logins of the customer whom this identifier names, as all know it or one backend, and what
/// whoever asks should know of it.
fn rules_of(shared: &Shared, customer: &str) -> Result<(Vec<Rule>, Option<String>), Fault> {
    let (policy, now) = (shared.policy(), now());
    let fault = |message: String| Fault(StatusCode::NOT_FOUND, message);
    let deriver = policy.auth.deriver.as_ref().ok_or_else(|| fault(format!("there is no customer `{customer}`")))?;
    if let Some((known, backend)) = customer_of_backend(&policy, customer) {
        let note = format!("{customer} is what the backend `{backend}` calls this customer");
        return Ok((customer_rules(&policy, shared.state.revocations(), &known, None, now), Some(note)));
    }
    deriver.accept(customer, now).map_err(|found| fault(found.to_string()))?;
    let may_be_of_backend =
        deriver.mode() == Mode::OneWay && policy.routes.iter().any(|route| route.pairwise.is_some());
    let note = may_be_of_backend.then(|| ONE_WAY.to_owned());
    let known = Identifier::from_store(customer);
    Ok((customer_rules(&policy, shared.state.revocations(), &known, None, now), note))
}

/// All identifiers of the customer whom this one names: a session keeps the one of its login.
fn names_of(shared: &Shared, customer: &str) -> Result<Vec<Identifier>, Fault> {
    let (rules, _) = rules_of(shared, customer)?;
    Ok(rules.iter().map(|rule| Identifier::from_store(rule.subject.name())).collect())
}

/// A login of which there is more than JWTs.
enum Login {
    /// A session, and whether it has refresh tokens too.
    Session(SessionDigest, Session, bool),
    /// Refresh tokens only.
    Family(SessionDigest, Family),
}

impl Login {
    fn id(&self) -> LoginId {
        match self {
            Self::Session(_, session, _) => session.login,
            Self::Family(digest, _) => LoginId::of(digest),
        }
    }

    fn customer(&self) -> &Identifier {
        match self {
            Self::Session(_, session, _) => &session.customer,
            Self::Family(_, family) => &family.customer,
        }
    }

    /// Nobody notes when refresh tokens are used: then it is when the login was.
    fn last_seen(&self) -> u64 {
        match self {
            Self::Session(_, session, _) => session.last_seen,
            Self::Family(_, family) => family.issued_at,
        }
    }

    fn shown(&self) -> Value {
        let (kind, agent, seen, issued_at, expires_at) = match self {
            Self::Session(_, session, has_family) => {
                let kind = if *has_family { "session+refresh" } else { "session" };
                (kind, session.agent.as_str(), Some(session.last_seen), session.issued_at, session.expires_at)
            }
            Self::Family(_, family) => ("refresh", "", None, family.issued_at, family.expires_at),
        };
        json!({
            "id": self.id().to_string(), "kind": kind, "customer": self.customer().as_str(), "agent": agent,
            "issued_at": issued_at, "last_seen": seen, "expires_at": expires_at,
        })
    }
}

/// The logins that are good now; with names only those of the customers who have one of them.
async fn live(shared: &Shared, names: Option<&[Identifier]>) -> Result<Vec<Login>, Fault> {
    let policy = shared.policy();
    let idle = policy.auth.cookie.as_ref().map_or(u64::MAX, |cookie| cookie.idle);
    let among = names.map_or(Among::All, Among::Customers);
    let is_good = |customer: &Identifier, account| {
        policy.auth.accounts.admit(account) && names.is_none_or(|names| names.contains(customer))
    };
    let state = &shared.state;
    let sessions = state.sessions(now(), idle, among, |session| is_good(&session.customer, session.account)).await?;
    let families = state.live_families(now(), among, |family| is_good(&family.customer, family.account)).await?;
    Ok(together(sessions, families))
}

/// What there is of a login, good now or not: that may be so for a while only.
async fn logins(shared: &Shared, id: Option<LoginId>) -> Result<Vec<Login>, Fault> {
    let is_asked = |session: &Session| id.is_none_or(|id| session.login == id);
    let among = id.map_or(Among::All, Among::Login);
    let sessions = shared.state.sessions(now(), u64::MAX, among, is_asked).await?;
    Ok(together(sessions, shared.state.live_families(now(), among, |_| true).await?))
}

fn together(sessions: Vec<(SessionDigest, Session)>, families: Vec<(SessionDigest, Family)>) -> Vec<Login> {
    let mut families: HashMap<String, _> =
        families.into_iter().map(|found| (LoginId::of(&found.0).to_string(), found)).collect();
    let mut all: Vec<Login> = sessions
        .into_iter()
        .map(|(digest, session)| {
            let has_family = families.remove(&session.login.to_string()).is_some();
            Login::Session(digest, session, has_family)
        })
        .collect();
    all.extend(families.into_values().map(|(digest, family)| Login::Family(digest, family)));
    all
}

fn no_login(id: &str) -> Fault {
    let message = if has_secret_shape(id) {
        SECRET.to_owned()
    } else {
        format!("there is no live session `{id}`, nor a refresh token of this login")
    };
    Fault(StatusCode::NOT_FOUND, message)
}

/// Ends a login of which there is anything.
async fn end_login(shared: &Shared, id: LoginId) -> Result<Login, Fault> {
    let state = &shared.state;
    let until = last_end(shared.policy().login.as_ref(), now());
    let found = match logins(shared, Some(id)).await {
        Ok(found) => found,
        Err(fault) => {
            // Whether there is such a login or not, it is over here.
            end_here(shared, id.subject(), until).await?;
            return Err(fault);
        }
    };
    let login = found.into_iter().next().ok_or_else(|| no_login(&id.to_string()))?;
    match &login {
        Login::Session(digest, session, _) => state.end_login(digest, session, until).await,
        Login::Family(digest, family) => state.end_family(digest, until.max(family.expires_at)).await,
    }
    .map_err(Fault::here_only)?;
    Ok(login)
}

/// Ends the login of what an operator shows in place of a name: a refresh token, a session's cookie, or a JWT that is not good
/// as it stands though its login is, or may be again. `None` where it is something else.
async fn end_shown(shared: &Shared, asked: &Revocation) -> Result<Option<Subject>, Fault> {
    if asked.kind != "token" || asked.issuer.is_some() {
        return Ok(None);
    }
    let (policy, state, now, text) = (shared.policy(), &shared.state, now(), asked.name.as_str());
    let (auth, login) = (&policy.auth, policy.login.as_ref());
    let until = last_end(login, now);
    let nothing = || Fault(StatusCode::NOT_FOUND, NOT_GOOD.to_owned());
    // As the value alone, and with the name before it.
    let cookie = text.rsplit('=').next().unwrap_or_default();
    if let Some(Ok(digest)) = auth.cookie.as_ref().map(|known| known.keys.open(cookie, now)) {
        let Ok(found) = state.find(&digest).await else {
            return end_here(shared, LoginId::of(&digest).subject(), until).await.map(Some);
        };
        let session = found.filter(|session| !state.is_session_revoked(&digest, session)).ok_or_else(nothing)?;
        state.end_login(&digest, &session, until).await.map_err(Fault::here_only)?;
        return Ok(Some(session.login.subject()));
    }
    let family = match RefreshToken::parse(text) {
        Some(token) => token.family,
        None => match auth.inspect(text, now, state, Purpose::Use).await {
            Err(TokenFault::Account) => {
                let token = auth.inspect(text, now, state, Purpose::End).await.map_err(|_| nothing())?;
                let rule = end_of(&token, login, state, now).await;
                let subject = token.login().unwrap_or_else(|| token.subject());
                let until = rule.map_or(until, |rule| rule.until);
                return end_here(shared, subject, until).await.map(Some);
            }
            Err(TokenFault::Expired | TokenFault::Revoked) => {
                auth.family_of_ended(text, now, |_| true).ok_or_else(nothing)?
            }
            Ok(_) | Err(_) => return Ok(None),
        },
    };
    match end_family(&family, login, state, now).await {
        Ok(ended) => ended.map(|_| Some(LoginId::of(&family).subject())).ok_or_else(nothing),
        Err(Unavailable) => end_here(shared, LoginId::of(&family).subject(), until).await.map(Some),
    }
}

/// Ends something by a rule alone: here at once, whatever the store says.
async fn end_here(shared: &Shared, subject: Subject, until: u64) -> Result<Subject, Fault> {
    shared.state.revoke(vec![Rule::forever(subject.clone(), until)]).await.map_err(Fault::here_only)?;
    Ok(subject)
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}
