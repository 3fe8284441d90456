//! As many routes, keys and clients as a large company has, right and wrong. What is quadratic in them takes minutes here and
//! never ends for an operator; the bound is far above what a slow machine needs.

use std::time::{Duration, Instant};

use super::{problems, read};

const DOES_NOT_HANG: Duration = Duration::from_secs(60);

/// A configuration with these sections beside what each needs.
fn with(sections: &str) -> String {
    format!(
        "listen: [{{address: '127.0.0.1:8443', name: one}}, {{address: '127.0.0.1:8444', name: two}}]\n\
         admin: {{address: '127.0.0.1:9900'}}\n{sections}"
    )
}

fn lines(count: usize, line: impl Fn(usize) -> String) -> String {
    (0..count).map(|number| format!("  - {}\n", line(number))).collect()
}

fn route(number: usize, rest: &str) -> String {
    format!("{{name: r{number}, methods: [GET], public: true, {rest}}}")
}

#[test]
fn ten_thousand_routes_are_held_against_each_other_without_looking_at_each_pair() {
    let begun = Instant::now();
    let routes = lines(10_000, |number| route(number, &format!("path: /r{number}/, backend: b{}", number % 500)));
    let backends: String =
        (0..500).map(|number| format!("  b{number}: {{servers: ['http://127.0.0.1:9000']}}\n")).collect();
    let text = with(&format!("routes:\n{routes}backends:\n{backends}"));
    let (config, found) = read(&text).unwrap();
    assert!(found.is_empty(), "{found}");
    assert!(config.warnings().iter().all(|warning| !warning.place.contains("routes")));
    // All for the same requests, and for a backend that is not there.
    let routes = lines(5_000, |number| route(number, "path: /r/, backend: c"));
    let found = problems(&with(&format!("routes:\n{routes}backends:\n{backends}")));
    assert_eq!(
        found.iter().filter(|problem| problem.message.contains("is already the route on line 4")).count(),
        4_999
    );
    assert_eq!(found.iter().filter(|problem| problem.message == "there is no backend `c`").count(), 5_000);
    assert!(begun.elapsed() < DOES_NOT_HANG);
}

#[test]
fn ten_thousand_keys_of_nobody_and_as_many_mistakes_are_told_in_a_short_text() {
    let begun = Instant::now();
    let routes = lines(5_000, |number| route(number, &format!("path: /r{number}/, backend: b")));
    let rest = format!("routes:\n{routes}backends: {{b: {{servers: ['http://127.0.0.1:9000']}}}}\n");
    // A section of clients that has been taken out in a hurry, and names of routes that have changed.
    let digest = |number: usize| format!("'{number:064x}'");
    let keys = lines(10_000, |number| {
        format!("{{id: k{number}, sha256: [{}], client: client{number}, routes: [route{number}]}}", digest(number))
    });
    let (config, found) = read(&with(&format!("api_keys:\n{keys}{rest}"))).unwrap();
    assert!(found.is_empty(), "{found}");
    let warnings = config.warnings();
    let of_keys = warnings.iter().filter(|warning| warning.place.contains("api_keys"));
    let text: String = of_keys.map(ToString::to_string).collect();
    assert!(text.contains("there is no client `client0`") && text.contains("9950 more keys"), "{text}");
    assert!(text.len() < 200_000, "{} bytes", text.len());
    // A list that is none, in each of them.
    let keys = lines(10_000, |number| format!("{{id: k{number}, sha256: {}, routes: [r0]}}", digest(number)));
    let found = problems(&with(&format!("api_keys:\n{keys}{rest}")));
    assert_eq!(found.len(), 10_000);
    assert!(begun.elapsed() < DOES_NOT_HANG);
}

#[test]
fn routes_overlap_where_host_path_method_and_listener_meet_and_all_that_do_are_told() {
    let told = |routes: &[&str]| {
        let routes = lines(routes.len(), |number| route(number, routes[number]));
        let backends = "backends:\n  b: {servers: ['http://127.0.0.1:9000']}\n  \
             w: {servers: ['http://127.0.0.1:9000'], ignores_case: true}\n";
        let found = problems(&with(&format!("routes:\n{routes}{backends}")));
        found.iter().map(|problem| (problem.path.clone(), problem.message.clone())).collect::<Vec<_>>()
    };
    let overlap = |later: usize, line: usize, path: &str| {
        (format!("routes[{later}].path"), format!("GET {path} is already the route on line {line}"))
    };
    for apart in [
        ["path: /x/, backend: b", "path: {exact: /x/}, backend: b"],
        ["path: /x/, backend: b", "path: /X/, backend: b"],
        ["path: /x/, backend: b, hosts: [a.test]", "path: /x/, backend: b"],
        ["path: /x/, backend: b, hosts: [a.test]", "path: /x/, backend: b, hosts: [b.test]"],
        ["path: /x/, backend: b, listen: [one]", "path: /x/, backend: b, listen: [two]"],
    ] {
        assert_eq!(told(&apart), []);
    }
    assert_eq!(told(&["path: /x/, backend: b", "path: /X/, backend: w"]), [overlap(1, 4, "/X/")]);
    assert_eq!(
        told(&["path: /x/, backend: b, hosts: [a.test, b.test]", "path: /x/, backend: b, hosts: [c.test, b.test]"]),
        [overlap(1, 4, "/x/")]
    );
    // The last one meets only the second, which meets the first.
    let listed =
        ["path: /x/, backend: b, listen: [one]", "path: /x/, backend: b", "path: /x/, backend: b, listen: [two]"];
    assert_eq!(told(&listed), [overlap(1, 4, "/x/"), overlap(2, 5, "/x/")]);
}
