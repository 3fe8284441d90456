//! Instructions after a rotation for replicas that share nothing but Redis: secrets and keys are in files, and each
//! replica has its own.

use std::path::PathBuf;

use crate::config::raw::SecretRef;
use crate::config::{self, Config};
use anyhow::Context as _;

/// The key or secret that was rotated.
#[derive(Debug, Clone, Copy)]
pub(super) enum RotatedKey<'a> {
    /// `issuer.signing_keys`.
    SigningKey,
    /// `login.cookie.keys`.
    CookieKey,
    /// The API key with this id.
    ApiKey(&'a str),
    /// The secret of the client with this id.
    ClientSecret(&'a str),
    /// `identifier.key`.
    IdentifierKey,
}

/// The file that must reach the other replicas.
struct Change {
    /// The file that has changed.
    file: PathBuf,
    /// The key of a list in gateway.yaml, `clients_file` or `api_keys_file`, and its items; `None` where the whole file is keys.
    list: Option<(String, Vec<String>)>,
    /// The step that must wait until all replicas have it.
    last: &'static str,
}

/// The steps, one a line; `None` where no other replicas share the state.
///
/// # Errors
/// The file cannot be read any more.
pub(super) fn steps(rotated: RotatedKey<'_>, file: &std::path::Path) -> anyhow::Result<Option<String>> {
    let (config, problems) = config::read(file)?;
    if !problems.is_empty() {
        return Err(problems.into());
    }
    if config.raw().state.redis.is_none() {
        return Ok(None);
    }
    let change =
        changed(rotated, &config).context("cannot tell what other replicas need: copy what has changed to each")?;
    let path = std::path::absolute(&change.file).unwrap_or_else(|_| change.file.clone());
    let main = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let mut steps = vec![format!("copy {} to the same path on each other replica", path.display())];
    if let Some((key, items)) = &change.list {
        let items: Vec<String> = items.iter().map(|item| format!("\n       - \"{item}\"")).collect();
        steps[0]
            .push_str(&format!(", or where its file is another one write this list there at {key}:{}", items.concat()));
    }
    if path == main {
        steps
            .push("send SIGHUP there (`systemctl reload wicketgate`), and see that its log says `reloaded`".to_owned());
    } else {
        steps.push("it is read by itself: see that the log there says `reloaded`".to_owned());
    }
    steps.push("`wicketgate keys` there shows the same versions as here".to_owned());
    steps.push(change.last.to_owned());
    let steps: Vec<String> =
        steps.iter().enumerate().map(|(number, step)| format!("  {}. {step}", number + 1)).collect();
    Ok(Some(format!(
        "Redis carries no keys and secrets: other replicas do not know this one yet. In this order:\n{}",
        steps.join("\n")
    )))
}

fn changed(rotated: RotatedKey<'_>, config: &Config) -> Option<Change> {
    let raw = config.raw();
    let of_secret = |secret: &SecretRef| match secret {
        SecretRef::File(path) => Some(config.resolve(path)),
        SecretRef::Env(_) | SecretRef::Credential(_) => None,
    };
    let given_out = "only now give the new one to whoever uses it; the one before goes on until its end, and a replica that \
                     was left out would go on with it alone";
    match rotated {
        RotatedKey::SigningKey => {
            let mut files = config.list_directory(&raw.issuer.as_ref()?.signing_keys).ok()?;
            files.retain(|file| file.extension().is_some_and(|extension| extension == "pem"));
            files.sort_unstable();
            let last = "all this within `issuer.publish_delay`, before the new one signs";
            Some(Change { file: files.pop()?, list: None, last })
        }
        RotatedKey::CookieKey => {
            let file = of_secret(raw.login.as_ref()?.cookie.as_ref()?.keys.first()?)?;
            let last = "all this before the time that stands behind `from` in it, when the new one signs";
            Some(Change { file, list: None, last })
        }
        RotatedKey::IdentifierKey => {
            let file = of_secret(&raw.identifier.as_ref()?.key)?;
            let last = "at once: until then replicas call one customer by different identifiers, each with the other as the \
                        previous one or not at all";
            Some(Change { file, list: None, last })
        }
        RotatedKey::ApiKey(id) => {
            let own = raw.api_keys_file.as_ref().and_then(|file| config.read_api_keys(file).ok());
            let places = [Some(config), own.as_ref()];
            places.into_iter().flatten().find_map(|place| {
                let key = place.raw().api_keys.iter().find(|key| key.id == id)?;
                let list = Some((format!("`sha256` of the API key `{}`", key.id), key.sha256.clone()));
                Some(Change { file: place.file().to_owned(), list, last: given_out })
            })
        }
        RotatedKey::ClientSecret(id) => {
            let own = raw.clients_file.as_ref().and_then(|file| config.read_clients(file).ok());
            [Some(config), own.as_ref()].into_iter().flatten().find_map(|place| {
                let client = place.raw().clients.iter().find(|client| client.id == id)?;
                let list = Some((format!("`secrets` of the client `{}`", client.id), client.secrets().to_vec()));
                Some(Change { file: place.file().to_owned(), list, last: given_out })
            })
        }
    }
}
