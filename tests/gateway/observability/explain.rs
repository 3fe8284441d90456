//! `wicketgate explain`: each check of a request, by the code that decides, and without any effect.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::OnceLock;

use crate::harness::config::{FREE_API_KEY, NARROW_API_KEY, OTHER_API_KEY};
use crate::harness::*;

/// The arguments that give this request by flags.
fn flags(request: &Request) -> Vec<String> {
    let url = format!("https://localhost:{}{}", request.address.port(), request.target);
    let mut words: Vec<String> =
        ["explain", "--json", "--method", &request.method, "--url", &url].map(str::to_owned).into();
    for (name, value) in &request.lines {
        words.extend(["--header".to_owned(), format!("{name}: {value}")]);
    }
    if let Some(body) = &request.body {
        words.extend(["--data".to_owned(), String::from_utf8(body.clone()).unwrap()]);
    }
    words
}

/// Exit code and JSON of the explanation of a request.
#[track_caller]
fn explained(gateway: &Gateway, request: &Request) -> (i32, Value) {
    let words = flags(request);
    run_json(gateway, &words.iter().map(String::as_str).collect::<Vec<_>>())
}

#[track_caller]
fn run_json(gateway: &Gateway, words: &[&str]) -> (i32, Value) {
    let (code, said, complained) = gateway.files.run(words);
    let json = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {words:?}\n{said}{complained}"));
    assert_keys_exist(gateway, &json);
    (code, json)
}

/// Asserts that each place of gateway.yaml which an explanation names is one of the schema.
#[track_caller]
fn assert_keys_exist(gateway: &Gateway, explanation: &Value) {
    static SCHEMA: OnceLock<Value> = OnceLock::new();
    let schema = SCHEMA.get_or_init(|| serde_json::from_str(&gateway.files.succeeds(&["schema"])).unwrap());
    for step in explanation["steps"].as_array().into_iter().flatten() {
        let Some(key) = step["key"].as_str() else { continue };
        let tokens: Vec<&str> = key.strip_prefix('/').unwrap_or_else(|| panic!("{step:#}")).split('/').collect();
        assert!(is_in_schema(schema, schema, &tokens), "there is no key {key}: {step:#}");
    }
}

/// Whether a schema has this place; an entry of a list goes by its number or name.
fn is_in_schema(whole: &Value, at: &Value, tokens: &[&str]) -> bool {
    if let Some(name) = at["$ref"].as_str() {
        return is_in_schema(whole, &whole["$defs"][name.trim_start_matches("#/$defs/")], tokens);
    }
    let Some((first, rest)) = tokens.split_first() else { return true };
    let choices = ["anyOf", "oneOf", "allOf"].into_iter().filter_map(|kind| at[kind].as_array()).flatten();
    let inner = [&at["properties"][*first], &at["items"], &at["additionalProperties"]];
    choices.into_iter().any(|choice| is_in_schema(whole, choice, tokens))
        || inner.into_iter().filter(|schema| schema.is_object()).any(|schema| is_in_schema(whole, schema, rest))
}

/// The explanation in memory of a request that was sent with this id.
#[track_caller]
fn by_id(gateway: &Gateway, id: &str) -> (i32, Value) {
    run_json(gateway, &["explain", "--json", id])
}

/// The answer of the operators' socket.
#[track_caller]
fn socket(gateway: &Gateway, method: &str, path: &str, body: &str) -> Value {
    let mut stream = UnixStream::connect(gateway.files.path.join("data/admin.sock")).unwrap();
    let length = body.len();
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let told = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1);
    let told: Value = told.unwrap_or_else(|error| panic!("{error}: {answer}"));
    for explanation in [&told, &told["explanation"]] {
        assert_keys_exist(gateway, explanation);
    }
    told
}

/// The explanation of a request, as [`explained`] has it without lines.
#[track_caller]
fn told(gateway: &Gateway, request: &Request) -> Value {
    let url = format!("https://localhost:{}{}", request.address.port(), request.target);
    let body = request.body.as_ref().map(|body| String::from_utf8(body.clone()).unwrap());
    let question = json!({"method": request.method, "url": url, "headers": request.lines, "body": body});
    socket(gateway, "POST", "/explain", &question.to_string())
}

/// The first step with this verdict.
fn step<'e>(explanation: &'e Value, verdict: &str) -> &'e str {
    let steps = explanation["steps"].as_array().unwrap();
    let found = steps.iter().find(|step| step["verdict"] == verdict);
    found.and_then(|step| step["check"].as_str()).unwrap_or_default()
}

/// What the last step with this verdict saw.
fn last_seen(explanation: &Value, verdict: &str) -> String {
    let steps = explanation["steps"].as_array().unwrap();
    let found = steps.iter().rev().find(|step| step["verdict"] == verdict);
    found.and_then(|step| step["saw"].as_str()).unwrap_or_default().to_owned()
}

