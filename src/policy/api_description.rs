//! The company's own API descriptions (OpenAPI 3.0 and 3.1) of routes: read once per file, compiled for requests and
//! responses.

mod conversion;
mod diagnosis;
mod document;
mod operation;
mod parameters;
mod redaction;
mod rounding;
mod schemas;
mod template;
mod walk;
mod yaml;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use http::{Method, StatusCode};
use serde_json::Value;

use crate::config::{Config, Problems};
use crate::json_body::member_graph::MemberGraph;
pub use document::{ApiDocument, DescriptionFault};
use operation::Operation;
pub(super) use operation::merged_parameters;
pub use operation::{DescribedRequest, UndescribedRequest};
use redaction::RedactionCompiler;
use schemas::{SchemaCollector, Schemas};
use template::TemplateTree;

/// The methods that a path item can have.
pub(super) const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

/// The descriptions of all routes.
#[derive(Debug, Default)]
pub struct Descriptions {
    by_file: BTreeMap<PathBuf, Arc<DescribedFile>>,
    of_routes: Vec<Option<Arc<DescribedFile>>>,
}

/// A document, as it is written and as it is used.
#[derive(Debug)]
pub struct DescribedFile {
    /// As it is written.
    pub document: ApiDocument,
    /// As it is used.
    pub api: Arc<ApiDescription>,
    /// The first route that names it.
    pub route: usize,
    /// What requests cannot be held against, in sentences.
    pub notes: Vec<String>,
}

/// A compiled description.
#[derive(Debug)]
pub struct ApiDescription {
    templates: TemplateTree,
    operations: Vec<HashMap<Method, Operation>>,
    schemas: Option<Schemas>,
    graph: MemberGraph,
    /// Of all responses, for operations that are not described.
    any: Box<[u32]>,
}

/// An operation of a request.
#[derive(Debug, Clone, Copy)]
pub struct DescribedOperation<'a> {
    api: &'a ApiDescription,
    operation: Option<&'a Operation>,
}

impl Descriptions {
    /// Reads the documents of all routes. Faults go to `problems`.
    pub(super) fn read(config: &Config, problems: &mut Problems) -> Self {
        let mut all = Self::default();
        let mut broken = Vec::new();
        let routes = &config.raw().routes;
        for (index, route) in routes.iter().enumerate() {
            let Some(file) = &route.openapi else {
                all.of_routes.push(None);
                continue;
            };
            let path = config.resolve(file);
            if !all.by_file.contains_key(&path) && !broken.contains(&path) {
                let validates = routes.iter().any(|other| other.openapi == route.openapi && other.validate.is_some());
                match DescribedFile::read(config, file, index, validates) {
                    Ok(described) => drop(all.by_file.insert(path.clone(), Arc::new(described))),
                    Err(DescriptionFault { message, help }) => {
                        problems.push(config.problem(&format!("routes[{index}].openapi"), message, help));
                        broken.push(path.clone());
                    }
                }
            }
            all.of_routes.push(all.by_file.get(&path).cloned());
        }
        all
    }

    /// The description of the route of this number.
    pub(super) fn of(&self, route: usize) -> Option<&Arc<DescribedFile>> {
        self.of_routes.get(route)?.as_ref()
    }

    /// All descriptions.
    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<DescribedFile>> {
        self.by_file.values()
    }
}

