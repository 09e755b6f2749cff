//! Recovering what was interrupted at any moment, with and without the journal, and recovery
//! interrupted itself.

use std::io::Cursor;

use hyperzoom::recording::journal::{Journal, RECORD};
use hyperzoom::recording::mp4::{Index, MemoryFile, Operation, Track, TrackKind};
use hyperzoom::recording::recover::{Examined, Plan, RecoverError, examine};
use proptest::prelude::*;

use super::foreign::ffprobe;
use super::media::{Deed, FRAMES, PACKETS, deeds, done, media, parameters, written};
use super::{decode, stream, summary};

use crate::support::busy::busy;

/// What is seen of a file: pictures and packets.
fn seen(bytes: &[u8]) -> (u64, u64) {
    let s = summary(bytes);
    (s.video().map_or(0, |t| t.samples), s.audio().map_or(0, |t| t.samples))
}

fn plan(bytes: &[u8], journal: &[u8]) -> Result<Box<Plan>, RecoverError> {
    match examine(&mut Cursor::new(bytes), &Journal::read(journal), &mut |_, _| ())? {
        Examined::Interrupted(plan) => Ok(plan),
        Examined::Finished(_) => panic!("it is finished"),
    }
}

fn finished(bytes: &[u8], journal: &[u8]) -> bool {
    let examined = examine(&mut Cursor::new(bytes), &Journal::read(journal), &mut |_, _| ());
    matches!(examined, Ok(Examined::Finished(_)))
}

/// Recovers; the file's pictures and packets, which are whole and in order.
fn recover(file: &mut MemoryFile, journal: &[u8]) -> Result<(u64, u64), RecoverError> {
    let plan = plan(&file.bytes, journal)?;
    let ended = plan.carry_out(file).expect("there is room");
    let index = Index::read(&mut Cursor::new(&file.bytes)).expect("it opens");
    assert!(index.summary.finalised && index.faults.is_empty(), "{:?}", index.faults);
    assert_eq!(ended.bytes, file.bytes.len() as u64);
    let now = (ended.video_samples, ended.audio_samples);
    assert_eq!(now, seen(&file.bytes));
    assert_eq!(now, (plan.saved.frames, plan.saved.packets));
    for (n, sample) in index.of(TrackKind::Video).iter().enumerate() {
        let bytes = &file.bytes[sample.offset as usize..sample.end() as usize];
        assert_eq!((bytes, sample.sync), (&media().video[n].0[..], media().video[n].1));
        assert_eq!(sample.time, n as u64 * 1000);
    }
    for (n, sample) in index.of(TrackKind::Audio).iter().enumerate() {
        let bytes = &file.bytes[sample.offset as usize..sample.end() as usize];
        assert_eq!(bytes, &media().audio[n][..]);
    }
    Ok(now)
}

/// Samples of each kind that the journal tells.
fn told(journal: &[u8]) -> (u64, u64) {
    let journal = Journal::read(journal);
    let count = |track| journal.records.iter().filter(|r| r.placed.track == track).count() as u64;
    (count(Track::Video), count(Track::Audio))
}

#[test]
fn stopped_after_any_deed_the_journal_saves_every_sample_and_without_it_every_committed_one() {
    let _one = busy();
    for lag in [0, 7] {
        let deeds = deeds(lag, true);
        let mut recovered = 0;
        for stop in 0..=deeds.len() {
            let (mut file, journal) = done(&deeds[..stop]);
            if file.bytes.is_empty() || finished(&file.bytes, &journal) {
                continue;
            }
            let before = seen(&file.bytes);
            let mut alone = file.clone();
            match recover(&mut file, &journal) {
                Ok(now) => {
                    assert_eq!(now, told(&journal), "after deed {stop}");
                    assert!(
                        finished(&file.bytes, &journal),
                        "a second time there is nothing to do"
                    );
                    recovered += 1;
                }
                Err(RecoverError::Empty) => assert_eq!(told(&journal), (0, 0)),
                Err(e) => panic!("after deed {stop}: {e}"),
            }
            match recover(&mut alone, &[]) {
                Ok(now) => assert_eq!(now, before, "after deed {stop}"),
                Err(RecoverError::Empty) => assert_eq!(before, (0, 0)),
                Err(e) => panic!("after deed {stop}: {e}"),
            }
        }
        assert!(recovered > 300, "{recovered} states");
    }
}

