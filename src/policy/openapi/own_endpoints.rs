//! The gateway's own endpoints in the document, as far as they are configured.

use serde_json::{Map, Value, json};

use super::responses::refusal;
use crate::config::raw::{Issue, Login, NumberStyle, Raw};

const FORM: &str = "application/x-www-form-urlencoded";

/// An operation: path, method, description.
pub(super) type OwnOperation = (String, &'static str, Value);

/// All of them.
pub(super) fn operations(raw: &Raw) -> Vec<OwnOperation> {
    let mut all = Vec::new();
    if let Some(login) = &raw.login {
        if login.provider.is_none() {
            all.push((login.path.clone(), "post", log_in(raw, login)));
        }
        all.push(("/auth/logout".to_owned(), "post", log_out(raw, login)));
    }
    if let Some(token) = &raw.access_token {
        all.push((token.path.clone(), "post", token_request(raw, token.number_style)));
        all.push((
            "/oauth/revoke".to_owned(),
            "post",
            about_token(raw, "revokeToken", "Revokes a token (RFC 7009).", None),
        ));
        let answer = json!({"type": "object", "required": ["active"], "properties": {"active": {"type": "boolean"}}});
        let told = "Says whether a token is good (RFC 7662).";
        all.push(("/oauth/introspect".to_owned(), "post", about_token(raw, "introspectToken", told, Some(answer))));
    }
    if raw.issuer.is_some() {
        let answer = json!({"type": "object", "required": ["keys"], "properties": {"keys": {"type": "array", "items": {"type": "object"}}}});
        let ok =
            json!({"description": "The keys (RFC 7517).", "content": {"application/jwk-set+json": {"schema": answer}}});
        let operation = json!({"operationId": "getKeys", "summary": "Public keys that verify tokens of this gateway.",
            "security": [], "responses": {"200": ok}});
        all.push(("/.well-known/jwks.json".to_owned(), "get", operation));
    }
    all
}

/// A number as the endpoint writes it.
fn number(style: NumberStyle) -> Value {
    match style {
        NumberStyle::String => json!({"type": "string", "pattern": "^[0-9]+$"}),
        NumberStyle::Number => json!({"type": "integer"}),
    }
}

fn ok(told: &str, schema: &Value) -> Value {
    json!({"description": told, "content": {"application/json": {"schema": schema}}})
}

fn responses(raw: &Raw, ok: Value, refusals: &[u16]) -> Value {
    let mut all = Map::from_iter([("200".to_owned(), ok)]);
    all.extend(refusals.iter().map(|status| (status.to_string(), refusal(raw, None, *status))));
    all.into()
}

fn log_in(raw: &Raw, login: &Login) -> Value {
    let form = json!({"type": "object", "required": ["username", "password"], "properties": {
        "username": {"type": "string"}, "password": {"type": "string", "format": "password"}}});
    let mut content = json!({FORM: {"schema": form}});
    if login.json {
        content["application/json"] = json!({"schema": form});
    }
    let number = number(login.number_style);
    let mut members = json!({"issued_at": number, "expires_in": number});
    if login.issue != Issue::Cookie {
        members["JWT"] = json!({"type": "string", "description": "The token of the customer."});
    }
    if login.refresh.is_some() {
        members["refresh_token"] = json!({"type": "string"});
    }
    let answer = ok("The customer is logged in.", &json!({"type": "object", "properties": members}));
    json!({
        "operationId": "logIn", "summary": "A customer's name and password for a token or a session.", "security": [],
        "requestBody": {"required": true, "content": content},
        "responses": responses(raw, answer, &[400, 401, 415, 429, 503]),
    })
}

fn log_out(raw: &Raw, login: &Login) -> Value {
    let mut security = vec![json!({"customerToken": []})];
    if login.issue != Issue::Jwt && login.cookie.is_some() {
        security.push(json!({"customerSession": []}));
    }
    let mut responses = responses(raw, json!({"description": "The login has ended."}), &[400, 401, 403, 503]);
    responses["204"] = responses["200"].clone();
    json!({"operationId": "logOut", "summary": "Ends the login of a customer.", "security": security, "responses": responses})
}

/// RFC 6749 section 5.2.
fn oauth_error() -> Value {
    let schema = json!({"type": "object", "required": ["error"], "properties": {
        "error": {"type": "string"}, "error_description": {"type": "string"}}});
    ok("Refused (RFC 6749 section 5.2).", &schema)
}

fn token_request(raw: &Raw, style: NumberStyle) -> Value {
    let form = json!({"type": "object", "properties": {
        "grant_type": {"type": "string", "description": "Here or in the query."},
        "client_id": {"type": "string"},
        "client_secret": {"type": "string", "format": "password"},
        "scope": {"type": "string", "description": "Scopes, with a space between them. Default: all of the client."},
    }});
    let number = number(style);
    let answer = json!({"type": "object", "required": ["access_token", "token_type", "expires_in"], "properties": {
        "access_token": {"type": "string"}, "token_type": {"type": "string"}, "expires_in": number,
        "issued_at": number, "client_id": {"type": "string"}, "scope": {"type": "string"}}});
    let grant = json!({"name": "grant_type", "in": "query", "required": false, "schema": {"type": "string"},
        "description": "Here or in the form, such as client_credentials."});
    let mut responses = responses(raw, ok("The access token.", &answer), &[429, 503]);
    responses["400"] = oauth_error();
    responses["401"] = oauth_error();
    json!({
        "operationId": "getAccessToken", "summary": "A client's id and secret for an access token (RFC 6749).", "security": [],
        "parameters": [grant], "requestBody": {"required": true, "content": {FORM: {"schema": form}}},
        "responses": responses,
    })
}

fn about_token(raw: &Raw, id: &str, told: &str, answer: Option<Value>) -> Value {
    let form = json!({"type": "object", "required": ["token"], "properties": {
        "token": {"type": "string"}, "client_id": {"type": "string"}, "client_secret": {"type": "string", "format": "password"}}});
    let good = answer
        .map_or_else(|| json!({"description": "The token is no longer good."}), |schema| ok("What is known.", &schema));
    let mut responses = responses(raw, good, &[429, 503]);
    responses["400"] = oauth_error();
    responses["401"] = oauth_error();
    json!({
        "operationId": id, "summary": told, "security": [],
        "requestBody": {"required": true, "content": {FORM: {"schema": form}}}, "responses": responses,
    })
}
