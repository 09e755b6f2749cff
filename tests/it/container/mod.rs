//! The MP4 file as foreign readers see it: finished, interrupted, cut anywhere, on a full disk.

mod cuts;
mod faults;
pub mod foreign;
mod full_disk;
mod large;
#[cfg(unix)]
mod long;
mod media;
#[cfg(target_os = "linux")]
mod pyav;
mod recover;
mod verify;

use std::io::Cursor;

use foreign::{decode, ffprobe, mediainfo, stream};
use hyperzoom::recording::mp4::{MemoryFile, Mp4Writer, Summary, TrackKind};
use media::{CREATED, FRAMES, HEIGHT, PACKETS, START_FRAME, WIDTH, parameters, written};
use serde_json::Value;

pub fn summary(bytes: &[u8]) -> Summary {
    Summary::read(&mut Cursor::new(bytes)).expect("our reader opens the file")
}

fn finished() -> Vec<u8> {
    let mut writer = written(parameters());
    let (before, needed) = (writer.bytes(), writer.bytes_to_finish());
    let finished = writer.finalise().unwrap();
    let used = finished.bytes - before;
    assert!(used <= needed + 8 && needed < used + 8192, "{needed} foretold, {used} used");
    let file = writer.into_file();
    assert_eq!(finished.bytes, file.bytes.len() as u64);
    assert_eq!((finished.video_samples, finished.audio_samples), (FRAMES as u64, PACKETS as u64));
    file.bytes
}

/// What ffprobe must say before and after the end alike.
fn check_with_ffprobe(answer: &Value, frames: usize, packets: usize) {
    assert_eq!(answer["complaints"], "");
    let video = stream(answer, "video");
    let expected: [(&str, Value); 11] = [
        ("codec_name", "h264".into()),
        ("profile", "High".into()),
        ("codec_tag_string", "avc1".into()),
        ("width", WIDTH.into()),
        ("height", HEIGHT.into()),
        ("is_avc", "true".into()),
        ("r_frame_rate", "30/1".into()),
        ("avg_frame_rate", "30/1".into()),
        ("time_base", "1/30000".into()),
        ("start_pts", 0.into()),
        ("nb_read_packets", frames.to_string().into()),
    ];
    for (field, value) in expected {
        assert_eq!(video[field], value, "video {field}");
    }
    assert_eq!(video["tags"]["timecode"], "20:15:00:12");
    assert_eq!(video["tags"]["handler_name"], "HyperZoom video");
    assert_eq!(video["tags"]["creation_time"], "2026-02-27T20:15:00.000000Z");
    let audio = stream(answer, "audio");
    let expected: [(&str, Value); 7] = [
        ("codec_name", "aac".into()),
        ("profile", "LC".into()),
        ("sample_rate", "48000".into()),
        ("channels", 1.into()),
        ("time_base", "1/48000".into()),
        ("start_pts", 0.into()),
        ("nb_read_packets", packets.to_string().into()),
    ];
    for (field, value) in expected {
        assert_eq!(audio[field], value, "audio {field}");
    }
    assert_eq!(stream(answer, "data")["codec_tag_string"], "tmcd");
}

#[test]
fn a_finished_file_is_what_the_requirements_say_in_ffprobe() {
    let bytes = finished();
    let answer = ffprobe(&bytes).unwrap();
    check_with_ffprobe(&answer, FRAMES, PACKETS);
    assert_eq!(stream(&answer, "video")["duration_ts"], 120_000);
    assert_eq!(stream(&answer, "video")["nb_frames"], "120");
    assert_eq!(stream(&answer, "audio")["bit_rate"], "192000");
    assert_eq!(stream(&answer, "data")["duration_ts"], 120_000);
    assert_eq!(decode(&bytes), "", "ffmpeg decodes every sample");
}

#[test]
fn an_interrupted_file_shows_all_committed_seconds_in_ffprobe() {
    // Four seconds in thirds: eleven fragments are committed, the twelfth is open.
    let bytes = written(parameters()).into_file().bytes;
    let answer = ffprobe(&bytes).unwrap();
    let ours = summary(&bytes);
    assert_eq!(ours.fragments, 11);
    let packets = ours.audio().unwrap().samples;
    assert!((171..=172).contains(&packets), "{packets} packets in 3.67 seconds");
    check_with_ffprobe(&answer, 110, packets as usize);
    let duration: f64 = stream(&answer, "video")["duration"].as_str().unwrap().parse().unwrap();
    assert!((duration - 11.0 / 3.0).abs() < 0.001, "{duration}");
    assert_eq!(decode(&bytes), "", "ffmpeg decodes every sample");
}

