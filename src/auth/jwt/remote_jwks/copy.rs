//! Copy of an issuer's keys in a private file: a start without the issuer goes by it.

use std::path::Path;

use serde_json::{Value, json};

use super::{FetchedKeys, JwksLocation, JwksSource};
use crate::auth::jwt::jwk_set::listed;
use crate::private_file;

/// The copy. `None` without one, or where others can write it.
pub(super) fn read(source: &JwksSource) -> Option<FetchedKeys> {
    let file = &source.copy;
    let text = match private_file::read(file, state_directory(source)) {
        Ok(text) => text,
        Err(error) => {
            if error.kind() != std::io::ErrorKind::NotFound {
                // Whoever can write it could sign for any customer of this issuer.
                let file = file.display();
                tracing::warn!(%file, %error, "ignoring the copy of an issuer's keys: other users can write it");
            }
            return None;
        }
    };
    let copy = serde_json::from_slice(&text).unwrap_or(Value::Null);
    let is_others = copy["issuer"].is_string()
        && copy["place"].is_string()
        && (copy["issuer"] != source.issuer.as_str() || copy["place"] != place_text(source));
    if is_others {
        return None;
    }
    let keys = parsed(&copy);
    if keys.is_none() {
        let file = file.display();
        tracing::warn!(%file, "ignoring the copy of an issuer's keys: it is damaged");
    }
    keys
}

fn parsed(copy: &Value) -> Option<FetchedKeys> {
    Some(FetchedKeys {
        fetched_at: copy["fetched_at"].as_u64()?,
        listed: listed(copy["jwks"].as_str()?.as_bytes()).ok()?,
        lapsed: copy["lapsed"].as_array().cloned().unwrap_or_default(),
    })
}

/// The copies are in a directory of their own there.
fn state_directory(source: &JwksSource) -> &Path {
    let copies = source.copy.parent();
    copies.and_then(Path::parent).unwrap_or(Path::new(""))
}

/// Losing the copy costs nothing but a start without the issuer.
pub(super) fn write(source: &JwksSource, keys: &FetchedKeys) {
    let copy = json!({
        "issuer": source.issuer, "place": place_text(source), "fetched_at": keys.fetched_at,
        "jwks": json!({ "keys": keys.listed }).to_string(), "lapsed": keys.lapsed,
    });
    let file = &source.copy;
    let written = match private_file::is_place_own(file, state_directory(source)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => crate::secret::write_private(file, copy.to_string().as_bytes()),
    };
    if let Err(error) = written {
        tracing::warn!(file = %source.copy.display(), %error, "cannot keep a copy of an issuer's keys");
    }
}

fn place_text(source: &JwksSource) -> String {
    match &source.place {
        JwksLocation::Url(url) => url.clone(),
        JwksLocation::Discovery => "discovery".to_owned(),
        JwksLocation::Metadata(url) => format!("metadata {url}"),
    }
}
