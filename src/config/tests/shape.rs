//! What the file looks like: YAML, keys, types, words.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;

use super::super::{schema, schema::resolve};
use super::{MAXIMAL, SHIPPED, edited, only_problem, problems};
use crate::config::renamed::{KEYS, WORDS};

#[test]
fn every_wrong_shape_has_its_message_and_its_way_out() {
    let table = [
        ("    timeout: 10s", "    timeout: 10s\n    timout: 1s", "unknown key `timout`", "not yet set: `adaptive`"),
        ("    timeout: 10s", "    timout: 10s", "unknown key `timout`", "did you mean `timeout`?"),
        ("  audience:", "  audiense:", "unknown key `audiense`", "did you mean `audience`?"),
        ("min_version: \"1.3\"", "min_version: 1.3", "this is a number", "write it in quotes: \"1.3\""),
        ("min_version: \"1.3\"", "min_version: \"1.4\"", "`1.4` is not a word", "`1.2`"),
        ("issue: jwt ", "issue: cokie ", "`cokie` is not a word", "did you mean `cookie`?"),
        ("scopes: [ profile ]\n\n", "scopes: profile\n\n", "expected a list, this is a text", "[ … ]"),
        (
            "timeout: 10s",
            "timeout: 10",
            "expected a length of time such as 10s, this is a number",
            "with a unit: \"10s\"",
        ),
        ("timeout: 10s", "timeout: 10 s", "`10 s` is not a length of time", "such as 500ms"),
        ("timeout: 10s", "concurrency: -1", "`-1` is out of range", "from 0 to"),
        ("timeout: 10s", "concurrency: 1.5", "expected a whole number, this is a number", ""),
        ("timeout: 10s", "concurrency: \"5\"", "expected a whole number, this is a text", "without quotes"),
        ("timeout: 10s", "danger_plaintext: yes", "expected true or false", "write true"),
        ("timeout: 10s", "keep_alive: no", "expected true or false", "write false"),
        ("timeout: 10s", "keep_alive: \"false\"", "expected true or false", "without quotes"),
        ("timeout: 10s", "danger_plaintext: \"true\"", "expected true or false", "without quotes"),
        ("timeout: 10s", "timeout:", "there is no value", "remove the key"),
        ("address: 127.0.0.1:8443", "address: localhost:8443", "`localhost:8443` is not an address", "0.0.0.0:8443"),
        (
            "address: 127.0.0.1:8443",
            "allow: [ 10.0.0.0/33 ]\n    address: 127.0.0.1:8443",
            "is not a network",
            "203.0.113.0/24",
        ),
        ("key: { file: certs/identifier.key }", "key: { fil: x }", "unknown key `fil`", "did you mean `file`?"),
        (
            "key: { file: certs/identifier.key }",
            "key: { file: a, env: B }",
            "`file` and `env` stand side by side",
            "keep one",
        ),
        (
            "key: { file: certs/identifier.key }",
            "key: {}",
            "exactly one of `file`, `env` and `credential` is needed",
            "add it",
        ),
        ("key: { file: certs/identifier.key }", "key: plain", "a secret is never written here", "{env: NAME}"),
        ("path: /crm/", "path: { exakt: /crm }", "unknown key `exakt`", "did you mean `exact`?"),
        ("path: /crm/", "path: [ /crm/ ]", "expected a text or {exact: …} or {regex: …}, this is a list", ""),
        ("  url: https://localhost:8443\n", "", "`url` is missing", "the public https URL"),
        ("  - name: crm\n    path", "  - 7: crm\n    name: crm\n    path", "a key must be a text", "quotes"),
    ];
    for (from, to, message, help) in table {
        let found = problems(&edited(SHIPPED, from, to));
        let fits = |problem: &&super::Problem| problem.message.contains(message) && problem.help.contains(help);
        assert!(found.iter().any(|problem| fits(&problem)), "{to:?} should say {message:?}, {help:?}:\n{found}");
    }
}

