//! Customers who log in and out by cookie.

use super::{Account, Gateway, Request, Response};

/// The name and value of the first cookie that a response sets.
#[track_caller]
pub(crate) fn session_cookie(answer: &Response) -> String {
    let text = answer.header("Set-Cookie").unwrap_or_else(|| panic!("no cookie: {:?}", answer.lines));
    text.split(';').next().unwrap().to_owned()
}

/// The session cookie of a new login.
#[track_caller]
pub(crate) fn log_in(gateway: &Gateway, account: Account) -> String {
    session_cookie(&gateway.login_request(account.name, account.secret).send().ok())
}

/// A call that only this cookie speaks for.
pub(crate) fn by_cookie(gateway: &Gateway, cookie: &str) -> Request {
    gateway.get("/me/x").header("Cookie", cookie)
}

/// A logout from the site itself, without any credential yet.
pub(crate) fn logout(gateway: &Gateway) -> Request {
    gateway.post("/auth/logout").header("Sec-Fetch-Site", "same-origin")
}

/// The logout of the session of this cookie.
pub(crate) fn logout_by_cookie(gateway: &Gateway, cookie: &str) -> Request {
    logout(gateway).header("Cookie", cookie)
}

/// A member of a JSON answer that is a text, such as a token.
#[track_caller]
pub(crate) fn member(answer: &Response, name: &str) -> String {
    answer.json()[name].as_str().unwrap_or_else(|| panic!("{name} in {}", answer.text())).to_owned()
}
