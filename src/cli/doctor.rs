//! `wicketgate doctor`: plays ASAPP from outside against a deployed gateway, and reports what is wrong.

mod access_token;
mod deployed_gateway;
mod html;
mod identifier;
mod login;
mod old_tls;
mod paths;
mod published_keys;
mod report;
mod spoofing;
mod transport;
mod trial_calls;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail};
use clap::Args;
use http::{HeaderName, Method};

use super::say;
use crate::secret::Secret;
use deployed_gateway::DeployedGateway;
use report::DoctorReport;
use trial_calls::TrialCalls;

pub(super) const EXAMPLE: &str = "Example:\n  wicketgate doctor --url https://api.example.com --path /account/getprofile \\\n    \
    --username test-1 --password-file test-1.password --second-username test-2 --second-password-file test-2.password \\\n    \
    --client-id asapp --client-secret-file asapp.secret --api-key-file asapp.key --html report.html\n\n\
    Needs two test accounts, and makes about 60 calls: logins, access tokens and calls of --path, good ones and bad ones.\n\
    What --path does must be harmless. Needs neither gateway.yaml nor access to the gateway's machine.\n\n\
    Exit code: 0 all good, 1 findings, 2 the command was not understood.";

#[derive(Debug, Args)]
pub(super) struct Doctor {
    /// The address of the gateway, as ASAPP calls it.
    #[arg(long, value_name = "URL")]
    url: String,
    /// A test account.
    #[arg(long, value_name = "NAME")]
    username: String,
    /// The file with its password.
    #[arg(long, value_name = "FILE")]
    password_file: PathBuf,
    /// A field of the test account, such as its account number or e-mail address: the identifier must not be made of it
    /// alone. May be repeated.
    #[arg(long, value_name = "VALUE")]
    known: Vec<String>,
    /// Another test account, to see that customers are told apart.
    #[arg(long, value_name = "NAME", requires = "second_password_file")]
    second_username: Option<String>,
    /// The file with its password.
    #[arg(long, value_name = "FILE", requires = "second_username")]
    second_password_file: Option<PathBuf>,
    /// The id of a client.
    #[arg(long, value_name = "ID", requires = "client_secret_file")]
    client_id: Option<String>,
    /// The file with its secret.
    #[arg(long, value_name = "FILE", requires = "client_id")]
    client_secret_file: Option<PathBuf>,
    /// The file with an API key.
    #[arg(long, value_name = "FILE")]
    api_key_file: Option<PathBuf>,
    /// The CA certificate of the gateway, in PEM. Default: those of this system.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The client certificate, in PEM, where the gateway asks for one.
    #[arg(long, value_name = "FILE", requires = "private_key")]
    certificate: Option<PathBuf>,
    /// The private key of the client certificate.
    #[arg(long, value_name = "FILE", requires = "certificate")]
    private_key: Option<PathBuf>,
    /// The path of a protected call.
    #[arg(long, value_name = "PATH", default_value = "/account/getprofile")]
    path: String,
    /// The method of that call.
    #[arg(long, default_value = "POST")]
    method: Method,
    /// The file with the JSON body of that call. Default: none.
    #[arg(long, value_name = "FILE")]
    body_file: Option<PathBuf>,
    /// The path of the login.
    #[arg(long, value_name = "PATH", default_value = "/auth/customer_authenticate")]
    login_path: String,
    /// The path of the token endpoint.
    #[arg(long, value_name = "PATH", default_value = "/oauth/access_token")]
    token_path: String,
    /// The header in which the backend gets the identifier.
    #[arg(long, value_name = "NAME", default_value = "x-customer-id")]
    identifier_header: HeaderName,
    /// The address of the backend, to see that nobody reaches it past the gateway from here.
    #[arg(long, value_name = "URL")]
    backend: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Write the report to this file, as a page to attach to a ticket.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// Calls the gateway in every way that matters, and says what was found.
pub(super) fn doctor(what: &Doctor) -> anyhow::Result<ExitCode> {
    let trial = Trial::read(what)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut report = runtime.block_on(examine(&trial));
    report.fill(&CHECKS, |report, check| why_not_made(&trial, report, check));
    if what.json {
        say(&serde_json::to_string_pretty(&report.json())?)?;
    } else {
        say(&report.text())?;
    }
    if let Some(file) = &what.html {
        std::fs::write(file, html::page(&report)).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(if report.is_good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Everything that is needed for the calls.
struct Trial {
    gateway: DeployedGateway,
    first: TrialAccount,
    known: Vec<String>,
    second: Option<TrialAccount>,
    client: Option<TrialAccount>,
    api_key: Option<Secret>,
    path: String,
    method: Method,
    body: Vec<u8>,
    login_path: String,
    token_path: String,
    identifier_header: HeaderName,
    backend: Option<DeployedGateway>,
}

/// A name with its password or secret.
struct TrialAccount {
    name: String,
    secret: Secret,
}

impl TrialAccount {
    fn secret(&self) -> String {
        String::from_utf8_lossy(self.secret.expose()).into_owned()
    }
}

impl Trial {
    fn read(what: &Doctor) -> anyhow::Result<Self> {
        let gateway = DeployedGateway::at(&what.url, what.ca.as_deref(), client_certificate(what))?;
        let account = |name: &String, file: &PathBuf| {
            Ok::<_, anyhow::Error>(TrialAccount { name: name.clone(), secret: secret(file)? })
        };
        let both = |name: &Option<String>, file: &Option<PathBuf>| {
            name.as_ref().zip(file.as_ref()).map(|(name, file)| account(name, file)).transpose()
        };
        let paths = [&what.path, &what.login_path, &what.token_path];
        if let Some(path) = paths.into_iter().find(|path| !path.starts_with('/')) {
            bail!("{path:?} is no path: it begins with a slash");
        }
        let body = what.body_file.as_deref().map(read).transpose()?.unwrap_or_default();
        Ok(Self {
            gateway,
            first: account(&what.username, &what.password_file)?,
            known: what.known.clone(),
            second: both(&what.second_username, &what.second_password_file)?,
            client: both(&what.client_id, &what.client_secret_file)?,
            api_key: what.api_key_file.as_deref().map(secret).transpose()?,
            path: what.path.clone(),
            method: what.method.clone(),
            body,
            login_path: what.login_path.clone(),
            token_path: what.token_path.clone(),
            identifier_header: what.identifier_header.clone(),
            backend: what.backend.as_deref().map(|url| DeployedGateway::at(url, None, None)).transpose()?,
        })
    }
}

fn client_certificate(what: &Doctor) -> Option<(&Path, &Path)> {
    what.certificate.as_deref().zip(what.private_key.as_deref())
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))
}

/// A secret from a file, without the last line break.
fn secret(file: &Path) -> anyhow::Result<Secret> {
    let mut text = read(file)?;
    while matches!(text.last(), Some(b'\n' | b'\r')) {
        text.pop();
    }
    if text.is_empty() {
        bail!("{} is empty", file.display());
    }
    Ok(Secret::new(text))
}

/// All checks. What is not made of them is said, with the reason.
const CHECKS: [&str; 39] = [
    "tls",
    "certificate",
    "tls_old",
    "plain_http",
    "login",
    "login_no_store",
    "cookie_flags",
    "login_members",
    "login_lifetime",
    "access_token",
    "access_token_no_store",
    "access_token_members",
    "access_token_lifetime",
    "login_second",
    "key_set",
    "key_set_public",
    "token_signature",
    "key_pem",
    "identifier_same",
    "identifier_unique",
    "identifier_opaque",
    "token_not_personal",
    "call",
    "request_id",
    "no_credential",
    "no_customer",
    "tampered_token",
    "unsigned_token",
    "no_client",
    "exchanged_token",
    "wrong_api_key",
    "no_api_key",
    "spoofed_identity",
    "ambiguous_paths",
    "backend_direct",
    "access_token_refused",
    "login_refused",
    "login_method",
    "login_query",
];

fn why_not_made(trial: &Trial, report: &DoctorReport, check: &str) -> String {
    let is_of_client = check.starts_with("access_token") || matches!(check, "no_client" | "exchanged_token");
    if report.is_bad("connection") || (trial.gateway.is_secure() && !report.has("certificate")) {
        return "there is no way to the gateway: see above".to_owned();
    }
    if !trial.gateway.is_secure()
        && (!trial.gateway.is_loopback() || matches!(check, "certificate" | "tls_old" | "plain_http"))
    {
        return "this is plain http, over which no password is sent".to_owned();
    }
    if is_of_client && trial.client.is_none() {
        return "no --client-id was given".to_owned();
    }
    if check.ends_with("_api_key") && trial.api_key.is_none() {
        return "no --api-key-file was given".to_owned();
    }
    let needed = ["login", "access_token", "call"].into_iter().find(|needed| report.is_bad(needed));
    needed.map_or("what it needs was not there, such as a JWT or an answer".to_owned(), |needed| {
        format!("{needed} failed: see there")
    })
}

/// Makes all calls, in an order in which bad ones come last: they count against the accounts.
async fn examine(trial: &Trial) -> DoctorReport {
    let mut report = DoctorReport::new(trial.gateway.url());
    if !transport::check(&trial.gateway, &mut report).await {
        return report;
    }
    let first = login::check(trial, &mut report).await;
    let access_token = access_token::check(trial, &mut report).await;
    let (again, second) = login::others(trial, &mut report).await;
    if let Some(first) = &first {
        published_keys::check(&trial.gateway, first, &mut report).await;
        identifier::check(trial, first, again.as_ref(), second.as_ref(), &mut report);
    }
    if let Some(first) = first {
        let calls = TrialCalls { trial, first, second, access_token };
        if calls.check(&mut report).await {
            spoofing::check(&calls, &mut report).await;
            paths::check(&calls, &mut report).await;
        }
    }
    if let Some(backend) = &trial.backend {
        transport::check_backend(trial, backend, &mut report).await;
    } else {
        report.skip("backend_direct", "no --backend was given");
    }
    access_token::check_refusals(trial, &mut report).await;
    login::check_refusals(trial, &mut report).await;
    report
}
