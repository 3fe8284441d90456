//! The OpenAPI document of what the gateway serves: valid, complete for callers, and without anything that is not theirs.

use std::collections::BTreeSet;

use crate::harness::python::python;
use crate::harness::workspace::Workspace;
use crate::harness::*;

/// A document of the company: YAML of 3.0, with a reference of each kind.
const ORDERS: &str = r##"
openapi: 3.0.3
info: { title: Internal orders, version: "7" }
servers: [ { url: "https://orders.internal.example/v1" } ]
paths:
  /orders/{id}:
    parameters:
      - $ref: "#/components/parameters/Id"
    get:
      operationId: readOrder
      security: [ { internalKey: [] } ]
      tags: [ orders ]
      x-agent-hint: read it first
      responses:
        200: { $ref: "#/components/responses/Order" }
  /orders:
    post:
      operationId: createOrder
      requestBody:
        required: true
        content: { application/json: { schema: { $ref: "common.yaml#/NewOrder" } } }
      responses:
        "201": { $ref: "#/components/responses/Order" }
  /orders/purge:
    post:
      x-internal: true
      operationId: purgeEverything
      responses: { "204": { description: gone } }
  /elsewhere:
    get:
      responses: { "200": { description: never } }
components:
  parameters:
    Id: { name: id, in: path, required: true, schema: { type: integer } }
  responses:
    Order:
      description: An order.
      content: { application/json: { schema: { $ref: "#/components/schemas/Order" } } }
  schemas:
    Order:
      type: object
      properties:
        id: { type: integer }
        note: { type: string, nullable: true }
        card: { type: string, x-redact: true }
        parent: { $ref: "#/components/schemas/Order" }
  securitySchemes:
    internalKey: { type: apiKey, in: header, name: X-Internal-Key }
"##;

const COMMON: &str = r##"
NewOrder:
  type: object
  required: [ item, count ]
  properties:
    item: { $ref: "#/Item" }
    count: { type: integer, minimum: 1 }
Item:
  type: object
  required: [ sku ]
  properties: { sku: { type: string, pattern: "^[0-9]+$" } }
"##;

fn orders(config: Config) -> Config {
    config
        .add_route(json!({
            "name": "orders", "path": "/orders", "methods": ["GET", "POST"], "require": ["client", "customer", "api_key"],
            "scopes": ["profile"], "identifier": {"header": "X-Customer-Id"}, "backend": "legacy",
            "openapi": "orders.yaml", "validate": "request", "limits": {"rate": "50/s", "burst": 70, "body": "10KiB"},
        }))
        .set("/api_keys/0/routes", json!(["profile", "key", "orders"]))
        .file("orders.yaml", ORDERS)
        .file("common.yaml", COMMON)
}

fn printed(files: &Workspace, more: &[&str]) -> Value {
    serde_json::from_str(&files.succeeds(&[&["openapi", "--config", "gateway.yaml"], more].concat())).unwrap()
}