/// Sends a request with this id over HTTP/2, where `:authority` names the host; its status.
#[track_caller]
fn send_by_http2(request: &Request, id: &str) -> u16 {
    let url = format!("https://localhost:{}{}", request.address.port(), request.target);
    let mut sent = http::Request::builder().method(&*request.method).uri(url).version(http::Version::HTTP_2);
    for (name, value) in &request.lines {
        if !["host", "connection", "x-request-id", "content-length"].contains(&&*name.to_ascii_lowercase()) {
            sent = sent.header(name.to_ascii_lowercase(), value);
        }
    }
    let body = request.body.clone().unwrap_or_default();
    if !body.is_empty() {
        sent = sent.header("content-length", body.len());
    }
    let sent = sent.header("x-request-id", id).body(()).unwrap();
    h2_client::send(request.address, sent, &body, None).unwrap().status().as_u16()
}

/// Sends a request with this id.
#[track_caller]
fn send(request: Request, id: &str) -> Response {
    request.replace("X-Request-Id", id).send()
}

#[test]
fn a_refusal_is_explained_by_its_request_id_with_the_step_that_refused() {
    let (backend, gateway) = world_with(|config| {
        config
            .route("system", "scopes", json!(["nobody-has-this"]))
            .route("key", "content_types", json!(["application/json"]))
            .route("public", "limits", json!({"rate": "1/h", "burst": 1, "body": "10B"}))
            .cookies("both")
    });
    let expired = gateway.forge(|_, claims| claims["exp"] = json!(1_600_000_000));
    let elsewhere = gateway.forge(|_, claims| claims["aud"] = json!("other"));
    let unknown_key = gateway.forge(|header, _| header["kid"] = json!("nobody"));
    gateway.get("/public/first").send().ok();
    let get = |path: &str| gateway.get(path);
    let table: Vec<(Request, &str, &str)> = vec![
        (gateway.profile().replace("api-key", "nope"), "api_key_unknown", "api_key"),
        (gateway.profile().replace("api-key", NARROW_API_KEY), "api_key_route", "api_key"),
        (gateway.profile().replace("api-key", OTHER_API_KEY), "api_key_client", "api_key.client"),
        (gateway.profile().drop_header("api-key"), "api_key_missing", "api_key"),
        (get("/me/x").customer(&expired), "customer_token_expired", "customer_token.exp"),
        (get("/me/x").customer(&elsewhere), "customer_token_audience", "customer_token.aud"),
        (get("/me/x").customer(&unknown_key), "customer_token_unknown_key", "customer_token.signature"),
        (get("/me/x"), "no_credential", "credentials"),
        (get("/me/x").header("Cookie", "__Host-session=forged"), "session_forged", "session.cookie"),
        (get("/system/x").bearer(&gateway.client_token()), "scope", "scopes"),
        (get("/nowhere"), "no_route", "route"),
        (gateway.request("GET", "/account/x"), "method", "route"),
        (
            gateway.post("/key/x").api_key(FREE_API_KEY).header("Content-Type", "text/plain").body("x"),
            "content_type",
            "content_type",
        ),
        (get("/public/x"), "rate_limited", "rate_limit"),
        (gateway.post("/public/x").body("more than ten bytes"), "body_too_large", "body_size"),
        (get("/public/x").replace("Host", "not a host"), "host", "request"),
    ];
    for (number, (request, word, check)) in table.into_iter().enumerate() {
        let id = format!("refused-{number}");
        // A host that is none cannot be sent so.
        if word != "host" {
            let (id, status) = (format!("http2-{number}"), send_by_http2(&request, &format!("http2-{number}")));
            let (code, explanation) = by_id(&gateway, &id);
            assert_eq!((code, explanation["refusal"].as_str()), (3, Some(word)), "{explanation:#}");
            assert_eq!(step(&explanation, "refused"), check, "{explanation:#}");
            assert_eq!(explanation["status"], status, "{explanation:#}");
            let steps = explanation["steps"].as_array().unwrap();
            let route = steps.iter().find(|step| step["check"] == "route").unwrap();
            assert!(route["wanted"].as_str().unwrap().contains("localhost"), "{explanation:#}");
        }
        let response = send(request, &id);
        let (code, explanation) = by_id(&gateway, &id);
        assert_eq!((code, explanation["refusal"].as_str()), (3, Some(word)), "{explanation:#}");
        assert_eq!(step(&explanation, "refused"), check, "{explanation:#}");
        assert_eq!(explanation["status"], response.status, "{explanation:#}");
        assert_eq!(explanation["code"], response.code(), "{explanation:#}");
    }
    assert_eq!(backend.requests().len(), 1);
}

