//! Checks of the authorization code grant: `clients[].redirect_uris`, `public`, `pkce`.

use super::super::raw::{Client, Pkce};
use super::{Check, grammar};

/// Longest redirect URI, in bytes: it also travels in the login form.
const LONGEST: usize = 1_024;

impl Check<'_> {
    pub(super) fn authorization_code(&mut self, at: &str, client: &Client) {
        let uris = format!("{at}.redirect_uris");
        for (index, uri) in client.redirect_uris.iter().enumerate() {
            if let Some((message, help)) = fault(uri) {
                self.add(&format!("{uris}[{index}]"), message, help);
            }
        }
        let listed = client.redirect_uris.iter().enumerate();
        self.unique("the redirect URI", listed.map(|(index, uri)| (format!("{uris}[{index}]"), uri.as_str())));
        if !client.redirect_uris.is_empty() {
            let present = [
                ("login", self.raw.login.is_some()),
                ("access_token", self.raw.access_token.is_some()),
                ("issuer", self.raw.issuer.is_some()),
            ];
            for (section, _) in present.iter().filter(|(_, is_there)| !is_there) {
                let message = format!("customers log in for this client, and there is no `{section}`");
                self.add(&uris, message, format!("add `{section}`, or remove `redirect_uris`"));
            }
        }
        if client.public {
            self.public(at, client);
        }
        if client.pkce == Pkce::Optional && client.redirect_uris.is_empty() {
            let message = "`pkce` is about authorization codes, and this client has no `redirect_uris`";
            self.add(&format!("{at}.pkce"), message, "remove it, or add `redirect_uris`");
        }
    }

    /// A public client proves nothing but that it began the login (RFC 6749 section 2.1).
    fn public(&mut self, at: &str, client: &Client) {
        let place = format!("{at}.public");
        if client.redirect_uris.is_empty() {
            let message = "a public client can do nothing but log customers in, and it has no `redirect_uris`";
            self.add(&place, message, "add `redirect_uris`, or remove `public`");
        }
        if client.pkce == Pkce::Optional {
            let message = "without PKCE whoever sees a code of a public client can use it";
            self.add(&format!("{at}.pkce"), message, "remove it");
        }
        for (key, is_there) in [
            ("secrets", client.secrets.is_some()),
            ("jwks", client.jwks.is_some()),
            ("tls_client_auth", client.tls_client_auth.is_some()),
            ("certificates", !client.certificates.is_empty()),
            ("certificate", client.certificate.is_some()),
        ] {
            if is_there {
                let message = format!("a public client proves itself by nothing, and here stands `{key}`");
                self.add(&format!("{at}.{key}"), message, format!("remove `{key}`, or `public`"));
            }
        }
    }
}

/// The fault of a redirect URI, and the remedy (RFC 6749 section 3.1.2, RFC 8252 section 7).
fn fault(uri: &str) -> Option<(String, String)> {
    const HOW: &str = "write it like https://www.example.com/callback, exactly as the client sends it";
    let fault = |message: &str, help: &str| Some((message.to_owned(), help.to_owned()));
    if uri.len() > LONGEST {
        return fault("a redirect URI has at most 1024 bytes", HOW);
    }
    if uri.bytes().any(|byte| !byte.is_ascii_graphic() || b"\"<>\\^`{|}*".contains(&byte)) {
        return fault("this is not an absolute address: it has characters that no address has", HOW);
    }
    if uri.contains('#') {
        return fault("a redirect URI has no fragment", "remove all from the `#` on");
    }
    let Some((scheme, rest)) = uri.split_once(':') else {
        return fault("this is not an absolute address", HOW);
    };
    if matches!(scheme, "http" | "https") {
        return match grammar::UrlParts::parse(uri) {
            Err(fault) => Some(fault),
            Ok(parts) if parts.scheme == "http" && !parts.is_loopback() => {
                fault("by plain http anyone on the way could read the code", "write https://, or a loopback address")
            }
            Ok(_) => None,
        };
    }
    let is_scheme =
        scheme.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".+-".contains(&byte))
            && scheme.starts_with(|first: char| first.is_ascii_lowercase());
    if !is_scheme || !scheme.contains('.') || rest.is_empty() {
        let help = "write https://, or for an app a scheme of its own like com.example.app:/callback";
        return fault("this scheme belongs to no app: it has no domain name in it (RFC 8252 section 7.1)", help);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::fault;

    #[test]
    fn a_redirect_uri_leads_to_one_place_and_by_no_open_way() {
        for good in [
            "https://www.example.com/callback",
            "https://www.example.com:8443/cb?tenant=a",
            "http://127.0.0.1/cb",
            "http://[::1]:8000/cb",
            "http://localhost:3000/cb",
            "com.example.app:/callback",
        ] {
            assert_eq!(fault(good), None, "{good}");
        }
        for bad in [
            "",
            "/callback",
            "http://www.example.com/cb",
            "https://www.example.com/cb#x",
            "https://user@www.example.com/cb",
            "https://*.example.com/cb",
            "https:///cb",
            "https://www.example.com/a b",
            "javascript:alert(1)",
            "data:text/html,x",
            "myapp:/cb",
            "HTTPS://www.example.com/cb",
            "https://www.example.com/\u{e9}",
            "com.example.app:",
        ] {
            assert!(fault(bad).is_some(), "{bad}");
        }
    }
}
