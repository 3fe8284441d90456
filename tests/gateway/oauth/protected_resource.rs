//! Metadata of protected resources (RFC 9728).

use crate::harness::*;

const ROOT: &str = "/.well-known/oauth-protected-resource";

fn world_of(change: impl FnOnce(Config) -> Config) -> (Backend, Gateway) {
    world_with(|c| {
        let tools = json!({
            "name": "tools", "path": "/mcp", "methods": ["GET", "POST"], "require": ["client"], "scopes": ["profile"],
            "backend": "legacy", "resource_metadata": true,
        });
        change(c.route("system", "resource_metadata", json!(true)).add_route(tools))
    })
}

#[test]
fn an_agent_finds_out_where_to_get_a_token_and_gets_in() {
    let (_backend, gateway) = world_of(|c| c);
    let refused = gateway.post("/mcp").send().expect(401, "401-10");
    let challenge = refused.header("WWW-Authenticate").unwrap();
    assert_eq!(
        challenge,
        r#"Bearer resource_metadata="https://gateway.test/.well-known/oauth-protected-resource/mcp""#
    );
    let answer = gateway.get(&format!("{ROOT}/mcp")).send().ok();
    assert_eq!(answer.header("Content-Type"), Some("application/json"));
    assert_eq!(answer.header("Cache-Control"), Some("public, max-age=300"));
    assert_eq!(answer.header("Access-Control-Allow-Origin"), Some("*"));
    assert_eq!(
        answer.json(),
        json!({
            "resource": "https://gateway.test/mcp", "authorization_servers": ["https://gateway.test"],
            "bearer_methods_supported": ["header"], "scopes_supported": ["profile"],
        })
    );
    // RFC 8414: what that issuer says of itself.
    let server = gateway.get("/.well-known/oauth-authorization-server").send().ok().json();
    assert_eq!(
        (&server["issuer"], &server["token_endpoint"]),
        (&json!("https://gateway.test"), &json!("https://gateway.test/oauth/access_token"))
    );
    let token = gateway.token(CLIENT);
    gateway.post("/mcp").bearer(&token).send().ok();
    let weak = gateway.token(OTHER_CLIENT);
    let refused = gateway.post("/mcp/x").bearer(&weak).send().expect(403, "403-02");
    let challenge = refused.header("WWW-Authenticate").unwrap();
    let told = r#"error="insufficient_scope", scope="profile", resource_metadata="https://gateway.test/"#;
    assert!(challenge.contains(told), "{challenge}");
    let refused = gateway.post("/mcp").bearer("a.b.c").send();
    let challenge = refused.header("WWW-Authenticate").unwrap();
    assert!(challenge.starts_with(r#"Bearer error="invalid_token", resource_metadata="https://"#), "{challenge}");
}

#[test]
fn the_resource_that_is_published_is_a_name_of_its_audience_at_the_token_endpoint() {
    let (_backend, gateway) =
        world_of(|c| c.route("system", "audience", json!("apart")).set("/clients/0/audiences", json!(["apart"])));
    let ask = |client: Account, resource: &str| {
        let form = format!("client_id={}&client_secret={}&resource={resource}", client.name, client.secret);
        gateway.post("/oauth/access_token?grant_type=client_credentials").form(&form).send()
    };
    for path in ["/mcp", "/mcp/", "", "/"] {
        let answer = ask(CLIENT, &format!("https://gateway.test{path}")).ok().json();
        gateway.post("/mcp").bearer(answer["access_token"].as_str().unwrap()).send().ok();
    }
    let answer = ask(CLIENT, "https://gateway.test/system/").ok().json();
    gateway.get("/system/x").bearer(answer["access_token"].as_str().unwrap()).send().ok();
    // A client without the audience, a route that publishes nothing, another host.
    for (client, resource) in [
        (OTHER_CLIENT, "https://gateway.test/system/"),
        (CLIENT, "https://gateway.test/me/"),
        (CLIENT, "https://else.test/mcp"),
    ] {
        let answer = ask(client, resource);
        assert_eq!((answer.status, &answer.json()["error"]), (400, &json!("invalid_target")), "{resource}");
    }
}

#[test]
fn each_path_has_its_document_and_the_root_has_that_of_all() {
    let (_backend, gateway) = world_of(|c| c.route("system", "dpop", json!("required")));
    let resource = |path: &str| gateway.get(&format!("{ROOT}{path}")).send().ok().json();
    for path in ["/mcp", "/mcp/", "/system/", "/system"] {
        assert_eq!(resource(path)["resource"], format!("https://gateway.test{path}"), "as it was asked (section 3.3)");
    }
    assert_eq!(resource("/system/")["dpop_bound_access_tokens_required"], true);
    assert_eq!(resource("/system/")["scopes_supported"], Value::Null);
    let whole = resource("");
    assert_eq!(whole["resource"], "https://gateway.test");
    assert_eq!(whole["scopes_supported"], json!(["profile"]));
    assert_eq!(whole["dpop_bound_access_tokens_required"], false, "one of them takes others");
    // Routes that publish nothing have none.
    for path in ["/me/", "/me", "/mcp/deeper", "/nothing"] {
        gateway.get(&format!("{ROOT}{path}")).send().expect(404, "404-01");
    }
    gateway.post(ROOT).send().expect(405, "405-01");
    let refused = gateway.get("/me/x").send().expect(401, "401-10");
    assert_eq!(refused.header("WWW-Authenticate"), Some("Bearer"));
}

#[test]
fn no_caller_chooses_the_host_that_the_metadata_names() {
    let (_backend, gateway) = world_of(|c| c.limit("head", json!("16KiB")));
    for host in ["evil.example", "evil.example:8443", "127.0.0.1"] {
        let answer = gateway.get(&format!("{ROOT}/mcp")).replace("Host", host).send().ok();
        assert!(!answer.text().contains(host.split(':').next().unwrap()), "{}", answer.text());
        assert_eq!(answer.json()["resource"], "https://gateway.test/mcp");
        let refused = gateway.post("/mcp").replace("Host", host).send().expect(401, "401-10");
        assert!(refused.header("WWW-Authenticate").unwrap().contains("https://gateway.test/"));
    }
}

#[test]
fn a_listener_publishes_only_what_it_serves() {
    let (_backend, gateway) = world_of(|c| {
        let tls = c.yaml["listen"][0]["tls"].clone();
        let inner = json!({"name": "inner", "address": "127.0.0.1:0", "tls": tls});
        let outer = json!({"name": "outer", "address": "127.0.0.1:0", "tls": tls});
        c.set("/listen", json!([outer, inner])).route("tools", "listen", json!(["inner"]))
    });
    gateway.get(&format!("{ROOT}/mcp")).send().expect(404, "404-01");
    assert_eq!(gateway.get(ROOT).send().ok().json()["scopes_supported"], Value::Null);
}

#[test]
fn a_customers_route_that_takes_bearer_tokens_says_so_to_oauth_clients() {
    let (_backend, gateway) = world_of(|c| {
        c.route("me", "customer_token_sources", json!([{"bearer": true}])).route("me", "resource_metadata", json!(true))
    });
    let address = r#"resource_metadata="https://gateway.test/.well-known/oauth-protected-resource/me/""#;
    let refused = gateway.get("/me/x").bearer("a.b.c").send();
    assert_eq!((refused.status, refused.code().as_str()), (401, "401-03"));
    assert_eq!(
        refused.all("WWW-Authenticate"),
        [format!(r#"JWT realm="customer", error="invalid_token", {address}"#), format!("Bearer {address}")]
    );
    gateway.get("/me/x").bearer(&gateway.customer_token()).send().ok();
}

#[test]
fn check_says_what_metadata_of_a_resource_needs() {
    let config = || Config::new(&Backend::start()).route("system", "resource_metadata", json!(true));
    for (config, said) in [
        (config().set("/issuer/url", json!("http://127.0.0.1:8080")), "`issuer.url` is none"),
        (config().without("/issuer").without("/login").without("/access_token"), "there is no `issuer`"),
        (config().route("system", "hosts", json!(["other.test"])), "which is not one of `hosts`"),
        (Config::new(&Backend::start()).route("public", "resource_metadata", json!(true)), "takes no token"),
        (config().route("public", "path", json!(ROOT)), "answered by the gateway itself"),
    ] {
        let complained = gateway::Workspace::new(&config).fails(&["check"]);
        assert!(complained.contains(said), "{said}: {complained}");
    }
    gateway::Workspace::new(&config().route("system", "hosts", json!(["gateway.test", "b.test"]))).succeeds(&["check"]);
}