#[test]
fn a_refusal_behind_the_checks_or_of_an_endpoint_is_explained_too() {
    let (backend, gateway) = world();
    backend.on("/public/x", Behaviour::Close);
    send(gateway.get("/public/x"), "broken").expect(502, "502-01");
    let (code, explanation) = by_id(&gateway, "broken");
    assert_eq!((code, step(&explanation, "refused"), explanation["route"].as_str()), (3, "backend", Some("public")));
    send(gateway.login_request(ALICE.name, "wrong"), "no-login").expect(401, "401-04");
    let (_, explanation) = by_id(&gateway, "no-login");
    assert_eq!(
        (step(&explanation, "refused"), explanation["refusal"].as_str()),
        ("login", Some("login_wrong_password"))
    );
    assert!(!explanation.to_string().contains(ALICE.name), "{explanation:#}");
}

#[test]
fn a_client_with_a_wrong_secret_only_claims_its_name() {
    let (_backend, gateway) = world();
    send(gateway.token_request(CLIENT.name, "wrong"), "claimed");
    let (_, explanation) = by_id(&gateway, "claimed");
    assert_eq!(explanation["refusal"], "wrong_client_secret", "{explanation:#}");
    let steps = explanation["steps"].as_array().unwrap();
    let caller = steps.iter().find(|step| step["check"] == "caller").unwrap();
    assert_eq!(
        (caller["verdict"].as_str(), caller["saw"].as_str()),
        (Some("skipped"), Some(&*format!("claims to be client {}, not proved", CLIENT.name)))
    );
    let (_, said, _) = gateway.files.run(&["explain", "claimed"]);
    assert!(
        said.contains(&format!(" POST from 127.0.0.1, client {} (not proved)", CLIENT.name))
            && said.contains("\ncause: "),
        "{said}"
    );
    assert!(said.lines().all(|line| line.chars().count() <= 100), "{said}");
}

#[test]
fn the_last_row_says_in_words_what_is_wrong() {
    let (_backend, gateway) = world();
    let client = gateway.client_token();
    let at = |change: fn(&mut Value)| gateway.forge(|_, claims| change(claims));
    let slash = gateway.forge(|_, claims| {
        let own = claims["iss"].as_str().unwrap().trim_end_matches('/').to_owned();
        claims["iss"] = json!(format!("{own}/"));
    });
    for (number, (request, parts)) in [
        (
            gateway.get("/me/x").header("customer-auth", "Bearer a.b.c"),
            vec!["customer-auth: scheme Bearer, wanted JWT"],
        ),
        (
            gateway.get("/me/x").header("customer-auth", "s3cret a.b.c"),
            vec!["customer-auth: another scheme, wanted JWT"],
        ),
        (gateway.profile().drop_header("customer-auth"), vec!["no token in customer-auth: JWT"]),
        (gateway.profile().replace("authorization", "Basic YTpi"), vec!["authorization: scheme Basic, wanted Bearer"]),
        (gateway.profile().drop_header("authorization"), vec!["no access token"]),
        (gateway.get("/me/x").customer("a.b.c"), vec!["the customer's token cannot be read"]),
        (
            gateway.get("/me/x").customer(&at(|claims| claims["exp"] = json!(1_000))),
            vec!["the customer's token has expired"],
        ),
        (gateway.get("/me/x").customer(&client), vec!["the customer's token is another kind of token"]),
        (
            gateway.get("/me/x").customer(&slash),
            vec!["iss https://", "differs only in a slash at the end from https://"],
        ),
        (gateway.profile().header("X-Customer-Id", "t1-s3cret"), vec!["another is named in the header x-customer-id"]),
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("words-{number}");
        let (code, explanation) = explained(&gateway, &request);
        assert_eq!(code, 3, "{explanation:#}");
        assert!(send(request, &id).status >= 400);
        for explanation in [explanation, by_id(&gateway, &id).1] {
            let text = explanation.to_string();
            assert!(
                parts.iter().all(|part| text.contains(part)) && !text.contains("s3cret"),
                "{parts:?}: {explanation:#}"
            );
            let word = explanation["refusal"].as_str().unwrap();
            assert_ne!(last_seen(&explanation, "refused"), word, "{explanation:#}");
        }
    }
}

#[test]
fn what_the_gateway_does_not_check_here_is_said() {
    let (backend, gateway) =
        world_with(|config| config.set("/backends/legacy/circuit_breaker", json!({"failures": 1, "pause": "60s"})));
    let (code, explanation) = explained(&gateway, &gateway.login_request(ALICE.name, "wrong"));
    assert_eq!((code, explanation["verdict"].as_str(), step(&explanation, "skipped")), (0, Some("passed"), "endpoint"));
    let url = format!("localhost:{}/auth/customer_authenticate", gateway.address.port());
    let (code, said, _) = gateway.files.run(&["explain", "--", "curl", "-d", "a=b", &format!("https://{url}")]);
    assert!(code == 0 && said.contains("\npassed up to an endpoint") && !said.contains("\npassed\n"), "{said}");
    let complained = gateway.files.fails(&["explain", "--", "curl", "-d", "a=b", &url]);
    assert!(complained.contains("plain http") && complained.contains("https://"), "{complained}");
    let health = |explanation: &Value| {
        let steps = explanation["steps"].as_array().unwrap().clone();
        steps.into_iter().find(|step| step["check"] == "backend.standing").map(|step| step["saw"].to_string())
    };
    assert_eq!(health(&explained(&gateway, &gateway.get("/public/x")).1), None);
    backend.on("/public/x", Behaviour::Close);
    send(gateway.get("/public/x"), "broken");
    let (code, explanation) = explained(&gateway, &gateway.get("/public/x"));
    let saw = health(&explanation).unwrap_or_else(|| panic!("{explanation:#}"));
    assert!(code == 0 && saw.contains("circuit is open"), "{saw}");
}

