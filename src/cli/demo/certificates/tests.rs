use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use super::*;
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::{PrivateKeyDer, ServerName, UnixTime};

/// A directory of its own, removed at the end of the test.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        let random = URL_SAFE_NO_PAD.encode(random_bytes::<12>());
        Self(std::env::temp_dir().join(format!("wicketgate-certificates-{random}")))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn mode(&self, name: &str) -> u32 {
        fs::metadata(self.path(name)).unwrap().permissions().mode() & 0o7777
    }

    fn signing_keys(&self) -> Vec<PathBuf> {
        fs::read_dir(self.path("signing")).unwrap().map(|entry| entry.unwrap().path()).collect()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn verify(dir: &Directory, name: &'static str) -> Result<(), rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(dir.path("ca.pem")).unwrap()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
    let server = CertificateDer::from_pem_file(dir.path("server.pem")).unwrap();
    let name = ServerName::try_from(name).unwrap();
    verifier.verify_server_cert(&server, &[], &name, &[], UnixTime::now()).map(|_| ())
}

#[test]
fn all_files_are_made_once_and_then_left_alone() {
    let dir = Directory::new();
    let created = ensure(&dir.0).unwrap();
    assert_eq!(created.len(), 6);
    let before: Vec<Vec<u8>> = created.iter().map(|path| fs::read(path).unwrap()).collect();

    assert!(ensure(&dir.0).unwrap().is_empty());
    let after: Vec<Vec<u8>> = created.iter().map(|path| fs::read(path).unwrap()).collect();
    assert_eq!(before, after);
}

#[test]
fn only_what_is_public_can_be_read_by_others() {
    let dir = Directory::new();
    ensure(&dir.0).unwrap();
    for name in ["ca.key", "server.key", "identifier.key"] {
        assert_eq!(dir.mode(name), 0o600, "{name}");
    }
    for key in dir.signing_keys() {
        assert_eq!(fs::metadata(key).unwrap().permissions().mode() & 0o7777, 0o600);
    }
    assert_eq!(dir.mode("."), 0o700);
    assert_eq!(dir.mode("signing"), 0o700);
    assert_eq!(dir.mode("server.pem") & 0o022, 0);
}

#[test]
fn the_server_certificate_holds_against_the_ca_for_every_local_name() {
    let dir = Directory::new();
    ensure(&dir.0).unwrap();
    for name in ["localhost", "127.0.0.1", "::1"] {
        verify(&dir, name).unwrap();
    }
    verify(&dir, "example.com").unwrap_err();
}

#[test]
fn the_server_key_belongs_to_the_server_certificate() {
    let dir = Directory::new();
    ensure(&dir.0).unwrap();
    let key = PrivateKeyDer::from_pem_file(dir.path("server.key")).unwrap();
    let chain = vec![CertificateDer::from_pem_file(dir.path("server.pem")).unwrap()];
    rustls::sign::CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider()).unwrap().keys_match().unwrap();
}

#[test]
fn certificates_last_for_less_than_a_year() {
    let dir = Directory::new();
    ensure(&dir.0).unwrap();
    for name in ["ca.pem", "server.pem"] {
        let der = CertificateDer::from_pem_file(dir.path(name)).unwrap();
        let (_, certificate) = x509_parser::parse_x509_certificate(&der).unwrap();
        let validity = certificate.validity();
        assert!(validity.not_after.timestamp() - validity.not_before.timestamp() < 365 * 86_400, "{name}");
    }
}

#[test]
fn a_removed_server_certificate_is_made_again_by_the_same_ca() {
    let dir = Directory::new();
    ensure(&dir.0).unwrap();
    fs::remove_file(dir.path("server.pem")).unwrap();
    fs::remove_file(dir.path("server.key")).unwrap();
    let mut created = ensure(&dir.0).unwrap();
    created.sort();
    assert_eq!(created, [dir.path("server.key"), dir.path("server.pem")]);
    verify(&dir, "localhost").unwrap();
}

#[test]
fn half_of_a_pair_is_reported_and_nothing_is_written() {
    for missing in ["ca.key", "ca.pem", "server.key", "server.pem"] {
        let dir = Directory::new();
        ensure(&dir.0).unwrap();
        fs::remove_file(dir.path(missing)).unwrap();
        let error = ensure(&dir.0).unwrap_err().to_string();
        assert!(error.contains(missing), "{error}");
        assert!(!dir.path(missing).exists());
    }
}

#[test]
fn a_foreign_ca_signs_nothing() {
    let dir = Directory::new();
    let other = Directory::new();
    ensure(&dir.0).unwrap();
    ensure(&other.0).unwrap();
    fs::remove_file(dir.path("server.pem")).unwrap();
    fs::remove_file(dir.path("server.key")).unwrap();
    fs::copy(other.path("ca.key"), dir.path("ca.key")).unwrap();
    ensure(&dir.0).unwrap_err();
    assert!(!dir.path("server.pem").exists());
}

#[test]
fn a_server_certificate_without_its_ca_is_reported() {
    let dir = Directory::new();
    ensure(&dir.0).unwrap();
    fs::remove_file(dir.path("ca.pem")).unwrap();
    fs::remove_file(dir.path("ca.key")).unwrap();
    ensure(&dir.0).unwrap_err();
    assert!(!dir.path("ca.pem").exists());
}

#[test]
fn there_is_one_signing_key_named_by_its_day() {
    let dir = Directory::new();
    ensure(&dir.0).unwrap();
    let keys = dir.signing_keys();
    let [key] = keys.as_slice() else { panic!("{keys:?}") };
    let name = key.file_name().unwrap().to_str().unwrap();
    let day = name.strip_suffix("T000000Z-es256.pem").unwrap();
    assert!(day.len() == 8 && day.bytes().all(|byte| byte.is_ascii_digit()), "{name}");
    assert!(matches!(PrivateKeyDer::from_pem_file(key).unwrap(), PrivateKeyDer::Pkcs8(_)));
}

#[test]
fn the_identifier_key_is_one_line_of_64_bytes() {
    let dir = Directory::new();
    ensure(&dir.0).unwrap();
    let text = fs::read_to_string(dir.path("identifier.key")).unwrap();
    let key = text.strip_prefix("v1:").unwrap().strip_suffix('\n').unwrap();
    assert_eq!(URL_SAFE_NO_PAD.decode(key).unwrap().len(), 64);
}
