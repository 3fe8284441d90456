//! Checks of the gateway itself: process settings, issuer, and the paths of its own endpoints.

use super::super::raw::Issuer;
use super::super::scalar::Duration;
use super::{Check, grammar};

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
        if let Some(guard) = &raw.reload.guard {
            let window = guard.window;
            if !(Duration::seconds(1)..=Duration::seconds(3600)).contains(&window) {
                let help = "write 60s: long enough for some calls, short enough to be of use";
                self.add("reload.guard.window", "the window is from 1s to 1h", help);
            }
            if guard.refusals.millionths() == 0 {
                let help = "write 20%: a single refused call more is no reason";
                self.add("reload.guard.refusals", "the share of refused calls always varies a little", help);
            }
        }
        if raw.workers.is_some_and(|workers| !(1..=1024).contains(&workers)) {
            self.add(
                "workers",
                "the number of workers is from 1 to 1024",
                "remove `workers`: the default is one per core",
            );
        }
        self.log(&raw.log);
        if let Some(issuer) = &raw.issuer {
            self.issuer(issuer);
        }
        if let Some(tenant) = raw.identifier.as_ref().and_then(|identifier| identifier.tenant.as_ref()) {
            self.not_blank("identifier.tenant", tenant);
        }
        if let Some(login) = &raw.login {
            self.login(login);
            if let Some(cors) = &login.cors {
                self.login_cors(login, cors);
            }
        }
        if let Some(access_token) = &raw.access_token {
            self.path("access_token.path", &access_token.path);
            self.some_time("access_token.lifetime", access_token.lifetime);
            self.at_most_400_days("access_token.lifetime", access_token.lifetime);
            self.access_token(access_token);
            self.rate_limit("access_token.limits", &access_token.limits);
            self.attempts("access_token.attempts", &access_token.attempts);
            if let Some(cors) = &access_token.cors {
                self.cors("access_token.cors", cors);
            }
            if raw.issuer.is_none() {
                self.add("access_token", "access tokens are signed, and there is no `issuer`", "add `issuer`");
            }
        }
        self.own_paths();
    }

    fn issuer(&mut self, issuer: &Issuer) {
        match grammar::UrlParts::parse(&issuer.url) {
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

    /// RFC 6265bis section 5.6.2: browsers keep no cookie longer. Rules about tokens are not kept for longer either.
    pub(super) fn at_most_400_days(&mut self, at: &str, lifetime: Duration) {
        if lifetime > Duration::seconds(400 * 24 * 3600) {
            self.add(at, "nothing that is issued lasts longer than 400 days", "write at most 9600h");
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
        const FIXED: [&str; 10] = [
            "/.well-known/jwks.json",
            "/.well-known/jwks.pem",
            "/.well-known/oauth-authorization-server",
            "/auth/logout",
            "/oauth/revoke",
            "/oauth/introspect",
            "/oauth/authorize",
            "/oauth/backchannel_logout",
            "/oauth/security_events",
            "/oauth/callback",
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
            own.extend(FIXED[4..6].iter().map(|path| (String::new(), *path)));
        }
        // A client of the file may bring this endpoint at any time.
        if raw.authorizes_customers() || (raw.login.is_some() && raw.clients_file.is_some()) {
            own.push((String::new(), FIXED[6]));
        }
        if raw.login.as_ref().is_some_and(|login| login.provider.is_some()) {
            own.push((String::new(), FIXED[9]));
        }
        if raw.trusted_issuers.iter().any(|issuer| issuer.logout.is_some()) {
            own.push((String::new(), FIXED[7]));
        }
        if raw.trusted_issuers.iter().any(|issuer| issuer.security_events.is_some()) {
            own.push((String::new(), FIXED[8]));
        }
        if raw.routes.iter().any(|route| route.resource_metadata) {
            own.push((String::new(), "/.well-known/oauth-protected-resource"));
        }
        if raw.openapi.as_ref().is_some_and(|openapi| openapi.publish) {
            own.push((String::new(), "/.well-known/openapi.json"));
        }
        for (index, route) in raw.routes.iter().enumerate() {
            let path = route.path.as_str();
            let ignores_case = route.ignores_case(raw);
            let is_own = |own: &str| own == path || (ignores_case && own.eq_ignore_ascii_case(path));
            if own.iter().any(|(_, own)| is_own(own)) {
                let message = format!("`{path}` is answered by the gateway itself");
                self.add(&format!("routes[{index}].path"), message, "choose another path");
            }
        }
    }
}