#[test]
fn an_unreadable_content_type_is_no_absent_one() {
    let (_backend, gateway) = world_with(|config| config.route("key", "content_types", json!(["application/json"])));
    let url = format!("https://localhost:{}/key/x", gateway.address.port());
    let key = format!("Api-Key: {FREE_API_KEY}");
    let curl = ["explain", "--json", "--", "curl", &url, "-H", &key, "-H", "Content-Type;", "-d", "x"];
    let (code, explanation) = run_json(&gateway, &curl);
    assert_eq!((code, explanation["refusal"].as_str()), (3, Some("malformed_request")), "{explanation:#}");
    assert!(last_seen(&explanation, "refused").starts_with("a field that cannot be read as a type"), "{explanation:#}");
}

#[test]
fn pasted_commands_end_where_the_shell_ends_them() {
    let (_backend, gateway) = world();
    let url = format!("https://localhost:{}/public/a/../x", gateway.address.port());
    for pasted in [
        format!("$ curl -s {url} | jq ."),
        format!("curl -s {url} ;"),
        format!("curl ^\"{url}^\" ^\n  -H ^\"accept: */*^\""),
    ] {
        let (code, explanation) = run_json(&gateway, &["explain", "--json", &pasted]);
        assert_eq!((code, explanation["route"].as_str()), (0, Some("public")), "{pasted}: {explanation:#}");
        assert_eq!(explanation["backend_request"][0], "GET /public/x HTTP/1.1");
    }
    for (pasted, part) in [("http GET https://a.test", "HTTPie"), ("Invoke-WebRequest -Uri x", "PowerShell")] {
        let complained = gateway.files.fails(&["explain", pasted]);
        assert!(complained.contains("no curl command") && complained.contains(part), "{complained}");
    }
}

