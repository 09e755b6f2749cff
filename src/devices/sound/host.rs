//! The system's microphones and speakers: what there is and which one a flag means.

use cpal::traits::{DeviceTrait, HostTrait};

use crate::devices::matching::{self, Named};
use crate::devices::{DeviceError, What};

/// One way to reach a device.
pub struct Entry {
    /// cpal's handle.
    pub device: cpal::Device,
    /// What the flags take.
    pub id: String,
    /// What the system calls it.
    pub name: String,
    /// The system's default of its direction.
    pub default: bool,
}

impl Named for Entry {
    fn id(&self) -> &str {
        &self.id
    }
    fn name(&self) -> &str {
        &self.name
    }
}

/// All of one direction, ways to the same device in the order in which they should be tried.
/// Opens nothing.
pub fn entries(what: What) -> Vec<Entry> {
    quiet();
    let host = cpal::default_host();
    let input = what == What::Microphone;
    let default = if input { host.default_input_device() } else { host.default_output_device() };
    let default_id = default.and_then(|d| d.id().ok());
    let Ok(devices) = host.devices() else { return Vec::new() };
    let mut list: Vec<Entry> = devices
        .filter(|d| if input { d.supports_input() } else { d.supports_output() })
        .filter_map(|device| {
            let id = device.id().ok()?;
            if alias(id.id()) {
                return None;
            }
            let name =
                device.description().map_or_else(|_| id.to_string(), |d| d.name().to_owned());
            let default = default_id.as_ref() == Some(&id);
            Some(Entry { device, id: id.to_string(), name, default })
        })
        .collect();
    // Stable, so that the system's order stays otherwise.
    list.sort_by_key(|e| (!e.default, way(&e.id)));
    list
}

/// What a flag means, the best way first; without a name the system's default.
pub fn resolve(what: What, wanted: Option<&str>) -> Result<Vec<Entry>, DeviceError> {
    let Some(wanted) = wanted else {
        quiet();
        let host = cpal::default_host();
        let device = match what {
            What::Microphone => host.default_input_device(),
            _ => host.default_output_device(),
        };
        let device = device.ok_or(DeviceError::None { what })?;
        let id = device.id().map_or_else(|_| "default".to_owned(), |id| id.to_string());
        // ALSA's default has no description before it is looked up in the list.
        let named = entries(what).into_iter().find(|e| e.id == id).map(|e| e.name);
        let name = named
            .or_else(|| device.description().ok().map(|d| d.name().to_owned()))
            .unwrap_or_else(|| format!("default {what}"));
        return Ok(vec![Entry { device, id, name, default: true }]);
    };
    let mut list = entries(what);
    let keep: Vec<String> =
        matching::find(what, wanted, &list)?.into_iter().map(|e| e.id.clone()).collect();
    list.retain(|e| keep.contains(&e.id));
    Ok(list)
}

// ALSA offers each card under a dozen names. These repeat a device that is listed anyway, or are
// no device at all.
fn alias(id: &str) -> bool {
    const ALIASES: [&str; 19] = [
        "null",
        "sysdefault",
        "front",
        "rear",
        "center_lfe",
        "side",
        "surround",
        "iec958",
        "spdif",
        "dmix",
        "dsnoop",
        "dshare",
        "lavrate",
        "samplerate",
        "speexrate",
        "speex",
        "upmix",
        "vdownmix",
        "usbstream",
    ];
    if !cfg!(target_os = "linux") {
        return false;
    }
    let kind = id.split(':').next().unwrap_or(id);
    // Cards by number are the same as cards by name, and change with the order of plugging.
    let by_number = id
        .split_once("CARD=")
        .is_some_and(|(_, rest)| rest.starts_with(|c: char| c.is_ascii_digit()));
    ALIASES.iter().any(|a| kind == *a || (*a == "surround" && kind.starts_with(a))) || by_number
}

// Straight to the hardware first: least delay, and no resampling but ours. `plughw` helps with
// formats that cpal does not know, as packed 24 bits.
fn way(id: &str) -> u8 {
    match id.split(':').nth(1) {
        Some("hw") => 0,
        Some("plughw") => 1,
        _ => 2,
    }
}

// alsa-lib prints every failed look-up on standard error, in the middle of our screen.
#[cfg(target_os = "linux")]
fn quiet() {
    use std::ffi::{c_char, c_int, c_void};
    use std::sync::Once;

    unsafe extern "C" {
        fn snd_lib_error_set_handler(handler: *const c_void) -> c_int;
    }
    unsafe extern "C" fn ignore(
        _file: *const c_char,
        _line: c_int,
        _function: *const c_char,
        _error: c_int,
        _format: *const c_char,
    ) {
    }
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: alsa-lib calls it with these five arguments and more; on every Linux ABI the
        // caller of a variadic function cleans up, so ignoring the rest is sound.
        unsafe { snd_lib_error_set_handler(ignore as *const c_void) };
    });
}

#[cfg(not(target_os = "linux"))]
fn quiet() {}

/// A cpal error in our words.
pub fn error(what: What, name: &str, e: &cpal::Error) -> DeviceError {
    use cpal::ErrorKind as K;
    let name = name.to_owned();
    let why = e.to_string();
    match e.kind() {
        K::DeviceBusy => DeviceError::Busy { what, name },
        K::PermissionDenied => DeviceError::Refused { what, name, why },
        K::UnsupportedConfig | K::UnsupportedOperation | K::InvalidInput => {
            DeviceError::Format { what, name, why }
        }
        K::HostUnavailable => DeviceError::None { what },
        _ => DeviceError::Failed { what, name, why },
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn alsas_many_names_for_one_card_are_reduced_to_the_direct_ones() {
        for gone in ["null", "sysdefault:CARD=PCH", "surround51:CARD=PCH,DEV=0", "hw:CARD=0,DEV=0"]
        {
            assert!(alias(gone), "{gone}");
        }
        for kept in ["default", "pipewire", "hw:CARD=PCH,DEV=0", "plughw:CARD=USB,DEV=0", "lab_mic"]
        {
            assert!(!alias(kept), "{kept}");
        }
        assert!(way("alsa:hw:CARD=A") < way("alsa:plughw:CARD=A"));
    }
}
