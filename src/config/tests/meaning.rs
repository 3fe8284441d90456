//! Checks across sections: names, lists, combinations.

use super::{Case, MAXIMAL, SHIPPED, assert_fine, assert_said, assert_warned, edited, only_problem, problems, read};
use crate::config::scalar::Duration;

#[test]
fn customers_of_a_login_without_an_issuer_need_a_tenant() {
    let text = r#"
listen: [ { address: "127.0.0.1:0" } ]
identifier: { key: { file: certs/identifier.key } }
login: { accounts: { file: accounts.yaml }, issue: cookie, cookie: { keys: [ { env: COOKIE_KEY } ] } }
routes: [ { name: a, path: /, methods: [ GET ], require: [ customer ], backend: b } ]
backends: { b: { servers: [ "http://127.0.0.1:9000" ] } }
"#;
    assert_said(text, &[("login:", "login:", "identifier", "there is neither")]);
    assert_fine(text, &[("identifier.key }", "identifier.key }, tenant: shop")]);
}

#[test]
fn lists_that_need_something_are_not_empty() {
    assert_said(
        MAXIMAL,
        &[
            ("audiences: [ legacy-api ]", "audiences: []", "trusted_issuers[0].audiences", "`audiences` is empty"),
            (
                "algorithms: [ RS256, EdDSA ]",
                "algorithms: []",
                "trusted_issuers[0].algorithms",
                "`algorithms` is empty",
            ),
            ("keys: [ { env: COOKIE_KEY } ]", "keys: []", "login.cookie.keys", "`keys` is empty"),
            ("routes: [ profile ]", "routes: []", "api_keys[0].routes", "`routes` is empty"),
            ("servers: [ \"http://other.internal\" ]", "servers: []", "backends.other.servers", "`servers` is empty"),
            (
                "    path: { exact: /exact }\n    methods: [ POST ]",
                "    path: { exact: /exact }\n    methods: []",
                "routes[1].methods",
                "`methods` is empty",
            ),
            ("[ bearer: true ]", "[]", "routes[1].customer_token_sources", "`customer_token_sources` is empty"),
        ],
    );
    let digest = "[ \"090d1548c9d65f413a1a2c828a0bee3a7ae02d2137caf51e6029e6c3cb1f1fa4\" ]";
    assert_said(MAXIMAL, &[(digest, "[]", "api_keys[0].sha256", "`sha256` is empty")]);
    let found = problems("listen: []\nroutes: []\nbackends: {}\n");
    let places: Vec<&str> = found.iter().map(|problem| problem.path.as_str()).collect();
    assert_eq!(places, ["listen", "routes", "backends"]);
    let found = problems(
        "listen: [ { address: 0.0.0.0:1, tls: { certificates: [] } } ]\nclients: [ { id: a, secrets: [] } ]\nroutes: []\nbackends: {}\n",
    );
    let places: Vec<&str> = found.iter().map(|problem| problem.path.as_str()).collect();
    assert_eq!(places, ["listen[0].tls.certificates", "clients[0].secrets", "routes", "backends"]);
}

