//! Credentials of a request, read and not verified.

pub mod api_key;
pub mod cookie;
pub mod password;

use http::header::{AUTHORIZATION, COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue};

use memchr::memchr;

use super::requirements::CustomerTokenSource;
use crate::fields::cookie_pairs;
use crate::json_body::Document;
use crate::refusal::{Refusal, TokenFault};

/// The customer's credentials of a request, for its route.
pub(super) struct PresentedCustomer<'a> {
    /// Its token, or what is wrong with how it stands there.
    pub(super) token: Option<Result<PresentedToken<'a>, TokenFault>>,
    /// Its session cookie.
    pub(super) session: Option<&'a str>,
    /// Nothing but cookies.
    pub(super) by_cookie: bool,
    /// The token came by the scheme of those that are bound to a key (RFC 9449 section 7.1).
    pub(super) with_proof: bool,
}

impl Default for PresentedCustomer<'_> {
    fn default() -> Self {
        Self { token: None, session: None, by_cookie: true, with_proof: false }
    }
}

/// A token as it was sent; nothing of it has been read.
pub(super) enum PresentedToken<'a> {
    Borrowed(&'a [u8]),
    Owned(String),
}

impl PresentedToken<'_> {
    pub(super) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Borrowed(token) => token,
            Self::Owned(token) => token.as_bytes(),
        }
    }
}

/// The places of a request where a customer's credentials may stand.
#[derive(Clone, Copy)]
pub(super) struct CredentialPlaces<'r, 'a> {
    pub(super) sources: &'r [CustomerTokenSource],
    /// The name of the session cookie, where logins give one.
    pub(super) session_cookie: Option<&'r str>,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: Option<&'r [u8]>,
}

impl<'a> CredentialPlaces<'_, 'a> {
    /// The token in a header or in the body, or what is wrong with how it stands there.
    fn token_at(&self, place: &CustomerTokenSource) -> Result<Option<Result<PresentedToken<'a>, TokenFault>>, Refusal> {
        let after = |value, scheme| after_scheme(value, scheme).map(PresentedToken::Borrowed);
        Ok(match (place, self.body) {
            (CustomerTokenSource::Header(name, scheme), _) => {
                single(self.headers, name)?.map(|value| after(value, scheme.as_deref()))
            }
            (CustomerTokenSource::Bearer, _) => single(self.headers, &AUTHORIZATION)?.map(|value| {
                with_proof(value)
                    .map_or_else(|| after(value, Some("Bearer")), |token| Ok(PresentedToken::Borrowed(token)))
            }),
            (CustomerTokenSource::Body(pointer), Some(body)) => {
                let document = Document::parse(body, pointer).map_err(|_| Refusal::Json)?;
                document.value().map(|token| Ok(PresentedToken::Owned(token.into_owned())))
            }
            (CustomerTokenSource::Body(_) | CustomerTokenSource::Cookie(_) | CustomerTokenSource::Session, _) => None,
        })
    }
}

