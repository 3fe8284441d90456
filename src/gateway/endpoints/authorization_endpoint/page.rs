//! The login page: HTML without scripts and without anything from elsewhere.

use http::header::{self, HeaderName, HeaderValue};
use http::{Response, StatusCode};

use super::request::ReturnAddress;
use crate::gateway::error::{self, Refused};
use crate::gateway::response::body::ResponseBody;
use crate::policy::login_page::LoginPage;
use crate::refusal::Refusal;

const UNAVAILABLE: &str = "Login is not available at the moment. Try again in a minute.";
const X_FRAME_OPTIONS: HeaderName = HeaderName::from_static("x-frame-options");

/// A login form for a customer.
pub(super) struct LoginFormPage<'a> {
    pub(super) look: &'a LoginPage,
    /// The sealed authorization request.
    pub(super) sealed: &'a str,
    /// Where it leads.
    pub(super) to: &'a ReturnAddress,
    /// The user name that was typed before.
    pub(super) username: &'a str,
    /// The reason why the form is shown again.
    pub(super) refused: Option<&'a Refused>,
}

impl LoginFormPage<'_> {
    /// The page.
    pub(super) fn response(&self) -> Response<ResponseBody> {
        let Self { look, sealed, to, username, refused } = self;
        let (alert, fault) = match refused {
            Some(refused) => {
                let invalid =
                    if error::row(refused.refusal).status.is_client_error() { r#" aria-invalid="true""# } else { "" };
                let text = escaped(&remedy(refused));
                (format!(r#"<p role="alert" id="fault">{text}</p>"#), format!(r#" aria-describedby="fault"{invalid}"#))
            }
            None => Default::default(),
        };
        let [on_name, on_password] = if username.is_empty() { [" autofocus", ""] } else { ["", " autofocus"] };
        let name = escaped(username);
        let sealed = escaped(sealed);
        let content = format!(
            r#"{alert}<form method="post" action="authorize">
<input type="hidden" name="authorization" value="{sealed}">
<label for="username">Username</label>
<input id="username" name="username" type="text" value="{name}" autocomplete="username" autocapitalize="none" spellcheck="false" maxlength="1000" required{on_name}{fault}>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" maxlength="1000" required{on_password}{fault}>
<button type="submit">Log in</button>
</form>"#
        );
        let status = refused.map_or(StatusCode::OK, |refused| error::row(refused.refusal).status);
        let mut response = page(look, status, Some(&to.sources()), &content, refused.is_some());
        if let Some(refused) = refused {
            advise(&mut response, refused);
        }
        response
    }
}

/// A page that leads nowhere.
pub(super) fn fault_page(look: &LoginPage, refused: &Refused) -> Response<ResponseBody> {
    let status = error::row(refused.refusal).status;
    let text = match refused.refusal {
        Refusal::LoginForm => {
            "This page has expired, or your browser does not accept its cookie. Go back to the application that you came \
             from, and log in again."
        }
        _ if status.is_server_error() => UNAVAILABLE,
        _ => "This link is not valid. Go back to the application that you came from, and log in from there.",
    };
    let content = format!(r#"<p role="alert">{text}</p>"#);
    let mut response = page(look, status, None, &content, true);
    advise(&mut response, refused);
    response
}

fn page(
    look: &LoginPage,
    status: StatusCode,
    leads_to: Option<&str>,
    content: &str,
    is_fault: bool,
) -> Response<ResponseBody> {
    let LoginPage { title, style, sources } = look;
    let (heading, begin) = (escaped(title), if is_fault { "Error: " } else { "" });
    let html = format!(
        r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{begin}{heading}</title>
<style>{style}</style>
</head>
<body>
<main>
<h1>{heading}</h1>
{content}
</main>
</body>
</html>
"#
    );
    // `form-action` also holds for the redirect after the form.
    let action = leads_to.map_or("'none'".to_owned(), |sources| format!("'self' {sources}"));
    let policy =
        format!("default-src 'none'; {sources}; form-action {action}; base-uri 'none'; frame-ancestors 'none'");
    let mut response = Response::new(ResponseBody::full(html));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let fixed = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // A policy that cannot be sent would be none.
    let policy = HeaderValue::from_str(&policy);
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        policy.unwrap_or(HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
    );
    response
}

/// The header fields of a refusal.
fn advise(response: &mut Response<ResponseBody>, refused: &Refused) {
    let status = response.status();
    let headers = response.headers_mut();
    if status == StatusCode::UNAUTHORIZED {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(r#"JWT realm="login""#));
    }
    error::advise(headers, refused, status);
}

/// What the customer can do about a refusal. It tells nobody which users there are.
fn remedy(refused: &Refused) -> String {
    let status = error::row(refused.refusal).status;
    match refused.refusal {
        Refusal::LoginUnknownUser | Refusal::LoginWrongPassword => "The username or the password is wrong.".to_owned(),
        Refusal::ParameterMissing => "Enter your username and your password.".to_owned(),
        _ if status == StatusCode::TOO_MANY_REQUESTS => {
            let wait = refused.retry_after.unwrap_or(1).max(1);
            let (count, unit) = if wait > 90 { (wait.div_ceil(60), "minutes") } else { (wait, "seconds") };
            format!("Too many attempts. Try again in {count} {unit}.")
        }
        _ => UNAVAILABLE.to_owned(),
    }
}

/// Text as it may stand in an element or in a quoted attribute.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            character => escaped.push(character),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_text_is_read_as_markup() {
        assert_eq!(escaped(r#"<b a="x" b='y'>&amp;"#), "&lt;b a=&quot;x&quot; b=&#39;y&#39;&gt;&amp;amp;");
    }
}
