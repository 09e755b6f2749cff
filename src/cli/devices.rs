//! `hyperzoom devices`: lists what this machine has, with the ids that the flags take.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use clap::Args;

use super::error::CliError;
use crate::devices;

/// Flags of `devices`.
#[derive(Debug, Args)]
#[command(after_long_help = super::examples::and("devices", ""))]
pub struct DevicesArgs {
    /// As one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Runs the subcommand.
pub fn run(args: &DevicesArgs) -> Result<ExitCode, CliError> {
    let list = devices::list();
    let json = serde_json::to_value(&list)
        .map_err(|e| CliError::new(1, format!("cannot describe the devices: {e}; try again")))?;
    let text = if args.json { format!("{json}\n") } else { as_text(&json) };
    // A closed pipe (`devices | head`) is no error of ours.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(ExitCode::SUCCESS)
}

/// A heading and a table for each kind.
fn as_text(list: &serde_json::Value) -> String {
    let mut text = String::new();
    for (kind, title, flag) in [
        ("microphones", "Microphones", "--mic"),
        ("speakers", "Speakers", "--speaker"),
        ("cameras", "Cameras", "--camera"),
    ] {
        let none = Vec::new();
        let devices = list[kind].as_array().unwrap_or(&none);
        // Writing into a string cannot fail.
        let _ = writeln!(text, "{title} ({flag} ID, or a unique part of the name)");
        let ids: Vec<&str> = devices.iter().map(|d| d["id"].as_str().unwrap_or("")).collect();
        let width = ids.iter().map(|id| id.chars().count()).max().unwrap_or(0);
        for (n, (device, id)) in devices.iter().zip(&ids).enumerate() {
            // Systems have no default camera: the first one is taken.
            let default = device["default"] == true || (kind == "cameras" && n == 0);
            let mark = if default { '*' } else { ' ' };
            let name = device["name"].as_str().unwrap_or("");
            let _ = writeln!(text, "{mark} {id:width$}  {name}");
        }
        if devices.is_empty() {
            let _ = writeln!(text, "  none found; {flag} test, off or file:PATH needs none");
        }
        text.push('\n');
    }
    text.push_str("* is used without the flag\n");
    // There is no test speaker.
    text.replace("--speaker test, off", "--speaker off")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_listed_by_kind_with_the_default_marked() {
        let list = serde_json::json!({
            "microphones": [
                {"id": "alsa:hw:1", "name": "Scarlett", "default": true},
                {"id": "alsa:hw:10", "name": "Webcam", "default": false},
            ],
            "speakers": [],
            "cameras": [{"id": "/dev/video0", "name": "BRIO"}, {"id": "/dev/video2", "name": "Capture"}],
        });
        insta::assert_snapshot!(as_text(&list), @r"
        Microphones (--mic ID, or a unique part of the name)
        * alsa:hw:1   Scarlett
          alsa:hw:10  Webcam

        Speakers (--speaker ID, or a unique part of the name)
          none found; --speaker off or file:PATH needs none

        Cameras (--camera ID, or a unique part of the name)
        * /dev/video0  BRIO
          /dev/video2  Capture

        * is used without the flag
        ");
    }
}
