//! Files in the place of PEM that are something else: DER, PKCS #12, a Java key store, UTF-16.

use x509_parser::asn1_rs::{Any, FromBer as _, Tag};
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::revocation_list::CertificateRevocationList;

use super::Fault;

/// What a file is.
pub(super) enum OtherFormat {
    Empty,
    Utf16,
    Certificate,
    Key,
    EncryptedKey,
    RevocationList,
    Pkcs7,
    Pkcs12,
    JavaKeyStore,
    Binary,
}

/// Returns whether a file is one value in DER, and no text.
pub(super) fn is_der(bytes: &[u8]) -> bool {
    // The length of all that is in question is longer than one byte, or not a letter.
    matches!(bytes, [0x30, length, ..] if *length >= 0x80 || *length < 0x20)
}

/// The format of a file that is neither PEM nor other text.
pub(super) fn of(bytes: &[u8]) -> Option<OtherFormat> {
    match bytes {
        [] => Some(OtherFormat::Empty),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [b'-', 0, ..] | [0, b'-', ..] => Some(OtherFormat::Utf16),
        [0xfe, 0xed, 0xfe, 0xed, ..] | [0xce, 0xce, 0xce, 0xce, ..] => Some(OtherFormat::JavaKeyStore),
        _ if is_der(bytes) => Some(der(bytes)),
        _ => None,
    }
}

fn der(bytes: &[u8]) -> OtherFormat {
    if X509Certificate::from_der(bytes).is_ok() {
        return OtherFormat::Certificate;
    }
    if CertificateRevocationList::from_der(bytes).is_ok() {
        return OtherFormat::RevocationList;
    }
    let Ok((_, whole)) = Any::from_ber(bytes) else { return OtherFormat::Binary };
    match Any::from_ber(whole.data) {
        // PFX has version 3 (RFC 7292 section 4), and keys have 0 or 1 (RFC 5958 section 2, RFC 8017 appendix A.1.2,
        // RFC 5915 section 3).
        Ok((_, first)) if first.tag() == Tag::Integer && first.data == [3] => OtherFormat::Pkcs12,
        Ok((_, first)) if first.tag() == Tag::Integer && matches!(first.data, [0 | 1]) => OtherFormat::Key,
        Ok((_, first)) if first.tag() == Tag::Oid => OtherFormat::Pkcs7,
        // An algorithm and what it has encrypted (RFC 5958 section 3).
        Ok((rest, first))
            if first.tag() == Tag::Sequence
                && matches!(Any::from_ber(first.data), Ok((_, algorithm)) if algorithm.tag() == Tag::Oid)
                && matches!(Any::from_ber(rest), Ok(([], encrypted)) if encrypted.tag() == Tag::OctetString) =>
        {
            OtherFormat::EncryptedKey
        }
        _ => OtherFormat::Binary,
    }
}

impl OtherFormat {
    /// Message, and the command that converts this file.
    pub(super) fn fault(&self, path: &str) -> Fault {
        let convert = |command: String| format!("convert it with `{command}`, and name the new file");
        let (message, help) = match self {
            Self::Empty => ("the file is empty", "put PEM into it".to_owned()),
            Self::Utf16 => ("this is UTF-16", convert(format!("iconv -f UTF-16 -t UTF-8 {path} > NEW.pem"))),
            Self::Certificate => (
                "this is a certificate in DER, not PEM",
                convert(format!("openssl x509 -inform DER -in {path} -out NEW.pem")),
            ),
            Self::Key => (
                "this is a private key in DER, not PEM",
                convert(format!("openssl pkey -inform DER -in {path} -out NEW.pem")),
            ),
            Self::EncryptedKey => (
                "this is an encrypted private key in DER, not PEM",
                format!(
                    "decrypt and convert it with `openssl pkcs8 -inform DER -in {path} -out NEW.pem`, and name the new file"
                ),
            ),
            Self::RevocationList => (
                "this is a certificate revocation list in DER",
                "name the file of a certificate or key, in PEM".to_owned(),
            ),
            Self::Pkcs7 => (
                "this is PKCS #7, not PEM",
                convert(format!("openssl pkcs7 -inform DER -print_certs -in {path} -out NEW.pem")),
            ),
            Self::Pkcs12 => (
                "this is PKCS #12 (.p12, .pfx), not PEM",
                format!(
                    "take the certificates out with `openssl pkcs12 -in {path} -nokeys -out NEW.pem` and the key with \
                     `openssl pkcs12 -in {path} -nocerts -nodes -out NEW.key` (older files need `-legacy`)"
                ),
            ),
            Self::JavaKeyStore => (
                "this is a Java key store, not PEM",
                format!(
                    "make PKCS #12 of it with `keytool -importkeystore -srckeystore {path} -destkeystore NEW.p12 \
                     -deststoretype PKCS12`, and PEM of that with `openssl pkcs12`"
                ),
            ),
            Self::Binary => ("this is not PEM", "put certificates and keys there in PEM".to_owned()),
        };
        (message.to_owned(), help)
    }
}
