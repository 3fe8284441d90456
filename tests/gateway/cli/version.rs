//! The commit and the date of the build: the same in `--version`, metrics and log, told by `build.rs` from git or the
//! environment.

use std::path::Path;
use std::process::Command;

use crate::harness::*;

#[test]
fn version_metric_and_log_name_the_same_commit_and_day() {
    let (_backend, gateway) = world();
    let (code, said, _) = gateway.files.run(&["--version"]);
    assert_eq!(code, 0);
    let ready = gateway.stderr.wait(|line| line["message"] == "ready").unwrap();
    let [version, commit, date] = ["version", "commit", "date"].map(|name| ready[name].as_str().unwrap());
    assert_eq!(said.trim(), format!("wicketgate {version} ({commit} {date})"));
    let labels = [("version", version), ("commit", commit), ("date", date)];
    gateway.expect_metric("wicketgate_build_info", &labels, 1.0);
}

/// What `build.rs` tells the compiler of commit and day, run here as cargo runs it for this profile.
fn built(script: &Path, directory: &Path, profile: &str, environment: &[(&str, &str)]) -> (String, String) {
    let mut command = Command::new(script);
    command.current_dir(directory).env("PROFILE", profile).env("CARGO_MANIFEST_DIR", directory);
    command.env_remove("WICKETGATE_COMMIT").env_remove("SOURCE_DATE_EPOCH").envs(environment.iter().copied());
    let output = finish(&mut command).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = String::from_utf8(output.stdout).unwrap();
    let value = |name: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(&format!("cargo::rustc-env={name}=")));
        line.unwrap_or_else(|| panic!("no {name}: {said}")).to_owned()
    };
    (value("WICKETGATE_COMMIT"), value("WICKETGATE_DATE"))
}

#[test]
fn a_build_is_told_apart_by_git_or_the_environment_and_is_unknown_without() {
    let files = gateway::Workspace::new(&Config::with_server("http://127.0.0.1:9"));
    let script = files.path.join("build-script");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("build.rs");
    let mut compile = Command::new(std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned()));
    compile.args(["--edition", "2024", "-o"]).args([&script, &source]);
    let compiled = compile.output().unwrap();
    assert!(compiled.status.success(), "{}", String::from_utf8_lossy(&compiled.stderr));
    let unknown = ("unknown".to_owned(), "unknown".to_owned());
    let here = files.path.join("tarball");
    std::fs::create_dir(&here).unwrap();
    assert_eq!(built(&script, &here, "release", &[]), unknown);
    let given = [("WICKETGATE_COMMIT", "v0.1.0"), ("SOURCE_DATE_EPOCH", "1582934400")];
    assert_eq!(built(&script, &here, "release", &given), ("v0.1.0".to_owned(), "2020-02-29".to_owned()));
    for (seconds, day) in [("0", "1970-01-01"), ("951782399", "2000-02-28"), ("4102444800", "2100-01-01")] {
        assert_eq!(built(&script, &here, "release", &[("SOURCE_DATE_EPOCH", seconds)]).1, day);
    }
    assert_eq!(built(&script, &here, "release", &[("WICKETGATE_COMMIT", "a\nb"), ("SOURCE_DATE_EPOCH", "x")]), unknown);
    let repository = files.path.join("repository");
    let git = |args: &[&str]| {
        let path = repository.to_str().unwrap();
        let who = ["-C", path, "-c", "user.name=a", "-c", "user.email=a@b.test", "-c", "commit.gpgsign=false"];
        let output = program("git", "git", &[&who[..], args].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    std::fs::create_dir_all(repository.join("vendored")).unwrap();
    std::fs::write(repository.join("file"), "one").unwrap();
    git(&["init", "-q"]);
    git(&["add", "."]);
    git(&["commit", "-q", "-m", "first", "--date", "2020-01-01T00:00:00Z"]);
    let commit = git(&["rev-parse", "--short=12", "HEAD"]);
    let (found, day) = built(&script, &repository, "release", &[]);
    assert_eq!((found, day.len()), (commit.clone(), 10));
    std::fs::write(repository.join("file"), "two").unwrap();
    assert_eq!(built(&script, &repository, "release", &[]).0, format!("{commit}-changed"));
    // A tarball that lies within something else is not that; and nobody builds all anew for each commit while developing.
    assert_eq!(built(&script, &repository.join("vendored"), "release", &[]), unknown);
    assert_eq!(built(&script, &repository, "debug", &[]), unknown);
}
