//! TLS of the gateway, and what can be reached past it.

use std::time::Duration;

use http::header;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::Trial;
use super::deployed_gateway::{DeployedGateway, Outgoing};
use super::old_tls::{self, OldVersion};
use super::report::DoctorReport;

/// Fewest days that a certificate should be valid for.
const DAYS: i64 = 14;

/// Longest wait for an answer in plain http on a port of TLS.
const PLAIN: Duration = Duration::from_secs(5);

/// Checks the way to the gateway; false if there is none, and nothing else can be tried.
pub(super) async fn check(gateway: &DeployedGateway, report: &mut DoctorReport) -> bool {
    if !gateway.is_secure() {
        let saw = "the address begins with http://: tokens and passwords are readable on the way";
        report.note("tls", false, saw, "Call the gateway by https");
        return match gateway.connect().await {
            // No password goes over a network in the clear.
            Ok(_) => gateway.is_loopback(),
            Err(error) => {
                report.note("connection", false, error.to_string(), "Is the gateway running, and the way to it open?");
                false
            }
        };
    }
    let stream = match gateway.handshake().await {
        Ok(stream) => stream,
        Err(error) => {
            let fix = "See that the gateway runs, that its certificate is for this name, and give its CA with --ca";
            report.note("tls", false, error.to_string(), fix);
            return false;
        }
    };
    let (_, session) = stream.get_ref();
    let version = session.protocol_version().map(|version| format!("{version:?}")).unwrap_or_default();
    let suite = session.negotiated_cipher_suite().map(|suite| format!("{:?}", suite.suite())).unwrap_or_default();
    report.note(
        "tls",
        version == "TLSv1_3",
        format!("{version}, {suite}"),
        "ASAPP asks for TLS 1.3: something in front of the gateway ends TLS with an older version",
    );
    if let Some(leaf) = session.peer_certificates().and_then(|chain| chain.first())
        && let Ok((_, leaf)) = X509Certificate::from_der(leaf)
    {
        let left = leaf.validity().not_after.timestamp() - time::OffsetDateTime::now_utc().unix_timestamp();
        let days = left / 86_400;
        let saw = format!("trusted, for this name, valid for another {days} days");
        report.note("certificate", days >= DAYS, saw, "Renew the certificate; the gateway takes it without a restart");
    }
    old_versions(gateway, report).await;
    plain_http(gateway, report).await;
    true
}

/// TLS 1.0 and 1.1 (RFC 8996) must be refused.
async fn old_versions(gateway: &DeployedGateway, report: &mut DoctorReport) {
    let mut faults = Vec::new();
    for version in [OldVersion::Tls10, OldVersion::Tls11] {
        match old_tls::is_spoken(gateway, version).await {
            Ok(true) => faults.push(format!("{} is accepted", version.name())),
            Ok(false) => {}
            Err(error) => {
                report.skip("tls_old", format!("{}: {error}", version.name()));
                return;
            }
        }
    }
    report.note_faults(
        "tls_old",
        &faults,
        "TLS 1.0 and 1.1 are refused",
        "wicketgate has neither: switch them off in what stands in front of it",
    );
}

/// A request in plain http on the port of TLS gets no answer of the application.
async fn plain_http(gateway: &DeployedGateway, report: &mut DoctorReport) {
    let answer = async {
        let mut stream = gateway.connect().await.ok()?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.ok()?;
        let mut head = [0; 12];
        timeout(PLAIN, stream.read_exact(&mut head)).await.ok()?.ok()?;
        Some(String::from_utf8_lossy(&head).into_owned())
    };
    let head = answer.await.filter(|head| head.starts_with("HTTP/1.") && !head.ends_with("400"));
    let saw = head.as_ref().map_or("refused".to_owned(), |head| format!("answered: {head}"));
    report.note("plain_http", head.is_none(), saw, "Nothing may answer plain http on this port");
}

/// The backend must not answer a stranger past the gateway.
pub(super) async fn check_backend(trial: &Trial, backend: &DeployedGateway, report: &mut DoctorReport) {
    const FIX: &str = "Let only the gateway reach the backend: a firewall rule, or a backend that checks the gateway's \
                       assertion (docs/backend-assertion.md)";
    let mut call = Outgoing::new(trial.method.clone(), &trial.path);
    call = call
        .header(trial.identifier_header.clone(), "wicketgate-doctor")
        .header(header::CONTENT_TYPE, "application/json");
    call.body.clone_from(&trial.body);
    match backend.send(&call).await {
        Ok(reply) => {
            let refuses = matches!(reply.status, 401 | 403);
            let saw = format!("{} answers {} to a call without the gateway", backend.url(), reply.status);
            report.note("backend_direct", refuses, saw, FIX);
        }
        Err(error) => report.note("backend_direct", true, format!("not reachable from here: {error:#}"), FIX),
    }
}
