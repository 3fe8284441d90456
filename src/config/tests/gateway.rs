//! Checks of listeners, issuer and login.

use super::{MAXIMAL, Problem, SHIPPED, assert_fine, assert_said, edited, problems};

#[test]
fn listeners_are_safe_and_possible() {
    assert_said(
        SHIPPED,
        &[
            (
                "certs/server.pem, private_key: certs/server.key }",
                "a, private_key: b }\n      client_certificate: required",
                "listen[0].tls.client_certificate",
                "needs `client_ca`",
            ),
            ("# For operators", "  - address: 0.0.0.0:80\n# For operators", "listen[1].address", "no `tls`"),
            ("# For operators", "  - address: \"[::]:80\"\n# For operators", "listen[1].address", "no `tls`"),
            ("admin:\n", "workers: 0\nadmin:\n", "workers", "from 1 to 1024"),
            ("admin:\n", "workers: 1025\nadmin:\n", "workers", "from 1 to 1024"),
        ],
    );
    for key in [
        "connections: 0",
        "headers: 0",
        "head: 0B",
        "target: 0",
        "body: 0KiB",
        "handshake_timeout: 0s",
        "head_timeout: 0ms",
        "body_idle_timeout: 0s",
        "request_timeout: 0s",
        "idle_timeout: 0s",
    ] {
        let name = key.split(':').next().unwrap();
        let found = problems(&edited(SHIPPED, "    tls:\n", &format!("    limits: {{ {key} }}\n    tls:\n")));
        assert!(found.iter().any(|problem| problem.path == format!("listen[0].limits.{name}")), "{key}:\n{found}");
    }
    for address in ["127.0.0.1:80", "127.8.8.8:80", "\"[::1]:80\"", "\"[::ffff:127.0.0.1]:80\""] {
        assert_fine(SHIPPED, &[("# For operators", &format!("  - address: {address}\n# For operators"))]);
    }
}

#[test]
fn a_network_has_one_reading_wherever_one_is_written() {
    let with = |keys: &str| {
        let text = edited(SHIPPED, "    tls:\n", &format!("    {keys}\n    tls:\n"));
        problems(&text).into_iter().filter(|found| found.path.ends_with("[0]")).collect::<Vec<_>>()
    };
    for (network, help) in [
        ("127.9.9.9/8", "write 127.0.0.0/8, or 127.9.9.9/32"),
        ("\"2001:db8::1/32\"", "write 2001:db8::/32, or 2001:db8::1/128"),
        ("\"::ffff:127.9.9.9/104\"", "write 127.0.0.0/8, or 127.9.9.9/32"),
        ("10.0.0.1", "write 10.0.0.1/32"),
        ("\"::1\"", "write ::1/128"),
        ("\"::ffff:10.0.0.1\"", "write 10.0.0.1/32"),
        ("\"::/64\"", "such as 0.0.0.0/0"),
        ("\"::ffff:0:0/95\"", "such as 0.0.0.0/0"),
    ] {
        for key in ["allow", "proxy_protocol", "trusted_proxies", "plain_http_from"] {
            let found = with(&format!("{key}: [ {network} ]"));
            let fits = |found: &Problem| found.path == format!("listen[0].{key}[0]") && found.help.contains(help);
            assert!(found.iter().any(fits), "{key} {network}: {found:?}");
        }
    }
    for (place, key) in [
        ("    allow: [ 203.0.113.0/24 ]\n", "api_keys[0].allow[0]"),
        ("grpc: true, allow: [ 203.0.113.8/32 ]", "forward_auth.allow[0]"),
        ("allow: [ 198.51.100.0/24 ]", ".allow[0]"),
        ("deny: [ 198.51.100.66/32 ]", ".deny[0]"),
    ] {
        let end = place.find('[').unwrap();
        let said = |network: &str| {
            let found = problems(&edited(MAXIMAL, place, &format!("{}[ \"{network}\" ]\n", &place[..end])));
            found
                .iter()
                .any(|found| found.path.ends_with(key) && found.help.contains("write 10.0.0.0/8, or 10.9.9.9/32"))
        };
        assert!(said("10.9.9.9/8") && said("::ffff:10.9.9.9/104") && !said("10.0.0.0/8"), "{key}");
    }
    for (written, read) in [("::ffff:127.0.0.0/104", "127.0.0.0/8"), ("::ffff:0:0/96", "0.0.0.0/0"), ("::/0", "::/0")] {
        let text = edited(SHIPPED, "    tls:\n", &format!("    allow: [ \"{written}\" ]\n    tls:\n"));
        let (config, found) = super::read(&text).unwrap();
        assert!(found.is_empty(), "{found}");
        assert_eq!(config.raw().listen[0].allow[0].to_string(), read, "{written}");
    }
}

