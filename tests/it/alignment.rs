//! Recordings of one session, made in virtual time by machines whose clocks disagree, lined up as an
//! editor's program does it, once by their timecodes alone and once by their sync tones alone:
//! clock, timeline, grid, tone, encoders and container are the real ones, the files are read back
//! by ffmpeg.

use std::path::{Path, PathBuf};

use hyperzoom::clock::Follower;
use hyperzoom::recording::grid::{Content, Grid};
use hyperzoom::recording::h264::{self, Planes, VideoParameters};
use hyperzoom::recording::mp4::{MemoryFile, MovieParameters, Mp4Writer, Timecode, VideoTrack};
use hyperzoom::recording::sound::{PACKET_SAMPLES, SoundEncoder, SoundFormat, SoundPacket};
use hyperzoom::recording::timeline::AudioTimeline;
use hyperzoom::recording::tone;
use hyperzoom::units::{Micros, SessionMicros};

use crate::support::busy::busy;
use crate::support::media::{ffprobe, pictures, sound, sound_without_edit_lists, stream};
use crate::support::sim::SimRng;

const SECOND: i64 = 1_000_000;
const SIZE: u32 = 64;
/// Slot 0 of everybody.
const T0: SessionMicros = SessionMicros(2 * SECOND);
/// UTC of session zero, no whole second, 4 s before the host's midnight.
const EPOCH: i64 = 1_772_229_596_250_000 - 2 * SECOND;
const UTC_OFFSET: i64 = 2 * 3_600 * SECOND;
/// Where a hand claps: the sound of it is one sample, and the light goes on.
const CLAPS: [i64; 3] = [5_213_000, 11_770_500, 23_402_700];
/// Where the tones sound: two seconds behind T0, and at a whole second near the end.
const TONES: [i64; 2] = [T0.0 + 2 * SECOND, 24 * SECOND];
const END: i64 = 25 * SECOND;

/// Encodes and writes one file; `sound` from its first sample on, `bright` of each of its slots.
fn write(path: &Path, first_slot: u64, sound: &[f32], bright: &[bool]) {
    let parameters = VideoParameters::for_size(SIZE, SIZE);
    let mut encoder = h264::open(None, &parameters, 1).expect("OpenH264 is bundled");
    let planes = |luma: u8| vec![luma; (SIZE * SIZE) as usize];
    let (dark, light) = (planes(40), planes(220));
    let chroma = vec![128; (SIZE * SIZE / 4) as usize];
    let mut samples = Vec::new();
    for (pts, &bright) in bright.iter().enumerate() {
        let y = if bright { &light } else { &dark };
        let (stride_y, stride_uv) = (SIZE as usize, SIZE as usize / 2);
        let picture = Planes { y, u: &chroma, v: &chroma, stride_y, stride_uv };
        encoder.submit(picture, pts as i64).expect("encodes");
        samples.extend(std::iter::from_fn(|| encoder.poll()));
    }
    let (sps, pps) = encoder.parameter_sets().expect("known by now");
    let mut aac = SoundEncoder::new(SoundFormat::Aac).expect("fdk-aac is bundled");
    let mut packets: Vec<SoundPacket> = Vec::new();
    for block in sound.chunks(1_000) {
        aac.push(block, &mut packets).expect("encodes");
    }
    aac.finish(sound.len() as u64, &mut packets).expect("ends");

    let of_day = (EPOCH + T0.0 + UTC_OFFSET).rem_euclid(86_400 * SECOND) * 30 / SECOND;
    let movie = MovieParameters {
        video: Some(VideoTrack {
            width: SIZE as u16,
            height: SIZE as u16,
            sps,
            pps,
            bitrate: parameters.bitrate_bps,
        }),
        audio: Some(aac.track()),
        timecode: Timecode { start_frame: of_day as u32 }.plus(first_slot),
        created_utc_seconds: ((EPOCH + T0.0) / SECOND) as u64,
    };
    let mut writer = Mp4Writer::create(MemoryFile::new(), movie).expect("memory is no full disk");
    let mut packets = packets.iter().peekable();
    for (n, sample) in samples.iter().enumerate() {
        writer.video(&sample.data, sample.pts, sample.keyframe).expect("it is written");
        let until = (n as u64 + 1) * 1_600;
        while let Some(packet) = packets
            .next_if(|p| p.index * u64::from(PACKET_SAMPLES) < until || n + 1 == samples.len())
        {
            let from = packet.index * u64::from(PACKET_SAMPLES);
            let left = (sound.len() as u64 - from).min(u64::from(PACKET_SAMPLES));
            writer.audio(&packet.data, left as u32).expect("it is written");
        }
    }
    writer.finalise().expect("it closes");
    std::fs::write(path, &writer.into_file().bytes).expect("a temporary folder can be written");
}

