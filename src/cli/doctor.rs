//! `hyperzoom doctor`: looks the machine over and says what to do.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueHint};

use super::args::default_output;
use super::error::{CliError, Problem};
use super::report::{Clap, Examined, Report, Told};
use crate::devices::spec::{CameraSpec, MicSpec, SpeakerSpec};
use crate::engine::doctor::lipsync::{self, CLAPS, Sync};
use crate::engine::doctor::{Finding, Options, Verdict, examine};
use crate::engine::exit;

const AFTER: &str = "\
Exit codes:
  0  no problem (there may be warnings)
  1  a call or its recording will not work like this
  2  usage";

/// Flags of `doctor`.
#[derive(Debug, Args)]
#[command(after_long_help = super::examples::and("doctor", AFTER))]
pub struct DoctorArgs {
    /// Microphone to look at, as for a call
    #[arg(long, value_name = "DEVICE", default_value = "default", hide_default_value = true)]
    pub mic: MicSpec,

    /// Speaker to look at, as for a call
    #[arg(long, value_name = "DEVICE", default_value = "default", hide_default_value = true)]
    pub speaker: SpeakerSpec,

    /// Folder for recordings (default: HyperZoom/recordings in your home folder)
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub output: Option<PathBuf>,

    /// Do not ask the router for a port
    #[arg(long)]
    pub no_port_mapping: bool,

    /// Clap five times in front of the camera: finds how late its picture is against the sound, and
    /// keeps that for recordings with this camera, as --av-offset does
    #[arg(long)]
    pub clap: bool,

    /// Camera to clap at, as for a call
    #[arg(long, value_name = "DEVICE", default_value = "default", hide_default_value = true)]
    #[arg(requires = "clap")]
    pub camera: CameraSpec,

    /// As one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Runs the subcommand.
pub fn run(args: DoctorArgs) -> Result<ExitCode, CliError> {
    if args.clap {
        return claps(&args);
    }
    let output = args.output.or_else(default_output).ok_or(Problem::NoHome)?;
    let options = Options {
        mic: args.mic,
        speaker: args.speaker,
        output,
        port_mapping: !args.no_port_mapping,
    };
    let mut findings = Vec::new();
    let mut area = "";
    examine(&options, &mut |finding| {
        if !args.json {
            let heading = (area != finding.area).then_some(finding.area);
            // A closed pipe (`doctor | head`) is no error of ours.
            let _ = std::io::stdout().write_all(as_text(heading, &finding).as_bytes());
            area = finding.area;
        }
        findings.push(finding);
    });
    let count = |state| findings.iter().filter(|f| f.state == state).count();
    let (problems, warnings) = (count(Verdict::Problem), count(Verdict::Warning));
    let last = match args.json {
        true => Report::Doctor(Examined { ok: problems == 0, problems, warnings, findings }).line(),
        false => summary(problems, warnings),
    };
    let _ = std::io::stdout().write_all(last.as_bytes());
    Ok(if problems > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// `doctor --clap`.
fn claps(args: &DoctorArgs) -> Result<ExitCode, CliError> {
    // What is asked of the person goes where results do not.
    let say = |text: &str| drop(writeln!(std::io::stderr(), "{text}"));
    say(&format!("Clap {CLAPS} times in the middle of the picture, a second apart."));
    let mut heard = |count| say(&format!("  heard {count}"));
    let sync = lipsync::measure(&args.mic, &args.camera, &mut heard)
        .map_err(|e| CliError::new(exit::ERROR, e.to_string()))?;
    let text = if args.json { sync_report(&sync).line() } else { sync_text(&sync) };
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(ExitCode::SUCCESS)
}

fn sync_report(sync: &Sync) -> Report {
    let ms = |micros: i64| micros as f64 / 1e3;
    Report::Told(Told::Clap(Clap {
        camera: sync.camera.clone(),
        claps: sync.claps.count,
        late_ms: ms(sync.claps.late),
        spread_ms: ms(sync.claps.spread),
        kept: sync.kept,
    }))
}

fn sync_text(sync: &Sync) -> String {
    format!("{}: {}\n{}\n", sync.camera, sync.found(), sync.then())
}

/// A line for the finding, one for its remedy, and the area's name above the first of it.
fn as_text(heading: Option<&str>, finding: &Finding) -> String {
    let mut text = String::new();
    if let Some(heading) = heading {
        text.push_str(&format!("{heading}\n"));
    }
    let state = match finding.state {
        Verdict::Ok => "ok",
        Verdict::Warning => "warning",
        Verdict::Problem => "PROBLEM",
    };
    text.push_str(&format!("  {state:8} {:11} {}\n", finding.name, finding.detail));
    if let Some(remedy) = &finding.remedy {
        text.push_str(&format!("  {:20} -> {remedy}\n", ""));
    }
    text
}

fn summary(problems: usize, warnings: usize) -> String {
    let count = |n: usize, word: &str| match n {
        1 => format!("1 {word}"),
        n => format!("{n} {word}s"),
    };
    match (problems, warnings) {
        (0, 0) => "\nall is well\n".to_owned(),
        (0, n) => format!("\nno problem, {}\n", count(n, "warning")),
        (p, n) => format!("\n{}, {}\n", count(p, "problem"), count(n, "warning")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::clap::Claps;

    #[test]
    fn a_finding_is_a_line_and_its_remedy_another() {
        let finding = Finding {
            area: "disk",
            name: "space",
            state: Verdict::Problem,
            detail: "900 MB free".into(),
            remedy: Some("delete something".into()),
        };
        insta::assert_snapshot!(as_text(Some("disk"), &finding), @r"
        disk
          PROBLEM  space       900 MB free
                               -> delete something
        ");
        let claps = Claps { count: 5, late: 43_200, spread: 3_100 };
        let sync = Sync { claps, camera: "BRIO".into(), kept: true };
        insta::assert_snapshot!(sync_text(&sync), @r"
        BRIO: the picture is 43.2 ms late (5 claps, half of them within 3.1 ms)
        recordings with it move the picture 43.2 ms earlier; --av-offset 0 forgets it
        ");
        let line = sync_report(&sync).line();
        assert!(
            line.starts_with("{\"event\":\"clap\",") && line.contains("\"late_ms\":43.2,"),
            "{line}"
        );
        assert_eq!(summary(0, 1), "\nno problem, 1 warning\n");
        assert_eq!(summary(2, 0), "\n2 problems, 0 warnings\n");
    }
}
