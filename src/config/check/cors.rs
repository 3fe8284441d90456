//! Checks of `cors`.

use super::super::raw::Cors;
use super::{Check, grammar, shown};

impl Check<'_> {
    pub(super) fn cors(&mut self, at: &str, cors: &Cors) {
        let origins = format!("{at}.origins");
        self.not_empty(&origins, &cors.origins, "add an origin, such as https://www.example.com");
        let is_open = cors.origins.iter().any(|origin| origin == "*");
        if is_open && cors.origins.len() > 1 {
            self.add(&origins, "\"*\" is every origin, and others stand beside it", "keep \"*\" or the others");
        }
        if is_open && cors.credentials {
            let message = "with \"*\" every page on the web could call with the cookies of whoever looks at it";
            self.add(&format!("{at}.credentials"), message, "name the origins, or remove `credentials`");
        }
        for (index, origin) in cors.origins.iter().enumerate().filter(|(_, origin)| *origin != "*") {
            let is_origin = grammar::UrlParts::parse(origin).is_ok_and(|address| address.rest.is_empty())
                && !origin.bytes().any(|byte| byte.is_ascii_uppercase())
                && !origin.ends_with(if origin.starts_with("https:") { ":443" } else { ":80" });
            if !is_origin {
                let message = format!("`{}` is not an origin as browsers write it", shown(origin));
                let help = "write it like https://www.example.com: lower case, no path, no port that is the default";
                self.add(&format!("{origins}[{index}]"), message, help);
            }
        }
        let all = cors.origins.iter().enumerate();
        self.unique("the origin", all.map(|(index, origin)| (format!("{origins}[{index}]"), origin.as_str())));
        for (key, names) in [("headers", &cors.headers), ("expose", &cors.expose)] {
            for (index, name) in names.iter().enumerate() {
                if !grammar::is_token(name) || name == "*" {
                    let message = "this is not the name of a header";
                    self.add(&format!("{at}.{key}[{index}]"), message, "name each one");
                }
            }
        }
    }
}