#[test]
fn a_request_that_passes_shows_the_identifier_and_the_head_that_the_backend_gets() {
    let (backend, gateway) = world_with(|config| {
        config
            .set("/backends/legacy/authorization", json!({"bearer": {"file": "certs/backend.secret"}}))
            .file("certs/backend.secret", "backend-s3cret-0123456789")
            .route("profile", "rewrite", json!({"strip_prefix": "/account"}))
    });
    let request = gateway.profile().header("X-Request-Id", "same").header("X-Note", "private words").body("{}");
    let (code, explanation) = explained(&gateway, &request);
    assert_eq!((code, explanation["verdict"].as_str()), (0, Some("passed")), "{explanation:#}");
    backend.assert_untouched();
    request.send().ok();
    let seen = backend.only();
    assert_eq!(explanation["identifier"], json!(seen.header("x-customer-id").unwrap()));
    let lines: Vec<&str> =
        explanation["backend_request"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(lines[0], format!("POST {} HTTP/1.1", seen.target));
    let shown: Vec<(&str, &str)> = lines[1..].iter().map(|line| line.split_once(": ").unwrap()).collect();
    for (name, value) in &seen.lines {
        let value_shown = shown.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        let (_, value_shown) = value_shown.unwrap_or_else(|| panic!("{name} is not shown: {lines:#?}"));
        let masked = format!("({} bytes)", value.len());
        // The port of the connection differs, and so nothing else of what is shown.
        assert!(*value_shown == value || *value_shown == masked, "{name}: {value} is shown as {value_shown}");
    }
    assert_eq!(shown.len(), seen.lines.len(), "{lines:#?}\n{:#?}", seen.lines);
    for (name, is_shown) in [("x-customer-id", true), ("host", true), ("authorization", false), ("x-note", false)] {
        let (_, value) = shown.iter().find(|(known, _)| *known == name).unwrap();
        assert_eq!(!value.ends_with(" bytes)"), is_shown, "{name}: {value}");
    }
}

#[test]
fn every_form_of_the_command_says_the_same_and_lines_of_the_file_are_right() {
    let (_backend, gateway) = world();
    let port = gateway.address.port();
    let url = format!("https://localhost:{port}/key/x");
    let quoted = format!("curl -sk '{url}' \\\n  -H $'Api-Key: n\\'ope' --compressed");
    let header = "Api-Key: n'ope";
    let forms: [&[&str]; 4] = [
        &["explain", "--json", &quoted],
        &["explain", "--json", "--", "curl", "-sSk", &url, "-H", header],
        &["explain", "--json", "--", "curl", "--url", &url, "-HApi-Key: n'ope", "-XGET"],
        &["explain", "--json", "--url", &url, "--header", header],
    ];
    for form in forms {
        let (code, explanation) = run_json(&gateway, form);
        assert_eq!((code, explanation["refusal"].as_str()), (3, Some("api_key_unknown")), "{form:?}: {explanation:#}");
    }
    let (_, said, _) =
        gateway.files.run(forms[3].iter().copied().filter(|word| *word != "--json").collect::<Vec<_>>().as_slice());
    let text = std::fs::read_to_string(gateway.files.config()).unwrap();
    let name = |line: &str| line.contains("\"name\": \"key\"");
    let begins = text.lines().position(name).unwrap() + 1;
    let line = said.lines().find(|line| line.starts_with("NO ")).unwrap();
    let number: usize = line.rsplit("gateway.yaml:").next().unwrap().parse().unwrap();
    let require = text.lines().nth(number - 1).unwrap();
    assert!(number.abs_diff(begins) < 15 && require.contains("require"), "{line}\n{number}: {require}");
    assert!(said.contains("refused: api_key_unknown, status 403, code 403-01"), "{said}");
}

#[test]
fn what_cannot_be_read_ends_with_exit_code_1_and_says_what_to_do() {
    let (_backend, gateway) = world();
    for (words, part) in [
        (vec!["explain", "never-was"], "1,024"),
        (vec!["explain", "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ4In0.c2ln"], "secret"),
        (vec!["explain", "curl 'https://localhost/x"], "quote"),
        (vec!["explain", "--", "wget", "https://localhost/x"], "curl"),
        (vec!["explain", "--", "curl", "--nonsense", "https://localhost/x"], "--nonsense"),
        (vec!["explain", "--", "curl", "-F", "a=b", "https://localhost/x"], "-F"),
        (vec!["explain", "--offline"], "--url"),
        (vec!["explain"], "--help"),
        (vec!["explain", "--url", "ftp://localhost/x"], "https://"),
    ] {
        let complained = gateway.files.fails(&words);
        assert!(complained.contains(part), "{words:?}: {complained}");
    }
    let files = gateway.kill();
    let complained = files.fails(&["explain", "--url", "https://localhost/x"]);
    assert!(complained.contains("--offline"), "{complained}");
}

#[test]
fn a_request_is_explained_offline_by_the_file_alone() {
    let (backend, gateway) = world();
    let token = gateway.client_token();
    let (expired, port) = (gateway.forge(|_, claims| claims["exp"] = json!(1_600_000_000)), gateway.address.port());
    let (profile, files) = (gateway.profile(), gateway.kill());
    let run = |request: &Request| {
        let mut words = flags(request);
        words.push("--offline".to_owned());
        let (code, said, complained) = files.run(&words.iter().map(String::as_str).collect::<Vec<_>>());
        let json: Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}{complained}"));
        (code, json)
    };
    let (code, explanation) = run(&profile);
    assert_eq!((code, explanation["verdict"].as_str()), (0, Some("passed")), "{explanation:#}");
    let (code, explanation) = run(&profile.clone().replace("customer-auth", &format!("JWT {expired}")));
    assert_eq!((code, step(&explanation, "refused")), (3, "customer_token.exp"), "{explanation:#}");
    let url = format!("https://localhost:{port}/system/x");
    let (_, said, _) =
        files.run(&["explain", "--offline", "--", "curl", &url, "-H", &format!("Authorization: Bearer {token}")]);
    assert!(said.contains("\noffline: ") && said.contains("\npassed\n"), "{said}");
    backend.assert_untouched();
}

