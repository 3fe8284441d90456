//! The configuration: the text of gateway.yaml in, a checked [`Config`] out.
//!
//! `tree` reads YAML and keeps the places. `structure` holds the tree against the schema, so that unknown keys
//! and wrong types are all found in one run. `raw` is what the file says, with types. `check` decides whether
//! it makes sense together. What can only be known by reading other files (keys, certificates, accounts) is
//! found out when the policy is built; its problems are shown in the same way, through [`Config::problem`].

pub mod percentage;
pub mod raw;
pub(super) mod renamed;
pub mod scalar;

mod api_keys;
mod check;
mod clients;
mod diagnostic;
pub mod error_template;
mod files;
mod list_file;
mod schema;
mod structure;
mod tree;

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

pub use diagnostic::{Problem, Problems};
pub use schema::schema;

use crate::secret::Secret;
use diagnostic::{ConfigText, Mark, SharedSource};
use raw::{CREDENTIALS, Raw, SecretRef};
use tree::Node;

/// A gateway.yaml that could be read. Only [`read`] and [`parse`] make one.
pub struct Config {
    raw: Raw,
    file: PathBuf,
    directory: PathBuf,
    tree: Node,
    source: SharedSource,
    /// Paths of values that could not be used and have stand-ins.
    replaced: structure::Replaced,
    files_read: Mutex<BTreeSet<PathBuf>>,
    /// Those of them that hold a secret.
    private_read: Mutex<BTreeSet<PathBuf>>,
    /// Warnings about `api_keys_file`.
    of_api_keys_file: Mutex<Vec<Warning>>,
    /// The clients of `clients_file`, once they are joined.
    joined: Option<Box<clients::JoinedClients>>,
}

/// A configuration and all that does not make sense in it, or only the problems.
pub type Draft = Result<(Config, Problems), Problems>;

/// A setting or a file mode that is valid and risky.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// File, line and key, or only the file.
    pub place: String,
    /// The risk, in one sentence without secrets.
    pub message: String,
    /// The way out.
    pub help: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "warning: {}: {} ({})", self.place, self.message, self.help)
    }
}

/// Addresses of a Redis.
pub struct RedisPlace {
    /// Uses TLS.
    pub tls: bool,
    /// Hosts and ports; never empty.
    pub addresses: Vec<(String, u16)>,
    /// The number of the database.
    pub database: i64,
}

impl fmt::Debug for Config {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Config({})", self.file.display())
    }
}

/// Reads the file at `path` and checks it, without opening the files that it names.
///
/// Returns the configuration and all that does not make sense in it: serve nothing from it unless there are no
/// problems, neither these nor those of building the policy.
///
/// # Errors
/// The problems, where the file cannot be read, is not YAML, or where keys are missing or have the wrong type.
pub fn read(path: &Path) -> Draft {
    read_draft(path).and_then(faithful)
}

/// The same as [`read`], but values of the wrong type have stand-ins, so that the files which the configuration names
/// can be looked at all the same. Where there is a stand-in there is a problem.
///
/// # Errors
/// The problems, where the file cannot be read, is not YAML, or lacks too much.
pub fn read_draft(path: &Path) -> Draft {
    match files::read_main(path, tree::MAX_BYTES) {
        Ok(bytes) => match String::from_utf8(bytes) {
            Ok(text) => parse_draft(&text, path),
            Err(error) => {
                let valid = String::from_utf8_lossy(&error.as_bytes()[..error.utf8_error().valid_up_to()]).into_owned();
                let source = ConfigText::new(&valid, path);
                let mark = Mark { line: valid.lines().count().max(1), ..Mark::START };
                Err(source.problem("", mark, "the file is not UTF-8 from here on", "save it as UTF-8").into())
            }
        },
        Err((message, help)) => Err(ConfigText::new("", path).problem("", Mark::START, message, help).into()),
    }
}

/// The same as [`read`], from text. `file` is the name in messages, and its directory is where relative paths start.
///
/// # Errors
/// As for [`read`].
pub fn parse(text: &str, file: &Path) -> Draft {
    parse_draft(text, file).and_then(faithful)
}

/// The meaning of another text in the place of a configuration's own; `None` where it has problems.
pub fn parse_like(config: &Config, text: &str) -> Option<Raw> {
    if config.is_api_keys_file() {
        return config.parse_api_keys(text).ok().map(|config| config.raw);
    }
    if config.is_clients_file() {
        return config.parse_clients(text).ok().map(|config| config.raw);
    }
    let (read, problems) = parse(text, &config.file).ok()?;
    problems.is_empty().then_some(read.raw)
}

