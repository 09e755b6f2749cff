//! One error type of the command line: one line for the person, one code for the script.

use std::io::Write;
use std::process::ExitCode;

use clap::error::ErrorKind;

use crate::engine::exit;

/// What went wrong, in one line with what to try, and the exit code.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct CliError {
    message: String,
    code: u8,
}

/// What a command itself complains of, beside what the engine and clap do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, strum::EnumCount)]
pub enum Problem {
    /// Nowhere to record to.
    #[error("there is no home folder; try --output DIR")]
    NoHome,
    /// An empty flag.
    #[error("--output is empty; try --output DIR")]
    OutputEmpty,
    /// `join` without an address, where nobody can be asked.
    #[error("there is no address to join; try hyperzoom join 'ADDRESS:PORT#KEY'")]
    NoAddress,
    /// `join -` with nothing to read.
    #[error("standard input held no invite; try echo 'ADDRESS:PORT#KEY' | hyperzoom join -")]
    NoInvite,
    /// `--log`.
    #[error("cannot write the log {path}: {why}; try another --log FILE")]
    Log {
        /// The file.
        path: String,
        /// The system's words.
        why: String,
    },
    /// `HYPERZOOM_LOG_LEVEL`.
    #[error("HYPERZOOM_LOG_LEVEL is no level; try error, warn, info, debug or trace")]
    LogLevel,
    /// Ctrl-C could not be heard.
    #[error("cannot watch for signals: {why}; try again")]
    Signals {
        /// The system's words.
        why: String,
    },
    /// The screen before the call.
    #[error("the terminal cannot be used: {why}; try --no-tui or --yes")]
    Terminal {
        /// The system's words.
        why: String,
    },
    /// A path that was given.
    #[error("cannot read {path}: {why}; try another path")]
    Unreadable {
        /// It.
        path: String,
        /// The system's words.
        why: String,
    },
    /// A file that was to be written.
    #[error("cannot write {path}: {why}; try {remedy}")]
    Unwritable {
        /// It.
        path: String,
        /// The system's words.
        why: String,
        /// What to do.
        remedy: &'static str,
    },
    /// `recover` and `verify` with a folder of something else.
    #[error("no recording to {what_for} in {path}; try the folder of a session")]
    NoRecording {
        /// `recover` or `verify`.
        what_for: &'static str,
        /// The folder.
        path: String,
    },
    /// `recover --to`.
    #[error("--to names one file for {count} recordings; try a folder that exists")]
    OneFile {
        /// How many.
        count: usize,
    },
    /// `explain`.
    #[error(
        "'{code}' is no warning or error of this program; try hyperzoom explain, which lists them"
    )]
    NoSuchCode {
        /// As typed.
        code: String,
    },
    /// The configuration file.
    #[error("cannot read {path}: {why}; try HYPERZOOM_CONFIG= for none")]
    Config {
        /// It.
        path: String,
        /// The system's words.
        why: String,
    },
    /// `config --path` and `--init` where there is to be none.
    #[error("HYPERZOOM_CONFIG is empty, which means no file; try without it")]
    NoConfig,
    /// The file is not TOML, or a value is a list.
    #[error("{place}: {why}; try hyperzoom config --init elsewhere for an example")]
    ConfigSyntax {
        /// File and line.
        place: String,
        /// What is wrong.
        why: String,
    },
    /// A table of the file.
    #[error("{place}: there is no command [{name}] to set anything for; try {tables}")]
    ConfigCommand {
        /// File and line.
        place: String,
        /// As it stands there.
        name: String,
        /// Those that there are.
        tables: String,
    },
    /// A key of the file.
    #[error("{place}: there is no setting {name:?}; try {near}")]
    ConfigSetting {
        /// File and line.
        place: String,
        /// As it stands there.
        name: String,
        /// The one that is most like it.
        near: String,
    },
    /// A value of the file or of a variable.
    #[error("{place}: {why}")]
    ConfigValue {
        /// File, line and key, or the variable.
        place: String,
        /// What is wrong with it, and what to try.
        why: String,
    },
}

