//! `hyperzoom doctor`: looks the machine over and says what to do.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueHint};

use super::args::default_output;
use super::error::CliError;
use crate::devices::spec::{MicSpec, SpeakerSpec};
use crate::engine::doctor::{Finding, Options, Verdict, examine};

/// Flags of `doctor`.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Exit codes:
  0  no problem (there may be warnings)
  1  a call or its recording will not work like this
  2  usage")]
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

    /// As one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Runs the subcommand.
pub fn run(args: DoctorArgs) -> Result<ExitCode, CliError> {
    let output = args
        .output
        .or_else(default_output)
        .ok_or_else(|| CliError::usage("there is no home folder to look at; try --output DIR"))?;
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
        true => {
            let report = serde_json::json!({
                "ok": problems == 0, "problems": problems, "warnings": warnings,
                "findings": findings,
            });
            format!("{report}\n")
        }
        false => summary(problems, warnings),
    };
    let _ = std::io::stdout().write_all(last.as_bytes());
    Ok(if problems > 0 { ExitCode::FAILURE } else { ExitCode::SUCCESS })
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
        assert_eq!(summary(0, 1), "\nno problem, 1 warning\n");
        assert_eq!(summary(2, 0), "\n2 problems, 0 warnings\n");
    }
}
