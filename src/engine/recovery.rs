//! Interrupted recordings on the disk: finding them, and ending them in place or as a copy.
//!
//! Runs on the thread of `hyperzoom recover`, or (finding only) on one of its own at a start. Never
//! touches a recording that another process is still writing.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::disk;
use super::metadata::{METADATA, TIMECODES};
use super::record::{DiskFile, FILE_NAME, journal::path_of};
use crate::audio::codec::packet_samples;
use crate::platform::lock;
use crate::recording::journal::Journal;
use crate::recording::media::{Progress, hex, walk};
use crate::recording::metadata::{FileEntry, Metadata};
use crate::recording::mp4::{Finished, Index, Mp4Error, Summary, Track};
use crate::recording::recover::{self, Examined, Plan, RecoverError, Saved};
use crate::recording::render::packets;
use crate::recording::safety::{self, Counts};
use crate::recording::timecodes;

/// Why a recording was not recovered.
#[derive(Debug, thiserror::Error, strum::EnumCount)]
pub enum RecoveryError {
    /// Another process has it.
    #[error("it is still being written by another process; try again when that has ended")]
    Busy,
    /// There is nothing to save, or it is no recording.
    #[error(transparent)]
    Recover(#[from] RecoverError),
    /// It could not be ended.
    #[error(transparent)]
    Write(#[from] Mp4Error),
    /// What a player shows of it now would become less.
    #[error(
        "its index is damaged, and a player may show more of it now than can be saved; try --to with a place for a copy"
    )]
    Less,
    /// What was asked for is there already.
    #[error("{} exists already; try another --to", .0.display())]
    Exists(PathBuf),
    /// The system refused something.
    #[error("{doing} failed: {source}; check the disk and your rights there")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// The system's word.
        source: io::Error,
    },
}

fn io_error(doing: &'static str) -> impl FnOnce(io::Error) -> RecoveryError {
    move |source| RecoveryError::Io { doing, source }
}

/// What became of a recording.
#[derive(Debug)]
pub enum Outcome {
    /// It was whole before.
    Whole(Summary),
    /// It is whole now.
    Recovered(Recovered),
}

/// A recording that was ended.
#[derive(Debug)]
pub struct Recovered {
    /// The whole file: the recording itself, or the copy asked for.
    pub path: PathBuf,
    /// What was saved.
    pub saved: Saved,
    /// There was a journal.
    pub journal: bool,
    /// Length, seconds.
    pub seconds: f64,
    /// Size of the file.
    pub bytes: u64,
    /// The session's metadata could not be brought up to date: why.
    pub metadata: Option<String>,
}

/// The recordings that a path means: itself, or those in the folder and in the folders in it.
pub fn recordings(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !fs::metadata(path)?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = in_folder(path)?;
    for entry in fs::read_dir(path)?.flatten() {
        // A folder that may not be read holds no recording of ours.
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(in_folder(&entry.path()).unwrap_or_default());
        }
    }
    found.sort();
    Ok(found)
}

fn in_folder(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let (stem, extension) = FILE_NAME.split_once('.').unwrap_or((FILE_NAME, ""));
    let begins = |name: &str| name.starts_with(stem) || name.starts_with(safety::PREFIX);
    let ours = |path: &PathBuf| {
        path.file_stem().is_some_and(|name| begins(&name.to_string_lossy()))
            && path.extension().is_some_and(|e| e == extension)
    };
    Ok(fs::read_dir(folder)?.flatten().map(|entry| entry.path()).filter(ours).collect())
}

/// Recordings below `output` that were interrupted and that nobody is writing.
pub fn unfinished(output: &Path) -> Vec<PathBuf> {
    let mut found = recordings(output).unwrap_or_default();
    found.retain(|path| is_interrupted(path).unwrap_or(false));
    found
}