impl Problem {
    /// The process's exit code.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::NoHome
            | Self::OutputEmpty
            | Self::NoAddress
            | Self::NoInvite
            | Self::LogLevel
            | Self::OneFile { .. }
            | Self::NoSuchCode { .. }
            | Self::Config { .. }
            | Self::NoConfig
            | Self::ConfigSyntax { .. }
            | Self::ConfigCommand { .. }
            | Self::ConfigSetting { .. }
            | Self::ConfigValue { .. } => exit::USAGE,
            Self::Log { .. }
            | Self::Signals { .. }
            | Self::Terminal { .. }
            | Self::Unreadable { .. }
            | Self::Unwritable { .. }
            | Self::NoRecording { .. } => exit::ERROR,
        }
    }
}

impl From<Problem> for CliError {
    fn from(problem: Problem) -> Self {
        Self::new(problem.exit_code(), problem.to_string())
    }
}

impl CliError {
    /// An error of the arguments (exit code 2).
    pub fn usage(message: impl Into<String>) -> Self {
        Self { message: message.into(), code: 2 }
    }

    /// An error with its exit code.
    pub fn new(code: u8, message: impl Into<String>) -> Self {
        Self { message: message.into(), code }
    }

    /// The process's exit code.
    pub fn exit_code(&self) -> u8 {
        self.code
    }

    /// One line on standard error. What cannot be printed there has nowhere else to go.
    pub fn print(&self) {
        let _ = writeln!(std::io::stderr(), "error: {}", one_line(&self.message));
    }
}

/// Help and version go to standard output; everything else becomes one line and code 2.
pub fn from_clap(e: &clap::Error) -> Result<ExitCode, CliError> {
    match e.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            // A closed pipe (`--help | head`) is no error of ours.
            let _ = e.print();
            Ok(ExitCode::SUCCESS)
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = e.print();
            Ok(ExitCode::from(2))
        }
        _ => Err(CliError::usage(condense(&e.to_string()))),
    }
}

/// clap explains over several paragraphs: the first says what, a `tip:` says what to try.
pub(super) fn condense(text: &str) -> String {
    let mut what = Vec::new();
    let mut tip = None;
    let mut first = true;
    for line in text.lines() {
        let line = line.trim();
        if let Some(t) = line.strip_prefix("tip: ") {
            tip.get_or_insert_with(|| t.to_owned());
        }
        if line.is_empty() || line.starts_with("Usage:") {
            first = false;
        }
        if first {
            what.push(line.strip_prefix("error: ").unwrap_or(line));
        }
    }
    let mut what = what.join(" ");
    if !what.contains("; try ") {
        what.push_str("; try ");
        what.push_str(tip.as_deref().map_or("--help", |t| t));
    }
    what
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::Cli;
    use clap::Parser;

    fn message(args: &[&str]) -> String {
        let e = Cli::try_parse_from(args).expect_err("these arguments are wrong");
        from_clap(&e).expect_err("not help").to_string()
    }

    #[test]
    fn every_usage_error_is_one_line_that_says_what_to_try() {
        for args in [
            &["hyperzoom", "hots"][..],
            &["hyperzoom", "host", "--nam", "x"],
            &["hyperzoom", "host", "--audio-bitrate", "12"],
            &["hyperzoom", "host", "--admit", "some"],
            &["hyperzoom", "record", "--duration", "soon"],
            &["hyperzoom", "record", "--json", "--no-tui"],
            &["hyperzoom", "record", "--camera", "test:7x7"],
        ] {
            let line = message(args);
            assert!(!line.contains('\n'), "{line}");
            assert!(line.contains("; try "), "{args:?}: {line}");
        }
    }

    #[test]
    fn clap_s_tip_becomes_what_to_try() {
        assert_eq!(
            message(&["hyperzoom", "host", "--nam", "x"]),
            "unexpected argument '--nam' found; try a similar argument exists: '--name'"
        );
    }
}
