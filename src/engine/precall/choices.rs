//! What can be chosen for each device: what was asked for, the system's devices, none. Pure.

use super::Chosen;
use crate::devices::DeviceList;
use crate::devices::spec::{CameraSpec, MicSpec, SpeakerSpec};
use crate::engine::config::CallConfig;
use crate::ui::precall::Part;

/// A kind of device: names and what they stand for.
#[derive(Clone, Debug)]
pub struct Kind<S> {
    entries: Vec<(String, S)>,
    chosen: usize,
}

impl<S: Clone + PartialEq> Kind<S> {
    fn new(name: String, spec: S) -> Self {
        Self { entries: vec![(name, spec)], chosen: 0 }
    }

    /// What is chosen.
    pub fn spec(&self) -> S {
        self.entries[self.chosen].1.clone()
    }

    /// Adds what is not there yet. What is chosen stays chosen, under its full name.
    fn add(&mut self, name: String, spec: S, is_chosen: bool) {
        let known = match is_chosen {
            true => Some(self.chosen),
            false => self.entries.iter().position(|(_, known)| *known == spec),
        };
        match known {
            Some(at) if is_chosen => self.entries[at] = (name, spec),
            Some(_) => {}
            None => self.entries.push((name, spec)),
        }
    }

    fn shown(&self) -> (Vec<String>, usize) {
        (self.entries.iter().map(|(name, _)| name.clone()).collect(), self.chosen)
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Choices {
    pub mics: Kind<MicSpec>,
    pub speakers: Kind<SpeakerSpec>,
    pub cameras: Kind<CameraSpec>,
}

/// The system's default, with its name where it is known.
fn default_of<'a>(mut devices: impl Iterator<Item = (&'a str, bool)>) -> String {
    match devices.find(|(_, default)| *default) {
        Some((name, _)) => format!("system default ({name})"),
        None => "system default".to_owned(),
    }
}

fn file(path: &std::path::Path) -> String {
    format!("file {}", path.display())
}

impl Choices {
    /// What was asked for alone: what the system has is not known yet.
    pub fn asked(config: &CallConfig) -> Self {
        let mic = match &config.mic {
            MicSpec::Default => "system default".to_owned(),
            MicSpec::Test => "test sound".to_owned(),
            MicSpec::Off => "off".to_owned(),
            MicSpec::File(path) => file(path),
            MicSpec::Device { id, channel: None } => id.clone(),
            MicSpec::Device { id, channel: Some(channel) } => format!("{id}, channel {channel}"),
        };
        let speaker = match &config.speaker {
            SpeakerSpec::Default => "system default".to_owned(),
            SpeakerSpec::Off => "off".to_owned(),
            SpeakerSpec::File(path) => file(path),
            SpeakerSpec::Device(id) => id.clone(),
        };
        let camera = match &config.camera {
            CameraSpec::Default => "first camera".to_owned(),
            CameraSpec::Test { width, height, .. } => format!("test picture {width}x{height}"),
            CameraSpec::Off => "off".to_owned(),
            CameraSpec::File(path) => file(path),
            CameraSpec::Device(id) => id.clone(),
        };
        Self {
            mics: Kind::new(mic, config.mic.clone()),
            speakers: Kind::new(speaker, config.speaker.clone()),
            cameras: Kind::new(camera, config.camera.clone()),
        }
    }

    /// What the system has is known now.
    pub fn take(&mut self, list: DeviceList) {
        let default = default_of(list.microphones.iter().map(|d| (&*d.name, d.default)));
        if !list.microphones.is_empty() {
            let chosen = self.mics.spec() == MicSpec::Default;
            self.mics.add(default, MicSpec::Default, chosen);
        }
        for device in list.microphones {
            let spec = MicSpec::Device { id: device.id, channel: None };
            let chosen = self.mics.spec() == spec;
            self.mics.add(device.name, spec, chosen);
        }
        if self.mics.entries.len() == 1 {
            // Who only looks around chooses here what an error says to try.
            self.mics.add("test sound".to_owned(), MicSpec::Test, false);
        }
        self.mics.add("off".to_owned(), MicSpec::Off, false);
        let default = default_of(list.speakers.iter().map(|d| (&*d.name, d.default)));
        if !list.speakers.is_empty() {
            let chosen = self.speakers.spec() == SpeakerSpec::Default;
            self.speakers.add(default, SpeakerSpec::Default, chosen);
        }
        for device in list.speakers {
            let spec = SpeakerSpec::Device(device.id);
            let chosen = self.speakers.spec() == spec;
            self.speakers.add(device.name, spec, chosen);
        }
        self.speakers.add("off".to_owned(), SpeakerSpec::Off, false);
        for device in list.cameras {
            let spec = CameraSpec::Device(device.id);
            let chosen = self.cameras.spec() == spec;
            self.cameras.add(device.name, spec, chosen);
        }
        if self.cameras.entries.len() == 1 {
            self.cameras.add("test picture".to_owned(), CameraSpec::TEST, false);
        }
        self.cameras.add("off".to_owned(), CameraSpec::Off, false);
    }

