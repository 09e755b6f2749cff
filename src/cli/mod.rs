//! The command line: clap types, one file a subcommand, and the way from an error to an exit code.
//!
//! The names, the flags and the exit codes are a contract with scripts: extend it, never break it.
//! Only [`main`] prints errors.

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

pub mod args;
mod completions;
mod devices;
mod doctor;
mod error;
mod host;
mod join;
mod logging;
pub mod man;
mod record;
mod recover;
mod render;
mod run;
mod verify;
mod window;

pub use completions::scripts;
pub use error::CliError;

/// Peer-to-peer calls for remote podcast recording, in the terminal.
///
/// Up to four people talk with as little delay as the line allows, while everybody's own camera
/// and microphone are recorded on their own machine, in full quality, from first to last frame.
#[derive(Debug, Parser)]
#[command(name = "hyperzoom", version, max_term_width = 100)]
#[command(arg_required_else_help = true, disable_help_subcommand = true)]
#[command(after_long_help = EXIT_CODES)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Commands,
}

const EXIT_CODES: &str = "\
Exit codes:
  0    ended; the file is finalised and was read back
  1    an error that has no code of its own
  2    usage
  3    nobody answered, or we were refused
  4    a device could not be opened
  5    the recording is not complete (disk full or failing); the file that is there is valid
  130  aborted by a second Ctrl-C; the file is recoverable";

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Commands {
    /// Begin a call and wait for guests
    #[command(after_long_help = EXIT_CODES)]
    Host(host::HostArgs),
    /// Join a call
    #[command(after_long_help = EXIT_CODES)]
    Join(join::JoinArgs),
    /// Record camera and microphone, without a call
    #[command(after_long_help = EXIT_CODES)]
    Record(record::RecordArgs),
    /// List microphones, speakers and cameras with the ids that the flags take
    Devices(devices::DevicesArgs),
    /// Look this machine over: devices, priorities, encoder, disk, network; and say what to do
    Doctor(doctor::DoctorArgs),
    /// End interrupted recordings, so that they hold all that was recorded
    Recover(recover::RecoverArgs),
    /// Make a WAV file of a safety track, what was heard of another member, that begins at T0
    Render(render::RenderArgs),
    /// Check recordings: counts, constant rate, gaps, lengths, timecode, tones, content
    Verify(verify::VerifyArgs),
    /// Write the man pages into a folder
    #[command(hide = true)]
    Man(man::ManArgs),
    /// Write the shell completions into a folder
    #[command(hide = true)]
    Completions(completions::CompletionsArgs),
    /// The preview window, fed through standard input
    #[command(hide = true)]
    Window,
}

/// The command as clap knows it, for man pages and completions.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Runs the program and prints what went wrong.
pub fn main() -> ExitCode {
    let result = match Cli::try_parse() {
        Ok(cli) => dispatch(cli.command),
        Err(e) => error::from_clap(&e),
    };
    match result {
        Ok(code) => code,
        Err(e) => {
            e.print();
            ExitCode::from(e.exit_code())
        }
    }
}

fn dispatch(command: Commands) -> Result<ExitCode, CliError> {
    match command {
        Commands::Host(args) => host::run(args),
        Commands::Join(args) => join::run(args),
        Commands::Record(args) => record::run(args),
        Commands::Devices(args) => devices::run(&args),
        Commands::Doctor(args) => doctor::run(args),
        Commands::Recover(args) => recover::run(&args),
        Commands::Render(args) => render::run(&args),
        Commands::Verify(args) => verify::run(&args),
        Commands::Man(args) => man::run(&args),
        Commands::Completions(args) => completions::run(&args),
        Commands::Window => window::run(),
    }
}
