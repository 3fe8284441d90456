//! Checks of `cors`.

use super::super::raw::{Cookie, Cors, Issue, Issuer, Login, SameSite};
use super::super::{Config, Warning};
use super::{Check, grammar, shown};

impl Check<'_> {
    pub(super) fn cors(&mut self, at: &str, cors: &Cors) {
        let origins = format!("{at}.origins");
        self.not_empty(&origins, &cors.origins, "add an origin, such as https://www.example.com");
        let is_open = cors.origins.iter().any(|origin| origin == "*");
        if is_open && cors.origins.len() > 1 {
            self.add(&origins, "\"*\" is every origin, and others stand beside it", "keep \"*\" or the others");
        }
        if is_open && cors.credentials {
            let message = "with \"*\" every page on the web could call with the cookies of whoever looks at it";
            self.add(&format!("{at}.credentials"), message, "name the origins, or remove `credentials`");
        }
        for (index, origin) in cors.origins.iter().enumerate().filter(|(_, origin)| *origin != "*") {
            let is_origin = grammar::UrlParts::parse(origin).is_ok_and(|address| address.rest.is_empty())
                && !origin.bytes().any(|byte| byte.is_ascii_uppercase())
                && !origin.ends_with(if origin.starts_with("https:") { ":443" } else { ":80" });
            if !is_origin {
                let message = format!("`{}` is not an origin as browsers write it", shown(origin));
                let help = "write it like https://www.example.com: lower case, no path, no port that is the default";
                self.add(&format!("{origins}[{index}]"), message, help);
            }
        }
        let all = cors.origins.iter().enumerate();
        self.unique("the origin", all.map(|(index, origin)| (format!("{origins}[{index}]"), origin.as_str())));
        for (key, names) in [("headers", &cors.headers), ("expose", &cors.expose)] {
            for (index, name) in names.iter().enumerate() {
                if !grammar::is_token(name) || name == "*" {
                    let message = "this is not the name of a header";
                    self.add(&format!("{at}.{key}[{index}]"), message, "name each one");
                }
            }
        }
    }
    /// What a page of another origin needs beside `login.cors`, so that its logins are not refused or of no use.
    pub(super) fn login_cors(&mut self, login: &Login, cors: &Cors) {
        self.cors("login.cors", cors);
        if login.issue == Issue::Jwt {
            return;
        }
        if login.issue == Issue::Cookie && !cors.credentials {
            let message = "without `credentials` browsers drop the cookie, and this login gives nothing else";
            self.add("login.cors", message, "add `credentials: true`, or write issue: jwt or both");
        }
        let Some(cookie) = &login.cookie else { return };
        for (index, origin) in cors.origins.iter().enumerate() {
            if cookie.origins.iter().any(|own| own.eq_ignore_ascii_case(origin)) {
                continue;
            }
            let message = format!("this login gives a cookie, and refuses pages of `{}`", shown(origin));
            let help = "add the origin to `login.cookie.origins`, or write issue: jwt";
            self.add(&format!("login.cors.origins[{index}]"), message, help);
        }
    }
}

/// A cookie that browsers drop, or do not send from the pages that are named.
pub(super) fn unsent_cookies(config: &Config) -> Vec<Warning> {
    let raw = config.raw();
    let Some(Login { cors: Some(cors), cookie: Some(cookie), issue, .. }) = &raw.login else { return Vec::new() };
    if *issue == Issue::Both && !cors.credentials {
        let message = "without `credentials` browsers drop the cookie: pages of these origins have the JWT alone";
        let help = "add `credentials: true`, or write issue: jwt";
        return vec![config.warning("login.cors", message.to_owned(), help)];
    }
    let Cookie { same_site, .. } = cookie;
    let is_sent = |origin: &&String| raw.issuer.as_ref().is_some_and(|issuer| is_same_site(issuer, origin));
    if *same_site == SameSite::None || !cors.credentials || cors.origins.iter().all(|origin| is_sent(&origin)) {
        return Vec::new();
    }
    let message = "a page of another site logs in, and browsers neither keep this cookie nor send it from there";
    let help = "write same_site: none, unless the page is on the same site (scheme and registered domain)";
    vec![config.warning("login.cookie", message.to_owned(), help)]
}

/// Whether both are https, and end with the same two labels: more is known only with the list of public suffixes.
fn is_same_site(issuer: &Issuer, origin: &str) -> bool {
    let site = |url: &str| {
        let address = url.strip_prefix("https://")?;
        let host = address.split(['/', ':']).next()?;
        let labels: Vec<&str> = host.rsplit('.').take(2).collect();
        (labels.len() == 2).then(|| labels.join("."))
    };
    site(&issuer.url).is_some_and(|own| site(origin) == Some(own))
}
