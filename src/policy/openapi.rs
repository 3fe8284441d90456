//! OpenAPI 3.1 document of what listeners serve and protect. Only what callers may know is in it: no backends, no clients,
//! no keys, no header fields between gateway and backends.

mod company;
mod own_endpoints;
mod places;
mod responses;
mod security;

use std::collections::{BTreeSet, HashMap};

use bytes::Bytes;
use http::Method;
use serde_json::{Map, Value, json};

use super::api_description::{DescribedFile, Descriptions, METHODS, operations_of};
use super::choice::Choice;
use super::table::{Table, host_name};
use super::target::Target;
use crate::config::raw::{self, Raw};
use company::{Company, SchemaNames};
use responses::{add_refusals, error_schema};
use security::SecuritySchemes;

/// Most operations without a route that a file is warned about one by one.
const MOST_WARNINGS: usize = 10;

/// What documents are made of: the configuration and what became of it.
pub(super) struct Sources<'a> {
    pub(super) raw: &'a Raw,
    pub(super) descriptions: &'a Descriptions,
    pub(super) tables: &'a [Table<Target>],
    pub(super) choices: &'a [Choice],
}

impl Sources<'_> {
    /// The documents of all listeners, where they are published.
    pub(super) fn published(&self) -> Vec<Bytes> {
        if !self.raw.openapi.as_ref().is_some_and(|openapi| openapi.publish) {
            return Vec::new();
        }
        (0..self.raw.listen.len()).map(|listener| self.document(Some(listener)).to_string().into()).collect()
    }

    /// The document of one listener, by its number, or of all that serve routes.
    pub(super) fn document(&self, listener: Option<usize>) -> Value {
        let is_shown = |(number, listen): &(usize, &raw::Listen)| {
            listener.is_none_or(|wanted| wanted == *number) && listen.redirect.is_none() && !listen.forward_auth
        };
        let listeners: Vec<(usize, &raw::Listen)> = self.raw.listen.iter().enumerate().filter(is_shown).collect();
        let mut draft = Draft {
            sources: self,
            listeners,
            paths: Map::new(),
            shapes: HashMap::new(),
            ids: BTreeSet::new(),
            expressions: Vec::new(),
            names: SchemaNames::default(),
            security: SecuritySchemes::default(),
        };
        draft.names.schemas.insert("Error".to_owned(), error_schema());
        if !draft.listeners.is_empty() {
            draft.own_endpoints();
        }
        for number in 0..self.raw.routes.len() {
            draft.route(number);
        }
        draft.finish()
    }

    /// Operations of the company's documents that no route serves, and what requests cannot be held against: the number of a
    /// route, and a sentence.
    pub(super) fn warnings(&self) -> Vec<(usize, String)> {
        let mut all = Vec::new();
        let listeners: Vec<(usize, &raw::Listen)> = self.raw.listen.iter().enumerate().collect();
        for described in self.descriptions.all() {
            let routes = (0..self.raw.routes.len()).filter(|number| {
                self.descriptions.of(*number).is_some_and(|other| std::ptr::eq(&**other, &**described))
            });
            let routes: Vec<usize> = routes.collect();
            let mut unserved = Vec::new();
            for (path, item) in described.document.paths() {
                for (method, _) in operations_of(item) {
                    if !routes.iter().any(|route| self.serves(*route, &listeners, path, &method)) {
                        unserved.push(format!("{method} {path}"));
                    }
                }
            }
            let more = unserved.len().saturating_sub(MOST_WARNINGS);
            let told = unserved.into_iter().take(MOST_WARNINGS);
            all.extend(
                told.map(|operation| (described.route, format!("no route that names this file serves {operation}"))),
            );
            if more > 0 {
                all.push((
                    described.route,
                    format!("no route that names this file serves {more} further operations of it"),
                ));
            }
            all.extend(described.notes.iter().map(|note| (described.route, note.clone())));
            if let Some(base) = base_path(described) {
                all.push((
                    described.route,
                    format!("the paths of this file are taken as the public ones, without the {base} of its servers"),
                ));
            }
        }
        all
    }

    /// Returns whether a route serves an operation on one of these listeners.
    fn serves(&self, route: usize, listeners: &[(usize, &raw::Listen)], template: &str, method: &Method) -> bool {
        let raw = &self.raw.routes[route];
        let hosts: Vec<String> = match raw.hosts.as_slice() {
            [] => vec![String::new()],
            hosts => hosts.iter().map(|host| host_name(host)).collect(),
        };
        let is_it = |target: Target| match target {
            Target::Route(number) => number as usize == route,
            Target::Choice(number) => self.choices[number as usize].routes().contains(&(route as u32)),
            _ => false,
        };
        let served = listeners
            .iter()
            .filter(|(_, listen)| raw.is_served_on(listen))
            .filter_map(|(number, _)| self.tables.get(*number));
        let samples = samples(template);
        served.into_iter().any(|table| {
            hosts.iter().any(|host| samples.iter().any(|path| table.find(host, path, method).is_ok_and(is_it)))
        })
    }
}

