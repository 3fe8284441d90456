//! The access log as a section: a file that is opened again, form and fields of lines, a sample of successes; the log of the
//! process for people and for journald.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use crate::harness::*;

fn to_file(config: Config) -> Config {
    config.set("/log/access", json!({"file": "access.log"}))
}

fn log(gateway: &Gateway) -> String {
    fs::read_to_string(gateway.files.path.join("access.log")).unwrap_or_default()
}

/// Whole lines, each one JSON.
#[track_caller]
fn lines(text: &str) -> Vec<Value> {
    let read = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    text.lines().map(read).collect()
}

#[track_caller]
fn line_of(gateway: &Gateway, answer: &Response) -> String {
    let id = answer.header("X-Request-Id").unwrap().to_owned();
    eventually("a line in the file", || log(gateway).contains(&id) && log(gateway).ends_with('\n'));
    log(gateway).lines().find(|line| line.contains(&id)).unwrap().to_owned()
}

#[test]
fn a_file_gets_the_lines_that_standard_output_gets_without_it() {
    let (_backend, gateway) = world_with(to_file);
    let answer = gateway.profile().send().ok();
    let text = line_of(&gateway, &answer);
    let (_other_backend, other) = world();
    let usual = other.access_line(other.profile().send().ok().header("X-Request-Id").unwrap());
    let keys = |line: &Value| line.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&lines(&text)[0]), keys(&usual));
    assert!(gateway.stdout.all().is_empty());
    let mode = fs::metadata(gateway.files.path.join("access.log")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777 & !0o640, 0, "{mode:o}");
}

#[test]
fn no_line_is_lost_or_torn_while_a_file_is_renamed_and_opened_again() {
    let (_backend, gateway) = world_with(to_file);
    let load = Load::of(gateway.get("/public/x"));
    for number in 0..5 {
        load.goes_on();
        eventually("a line in the file", || !log(&gateway).is_empty());
        fs::rename(gateway.files.path.join("access.log"), gateway.files.path.join(format!("access.log.{number}")))
            .unwrap();
        gateway.signal("USR1");
        eventually("a new file", || !log(&gateway).is_empty());
    }
    load.finish();
    let all = || -> String {
        let earlier =
            (0..5).map(|number| fs::read_to_string(gateway.files.path.join(format!("access.log.{number}"))).unwrap());
        earlier.chain([log(&gateway)]).collect()
    };
    let counted = gateway.metric("wicketgate_requests_total", &[]);
    eventually("a line for each request", || all().lines().count() as f64 == counted);
    assert!(lines(&all()).iter().all(|line| line["route"] == "public"));
    assert_eq!(gateway.metric("wicketgate_access_log_dropped_total", &[]), 0.0);
}

