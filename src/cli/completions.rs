//! Completions of the shells: each has a line or two that asks the program itself, which knows the
//! machine's devices and never lags behind its flags.

use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use clap_complete::env::CompleteEnv;

use super::error::CliError;
use crate::devices;

/// Flags of `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// Folder to write to
    #[arg(value_name = "DIR", default_value = "completions")]
    pub dir: PathBuf,
}

/// Every script as file name and content, named as the shells look for them.
pub fn scripts() -> Vec<(String, Vec<u8>)> {
    [
        // macOS has bash 3.2, which sources nothing from a pipe.
        ("hyperzoom.bash", "eval \"$(COMPLETE=bash hyperzoom)\"\n"),
        ("hyperzoom.elv", "eval ({ tmp E:COMPLETE = elvish; hyperzoom } | slurp)\n"),
        ("hyperzoom.fish", "COMPLETE=fish hyperzoom | source\n"),
        (
            "_hyperzoom.ps1",
            "$env:COMPLETE = \"powershell\"; hyperzoom | Out-String | Invoke-Expression\n\
             Remove-Item Env:\\COMPLETE\n",
        ),
        // As a file of fpath it is itself the first call of the function that it defines.
        (
            "_hyperzoom",
            "#compdef hyperzoom\nsource <(COMPLETE=zsh hyperzoom)\n_clap_dynamic_completer_hyperzoom \"$@\"\n",
        ),
    ]
    .map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec()))
    .to_vec()
}

/// Runs the subcommand.
pub fn run(args: &CompletionsArgs) -> Result<ExitCode, CliError> {
    super::man::write_all(&args.dir, &scripts())
}

/// Answers a shell (`COMPLETE` is in the environment then) and ends the process.
pub fn answer() {
    // Looking for devices takes a while: only for a shell.
    if std::env::var_os("COMPLETE").is_some_and(|shell| shell != OsStr::new("")) {
        CompleteEnv::with_factory(with_lists).complete();
    }
}

type List = fn() -> Vec<CompletionCandidate>;

/// With what the program knows: devices, names of messages.
fn with_lists() -> clap::Command {
    let lists: [(&str, List); 3] =
        [("mic", microphones), ("speaker", speakers), ("camera", cameras)];
    let mut root = super::command();
    for name in super::settings::COMMANDS {
        root = root.mut_subcommand(name, |mut command| {
            for (id, list) in lists {
                if command.get_arguments().any(|arg| arg.get_id() == id) {
                    command = command.mut_arg(id, |arg| arg.add(ArgValueCandidates::new(list)));
                }
            }
            command
        });
    }
    root.mut_subcommand("explain", |command| {
        command.mut_arg("code", |arg| arg.add(ArgValueCandidates::new(messages)))
    })
}

fn messages() -> Vec<CompletionCandidate> {
    let entries = super::explain::list().into_iter().flat_map(|group| group.entries);
    entries.map(|e| CompletionCandidate::new(e.code).help(Some(e.what.into()))).collect()
}

fn candidates<'a>(
    devices: impl Iterator<Item = (&'a str, &'a str)>,
    others: &[(&str, &str)],
) -> Vec<CompletionCandidate> {
    let candidate =
        |(id, help): (&str, &str)| CompletionCandidate::new(id).help(Some(help.to_owned().into()));
    devices.map(candidate).chain(others.iter().map(|other| candidate(*other))).collect()
}

const TEST: (&str, &str) = ("test", "a test signal");
const OFF: (&str, &str) = ("off", "none");

fn microphones() -> Vec<CompletionCandidate> {
    let list = devices::list();
    candidates(list.microphones.iter().map(|d| (d.id.as_str(), d.name.as_str())), &[TEST, OFF])
}

fn speakers() -> Vec<CompletionCandidate> {
    let list = devices::list();
    candidates(list.speakers.iter().map(|d| (d.id.as_str(), d.name.as_str())), &[OFF])
}

fn cameras() -> Vec<CompletionCandidate> {
    let list = devices::list();
    candidates(list.cameras.iter().map(|d| (d.id.as_str(), d.name.as_str())), &[TEST, OFF])
}
