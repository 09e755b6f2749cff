//! Looks this machine over before a call: what works, what may cost something, what will not work,
//! and what to do about each.
//!
//! Every check takes seconds at most and leaves nothing behind. Devices are opened for a moment; the
//! router is asked for a port, which is given back.

mod disk;
mod encoder;
pub mod hearing;
pub mod lipsync;
mod network;
mod sound;
mod system;

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use serde::Serialize;

use crate::devices;
use crate::devices::spec::{MicSpec, SpeakerSpec};

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// A call works, with more delay, less picture or more risk than need be.
    Warning,
    /// A call or its recording will not work like this.
    Problem,
}

/// What one check found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Finding {
    /// `sound`, `camera`, `encoder`, `disk`, `system`, `network`, `terminal`.
    pub area: &'static str,
    /// What was looked at, a word or two; the same at each run.
    pub name: &'static str,
    /// How it came out.
    pub state: Verdict,
    /// What was found, in one line.
    pub detail: String,
    /// What to do; nothing where all is well.
    #[serde(rename = "try", skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Finding {
    fn ok(area: &'static str, name: &'static str, detail: impl Into<String>) -> Self {
        Self { area, name, state: Verdict::Ok, detail: detail.into(), remedy: None }
    }

    fn warning(
        area: &'static str,
        name: &'static str,
        detail: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let remedy = Some(remedy.into());
        Self { area, name, state: Verdict::Warning, detail: detail.into(), remedy }
    }

    fn problem(
        area: &'static str,
        name: &'static str,
        detail: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { state: Verdict::Problem, ..Self::warning(area, name, detail, remedy) }
    }
}

/// What is looked at.
pub struct Options {
    /// As for a call.
    pub mic: MicSpec,
    /// As for a call.
    pub speaker: SpeakerSpec,
    /// Where recordings go.
    pub output: PathBuf,
    /// The router is asked.
    pub port_mapping: bool,
}

/// The space that recordings have in a folder: at that rate, bit/s, or of 1080p.
pub fn space(output: &Path, rate: Option<u64>) -> Finding {
    rate.map_or_else(|| disk::free(output), |rate| disk::free_at(output, rate))
}

/// Whether guests get through the router to a host on that port. It is asked about another one,
/// which is given back, so that a call that begins meanwhile keeps its own. Until `stop` it takes
/// seconds at most.
pub fn reachable(port: u16, stop: &AtomicBool) -> Option<Finding> {
    network::reachable(port, stop)
}

/// Whether the router lets the others of a call in to a guest: the way to it is shorter then, and it can
/// take over from a host. Else what it said, which is no trouble.
pub fn opens(stop: &AtomicBool) -> Option<Result<Finding, String>> {
    network::opens(stop)
}

/// Makes all checks; `found` is told of each as soon as it is known.
pub fn examine(options: &Options, found: &mut dyn FnMut(Finding)) {
    let list = devices::list();
    sound::microphone(&options.mic, &list.microphones, found);
    sound::speaker(&options.speaker, &list.speakers, found);
    sound::others(&list, found);
    cameras(&list.cameras, found);
    encoder::speed(found);
    disk::look(&options.output, found);
    system::priority(found);
    system::clock_source(found);
    network::look(options.port_mapping, found);
    system::terminal(found);
}

fn cameras(cameras: &[devices::list::CameraDevice], found: &mut dyn FnMut(Finding)) {
    for camera in cameras {
        let largest = camera
            .formats
            .iter()
            .filter(|f| f.width <= 1920 && f.height <= 1080)
            .filter(|f| f.fps.first().is_some_and(|fps| *fps >= 29.5))
            .max_by_key(|f| u64::from(f.width) * u64::from(f.height));
        let none = camera.formats.is_empty();
        found(match largest {
            Some(best) if best.height >= 720 => Finding::ok(
                "camera",
                "camera",
                format!(
                    "{}: {}x{} {} at 30 frames a second",
                    camera.name, best.width, best.height, best.pixels
                ),
            ),
            Some(best) => Finding::warning(
                "camera",
                "camera",
                format!(
                    "{}: at most {}x{} at 30 frames a second",
                    camera.name, best.width, best.height
                ),
                "give it a USB 3 port of its own, or another camera",
            ),
            None if none => Finding::warning(
                "camera",
                "camera",
                format!(
                    "{}: it does not tell its formats; another program may use it",
                    camera.name
                ),
                "end the other program",
            ),
            None => Finding::warning(
                "camera",
                "camera",
                format!("{}: nothing up to 1080p at 30 frames a second", camera.name),
                "give it a USB 3 port of its own, or another camera",
            ),
        });
        if !none {
            let detail = format!("{}: {}", camera.name, camera.offers());
            found(Finding::ok("camera", "formats", detail));
        }
    }
    if cameras.is_empty() {
        found(Finding::warning(
            "camera",
            "camera",
            "none found; recordings have a black picture",
            "plug one in, or use --camera off for sound alone",
        ));
    }
}
