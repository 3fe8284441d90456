//! Customers who log in on the page of the gateway, as a browser does it, for clients that get authorization codes.

use super::gateway::form_encode;
use super::keys::argon2id;
use super::{Account, CLIENT, Config, Gateway, OTHER_CLIENT, Request, Response, json};

pub(crate) const AUTHORIZE: &str = "/oauth/authorize";
pub(crate) const CALLBACK: &str = "https://app.test/callback";
/// A verifier and its challenge (RFC 7636, appendix B).
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub(crate) const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
/// A client without a secret.
pub(crate) const APP: &str = "app";

/// Two clients with secrets, of which the second need not use PKCE, and one without.
pub(crate) fn with_codes(config: Config) -> Config {
    config.set(
        "/clients",
        json!([
            {"id": CLIENT.name, "secrets": [argon2id(CLIENT.secret)], "scopes": ["profile", "orders"],
             "redirect_uris": [CALLBACK, "https://app.test/other?tenant=a"]},
            {"id": OTHER_CLIENT.name, "secrets": [argon2id(OTHER_CLIENT.secret)], "redirect_uris": ["https://other.test/cb"],
             "pkce": "optional"},
            {"id": APP, "public": true, "redirect_uris": ["https://spa.test/cb", "http://127.0.0.1/cb"]},
        ]),
    )
}

/// The query of a right authorization request of the first client.
pub(crate) fn query() -> Vec<(&'static str, String)> {
    query_of(CLIENT.name, CALLBACK)
}

pub(crate) fn query_of(client: &str, redirect_uri: &str) -> Vec<(&'static str, String)> {
    let pairs = [
        ("response_type", "code"),
        ("client_id", client),
        ("redirect_uri", redirect_uri),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
        ("state", "s-1"),
    ];
    pairs.map(|(name, value)| (name, value.to_owned())).to_vec()
}

/// The same with another value of a parameter; without it where the value is empty.
pub(crate) fn with(
    mut pairs: Vec<(&'static str, String)>,
    name: &'static str,
    value: &str,
) -> Vec<(&'static str, String)> {
    pairs.retain(|(known, _)| *known != name);
    if !value.is_empty() {
        pairs.push((name, value.to_owned()));
    }
    pairs
}

pub(crate) fn encoded(pairs: &[(&'static str, String)]) -> String {
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={}", form_encode(value))).collect();
    pairs.join("&")
}

/// An authorization request, as a browser sends it.
pub(crate) fn authorize(gateway: &Gateway, pairs: &[(&'static str, String)]) -> Request {
    gateway.get(&format!("{AUTHORIZE}?{}", encoded(pairs)))
}

/// A login form that a browser shows.
#[derive(Debug, Clone)]
pub(crate) struct OpenForm {
    /// `name=value` of its cookie.
    pub(crate) cookie: String,
    pub(crate) sealed: String,
}

impl OpenForm {
    #[track_caller]
    pub(crate) fn of(page: &Response) -> Self {
        let cookie = page.all("Set-Cookie").into_iter().find(|line| line.starts_with("__Host-authorize="));
        let cookie = cookie.unwrap_or_else(|| panic!("no cookie: {:?}", page.lines));
        let text = page.text();
        let sealed = text.split("name=\"authorization\" value=\"").nth(1).unwrap_or_else(|| panic!("no form: {text}"));
        Self {
            cookie: cookie.split(';').next().unwrap().to_owned(),
            sealed: sealed.split('"').next().unwrap().to_owned(),
        }
    }

    #[track_caller]
    pub(crate) fn open(gateway: &Gateway, pairs: &[(&'static str, String)]) -> Self {
        Self::of(&authorize(gateway, pairs).send().ok())
    }

    /// The form as it is sent with this name and password.
    pub(crate) fn filled(&self, gateway: &Gateway, name: &str, password: &str) -> Request {
        let [name, password] = [name, password].map(form_encode);
        gateway
            .post(AUTHORIZE)
            .header("Cookie", &self.cookie)
            .form(&format!("authorization={}&username={name}&password={password}", self.sealed))
    }
}

/// A parameter of the address to which the browser is sent.
#[track_caller]
pub(crate) fn returned(answer: &Response, name: &str) -> Option<String> {
    assert_eq!(answer.status, 303, "{:?} {}", answer.lines, answer.text());
    let location = answer.header("Location").unwrap();
    let (_, query) = location.split_once('?').unwrap();
    let values: Vec<&str> = query.split('&').filter_map(|pair| pair.strip_prefix(&format!("{name}="))).collect();
    assert!(values.len() <= 1, "{name} repeated: {location}");
    values.first().map(|value| percent_encoding::percent_decode_str(value).decode_utf8().unwrap().into_owned())
}

/// The code that a login of this customer gives.
#[track_caller]
pub(crate) fn code(gateway: &Gateway, pairs: &[(&'static str, String)], account: Account) -> String {
    let answer = OpenForm::open(gateway, pairs).filled(gateway, account.name, account.secret).send();
    returned(&answer, "code").unwrap_or_else(|| panic!("no code: {:?}", answer.lines))
}

/// The exchange of a code by the first client.
pub(crate) fn redeem(gateway: &Gateway, code: &str) -> Request {
    let id = format!("client_id={}&client_secret={}", CLIENT.name, CLIENT.secret);
    redeem_as(gateway, &id, CALLBACK, code, VERIFIER)
}

/// The exchange of a code with these parameters of a client; without a verifier where that is empty.
pub(crate) fn redeem_as(gateway: &Gateway, id: &str, redirect_uri: &str, code: &str, verifier: &str) -> Request {
    let verifier = if verifier.is_empty() { String::new() } else { format!("&code_verifier={verifier}") };
    let redirect_uri = form_encode(redirect_uri);
    gateway
        .post("/oauth/access_token")
        .form(&format!("grant_type=authorization_code&code={code}&redirect_uri={redirect_uri}{verifier}&{id}"))
}