fn ids(document: &Value) -> Vec<String> {
    let items = document["paths"].as_object().unwrap().values();
    let operations = items.flat_map(|item| item.as_object().unwrap().values());
    operations.map(|operation| operation["operationId"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_document_is_valid_and_a_client_that_knows_nothing_else_can_call_each_operation() {
    let (backend, gateway) = world_with(orders);
    let files = &gateway.files;
    let document = printed(files, &[]);
    files.write("openapi.json", &document.to_string());
    let path = |name: &str| files.path.join(name).to_str().unwrap().to_owned();
    let said = python(
        "openapi_document.py",
        &[
            &path("openapi.json"),
            &format!("https://localhost:{}", gateway.address.port()),
            &path("certs/ca.pem"),
            &format!("clientToken={}", gateway.client_token()),
            &format!("customerToken=JWT {}", gateway.customer_token()),
            &format!("apiKey={API_KEY}"),
        ],
    );
    let calls: Vec<(&str, &str)> = said.lines().filter_map(|line| line.split_once(' ')).collect();
    assert!(calls.len() >= 20, "{said}");
    assert!(calls.iter().all(|(_, status)| *status == "200"), "{said}");
    for id in ["readOrder", "createOrder", "profile_post", "me_get", "public_put"] {
        assert!(calls.iter().any(|(called, _)| *called == id), "{id}: {said}");
    }
    assert_eq!(backend.requests().len(), calls.len());
}

#[test]
fn operation_ids_are_unique_and_stable() {
    let change = |config: Config| {
        orders(config)
            .add_route(json!({"name": "read-order", "path": {"exact": "/a"}, "methods": ["GET"], "public": true, "backend": "legacy"}))
            .add_route(json!({"name": "read_order", "path": {"exact": "/b"}, "methods": ["GET"], "public": true, "backend": "legacy"}))
    };
    let files = Workspace::new(&change(Config::with_server("http://127.0.0.1:9")));
    let document = printed(&files, &[]);
    let all = ids(&document);
    assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "{all:?}");
    assert_eq!(document["paths"]["/a"]["get"]["operationId"], "read_order_get");
    assert_eq!(document["paths"]["/b"]["get"]["operationId"], "read_order_get_2");
    assert_eq!(document, printed(&files, &[]));
}

#[test]
fn an_operation_says_what_its_route_demands() {
    let files = Workspace::new(&orders(Config::with_server("http://127.0.0.1:9")));
    let document = printed(&files, &[]);
    let create = &document["paths"]["/orders"]["post"];
    assert_eq!(create["security"], json!([{"apiKey": [], "clientToken": ["profile"], "customerToken": []}]));
    assert_eq!(create["x-rate-limit"], json!({"rate": "50/s", "burst": 70}));
    assert_eq!(create["x-body-limit"], 10240);
    for status in ["201", "400", "401", "403", "413", "415", "429", "502", "503", "504"] {
        assert!(create["responses"][status].is_object(), "{status}: {create}");
    }
    assert_eq!(
        create["responses"]["401"]["content"]["application/json"]["schema"]["$ref"],
        "#/components/schemas/Error"
    );
    let token = &document["components"]["securitySchemes"]["clientToken"]["flows"]["clientCredentials"];
    assert_eq!(token["tokenUrl"], "https://gateway.test/oauth/access_token");
    assert_eq!(token["scopes"], json!({"profile": ""}));
    assert_eq!(document["paths"]["/public/{path}"]["get"]["security"], json!([]));
    assert_eq!(document["servers"], json!([{"url": "https://gateway.test"}]));
    // The company's schemas, in the words of 3.1 and with its marks.
    let order = &document["components"]["schemas"]["Order"]["properties"];
    assert_eq!(order["note"]["type"], json!(["string", "null"]));
    assert_eq!(order["card"]["x-redact"], true);
    assert_eq!(order["parent"]["$ref"], "#/components/schemas/Order");
    assert_eq!(document["paths"]["/orders/{id}"]["get"]["x-agent-hint"], "read it first");
}

#[test]
fn nothing_internal_stands_in_the_document() {
    let config = orders(Config::with_server("http://backend-of-ours.internal:9"))
        .set("/backends/legacy/request_headers", json!({"set": {"X-Zone": "secret-zone"}}))
        .set("/backends/legacy/danger_plaintext", json!(true));
    let files = Workspace::new(&config);
    let text = printed(&files, &[]).to_string();
    for hidden in [
        "legacy\"",
        "backend-of-ours",
        "asapp",
        "X-Customer-Id",
        "X-Zone",
        "secret-zone",
        "orders.internal.example",
        "X-Internal-Key",
        "internalKey",
        "purge",
        "sha256",
        "certs/",
        "x-wicketgate-files",
        "asapp-prod",
    ] {
        assert!(!text.to_lowercase().contains(&hidden.to_lowercase()), "{hidden}");
    }
}

#[test]
fn each_listener_publishes_its_own_routes_and_none_where_it_is_off() {
    let two = |config: Config| {
        let mut second = config.yaml["listen"][0].clone();
        second["name"] = json!("partners");
        second["hosts"] = json!(["partners.example.com", "localhost"]);
        let mut first = config.yaml["listen"][0].clone();
        first["name"] = json!("public");
        orders(config)
            .set("/listen", json!([first, second]))
            .set("/openapi", json!({"publish": true, "title": "Shop", "version": "3"}))
            .route("system", "listen", json!(["partners"]))
            .route("orders", "listen", json!(["public"]))
    };
    let (_backend, gateway) = world_with(two);
    let response = gateway.get("/.well-known/openapi.json").header("Origin", "https://anywhere.example").send().ok();
    assert_eq!(response.header("Content-Type"), Some("application/json"));
    assert_eq!(response.header("Cache-Control"), Some("public, max-age=300"));
    assert_eq!(response.header("Access-Control-Allow-Origin"), Some("*"));
    let document = response.json();
    assert_eq!(document["info"]["title"], "Shop");
    assert!(document["paths"]["/orders"].is_object() && document["paths"].get("/system/{path}").is_none());
    assert_eq!(document, printed(&gateway.files, &["--listener", "public"]));
    let partners = printed(&gateway.files, &["--listener", "partners"]);
    assert!(partners["paths"]["/system/{path}"].is_object() && partners["paths"].get("/orders").is_none());
    assert!(partners["components"]["schemas"].get("Order").is_none());
    assert_eq!(partners["servers"], json!([{"url": "https://localhost"}, {"url": "https://partners.example.com"}]));
    assert!(
        gateway
            .files
            .fails(&["openapi", "--config", "gateway.yaml", "--listener", "none"])
            .contains("no listener `none`")
    );

    let (_backend, gateway) = world();
    gateway.get("/.well-known/openapi.json").send().expect(404, "404-01");
}

#[test]
fn several_places_of_a_credential_are_alternatives() {
    let config = Config::with_server("http://127.0.0.1:9")
        .cookies("both")
        .route("me", "require", json!(["customer", "client"]))
        .route("me", "client_from", json!(["bearer", "basic"]))
        .route("key", "api_key_header", json!("X-Key"))
        .route("system", "dpop", json!("required"));
    let document = printed(&Workspace::new(&config), &[]);
    let of = |path: &str| document["paths"][path]["get"]["security"].as_array().unwrap().clone();
    let ways = of("/me/{path}");
    assert_eq!(ways.len(), 4, "{ways:?}");
    assert!(ways.contains(&json!({"clientBasic": [], "customerSession": []})), "{ways:?}");
    assert_eq!(of("/key/{path}"), [json!({"apiKey-x-key": []})]);
    assert_eq!(of("/system/{path}"), [json!({"clientDpop": []})]);
    assert_eq!(document["components"]["securitySchemes"]["apiKey-x-key"]["name"], "X-Key");
}

#[test]
fn operations_that_no_route_serves_are_a_warning_and_a_wrong_file_a_problem() {
    let files = Workspace::new(&orders(Config::with_server("http://127.0.0.1:9")));
    let (code, _, said) = files.run(&["check", "--files-only", "--config", "gateway.yaml"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("no route that names this file serves GET /elsewhere"), "{said}");
    assert!(said.contains("without the path /v1 of its servers"), "{said}");
    assert!(!said.contains("serves POST /orders"), "{said}");
    files.write("orders.yaml", "swagger: \"2.0\"\npaths: {}\n");
    let said = files.fails(&["openapi", "--config", "gateway.yaml"]);
    assert!(
        said.contains("Swagger 2.0") && said.contains("swagger2openapi") && said.contains("routes[5].openapi"),
        "{said}"
    );
}

#[test]
fn expressions_become_templates_where_they_are_simple() {
    let config = Config::with_server("http://127.0.0.1:9")
        .add_route(json!({"name": "simple", "path": {"regex": "/v[0-9]+/items/[^/]+"}, "methods": ["GET"], "public": true, "backend": "legacy"}))
        .add_route(json!({"name": "wild", "path": {"regex": "/w/(a|b)"}, "methods": ["GET"], "require": ["customer"], "backend": "legacy"}));
    let document = printed(&Workspace::new(&config), &[]);
    assert_eq!(document["paths"]["/v{part1}/items/{part2}"]["get"]["operationId"], "simple_get");
    assert_eq!(document["x-wicketgate-path-regex"][0]["pattern"], "/w/(a|b)");
    assert_eq!(document["x-wicketgate-path-regex"][0]["security"], json!([{"customerToken": []}]));
}
