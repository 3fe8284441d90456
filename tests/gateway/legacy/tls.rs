//! Backends with old certificates and old TLS: certificates that openssl has made, on its own server.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::ExtendedKeyUsagePurpose::ServerAuth;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use crate::harness::gateway::Workspace;
use crate::harness::keys::{Pair, certificate, expired};
use crate::harness::other_proxy::OtherProxy;
use crate::harness::*;

const PAGE: &str = include_str!("../../../docs/legacy-backends.md");

/// `openssl s_server` with a certificate of its own. It answers each GET with a page about the TLS of the connection.
struct OldServer {
    child: Child,
    directory: PathBuf,
    address: SocketAddr,
    /// Its certificate, in PEM.
    certificate: String,
}

impl OldServer {
    /// With the certificate that this shell script leaves in `server.pem`, and its key in `server.key`.
    fn start(script: &str, more: &[&str]) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("wicketgate-old-server-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let made = finish(Command::new("bash").args(["-ec", script]).current_dir(&directory)).unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let mut child = Command::new("openssl")
            .args(["s_server", "-accept", "127.0.0.1:0", "-cert", "server.pem", "-key", "server.key", "-www"])
            .args(more)
            .current_dir(&directory)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        let address = lines.find_map(|line| line.strip_prefix("ACCEPT ").map(|address| address.parse().unwrap()));
        std::thread::spawn(move || lines.for_each(drop));
        let certificate = std::fs::read_to_string(directory.join("server.pem")).unwrap();
        Self { child, directory, address: address.expect("openssl s_server listens"), certificate }
    }

    /// The SHA-256 of its certificate, as the command that the page names prints it.
    fn fingerprint(&self) -> String {
        let pem = self.directory.join("server.pem");
        let output =
            program("openssl", "openssl", &["x509", "-noout", "-fingerprint", "-sha256", "-in", pem.to_str().unwrap()]);
        String::from_utf8(output.stdout).unwrap().trim().rsplit('=').next().unwrap().to_owned()
    }

    /// A gateway before it, with these keys of `tls`; `server.pem` is its certificate.
    fn behind(&self, tls: Value) -> Gateway {
        Gateway::start(&self.config(tls))
    }

    fn config(&self, tls: Value) -> Config {
        let config = Config::with_server(&format!("https://localhost:{}", self.address.port()));
        config.set("/backends/legacy/tls", tls).file("certs/old.pem", &self.certificate)
    }
}

impl Drop for OldServer {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        std::fs::remove_dir_all(&self.directory).ok();
    }
}

/// A self-signed certificate as `openssl req` makes it by default: that of a CA, without alternative names.
const SELF_SIGNED: &str =
    "openssl req -x509 -newkey rsa:2048 -nodes -keyout server.key -out server.pem -subj /CN=localhost -days 30";

/// X.509 version 1, for another name, expired yesterday.
const VERSION_1: &str = "openssl req -new -newkey rsa:2048 -nodes -keyout server.key -out request.pem -subj /CN=other; \
    openssl x509 -req -in request.pem -signkey server.key -days -1 -out server.pem; \
    openssl x509 -in server.pem -noout -text | grep -q 'Version: 1 '";

const SHORT_KEY: &str =
    "openssl req -x509 -newkey rsa:1024 -nodes -keyout server.key -out server.pem -subj /CN=localhost -days 30";

/// Leaves this certificate and its key.
fn leaving(pair: &Pair) -> String {
    format!("printf '%s' '{}' > server.pem; printf '%s' '{}' > server.key", pair.certificate, pair.key)
}

/// The call reaches the server; its page is the answer.
#[track_caller]
fn reached(gateway: &Gateway) -> String {
    let page = gateway.get("/public/x").send().ok().text();
    assert!(page.contains("Ciphers supported in s_server binary"), "{page}");
    page
}

/// The call is refused; the reason in the log has all these words.
#[track_caller]
fn refused(gateway: &Gateway, words: &[&str]) {
    gateway.get("/public/x").send().expect(502, "502-01");
    let line =
        gateway.stderr.wait(|line| line["message"] == "request to a backend server failed" && line["doing"] == "tls");
    let reason = line.expect("a line in the log")["reason"].as_str().unwrap().to_owned();
    assert!(words.iter().all(|word| reason.contains(word)), "{words:?}: {reason}");
}

fn named() -> Value {
    json!({"ca": "certs/old.pem"})
}

#[test]
fn a_self_signed_certificate_that_is_its_own_ca_is_accepted_where_ca_names_it() {
    let with_names = format!("{SELF_SIGNED} -addext subjectAltName=DNS:localhost");
    for script in [SELF_SIGNED, &with_names] {
        let server = OldServer::start(script, &[]);
        reached(&server.behind(named()));
        refused(
            &server.behind(json!({"ca": "certs/ca.pem"})),
            &["name exactly this certificate in `ca`", "`pin_sha256`"],
        );
    }
}

