//! Location of a file that is read: a path, or a systemd credential by its name.

use std::borrow::Cow;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize, Serializer};

/// The directory of a credential, until it is looked up in the environment.
pub const CREDENTIALS: &str = "$CREDENTIALS_DIRECTORY";

/// The path of a file; that of a credential begins with [`CREDENTIALS`].
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "Written")]
pub struct FilePath(PathBuf);

/// A file: its path, or `{credential: NAME}`.
#[derive(Deserialize, JsonSchema)]
#[serde(untagged)]
enum Written {
    /// The path of a file.
    Path(PathBuf),
    /// A file in the directory that `$CREDENTIALS_DIRECTORY` names.
    Credential(Credential),
}

/// A credential of systemd (`LoadCredential=`), or a file of a mounted directory of secrets.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Credential {
    /// The name of a file in the directory that `$CREDENTIALS_DIRECTORY` names.
    credential: String,
}

impl From<Written> for FilePath {
    fn from(written: Written) -> Self {
        Self(match written {
            Written::Path(path) => path,
            Written::Credential(Credential { credential }) => Path::new(CREDENTIALS).join(credential),
        })
    }
}

impl Serialize for FilePath {
    /// As `{file: PATH}`, so that the reference to a file can be told from a text.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map([("file", &self.0)])
    }
}

impl Deref for FilePath {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.0
    }
}

impl JsonSchema for FilePath {
    fn schema_name() -> Cow<'static, str> {
        "FilePath".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Written::json_schema(generator)
    }
}
