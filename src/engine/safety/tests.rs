//! The thread from the tap to the files on a real disk.

use super::*;
use crate::audio::codec::TalkEncoder;
use crate::audio::packet::{MAX_AUDIO_PAYLOAD, write_payload};
use crate::engine::record::DiskFile;
use crate::recording::mp4::{Index, Summary, TrackKind};
use crate::units::SessionMicros;

struct Bench {
    room: tempfile::TempDir,
    parts: Arc<(Arc<Shared>, Arc<RecordShared>)>,
    safety: Safety,
    tap: SafetyTap,
    news: SafetyNews,
    told: mpsc::Receiver<crate::ui::model::Stamped>,
    encoder: TalkEncoder,
}

const T0: SessionMicros = SessionMicros(2_000_000);

fn bench() -> Bench {
    let room = tempfile::tempdir().unwrap();
    let shared = Arc::new(Shared::default());
    let (events, told) = Events::new(shared.clone());
    let record = Arc::new(RecordShared::default());
    let start = Start { t0: T0, first_slot: 30, epoch_utc_micros: 0, utc_offset_seconds: 0 };
    record.start.set(start).unwrap();
    record.folder.set(room.path().to_owned()).unwrap();
    let folder = Arc::new(SessionFolder::new(room.path().to_owned(), None, "Ann".into()));
    let parts = Parts { shared: shared.clone(), record: record.clone(), events, folder };
    let (safety, tap, news) = Safety::start(parts).unwrap();
    let encoder = TalkEncoder::new(32_000).unwrap();
    Bench { room, parts: Arc::new((shared, record)), safety, tap, news, told, encoder }
}

impl Bench {
    fn join(&mut self, peer: u8, name: &str) {
        let stream = self.news.joined(ParticipantId(peer), name);
        self.tap.listen(ParticipantId(peer), stream);
    }

    /// Frames captured from then on, milliseconds after T0.
    fn say(&mut self, peer: u8, from_ms: i64, frames: std::ops::Range<u64>) {
        for number in frames {
            let mut opus = [0; 128];
            let len = self.encoder.encode(&[0.1; 240], &mut opus).unwrap();
            let mut payload = [0; MAX_AUDIO_PAYLOAD];
            let len = write_payload(&opus[..len], &mut payload);
            let at = T0 + (from_ms + number as i64 * 5) * 1_000;
            let stamp = (at.0 / 1_000) as u32;
            self.tap.push(ParticipantId(peer), number, stamp, at + 20_000, &payload[..len]);
        }
    }

    fn close(&self) -> Vec<TrackView> {
        self.safety.begin_closing();
        while !self.safety.is_finished() {
            std::thread::yield_now();
        }
        self.safety.shared().tracks()
    }
}