#[test]
fn an_earlier_name_of_a_key_or_word_is_refused_with_the_present_one() {
    for (earlier, present) in KEYS {
        let places = regex::Regex::new(&format!(r"\b{present}:")).unwrap();
        let mut count = 0;
        for place in places.find_iter(MAXIMAL) {
            let text = format!("{}{earlier}:{}", &MAXIMAL[..place.start()], &MAXIMAL[place.end()..]);
            let problem = only_problem(&text);
            assert!(problem.path.ends_with(&format!(".{earlier}")), "{problem}");
            assert_eq!(problem.message, format!("unknown key `{earlier}`"));
            assert_eq!(problem.help, format!("it is now `{present}`"));
            count += 1;
        }
        assert!(count > 0, "there is no key `{present}`, which is to be the present name of `{earlier}`");
    }
    for (earlier, present) in WORDS {
        assert!(problems(&edited(MAXIMAL, "balance: consistent_hash", &format!("balance: {present}"))).is_empty());
        let problem = only_problem(&edited(MAXIMAL, "balance: consistent_hash", &format!("balance: {earlier}")));
        assert_eq!(problem.path, "backends.legacy.balance");
        assert_eq!(problem.message, format!("`{earlier}` is not a word that is known here"));
        assert_eq!(problem.help, format!("it is now `{present}`"));
    }
}

#[test]
fn the_documentation_has_every_earlier_name() {
    const DOCUMENT: &str = include_str!("../../../docs/operations.md");
    let has = |earlier: &str, present: &str, what: &str| {
        let begins = |line: &&str| line.starts_with(&format!("| {what}"));
        let names = |line: &str| line.contains(&format!("{earlier}`")) && line.ends_with(&format!("| `{present}` |"));
        DOCUMENT.lines().filter(begins).any(names)
    };
    for (earlier, present) in KEYS {
        assert!(has(earlier, present, "key |"), "docs/operations.md does not say what became of the key {earlier}");
    }
    for (earlier, present) in WORDS {
        assert!(has(earlier, present, "value of "), "docs/operations.md does not say what became of {earlier}");
    }
}

#[test]
fn what_stands_under_an_earlier_name_is_checked_too() {
    let timeout = "    timeout: 10s";
    let told = |with: &str| -> Vec<(String, String)> {
        let found = problems(&edited(SHIPPED, timeout, with));
        found.iter().map(|problem| (problem.path.clone(), problem.help.clone())).collect()
    };
    let renamed = ("backends.legacy.circuit".to_owned(), "it is now `circuit_breaker`".to_owned());
    let key = "backends.legacy.circuit_breaker.failures";
    let both = told("    circuit: { failures: -1 }");
    assert!(both.contains(&renamed) && both.iter().any(|(path, _)| path == key) && both.len() == 2, "{both:?}");
    let beside = told("    circuit: { failures: -1 }\n    circuit_breaker: { failures: 3 }");
    let paths: Vec<_> = beside.iter().map(|(path, _)| path).collect();
    assert_eq!(paths, [&renamed.0], "the present name counts where both are written");
}

/// The value that the help names is taken.
#[test]
fn the_help_about_an_amount_without_a_unit_works() {
    let value = regex::Regex::new("\"[^\"]+\"").unwrap();
    let length = "write a whole number and a unit, such as \"500ms\"";
    for (text, from, wrong, help) in [
        (SHIPPED, "timeout: 10s", "timeout: 10", "write it with a unit: \"10s\""),
        (SHIPPED, "timeout: 10s", "timeout: 1.5", length),
        (SHIPPED, "timeout: 10s", "timeout: -1", length),
        (SHIPPED, "timeout: 10s", "timeout: 99999999999", length),
        (SHIPPED, "timeout: 10s", "timeout: true", length),
        (MAXIMAL, "path: /health, interval: 10s", "path: /health, interval: 10", "write it with a unit: \"10s\""),
        (MAXIMAL, "rate: 1000/h", "rate: 1000", "write it with a unit: \"1000/s\""),
        (MAXIMAL, "body: 2MiB", "body: 1.5", "write a whole number and a unit, such as \"64KiB\""),
        (SHIPPED, "address: 127.0.0.1:8443", "address: 8443", "write it like \"0.0.0.0:8443\""),
    ] {
        let problem = only_problem(&edited(text, from, wrong));
        assert_eq!(problem.help, help, "{wrong}");
        let (key, _) = wrong.rsplit_once(' ').unwrap();
        let named = value.find(&problem.help).unwrap().as_str();
        let found = problems(&edited(text, from, &format!("{key} {named}")));
        assert!(found.is_empty(), "{key} {named}: {found}");
    }
}