#[test]
fn what_was_recovered_is_an_ordinary_file_to_foreign_readers() {
    let deeds = deeds(5, false);
    for part in [3, 5, 8] {
        let (mut file, journal) = done(&deeds[..deeds.len() * part / 8]);
        let (frames, packets) = recover(&mut file, &journal).unwrap();
        let answer = ffprobe(&file.bytes).unwrap();
        assert_eq!(answer["complaints"], "");
        let video = stream(&answer, "video");
        assert_eq!(video["nb_frames"], frames.to_string());
        assert_eq!(video["avg_frame_rate"], "30/1");
        assert_eq!(video["tags"]["timecode"], "20:15:00:12");
        assert_eq!(stream(&answer, "audio")["nb_frames"], packets.to_string());
        assert_eq!(stream(&answer, "data")["duration_ts"], frames * 1000);
        assert_eq!(decode(&file.bytes), "");
    }
}

#[test]
fn recovery_stopped_at_any_byte_shows_no_less_and_can_be_repeated() {
    let deeds = deeds(5, false);
    let (before, journal) = done(&deeds);
    let shown = seen(&before.bytes);
    let mut after = before.clone();
    recover(&mut after, &journal).unwrap();
    let mut states = 0;
    let mut bytes = before.bytes.clone();
    for operation in &after.log {
        let steps = match operation {
            Operation::Write { offset, data } => (0..data.len())
                .filter(|at| data.len() < 64 || at % 97 == 0)
                .map(|at| Operation::Write { offset: *offset, data: data[..=at].to_vec() })
                .chain([operation.clone()])
                .collect(),
            _ => vec![operation.clone()],
        };
        for step in steps {
            let mut torn = MemoryFile { bytes: bytes.clone(), ..MemoryFile::new() };
            step.apply(&mut torn.bytes);
            states += 1;
            let now = seen(&torn.bytes);
            if finished(&torn.bytes, &journal) {
                assert_eq!(now, (FRAMES as u64, PACKETS as u64));
                continue;
            }
            assert_eq!(now, shown);
            assert_eq!(recover(&mut torn, &journal).unwrap(), (FRAMES as u64, PACKETS as u64));
        }
        operation.apply(&mut bytes);
    }
    assert!(states > 50, "{states}");
}

#[test]
fn a_sample_that_did_not_reach_the_disk_ends_its_own_track_alone() {
    let deeds = deeds(0, false);
    let (file, journal) = done(&deeds);
    let records = Journal::read(&journal).records;
    let lost = records.iter().find(|r| r.placed.track == Track::Video && r.placed.time == 112_000);
    let lost = lost.unwrap().placed;
    let mut file = file;
    file.bytes[lost.offset as usize + 4..][..20].fill(0);
    let plan = plan(&file.bytes, &journal).unwrap();
    assert_eq!((plan.saved.lost, plan.saved.damaged), (8, 0), "frames 112 to 119");
    assert_eq!(recover(&mut file, &journal).unwrap(), (112, PACKETS as u64));
}

#[test]
fn a_torn_journal_saves_what_it_tells() {
    let deeds = deeds(0, false);
    let (file, journal) = done(&deeds);
    for cut in (0..6 * RECORD).step_by(17) {
        let journal = &journal[..journal.len() - cut];
        let mut file = file.clone();
        assert_eq!(recover(&mut file, journal).unwrap(), told(journal));
    }
}

#[test]
fn a_damaged_beginning_or_middle_is_repaired_on_a_copy_by_the_journal() {
    let deeds = deeds(0, false);
    let (whole, journal) = done(&deeds);
    let mut windows = whole.bytes.windows(4).enumerate();
    let (second, _) = windows.by_ref().filter(|(_, w)| w == b"moof").nth(1).unwrap();
    for (from, to) in [(0, 64), (0, 700), (second - 4, second + 600)] {
        let mut file = whole.clone();
        file.bytes[from..to].fill(0xAA);
        let plan = plan(&file.bytes, &journal).unwrap();
        assert!(!plan.in_place);
        assert_eq!(recover(&mut file, &journal).unwrap(), (FRAMES as u64, PACKETS as u64));
        assert_eq!(decode(&file.bytes), "");
    }
    // Without it a damaged beginning tells nothing; of a damaged middle what comes before is saved.
    let mut headless = whole.clone();
    headless.bytes[..64].fill(0);
    assert!(plan(&headless.bytes, &[]).is_err());
    let mut middle = whole;
    middle.bytes[second - 4..second + 4].fill(0xAA);
    let plan = plan(&middle.bytes, &[]).unwrap();
    assert!(!plan.in_place);
    assert_eq!((plan.saved.frames, recover(&mut middle, &[]).unwrap().0), (10, 10));
}

