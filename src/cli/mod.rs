//! The command line: clap types, one file a subcommand, and the way from an error to an exit code.
//!
//! The names, the flags and the exit codes are a contract with scripts: extend it, never break it.
//! Only [`main`] prints errors.

use std::ffi::OsString;
use std::io::{IsTerminal, Write as _};
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

mod after;
pub mod args;
mod before;
mod completions;
mod config;
mod devices;
mod doctor;
mod error;
mod examples;
pub mod explain;
#[cfg(unix)]
mod foreground;
mod host;
mod join;
mod logging;
pub mod man;
mod record;
mod recover;
mod render;
mod report;
mod run;
mod settings;
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
#[command(disable_help_subcommand = true)]
#[command(after_long_help = examples::and("", EXIT_CODES))]
pub struct Cli {
    /// What to do; without it a screen asks, on a terminal.
    #[command(subcommand)]
    pub command: Option<Commands>,
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
    #[command(after_long_help = examples::and("host", EXIT_CODES))]
    Host(host::HostArgs),
    /// Join a call
    #[command(after_long_help = examples::and("join", EXIT_CODES))]
    Join(join::JoinArgs),
    /// Record camera and microphone, without a call
    #[command(after_long_help = examples::and("record", EXIT_CODES))]
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
    /// Show what is set, by file and variables, and where each value comes from
    Config(config::ConfigArgs),
    /// Tell of a warning or an error: why it comes about, what to do
    Explain(explain::ExplainArgs),
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
    // A shell that asks what may stand here is answered, and that is all.
    completions::answer();
    let result = run(std::env::args_os().collect());
    match result {
        Ok(code) => code,
        Err(e) => {
            e.print();
            ExitCode::from(e.exit_code())
        }
    }
}

fn run(typed: Vec<OsString>) -> Result<ExitCode, CliError> {
    match parse(typed)? {
        Ok(Cli { command: Some(command) }) => dispatch(command),
        Ok(Cli { command: None }) => alone(),
        Err(e) => error::from_clap(&e),
    }
}

/// What is typed, with what is set under it.
fn parse(typed: Vec<OsString>) -> Result<Result<Cli, clap::Error>, CliError> {
    let matches = config::underlie(&typed)?.try_get_matches_from(typed);
    Ok(matches.and_then(|matches| Cli::from_arg_matches(&matches)))
}

/// Without a subcommand: the screen before the call where somebody can answer it, else the help.
fn alone() -> Result<ExitCode, CliError> {
    if std::io::stdout().is_terminal() && std::io::stdin().is_terminal() {
        // Defaults are where all of them are: at the subcommand.
        return match parse(["hyperzoom", "host"].map(OsString::from).to_vec())? {
            Ok(Cli { command: Some(Commands::Host(args)) }) => host::either(args),
            Ok(_) => Ok(ExitCode::from(2)),
            Err(e) => error::from_clap(&e),
        };
    }
    let help = Cli::command().render_help();
    // What cannot be printed there has nowhere else to go.
    let _ = writeln!(std::io::stderr(), "{help}");
    Ok(ExitCode::from(2))
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
        Commands::Config(args) => config::run(&args),
        Commands::Explain(args) => explain::run(&args),
        Commands::Man(args) => man::run(&args),
        Commands::Completions(args) => completions::run(&args),
        Commands::Window => window::run(),
    }
}
