//! The recording's sound as foreign readers see it, and two recordings of one session aligned by
//! their tones.

use std::path::Path;
use std::process::Command;

use hyperzoom::recording::flac::quantise;
use hyperzoom::recording::mp4::{MemoryFile, MovieParameters, Mp4Writer, Summary, Timecode};
use hyperzoom::recording::raw::RawTrack;
use hyperzoom::recording::sound::{PACKET_SAMPLES, SoundEncoder, SoundFormat};
use hyperzoom::recording::timeline::AudioTimeline;
use hyperzoom::recording::tone;
use hyperzoom::units::{Micros, SessionMicros};

use super::container::foreign::{decode, ffprobe, file, mediainfo, stream};

/// Speech-like sound with full-scale peaks, silence and the softest steps.
fn sound(samples: usize) -> Vec<f32> {
    (0..samples)
        .map(|i| match i * 8 / samples {
            0..4 => (i as f32 * 0.031).sin() * 0.4 + (i as f32 * 0.37).sin() * 0.1,
            4 => 0.0,
            5 => (i as f32 * 0.2).sin() * 1.2,
            6 => ((i % 3) as f32 - 1.0) / 8_388_608.0,
            _ => ((i as u32).wrapping_mul(2_654_435_761) as i32) as f32 / 2_147_483_648.0,
        })
        .collect()
}

/// A file with sound alone, `total` samples long, ended or not.
fn flac_in_mp4(sound: &[f32], total: u64, finalise: bool) -> Vec<u8> {
    let mut encoder = SoundEncoder::new(SoundFormat::Flac).unwrap();
    let parameters = MovieParameters {
        video: None,
        audio: Some(encoder.track()),
        timecode: Timecode { start_frame: 0 },
        created_utc_seconds: 1_772_223_300,
    };
    let mut writer = Mp4Writer::create(MemoryFile::new(), parameters).unwrap();
    let mut packets = Vec::new();
    for block in sound.chunks(777) {
        encoder.push(block, &mut packets).unwrap();
        for packet in packets.drain(..) {
            writer.audio(&packet.data, PACKET_SAMPLES).unwrap();
        }
    }
    if finalise {
        encoder.finish(total, &mut packets).unwrap();
        for packet in packets.drain(..) {
            writer.audio(&packet.data, PACKET_SAMPLES).unwrap();
        }
        writer.end_audio(total);
        writer.finalise().unwrap();
    }
    writer.into_file().bytes
}

/// What ffmpeg decodes, as 24-bit steps.
fn decoded(path: &Path) -> Vec<i32> {
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-xerror", "-i"])
        .arg(path)
        .args(["-map", "0:a", "-f", "s32le", "-"])
        .output()
        .expect("ffmpeg cannot be started: install it, or run `make test`, which does");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let bytes = output.stdout.as_chunks::<4>().0;
    bytes.iter().map(|b| i32::from_le_bytes(*b) >> 8).collect()
}

#[test]
fn flac_in_mp4_decodes_bit_for_bit_to_what_was_recorded() {
    let sound = sound(100_000);
    let bytes = flac_in_mp4(&sound, 100_000, true);
    let expected: Vec<i32> = sound.iter().map(|s| quantise(*s)).collect();
    assert!(decoded(file(&bytes).path()) == expected, "ffmpeg hears something else");
    assert_eq!(decode(&bytes), "");

    let answer = ffprobe(&bytes).unwrap();
    assert_eq!(answer["complaints"], "");
    let audio = stream(&answer, "audio");
    assert_eq!(audio["codec_name"], "flac");
    assert_eq!(audio["codec_tag_string"], "fLaC");
    assert_eq!((&audio["sample_rate"], &audio["channels"]), (&"48000".into(), &1.into()));
    assert_eq!(audio["bits_per_raw_sample"], "24");
    assert_eq!(audio["duration_ts"], 100_000);
    assert_eq!(audio["nb_read_packets"], "98");

    let tracks = mediainfo(&bytes);
    let audio = tracks.iter().find(|t| t["@type"] == "Audio").expect("a track of sound");
    assert_eq!((&audio["Format"], &audio["SamplingRate"]), (&"FLAC".into(), &"48000".into()));
    assert_eq!((&audio["BitDepth"], &audio["Channels"]), (&"24".into(), &"1".into()));

    let summary = Summary::read(&mut std::io::Cursor::new(&bytes)).unwrap();
    assert_eq!(summary.audio().map(|t| (t.duration, t.codec.as_str())), Some((100_000, "fLaC")));
}

#[test]
fn an_interrupted_flac_recording_plays_up_to_its_last_whole_second() {
    let sound = sound(150_000);
    let bytes = flac_in_mp4(&sound, 150_000, false);
    let got = decoded(file(&bytes).path());
    let expected: Vec<i32> = sound.iter().map(|s| quantise(*s)).collect();
    assert!(got.len() > 90_000, "{} samples", got.len());
    assert!(got == expected[..got.len()], "ffmpeg hears something else");
}

/// PyAV comes with the system's Python; elsewhere it may be missing.
#[test]
fn pyav_reads_flac_in_mp4() {
    let python = "/usr/bin/python3";
    let have = Command::new(python).args(["-c", "import av"]).output();
    if !have.is_ok_and(|o| o.status.success()) {
        assert!(!Path::new("/usr/bin/apt-get").exists(), "install python3-av: scripts/setup test");
        return;
    }
    let script = "import av,sys\nc=av.open(sys.argv[1])\ns=c.streams.audio[0]\n\
                  n=sum(f.samples for f in c.decode(s))\nprint(s.codec_context.name,s.rate,n)";
    let bytes = flac_in_mp4(&sound(100_000), 100_000, true);
    let output =
        Command::new(python).args(["-c", script]).arg(file(&bytes).path()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "flac 48000 100000");
}

