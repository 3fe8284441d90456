//! POST /oauth/access_token.

use crate::harness::gateway::form_encode;
use crate::harness::keys::{argon2id, base64, decode};
use crate::harness::*;

const PATH: &str = "/oauth/access_token";
const WITH_GRANT: &str = "/oauth/access_token?grant_type=client_credentials";

fn basic(user: &str, secret: &str) -> String {
    format!("Basic {}", base64(format!("{user}:{secret}").as_bytes()))
}

/// The answer is an error of RFC 6749 section 5.2.
#[track_caller]
fn refused(answer: Response, status: u16, error: &str) -> Response {
    let answer = answer.expect(status, "");
    let body = answer.json();
    assert_eq!(body["error"], error, "{body}");
    assert!(
        body.as_object().unwrap().keys().all(|k| ["error", "error_description", "error_uri"].contains(&k.as_str())),
        "{body}"
    );
    assert_eq!(answer.header("Cache-Control"), Some("no-store"));
    answer
}

#[test]
fn the_token_answer_has_exactly_six_string_members() {
    let (backend, gateway) = world();
    let answer = gateway.post(WITH_GRANT).form("client_id=asapp&client_secret=asapp-secret-Zk3vQ9").send().ok();
    let body = answer.json();
    let members = body.as_object().unwrap();
    let mut names: Vec<&str> = members.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["access_token", "client_id", "expires_in", "issued_at", "scope", "token_type"]);
    assert!(members.values().all(Value::is_string), "{body}");
    assert_eq!(
        (&body["token_type"], &body["client_id"], &body["scope"]),
        (&json!("Bearer"), &json!("asapp"), &json!("profile"))
    );
    assert_eq!(body["expires_in"], "28800");
    assert_eq!(answer.header("Cache-Control"), Some("no-store"));
    backend.assert_untouched();
}

#[test]
fn a_client_without_scopes_gets_the_documented_scope() {
    let (_backend, gateway) = world();
    let body = gateway.token_request(OTHER_CLIENT.name, OTHER_CLIENT.secret).send().ok().json();
    assert_eq!(body["scope"], "client_credentials");
}

#[test]
fn times_of_answer_and_access_token_agree() {
    let (_backend, gateway) = world();
    let body = gateway.token_request(CLIENT.name, CLIENT.secret).send().ok().json();
    let (_, claims) = decode(body["access_token"].as_str().unwrap());
    let number = |name: &str| body[name].as_str().unwrap().parse::<u64>().unwrap();
    let (iat, exp) = (claims["iat"].as_u64().unwrap(), claims["exp"].as_u64().unwrap());
    assert_eq!(iat, number("issued_at") / 1000);
    assert!((exp - iat).abs_diff(number("expires_in")) <= 1);
}

#[test]
fn number_style_number_writes_json_numbers() {
    let (_backend, gateway) = world_with(|c| c.set("/access_token/number_style", json!("number")));
    let body = gateway.token_request(CLIENT.name, CLIENT.secret).send().ok().json();
    assert_eq!(body["expires_in"], 28_800);
    assert!(body["issued_at"].is_u64(), "{body}");
}

#[test]
fn grant_type_may_stand_in_the_body_or_in_both_alike() {
    let (_backend, gateway) = world();
    let form = "grant_type=client_credentials&client_id=asapp&client_secret=asapp-secret-Zk3vQ9";
    gateway.post(PATH).form(form).send().ok();
    gateway.post(WITH_GRANT).form(form).send().ok();
    refused(gateway.post(&format!("{PATH}?grant_type=password")).form(form).send(), 400, "invalid_request");
}

#[test]
fn a_client_secret_in_the_query_is_refused() {
    let (_backend, gateway) = world();
    for query in ["client_secret=asapp-secret-Zk3vQ9", "password=x", "username=x"] {
        let target = format!("{WITH_GRANT}&{query}");
        let form = "client_id=asapp&client_secret=asapp-secret-Zk3vQ9";
        refused(gateway.post(&target).form(form).send(), 400, "invalid_request");
    }
}

