//! Checking recordings where they lie, with the metadata beside them: `hyperzoom verify`, and what is
//! said when a call is over.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::metadata::METADATA;
use super::threads::spawn;
use crate::platform::priority::Role;
use crate::recording::media::Progress;
use crate::recording::metadata::Metadata;
use crate::recording::verify::{Report, Verdict, verify};
use crate::ui::after::{Checked, Clock, Facts, Known};
use crate::ui::model::Finished;

/// The metadata beside a recording; `None` where there is none.
pub fn beside(path: &Path) -> Result<Option<Metadata>, String> {
    match fs::read_to_string(path.with_file_name(METADATA)) {
        Ok(text) => match Metadata::from_json(&text) {
            Ok(metadata) => Ok(Some(metadata)),
            Err(e) => Err(format!("{METADATA} cannot be read: {e}")),
        },
        Err(_) => Ok(None),
    }
}

/// Reads a recording once through and says what holds.
pub fn check(path: &Path, progress: Progress<'_>) -> Result<Report, String> {
    let mut file = File::open(path).map_err(|e| e.to_string())?;
    let metadata = beside(path)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    verify(&mut file, &name, metadata.as_ref(), progress).map_err(|e| e.to_string())
}

/// A check that goes on by itself, on a thread of low priority.
pub struct Checking(Arc<Mutex<Checked>>);

impl Checking {
    /// Begins to check all files of a recording.
    pub fn start(finished: &Finished) -> Self {
        let state = Arc::new(Mutex::new(Checked::Reading(0)));
        let mut paths: Vec<PathBuf> =
            finished.parts.iter().map(|p| PathBuf::from(&p.path)).collect();
        if paths.is_empty() {
            paths.push(PathBuf::from(&finished.path));
        }
        let theirs = state.clone();
        let set = move |checked| *theirs.lock().unwrap_or_else(|e| e.into_inner()) = checked;
        let work = move || {
            let count = paths.len() as u64;
            let mut faults = Vec::new();
            let mut checks = 0;
            for (at, path) in paths.iter().enumerate() {
                let mut progress = |done: u64, all: u64| {
                    let percent = (at as u64 * 100 + (done * 100 / all.max(1)).min(100)) / count;
                    set(Checked::Reading(percent as u8));
                };
                match check(path, &mut progress) {
                    Ok(report) => {
                        checks += holding(&report);
                        faults.extend(failing(&report));
                    }
                    Err(e) => faults.push(e),
                }
            }
            set(if faults.is_empty() { Checked::Holds(checks) } else { Checked::Fails(faults) });
        };
        if spawn("hz-check", Role::Low, work).is_err() {
            *state.lock().unwrap_or_else(|e| e.into_inner()) = Checked::Not;
        }
        Self(state)
    }

    /// How far it is.
    pub fn state(&self) -> Checked {
        self.0.lock().unwrap_or_else(|e| e.into_inner()).clone()
    }
}

fn holding(report: &Report) -> usize {
    report.checks.iter().filter(|check| check.verdict == Verdict::Holds).count()
}

fn failing(report: &Report) -> impl Iterator<Item = String> {
    report
        .checks
        .iter()
        .filter(|check| check.verdict == Verdict::Fails)
        .map(|check| format!("{}: {}", check.name, check.detail))
}

/// What is known of a finished recording.
pub fn facts(finished: Finished, name: &str, warnings: Vec<String>) -> Facts {
    let metadata = beside(Path::new(&finished.path)).ok().flatten();
    let clocks = metadata.as_ref().map(clocks).unwrap_or_default();
    let tone = metadata.is_some_and(|metadata| !metadata.hyperzoom.tones.is_empty());
    Facts { finished, name: name.to_owned(), clocks, warnings, tone }
}

/// Whose clock was how well known; nobody's where one was alone. The host's is the session's.
fn clocks(metadata: &Metadata) -> Vec<Clock> {
    if metadata.participants.len() < 2 {
        return Vec::new();
    }
    let known = |id| match metadata.hyperzoom.clocks.iter().find(|clock| clock.id == id) {
        _ if id == 0 => Known::Session,
        Some(clock) => Known::Within(clock.uncertainty_ms),
        None => Known::No,
    };
    let clock = |p: &crate::recording::metadata::Participant| Clock {
        name: p.name.clone(),
        known: known(p.id),
    };
    metadata.participants.iter().map(clock).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::metadata::ClockEstimate;

    #[test]
    fn alignment_is_told_for_each_participant_and_the_host_s_clock_is_the_session_s() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("local_recording.mp4");
        let mut metadata = crate::recording::metadata::tests::example();
        metadata.hyperzoom.clocks =
            vec![ClockEstimate { id: 1, offset_ms: 3.0, uncertainty_ms: 0.2, skew_ppm: 1.0 }];
        fs::write(folder.path().join(METADATA), metadata.to_json()).unwrap();
        let finished = Finished { path: path.display().to_string(), ..Finished::default() };
        let facts = facts(finished.clone(), "Ana", vec!["warned".into()]);
        let known: Vec<_> = facts.clocks.iter().map(|clock| clock.known).collect();
        assert_eq!(known, [Known::Session, Known::Within(0.2)]);
        metadata.hyperzoom.clocks.clear();
        assert_eq!(clocks(&metadata)[1].known, Known::No);
        metadata.participants.truncate(1);
        assert!(clocks(&metadata).is_empty());
        // What is not there is a fault, not a fright.
        let checking = Checking::start(&finished);
        while matches!(checking.state(), Checked::Reading(_)) {
            std::thread::yield_now();
        }
        assert!(matches!(checking.state(), Checked::Fails(faults) if faults.len() == 1));
    }
}
