//! Requests held against the company's OpenAPI documents, and members that `x-redact` removes from responses.

use crate::harness::workspace::Workspace;
use crate::harness::*;

const API: &str = r##"
openapi: 3.1.0
info: { title: t, version: "1" }
paths:
  /public/items/{id}:
    parameters:
      - { name: id, in: path, required: true, schema: { type: integer, minimum: 1 } }
    get:
      parameters:
        - { name: tags, in: query, schema: { type: array, items: { enum: [ a, b ] }, maxItems: 2 } }
        - { name: ids, in: query, explode: false, schema: { type: array, items: { type: integer } } }
        - { name: q, in: query, required: true, schema: { type: string, maxLength: 5 } }
        - { name: on, in: query, schema: { type: boolean } }
        - { name: either, in: query, schema: { oneOf: [ { type: integer }, { type: string, pattern: "^x" } ] } }
        - { name: where, in: query, content: { application/json: { schema: { type: object, required: [ a ] } } } }
        - { name: X-Version, in: header, schema: { type: integer } }
        - { name: X-List, in: header, schema: { type: array, items: { type: integer } } }
      responses: { "200": { description: ok } }
    put:
      requestBody:
        required: true
        content:
          application/json: { schema: { $ref: "#/components/schemas/Item" } }
          text/plain: {}
      responses: { "200": { description: ok } }
    delete:
      responses: { "204": { description: gone } }
  /public/items/special:
    get: { responses: { "200": { description: ok } } }
components:
  schemas:
    Item:
      type: object
      required: [ id, name ]
      additionalProperties: false
      properties:
        id: { type: string, readOnly: true }
        name: { type: string, minLength: 2 }
        count: { type: integer, maximum: 9 }
        note: { type: [ string, "null" ] }
        code: { type: string, pattern: "^(a+)+$" }
        children: { type: array, items: { $ref: "#/components/schemas/Item" } }
"##;

fn described(config: Config) -> Config {
    config
        .route("public", "openapi", json!("api.yaml"))
        .route("public", "validate", json!("request"))
        .file("api.yaml", API)
}

/// Status and message of a refusal; the message of one that passed is empty.
fn outcome(response: &Response) -> (u16, String) {
    let message = if response.status == 200 { Value::Null } else { response.json()["error"]["message"].clone() };
    let told = message.as_str().unwrap_or_default();
    (response.status, told.strip_prefix("The request does not fit the API description: ").unwrap_or(told).to_owned())
}

#[test]
fn parameters_must_fit_their_schema() {
    let (backend, gateway) = world_with(described);
    for (target, fault) in [
        ("7?q=x", ""),
        ("7?q=5", ""),
        ("7?q=x&tags=a&tags=b&ids=1,2&on=true&other=1", ""),
        ("7?q=x&either=3", ""),
        ("7?q=x&either=xyz", ""),
        ("7?q=%C3%A9%20%2B", ""),
        ("7?q=x&where=%7B%22a%22%3A1%7D", ""),
        ("special", ""),
        ("%37?q=x", ""),
        ("7", "query.q is missing."),
        ("7?q=toolong", "query.q does not meet maxLength 5."),
        ("7?q=x&q=y", "query.q is repeated, or cannot be read."),
        ("x?q=x", "path.id is not of type integer."),
        ("0?q=x", "path.id does not meet minimum 1."),
        ("7?q=x&tags=a&tags=c", "query.tags/1 is none of the values of enum."),
        ("7?q=x&tags=a&tags=a&tags=a", "query.tags does not meet maxItems 2."),
        ("7?q=x&ids=1,b", "query.ids/1 is not of type integer."),
        ("7?q=x&on=yes", "query.on is not of type boolean."),
        ("7?q=x&either=abc", "query.either does not meet oneOf."),
        ("7?q=x&where=%7B%7D", "query.where/a is missing."),
        ("7?q=x&where=%7B", "query.where is repeated, or cannot be read."),
        ("7?q=x&where=%7B%22a%22%3A1%2C%22a%22%3A2%7D", "query.where is repeated, or cannot be read."),
        ("7/more?q=x", "/ no operation of this method and path is described."),
    ] {
        let response = gateway.get(&format!("/public/items/{target}")).send();
        let expected = if fault.is_empty() { 200 } else { 400 };
        assert_eq!(outcome(&response), (expected, fault.to_owned()), "{target}");
    }
    let with = |name: &str, value: &str| outcome(&gateway.get("/public/items/7?q=x").header(name, value).send());
    assert_eq!(with("x-version", "3").0, 200);
    assert_eq!(with("X-Version", "three"), (400, "header.X-Version is not of type integer.".to_owned()));
    assert_eq!(with("X-List", "1, 2").0, 200);
    assert_eq!(with("X-List", "1, x"), (400, "header.X-List/1 is not of type integer.".to_owned()));
    assert_eq!(backend.requests().len(), 11);
}

