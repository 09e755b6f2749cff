//! `hyperzoom recover`: ends interrupted recordings and says what was saved.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueHint};
use indicatif::{ProgressBar, ProgressStyle};

use super::error::{CliError, Problem};
use super::report::{self, RecoveryOutcome, Report, Told};
use crate::engine::recovery::{self, Outcome, Recovered};
use crate::ui::format;

const AFTER: &str = "\
Exit codes:
  0  every recording is whole now, or was before
  1  one of them was not recovered
  2  usage";

/// Flags of `recover`.
#[derive(Debug, Args)]
#[command(after_long_help = super::examples::and("recover", AFTER))]
pub struct RecoverArgs {
    /// Recordings, session folders, or folders of those
    #[arg(value_name = "PATH", required = true, value_hint = ValueHint::AnyPath)]
    pub paths: Vec<PathBuf>,

    /// Leave the recording alone and put a whole copy there: a new file, or a folder that exists
    #[arg(long, value_name = "PATH", value_hint = ValueHint::AnyPath)]
    pub to: Option<PathBuf>,

    /// One JSON object for each recording
    #[arg(long)]
    pub json: bool,
}

/// Runs the subcommand.
pub fn run(args: &RecoverArgs) -> Result<ExitCode, CliError> {
    let recordings = find(&args.paths, "recover")?;
    let to_file = args.to.as_ref().is_some_and(|to| !to.is_dir());
    if to_file && recordings.len() > 1 {
        return Err(Problem::OneFile { count: recordings.len() }.into());
    }
    let mut failed = false;
    for path in &recordings {
        let mut bar = Bar::new(path);
        let mut progress = |done, total| bar.show(done, total);
        let outcome = recovery::recover(path, args.to.as_deref(), &mut progress);
        bar.clear();
        failed |= outcome.is_err();
        let text = match args.json {
            true => as_report(path, &outcome).line(),
            false => as_text(path, &outcome) + "\n",
        };
        // A closed pipe stops no recovery.
        let _ = std::io::stdout().write_all(text.as_bytes());
    }
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The recordings that the paths mean; an error when one of them means none.
pub fn find(paths: &[PathBuf], what_for: &'static str) -> Result<Vec<PathBuf>, CliError> {
    let mut found = Vec::new();
    for path in paths {
        let more = recovery::recordings(path).map_err(|e| {
            let path = report::text(path);
            Problem::Unreadable { path, why: e.to_string() }
        })?;
        if more.is_empty() {
            return Err(Problem::NoRecording { what_for, path: report::text(path) }.into());
        }
        found.extend(more);
    }
    Ok(found)
}

type Result1 = Result<Outcome, recovery::RecoveryError>;

fn as_text(path: &Path, outcome: &Result1) -> String {
    let path = path.display();
    match outcome {
        Err(e) => format!("{path}: not recovered: {e}"),
        Ok(Outcome::Whole(summary)) => {
            format!("{path}: whole already, {}", format::about(summary.seconds()))
        }
        Ok(Outcome::Recovered(r)) => {
            let s = &r.saved;
            let mut text = format!(
                "{path}: recovered {} ({} pictures, {} samples of sound, {})",
                format::clock_frames(r.seconds),
                format::grouped(s.frames),
                format::grouped(s.samples),
                format::bytes(r.bytes)
            );
            text.push_str(&match r.journal {
                true => format!(
                    "; of the last moments the journal saved {} pictures and {} packets",
                    s.frames_by_journal, s.packets_by_journal
                ),
                false => "; without a journal, up to the last whole second".to_owned(),
            });
            if s.lost > 0 {
                text.push_str(&format!("; {} samples never reached the disk", s.lost));
            }
            if s.damaged > 0 {
                text.push_str(&format!("; {} samples are damaged", s.damaged));
            }
            if let Some(why) = &r.metadata {
                text.push_str(&format!("; the session's metadata is as it was: {why}"));
            }
            text.push_str(&format!("\n  -> {}", r.path.display()));
            text
        }
    }
}

fn as_report(path: &Path, outcome: &Result1) -> Report {
    let outcome = match outcome {
        Err(e) => RecoveryOutcome::Failed { error: e.to_string() },
        Ok(Outcome::Whole(s)) => RecoveryOutcome::Whole {
            seconds: s.seconds(),
            bytes: s.bytes,
            frames: s.video().map_or(0, |t| t.samples),
            samples: s.audio().map_or(0, |t| t.duration),
        },
        Ok(Outcome::Recovered(Recovered { path, saved, journal, seconds, bytes, metadata })) => {
            RecoveryOutcome::Recovered {
                to: report::text(path),
                seconds: *seconds,
                bytes: *bytes,
                frames: saved.frames,
                packets: saved.packets,
                samples: saved.samples,
                journal: *journal,
                frames_by_journal: saved.frames_by_journal,
                packets_by_journal: saved.packets_by_journal,
                lost: saved.lost,
                damaged: saved.damaged,
                metadata_error: metadata.clone(),
            }
        }
    };
    let path = report::text(path);
    Report::Told(Told::Recovered(report::Recovered { path, outcome }))
}

/// A bar on standard error while a long file is read; none without a terminal.
pub struct Bar(Option<ProgressBar>);

impl Bar {
    /// For reading through `path`.
    pub fn new(path: &Path) -> Self {
        if !std::io::stderr().is_terminal() {
            return Self(None);
        }
        let style = ProgressStyle::with_template("{msg} {bar:40} {bytes}/{total_bytes} {eta}")
            .unwrap_or_else(|_| ProgressStyle::default_bar());
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Self(Some(ProgressBar::new(0).with_style(style).with_message(name)))
    }

    /// That many bytes of so many are done.
    pub fn show(&mut self, done: u64, total: u64) {
        if let Some(bar) = &self.0 {
            bar.set_length(total);
            bar.set_position(done);
        }
    }

    /// Takes it away.
    pub fn clear(&self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}
