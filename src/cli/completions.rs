//! `hyperzoom completions`: the shells' completion scripts, made from the command line's own
//! description.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use clap_complete::Shell;

use super::error::CliError;

/// Flags of `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// Folder to write to
    #[arg(value_name = "DIR", default_value = "completions")]
    pub dir: PathBuf,
}

/// Every script as file name and content.
pub fn scripts() -> Vec<(String, Vec<u8>)> {
    // Named as the shells look for them.
    let shells = [
        (Shell::Bash, "hyperzoom.bash"),
        (Shell::Elvish, "hyperzoom.elv"),
        (Shell::Fish, "hyperzoom.fish"),
        (Shell::PowerShell, "_hyperzoom.ps1"),
        (Shell::Zsh, "_hyperzoom"),
    ];
    shells
        .into_iter()
        .map(|(shell, name)| {
            let mut bytes = Vec::new();
            clap_complete::generate(shell, &mut super::command(), "hyperzoom", &mut bytes);
            (name.to_owned(), bytes)
        })
        .collect()
}

/// Runs the subcommand.
pub fn run(args: &CompletionsArgs) -> Result<ExitCode, CliError> {
    super::man::write_all(&args.dir, &scripts())
}
