//! The company's own login: asked with the username and the password, and what its answers mean.

use bytes::Bytes;
use http::{Method, Request, header};
use hyper::body::Body as _;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::super::customer_token::CustomerClaims;
use super::super::form::FORM;
use super::{LoginForm, ProvedLogin};
use crate::backend::admission::circuit_breaker::Try;
use crate::backend::pool::response_body::AnswerBody;
use crate::backend::pool::{Deadlines, Repeat, SendOptions, SendProgress};
use crate::backend::{Failure, SentHost};
use crate::body_stream::{Pace, RequestBody};
use crate::config::raw::LoginEncoding;
use crate::gateway::Gateway;
use crate::gateway::connection::client_address::X_FORWARDED_FOR;
use crate::gateway::host::Host;
use crate::gateway::observe::record::Record;
use crate::gateway::request::call::Call;
use crate::gateway::request::request_id::REQUEST_ID;
use crate::gateway::response::text_form::TextForm;
use crate::json_body::{self, JsonFault};
use crate::policy::Login;
use crate::policy::accounts::LoginBackend;
use crate::refusal::Refusal;

/// Largest response of the login backend, in bytes.
const MAX_ANSWER: usize = 64 * 1024;
/// Most bytes of its claims together, as JSON: each request of the customer carries them.
const MAX_CLAIMS: usize = 2 * 1024;

impl Gateway {
    /// Asks the login backend. Only its clear no is a no, whomever it is about; any other failure is an outage, never a
    /// 401. So is a 429: it has not looked at the password, and mostly counts the requests of this gateway.
    pub(super) async fn by_backend(
        &self,
        call: &Call<'_>,
        login: &Login,
        asked: &LoginBackend,
        typed: LoginForm<'_>,
        record: &mut Record,
    ) -> Result<ProvedLogin, Refusal> {
        let backend = &asked.backend;
        let request_id = record.request_id.clone();
        let note = &record.backend_fault;
        let outage = |kind: &'static str, status: Option<u16>| {
            self.worker_metrics().backend_failed(&backend.name, kind);
            backend.admission.log_login_outage(status, kind, &request_id);
            match status {
                Some(status) if kind == "status" => note.note_backend(format_args!("{status} from the login backend")),
                Some(_) => note.note_backend("unusable answer of the login backend"),
                None => {}
            }
            Refusal::LoginBackend
        };
        let gone = |failure: Failure| {
            note.note_otherwise(failure.phrase());
            outage(failure.as_str(), None)
        };
        let _permit = backend.enter(Try::Complete).await.map_err(gone)?;
        let mut request = login_request(asked, typed, &call.head.host, record).ok_or(Refusal::Internal)?;
        record.trace.write(request.headers_mut());
        record.trace.asks("POST", &backend.name);
        let sent = std::time::Instant::now();
        let body = Pace { pause: backend.timeout, until: sent + backend.timeout * 2 };
        let patience = Deadlines { now: sent, head: backend.timeout, body };
        let sending = SendProgress::new(sent);
        let options = SendOptions {
            repeat: Repeat::Unsent,
            key: None,
            caller: Some(record.source.address),
            patience,
            sending: &sending,
            request_id: &record.request_id,
            fault: note,
        };
        let answer = self.pool.send(backend, &mut Some(request), options).await;
        record.backend_time = Some(sending.begun().elapsed());
        let told = answer.as_ref().map(|response| (response.status().as_u16(), response.body().server()));
        record.trace.answered(0, told.map_err(|failure| failure.as_str()));
        let response = answer.map_err(gone)?;
        backend.note_answer(std::time::Instant::now());
        let status = response.status();
        match status {
            status if status.is_success() => {}
            status if asked.denials.contains(&status.as_u16()) => return Err(Refusal::LoginWrongPassword),
            _ => return Err(outage("status", Some(status.as_u16()))),
        }
        let unreadable = || outage("answer", Some(status.as_u16()));
        let (head, body) = response.into_parts();
        let server = body.server().to_owned();
        let answer = read_answer(body).await.ok_or_else(unreadable)?;
        let answer =
            TextForm::of(&head.headers).and_then(|form| form.in_utf8(answer, MAX_ANSWER)).map_err(|fault| {
                backend.log_bad_response(&server, &request_id, &fault);
                unreadable()
            })?;
        let read = Answer { asked, body: &answer };
        if read.says_no().map_err(|_| unreadable())? {
            return Err(Refusal::LoginWrongPassword);
        }
        let subject = read.subject().ok_or_else(unreadable)?;
        let claims = read.claims().ok_or_else(unreadable)?;
        let deriver = call.policy.auth.deriver.as_ref().ok_or(Refusal::Internal)?;
        let customer = deriver.derive(&login.tenant, &subject).map_err(|_| unreadable())?;
        Ok((customer, claims, None))
    }
}

