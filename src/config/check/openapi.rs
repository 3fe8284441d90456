//! Checks of `openapi` and of the keys of routes that belong to it. The documents are read when the policy is built.

use super::super::raw::Route;
use super::Check;

impl Check<'_> {
    pub(super) fn openapi(&mut self) {
        if let Some(openapi) = &self.raw.openapi {
            self.not_blank("openapi.title", &openapi.title);
            self.not_blank("openapi.version", &openapi.version);
        }
    }

    pub(super) fn described(&mut self, at: &str, route: &Route) {
        let key = format!("{at}.validate");
        if route.validate.is_none() {
            return;
        }
        if route.openapi.is_none() {
            let message = "there is no description that requests could be held against";
            self.add(&key, message, "add openapi: FILE to this route, or remove `validate`");
        }
        if route.websocket {
            let message = "what passes on a WebSocket is not looked at, and `validate` says what may pass";
            self.add(&key, message, "remove `websocket` or `validate`");
        }
    }
}
