//! The customer's login: docs/asapp.md, "Customer login".

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderName, Method, header};
use serde_json::Value;

use super::deployed_gateway::{Outgoing, Reply, encoded};
use super::report::DoctorReport;
use super::{Trial, TrialAccount};
use crate::hex::hex;
use crate::secret::random_bytes;

/// Shortest and longest lifetime that an ASAPP conversation can live with, in seconds.
const LIFETIMES: std::ops::RangeInclusive<i64> = 300..=24 * 3600;

/// What to do where something else than the gateway fails.
pub(super) const OF_ANOTHER: &str =
    "Not wicketgate answered, but what stands in front of it: is the gateway running, and can that reach it?";

/// A name that nobody has, and that no earlier run has locked.
pub(super) fn nobody() -> String {
    format!("wicketgate-doctor-{}", hex(&random_bytes::<8>()))
}

/// What a login gave.
#[derive(Debug, Clone)]
pub(super) struct TrialLogin {
    /// The JWT, where there is one.
    pub(super) token: Option<String>,
    /// The claims of the JWT.
    pub(super) claims: Value,
    /// The session cookie as a browser sends it back, where there is one.
    pub(super) cookie: Option<String>,
}

impl TrialLogin {
    fn of(reply: &Reply) -> Self {
        let body = reply.json();
        let token = ["JWT", "jwt", "token"].iter().find_map(|name| body[*name].as_str()).map(str::to_owned);
        let claims = token.as_deref().and_then(claims_of).unwrap_or_default();
        let cookie = reply.headers.get(header::SET_COOKIE).and_then(|cookie| cookie.to_str().ok());
        let cookie = cookie.and_then(|cookie| cookie.split(';').next()).map(str::to_owned);
        Self { token, claims, cookie }
    }

    /// The header that shows the customer.
    pub(super) fn credential(&self) -> Option<(HeaderName, String)> {
        let token = self.token.as_ref().map(|token| (HeaderName::from_static("customer-auth"), format!("JWT {token}")));
        token.or_else(|| Some((header::COOKIE, self.cookie.clone()?)))
    }
}

/// The claims of a JWT, unverified.
pub(super) fn claims_of(token: &str) -> Option<Value> {
    let payload = token.split('.').nth(1)?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}

fn call(trial: &Trial, account: &TrialAccount) -> Outgoing {
    Outgoing::form(&trial.login_path, &[("username", &account.name), ("password", &account.secret())])
}

/// Logs in the first account; what it got.
pub(super) async fn check(trial: &Trial, report: &mut DoctorReport) -> Option<TrialLogin> {
    const FIX: &str = "See that the account exists and its password is right, then `login` of gateway.yaml";
    let reply = match trial.gateway.send(&call(trial, &trial.first)).await {
        Ok(reply) => reply,
        Err(error) => {
            report.note("login", false, error.to_string(), FIX);
            return None;
        }
    };
    let login = TrialLogin::of(&reply);
    let has_credential = login.credential().is_some();
    let fix = if reply.is_of_another() { OF_ANOTHER } else { FIX };
    report.note("login", reply.status == 200 && has_credential, format!("the answer is {}", reply.shown()), fix);
    if !has_credential {
        return None;
    }
    let no_store = reply.header(header::CACHE_CONTROL).contains("no-store");
    report.note(
        "login_no_store",
        no_store,
        format!("Cache-Control: {}", reply.header(header::CACHE_CONTROL)),
        "A proxy in front removes or changes Cache-Control: have it leave the header",
    );
    cookie_flags(&reply, report);
    if login.token.is_some() {
        shape(&reply.json(), report);
        lifetime(&reply.json(), &login.claims, report);
    }
    Some(login)
}

/// docs/asapp.md, requirement 1: exactly three members, all strings.
fn shape(body: &Value, report: &mut DoctorReport) {
    let members: Vec<&String> = body.as_object().map(|members| members.keys().collect()).unwrap_or_default();
    let mut faults: Vec<String> = ["issued_at", "JWT", "expires_in"]
        .iter()
        .filter(|name| !body[**name].is_string())
        .map(|name| format!("{name} is no JSON string"))
        .collect();
    let known = |name: &&&String| {
        !["issued_at", "JWT", "expires_in", "refresh_token", "refresh_expires_in"].contains(&name.as_str())
    };
    faults.extend(members.iter().filter(known).map(|name| format!("{name:?} is not among ASAPP's members")));
    report.note_faults(
        "login_members",
        &faults,
        "issued_at, JWT and expires_in are JSON strings",
        "Set `login.number_style: string`; ASAPP's page shows strings",
    );
}

fn number(value: &Value) -> Option<i64> {
    value.as_i64().or_else(|| value.as_str()?.parse().ok())
}

/// docs/asapp.md, requirement 8.
fn lifetime(body: &Value, claims: &Value, report: &mut DoctorReport) {
    let mut faults = Vec::new();
    let (iat, exp) = (number(&claims["iat"]), number(&claims["exp"]));
    let expires_in = number(&body["expires_in"]);
    match (iat, exp, expires_in) {
        (Some(iat), Some(exp), Some(expires_in)) => {
            if (exp - iat - expires_in).abs() > 1 {
                faults.push(format!("expires_in is {expires_in}, and exp - iat is {}", exp - iat));
            }
            if !LIFETIMES.contains(&(exp - iat)) {
                faults.push(format!(
                    "it lives for {} s: a conversation needs minutes, and nothing more than a day",
                    exp - iat
                ));
            }
            let now = time::OffsetDateTime::now_utc().unix_timestamp();
            if (now - iat).abs() > 60 {
                faults.push(format!("the clocks differ by {} s: this machine's and the gateway's", (now - iat).abs()));
            }
        }
        _ => faults.push("iat, exp or expires_in is missing".to_owned()),
    }
    if let (Some(issued_at), Some(iat)) = (number(&body["issued_at"]), iat)
        && issued_at.div_euclid(1000) != iat
    {
        faults.push(format!("issued_at is {issued_at}, which is not iat ({iat}) in milliseconds"));
    }
    let lives = exp.unwrap_or_default() - iat.unwrap_or_default();
    report.note_faults(
        "login_lifetime",
        &faults,
        &format!("the JWT lives for {lives} s, as expires_in says"),
        "Set `login.lifetime`, and set the clocks by NTP",
    );
}

