//! Paths: the one that is matched is the one that is forwarded; one with two readings is 400.

use crate::harness::*;

/// A gateway where everything below / is open and /admin/ wants an API key.
fn open_with_a_closed_corner() -> (Backend, Gateway) {
    world_with(with_a_closed_corner)
}

fn with_a_closed_corner(config: Config) -> Config {
    config.set("/routes", json!([
{"name": "profile", "path": "/other/", "methods": ["GET"], "require": ["api_key"], "backend": "legacy"},
            {"name": "key", "path": "/admin", "methods": ["GET", "POST"], "require": ["api_key"], "backend": "legacy"},
            {"name": "open", "path": "/", "methods": ["GET", "POST"], "public": true, "backend": "legacy"},
        ]))
}

#[test]
fn no_spelling_of_a_closed_path_gets_through_an_open_route() {
    let (backend, gateway) = open_with_a_closed_corner();
    no_spelling_gets_through(&backend, &gateway);
}

#[test]
fn no_spelling_of_a_closed_path_gets_through_a_route_that_allows_all_noncanonical_forms() {
    let (backend, gateway) = world_with(|c| with_a_closed_corner(c).route("open", "allow_in_path", json!(ODD)));
    no_spelling_gets_through(&backend, &gateway);
    for spelling in [
        "/x%2f..%2fadmin",
        "/x%252f..%252fadmin",
        "/x;/..;/admin",
        "/adm%2569n",
        "/admin%252f",
        "/%2525252fadmin",
        "/x/%2e%2e;a/admin",
        "/admin.%2fx",
        "/admin%2520/x",
        "/admin%252e",
        "/admin.;x=1/y",
        "/admin::$DATA;x",
        "/admin%253a%2524x",
        "/x%25c0%25aey",
        "/x%25c2%2580y",
    ] {
        gateway.get(spelling).send().expect(400, "400-01");
    }
    backend.assert_untouched();
}

#[test]
fn a_route_can_allow_odd_paths_and_forwards_them_as_they_are() {
    let (backend, gateway) = world_with(|c| with_a_closed_corner(c).route("open", "allow_in_path", json!(ODD)));
    for path in
        ["/files/a%2Fb", "/files/a%5Cb", "/files/100%25", "/files;v=1/x;y", "/files//x///y/", "/files/a%3Bb?q=//;%2f"]
    {
        gateway.get(path).send().ok();
        assert_eq!(backend.last().target, path);
    }
    gateway.get("/files/%61%2fb").send().ok();
    assert_eq!(backend.last().target, "/files/a%2Fb");
    // Only what the route names, and only that route.
    let (backend, gateway) = world_with(|c| c.route("public", "allow_in_path", json!(["semicolon"])));
    gateway.get("/public/a;b").send().ok();
    backend.forget();
    for path in ["/public/a%2Fb", "/public/a//b", "/public/a;b%2Fc", "/public/a%25", "/me/a;b", "/public;/x"] {
        gateway.get(path).send().expect_one_of(&[400, 404]);
    }
    backend.assert_untouched();
}

#[test]
fn a_rewritten_path_is_below_its_new_prefix_or_refused() {
    let rewrite = json!({"strip_prefix": "/public", "add_prefix": "/v2/legacy"});
    let (backend, gateway) = world_with(|c| {
        c.route("public", "rewrite", rewrite).route("public", "allow_in_path", json!(["double_slash", "encoded_slash"]))
    });
    for (path, expected) in [
        ("/public/a/b?c=/public", "/v2/legacy/a/b?c=/public"),
        ("/public/", "/v2/legacy/"),
        ("/public/a%2Fb", "/v2/legacy/a%2Fb"),
        ("/public//a", "/v2/legacy//a"),
    ] {
        gateway.get(path).send().ok();
        assert_eq!(backend.last().target, expected);
    }
    let (backend, gateway) = world_with(|c| {
        c.route("public", "rewrite", json!({"strip_prefix": "/public"})).route(
            "public",
            "allow_in_path",
            json!(["double_slash", "encoded_slash"]),
        )
    });
    gateway.get("/public/a").send().ok();
    assert_eq!(backend.last().target, "/a");
    backend.forget();
    for path in ["/public//evil.test/x", "/public/%2Fevil.test", "/public/../x", "/public/%2e%2e/x"] {
        gateway.get(path).send().expect(400, "400-01");
    }
    backend.assert_untouched();
}

/// All forms that a route can allow.
const ODD: [&str; 8] = [
    "encoded_slash",
    "encoded_backslash",
    "encoded_percent",
    "semicolon",
    "double_slash",
    "trailing_dot",
    "trailing_space",
    "stream_name",
];

