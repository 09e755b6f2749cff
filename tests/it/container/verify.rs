//! `verify` passes what was recorded and fails on every kind of damage.

use std::io::Cursor;

use hyperzoom::recording::aac::AacEncoder;
use hyperzoom::recording::media::hex;
use hyperzoom::recording::metadata::{Metadata, Tone};
use hyperzoom::recording::mp4::{Index, MemoryFile, Mp4Writer, TrackKind};
use hyperzoom::recording::tone;
use hyperzoom::recording::verify::{Report, Verdict, verify};

use super::media::{CREATED, FRAMES, PACKETS, deeds, done, parameters};

const NAME: &str = "local_recording.mp4";

/// The finished file and the metadata as the program writes it beside.
fn recorded() -> (Vec<u8>, Metadata) {
    let (file, _) = done(&deeds(3, true));
    let (frames, samples) = (FRAMES as u64, FRAMES as u64 * 1600);
    let found = verify(&mut Cursor::new(&file.bytes), NAME, None, &mut |_, _| ()).unwrap();
    let json = serde_json::json!({
        "session_id": "a1b2c3d4", "started_at_utc": "2026-02-27T20:15:00.000Z",
        "duration_seconds": 4, "participants": [],
        "recording": {
            "video_codec": "H.264 High@4.1", "video_resolution": "128x96", "video_fps": 30,
            "video_bitrate_kbps": 18000, "audio_codec": "AAC-LC", "audio_sample_rate": 48000,
            "audio_bitrate_kbps": 192, "container": "MP4", "total_frames_captured": frames,
            "total_frames_dropped": 0,
        },
        "hyperzoom": {
            "version": 1, "program": "0.1.0", "finalised": true, "start_timecode": "20:15:00:12",
            "counters": {
                "frames_captured": frames, "frames_encoded": frames - 2, "cadence_discarded": 1,
                "withheld": 1, "black_frames": 1, "frames_repeated": 1, "samples": samples,
            },
            "files": [{
                "name": NAME, "bytes": file.bytes.len(), "frames": frames, "samples": samples,
                "media_blake2s": hex(&found.media_hash),
            }],
        },
    });
    (file.bytes, Metadata::from_json(&json.to_string()).unwrap())
}

/// Names of the checks that fail; also when the file cannot be read at all.
fn failing(bytes: &[u8], metadata: Option<&Metadata>) -> Vec<String> {
    match verify(&mut Cursor::new(bytes), NAME, metadata, &mut |_, _| ()) {
        Ok(report) => {
            assert_eq!(report.holds(), names(&report).is_empty());
            names(&report)
        }
        Err(error) => vec![error.to_string()],
    }
}

fn names(report: &Report) -> Vec<String> {
    let failing = report.checks.iter().filter(|check| check.verdict == Verdict::Fails);
    failing.map(|check| check.name.to_owned()).collect()
}

#[test]
fn a_good_file_holds_with_and_without_its_metadata() {
    let (bytes, metadata) = recorded();
    let report = verify(&mut Cursor::new(&bytes), NAME, Some(&metadata), &mut |_, _| ()).unwrap();
    assert!(report.holds(), "{:#?}", report.checks);
    let skipped = report.checks.iter().filter(|c| c.verdict == Verdict::Skipped).count();
    assert_eq!(skipped, 1, "no tones: {:#?}", report.checks);
    assert_eq!(failing(&bytes, None), [""; 0]);
    assert_eq!(report.summary.created_utc_seconds, CREATED);
    assert_eq!(report.summary.audio().unwrap().samples, PACKETS as u64);
}

/// Where a box of that type begins inside the final index; the n-th of them.
fn inside_moov(bytes: &[u8], kind: &[u8; 4], n: usize) -> usize {
    let index = Index::read(&mut Cursor::new(bytes)).unwrap();
    let (_, from, _) = index.boxes().find(|(kind, _, _)| kind == b"moov").unwrap();
    let from = from as usize;
    let mut found = bytes[from..].windows(4).enumerate().filter(|(_, w)| w == kind);
    from + found.nth(n).unwrap().0 - 4
}