#[test]
fn what_is_named_twice_names_both_lines() {
    let cases = [
        (
            "  - name: crm\n",
            "  - name: profile\n",
            "routes[1].name",
            "the route name `profile` is already used on line 56",
        ),
        ("127.0.0.1:9900", "127.0.0.1:8443", "admin.address", "the address `127.0.0.1:8443` is already used on line 7"),
        ("path: /crm/", "path: /account/", "routes[1].path", "POST /account/ is already the route on line 57"),
        (
            "# The keys for",
            "  - { id: asapp, secrets: [] }\n# The keys for",
            "clients[1].id",
            "the client id `asapp` is already used on line 41",
        ),
        (
            "# What may",
            "  - { id: asapp-demo, sha256: [], routes: [ profile ] }\n# What may",
            "api_keys[1].id",
            "the API key id `asapp-demo` is already used on line 48",
        ),
        (
            "# What may",
            "  - { id: b, sha256: [ \"090D1548C9D65F413A1A2C828A0BEE3A7AE02D2137CAF51E6029E6C3CB1F1FA4\" ], routes: [ profile ] }\n# What may",
            "api_keys[1].sha256[0]",
            "this digest is already used on line 50",
        ),
    ];
    assert_said(SHIPPED, &cases);
    assert_said(
        MAXIMAL,
        &[
            (
                "issuer: https://login.example.com",
                "issuer: https://api.example.com",
                "trusted_issuers[0].issuer",
                "the issuer `https://api.example.com` is already used on line",
            ),
            // Its secret would stand beside its public keys.
            (
                "issuer: https://old.example.com",
                "issuer: https://login.example.com",
                "trusted_issuers[3].issuer",
                "the issuer `https://login.example.com` is already used on line",
            ),
            ("claims: [ tier ]", "claims: [ tier, tier ]", "login.claims[1]", "the claim `tier` is already used"),
            (
                "[ \"http://other.internal\" ]",
                "[ \"http://other.internal\", \"http://other.internal\" ]",
                "backends.other.servers[1]",
                "the server `http://other.internal` is already used",
            ),
            ("path: /token\n  l", "path: /login\n  l", "access_token.path", "the path `/login` is already used"),
            ("require: [ customer ]", "require: [ customer, customer ]", "routes[1].require[1]", "twice"),
            (
                "[ bearer: true ]",
                "[ { bearer: true }, { bearer: true } ]",
                "routes[1].customer_token_sources[1]",
                "twice",
            ),
        ],
    );
    let same_port = "  - { address: 127.0.0.1:0 }\n  - { address: 127.0.0.1:0 }\nworkers: 4";
    assert_fine(MAXIMAL, &[("workers: 4", same_port)]);
}

#[test]
fn two_routes_for_different_requests_are_fine() {
    let second =
        |route: &str| format!("  - {{ name: second, {route}, require: [ client ], backend: legacy }}\n\n# The company");
    for (route, is_fine) in [
        ("path: /account/, methods: [ GET ]", true),
        ("path: { exact: /account/ }, methods: [ POST ]", true),
        ("path: /account, methods: [ POST ]", true),
        ("path: /account/, methods: [ POST ], hosts: [ a.example.com ]", true),
        ("path: /account/, methods: [ GET, POST ]", false),
    ] {
        let found = problems(&edited(SHIPPED, "\n# The company", &second(route)));
        assert_eq!(found.is_empty(), is_fine, "{route}:\n{found}");
    }
}

#[test]
fn names_that_lead_nowhere_are_found_with_a_suggestion() {
    let cases: [Case; 2] = [
        (
            "backend: legacy\n    path",
            "backend: legaci\n    path",
            "login.accounts.backend",
            "there is no backend `legaci`",
        ),
        ("backend: legacy\n    mode", "backend: legaci\n    mode", "routes[0].backend", "there is no backend `legaci`"),
    ];
    assert_said(MAXIMAL, &cases);
    for (from, to, path, _) in cases {
        let found = problems(&edited(MAXIMAL, from, to));
        let problem = found.iter().find(|problem| problem.path == path).unwrap();
        assert!(problem.help.starts_with("did you mean `"), "{problem}");
    }
}