impl<'a> PresentedCustomer<'a> {
    /// Reads the credentials for a route.
    ///
    /// # Errors
    /// A credential stands there twice, two say different things, or the body cannot be read.
    pub(super) fn read(places: &CredentialPlaces<'_, 'a>) -> Result<Self, Refusal> {
        let CredentialPlaces { sources, session_cookie, headers, .. } = *places;
        let mut presented = Self::default();
        for place in sources {
            let token = match place {
                CustomerTokenSource::Header(name, scheme) => single(headers, name)?
                    .and_then(|value| in_header(sources, name, scheme.as_deref(), value))
                    .map(|token| token.map(PresentedToken::Borrowed)),
                CustomerTokenSource::Session => {
                    if let Some(name) = session_cookie {
                        presented.session = single_cookie(headers, name)?.map(text_of);
                    }
                    None
                }
                CustomerTokenSource::Cookie(name) => {
                    single_cookie(headers, name)?.map(|value| Ok(PresentedToken::Borrowed(value)))
                }
                place => {
                    let bound = || headers.get(AUTHORIZATION).and_then(with_proof).is_some();
                    presented.with_proof |= matches!(place, CustomerTokenSource::Bearer) && bound();
                    places.token_at(place)?
                }
            };
            let is_cookie = matches!(place, CustomerTokenSource::Cookie(_));
            presented.by_cookie &= token.is_none() || is_cookie;
            match (token, &presented.token) {
                (Some(token), None) => presented.token = Some(token),
                (Some(Ok(token)), Some(Ok(other))) if token.as_bytes() != other.as_bytes() => {
                    match readable(other.as_bytes()).and(readable(token.as_bytes())) {
                        Ok(_) => return Err(Refusal::CredentialConflict),
                        Err(fault) => presented.token = Some(Err(fault)),
                    }
                }
                (Some(Err(fault)), Some(Ok(_))) => presented.token = Some(Err(fault)),
                (_, _) => {}
            }
        }
        Ok(presented)
    }

    /// Returns whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.token.is_none() && self.session.is_none()
    }
}

/// All of the customer's credentials in a request, in any place that some route reads: for a logout.
#[derive(Debug, Default)]
pub struct PresentedCredentials<'a> {
    /// Tokens, each once.
    pub tokens: Vec<String>,
    /// Values of session cookies. One that is not UTF-8 is empty.
    pub sessions: Vec<&'a str>,
    /// The fault of the first malformed token, where other software may write to the same place.
    pub fault: Option<TokenFault>,
    /// One is in a cookie: a browser sends it along whichever page made it call.
    pub by_cookie: bool,
    /// One is in a header, which pages of other origins cannot set.
    pub by_header: bool,
}

impl<'a> PresentedCredentials<'a> {
    /// Reads the credentials to be ended.
    ///
    /// # Errors
    /// In a header of the customer's, or in the body, something cannot be read, or stands twice. Of cookies and of
    /// `Authorization` others have their part, and what is odd there hides nothing else.
    pub(super) fn read(places: &CredentialPlaces<'_, 'a>) -> Result<Self, Refusal> {
        let CredentialPlaces { sources, session_cookie, headers, .. } = *places;
        let mut shown = Self::default();
        for place in sources {
            match place {
                CustomerTokenSource::Session => {}
                CustomerTokenSource::Cookie(name) => {
                    for value in cookies(headers, name) {
                        shown.by_cookie = true;
                        shown.add(value);
                    }
                }
                CustomerTokenSource::Bearer => {
                    if let Some(Ok(token)) = places.token_at(place)? {
                        shown.by_header = true;
                        shown.add(token.as_bytes());
                    }
                }
                CustomerTokenSource::Header(name, _) => {
                    if !headers.contains_key(name) {
                        continue;
                    }
                    shown.by_header = true;
                    // Routes may want different schemes before it: one of them is right.
                    let same = sources.iter().filter(|other| other.is_header(name));
                    let mut fault = Some(TokenFault::Malformed);
                    for place in same {
                        if let Some(Ok(token)) = places.token_at(place)?
                            && readable(token.as_bytes()).is_ok()
                        {
                            fault = None;
                            shown.add(token.as_bytes());
                        }
                    }
                    if let Some(fault) = fault {
                        return Err(Refusal::CustomerToken(fault));
                    }
                }
                CustomerTokenSource::Body(_) => {
                    if let Some(token) = places.token_at(place)? {
                        let token = token.map_err(Refusal::CustomerToken)?;
                        readable(token.as_bytes()).map_err(Refusal::CustomerToken)?;
                        shown.add(token.as_bytes());
                    }
                }
            }
        }
        if let Some(name) = session_cookie {
            shown.sessions = cookies(headers, name).map(text_of).collect();
            shown.by_cookie |= !shown.sessions.is_empty();
        }
        Ok(shown)
    }

