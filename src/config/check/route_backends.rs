//! Checks of the backends of a route, and of the networks that may call it.

use std::collections::HashSet;

use ipnet::IpNet;

use super::super::raw::{Backend, Raw, Route};
use super::{Check, shown};

impl Route {
    /// Names of the backends to which its requests may go.
    pub fn backend_names(&self) -> impl Iterator<Item = &str> {
        self.backend.as_deref().into_iter().chain(self.backends.iter().map(|backend| backend.name.as_str()))
    }

    /// Returns whether its requests may go to the backend of this name.
    pub fn leads_to(&self, backend: &str) -> bool {
        self.backend_names().any(|name| name == backend)
    }

    /// Returns whether its backends ignore letter case in paths; they agree on that.
    pub fn ignores_case(&self, raw: &Raw) -> bool {
        self.sections(raw).any(|backend| backend.ignores_case)
    }

    fn sections<'a>(&'a self, raw: &'a Raw) -> impl Iterator<Item = &'a Backend> {
        self.backend_names().filter_map(|name| raw.backends.get(name))
    }
}

impl Check<'_> {
    pub(super) fn weighted_backends(&mut self, at: &str, route: &Route) {
        let raw = self.raw;
        for (index, backend) in route.backends.iter().enumerate() {
            self.known_backend(&format!("{at}[{index}].name"), &backend.name);
        }
        let names = route.backends.iter().enumerate();
        self.unique(
            "the backend",
            names.map(|(index, backend)| (format!("{at}[{index}].name"), backend.name.as_str())),
        );
        if route.backends.iter().all(|backend| backend.weight == 0) {
            let message = "all weights are 0: no backend would get a request";
            self.add(at, message, "give one of them a weight, such as 1");
        }
        let cases: HashSet<bool> = route.sections(raw).map(|backend| backend.ignores_case).collect();
        if cases.len() > 1 {
            let message = "one of these backends ignores letter case (`ignores_case`) and another does not: the same path would \
                           be a path of different routes";
            self.add(at, message, "write the same in both");
        }
        // Who is told which name must not hang on the weights.
        let pairwise = route.backends.iter().find(|it| raw.backends.get(&it.name).is_some_and(|it| it.pairwise));
        if let Some(backend) = pairwise.filter(|_| route.backends.len() > 1) {
            let message = format!(
                "the backend `{}` knows customers by names of its own (`pairwise`): a customer who moves to another backend \
                 would be somebody else there",
                shown(&backend.name)
            );
            self.add(at, message, "remove `pairwise`, or route to this backend alone");
        }
    }

    /// The networks that may call a route, and those that may not.
    pub(super) fn callers_networks(&mut self, at: &str, route: &Route) {
        let is_within = |network: &IpNet, others: &[IpNet]| others.iter().any(|other| other.contains(network));
        if !route.allow.is_empty() && route.allow.iter().all(|network| is_within(network, &route.deny)) {
            let message = "all networks of `allow` are in `deny`: nobody may call this route";
            self.add(&format!("{at}.deny"), message, "remove one of them, or the route");
        }
        for (key, networks) in [("allow", &route.allow), ("deny", &route.deny)] {
            for (index, network) in networks.iter().enumerate() {
                if networks[..index].contains(network) {
                    self.add(&format!("{at}.{key}[{index}]"), "this network stands here twice", "remove one");
                }
            }
        }
        let all = ["0.0.0.0/0", "::/0"].map(str::parse::<IpNet>);
        if all.iter().flatten().all(|all| is_within(all, &route.deny)) {
            let message = "`deny` names all addresses: nobody may call this route";
            self.add(&format!("{at}.deny"), message, "name those who may call it in `allow`, or remove the route");
        }
    }
}
