//! Checks of `routes`.

use super::{MAXIMAL, SHIPPED, assert_fine, assert_said, assert_warned, edited, problems};

#[test]
fn a_route_requires_only_what_exists() {
    assert_said(
        SHIPPED,
        &[
            (
                "    require: [ client, customer ]\n",
                "",
                "routes[1].require",
                "a protected route without any requirement",
            ),
            (
                "    require: [ client, customer ]\n",
                "    require: []\n",
                "routes[1].require",
                "a protected route without any requirement",
            ),
            (
                "    require: [ client, customer ]\n",
                "    require: [ client ]\n    public: true\n",
                "routes[1].public",
                "public and requires",
            ),
            (
                "    require: [ client, customer ]\n",
                "    require: [ customer ]\n",
                "routes[1].scopes",
                "does not require `client`",
            ),
            (
                "    require: [ client, customer ]\n",
                "    require: [ client ]\n",
                "routes[1].identifier",
                "does not require `customer`",
            ),
        ],
    );
    let without_identifier = MAXIMAL
        .replace("identifier:\n  key: { file: identifier.key }\n  mode: traceable\n  tenant: example\n", "")
        .replace("login:\n  path: /login\n", "unknown:\n  path: /login\n");
    let found = problems(&without_identifier);
    assert!(found.iter().any(|problem| problem.message.contains("there is no `identifier`")), "{found}");
    let public = "  - { name: open, path: /open, methods: [ GET ], public: true, backend: legacy }\n\n# The company";
    assert_fine(SHIPPED, &[("\n# The company", public)]);
}

#[test]
fn an_identifier_has_one_safe_place() {
    for header in [
        "Host",
        "content-length",
        "Connection",
        "transfer-encoding",
        "Authorization",
        "api-key",
        "customer-auth",
        "Cookie",
        "set-cookie",
        "TE",
        "upgrade",
        "keep-alive",
        "proxy-connection",
        "x-request-id",
        "X Customer",
        "\"\"",
        "\"a\\r\\nb\"",
        "Kündin",
    ] {
        let found = problems(&edited(SHIPPED, "header: X-Customer-Id", &format!("header: {header}")));
        assert!(found.iter().any(|problem| problem.path == "routes[0].identifier.header"), "{header}:\n{found}");
    }
    assert_said(
        SHIPPED,
        &[
            ("{ header: X-Customer-Id }", "{ header: X-A, body: /a }", "routes[0].identifier", "side by side"),
            ("{ header: X-Customer-Id }", "{ send: identifier }", "routes[0].identifier", "nothing says where"),
            ("{ body: /customer/id }", "{ body: customer.id }", "routes[1].identifier.body", "JSON pointer"),
            ("{ body: /customer/id }", "{ body: / }", "routes[1].identifier.body", "JSON pointer"),
            ("{ body: /customer/id }", "{ body: /a~2 }", "routes[1].identifier.body", "0 or 1"),
        ],
    );
    assert_said(MAXIMAL, &[("mode: traceable", "mode: one_way", "routes[0].identifier.send", "traceable")]);
}

#[test]
fn an_identifier_in_a_form_or_query_has_a_plain_name_and_one_in_a_path_a_template() {
    let target = "target: \"/v1/customers/{customer}{rest}\"";
    let from = "from: \"/customers/{customer}{rest}\"";
    assert_said(
        MAXIMAL,
        &[
            ("{ form: customer_id }", "{ form: \"customer[id]\" }", "routes[4].identifier.form", "plain name"),
            ("{ form: customer_id }", "{ form: a, query: b, path: c }", "routes[4].identifier", "`form` and `query`"),
            ("{ query: customer_id }", "{ query: \"\" }", "routes[5].identifier.query", "plain name"),
            ("{ path: customer }", "{ path: rest }", "routes[6].identifier.path", "other than `rest`"),
            ("{ path: customer }", "{ header: X-A }", "routes[6].rewrite", "`identifier` is elsewhere"),
            (target, "add_prefix: /v1", "routes[6].identifier.path", "nothing says into which"),
            (target, "target: /v1", "routes[6].rewrite.target", "`{customer}` is missing"),
            (target, "target: \"/v1/{customer}.json{rest}\"", "routes[6].rewrite.target", "whole segment"),
            (target, "target: \"/a%20b/{customer}{rest}\"", "routes[6].rewrite.target", "plain form"),
            (target, "target: \"/v1/{customer}\"", "routes[6].rewrite.target", "all paths below"),
            (from, "from: \"/customers/{customer}\"", "routes[6].rewrite.target", "nothing can stand behind"),
            (from, "from: \"/others/{customer}{rest}\"", "routes[6].rewrite.from", "do not begin so"),
            (from, "strip_prefix: /customers", "routes[6].rewrite", "beside it"),
            ("{ path: customer }\n", "{ path: customer }\n    mode: observe\n", "routes[6].mode", "mode observe"),
            (
                "    methods: [ POST ]\n    require: [ \"customer\" ]\n    identifier: { form: customer_id }\n",
                "    methods: [ GET ]\n    websocket: true\n    require: [ \"customer\" ]\n    identifier: { form: customer_id }\n",
                "routes[4].websocket",
                "without a body",
            ),
            ("  - name: query\n", "  - name: query\n    listen: [ asked ]\n", "routes[5].listen[0]", "listener"),
        ],
    );
    let asked = "  - address: 0.0.0.0:8081\n";
    let own = "  - { name: asked, address: 127.0.0.1:8082, forward_auth: true }\n  - address: 0.0.0.0:8081\n";
    let there = edited(&edited(MAXIMAL, asked, own), "  - name: query\n", "  - name: query\n    listen: [ asked ]\n");
    let found = problems(&there);
    let place = "routes[5].identifier";
    assert!(found.iter().any(|it| it.path == place && it.message.contains("no other place")), "{found}");
}