/// Looks at the 16 bytes that the end of a recording changes; cheap.
fn is_interrupted(path: &Path) -> io::Result<bool> {
    let mut head = [0; 48];
    File::open(path)?.read_exact(&mut head)?;
    let open = &head[4..8] == b"ftyp" && &head[32..40] == b"\0\0\0\x10free";
    // Who can open it for writing is its only writer, for a moment.
    Ok(open && lock::open(OpenOptions::new().read(true).write(true), path).is_ok())
}

/// Ends an interrupted recording. `to`: as a copy there, a file or a folder; the recording itself
/// is then left alone. What is whole is left alone in any case.
pub fn recover(
    path: &Path,
    to: Option<&Path>,
    progress: Progress<'_>,
) -> Result<Outcome, RecoveryError> {
    let mut file = DiskFile::open(path).map_err(|e| match lock::is_locked(&e) {
        true => RecoveryError::Busy,
        false => RecoveryError::Io { doing: "opening the file", source: e },
    })?;
    let journal_path = path_of(path);
    let journal = fs::read(&journal_path).map(|bytes| Journal::read(&bytes));
    let with_journal = journal.is_ok();
    let journal = journal.unwrap_or_default();
    let mut reader = file.reader().map_err(io_error("reading the file"))?;
    let plan = match recover::examine(&mut reader, &journal, progress)? {
        Examined::Finished(summary) => {
            if to.is_none() {
                tidy_up(path, &journal_path, &summary);
            }
            return Ok(Outcome::Whole(*summary));
        }
        Examined::Interrupted(plan) => plan,
    };
    let (path, finished) = match to {
        Some(to) => {
            let target = target(path, to)?;
            (target.clone(), copy_and_end(path, &target, &plan)?)
        }
        None if plan.shows_less => return Err(RecoveryError::Less),
        None if plan.in_place => (path.to_owned(), plan.carry_out(&mut file)?),
        None => (path.to_owned(), replace_by_copy(path, file, &plan)?),
    };
    let seconds = finished.duration_samples as f64 / 48_000.0;
    let metadata = update_metadata(&path, &plan.saved, &finished, seconds).err();
    if to.is_none() && with_journal {
        // Whoever stops us here finds a whole file, and the journal is removed the next time.
        let _ = fs::remove_file(&journal_path);
    }
    Ok(Outcome::Recovered(Recovered {
        path,
        saved: plan.saved,
        journal: with_journal,
        seconds,
        bytes: finished.bytes,
        metadata: metadata.map(|e| e.to_string()),
    }))
}

/// Where a copy goes: into a folder of the session's name, or to the file that was named.
fn target(path: &Path, to: &Path) -> Result<PathBuf, RecoveryError> {
    let target = if to.is_dir() {
        let session = path.parent().and_then(Path::file_name);
        let folder = session.map_or_else(|| to.to_owned(), |session| to.join(session));
        let name = path.file_name().unwrap_or(FILE_NAME.as_ref());
        let target = folder.join(name);
        if target.exists() {
            return Err(RecoveryError::Exists(target));
        }
        fs::create_dir_all(&folder).map_err(io_error("making the folder for the copy"))?;
        for name in [METADATA, TIMECODES] {
            let from = path.with_file_name(name);
            // Another file of the session may have been recovered there before.
            if from.exists() && !folder.join(name).exists() {
                fs::copy(from, folder.join(name)).map_err(io_error("copying the metadata"))?;
            }
        }
        target
    } else {
        to.to_owned()
    };
    if target.exists() {
        return Err(RecoveryError::Exists(target));
    }
    Ok(target)
}

fn copy_and_end(from: &Path, to: &Path, plan: &Plan) -> Result<Finished, RecoveryError> {
    fs::copy(from, to).map_err(io_error("copying the recording"))?;
    let end = || -> Result<Finished, RecoveryError> {
        let mut copy = DiskFile::open(to).map_err(io_error("opening the copy"))?;
        Ok(plan.carry_out(&mut copy)?)
    };
    end().inspect_err(|_| {
        let _ = fs::remove_file(to);
    })
}

