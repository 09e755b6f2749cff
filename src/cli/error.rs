//! One error type of the command line: one line for the person, one code for the script.

use std::io::Write;
use std::process::ExitCode;

use clap::error::ErrorKind;

/// What went wrong, in one line with what to try, and the exit code.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct CliError {
    message: String,
    code: u8,
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
