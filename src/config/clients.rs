//! Clients in a file of their own, behind those of gateway.yaml: what is wrong with one names its file and line.

use std::borrow::Cow;
use std::collections::HashSet;
use std::path::Path;

use super::list_file::ListFile;
use super::raw::Raw;
use super::{Config, Problems, check};

const CLIENTS: ListFile = ListFile {
    key: "clients_file",
    list: "clients",
    fill: |raw, list| raw.clients = serde_json::from_value(list).unwrap_or_default(),
    check: check::check_clients,
};

/// The clients of the file, among all.
pub(super) struct JoinedClients {
    /// The number of the first.
    first: usize,
    /// The file.
    config: Config,
}

impl Config {
    /// The same with the clients of `clients_file` behind its own; what is wrong in that file goes to `problems`.
    pub fn with_clients_file(mut self, problems: &mut Problems) -> Self {
        let Some(file) = self.raw.clients_file.clone() else { return self };
        let joined = match self.read_clients(&file) {
            Ok(joined) => joined,
            Err(found) => {
                problems.extend(found);
                return self;
            }
        };
        let digests: HashSet<String> = header_digests(&self.raw).map(|(_, digest)| digest).collect();
        for (at, _) in header_digests(&joined.raw).filter(|(_, digest)| digests.contains(digest)) {
            let message = format!("this digest is already used in {}", self.file.display());
            problems.push(joined.problem(&at, message, "change or remove one of the two"));
        }
        let known: HashSet<&str> = self.raw.clients.iter().map(|client| client.id.as_str()).collect();
        for (number, client) in joined.raw.clients.iter().enumerate() {
            if known.contains(client.id.as_str()) {
                let message = format!("the client id is already used in {}", self.file.display());
                let help = "change or remove one of the two";
                problems.push(joined.problem(&format!("clients[{number}].id"), message, help));
            }
        }
        let first = self.raw.clients.len();
        self.raw.clients.extend(joined.raw.clients.iter().cloned());
        self.joined = Some(Box::new(JoinedClients { first, config: joined }));
        self
    }

    /// The clients of a file, as a configuration that has only them.
    ///
    /// # Errors
    /// A problem of the key `clients_file` where it cannot be read, or all that is wrong in it.
    pub fn read_clients(&self, file: &Path) -> Result<Config, Problems> {
        CLIENTS.read(self, file)
    }

    /// Returns whether this is such a file.
    pub(super) fn is_clients_file(&self) -> bool {
        self.raw.clients_file.as_ref().is_some_and(|file| self.resolve(file) == self.file)
    }

    /// Another text in the place of such a file's own.
    pub(super) fn parse_clients(&self, text: &str) -> Result<Config, Problems> {
        CLIENTS.parse(self, text, self.file.clone())
    }

    /// The file in which a key stands, and the key as it is called there.
    pub(super) fn written_in<'a>(&'a self, at: &'a str) -> (&'a Self, Cow<'a, str>) {
        let joined = self.joined.as_deref();
        let found = joined.and_then(|joined| Some((&joined.config, joined.key(at)?)));
        found.map_or((self, Cow::Borrowed(at)), |(file, at)| (file, Cow::Owned(at)))
    }
}

impl JoinedClients {
    /// The key in the file of a key of all clients; `None` where it is none of the file's.
    fn key(&self, at: &str) -> Option<String> {
        let (number, rest) = at.strip_prefix("clients[")?.split_once(']')?;
        let number = number.parse::<usize>().ok()?.checked_sub(self.first)?;
        Some(format!("clients[{number}]{rest}"))
    }
}

/// The digests of all `header_secrets`, with their places.
fn header_digests(raw: &Raw) -> impl Iterator<Item = (String, String)> {
    raw.clients.iter().enumerate().flat_map(|(number, client)| {
        client.header_secrets.iter().enumerate().map(move |(nth, text)| {
            let digest = text.split(' ').next().unwrap_or_default().to_ascii_lowercase();
            (format!("clients[{number}].header_secrets[{nth}]"), digest)
        })
    })
}