/// docs/asapp.md, requirement 27.
fn cookie_flags(reply: &Reply, report: &mut DoctorReport) {
    let cookies: Vec<&str> =
        reply.headers.get_all(header::SET_COOKIE).iter().filter_map(|cookie| cookie.to_str().ok()).collect();
    if cookies.is_empty() {
        report.skip("cookie_flags", "the login sets no cookie");
        return;
    }
    let mut faults = Vec::new();
    for cookie in cookies {
        let name = cookie.split('=').next().unwrap_or_default();
        let has = |flag: &str| cookie.split(';').skip(1).any(|part| part.trim().to_ascii_lowercase().starts_with(flag));
        for (flag, shown) in [("secure", "Secure"), ("httponly", "HttpOnly"), ("samesite=", "SameSite")] {
            if !has(flag) {
                faults.push(format!("the cookie {name} lacks {shown}"));
            }
        }
    }
    report.note_faults(
        "cookie_flags",
        &faults,
        "Secure, HttpOnly and SameSite are set",
        "A proxy in front rewrites Set-Cookie: have it leave the header",
    );
}

/// Logs in the first account once more, as another channel would, and the second one.
pub(super) async fn others(trial: &Trial, report: &mut DoctorReport) -> (Option<TrialLogin>, Option<TrialLogin>) {
    let phone = call(trial, &trial.first).header(header::USER_AGENT, "Example/1.0 (iPhone; iOS 26.0)");
    let again = trial.gateway.send(&phone).await.ok().map(|reply| TrialLogin::of(&reply));
    let second = match &trial.second {
        None => {
            report.skip("login_second", "no --second-username was given");
            None
        }
        Some(account) => match trial.gateway.send(&call(trial, account)).await {
            Ok(reply) => {
                let login = TrialLogin::of(&reply);
                let good = login.credential().is_some();
                let saw = format!("the answer to the second account is {}", reply.shown());
                const FIX: &str = "See that the second account exists and its password is right";
                let fix = if reply.is_of_another() { OF_ANOTHER } else { FIX };
                report.note("login_second", good, saw, fix);
                good.then_some(login)
            }
            Err(error) => {
                report.note("login_second", false, error.to_string(), "Try again: the first account got an answer");
                None
            }
        },
    };
    (again.filter(|login| login.credential().is_some()), second)
}

/// Wrong logins: docs/asapp.md, requirements 3 and 15.
pub(super) async fn check_refusals(trial: &Trial, report: &mut DoctorReport) {
    let nobody = nobody();
    let stranger = Outgoing::form(&trial.login_path, &[("username", &nobody), ("password", "not-a-password-1")]);
    let wrong = Outgoing::form(&trial.login_path, &[("username", &trial.first.name), ("password", "not-a-password-1")]);
    let (unknown, wrong) = (trial.gateway.send(&stranger).await, trial.gateway.send(&wrong).await);
    if let (Ok(unknown), Ok(wrong)) = (unknown, wrong) {
        let mut faults = Vec::new();
        for (reply, what) in [(&unknown, "an unknown user"), (&wrong, "a wrong password")] {
            if reply.status == 429 {
                faults.push(format!("{what} is locked by attempts before: `wicketgate attempts clear`"));
            } else if reply.status != 401 {
                faults.push(format!("{what} is {}", reply.shown()));
            }
        }
        let is_locked = unknown.status == 429 || wrong.status == 429;
        if !is_locked && anonymous(&unknown) != anonymous(&wrong) {
            faults.push("the answers tell who exists".to_owned());
        }
        report.note_faults(
            "login_refused",
            &faults,
            "a wrong password and an unknown user get the same 401",
            "401 only with one body for both; a 429 means that the account is locked: `wicketgate attempts list`",
        );
    }
    let by_get = trial.gateway.send(&Outgoing::new(Method::GET, &trial.login_path)).await;
    if let Ok(reply) = by_get {
        let good = reply.status == 405 && reply.header(header::ALLOW).contains("POST");
        report.note("login_method", good, format!("GET is {}", reply.shown()), "Only POST may reach the login");
    }
    // Not the password itself: what stands in a query is logged by whoever stands in front.
    let path = format!("{}?username={}&password=not-a-password-1", trial.login_path, encoded(&nobody));
    if let Ok(reply) = trial.gateway.send(&Outgoing::new(Method::POST, path)).await {
        let saw = format!("a password in the query is {}", reply.shown());
        report.note("login_query", reply.status == 400, saw, "The login must refuse secrets in a query by 400");
    }
}

/// A refusal without what differs each time.
fn anonymous(reply: &Reply) -> (u16, Value) {
    let mut body = reply.json();
    if let Some(error) = body.get_mut("error").and_then(Value::as_object_mut) {
        error.remove("requestId");
    }
    (reply.status, body)
}