#[test]
fn a_certificate_that_ca_names_still_needs_its_name_and_dates() {
    let of_common_name = SELF_SIGNED.replace("/CN=localhost", "/CN=other");
    let of_other_name = format!("{SELF_SIGNED} -addext subjectAltName=DNS:other");
    let expired = format!(
        "{SELF_SIGNED} && openssl x509 -x509toreq -in server.pem -signkey server.key -out request.pem && \
         openssl x509 -req -in request.pem -signkey server.key -days -1 -out server.pem \
         -extfile <(printf 'basicConstraints=CA:TRUE')"
    );
    for (script, words) in [
        (&of_common_name, ["not valid for name", "`server_name`", "`pin_sha256`"]),
        (&of_other_name, ["not valid for name", "`server_name`", "`pin_sha256`"]),
        (&expired, ["certificate expired", "renew", "`pin_sha256`"]),
        (&VERSION_1.replace("-days -1", "-days 9").replace("=other", "=localhost"), ["version 1", "`pin_sha256`", ""]),
    ] {
        let server = OldServer::start(script, &[]);
        refused(&server.behind(named()), &words);
    }
    let server = OldServer::start(&of_other_name, &[]);
    reached(&server.behind(json!({"ca": "certs/old.pem", "server_name": "other"})));
    // One with the same names and another key is another.
    let (one, two) = (OldServer::start(SELF_SIGNED, &[]), OldServer::start(SELF_SIGNED, &[]));
    refused(&Gateway::start(&one.config(named()).file("certs/old.pem", &two.certificate)), &["CaUsedAsEndEntity"]);
}

#[test]
fn a_pinned_certificate_is_accepted_whatever_its_name_dates_and_version() {
    let server = OldServer::start(VERSION_1, &[]);
    let pin = server.fingerprint();
    reached(&server.behind(json!({"pin_sha256": [pin]})));
    reached(&server.behind(json!({"pin_sha256": [pin.replace(':', "").to_lowercase()]})));
    let other = OldServer::start(VERSION_1, &[]);
    let shown = other.fingerprint().replace(':', "").to_lowercase();
    refused(&other.behind(json!({"pin_sha256": [pin]})), &[&shown, "not in pin_sha256"]);
    // A certificate of a trusted CA is no excuse.
    let (_backend, inner) = world();
    let config = Config::with_server(&format!("https://localhost:{}", inner.address.port()));
    refused(&Gateway::start(&config.set("/backends/legacy/tls", json!({"pin_sha256": [pin]}))), &["pin_sha256"]);
}

#[test]
fn of_several_pins_one_suffices() {
    let (before, after) = (OldServer::start(SELF_SIGNED, &[]), OldServer::start(SELF_SIGNED, &[]));
    let pins = json!({"pin_sha256": [before.fingerprint(), after.fingerprint()]});
    reached(&before.behind(pins.clone()));
    reached(&after.behind(pins));
}

#[test]
fn really_any_certificate_is_accepted_where_that_danger_is_asked_for() {
    let any = || json!({"danger_accept_any_certificate": true});
    for script in [SELF_SIGNED, VERSION_1, SHORT_KEY, &SHORT_KEY.replace("rsa:1024", "rsa:768")] {
        for version in ["-tls1_2", "-tls1_3"] {
            let server = OldServer::start(script, &[version, "-cipher", "DEFAULT:@SECLEVEL=0"]);
            reached(&server.behind(any()));
        }
    }
}

#[test]
fn an_rsa_key_of_1024_bits_is_accepted_where_it_is_pinned_and_tls_is_1_2() {
    let weak = ["-cipher", "DEFAULT:@SECLEVEL=0"];
    let server = OldServer::start(SHORT_KEY, &[&weak[..], &["-tls1_2"]].concat());
    reached(&server.behind(json!({"pin_sha256": [server.fingerprint()]})));
    let server = OldServer::start(SHORT_KEY, &[&weak[..], &["-tls1_3"]].concat());
    refused(
        &server.behind(json!({"pin_sha256": [server.fingerprint()]})),
        &["RSA below 2048 bits in TLS 1.3", "another key"],
    );
}

/// Shows one certificate to everybody.
#[derive(Debug)]
struct Always(Arc<CertifiedKey>);
impl rustls::server::ResolvesServerCert for Always {
    fn resolve(&self, _: rustls::server::ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

/// A server that shows this certificate without having its key.
fn impostor(pem: &str, version: &'static rustls::SupportedProtocolVersion) -> SocketAddr {
    let own = certificate(&["localhost"], ServerAuth);
    let chain = CertificateDer::pem_slice_iter(pem.as_bytes()).map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).unwrap();
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let key = provider.key_provider.load_private_key(key).unwrap();
    let settings = rustls::ServerConfig::builder_with_provider(Arc::new(provider))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Always(Arc::new(CertifiedKey::new(chain, key)))));
    let (settings, listener) = (Arc::new(settings), TcpListener::bind("127.0.0.1:0").unwrap());
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut tls = rustls::ServerConnection::new(Arc::clone(&settings)).unwrap();
            let mut stream = stream.unwrap();
            while tls.is_handshaking() && tls.complete_io(&mut stream).is_ok() {}
        }
    });
    address
}