/// A machine of the call.
struct Machine {
    /// Its clock where the session's is zero, and how much faster it runs.
    origin: i64,
    ppm: f64,
    /// Its sound card against its own clock.
    card_ppm: f64,
    fps: f64,
    first_slot: u64,
    /// The network between it and the host: there and back, microseconds.
    path: Option<(i64, i64)>,
}

/// What one machine recorded, and what is known of its clock at the end, microseconds.
struct Recorded {
    path: PathBuf,
    uncertainty: i64,
    skew_ppm: f64,
    /// True session times at which the first bright picture after each clap was taken.
    lit: Vec<i64>,
}

impl Machine {
    fn local(&self, session: i64) -> Micros {
        Micros(self.origin + session + (session as f64 * self.ppm / 1e6).round() as i64)
    }

    fn session(&self, local: f64) -> f64 {
        (local - self.origin as f64) / (1.0 + self.ppm / 1e6)
    }

    /// Records the session from before T0 to [`END`].
    fn record(&self, path: PathBuf, seed: u64) -> Recorded {
        let mut rng = SimRng::new(seed);
        let mut below = |n: u64| (rng.next_u64() % n) as i64;
        let mut follower = match self.path {
            None => Follower::holder(self.local(0)),
            Some(_) => Follower::default(),
        };
        let welcome = self.local(500_000);
        follower.welcomed(welcome);
        let file = T0.0 + (self.first_slot * 100_000 / 3) as i64;
        let mut timeline = AudioTimeline::new();
        timeline.begin(SessionMicros(file));
        let mut grid: Grid<bool> = Grid::new(T0, self.first_slot);
        let (mut sound, mut bright) = (Vec::new(), Vec::new());
        let (mut samples, mut frame) = (0u64, 0u64);
        let mut lit = Vec::new();
        let per_sample = 1e6 / (48_000.0 * (1.0 + self.card_ppm / 1e6));
        let per_frame = 1e6 / self.fps;
        // Devices run since the session's second 0.6; stamps jitter by 2 ms.
        let began = self.local(600_000).0 as f64;
        let mut pings = 0i64;
        for step in 60..=(END / 10_000 + 60) {
            let now = self.local(step * 10_000);
            // A burst, then one exchange a second.
            let due = 500_000 + if pings < 8 { pings * 20_000 } else { (pings - 7) * SECOND };
            if let Some((there, back)) = self.path
                && step * 10_000 >= due + 100_000
            {
                let (there, back) = (there + below(900), back + below(900));
                let (sent, arrived) = (self.local(due), SessionMicros(due + there));
                let received = self.local(due + there + back);
                follower.exchange(now, sent, arrived, arrived, received);
                pings += 1;
            }
            follower.tick(now);
            let Some(map) = follower.map() else { continue };
            let end = (END / 33_333) as u64 + 40;
            while began + (samples + 480) as f64 * per_sample <= now.0 as f64 {
                let at = began + samples as f64 * per_sample;
                let mut block = [0.0f32; 480];
                for clap in CLAPS {
                    let from = self.session(at);
                    let place =
                        ((clap as f64 - from) * (1.0 + self.ppm / 1e6) / per_sample).round();
                    if (0.0..480.0).contains(&place) {
                        block[place as usize] = 0.9;
                    }
                }
                samples += 480;
                let stamp = Micros(at as i64 + below(2_000) - 1_000);
                let session = |local: f64| map.to_session(Micros(local.round() as i64)).0 as f64;
                timeline.push(&block, 48_000, stamp, &session, &mut sound);
            }
            while began + frame as f64 * per_frame <= now.0 as f64 {
                let at = began + frame as f64 * per_frame;
                let truth = self.session(at) as i64;
                let lights = CLAPS.iter().any(|&c| (c..c + 200_000).contains(&truth));
                if CLAPS.iter().any(|&c| truth >= c && truth - per_frame as i64 - 1 < c)
                    && lights
                    && lit.last().is_none_or(|&last| truth - last > SECOND)
                {
                    lit.push(truth);
                }
                frame += 1;
                let stamp = Micros(at as i64 + below(4_000) - 2_000);
                grid.push(map.to_session(stamp), lights);
            }
            let mut last = bright.last().copied().unwrap_or(false);
            while grid.next_slot() < end
                && let Some(slot) = grid.next(map.to_session(now))
            {
                last = match slot.content {
                    Content::Picture(lights) => lights,
                    Content::Repeat => last,
                    Content::Black => false,
                };
                bright.push(last);
            }
        }
        let length = (bright.len() as u64 * 1_600).min(sound.len() as u64 / 1_600 * 1_600);
        let map = follower.map().expect("the clock is set");
        let session = |local: f64| map.to_session(Micros(local.round() as i64)).0 as f64;
        timeline.finish(length, &session, &mut sound);
        sound.truncate(length as usize);
        for at in TONES {
            tone::mix(&mut sound, 0, ((at - file) * 48 / 1_000) as u64, 1.0);
        }
        bright.truncate((length / 1_600) as usize);
        write(&path, self.first_slot, &sound, &bright);
        let known = follower.estimate(self.local(END)).expect("the clock is set");
        Recorded { path, uncertainty: known.uncertainty, skew_ppm: known.skew_ppm(), lit }
    }
}