#[test]
fn explaining_has_no_effect() {
    let (backend, gateway) = world_with(|config| {
        config
            .route("key", "limits", json!({"rate": "1/h", "burst": 2}))
            .set("/api_keys/2/quota", json!({"day": 3}))
            .cookies("both")
    });
    let login = gateway.login_request(ALICE.name, ALICE.secret).send().ok();
    let cookie = login.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let used = || {
        gateway
            .files
            .succeeds(&["keys"])
            .lines()
            .filter(|line| line.starts_with("api_key "))
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let sessions = || gateway.files.succeeds(&["sessions", "list", "--json"]);
    let before = (used(), sessions(), gateway.metric("wicketgate_requests_total", &[]));
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    let key = gateway.get("/key/x").api_key(FREE_API_KEY);
    for _ in 0..5 {
        assert_eq!(explained(&gateway, &key).0, 0);
        assert_eq!(explained(&gateway, &gateway.get("/me/x").header("Cookie", &cookie)).0, 0);
        assert_eq!(explained(&gateway, &gateway.get("/key/x").api_key("wrong")).0, 3);
    }
    assert_eq!((used(), sessions(), gateway.metric("wicketgate_requests_total", &[])), before);
    backend.assert_untouched();
    let lines = gateway.stdout.all();
    assert!(!lines.iter().any(|line| line.contains("\"key\"")), "{lines:?}");
    // Nothing was spent.
    for left in [true, true, false] {
        let (code, _) = explained(&gateway, &key);
        assert_eq!(code == 0, left);
        let status = key.send().status;
        assert_eq!(status == 200, left, "{status}");
    }
}

#[test]
fn no_secret_stands_in_an_explanation() {
    let (_backend, gateway) = world_with(|config| config.cookies("both"));
    let token = gateway.customer_token();
    let login = gateway.login_request(ALICE.name, ALICE.secret).send().ok();
    let cookie = login.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let client = gateway.client_token();
    let forged = gateway.forge(|_, claims| claims["sub"] = json!("mary.jones@example.com"));
    let requests = [
        gateway.profile(),
        gateway.profile().replace("api-key", "wgk_leaked-key-4711"),
        gateway.get("/me/x?password=hunter2").customer(&token).header("Cookie", &cookie),
        gateway.get("/me/x").customer(&forged),
        gateway.get("/me/x").header("Cookie", &cookie).header("X-Secret", "top-s3cret"),
        gateway.post("/system/x").bearer(&client).json("{\"password\":\"hunter2\"}"),
        gateway.get(&format!("/nowhere/{token}")),
        gateway.get("/me/x").customer(&token[..token.len() - 4]),
    ];
    let parts =
        |secret: &str| secret.split(['.', '=']).filter(|part| part.len() > 12).map(str::to_owned).collect::<Vec<_>>();
    let mut secrets: Vec<String> =
        ["hunter2", "top-s3cret", "leaked-key", "mary.jones", ALICE.name, ALICE.subject, API_KEY]
            .map(str::to_owned)
            .into();
    for secret in [&token, &cookie, &client, &forged] {
        secrets.extend(parts(secret));
    }
    // The beginning of each token says only how it is signed.
    secrets.retain(|secret| !secret.starts_with("eyJhbGci") && !secret.starts_with("eyJ0eXAi"));
    let holds_none = |what: &str| {
        for secret in &secrets {
            assert!(!what.contains(secret.as_str()), "{secret} in {what}");
        }
    };
    for (number, request) in requests.into_iter().enumerate() {
        let words = flags(&request);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let (_, said, complained) = gateway.files.run(&words);
        holds_none(&said);
        holds_none(&complained);
        let plain: Vec<&str> = words.into_iter().filter(|word| *word != "--json").collect();
        holds_none(&gateway.files.run(&plain).1);
        let id = format!("sent-{number}");
        if send(request, &id).status >= 400 {
            holds_none(&by_id(&gateway, &id).1.to_string());
        }
    }
}

#[test]
fn what_a_route_only_observes_is_explained_too() {
    let (_backend, gateway) = world_with(|config| config.route("key", "mode", json!("observe")));
    send(gateway.get("/key/x").api_key("wrong"), "observed").ok();
    let (code, explanation) = by_id(&gateway, "observed");
    assert_eq!((code, explanation["verdict"].as_str()), (0, Some("passed")), "{explanation:#}");
    assert_eq!((explanation["refusal"].as_str(), step(&explanation, "observed")), (Some("api_key_unknown"), "api_key"));
    assert_eq!(step(&explanation, "refused"), "", "{explanation:#}");
    let (code, explanation) = explained(&gateway, &gateway.get("/key/x").api_key("wrong"));
    assert_eq!((code, step(&explanation, "observed"), explanation["code"].as_str()), (0, "api_key", Some("403-01")));
}

#[test]
fn the_refusals_in_memory_are_the_last_ones_and_a_flood_is_summarized() {
    let (_backend, gateway) = world();
    send(gateway.get("/me/x"), "very-first").expect(401, "401-10");
    let mut connection = gateway.connect();
    for number in 0..330 {
        gateway.get("/me/x").header("X-Request-Id", &format!("flood-{number}")).send_on(&mut connection);
    }
    gateway.access_line("flood-329");
    gateway.files.fails(&["explain", "very-first"]);
    gateway.files.fails(&["explain", "flood-73"]);
    let (code, explanation) = by_id(&gateway, "flood-329");
    assert_eq!((code, explanation["refusal"].as_str()), (3, Some("no_credential")));
    let (_, kept) = by_id(&gateway, "flood-74");
    assert_eq!(kept["refusal"], "no_credential");
}

#[test]
fn it_says_why_other_routes_lost() {
    let (_backend, gateway) = world_with(|config| {
        config
            .add_route(json!({"name": "wide", "path": "/me/deep/", "methods": ["GET"], "public": true, "backend": "legacy"}))
            .add_route(json!({"name": "beta", "path": "/me/choice", "methods": ["GET"], "public": true, "backend": "legacy",
                "headers": [{"name": "X-Beta", "equals": "on"}]}))
            .add_route(json!({"name": "other-host", "path": "/me/deep/", "hosts": ["other.test"], "public": true, "methods": ["GET"], "backend": "legacy"}))
    });
    let losers = |request: &Request| {
        let (_, explanation) = explained(&gateway, request);
        let steps = explanation["steps"].as_array().unwrap().clone();
        let others = steps.into_iter().filter(|step| step["check"] == "route.other");
        others
            .map(|step| format!("{}: {}", step["wanted"].as_str().unwrap(), step["saw"].as_str().unwrap()))
            .collect::<Vec<_>>()
    };
    let deep = losers(&gateway.get("/me/deep/x"));
    assert!(deep.iter().any(|line| line.starts_with("me /me/: path: another route's is more specific")), "{deep:#?}");
    assert!(deep.iter().any(|line| line.starts_with("other-host /me/deep/: host")), "{deep:#?}");
    let method = losers(&gateway.post("/me/deep/x"));
    assert!(method.iter().any(|line| line.starts_with("wide /me/deep/: method: it takes GET")), "{method:#?}");
    let choice = losers(&gateway.get("/me/choice"));
    assert!(
        choice.iter().any(|line| line.contains("beta") && line.contains("header: x-beta has to be on")),
        "{choice:#?}"
    );
}

#[test]
fn what_is_explained_is_what_the_gateway_answers() {
    let (_backend, gateway) = world_with(|config| {
        config
            .route("key", "content_types", json!(["application/json"]))
            .route("key", "limits", json!({"body": "100B"}))
            .route("system", "deny", json!(["10.0.0.0/8"]))
            .add_route(json!({"name": "here", "path": "/denied/", "methods": ["GET"], "public": true, "deny": ["127.0.0.0/8"], "backend": "legacy"}))
            .add_route(json!({"name": "watched", "path": "/watched/", "methods": ["GET"], "require": ["api_key"], "mode": "observe", "backend": "legacy"}))
            .add_route(json!({"name": "fixed", "path": "/fixed", "methods": ["GET"], "public": true, "respond": {"status": 200, "body": "yes"}}))
            .set("/api_keys/2/routes", json!(["profile", "key", "watched"]))
            .cookies("both")
    });
    let login = gateway.login_request(ALICE.name, ALICE.secret).send().ok();
    let cookie = login.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let mine = gateway.files.succeeds(&["id", "for", ALICE.subject]).trim().to_owned();
    let (get, token, client) = (|path: &str| gateway.get(path), gateway.customer_token(), gateway.client_token());
    let forged = |change: fn(&mut Value, &mut Value)| gateway.forge(change);
    let revoked = gateway.login(BOB);
    gateway.files.run_with(&["revoke", "token", "-"], revoked.as_bytes());
    let requests: Vec<Request> = vec![
        gateway.profile(),
        gateway.profile().drop_header("customer-auth"),
        gateway.profile().drop_header("authorization"),
        gateway.profile().drop_header("api-key"),
        gateway.profile().drop_header("api-key").drop_header("authorization").drop_header("customer-auth"),
        gateway.profile().header("api-key", API_KEY),
        gateway.profile().replace("api-key", OTHER_API_KEY),
        gateway.profile().replace("authorization", "Basic YTpi"),
        gateway.profile().replace("authorization", &format!("Bearer {token}")),
        gateway.profile().replace("customer-auth", &format!("JWT {client}")),
        gateway.profile().header("X-Customer-Id", "t1-somebody-else"),
        gateway.profile().header("X-Customer-Id", &mine),
        get("/me/x").customer(&token),
        get("/me/x").customer(&revoked),
        get("/me/x").customer(&forged(|_, claims| claims["exp"] = json!(1_000))),
        get("/me/x").customer(&forged(|_, claims| claims["nbf"] = json!(4_000_000_000_u64))),
        get("/me/x").customer(&forged(|_, claims| claims["iss"] = json!("https://elsewhere.test"))),
        get("/me/x").customer(&forged(|_, claims| claims["sub"] = json!(""))),
        get("/me/x").customer(&forged(|header, _| header["typ"] = json!("at+jwt"))),
        get("/me/x").customer(&forged(|header, _| header["alg"] = json!("none"))),
        get("/me/x").customer("a.b.c"),
        get("/me/x").customer("a b"),
        get("/me/x").header("customer-auth", &token),
        get("/me/x").header("Cookie", &cookie),
        get("/me/x").header("Cookie", &format!("{cookie}; {cookie}")),
        get("/me/x").header("Cookie", &cookie).customer(&gateway.login(BOB)),
        gateway.post("/me/x").header("Cookie", &cookie),
        gateway.post("/me/x").header("Cookie", &cookie).header("Origin", "https://evil.test"),
        get("/system/x").bearer(&client),
        get("/system/x").bearer(&format!("{client}x")),
        get("/system/x").header("Authorization", &format!("DPoP {client}")),
        get("/key/x").api_key(FREE_API_KEY),
        gateway.post("/key/x").api_key(FREE_API_KEY).json("{}"),
        gateway.post("/key/x").api_key(FREE_API_KEY).header("Content-Type", "text/plain").body("x"),
        gateway.post("/key/x").api_key(FREE_API_KEY).json(&"x".repeat(200)),
        get("/watched/x"),
        get("/watched/x").api_key(FREE_API_KEY),
        get("/denied/x"),
        get("/fixed"),
        get("/public/x"),
        get("/public/../me/x"),
        get("/public/%2e%2e/x"),
        get("/public/a%2fb"),
        get("/nowhere"),
        gateway.request("PATCH", "/public/x"),
        gateway.get("/public/x").header("Host", "again"),
        gateway.get("/public/x").replace("Host", "not a host"),
        gateway.get("/public/x").header("Expect", "the-unexpected"),
        gateway.get("/public/x").header("Transfer-Encoding", "gzip, chunked"),
        gateway.get(&format!("/public/{}", "x".repeat(20_000))),
    ];
    assert!(requests.len() >= 40);
    for (number, request) in requests.into_iter().enumerate() {
        let explanation = told(&gateway, &request);
        let id = format!("agrees-{number}");
        let response = send(request.clone(), &id);
        let line = gateway.access_line(&id);
        let what =
            format!("{} {}: {explanation:#}\n{line}", request.method, &request.target[..request.target.len().min(80)]);
        if response.status < 400 {
            assert_eq!(explanation["verdict"], "passed", "{what}");
            assert_eq!(explanation["refusal"], line["observed"], "{what}");
            continue;
        }
        assert_eq!(explanation["verdict"], "refused", "{what}");
        assert_eq!(explanation["refusal"], line["refusal"], "{what}");
        assert_eq!(explanation["status"], response.status, "{what}");
        assert_eq!(explanation["code"], response.code(), "{what}");
        assert!(explanation["route"] == line["route"], "{what}");
        let kept = &socket(&gateway, "GET", &format!("/refusals/{id}"), "")["explanation"];
        assert_eq!(kept["refusal"], line["refusal"], "{kept:#}");
        assert_eq!(step(kept, "refused"), step(&explanation, "refused"), "{kept:#}\n{what}");
    }
}

#[test]
fn a_session_in_a_shared_store_is_looked_up_for_an_explanation() {
    let store = Store::Redis(RedisServer::start());
    let (_backend, gateway) = store.world_with(|config| config.cookies("cookie"));
    let login = gateway.login_request(ALICE.name, ALICE.secret).send().ok();
    let cookie = login.header("set-cookie").unwrap().split(';').next().unwrap().to_owned();
    let gateway = gateway.restart();
    let (code, explanation) = explained(&gateway, &gateway.get("/me/x").header("Cookie", &cookie));
    assert_eq!((code, explanation["verdict"].as_str()), (0, Some("passed")), "{explanation:#}");
}

const PAGE: &str = include_str!("../../../docs/explain.md");

#[test]
fn the_examples_of_the_page_are_as_they_run() {
    let (_backend, gateway) = world();
    let expired = gateway.forge(|_, claims| claims["exp"] = json!(1_600_000_000));
    send(gateway.get("/me/x").customer(&expired), "too-late").expect(401, "401-02");
    let blocks: Vec<&str> = PAGE.split("```console\n").skip(1).filter_map(|block| block.split("```").next()).collect();
    assert_eq!(blocks.len(), 3);
    for block in blocks {
        let (command, expected) = block.split_once('\n').unwrap();
        let command = command
            .trim_start_matches("$ wicketgate")
            .replace("NARROW_KEY", NARROW_API_KEY)
            .replace("CLIENT_TOKEN", &gateway.client_token())
            .replace("CUSTOMER_TOKEN", &gateway.customer_token())
            .replace("REQUEST_ID", "too-late")
            .replace("https://api.example.com", &format!("https://localhost:{}", gateway.address.port()));
        let script = format!("{}{command}", env!("CARGO_BIN_EXE_wicketgate"));
        let mut shell = std::process::Command::new("bash");
        let output = finish(shell.current_dir(&gateway.files.path).args(["-c", &script])).unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let plain = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        let lines: Vec<String> = said.lines().map(plain).collect();
        for wanted in expected.lines().filter(|line| !line.is_empty()).map(plain) {
            let fits = |line: &String| {
                let mut rest = line.as_str();
                wanted.split("...").map(str::trim).all(|part| match rest.find(part) {
                    Some(at) => {
                        rest = &rest[at + part.len()..];
                        true
                    }
                    None => false,
                })
            };
            assert!(lines.iter().any(fits), "{wanted}\n{said}");
        }
    }
}