#[test]
fn whoever_shows_a_certificate_without_having_its_key_gets_no_request() {
    let script = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout server.key \
                  -out server.pem -subj /CN=localhost -days 30";
    let server = OldServer::start(script, &[]);
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let address = impostor(&server.certificate, version);
        for tls in
            [named(), json!({"pin_sha256": [server.fingerprint()]}), json!({"danger_accept_any_certificate": true})]
        {
            let config = server.config(tls.clone());
            let url = format!("https://localhost:{}", address.port());
            refused(&Gateway::start(&config.set("/backends/legacy/servers", json!([url]))), &["BadSignature"]);
        }
    }
}

#[test]
fn the_log_names_the_cause_and_the_key_that_helps() {
    let script = leaving(&expired(&["localhost"]));
    let server = OldServer::start(&script, &[]);
    refused(&server.behind(json!({"ca": "certs/ca.pem"})), &["certificate expired", "`pin_sha256`"]);
    let script = leaving(&certificate(&["other.test"], ServerAuth));
    let server = OldServer::start(&script, &[]);
    refused(&server.behind(json!({"ca": "certs/ca.pem"})), &["other.test", "`server_name`"]);
    refused(&server.behind(json!({})), &["UnknownIssuer", "`ca`"]);
    let version_1 = OldServer::start(VERSION_1, &[]);
    refused(&version_1.behind(json!({"ca": "certs/ca.pem"})), &["X.509 version 1", "`pin_sha256`"]);
    let demanding = OldServer::start(SELF_SIGNED, &["-Verify", "1", "-tls1_2"]);
    refused(&demanding.behind(named()), &["HandshakeFailure", "client certificate", "`certificate`"]);
    let plain = TcpListener::bind("127.0.0.1:0").unwrap();
    let config = Config::with_server(&format!("https://{}", plain.local_addr().unwrap()));
    std::thread::spawn(move || {
        for stream in plain.incoming() {
            stream.unwrap().write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").ok();
        }
    });
    refused(&Gateway::start(&config), &["is the port one of https?"]);
}

/// Options of `openssl s_server` that leave nothing which the gateway could speak.
const OLD: [&[&str]; 4] = [
    &["-tls1", "-cipher", "ALL:@SECLEVEL=0"],
    &["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"],
    &["-tls1_2", "-cipher", "ECDHE-RSA-AES128-SHA:ECDHE-RSA-AES256-SHA384"],
    &["-tls1_2", "-cipher", "AES128-GCM-SHA256:AES256-SHA"],
];

#[test]
fn a_server_without_common_tls_is_named_in_log_and_check() {
    let what = "the server shares no TLS version or cipher suite with the gateway";
    let page = "docs/legacy-backends.md#old-tls";
    assert!(PAGE.contains("\n### Old TLS\n"), "the page that is named");
    for options in OLD {
        let server = OldServer::start(SELF_SIGNED, options);
        refused(&server.behind(named()), &[what, page]);
        let (code, out, err) = Workspace::new(&server.config(named())).run(&["check", "--connect"]);
        assert!(code == 1 && out.contains(what) && out.contains(page), "{options:?}: {out}{err}");
    }
}

/// The configuration on the page in a block of this kind, for this server.
fn recipe(kind: &str, server: &OldServer, address: SocketAddr) -> String {
    let (_, block) = PAGE.split_once(&format!("```{kind}\n")).expect("a block");
    let mut text = block.split("```").next().unwrap().to_owned();
    let pem = server.directory.join("server.pem");
    for (from, to) in [
        ("127.0.0.1:9443", address.to_string()),
        ("old.example.com:443", server.address.to_string()),
        (
            &*format!("/etc/{}/old-server.pem", if kind == "ini" { "stunnel" } else { "haproxy" }),
            pem.display().to_string(),
        ),
    ] {
        assert!(text.contains(from), "{from}: {text}");
        text = text.replace(from, &to);
    }
    text
}

/// The recipe reaches servers of all old kinds, and none with another certificate.
fn follow(start: impl Fn(&OldServer) -> OtherProxy) {
    for options in OLD {
        let server = OldServer::start(SELF_SIGNED, options);
        let proxy = start(&server);
        let gateway = Gateway::start(&Config::with_server(&format!("http://{}", proxy.address)));
        let page = reached(&gateway);
        assert!(options[0] != "-tls1" || page.contains("Protocol  : TLSv1\n"), "{page}");
    }
    let mut server = OldServer::start(SELF_SIGNED, OLD[1]);
    let other = OldServer::start(SELF_SIGNED, OLD[1]);
    server.address = other.address;
    let proxy = start(&server);
    let gateway = Gateway::start(&Config::with_server(&format!("http://{}", proxy.address)));
    gateway.get("/public/x").send().expect_one_of(&[502]);
}

#[test]
fn stunnel_of_the_page_reaches_a_server_that_speaks_only_old_tls() {
    follow(|server| OtherProxy::stunnel(|address| recipe("ini", server, address)));
}

#[test]
fn haproxy_of_the_page_reaches_a_server_that_speaks_only_old_tls() {
    follow(|server| OtherProxy::haproxy(|address| recipe("haproxy", server, address)));
}
