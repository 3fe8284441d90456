//! Checks of `routes`.

use super::super::raw::{
    CustomerTokenSource, Dpop, Issue, Listen, Mode, PathMatch, Per, Raw, Requirement, Rewrite, Route,
};
use super::{Check, grammar, shown};

impl PathMatch {
    /// The path, whether as a prefix, exactly or as an expression.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Prefix(path) => path,
            Self::Exact(exact) => &exact.exact,
            Self::Regex(regex) => &regex.regex,
        }
    }
}

impl Route {
    /// Returns whether it is served on this listener.
    pub fn is_served_on(&self, listen: &Listen) -> bool {
        let is_named = || listen.name.as_ref().is_some_and(|name| self.listen.contains(name));
        listen.redirect.is_none() && (self.listen.is_empty() || is_named())
    }

    /// Returns whether it accepts what this gateway issues: its tokens and session cookies.
    pub fn accepts_own(&self, raw: &Raw) -> bool {
        let is_own = |name: &String| raw.issuer.as_ref().is_some_and(|own| own.url == *name);
        self.issuers.is_empty() || self.issuers.iter().any(is_own)
    }

    /// The audience that its listeners set apart; all have the same one, or none.
    pub fn audience_apart<'a>(&'a self, raw: &'a Raw) -> Option<&'a str> {
        raw.listen.iter().find(|listen| self.is_served_on(listen))?.audience.as_deref()
    }

    /// Whom a client's token must be for: `audience`, or the usual one of its listeners.
    pub fn required_audience<'a>(&'a self, raw: &'a Raw) -> Option<&'a str> {
        let usual = || raw.issuer.as_ref().map(|issuer| issuer.audience.as_str());
        self.audience.as_deref().or_else(|| self.audience_apart(raw)).or_else(usual)
    }
}

