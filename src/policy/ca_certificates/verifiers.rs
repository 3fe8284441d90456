//! Verifiers of servers' certificates.

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, SignatureScheme};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::key_proof::{self, KeyProof};
use crate::hex::hex;

type Proved = Result<HandshakeSignatureValid, Error>;

/// A fault that rustls has no word for.
#[derive(Debug)]
struct Named(String);

impl fmt::Display for Named {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Named {}

fn other(message: String) -> Error {
    CertificateError::Other(OtherError(Arc::new(Named(message)))).into()
}

/// Takes a certificate that `ca` itself names, also one of a CA, and those that a CA of `ca` has signed. Name and dates
/// must be right.
#[derive(Debug)]
pub(super) struct NamedOrSigned {
    pub(super) named: Vec<CertificateDer<'static>>,
    pub(super) signed: Arc<WebPkiServerVerifier>,
}

impl ServerCertVerifier for NamedOrSigned {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if !self.named.iter().any(|named| **named == **certificate) {
            return self.signed.verify_server_cert(certificate, others, name, ocsp, now);
        }
        let (_, read) = X509Certificate::from_der(certificate).map_err(|_| CertificateError::BadEncoding)?;
        in_time(&read, now)?;
        match verify_server_name(&ParsedCertificate::try_from(certificate)?, name) {
            // By its alternative names alone it is for nobody. The operator has chosen this very certificate.
            Err(Error::InvalidCertificate(CertificateError::NotValidForNameContext { presented, .. }))
                if presented.is_empty() && has_common_name(&read, name) => {}
            outcome => outcome?,
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        by: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Proved {
        self.signed.verify_tls12_signature(message, by, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        by: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Proved {
        self.signed.verify_tls13_signature(message, by, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.signed.supported_verify_schemes()
    }
}

fn in_time(certificate: &X509Certificate<'_>, now: UnixTime) -> Result<(), CertificateError> {
    let time = |seconds: i64| {
        UnixTime::since_unix_epoch(std::time::Duration::from_secs(u64::try_from(seconds).unwrap_or_default()))
    };
    let validity = certificate.validity();
    let (not_before, not_after) = (time(validity.not_before.timestamp()), time(validity.not_after.timestamp()));
    if now < not_before {
        return Err(CertificateError::NotValidYetContext { time: now, not_before });
    }
    if now > not_after {
        return Err(CertificateError::ExpiredContext { time: now, not_after });
    }
    Ok(())
}

/// Returns whether the only common name of a certificate without alternative names is this one.
fn has_common_name(certificate: &X509Certificate<'_>, name: &ServerName<'_>) -> bool {
    let mut names = certificate.subject().iter_common_name().map(|name| name.as_str());
    let is_without_others = matches!(certificate.subject_alternative_name(), Ok(None));
    let only =
        matches!((names.next(), names.next()), (Some(Ok(common)), None) if common.eq_ignore_ascii_case(&name.to_str()));
    is_without_others && only
}

/// Takes certificates whatever their names and dates, from whoever has their key.
#[derive(Debug)]
pub(super) enum ByKey {
    /// Those with these SHA-256.
    Pinned(Vec<[u8; 32]>),
    /// Any. Where the library cannot verify who has the key, that is believed: whoever is in between could as well show a
    /// certificate of their own.
    Any,
}

impl ByKey {
    fn verdict(&self, proof: KeyProof) -> Proved {
        match (proof, self) {
            (KeyProof::Given, _) | (KeyProof::Unverifiable, Self::Any) => Ok(HandshakeSignatureValid::assertion()),
            (KeyProof::Refuted, _) => Err(CertificateError::BadSignature.into()),
            (KeyProof::Unverifiable, Self::Pinned(_)) => Err(other(
                "it has a key whose signatures the gateway cannot verify, such as RSA below 2048 bits in TLS 1.3"
                    .to_owned(),
            )),
        }
    }
}

impl ServerCertVerifier for ByKey {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Self::Pinned(pins) = self else { return Ok(ServerCertVerified::assertion()) };
        let shown = digest(&SHA256, certificate);
        if pins.iter().any(|pin| pin[..] == *shown.as_ref()) {
            return Ok(ServerCertVerified::assertion());
        }
        Err(other(format!("its SHA-256 is {}, which is not in pin_sha256", hex(shown.as_ref()))))
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        by: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Proved {
        key_proof::tls12(message, by, signed).and_then(|proof| self.verdict(proof))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        by: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Proved {
        key_proof::tls13(message, by, signed).and_then(|proof| self.verdict(proof))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        key_proof::schemes()
    }
}
