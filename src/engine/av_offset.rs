//! `--av-offset` from one run to the next: how much later each camera's picture is to stand against
//! the sound is kept in a file of the person's own. What a camera needs depends on its make, so it
//! is known by its name, not by the socket that it is plugged into.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::{fs, io};

use super::config::MOST_AV_OFFSET;
use super::disk;
use super::events::Events;
use crate::devices::CameraInfo;
use crate::platform::folders;
use crate::ui::notice::Notice;

/// The file of remembered offsets: milliseconds by the camera's name.
#[derive(Clone, Debug)]
pub struct Remembered {
    path: Option<PathBuf>,
}

impl Remembered {
    /// In the system's place for state.
    pub fn here() -> Self {
        Self { path: folders::state().map(|dir| dir.join("av-offsets.json")) }
    }

    fn read(&self) -> BTreeMap<String, f64> {
        let text = self.path.as_ref().and_then(|path| fs::read_to_string(path).ok());
        text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
    }

    /// A camera's offset, microseconds; `None` where there is none, or none that can be.
    pub fn get(&self, camera: &str) -> Option<i64> {
        let micros = (self.read().get(camera)? * 1e3).round() as i64;
        (micros != 0 && micros.abs() <= MOST_AV_OFFSET).then_some(micros)
    }

    /// Keeps it for the next time; 0 forgets.
    pub fn keep(&self, camera: &str, micros: i64) -> io::Result<()> {
        let Some(path) = &self.path else { return Ok(()) };
        let mut all = self.read();
        let before = all.clone();
        match micros {
            0 => all.remove(camera),
            _ => all.insert(camera.to_owned(), micros as f64 / 1e3),
        };
        if all == before {
            return Ok(());
        }
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let text = serde_json::to_string_pretty(&all).map_err(io::Error::other)?;
        disk::replace(path, &text)
    }
}

/// The offset to record this camera with, microseconds: the one asked for, which is then kept, or
/// that of the last time, which is told. Test pictures and files are no cameras: theirs holds once.
pub fn settle(
    asked: Option<i64>,
    camera: &CameraInfo,
    remembered: &Remembered,
    events: &Events,
) -> i64 {
    if camera.synthetic {
        return asked.unwrap_or(0);
    }
    let key = &camera.name;
    let Some(micros) = asked else {
        let micros = remembered.get(key).unwrap_or(0);
        if micros != 0 {
            let (ms, way) =
                (micros.abs() as f64 / 1e3, if micros < 0 { "earlier" } else { "later" });
            let (ms, camera) = (ms.to_string(), key.clone());
            events.notice(&Notice::AvOffsetRemembered { ms, way, camera });
        }
        return micros;
    };
    if let Err(e) = remembered.keep(key, micros) {
        events.notice(&Notice::AvOffsetNotKept { why: e.to_string() });
    }
    micros
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::engine::shared::Shared;
    use crate::ui::model::Event;
    use crate::video::frame::PixelFormat;

    fn camera(name: &str, id: &str) -> CameraInfo {
        CameraInfo {
            name: name.into(),
            id: id.into(),
            width: 640,
            height: 480,
            fps: 30.0,
            format: PixelFormat::Mjpeg,
            synthetic: false,
        }
    }

    #[test]
    fn an_offset_is_kept_per_camera_told_the_next_time_and_forgotten_with_0() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state/av-offsets.json");
        let remembered = Remembered { path: Some(path.clone()) };
        let (events, told) = Events::new(Arc::new(Shared::default()));
        let (one, other) = (camera("C920", "/dev/video0"), camera("Facetime", "/dev/video1"));
        let settle =
            |asked, camera: &CameraInfo| super::settle(asked, camera, &remembered, &events);
        assert_eq!(settle(None, &one), 0);
        assert_eq!(settle(Some(-40_500), &one), -40_500);
        assert_eq!(settle(Some(12_000), &other), 12_000);
        assert!(told.try_recv().is_err(), "what one has just asked for is no news");
        // Plugged in elsewhere it is the same camera.
        let moved = camera("C920", "/dev/video4");
        assert_eq!(settle(None, &moved), -40_500);
        let Event::Warning { what, remedy, .. } = told.try_recv().unwrap().event else { panic!() };
        assert_eq!(what, "the picture is recorded 40.5 ms earlier, from last time with C920");
        assert_eq!(remedy, "start with --av-offset 0 to forget it");
        assert_eq!(settle(Some(0), &one), 0);
        assert_eq!(settle(None, &one), 0);
        assert!(told.try_recv().is_err());
        assert_eq!(settle(None, &other), 12_000, "the other's stays");
        let test = CameraInfo { synthetic: true, ..camera("test picture", "test:640x480@30") };
        assert_eq!((settle(Some(9_000), &test), settle(None, &test)), (9_000, 0));
    }

    #[test]
    fn a_damaged_file_and_impossible_numbers_count_for_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("av-offsets.json");
        let remembered = Remembered { path: Some(path.clone()) };
        for text in ["", "nonsense", r#"{"C920": "x"}"#, r#"{"C920": 5000}"#, r#"{"C920": 1e300}"#]
        {
            fs::write(&path, text).unwrap();
            assert_eq!(remembered.get("C920"), None, "{text}");
        }
        remembered.keep("C920", 30_000).unwrap();
        assert_eq!(remembered.get("C920"), Some(30_000));
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_told_and_the_offset_holds_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let blocked = folder.path().join("file");
        fs::write(&blocked, "").unwrap();
        let remembered = Remembered { path: Some(blocked.join("av-offsets.json")) };
        let (events, told) = Events::new(Arc::new(Shared::default()));
        assert_eq!(settle(Some(5_000), &camera("C920", "1"), &remembered, &events), 5_000);
        let Event::Warning { what, .. } = told.try_recv().unwrap().event else { panic!() };
        assert!(what.contains("this time only"), "{what}");
    }
}