/// Only a configuration without stand-ins.
fn faithful((config, problems): (Config, Problems)) -> Draft {
    if config.replaced.is_empty() { Ok((config, problems)) } else { Err(problems) }
}

fn parse_draft(text: &str, file: &Path) -> Draft {
    let source = ConfigText::new(text, file);
    let mut problems = Problems::new();
    let tree = tree::read(&source, &mut problems)?;
    if !matches!(tree.value, tree::Value::Map(_)) {
        let message = match tree.value {
            tree::Value::Null => "the file is empty".to_owned(),
            _ => format!("expected keys and values, this is {}", tree.value.kind()),
        };
        return Err(source.problem("", tree.at, message, "start from the example in docs/configuration.md").into());
    }
    let checked = structure::check(&tree, &source, &mut problems);
    let raw = match serde_json::from_value::<Raw>(checked.value) {
        Ok(raw) => raw,
        Err(_) if !problems.is_empty() => return Err(problems),
        Err(_) => {
            let message = "the file fits the schema but cannot be read; this is a fault of wicketgate";
            problems.push(source.problem("", Mark::START, message, "please report it with the file"));
            return Err(problems);
        }
    };
    // From the root on, so that a path that was resolved leads to the same file when it is resolved again.
    let whole = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
    let directory = whole.parent().map_or_else(|| PathBuf::from("."), Path::to_owned);
    let config = Config {
        raw,
        file: file.to_owned(),
        directory,
        tree,
        source,
        replaced: checked.replaced,
        files_read: Mutex::default(),
        private_read: Mutex::default(),
        of_api_keys_file: Mutex::default(),
        joined: None,
    };
    let meaning = check::check(&config);
    problems.extend(config.about_real_values(meaning));
    Ok((config, problems))
}

impl Config {
    /// The file as written.
    pub fn raw(&self) -> &Raw {
        &self.raw
    }

    /// The path of gateway.yaml, as it was given.
    pub fn file(&self) -> &Path {
        &self.file
    }

    /// Resolves a path of the file: relative ones start at the directory of the file.
    pub fn resolve(&self, path: &Path) -> PathBuf {
        self.locate(path).unwrap_or_else(|_| path.to_owned())
    }

    /// The same of a file that is to be read; message and help, where it is a credential and there are none.
    fn locate(&self, path: &Path) -> Result<PathBuf, (String, String)> {
        match path.strip_prefix(CREDENTIALS) {
            Ok(name) => files::credential(&name.to_string_lossy()),
            Err(_) => Ok(self.directory.join(path)),
        }
    }

    /// A problem at a key such as `routes[0].backend` or `backends.legacy.servers[1]`. Where the file does not
    /// have that key, the nearest one above it is pointed at. `message` and `help` must not hold secrets.
    pub fn problem(&self, at: &str, message: impl Into<String>, help: impl Into<String>) -> Problem {
        let (file, at) = self.written_in(at);
        file.source.problem(&at, file.mark(&at), message, help)
    }

    /// Risky settings, files that others than their owner can change, among those read until now, a state that everyone
    /// can change, and a socket in whose place others can put theirs.
    pub fn warnings(&self) -> Vec<Warning> {
        let files = std::iter::once(self.file.clone()).chain(self.files_read());
        let of_files = files.flat_map(|file| files::changeable(&file));
        let of_state = files::changeable_state(&self.data_directory());
        let socket = self.raw.admin.socket.as_ref().map(|path| self.resolve(path));
        let of_socket = socket.and_then(|socket| files::changeable_socket(&socket));
        let of_keys = self.of_api_keys_file.lock().unwrap_or_else(PoisonError::into_inner).clone();
        check::warnings(self).into_iter().chain(of_keys).chain(of_files).chain(of_state).chain(of_socket).collect()
    }

    /// Returns whether an empty list is written at this key.
    fn is_empty_list(&self, at: &str) -> bool {
        let (file, at) = self.written_in(at);
        tree::is_empty_list(&file.tree, &at)
    }

    /// A warning at a key, as [`Config::problem`].
    pub fn warning(&self, at: &str, message: String, help: &str) -> Warning {
        let (file, at) = self.written_in(at);
        let place = format!("{}:{}: {at}", file.file.display(), file.line(&at));
        Warning { place, message, help: help.to_owned() }
    }

    /// The directory for data that must survive this process, beside a shared store: `state.embedded.path`.
    pub fn data_directory(&self) -> PathBuf {
        self.resolve(&self.raw.state.embedded.clone().unwrap_or_default().path)
    }