#[test]
fn basic_and_body_each_work_and_both_at_once_do_not() {
    let (_backend, gateway) = world();
    let with_basic = gateway.post(WITH_GRANT).header("Authorization", &basic("asapp", CLIENT.secret));
    with_basic.clone().form("").send().ok();
    gateway.token_request(CLIENT.name, CLIENT.secret).send().ok();
    let both = with_basic.form("client_id=asapp&client_secret=asapp-secret-Zk3vQ9").send();
    refused(both, 400, "invalid_request");
}

#[test]
fn basic_credentials_are_read_form_urlencoded_and_raw() {
    let odd = "a+b%41:c/d~e f";
    let client = json!({"id": "odd", "secrets": [argon2id(odd)], "scopes": []});
    let (_backend, gateway) = world_with(|mut c| {
        c.yaml["clients"].as_array_mut().unwrap().push(client);
        c
    });
    for secret in [odd.to_owned(), form_encode(odd)] {
        let answer = gateway
            .post(PATH)
            .header("Authorization", &basic("odd", &secret))
            .form("grant_type=client_credentials")
            .send();
        assert_eq!(answer.status, 200, "{secret}: {}", answer.text());
    }
    let wrong = gateway.post(WITH_GRANT).header("Authorization", &basic("odd", "a bA:c/d~e f")).form("").send();
    refused(wrong, 401, "invalid_client");
}

#[test]
fn unknown_client_and_wrong_secret_look_alike() {
    let (_backend, gateway) = world();
    let ask = |id: &str| gateway.token_request(id, "wrong").header("X-Request-Id", "same-id").send();
    let (wrong, unknown) =
        (refused(ask(CLIENT.name), 401, "invalid_client"), refused(ask("nobody"), 401, "invalid_client"));
    assert_eq!(wrong.text(), unknown.text());
    assert_eq!(wrong.header("WWW-Authenticate"), None, "Basic was not used");
    let by_basic = gateway.post(WITH_GRANT).header("Authorization", &basic("asapp", "wrong")).form("").send();
    let by_basic = refused(by_basic, 401, "invalid_client");
    assert!(by_basic.header("WWW-Authenticate").unwrap().starts_with("Basic"));
}

#[test]
fn grants_and_parameters_are_checked() {
    let (_backend, gateway) = world();
    let credentials = "client_id=asapp&client_secret=asapp-secret-Zk3vQ9";
    let table = [
        (format!("grant_type=password&{credentials}"), "unsupported_grant_type"),
        (format!("grant_type=authorization_code&{credentials}"), "unsupported_grant_type"),
        (credentials.to_owned(), "invalid_request"),
        (format!("grant_type=&{credentials}"), "invalid_request"),
        (format!("grant_type=client_credentials&grant_type=client_credentials&{credentials}"), "invalid_request"),
        (format!("grant_type=client_credentials&{credentials}&client_id=asapp"), "invalid_request"),
        (format!("grant_type=client_credentials&{credentials}&client_secret=x"), "invalid_request"),
        (format!("grant_type=client_credentials&{credentials}&scope=admin"), "invalid_scope"),
    ];
    for (form, error) in table {
        let answer = gateway.post(PATH).form(&form).send();
        assert_eq!((answer.status, answer.json()["error"].as_str()), (400, Some(error)), "{form}");
    }
    gateway
        .post(PATH)
        .form(&format!("grant_type=client_credentials&{credentials}&unknown=1&scope=profile"))
        .send()
        .ok();
}

#[test]
fn credentials_that_are_not_there_are_no_client() {
    let (_backend, gateway) = world();
    for form in ["", "client_id=asapp", "client_secret=x"] {
        refused(gateway.post(WITH_GRANT).form(form).send(), 401, "invalid_client");
    }
    let broken = gateway.post(WITH_GRANT).header("Authorization", "Basic !!!").form("").send();
    refused(broken, 401, "invalid_client");
}