fn place(bytes: &[u8], kind: TrackKind, n: usize) -> usize {
    Index::read(&mut Cursor::new(bytes)).unwrap().of(kind)[n].offset as usize
}

fn add(bytes: &mut [u8], at: usize, by: i32) {
    let word: [u8; 4] = bytes[at..at + 4].try_into().unwrap();
    let word = u32::from_be_bytes(word).wrapping_add_signed(by);
    bytes[at..at + 4].copy_from_slice(&word.to_be_bytes());
}

/// A kind of damage, and a check that must notice it.
type Damage = (&'static str, &'static str, fn(&mut Vec<u8>));

const DAMAGE: [Damage; 20] = [
    ("cut within the index", "", |b| b.truncate(b.len() - 100)),
    ("cut within the media", "", |b| b.truncate(b.len() / 2)),
    ("something behind the end", "boxes", |b| b.extend_from_slice(&[0xAA; 100])),
    ("a box behind the end", "boxes", |b| b.extend_from_slice(b"\0\0\0\x10free12345678")),
    ("a bit of a picture", "hash", |b| {
        let at = place(b, TrackKind::Video, 40);
        b[at + 12] ^= 0x10;
    }),
    ("a bit of the sound", "hash", |b| {
        let at = place(b, TrackKind::Audio, 70);
        b[at + 100] ^= 1;
    }),
    ("a sector of zeros", "pictures", |b| {
        let at = place(b, TrackKind::Video, 55);
        b[at..at + 512].fill(0);
    }),
    ("a NAL unit's length", "pictures", |b| {
        let at = place(b, TrackKind::Video, 10);
        b[at + 3] ^= 0x7F;
    }),
    ("a keyframe's type", "pictures", |b| {
        let at = place(b, TrackKind::Video, 60);
        b[at + 4] = b[at + 4] & 0xE0 | 1;
    }),
    ("a sample's size", "index", |b| {
        let at = inside_moov(b, b"stsz", 0);
        add(b, at + 20 + 4 * 7, 100);
    }),
    ("the number of samples", "index", |b| {
        let at = inside_moov(b, b"stsz", 1);
        add(b, at + 16, -1);
    }),
    ("a frame's duration", "rate", |b| {
        let at = inside_moov(b, b"stts", 0);
        add(b, at + 20, 1);
    }),
    ("a packet's duration", "gaps", |b| {
        let at = inside_moov(b, b"stts", 1);
        add(b, at + 12, -1);
        add(b, at + 20, 1);
    }),
    ("a chunk's place", "index", |b| {
        let at = inside_moov(b, b"stco", 0);
        add(b, at + 16 + 4 * 3, 1_000_000);
    }),
    ("the list of keyframes", "pictures", |b| {
        let at = inside_moov(b, b"stss", 0);
        add(b, at + 20, 5);
    }),
    ("the timecode", "timecode", |b| {
        let at = place(b, TrackKind::Timecode, 0);
        b[at + 3] ^= 1;
    }),
    ("the timecode's rate", "timecode", |b| {
        let at = inside_moov(b, b"tmcd", 2);
        let at = b[at..].windows(4).position(|w| w == 30_000_u32.to_be_bytes()).unwrap() + at;
        b[at + 8] = 25;
    }),
    ("the media's size", "", |b| b[32 + 15] ^= 0x40),
    ("a box's size inside the index", "index", |b| {
        let at = inside_moov(b, b"stsc", 0);
        add(b, at, 4);
    }),
    ("a file that was not ended", "boxes", |b| *b = done(&deeds(3, false)).0.bytes),
];

