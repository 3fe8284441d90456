//! Proxies that ask before they forward.

use super::Check;

impl Check<'_> {
    pub(super) fn forward_auth(&mut self) {
        let raw = self.raw;
        let Some(forward_auth) = &raw.forward_auth else { return };
        self.path("forward_auth.path", &forward_auth.path);
        self.not_empty("forward_auth.allow", &forward_auth.allow, "add the networks of the proxies that may ask");
        if forward_auth.grpc && raw.listen.iter().all(|listen| listen.tls.is_none()) {
            let message = "Envoy asks over HTTP/2, and no listener has TLS to agree on it";
            self.add("forward_auth.grpc", message, "add `tls` to a listener");
        }
    }
}