#[test]
fn hashes_and_digests_are_what_they_should_be() {
    const HASH: &str =
        "\"$argon2id$v=19$m=19456,t=2,p=1$MSuy7LqkBdDsXNRHVJeyeQ$ULbjnN5ppPPge/imsBhjMuT0TvZQsQBKV5Ro6RxC5tk\"";
    const DIGEST: &str = "\"090d1548c9d65f413a1a2c828a0bee3a7ae02d2137caf51e6029e6c3cb1f1fa4\"";
    assert_said(
        SHIPPED,
        &[
            (HASH, "demo-secret", "clients[0].secrets[0]", "not a password hash"),
            (
                HASH,
                "$argon2i$v=19$m=19456,t=2,p=1$MSuy7LqkBdDsXNRHVJeyeQ$ULbjnN5ppPPge",
                "clients[0].secrets[0]",
                "not a password hash (argon2id)",
            ),
            (
                HASH,
                "$argon2id$v=16$m=19456,t=2,p=1$MSuy7LqkBdDsXNRHVJeyeQ$ULbjnN5ppPPge",
                "clients[0].secrets[0]",
                "version 19",
            ),
            (
                HASH,
                "$argon2id$v=19$m=19455,t=2,p=1$MSuy7LqkBdDsXNRHVJeyeQ$ULbjnN5ppPPge",
                "clients[0].secrets[0]",
                "too weak",
            ),
            (
                HASH,
                "$argon2id$v=19$m=19456,t=1,p=1$MSuy7LqkBdDsXNRHVJeyeQ$ULbjnN5ppPPge",
                "clients[0].secrets[0]",
                "too weak",
            ),
            (
                HASH,
                "$argon2id$v=19$m=4294967295,t=2,p=1$MSuy7LqkBdDsXNRHVJeyeQ$ULbjnN5ppPPge",
                "clients[0].secrets[0]",
                "too long",
            ),
            (HASH, "$argon2id$v=19$m=19456,t=2,p=1$MSuy7LqkBdDsXNRHVJeyeQ$ULbj", "clients[0].secrets[0]", "too short"),
            (
                HASH,
                "$argon2id$v=19$t=2,p=1$MSuy7LqkBdDsXNRHVJeyeQ$ULbjnN5ppPPge",
                "clients[0].secrets[0]",
                "parameters",
            ),
            (HASH, "$argon2id$v=19$m=19456,t=2,p=1", "clients[0].secrets[0]", "not complete"),
            (DIGEST, "demo-key", "api_keys[0].sha256[0]", "not a SHA-256"),
            (DIGEST, "\"090d\"", "api_keys[0].sha256[0]", "not a SHA-256"),
        ],
    );
    assert_said(
        MAXIMAL,
        &[(
            "    scopes: [ profile ]\n  - id",
            "    scopes: [ \"a b\" ]\n  - id",
            "clients[0].scopes[0]",
            "visible ASCII",
        )],
    );
}

#[test]
fn a_digest_of_what_anybody_guesses_is_refused() {
    const DIGEST: &str = "090d1548c9d65f413a1a2c828a0bee3a7ae02d2137caf51e6029e6c3cb1f1fa4";
    const HEADER_DIGEST: &str = "ee7aded09dee9c268fd9cd381a514e09a1975e4eb1b8baeee943fb2a084f59e0";
    // Nothing, `password`, and `changeme` as `echo` writes it.
    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    const PASSWORD: &str =
        "\"5e884898da28047151d0e56f8dc6292773603d0d6aabbdd62a11ef721d1542d8 until 2036-12-01T00:00:00Z\"";
    const LINE: &str = "41EDF6E61ED42A3C6848B0AE91DDC5662377C09A3ED38FCD9F9E82664294BCFD";
    assert_said(SHIPPED, &[(DIGEST, EMPTY, "api_keys[0].sha256[0]", "anybody guesses")]);
    assert_said(
        MAXIMAL,
        &[
            (HEADER_DIGEST, PASSWORD, "clients[0].header_secrets[0]", "anybody guesses"),
            (HEADER_DIGEST, LINE, "clients[0].header_secrets[0]", "anybody guesses"),
        ],
    );
}

#[test]
fn a_client_proves_itself_by_something_and_never_by_what_others_can_make() {
    const JWKS: &str = "    jwks: { file: client-jwks.json }\n";
    const ALGORITHMS: &str = "algorithms: [ ES256, PS256 ]";
    assert_said(
        MAXIMAL,
        &[
            (ALGORITHMS, "algorithms: []", "clients[0].algorithms", "`algorithms` is empty"),
            (ALGORITHMS, "algorithms: [ ES256, HS256 ]", "clients[0].algorithms[1]", "signs with a secret"),
            (JWKS, "", "clients[0].algorithms", "has no `jwks`"),
            ("assertion_lifetime: 1m", "assertion_lifetime: 2h", "clients[0].assertion_lifetime", "for too long"),
            ("assertion_lifetime: 1m", "assertion_lifetime: 0s", "clients[0].assertion_lifetime", "no time at all"),
            ("lifetime: 15m", "lifetime: 9601h", "clients[0].lifetime", "400 days"),
            ("[ https://reports.example.com ]", "[ \" \" ]", "clients[0].audiences[0]", "is empty"),
        ],
    );
    let text = "listen: [ { address: \"127.0.0.1:0\" } ]\nissuer: { url: https://a.example, audience: a, signing_keys: keys }\nclients: [ { id: a, jwks: https://b.example/keys } ]\n\
        routes: [ { name: r, path: /, methods: [ GET ], public: true, backend: b } ]\nbackends: { b: { servers: [ \"http://127.0.0.1:9000\" ] } }\n";
    assert_said(
        text,
        &[
            ("https://b.example/keys", "http://b.example/keys", "clients[0].jwks", "changed on their way"),
            (
                "issuer: { url: https://a.example, audience: a, signing_keys: keys }",
                "",
                "clients[0].jwks",
                "no `issuer`",
            ),
            ("public: true", "public: true, audience: a", "routes[0].audience", "does not require `client`"),
        ],
    );
    // Whoever takes a stolen key out is not kept from it.
    assert_warned(text, &[("jwks: https://b.example/keys", "scopes: []", "clients[0]", "nothing says how")]);
    assert_fine(text, &[("https://b.example/keys", "http://127.0.0.1:9001/keys")]);
    assert_fine(text, &[("https://b.example/keys", "http://b.example/keys, danger_plaintext: true")]);
}

