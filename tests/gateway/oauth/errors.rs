//! Errors of the OAuth endpoints: RFC 6749 section 5.2, RFC 7009 and RFC 7662 section 2.

use crate::harness::keys::base64;
use crate::harness::python::python;
use crate::harness::*;

const TOKEN: &str = "/oauth/access_token";
const REVOKE: &str = "/oauth/revoke";
const INTROSPECT: &str = "/oauth/introspect";

/// A good request to each endpoint, but for its client.
const ENDPOINTS: [(&str, &str); 3] =
    [(TOKEN, "grant_type=client_credentials&"), (REVOKE, "token=x&"), (INTROSPECT, "token=x&")];

fn basic(pair: &str) -> String {
    format!("Basic {}", base64(pair.as_bytes()))
}

/// The answer has this status and error, and nothing that is not OAuth's; what it describes.
#[track_caller]
fn error(answer: &Response, status: u16, word: &str) -> String {
    let body = answer.json();
    assert_eq!((answer.status, body["error"].as_str()), (status, Some(word)), "{}", answer.text());
    assert!(body.as_object().unwrap().keys().all(|name| ["error", "error_description"].contains(&name.as_str())));
    assert_eq!(answer.header("Cache-Control"), Some("no-store"));
    body["error_description"].as_str().unwrap().to_owned()
}

