//! The disk stops at any byte, in the order of the program's writes: the file always opens and
//! never shows less than what was committed.

use std::io::Cursor;

use hyperzoom::recording::mp4::{MemoryFile, Operation, Summary};
use proptest::prelude::*;

use super::foreign::ffprobe;
use super::media::{Deed, deeds, parameters, written};
use super::summary;
use crate::support::busy::busy;
use crate::support::sim::SimRng;

/// Pieces that the file was made of: every operation of the run, ended.
fn log() -> Vec<Operation> {
    let mut writer = written(parameters());
    writer.finalise().unwrap();
    let file: MemoryFile = writer.into_file();
    file.log
}

/// What is visible: (finalised, fragments, video samples, audio samples).
fn visible(bytes: &[u8]) -> (bool, u32, u64, u64) {
    let s = summary(bytes);
    let count =
        |track: Option<&hyperzoom::recording::mp4::TrackSummary>| track.map_or(0, |t| t.samples);
    (s.finalised, s.fragments, count(s.video()), count(s.audio()))
}

/// Index of the operation that commits the n-th fragment: an 8-byte write with a `moof` header.
fn commit(log: &[Operation], n: usize) -> usize {
    log.iter()
        .enumerate()
        .filter(|(_, op)| matches!(op, Operation::Write { data, .. } if data.len() == 8 && data.ends_with(b"moof")))
        .map(|(index, _)| index)
        .nth(n)
        .expect("that many commits")
}

/// Applies `log`, each write from the second-last commit's preparations on byte by byte, and shows
/// each state to `look`.
fn every_cut(log: &[Operation], from: usize, mut look: impl FnMut(&[u8])) {
    let mut bytes = Vec::new();
    log[..from].iter().for_each(|op| op.apply(&mut bytes));
    for operation in &log[from..] {
        let Operation::Write { offset, data } = operation else {
            operation.apply(&mut bytes);
            look(&bytes);
            continue;
        };
        for (at, byte) in (*offset..).zip(data) {
            Operation::Write { offset: at, data: vec![*byte] }.apply(&mut bytes);
            look(&bytes);
        }
    }
}

#[test]
fn cut_at_every_byte_the_file_opens_and_never_shows_less_than_before() {
    let _one = busy();
    let log = log();
    // From the writes that prepare the sixth-last commit (body, next header, sync, commit).
    let from = commit(&log, 6) - 3;
    let mut last = (false, 0, 0, 0);
    let mut states = 0;
    let mut sampled = Vec::new();
    every_cut(&log, from, |bytes| {
        let now = visible(bytes);
        if now.0 {
            assert_eq!(now, (true, 0, 120, 188), "the final index shows everything");
        } else {
            assert!(!last.0, "once finalised, always finalised");
            assert!(now >= last, "{now:?} after {last:?}");
        }
        if now != last {
            sampled.push(bytes.to_vec());
        }
        last = now;
        states += 1;
    });
    assert_eq!(last, (true, 0, 120, 188));
    assert!(states > 10_000, "{states} states");
    // Six commits and the end changed what is seen, each at one byte.
    assert_eq!(sampled.len(), 8);
    for bytes in sampled {
        assert_eq!(ffprobe(&bytes).unwrap()["complaints"], "");
    }
}

#[test]
fn ffprobe_opens_the_file_at_cuts_all_along_and_at_every_byte_of_both_deciding_writes() {
    let _one = busy();
    let log = log();
    let from = commit(&log, 8) - 3;
    let mut states = Vec::new();
    every_cut(&log, from, |bytes| states.push(bytes.len()));
    let step = states.len() / 36;
    let mut index = 0;
    let check = |bytes: &[u8], what: &str| {
        let answer = ffprobe(bytes).unwrap_or_else(|e| panic!("{what}: ffprobe refuses: {e}"));
        let packets: u64 = super::stream(&answer, "video")["nb_read_packets"]
            .as_str()
            .and_then(|n| n.parse().ok())
            .unwrap_or_else(|| panic!("{what}: no packets in {answer}"));
        assert_eq!(packets, visible(bytes).2, "{what}: ffprobe and our reader see the same");
    };
    every_cut(&log, from, |bytes| {
        if index % step == 0 {
            check(bytes, &format!("state {index}"));
        }
        index += 1;
    });
    for deciding in [commit(&log, 9), log.len() - 2] {
        let mut bytes = Vec::new();
        log[..deciding].iter().for_each(|op| op.apply(&mut bytes));
        let mut byte = 0;
        every_cut(&log[deciding..=deciding], 0, |_| byte += 1);
        assert!(byte == 8 || byte == 16, "one short write decides");
        let Operation::Write { offset, data } = &log[deciding] else { panic!("a write decides") };
        assert_eq!(offset % data.len() as u64, 0, "aligned");
        for cut in 0..=data.len() {
            let mut torn = bytes.clone();
            Operation::Write { offset: *offset, data: data[..cut].to_vec() }.apply(&mut torn);
            check(&torn, &format!("deciding write {deciding} torn at {cut}"));
        }
    }
}

#[test]
fn after_every_single_write_the_file_opens() {
    let log = log();
    let mut bytes = Vec::new();
    let mut last = (false, 0, 0, 0);
    for operation in &log {
        operation.apply(&mut bytes);
        let now = visible(&bytes);
        assert!(now >= last, "{now:?} after {last:?}");
        last = now;
    }
}