    /// Names and the chosen one, by [`Part`].
    pub fn shown(&self) -> [(Vec<String>, usize); 3] {
        [self.mics.shown(), self.speakers.shown(), self.cameras.shown()]
    }

    /// Another one; what is not there changes nothing.
    pub fn choose(&mut self, part: Part, index: usize) {
        let (count, chosen) = match part {
            Part::Microphone => (self.mics.entries.len(), &mut self.mics.chosen),
            Part::Speaker => (self.speakers.entries.len(), &mut self.speakers.chosen),
            Part::Camera => (self.cameras.entries.len(), &mut self.cameras.chosen),
        };
        if index < count {
            *chosen = index;
        }
    }

    /// What is chosen.
    pub fn chosen(&self) -> Chosen {
        Chosen {
            mic: self.mics.spec(),
            speaker: self.speakers.spec(),
            camera: self.cameras.spec(),
            measured: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::{CameraDevice, SoundDevice};

    fn sound(id: &str, name: &str, default: bool) -> SoundDevice {
        SoundDevice {
            id: id.into(),
            name: name.into(),
            default,
            channels: 2,
            rates: (48_000, 48_000),
            formats: vec![],
            smallest_period: None,
        }
    }

    fn choices(mic: MicSpec, camera: CameraSpec) -> Choices {
        Choices {
            mics: Kind::new("asked".into(), mic),
            speakers: Kind::new("asked".into(), SpeakerSpec::Off),
            cameras: Kind::new("asked".into(), camera),
        }
    }

    fn list() -> DeviceList {
        DeviceList {
            microphones: vec![sound("hw:0", "HDA", true), sound("hw:1", "Scarlett", false)],
            speakers: vec![],
            cameras: vec![CameraDevice {
                id: "/dev/video0".into(),
                name: "BRIO".into(),
                formats: vec![],
            }],
        }
    }

    #[test]
    fn what_was_asked_for_comes_first_and_off_last() {
        let mut all = choices(MicSpec::Test, CameraSpec::Default);
        all.take(list());
        let [mics, speakers, cameras] = all.shown();
        assert_eq!(mics.0, ["asked", "system default (HDA)", "HDA", "Scarlett", "off"]);
        assert_eq!(speakers.0, ["asked"], "off is there already");
        assert_eq!(cameras.0, ["asked", "BRIO", "off"]);
        all.choose(Part::Microphone, 3);
        all.choose(Part::Microphone, 77);
        all.choose(Part::Camera, 2);
        let scarlett = MicSpec::Device { id: "hw:1".into(), channel: None };
        let chosen = all.chosen();
        assert_eq!((chosen.mic, chosen.camera), (scarlett, CameraSpec::Off));
    }

    #[test]
    fn where_there_are_no_devices_a_dry_run_can_be_chosen() {
        let mut all = choices(MicSpec::Default, CameraSpec::Default);
        all.take(DeviceList { microphones: vec![], speakers: vec![], cameras: vec![] });
        let [mics, speakers, cameras] = all.shown();
        assert_eq!(mics.0, ["asked", "test sound", "off"]);
        assert_eq!(speakers.0, ["asked"]);
        assert_eq!(cameras.0, ["asked", "test picture", "off"]);
        all.choose(Part::Camera, 1);
        assert_eq!(Ok(all.chosen().camera), "test".parse());
        let mut dry = choices(MicSpec::Test, CameraSpec::Off);
        dry.take(DeviceList { microphones: vec![], speakers: vec![], cameras: vec![] });
        assert_eq!(dry.shown()[0].0, ["asked", "off"]);
    }

    #[test]
    fn a_device_that_was_asked_for_by_its_id_gets_its_name_and_stays_chosen() {
        let asked = MicSpec::Device { id: "hw:1".into(), channel: None };
        let mut all = choices(asked.clone(), CameraSpec::Off);
        all.take(list());
        let [mics, ..] = all.shown();
        assert_eq!((&*mics.0[0], mics.1), ("Scarlett", 0));
        assert_eq!(mics.0.iter().filter(|name| *name == "Scarlett").count(), 1);
        assert_eq!(all.chosen().mic, asked);
    }
}
