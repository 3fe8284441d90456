//! `wicketgate explain`: a refusal by its request id, or what would happen to a request.

mod curl;
mod offline;
mod page;
mod pasted_command;
mod shell_words;

use std::io::Write as _;
use std::net::IpAddr;
use std::path::Path;
use std::process::ExitCode;

use anyhow::bail;
use clap::Args;
use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::admin_client::{ExpectedAnswer, ask};
use super::{ConfigFile, say};
use crate::config;
use crate::explanation::{CheckStep, Decision, Explanation, StepVerdict};
use crate::gateway::explain::question::ExplainQuestion;
use crate::secret::has_secret_shape;
use curl::CurlRequest;
use pasted_command::{is_curl, pasted_words};

pub(super) const EXAMPLE: &str = "Examples:\n  wicketgate explain 5f1c9e0a77d2b348-1a    by the X-Request-Id of a refusal\n  \
    wicketgate explain -- curl https://api.example.com/account/x -H 'Authorization: Bearer ...'\n  \
    wicketgate explain --method POST --url https://api.example.com/account/x --header 'Api-Key: ...'\n  \
    wicketgate explain --offline --config new.yaml -- curl https://api.example.com/public/x\n\n\
    Asks the running gateway, or, with --offline, reads only gateway.yaml. Nothing is sent to a backend and nothing is\n\
    counted. Secrets are not shown.\n\n\
    Exit code: 0 it passes, also where the route only observes; 3 it is refused; 1 not found or not readable; 2 the\n\
    command was not understood.";

/// The exit code of a refused request.
const REFUSED: u8 = 3;

#[derive(Debug, Args)]
pub(super) struct Explain {
    /// The request id of a refusal, or a whole curl command in quotes.
    #[arg(value_name = "REQUEST_ID", conflicts_with_all = ["command", "url"])]
    request: Option<String>,
    /// A curl command.
    #[arg(last = true, value_name = "curl ...", conflicts_with = "url")]
    command: Vec<String>,
    /// The method of the request. Default: GET, or POST with --data.
    #[arg(long, requires = "url")]
    method: Option<String>,
    /// The address of the request.
    #[arg(long)]
    url: Option<String>,
    /// A header field, as 'Name: value'. May be repeated.
    #[arg(long, value_name = "FIELD", requires = "url")]
    header: Vec<String>,
    /// The body of the request; @FILE reads it.
    #[arg(long, value_name = "TEXT", requires = "url")]
    data: Option<String>,
    /// The address that the request comes from. Default: 127.0.0.1.
    #[arg(long, value_name = "ADDRESS")]
    client_address: Option<IpAddr>,
    /// The number of the listener, from 0. Default: the one of the port, else the first for the host.
    #[arg(long, value_name = "NUMBER")]
    listener: Option<usize>,
    /// Of several refusals with this id, the one of this time, in milliseconds since 1970.
    #[arg(long, value_name = "MILLISECONDS", requires = "request")]
    at: Option<u64>,
    /// Read gateway.yaml, and ask no gateway: sessions, revocations, limits and fetched keys are not known.
    #[arg(long)]
    offline: bool,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    file: ConfigFile,
}

/// Explains; the exit code says what came of the request.
///
/// # Errors
/// The refusal is not known, or the request cannot be read.
pub(super) fn explain(what: &Explain) -> anyhow::Result<ExitCode> {
    let file = &what.file.config;
    let mut refusal = Value::Null;
    let mut explanation = match what.question()? {
        Some(question) if what.offline => offline::explain(file, &question)?,
        Some(question) => asked(file, &question)?,
        None => {
            let id = what.request.as_deref().unwrap_or_default().trim();
            let answer = answer_about(file, id, what.at)?;
            refusal = answer["refusal"].clone();
            found(&answer)?
        }
    };
    fill_lines(&mut explanation, file);
    if what.json {
        say(&serde_json::to_string_pretty(&explanation)?)?;
    } else {
        say(&page::page(&explanation, &refusal, file))?;
        if what.offline {
            say("offline: sessions, revocations, rate limits, quotas and keys that are fetched are not known here")?;
        }
    }
    Ok(match explanation.verdict {
        Decision::Passed => ExitCode::SUCCESS,
        Decision::Refused => ExitCode::from(REFUSED),
    })
}