#[test]
fn a_wrong_value_does_not_hide_or_invent_other_problems() {
    let text = SHIPPED
        .replace("require: [ client, customer ]", "require: [ clientt, customr ]")
        .replace("    backend: legacy\n\n  - name", "\n  - name")
        .replace("127.0.0.1:9000", "10.0.0.1:9000");
    let found = problems(&text);
    let mut places: Vec<&str> = found.iter().map(|problem| problem.path.as_str()).collect();
    places.sort_unstable();
    assert_eq!(
        places,
        ["backends.legacy.servers[0]", "routes[0].backend", "routes[1].require[0]", "routes[1].require[1]"]
    );
}

#[test]
fn proxies_that_ask_need_a_path_of_their_own_and_networks() {
    let with =
        |forward_auth: &str| edited(SHIPPED, "\nbackends:\n", &format!("\nforward_auth: {forward_auth}\nbackends:\n"));
    let found = problems(&with("{}"));
    assert!(found.is_empty(), "{found}");
    for (forward_auth, path) in [
        ("{ allow: [] }", "forward_auth.allow"),
        ("{ path: decide }", "forward_auth.path"),
        ("{ path: /oauth/introspect }", "forward_auth.path"),
        ("{ path: /oauth/access_token }", "forward_auth.path"),
        ("{ path: /crm/ }", "routes[1].path"),
    ] {
        assert_eq!(only_problem(&with(forward_auth)).path, path, "{forward_auth}");
    }
    let plain = problems(&edited(&with("{ grpc: true }"), "    tls:", "    tlx:"));
    assert!(plain.iter().any(|problem| problem.path == "forward_auth.grpc"), "{plain}");
}

#[test]
fn the_default_idle_timeout_is_longer_than_that_of_load_balancers() {
    let (config, _) = read(SHIPPED).unwrap();
    assert!(config.raw().listen[0].limits.idle_timeout > Duration::seconds(60));
}

#[test]
fn a_client_that_gets_codes_has_right_addresses_and_one_proof() {
    const URIS: &str = "    redirect_uris: [ https://www.example.com/callback ]\n";
    const PUBLIC: &str = "    public: false\n    pkce: optional\n";
    assert_said(
        MAXIMAL,
        &[
            (URIS, "    redirect_uris: [ http://www.example.com/cb ]\n", "clients[0].redirect_uris[0]", "plain http"),
            (URIS, "    redirect_uris: [ https://a.test/, https://a.test/ ]\n", "clients[0].redirect_uris[1]", "line"),
            (URIS, "", "clients[0].pkce", "no `redirect_uris`"),
            (PUBLIC, "    public: true\n", "clients[0].secrets", "proves itself by nothing"),
            (PUBLIC, "    public: true\n    pkce: optional\n", "clients[0].pkce", "whoever sees a code"),
            ("title: Log in to Example", "title: \"\"", "login.page.title", ""),
        ],
    );
    let route =
        "\n  - { name: own, path: /oauth/authorize, methods: [ GET ], public: true, backend: legacy }\nbackends:\n";
    let found = problems(&edited(SHIPPED, "\nbackends:\n", route));
    assert!(found.is_empty(), "where no client gets codes the path is free: {found}");
    assert!(
        problems(&edited(MAXIMAL, "\nbackends:\n", route)).iter().any(|problem| problem.message.contains("itself"))
    );
}