#[test]
fn a_list_that_would_restrict_certificates_is_not_empty() {
    assert_said(
        MAXIMAL,
        &[
            ("client_crl: [ ca.crl ]", "client_crl: []", "listen[0].tls.client_crl", "is empty"),
            ("      client_names:\n", "      client_names: []\n      x:\n", "listen[0].tls.client_names", "is empty"),
        ],
    );
}

#[test]
fn the_issuer_is_a_public_address() {
    assert_said(
        SHIPPED,
        &[
            ("url: https://localhost:8443", "url: http://api.example.com", "issuer.url", "https"),
            ("url: https://localhost:8443", "url: api.example.com", "issuer.url", "not an http or https address"),
            ("url: https://localhost:8443", "url: https://api.example.com?x=1", "issuer.url", "no query"),
            ("url: https://localhost:8443", "url: \"https://api.example.com/#a\"", "issuer.url", "no fragment"),
            ("url: https://localhost:8443", "url: https://", "issuer.url", "no host name"),
            ("url: https://localhost:8443", "url: https://me:pw@api.example.com", "issuer.url", "no user name"),
            ("audience: legacy-api", "audience: \"\"", "issuer.audience", "empty"),
            ("audience: legacy-api", "audience: a\n  clock_skew: 61s", "issuer.clock_skew", "too much"),
        ],
    );
    assert_fine(
        SHIPPED,
        &[
            ("url: https://localhost:8443", "url: http://127.0.0.1:8443"),
            ("url: https://localhost:8443", "url: http://localhost"),
            ("url: https://localhost:8443", "url: https://api.example.com/tenant"),
        ],
    );
}

#[test]
fn a_login_has_all_that_it_needs() {
    assert_said(
        MAXIMAL,
        &[
            (
                "    backend: legacy\n    path",
                "    file: a.yaml\n    backend: legacy\n    path",
                "login.accounts",
                "side by side",
            ),
            ("    backend: legacy\n    path", "    path", "login.accounts", "nothing says who may log in"),
            (
                "    backend: legacy\n    path",
                "    file: a.yaml\n    path",
                "login.accounts.path",
                "belongs to `backend`",
            ),
            (
                "    backend: legacy\n    path",
                "    file: a.yaml\n    path",
                "login.accounts.subject",
                "belongs to `backend`",
            ),
            ("    path: /sign-in\n", "", "login.accounts", "`path` is missing"),
            ("    subject: /customer/id\n", "", "login.accounts", "`subject` is missing"),
            ("subject: /customer/id", "subject: customer.id", "login.accounts.subject", "JSON pointer"),
            ("path: /sign-in", "path: sign-in", "login.accounts.path", "starts with `/`"),
            (
                "    path: /sign-in\n",
                "    path: /sign-in\n    fold: true\n",
                "login.accounts.fold",
                "belongs to `file`",
            ),
            ("[ 401, 404 ]", "[]", "login.accounts.no.status", "empty"),
            ("[ 401, 404 ]", "[ 401, 429 ]", "login.accounts.no.status[1]", "says nothing about"),
            ("[ 401, 404 ]", "[ 302 ]", "login.accounts.no.status[0]", "says nothing about"),
            ("[ 401, 404 ]", "[ 500 ]", "login.accounts.no.status[0]", "says nothing about"),
            (
                "    backend: legacy\n    path",
                "    file: a.yaml\n    path",
                "login.accounts.no",
                "belongs to `backend`",
            ),
            ("    name: session", "    name: my session", "login.cookie.name", "not the name of a cookie"),
            ("idle: 10m", "idle: 0m", "login.cookie.idle", "no time at all"),
            ("  issue: both\n  lifetime: 1h", "  issue: both\n  lifetime: 0h", "login.lifetime", "no time at all"),
            ("burst: 5 }", "burst: 0 }", "login.limits.burst", "zero"),
            ("    burst: 10\n", "    burst: 0\n", "access_token.limits.burst", "zero"),
            ("path: /login\n", "path: /.well-known/jwks.json\n", "login.path", "another endpoint"),
        ],
    );
    assert_said(
        SHIPPED,
        &[
            ("issue: jwt ", "issue: cookie ", "login.issue", "`login.cookie` is missing"),
            ("issue: jwt ", "issue: both ", "login.issue", "`login.cookie` is missing"),
            (
                "identifier:\n  key: { file: certs/identifier.key }\n  mode: traceable ",
                "# ",
                "login",
                "there is no `identifier`",
            ),
            (
                "issuer:\n  url: https://localhost:8443\n  audience: legacy-api\n  signing_keys: certs/signing/ ",
                "# ",
                "login",
                "there is no `issuer`",
            ),
            (
                "issuer:\n  url: https://localhost:8443\n  audience: legacy-api\n  signing_keys: certs/signing/ ",
                "# ",
                "access_token",
                "there is no `issuer`",
            ),
        ],
    );
}