#[test]
fn a_field_is_filled_only_with_what_can_be_proved_on_its_routes() {
    let value = "X-Verified: \"${claims.email_verified}\"";
    let at = "routes[0].request_headers.set.X-Verified";
    assert_said(
        MAXIMAL,
        &[
            (value, "X-Verified: \"${header.x}\"", at, "none of ${client.id}, ${api_key.id}"),
            (value, "X-Verified: \"${client.id\"", at, "ends with"),
            (value, "X-Verified: \"${claims.email}\"", at, "no issuer lets backends know the claim `email`"),
            (
                "    dpop: required\n",
                "    dpop: required\n    request_headers: { set: { X-Key: \"${api_key.id}\" } }\n",
                "routes[3].request_headers.set.X-Key",
                "never proved here: no such route requires `api_key`",
            ),
            (
                "X-Zone: eu }, remove: [ X-Trace ]",
                "X-Zone: \"${claims.none}\" }, remove: [ X-Trace ]",
                "backends.legacy.request_headers.set.X-Zone",
                "no issuer",
            ),
            (
                "forward_claims: [ \"tier\" ]",
                "forward_claims: [ tiers ]",
                "login.forward_claims[0]",
                "there is no claim",
            ),
            ("  issue: both\n", "  issue: cookie\n", "login.forward_claims[0]", "session cookie has no claims"),
            (
                "forward_claims: [ email_verified,",
                "forward_claims: [ tier, tier,",
                "trusted_issuers[0].forward_claims[1]",
                "claim",
            ),
        ],
    );
    let literal = edited(MAXIMAL, value, "X-Verified: \"$${claims.x} $ $$\"");
    assert_eq!(problems(&literal).to_string(), "");
}

#[test]
fn a_customers_token_has_possible_places() {
    assert_said(
        MAXIMAL,
        &[
            (
                "header: { name: X-Token, scheme: JWT }",
                "bearer: true",
                "routes[0].customer_token_sources[0]",
                "both the customer's and the client's",
            ),
            ("- session: true", "- session: false", "routes[0].customer_token_sources[1]", "names no place"),
            ("[ bearer: true ]", "[ bearer: false ]", "routes[1].customer_token_sources[0]", "names no place"),
            (
                "- cookie: token",
                "- cookie: a b",
                "routes[0].customer_token_sources[2].cookie",
                "not the name of a cookie",
            ),
            (
                "- cookie: token",
                "- cookie: session",
                "routes[0].customer_token_sources[2].cookie",
                "is the session cookie",
            ),
            ("- body: /token", "- body: token", "routes[0].customer_token_sources[3].body", "JSON pointer"),
            (
                "name: X-Token",
                "name: Authorization",
                "routes[0].customer_token_sources[0].header.name",
                "meaning of its own",
            ),
            (
                "name: X-Token",
                "name: X Token",
                "routes[0].customer_token_sources[0].header.name",
                "not the name of a header",
            ),
            ("scheme: JWT", "scheme: \"a b\"", "routes[0].customer_token_sources[0].header.scheme", "one word"),
            ("  issue: both", "  issue: jwt", "routes[0].customer_token_sources[1]", "no login gives a session cookie"),
            (
                "require: [ customer ]",
                "require: [ client ]",
                "routes[1].customer_token_sources",
                "does not require `customer`",
            ),
        ],
    );
    assert_fine(MAXIMAL, &[("name: X-Token", "name: customer-auth")]);
}