#[track_caller]
fn no_spelling_gets_through(backend: &Backend, gateway: &Gateway) {
    let spellings = [
        "/admin",
        "/admin/",
        "/admin/x",
        "/admin?x",
        "/%61dmin",
        "/%61%64%6d%69%6e",
        "/admin%2fx",
        "/admin%2Fx",
        "/x/../admin",
        "/x/%2e%2e/admin",
        "/x/.%2e/admin",
        "/./admin",
        "/%2e/admin",
        "//admin",
        "///admin/x",
        "/x//../admin",
        "/admin;x=1",
        "/admin;/x",
        "/;/admin",
        "/admin%3bx",
        "/admin%00",
        "/admin%00.css",
        "/%00/admin",
        "\\admin",
        "/\\admin",
        "/x\\..\\admin",
        "/%5cadmin",
        "/x/..%5cadmin",
        "/x/..%2fadmin",
        "/x/%252e%252e/admin",
        "/%2561dmin",
        "/%252fadmin",
        "/admin/..;/admin",
        "/x/..;/admin",
        "/admin/.",
        "/admin/..",
        "/admin/%2e",
        "/public/../../admin",
        "/admin#",
        "/admin#/../x",
        "/%",
        "/%a",
        "/%zz",
        "/admin%",
        "/adm\u{ed}n",
        "/admin\t",
        "/%u0061dmin",
        "/admin/%2e%2e/admin",
        "/x/../../admin",
        "/..",
        "/../admin",
        "/%09admin",
        "/admin%0a",
        "/admin%0d%0aX:y",
        "/admin%7f",
        "/...//admin",
        "/admin//",
        "/admin/%2f",
    ];
    let mut connection = gateway.connect();
    for spelling in spellings {
        backend.forget();
        let answer = gateway.get(spelling).try_on(&mut connection);
        match &answer {
            Ok(answer) => assert!(matches!(answer.status, 400 | 403), "{spelling:?}: {}", answer.status),
            Err(fault) => panic!("{spelling:?}: {fault:?}"),
        }
        backend.assert_untouched();
        if answer.is_ok_and(|a| a.close) {
            connection = gateway.connect();
        }
    }
}

#[test]
fn a_path_with_two_readings_is_400_01() {
    let (backend, gateway) = world();
    for tail in [
        "a//b",
        "a/./b",
        "a/../b",
        "a/%2e/b",
        "a/%2E%2e/b",
        "a%2fb",
        "a%5Cb",
        "a\\b",
        "a;b",
        "a%3bb",
        "a%00b",
        "a%0ab",
        "a%1fb",
        "a%7fb",
        "a%",
        "a%2",
        "a%gg",
        "a%252e",
        "a%2541",
        "a%25252f",
        "a/..",
        ".",
        "..",
        "...",
        "/",
    ] {
        let answer = gateway.get(&format!("/public/{tail}")).send();
        assert_eq!(answer.status, 400, "{tail:?}");
        assert_eq!(answer.code(), "400-01", "{tail:?}");
    }
    backend.assert_untouched();
}

#[test]
fn a_path_with_one_reading_is_forwarded_in_normal_form() {
    let (backend, gateway) = world();
    let table = [
        ("/public/a", "/public/a"),
        ("/public/", "/public/"),
        ("/public/%61%62-%7E%2D%5f", "/public/ab-~-_"),
        ("/publi%63/x", "/public/x"),
        ("/public/a%20b", "/public/a%20b"),
        ("/public/a+b", "/public/a+b"),
        ("/public/...a", "/public/...a"),
        ("/public/.well-known", "/public/.well-known"),
        ("/public/a:b@c!$&'()*,=", "/public/a:b@c!$&'()*,="),
        ("/public/x?a=%2f..%2f&b=//;%252e&c", "/public/x?a=%2f..%2f&b=//;%252e&c"),
        ("/public/x?", "/public/x?"),
        ("/public/x?a?b", "/public/x?a?b"),
    ];
    for (sent, expected) in table {
        let answer = gateway.get(sent).send();
        assert_eq!(answer.status, 200, "{sent}: {}", answer.text());
        let seen = backend.last().target;
        assert!(
            seen == expected || (expected.ends_with('?') && seen == expected.trim_end_matches('?')),
            "{sent} became {seen}"
        );
    }
    gateway.get("/public/%e2%82%ac").send().ok();
    assert_eq!(backend.last().target, "/public/%E2%82%AC");
}

#[test]
fn escapes_that_are_no_utf_8_are_400() {
    let (backend, gateway) = open_with_a_closed_corner();
    for path in ["/%c0%ae%c0%ae/admin", "/x/%c0%ae%c0%ae%c0%afadmin", "/admin%80", "/%ff"] {
        gateway.get(path).send().expect(400, "400-01");
    }
    backend.assert_untouched();
}

#[test]
fn raw_bytes_that_no_target_has_are_400() {
    let (backend, gateway) = world();
    for target in [
        "/public/x#y",
        "/public/x y",
        "/public/\u{e9}",
        "/public/x\u{7f}",
        "public/x",
        "?",
        "/public/x\u{1}",
        "*",
        "localhost:443",
        "/public/x?a=\u{e9}",
    ] {
        let answer = gateway.get(target).send();
        assert!(matches!(answer.status, 400 | 404 | 405), "{target:?}: {}", answer.status);
    }
    backend.assert_untouched();
}

#[test]
fn paths_over_http_2_are_judged_alike() {
    let (backend, gateway) = open_with_a_closed_corner();
    for path in ["/%61dmin", "/x/%2e%2e/admin", "/x/../admin", "//admin", "/admin;x", "/x%2fadmin"] {
        let request = http::Request::get(format!("https://localhost{path}")).body(()).unwrap();
        if let Ok(answer) = h2_client::send(gateway.address, request, b"", None) {
            assert!(matches!(answer.status().as_u16(), 400 | 403), "{path}: {}", answer.status());
        }
    }
    backend.assert_untouched();
}
