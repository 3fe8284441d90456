//! A real Prometheus scrapes; dashboards and alert rules name only what there is; the rules' own unit tests pass.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::python::python;
use crate::harness::*;

const DASHBOARDS: [&str; 2] = [
    include_str!("../../../deploy/grafana/wicketgate-overview.json"),
    include_str!("../../../deploy/grafana/wicketgate-route.json"),
];
const RULES: &str = include_str!("../../../deploy/prometheus/alerts.yml");
const RULE_TESTS: &str = include_str!("../../../deploy/prometheus/alerts_test.yml");

fn rules_directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/prometheus")
}

fn promtool(args: &[&str]) -> String {
    let output = Command::new("promtool").args(args).current_dir(rules_directory()).output();
    let output = output.unwrap_or_else(|error| panic!("promtool: {error}: `make deps` installs prometheus"));
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    said
}

fn yaml(text: &str) -> Value {
    serde_saphyr::from_str(text).unwrap()
}

/// Name and expression of each alert rule.
fn alerts() -> Vec<(String, String)> {
    let rules = yaml(RULES);
    let rules = rules["groups"].as_array().unwrap().iter().flat_map(|group| group["rules"].as_array().unwrap().clone());
    let text = |rule: &Value, key: &str| rule[key].as_str().unwrap().to_owned();
    rules.map(|rule| (text(&rule, "alert"), text(&rule, "expr"))).collect()
}

/// Each `expr` in a dashboard, with its variables filled in.
fn expressions() -> Vec<String> {
    fn collect(value: &Value, into: &mut Vec<String>) {
        match value {
            Value::Object(members) => members.iter().for_each(|(name, value)| match value {
                Value::String(text) if name == "expr" => into.push(text.clone()),
                value => collect(value, into),
            }),
            Value::Array(items) => items.iter().for_each(|item| collect(item, into)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    for dashboard in DASHBOARDS {
        collect(&serde_json::from_str(dashboard).unwrap(), &mut found);
    }
    let values =
        [("$__rate_interval", "1m"), ("$__range", "3h"), ("$job", "wicketgate"), ("$instance", ".*"), ("$route", "me")];
    let filled = |text: String| values.iter().fold(text, |text, (name, value)| text.replace(name, value));
    found.into_iter().map(filled).collect()
}

/// The metrics that an expression names, each with the labels in its braces, and all labels of `by (...)`.
fn named(expression: &str) -> (Vec<(String, Vec<String>)>, Vec<String>) {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let mut quoted = false;
    // What stands in quotes names nothing.
    let bare: String = expression
        .chars()
        .map(|character| {
            quoted ^= character == '"';
            if quoted || character == '"' { ' ' } else { character }
        })
        .collect();
    let labels_of = |inside: &str| -> Vec<String> {
        let words = inside.split(|character: char| !character.is_ascii_alphanumeric() && character != '_');
        words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
    };
    let (mut metrics, mut grouped) = (Vec::new(), Vec::new());
    let bytes = bare.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let end = at + bytes[at..].iter().take_while(|byte| is_word(**byte)).count();
        let (word, rest) = (&bare[at..end], bare[end..].trim_start());
        if word == "by" {
            grouped.extend(labels_of(rest[1..].split(')').next().unwrap()));
        } else if ["wicketgate_", "process_"].iter().any(|prefix| word.starts_with(prefix)) || word == "up" {
            let inside = rest.strip_prefix('{').map(|rest| rest.split('}').next().unwrap());
            metrics.push((word.to_owned(), inside.map(labels_of).unwrap_or_default()));
        }
        at = end.max(at + 1);
    }
    (metrics, grouped)
}

/// The labels of each metric, by the table of docs/operations.md, which a unit test holds against the program.
fn documented() -> BTreeMap<String, BTreeSet<String>> {
    let words = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    let rows = include_str!("../../../docs/operations.md").lines().filter(|line| line.starts_with("| `wicketgate_"));
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').collect();
        (words(cells[1])[0].clone(), words(cells[2]).into_iter().collect())
    })
    .collect()
}

