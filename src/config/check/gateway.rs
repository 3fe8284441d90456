//! What the gateway itself is: its listeners, its tokens, its endpoints.

use std::net::SocketAddr;

use super::super::raw::{Accounts, Attempts, Cookie, Issue, Issuer, Listen, Login, LoginDenial, Refresh};
use super::super::scalar::Duration;
use super::{Check, grammar};

/// Claims that the gateway writes itself.
const OWN_CLAIMS: [&str; 13] = [
    "iss",
    "sub",
    "aud",
    "exp",
    "nbf",
    "iat",
    "jti",
    "sid",
    "refresh_family",
    "client_id",
    "scope",
    "wg_account",
    "wg_rules",
];

impl Check<'_> {
    pub(super) fn own(&mut self) {
        let raw = self.raw;
        self.not_empty("listen", &raw.listen, "add an address, such as { address: 127.0.0.1:8080 }");
        for (index, listen) in raw.listen.iter().enumerate() {
            self.listen(&format!("listen[{index}]"), listen);
        }
        self.addresses();
        let names = raw.listen.iter().enumerate().filter_map(|(index, listen)| Some((index, listen.name.as_deref()?)));
        self.unique("the listener name", names.map(|(index, name)| (format!("listen[{index}].name"), name)));
        if !raw.listen.is_empty() && raw.listen.iter().all(|listen| listen.redirect.is_some()) {
            self.add("listen", "every listener only redirects", "add one with `tls` that answers");
        }
        for (index, host) in raw.admin.hosts.iter().enumerate() {
            if let Some((message, help)) = grammar::host_fault(host) {
                self.add(&format!("admin.hosts[{index}]"), message, help);
            }
        }
        for (index, part) in raw.readiness.require.iter().enumerate() {
            if part != "state" && part.strip_prefix("issuer:").is_none_or(str::is_empty) {
                let help = "write state, issuer:URL with the `issuer` of a trusted issuer, or issuer:client ID";
                self.add(&format!("readiness.require[{index}]"), "there is no such part", help);
            }
        }
        if raw.workers.is_some_and(|workers| !(1..=1024).contains(&workers)) {
            self.add(
                "workers",
                "the number of workers is from 1 to 1024",
                "remove `workers`: the default is one per core",
            );
        }
        if let Some(issuer) = &raw.issuer {
            self.issuer(issuer);
        }
        if let Some(tenant) = raw.identifier.as_ref().and_then(|identifier| identifier.tenant.as_ref()) {
            self.not_blank("identifier.tenant", tenant);
        }
        if let Some(login) = &raw.login {
            self.login(login);
        }
        if let Some(access_token) = &raw.access_token {
            self.path("access_token.path", &access_token.path);
            self.some_time("access_token.lifetime", access_token.lifetime);
            self.at_most_400_days("access_token.lifetime", access_token.lifetime);
            self.rate_limit("access_token.limits", &access_token.limits);
            self.attempts("access_token.attempts", &access_token.attempts);
            if raw.issuer.is_none() {
                self.add("access_token", "access tokens are signed, and there is no `issuer`", "add `issuer`");
            }
        }
        self.own_paths();
    }

    fn listen(&mut self, at: &str, listen: &Listen) {
        if let Some(name) = &listen.name {
            self.not_blank(&format!("{at}.name"), name);
        }
        if let Some(audience) = &listen.audience {
            self.set_apart(&format!("{at}.audience"), listen, audience);
        }
        if let Some(target) = &listen.redirect {
            self.redirect(&format!("{at}.redirect"), listen, target);
        }
        match &listen.tls {
            None if listen.redirect.is_some() || !listen.plain_http_from.is_empty() => {}
            None if !listen.address.ip().to_canonical().is_loopback() => self.add(
                &format!("{at}.address"),
                format!("{} is not on loopback and has no `tls`: tokens would be readable on the way", listen.address),
                "add `tls` with a certificate, listen on 127.0.0.1, or name the load balancers that end TLS in `plain_http_from`",
            ),
            None => {}
            Some(tls) => {
                let certificates = format!("{at}.tls.certificates");
                self.not_empty(&certificates, &tls.certificates, "add { certificate: PATH, private_key: PATH }");
                self.client_certificates(&format!("{at}.tls"), tls);
            }
        }
        self.plain_http(at, listen);
        for (key, networks) in
            [("proxy_protocol", &listen.proxy_protocol), ("trusted_proxies", &listen.trusted_proxies)]
        {
            for (index, network) in networks.iter().enumerate().filter(|(_, network)| network.prefix_len() == 0) {
                self.add(
                    &format!("{at}.{key}[{index}]"),
                    format!("{network} is everyone: any caller could claim any address"),
                    "name only the networks of your own proxies",
                );
            }
        }
        let limits = &listen.limits;
        let amounts = [
            ("connections", limits.connections),
            ("connections_per_address", limits.connections_per_address.unwrap_or(1)),
            ("handshakes", limits.handshakes),
            ("headers", limits.headers),
        ];
        for (key, amount) in amounts {
            self.more_than_zero(&format!("{at}.limits.{key}"), amount);
        }
        if !(1..=1_000).contains(&limits.streams) {
            let message = "an HTTP/2 connection has from 1 to 1,000 streams";
            self.add(&format!("{at}.limits.streams"), message, "remove `streams`: the default is 100");
        }
        for (key, size) in [("head", limits.head), ("target", limits.target), ("body", limits.body)] {
            self.some_bytes(&format!("{at}.limits.{key}"), size);
        }
        for (key, duration) in [
            ("handshake_timeout", limits.handshake_timeout),
            ("head_timeout", limits.head_timeout),
            ("body_idle_timeout", limits.body_idle_timeout),
            ("request_timeout", limits.request_timeout),
            ("idle_timeout", limits.idle_timeout),
        ] {
            self.some_time(&format!("{at}.limits.{key}"), duration);
        }
    }

    /// TLS that somebody else ends.
    fn plain_http(&mut self, at: &str, listen: &Listen) {
        let place = format!("{at}.plain_http_from");
        if listen.plain_http_from.is_empty() {
            if !listen.require_https {
                let message = "this is about `plain_http_from`, which is missing";
                self.add(&format!("{at}.require_https"), message, "remove it, or add `plain_http_from`");
            }
            return;
        }
        if listen.tls.is_some() || listen.redirect.is_some() {
            let message = "plain http from load balancers, on an address with `tls` or `redirect`";
            self.add(&place, message, "remove one of the two");
        }
        for (index, network) in listen.plain_http_from.iter().enumerate() {
            if network.prefix_len() == 0 {
                let message = format!("{network} is everyone: tokens would be readable on the way");
                self.add(&format!("{place}[{index}]"), message, "name only the networks of your own load balancers");
            }
        }
        if listen.require_https && listen.trusted_proxies.is_empty() {
            let message = "nobody is trusted to say that a call came by https, so that all would be refused";
            let help = "name the load balancers in `trusted_proxies` too, or write require_https: false";
            self.add(&format!("{at}.require_https"), message, help);
        }
    }

    fn set_apart(&mut self, at: &str, listen: &Listen, audience: &str) {
        self.not_blank(at, audience);
        if listen.redirect.is_some() {
            self.add(at, "a listener that redirects issues nothing", "remove `audience`, or `redirect`");
        }
        if self.raw.issuer.as_ref().is_none_or(|issuer| issuer.audience == audience) {
            let message = "this is set apart from `issuer.audience`, which is missing or the same";
            self.add(at, message, "write another one than issuer.audience");
        }
        let login = self.raw.login.as_ref();
        if login.is_some_and(|login| login.issue != Issue::Jwt || login.refresh.is_some()) {
            let message = "a session cookie and a refresh token know no audience: they would be good everywhere";
            self.add(at, message, "write login.issue: jwt without `refresh`, or run one gateway for each audience");
        }
    }

    fn redirect(&mut self, at: &str, listen: &Listen, target: &str) {
        match grammar::Address::parse(target) {
            Err((message, help)) => self.add(at, message, help),
            Ok(address) if address.scheme != "https" => {
                self.add(at, "callers are only ever sent to https", "write it like https://api.example.com");
            }
            Ok(address) if !address.rest.is_empty() => {
                self.add(at, "path and query are those of the request", "write it like https://api.example.com");
            }
            Ok(_) => {}
        }
        if listen.tls.is_some() {
            self.add(at, "a listener that redirects has no `tls`", "remove `tls`, or `redirect`");
        }
    }

    fn addresses(&mut self) {
        let raw = self.raw;
        let listeners = raw.listen.iter().enumerate();
        let mut addresses: Vec<(String, SocketAddr)> =
            listeners.map(|(index, listen)| (format!("listen[{index}].address"), listen.address)).collect();
        addresses.push(("admin.address".to_owned(), raw.admin.address));
        let texts: Vec<(String, String)> = addresses
            .into_iter()
            .filter(|(_, address)| address.port() != 0)
            .map(|(at, address)| (at, address.to_string()))
            .collect();
        self.unique("the address", texts.iter().map(|(at, text)| (at.clone(), text.as_str())));
    }

    fn issuer(&mut self, issuer: &Issuer) {
        match grammar::Address::parse(&issuer.url) {
            Err((message, _)) => self.add("issuer.url", message, "write it like https://api.example.com"),
            Ok(address) if address.rest.contains(['?', '#']) => {
                self.add("issuer.url", "the issuer has no query and no fragment (RFC 8414 section 2)", "remove it");
            }
            Ok(address) if address.scheme == "http" && !address.is_loopback() => {
                self.add("issuer.url", "the issuer is an https address", "write https://");
            }
            Ok(_) => {}
        }
        self.not_blank("issuer.audience", &issuer.audience);
        self.small_skew("issuer.clock_skew", issuer.clock_skew);
        if issuer.publish_delay > Duration::seconds(7 * 24 * 3600) {
            let message = "a new key would sign only after more than a week";
            self.add("issuer.publish_delay", message, "write at most 7d");
        }
    }

    fn login(&mut self, login: &Login) {
        self.path("login.path", &login.path);
        self.some_time("login.lifetime", login.lifetime);
        self.at_most_400_days("login.lifetime", login.lifetime);
        self.rate_limit("login.limits", &login.limits);
        self.attempts("login.attempts", &login.attempts);
        if !(1..=1_000).contains(&login.max_per_customer) {
            let message = "the number of logins of one customer is from 1 to 1000";
            self.add("login.max_per_customer", message, "remove `max_per_customer`: the default is 20");
        }
        if let Some(refresh) = &login.refresh {
            self.refresh(login, refresh);
        }
        self.accounts(&login.accounts);
        if self.raw.identifier.is_none() {
            self.add(
                "login",
                "a login names a customer by an identifier, and there is no `identifier`",
                "add `identifier`",
            );
        }
        let tenant = self.raw.identifier.as_ref().and_then(|identifier| identifier.tenant.as_ref());
        if self.raw.issuer.is_none() && self.raw.identifier.is_some() && tenant.is_none() {
            self.add(
                "identifier",
                "the customers of `login` are told apart within `tenant` or `issuer.url`, and there is neither",
                "add `tenant`: any name that will never change",
            );
        }
        if login.issue != Issue::Cookie && self.raw.issuer.is_none() {
            self.add(
                "login",
                "this login gives a signed JWT, and there is no `issuer`",
                "add `issuer`, or write issue: cookie",
            );
        }
        if login.issue != Issue::Jwt && login.cookie.is_none() {
            self.add(
                "login.issue",
                "this login gives a cookie, and `login.cookie` is missing",
                "add `cookie` with its `keys`",
            );
        }
        if let Some(cookie) = &login.cookie {
            self.cookie(cookie);
        }
        for (index, claim) in login.claims.iter().enumerate() {
            let at = format!("login.claims[{index}]");
            if grammar::is_personal(claim) {
                self.add(
                    &at,
                    "an identity claim that would carry personal data",
                    "remove it: backends get the opaque identifier",
                );
            } else if OWN_CLAIMS.contains(&claim.as_str()) {
                self.add(&at, "the gateway writes this claim itself", "remove it");
            } else {
                self.not_blank(&at, claim);
            }
        }
        let claims = login.claims.iter().enumerate();
        self.unique("the claim", claims.map(|(index, claim)| (format!("login.claims[{index}]"), claim.as_str())));
    }

    fn accounts(&mut self, accounts: &Accounts) {
        let at = "login.accounts";
        match (&accounts.file, &accounts.backend) {
            (Some(_), Some(_)) => self.add(at, "`file` and `backend` stand side by side", "keep one of them"),
            (None, None) => {
                self.add(at, "nothing says who may log in", "add `file`, or `backend` with `path` and `subject`")
            }
            (Some(_), None) => {
                for (key, value) in [("path", &accounts.path), ("subject", &accounts.subject)] {
                    if value.is_some() {
                        let message = format!("`{key}` belongs to `backend`; accounts from a file have none");
                        self.add(&format!("{at}.{key}"), message, "remove it");
                    }
                }
                if accounts.no.is_some() {
                    let message = "`no` belongs to `backend`; accounts from a file have none";
                    self.add(&format!("{at}.no"), message, "remove it");
                }
            }
            (None, Some(backend)) => {
                if accounts.fold {
                    let message = "`fold` belongs to `file`: the backend decides itself which names are one";
                    self.add(&format!("{at}.fold"), message, "remove it");
                }
                self.known_backend(&format!("{at}.backend"), backend);
                for (key, value) in [("path", &accounts.path), ("subject", &accounts.subject)] {
                    if value.is_none() {
                        self.add(at, format!("`{key}` is missing beside `backend`"), format!("add `{key}`"));
                    }
                }
            }
        }
        if let Some(path) = &accounts.path {
            self.path(&format!("{at}.path"), path);
        }
        if let Some(subject) = &accounts.subject {
            self.pointer(&format!("{at}.subject"), subject);
        }
        if let Some(no) = &accounts.no {
            self.denial(&format!("{at}.no.status"), no);
        }
    }

    fn denial(&mut self, at: &str, no: &LoginDenial) {
        self.not_empty(at, &no.status, "name a status, such as 401, or remove `no`");
        for (index, status) in no.status.iter().copied().enumerate() {
            let says_nothing = matches!(status, 407 | 408 | 429);
            if says_nothing || !(400..500).contains(&status) {
                let message = format!("{status} says nothing about a user name and a password");
                self.add(&format!("{at}[{index}]"), message, "name statuses from 400 to 499 without 407, 408 and 429");
            }
        }
    }

    fn attempts(&mut self, at: &str, attempts: &Attempts) {
        self.more_than_zero(&format!("{at}.free"), attempts.free as usize);
        self.more_than_zero(&format!("{at}.free_per_address"), attempts.free_per_address as usize);
        self.some_time(&format!("{at}.delay"), attempts.delay);
        if attempts.longest < attempts.delay {
            self.add(&format!("{at}.longest"), "the longest wait is shorter than the first", "make it longer");
        }
        if attempts.longest > Duration::seconds(24 * 3600) {
            let message = "whoever fails on purpose could lock a customer out for longer than a day";
            self.add(&format!("{at}.longest"), message, "write at most 24h");
        }
    }

    fn refresh(&mut self, login: &Login, refresh: &Refresh) {
        self.some_time("login.refresh.lifetime", refresh.lifetime);
        self.at_most_400_days("login.refresh.lifetime", refresh.lifetime);
        if refresh.grace > Duration::seconds(60) {
            let message = "a thief could use a refresh token for as long after its owner";
            self.add("login.refresh.grace", message, "write at most 60s");
        }
        if login.issue == Issue::Cookie {
            let message = "a refresh token is for another JWT, and this login gives none";
            self.add("login.refresh", message, "write issue: jwt or both, or remove `refresh`");
        }
        if self.raw.access_token.is_none() {
            let message = "refresh tokens are handed in at the token endpoint, and there is no `access_token`";
            self.add("login.refresh", message, "add `access_token`, or remove `refresh`");
        }
    }

    /// RFC 6265bis section 5.6.2: browsers keep no cookie longer. Rules about tokens are not kept for longer either.
    pub(super) fn at_most_400_days(&mut self, at: &str, lifetime: Duration) {
        if lifetime > Duration::seconds(400 * 24 * 3600) {
            self.add(at, "nothing that is issued lasts longer than 400 days", "write at most 9600h");
        }
    }

    fn cookie(&mut self, cookie: &Cookie) {
        self.not_empty("login.cookie.keys", &cookie.keys, "add { file: PATH } or { env: NAME }");
        self.some_time("login.cookie.idle", cookie.idle);
        if !grammar::is_token(&cookie.name) {
            self.add("login.cookie.name", "this is not the name of a cookie", "write it like __Host-session");
        }
        for (index, origin) in cookie.origins.iter().enumerate() {
            let is_origin = grammar::Address::parse(origin).is_ok_and(|address| address.rest.is_empty());
            if !is_origin {
                let at = format!("login.cookie.origins[{index}]");
                self.add(&at, "this is not an origin", "write it like https://www.example.com, without a path");
            }
        }
        if let Some(header) = &cookie.csrf_header
            && let Some((message, help)) = grammar::header_fault(header, &[])
        {
            self.add("login.cookie.csrf_header", message, help);
        }
    }

    /// Paths that this gateway answers itself: each has one meaning.
    fn own_paths(&mut self) {
        let raw = self.raw;
        let mut own: Vec<(String, &str)> = Vec::new();
        if let Some(login) = &raw.login {
            own.push(("login.path".to_owned(), &login.path));
        }
        if let Some(access_token) = &raw.access_token {
            own.push(("access_token.path".to_owned(), &access_token.path));
        }
        if let Some(forward_auth) = &raw.forward_auth {
            own.push(("forward_auth.path".to_owned(), &forward_auth.path));
        }
        const FIXED: [&str; 6] = [
            "/.well-known/jwks.json",
            "/.well-known/jwks.pem",
            "/.well-known/oauth-authorization-server",
            "/auth/logout",
            "/oauth/revoke",
            "/oauth/introspect",
        ];
        for (at, path) in own.iter().filter(|(_, path)| FIXED.contains(path)) {
            self.add(at, format!("`{path}` is another endpoint of the gateway"), "choose another path");
        }
        self.unique("the path", own.iter().map(|(at, path)| (at.clone(), *path)));
        if raw.issuer.is_some() {
            own.extend(FIXED[..3].iter().map(|path| (String::new(), *path)));
        }
        if raw.login.is_some() {
            own.push((String::new(), FIXED[3]));
        }
        if raw.access_token.is_some() {
            own.extend(FIXED[4..].iter().map(|path| (String::new(), *path)));
        }
        for (index, route) in raw.routes.iter().enumerate() {
            let path = route.path.as_str();
            let ignores_case = raw.backends.get(&route.backend).is_some_and(|backend| backend.ignores_case);
            let is_own = |own: &str| own == path || (ignores_case && own.eq_ignore_ascii_case(path));
            if own.iter().any(|(_, own)| is_own(own)) {
                let message = format!("`{path}` is answered by the gateway itself");
                self.add(&format!("routes[{index}].path"), message, "choose another path");
            }
        }
    }
}
