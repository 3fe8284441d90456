//! Certificates and keys for development: made where there are none, never overwritten.

use std::fs::{self, DirBuilder};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use crate::secret::random_bytes;
use anyhow::{Context as _, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use time::{Duration, OffsetDateTime};
use zeroize::Zeroizing;

/// Subject of the development CA.
const AUTHORITY: &str = "wicketgate development CA";
/// Lifetime of a certificate made here.
const VALIDITY: Duration = Duration::days(360);
const PUBLIC: u32 = 0o644;
const PRIVATE: u32 = 0o600;
const PRIVATE_DIRECTORY: u32 = 0o700;

/// Makes what is missing of `ca.pem`, `ca.key`, `server.pem`, `server.key`, `signing/*.pem` and `identifier.key`
/// in `dir`, and returns the paths of the files that it made.
///
/// # Errors
/// A file cannot be written or read, or half of a pair is missing: the certificate or its key.
pub(super) fn ensure(dir: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let now = OffsetDateTime::now_utc();
    let mut created = Vec::new();
    private_directory(dir)?;
    certificates(dir, now, &mut created)?;
    signing_key(&dir.join("signing"), now, &mut created)?;
    identifier_key(dir.join("identifier.key"), &mut created)?;
    Ok(created)
}

/// The CA and the server certificate that it signs.
fn certificates(dir: &Path, now: OffsetDateTime, created: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    let (ca_pem, ca_key) = (dir.join("ca.pem"), dir.join("ca.key"));
    let (server_pem, server_key) = (dir.join("server.pem"), dir.join("server.key"));
    let have_authority = both_or_neither(&ca_pem, &ca_key)?;
    let have_server = both_or_neither(&server_pem, &server_key)?;
    if have_authority && have_server {
        return Ok(());
    }
    if have_server {
        bail!(
            "{} is missing, and a new one would not match {}: put it back, or remove {} and {} to have all four made",
            ca_pem.display(),
            server_pem.display(),
            server_pem.display(),
            server_key.display()
        );
    }

    let authority = if have_authority {
        load_authority(&ca_pem, &ca_key, now)?
    } else {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let params = authority_params(now);
        let certificate = params.self_signed(&key)?;
        write_new(ca_key, PRIVATE, key_pem(&key).as_bytes(), created)?;
        write_new(ca_pem, PUBLIC, certificate.pem().as_bytes(), created)?;
        Issuer::new(params, key)
    };

    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let certificate = server_params(now)?.signed_by(&key, &authority)?;
    write_new(server_key, PRIVATE, key_pem(&key).as_bytes(), created)?;
    write_new(server_pem, PUBLIC, certificate.pem().as_bytes(), created)
}

/// The key of the CA that is already there.
fn load_authority(certificate: &Path, key: &Path, now: OffsetDateTime) -> anyhow::Result<Issuer<'static, KeyPair>> {
    let text = Zeroizing::new(fs::read_to_string(key).with_context(|| format!("cannot read {}", key.display()))?);
    let pair = KeyPair::from_pem(&text).with_context(|| format!("{} is not a private key", key.display()))?;
    let der = CertificateDer::from_pem_file(certificate)
        .with_context(|| format!("{} is not a certificate", certificate.display()))?;
    let (_, parsed) = x509_parser::parse_x509_certificate(&der)
        .with_context(|| format!("{} is not a certificate", certificate.display()))?;
    let made_here = parsed.subject().iter_common_name().any(|name| name.as_str() == Ok(AUTHORITY));
    ensure!(
        made_here && parsed.public_key().subject_public_key.data.as_ref() == pair.public_key_raw(),
        "{} is not a development CA with {} as its key: sign a server certificate yourself, or remove the two files",
        certificate.display(),
        key.display()
    );
    Ok(Issuer::new(authority_params(now), pair))
}

fn authority_params(now: OffsetDateTime) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = name(AUTHORITY);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    valid_from(&mut params, now);
    params
}

fn server_params(now: OffsetDateTime) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::default();
    params.distinguished_name = name("localhost");
    params.subject_alt_names = vec![
        SanType::DnsName("localhost".try_into()?),
        SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        SanType::IpAddress(IpAddr::V6(Ipv6Addr::LOCALHOST)),
    ];
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    valid_from(&mut params, now);
    Ok(params)
}

fn name(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

/// From yesterday, because clocks differ.
fn valid_from(params: &mut CertificateParams, now: OffsetDateTime) {
    params.not_before = now - Duration::days(1);
    params.not_after = now + VALIDITY;
}

/// One ES256 key, where the directory has no `*.pem` yet.
fn signing_key(dir: &Path, now: OffsetDateTime, created: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    private_directory(dir)?;
    for entry in fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))? {
        if entry?.path().extension().is_some_and(|extension| extension == "pem") {
            return Ok(());
        }
    }
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let (year, month, day) = now.to_calendar_date();
    let file = format!("{year:04}{:02}{day:02}T000000Z-es256.pem", u8::from(month));
    write_new(dir.join(file), PRIVATE, key_pem(&key).as_bytes(), created)
}

/// `v1:` and 64 random bytes in base64url.
fn identifier_key(path: PathBuf, created: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    if is_there(&path)? {
        return Ok(());
    }
    let bytes = Zeroizing::new(random_bytes::<64>());
    let text = Zeroizing::new(format!("v1:{}\n", URL_SAFE_NO_PAD.encode(bytes.as_slice())));
    write_new(path, PRIVATE, text.as_bytes(), created)
}

fn key_pem(key: &KeyPair) -> Zeroizing<String> {
    Zeroizing::new(key.serialize_pem())
}

/// Returns whether a certificate and its key are there; half of the pair is an error, because neither can be made for
/// the other without guessing what was meant.
fn both_or_neither(certificate: &Path, key: &Path) -> anyhow::Result<bool> {
    match (is_there(certificate)?, is_there(key)?) {
        (true, true) => Ok(true),
        (false, false) => Ok(false),
        (true, false) => bail!(half(certificate, key)),
        (false, true) => bail!(half(key, certificate)),
    }
}

fn half(present: &Path, missing: &Path) -> String {
    format!(
        "{} is there without {}: put it back, or remove {} to have both made",
        present.display(),
        missing.display(),
        present.display()
    )
}

/// Returns whether the name is taken, by a dangling link too.
fn is_there(path: &Path) -> anyhow::Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("cannot look at {}", path.display())),
    }
}

/// Makes the directory where there is none. The mode of one that is there stays: it is not ours.
fn private_directory(dir: &Path) -> anyhow::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(PRIVATE_DIRECTORY)
        .create(dir)
        .with_context(|| format!("cannot make the directory {}", dir.display()))
}

/// Writes a file that is not there yet. It has its mode from its first moment.
fn write_new(path: PathBuf, mode: u32, content: &[u8], created: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    crate::secret::write_new(&path, mode, content).with_context(|| format!("cannot write {}", path.display()))?;
    created.push(path);
    Ok(())
}

#[cfg(test)]
mod tests;