#[test]
fn a_key_that_is_written_twice_names_both_lines() {
    let text = edited(SHIPPED, "    timeout: 10s", "    timeout: 10s\n    timeout: 20s\n    servers: []");
    let found = problems(&text);
    let messages: Vec<_> =
        found.iter().map(|problem| (problem.line, problem.message.as_str(), problem.help.as_str())).collect();
    assert_eq!(
        messages,
        [
            (78, "`timeout` is already set on line 77", "keep one of lines 77 and 78"),
            (79, "`servers` is already set on line 75", "keep one of lines 75 and 79"),
        ]
    );
}

#[test]
fn an_issuer_has_one_source_of_keys_and_algorithms_that_belong_to_it() {
    let source = |with: &str| edited(MAXIMAL, "    jwks: { file: jwks.json }\n", with);
    for right in [
        "    jwks: https://login.example.com/jwks.json\n",
        "    discovery: true\n",
        "    jwks: http://127.0.0.1:80/jwks\n",
    ] {
        let found = problems(&source(right));
        assert!(found.is_empty(), "{right}: {found}");
    }
    for (wrong, part) in [
        ("", "nothing says where the keys"),
        ("    discovery: true\n    jwks: { file: jwks.json }\n", "side by side"),
        ("    jwks: login.example.com/jwks\n", "not an http or https address"),
        ("    jwks: { url: x, file: jwks.json }\n", "unknown key `url`"),
        ("    jwks: 7\n", "expected"),
    ] {
        let problem = only_problem(&source(wrong));
        assert!(problem.message.contains(part), "{wrong}: {problem}");
    }
    let plain = source("    jwks: http://login.example.com/jwks\n");
    let plain =
        edited(&plain, "danger_plaintext: true\n    danger_private", "danger_plaintext: false\n    danger_private");
    assert!(only_problem(&plain).help.contains("danger_plaintext: true"));
    let symmetric = edited(MAXIMAL, "algorithms: [ RS256, EdDSA ]", "algorithms: [ RS256, HS256 ]");
    assert!(only_problem(&symmetric).message.contains("signs with a secret"));
    let secret =
        source("    secret: { env: SHARED }\n").replace("algorithms: [ RS256, EdDSA ]", "algorithms: [ HS256 ]");
    assert!(problems(&secret).is_empty(), "{}", problems(&secret));
}

#[test]
fn anchors_and_merges_are_understood() {
    let text =
        edited(SHIPPED, "    connect_timeout: 2s\n", "    connect_timeout: &short 2s\n    idle_timeout: *short\n");
    assert!(problems(&text).is_empty(), "{}", problems(&text));
    let text = edited(SHIPPED, "  legacy:\n", "  other:\n    <<: *all\n    timeout: 1s\n  legacy: &all\n");
    assert!(problems(&text).to_string().contains("anchor that does not exist"));
    let text = SHIPPED
        .replace("  legacy:\n", "  legacy: &all\n")
        .replace("timeout: 10s\n", "timeout: 10s\n  other:\n    <<: *all\n    timeout: 1s\n");
    assert!(problems(&text).is_empty(), "{}", problems(&text));
}

#[test]
fn what_is_no_configuration_at_all_is_refused() {
    for text in [
        "",
        "\n",
        "# nothing\n",
        "null",
        "~",
        "7",
        "text",
        "- a",
        "[]",
        "\u{feff}",
        "---\n...\n",
        "\0",
        "\t",
        "{}",
        "{",
    ] {
        assert!(!problems(text).is_empty(), "{text:?}");
    }
    let two = format!("{SHIPPED}---\n{SHIPPED}");
    assert!(problems(&two).to_string().contains("second YAML document"), "{}", problems(&two));
}

/// Where the file is cut, something that every configuration needs is missing, or YAML is broken. Only behind
/// `servers` could a shorter file be complete.
#[test]
fn a_file_that_was_cut_off_is_never_taken_for_a_whole_one() {
    let complete_from = SHIPPED.find("9000\" ]").unwrap();
    for end in (0..SHIPPED.len()).step_by(10) {
        let cut = &SHIPPED[..SHIPPED.floor_char_boundary(end)];
        let found = problems(cut);
        let shown = found.to_string();
        assert!(!found.is_empty() || end > complete_from, "cut at {end}");
        assert!(!shown.contains("fault of wicketgate"), "cut at {end}:\n{shown}");
    }
}