#[test]
fn mediainfo_calls_both_states_constant_30_fps_with_their_timecode() {
    for (bytes, frames) in [(finished(), "120"), (written(parameters()).into_file().bytes, "110")] {
        let tracks = mediainfo(&bytes);
        let of = |kind: &str| tracks.iter().find(|t| t["@type"] == kind).expect(kind);
        let video = of("Video");
        assert_eq!(video["Format"], "AVC");
        assert!(video["Format_Profile"].as_str().unwrap().ends_with("High"));
        assert_eq!(video["FrameRate_Mode"], "CFR");
        assert_eq!(video["FrameRate"], "30.000");
        assert_eq!(video["FrameCount"], frames);
        assert_eq!(video["colour_primaries"], "BT.709");
        assert_eq!(video["colour_range"], "Limited");
        let audio = of("Audio");
        assert_eq!(audio["Format"], "AAC");
        assert_eq!(audio["Format_AdditionalFeatures"], "LC");
        assert_eq!(audio["SamplingRate"], "48000");
        assert_eq!(audio["Channels"], "1");
        assert_eq!(audio["BitRate"], "192000");
        let timecode = of("Other");
        assert_eq!(timecode["Type"], "Time code");
        assert_eq!(timecode["TimeCode_FirstFrame"], "20:15:00:12");
    }
}

#[test]
fn an_independent_reader_finds_every_sample_of_the_finished_file() {
    let bytes = finished();
    let length = bytes.len() as u64;
    let mut reader = mp4::Mp4Reader::read_header(Cursor::new(bytes), length).unwrap();
    assert!(!reader.is_fragmented());
    assert_eq!(reader.duration().as_millis(), 4010); // 188 packets are 4.0107 s
    assert_eq!(reader.tracks()[&1].video_profile().unwrap(), mp4::AvcProfile::AvcHigh);
    assert_eq!(reader.tracks()[&1].frame_rate(), 30.0);
    assert_eq!(reader.tracks()[&1].sequence_parameter_set().unwrap(), media::media().sps);
    assert_eq!(
        reader.tracks()[&2].audio_profile().unwrap(),
        mp4::AudioObjectType::AacLowComplexity
    );
    for (index, (sample, keyframe)) in media::media().video.iter().enumerate() {
        let read = reader.read_sample(1, index as u32 + 1).unwrap().unwrap();
        assert_eq!(&read.bytes[..], &sample[..], "video sample {index}");
        assert_eq!((read.start_time, read.is_sync), (index as u64 * 1000, *keyframe));
    }
    for (index, packet) in media::media().audio.iter().enumerate() {
        let read = reader.read_sample(2, index as u32 + 1).unwrap().unwrap();
        assert_eq!(&read.bytes[..], &packet[..], "audio packet {index}");
        assert_eq!(read.start_time, index as u64 * 1024);
    }
}

#[test]
fn our_own_reader_agrees() {
    let ours = summary(&finished());
    assert!(ours.finalised);
    assert_eq!((ours.fragments, ours.whole_until), (0, ours.bytes));
    assert_eq!(ours.created_utc_seconds, CREATED);
    let video = ours.video().unwrap();
    assert!(video.codec.starts_with("avc1.64"), "{}", video.codec);
    assert_eq!((video.samples, video.sync_samples, video.duration), (120, 4, 120_000));
    assert_eq!(video.constant_duration, Some(1000));
    assert_eq!((video.width, video.height), (WIDTH, HEIGHT));
    let audio = ours.audio().unwrap();
    assert_eq!(audio.codec, "mp4a.40.2");
    assert_eq!((audio.samples, audio.duration), (188, 188 * 1024));
    assert_eq!((audio.channels, audio.sample_rate), (1, 48_000));
    let timecode = ours.timecode.unwrap();
    assert_eq!(timecode.start.start_frame, START_FRAME);
    assert_eq!((timecode.frames_per_second, timecode.drop_frame), (30, false));
    assert_eq!(ours.track(TrackKind::Timecode).unwrap().duration, 120_000);

    let ours = summary(&written(parameters()).into_file().bytes);
    assert!(!ours.finalised);
    let video = ours.video().unwrap();
    assert_eq!((video.samples, video.sync_samples, video.duration), (110, 4, 110_000));
    assert_eq!(ours.timecode.unwrap().start.start_frame, START_FRAME);
}

