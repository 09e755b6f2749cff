//! Long recordings: no box overflows, and the end costs what its index costs, however long the file.

use std::fs::File;
use std::io::{self, Cursor};
use std::os::unix::fs::FileExt;
use std::process::Command;
use std::time::Instant;

use hyperzoom::recording::mp4::{Index, Mp4Writer, RecordingFile, Summary, TrackKind};
use serde_json::Value;

use super::media::{media, parameters};

use crate::support::busy::busy;

/// A file in memory that counts what is done to it.
#[derive(Default)]
struct Counted {
    bytes: Vec<u8>,
    written: u64,
    read: u64,
}

impl RecordingFile for Counted {
    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.written += data.len() as u64;
        let at = offset as usize;
        if self.bytes.len() < at + data.len() {
            self.bytes.resize(at + data.len(), 0);
        }
        self.bytes[at..at + data.len()].copy_from_slice(data);
        Ok(())
    }
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.read += buffer.len() as u64;
        let at = offset as usize;
        let stored = self.bytes.get(at..at + buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(stored);
        Ok(())
    }
    fn len(&mut self) -> io::Result<u64> {
        Ok(self.bytes.len() as u64)
    }
    fn set_len(&mut self, length: u64) -> io::Result<()> {
        self.bytes.resize(length as usize, 0);
        Ok(())
    }
}

/// A real file, synced as the program does.
struct OnDisk(File);

impl RecordingFile for OnDisk {
    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_all_at(data, offset)
    }
    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)
    }
    fn len(&mut self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
    fn set_len(&mut self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }
}

/// Writes that many hours: a second of real samples, which readers look at, and then small ones;
/// pictures of `picture` bytes.
fn hours<F: RecordingFile>(writer: &mut Mp4Writer<F>, hours: u64, picture: usize) -> (u64, u64) {
    // NAL units that a reader can tell apart, and a packet of silence.
    let sample = |header: u8| {
        let mut sample = (picture as u32 - 4).to_be_bytes().to_vec();
        sample.push(header);
        sample.resize(picture, 0x55);
        sample
    };
    let (key, other) = (sample(0x65), sample(0x41));
    let packet = &media().audio[0][..8];
    let frames = hours * 3600 * 30;
    let mut packets = 0;
    for frame in 0..frames {
        let keyframe = frame % 30 == 0;
        let real = media().video.get(frame as usize).filter(|_| frame < 30);
        let small = if keyframe { &key } else { &other };
        writer.video(real.map_or(small, |(sample, _)| sample), frame as i64, keyframe).unwrap();
        while packets * 1024 < (frame + 1) * 1600 {
            let real = media().audio.get(packets as usize).filter(|_| frame < 30);
            writer.audio(real.map_or(packet, Vec::as_slice), 1024).unwrap();
            packets += 1;
        }
    }
    writer.end_audio(frames * 1600);
    (frames, packets)
}

fn ffprobe(file: &std::path::Path) -> Value {
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-show_streams", "-show_format", "-of", "json"])
        .arg(file)
        .output()
        .expect("ffprobe cannot be started: install it, or run `make test`, which does");
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn twelve_hours_overflow_no_box_and_the_end_writes_the_index_alone() {
    let _one = busy();
    // Beyond 24.8 h the sound's length needs 64 bits.
    let lengths: &[u64] =
        if std::env::var_os("HYPERZOOM_SOAK").is_some() { &[12, 30] } else { &[12] };
    for &length in lengths {
        let mut writer = Mp4Writer::create(Counted::default(), parameters()).unwrap();
        let (frames, packets) = hours(&mut writer, length, 8);
        let open = Summary::read(&mut Cursor::new(&writer.file().bytes)).unwrap();
        assert_eq!(open.fragments as u64, length * 3600 * 3 - 1);
        let second = open.video().unwrap();
        assert_eq!((second.samples, second.duration), (frames - 10, (frames - 10) * 1000));

        // The last fragment's index, the final one, 8 bytes of its size and the 16 that decide.
        writer.commit().unwrap();
        let media_end = writer.bytes();
        let (written, read) = (writer.file().written, writer.file().read);
        let finished = writer.finalise().unwrap();
        let index = finished.bytes - media_end + 4096;
        let file = writer.into_file();
        assert_eq!(file.written - written, index + 24, "no byte of media is written again");
        assert_eq!(file.read - read, index);

        let ours = Index::read(&mut Cursor::new(&file.bytes)).unwrap();
        assert!(ours.faults.is_empty() && ours.summary.finalised, "{:?}", ours.faults);
        let (video, audio) = (ours.summary.video().unwrap(), ours.summary.audio().unwrap());
        assert_eq!((video.samples, video.duration), (frames, frames * 1000));
        assert_eq!((audio.samples, audio.duration), (packets, frames * 1600));
        let last = ours.of(TrackKind::Audio).last().unwrap();
        assert_eq!(last.time + u64::from(last.duration), frames * 1600);

        let answer = ffprobe(super::foreign::file(&file.bytes).path());
        let video = super::stream(&answer, "video");
        assert_eq!(video["nb_frames"], frames.to_string());
        assert_eq!(video["duration_ts"], frames * 1000);
        let audio = super::stream(&answer, "audio");
        assert_eq!(audio["duration_ts"], frames * 1600);
        assert_eq!(super::stream(&answer, "data")["duration_ts"], frames * 1000);
        let duration: f64 = answer["format"]["duration"].as_str().unwrap().parse().unwrap();
        assert!((duration - length as f64 * 3600.0).abs() < 0.001, "{duration}");
    }
}

/// Only in `make soak`: prints how long the end of four hours takes, beside a copy of that file.
#[test]
fn the_end_of_four_hours_is_timed_beside_a_copy_of_the_file() {
    if std::env::var_os("HYPERZOOM_SOAK").is_none() {
        println!("make soak measures this");
        return;
    }
    // A quarter of the usual bytes, with all samples: the index is that of a file of 32 GB.
    let picture = 18_000_000 / 4 / 8 / 30;
    // Beside the program, so that it is a disk and no memory file system.
    let folder = std::path::Path::new(env!("CARGO_BIN_EXE_hyperzoom")).parent().unwrap();
    let file = tempfile::Builder::new().suffix(".mp4").tempfile_in(folder).unwrap();
    let on_disk = OnDisk(file.reopen().unwrap());
    let mut writer = Mp4Writer::create(on_disk, parameters()).unwrap();
    let began = Instant::now();
    hours(&mut writer, 4, picture);
    let wrote = began.elapsed();
    let began = Instant::now();
    let finished = writer.finish().unwrap();
    let closed = began.elapsed();
    let copy = tempfile::Builder::new().suffix(".mp4").tempfile_in(folder).unwrap();
    let began = Instant::now();
    let mut from = file.reopen().unwrap();
    let mut to = copy.reopen().unwrap();
    // Bytes through memory, as a copy to another disk goes; not a clone of the blocks.
    let mut buffer = vec![0; 1 << 20];
    loop {
        let count = io::Read::read(&mut from, &mut buffer).unwrap();
        if count == 0 {
            break;
        }
        io::Write::write_all(&mut to, &buffer[..count]).unwrap();
    }
    to.sync_data().unwrap();
    let copied = began.elapsed();
    println!(
        "four hours, {:.1} GB: written in {wrote:.1?} with two syncs a second of media; closed in \
         {closed:.3?}; copied in {copied:.1?}",
        finished.bytes as f64 / 1e9
    );
    assert_eq!(Summary::read(&mut from).unwrap().seconds(), 4.0 * 3600.0);
}