/// Frames since midnight of the file's first frame.
fn timecode(path: &Path) -> i64 {
    let answer = ffprobe(path);
    let code = stream(&answer, "data")["tags"]["timecode"].as_str().expect("a timecode").to_owned();
    let parts: Vec<i64> = code.split(':').map(|p| p.parse().expect("digits")).collect();
    ((parts[0] * 60 + parts[1]) * 60 + parts[2]) * 30 + parts[3]
}

/// The loudest sample near where a clap is expected: 40 ms to either side.
fn clap(sound: &[f32], expected: i64) -> i64 {
    let near = (expected - 2_000).max(0) as usize..((expected + 2_000) as usize).min(sound.len());
    let loudest = near.max_by(|&a, &b| sound[a].abs().total_cmp(&sound[b].abs()));
    loudest.expect("the clap lies in the file") as i64
}

/// A file read back: the samples at which its tones begin, and those of the claps.
struct Heard {
    tones: Vec<f64>,
    claps: Vec<i64>,
}

#[test]
fn recordings_of_skewed_machines_line_up_by_timecode_alone_and_by_tone_alone() {
    let _one = busy();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let machines = [
        Machine {
            origin: 77 * SECOND,
            ppm: 0.0,
            card_ppm: 0.0,
            fps: 30.0,
            first_slot: 0,
            path: None,
        },
        // A clock that runs 60 ppm slow, a camera of 29.97 fps, late by 37 slots, 9 ms away.
        Machine {
            origin: -5_000 * SECOND,
            ppm: -60.0,
            card_ppm: 0.0,
            fps: 30_000.0 / 1_001.0,
            first_slot: 37,
            path: Some((4_300, 4_700)),
        },
        Machine {
            origin: 123_456 * SECOND,
            ppm: 85.0,
            card_ppm: 0.0,
            fps: 25.0,
            first_slot: 45,
            path: Some((300, 300)),
        },
    ];
    let day = 86_400 * 30;
    let mut host = None;
    let mut host_heard: Option<Heard> = None;
    for (n, machine) in machines.iter().enumerate() {
        let path = folder.path().join(format!("{n}.mp4"));
        let recorded = machine.record(path, n as u64 + 1);
        let first = timecode(&recorded.path);
        let host_first = *host.get_or_insert(first);
        // What an editor's program does: it shifts by the difference of the timecodes.
        let shift = (first - host_first).rem_euclid(day);
        assert_eq!(shift as u64, machine.first_slot, "over midnight, too");
        let heard = sound(&recorded.path);
        let shown = pictures(&recorded.path, SIZE, SIZE, |image| image.y()[2_000] > 128);
        let at = |session: i64| (session - T0.0) * 48 / 1_000 - shift * 1_600;
        let found = TONES.map(|tone| tone::locate(&heard, at(tone) as usize).expect("a tone"));
        let both = Heard {
            tones: found.iter().map(|found| found.position).collect(),
            claps: CLAPS.iter().map(|&truth| clap(&heard, at(truth))).collect(),
        };
        // First and last tone show the drift: there is none.
        let apart = both.tones[1] - both.tones[0];
        assert!((apart - ((TONES[1] - TONES[0]) * 48 / 1_000) as f64).abs() < 0.5, "{apart}");
        let skew = recorded.skew_ppm + machine.ppm;
        println!(
            "machine {n}: clock known to {} us, skew off by {skew:.2} ppm",
            recorded.uncertainty
        );
        assert!(skew.abs() < 8.0, "{skew} ppm");
        for (&truth, &lit) in CLAPS.iter().zip(&recorded.lit) {
            let expected = (truth - T0.0) * 48 / 1_000 - shift * 1_600;
            let at = (clap(&heard, expected) + shift * 1_600) as f64 / 48_000.0;
            let sound_error = at * 1e6 - (truth - T0.0) as f64;
            let slot = (0..shown.len())
                .find(|&i| shown[i] && (i as i64 + shift) * SECOND / 30 > truth - T0.0 - 60_000)
                .expect("the light goes on");
            let picture_error = (slot as i64 + shift) * SECOND / 30 - (lit - T0.0);
            println!(
                "  clap at {:.3} s: sound off by {sound_error:.0} us, picture by {picture_error} us",
                truth as f64 / 1e6
            );
            let bound = 2_000.0 + recorded.uncertainty as f64;
            assert!(sound_error.abs() <= bound, "{sound_error} us, bound {bound}");
            assert!(picture_error.abs() <= 33_334 + recorded.uncertainty, "{picture_error} us");
        }
        let Some(other) = &host_heard else {
            host_heard = Some(both);
            continue;
        };
        // The same clap in both files, once these lie one upon the other.
        let by_timecode = both.claps.iter().zip(&other.claps);
        let by_timecode = by_timecode.map(|(ours, theirs)| (ours + shift * 1_600 - theirs) as f64);
        let moved = other.tones[0] - both.tones[0];
        let by_tone = both.claps.iter().zip(&other.claps);
        let by_tone = by_tone.map(|(ours, theirs)| *ours as f64 + moved - *theirs as f64);
        for (way, errors) in
            [("timecode", by_timecode.collect::<Vec<_>>()), ("tone", by_tone.collect())]
        {
            let worst = errors.iter().fold(0.0f64, |most, e| most.max(e.abs()));
            println!(
                "machine {n} against the host's, by {way} alone: claps apart by {errors:.1?} \
                 samples, at most {:.3} ms",
                worst / 48.0
            );
            // Both clocks as they were known, and a sample of the coder's.
            let bound = (2_000 + recorded.uncertainty) as f64 * 0.048 + 1.0;
            assert!(worst <= bound, "{worst} samples by {way}, bound {bound}");
        }
    }
}

