//! Programs of tests/clients in Python.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::finish;

/// Runs a program of tests/clients with the Python packages of tests/requirements.txt.
pub(crate) fn python(script: &str, args: &[&str]) -> String {
    let interpreter = interpreter();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(script);
    let output = finish(Command::new(&interpreter).arg(&script).args(args)).unwrap_or_else(|error| {
        panic!("cannot run {} ({error}): `make deps` installs it (Debian package python3-venv)", interpreter.display())
    });
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}: {said}", script.display());
    said
}

/// The Python that has those packages.
pub(crate) fn interpreter() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/python/bin/python")
}
