//! Why a TLS handshake with a server failed, with what to do about it: keys of `backends.NAME.tls`.

use std::io;

use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};

/// What to do where a server has nothing in common with the gateway's TLS.
const OLD: &str = "the server shares no TLS version or cipher suite with the gateway (or demands a client certificate: \
                   `certificate`): see docs/legacy-backends.md#old-tls";

/// The reason of a failed handshake for the log.
pub(super) fn explained(error: &io::Error) -> String {
    let Some(fault) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
        return match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => format!(
                "{error}: the server closed the connection during the handshake, as some do that share no TLS version or \
                 cipher suite with the gateway: see docs/legacy-backends.md#old-tls"
            ),
            _ => error.to_string(),
        };
    };
    let remedy = match fault {
        Error::InvalidCertificate(fault) => return certificate(fault),
        Error::AlertReceived(alert) => of_alert(*alert),
        Error::PeerIncompatible(what) => of_peer(what),
        Error::InvalidMessage(_) => Some(
            "what came is no TLS that the gateway speaks: is the port one of https? For TLS before 1.2 see \
             docs/legacy-backends.md#old-tls",
        ),
        _ => None,
    };
    match remedy {
        Some(remedy) => format!("{fault}: {remedy}"),
        None => fault.to_string(),
    }
}

/// What the server did in a failed handshake, in a phrase of ours.
pub(super) fn phrase(error: &io::Error) -> &'static str {
    let Some(fault) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
        return match error.kind() {
            io::ErrorKind::TimedOut => "TLS: no handshake in time",
            io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                "TLS: closed in the handshake"
            }
            _ => "TLS: handshake failed",
        };
    };
    match fault {
        Error::InvalidCertificate(fault) => phrase_of_certificate(fault),
        Error::AlertReceived(alert) if of_alert(*alert) == Some(OLD) => "TLS: no common version or cipher suite",
        Error::AlertReceived(AlertDescription::UnrecognisedName) => "TLS: the server does not know this name",
        Error::AlertReceived(AlertDescription::CertificateRequired) => "TLS: the server demands a client certificate",
        Error::AlertReceived(alert) if of_alert(*alert).is_some() => {
            "TLS: the server refused the gateway's certificate"
        }
        Error::AlertReceived(_) => "TLS: the server refused the handshake",
        Error::PeerIncompatible(_) => "TLS: no common version or cipher suite",
        Error::InvalidMessage(_) => "TLS: not TLS",
        _ => "TLS: handshake failed",
    }
}

fn phrase_of_certificate(fault: &CertificateError) -> &'static str {
    match fault {
        CertificateError::UnknownIssuer => "TLS: certificate of an unknown CA",
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "TLS: certificate expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => "TLS: certificate not yet valid",
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "TLS: certificate for another name"
        }
        CertificateError::Revoked => "TLS: certificate revoked",
        CertificateError::Other(what) if what.0.to_string().ends_with("pin_sha256") => {
            "TLS: certificate other than pin_sha256"
        }
        _ => "TLS: certificate not accepted",
    }
}

fn of_alert(alert: AlertDescription) -> Option<&'static str> {
    match alert {
        AlertDescription::HandshakeFailure
        | AlertDescription::ProtocolVersion
        | AlertDescription::InsufficientSecurity => Some(OLD),
        AlertDescription::UnrecognisedName => Some("the server does not know this name: set `server_name`"),
        AlertDescription::CertificateRequired => Some("the server demands a client certificate: set `certificate`"),
        AlertDescription::BadCertificate
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnknownCA
        | AlertDescription::AccessDenied => Some("the server does not accept the gateway's `certificate`"),
        AlertDescription::NoApplicationProtocol => Some("the server does not speak HTTP/2: remove `protocol`"),
        _ => None,
    }
}

fn of_peer(what: &PeerIncompatible) -> Option<&'static str> {
    match what {
        PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
        | PeerIncompatible::ServerDoesNotSupportTls12Or13
        | PeerIncompatible::NoCipherSuitesInCommon
        | PeerIncompatible::NoKxGroupsInCommon
        | PeerIncompatible::ExtendedMasterSecretExtensionRequired => Some(OLD),
        _ => None,
    }
}

/// The fault of a server's certificate.
fn certificate(fault: &CertificateError) -> String {
    let remedy = match fault {
        CertificateError::Other(what) => {
            let what = what.0.to_string();
            let remedy = of_other(&what);
            return format!("invalid peer certificate: {what}: {remedy}");
        }
        CertificateError::UnknownIssuer => {
            "no trusted CA has signed it: name its CA, or the certificate itself where it is self-signed, in `ca`"
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "let the server renew it, or accept this one whatever its dates by `pin_sha256`"
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "is a clock wrong? `pin_sha256` accepts it whatever its dates"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "set `server_name` to a name that it has, or `pin_sha256`, for which names do not count"
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "it is not for servers: name it in `ca`, or set `pin_sha256`"
        }
        _ => "`pin_sha256` accepts this certificate as it is",
    };
    format!("invalid peer certificate: {fault}: {remedy}")
}

/// A fault that rustls has no word for: the verifier's of the X.509 library, or our own.
fn of_other(what: &str) -> &'static str {
    match what {
        "CaUsedAsEndEntity" => {
            "the server shows the certificate of a CA: name exactly this certificate in `ca`, or set `pin_sha256`"
        }
        "UnsupportedCertVersion" => "it is X.509 version 1: set `pin_sha256`",
        what if what.ends_with("pin_sha256") => "if the server has a new certificate, add that to `pin_sha256`",
        what if what.contains("cannot verify") => "give the server a certificate with another key",
        _ => "`pin_sha256` accepts this certificate as it is",
    }
}
