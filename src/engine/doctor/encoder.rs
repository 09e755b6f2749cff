//! A second of trial encoding.

use super::Finding;
use crate::platform::clock;
use crate::recording::h264::{self, VideoParameters};
use crate::recording::trial::{TrialResult, trial};
use crate::units::RECORDING_FPS;

/// The recording's largest picture.
const SIZE: (u32, u32) = (1920, 1080);
/// Share of the machine that the encoder is to manage with: live video, the dashboard and other
/// programs have the rest.
const SHARE: f64 = 0.6;

pub fn speed(found: &mut dyn FnMut(Finding)) {
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get() as u32);
    let parameters = VideoParameters::for_size(SIZE.0, SIZE.1);
    let name = h264::available()[0];
    let result = h264::open(None, &parameters, threads)
        .and_then(|mut e| trial(&mut *e, &parameters, RECORDING_FPS, &mut clock::now));
    found(match result {
        Ok(result) => judged(name, threads, &result),
        Err(e) => Finding::problem("encoder", "trial", e.to_string(), "please report this"),
    });
}

fn judged(name: &str, threads: u32, result: &TrialResult) -> Finding {
    let per_second = 1e6 / result.mean_micros().max(1.0);
    let detail = format!(
        "{name} on {threads} threads: {per_second:.0} pictures of {}x{} a second, {RECORDING_FPS} are needed",
        SIZE.0, SIZE.1
    );
    if result.keeps_up(RECORDING_FPS, SHARE) {
        Finding::ok("encoder", "trial", detail)
    } else if result.keeps_up(RECORDING_FPS, 1.0) {
        let remedy = "end other programs, or use a camera format of 720p; before a picture is lost \
                      the encoder does with less effort and waits in memory";
        Finding::warning("encoder", "trial", detail, remedy)
    } else {
        let remedy = "use a camera of 720p, or another machine for long recordings: what cannot be \
                      encoded in time waits in memory and on the disk";
        Finding::problem("encoder", "trial", detail, remedy)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn a_machine_is_judged_by_what_it_has_left() {
        let took = |milliseconds: i64| TrialResult {
            frames: 30,
            total_micros: 30_000 * milliseconds,
            slowest_micros: 1_000 * milliseconds,
        };
        for (milliseconds, state) in
            [(10, Verdict::Ok), (25, Verdict::Warning), (34, Verdict::Problem)]
        {
            let finding = judged("openh264", 2, &took(milliseconds));
            assert_eq!(finding.state, state, "{finding:?}");
            assert_eq!(finding.remedy.is_none(), state == Verdict::Ok);
        }
        assert!(judged("openh264", 2, &took(10)).detail.contains("100 pictures of 1920x1080"));
    }
}