#[test]
fn logrotate_rotates_it_as_in_the_documentation() {
    let document = include_str!("../../../docs/logs.md");
    let (_, rest) = document.split_once("```logrotate\n").unwrap();
    let (snippet, _) = rest.split_once("```").unwrap();
    let (_backend, gateway) = world_with(to_file);
    let before = gateway.get("/public/x").send().ok();
    line_of(&gateway, &before);
    eventually("a line in the audit log", || gateway.files.path.join("data/audit.jsonl").exists());
    let directory = gateway.files.path.display().to_string();
    let snippet = snippet
        .replace("/var/log/wicketgate/access.log", &format!("{directory}/access.log"))
        .replace("/var/lib/wicketgate", &format!("{directory}/data"))
        .replace(
            "systemctl kill --signal=USR1 --kill-whom=main wicketgate.service",
            &format!("kill -USR1 {}", gateway.id()),
        );
    assert!(!snippet.contains("systemctl") && snippet.contains("kill -USR1"), "{snippet}");
    gateway.files.write("logrotate.conf", &snippet);
    let (conf, status) = (format!("{directory}/logrotate.conf"), format!("{directory}/logrotate.status"));
    let output = program("logrotate", "logrotate", &["--force", "--state", &status, &conf]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let after = gateway.get("/public/y").send().ok();
    line_of(&gateway, &after);
    let id = before.header("X-Request-Id").unwrap();
    assert!(
        fs::read_to_string(format!("{directory}/access.log.1")).unwrap().contains(id) && !log(&gateway).contains(id)
    );
    let said = gateway.files.succeeds(&["audit", "verify", "data/audit.jsonl.1", "data/audit.jsonl"]);
    assert!(said.contains("whole"), "{said}");
}

#[test]
fn a_file_that_cannot_be_opened_again_stays_the_one_before() {
    let backend = Backend::start();
    let config = Config::new(&backend).set("/log/access", json!({"file": "logs/access.log"}));
    let files = Arc::new(gateway::Workspace::new(&config));
    fs::create_dir(files.path.join("logs")).unwrap();
    let gateway = Gateway::start_in(files, config.signing_key.clone());
    gateway.get("/public/x").send().ok();
    let renamed = gateway.files.path.join("moved");
    eventually("a file", || gateway.files.path.join("logs/access.log").exists());
    fs::rename(gateway.files.path.join("logs"), &renamed).unwrap();
    gateway.signal("USR1");
    let said = |line: &Value| line["message"].as_str().is_some_and(|said| said.contains("cannot be opened again"));
    gateway.stderr.wait(said).unwrap();
    let answer = gateway.get("/public/y").send().ok();
    let id = answer.header("X-Request-Id").unwrap();
    eventually("a line in the file before", || fs::read_to_string(renamed.join("access.log")).unwrap().contains(id));
}

#[test]
fn a_full_disk_and_a_pipe_that_nobody_reads_hold_up_no_request() {
    for (file, fills) in [("/dev/full", false), ("unread.pipe", true)] {
        let backend = Backend::start();
        let config = Config::new(&backend).set("/log/access", json!({"file": file}));
        let files = Arc::new(gateway::Workspace::new(&config));
        if fills {
            assert!(program("mkfifo", "coreutils", &[files.path.join(file).to_str().unwrap()]).status.success());
        }
        let mut gateway = Gateway::start_in(files, config.signing_key.clone());
        let mut connection = gateway.connect();
        eventually(&format!("{file}: a line that is dropped"), || {
            for _ in 0..200 {
                gateway.get("/public/x").send_on(&mut connection).ok();
            }
            gateway.metric("wicketgate_access_log_dropped_total", &[]) > 0.0
        });
        gateway.get("/public/x").send().ok();
        assert_eq!(gateway.terminate(), Some(0), "{file}");
    }
}

#[test]
fn check_and_start_find_a_file_that_cannot_be_written() {
    let backend = Backend::start();
    for (access, key, message) in [
        (json!({"file": "missing/access.log"}), "log.access.file", "the access log cannot be written"),
        (json!({"file": "certs"}), "log.access.file", "the access log cannot be written"),
        (json!({"to": "file"}), "log.access.to", "no file is named"),
        (json!({"to": "stdout", "file": "x"}), "log.access.file", "a file is named"),
        (json!({"fields": ["statuss"]}), "log.access.fields[0]", "did you mean `status`?"),
        (json!({"fields": ["time", "time"]}), "log.access.fields[1]", "twice"),
        (json!({"fields": []}), "log.access.fields", "`fields` is empty"),
        (json!({"sample": "101%"}), "log.access.sample", "is not a percentage"),
        (json!({"sample": 10}), "log.access.sample", "write it with a unit: \"10%\""),
        (json!({"format": "text"}), "log.access.format", "`human`"),
        (json!("file"), "log.access", "`off`"),
    ] {
        let config = Config::new(&backend).set("/log/access", access.clone());
        let files = gateway::Workspace::new(&config);
        for command in [&["check"][..], &["run"]] {
            let said = files.fails(command);
            assert!(said.contains(key) && said.contains(message), "{access}: {said}");
        }
    }
}

#[test]
fn fields_are_those_that_are_listed_in_their_order() {
    let fields = json!(["status", "route", "code", "customer", "time", "bytes_out", "complete"]);
    let section = json!({"file": "access.log", "fields": fields});
    let (_backend, gateway) = world_with(|config| config.set("/log/access", section));
    let good = gateway.profile().send().ok();
    gateway.profile().drop_header("Authorization").send();
    let at = |log: &str| log.lines().map(str::to_owned).collect::<Vec<_>>();
    eventually("four lines", || at(&log(&gateway)).len() == 4);
    let all = at(&log(&gateway));
    // Each worker writes its own lines when they are due.
    let of = |begin: &str| all.iter().find(|line| line.starts_with(begin)).unwrap_or_else(|| panic!("{all:?}"));
    let line = of(r#"{"status":200,"route":"profile","code":null,"customer":"t1-"#);
    assert!(line.ends_with(&format!(r#"Z","bytes_out":{},"complete":true}}"#, good.body.len())), "{line}");
    of(r#"{"status":401,"route":"profile","code":"401-"#);
    lines(&all.join("\n"));
}

#[test]
fn lines_for_people_have_what_matters_and_nothing_that_is_not_printable() {
    let (_backend, gateway) =
        world_with(|config| config.set("/log/access", json!({"file": "access.log", "format": "human"})));
    let line = line_of(&gateway, &gateway.profile().send().ok());
    let words: Vec<&str> = line.split(' ').collect();
    assert!(words[0].ends_with('Z') && words[0].contains('T'), "{line}");
    assert_eq!(words[1..5], ["127.0.0.1", "\"POST", "profile\"", "200"], "{line}");
    assert!(words[5].ends_with("ms") || words[5].ends_with("us"), "{line}");
    assert!(
        line.contains(" client=asapp ") && line.contains(" customer=t1-") && line.contains(" request_id="),
        "{line}"
    );
    let refused = gateway.get("/zz/%0a%1b%5b31m?token=secret").send();
    let line = line_of(&gateway, &refused);
    assert!(line.contains(" 400 ") && line.contains(" refusal=ambiguous_path code=400-01 "), "{line}");
    assert!(!line.contains("secret") && line.chars().all(|sign| !sign.is_control()), "{line}");
    // Chosen fields too.
    let section = json!({"file": "access.log", "format": "human", "fields": ["method", "refusal", "path", "customer"]});
    gateway.reload(&Config::new(&_backend).set("/log/access", section), "reloaded");
    eventually("lines of the new form", || {
        gateway.get("/zz/a").send();
        log(&gateway).lines().any(|line| line == "method=GET refusal=no_route path=/zz/a customer=-")
    });
}

#[test]
fn a_sample_keeps_every_refusal_and_counts_the_successes_that_it_leaves_out() {
    let sampled =
        |config: Config, share: &str| config.set("/log/access", json!({"file": "access.log", "sample": share}));
    let backend = Backend::start();
    let config = Config::new(&backend);
    let gateway = Gateway::start(&sampled(config.clone(), "20%"));
    let mut connection = gateway.connect();
    let (successes, refusals) = (1_000, 50);
    for _ in 0..successes {
        gateway.get("/public/x").send_on(&mut connection).ok();
    }
    for _ in 0..refusals {
        gateway.get("/system/x").send_on(&mut connection).expect(401, "401-10");
    }
    let count = |status: u16| lines(&log(&gateway)).iter().filter(|line| line["status"] == status).count();
    eventually("all refusals", || count(401) == refusals);
    let kept = count(200);
    assert!((100..320).contains(&kept), "{kept}");
    let left_out = gateway.metric("wicketgate_access_log_sampled_out_total", &[]);
    assert_eq!(left_out as usize + kept, successes);
    assert!(lines(&log(&gateway)).iter().all(|line| line["sample"] == 0.2));
    // A reload changes it.
    gateway.reload(&sampled(config.clone(), "0%"), "reloaded");
    eventually("nothing but refusals", || {
        let before = count(200);
        (0..20).for_each(|_| drop(gateway.get("/public/x").send().ok()));
        gateway.get("/system/x").send();
        count(200) == before
    });
    gateway.reload(&config.clone().set("/log/access", json!({"file": "access.log"})), "reloaded");
    eventually("all lines as usual", || !line_of(&gateway, &gateway.get("/public/x").send().ok()).contains("sample"));
    // The destination needs a restart.
    gateway.reload(&config.clone().set("/log/access", json!({"file": "other.log"})), "reload failed");
    gateway.reload(&config.set("/log/access", json!("off")), "reload failed");
    let said = gateway.stderr.all().join("\n");
    assert!(
        said.contains("`log.access.file` has changed") && said.contains("`log.access.to`, `log.access.file` have"),
        "{said}"
    );
}

/// A gateway whose standard error goes to a file.
struct Quiet {
    child: Child,
    files: gateway::Workspace,
}

impl Quiet {
    fn start(config: &Config, script: &str) -> Self {
        let files = gateway::Workspace::new(config);
        let mut command = Command::new("bash");
        command.current_dir(&files.path).args(["-c", script, "bash", env!("CARGO_BIN_EXE_wicketgate"), "run"]);
        let child = command.stdout(Stdio::null()).stdin(Stdio::null()).spawn().unwrap();
        Self { child, files }
    }

    fn said(&self) -> String {
        fs::read_to_string(self.files.path.join("said")).unwrap_or_default()
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Standard error is what JOURNAL_STREAM names, as under systemd.
const JOURNAL: &str = r#"exec 2>said; export JOURNAL_STREAM=$(stat -Lc %d:%i /proc/self/fd/2); exec "$@""#;

#[test]
fn the_log_of_the_process_is_text_for_people_where_that_is_wished() {
    let backend = Backend::start();
    let config = Config::new(&backend).set("/log/format", json!("human"));
    let quiet = Quiet::start(&config, r#"exec 2>said; exec "$@""#);
    eventually("the line that it is ready", || quiet.said().contains(": ready version="));
    let said = quiet.said();
    let line = said.lines().find(|line| line.contains(": ready version=")).unwrap();
    assert!(line.contains("Z  INFO wicketgate::") && !said.contains('{'), "{said}");
    assert!(said.chars().all(|sign| sign == '\n' || !sign.is_control()), "{said:?}");
}

#[test]
fn lines_to_journald_have_their_priority_and_others_do_not() {
    let backend = Backend::start();
    for format in ["human", "json"] {
        let config =
            Config::new(&backend).set("/log/format", json!(format)).set("/listen/0/allow", json!(["0.0.0.0/0"]));
        let quiet = Quiet::start(&config, JOURNAL);
        eventually("the line that it is ready", || quiet.said().contains("ready"));
        let said = quiet.said();
        assert!(said.lines().all(|line| line.starts_with("<6>") || line.starts_with("<4>")), "{said}");
        let other = r#"exec 2>said; export JOURNAL_STREAM=1:2; exec "$@""#;
        let quiet = Quiet::start(&config, other);
        eventually("the line that it is ready", || quiet.said().contains("ready"));
        assert!(!quiet.said().contains("<6>"), "{}", quiet.said());
    }
}
