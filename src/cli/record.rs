//! `hyperzoom record`: the recorder alone.

use std::process::ExitCode;

use clap::Args;

use super::args::CommonArgs;
use super::error::CliError;
use super::run::Show;
use crate::engine::config::Role;

/// Flags of `record`.
#[derive(Debug, Args)]
pub struct RecordArgs {
    /// The flags shared by all.
    #[command(flatten)]
    pub common: CommonArgs,
}

/// Runs the subcommand.
pub fn run(args: RecordArgs) -> Result<ExitCode, CliError> {
    let mode = args.common.output_mode();
    let yes = args.common.yes;
    let log = args.common.log.clone();
    super::run::run(args.common.into_config(Role::Alone)?, Show { mode, log, before: None, yes })
}