    /// The problems that are not merely about stand-ins.
    pub fn about_real_values(&self, problems: impl IntoIterator<Item = Problem>) -> impl Iterator<Item = Problem> {
        problems.into_iter().filter(|problem| !self.replaced.touch(&problem.path))
    }

    /// The addresses of `state.redis`; `None` where they are malformed, which has been reported.
    pub fn redis_place(&self) -> Option<RedisPlace> {
        let redis = self.raw.state.redis.as_ref()?;
        let first = check::RedisAddress::parse(&redis.url).ok()?;
        let mut addresses = vec![(first.host, first.port)];
        addresses.extend(redis.nodes.iter().filter_map(|node| check::host_and_port(node)));
        Some(RedisPlace { tls: first.tls, addresses, database: first.database })
    }

    /// The bytes of a secret, without one line break at the end of a file.
    ///
    /// # Errors
    /// Message and help, where the file is missing, empty or open to others, or the variable is unset or empty.
    /// They name the file or the variable, and never the secret.
    pub fn read_secret(&self, reference: &SecretRef) -> Result<Secret, (String, String)> {
        match reference {
            SecretRef::File(path) => {
                let path = self.resolve(path);
                self.note_private(&path);
                files::read_secret_file(&path)
            }
            SecretRef::Env(name) => files::read_secret_variable(name),
            SecretRef::Credential(name) => {
                let path = files::credential(name)?;
                self.note_private(&path);
                files::read_credential(&path)
            }
        }
    }

    /// A secret that is a text in one line: a password, a token, the value of a header.
    ///
    /// # Errors
    /// As above, and where it has a byte order mark or line breaks.
    pub fn read_secret_line(&self, reference: &SecretRef) -> Result<Secret, (String, String)> {
        let place = match reference {
            SecretRef::File(path) => self.resolve(path).display().to_string(),
            SecretRef::Env(name) => format!("the environment variable {name}"),
            SecretRef::Credential(name) => format!("the credential {name}"),
        };
        self.read_secret(reference).and_then(|secret| files::one_line(secret, &place))
    }

    /// The bytes of a file that only its owner may read, such as a private key.
    ///
    /// # Errors
    /// Message and help, where it cannot be read or is open to group or others.
    pub fn read_private_file(&self, path: &Path) -> Result<Vec<u8>, (String, String)> {
        let path = self.locate(path)?;
        self.note_private(&path);
        if files::is_credential(&path) { files::read_private_credential(&path) } else { files::read_private(&path) }
    }

    /// The bytes of a file.
    ///
    /// # Errors
    /// Message with the full path and help, where it cannot be read.
    pub fn read_file(&self, path: &Path) -> Result<Vec<u8>, (String, String)> {
        let path = self.locate(path)?;
        self.note_read(&path);
        files::read(&path)
    }

    /// The paths in this directory, in no order; a change of what is in it is a change of the configuration.
    ///
    /// # Errors
    /// Message, where it cannot be listed.
    pub fn list_directory(&self, path: &Path) -> Result<Vec<PathBuf>, String> {
        let path = self.resolve(path);
        self.note_read(&path);
        let listing = std::fs::read_dir(&path);
        let listing = listing.map_err(|error| format!("cannot read the directory {}: {error}", path.display()))?;
        Ok(listing.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect())
    }

    /// All files and directories that have been read for this configuration, besides gateway.yaml.
    pub fn files_read(&self) -> Vec<PathBuf> {
        self.files_read.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Files of secrets among them that others than their owner can read, and why that is accepted.
    pub fn wider_secrets(&self) -> Vec<String> {
        let private = self.private_read.lock().unwrap_or_else(PoisonError::into_inner);
        private.iter().filter_map(|path| files::wider(path)).collect()
    }

    fn note_private(&self, path: &Path) {
        self.note_read(path);
        self.private_read.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned());
    }

    fn note_read(&self, path: &Path) {
        self.files_read.lock().unwrap_or_else(PoisonError::into_inner).insert(path.to_owned());
    }

    /// The text at a key of the file, and its range in bytes.
    pub fn written_at(&self, at: &str) -> (std::ops::Range<usize>, &str) {
        let mark = self.mark(at);
        (mark.range(), self.source.written_at(mark))
    }

    /// The text of the file.
    pub fn text(&self) -> &str {
        self.source.text()
    }

    fn mark(&self, at: &str) -> Mark {
        tree::locate(&self.tree, at)
    }

    /// The line on which a key is written.
    fn line(&self, at: &str) -> usize {
        self.mark(at).line
    }
}
