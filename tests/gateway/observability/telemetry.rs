//! Traces by OTLP at a collector of others, and the W3C trace context in and out.

use std::io::Write as _;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::harness::gateway::Output;
use crate::harness::keys::{self, Pair};
use crate::harness::python::interpreter;
use crate::harness::*;

/// A caller's trace, of which it has recorded its part.
const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER_SPAN: &str = "00f067aa0ba902b7";
const SAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const NOT_SAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";

/// tests/clients/otlp_collector.py.
struct Collector {
    child: Child,
    input: Mutex<ChildStdin>,
    output: Arc<Output>,
    scheme: &'static str,
    ports: Value,
}

impl Collector {
    fn start() -> Self {
        Self::start_with("http", None)
    }

    fn start_tls(pair: &Pair) -> Self {
        Self::start_with("https", Some(pair))
    }

    fn start_with(scheme: &'static str, pair: Option<&Pair>) -> Self {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/otlp_collector.py");
        let mut command = Command::new(interpreter());
        command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped());
        if let Some(pair) = pair {
            let directory = std::env::temp_dir().join(format!("otlp-collector-{}", std::process::id()));
            std::fs::create_dir_all(&directory).unwrap();
            for (name, text) in [("certificate", &pair.certificate), ("key", &pair.key)] {
                std::fs::write(directory.join(name), text).unwrap();
                command.arg(directory.join(name));
            }
        }
        let mut child = command.spawn().unwrap();
        let output = Output::follow(child.stdout.take().unwrap());
        let ports = output.wait(|line| line["http"].is_number()).expect("`make deps` installs what it needs");
        let input = Mutex::new(child.stdin.take().unwrap());
        Self { child, input, output, scheme, ports }
    }

    fn endpoint(&self, protocol: &str) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, self.ports[protocol])
    }

    /// From now on it does this.
    fn will(&self, behaviour: &str) {
        writeln!(self.input.lock().unwrap(), "{behaviour}").unwrap();
        self.output.wait(|line| line["behaviour"] == behaviour).unwrap();
    }

    /// What it has taken so far.
    fn exports(&self) -> Vec<Value> {
        let lines = self.output.all();
        lines
            .iter()
            .filter_map(|line| serde_json::from_str(line).ok())
            .filter(|line: &Value| line["spans"].is_array())
            .collect()
    }

    fn spans(&self) -> Vec<Value> {
        self.exports().iter().flat_map(|export| export["spans"].as_array().unwrap().clone()).collect()
    }

    /// The spans of this trace, once its exchange has come.
    #[track_caller]
    fn trace(&self, id: &str) -> Vec<Value> {
        let is_it = |span: &Value| span["trace_id"] == id;
        let until = Instant::now() + DEADLINE;
        while !self.spans().iter().any(|span| is_it(span) && span["kind"] == 2) {
            assert!(Instant::now() < until, "no trace {id} in {:?}", self.output.all());
            std::thread::sleep(Duration::from_millis(10));
        }
        self.spans().into_iter().filter(is_it).collect()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Exports to this collector, at once.
fn exporting(config: Config, collector: &Collector, protocol: &str) -> Config {
    let otlp = json!({"endpoint": collector.endpoint(protocol), "protocol": protocol, "interval": "100ms"});
    config.set("/telemetry/otlp", otlp)
}

fn world_with_collector(change: impl FnOnce(Config) -> Config) -> (Backend, Gateway, Collector) {
    let collector = Collector::start();
    let (backend, gateway) = world_with(|config| change(exporting(config, &collector, "http")));
    (backend, gateway, collector)
}

/// The one span of this name.
#[track_caller]
fn named<'a>(spans: &'a [Value], name: &str) -> &'a Value {
    let mut found = spans.iter().filter(|span| span["name"] == name);
    let span = found.next().unwrap_or_else(|| panic!("no {name} in {spans:#?}"));
    assert!(found.next().is_none(), "{name} twice in {spans:#?}");
    span
}

