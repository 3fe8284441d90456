//! `wicketgate completions`: the completions of a shell, on standard output.

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use clap_complete::Shell as Generator;

pub(super) const EXAMPLE: &str = "Examples:\n  source <(wicketgate completions bash)    in this shell alone\n  \
    wicketgate completions bash | sudo tee /etc/bash_completion.d/wicketgate > /dev/null\n  \
    wicketgate completions zsh | sudo tee /usr/local/share/zsh/site-functions/_wicketgate > /dev/null\n  \
    wicketgate completions fish > ~/.config/fish/completions/wicketgate.fish\n\n\
    bash needs the package bash-completion to read that directory. Print them again after an upgrade.";

#[derive(Debug, Args)]
pub(super) struct Completions {
    /// The shell.
    shell: Shell,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// Prints them.
pub(super) fn completions(what: &Completions) -> anyhow::Result<ExitCode> {
    let generator = match what.shell {
        Shell::Bash => Generator::Bash,
        Shell::Zsh => Generator::Zsh,
        Shell::Fish => Generator::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(generator, &mut super::command(), "wicketgate", &mut script);
    let mut output = std::io::stdout();
    output.write_all(&script)?;
    output.flush()?;
    Ok(ExitCode::SUCCESS)
}