#[test]
fn paths_methods_hosts_and_types_have_their_plain_form() {
    assert_said(
        SHIPPED,
        &[
            ("path: /crm/", "path: crm/", "routes[1].path", "starts with `/`"),
            ("path: /crm/", "path: //crm/", "routes[1].path", "`//`"),
            ("path: /crm/", "path: /a/../crm/", "routes[1].path", "`..`"),
            ("path: /crm/", "path: /./crm/", "routes[1].path", "`.`"),
            ("path: /crm/", "path: /crm/.", "routes[1].path", "`.`"),
            ("path: /crm/", "path: \"/%63rm/\"", "routes[1].path", "`%`"),
            ("path: /crm/", "path: \"/crm;a\"", "routes[1].path", "`;`"),
            ("path: /crm/", "path: '/crm\\'", "routes[1].path", "`\\`"),
            ("path: /crm/", "path: \"/crm?a\"", "routes[1].path", "`?`"),
            ("path: /crm/", "path: { exact: \"/crm#a\" }", "routes[1].path", "`#`"),
            ("path: /crm/", "path: \"/c rm\"", "routes[1].path", "visible ASCII"),
            ("path: /crm/", "path: /auth/customer_authenticate", "routes[1].path", "answered by the gateway itself"),
            ("path: /crm/", "path: { exact: /oauth/access_token }", "routes[1].path", "answered by the gateway itself"),
            ("path: /crm/", "path: /.well-known/jwks.json", "routes[1].path", "answered by the gateway itself"),
            ("path: /crm/", "path: /.well-known/jwks.pem", "routes[1].path", "answered by the gateway itself"),
            ("path: /crm/", "hosts: [ API.example.com ]\n    path: /crm/", "routes[1].hosts[0]", "lower case"),
            ("path: /crm/", "hosts: [ \"a.example.com:8443\" ]\n    path: /crm/", "routes[1].hosts[0]", "without port"),
            ("path: /crm/", "hosts: [ \"https://a.example.com\" ]\n    path: /crm/", "routes[1].hosts[0]", "no scheme"),
            ("path: /crm/", "hosts: [ \"*.example.com\" ]\n    path: /crm/", "routes[1].hosts[0]", "not a host name"),
            (
                "path: /crm/",
                "content_types: [ json ]\n    path: /crm/",
                "routes[1].content_types[0]",
                "not a content type",
            ),
            (
                "path: /crm/\n    methods: [ POST ]",
                "path: /crm/\n    methods: [ CONNECT ]",
                "routes[1].methods[0]",
                "never let through",
            ),
            (
                "path: /crm/\n    methods: [ POST ]",
                "path: /crm/\n    methods: [ trace ]",
                "routes[1].methods[0]",
                "never let through",
            ),
            (
                "path: /crm/\n    methods: [ POST ]",
                "path: /crm/\n    methods: [ \"PO ST\" ]",
                "routes[1].methods[0]",
                "not a method",
            ),
            (
                "path: /crm/\n    methods: [ POST ]",
                "path: /crm/\n    methods: [ POST, POST ]",
                "routes[1].methods[1]",
                "already used",
            ),
            ("name: crm", "name: \"\"", "routes[1].name", "empty"),
        ],
    );
    for method in ["post", "POTS", "Post"] {
        let to = format!("path: /crm/\n    methods: [ {method} ]");
        let found = problems(&edited(SHIPPED, "path: /crm/\n    methods: [ POST ]", &to));
        assert!(found.iter().any(|problem| problem.help == "did you mean POST?"), "{found}");
    }
    assert_fine(SHIPPED, &[("path: /crm/\n    methods: [ POST ]", "path: /crm/\n    methods: [ PROPFIND ]")]);
}

#[test]
fn limits_of_a_route_let_something_through() {
    let limits = "{ rate: 100/s, burst: 200, per: api_key, shared: true, body: 64KiB, timeout: 500ms }";
    assert_said(
        MAXIMAL,
        &[
            (limits, "{ burst: 200 }", "routes[0].limits.burst", "`burst` belongs to `rate`"),
            (limits, "{ per: address }", "routes[0].limits.per", "`per` belongs to `rate`"),
            (limits, "{ rate: 1/s, burst: 0 }", "routes[0].limits.burst", "zero"),
            (limits, "{ body: 0 }", "routes[0].limits.body", "zero"),
            (limits, "{ timeout: 0s }", "routes[0].limits.timeout", "no time at all"),
            (
                "    backend: other",
                "    limits: { rate: 1/s, per: client }\n    backend: other",
                "routes[1].limits.per",
                "does not require `client`",
            ),
        ],
    );
}