impl DescribedFile {
    fn read(config: &Config, file: &std::path::Path, route: usize, validates: bool) -> Result<Self, DescriptionFault> {
        let document = ApiDocument::read(config, file)?;
        let (mut schemas, mut notes) = (SchemaCollector::default(), Vec::new());
        let (mut templates, mut operations) = (TemplateTree::default(), Vec::new());
        let mut redaction = RedactionCompiler::new(&document);
        let mut responses = Vec::new();
        for (path, item) in document.paths() {
            templates.insert(path, operations.len()).map_err(|why| DescriptionFault {
                message: format!("{}: the path {path}: {why}", document.name),
                help: "write it like /orders/{id}".to_owned(),
            })?;
            let mut methods = HashMap::new();
            for (method, raw) in operations_of(item) {
                let at = format!("{} {path}", method.as_str());
                // Without validation nothing but the responses matters.
                let none = Value::Null;
                let read = if validates { (item, raw) } else { (&none, &none) };
                let operation = Operation::read(&document, read, &at, &mut schemas, &mut notes)?;
                responses.push((operations.len(), method.clone(), redaction.responses(&raw["responses"])));
                methods.insert(method, operation);
            }
            operations.push(methods);
        }
        let graph = redaction.finish()?;
        let mut any = Vec::new();
        for (number, method, responses) in responses {
            let redacted = graph.redacted(&responses);
            any.extend_from_slice(redacted.any());
            if let Some(operation) = operations[number].get_mut(&method) {
                operation.redacted = redacted;
            }
        }
        any.sort_unstable();
        any.dedup();
        let schemas = if validates { Some(schemas.compile(&document)?) } else { None };
        let api = ApiDescription { templates, operations, schemas, graph: graph.graph, any: any.into() };
        Ok(Self { api: Arc::new(api), document, route, notes })
    }
}

impl ApiDocument {
    /// The paths, each with its item.
    pub(super) fn paths(&self) -> impl Iterator<Item = (&str, &Value)> {
        let paths = self.root()["paths"].as_object().into_iter().flatten();
        paths.filter(|(path, _)| !path.starts_with("x-")).map(|(path, item)| (path.as_str(), self.resolved(item)))
    }
}

/// The operations of a path item.
pub(super) fn operations_of(item: &Value) -> impl Iterator<Item = (Method, &Value)> {
    METHODS.iter().filter_map(|name| {
        let method = Method::from_bytes(name.to_ascii_uppercase().as_bytes()).ok()?;
        Some((method, item.get(*name)?))
    })
}

impl ApiDescription {
    /// Returns whether something is removed from some response.
    pub fn redacts(&self) -> bool {
        !self.any.is_empty()
    }

    /// The number of places that are removed from responses, over all operations.
    pub fn redacted_places(&self) -> usize {
        self.operations.iter().flat_map(HashMap::values).map(|operation| operation.redacted.any().len()).sum()
    }

    /// The operation of a request, by its path as the caller sent it. HEAD is that of GET where it has none of its own.
    pub fn operation(&self, method: &Method, path: &str) -> DescribedOperation<'_> {
        DescribedOperation { api: self, operation: self.find(method, path).map(|(operation, _)| operation) }
    }

    /// The operation of a request whose path a server may read as another one.
    pub fn unknown_operation(&self) -> DescribedOperation<'_> {
        DescribedOperation { api: self, operation: None }
    }

    /// Holds a request against its operation.
    ///
    /// # Errors
    /// The first fault; also where no operation has this method and path.
    pub fn check(&self, method: &Method, path: &str, request: &DescribedRequest<'_>) -> Result<(), UndescribedRequest> {
        let Some(((operation, values), schemas)) = self.find(method, path).zip(self.schemas.as_ref()) else {
            let rule = "no operation of this method and path is described".to_owned();
            return Err(UndescribedRequest::Misfit(schemas::Misfit::at("/", "/", &rule)));
        };
        operation.check(request, &values, schemas)
    }

    fn find(&self, method: &Method, path: &str) -> Option<(&Operation, Vec<(&str, String)>)> {
        let get = |template: usize, method: &Method| self.operations[template].get(method);
        let mut wanted = method;
        let mut found = self.templates.find(path, &|template| get(template, method).is_some());
        if found.is_none() && method == Method::HEAD {
            wanted = &Method::GET;
            found = self.templates.find(path, &|template| get(template, &Method::GET).is_some());
        }
        let found = found?;
        Some((get(found.template, wanted)?, found.values))
    }
}

impl<'a> DescribedOperation<'a> {
    /// What is removed from its response of this status: the places of the document in a graph; `None` where nothing is.
    pub fn removed(&self, status: StatusCode) -> Option<(&'a MemberGraph, &'a [u32])> {
        let places = self.operation.map_or(&self.api.any[..], |operation| operation.redacted.places(status));
        (!places.is_empty()).then_some((&self.api.graph, places))
    }
}
