//! An identity provider: it publishes keys at /jwks, and metadata, and does to whoever asks what a test tells it to.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};

use super::keys::{self, TokenKey};
use super::{DEADLINE, Gate};

/// What it answers at /jwks.
#[derive(Clone)]
pub(crate) enum Published {
    /// These keys.
    Keys(Vec<Value>),
    /// These bytes.
    Bytes(Vec<u8>),
    /// Nothing, until the gate opens; then no keys.
    Hang(Gate),
    /// It closes.
    Close,
}

struct Shared {
    published: Mutex<Published>,
    metadata: Mutex<Vec<(String, Value)>>,
    asked: AtomicUsize,
    heads: Mutex<Vec<String>>,
    stop: AtomicBool,
    tls: Option<Arc<rustls::ServerConfig>>,
}

pub(crate) struct IdentityProvider {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<thread::JoinHandle<()>>,
}

impl IdentityProvider {
    /// By plain http on loopback, with these keys.
    pub(crate) fn start(keys: &[Value]) -> Self {
        Self::start_on("127.0.0.1:0".parse().unwrap(), keys, None)
    }

    /// By https, with the certificate of the tests' own authority.
    pub(crate) fn start_tls(keys: &[Value]) -> Self {
        Self::start_tls_as(keys::server(), keys)
    }

    /// By plain http at this address.
    pub(crate) fn start_at(address: &str, keys: &[Value]) -> Self {
        Self::start_on(address.parse().unwrap(), keys, None)
    }

    /// By https with this certificate.
    pub(crate) fn start_tls_as(pair: &keys::Pair, keys: &[Value]) -> Self {
        let chain = CertificateDer::pem_slice_iter(pair.certificate.as_bytes()).map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .unwrap();
        Self::start_on("127.0.0.1:0".parse().unwrap(), keys, Some(Arc::new(tls)))
    }

    fn start_on(address: SocketAddr, keys: &[Value], tls: Option<Arc<rustls::ServerConfig>>) -> Self {
        let until = Instant::now() + DEADLINE;
        let listener = loop {
            match TcpListener::bind(address) {
                Ok(listener) => break listener,
                Err(error) => assert!(Instant::now() < until, "{address}: {error}"),
            }
            thread::sleep(Duration::from_millis(20));
        };
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            published: Mutex::new(Published::Keys(keys.to_vec())),
            metadata: Mutex::default(),
            asked: AtomicUsize::new(0),
            heads: Mutex::default(),
            stop: AtomicBool::new(false),
            tls,
        });
        let serving = Arc::clone(&shared);
        let thread = thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if serving.stop.load(Ordering::SeqCst) {
                    return;
                }
                let serving = Arc::clone(&serving);
                thread::spawn(move || serving.serve(stream));
            }
        });
        Self { address, shared, thread: Some(thread) }
    }

    pub(crate) fn jwks_url(&self) -> String {
        let scheme = if self.shared.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}/jwks", self.address)
    }

    /// What it publishes from now on.
    pub(crate) fn publish(&self, what: Published) {
        *self.shared.published.lock().unwrap() = what;
    }

    pub(crate) fn publish_keys(&self, keys: &[Value]) {
        self.publish(Published::Keys(keys.to_vec()));
    }

    /// An answer with this status and body.
    pub(crate) fn publish_answer(&self, status: &str, headers: &str, body: &[u8]) {
        let head = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n", body.len());
        self.publish(Published::Bytes([head.as_bytes(), body].concat()));
    }

    /// What it answers at another path.
    pub(crate) fn metadata(&self, path: &str, document: Value) {
        self.shared.metadata.lock().unwrap().push((path.to_owned(), document));
    }

    /// It answers 404 at all other paths again.
    pub(crate) fn forget_metadata(&self) {
        self.shared.metadata.lock().unwrap().clear();
    }

    /// How often /jwks was asked for.
    pub(crate) fn asked(&self) -> usize {
        self.shared.asked.load(Ordering::SeqCst)
    }

    /// The heads of all requests.
    pub(crate) fn heads(&self) -> Vec<String> {
        self.shared.heads.lock().unwrap().clone()
    }

    /// It dies: nobody listens any more.
    pub(crate) fn die(mut self) -> SocketAddr {
        self.stop();
        self.address
    }

    /// Another one at the address of one that died.
    pub(crate) fn revive(address: SocketAddr, keys: &[Value]) -> Self {
        Self::start_on(address, keys, None)
    }

    fn stop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        TcpStream::connect(self.address).ok();
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}

impl Drop for IdentityProvider {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn serve(&self, mut stream: TcpStream) {
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        match &self.tls {
            None => self.answer(&mut stream),
            Some(tls) => {
                let connection = rustls::ServerConnection::new(Arc::clone(tls)).unwrap();
                let mut secure = rustls::StreamOwned::new(connection, stream);
                self.answer(&mut secure);
                secure.conn.send_close_notify();
                secure.flush().ok();
                stream = secure.sock;
            }
        }
        stream.shutdown(Shutdown::Write).ok();
    }

    fn answer(&self, stream: &mut (impl Read + Write)) {
        let mut head = Vec::new();
        let mut piece = [0; 4096];
        while !head.windows(4).any(|end| end == b"\r\n\r\n") {
            match stream.read(&mut piece) {
                Ok(0) | Err(_) => return,
                Ok(count) => head.extend_from_slice(&piece[..count]),
            }
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        self.heads.lock().unwrap().push(head.clone());
        let path = head.split(' ').nth(1).unwrap_or_default();
        if path != "/jwks" {
            let known =
                self.metadata.lock().unwrap().iter().find(|(known, _)| known == path).map(|(_, found)| found.clone());
            let (status, body) = match known {
                Some(document) => ("200 OK", document.to_string()),
                None => ("404 Not Found", String::new()),
            };
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
            stream.write_all((head + &body).as_bytes()).ok();
            return;
        }
        self.asked.fetch_add(1, Ordering::SeqCst);
        let published = self.published.lock().unwrap().clone();
        match published {
            Published::Keys(keys) => {
                let body = json!({ "keys": keys }).to_string();
                let head = format!(
                    "HTTP/1.1 200 OK\r\nContent-Type: application/jwk-set+json\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                );
                stream.write_all((head + &body).as_bytes()).ok();
            }
            Published::Bytes(bytes) => drop(stream.write_all(&bytes)),
            Published::Hang(gate) => gate.wait(),
            Published::Close => {}
        }
    }
}

/// A customer's token as an identity provider issues it: ES256, for ten minutes.
pub(crate) fn token(key: &TokenKey, kid: &str, issuer: &str, subject: &str) -> String {
    token_with(key, kid, issuer, subject, |_| {})
}

/// The same with its claims changed.
pub(crate) fn token_with(
    key: &TokenKey,
    kid: &str,
    issuer: &str,
    subject: &str,
    change: impl FnOnce(&mut Value),
) -> String {
    let now = keys::now();
    let mut claims = json!({
        "iss": issuer, "aud": "legacy-api", "sub": subject, "iat": now, "exp": now + 600,
        "jti": keys::base64url(&keys::random::<8>()),
    });
    change(&mut claims);
    key.sign(&json!({"alg": "ES256", "typ": "JWT", "kid": kid}), &claims)
}
