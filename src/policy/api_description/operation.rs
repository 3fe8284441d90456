//! One operation: what a request of it must be like.

use http::HeaderMap;
use serde_json::Value;

use super::document::{ApiDocument, DescriptionFault};
use super::parameters::{Given, Parameter, ParameterPlace, RequestTexts, is_json, query_of};
use super::redaction::RedactedResponses;
use super::rounding::has_rounded_number;
use super::schemas::{Misfit, SchemaCollector, Schemas, harmless};
use crate::json_body;

/// An operation of a document.
#[derive(Debug)]
pub(super) struct Operation {
    /// What is removed from its responses.
    pub(super) redacted: RedactedResponses,
    parameters: Vec<Parameter>,
    body: Option<BodyRule>,
}

/// What its body must be like.
#[derive(Debug)]
struct BodyRule {
    is_required: bool,
    media: Vec<MediaRule>,
}

#[derive(Debug)]
struct MediaRule {
    /// `application/json`, `application/*` or `*/*`, in lower case.
    kind: String,
    /// The key of its schema; `None`: the body is not looked at.
    schema: Option<u32>,
}

/// A request, as a caller sent it.
#[derive(Debug, Clone, Copy)]
pub struct DescribedRequest<'r> {
    /// Its query.
    pub query: Option<&'r str>,
    /// Its header fields.
    pub headers: &'r HeaderMap,
    /// The media type of its body, in lower case.
    pub kind: Option<&'r str>,
    /// Its body.
    pub body: &'r [u8],
}

/// Why a request does not fit its description.
#[derive(Debug, PartialEq, Eq)]
pub enum UndescribedRequest {
    /// A member or parameter does not fit.
    Misfit(Misfit),
    /// The body is not JSON, or JSON with two readings; the cause in a phrase.
    Json(&'static str),
    /// The body's media type is none of these.
    Kind(Vec<String>),
}

impl UndescribedRequest {
    fn at(place: impl Into<String>, rule: &str) -> Self {
        let place = harmless(&place.into());
        Self::Misfit(Misfit::at(&place, &place, rule))
    }
}

impl Operation {
    /// Reads an operation: `item` is the path item that it belongs to. What no request can be held against goes to `notes`.
    ///
    /// # Errors
    /// A parameter has a style that is not supported.
    pub(super) fn read(
        document: &ApiDocument,
        (item, raw): (&Value, &Value),
        at: &str,
        schemas: &mut SchemaCollector,
        notes: &mut Vec<String>,
    ) -> Result<Self, DescriptionFault> {
        let mut parameters: Vec<Parameter> = Vec::new();
        for parameter in merged_parameters(document, item, raw) {
            let read = Parameter::read(document, parameter).map_err(|why| DescriptionFault {
                message: format!(
                    "{}: {at}: the parameter `{}` {why}",
                    document.name,
                    parameter["name"].as_str().unwrap_or_default()
                ),
                help: "change it, or remove `validate` from the route".to_owned(),
            })?;
            let Some((mut parameter, schema)) = read else { continue };
            parameter.schema = schema.map(|schema| schemas.add(schema));
            parameters.push(parameter);
        }
        let body = raw.get("requestBody").map(|body| document.resolved(body));
        let body = body.map(|body| {
            let mut media = |(kind, media): (&String, &Value)| {
                let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
                if !is_json(&kind) {
                    notes.push(format!("{at}: a body of {kind} is not held against its schema, only JSON is"));
                }
                let schema = media.get("schema").filter(|_| is_json(&kind)).cloned();
                MediaRule { schema: schema.map(|schema| schemas.add(schema)), kind }
            };
            let content = body["content"].as_object().into_iter().flatten();
            BodyRule { is_required: body["required"] == Value::Bool(true), media: content.map(&mut media).collect() }
        });
        Ok(Self { redacted: RedactedResponses::default(), parameters, body })
    }

