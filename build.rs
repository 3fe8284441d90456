//! Tells builds apart: the commit and its date, for `--version` and `wicketgate_build_info`.
//!
//! `WICKETGATE_COMMIT` and `SOURCE_DATE_EPOCH` (seconds since 1970) win, as for a tarball. Otherwise a release build asks
//! git, where this directory is a work tree of its own. What nobody knows is `unknown`; so is what a development build
//! would know, for it would be built anew with each commit.

use std::env;
use std::process::Command;

fn main() {
    for name in ["WICKETGATE_COMMIT", "SOURCE_DATE_EPOCH"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    println!("cargo::rerun-if-changed=build.rs");
    let is_release = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let repository = is_release && is_repository();
    if repository {
        for path in ["HEAD", "logs/HEAD"] {
            if let Some(path) = git(&["rev-parse", "--git-path", path]) {
                println!("cargo::rerun-if-changed={path}");
            }
        }
        println!("cargo::rerun-if-changed=src");
        println!("cargo::rerun-if-changed=Cargo.lock");
    }
    let of_git = |args: &[&str]| git(args).filter(|_| repository);
    let commit = given("WICKETGATE_COMMIT").or_else(|| {
        let commit = of_git(&["rev-parse", "--short=12", "HEAD"])?;
        let is_changed = git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|text| !text.is_empty());
        Some(if is_changed { format!("{commit}-changed") } else { commit })
    });
    let time = given("SOURCE_DATE_EPOCH").or_else(|| of_git(&["log", "-1", "--format=%ct"]));
    let date = time.and_then(|time| time.parse().ok()).map(date);
    let or_unknown = |value: Option<String>| value.unwrap_or_else(|| "unknown".to_owned());
    println!("cargo::rustc-env=WICKETGATE_COMMIT={}", or_unknown(commit));
    println!("cargo::rustc-env=WICKETGATE_DATE={}", or_unknown(date));
}

/// A variable of the environment that is one word.
fn given(name: &str) -> Option<String> {
    let is_of_word = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    env::var(name).ok().filter(|value| !value.is_empty() && value.bytes().all(is_of_word))
}

/// Whether git knows this very directory: a tarball may lie within the work tree of something else.
fn is_repository() -> bool {
    let here = env::var("CARGO_MANIFEST_DIR").ok().and_then(|path| std::fs::canonicalize(path).ok());
    let top = git(&["rev-parse", "--show-toplevel"]).and_then(|path| std::fs::canonicalize(path).ok());
    here.is_some() && here == top
}

/// What git says, where there is one.
fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok().filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok().map(|text| text.trim().to_owned())
}

/// The day in UTC of so many seconds since 1970, as `2026-11-27`.
fn date(seconds: u64) -> String {
    // Days since 0000-03-01, so that a leap day is the last one of its year.
    let days = seconds / 86_400 + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (year, month) = if month < 10 { (year, month + 3) } else { (year + 1, month - 9) };
    format!("{:04}-{month:02}-{day:02}", era * 400 + year)
}