    fn add(&mut self, token: &[u8]) {
        match readable(token) {
            Ok(token) if self.tokens.iter().any(|known| known == token) => {}
            Ok(token) => self.tokens.push(token.to_owned()),
            Err(fault) => drop(self.fault.get_or_insert(fault)),
        }
    }
}

/// The text of a session cookie. One that is no text is there all the same, and none of ours.
pub(super) fn text_of(value: &[u8]) -> &str {
    std::str::from_utf8(value).unwrap_or("")
}

/// The token that this place reads in its header; `None` where another place reads it. One header may have several
/// schemes, and beside them none: the one that fits counts.
fn in_header<'a>(
    places: &[CustomerTokenSource],
    header: &HeaderName,
    scheme: Option<&str>,
    value: &'a HeaderValue,
) -> Option<Result<&'a [u8], TokenFault>> {
    let token = after_scheme(value, scheme);
    let is_for = |place: &CustomerTokenSource| match place {
        CustomerTokenSource::Header(name, Some(other)) => name == header && after_scheme(value, Some(other)).is_ok(),
        CustomerTokenSource::Header(name, None) => name == header && scheme.is_some(),
        _ => false,
    };
    let fits = token.is_ok() && scheme.is_some();
    (fits || !places.iter().any(is_for)).then_some(token)
}

/// The only value of a header, if it has one.
pub(super) fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a HeaderValue>, Refusal> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (_, Some(_)) => Err(Refusal::CredentialRepeated),
        (first, None) => Ok(first),
    }
}

/// The values of all cookies of this name. What else stands in their lines may be any bytes.
pub(crate) fn cookies<'a>(headers: &'a HeaderMap, name: &str) -> impl Iterator<Item = &'a [u8]> {
    let pairs = headers.get_all(COOKIE).iter().flat_map(|line| cookie_pairs(line.as_bytes()));
    pairs.filter_map(move |pair| {
        let pair = pair.trim_ascii();
        let at = memchr(b'=', pair)?;
        (&pair[..at] == name.as_bytes()).then_some(&pair[at + 1..])
    })
}

/// The value of the only cookie of this name, if there is one.
fn single_cookie<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a [u8]>, Refusal> {
    let mut values = cookies(headers, name);
    match (values.next(), values.next()) {
        (_, Some(_)) => Err(Refusal::CredentialRepeated),
        (first, None) => Ok(first),
    }
}

/// The credentials after the scheme, in any case, and one or more spaces (RFC 9110 section 11.4: `1*SP`). A tab is no
/// space.
///
/// # Errors
/// [`TokenFault::Malformed`]: another scheme, or nothing but spaces between.
pub fn after_scheme<'a>(value: &'a HeaderValue, scheme: Option<&str>) -> Result<&'a [u8], TokenFault> {
    let bytes = value.as_bytes();
    let Some(scheme) = scheme else { return Ok(bytes) };
    match bytes.split_at_checked(scheme.len()) {
        Some((word, [b' ', rest @ ..])) if word.eq_ignore_ascii_case(scheme.as_bytes()) => {
            let spaces = rest.iter().take_while(|byte| **byte == b' ').count();
            Ok(&rest[spaces..])
        }
        _ => Err(TokenFault::Malformed),
    }
}

/// The token of the scheme `DPoP` (RFC 9449 section 7.1).
pub(super) fn with_proof(authorization: &HeaderValue) -> Option<&[u8]> {
    after_scheme(authorization, Some("DPoP")).ok()
}

/// A token that has not been verified before, as text: one word.
pub(super) fn readable(token: &[u8]) -> Result<&str, TokenFault> {
    let is_word = !token.is_empty() && token.iter().all(|byte| byte.is_ascii_graphic() && *byte != b',');
    std::str::from_utf8(token).ok().filter(|_| is_word).ok_or(TokenFault::Malformed)
}