/// Paths that fit a template.
fn samples(template: &str) -> Vec<String> {
    let with = |value: &str| {
        let mut path = String::new();
        let mut rest = template;
        while let Some((before, (_, behind))) =
            rest.split_once('{').and_then(|(before, rest)| Some((before, rest.split_once('}')?)))
        {
            path.push_str(before);
            path.push_str(value);
            rest = behind;
        }
        path + rest
    };
    if !template.contains('{') {
        return vec![template.to_owned()];
    }
    ["1", "a", "10", "ab", "a1b2c3d4-0000-4000-8000-000000000000", "2024-01-31", "ABC"].into_iter().map(with).collect()
}

/// The path of the servers in a document, where it is more than `/`.
fn base_path(described: &DescribedFile) -> Option<String> {
    let url = described.document.root()["servers"][0]["url"].as_str()?;
    let path = match url.split_once("://") {
        Some((_, rest)) => rest.split_once('/').map_or("", |(_, path)| path),
        None => url.trim_start_matches('/'),
    };
    let path = path.trim_end_matches('/');
    (!path.is_empty()).then(|| format!("path /{path}"))
}

/// A document on its way.
struct Draft<'a> {
    sources: &'a Sources<'a>,
    listeners: Vec<(usize, &'a raw::Listen)>,
    paths: Map<String, Value>,
    /// Paths by what they are without the names of parameters.
    shapes: HashMap<String, String>,
    ids: BTreeSet<String>,
    expressions: Vec<Value>,
    names: SchemaNames,
    security: SecuritySchemes,
}

impl Draft<'_> {
    fn own_endpoints(&mut self) {
        for (path, method, operation) in own_endpoints::operations(self.sources.raw) {
            self.ids.extend(operation["operationId"].as_str().map(str::to_owned));
            self.paths.entry(path).or_insert_with(|| json!({}))[method] = operation;
        }
        if let Some(login) = &self.sources.raw.login {
            self.security.own_customers(self.sources.raw, login);
        }
    }

    fn route(&mut self, number: usize) {
        let sources = self.sources;
        let (raw, route) = (sources.raw, &sources.raw.routes[number]);
        let serving: Vec<&raw::Listen> =
            self.listeners.iter().map(|(_, listen)| *listen).filter(|listen| route.is_served_on(listen)).collect();
        if serving.is_empty() {
            return;
        }
        let security = self.security.demands(raw, route, &serving);
        let limit = route.limits.body.unwrap_or_else(|| serving[0].limits.body).bytes();
        let mut found = false;
        if let Some(described) = sources.descriptions.of(number) {
            for (path, item) in described.document.paths() {
                for (method, operation) in operations_of(item) {
                    if !sources.serves(number, &self.listeners, path, &method) {
                        continue;
                    }
                    found = true;
                    let file = described.document.name().to_owned();
                    let mut company = Company { document: &described.document, file, names: &mut self.names };
                    if let Some(operation) = company.operation(item, operation) {
                        self.add(path, &method, operation, (route, &security, limit));
                    }
                }
            }
        }
        if found || route.validate.is_some() {
            return;
        }
        let places = places::places(&route.path);
        for method in &route.methods {
            let Ok(method) = Method::from_bytes(method.as_bytes()) else { continue };
            for place in &places {
                let operation = plain_operation(route, &method, &place.parameters);
                self.add(&place.template, &method, operation, (route, &security, limit));
            }
        }
        if places.is_empty() {
            let mut entry = json!({"pattern": route.path.as_str(), "methods": route.methods, "security": security});
            described_limits(entry.as_object_mut(), route, limit);
            self.expressions.push(entry);
        }
    }

    /// Adds an operation of a route with its demands and limits.
    fn add(
        &mut self,
        path: &str,
        method: &Method,
        mut operation: Map<String, Value>,
        (route, security, limit): (&raw::Route, &Value, usize),
    ) {
        let key = method.as_str().to_ascii_lowercase();
        if !METHODS.contains(&key.as_str()) {
            return;
        }
        let path = &*self.named_alike(path, &mut operation);
        if let Some(known) = self.paths.get_mut(path).and_then(|item| item.get_mut(&key)) {
            also(known, security);
            return;
        }
        let wanted = match operation.get("operationId").and_then(Value::as_str) {
            Some(id) => id.to_owned(),
            None => format!(
                "{}_{key}",
                route.name.chars().map(|one| if one.is_ascii_alphanumeric() { one } else { '_' }).collect::<String>()
            ),
        };
        let mut id = wanted.clone();
        let mut number = 2;
        while !self.ids.insert(id.clone()) {
            id = format!("{wanted}_{number}");
            number += 1;
        }
        operation.insert("operationId".to_owned(), id.into());
        operation.insert("security".to_owned(), security.clone());
        let has_body = operation.contains_key("requestBody");
        let entry = operation.entry("responses").or_insert_with(|| json!({}));
        if let Some(responses) = entry.as_object_mut() {
            add_refusals(responses, self.sources.raw, route, has_body);
        }
        described_limits(Some(&mut operation), route, limit);
        if !route.hosts.is_empty() {
            let servers: Vec<Value> =
                route.hosts.iter().map(|host| json!({"url": format!("https://{host}")})).collect();
            operation.insert("servers".to_owned(), servers.into());
        }
        self.paths.entry(path).or_insert_with(|| json!({}))[key] = operation.into();
    }

    /// The path as it is written already, where templates differ only in the names of parameters: the document has one of them.
    fn named_alike(&mut self, path: &str, operation: &mut Map<String, Value>) -> String {
        let names = |path: &str| -> Vec<String> {
            path.split('{').skip(1).filter_map(|part| Some(part.split_once('}')?.0.to_owned())).collect()
        };
        let old = names(path);
        let shape = old.iter().fold(path.to_owned(), |path, name| path.replace(&format!("{{{name}}}"), "{}"));
        let known = self.shapes.entry(shape).or_insert_with(|| path.to_owned()).clone();
        let new = names(&known);
        for parameter in operation.get_mut("parameters").and_then(Value::as_array_mut).into_iter().flatten() {
            let position = old.iter().position(|name| parameter["in"] == "path" && parameter["name"] == name.as_str());
            if let Some(name) = position.and_then(|position| new.get(position)) {
                parameter["name"] = name.as_str().into();
            }
        }
        known
    }

    fn finish(self) -> Value {
        let raw = self.sources.raw;
        let about = raw.openapi.clone().unwrap_or_default();
        let told = "Credentials, limits and errors are those of the gateway in front of this API.";
        let mut document = json!({
            "openapi": "3.1.0",
            "info": {"title": about.title, "version": about.version, "description": told},
            "servers": servers(raw, &self.listeners),
            "paths": self.paths,
            "components": {"schemas": self.names.schemas, "securitySchemes": self.security.finish(raw)},
        });
        if !self.expressions.is_empty() {
            document["x-wicketgate-path-regex"] = self.expressions.into();
        }
        document
    }
}