/// The file's beginning or end is damaged: a copy is ended and takes its place.
fn replace_by_copy(path: &Path, file: DiskFile, plan: &Plan) -> Result<Finished, RecoveryError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".recovering");
    let scratch = path.with_file_name(name);
    let finished = copy_and_end(path, &scratch, plan)?;
    // Windows replaces no file that somebody has open.
    drop(file);
    fs::rename(&scratch, path).map_err(io_error("putting the copy in its place"))?;
    // Only Unix has folders that can be synced; where it fails, the rename is merely not yet durable.
    #[cfg(unix)]
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        let _ = File::open(folder).and_then(|folder| folder.sync_all());
    }
    Ok(finished)
}

/// A recording whose end came between its last write and the small files.
fn tidy_up(path: &Path, journal: &Path, summary: &Summary) {
    let _ = fs::remove_file(journal);
    if let Some((index, mut file)) = track(path) {
        let _ = update_track(path, &index, &mut file, None);
        return;
    }
    let finalised = metadata_beside(path).is_none_or(|metadata| metadata.hyperzoom.finalised);
    if !finalised {
        let _ = update(path, entry(path, summary, None), summary.seconds());
    }
}

fn entry(path: &Path, summary: &Summary, hash: Option<&[u8; 32]>) -> FileEntry {
    FileEntry {
        name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        bytes: summary.bytes,
        frames: summary.video().map_or(0, |track| track.samples),
        samples: summary.audio().map_or(0, |track| track.duration),
        media_blake2s: hash.map(hex),
        ..FileEntry::default()
    }
}

/// The metadata of the session that a file belongs to, if there is one that can be read.
pub fn metadata_beside(recording: &Path) -> Option<Metadata> {
    let text = fs::read_to_string(recording.with_file_name(METADATA)).ok()?;
    Metadata::from_json(&text).ok()
}

fn update_metadata(
    path: &Path,
    saved: &Saved,
    finished: &Finished,
    seconds: f64,
) -> io::Result<()> {
    if let Some((index, mut file)) = track(path) {
        return update_track(path, &index, &mut file, Some(hex(&finished.media_hash)));
    }
    let entry = FileEntry {
        name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        bytes: finished.bytes,
        frames: saved.frames,
        samples: saved.samples,
        media_blake2s: Some(hex(&finished.media_hash)),
        ..FileEntry::default()
    };
    update(path, entry, seconds)
}

/// A safety track, opened; `None` for another file.
fn track(path: &Path) -> Option<(Index, File)> {
    let mut file = File::open(path).ok()?;
    let index = Index::read(&mut file).ok()?;
    packets(&index).is_some().then_some((index, file))
}

/// Brings the metadata up to date with a whole safety track.
fn update_track(
    path: &Path,
    index: &Index,
    file: &mut File,
    hash: Option<String>,
) -> io::Result<()> {
    let all = packets(index).unwrap_or_default();
    let samples: Vec<_> = all.iter().map(|(_, packet)| (Track::Audio, *packet)).collect();
    let mut times = all.iter().map(|(time, _)| *time);
    let mut counts = Counts::default();
    walk(file, &samples, &mut |_, _| (), |_, packet, bytes| {
        let own = bytes.and_then(packet_samples).map_or(packet.duration, |own| own as u32);
        counts.add(times.next().unwrap_or(0), own);
    })?;
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    change(path, |metadata| metadata.recover_track(&name, &counts, index.summary.bytes, hash))
}

fn update(path: &Path, entry: FileEntry, seconds: f64) -> io::Result<()> {
    change(path, |metadata| metadata.recover(entry, seconds))
}