#[test]
fn a_file_of_sound_alone_and_one_of_pictures_alone_are_whole() {
    let mut sound = parameters();
    sound.video = None;
    let mut pictures = parameters();
    pictures.audio = None;
    for parameters in [sound, pictures] {
        let (video, audio) = (parameters.video.is_some(), parameters.audio.is_some());
        let mut writer = written(parameters);
        assert!(writer.counts().fragments >= 3);
        for end in [false, true] {
            if end {
                writer.finalise().unwrap();
            }
            let bytes = writer.file().bytes.clone();
            let answer = ffprobe(&bytes).unwrap();
            assert_eq!(answer["complaints"], "");
            assert_eq!(stream(&answer, "video")["codec_name"] == "h264", video);
            assert_eq!(stream(&answer, "audio")["codec_name"] == "aac", audio);
            assert_eq!(summary(&bytes).timecode.unwrap().start.start_frame, START_FRAME);
            assert_eq!(decode(&bytes), "");
        }
    }
}

#[test]
fn a_delay_that_the_encoder_leaves_is_hidden_by_an_edit_list() {
    let mut parameters = parameters();
    parameters.audio.as_mut().unwrap().priming_samples = 2048;
    let mut writer = written(parameters);
    for finished in [false, true] {
        if finished {
            writer.finalise().unwrap();
        }
        let bytes = writer.file().bytes.clone();
        assert_eq!(summary(&bytes).audio().unwrap().edit_start, 2048);
        let answer = ffprobe(&bytes).unwrap();
        assert_eq!(stream(&answer, "video")["start_pts"], 0);
        // Sample 2,048 of the track is at file time 0: before the end ffprobe shows the priming
        // in front of it, afterwards it leaves it out.
        let start = if finished { 0 } else { -2048 };
        assert_eq!(stream(&answer, "audio")["start_pts"], start);
    }
}

#[test]
fn a_late_or_missing_picture_keeps_its_place_in_time() {
    let media = media::media();
    let mut writer = Mp4Writer::create(MemoryFile::new(), parameters()).unwrap();
    for (frame, (sample, keyframe)) in media.video.iter().take(60).enumerate() {
        // Ten frames late, and a hole of five in the middle of the second second.
        let pts = frame as i64 + 10 + if frame >= 45 { 5 } else { 0 };
        writer.video(sample, pts, *keyframe).unwrap();
    }
    writer.finalise().unwrap();
    let bytes = writer.into_file().bytes;
    let ours = summary(&bytes);
    assert_eq!(ours.video().unwrap().samples, 60);
    assert_eq!(ours.video().unwrap().duration, 65_000);
    let answer = ffprobe(&bytes).unwrap();
    assert_eq!(stream(&answer, "video")["start_pts"], 10_000);
    assert_eq!(ours.track(TrackKind::Timecode).unwrap().duration, 75_000);
}

#[test]
fn samples_that_do_not_belong_are_refused_and_change_nothing() {
    let media = media::media();
    let mut writer = Mp4Writer::create(MemoryFile::new(), parameters()).unwrap();
    writer.video(&media.video[0].0, 0, true).unwrap();
    let before = writer.file().log.len();
    assert!(writer.video(&media.video[1].0, 0, false).is_err(), "the same frame twice");
    assert!(writer.video(&media.video[1].0, -1, false).is_err());
    assert!(writer.video(&[], 1, false).is_err());
    assert!(writer.audio(&[], 1024).is_err());
    assert!(writer.audio(&media.audio[0], 0).is_err(), "a packet without time");
    assert_eq!(writer.file().log.len(), before);
    writer.finalise().unwrap();
    assert!(writer.video(&media.video[1].0, 1, false).is_err(), "after the end");
}