#[test]
fn rules_and_dashboards_name_only_metrics_and_labels_that_there_are() {
    let known = documented();
    assert!(known.len() > 40, "{known:?}");
    let mut used = BTreeSet::new();
    let dashboards = expressions();
    assert!(dashboards.len() > 70, "{}", dashboards.len());
    for expression in dashboards.iter().cloned().chain(alerts().into_iter().map(|(_, expression)| expression)) {
        let (metrics, grouped) = named(&expression);
        assert!(!metrics.is_empty(), "{expression}");
        let mut allowed = BTreeSet::from(["job", "instance", "le"].map(str::to_owned));
        for (metric, labels) in metrics {
            let family = ["_bucket", "_sum", "_count"].iter().find_map(|end| metric.strip_suffix(end));
            let family = family.filter(|family| family.ends_with("_duration_seconds")).unwrap_or(&metric).to_owned();
            let own = match known.get(&family) {
                Some(own) => own.clone(),
                None if metric == "up" || metric.starts_with("process_") => BTreeSet::new(),
                None => panic!("{metric} of {expression} is no metric"),
            };
            for label in labels.iter().filter(|label| !["job", "instance", "le"].contains(&label.as_str())) {
                assert!(own.contains(label), "{metric} has no label {label}: {expression}");
            }
            allowed.extend(own);
            used.insert(family);
        }
        for label in grouped {
            assert!(allowed.contains(&label), "nothing in {expression} has a label {label}");
        }
    }
    // The overview shows all that there is.
    let missing: Vec<&String> = known.keys().filter(|name| !used.contains(*name)).collect();
    assert!(missing.is_empty(), "no dashboard shows {missing:?}");
}

#[test]
fn dashboards_can_be_imported_into_any_grafana() {
    let mut ids = BTreeSet::new();
    for text in DASHBOARDS {
        let board: Value = serde_json::from_str(text).unwrap();
        assert!(ids.insert(board["uid"].as_str().unwrap().to_owned()) && board["title"].is_string());
        assert!(board.get("id").is_none(), "an id is that of one Grafana");
        let variables = board["templating"]["list"].as_array().unwrap();
        assert!(variables.iter().any(|one| one["type"] == "datasource" && one["name"] == "datasource"));
        let panels = board["panels"].as_array().unwrap();
        let numbers: BTreeSet<u64> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
        assert_eq!(numbers.len(), panels.len(), "each panel has its own number");
        let mut taken = BTreeSet::new();
        for panel in panels {
            let place = ["x", "y", "w", "h"].map(|name| panel["gridPos"][name].as_u64().unwrap());
            let [x, y, w, h] = place;
            assert!(x + w <= 24, "{panel}");
            for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
                assert!(taken.insert(cell), "{} lies on another panel", panel["title"]);
            }
            if panel["type"] != "row" {
                assert_eq!(panel["datasource"]["uid"], "${datasource}", "{panel}");
            }
        }
    }
}

#[test]
fn the_alert_rules_are_valid_and_their_unit_tests_pass() {
    promtool(&["check", "rules", "alerts.yml"]);
    promtool(&["test", "rules", "alerts_test.yml"]);
    let tests = yaml(RULE_TESTS);
    for (alert, _) in alerts() {
        let cases =
            tests["tests"].as_array().unwrap().iter().flat_map(|test| test["alert_rule_test"].as_array().unwrap());
        let expected: Vec<usize> = cases
            .filter(|case| case["alertname"] == *alert)
            .map(|case| case["exp_alerts"].as_array().map_or(0, Vec::len))
            .collect();
        assert!(expected.contains(&0) && expected.iter().any(|count| *count > 0), "{alert}: {expected:?}");
    }
}

/// A Prometheus of Debian, in a directory of its own.
struct Prometheus {
    child: Child,
    directory: PathBuf,
    address: SocketAddr,
}

impl Prometheus {
    /// Scrapes this admin listener each second, and knows the alert rules.
    fn scraping(admin: SocketAddr) -> Self {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let directory =
            std::env::temp_dir().join(format!("wicketgate-prometheus-{}-{}", std::process::id(), address.port()));
        std::fs::create_dir_all(&directory).unwrap();
        let rules = rules_directory().join("alerts.yml");
        let config = json!({
            "global": {"scrape_interval": "500ms", "scrape_timeout": "500ms", "evaluation_interval": "500ms"},
            "rule_files": [rules],
            "scrape_configs": [{"job_name": "wicketgate", "static_configs": [{"targets": [admin.to_string()]}]}],
        });
        std::fs::write(directory.join("prometheus.yml"), config.to_string()).unwrap();
        let mut command = Command::new("prometheus");
        command.current_dir(&directory).stdout(Stdio::null()).stderr(Stdio::null()).args([
            "--config.file=prometheus.yml",
            "--storage.tsdb.path=data",
            "--enable-feature=exemplar-storage",
            &format!("--web.listen-address={address}"),
        ]);
        let child = command.spawn().unwrap_or_else(|error| panic!("prometheus: {error}: `make deps` installs it"));
        let prometheus = Self { child, directory, address };
        let until = Instant::now() + 3 * DEADLINE;
        while !prometheus.is_ready() {
            assert!(Instant::now() < until, "Prometheus is not ready");
            std::thread::sleep(Duration::from_millis(50));
        }
        prometheus
    }