#[test]
fn each_member_has_a_track_and_goes_on_in_it_when_it_comes_back_but_nobody_else_does() {
    let mut b = bench();
    b.join(1, "Ben");
    b.join(2, "Cleo");
    b.say(1, 500, 0..100);
    b.say(2, 1_000, 0..200);
    b.news.left(ParticipantId(1));
    b.join(1, "Ben");
    b.say(1, 10_000, 0..100);
    b.news.left(ParticipantId(2));
    b.join(2, "Dan");
    b.say(2, 20_000, 0..50);
    let tracks = b.close();
    let told: Vec<_> = tracks.iter().map(|t| (t.id, &t.name[..], t.counts.packets)).collect();
    assert_eq!(told, [(1, "Ben", 200), (2, "Cleo", 200), (2, "Dan", 50)]);
    let ben = &tracks[0];
    assert_eq!(ben.path, b.room.path().join("remote_audio_Ben.mp4"));
    // Ben was away from the end of his first half second to the tenth.
    assert_eq!((ben.counts.lost, ben.counts.gaps), (0, 1));
    assert!(ben.counts.gap_samples.abs_diff(9_000 * 48) <= 48, "{:?}", ben.counts);
    assert!(ben.counts.first.unwrap().abs_diff(24_000) <= 48);
    let mut file = std::fs::File::open(&ben.path).unwrap();
    let index = Index::read(&mut file).unwrap();
    assert!(index.summary.finalised && index.faults.is_empty(), "{:?}", index.faults);
    assert_eq!(index.summary.bytes, ben.bytes);
    let sound = index.summary.audio().unwrap();
    assert_eq!((&sound.codec[..], sound.samples, sound.edit_start), ("Opus", 200, 120));
    assert_eq!(Some(sound.edit_delay), ben.counts.first, "nothing before the first packet");
    let packets = index.of(TrackKind::Audio);
    let long: Vec<_> = packets.iter().filter(|p| p.duration > 242).map(|p| p.duration).collect();
    assert_eq!(long, [240 + ben.counts.gap_samples as u32]);
    // The track begins at T0, wherever the own file does.
    assert_eq!(index.summary.timecode.unwrap().start.start_frame, 2 * 30);
    let left = std::fs::read_dir(b.room.path()).unwrap().count();
    assert_eq!(left, 3, "no journal is left");
    assert!(b.told.try_iter().all(|e| !matches!(e.event, crate::ui::model::Event::Warning { .. })));
}

#[test]
fn a_track_that_cannot_be_made_is_told_of_once_and_the_others_go_on() {
    let mut b = bench();
    // A folder stands where the journal and the file would.
    for n in ["", "-2"] {
        let name = format!("remote_audio_Ben{n}.mp4");
        std::fs::create_dir(b.room.path().join(name)).unwrap();
    }
    b.join(1, "Ben");
    b.say(1, 0, 0..100);
    let name = b.close().pop().expect("it got another name").path;
    assert!(name.ends_with("remote_audio_Ben-3.mp4"), "{}", name.display());

    let mut b = bench();
    std::fs::remove_dir_all(b.room.path()).unwrap();
    b.join(1, "Ben");
    b.join(2, "Cleo");
    b.say(1, 0, 0..200);
    assert!(b.close().is_empty());
    let warned = |e: &crate::ui::model::Stamped| match &e.event {
        crate::ui::model::Event::Warning { what, .. } => what.contains("safety track of Ben"),
        _ => false,
    };
    assert_eq!(b.told.try_iter().filter(warned).count(), 1);
}

#[test]
fn what_was_interrupted_is_whole_again_after_recovery_gaps_and_all() {
    let mut b = bench();
    b.join(1, "Ben");
    b.say(1, 250, 0..400);
    b.say(1, 250, 420..500);
    while b.safety.shared().tracks().iter().all(|t| t.counts.packets == 0) {
        std::thread::yield_now();
    }
    std::thread::sleep(Duration::from_millis(700));
    b.parts.0.abort.store(true, Relaxed);
    while !b.safety.is_finished() {
        std::thread::yield_now();
    }
    let path = b.room.path().join("remote_audio_Ben.mp4");
    let lay = Summary::read(&mut std::fs::File::open(&path).unwrap()).unwrap();
    assert!(!lay.finalised && lay.audio().unwrap().samples > 200, "{lay:?}");
    // Its thread does what it has been given and lets go.
    while DiskFile::open(&path).is_err() {
        std::thread::yield_now();
    }
    let outcome = crate::engine::recovery::recover(&path, None, &mut |_, _| ()).unwrap();
    let crate::engine::recovery::Outcome::Recovered(recovered) = outcome else { panic!() };
    assert_eq!(recovered.saved.packets, 480);
    let index = Index::read(&mut std::fs::File::open(&path).unwrap()).unwrap();
    let packets = index.of(TrackKind::Audio);
    let (gap, last) = (packets[399], packets[479]);
    assert_eq!((gap.duration, last.duration), (240 * 21, 240));
    assert_eq!(last.time, 499 * 240);
    assert!(index.summary.audio().unwrap().edit_delay.abs_diff(12_000) <= 48);
}