#[test]
fn the_token_endpoint_takes_forms_by_post_only() {
    let (_backend, gateway) = world();
    let answer = gateway.get(WITH_GRANT).send();
    assert_eq!((answer.status, answer.header("Allow")), (405, Some("POST")));
    let body = json!({"client_id": CLIENT.name, "client_secret": CLIENT.secret}).to_string();
    let answer = gateway.post(WITH_GRANT).json(&body).send();
    assert!(matches!(answer.status, 400 | 415), "{}", answer.text());
}

#[test]
fn the_documented_curl_line_gets_a_token() {
    let (_backend, gateway) = world();
    let url = format!("https://localhost:{}{WITH_GRANT}", gateway.address.port());
    let ca = gateway.files.path.join("certs/ca.pem");
    let form = format!("client_id={}&client_secret={}", CLIENT.name, CLIENT.secret);
    let typed = "content-type: application/x-www-form-urlencoded";
    let args = [
        "-sS",
        "--cacert",
        ca.to_str().unwrap(),
        "-X",
        "POST",
        &url,
        "-H",
        "cache-control: no-cache",
        "-H",
        typed,
        "-d",
        &form,
    ];
    let output = program("curl", "curl", &args);
    let body: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(body["token_type"], "Bearer");
}

#[test]
fn access_tokens_follow_rfc_9068() {
    let (_backend, gateway) = world();
    let (header, claims) = decode(&gateway.token(CLIENT));
    assert_eq!((header["typ"].as_str(), header["alg"].as_str()), (Some("at+jwt"), Some("ES256")));
    assert!(header["kid"].is_string());
    assert_eq!(claims["iss"], "https://gateway.test");
    assert_eq!(claims["aud"], "legacy-api");
    assert_eq!(
        (&claims["sub"], &claims["client_id"], &claims["scope"]),
        (&json!("asapp"), &json!("asapp"), &json!("profile"))
    );
    assert!(claims["exp"].is_u64() && claims["iat"].is_u64());
    assert_ne!(claims["jti"], decode(&gateway.token(CLIENT)).1["jti"]);
}

#[test]
fn a_token_lives_as_long_and_may_do_as_much_as_is_configured() {
    let (_backend, gateway) = world_with(|config| config.set("/access_token/lifetime", json!("5m")));
    let ask = |more: &str| {
        let form =
            format!("grant_type=client_credentials&client_id={}&client_secret={}{more}", CLIENT.name, CLIENT.secret);
        gateway.post("/oauth/access_token").form(&form).send()
    };
    for more in ["", "&scope=profile", "&lifetime=90000&expires_in=90000&aud=other&exp=4000000000"] {
        let answer = ask(more).ok();
        let claims = decode(answer.json()["access_token"].as_str().unwrap()).1;
        assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 300, "{more}");
        assert_eq!((&claims["aud"], &claims["scope"]), (&json!("legacy-api"), &json!("profile")), "{more}");
    }
    for more in ["&scope=admin", "&scope=profile%20admin", "&scope=profil"] {
        refused(ask(more), 400, "invalid_scope");
    }
}

#[test]
fn two_secrets_are_live_at_once_and_one_can_be_taken_away_without_restart() {
    let backend = Backend::start();
    let secrets = json!([argon2id("first-secret"), argon2id("second-secret")]);
    let config = Config::new(&backend).set("/clients/0/secrets", secrets);
    let gateway = Gateway::start(&config);
    for secret in ["first-secret", "second-secret"] {
        gateway.token_request(CLIENT.name, secret).send().ok();
    }
    gateway.reload(&config.without("/clients/0/secrets/0"), "reloaded");
    refused(gateway.token_request(CLIENT.name, "first-secret").send(), 401, "invalid_client");
    gateway.token_request(CLIENT.name, "second-secret").send().ok();
}

#[test]
fn a_client_that_asks_too_often_is_429() {
    let (_backend, gateway) = world_with(|c| c.set("/access_token/limits", json!({"rate": "1/m", "burst": 2})));
    for secret in ["wrong1", "wrong2"] {
        refused(gateway.token_request(CLIENT.name, secret).send(), 401, "invalid_client");
    }
    gateway.token_request(CLIENT.name, CLIENT.secret).send().expect(429, "");
    gateway.token_request(OTHER_CLIENT.name, OTHER_CLIENT.secret).send().ok();
}
