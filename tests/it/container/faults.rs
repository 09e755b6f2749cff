//! A disk that fails once, at any operation: the caller tries again and the file is complete.

use std::io;

use hyperzoom::recording::mp4::{MemoryFile, Mp4Error, Mp4Writer, RecordingFile};

use super::media::{media, parameters};
use super::summary;

/// Fails one operation (write, sync, read, length) with an input/output error, then works.
struct Faulty {
    inner: MemoryFile,
    operations: usize,
    fails_at: usize,
    /// Gives back something else than was written.
    reads_wrong: bool,
}

impl Faulty {
    fn new(fails_at: usize) -> Self {
        Self { inner: MemoryFile::new(), operations: 0, fails_at, reads_wrong: false }
    }

    fn step(&mut self) -> io::Result<()> {
        self.operations += 1;
        let fails = self.operations == self.fails_at;
        if fails { Err(io::Error::other("the disk hiccups")) } else { Ok(()) }
    }
}

impl RecordingFile for Faulty {
    fn write_at(&mut self, offset: u64, data: &[u8]) -> io::Result<()> {
        if let Err(error) = self.step() {
            // Half of it gets there.
            self.inner.write_at(offset, &data[..data.len() / 2])?;
            return Err(error);
        }
        self.inner.write_at(offset, data)
    }
    fn sync(&mut self) -> io::Result<()> {
        self.step()?;
        self.inner.sync()
    }
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.step()?;
        self.inner.read_at(offset, buffer)?;
        if self.reads_wrong {
            buffer[0] ^= 1;
        }
        Ok(())
    }
    fn len(&mut self) -> io::Result<u64> {
        self.step()?;
        self.inner.len()
    }
    fn set_len(&mut self, length: u64) -> io::Result<()> {
        self.step()?;
        self.inner.set_len(length)
    }
}

/// Two seconds of picture and sound; each refused sample is given again. How many errors.
fn record(writer: &mut Mp4Writer<Faulty>) -> usize {
    let media = media();
    let mut errors = 0;
    let mut tell = |result: Result<(), Mp4Error>, file: &Faulty| match result {
        Ok(()) => true,
        Err(error) => {
            assert!(!error.is_no_space(), "{error}");
            summary(&file.inner.bytes);
            errors += 1;
            assert!(errors < 3, "one fault, not many: {error}");
            false
        }
    };
    for frame in 0..62 {
        let (sample, keyframe) = &media.video[frame];
        loop {
            let result = writer.video(sample, frame as i64, *keyframe).map(drop);
            if tell(result, writer.file()) {
                break;
            }
        }
        loop {
            let result = writer.audio(&media.audio[frame], 1024).map(drop);
            if tell(result, writer.file()) {
                break;
            }
        }
    }
    errors
}

#[test]
fn one_failure_of_any_operation_loses_nothing() {
    let mut writer = Mp4Writer::create(Faulty::new(0), parameters()).unwrap();
    record(&mut writer);
    writer.finalise().unwrap();
    let operations = writer.file().operations;
    assert!(operations > 140, "{operations}");

    // The first two operations make the beginning.
    for fails_at in 3..=operations {
        let mut writer = Mp4Writer::create(Faulty::new(fails_at), parameters()).unwrap();
        let mut errors = record(&mut writer);
        while let Err(error) = writer.finalise() {
            assert!(!error.is_no_space(), "{error}");
            summary(&writer.file().inner.bytes);
            errors += 1;
        }
        // A next fragment that cannot be opened yet is no error: it is tried again.
        assert!(errors <= 1, "operation {fails_at}: {errors} errors");
        let ours = summary(&writer.file().inner.bytes);
        assert!(ours.finalised, "operation {fails_at}");
        let (video, audio) = (ours.video().unwrap(), ours.audio().unwrap());
        assert_eq!((video.samples, audio.samples), (62, 62), "operation {fails_at}");
        assert_eq!(video.constant_duration, Some(1000));
    }
}

#[test]
fn an_index_that_reads_back_wrong_leaves_the_fragments_as_they_are() {
    let mut writer = Mp4Writer::create(Faulty::new(0), parameters()).unwrap();
    record(&mut writer);
    writer.file_mut().reads_wrong = true;
    assert!(matches!(writer.finalise(), Err(Mp4Error::ReadBack)));
    let ours = summary(&writer.file().inner.bytes);
    assert!(!ours.finalised);
    assert_eq!((ours.video().unwrap().samples, ours.audio().unwrap().samples), (62, 62));
    // The disk comes to its senses.
    writer.file_mut().reads_wrong = false;
    writer.finalise().unwrap();
    assert!(summary(&writer.file().inner.bytes).finalised);
}
