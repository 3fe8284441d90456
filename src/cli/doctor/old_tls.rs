//! Versions of TLS that nobody should speak any more (RFC 8996). The TLS library here cannot speak them either, so the
//! one message that asks for them is written by hand (RFC 5246 section 7.4.1.2).

use std::time::Duration;

use anyhow::bail;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use super::deployed_gateway::DeployedGateway;

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// A version without which the world is better off.
#[derive(Debug, Clone, Copy)]
pub(super) enum OldVersion {
    Tls10,
    Tls11,
}

impl OldVersion {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Tls10 => "TLS 1.0",
            Self::Tls11 => "TLS 1.1",
        }
    }

    fn bytes(self) -> [u8; 2] {
        match self {
            Self::Tls10 => [3, 1],
            Self::Tls11 => [3, 2],
        }
    }
}

/// True if the server goes on with a handshake of this version. Whoever refuses sends an alert, or closes.
///
/// # Errors
/// There is no connection, or no answer in time.
pub(super) async fn is_spoken(gateway: &DeployedGateway, version: OldVersion) -> anyhow::Result<bool> {
    let mut stream = gateway.connect().await?;
    let name = match gateway.server_name()? {
        ServerName::DnsName(name) => Some(name.as_ref().to_owned()),
        _ => None,
    };
    stream.write_all(&client_hello(version, name.as_deref())).await?;
    let mut head = [0; 6];
    match timeout(PATIENCE, stream.read_exact(&mut head)).await {
        Err(_) => bail!("no answer within {} s", PATIENCE.as_secs()),
        // Closed or reset: a refusal.
        Ok(Err(_)) => Ok(false),
        // A handshake record with a ServerHello.
        Ok(Ok(_)) => Ok(head[0] == 22 && head[5] == 2),
    }
}

/// A ClientHello with the suites of that time.
fn client_hello(version: OldVersion, name: Option<&str>) -> Vec<u8> {
    const SUITES: [[u8; 2]; 8] =
        [[0xc0, 0x09], [0xc0, 0x0a], [0xc0, 0x13], [0xc0, 0x14], [0, 0x2f], [0, 0x35], [0, 0x0a], [0, 0xff]];
    let mut extensions = Vec::new();
    if let Some(name) = name {
        let entry = [&[0][..], &sized(name.as_bytes())].concat();
        extensions.extend(extension(0, &sized(&entry)));
    }
    // secp256r1, secp384r1; uncompressed points.
    extensions.extend(extension(10, &sized(&[0, 23, 0, 24])));
    extensions.extend(extension(11, &[1, 0]));
    let random = crate::secret::random_bytes::<32>();
    let body = [
        &version.bytes()[..],
        &random,
        &[0],
        &sized(&SUITES.concat()),
        // No compression.
        &[1, 0],
        &sized(&extensions),
    ]
    .concat();
    let length = u32::try_from(body.len()).unwrap_or_default().to_be_bytes();
    let message = [&[1][..], &length[1..], &body].concat();
    [&[22, 3, 1][..], &sized(&message)].concat()
}

fn extension(kind: u8, content: &[u8]) -> Vec<u8> {
    [&[0, kind][..], &sized(content)].concat()
}

/// The bytes with their length in two bytes before them.
fn sized(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap_or_default().to_be_bytes();
    [&length[..], bytes].concat()
}
