//! HTTP proxies between this machine and others: one that the configuration names, or those of the environment, which are
//! read as curl reads them.

mod exceptions;

use std::sync::{Arc, LazyLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::HeaderValue;
use percent_encoding::percent_decode_str;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::FetchFault;
use super::place::is_this_machine;
use crate::secret::Secret;
use exceptions::Exceptions;

/// The port of a proxy of the environment that names none, as curl has it.
const USUAL_PORT: u16 = 1080;

/// Limit of the head of an answer to CONNECT, in bytes.
const LARGEST_HEAD: usize = 8 * 1024;

/// The choice of a proxy.
#[derive(Debug, Clone, Default)]
pub enum Proxies {
    /// Those that `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` name, in small letters or capitals.
    #[default]
    Environment,
    /// None, whatever the environment says.
    Direct,
    /// This one, for every host.
    Fixed(Arc<Proxy>),
}

/// An HTTP proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Its host, an IPv6 address without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// `Proxy-Authorization` (RFC 9110 section 11.7.2).
    pub(super) authorization: Option<HeaderValue>,
}

impl Proxies {
    /// The proxy on the way to this host; `None`: there is none.
    ///
    /// # Errors
    /// The environment names a proxy that is not spoken to.
    pub(super) fn on_the_way_to(&self, host: &str, port: u16, secure: bool) -> Result<Option<&Proxy>, FetchFault> {
        match self {
            Self::Direct => Ok(None),
            Self::Fixed(proxy) => Ok(Some(proxy)),
            Self::Environment => ENVIRONMENT.on_the_way_to(host, port, secure).map_err(FetchFault::Proxy),
        }
    }
}