impl Explain {
    /// The request that is asked about; `None` for a request id.
    fn question(&self) -> anyhow::Result<Option<ExplainQuestion>> {
        let request = self.request.as_deref().map(str::trim);
        let curl = match request.map(pasted_words).transpose()?.flatten() {
            Some(words) => Some(words),
            None if !self.command.is_empty() => Some(self.command.clone()),
            None => None,
        };
        let mut question = match (curl, &self.url) {
            (Some(words), _) => {
                if !words.first().is_some_and(|word| is_curl(word)) {
                    bail!("this is no curl command: what stands behind -- has to begin with curl");
                }
                let request = CurlRequest::read(&words[1..])?;
                for note in &request.notes {
                    writeln!(std::io::stderr(), "note: {note}")?;
                }
                request.question()?
            }
            (None, Some(url)) => self.by_flags(url)?,
            (None, None) if self.offline => bail!("--offline needs a request: -- curl ..., or --url"),
            (None, None) if request.is_some_and(|text| !text.is_empty()) => return Ok(None),
            (None, None) => bail!("name a request id, or give a request: -- curl ..., or --url. See --help"),
        };
        question.client_address = self.client_address;
        question.listener = self.listener;
        Ok(Some(question))
    }

    fn by_flags(&self, url: &str) -> anyhow::Result<ExplainQuestion> {
        let mut words: Vec<String> = ["--path-as-is", "--url", url].map(str::to_owned).into();
        let mut add = |name: &str, value: &str| words.extend([name.to_owned(), value.to_owned()]);
        for header in &self.header {
            add("--header", header);
        }
        if let Some(method) = &self.method {
            add("--request", method);
        }
        if let Some(data) = &self.data {
            add("--data-binary", data);
        }
        // What curl would add is not asked for.
        for unasked in ["User-Agent:", "Accept:", "Content-Type:"] {
            let name = unasked.trim_end_matches(':');
            let is_given =
                |field: &String| field.split(':').next().is_some_and(|given| given.eq_ignore_ascii_case(name));
            if !self.header.iter().any(is_given) {
                add("--header", unasked);
            }
        }
        CurlRequest::read(&words)?.question()
    }
}

/// What the running gateway knows of the refusal with this request id.
fn answer_about(file: &Path, id: &str, at: Option<u64>) -> anyhow::Result<Value> {
    if has_secret_shape(id) {
        bail!(
            "this looks like a secret, and is no request id: see X-Request-Id of the response, or `request_id` of the access log"
        );
    }
    let time = at.map(|at| format!("?at={at}")).unwrap_or_default();
    let target = format!("/refusals/{}{time}", utf8_percent_encode(id, NON_ALPHANUMERIC));
    let expected = ExpectedAnswer { at: "/refusal", what: "which refusal that is" };
    let answer = ask(file, Method::GET, &target, None, expected)?;
    let times: Vec<String> = answer["times_ms"].as_array().into_iter().flatten().map(Value::to_string).collect();
    if at.is_none() && times.len() > 1 {
        let (count, times) = (times.len(), times.join(", "));
        writeln!(std::io::stderr(), "{count} refusals have this id; --at MILLISECONDS chooses: {times}")?;
    }
    Ok(answer)
}

/// The explanation in that answer.
fn found(answer: &Value) -> anyhow::Result<Explanation> {
    if !answer["explanation"].is_null() {
        return Ok(serde_json::from_value(answer["explanation"].clone())?);
    }
    let text = |key: &str| answer["refusal"][key].as_str().map(str::to_owned);
    let is_observed = answer["refusal"]["observed"] == Value::Bool(true);
    Ok(Explanation {
        verdict: if is_observed { Decision::Passed } else { Decision::Refused },
        refusal: text("refusal"),
        status: answer["refusal"]["status"].as_u64().and_then(|status| u16::try_from(status).ok()),
        code: text("code"),
        route: text("route").filter(|name| name != "none"),
        steps: vec![CheckStep {
            check: "summary".to_owned(),
            verdict: if is_observed { StepVerdict::Observed } else { StepVerdict::Refused },
            wanted: String::new(),
            saw: "too many refusals at that moment to explain each; send the request again, or give it by -- curl ..."
                .to_owned(),
            key: None,
            line: None,
        }],
        identifier: None,
        backend_request: Vec::new(),
        remedy: None,
    })
}

/// What the running gateway says of a request.
fn asked(file: &Path, question: &ExplainQuestion) -> anyhow::Result<Explanation> {
    let expected = ExpectedAnswer { at: "/verdict", what: "what would happen" };
    let body = serde_json::to_value(question)?;
    let answer = ask(file, Method::POST, "/explain", Some(body), expected).map_err(|error| {
        let hint = if format!("{error:#}").contains("cannot reach the gateway") {
            "; or explain it by gateway.yaml alone: --offline"
        } else {
            ""
        };
        anyhow::anyhow!("{error:#}{hint}")
    })?;
    Ok(serde_json::from_value(answer)?)
}

/// Fills in the lines of gateway.yaml. Where the file cannot be read any more, there are none.
fn fill_lines(explanation: &mut Explanation, file: &Path) {
    let Ok((config, _)) = config::read_draft(file) else { return };
    for step in &mut explanation.steps {
        step.line = step.key.as_deref().and_then(|key| config.line_of(key));
    }
}
