//! Texts about refusals of logins.

use super::{Row, row};
use crate::refusal::Refusal as R;

/// One row each.
pub(super) const ROWS: &[Row] = &[
    row(
        R::LoginUnknownUser,
        "Login: no such user. Callers cannot tell it from a wrong password.",
        "Nothing for one: the customer corrects the name. Many at once: somebody guesses names.",
        "A login with a misspelled name.",
    ),
    row(
        R::LoginWrongPassword,
        "Login: wrong password.",
        "Nothing for one: the customer corrects the password. Many at once: somebody guesses passwords.",
        "A login with the password of last year.",
    ),
    row(
        R::LoginRate,
        "Login: too many wrong passwords under this name, from many addresses, and no recent login with it from this \
         network.",
        "Wait, or raise `login.limits`: somebody guesses from very many addresses.",
        "A hundred wrong passwords for one name from a hundred addresses.",
    ),
    row(
        R::LoginLocked,
        "Login: lockout after too many wrong passwords, under this name from this address or from this address at all.",
        "The lockout ends by itself, after `login.attempts.longest` at most; `wicketgate attempts clear login NAME` \
         ends it at once. An attack, or a forgotten password.",
        "The sixth wrong password in a row from one address.",
    ),
    row(
        R::LoginBackend,
        "The company's own login, directory or provider did not answer, or gave an invalid answer.",
        "Bring the login service back: the backend or `ldap` in `login.accounts`, or `login.provider`; the log has \
         the `kind`.",
        "A login while the backend of `login.accounts` is down.",
    ),
    row(
        R::HashQueue,
        "Too many passwords wait to be hashed: 64 of this caller's network, or 512 in all.",
        "Wait. A burst of logins, or an attack; more cores help.",
        "Sixty-five logins at once from one network.",
    ),
    row(
        R::AuthorizationRequest,
        "Login page: no client has this `client_id` and `redirect_uri` (the customer sees a page, and is sent \
         nowhere), or another parameter is wrong (the client is told, with 303 and the `error` of RFC 6749 section 4.1.2.1).",
        "`clients[].redirect_uris` has the `redirect_uri` byte for byte; the client sends \
         `code_challenge_method=S256`.",
        "`redirect_uri=https://app.example.com/` where `redirect_uris` has it without the last slash.",
    ),
    row(
        R::LoginForm,
        "Login page: the form, or the way to the provider, is older than ten minutes, or not of this browser; or the \
         provider's code is of another login.",
        "The customer begins again, with a browser that accepts cookies. Many at once: a strange page sends the form \
         (CSRF).",
        "A login page that stood open for an hour.",
    ),
];