#[test]
fn a_request_has_a_span_of_the_exchange_of_each_check_and_of_the_backend() {
    let (backend, gateway, collector) = world_with_collector(|config| config);
    let request = gateway.profile().header("X-Request-Id", "traced").header("traceparent", SAMPLED);
    request.header("tracestate", "rojo=1").send().ok();
    let spans = collector.trace(TRACE);
    let exchange = named(&spans, "POST profile");
    assert_eq!((exchange["kind"].as_u64(), exchange["parent"].as_str()), (Some(2), Some(CALLER_SPAN)));
    let attributes = &exchange["attributes"];
    for (name, value) in [
        ("http.request.method", json!("POST")),
        ("http.response.status_code", json!(200)),
        ("http.route", json!("profile")),
        ("url.scheme", json!("https")),
        ("network.protocol.version", json!("1.1")),
        ("wicketgate.client", json!(CLIENT.name)),
    ] {
        assert_eq!(attributes[name], value, "{name} in {attributes}");
    }
    assert!(attributes["wicketgate.refusal"].is_null() && exchange["error"].is_null(), "{exchange}");
    let checks = ["request", "authentication", "origin", "customer", "limits", "body", "backend queue", "response"];
    for name in checks {
        let span = named(&spans, name);
        assert_eq!((span["kind"].as_u64(), &span["parent"]), (Some(1), &exchange["span_id"]), "{span}");
        assert!(span["start"].as_u64() <= span["end"].as_u64() && span["end"].as_u64() <= exchange["end"].as_u64());
        assert!(span["start"].as_u64() >= exchange["start"].as_u64(), "{span} {exchange}");
    }
    let way = named(&spans, "backend");
    assert_eq!((way["kind"].as_u64(), &way["parent"]), (Some(3), &exchange["span_id"]));
    assert_eq!(way["attributes"]["wicketgate.backend"], "legacy");
    assert_eq!(way["attributes"]["http.response.status_code"], 200);
    assert_eq!(way["attributes"]["server.address"], "127.0.0.1");
    let port = backend.url().rsplit(':').next().unwrap().parse::<u64>().unwrap();
    assert_eq!(way["attributes"]["server.port"], port);
    let ids: std::collections::BTreeSet<&str> = spans.iter().map(|span| span["span_id"].as_str().unwrap()).collect();
    assert_eq!((ids.len(), spans.len()), (checks.len() + 2, checks.len() + 2));
    // The backend goes on below our span.
    let seen = backend.last();
    let expected = format!("00-{TRACE}-{}-01", way["span_id"].as_str().unwrap());
    assert_eq!((seen.header("traceparent"), seen.header("tracestate")), (Some(&*expected), Some("rojo=1")));
    assert_eq!(gateway.access_line("traced")["trace_id"], TRACE);
    let resource = &collector.exports()[0]["resource"];
    assert_eq!(
        (&resource["service.name"], &resource["service.version"]),
        (&json!("wicketgate"), &json!(env!("CARGO_PKG_VERSION")))
    );
    assert!(resource["service.instance.id"].as_str().unwrap().len() >= 16);
    gateway.expect_metric("wicketgate_spans_dropped_total", &[], 0.0);
    let until = Instant::now() + DEADLINE;
    while gateway.metric("wicketgate_spans_exported_total", &[]) < spans.len() as f64 {
        assert!(Instant::now() < until);
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_refusal_is_an_attribute_of_the_exchange_and_of_the_check_that_refused() {
    let (backend, gateway, collector) = world_with_collector(|config| config);
    gateway.get("/me/x").header("traceparent", SAMPLED).send().expect(401, "401-10");
    let spans = collector.trace(TRACE);
    let exchange = named(&spans, "GET me");
    let word = &exchange["attributes"]["wicketgate.refusal"];
    assert!(word.is_string() && exchange["attributes"]["wicketgate.code"] == "401-10", "{exchange}");
    // What a caller did wrong is no failure of the server.
    assert!(exchange["error"].is_null() && exchange["attributes"]["error.type"].is_null());
    let check = named(&spans, "authentication");
    assert_eq!((&check["attributes"]["wicketgate.refusal"], &check["error"]), (word, &Value::Null));
    assert!(spans.iter().all(|span| span["name"] != "backend"), "{spans:?}");
    backend.assert_untouched();

    let other = SAMPLED.replace("4bf92f35", "5bf92f35");
    backend.on("/public/x", Behaviour::Close);
    gateway.post("/public/x").header("traceparent", &other).body("x").send().expect(502, "502-01");
    let spans = collector.trace(&other[3..35]);
    let (exchange, way) = (named(&spans, "POST public"), named(&spans, "backend"));
    let word = &exchange["attributes"]["wicketgate.refusal"];
    assert_eq!((&exchange["error"], &exchange["attributes"]["error.type"]), (word, word));
    assert_eq!((&way["error"], &way["attributes"]["wicketgate.refusal"]), (&json!("broken"), word), "{way}");
}

#[test]
fn no_name_secret_path_or_query_of_a_caller_is_in_what_is_exported() {
    let (_backend, gateway, collector) = world_with_collector(|config| config);
    let token = gateway.customer_token();
    let identifier = keys::decode(&token).1["sub"].as_str().unwrap().to_owned();
    let secret_things = [
        "path-of-mine",
        "query-of-mine",
        "agent-of-mine",
        "body-of-mine",
        "id-of-mine",
        "state=of-mine",
        ALICE.name,
        ALICE.secret,
        ALICE.subject,
        &identifier,
        CLIENT.secret,
        API_KEY,
        &token,
        gateway.client_token().as_str(),
        "127.0.0.1:1",
    ]
    .map(str::to_owned);
    let decorate = |request: Request| {
        let request = request.header("User-Agent", "agent-of-mine").header("X-Request-Id", "id-of-mine");
        request.header("tracestate", "state=of-mine").header("X-Forwarded-For", "203.0.113.77")
    };
    decorate(gateway.profile().body("body-of-mine")).send();
    decorate(gateway.get("/me/path-of-mine?query-of-mine=1")).customer(&token).header("traceparent", SAMPLED).send();
    decorate(gateway.get("/nowhere/path-of-mine?query-of-mine=1")).send().expect(404, "404-01");
    decorate(gateway.login_request(ALICE.name, "wrong")).send();
    decorate(gateway.login_request(ALICE.name, ALICE.secret)).send();
    decorate(gateway.token_request(CLIENT.name, "wrong")).send();
    decorate(gateway.get("/public/path-of-mine")).header("traceparent", &SAMPLED.replace("4bf", "5bf")).send();
    collector.trace(TRACE);
    collector.trace(&SAMPLED.replace("4bf", "5bf")[3..35]);
    let exports = collector.exports();
    let engine = STANDARD;
    let bytes: Vec<u8> =
        exports.iter().flat_map(|export| engine.decode(export["raw"].as_str().unwrap()).unwrap()).collect();
    let text = String::from_utf8_lossy(&bytes);
    assert!(text.contains("wicketgate.refusal") && text.contains("authentication"));
    for thing in secret_things.iter().map(String::as_str).chain(["203.0.113.77"]) {
        assert!(!text.contains(thing), "{thing} is in {text}");
    }
}

#[test]
fn a_strangers_wish_decides_neither_way_and_a_trusted_proxys_does() {
    for (sample, trusted, parent, expected) in [
        ("0%", false, Some(SAMPLED), false),
        ("100%", false, Some(NOT_SAMPLED), true),
        ("0%", true, Some(SAMPLED), true),
        ("100%", true, Some(NOT_SAMPLED), false),
        ("0%", true, None, false),
        ("100%", true, None, true),
    ] {
        let case = format!("{sample} trusted={trusted} {parent:?}");
        let (backend, gateway, collector) = world_with_collector(|config| {
            let proxies = if trusted { json!(["127.0.0.0/8"]) } else { json!([]) };
            config.set("/telemetry/otlp/sample", json!(sample)).set("/listen/0/trusted_proxies", proxies)
        });
        let mut request = gateway.get("/public/x").header("X-Request-Id", "one");
        if let Some(parent) = parent {
            request = request.header("traceparent", parent);
        }
        request.send().ok();
        let sent = backend.last().header("traceparent").unwrap().to_owned();
        let flag = if expected { "-01" } else { "-00" };
        assert!(sent.ends_with(flag), "{case}: {sent}");
        assert_eq!(sent[3..35] == *TRACE, parent.is_some(), "the trace goes on: {case}: {sent}");
        assert_ne!(&sent[36..52], CALLER_SPAN, "{case}");
        if expected {
            assert_eq!(collector.trace(&sent[3..35]).iter().filter(|span| span["kind"] == 2).count(), 1, "{case}");
        } else {
            assert!(gateway.access_line("one").get("trace_id").is_none(), "{case}");
            assert_eq!(collector.spans(), Vec::<Value>::new(), "{case}");
        }
    }
}

#[test]
fn a_share_of_the_requests_is_recorded() {
    let (_backend, gateway, collector) =
        world_with_collector(|config| config.set("/telemetry/otlp/sample", json!("25%")));
    let mut connection = gateway.connect();
    for number in 0..400 {
        // As many as have the same trace: the share does not hang on what callers write.
        let id = format!("id-{number}");
        gateway
            .get("/public/x")
            .header("traceparent", SAMPLED)
            .header("X-Request-Id", &id)
            .send_on(&mut connection)
            .ok();
    }
    gateway.access_line("id-399");
    let recorded = gateway.stdout.all().iter().filter(|line| line.contains("\"trace_id\":")).count();
    assert!((50..=150).contains(&recorded), "{recorded} of 400");
    collector.trace(TRACE);
}

#[test]
fn a_malformed_traceparent_is_replaced_and_its_tracestate_dropped() {
    let (backend, gateway, _collector) = world_with_collector(|config| config);
    let good = gateway.get("/public/x").header("traceparent", SAMPLED);
    for (name, request) in [
        ("none", gateway.get("/public/x")),
        ("two", good.clone().header("traceparent", SAMPLED)),
        ("upper case", gateway.get("/public/x").header("traceparent", &SAMPLED.to_uppercase())),
        ("version ff", gateway.get("/public/x").header("traceparent", &SAMPLED.replacen("00", "ff", 1))),
        ("no trace", gateway.get("/public/x").header("traceparent", &SAMPLED.replace(TRACE, &"0".repeat(32)))),
        ("more", gateway.get("/public/x").header("traceparent", &format!("{SAMPLED}-x"))),
        ("hop by hop", good.clone().header("Connection", "traceparent, tracestate").drop_header("traceparent")),
    ] {
        request.header("tracestate", "rojo=1").send().ok();
        let seen = backend.last();
        let sent = seen.header("traceparent").unwrap_or_else(|| panic!("{name}: none"));
        assert!(sent.len() == 55 && !sent.contains(TRACE), "{name}: {sent}");
        assert_eq!(seen.header("tracestate"), None, "{name}");
    }
    good.clone().header("tracestate", "rojo=1,rojo=2").send().ok();
    let seen = backend.last();
    assert!(seen.header("traceparent").unwrap().contains(TRACE) && seen.header("tracestate").is_none());
    good.header("Connection", "traceparent").send().ok();
    assert!(backend.last().header("traceparent").unwrap().contains(TRACE), "a hop-by-hop name takes nothing away");
}

#[test]
fn without_telemetry_the_trace_context_of_a_caller_passes_as_it_is() {
    let (backend, gateway) = world();
    let request = gateway.get("/public/x").header("traceparent", SAMPLED).header("tracestate", "a=1,a=2");
    request.header("X-Request-Id", "off").send().ok();
    let seen = backend.last();
    assert_eq!((seen.header("traceparent"), seen.header("tracestate")), (Some(SAMPLED), Some("a=1,a=2")));
    gateway.get("/public/x").send().ok();
    assert_eq!(backend.last().header("traceparent"), None);
    assert!(gateway.access_line("off").get("trace_id").is_none());
}

#[test]
fn spans_come_by_grpc_and_by_tls_with_the_fields_that_a_collector_asks_for() {
    let collector = Collector::start_tls(keys::server());
    let plain = Collector::start();
    for (collector, protocol) in [(&collector, "http"), (&collector, "grpc"), (&plain, "grpc")] {
        let (_backend, gateway) = world_with(|config| {
            exporting(config, collector, protocol)
                .set("/telemetry/otlp/ca", json!("certs/ca.pem"))
                .set("/telemetry/otlp/headers", json!({"x-collector-key": {"env": "PATH"}}))
        });
        let trace = format!("{:032x}", 1 + u128::from(gateway.address.port()));
        gateway.get("/public/x").header("traceparent", &format!("00-{trace}-{CALLER_SPAN}-01")).send().ok();
        assert_eq!(named(&collector.trace(&trace), "GET public")["parent"], CALLER_SPAN, "{protocol}");
        let exports = collector.exports();
        let export = exports.iter().rfind(|export| export["protocol"] == protocol).unwrap();
        let headers = export["headers"].as_object().unwrap();
        let key = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("x-collector-key")).unwrap().1;
        assert_eq!(key.as_str(), std::env::var("PATH").ok().as_deref(), "{headers:?}");
    }
}

#[test]
fn a_collector_that_nobody_vouches_for_gets_nothing() {
    let collector = Collector::start_tls(&keys::self_signed(&["127.0.0.1"]));
    for protocol in ["http", "grpc"] {
        let (_backend, mut gateway) = world_with(|config| {
            exporting(config, &collector, protocol).set("/telemetry/otlp/ca", json!("certs/ca.pem"))
        });
        gateway.get("/public/x").send().ok();
        assert_eq!(gateway.terminate(), Some(0));
        let dropped = |line: &Value| line["message"].as_str().is_some_and(|message| message.contains("takes no spans"));
        let line = gateway.stderr.wait(dropped).unwrap();
        assert!(line["reason"].as_str().unwrap().contains("TLS"), "{line}");
    }
    assert_eq!(collector.exports(), Vec::<Value>::new());
}

#[test]
fn a_collector_that_hangs_refuses_or_is_away_slows_nobody_and_drops_are_counted() {
    let collector = Collector::start();
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    for behaviour in ["hang", "refuse 500", "refuse 400", "away"] {
        let (_backend, gateway) = world_with(|config| {
            let config = exporting(config, &collector, "http");
            match behaviour {
                "away" => config.set("/telemetry/otlp/endpoint", json!(format!("http://{gone}"))),
                _ => config,
            }
        });
        if behaviour != "away" {
            collector.will(behaviour);
        }
        let mut connection = gateway.connect();
        let (mut slowest, begun) = (Duration::ZERO, Instant::now());
        // Each has five spans or more, and more than fit wait.
        for _ in 0..1_200 {
            let one = Instant::now();
            gateway.get("/public/x").send_on(&mut connection).ok();
            slowest = slowest.max(one.elapsed());
        }
        assert!(slowest < Duration::from_secs(2), "{behaviour}: {slowest:?} of {:?}", begun.elapsed());
        let until = Instant::now() + DEADLINE;
        while gateway.metric("wicketgate_spans_dropped_total", &[]) == 0.0 {
            assert!(Instant::now() < until, "{behaviour}: nothing is dropped");
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(gateway.memory() < 500e6, "{behaviour}");
        let lines = gateway.stderr.all();
        let told = lines.iter().filter(|line| line.contains("takes no spans")).count();
        assert!(told <= 2, "{behaviour}: one line in a while\n{}", lines.join("\n"));
        assert_eq!(gateway.metric("wicketgate_spans_exported_total", &[]), 0.0);
    }
}

#[test]
fn a_batch_that_a_busy_collector_refuses_is_sent_again() {
    for protocol in ["http", "grpc"] {
        let collector = Collector::start();
        let (_backend, gateway) = world_with(|config| exporting(config, &collector, protocol));
        collector.will("refuse 503");
        gateway.get("/public/x").header("traceparent", SAMPLED).send().ok();
        collector.output.wait(|line| line["refused"] == true).unwrap();
        collector.will("take");
        collector.trace(TRACE);
        gateway.expect_metric("wicketgate_spans_dropped_total", &[], 0.0);
    }
}

#[test]
fn spans_that_a_collector_takes_out_of_a_batch_are_dropped_spans() {
    let (_backend, gateway, collector) = world_with_collector(|config| config);
    collector.will("reject");
    gateway.get("/public/x").send().ok();
    let until = Instant::now() + DEADLINE;
    while gateway.metric("wicketgate_spans_dropped_total", &[]) < 2.0 {
        assert!(Instant::now() < until);
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(gateway.metric("wicketgate_spans_exported_total", &[]), 0.0);
}

#[test]
fn what_waits_at_the_end_is_sent_before_the_process_ends() {
    let (_backend, mut gateway, collector) =
        world_with_collector(|config| config.set("/telemetry/otlp/interval", json!("5m")));
    gateway.get("/public/x").header("traceparent", SAMPLED).send().ok();
    assert_eq!(gateway.terminate(), Some(0));
    assert_eq!(named(&collector.trace(TRACE), "GET public")["parent"], CALLER_SPAN);
}

#[test]
fn an_end_waits_a_second_at_most_for_a_collector_that_hangs() {
    let (_backend, mut gateway, collector) = world_with_collector(|config| config);
    collector.will("hang");
    gateway.get("/public/x").send().ok();
    collector.output.wait(|line| line["hangs"] == true).unwrap();
    let begun = Instant::now();
    assert_eq!(gateway.terminate(), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[test]
fn settings_of_the_export_that_cannot_work_are_problems_of_check() {
    let backend = Backend::start();
    let otlp = |otlp: Value| Config::new(&backend).set("/telemetry/otlp", otlp);
    for (config, expected) in [
        (otlp(json!({"endpoint": "collector:4318"})), "telemetry.otlp.endpoint"),
        (otlp(json!({"endpoint": "https://c.example.com/v1/traces"})), "`/v1/traces` is added"),
        (otlp(json!({"endpoint": "https://c.example.com/x", "protocol": "grpc"})), "has no path"),
        (otlp(json!({"endpoint": "https://u:p@c.example.com"})), "no user name and no password"),
        (otlp(json!({"endpoint": "https://c.example.com", "sample": "101%"})), "more than 100%"),
        (otlp(json!({"endpoint": "https://c.example.com", "sample": 5})), "telemetry.otlp.sample"),
        (otlp(json!({"endpoint": "https://c.example.com", "interval": "0s"})), "write 100ms to 5m"),
        (otlp(json!({"endpoint": "https://c.example.com", "protocol": "udp"})), "telemetry.otlp.protocol"),
        (otlp(json!({"endpoint": "https://c.example.com", "ca": "nowhere.pem"})), "telemetry.otlp.ca"),
        (
            otlp(json!({"endpoint": "https://c.example.com", "headers": {"host": {"env": "PATH"}}})),
            "telemetry.otlp.headers",
        ),
        (otlp(json!({"endpoint": "https://c.example.com", "headers": {"x-key": {"env": "NOT_SET"}}})), "NOT_SET"),
    ] {
        let said = gateway::Workspace::new(&config).fails(&["check", "--files-only", "--config", "gateway.yaml"]);
        assert!(said.contains(expected), "{expected} in {said}");
    }
    for (endpoint, warned) in [
        ("http://collector.example.com:4318", true),
        ("http://203.0.113.5:4318", true),
        ("http://10.0.0.5:4318", false),
        ("http://collector:4318", false),
        ("http://[::1]:4318", false),
        ("https://collector.example.com:4318", false),
    ] {
        let files = gateway::Workspace::new(&otlp(json!({"endpoint": endpoint})));
        let (code, out, err) = files.run(&["check", "--files-only", "--config", "gateway.yaml"]);
        assert_eq!((code, err.contains("by plain http over a network")), (0, warned), "{endpoint}: {out}{err}");
    }
}

#[test]
fn a_reload_does_not_change_the_export() {
    let (backend, gateway, collector) = world_with_collector(|config| config);
    let changed = exporting(Config::new(&backend), &collector, "http").set("/telemetry/otlp/sample", json!("1%"));
    gateway.files.configure(&changed);
    gateway.signal("HUP");
    let line = gateway.stderr.wait(|line| line["reason"].is_string()).unwrap();
    assert_eq!(line["reason"], "`telemetry` has changed, and that needs a restart");
}
