//! `metal3-ipam completion` and `metal3-ipam man`: for shells and for people at a terminal, made from the definition of the
//! command line.

use std::ffi::OsString;
use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use clap_complete::engine::complete;
use clap_complete::env::Shells;
use clap_complete::{CompleteEnv, Shell};

use super::{command, print};

/// Set by a shell that asks what could come next.
const ASKED: &str = "METAL3_IPAM_COMPLETE";

/// What shells know the program as.
const NAME: &str = "metal3-ipam";

/// Prints the completion script of a shell.
///
/// For bash, for example: source <(metal3-ipam completion bash)
#[derive(Debug, Args)]
pub(super) struct Completion {
    /// The shell.
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

impl Completion {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        print(&script(self.shell)?)
    }
}

/// The script by which a shell asks this program what could come next.
fn script(shell: Shell) -> anyhow::Result<String> {
    let shells = Shells::builtins();
    let completer = shells.completer(&shell.to_string());
    let completer = completer.with_context(|| format!("{shell} has no script"))?;
    let mut script = Vec::new();
    completer.write_registration(ASKED, NAME, NAME, NAME, &mut script)?;
    String::from_utf8(script).context("the script is no text")
}

/// Answers kubectl, which asks for what could come next after `kubectl metal3-ipam` by this program's other name: a line for each
/// candidate, then what its own completion does with them. `None`: it is not called by that name.
pub(super) fn completes_for_kubectl() -> Option<ExitCode> {
    let mut words = std::env::args_os();
    let name = PathBuf::from(words.next()?);
    if name.file_stem()? != "kubectl_complete-metal3_ipam" {
        return None;
    }
    let mut words: Vec<OsString> = std::iter::once(NAME.into()).chain(words).collect();
    if words.len() == 1 {
        words.push(OsString::new());
    }
    let last = words.len() - 1;
    let candidates = complete(&mut command(), words, last, None).unwrap_or_default();
    let mut lines = String::new();
    for candidate in candidates {
        let help = candidate.get_help().map(ToString::to_string);
        let help = help.unwrap_or_default();
        let _ = writeln!(
            lines,
            "{}\t{}",
            candidate.get_value().to_string_lossy(),
            help.lines().next().unwrap_or_default()
        );
    }
    // Cobra's ShellCompDirectiveNoFileComp.
    lines.push_str(":4\n");
    Some(print(&lines).unwrap_or(ExitCode::FAILURE))
}

/// Prints the completions that a shell asks for; it asks by setting the variable [`ASKED`]. `None`: no shell asks.
pub(super) fn completes() -> Option<ExitCode> {
    std::env::var_os(ASKED)?;
    let asked = CompleteEnv::with_factory(command)
        .var(ASKED)
        .bin(NAME)
        .completer(NAME);
    let folder = std::env::current_dir().ok();
    match asked.try_complete(std::env::args_os(), folder.as_deref()) {
        Ok(true) => Some(ExitCode::SUCCESS),
        Ok(false) => None,
        Err(error) => {
            tell!("metal3-ipam: {error}");
            Some(ExitCode::FAILURE)
        }
    }
}

/// Writes the manual pages, one for each command, into a folder.
///
/// To read one: man FOLDER/metal3-ipam-who.1
#[derive(Debug, Args)]
pub(super) struct Man {
    /// The folder; it is made if it does not exist, and pages of the same names in it are replaced.
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

impl Man {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        let to = || format!("cannot write manual pages to {}", self.folder.display());
        std::fs::create_dir_all(&self.folder).with_context(to)?;
        clap_mangen::generate_to(command(), &self.folder).with_context(to)?;
        Ok(ExitCode::SUCCESS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_manual_page() {
        let folder = tempfile::tempdir().unwrap();
        let man = Man {
            folder: folder.path().join("man1"),
        };
        man.run().unwrap();
        for sub in command().get_subcommands() {
            let page = man.folder.join(format!("metal3-ipam-{}.1", sub.get_name()));
            let text = std::fs::read_to_string(&page).unwrap();
            assert!(text.contains(".SH DESCRIPTION"), "{}", page.display());
        }
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let refused = Man { folder: file }.run().unwrap_err();
        assert!(
            refused
                .to_string()
                .starts_with("cannot write manual pages to")
        );
    }

    #[test]
    fn every_shell_has_a_script_that_asks_this_program() {
        for shell in [
            Shell::Bash,
            Shell::Zsh,
            Shell::Fish,
            Shell::PowerShell,
            Shell::Elvish,
        ] {
            let script = script(shell).unwrap();
            assert!(script.contains(ASKED), "{shell}: {script}");
            assert!(script.contains(NAME), "{shell}: {script}");
        }
    }
}
