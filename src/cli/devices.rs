//! `hyperzoom devices`: lists what this machine has, with the ids that the flags take.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;

use clap::Args;

use super::error::CliError;
use super::report::Report;
use crate::devices;
use crate::devices::list::{DeviceList, SoundDevice};

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
    let text = if args.json { Report::Devices(list).line() } else { as_text(&list) };
    // A closed pipe (`devices | head`) is no error of ours.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(ExitCode::SUCCESS)
}

/// A heading and a table for each kind.
fn as_text(list: &DeviceList) -> String {
    let sound = |devices: &[SoundDevice]| {
        devices.iter().map(|d| (d.default, d.id.clone(), d.name.clone())).collect::<Vec<_>>()
    };
    // Systems have no default camera: the first one is taken.
    let cameras = list.cameras.iter().enumerate();
    let cameras = cameras.map(|(n, d)| (n == 0, d.id.clone(), d.name.clone())).collect();
    let mut text = String::new();
    for (title, flag, without, devices) in [
        ("Microphones", "--mic", "test, off", sound(&list.microphones)),
        ("Speakers", "--speaker", "off", sound(&list.speakers)),
        ("Cameras", "--camera", "test, off", cameras),
    ] {
        // Writing into a string cannot fail.
        let _ = writeln!(text, "{title} ({flag} ID, or a unique part of the name)");
        let width = devices.iter().map(|(_, id, _)| id.chars().count()).max().unwrap_or(0);
        for (default, id, name) in &devices {
            let mark = if *default { '*' } else { ' ' };
            let _ = writeln!(text, "{mark} {id:width$}  {name}");
        }
        if devices.is_empty() {
            let _ = writeln!(text, "  none found; {flag} {without} or file:PATH needs none");
        }
        text.push('\n');
    }
    text.push_str("* is used without the flag\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::list::CameraDevice;

    #[test]
    fn devices_are_listed_by_kind_with_the_default_marked() {
        let sound = |id: &str, name: &str, default| SoundDevice {
            id: id.into(),
            name: name.into(),
            default,
            channels: 2,
            rates: (48_000, 48_000),
            formats: Vec::new(),
            smallest_period: None,
        };
        let camera = |id: &str, name: &str| CameraDevice {
            id: id.into(),
            name: name.into(),
            formats: Vec::new(),
        };
        let list = DeviceList {
            microphones: vec![
                sound("alsa:hw:1", "Scarlett", true),
                sound("alsa:hw:10", "Webcam", false),
            ],
            speakers: Vec::new(),
            cameras: vec![camera("/dev/video0", "BRIO"), camera("/dev/video2", "Capture")],
        };
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