#[test]
fn bodies_must_fit_their_schema_and_the_place_of_what_does_not_is_told_without_its_value() {
    let (_backend, gateway) = world_with(described);
    let put = |kind: &str, body: &str| {
        gateway.request("PUT", "/public/items/7").header("Content-Type", kind).body(body).send()
    };
    for (body, fault) in [
        (r#"{"name":"ab"}"#, ""),
        (r#"{"name":"ab","count":1.0,"note":null}"#, ""),
        (r#"{"name":"ab","children":[{"name":"cd","children":[{"name":"ef"}]}]}"#, ""),
        (r#"{"name":"a"}"#, "/name does not meet minLength 2."),
        (r#"{"count":1}"#, "/name is missing."),
        (r#"{"name":"ab","count":"1"}"#, "/count is not of type integer."),
        (
            r#"{"name":"ab","count":123456789012345678901234567890}"#,
            "/ has a number with more digits than can be compared.",
        ),
        (r#"{"name":"ab","x<y\"":1}"#, "/x_y_ is not described."),
        (r#"{"name":"ab","note":1}"#, "/note is not of type null or string."),
        (
            r#"{"name":"ab","children":[{"name":"cd"},{"name":"cd","children":[{"name":"SECRET","count":11}]}]}"#,
            "/children/1/children/0/count does not meet maximum 9.",
        ),
        (r#"["SECRET"]"#, "/ is not of type object."),
        ("", "/ is a body that is missing."),
    ] {
        let response = put("application/json", body);
        let expected = if fault.is_empty() { 200 } else { 400 };
        assert_eq!(outcome(&response), (expected, fault.to_owned()), "{body}");
        assert!(fault.is_empty() || (response.code() == "400-16" && !response.text().contains("SECRET")), "{body}");
        if !fault.is_empty() {
            assert_eq!(gateway.access_line(response.header("X-Request-Id").unwrap())["refusal"], "schema");
        }
    }
    put("application/json", r#"{"name":"ab","name":"cd"}"#).expect(400, "400-03");
    put("application/json", "{").expect(400, "400-03");
    put("application/json; charset=utf-16", "{}").expect(415, "415-01");
    put("application/xml", "<a/>").expect(415, "415-01");
    put("text/plain", "anything").ok();
    let encoded = gateway.request("PUT", "/public/items/7").header("Content-Encoding", "gzip");
    encoded.json(r#"{"name":"ab"}"#).send().expect(415, "415-01");
    // No operation takes this method, and none of DELETE has a body.
    assert_eq!(
        outcome(&gateway.post("/public/items/7").send()).1,
        "/ no operation of this method and path is described."
    );
    gateway.request("DELETE", "/public/items/7").send().ok();
    let body = gateway.request("DELETE", "/public/items/7").json("{}").send();
    assert_eq!(outcome(&body).1, "/ is a body, and none is described.");
    gateway.request("HEAD", "/public/items/7?q=x").send().ok();
}

#[test]
fn a_pattern_that_others_take_exponential_time_for_takes_none() {
    let (_backend, gateway) = world_with(described);
    let code = "a".repeat(100_000) + "!";
    let body = json!({"name": "ab", "code": code}).to_string();
    let response = gateway.request("PUT", "/public/items/7").json(&body).send();
    assert_eq!(outcome(&response), (400, "/code does not meet pattern.".to_owned()));
}

#[test]
fn a_deep_value_of_a_schema_with_branches_is_decided_quickly() {
    let branch = |name: &str| json!({"type": "object", "required": [name], "properties": {"next": {"$ref": "#/components/schemas/Node"}, name: {}}});
    let api = json!({
        "openapi": "3.1.0", "info": {"title": "t", "version": "1"},
        "paths": {"/public/tree": {"post": {
            "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Node"}}}},
            "responses": {"200": {"description": "ok"}}}}},
        "components": {"schemas": {"Node": {"oneOf": [branch("a"), branch("b"), branch("c")]}}},
    });
    let (_backend, gateway) = world_with(|c| described(c).file("api.yaml", &api.to_string()));
    let mut value = json!({"z": 1});
    for _ in 0..95 {
        value = json!({"a": 1, "b": 1, "c": 1, "next": value});
    }
    let response = gateway.post("/public/tree").json(&value.to_string()).send();
    assert_eq!(outcome(&response), (400, "/ does not meet oneOf.".to_owned()));
}

#[test]
fn an_observing_route_forwards_what_does_not_fit_and_logs_it() {
    let (backend, gateway) = world_with(|c| described(c).route("public", "mode", json!("observe")));
    let response = gateway.request("PUT", "/public/items/x").json(r#"{"a":1,"a":2}"#).send().ok();
    let line = gateway.access_line(response.header("X-Request-Id").unwrap());
    assert_eq!(line["observed"], "schema", "{line}");
    assert_eq!(backend.only().body, br#"{"a":1,"a":2}"#);
}

#[test]
fn credentials_come_before_the_description() {
    let (_backend, gateway) = world_with(|c| {
        described(c).route("me", "openapi", json!("api.yaml")).route("me", "validate", json!("request"))
    });
    gateway.get("/me/x").send().expect(401, "401-10");
    gateway.get("/me/x").customer(&gateway.customer_token()).send().expect(400, "400-16");
}

#[test]
fn what_cannot_be_held_against_requests_is_found_by_check_with_file_and_place() {
    let files = Workspace::new(&described(Config::with_server("http://127.0.0.1:9")));
    files.succeeds(&["check", "--files-only", "--config", "gateway.yaml"]);
    let parameter = |style: &str| API.replace("{ name: on, in: query, schema: { type: boolean } }", style);
    for (text, said) in [
        (
            API.replace(
                "#/components/schemas/Item\" } }\n          text",
                "https://example.com/item.json\" } }\n          text",
            ),
            "api.yaml at /paths/~1public~1items~1{id}/put/requestBody/content/application~1json/schema: $ref is remote",
        ),
        (
            API.replace("#/components/schemas/Item\" } }\n          text", "../item.json\" } }\n          text"),
            "leads out of the directory",
        ),
        (
            API.replace(
                "#/components/schemas/Item\" } }\n          text",
                "#/components/schemas/Nothing\" } }\n          text",
            ),
            "$ref leads nowhere: #/components/schemas/Nothing",
        ),
        (
            API.replace("#/components/schemas/Item\" } }\n          text", "missing.yaml\" } }\n          text"),
            "missing.yaml",
        ),
        (
            parameter("{ name: on, in: query, style: deepObject, schema: { type: object } }"),
            "GET /public/items/{id}: the parameter `on` is an object",
        ),
        (API.replace("^(a+)+$", "^(?=a)b$"), "a schema cannot be used"),
        (API.replace("maximum: 9", "maximum: nine"), "a schema cannot be used"),
        (API.replace("openapi: 3.1.0", "openapi: 4.0.0"), "is not an OpenAPI document of version 3.0 or 3.1"),
        ("openapi: 3.1.0\npaths: [".to_owned(), "is neither JSON nor YAML"),
    ] {
        assert_ne!(text, API, "{said}");
        files.write("api.yaml", &text);
        let complained = files.fails(&["check", "--files-only", "--config", "gateway.yaml"]);
        assert!(complained.contains(said) && complained.contains("routes[4].openapi"), "{said}: {complained}");
    }
    files.configure(&described(Config::with_server("http://127.0.0.1:9")).without("/routes/4/openapi"));
    let complained = files.fails(&["check", "--files-only", "--config", "gateway.yaml"]);
    assert!(complained.contains("there is no description that requests could be held against"), "{complained}");
}

#[test]
fn a_changed_description_is_in_force_without_a_restart_and_a_broken_one_is_not() {
    let (_backend, gateway) = world_with(described);
    assert_eq!(gateway.get("/public/items/7?q=longer").send().status, 400);
    gateway.files.write("api.yaml", &API.replace("maxLength: 5", "maxLength: 50"));
    eventually("the new description", || gateway.get("/public/items/7?q=longer").send().status == 200);
    gateway.files.write("api.yaml", "openapi: 2");
    gateway.signal("HUP");
    assert_eq!(gateway.get("/public/items/7?q=longer").send().status, 200);
}

#[test]
fn the_words_of_3_0_mean_what_they_meant() {
    let api = json!({
        "openapi": "3.0.3", "info": {"title": "t", "version": "1"},
        "paths": {"/public/old": {"post": {
            "requestBody": {"content": {"application/json": {"schema": {"type": "object", "properties": {
                "a": {"type": "string", "nullable": true},
                "b": {"type": "integer", "minimum": 1, "exclusiveMinimum": true},
                "c": {"nullable": true, "allOf": [{"$ref": "#/components/schemas/C"}]},
            }}}}},
            "responses": {"200": {"description": "ok"}}}}},
        "components": {"schemas": {"C": {"type": "object", "required": ["x"]}}},
    });
    let (_backend, gateway) = world_with(|c| described(c).file("api.yaml", &api.to_string()));
    let post = |body: &str| outcome(&gateway.post("/public/old").json(body).send());
    assert_eq!(post(r#"{"a":null,"b":2,"c":null}"#).0, 200);
    assert_eq!(post(r#"{"c":{"x":1}}"#).0, 200);
    assert_eq!(post(r#"{"b":1}"#), (400, "/b does not meet exclusiveMinimum 1.".to_owned()));
    assert_eq!(post(r#"{"b":null}"#), (400, "/b is not of type integer.".to_owned()));
    assert_eq!(post(r#"{"c":{}}"#), (400, "/c does not meet anyOf.".to_owned()));
}

/// Members that no caller gets, behind everything that a schema can put between.
fn redacting() -> Value {
    json!({
        "openapi": "3.1.0", "info": {"title": "t", "version": "1"},
        "paths": {
            "/public/customer": {"get": {"responses": {
                "200": {"description": "ok", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Customer"}}}},
                "404": {"description": "no", "content": {"application/json": {"schema": {"type": "object"}}}},
            }}},
            "/public/file": {"get": {"responses": {"200": {"description": "ok", "content": {"application/pdf": {}}}}}},
        },
        "components": {"schemas": {
            "Customer": {
                "allOf": [{"$ref": "#/components/schemas/Person"}, {"properties": {"iban": {"$ref": "#/components/schemas/Iban"}}}],
                "properties": {
                    "pin": {"type": "string", "x-redact": true},
                    "cards": {"type": "array", "items": {"type": "object", "properties": {"number": {"x-redact": true}}}},
                    "codes": {"type": "array", "items": {"x-redact": true}},
                    "byName": {"type": "object", "additionalProperties": {"properties": {"s": {"x-redact": true}}}, "properties": {"free": {}}},
                    "friends": {"type": "array", "items": {"$ref": "#/components/schemas/Customer"}},
                    "either": {"oneOf": [{"properties": {"k": {"x-redact": true}}}, {"type": "string"}]},
                    "marked": {"$ref": "#/components/schemas/Plain", "x-redact": true},
                },
                "patternProperties": {"^secret-": {"x-redact": true}},
            },
            "Person": {"properties": {"ssn": {"x-redact": true}, "name": {"type": "string"}}},
            "Iban": {"type": "string", "x-redact": true},
            "Plain": {"type": "string"},
        }},
    })
}

fn redacted(config: Config) -> Config {
    config.route("public", "openapi", json!("api.json")).file("api.json", &redacting().to_string())
}

#[test]
fn members_with_x_redact_are_removed_wherever_a_schema_puts_them() {
    let (backend, gateway) = world_with(redacted);
    let customer = |inner: Value| {
        json!({
            "name": "Ann", "ssn": "S1", "iban": "S2", "pin": "S3", "cards": [{"number": "S4", "type": "visa"}], "codes": ["S5"],
            "byName": {"x": {"s": "S6", "t": 1}, "free": {"s": "free"}}, "friends": inner, "either": {"k": "S7", "l": 2}, "marked": "S8",
            "secret-x": "S9", "\u{73}ecret-y": "S10", "other": 1.50,
        })
    };
    let deep = (0..30).fold(json!([]), |inner, _| json!([customer(inner)]));
    backend.on("/public/customer", Behaviour::json(200, &deep[0]));
    let text = gateway.get("/public/customer").send().ok().text();
    assert!(!text.contains("S1") && !(2..=10).any(|number| text.contains(&format!("\"S{number}\""))), "{text}");
    let left: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(left["friends"][0]["friends"][0]["name"], "Ann");
    assert_eq!(left["cards"], json!([{"type": "visa"}]));
    assert_eq!(left["codes"], json!([]));
    assert_eq!(left["byName"], json!({"x": {"t": 1}, "free": {}}));
    assert_eq!(left["either"], json!({"l": 2}));
    assert!(text.contains("\"other\":1.5"), "{text}");
    let seen = backend.last();
    assert_eq!(seen.header("Accept-Encoding"), Some("identity"));
}

#[test]
fn members_are_removed_also_where_a_response_has_another_shape_than_described() {
    let document = json!({
        "openapi": "3.1.0", "info": {"title": "t", "version": "1"},
        "paths": {"/public/customer": {"get": {"responses": {"200": {"description": "ok",
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/P"}}}}}}}},
        "components": {"schemas": {"P": {"type": "object", "properties": {
            "secret": {"x-redact": true}, "name": {"type": "string"},
            "child": {"$ref": "#/components/schemas/P"},
            "list": {"type": "array", "items": {"$ref": "#/components/schemas/P"}},
            "keys": {"type": "array", "items": {"type": "string", "x-redact": true}},
        }}}},
    });
    let text = document.to_string();
    let (backend, gateway) =
        world_with(move |c| c.route("public", "openapi", json!("api.json")).file("api.json", &text));
    let (full, left) = (json!({"secret": "S", "name": "n"}), json!({"name": "n"}));
    for (sent, passed) in [
        (full.clone(), left.clone()),
        (json!([full]), json!([left])),
        (json!([[full]]), json!([[left]])),
        (json!({"child": [full]}), json!({"child": [left]})),
        (json!({"list": full}), json!({"list": left})),
        (json!({"list": [[full]]}), json!({"list": [[left]]})),
        (json!({"keys": "S"}), json!({})),
        (json!({"keys": [["S"]], "name": "n"}), json!({"keys": [], "name": "n"})),
        (json!({"more": {"deep": [{"Secret": "S", "x": 1}]}}), json!({"more": {"deep": [{"x": 1}]}})),
        (json!({"name": full}), json!({"name": left})),
        (json!({"more": {"x": [1, {"y": null}]}}), json!({"more": {"x": [1, {"y": null}]}})),
    ] {
        backend.on("/public/customer", Behaviour::json(200, &sent));
        let text = gateway.get("/public/customer").send().ok().text();
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), passed, "{sent}");
    }
}

#[test]
fn the_description_of_a_status_counts_and_what_is_not_described_gets_the_strictest() {
    let (backend, gateway) = world_with(redacted);
    let body = json!({"pin": "S", "name": "n"});
    for (path, status, has_pin) in [
        ("/public/customer", 200, false),
        ("/public/customer", 404, true),
        ("/public/customer", 500, false),
        ("/public/unknown", 200, false),
    ] {
        backend.on(path, Behaviour::json(status, &body));
        let response = gateway.get(path).send();
        assert_eq!((response.status, response.text().contains("pin")), (status, has_pin), "{path}");
        assert!(response.text().contains("name"), "{path}");
    }
    // A server may read this path as that of the customer.
    let (other, wide) = world_with(|c| redacted(c).route("public", "allow_in_path", json!(["semicolon"])));
    other.on("/public/file;x", Behaviour::json(200, &body));
    assert!(!wide.get("/public/file;x").send().ok().text().contains("pin"));
    backend.on("/public/customer", Behaviour::json(200, &body));
    assert!(!gateway.post("/public/customer").send().ok().text().contains("pin"), "not described: POST");
}

#[test]
fn a_response_that_must_lose_members_and_is_no_json_does_not_pass_and_others_are_left_alone() {
    let (backend, gateway) = world_with(redacted);
    backend.on("/public/customer", Behaviour::reply(200, &[("Content-Type", "text/html")], b"pin=S"));
    gateway.get("/public/customer").send().expect(502, "502-03");
    backend.on(
        "/public/customer",
        Behaviour::reply(200, &[("Content-Type", "application/json")], br#"{"pin":"S","pin":1}"#),
    );
    gateway.get("/public/customer").send().expect(502, "502-03");
    backend.on("/public/file", Behaviour::reply(200, &[("Content-Type", "application/pdf")], b"%PDF \xff"));
    assert_eq!(gateway.get("/public/file").send().ok().body, b"%PDF \xff");
}

#[test]
fn a_mark_that_is_neither_true_nor_false_is_a_problem_and_so_is_a_websocket() {
    let files = Workspace::new(&redacted(Config::with_server("http://127.0.0.1:9")));
    files.succeeds(&["check", "--files-only", "--config", "gateway.yaml"]);
    files.configure(&redacted(Config::with_server("http://127.0.0.1:9")).route("public", "websocket", json!(true)));
    let said = files.fails(&["check", "--files-only", "--config", "gateway.yaml"]);
    assert!(said.contains("x-redact in this file says what may pass"), "{said}");
    files.configure(&redacted(Config::with_server("http://127.0.0.1:9")));
    files.write("api.json", &redacting().to_string().replace(r#""x-redact":true"#, r#""x-redact":"mask""#));
    let said = files.fails(&["check", "--files-only", "--config", "gateway.yaml"]);
    assert!(said.contains("`x-redact` is neither true nor false"), "{said}");
}