/// Changes the metadata beside a recording.
fn change(path: &Path, change: impl FnOnce(&mut Metadata)) -> io::Result<()> {
    let text = match fs::read_to_string(path.with_file_name(METADATA)) {
        Ok(text) => text,
        // A recording on its own has none.
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e),
    };
    let mut metadata = Metadata::from_json(&text).map_err(io::Error::other)?;
    change(&mut metadata);
    let folder = path.parent().unwrap_or(Path::new("."));
    disk::replace(&folder.join(METADATA), &metadata.to_json())?;
    disk::replace(&folder.join(TIMECODES), &timecodes::text(&metadata))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::record::DiskFile;
    use crate::recording::journal::{Record, header};
    use crate::recording::metadata::tests::example;
    use crate::recording::mp4::{AudioTrack, MovieParameters, Mp4Writer, Timecode};

    /// A session folder with a recording of sound that was interrupted after 100 packets.
    fn interrupted(output: &Path, name: &str) -> PathBuf {
        let folder = output.join(name);
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join(FILE_NAME);
        let parameters = MovieParameters {
            video: None,
            audio: Some(AudioTrack {
                coding: crate::recording::mp4::AudioCoding::Aac,
                configuration: vec![0x11, 0x88],
                bitrate: 192_000,
                priming_samples: 0,
                samples_per_packet: 1024,
            }),
            timecode: Timecode { start_frame: 1 },
            created_utc_seconds: 0,
        };
        let mut journal = header(&parameters).unwrap();
        let mut writer = Mp4Writer::create(DiskFile::create(&path).unwrap(), parameters).unwrap();
        let start = Record::new(writer.timecode_placed(), &1_u32.to_be_bytes());
        journal.extend_from_slice(&start.to_bytes());
        for n in 0..100_u8 {
            let packet = [n; 300];
            let placed = writer.audio(&packet, 1024).unwrap();
            journal.extend_from_slice(&Record::new(placed, &packet).to_bytes());
        }
        fs::write(path_of(&path), journal).unwrap();
        let mut metadata = example();
        metadata.hyperzoom.finalised = false;
        fs::write(folder.join(METADATA), metadata.to_json()).unwrap();
        let file = writer.into_file();
        drop(file);
        // Its thread does what it has been given and lets go.
        while DiskFile::open(&path).is_err() {
            std::thread::yield_now();
        }
        let mut file = File::open(&path).unwrap();
        assert_eq!(Summary::read(&mut file).unwrap().fragments, 6);
        path
    }

    fn recovered(outcome: Outcome) -> Recovered {
        match outcome {
            Outcome::Recovered(recovered) => recovered,
            Outcome::Whole(_) => panic!("it was interrupted"),
        }
    }

    fn metadata(folder: &Path) -> Metadata {
        Metadata::from_json(&fs::read_to_string(folder.join(METADATA)).unwrap()).unwrap()
    }

    #[test]
    fn a_copy_is_whole_and_the_recording_stays_as_it_is() {
        let room = tempfile::tempdir().unwrap();
        let path = interrupted(room.path(), "session");
        let before = fs::read(&path).unwrap();
        assert_eq!(unfinished(room.path()), std::slice::from_ref(&path));
        let to = room.path().join("elsewhere");
        fs::create_dir(&to).unwrap();
        let copy = recovered(recover(&path, Some(&to), &mut |_, _| ()).unwrap());
        assert_eq!(copy.path, to.join("session").join(FILE_NAME));
        assert_eq!((copy.saved.packets, copy.journal), (100, true));
        assert_eq!(fs::read(&path).unwrap(), before);
        assert!(path_of(&path).exists());
        assert!(metadata(copy.path.parent().unwrap()).hyperzoom.recovered);
        assert!(!metadata(path.parent().unwrap()).hyperzoom.finalised);
        let again = recover(&path, Some(&to), &mut |_, _| ());
        assert!(matches!(again, Err(RecoveryError::Exists(_))));
        let file = room.path().join("alone.mp4");
        recovered(recover(&path, Some(&file), &mut |_, _| ()).unwrap());
        assert!(Summary::read(&mut File::open(file).unwrap()).unwrap().finalised);
    }

    #[test]
    fn in_place_the_file_the_metadata_and_the_journal_are_put_in_order_once() {
        let room = tempfile::tempdir().unwrap();
        let path = interrupted(room.path(), "session");
        let done = recovered(recover(&path, None, &mut |_, _| ()).unwrap());
        assert_eq!(done.metadata, None);
        let after = fs::read(&path).unwrap();
        let metadata = metadata(path.parent().unwrap());
        let [file] = &metadata.hyperzoom.files[..] else { panic!("one file") };
        assert_eq!((file.bytes, file.samples), (after.len() as u64, 100 * 1024));
        assert_eq!(metadata.duration_seconds, 2);
        assert!(!path_of(&path).exists());
        assert!(path.with_file_name(TIMECODES).exists());
        assert!(matches!(recover(&path, None, &mut |_, _| ()).unwrap(), Outcome::Whole(_)));
        assert_eq!(fs::read(&path).unwrap(), after);
        assert!(unfinished(room.path()).is_empty());
    }

    #[test]
    fn a_file_whose_beginning_is_damaged_is_replaced_by_a_repaired_copy() {
        let room = tempfile::tempdir().unwrap();
        let path = interrupted(room.path(), "session");
        let mut bytes = fs::read(&path).unwrap();
        bytes[..100].fill(0);
        fs::write(&path, &bytes).unwrap();
        let done = recovered(recover(&path, None, &mut |_, _| ()).unwrap());
        assert_eq!((done.path, done.saved.packets), (path.clone(), 100));
        assert!(Summary::read(&mut File::open(&path).unwrap()).unwrap().finalised);
        let left = fs::read_dir(path.parent().unwrap()).unwrap().count();
        assert_eq!(left, 3, "the recording, its metadata and its timecodes");
    }

    #[test]
    fn an_offer_that_is_taken_recovers_all_that_was_found_and_is_gone() {
        use crate::engine::events::Events;
        use crate::engine::offer::Offer;
        use crate::ui::model::Event;
        let room = tempfile::tempdir().unwrap();
        let paths = [interrupted(room.path(), "a"), interrupted(room.path(), "b")];
        let (events, told) = Events::new(std::sync::Arc::default());
        let offer = std::sync::Arc::new(Offer::default());
        assert_eq!(offer.view(), None);
        let mut found = unfinished(room.path());
        // Where files cannot be locked, the one that is being recorded is found like any other.
        let own = room.path().join("own");
        std::fs::create_dir(&own).unwrap();
        let running = own.join("local_recording.mp4");
        std::fs::write(&running, "it is being written").unwrap();
        found.insert(0, running.clone());
        offer.make(found);
        offer.leave_out(&own);
        let view = offer.view().expect("it is offered");
        assert_eq!((view.count, view.percent), (2, None));
        offer.accept(&events, Some(&own));
        for path in &paths {
            let event = told.recv_timeout(std::time::Duration::from_secs(60)).unwrap().event;
            let Event::Recovered { path: done, seconds } = event else { panic!("{event:?}") };
            assert_eq!((done, seconds.round()), (path.display().to_string(), 2.0));
        }
        while offer.view().is_some() {
            std::thread::yield_now();
        }
        assert_eq!(std::fs::read(&running).unwrap(), b"it is being written");
        assert!(unfinished(room.path()).is_empty());
        let _third = interrupted(room.path(), "c");
        offer.make(unfinished(room.path()));
        offer.decline();
        assert_eq!((offer.view(), unfinished(room.path()).len()), (None, 1));
    }

    #[test]
    fn what_another_writes_is_neither_found_nor_touched() {
        let room = tempfile::tempdir().unwrap();
        let path = interrupted(room.path(), "session");
        let _held = DiskFile::open(&path).unwrap();
        assert!(unfinished(room.path()).is_empty());
        let result = recover(&path, None, &mut |_, _| ());
        assert!(matches!(result, Err(RecoveryError::Busy)));
    }
}