#[test]
fn claims_carry_nothing_about_a_person() {
    for claim in [
        "email",
        "email_verified",
        "Email",
        "mail_address",
        "name",
        "given_name",
        "givenName",
        "family_name",
        "nickname",
        "preferred_username",
        "username",
        "phone",
        "phone_number",
        "birthdate",
        "address",
        "account_number",
        "ssn",
        "https://example.com/email",
        "upn",
    ] {
        let found = problems(&edited(MAXIMAL, "claims: [ tier ]", &format!("claims: [ \"{claim}\" ]")));
        let fits = |problem: &Problem| problem.path == "login.claims[0]" && problem.message.contains("personal data");
        assert!(found.iter().any(fits), "{claim}:\n{found}");
    }
    for claim in ["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "sid", "client_id", "scope", "wg_account"] {
        assert_said(
            MAXIMAL,
            &[(
                "claims: [ tier ]",
                Box::leak(format!("claims: [ {claim} ]").into_boxed_str()),
                "login.claims[0]",
                "itself",
            )],
        );
    }
    assert_fine(
        MAXIMAL,
        &[
            ("claims: [ tier ]\n  forward_claims: [ \"tier\" ]", "claims: [ tier, branch, segment ]"),
            ("subject: oid", "subject: sub"),
        ],
    );
}

#[test]
fn a_refresh_token_is_not_used_twice_for_long_and_a_customer_has_at_least_one_login() {
    assert_said(
        MAXIMAL,
        &[
            ("grace: 5s", "grace: 61s", "login.refresh.grace", "a thief could use"),
            ("max_per_customer: 10", "max_per_customer: 0", "login.max_per_customer", "from 1 to 1000"),
            ("max_per_customer: 10", "max_per_customer: 1001", "login.max_per_customer", "from 1 to 1000"),
        ],
    );
    assert_fine(MAXIMAL, &[("grace: 5s", "grace: 0s"), ("grace: 5s", "grace: 60s")]);
}

#[test]
fn a_file_of_api_keys_that_cannot_be_read_is_a_problem_of_its_key() {
    let text = format!("api_keys_file: nope.yaml\n{SHIPPED}");
    let (config, found) = super::read(&text).unwrap();
    assert!(found.is_empty(), "{found}");
    let found = config.read_api_keys(std::path::Path::new("nope.yaml")).unwrap_err();
    let shown = found.to_string();
    assert!(shown.starts_with("error: api_keys_file: cannot read /etc/wicketgate/nope.yaml"), "{shown}");
    assert!(shown.contains("--> /etc/wicketgate/gateway.yaml:1:16\n"), "{shown}");
}
