//! OAuth clients that people have: openid-client and oauth4webapi themselves, and what Spring Security, IdentityModel of .NET
//! and MSAL send, byte for byte.

use crate::harness::customer::member;
use crate::harness::gateway::form_encode;
use crate::harness::keys::{RsaKey, TokenKey, argon2id, base64, base64url, decode, now, random};
use crate::harness::login_page::{CALLBACK, with_codes};
use crate::harness::node::node;
use crate::harness::*;
use crate::oauth::private_key_jwt::{SIGNER, in_file};

const TOKEN: &str = "/oauth/access_token";
const FORM: &str = "application/x-www-form-urlencoded";
const ISSUER: &str = "https://gateway.test";

/// The library finds the gateway under the address that it really has, by its metadata.
fn a_library_is_served(script: &str) {
    for style in ["number", "string"] {
        let key = TokenKey::generate();
        let backend = Backend::start();
        let config = in_file(with_codes(Config::new(&backend)), &[key.jwk("one")])
            .set("/login/refresh", json!({"lifetime": "1h", "grace": "0s"}))
            .set("/access_token/number_style", json!(style))
            .route("system", "dpop", json!("optional"))
            .file("signer.pem", &key.pem);
        let gateway = Gateway::start(&config);
        let base = format!("https://localhost:{}", gateway.address.port());
        gateway.reload(&config.set("/issuer/url", json!(base)), "reloaded");
        let file = gateway.files.path.join("signer.pem");
        let customer = [ALICE.name, ALICE.secret];
        let client = [&base, file.to_str().unwrap(), CLIENT.name, CLIENT.secret, SIGNER, CALLBACK];
        assert_eq!(node(&gateway, script, &[&client[..], &customer].concat()).trim(), "ok", "{style}");
        assert_eq!(backend.problems(), [""; 0]);
    }
}

#[test]
fn openid_client_does_all_that_it_can_with_numbers_in_either_style() {
    a_library_is_served("openid_client.mjs");
}

#[test]
fn oauth4webapi_does_all_that_it_can_with_numbers_in_either_style() {
    a_library_is_served("oauth4webapi.mjs");
}

/// A client whose id and secret have the characters that Basic, forms and libraries treat in their own ways.
const ODD: Account = Account { name: "crm:sync/1 a+b", secret: "a%2Bb+c:d&e=f \u{e9}~*'()!", subject: "" };

fn with_odd_client(mut config: Config) -> Config {
    let client = json!({"id": ODD.name, "secrets": [argon2id(ODD.secret)], "scopes": ["profile", "orders"]});
    config.yaml["clients"].as_array_mut().unwrap().push(client);
    config.set("/access_token/attempts", json!({"free": 1000, "free_per_address": 1000}))
}