impl Proxy {
    /// The proxy at `[http://][user[:password]@]host[:port][/]`.
    ///
    /// # Errors
    /// What is wrong, without a word of it: it may hold a password.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        if !scheme.eq_ignore_ascii_case("http") {
            return Err("only proxies at http:// are spoken to".to_owned());
        }
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let (user, place) = authority.rsplit_once('@').map_or((None, authority), |(user, place)| (Some(user), place));
        let wrong = || "this is not the address of a proxy, such as http://proxy.example.com:3128".to_owned();
        let (host, port) = match place.strip_prefix('[') {
            Some(inner) => inner.split_once(']').ok_or_else(wrong)?,
            None => place.split_at(place.find(':').unwrap_or(place.len())),
        };
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => USUAL_PORT,
            Some(digits) => digits.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?,
            None => return Err(wrong()),
        };
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte);
        if host.is_empty() || !host.bytes().all(is_name) {
            return Err(wrong());
        }
        let proxy = Self { host: host.to_owned(), port, authorization: None };
        let Some(user) = user else { return Ok(proxy) };
        let (name, password) = user.split_once(':').unwrap_or((user, ""));
        let name = percent_decode_str(name).decode_utf8().map_err(|_| wrong())?;
        proxy.with_password(&name, &Secret::new(percent_decode_str(password).collect::<Vec<u8>>()))
    }

    /// The same with a user name and a password.
    ///
    /// # Errors
    /// They cannot be sent.
    pub fn with_password(self, username: &str, password: &Secret) -> Result<Self, String> {
        if username.contains(':') {
            return Err("a user name with a colon in it cannot be sent (RFC 7617 section 2)".to_owned());
        }
        let pair = Secret::new([username.as_bytes(), b":", password.expose()].concat());
        let text = Secret::new(format!("Basic {}", BASE64.encode(pair.expose())));
        let mut field = HeaderValue::from_bytes(text.expose()).map_err(|_| "no field can carry it".to_owned())?;
        field.set_sensitive(true);
        Ok(Self { authorization: Some(field), ..self })
    }

    /// Asks for a tunnel to this host and port (RFC 9110 section 9.3.6).
    pub(super) async fn open_tunnel(&self, stream: &mut TcpStream, host: &str, port: u16) -> Result<(), FetchFault> {
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let mut head = Secret::new(format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n"));
        if let Some(field) = &self.authorization {
            head = Secret::new([head.expose(), b"Proxy-Authorization: ", field.as_bytes(), b"\r\n"].concat());
        }
        let broken = |_| self.fault("breaks off");
        stream.write_all(&[head.expose(), b"\r\n"].concat()).await.map_err(broken)?;
        let mut answer = Vec::new();
        // To the end of the head and no further: what follows is the tunnel's.
        while !answer.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) if answer.len() < LARGEST_HEAD => answer.push(byte),
                _ => return Err(self.fault("breaks off, or does not speak HTTP")),
            }
        }
        let line = answer.split(|byte| *byte == b'\r').next().unwrap_or_default();
        let line = String::from_utf8_lossy(line);
        let status = line.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)).and_then(|code| code.parse().ok());
        match status {
            Some(200..=299) => Ok(()),
            Some(407_u16) => Err(self.fault("answers 407: it wants another user name or password")),
            Some(status) => Err(self.fault(&format!("answers {status} to CONNECT {host}:{port}"))),
            None => Err(self.fault("does not speak HTTP")),
        }
    }

    /// The value of `Proxy-Authorization`, where it wants a password.
    pub fn shown(&self) -> Option<&[u8]> {
        self.authorization.as_ref().map(HeaderValue::as_bytes)
    }

    pub(super) fn fault(&self, what: &str) -> FetchFault {
        FetchFault::Proxy(format!("the proxy {} {what}", self.place()))
    }

    /// Where it is, without its password.
    pub(super) fn place(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

static ENVIRONMENT: LazyLock<EnvironmentProxies> =
    LazyLock::new(|| EnvironmentProxies::read(|name| std::env::var(name).ok()));

/// Proxies that the environment names.
#[derive(Debug)]
struct EnvironmentProxies {
    https: Option<Result<Proxy, String>>,
    http: Option<Result<Proxy, String>>,
    exceptions: Exceptions,
}

impl EnvironmentProxies {
    /// The small letters go before the capitals, and the scheme's own variable before `ALL_PROXY`.
    fn read(variable: impl Fn(&str) -> Option<String>) -> Self {
        let of = |name: &str| {
            let names = [name.to_owned(), name.to_ascii_uppercase()];
            names.into_iter().find_map(|name| variable(&name).filter(|text| !text.is_empty()).map(|text| (name, text)))
        };
        let proxy = |name: &str| {
            let (name, text) = of(name).or_else(|| of("all_proxy"))?;
            Some(Proxy::parse(text.trim()).map_err(|fault| format!("the environment variable {name}: {fault}")))
        };
        let exceptions = of("no_proxy").map(|(_, text)| Exceptions::parse(&text)).unwrap_or_default();
        Self { https: proxy("https_proxy"), http: proxy("http_proxy"), exceptions }
    }

    fn on_the_way_to(&self, host: &str, port: u16, secure: bool) -> Result<Option<&Proxy>, String> {
        let proxy = if secure { &self.https } else { &self.http };
        match proxy {
            None => Ok(None),
            Some(_) if is_this_machine(host) || self.exceptions.cover(host, port) => Ok(None),
            Some(proxy) => proxy.as_ref().map(Some).map_err(Clone::clone),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test stops where it fails")]
mod tests {
    use super::*;
    use crate::fetch::{ChosenBy, Fetcher};

    fn environment(variables: &[(&str, &str)]) -> EnvironmentProxies {
        let find = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, text)| (*text).to_owned());
        EnvironmentProxies::read(find)
    }

    fn host(found: Result<Option<&Proxy>, String>) -> Option<String> {
        found.unwrap().map(Proxy::place)
    }

    #[test]
    fn the_variables_are_read_as_curl_reads_them() {
        let both =
            environment(&[("HTTPS_PROXY", "http://capitals:1"), ("https_proxy", "small:2"), ("all_proxy", "all:3")]);
        assert_eq!(host(both.on_the_way_to("login.example.com", 443, true)).as_deref(), Some("small:2"));
        assert_eq!(host(both.on_the_way_to("login.example.com", 80, false)).as_deref(), Some("all:3"));
        let capitals = environment(&[("HTTPS_PROXY", "http://proxy"), ("https_proxy", ""), ("HTTP_PROXY", "[::1]:8/")]);
        assert_eq!(host(capitals.on_the_way_to("login.example.com", 443, true)).as_deref(), Some("proxy:1080"));
        assert_eq!(host(capitals.on_the_way_to("login.example.com", 80, false)).as_deref(), Some("[::1]:8"));
        assert_eq!(host(environment(&[]).on_the_way_to("login.example.com", 443, true)), None);
        for own in ["localhost", "LOCALHOST.", "a.localhost", "127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(host(both.on_the_way_to(own, 443, true)), None, "{own}");
        }
    }

    #[test]
    fn a_proxy_that_is_not_spoken_to_is_told_where_it_is_needed_and_never_with_its_password() {
        for wrong in [
            "socks5://u:hunter2@proxy:1080",
            "https://u:hunter2@proxy",
            "http://u:hunter2@",
            "u:hunter2@a b:1",
            "u:hunter2@proxy:0",
            "u:hunter2@proxy:x",
        ] {
            let proxies = environment(&[("HTTPS_PROXY", wrong), ("NO_PROXY", "direct.example.com")]);
            let fault = proxies.on_the_way_to("login.example.com", 443, true).unwrap_err();
            assert!(fault.contains("HTTPS_PROXY") && !fault.contains("hunter2"), "{fault}");
            assert_eq!(host(proxies.on_the_way_to("direct.example.com", 443, true)), None);
            assert_eq!(host(proxies.on_the_way_to("login.example.com", 80, false)), None);
        }
    }

    #[test]
    fn a_user_and_a_password_become_one_field_that_is_not_printed() {
        let proxy = Proxy::parse("http://wick%40corp:p%3Aw%25@proxy:3128").unwrap();
        let field = proxy.authorization.clone().unwrap();
        assert_eq!(BASE64.decode(&field.as_bytes()[6..]).unwrap(), b"wick@corp:p:w%");
        assert!(!format!("{proxy:?}").contains(field.to_str().unwrap()), "{proxy:?}");
        let named = Proxy::parse("http://proxy:3128").unwrap().with_password("wick@corp", &Secret::new("p:w%"));
        assert_eq!(named, Ok(proxy));
        Proxy::parse("http://proxy:3128").unwrap().with_password("a:b", &Secret::new("x")).unwrap_err();
    }

    #[tokio::test]
    async fn a_proxy_that_does_not_answer_and_a_private_address_are_named() {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let tls = tls.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth();
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let place = silent.local_addr().unwrap().to_string();
        let fetcher = Fetcher {
            tls: Arc::new(tls),
            plain: false,
            private: false,
            proxies: Proxies::Fixed(Arc::new(Proxy::parse(&place).unwrap())),
            timeout: std::time::Duration::from_millis(100),
        };
        let fault = fetcher.get("https://login.example.com/keys", ChosenBy::Us).await.unwrap_err();
        assert_eq!(fault.to_string(), format!("no answer in time, through the proxy {place}"));
        let direct = Fetcher { proxies: Proxies::Direct, ..fetcher };
        let fault = direct.get("https://10.0.0.1/keys", ChosenBy::Them("login.example.com")).await.unwrap_err();
        let text = fault.to_string();
        assert!(text.starts_with("10.0.0.1 is an address of a private network, "), "{text}");
        assert!(text.contains("danger_private_addresses"), "{text}");
    }
}
