//! The disk fills up at any byte: what was committed stays, and the end may be tried again.

use hyperzoom::recording::mp4::{MemoryFile, Mp4Error, Mp4Writer};

use super::foreign::ffprobe;
use super::media::{media, parameters, written};
use super::summary;

/// Feeds everything until something fails.
fn fill(writer: &mut Mp4Writer<MemoryFile>) -> Option<Mp4Error> {
    let media = media();
    let mut packets = media.audio.iter().enumerate().peekable();
    for (frame, (sample, keyframe)) in media.video.iter().enumerate() {
        if let Err(error) = writer.video(sample, frame as i64, *keyframe) {
            return Some(error);
        }
        while let Some((_, packet)) = packets.next_if(|(n, _)| n * 1024 < (frame + 1) * 1600) {
            if let Err(error) = writer.audio(packet, 1024) {
                return Some(error);
            }
        }
    }
    None
}

#[test]
fn a_disk_that_fills_at_any_point_leaves_a_valid_file_and_room_finishes_it() {
    let whole = written(parameters()).into_file().bytes.len() as u64;
    let begun = Mp4Writer::create(MemoryFile::new(), parameters()).unwrap().bytes();
    let mut capacity = begun;
    while capacity < whole {
        let file = MemoryFile { capacity: Some(capacity), ..MemoryFile::new() };
        let mut writer = Mp4Writer::create(file, parameters()).unwrap();
        let error = fill(&mut writer).expect("the disk is too small");
        assert!(error.is_no_space(), "{error}");
        let counts = writer.counts();

        // The end cannot be written either, perhaps; the file stays what it is.
        let ended = writer.finalise();
        if let Err(error) = &ended {
            assert!(error.is_no_space(), "at {capacity}: {error}");
            let ours = summary(&writer.file().bytes);
            assert!(!ours.finalised);
            assert_eq!(ours.video().unwrap().samples, writer.counts().committed_video_samples);
            assert!(writer.counts().committed_video_samples >= counts.committed_video_samples);
        }

        writer.file_mut().capacity = None;
        let finished = writer.finalise().unwrap();
        assert_eq!(finished.video_samples, counts.video_samples);
        assert_eq!(finished.audio_samples, counts.audio_samples);
        let ours = summary(&writer.file().bytes);
        assert!(ours.finalised);
        assert_eq!(ours.video().map_or(0, |t| t.samples), counts.video_samples);
        assert_eq!(ours.audio().map_or(0, |t| t.samples), counts.audio_samples);
        capacity += 509; // a prime: all alignments and all kinds of writes are met
    }
}

#[test]
fn ffprobe_opens_what_a_full_disk_left() {
    let whole = written(parameters()).into_file().bytes.len() as u64;
    for part in 3..6 {
        let file = MemoryFile { capacity: Some(whole * part / 6), ..MemoryFile::new() };
        let mut writer = Mp4Writer::create(file, parameters()).unwrap();
        fill(&mut writer).expect("the disk is too small");
        let _ = writer.finalise();
        let answer = ffprobe(&writer.file().bytes).unwrap();
        assert_eq!(answer["complaints"], "");
    }
}

#[test]
fn recording_goes_on_when_space_was_freed() {
    let whole = written(parameters()).into_file().bytes.len() as u64;
    let file = MemoryFile { capacity: Some(whole / 8), ..MemoryFile::new() };
    let mut writer = Mp4Writer::create(file, parameters()).unwrap();
    let mut refused = 0;
    for (frame, (sample, keyframe)) in media().video.iter().enumerate() {
        while let Err(error) = writer.video(sample, frame as i64, *keyframe) {
            assert!(error.is_no_space());
            refused += 1;
            writer.file_mut().capacity = Some(writer.file().bytes.len() as u64 + 9000);
        }
    }
    assert!(refused > 0, "the disk was full at times");
    writer.file_mut().capacity = None;
    writer.finalise().unwrap();
    let ours = summary(&writer.file().bytes);
    assert_eq!(ours.video().unwrap().samples, 120);
    assert_eq!(ours.video().unwrap().constant_duration, Some(1000));
}
