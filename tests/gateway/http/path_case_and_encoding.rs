//! Paths: overlong escapes, endings that Windows drops, letter case.

use crate::harness::*;

/// Everything below /r/ is open but /r/admin/, on one backend.
fn with_a_closed_room(config: Config) -> Config {
    let route = |name: &str, path: &str| json!({"name": name, "path": path, "methods": ["GET"], "backend": "legacy"});
    let (mut open, mut closed) = (route("open", "/r/"), route("key", "/r/admin/"));
    open["public"] = json!(true);
    closed["require"] = json!(["api_key"]);
    let mut other = route("profile", "/other/");
    other["require"] = json!(["api_key"]);
    config.set("/routes", json!([open, closed, other]))
}

const DROPPED: [&str; 3] = ["trailing_dot", "trailing_space", "stream_name"];

#[test]
fn paths_that_a_backend_could_take_for_a_closed_one_are_400() {
    let (backend, gateway) = world_with(with_a_closed_room);
    for path in [
        "/r/%C0%AE%C0%AE/r/admin/x",
        "/r/x/..%C0%AFadmin/",
        "/r/%E0%80%AE/x",
        "/r/%F0%80%80%AE/x",
        "/r/%ff",
        "/r/caf%e9",
        "/r/%ED%A0%80",
        "/r/admin%20/x",
        "/r/admin./x",
        "/r/admin%2E/x",
        "/r/admin.",
        "/r/admin%20",
        "/r/admin%20.%20/x",
        "/r/.%20./x",
        "/r/%20../x",
        "/r/...",
        "/r/admin::$INDEX_ALLOCATION/x",
        "/r/admin:$i30:$INDEX_ALLOCATION/x",
        "/r/admin%3A%3a%24INDEX_ALLOCATION/x",
        "/r/x.txt::$DATA",
        "/r/a%C2%80b",
        "/r/a%C2%9fb",
    ] {
        let answer = gateway.get(path).send();
        assert_eq!((answer.status, answer.code().as_str()), (400, "400-01"), "{path}");
    }
    backend.assert_untouched();
    for path in ["/r/a.b", "/r/.a", "/r/a%20b", "/r/%20a", "/r/a:b", "/r/a$:b", "/r/caf%C3%A9", "/r/%C2%A0a", "/r/~a"] {
        gateway.get(path).send().ok();
        assert_eq!(backend.last().target, path);
    }
}

#[test]
fn a_route_can_allow_what_windows_drops_but_for_its_own_paths_alone() {
    let (backend, gateway) = world_with(|c| with_a_closed_room(c).route("open", "allow_in_path", json!(DROPPED)));
    for path in ["/r/a./b", "/r/a%20/b", "/r/f.txt::$DATA", "/r/etc.", "/r/a.%20./b"] {
        gateway.get(path).send().ok();
        assert_eq!(backend.last().target, path);
    }
    backend.forget();
    for path in [
        "/r/admin./x",
        "/r/admin%20/x",
        "/r/admin.%20./x",
        "/r/admin::$INDEX_ALLOCATION/x",
        "/r/admin.::$INDEX_ALLOCATION/x",
        "/r/admin%20%3A%24x/y",
        "/r/.%20./x",
        "/r/.../x",
        "/r/%20./x",
        "/r/..::$INDEX_ALLOCATION/admin/",
        "/r/%C0%AE/x",
        "/other/a.",
    ] {
        gateway.get(path).send().expect(400, "400-01");
    }
    backend.assert_untouched();
}

#[test]
fn an_escaped_letter_of_a_path_leads_to_its_route() {
    let (backend, gateway) = world_with(|c| {
        let c = with_a_closed_room(c);
        c.set("/routes/1/path", json!("/r/a$b@c!/"))
    });
    for path in ["/r/a$b@c!/x", "/r/a%24b@c!/x", "/r/a$b%40c%21/x"] {
        gateway.get(path).send().expect_one_of(&[401, 403]);
    }
    backend.assert_untouched();
    gateway.get("/r/a%24b/x").send().ok();
    assert_eq!(backend.last().target, "/r/a%24b/x");
}

#[test]
fn without_ignores_case_another_letter_case_is_another_path() {
    let (backend, gateway) = world_with(with_a_closed_room);
    gateway.get("/r/Admin/x").send().ok();
    assert_eq!(backend.last().target, "/r/Admin/x");
    gateway.get("/R/x").send().expect(404, "404-01");
}