/// A second route of the same path and method, told apart by host, header fields or query: its credentials are another way.
fn also(known: &mut Value, security: &Value) {
    let Some(ways) = known.get_mut("security").and_then(Value::as_array_mut) else { return };
    let others = security.as_array().into_iter().flatten();
    // Who may call without any credential in one case has that way too.
    let open = json!({});
    let (was_open, is_open) = (ways.is_empty(), security.as_array().is_some_and(Vec::is_empty));
    if was_open != is_open {
        ways.push(open);
    }
    for way in others {
        if !ways.contains(way) {
            ways.push(way.clone());
        }
    }
}

/// An operation of which nothing is known but its route.
fn plain_operation(route: &raw::Route, method: &Method, parameters: &[Value]) -> Map<String, Value> {
    let mut operation = Map::new();
    operation.insert("summary".to_owned(), route.name.as_str().into());
    if !parameters.is_empty() {
        operation.insert("parameters".to_owned(), parameters.into());
    }
    if matches!(*method, Method::POST | Method::PUT | Method::PATCH) {
        let content: Map<String, Value> = match route.content_types.as_slice() {
            [] => Map::from_iter([("*/*".to_owned(), json!({}))]),
            types => types.iter().map(|kind| (kind.clone(), json!({}))).collect(),
        };
        operation.insert("requestBody".to_owned(), json!({"content": content}));
    }
    let (status, told) = match (&route.respond, &route.redirect) {
        (Some(respond), _) => (respond.status.to_string(), "The response."),
        (_, Some(redirect)) => (redirect.status.to_string(), "A redirect."),
        _ => ("2XX".to_owned(), "The response of the API."),
    };
    let response = match &route.response {
        Some(_) => json!({"description": told, "content": {"application/json": {}}}),
        None => json!({"description": told}),
    };
    operation.insert("responses".to_owned(), json!({ status: response }));
    operation
}

/// Limits of a route, for programs.
fn described_limits(operation: Option<&mut Map<String, Value>>, route: &raw::Route, body: usize) {
    let Some(operation) = operation else { return };
    if let Some(rate) = route.limits.rate {
        let mut limit = json!({"rate": rate.to_string()});
        if let Some(burst) = route.limits.burst {
            limit["burst"] = burst.into();
        }
        operation.insert("x-rate-limit".to_owned(), limit);
    }
    operation.insert("x-body-limit".to_owned(), body.into());
    if let Some(timeout) = route.limits.timeout {
        operation.insert("x-timeout".to_owned(), timeout.to_string().into());
    }
}

/// The addresses of these listeners, as callers know them.
fn servers(raw: &Raw, listeners: &[(usize, &raw::Listen)]) -> Value {
    let mut urls = BTreeSet::new();
    for (_, listen) in listeners {
        let hosts = listen.hosts.iter().map(|host| format!("https://{host}"));
        urls.extend(hosts);
        if listen.hosts.is_empty() {
            urls.insert(raw.issuer.as_ref().map_or_else(|| "/".to_owned(), |issuer| issuer.at_root("")));
        }
    }
    urls.into_iter().map(|url| json!({"url": url})).collect()
}