#[test]
fn rules_about_answers_and_fields_are_checked() {
    const ORIGINS: &str = "      origins: [ https://www.example.com ]";
    const RESPONSE: &str = "      allow: [ /customer, /orders/*/status ]";
    assert_said(
        MAXIMAL,
        &[
            (ORIGINS, "      origins: []", "routes[0].cors.origins", "is empty"),
            (ORIGINS, "      origins: [ \"*\" ]", "routes[0].cors.credentials", "every page on the web"),
            (ORIGINS, "      origins: [ \"*\", https://a.example ]", "routes[0].cors.origins", "every origin"),
            (ORIGINS, "      origins: [ https://a.example/ ]", "routes[0].cors.origins[0]", "not an origin"),
            (ORIGINS, "      origins: [ https://A.example ]", "routes[0].cors.origins[0]", "not an origin"),
            (ORIGINS, "      origins: [ https://a.example:443 ]", "routes[0].cors.origins[0]", "not an origin"),
            (ORIGINS, "      origins: [ \"null\" ]", "routes[0].cors.origins[0]", "not an origin"),
            (
                "      headers: [ Authorization ]",
                "      headers: [ \"*\" ]",
                "routes[0].cors.headers[0]",
                "name of a header",
            ),
            (RESPONSE, "      allow: []", "routes[0].response.allow", "is empty"),
            (RESPONSE, "      allow: [ customer ]", "routes[0].response.allow[0]", "starts with `/`"),
            ("[ /customer/ssn ]", "[ /customer/~s ]", "routes[0].response.remove[0]", "`~`"),
            (
                "pattern: \"[0-9]{13,19}\"",
                "pattern: \"[0-9\"",
                "routes[0].response.redact[0].pattern",
                "cannot be used",
            ),
            (
                "{ path: /customer/note, pattern: \"[0-9]{13,19}\", with: \"[card]\" }",
                "{ with: x }",
                "routes[0].response.redact[0]",
                "the whole answer",
            ),
            (
                "    websocket: true",
                "    websocket: true\n    response: { json: true }",
                "routes[2].websocket",
                "may pass",
            ),
            ("      body: 64KiB\n", "      body: 0\n", "routes[0].response.body", "zero"),
            ("X-Tenant: example", "X-Customer-Id: x", "routes[0].request_headers.set.X-Customer-Id", "an identity"),
            ("X-Tenant: example", "X_Customer_Id: x", "routes[0].request_headers.set.X_Customer_Id", "an identity"),
            ("X-Tenant: example", "X-Token: x", "routes[0].request_headers.set.X-Token", "an identity"),
            ("X-Tenant: example", "X-Key: x", "routes[0].request_headers.set.X-Key", "an identity"),
            ("X-Tenant: example", "Host: x", "routes[0].request_headers.set.Host", "a meaning of its own"),
            ("X-Tenant: example", "X-Debug: x", "routes[0].request_headers.set.X-Debug", "also removed"),
            ("X-Tenant: example", "X-Tenant: \"a\\nb\"", "routes[0].request_headers.set.X-Tenant", "visible ASCII"),
            (
                "X-Served-By: gateway",
                "Set-Cookie: x",
                "routes[0].response_headers.set.Set-Cookie",
                "a meaning of its own",
            ),
            ("X-Served-By: gateway", "Content-Length: x", "routes[0].response_headers.set.Content-Length", "a meaning"),
        ],
    );
}

#[test]
fn what_nobody_can_reach_any_more_is_a_warning_and_keeps_no_stolen_client_in() {
    assert_warned(
        SHIPPED,
        &[
            (
                "    require: [ client, customer ]\n",
                "    require: [ client, customer, api_key ]\n",
                "routes[1].require",
                "no key opens it",
            ),
            ("access_token:\n  lifetime: 8h\n  number_style: string ", "# ", "routes[0].require", "no `access_token`"),
            (
                "login:\n  accounts: { file: accounts.yaml }\n  issue: jwt                                # jwt | cookie | both\n  lifetime: 8h\n",
                "",
                "routes[0].require",
                "neither `login` nor `trusted_issuers`",
            ),
        ],
    );
    assert_warned(
        MAXIMAL,
        &[
            ("[ https://reports.example.com ]", "[ other ]", "routes[0].audience", "no client may have a token for"),
            ("client: asapp", "client: asap", "api_keys[0].client", "there is no client `asap`: this key is refused"),
            ("routes: [ profile ]", "routes: [ profiles ]", "api_keys[0].routes[0]", "there is no route `profiles`"),
        ],
    );
}

#[test]
fn who_sets_a_field_of_callers_credentials_is_told_of_that_of_the_backend() {
    for name in ["Api_Key", "authorization", "X-Token"] {
        let found = problems(&edited(MAXIMAL, "X-Tenant: example", &format!("{name}: x")));
        let at = format!("routes[0].request_headers.set.{name}");
        let problem = found.iter().find(|problem| problem.path == at).unwrap();
        assert!(problem.help.contains("backends.NAME.authorization"), "{problem:?}");
    }
    let found = problems(&edited(MAXIMAL, "X-Tenant: example", "X-Customer-Id: x"));
    assert!(found.iter().all(|problem| !problem.help.contains("backends.NAME.authorization")), "{found}");
}