#[test]
fn where_the_backend_ignores_case_so_do_the_routes() {
    let (backend, gateway) = world_with(|c| {
        let second = c.yaml["backends"]["legacy"].clone();
        with_a_closed_room(c)
            .set("/backends/legacy/ignores_case", json!(true))
            .set("/backends/second", second)
            .add_route(json!({"name": "exact", "path": "/r/Exact/", "methods": ["GET"], "public": true, "backend": "second"}))
            .add_route(json!({"name": "greek", "path": "/r/k/", "methods": ["GET"], "require": ["client"], "backend": "legacy"}))
    });
    for path in ["/r/Admin/x", "/R/ADMIN/x", "/r/%41dmin/x", "/r/K/x", "/r/%E2%84%AA/x"] {
        gateway.get(path).send().expect_one_of(&[401, 403]);
    }
    // The path of a route of a backend that does not ignore case, in another case, on one that does.
    gateway.get("/r/eXact/x").send().expect(400, "400-01");
    // The same with the gateway's own endpoints.
    gateway.request("GET", "/AUTH/customer_authenticate").send().expect(404, "404-01");
    backend.assert_untouched();
    for path in ["/r/x", "/R/Some/Thing", "/r/Exact/x"] {
        gateway.get(path).send().ok();
        assert_eq!(backend.last().target, path, "what is forwarded is what was asked for");
    }
}

#[test]
fn a_wide_route_of_a_backend_that_ignores_case_takes_no_password_away() {
    let (backend, gateway) = world_with(|c| {
        let c = with_a_closed_room(c).set("/backends/legacy/ignores_case", json!(true));
        c.add_route(
            json!({"name": "all", "path": "/", "methods": ["GET", "POST"], "public": true, "backend": "legacy"}),
        )
    });
    let form = gateway.login_request(ALICE.name, ALICE.secret);
    form.send().ok();
    let other = Request { target: "/Auth/Customer_Authenticate".to_owned(), ..form };
    other.send().expect(400, "400-01");
    backend.assert_untouched();
    gateway.get("/Anything").send().ok();
}

#[test]
fn a_rewrite_finds_its_prefix_in_any_case_and_in_escapes() {
    let (backend, gateway) = world_with(|c| {
        c.set("/backends/legacy/ignores_case", json!(true)).route("public", "path", json!("/my$public/")).route(
            "public",
            "rewrite",
            json!({"strip_prefix": "/my$public", "add_prefix": "/v2"}),
        )
    });
    for path in ["/my$public/A", "/My$Public/A", "/my%24PUBLIC/A"] {
        gateway.get(path).send().ok();
        assert_eq!(backend.last().target, "/v2/A");
    }
}

#[test]
fn two_routes_that_differ_in_case_alone_are_one_where_the_backend_ignores_it() {
    let backend = Backend::start();
    let add = |c: Config| {
        c.add_route(
            json!({"name": "again", "path": "/Public/", "methods": ["GET"], "public": true, "backend": "legacy"}),
        )
    };
    let config = add(Config::new(&backend));
    let said = |config: &Config| gateway::Workspace::new(config).run(&["check", "--config", "gateway.yaml"]);
    assert_eq!(said(&config).0, 0, "{:?}", said(&config));
    let (code, out, err) = said(&config.set("/backends/legacy/ignores_case", json!(true)));
    assert!(code != 0 && format!("{out}{err}").contains("is already the route on line"), "{out}{err}");
}

#[test]
fn a_host_with_a_final_dot_finds_the_routes_of_that_host() {
    let (backend, gateway) = world_with(|c| {
        with_a_closed_room(c).route("key", "hosts", json!(["admin.example.com"])).route("key", "path", json!("/r/"))
    });
    gateway.get("/r/x").send().ok();
    backend.forget();
    for host in ["admin.example.com", "ADMIN.example.com", "admin.example.com.", "Admin.Example.Com.:8443"] {
        gateway.get("/r/x").replace("Host", host).send().expect_one_of(&[401, 403]);
    }
    for host in ["admin.example.com..", ".", ".admin.example.com", "admin..example.com"] {
        gateway.get("/r/x").replace("Host", host).send().expect(400, "400-01");
    }
    backend.assert_untouched();
}

#[test]
fn a_slash_at_the_end_more_or_less_leads_into_the_closed_room_and_not_past_it() {
    let (backend, gateway) = world_with(|config| {
        let mut config = with_a_closed_room(config);
        let exact = json!({"name": "pay", "path": {"exact": "/r/pay"}, "methods": ["POST"], "require": ["client"], "backend": "legacy"});
        let open = json!({"name": "fine", "path": {"exact": "/r/lobby/"}, "methods": ["GET"], "public": true, "backend": "legacy"});
        config.yaml["routes"].as_array_mut().unwrap().extend([exact, open]);
        config
    });
    for path in ["/r/admin", "/r/admin/"] {
        gateway.get(path).send().expect(403, "403-01");
    }
    for path in ["/r/pay", "/r/pay/"] {
        gateway.post(path).send().expect(401, "401-10");
        gateway.get(path).send().expect(405, "405-01");
    }
    backend.assert_untouched();
    for path in ["/r/lobby", "/r/lobby/", "/r/adminx", "/r/x", "/r/x/"] {
        gateway.get(path).send().ok();
        assert_eq!(backend.last().target, path);
    }
}