    fn is_ready(&self) -> bool {
        let is_there = TcpStream::connect(self.address).is_ok();
        let ask = || Request::new(self.address, "GET", "/-/ready").try_on(&mut Connection::plain(self.address));
        is_there && ask().is_ok_and(|response| response.status == 200)
    }

    /// The answer of its API, once that is there.
    #[track_caller]
    fn ask(&self, path: &str, query: &[(&str, &str)]) -> Value {
        let pairs: Vec<String> =
            query.iter().map(|(name, value)| format!("{name}={}", gateway::form_encode(value))).collect();
        let target = format!("/api/v1/{path}?{}", pairs.join("&"));
        let response = Request::new(self.address, "GET", &target).send_on(&mut Connection::plain(self.address));
        let answer = response.json();
        assert_eq!(answer["status"], "success", "{target}: {answer}");
        answer["data"].clone()
    }

    /// Asks until the answer fits.
    #[track_caller]
    fn wait(&self, path: &str, query: &[(&str, &str)], fits: impl Fn(&Value) -> bool) -> Value {
        let until = Instant::now() + 3 * DEADLINE;
        loop {
            let answer = self.ask(path, query);
            if fits(&answer) {
                return answer;
            }
            assert!(Instant::now() < until, "{path} {query:?}: {answer}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        std::fs::remove_dir_all(&self.directory).ok();
    }
}

/// Telemetry whose collector is away: exemplars need only that requests are recorded.
fn traced(config: Config) -> Config {
    config.set("/telemetry/otlp", json!({"endpoint": "http://127.0.0.1:9"}))
}

#[test]
fn a_real_prometheus_scrapes_and_knows_the_trace_of_a_slow_or_refused_request() {
    let (_backend, gateway) = world_with(traced);
    let prometheus = Prometheus::scraping(gateway.admin);
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let parent = format!("00-{trace}-00f067aa0ba902b7-01");
    gateway.profile().send().ok();
    gateway.get("/me/x").header("traceparent", &parent).send().expect(401, "401-10");
    let is_up = |data: &Value| data["activeTargets"][0]["health"] == "up";
    let target = prometheus.wait("targets", &[], is_up)["activeTargets"][0].clone();
    assert_eq!(target["lastError"], "", "{target}");
    let has_one = |data: &Value| data["result"].as_array().is_some_and(|result| !result.is_empty());
    let refused = r#"wicketgate_requests_total{route="me",status="401"}"#;
    let told = prometheus.wait("query", &[("query", refused)], has_one);
    assert_eq!(told["result"][0]["value"][1], "1", "{told}");
    let bucket = r#"wicketgate_request_duration_seconds_bucket{route="me",le="120.0"}"#;
    prometheus.wait("query", &[("query", bucket)], has_one);
    let times = [("start", "0"), ("end", "9999999999")];
    for query in ["wicketgate_requests_total", "wicketgate_request_duration_seconds_bucket{route=\"me\"}"] {
        let asked = [&[("query", query)], &times[..]].concat();
        let told = prometheus.wait("query_exemplars", &asked, |data| data.to_string().contains(trace));
        let series = told.as_array().unwrap().iter().find(|series| series.to_string().contains(trace)).unwrap();
        assert_eq!(series["exemplars"][0]["labels"]["trace_id"], trace, "{told}");
    }
    // What it has is all that there is.
    let text = gateway.metrics();
    let names = prometheus.ask("label/__name__/values", &[]);
    let scraped: BTreeSet<&str> = names.as_array().unwrap().iter().filter_map(Value::as_str).collect();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name = &line[..line.find(['{', ' ']).unwrap()];
        assert!(scraped.contains(name), "Prometheus lacks {name}");
    }
    // The rules and every expression of the dashboards are understood.
    let healthy = |data: &Value| {
        let rules = data["groups"][0]["rules"].as_array();
        rules.is_some_and(|rules| rules.len() >= 27 && rules.iter().all(|rule| rule["health"] == "ok"))
    };
    prometheus.wait("rules", &[], healthy);
    for expression in expressions() {
        prometheus.ask("query", &[("query", &expression)]);
    }
    // What is shown of this traffic is there.
    let shown = r#"sum by (refusal) (wicketgate_requests_total{job=~"wicketgate",instance=~".*",refusal!=""})"#;
    assert!(has_one(&prometheus.ask("query", &[("query", shown)])));
}

#[test]
fn both_formats_are_read_by_the_parsers_of_prometheus_and_say_the_same() {
    let (backend, gateway) = world_with(traced);
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    gateway.profile().send().ok();
    backend.on("/public/slow", Behaviour::Close);
    gateway.post("/public/slow").body("x").header("traceparent", &format!("00-{trace}-00f067aa0ba902b7-01")).send();
    gateway.expect_metric("wicketgate_requests_total", &[("route", "public")], 1.0);
    let told: Value =
        serde_json::from_str(&python("openmetrics_check.py", &[&format!("http://{}/metrics", gateway.admin)])).unwrap();
    let (open, text) = (&told["open"], &told["text"]);
    assert_eq!(open["content_type"], "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(text["content_type"].as_str().unwrap().starts_with("text/plain; version=0.0.4"), "{text}");
    assert_eq!(open["samples"], text["samples"]);
    assert_eq!(open["types"]["wicketgate_requests"], "counter");
    assert_eq!(open["types"]["wicketgate_request_duration_seconds"], "histogram");
    assert_eq!(open["units"]["wicketgate_request_duration_seconds"], "seconds");
    let exemplars = open["exemplars"].as_array().unwrap();
    for name in ["wicketgate_requests_total", "wicketgate_request_duration_seconds_bucket"] {
        let found = exemplars.iter().find(|one| one["name"] == name && one["labels"]["route"] == "public");
        assert_eq!(found.unwrap()["trace_id"], trace, "{exemplars:?}");
    }
    assert_eq!(text["exemplars"], json!([]));
}

#[test]
fn without_telemetry_nothing_has_an_exemplar() {
    let (_backend, gateway) = world();
    gateway.get("/me/x").header("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").send();
    gateway.expect_metric("wicketgate_requests_total", &[("route", "me")], 1.0);
    let told: Value =
        serde_json::from_str(&python("openmetrics_check.py", &[&format!("http://{}/metrics", gateway.admin)])).unwrap();
    assert_eq!(told["open"]["exemplars"], json!([]));
    assert_eq!(told["open"]["samples"], told["text"]["samples"]);
}

#[test]
fn buckets_are_those_of_the_configuration_and_by_default_go_beyond_ten_seconds() {
    let bounds = |gateway: &Gateway| -> Vec<String> {
        gateway.get("/public/x").send().ok();
        gateway.expect_metric("wicketgate_request_duration_seconds_count", &[("route", "public")], 1.0);
        let text = gateway.metrics();
        let buckets =
            text.lines().filter(|line| line.starts_with("wicketgate_request_duration_seconds_bucket{route=\"public\""));
        buckets.map(|line| line.split("le=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()).collect()
    };
    let (_backend, gateway) = world();
    let all = bounds(&gateway);
    // Those of earlier versions come first, so that dashboards go on.
    let earlier =
        ["0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10"];
    assert_eq!(
        (&all[..14], &all[14..]),
        (&earlier.map(str::to_owned)[..], &["30", "60", "120", "+Inf"].map(str::to_owned)[..])
    );
    let (_backend, gateway) = world_with(|config| config.set("/metrics/buckets", json!([0.25, 1, 300])));
    assert_eq!(bounds(&gateway), ["0.25", "1", "300", "+Inf"]);
    assert_eq!(gateway.metric("wicketgate_backend_duration_seconds_bucket", &[("le", "300")]), 1.0);
}

#[test]
fn buckets_that_cannot_work_are_problems_of_check() {
    let backend = Backend::start();
    let many: Vec<u32> = (1..=41).collect();
    for (buckets, expected) in [
        (json!([]), "`buckets` is empty"),
        (json!([0.1, 0.1]), "metrics.buckets[1]"),
        (json!([1, 0.5]), "the bounds do not ascend"),
        (json!([0]), "a bound is above zero"),
        (json!([-1.5]), "metrics.buckets[0]"),
        (json!(["1s"]), "expected a number"),
        (json!(many), "41 buckets are too many"),
        (json!(5), "metrics.buckets"),
    ] {
        let config = Config::new(&backend).set("/metrics/buckets", buckets);
        let said = gateway::Workspace::new(&config).fails(&["check", "--files-only", "--config", "gateway.yaml"]);
        assert!(said.contains(expected), "{expected} in {said}");
    }
    let text = Config::new(&backend).text();
    let workspace = gateway::Workspace::new(&Config::new(&backend));
    for odd in [".inf", ".nan", "-.inf"] {
        workspace.write("gateway.yaml", &format!("{{\"metrics\": {{\"buckets\": [ 1.0, {odd} ]}}, {}", &text[1..]));
        let said = workspace.fails(&["check", "--files-only", "--config", "gateway.yaml"]);
        assert!(said.contains("metrics.buckets[1]"), "{odd}: {said}");
    }
}
