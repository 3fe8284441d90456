//! The messages of `envoy.service.auth.v3`, as far as they are used. Other fields are skipped.

use std::collections::HashMap;

use http::HeaderMap;
use http::header::{self, HeaderName, HeaderValue};

use super::{Described, ForwardedRequest};
use crate::refusal::Refusal;

/// `CheckRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct CheckRequest {
    #[prost(message, optional, tag = "1")]
    attributes: Option<Attributes>,
}

/// `AttributeContext`.
#[derive(Clone, PartialEq, prost::Message)]
struct Attributes {
    #[prost(message, optional, tag = "1")]
    source: Option<Peer>,
    #[prost(message, optional, tag = "4")]
    request: Option<Request>,
}

/// `AttributeContext.Peer`.
#[derive(Clone, PartialEq, prost::Message)]
struct Peer {
    #[prost(message, optional, tag = "1")]
    address: Option<Address>,
}

/// `config.core.v3.Address`.
#[derive(Clone, PartialEq, prost::Message)]
struct Address {
    #[prost(message, optional, tag = "1")]
    socket: Option<SocketAddress>,
}

/// `config.core.v3.SocketAddress`.
#[derive(Clone, PartialEq, prost::Message)]
struct SocketAddress {
    #[prost(string, tag = "2")]
    address: String,
}

/// `AttributeContext.Request`.
#[derive(Clone, PartialEq, prost::Message)]
struct Request {
    #[prost(message, optional, tag = "2")]
    http: Option<HttpRequest>,
}

/// `AttributeContext.HttpRequest`.
#[derive(Clone, PartialEq, prost::Message)]
struct HttpRequest {
    #[prost(string, tag = "2")]
    method: String,
    #[prost(map = "string, string", tag = "3")]
    headers: HashMap<String, String>,
    #[prost(string, tag = "4")]
    path: String,
    #[prost(string, tag = "5")]
    host: String,
    #[prost(string, tag = "6")]
    scheme: String,
    /// In place of `headers`, where Envoy has `encode_raw_headers`.
    #[prost(message, optional, tag = "13")]
    header_map: Option<Fields>,
}

/// `config.core.v3.HeaderMap`.
#[derive(Clone, PartialEq, prost::Message)]
struct Fields {
    #[prost(message, repeated, tag = "1")]
    headers: Vec<Field>,
}

/// `config.core.v3.HeaderValue`.
#[derive(Clone, PartialEq, prost::Message)]
struct Field {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(string, tag = "2")]
    value: String,
    #[prost(bytes = "vec", tag = "3")]
    raw_value: Vec<u8>,
}

/// `CheckResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct CheckResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) status: Option<GrpcStatus>,
    #[prost(oneof = "HttpResponse", tags = "2, 3")]
    pub(super) http_response: Option<HttpResponse>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(super) enum HttpResponse {
    #[prost(message, tag = "2")]
    Denied(Denied),
    #[prost(message, tag = "3")]
    Passed(Passed),
}

/// `google.rpc.GrpcStatus`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct GrpcStatus {
    #[prost(int32, tag = "1")]
    pub(super) code: i32,
}

/// `DeniedHttpResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Denied {
    #[prost(message, optional, tag = "1")]
    pub(super) status: Option<HttpStatus>,
    #[prost(message, repeated, tag = "2")]
    pub(super) headers: Vec<SetField>,
    #[prost(string, tag = "3")]
    pub(super) body: String,
}

/// `type.v3.HttpStatus`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct HttpStatus {
    #[prost(int32, tag = "1")]
    pub(super) code: i32,
}

/// `OkHttpResponse`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Passed {
    #[prost(message, repeated, tag = "2")]
    pub(super) headers: Vec<SetField>,
    #[prost(string, repeated, tag = "5")]
    pub(super) headers_to_remove: Vec<String>,
    #[prost(message, repeated, tag = "6")]
    pub(super) response_headers_to_add: Vec<SetField>,
}

/// `config.core.v3.HeaderValueOption`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct SetField {
    #[prost(message, optional, tag = "1")]
    header: Option<Field>,
    /// Present and false: the field replaces existing ones, whatever the version of Envoy.
    #[prost(message, optional, tag = "2")]
    append: Option<No>,
}

/// `google.protobuf.BoolValue` of false.
#[derive(Clone, PartialEq, prost::Message)]
struct No {}

impl SetField {
    /// A field that replaces existing ones.
    pub(super) fn instead(name: &str, value: &str) -> Self {
        let header = Field { key: name.to_owned(), value: value.to_owned(), raw_value: Vec::new() };
        Self { header: Some(header), append: Some(No {}) }
    }
}

impl CheckRequest {
    /// The described request.
    ///
    /// # Errors
    /// [`Refusal::BadForwardedRequest`] where a part of it is missing or unusable.
    pub(super) fn original(self) -> Result<ForwardedRequest, Refusal> {
        let attributes = self.attributes.ok_or(Refusal::BadForwardedRequest)?;
        let address =
            attributes.source.and_then(|peer| peer.address?.socket).ok_or(Refusal::BadForwardedRequest)?.address;
        let http = attributes.request.and_then(|request| request.http).ok_or(Refusal::BadForwardedRequest)?;
        let mut headers = HeaderMap::new();
        for (name, value) in &http.headers {
            add(&mut headers, name, value.as_bytes())?;
        }
        for field in http.header_map.iter().flat_map(|fields| &fields.headers) {
            let value = if field.raw_value.is_empty() { field.value.as_bytes() } else { &field.raw_value };
            add(&mut headers, &field.key, value)?;
        }
        let [method, target, host, scheme] = [&http.method, &http.path, &http.host, &http.scheme].map(String::as_bytes);
        ForwardedRequest::new(Described { method, target, host, scheme, address: &address }, headers)
    }
}

/// Adds a header field. Pseudo-headers and `Host`, which stand elsewhere already, are skipped.
fn add(headers: &mut HeaderMap, name: &str, value: &[u8]) -> Result<(), Refusal> {
    if name.starts_with(':') || name.eq_ignore_ascii_case(header::HOST.as_str()) {
        return Ok(());
    }
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| Refusal::BadForwardedRequest)?;
    headers.append(name, HeaderValue::from_bytes(value).map_err(|_| Refusal::BadForwardedRequest)?);
    Ok(())
}