#[test]
fn every_kind_of_damage_is_noticed() {
    let (good, metadata) = recorded();
    for (what, by, damage) in DAMAGE {
        let mut bytes = good.clone();
        damage(&mut bytes);
        assert_ne!(bytes, good, "{what}");
        let failing = failing(&bytes, Some(&metadata));
        println!("{what}: {failing:?}");
        assert!(!failing.is_empty(), "{what} is not noticed");
        assert!(by.is_empty() || failing.iter().any(|name| name == by), "{what}: {failing:?}");
    }
}

#[test]
fn metadata_that_tells_something_else_is_noticed() {
    let (bytes, good) = recorded();
    type Spoil = fn(&mut Metadata);
    let spoil: [Spoil; 8] = [
        |m| m.hyperzoom.files[0].frames += 1,
        |m| m.hyperzoom.files[0].bytes -= 1,
        |m| m.hyperzoom.files[0].samples -= 1,
        |m| m.hyperzoom.counters.frames_captured += 1,
        |m| m.hyperzoom.counters.frames_repeated += 1,
        |m| m.recording.total_frames_dropped = 1,
        |m| m.hyperzoom.finalised = false,
        |m| m.hyperzoom.files[0].name = "other.mp4".into(),
    ];
    for (n, spoil) in spoil.into_iter().enumerate() {
        let mut metadata = good.clone();
        spoil(&mut metadata);
        assert_eq!(failing(&bytes, Some(&metadata)), ["metadata"], "case {n}");
    }
}

#[test]
fn any_single_byte_of_picture_or_sound_is_noticed() {
    let (good, metadata) = recorded();
    let index = Index::read(&mut Cursor::new(&good)).unwrap();
    for kind in [TrackKind::Video, TrackKind::Audio] {
        for sample in index.of(kind).iter().step_by(17) {
            let mut bytes = good.clone();
            bytes[(sample.offset + u64::from(sample.size) / 2) as usize] ^= 0x04;
            assert!(failing(&bytes, Some(&metadata)).contains(&"hash".to_owned()));
        }
    }
}

/// Five seconds of sound with tones at these samples, and metadata that tells of `told`.
fn with_tones(tones: &[u64], told: &[u64]) -> Vec<String> {
    let mut sound: Vec<f32> = (0..5 * 48_000).map(|n| 0.05 * (n as f32 * 0.03).sin()).collect();
    for &at in tones {
        tone::mix(&mut sound, 0, at, 1.0);
    }
    let mut encoder = AacEncoder::new().unwrap();
    let mut packets = Vec::new();
    encoder.push(&sound, &mut packets).unwrap();
    encoder.finish(sound.len() as u64, &mut packets).unwrap();
    let mut parameters = parameters();
    parameters.video = None;
    parameters.audio.as_mut().unwrap().configuration = encoder.asc();
    let mut writer = Mp4Writer::create(MemoryFile::new(), parameters).unwrap();
    for packet in packets {
        writer.audio(&packet.data, 1024).unwrap();
    }
    writer.end_audio(sound.len() as u64);
    writer.finalise().unwrap();
    let mut metadata = recorded().1;
    metadata.hyperzoom.tones =
        told.iter().map(|&sample| Tone { session_us: 0, sample, file: None }).collect();
    let bytes = writer.into_file().bytes;
    let report = verify(&mut Cursor::new(&bytes), NAME, Some(&metadata), &mut |_, _| ()).unwrap();
    let found = report.checks.iter().filter(|check| check.name == "tones");
    found.for_each(|check| println!("{tones:?} told as {told:?}: {}", check.detail));
    names(&report).into_iter().filter(|name| name == "tones").collect()
}

#[test]
fn sync_tones_are_found_where_the_metadata_says_and_nowhere_else() {
    assert_eq!(with_tones(&[96_000, 150_001], &[96_000, 150_001]), [""; 0]);
    assert_eq!(with_tones(&[96_000], &[96_030]), ["tones"], "too far away");
    assert_eq!(with_tones(&[], &[96_000]), ["tones"], "none there");
    assert_eq!(with_tones(&[96_000], &[96_000, 300_000]), ["tones"], "behind the end");
}