/// The answer to a right password, or to a wrong one where that is said in the body.
struct Answer<'a> {
    asked: &'a LoginBackend,
    body: &'a [u8],
}

impl Answer<'_> {
    fn says_no(&self) -> Result<bool, JsonFault> {
        let Some(denial) = &self.asked.denial else { return Ok(false) };
        Ok(json_body::read_value(self.body, &denial.pointer)?.is_some_and(|value| denial.values.contains(&value)))
    }

    fn subject(&self) -> Option<String> {
        json_body::read_name(self.body, &self.asked.subject).ok().flatten()
    }

    /// The claims that are there; `None` where they are too long for a token, or the body has two readings.
    fn claims(&self) -> Option<CustomerClaims> {
        let mut claims = CustomerClaims::new();
        let mut length = 0;
        for (claim, pointer) in &self.asked.claims {
            let value = json_body::read_value(self.body, pointer).ok()?;
            if let Some(value) = value.filter(|value| !value.is_null()) {
                length += value.to_string().len();
                claims.insert(claim.clone(), value);
            }
        }
        (length <= MAX_CLAIMS).then_some(claims)
    }
}

fn login_request(
    asked: &LoginBackend,
    LoginForm { username, password }: LoginForm<'_>,
    host: &Host,
    record: &Record,
) -> Option<Request<RequestBody>> {
    let [name, secret] = [&asked.fields.username, &asked.fields.password];
    let (kind, body) = match asked.encoding {
        LoginEncoding::Json => {
            ("application/json", serde_json::json!({ name: username, secret: password }).to_string())
        }
        LoginEncoding::Form => {
            let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
            let (name, secret) = (encode(name), encode(secret));
            (FORM, format!("{name}={}&{secret}={}", encode(username), encode(password)))
        }
    };
    let sent_host = match &asked.backend.host {
        SentHost::Name(name) => name,
        // The pool writes that of the server that is asked.
        SentHost::Caller | SentHost::Server => &host.authority,
    };
    let request = Request::builder()
        .method(Method::POST)
        .uri(asked.path.as_str())
        .header(header::HOST, sent_host)
        .header(header::CONTENT_TYPE, kind)
        .header(header::ACCEPT, "application/json")
        .header(X_FORWARDED_FOR, &record.source.forwarded_for)
        .header(REQUEST_ID, &record.request_id);
    let mut request = request.body(RequestBody::Full(body.into())).ok()?;
    if let Some(credential) = &asked.backend.authorization {
        credential.write(request.headers_mut()).ok()?;
    }
    Some(request)
}

async fn read_answer(mut body: AnswerBody) -> Option<Bytes> {
    let mut all = Vec::new();
    while let Some(frame) = std::future::poll_fn(|context| std::pin::Pin::new(&mut body).poll_frame(context)).await {
        if let Ok(data) = frame.ok()?.into_data() {
            all.extend_from_slice(&data);
        }
        if all.len() > MAX_ANSWER {
            return None;
        }
    }
    Some(all.into())
}
