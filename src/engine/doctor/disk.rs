//! The disk that recordings go to: space, and speed with every byte on it.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::Finding;
use crate::platform::clock;
use crate::recording::aac;
use crate::recording::h264::VideoParameters;
use crate::recording::space::{LITTLE_SPACE, seconds_left};
use crate::ui::format;

/// What is written, in pieces that are synced one by one as the recorder's are.
const PIECE: usize = 1 << 20;
const PIECES: usize = 16;
/// Less than this, in seconds, is no time to record in.
const SHORTEST: f64 = 300.0;

/// What a recording of the largest picture takes, bit/s.
fn needed() -> u64 {
    u64::from(VideoParameters::for_size(1920, 1080).bitrate_bps) + u64::from(aac::BITRATE)
}

pub fn look(output: &Path, found: &mut dyn FnMut(Finding)) {
    let folder = existing(output);
    found(free(output));
    found(match written(&folder) {
        Ok((rate, slowest)) => speed(&folder, rate, slowest),
        Err(e) => Finding::problem(
            "disk",
            "speed",
            format!("nothing can be written to {}: {e}", folder.display()),
            "use another --output folder",
        ),
    });
}

/// The space that is free where a folder is or would be, and how long it is good for: 1080p.
pub fn free(output: &Path) -> Finding {
    let folder = existing(output);
    space(&folder, fs4::available_space(&folder), needed(), "1080p")
}

/// The same for a recording at a rate, bit/s, that was told of in the line before.
pub fn free_at(output: &Path, rate: u64) -> Finding {
    let folder = existing(output);
    space(&folder, fs4::available_space(&folder), rate, "that")
}

/// The folder, or the nearest around it that is there already: nothing is made by looking.
fn existing(folder: &Path) -> PathBuf {
    let there = folder.ancestors().find(|f| f.is_dir());
    there.unwrap_or(Path::new(".")).to_owned()
}

fn space(folder: &Path, free: std::io::Result<u64>, rate: u64, what: &str) -> Finding {
    let remedy = "delete something, or use another --output folder";
    let free = match free {
        Ok(free) => free,
        Err(e) => return Finding::warning("disk", "space", format!("not known: {e}"), remedy),
    };
    let seconds = seconds_left(free, 0, 0.0, rate);
    let lasts = format::about(seconds);
    let (free_space, place) = (format::bytes(free), folder.display());
    let detail = format!("{free_space} free in {place}, good for {lasts} of {what}");
    if free >= LITTLE_SPACE {
        Finding::ok("disk", "space", detail)
    } else if seconds >= SHORTEST {
        Finding::warning("disk", "space", detail, remedy)
    } else {
        Finding::problem("disk", "space", detail, remedy)
    }
}

/// Bytes a second, and the longest wait for a piece in seconds.
fn written(folder: &Path) -> std::io::Result<(f64, f64)> {
    // Without a name: it is gone whatever happens.
    let mut file = tempfile::tempfile_in(folder)?;
    // What cannot be made smaller by a file system that tries.
    let mut piece = vec![0; PIECE];
    getrandom::fill(&mut piece).map_err(|e| std::io::Error::other(e.to_string()))?;
    let start = clock::now();
    let mut slowest = 0;
    for _ in 0..PIECES {
        let before = clock::now();
        file.write_all(&piece)?;
        file.sync_data()?;
        slowest = slowest.max(clock::now().since(before));
    }
    let seconds = clock::now().since(start).max(1) as f64 / 1e6;
    Ok(((PIECE * PIECES) as f64 / seconds, slowest as f64 / 1e6))
}

fn speed(folder: &Path, rate: f64, slowest: f64) -> Finding {
    let times = rate * 8.0 / needed() as f64;
    let detail = format!(
        "{} a second with every byte on the disk ({}), {times:.0} times what 1080p needs; \
         the longest wait {:.0} ms",
        format::bytes(rate as u64),
        folder.display(),
        slowest * 1e3
    );
    let remedy = "use an internal disk or SSD as --output; stalls of up to a minute cost nothing, a \
                  disk that is too slow all the time does";
    if times >= 4.0 && slowest < 2.0 {
        Finding::ok("disk", "speed", detail)
    } else if times >= 1.5 {
        Finding::warning("disk", "speed", detail, remedy)
    } else {
        Finding::problem("disk", "speed", detail, remedy)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn space_and_speed_are_judged_by_what_a_recording_takes() {
        let here = Path::new("/here");
        for (free, state) in [
            (500_000_000_000, Verdict::Ok),
            (19_000_000_000, Verdict::Warning),
            (500_000_000, Verdict::Problem),
        ] {
            assert_eq!(space(here, Ok(free), needed(), "1080p").state, state, "{free}");
        }
        let much = |rate, what| space(here, Ok(500_000_000_000), rate, what).detail;
        assert!(
            much(needed(), "1080p").contains("61 h 03 min of 1080p"),
            "{}",
            much(needed(), "1080p")
        );
        // 2 Mbit/s: 0.9 GB an hour.
        assert!(much(2_000_000, "that").contains("555 h of that"), "{}", much(2_000_000, "that"));
        for (rate, slowest, state) in [
            (100e6, 0.1, Verdict::Ok),
            (100e6, 3.0, Verdict::Warning),
            (5e6, 0.1, Verdict::Warning),
            (2e6, 0.1, Verdict::Problem),
        ] {
            assert_eq!(speed(here, rate, slowest).state, state, "{rate} {slowest}");
        }
    }

    #[test]
    fn looking_makes_no_folder_and_leaves_no_file() {
        let room = tempfile::tempdir().unwrap();
        let mut findings = Vec::new();
        look(&room.path().join("not/yet/there"), &mut |finding| findings.push(finding));
        assert_eq!(findings.len(), 2);
        assert!(findings[1].detail.contains("longest wait"), "{findings:?}");
        assert_eq!(std::fs::read_dir(room.path()).unwrap().count(), 0);
    }

    #[cfg(unix)]
    #[test]
    fn a_place_that_takes_nothing_is_a_problem() {
        let mut findings = Vec::new();
        look(Path::new("/proc/self"), &mut |finding| findings.push(finding));
        assert_eq!(findings[1].state, Verdict::Problem, "{findings:?}");
    }
}
