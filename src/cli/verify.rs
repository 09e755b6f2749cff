//! `hyperzoom verify`: checks recordings and says what holds.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueHint};

use super::error::CliError;
use super::recover::{Bar, find};
use super::report::{self, CheckState, Found, Told, Verified};
use crate::engine::verification;
use crate::recording::verify::{Report, Verdict};
use crate::ui::format;

const AFTER: &str = "\
Exit codes:
  0  everything holds
  1  something does not, or a recording cannot be read
  2  usage";

/// Flags of `verify`.
#[derive(Debug, Args)]
#[command(after_long_help = super::examples::and("verify", AFTER))]
pub struct VerifyArgs {
    /// Recordings, session folders, or folders of those
    #[arg(value_name = "PATH", required = true, value_hint = ValueHint::AnyPath)]
    pub paths: Vec<PathBuf>,

    /// One JSON object for each recording
    #[arg(long)]
    pub json: bool,
}

/// Runs the subcommand.
pub fn run(args: &VerifyArgs) -> Result<ExitCode, CliError> {
    let mut failed = false;
    for path in find(&args.paths, "verify")? {
        let report = check(&path);
        failed |= !report.as_ref().is_ok_and(Report::holds);
        let text = match args.json {
            true => as_report(&path, &report).line(),
            false => as_text(&path, &report),
        };
        // A closed pipe (`verify | head`) is no error of ours.
        let _ = std::io::stdout().write_all(text.as_bytes());
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn check(path: &Path) -> Result<Report, String> {
    let mut bar = Bar::new(path);
    let report = verification::check(path, &mut |done, total| bar.show(done, total));
    bar.clear();
    report
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Holds => "ok",
        Verdict::Fails => "FAILED",
        Verdict::Skipped => "-",
    }
}

fn as_text(path: &Path, report: &Result<Report, String>) -> String {
    let report = match report {
        Ok(report) => report,
        Err(e) => return format!("{}\n  FAILED  {e}\n", path.display()),
    };
    let s = &report.summary;
    let mut text = format!(
        "{}: {}, {}\n",
        path.display(),
        format::clock_frames(s.seconds()),
        format::bytes(s.bytes)
    );
    for check in &report.checks {
        text.push_str(&format!("  {:6}  {:9} {}\n", word(check.verdict), check.name, check.detail));
    }
    text
}

fn as_report(path: &Path, report: &Result<Report, String>) -> report::Report {
    let path = report::text(path);
    let found = report.as_ref().map(|report| {
        let checks = report.checks.iter().map(|check| report::Check {
            name: check.name,
            state: match check.verdict {
                Verdict::Holds => CheckState::Ok,
                Verdict::Fails => CheckState::Failed,
                Verdict::Skipped => CheckState::Skipped,
            },
            detail: check.detail.clone(),
        });
        let s = &report.summary;
        Found {
            checks: checks.collect(),
            seconds: s.seconds(),
            bytes: s.bytes,
            frames: s.video().map_or(0, |t| t.samples),
            samples: s.audio().map_or(0, |t| t.duration),
            timecode: s.timecode.map(|t| t.start.to_string()),
            media_blake2s: crate::recording::media::hex(&report.media_hash),
        }
    });
    report::Report::Told(Told::Verified(Verified {
        path,
        ok: report.as_ref().is_ok_and(Report::holds),
        error: report.as_ref().err().cloned(),
        found: found.ok(),
    }))
}