#[test]
fn the_raw_track_is_what_the_card_gave_and_plays_also_when_it_was_cut_off() {
    let sound = sound(96_000 * 2);
    let (mut flac, mut times) = (Vec::new(), String::new());
    let mut raw = RawTrack::new(96_000, "Lab", &mut flac, &mut times).unwrap();
    for (n, block) in sound.chunks(480).enumerate() {
        let at = n as i64 * 5_000;
        raw.push(block, Micros(at), SessionMicros(at), &mut flac, &mut times).unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("raw.flac");
    let expected: Vec<i32> = sound.iter().map(|s| quantise(*s)).collect();
    // As a crash leaves it: what was written, in the middle of a frame.
    std::fs::write(&path, &flac[..flac.len() - 100]).unwrap();
    let output = Command::new("ffmpeg")
        .args(["-v", "quiet", "-i"])
        .arg(&path)
        .args(["-f", "s32le", "-"])
        .output()
        .expect("ffmpeg cannot be started: install it, or run `make test`, which does");
    let cut = output.stdout.as_chunks::<4>().0;
    assert!(cut.len() > 180_000, "{} samples", cut.len());
    let same = |(b, e): (&[u8; 4], &i32)| i32::from_le_bytes(*b) >> 8 == *e;
    assert!(cut[..180_000].iter().zip(&expected).all(same));
    // And as its end leaves it.
    let head = raw.finish(&mut flac).unwrap();
    flac[..head.len()].copy_from_slice(&head);
    std::fs::write(&path, &flac).unwrap();
    assert!(decoded(&path) == expected, "ffmpeg hears something else");
    let probe = Command::new("ffprobe")
        .args(["-v", "error", "-show_entries", "stream=sample_rate,duration", "-of", "csv=p=0"])
        .arg(&path)
        .output()
        .expect("ffprobe cannot be started: install it, or run `make test`, which does");
    assert_eq!(String::from_utf8_lossy(&probe.stdout).trim(), "96000,2.000000");
}

/// A participant: its own local clock and its own card, both off. Gives the file's sound, with the
/// tones at `tones` (file samples) mixed in as the recorder does.
fn recording(local_ppm: f64, card_ppm: f64, rate: u32, seconds: u64, tones: &[u64]) -> Vec<f32> {
    let session = |local: f64| local / (1.0 + local_ppm * 1e-6);
    let start = SessionMicros(3_000_000);
    let mut timeline = AudioTimeline::new();
    timeline.begin(start);
    let (mut file, mut out) = (Vec::new(), Vec::new());
    let block = u64::from(rate) / 200;
    // The room: a click train on the session's clock that both microphones hear.
    let heard = |t: f64| {
        let phase = t.rem_euclid(1.0) - 0.5;
        0.3 * (-(phase / 0.002).powi(2)).exp() * (std::f64::consts::TAU * 1_500.0 * phase).sin()
    };
    let local = |index: f64| 2e6 + index * 1e6 / (f64::from(rate) * (1.0 + card_ppm * 1e-6));
    for n in 0..(seconds + 2) * 200 {
        let samples: Vec<f32> = (n * block..(n + 1) * block)
            .map(|i| heard(session(local(i as f64)) / 1e6) as f32)
            .collect();
        let stamp = Micros(local((n * block) as f64).round() as i64 + (n as i64 * 7_919) % 40);
        timeline.push(&samples, rate, stamp, &session, &mut out);
        for tone in tones {
            tone::mix(&mut out, file.len() as u64, *tone, 1.0);
        }
        file.append(&mut out);
    }
    file.truncate(seconds as usize * 48_000);
    file
}

#[test]
fn two_recordings_with_skewed_clocks_line_up_by_their_tones_from_the_first_to_the_last() {
    let seconds = if std::env::var_os("HYPERZOOM_SOAK").is_some() { 600 } else { 20 };
    let tones = [2 * 48_000, (seconds - 1) * 48_000];
    let alice = recording(150.0, 180.0, 48_000, seconds, &tones);
    let bob = recording(-120.0, -200.0, 44_100, seconds, &tones);
    let place = |file: &[f32], at: u64| {
        let near = at as usize - 300..at as usize + 300;
        tone::locate_in(file, near).expect("the tone is there").position
    };
    let apart = tones.map(|at| place(&alice, at) - place(&bob, at));
    println!("tone against tone: first {:.4} samples, last {:.4}", apart[0], apart[1]);
    println!("drift between first and last tone: {:.4} samples", apart[1] - apart[0]);
    assert!(apart.iter().all(|a| a.abs() < 0.1), "{apart:?}");
    // By the tones alone, and the sound that both heard is together from its beginning to its end.
    let shift = apart[0].round() as usize;
    let mut worst = 0.0f64;
    for second in 4..seconds as usize - 1 {
        // The click of each second, by its middle of mass.
        let centre = |file: &[f32]| {
            let from = second * 48_000 + 24_000 - 480;
            let part = &file[from..from + 960];
            let mass: f64 = part.iter().map(|s| f64::from(*s).powi(2)).sum();
            let moment = part.iter().enumerate().map(|(i, s)| i as f64 * f64::from(*s).powi(2));
            moment.sum::<f64>() / mass
        };
        worst = worst.max((centre(&alice[shift..]) - centre(&bob)).abs());
    }
    println!("sound that both heard: {worst:.3} samples apart at worst");
    assert!(worst < 2.0, "{worst}");
}
