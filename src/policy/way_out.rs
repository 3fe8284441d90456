//! Proxies on the way to others, read.

use std::sync::Arc;

use aws_lc_rs::digest;

use crate::config::{Config, raw};
use crate::fetch::{Proxies, Proxy};
use crate::hex::hex;

/// The key at which something is wrong, what, and what to do.
type ProxyFault = (&'static str, String, String);

/// The proxy that this key names; without it, that of the environment.
///
/// # Errors
/// It cannot be used.
pub(super) fn read(config: &Config, choice: Option<&raw::ProxyChoice>) -> Result<Proxies, ProxyFault> {
    let fixed = |proxy| Proxies::Fixed(Arc::new(proxy));
    let usable = |message| ("proxy", message, "write it like http://proxy.example.com:3128".to_owned());
    match choice {
        None => Ok(Proxies::Environment),
        Some(raw::ProxyChoice::Url(none)) if none == "none" => Ok(Proxies::Direct),
        Some(raw::ProxyChoice::Url(url)) => Proxy::parse(url).map(fixed).map_err(usable),
        Some(raw::ProxyChoice::WithPassword(proxy)) => {
            let password = config.read_secret_line(&proxy.password);
            let password = password.map_err(|(message, help)| ("proxy.password", message, help))?;
            let named = Proxy::parse(&proxy.url).and_then(|found| found.with_password(&proxy.username, &password));
            named.map(fixed).map_err(usable)
        }
    }
}

/// A text that tells them from others, and from which no password can be read.
pub(super) fn told_apart(proxies: &Proxies) -> String {
    let secret = match proxies {
        Proxies::Fixed(proxy) => proxy.shown().map(|field| hex(digest::digest(&digest::SHA256, field).as_ref())),
        Proxies::Environment | Proxies::Direct => None,
    };
    format!("{proxies:?} {secret:?}")
}