/// The caller is asked for its credentials where it has sent some in `Authorization`, and not otherwise.
#[track_caller]
fn no_client(answer: &Response, by_header: bool) -> String {
    let challenges = if by_header { vec![r#"Basic realm="access_token""#] } else { Vec::new() };
    assert_eq!(answer.all("WWW-Authenticate"), challenges);
    error(answer, 401, "invalid_client")
}

#[test]
fn a_client_that_does_not_authenticate_itself_is_an_invalid_client_and_no_invalid_request() {
    let (backend, gateway) = world();
    for (path, form) in ENDPOINTS {
        for (client, parameter) in [
            ("", "client_id"),
            ("client_id=asapp", "client_secret"),
            ("client_id=asapp&client_secret=", "client_secret"),
            ("client_id=nobody", "client_secret"),
            ("client_id=&client_secret=x", "client_id"),
        ] {
            let answer = gateway.post(path).form(&format!("{form}{client}")).send();
            let described = no_client(&answer, false);
            assert_eq!(described, format!("The parameter {parameter} is missing."), "{path} {client}");
            let line = gateway.access_line(answer.header("X-Request-Id").unwrap());
            assert_eq!(line["refusal"], "client_authentication_missing");
        }
        gateway.post(path).form(&format!("{form}client_id=asapp&client_secret={}", CLIENT.secret)).send().ok();
    }
    assert_eq!(gateway.metric("wicketgate_password_hashes_total", &[]), 1.0, "who shows no secret costs no hash");
    backend.assert_untouched();
}

#[test]
fn an_authorization_that_is_no_basic_is_an_invalid_client_that_is_asked_for_basic() {
    let (_backend, gateway) = world();
    let token = gateway.token(CLIENT);
    for (path, form) in ENDPOINTS {
        for shown in [
            format!("Bearer {token}"),
            "Basic".to_owned(),
            "Basic !!!".to_owned(),
            "Basic  ".to_owned(),
            basic("asapp"),
            basic("asapp:"),
            basic(":x"),
            basic(":"),
            "Digest username=\"asapp\"".to_owned(),
            "\u{e9}".to_owned(),
        ] {
            let answer = gateway.post(path).header("Authorization", &shown).form(form).send();
            no_client(&answer, true);
            let line = gateway.access_line(answer.header("X-Request-Id").unwrap());
            assert_eq!(line["refusal"], "client_authentication_malformed", "{shown}");
        }
        let good = basic(&format!("asapp:{}", CLIENT.secret));
        gateway.post(path).header("Authorization", &good).form(form).send().ok();
    }
}

#[test]
fn no_oauth_endpoint_asks_for_anything_where_a_wrong_secret_came_in_the_form() {
    let (_backend, gateway) = world();
    for (path, form) in ENDPOINTS {
        let wrong = |id: &str| gateway.post(path).form(&format!("{form}client_id={id}&client_secret=wrong")).send();
        let unknown = no_client(&wrong("nobody"), false);
        assert_eq!(no_client(&wrong("asapp"), false), unknown, "{path}");
        for id in ["nobody", "asapp"] {
            let shown = basic(&format!("{id}:wrong"));
            let answer = gateway.post(path).header("Authorization", &shown).form(form).send();
            assert_eq!(no_client(&answer, true), unknown, "{path}");
        }
    }
}

#[test]
fn an_oauth_error_names_the_parameter_that_is_missing_repeated_or_in_the_query() {
    let (_backend, gateway) = world_with(|c| c.set("/login/refresh", json!({"lifetime": "1h"})));
    let client = format!("client_id=asapp&client_secret={}", CLIENT.secret);
    let assertion = "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer";
    for (path, form, described) in [
        (TOKEN, client.clone(), "The parameter grant_type is missing."),
        (TOKEN, format!("{client}&grant_type="), "The parameter grant_type is missing."),
        (TOKEN, "grant_type=refresh_token".to_owned(), "The parameter refresh_token is missing."),
        (TOKEN, format!("grant_type=client_credentials&{assertion}"), "The parameter client_assertion is missing."),
        (
            TOKEN,
            "grant_type=client_credentials&client_assertion=a.b.c".to_owned(),
            "The parameter client_assertion_type is missing.",
        ),
        (
            TOKEN,
            format!("grant_type=client_credentials&{client}&scope=profile&scope=profile"),
            "The parameter scope is repeated or contradictory.",
        ),
        (
            TOKEN,
            format!("grant_type=client_credentials&{client}&client_id=asapp"),
            "The parameter client_id is repeated or contradictory.",
        ),
        (
            "/oauth/access_token?grant_type=password",
            format!("grant_type=client_credentials&{client}"),
            "The parameter grant_type is repeated or contradictory.",
        ),
        (
            "/oauth/access_token?client_secret=x",
            format!("grant_type=client_credentials&{client}"),
            "The parameter client_secret must not be sent in the query.",
        ),
        (REVOKE, client.clone(), "The parameter token is missing."),
        (INTROSPECT, client.clone(), "The parameter token is missing."),
        (INTROSPECT, format!("{client}&token=a&token=b"), "The parameter token is repeated or contradictory."),
    ] {
        let answer = gateway.post(path).form(&form).send();
        assert_eq!(error(&answer, 400, "invalid_request"), described, "{path} {form}");
    }
    // The login says it in its own form.
    for (form, described) in [
        ("password=x", "The parameter username is missing."),
        ("username=x", "The parameter password is missing."),
        ("username=x&username=y&password=x", "The parameter username is repeated or contradictory."),
    ] {
        let answer = gateway.post("/auth/customer_authenticate").form(form).send().expect(400, "400-04");
        assert_eq!(answer.json()["error"]["message"], described);
    }
}

#[test]
fn an_oauth_endpoint_that_is_asked_by_another_method_or_type_says_so_in_the_form_of_oauth() {
    let (_backend, gateway) = world();
    for (path, form) in ENDPOINTS {
        for method in ["GET", "PUT", "DELETE", "PATCH"] {
            let answer = gateway.request(method, path).send();
            error(&answer, 405, "invalid_request");
            assert_eq!(answer.header("Allow"), Some("POST"), "{method} {path}");
        }
        assert_eq!(gateway.request("HEAD", path).send().status, 405);
        error(&gateway.post(path).json("{}").send(), 400, "invalid_request");
        let long = format!("{form}x={}", "y".repeat(25_000));
        error(&gateway.post(path).form(&long).send(), 413, "invalid_request");
        error(&gateway.post(path).form("%ff=x").send(), 400, "invalid_request");
    }
    // What is not OAuth's stays as it is.
    for path in ["/auth/customer_authenticate", "/auth/logout", "/.well-known/jwks.json"] {
        gateway.request("DELETE", path).send().expect(405, "405-01");
    }
    gateway.get("/oauth/nothing").send().expect(404, "404-01");
}

#[test]
fn a_client_id_without_a_secret_beside_a_refresh_token_is_that_of_a_public_client_and_changes_nothing() {
    let (_backend, gateway) = world_with(|c| c.set("/login/refresh", json!({"lifetime": "1h"})));
    let metadata = gateway.get("/.well-known/oauth-authorization-server").send().ok().json();
    for (endpoint, is_open) in [("token", true), ("revocation", false), ("introspection", false)] {
        let methods = metadata[format!("{endpoint}_endpoint_auth_methods_supported")].as_array().unwrap();
        assert_eq!(methods.contains(&json!("none")), is_open, "{metadata}");
    }
    let login = gateway.login_request(ALICE.name, ALICE.secret).send().ok().json();
    let mut token = login["refresh_token"].as_str().unwrap().to_owned();
    // It proves nothing, so whose it is makes no difference: the answer tells nobody which clients there are.
    for more in ["client_id=my-app", "client_id=asapp", "client_id=asapp&client_secret=", "client_id="] {
        let form = format!("grant_type=refresh_token&refresh_token={token}&{more}");
        let answer = gateway.post(TOKEN).form(&form).send().ok();
        token = answer.json()["refresh_token"].as_str().unwrap().to_owned();
        let line = gateway.access_line(answer.header("X-Request-Id").unwrap());
        assert_eq!(line["client"], Value::Null, "{more}");
    }
    // Credentials must be right all the same, and use up no token where they are not.
    let form = format!("grant_type=refresh_token&refresh_token={token}");
    no_client(&gateway.post(TOKEN).form(&format!("{form}&client_id=asapp&client_secret=wrong")).send(), false);
    no_client(&gateway.post(TOKEN).form(&format!("{form}&client_secret=wrong")).send(), false);
    no_client(&gateway.post(TOKEN).header("Authorization", &basic("asapp:wrong")).form(&form).send(), true);
    no_client(&gateway.post(TOKEN).header("Authorization", "Bearer x").form(&form).send(), true);
    gateway.post(TOKEN).form(&form).send().ok();
}

#[test]
fn an_oauth_library_refreshes_the_token_of_a_public_client_and_reads_every_refusal() {
    let (_backend, gateway) = world_with(|c| {
        c.set("/login/refresh", json!({"lifetime": "1h"})).set("/access_token/number_style", json!("number"))
    });
    let login = gateway.login_request(ALICE.name, ALICE.secret).send().ok().json();
    let base = format!("https://localhost:{}", gateway.address.port());
    let ca = gateway.files.path.join("certs/ca.pem");
    let refresh = login["refresh_token"].as_str().unwrap();
    python("oauth_refusals.py", &[&base, ca.to_str().unwrap(), CLIENT.name, CLIENT.secret, refresh]);
}
