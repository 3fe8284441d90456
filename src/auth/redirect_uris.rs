//! Addresses to which customers return with an authorization code (RFC 6749 section 3.1.2).

/// The redirect URIs of a client.
#[derive(Debug, Clone, Default)]
pub struct RedirectUris {
    uris: Vec<String>,
    /// The client is an app: at a loopback address it may listen on any port.
    is_app: bool,
}

impl RedirectUris {
    /// These; `is_app` where the client may be an app on the customer's own machine.
    pub fn new(uris: Vec<String>, is_app: bool) -> Self {
        Self { uris, is_app }
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.uris.is_empty()
    }

    /// Returns whether this is one of them, byte for byte; of an app's loopback addresses the port does not count (RFC
    /// 8252 section 7.3).
    pub fn has(&self, uri: &str) -> bool {
        self.uris.iter().any(|known| known == uri)
            || self.is_app
                && loopback(uri).is_some_and(|given| self.uris.iter().any(|known| loopback(known) == Some(given)))
    }
}

/// Host and path of an address like `http://127.0.0.1:PORT/PATH`; `None` for any other.
fn loopback(uri: &str) -> Option<(&str, &str)> {
    let rest = uri.strip_prefix("http://")?;
    let host = ["127.0.0.1", "[::1]"].into_iter().find(|host| rest.starts_with(host))?;
    let behind = &rest[host.len()..];
    let (port, path) = behind.split_at(behind.find(['/', '?']).unwrap_or(behind.len()));
    let is_port = |port: &str| port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
    let is_loopback = port.is_empty() || port.strip_prefix(':').is_some_and(is_port);
    is_loopback.then_some((host, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_compared_byte_for_byte() {
        let uris = RedirectUris::new(vec!["https://www.example.com/cb".to_owned()], true);
        assert!(uris.has("https://www.example.com/cb"));
        for other in [
            "",
            "https://www.example.com/cb/",
            "https://www.example.com/cb?x",
            "https://www.example.com/cb#x",
            "https://www.example.com/c",
            "https://www.example.com/cb/../x",
            "https://www.example.com:443/cb",
            "https://WWW.example.com/cb",
            "https://www.example.com.evil.test/cb",
            "https://www.example.com@evil.test/cb",
            "http://www.example.com/cb",
        ] {
            assert!(!uris.has(other), "{other}");
        }
    }

    #[test]
    fn an_app_listens_on_any_port_of_a_loopback_address_and_nowhere_else() {
        let listed = || vec!["http://127.0.0.1/cb".to_owned(), "http://[::1]:1/cb?a".to_owned()];
        let app = RedirectUris::new(listed(), true);
        for good in ["http://127.0.0.1/cb", "http://127.0.0.1:51004/cb", "http://[::1]:2/cb?a", "http://[::1]/cb?a"] {
            assert!(app.has(good), "{good}");
        }
        for bad in [
            "http://127.0.0.1:65536/cb",
            "http://127.0.0.1:/cb",
            "http://127.0.0.1:+1/cb",
            "http://127.0.0.1:1/other",
            "http://127.0.0.1:80@evil.test/cb",
            "http://127.0.0.1.evil.test/cb",
            "http://localhost:1/cb",
            "https://127.0.0.1:1/cb",
            "http://[::1]:1/cb",
        ] {
            assert!(!app.has(bad), "{bad}");
        }
        assert!(!RedirectUris::new(listed(), false).has("http://127.0.0.1:51004/cb"));
    }
}
