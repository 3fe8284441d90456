//! Checks of the places of identifiers: `routes[].identifier`, and `rewrite.target` where it is in the path.

use super::super::raw::{
    IdentifierMode, IdentifierPlace, Mode, PathMatch, Placement, Requirement, Rewrite, Route, Send,
};
use super::{Check, grammar, shown};
use crate::parameters::ParameterName;
use crate::path_template::PathTemplate;

impl Check<'_> {
    pub(super) fn identifier_place(&mut self, at: &str, route: &Route) {
        let Some(placement) = &route.identifier else { return };
        let place = format!("{at}.identifier");
        let named: Vec<&str> = placement.places().map(|(key, _)| key).collect();
        match &named[..] {
            [] => {
                let message = "nothing says where the identifier goes";
                self.add(&place, message, "add `header`, `body`, `form`, `query` or `path`");
            }
            [_] => {}
            several => {
                let message = format!("`{}` stand side by side", several.join("` and `"));
                self.add(&place, message, "keep one of them");
            }
        }
        for (key, named) in placement.places() {
            self.name_of_place(at, route, &format!("{place}.{key}"), named);
        }
        if !route.require.contains(&Requirement::Customer) {
            let message = "an identifier is placed, and this route does not require `customer`";
            self.add(&place, message, "add customer to `require`, or remove `identifier`");
        }
        self.decisions(&place, route, placement);
        let mode = self.raw.identifier.as_ref().map(|identifier| identifier.mode);
        if placement.send == Send::Subject && mode == Some(IdentifierMode::OneWay) {
            let message = "the subject can only be sent where identifiers are traceable";
            self.add(&format!("{place}.send"), message, "write identifier.mode: traceable, or send: identifier");
        }
    }

    fn name_of_place(&mut self, at: &str, route: &Route, key: &str, place: IdentifierPlace<'_>) {
        match place {
            IdentifierPlace::Header(header) => {
                if let Some((message, help)) = grammar::header_fault(header, &[]) {
                    self.add(key, message, help);
                }
            }
            IdentifierPlace::Body(pointer) => self.pointer(key, pointer),
            IdentifierPlace::Form(name) | IdentifierPlace::Query(name) => {
                if let Err(fault) = ParameterName::parse(name) {
                    self.add(key, fault, "write it like customer_id");
                }
            }
            IdentifierPlace::Path(name) => {
                let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
                if name.is_empty() || name == "rest" || !name.bytes().all(is_word) {
                    let message = "a placeholder is a word of letters, digits and `_`, other than `rest`";
                    self.add(key, message, "write it like customer");
                }
                if route.rewrite.as_ref().is_none_or(|rewrite| rewrite.target.is_none()) {
                    let message = "the identifier goes into the path, and nothing says into which";
                    let help = format!("add rewrite: {{ target: \"/customers/{{{}}}\" }}", shown(name));
                    self.add(key, message, help);
                }
                if route.mode == Mode::Observe {
                    let message = "in mode observe a call of nobody would have no path at the backend";
                    self.add(&format!("{at}.mode"), message, "remove `mode`, or place the identifier elsewhere");
                }
            }
        }
    }

    /// A proxy that asks for decisions sets header fields, and neither target nor body.
    fn decisions(&mut self, at: &str, route: &Route, placement: &Placement) {
        if placement.header.is_some() {
            return;
        }
        let mut listeners = self.raw.listen.iter().filter(|listen| route.is_served_on(listen)).peekable();
        if listeners.peek().is_some() && listeners.all(|listen| listen.forward_auth) {
            let message = "this route is only on listeners with `forward_auth`, and the proxy that asks there can write \
                 the identifier into no other place than a header";
            self.add(at, message, "write identifier: { header: X-Customer-Id }");
        }
    }

    pub(super) fn path_template(&mut self, at: &str, route: &Route, rewrite: &Rewrite) {
        let Some(placeholder) = route.identifier.as_ref().and_then(|placement| placement.path.as_deref()) else {
            let message = "`target` and `from` are for paths with the customer in them, and `identifier` is elsewhere";
            return self.add(at, message, "write identifier: { path: customer }, or `strip_prefix` and `add_prefix`");
        };
        if matches!(route.path, PathMatch::Regex(_)) {
            let message = "the path of this route is an expression, of which no part names a customer for sure";
            return self.add(at, message, "write the path as a prefix, and where customers are named into `from`");
        }
        if rewrite.strip_prefix.is_some() || rewrite.add_prefix.is_some() {
            let message = "`target` is the whole path, and prefixes are changed beside it";
            self.add(at, message, "keep `target`, or `strip_prefix` and `add_prefix`");
        }
        let target =
            rewrite.target.as_deref().and_then(|text| self.template(&format!("{at}.target"), text, placeholder));
        let from = rewrite.from.as_deref().map(|text| self.template(&format!("{at}.from"), text, placeholder));
        let Some(target) = target else { return };
        // What may stand behind that part of the caller's path which is known.
        let is_open = match &from {
            Some(None) => return,
            Some(Some(from)) => from.has_rest,
            None => matches!(route.path, PathMatch::Prefix(_)),
        };
        if is_open && !target.has_rest {
            let message = "all paths below would lead to this one";
            let help = match &from {
                Some(_) => "add {rest} at the end, or remove it from `from`",
                None => "add {rest} at the end, or write path: { exact: ... }",
            };
            self.add(&format!("{at}.target"), message, help);
        }
        if !is_open && target.has_rest {
            self.add(&format!("{at}.target"), "nothing can stand behind the caller's path", "remove {rest}");
        }
        if let Some(Some(from)) = &from {
            self.begins_as_the_route(&format!("{at}.from"), route, from);
        }
    }

    fn template(&mut self, at: &str, text: &str, placeholder: &str) -> Option<PathTemplate> {
        let template = PathTemplate::parse(text, placeholder)
            .map_err(|fault| {
                self.add(at, fault, format!("write it like /customers/{{{}}}/orders{{rest}}", shown(placeholder)))
            })
            .ok()?;
        if let Some((message, help)) = grammar::path_fault(&template.filled("x", "")) {
            self.add(at, message, help);
            return None;
        }
        Some(template)
    }

    /// Every call that `from` is about is one of the route.
    fn begins_as_the_route(&mut self, at: &str, route: &Route, from: &PathTemplate) {
        let path = route.path.as_str();
        let is_below = from.before.strip_prefix(path).is_some_and(|rest| path.ends_with('/') || rest.starts_with('/'));
        if !is_below || matches!(route.path, PathMatch::Exact(_)) {
            let message = format!("the calls of this route do not begin so: its path is {}", shown(path));
            self.add(at, message, format!("write path: {}", shown(&from.before)));
        }
    }
}