#[test]
fn a_click_is_at_its_sample_for_readers_that_honour_edit_lists_and_for_those_that_do_not() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("clicks.mp4");
    // From a stamp to the file: blocks begin 0.3 s before the file does.
    let start = SessionMicros(7 * SECOND);
    let clicks = [3_000u64, 24_000, 48_001, 96_777, 143_000];
    let mut timeline = AudioTimeline::new();
    timeline.begin(start);
    let session = |local: f64| local;
    let mut sound_in = Vec::new();
    for n in 0..350i64 {
        let from = n * 480 - 14_400;
        let mut block = [0.0f32; 480];
        for (i, sample) in (from..).zip(&mut block) {
            if clicks.iter().any(|&c| c as i64 == i) {
                *sample = 0.9;
            }
        }
        let stamp = Micros(start.0 + from * 1_000 / 48);
        timeline.push(&block, 48_000, stamp, &session, &mut sound_in);
    }
    timeline.finish(144_000, &session, &mut sound_in);
    sound_in.truncate(144_000);
    write(&path, 0, &sound_in, &[false; 90]);
    for (reader, heard) in [("honours", sound(&path)), ("ignores", sound_without_edit_lists(&path))]
    {
        assert!(heard.len() >= 144_000, "{reader}: {}", heard.len());
        for at in clicks {
            let found = clap(&heard, at as i64);
            assert!(found.abs_diff(at as i64) <= 1, "{reader} edit lists: {at} found at {found}");
            assert!(heard[found as usize] > 0.3, "{}", heard[found as usize]);
        }
    }
}
