//! Keys under the name of an earlier version.

use super::{MAXIMAL, SHIPPED, edited, problems};

/// Line, column and path of each problem, in the order of the file.
fn places(text: &str) -> Vec<(usize, usize, String)> {
    let mut found: Vec<_> =
        problems(text).into_iter().map(|problem| (problem.line, problem.column, problem.path)).collect();
    found.sort_unstable();
    found
}

#[test]
fn a_problem_under_an_earlier_name_is_reported_at_its_value() {
    let timeout = "    timeout: 10s";
    let at = |line, column, path: &str| (line, column, path.to_owned());
    assert_eq!(
        places(&edited(SHIPPED, timeout, "    health: { path: nope, interval: 10s }")),
        [at(77, 5, "backends.legacy.health"), at(77, 21, "backends.legacy.health_check.path")]
    );
    assert_eq!(
        places(&edited(SHIPPED, "    timeout: 10s", "    health:\n      path: /\n      healthy: 0")),
        [
            at(77, 5, "backends.legacy.health"),
            at(79, 7, "backends.legacy.health_check.healthy"),
            at(79, 16, "backends.legacy.health_check.healthy_threshold"),
        ]
    );
    let https = edited(SHIPPED, "http://127.0.0.1:9000", "https://a.example.com");
    assert_eq!(
        places(&edited(&https, timeout, "    tls: { name: 'a b' }")),
        [at(77, 12, "backends.legacy.tls.name"), at(77, 18, "backends.legacy.tls.server_name")]
    );
    let address = "  - address: 127.0.0.1:8443\n";
    assert_eq!(
        places(&edited(SHIPPED, address, &format!("{address}    limits: {{ total_timeout: 0s }}\n"))),
        [at(8, 15, "listen[0].limits.total_timeout"), at(8, 30, "listen[0].limits.request_timeout")]
    );
    let sources = edited(MAXIMAL, "customer_token_sources: [ bearer: true ]", "customer_from: []");
    let line = 1 + sources.lines().position(|line| line.contains("customer_from")).unwrap();
    let found = places(&sources);
    let (column, path) = (20, "customer_token_sources");
    assert!(found.iter().any(|place| (place.0, place.1) == (line, column) && place.2.ends_with(path)), "{found:?}");
}

#[test]
fn the_place_of_a_present_name_is_its_own_where_the_earlier_one_is_set_too() {
    let both = "    circuit: { pause: 1s }\n    circuit_breaker: { pause: 0s }";
    let found = places(&edited(SHIPPED, "    timeout: 10s", both));
    assert_eq!(found[1], (78, 31, "backends.legacy.circuit_breaker.pause".to_owned()));
}

#[test]
fn an_earlier_name_beside_the_present_one_can_go() {
    let both = "    circuit: { failures: -1 }\n    circuit_breaker: { failures: 3 }";
    let found = problems(&edited(SHIPPED, "    timeout: 10s", both));
    let help: Vec<&str> = found.iter().map(|problem| problem.help.as_str()).collect();
    assert_eq!(help, ["it is now `circuit_breaker`, which is set already: remove `circuit`"]);
}

#[test]
fn a_line_with_hidden_values_shows_the_key_that_is_pointed_at() {
    let sources = "customer_token_sources: [ bearer: true ]";
    for (key, shown) in [
        ("customer_from", "customer_from: [ bearer: … ]"),
        ("customer_token_source", "customer_token_source: [ bearer: … ]"),
        ("\"customer_from\"", "\"customer_from\": [ bearer: … ]"),
    ] {
        let text = edited(MAXIMAL, sources, &format!("{key}: [ bearer: true ]"));
        let found = problems(&text).to_string();
        assert!(found.contains(shown), "{found}");
        assert!(found.contains(&"^".repeat(key.len())), "{found}");
    }
    let value = problems(&edited(MAXIMAL, sources, "customer_from: [ bearer: 5 ]")).to_string();
    assert!(value.contains("bearer: … ]") && !value.contains("…: ["), "an earlier name is a key too: {value}");
    // What stands in the place of a secret is none.
    let text = edited(MAXIMAL, "{ env: BACKEND_PASSWORD }", "{ hunter2: true }");
    assert!(!problems(&text).to_string().contains("hunter2"));
}