impl Check<'_> {
    pub(super) fn routes(&mut self) {
        let raw = self.raw;
        self.not_empty("routes", &raw.routes, "add a route: without one nothing can be called");
        for (index, route) in raw.routes.iter().enumerate() {
            self.route(&format!("routes[{index}]"), route);
        }
        let names = raw.routes.iter().enumerate();
        self.unique(
            "the route name",
            names.map(|(index, route)| (format!("routes[{index}].name"), route.name.as_str())),
        );
        self.overlaps();
        self.regex_overlaps();
        let customer = raw.routes.iter().position(|route| route.require.contains(&Requirement::Customer));
        if let (Some(index), None, None) = (customer, &raw.login, &raw.identifier) {
            let message = "a customer is named by an identifier, and there is no `identifier`";
            self.add(&format!("routes[{index}].require"), message, "add `identifier` with its `key`");
        }
    }

    fn route(&mut self, at: &str, route: &Route) {
        self.not_blank(&format!("{at}.name"), &route.name);
        for (index, host) in route.hosts.iter().enumerate() {
            if let Some((message, help)) = grammar::host_fault(host) {
                let help = if host.contains('*') { format!("{help}, one entry for each name") } else { help };
                self.add(&format!("{at}.hosts[{index}]"), message, help);
            }
        }
        let raw = self.raw;
        let answering = raw.listen.iter().filter(|listen| listen.redirect.is_none());
        let names: Vec<&str> = answering.filter_map(|listen| listen.name.as_deref()).collect();
        for (index, name) in route.listen.iter().enumerate() {
            self.known(&format!("{at}.listen[{index}]"), "listener that answers and has the name", name, &names);
        }
        let apart = route.audience_apart(raw);
        let mut listeners = raw.listen.iter().filter(|listen| route.is_served_on(listen));
        if listeners.any(|listen| listen.audience.as_deref() != apart) {
            let message =
                "this route is served on listeners with different audiences: tokens of one would be good on the other";
            self.add(&format!("{at}.listen"), message, "name the listeners of one audience; write a route for each");
        }
        match &route.path {
            PathMatch::Regex(path) => self.regex_path(at, route, &path.regex),
            path => self.path(&format!("{at}.path"), path.as_str()),
        }
        self.matchers(at, route);
        self.methods(at, route);
        self.requirements(at, route);
        self.issuers_of(at, route);
        self.callers_networks(at, route);
        self.identifier_place(at, route);
        if let Some(places) = &route.customer_token_sources {
            self.customer_token_sources(at, route, places);
        }
        self.destination(at, route);
        self.api_key_header(at, route);
        self.client_sources(at, route);
        self.errors(&format!("{at}.errors"), &route.errors);
        if let Some(rules) = route.retry.rules() {
            self.retries(&format!("{at}.retry"), rules);
        }
        self.route_limits(at, route);
        self.websocket(at, route);
        if let Some(rules) = &route.request_headers {
            self.request_fields(&format!("{at}.request_headers"), rules, &[route]);
        }
        self.passed_fields(&format!("{at}.pass_request_headers"), &route.pass_request_headers);
        if let Some(rules) = &route.response_headers {
            self.response_fields(&format!("{at}.response_headers"), rules);
        }
        if let Some(cors) = &route.cors {
            self.cors(&format!("{at}.cors"), cors);
        }
        if route.resource_metadata {
            self.resource_metadata(at, route);
        }
        if let Some(response) = &route.response {
            self.response(&format!("{at}.response"), response);
        }
        self.odd_paths(at, route);
        if let Some(rewrite) = &route.rewrite {
            self.rewrite(&format!("{at}.rewrite"), route, rewrite);
        }
        self.content_types(at, route);
        if route.enforce.is_some() && route.mode == Mode::Enforce {
            let message = "a share of the callers is enforced on a route that observes, and this one refuses to all";
            self.add(&format!("{at}.enforce"), message, "add `mode: observe`, or remove `enforce`");
        }
    }

    fn content_types(&mut self, at: &str, route: &Route) {
        for (index, content_type) in route.content_types.iter().enumerate() {
            let is_type = content_type
                .split_once('/')
                .is_some_and(|(kind, subtype)| grammar::is_token(kind) && grammar::is_token(subtype));
            if !is_type {
                let message = "this is not a content type";
                self.add(
                    &format!("{at}.content_types[{index}]"),
                    message,
                    "write it like application/json, without parameters",
                );
            }
        }
    }

    fn methods(&mut self, at: &str, route: &Route) {
        self.not_empty(&format!("{at}.methods"), &route.methods, "name the methods that are let through, such as POST");
        for (index, method) in route.methods.iter().enumerate() {
            if let Some((message, help)) = grammar::method_fault(method) {
                self.add(&format!("{at}.methods[{index}]"), message, help);
            }
        }
        let methods = route.methods.iter().enumerate();
        self.unique("the method", methods.map(|(index, method)| (format!("{at}.methods[{index}]"), method.as_str())));
    }

    fn requirements(&mut self, at: &str, route: &Route) {
        let require = format!("{at}.require");
        let requires = |requirement| route.require.contains(&requirement);
        if route.require.is_empty() && !route.public {
            let help = "name what a caller must show (client, customer, api_key), or write public: true";
            self.add(&require, "a protected route without any requirement", help);
        }
        if route.public && !route.require.is_empty() {
            let message = "this route is public and requires something";
            self.add(&format!("{at}.public"), message, "remove `public`, or remove `require`");
        }
        for (index, requirement) in route.require.iter().enumerate() {
            if route.require[..index].contains(requirement) {
                self.add(&format!("{require}[{index}]"), "this requirement stands here twice", "remove one");
            }
        }
        match route.dpop {
            Some(Dpop::Required) if !requires(Requirement::Client) => {
                let message = "`dpop: required` is about the client's token, and this route does not require `client`";
                self.add(&format!("{at}.dpop"), message, "add `client` to `require`, or write `dpop: optional`");
            }
            Some(Dpop::Optional) if !requires(Requirement::Client) && !requires(Requirement::Customer) => {
                let message = "`dpop` is about tokens, and this route requires neither `client` nor `customer`";
                self.add(&format!("{at}.dpop"), message, "add one of them to `require`, or remove `dpop`");
            }
            _ => {}
        }
        if route.dpop.is_some() && route.websocket {
            let message = "a proof is for one request, and a WebSocket is checked again while it is open";
            self.add(&format!("{at}.dpop"), message, "remove `dpop`, or `websocket`");
        }
        for (index, scope) in route.scopes.iter().enumerate() {
            self.scope(&format!("{at}.scopes[{index}]"), scope);
        }
        if !route.scopes.is_empty() && !requires(Requirement::Client) {
            let message = "scopes are in the client's token, and this route does not require `client`";
            self.add(&format!("{at}.scopes"), message, "add client to `require`, or remove `scopes`");
        }
        if route.audience.is_some() && !requires(Requirement::Client) {
            let message = "the audience is in the client's token, and this route does not require `client`";
            self.add(&format!("{at}.audience"), message, "add client to `require`, or remove `audience`");
        }
    }

    fn customer_token_sources(&mut self, at: &str, route: &Route, places: &[CustomerTokenSource]) {
        let all = format!("{at}.customer_token_sources");
        self.not_empty(&all, places, "name a place, or remove `customer_token_sources`");
        if !route.require.contains(&Requirement::Customer) {
            let message =
                "`customer_token_sources` says where a customer's token is, and this route does not require `customer`";
            self.add(&all, message, "add customer to `require`, or remove `customer_token_sources`");
        }
        for (index, place) in places.iter().enumerate() {
            let at = format!("{all}[{index}]");
            if places[..index].contains(place) {
                self.add(&at, "this place stands here twice", "remove one");
            }
            match place {
                CustomerTokenSource::Header(header) => {
                    if let Some((message, help)) = grammar::header_fault(&header.name, &["customer-auth"]) {
                        let help = match header.name.to_ascii_lowercase().as_str() {
                            "authorization" => "write { bearer: true }".to_owned(),
                            "cookie" => "write { cookie: NAME }".to_owned(),
                            _ => help.replace("X-Customer-Id", "X-Customer-Token"),
                        };
                        self.add(&format!("{at}.header.name"), message, help);
                    }
                    if header.scheme.as_ref().is_some_and(|scheme| !grammar::is_token(scheme)) {
                        self.add(&format!("{at}.header.scheme"), "this is not one word", "write it like JWT or Bearer");
                    }
                }
                CustomerTokenSource::Session(true) => {
                    let has_sessions = self.raw.login.as_ref().is_some_and(|login| login.issue != Issue::Jwt);
                    if !has_sessions {
                        let message = "no login gives a session cookie";
                        self.add(&at, message, "write login.issue: cookie or both, or remove this place");
                    }
                }
                CustomerTokenSource::Session(false) | CustomerTokenSource::Bearer(false) => {
                    self.add(&at, "`false` names no place", "write true, or remove this place");
                }
                CustomerTokenSource::Cookie(name) if !grammar::is_token(name) => {
                    self.add(&format!("{at}.cookie"), "this is not the name of a cookie", "");
                }
                CustomerTokenSource::Cookie(name) => {
                    let session = self.raw.login.as_ref().and_then(|login| login.cookie.as_ref());
                    if session.is_some_and(|session| session.name == *name) {
                        let message = "this cookie is the session cookie, which is not a JWT";
                        self.add(&format!("{at}.cookie"), message, "write { session: true }");
                    }
                }
                CustomerTokenSource::Body(pointer) => self.pointer(&format!("{at}.body"), pointer),
                CustomerTokenSource::Bearer(true) if route.takes_client_in_authorization() => {
                    let message = "`Authorization: Bearer` cannot hold both the customer's and the client's token";
                    self.add(&at, message, "remove `bearer`, or remove client from `require`");
                }
                CustomerTokenSource::Bearer(true) => {}
            }
        }
    }

    fn route_limits(&mut self, at: &str, route: &Route) {
        let limits = &route.limits;
        if limits.burst == Some(0) {
            self.more_than_zero(&format!("{at}.limits.burst"), 0);
        }
        if limits.shared && self.raw.state.redis.is_none() {
            let message = "replicas count together through Redis, and there is no `state.redis`";
            self.add(&format!("{at}.limits.shared"), message, "add `state.redis`, or remove `shared`");
        }
        for (key, is_set) in
            [("burst", limits.burst.is_some()), ("per", limits.per.is_some()), ("shared", limits.shared)]
        {
            if is_set && limits.rate.is_none() {
                self.add(
                    &format!("{at}.limits.{key}"),
                    format!("`{key}` belongs to `rate`, which is missing"),
                    "add `rate`",
                );
            }
        }
        let counted = match limits.per {
            Some(Per::Client) => Some((Requirement::Client, "client")),
            Some(Per::ApiKey) => Some((Requirement::ApiKey, "api_key")),
            Some(Per::Customer) => Some((Requirement::Customer, "customer")),
            Some(Per::Address) | None => None,
        };
        if let Some((_, word)) = counted.filter(|(requirement, _)| !route.require.contains(requirement)) {
            let message = format!("each {word} is counted, and this route does not require `{word}`");
            self.add(&format!("{at}.limits.per"), message, format!("add {word} to `require`, or count another"));
        }
        if let Some(body) = limits.body {
            self.some_bytes(&format!("{at}.limits.body"), body);
        }
        if let Some(timeout) = limits.timeout {
            self.some_time(&format!("{at}.limits.timeout"), timeout);
        }
    }

    fn odd_paths(&mut self, at: &str, route: &Route) {
        for (index, form) in route.allow_in_path.iter().enumerate() {
            if route.allow_in_path[..index].contains(form) {
                self.add(&format!("{at}.allow_in_path[{index}]"), "this form stands here twice", "remove one");
            }
        }
    }

    fn rewrite(&mut self, at: &str, route: &Route, rewrite: &Rewrite) {
        if rewrite.target.is_some() || rewrite.from.is_some() {
            return self.path_template(at, route, rewrite);
        }
        if rewrite.strip_prefix.is_none() && rewrite.add_prefix.is_none() {
            self.add(at, "nothing says how the path is changed", "add `strip_prefix`, `add_prefix` or both");
        }
        for (key, prefix) in [("strip_prefix", &rewrite.strip_prefix), ("add_prefix", &rewrite.add_prefix)] {
            let Some(prefix) = prefix else { continue };
            let key = format!("{at}.{key}");
            if let Some((message, help)) = grammar::path_fault(prefix) {
                self.add(&key, message, help);
            } else if prefix.ends_with('/') {
                self.add(&key, "a prefix is whole segments, without a slash at the end", "write it like /api");
            }
        }
        if matches!(route.path, PathMatch::Regex(_)) {
            return;
        }
        let path = route.path.as_str();
        let is_of_route = |prefix: &String| {
            path.strip_prefix(prefix.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        if let Some(prefix) = rewrite.strip_prefix.as_ref().filter(|prefix| !is_of_route(prefix)) {
            let message = format!("not all paths of this route begin with {}", shown(prefix));
            self.add(&format!("{at}.strip_prefix"), message, format!("write a beginning of {}", shown(path)));
        }
    }

    fn websocket(&mut self, at: &str, route: &Route) {
        let limits = &route.limits;
        for (key, time) in [("idle", limits.idle), ("lifetime", limits.lifetime), ("recheck", limits.recheck)] {
            let Some(time) = time else { continue };
            let key = format!("{at}.limits.{key}");
            self.some_time(&key, time);
            if !route.websocket {
                self.add(
                    &key,
                    "this is about WebSockets, and the route has none",
                    "add `websocket: true`, or remove it",
                );
            }
        }
        if !route.websocket {
            return;
        }
        let key = format!("{at}.websocket");
        if !route.methods.iter().any(|method| method == "GET") {
            let message = "a WebSocket is opened with GET, which this route does not list";
            self.add(&key, message, "add GET to `methods`");
        }
        if route.identifier.as_ref().is_some_and(|placement| placement.body.is_some() || placement.form.is_some()) {
            let message = "a WebSocket is opened without a body, and the identifier goes into the body";
            self.add(&key, message, "write identifier: { header: X-Customer-Id }");
        }
        if route.response.is_some() {
            let message = "what passes on a WebSocket is not looked at, and `response` says what may pass";
            self.add(&key, message, "remove `websocket` or `response`");
        }
        let reads_body = |place: &CustomerTokenSource| matches!(place, CustomerTokenSource::Body(_));
        if route.customer_token_sources.iter().flatten().any(reads_body) {
            let message = "a WebSocket is opened without a body, and the customer's token may stand in the body";
            self.add(&key, message, "remove that place from `customer_token_sources`");
        }
    }
}
