//! `metal3-ipam completion` and `metal3-ipam man`: for shells and for people at a terminal, made from the definition of the
//! command line.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use clap_complete::Shell;

use super::{command, print};

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
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command(), "metal3-ipam", &mut script);
        print(&String::from_utf8(script).context("the script is no text")?)
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
    fn every_shell_completes_every_command() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::PowerShell] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut command(), "metal3-ipam", &mut script);
            let script = String::from_utf8(script).unwrap();
            for sub in command().get_subcommands() {
                assert!(
                    script.contains(sub.get_name()),
                    "{shell}: {}",
                    sub.get_name()
                );
            }
        }
    }
}
