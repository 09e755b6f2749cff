//! More than 4 GiB: large samples in a sparse file, so that offsets need 64 bits.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::process::Command;

use hyperzoom::recording::mp4::{Mp4Writer, RecordingFile, Summary};

use super::media::{media, parameters};

use crate::support::busy::busy;

/// A real file in which large writes (which here are all zeros) become holes.
struct SparseFile(File);

impl RecordingFile for SparseFile {
    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        if data.len() > 1 << 20 {
            let end = offset + data.len() as u64;
            return if self.len()? < end { self.0.set_len(end) } else { Ok(()) };
        }
        self.0.seek(SeekFrom::Start(offset))?;
        self.0.write_all(data)
    }
    fn sync(&mut self) -> io::Result<()> {
        Ok(()) // Other tests show the syncs.
    }
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.0.seek(SeekFrom::Start(offset))?;
        self.0.read_exact(buffer)
    }
    fn len(&mut self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
    fn set_len(&mut self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }
}

#[test]
fn a_file_beyond_4_gib_keeps_every_offset() {
    let _one = busy();
    let file = tempfile::Builder::new().suffix(".mp4").tempfile().unwrap();
    let mut writer = Mp4Writer::create(SparseFile(file.reopen().unwrap()), parameters()).unwrap();
    let hole = vec![0; 450 << 20];
    let media = media();
    for frame in 0..60_i64 {
        let (sample, keyframe) = &media.video[frame as usize];
        // Ten large samples among the real ones, which begin and end the file.
        let large = frame % 5 == 2 && frame < 50;
        let sample = if large { &hole[..] } else { &sample[..] };
        writer.video(sample, frame, *keyframe).unwrap();
        writer.audio(&media.audio[frame as usize], 1024).unwrap();
    }
    let mut reader = file.reopen().unwrap();
    let open = Summary::read(&mut reader).unwrap();
    assert!(open.bytes > 4 << 30 && open.fragments >= 9, "{} fragments", open.fragments);

    let finished = writer.finish().unwrap();
    let ours = Summary::read(&mut reader).unwrap();
    assert!(ours.finalised);
    assert_eq!(ours.bytes, finished.bytes);
    assert_eq!((ours.video().unwrap().samples, ours.audio().unwrap().samples), (60, 60));
    assert!(ours.timecode.is_some());

    // A foreign reader finds the last packet where it is.
    let output = Command::new("ffprobe")
        .args(["-v", "error", "-select_streams", "a", "-show_packets", "-show_data_hash", "CRC32"])
        .args(["-of", "json"])
        .arg(file.path())
        .output()
        .expect("ffprobe cannot be started: install it, or run `make test`, which does");
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packets = answer["packets"].as_array().unwrap();
    assert_eq!(packets.len(), 60);
    let last = &packets[59];
    let position: u64 = last["pos"].as_str().unwrap().parse().unwrap();
    assert!(position > 4 << 30);
    let mut packet = vec![0; media.audio[59].len()];
    reader.seek(SeekFrom::Start(position)).unwrap();
    reader.read_exact(&mut packet).unwrap();
    assert_eq!(packet, media.audio[59]);
}