#[test]
fn hostile_yaml_is_refused_in_bounded_time() {
    let mut laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..20 {
        let before = format!("*a{}", level - 1);
        laughs += &format!("a{level}: &a{level} [{}]\n", vec![before; 10].join(", "));
    }
    let hostile = [
        ("laughs", laughs),
        ("flow depth", "[".repeat(10_000)),
        ("map depth", "{a: ".repeat(10_000)),
        ("block depth", (0..10_000).map(|depth| format!("{}a:\n", " ".repeat(depth.min(90)))).collect()),
        ("list depth", "- ".repeat(10_000)),
        ("size", "#".repeat(2 << 20)),
        ("values", format!("a: [{}]", "1,".repeat(200_000))),
        ("keys", (0..40_000).map(|index| format!("k{index}: 1\n")).collect()),
        ("same keys", "k: 1\n".repeat(20_000)),
        ("anchors", (0..5_000).map(|index| format!("k{index}: &a{index} 1\n")).collect()),
        ("documents", "---\na: 1\n".repeat(10_000)),
        ("recursion", "a: &a [*a]\n".to_owned()),
        ("one long line", format!("{{{}", "a: 1, ".repeat(20_000))),
    ];
    for (name, text) in hostile {
        let start = time_on_cpu();
        let shown = problems(&text).to_string();
        assert!(!shown.is_empty(), "{name}");
        assert!(shown.len() < 200_000, "{name}: {} bytes", shown.len());
        let spent = time_on_cpu() - start;
        assert!(spent < Duration::from_secs(20), "{name}: {spent:?}");
    }
}

/// How long this thread has been computing, however busy the machine is with other things.
fn time_on_cpu() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

/// `login.provider` with all of its keys but `private_key`.
const PROVIDER: &str = r#"  provider:
    issuer: https://login.example.com
    client_id: gate
    client_secret: { env: PROVIDER }
    auth: form
    scopes: [ openid, email ]
    authorization_endpoint: https://login.example.com/authorize
    token_endpoint: https://login.example.com/token
    prompt: select_account
"#;

const PROVIDERS_ISSUER: &str = r#"trusted_issuers:
  - issuer: https://login.example.com
    discovery: true
    audiences: [ legacy-api ]
    algorithms: [ ES256 ]

"#;

#[test]
fn the_reader_takes_every_key_of_the_schema_and_the_sample_has_them_all() {
    assert!(problems(MAXIMAL).is_empty());
    let access = "access: { to: file, file: access.log, format: human, fields: [ time, route, status ], sample: 10% }";
    for word in ["access: off", "access: \"off\"", "access: stdout", "access: { to: off }"] {
        assert!(problems(&edited(MAXIMAL, access, word)).is_empty(), "{word}");
    }
    let mut sample = BTreeSet::new();
    // `login.accounts` can have a file, a backend or a directory, not two; what is set apart cannot stand beside cookies.
    let apart =
        edited(SHIPPED, "  - address: 127.0.0.1:8443\n", "  - address: 127.0.0.1:8443\n    audience: sandbox\n");
    let apart = edited(&apart, "accounts: { file: accounts.yaml }", "accounts: { file: accounts.yaml, fold: true }");
    assert!(problems(&apart).is_empty());
    let directory = |key: &str| {
        let keys =
            "url: ldap://ldap.example.com, start_tls: true, ca: ca.pem, danger_plaintext: true, subject: entryUUID";
        let ldap = format!("ldap: {{ {keys}, claims: {{ tier: employeeType }}, timeout: 2s, {key} }}");
        let edited = edited(
            SHIPPED,
            "accounts: { file: accounts.yaml }",
            &format!("claims: [ tier ]\n  accounts: {{ {ldap} }}"),
        );
        assert!(problems(&edited).is_empty(), "{}", problems(&edited));
        edited
    };
    let bound = directory("bind_dn: \"uid={username},dc=example\"");
    let search =
        "base: \"dc=example\", filter: \"(uid={username})\", bind_dn: \"cn=gateway\", bind_password: { env: LDAP }";
    let searched = directory(&format!("search: {{ {search} }}"));
    // Nor can accounts stand beside a provider.
    let provider = edited(SHIPPED, "  accounts: { file: accounts.yaml }\n", PROVIDER);
    let provider =
        edited(&provider, "  - id: asapp\n", "  - id: asapp\n    redirect_uris: [ https://www.example.com/cb ]\n");
    let provider = edited(&provider, "# What may be called.", &format!("{PROVIDERS_ISSUER}# What may be called."));
    let by_key = "    private_key: provider.pem\n";
    let by_key = edited(&provider, "    client_secret: { env: PROVIDER }\n    auth: form\n", by_key);
    for text in [&provider, &by_key] {
        assert!(problems(text).is_empty(), "{}", problems(text));
    }
    for text in [MAXIMAL, SHIPPED, &apart, &bound, &searched, &provider, &by_key] {
        let value: Value = serde_saphyr::from_str(text).unwrap();
        keys_of_value(&value, &schema::schema(), "", &mut sample);
    }
    let missing: Vec<_> = keys_of_schema().into_iter().filter(|key| !sample.contains(key)).collect();
    assert!(missing.is_empty(), "src/config/tests/maximal.yaml does not have {missing:?}");
}

