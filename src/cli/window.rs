//! `hyperzoom window`: the preview window as a process of its own.

use std::process::ExitCode;

use super::error::CliError;

/// Runs the subcommand.
pub fn run() -> Result<ExitCode, CliError> {
    match crate::ui::window::run(std::io::stdin(), std::io::stdout()) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(e) => Err(CliError::new(1, e.to_string())),
    }
}
