//! Export of traces, read: the collector's address, its CA certificates and the fields that it asks for.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};

use super::ca_certificates::Authorities;
use crate::config::percentage::Percentage;
use crate::config::{Config, Problems, raw};
use crate::fetch::{Fetcher, Proxies};
use crate::otlp::{OtlpSettings, OtlpTransport};

/// Longest wait for the collector.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The method of OTLP/gRPC.
const EXPORT: &str = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";

/// Reads it; `None` where nothing is exported. What is wrong goes to `problems`.
pub fn read(config: &Config, problems: &mut Problems) -> Option<OtlpSettings> {
    let otlp = config.raw().telemetry.otlp.as_ref()?;
    let at = "telemetry.otlp";
    let fields: Vec<_> = otlp.headers.iter().map(|(name, secret)| (name, field(config, name, secret))).collect();
    let mut read = Vec::new();
    for (name, field) in fields {
        match field {
            Ok(field) => read.push(field),
            Err((message, help)) => problems.push(config.problem(&format!("{at}.headers.{name}"), message, help)),
        }
    }
    let trusted = match Authorities::new(config).of(otlp.ca.as_deref()) {
        Ok(trusted) => trusted,
        Err((message, help)) => {
            problems.push(config.problem(&format!("{at}.ca"), message, help));
            return None;
        }
    };
    let base = otlp.endpoint.trim_end_matches('/');
    let mut tls = (*trusted.client).clone();
    let (transport, url) = match otlp.protocol {
        raw::OtlpProtocol::Http => (OtlpTransport::Http, format!("{base}/v1/traces")),
        raw::OtlpProtocol::Grpc => {
            tls.alpn_protocols = vec![b"h2".to_vec()];
            (OtlpTransport::Grpc, format!("{base}{EXPORT}"))
        }
    };
    let fetcher =
        Fetcher { tls: Arc::new(tls), plain: true, private: true, proxies: Proxies::Environment, timeout: TIMEOUT };
    Some(OtlpSettings {
        url,
        transport,
        sample: f64::from(otlp.sample.millionths()) / f64::from(Percentage::WHOLE),
        interval: otlp.interval.get(),
        fields: read,
        fetcher,
    })
}

fn field(config: &Config, name: &str, secret: &raw::SecretRef) -> Result<(HeaderName, HeaderValue), (String, String)> {
    let unusable = |_| ("this cannot be sent in a header".to_owned(), "put visible ASCII into it".to_owned());
    let secret = config.read_secret_line(secret)?;
    let mut value = HeaderValue::from_bytes(secret.expose()).map_err(unusable)?;
    value.set_sensitive(true);
    let name = HeaderName::from_bytes(name.as_bytes());
    let name = name.map_err(|_| ("this is not the name of a header".to_owned(), "write another".to_owned()))?;
    Ok((name, value))
}
