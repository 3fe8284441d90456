//! Envoy's external authorization by gRPC: `envoy.service.auth.v3.Authorization/Check`, over HTTP/2.
//!
//! An unreadable question gets no response at all, or a refusal: Envoy lets nothing pass on either, unless
//! `failure_mode_allow` is set.

use bytes::{BufMut as _, Bytes, BytesMut};
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Method, Response, Version};
use prost::Message as _;

use super::forwarded_request::{Described, ForwardedRequest};
use super::{Asking, AuthDecision, Unnamed, asked_by};
use crate::gateway::error::{self, Refused};
use crate::gateway::exchange::Exchange;
use crate::gateway::observe::record::Record;
use crate::gateway::refusal_response;
use crate::gateway::request::call::Call;
use crate::gateway::response::body::ResponseBody;
use crate::gateway::{Answer, Gateway};
use crate::policy::Policy;
use crate::refusal::Refusal;
use messages::{CheckRequest, CheckResponse, Denied, GrpcStatus, HttpResponse, HttpStatus, Passed, SetField};

mod messages;

/// The route name in log and metrics, until the route is known.
pub(crate) const NAME: &str = "ext_authz";

/// gRPC status codes.
#[derive(Debug, Clone, Copy)]
enum Code {
    Ok = 0,
    InvalidArgument = 3,
    PermissionDenied = 7,
    Unimplemented = 12,
    Unauthenticated = 16,
}

impl Gateway {
    /// Answers a `Check` of Envoy.
    pub(crate) async fn ext_authz(&self, mut call: Box<Call<'_>>, exchange: &mut Exchange) -> Result<Answer, Refused> {
        asked_by(call.policy, call.connection)?;
        if call.parts.version != Version::HTTP_2 || call.parts.method != Method::POST {
            return Err(Refusal::NoRoute.into());
        }
        let kind = call.content_type()?.map(|found| found.kind);
        if !matches!(kind.as_deref(), Some("application/grpc" | "application/grpc+proto")) {
            return Err(Refused::of_types(&["application/grpc"]));
        }
        let body = call.read_body(call.connection.limits.body, &exchange.record).await?;
        let asked =
            unframed(&body).and_then(|message| CheckRequest::decode(message).map_err(|_| Code::InvalidArgument));
        let original = match asked {
            Ok(request) => request.original(),
            Err(code) => {
                exchange.record.refusal = Some(Refusal::BadForwardedRequest);
                return Ok(failed(code));
            }
        };
        let judged = match original {
            Ok(original) => self.verdict_on(Asking::of(&call), original, Unnamed::Removed, exchange).await,
            Err(refusal) => Err(refusal.into()),
        };
        let mut fields = HeaderMap::new();
        if let Some(told) = exchange.rate_limit_headers.take() {
            told.write(&mut fields);
        }
        let response = match judged {
            Ok(verdict) => passed(verdict, &fields),
            Err(refused) => denied(&refused, fields, call.policy, &mut exchange.record),
        };
        Ok(framed(&response))
    }
}

fn passed(verdict: AuthDecision, told: &HeaderMap) -> CheckResponse {
    let mut headers: Vec<SetField> = verdict.identity.iter().map(field).collect();
    headers.extend(verdict.cookies.iter().map(|cookies| field((&header::COOKIE, cookies))));
    let headers_to_remove = verdict.removed.iter().map(ToString::to_string).collect();
    let response_headers_to_add = told.iter().map(field).collect();
    CheckResponse {
        status: Some(GrpcStatus { code: Code::Ok as i32 }),
        http_response: Some(HttpResponse::Passed(Passed { headers, headers_to_remove, response_headers_to_add })),
    }
}

/// The refusal that the caller would get here, for Envoy to pass on.
fn denied(refused: &Refused, told: HeaderMap, policy: &Policy, record: &mut Record) -> CheckResponse {
    let bodies = policy.error_bodies(record.route_number);
    let (mut head, body) = error::response(refused, record.id(), bodies).into_parts();
    refusal_response::tell_of_route(record.route_number, policy, &mut head.headers);
    let row = refused.row();
    record.refusal = Some(refused.refusal);
    record.decided = Some(row.status);
    let id = (&crate::gateway::REQUEST_ID, &record.request_id);
    let headers = head.headers.iter().chain(&told).chain([id]).map(field).collect();
    let body = String::from_utf8_lossy(&body).into_owned();
    let code =
        if row.status == http::StatusCode::UNAUTHORIZED { Code::Unauthenticated } else { Code::PermissionDenied };
    let status = Some(HttpStatus { code: i32::from(row.status.as_u16()) });
    CheckResponse {
        status: Some(GrpcStatus { code: code as i32 }),
        http_response: Some(HttpResponse::Denied(Denied { status, headers, body })),
    }
}

fn field((name, value): (&HeaderName, &HeaderValue)) -> SetField {
    SetField::instead(name.as_str(), &String::from_utf8_lossy(value.as_bytes()))
}

/// The single message of a gRPC body: one byte for compression, four bytes of length, the message.
fn unframed(body: &Bytes) -> Result<Bytes, Code> {
    let Some((head, message)) = body.split_first_chunk::<5>() else { return Err(Code::InvalidArgument) };
    let [compressed, length @ ..] = *head;
    if compressed != 0 {
        return Err(Code::Unimplemented);
    }
    if u32::from_be_bytes(length) as usize != message.len() {
        return Err(Code::InvalidArgument);
    }
    Ok(body.slice(5..))
}

fn framed(message: &CheckResponse) -> Answer {
    let length = message.encoded_len();
    let mut body = BytesMut::with_capacity(5 + length);
    body.put_u8(0);
    body.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    body.put_slice(&message.encode_to_vec());
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from(Code::Ok as i32));
    let mut response = Response::new(ResponseBody::trailed(body.freeze(), trailers));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response
}

/// A gRPC response without a message.
fn failed(code: Code) -> Answer {
    let mut response = Response::new(ResponseBody::full(Bytes::new()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    response.headers_mut().insert("grpc-status", HeaderValue::from(code as i32));
    response
}