/// Bytes that a disk writes at once.
const SECTOR: u64 = 512;

/// What a disk has of a write after a power cut: any of the sectors that it touches.
fn sectors(operation: &Operation, mut keep: impl FnMut() -> bool) -> Vec<Operation> {
    let Operation::Write { offset, data } = operation else {
        return if keep() { vec![operation.clone()] } else { Vec::new() };
    };
    let mut parts = Vec::new();
    let mut at = *offset;
    let end = offset + data.len() as u64;
    while at < end {
        let next = ((at / SECTOR + 1) * SECTOR).min(end);
        if keep() {
            let data = data[(at - offset) as usize..(next - offset) as usize].to_vec();
            parts.push(Operation::Write { offset: at, data });
        }
        at = next;
    }
    parts
}

/// Replays every prefix of what the program did. What no sync secured reached the disk whole, not
/// at all, or sector by sector in any choice, in whatever order: the file always opens, and never
/// shows less than what a sync had secured. So it is where the writer waits for the disk itself
/// (`lag` 0) and where a thread does that while it goes on.
#[test]
fn after_every_write_whatever_the_disk_did_with_those_that_no_sync_secured_the_file_opens() {
    for lag in [0, 1, 30] {
        let log: Vec<Operation> = deeds(lag, true)
            .into_iter()
            .filter_map(|deed| match deed {
                Deed::File(operation) => Some(operation),
                Deed::Journal(_) => None,
            })
            .collect();
        let begun = log.iter().position(|op| *op == Operation::Sync).expect("it is synced");
        let mut secured = Vec::new();
        let mut since: Vec<&Operation> = Vec::new();
        let (mut shown, mut states) = ((false, 0, 0, 0), 0);
        let mut rng = SimRng::new(lag as u64 + 1);
        for (n, operation) in log.iter().enumerate() {
            if *operation == Operation::Sync {
                since.drain(..).for_each(|op| op.apply(&mut secured));
                shown = visible(&secured);
            } else {
                since.push(operation);
            }
            // The file's beginning: nothing is promised before its first sync.
            if n < begun {
                continue;
            }
            for attempt in 0..6 {
                // From nearly nothing to nearly everything.
                let share = rng.unit();
                let mut bytes = secured.clone();
                let mut parts: Vec<Operation> = since
                    .iter()
                    .flat_map(|op| sectors(op, || attempt == 0 || rng.unit() < share))
                    .collect();
                // A disk that reorders has done any of them when it stops.
                if attempt % 2 == 1 {
                    parts.truncate((rng.unit() * (parts.len() + 1) as f64) as usize);
                }
                parts.iter().for_each(|part| part.apply(&mut bytes));
                let now = visible(&bytes);
                assert!(now >= shown, "{now:?} after {shown:?} was on the disk, write {n}");
                states += 1;
                if states % 1_500 == 0 {
                    let answer = ffprobe(&bytes).unwrap_or_else(|e| panic!("write {n}: {e}"));
                    let packets = super::stream(&answer, "video")["nb_read_packets"].clone();
                    assert_eq!(packets.as_str().unwrap_or("0"), now.2.to_string(), "write {n}");
                }
            }
        }
        assert_eq!(shown, (true, 0, 120, 188));
        assert!(states > 2_000, "{states}");
    }
}

#[test]
fn a_commit_is_prepared_synced_decided_and_synced() {
    let log = log();
    for n in 0..4 {
        let at = commit(&log, n);
        let Operation::Write { offset, .. } = &log[at] else { unreachable!() };
        assert_eq!(offset % 8, 0);
        assert_eq!((&log[at - 1], &log[at + 1]), (&Operation::Sync, &Operation::Sync));
    }
    assert_eq!(log.last(), Some(&Operation::Sync));
    let Some(Operation::Write { offset: 32, data }) = log.iter().rev().nth(1) else {
        panic!("the last write is the one that swallows the fragments")
    };
    assert_eq!(&data[..8], b"\0\0\0\x01mdat");
    assert_eq!(log.iter().rev().nth(2), Some(&Operation::Sync), "the index is on the disk before");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn our_reader_never_panics_on_damaged_files(
        finished in any::<bool>(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        cut in any::<prop::sample::Index>(),
    ) {
        let (whole, open) = damaged_base();
        let mut bytes = if finished { whole.clone() } else { open.clone() };
        // Most damage goes where the structure is.
        for (at, value) in damage {
            let structure = if finished { bytes.len() - 4000..bytes.len() } else { 0..6000 };
            let at = structure.start + at.index(structure.len());
            bytes[at] = value;
        }
        let _ = Summary::read(&mut Cursor::new(&bytes));
        let length = cut.index(bytes.len());
        let _ = Summary::read(&mut Cursor::new(&bytes[..length]));
    }

    #[test]
    fn our_reader_never_panics_on_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        let mut file = b"\0\0\0\x08ftyp".to_vec();
        file.extend_from_slice(&bytes);
        let _ = Summary::read(&mut Cursor::new(&file));
    }
}

fn damaged_base() -> &'static (Vec<u8>, Vec<u8>) {
    static BASE: std::sync::OnceLock<(Vec<u8>, Vec<u8>)> = std::sync::OnceLock::new();
    BASE.get_or_init(|| {
        let mut writer = written(parameters());
        let open = writer.file().bytes.clone();
        writer.finalise().unwrap();
        (writer.into_file().bytes, open)
    })
}