#[test]
fn the_schema_has_a_description_of_every_key() {
    fn visit(schema: &Value, path: &str, without: &mut Vec<String>) {
        if let Some(properties) = schema["properties"].as_object() {
            for (name, property) in properties {
                let described = property["description"].is_string() || resolve(property)["description"].is_string();
                if !described && !schema["description"].is_string() {
                    without.push(format!("{path}.{name}"));
                }
            }
        }
        match schema {
            Value::Object(object) => {
                object.iter().for_each(|(key, value)| visit(value, &format!("{path}/{key}"), without))
            }
            Value::Array(items) => items.iter().for_each(|item| visit(item, path, without)),
            _ => {}
        }
    }
    let mut without = Vec::new();
    let schema = super::super::schema();
    visit(&schema, "", &mut without);
    assert!(without.is_empty(), "{without:?}");
    assert!(schema["title"].is_string() && schema["description"].is_string());
}

/// Each section of docs/configuration.md has the path of its keys in its heading, and each key in its own row.
#[test]
fn every_doc_key() {
    const DOCUMENT: &str = include_str!("../../../docs/configuration.md");
    let mut missing = Vec::new();
    for path in keys_of_schema() {
        let (section, key) = path.rsplit_once('.').unwrap_or(("top level", &path));
        let heading = format!("`{section}`");
        let is_documented = DOCUMENT.split("\n#").any(|part| {
            let (first, body) = part.split_once('\n').unwrap_or((part, ""));
            first.contains(&heading) && body.contains(&format!("\n| `{key}` |"))
        });
        if !is_documented {
            missing.push(path);
        }
    }
    assert!(missing.is_empty(), "docs/configuration.md does not have {missing:#?}");
}

#[test]
fn the_example_of_the_documentation_works() {
    const DOCUMENT: &str = include_str!("../../../docs/configuration.md");
    let examples: Vec<&str> = DOCUMENT.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(!examples.is_empty());
    let found = problems(examples[0]);
    assert!(found.is_empty(), "{found}");
}

/// `routes[].identifier.header` for every key of the schema. Keys below a reference of a secret or a file are left out.
fn keys_of_schema() -> BTreeSet<String> {
    fn visit(schema: &Value, path: &str, keys: &mut BTreeSet<String>) {
        if schema["$ref"] == "#/$defs/SecretRef" || schema["$ref"] == "#/$defs/FilePath" {
            return;
        }
        let schema = resolve(schema);
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            keys.insert(path.clone());
            visit(property, &path, keys);
        }
        if schema["items"].is_object() {
            visit(&schema["items"], &format!("{path}[]"), keys);
        }
        if schema["additionalProperties"].is_object() {
            visit(&schema["additionalProperties"], &format!("{path}.NAME"), keys);
        }
        for alternative in ["oneOf", "anyOf"].iter().filter_map(|name| schema[*name].as_array()).flatten() {
            visit(alternative, path, keys);
        }
    }
    let mut keys = BTreeSet::new();
    visit(&schema::schema(), "", &mut keys);
    keys
}

fn keys_of_value(value: &Value, schema: &Value, path: &str, keys: &mut BTreeSet<String>) {
    let schema = resolve(schema);
    for alternative in ["oneOf", "anyOf"].iter().filter_map(|name| schema[*name].as_array()).flatten() {
        keys_of_value(value, alternative, path, keys);
    }
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                let is_free = schema["additionalProperties"].is_object();
                let property = if is_free { &schema["additionalProperties"] } else { &schema["properties"][name] };
                let name = if is_free { "NAME" } else { name };
                let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
                keys.insert(path.clone());
                keys_of_value(value, property, &path, keys);
            }
        }
        Value::Array(items) => {
            items.iter().for_each(|item| keys_of_value(item, &schema["items"], &format!("{path}[]"), keys))
        }
        _ => {}
    }
}