    /// Holds a request against the operation; `values` are those of its path.
    ///
    /// # Errors
    /// The first fault.
    pub(super) fn check(
        &self,
        request: &DescribedRequest<'_>,
        values: &[(&str, String)],
        schemas: &Schemas,
    ) -> Result<(), UndescribedRequest> {
        let query = request.query.map(query_of).unwrap_or_default();
        let texts = RequestTexts { path: values, query: &query, headers: request.headers };
        self.parameters.iter().try_for_each(|parameter| check_parameter(parameter, &texts, schemas))?;
        match &self.body {
            None if request.body.is_empty() => Ok(()),
            None => Err(UndescribedRequest::at("/", "is a body, and none is described")),
            Some(rule) => rule.check(request, schemas),
        }
    }
}

impl BodyRule {
    fn check(&self, request: &DescribedRequest<'_>, schemas: &Schemas) -> Result<(), UndescribedRequest> {
        if request.body.is_empty() {
            return if self.is_required {
                Err(UndescribedRequest::at("/", "is a body that is missing"))
            } else {
                Ok(())
            };
        }
        let kind = request.kind.unwrap_or_default();
        let Some(media) = self.media.iter().filter(|media| media.fits(kind)).max_by_key(|media| media.kind.len())
        else {
            let kinds = self.media.iter().map(|media| harmless(&media.kind));
            return Err(UndescribedRequest::Kind(kinds.collect()));
        };
        if !is_json(kind) {
            return Ok(());
        }
        let value =
            json_body::value(request.body).map_err(|fault| UndescribedRequest::Json(fault.cause(request.body)))?;
        if has_rounded_number(request.body) {
            return Err(UndescribedRequest::at("/", "has a number with more digits than can be compared"));
        }
        match media.schema {
            Some(schema) => schemas.check(schema, value).map_err(UndescribedRequest::Misfit),
            None => Ok(()),
        }
    }
}

impl MediaRule {
    fn fits(&self, kind: &str) -> bool {
        match self.kind.strip_suffix('*') {
            Some("*/") => true,
            Some(family) => kind.starts_with(family),
            None => self.kind == kind,
        }
    }
}

fn check_parameter(
    parameter: &Parameter,
    texts: &RequestTexts<'_>,
    schemas: &Schemas,
) -> Result<(), UndescribedRequest> {
    let place = || {
        let place = match parameter.place {
            ParameterPlace::Path => "path",
            ParameterPlace::Query => "query",
            ParameterPlace::Header => "header",
        };
        format!("{place}.{}", parameter.name)
    };
    let readings = match parameter.given(texts) {
        Given::Nothing if parameter.is_required => return Err(UndescribedRequest::at(place(), "is missing")),
        Given::Nothing => return Ok(()),
        Given::Odd => return Err(UndescribedRequest::at(place(), "is repeated, or cannot be read")),
        Given::Readings(readings) => readings,
    };
    let Some(schema) = parameter.schema else { return Ok(()) };
    let mut first = None;
    for reading in readings {
        match schemas.check(schema, reading) {
            Ok(()) => return Ok(()),
            Err(misfit) => drop(first.get_or_insert(misfit)),
        }
    }
    let Some(misfit) = first else { return Ok(()) };
    let whole = harmless(&place());
    let at = |below: &str| format!("{whole}{}", if below == "/" { "" } else { below });
    Err(UndescribedRequest::Misfit(Misfit::at(&at(&misfit.place), &at(&misfit.kept_place), &misfit.rule)))
}

/// The parameters of an operation: its own, and those of its path item that it does not have itself.
pub(in crate::policy) fn merged_parameters<'d>(
    document: &'d ApiDocument,
    item: &'d Value,
    raw: &'d Value,
) -> Vec<&'d Value> {
    let list = |value: &'d Value| {
        value["parameters"].as_array().into_iter().flatten().map(|parameter| document.resolved(parameter))
    };
    let own: Vec<&Value> = list(raw).collect();
    let is_own = |other: &&Value| !own.iter().any(|own| own["name"] == other["name"] && own["in"] == other["in"]);
    let inherited: Vec<&Value> = list(item).filter(is_own).collect();
    own.into_iter().chain(inherited).collect()
}