#[test]
fn a_file_cut_from_outside_at_any_place_saves_all_whole_samples_before_the_cut() {
    let (whole, journal) = done(&deeds(0, false));
    let records = Journal::read(&journal).records;
    for cut in (records[0].placed.offset as usize..whole.bytes.len()).step_by(1_511) {
        let mut file = whole.clone();
        file.bytes.truncate(cut);
        let before = seen(&file.bytes);
        let whole_before = |track| {
            let ends = |r: &&hyperzoom::recording::journal::Record| {
                r.placed.track == track && r.placed.offset + u64::from(r.placed.size) <= cut as u64
            };
            records.iter().filter(ends).count() as u64
        };
        match recover(&mut file, &journal) {
            Ok(now) => {
                assert!(now >= before);
                assert_eq!(now, (whole_before(Track::Video), whole_before(Track::Audio)));
            }
            Err(e) => assert!(matches!(e, RecoverError::Empty) && before == (0, 0), "{cut}: {e}"),
        }
    }
}

#[test]
fn what_is_no_recording_of_ours_or_finished_is_left_alone() {
    let mut writer = written(parameters());
    writer.finalise().unwrap();
    assert!(finished(&writer.file().bytes, &[]));
    let foreign = b"\0\0\0\x18ftypisom\0\0\x02\0isomiso2\0\0\0\x08free\0\0\0\x08moov";
    let result = examine(&mut Cursor::new(foreign), &Journal::default(), &mut |_, _| ());
    assert!(matches!(result, Ok(Examined::Finished(_)) | Err(RecoverError::Foreign)));
    let result = examine(&mut Cursor::new(b"text"), &Journal::default(), &mut |_, _| ());
    assert!(matches!(result, Err(RecoverError::Read(_))));
}

#[test]
fn a_full_disk_makes_nothing_worse() {
    let (before, journal) = done(&deeds(0, false));
    let plan = plan(&before.bytes, &journal).unwrap();
    for room in [0, 10, 500, 2_000] {
        let capacity = Some(before.bytes.len() as u64 + room);
        let mut file = MemoryFile { capacity, ..before.clone() };
        assert!(plan.carry_out(&mut file).is_err_and(|e| e.is_no_space()));
        assert_eq!(file.bytes, before.bytes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn whatever_was_damaged_recovery_never_panics_and_never_shows_less(
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        in_journal in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
    ) {
        static BASE: std::sync::OnceLock<(MemoryFile, Vec<u8>)> = std::sync::OnceLock::new();
        let (mut file, mut journal) = BASE.get_or_init(|| done(&deeds(3, false))).clone();
        for (at, value) in damage {
            let at = at.index(6_000);
            file.bytes[at] = value;
        }
        for (at, value) in in_journal {
            let at = at.index(journal.len());
            journal[at] = value;
        }
        file.bytes.truncate(700 + cut.index(file.bytes.len() - 700));
        let before = hyperzoom::recording::mp4::Summary::read(&mut Cursor::new(&file.bytes));
        if let Ok(Examined::Interrupted(plan)) =
            examine(&mut Cursor::new(&file.bytes), &Journal::read(&journal), &mut |_, _| ())
            && !plan.shows_less
            && plan.carry_out(&mut file).is_ok()
        {
            let now = summary(&file.bytes);
            prop_assert!(now.finalised);
            if let Ok(before) = before {
                let pictures = |s: &hyperzoom::recording::mp4::Summary| s.video().map_or(0, |t| t.samples);
                prop_assert!(pictures(&now) >= pictures(&before));
            }
        }
    }
}

#[test]
fn the_deeds_of_a_whole_recording_end_with_a_finished_file() {
    for lag in [0, 1, 40] {
        let deeds = deeds(lag, true);
        let (file, _) = done(&deeds);
        assert_eq!(seen(&file.bytes), (FRAMES as u64, PACKETS as u64));
        assert_eq!(summary(&file.bytes).audio().unwrap().duration, FRAMES as u64 * 1600);
        assert!(deeds.iter().any(|deed| matches!(deed, Deed::File(Operation::Reserve(_)))));
    }
}
