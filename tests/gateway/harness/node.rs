//! Programs of tests/clients in JavaScript.

use std::path::Path;
use std::process::Command;

use super::{Gateway, finish};

/// Runs a program of tests/clients with the npm packages of the Makefile, whose directory is its first argument. It trusts the
/// certificate of this gateway.
pub(crate) fn node(gateway: &Gateway, script: &str, args: &[&str]) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let script = root.join("tests/clients").join(script);
    let mut command = Command::new("node");
    command.arg(&script).arg(root.join("target/node/node_modules")).args(args);
    command.env("NODE_EXTRA_CA_CERTS", gateway.files.path.join("certs/ca.pem"));
    let output = finish(&mut command)
        .unwrap_or_else(|error| panic!("cannot run node ({error}): `make deps` installs it (Debian package nodejs)"));
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}: {said}", script.display());
    String::from_utf8_lossy(&output.stdout).into_owned()
}
