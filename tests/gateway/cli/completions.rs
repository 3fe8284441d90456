//! Shell completions and `--help`, in the shells.

use std::process::{Command, Output};

use crate::harness::*;

/// Runs this in a shell that finds the program; `$WICKETGATE` names it.
fn shell(name: &str, args: &[&str]) -> Output {
    let own = std::path::Path::new(env!("CARGO_BIN_EXE_wicketgate"));
    let path = format!("{}:{}", own.parent().unwrap().display(), std::env::var("PATH").unwrap_or_default());
    let output = finish(Command::new(name).args(args).env("PATH", path));
    output.unwrap_or_else(|error| panic!("cannot run {name} ({error}): install the Debian package {name}"))
}

#[track_caller]
fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

/// What bash offers behind these words.
fn offered(words: &[&str]) -> Vec<String> {
    let script = "source <(wicketgate completions bash) && complete -p wicketgate > /dev/null || exit 1; \
                  COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); COMP_LINE=\"$*\"; \
                  _wicketgate wicketgate \"${COMP_WORDS[COMP_CWORD]}\" \"${COMP_WORDS[COMP_CWORD - 1]}\"; \
                  printf '%s\\n' \"${COMPREPLY[@]}\"";
    let args: Vec<&str> = ["-c", script, "bash"].iter().chain(words).copied().collect();
    said(&shell("bash", &args)).lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_their_options_and_their_words() {
    assert_eq!(offered(&["wicketgate", "re"]), ["revoke", "readiness"]);
    assert_eq!(offered(&["wicketgate", "readiness", "--j"]), ["--json"]);
    assert_eq!(offered(&["wicketgate", "completions", "z"]), ["zsh"]);
    let revoked = offered(&["wicketgate", "revoke", ""]);
    assert!(revoked.contains(&"api-key".to_owned()), "{revoked:?}");
}

#[test]
fn zsh_loads_its_completions() {
    // What `compinit` defines, which would look through all completions of this machine.
    let script = "compdef() { print \"$@\" }; source <(wicketgate completions zsh) && (( $+functions[_wicketgate] ))";
    assert_eq!(said(&shell("zsh", &["-fc", script])).trim(), "_wicketgate wicketgate");
}

#[test]
fn fish_loads_its_completions() {
    let script = "wicketgate completions fish | source; complete -C 'wicketgate read'";
    let offered = said(&shell("fish", &["--no-config", "-c", script]));
    assert!(offered.starts_with("readiness\t"), "{offered}");
}

#[test]
fn each_command_tells_an_example_and_its_exit_codes() {
    for command in ["readiness", "completions", "check", "run"] {
        for args in [[command, "--help"], ["help", command]] {
            let mut run = Command::new(env!("CARGO_BIN_EXE_wicketgate"));
            let help = said(&finish(run.args(args)).unwrap());
            assert!(help.contains("Example") && help.contains("Exit code"), "{help}");
        }
    }
    let mut other = Command::new(env!("CARGO_BIN_EXE_wicketgate"));
    let output = finish(other.args(["completions", "tcsh"])).unwrap();
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && complained.contains("bash, zsh, fish"), "{complained}");
}