/// Encodes all but letters, digits and these, as the libraries do it: they agree on no more.
fn encoded(text: &str, kept: &str, space: &str, lower: bool) -> String {
    let one = |byte: u8| match char::from(byte) {
        ' ' => space.to_owned(),
        plain if plain.is_ascii_alphanumeric() || kept.contains(plain) => plain.to_string(),
        _ if lower => format!("%{byte:02x}"),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(one).collect()
}

fn basic(id: &str, secret: &str) -> String {
    base64(format!("{id}:{secret}").as_bytes())
}

/// The encodings of Java's `URLEncoder` (Spring), of `encodeURIComponent`, of .NET's `Uri.EscapeDataString` and
/// `WebUtility.UrlEncode`, of Python's `quote` and `quote_plus`, and of Go's `url.QueryEscape`.
const ENCODINGS: [(&str, &str, bool); 7] = [
    ("-_.*", "+", false),
    ("-_.!~*'()", "%20", false),
    ("-_.~", "%20", false),
    ("-_.!*()", "+", false),
    ("-_.~/", "%20", false),
    ("-_.~", "+", false),
    ("", "%20", true),
];

#[test]
fn basic_of_every_library_names_the_same_client() {
    let (_backend, gateway) = world_with(with_odd_client);
    let ask = |field: &str| {
        let form = gateway.post(TOKEN).form("grant_type=client_credentials");
        form.header("Authorization", field).send()
    };
    for (kept, space, lower) in ENCODINGS {
        let [id, secret] = [ODD.name, ODD.secret].map(|text| encoded(text, kept, space, lower));
        for scheme in ["Basic", "basic", "BASIC", "Basic ", "basic  "] {
            let answer = ask(&format!("{scheme} {}", basic(&id, &secret)));
            assert_eq!(answer.status, 200, "{scheme} {id}:{secret}: {}", answer.text());
            assert_eq!(answer.json()["client_id"], ODD.name);
        }
        let answer = ask(&format!("Basic {}", basic(&id, &secret[..secret.len() - 1])));
        assert_eq!((answer.status, answer.json()["error"].as_str()), (401, Some("invalid_client")), "{kept}");
        assert!(answer.header("WWW-Authenticate").unwrap().starts_with("Basic "));
        let twice = encoded(&secret, kept, space, lower);
        assert_eq!(ask(&format!("Basic {}", basic(&id, &twice))).status, 401, "encoded twice: {kept}");
    }
    for field in ["Basic", "Basic ", "Basic: eA==", "Bearer eA==", "Basiceg=="] {
        assert_eq!(ask(field).status, 401, "{field}");
    }
}

#[test]
fn forms_are_read_as_every_library_writes_them() {
    let (_backend, gateway) = world_with(with_codes);
    let field = format!("Basic {}", basic(CLIENT.name, CLIENT.secret));
    let ask = |kind: &str, accept: &str, body: &str| {
        let request = gateway.post(TOKEN).header("Authorization", &field).header("Content-Type", kind);
        request.header("Accept", accept).body(body).send()
    };
    let good = "grant_type=client_credentials";
    for kind in [
        "application/x-www-form-urlencoded;charset=UTF-8",
        "application/x-www-form-urlencoded; charset=utf-8",
        "application/x-www-form-urlencoded; charset=\"utf-8\"",
        "application/x-www-form-urlencoded;",
        "Application/X-WWW-Form-URLEncoded",
    ] {
        let answer = ask(kind, "application/json", good);
        assert_eq!(answer.status, 200, "{kind}: {}", answer.text());
    }
    for accept in ["application/json;charset=UTF-8", "application/json, application/*+json", "*/*", "text/html", ""] {
        let answer = ask(FORM, accept, good);
        assert_eq!(answer.status, 200, "{accept}: {}", answer.text());
        assert!(answer.header("Content-Type").unwrap().starts_with("application/json"));
    }
    // The scopes that come of it: none and an empty one are all that the client has.
    for (body, scope) in [
        ("grant_type=client_credentials&", "profile orders"),
        ("&grant_type=client_credentials", "profile orders"),
        ("grant_type=client_credentials&&scope=orders&", "orders"),
        ("grant_type=client_credentials&scope", "profile orders"),
        ("grant_type=client_credentials&scope=", "profile orders"),
        ("scope=profile+orders&grant_type=client_credentials", "profile orders"),
        ("scope=profile%20orders&grant_type=client_credentials", "profile orders"),
        ("scope=+orders+&grant_type=client%5Fcredentials", "orders"),
        ("grant_type=client_credentials&client_id=asapp&client_secret=&scope=profile", "profile"),
        ("grant_type=client_credentials&audience=x&nonce=1&scope=profile", "profile"),
    ] {
        let answer = ask(FORM, "*/*", body);
        assert_eq!(answer.status, 200, "{body}: {}", answer.text());
        assert_eq!(answer.json()["scope"], scope, "{body}");
    }
    for (kind, body, error) in [
        (FORM, "", "invalid_request"),
        (FORM, "grant_type", "invalid_request"),
        (FORM, "grant_type=client_credentials&scope=orders&scope=profile", "invalid_request"),
        (FORM, "grant_type=client_credentials&scope=orders,profile", "invalid_scope"),
        (FORM, "grant_type=client_credentials;scope=orders", "unsupported_grant_type"),
        (FORM, "grant_type=client_credentials%26scope=orders", "unsupported_grant_type"),
        (FORM, "grant_type=Client_Credentials", "unsupported_grant_type"),
        ("application/x-www-form-urlencoded;charset=UTF-16", good, "invalid_request"),
        ("application/json", "{\"grant_type\":\"client_credentials\"}", "invalid_request"),
    ] {
        let answer = ask(kind, "application/json", body);
        let error = (400, Some(error));
        assert_eq!((answer.status, answer.json()["error"].as_str()), error, "{kind} {body}: {}", answer.text());
    }
}

/// A client with an RSA key, which IdentityModel and MSAL know by its certificate.
fn with_certificate_client(config: Config, key: &RsaKey) -> Config {
    let mut jwk = key.jwk("first");
    (jwk["use"], jwk["x5t"], jwk["x5c"]) = (json!("sig"), json!(key.x5t()), json!([base64(&key.certificate)]));
    in_file(with_odd_client(config), &[jwk])
}

fn asserted(gateway: &Gateway, assertion: &str, more: &str) -> Response {
    let kind = form_encode("urn:ietf:params:oauth:client-assertion-type:jwt-bearer");
    let form = format!("{more}client_assertion_type={kind}&client_assertion={assertion}");
    gateway.post(TOKEN).header("Accept", "application/json").form(&form).send()
}

#[test]
fn client_assertions_of_spring_of_identitymodel_and_of_msal_are_taken_for_either_name_and_once() {
    let key = RsaKey::generate();
    let (_backend, gateway) = world_with(|config| with_certificate_client(config, &key));
    let endpoint = format!("{ISSUER}{TOKEN}");
    let claims = |audience: Value| {
        json!({"iss": SIGNER, "sub": SIGNER, "aud": audience, "jti": base64url(&random::<12>()), "iat": now(),
            "nbf": now(), "exp": now() + 60})
    };
    let x5t = key.x5t();
    let certificate = base64(&key.certificate);
    let headers = [
        // Spring Security; IdentityModel, whose `kid` is the thumbprint in hex; Duende with the newer type; MSAL.
        json!({"kid": "first", "alg": "RS256"}),
        json!({"alg": "RS256", "kid": "first", "x5t": x5t, "typ": "JWT"}),
        json!({"alg": "RS256", "kid": "first", "typ": "client-authentication+jwt"}),
        json!({"alg": "RS256", "typ": "JWT", "x5t": x5t, "x5c": [certificate]}),
    ];
    let credentials = "grant_type=client_credentials&";
    for header in &headers {
        for audience in [json!(endpoint), json!(ISSUER), json!([endpoint]), json!([ISSUER])] {
            let assertion = key.sign(header, &claims(audience.clone()));
            let answer = asserted(&gateway, &assertion, credentials);
            assert_eq!(answer.status, 200, "{header} {audience}: {}", answer.text());
            assert_eq!(answer.json()["client_id"], SIGNER);
            let again = asserted(&gateway, &assertion, credentials);
            assert_eq!((again.status, again.json()["error"].as_str()), (401, Some("invalid_client")), "{header}");
        }
    }
    for audience in [
        json!([ISSUER, endpoint, "https://other.test"]),
        json!(format!("{ISSUER}/oauth/introspect")),
        json!(format!("{endpoint}/")),
        json!("https://localhost/oauth/access_token"),
    ] {
        let answer = asserted(&gateway, &key.sign(&headers[0], &claims(audience.clone())), credentials);
        assert_eq!(answer.status, 401, "{audience}");
    }
}

/// Spring Security's `TokenExchangeOAuth2AuthorizedClientProvider`.
#[test]
fn a_token_exchange_as_spring_security_sends_it_gives_a_token_for_the_same_customer() {
    let (backend, gateway) = world_with(with_odd_client);
    let kind = |name: &str| form_encode(&format!("urn:ietf:params:oauth:token-type:{name}"));
    let [id, secret] = [ODD.name, ODD.secret].map(|text| encoded(text, "-_.*", "+", false));
    let field = format!("Basic {}", basic(&id, &secret));
    let grant = form_encode("urn:ietf:params:oauth:grant-type:token-exchange");
    let customer = gateway.login(ALICE);
    let ask = |more: &str| {
        let body = format!("grant_type={grant}&subject_token={customer}&{more}&scope=profile+orders");
        let request = gateway.post(TOKEN).header("Accept", "application/json;charset=UTF-8");
        let request = request.header("Content-Type", "application/x-www-form-urlencoded;charset=UTF-8");
        request.header("Authorization", &field).body(body).send()
    };
    for (subject, requested) in [("jwt", "access_token"), ("access_token", "access_token"), ("jwt", "jwt")] {
        let types = format!("requested_token_type={}&subject_token_type={}", kind(requested), kind(subject));
        let answer = ask(&types).ok();
        let given = answer.json();
        assert_eq!(given["issued_token_type"], format!("urn:ietf:params:oauth:token-type:{requested}"));
        assert_eq!((&given["token_type"], &given["scope"]), (&json!("Bearer"), &json!("profile orders")));
        let claims = decode(&member(&answer, "access_token")).1;
        assert_eq!((&claims["sub"], &claims["act"]["sub"]), (&decode(&customer).1["sub"], &json!(ODD.name)));
        gateway.get("/me/x").customer(&member(&answer, "access_token")).send().ok();
    }
    backend.forget();
    // With an actor it would be another kind of delegation.
    let actor = format!("subject_token_type={0}&actor_token={customer}&actor_token_type={0}", kind("jwt"));
    let answer = ask(&actor);
    assert_eq!((answer.status, answer.json()["error"].as_str()), (400, Some("invalid_request")));
    backend.assert_untouched();
}

/// MSAL's on-behalf-of flow. RFC 6749 section 3.2: a parameter that nobody knows is ignored. It promises nothing that the
/// grant does not do.
#[test]
fn an_on_behalf_of_request_of_msal_is_a_jwt_bearer_grant_and_asks_for_no_more_scopes_than_the_client_has() {
    let key = RsaKey::generate();
    let (_backend, gateway) = world_with(|config| with_certificate_client(config, &key));
    let customer = gateway.login(ALICE);
    let grant = form_encode("urn:ietf:params:oauth:grant-type:jwt-bearer");
    let ask = |assertion: &str, scope: &str| {
        let claims = json!({"iss": SIGNER, "sub": SIGNER, "aud": format!("{ISSUER}{TOKEN}"), "nbf": now(),
            "exp": now() + 300, "jti": base64url(&random::<12>())});
        let header = json!({"alg": "RS256", "typ": "JWT", "x5t": key.x5t()});
        let more = format!(
            "client_id={SIGNER}&grant_type={grant}&assertion={assertion}&requested_token_use=on_behalf_of&scope={scope}\
             &client_info=1&x-client-SKU=MSAL.NetCore&",
        );
        asserted(&gateway, &key.sign(&header, &claims), &more)
    };
    let answer = ask(&customer, "profile").ok();
    let claims = decode(&member(&answer, "access_token")).1;
    assert_eq!((&claims["sub"], &claims["act"]["sub"]), (&decode(&customer).1["sub"], &json!(SIGNER)));
    gateway.get("/me/x").customer(&member(&answer, "access_token")).send().ok();
    for (assertion, scope, error) in
        [(customer.as_str(), "profile+openid+offline_access", "invalid_scope"), ("x.y.z", "profile", "invalid_grant")]
    {
        let answer = ask(assertion, scope);
        assert_eq!((answer.status, answer.json()["error"].as_str()), (400, Some(error)), "{}", answer.text());
    }
}
