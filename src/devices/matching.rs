//! From what a person typed to one device: the id, the whole name, or a unique part of either.

use super::{DeviceError, What};

/// A device to choose from.
pub trait Named {
    /// What the flags take.
    fn id(&self) -> &str;
    /// What the system calls it. Several entries may share it: ways to reach the same device.
    fn name(&self) -> &str;
}

/// The entries that `wanted` means, the best way first; all of them have one name. Upper and lower
/// case are the same.
pub fn find<'a, T: Named>(
    what: What,
    wanted: &str,
    devices: &'a [T],
) -> Result<Vec<&'a T>, DeviceError> {
    if let Some(exact) = devices.iter().find(|d| d.id() == wanted) {
        return Ok(vec![exact]);
    }
    let folded = wanted.to_lowercase();
    let by = |fits: &dyn Fn(&T) -> bool| devices.iter().filter(|d| fits(d)).collect::<Vec<_>>();
    let mut found = by(&|d| d.name().to_lowercase() == folded);
    if found.is_empty() {
        // Without the sound system's prefix: "hw:1,0" for "alsa:hw:1,0".
        found = by(&|d| d.id().split_once(':').is_some_and(|(_, rest)| rest == wanted));
    }
    if found.is_empty() {
        found = by(&|d| d.name().to_lowercase().contains(&folded));
    }
    if found.is_empty() {
        found = by(&|d| d.id().to_lowercase().contains(&folded));
    }
    let Some(first) = found.first() else {
        return Err(DeviceError::NotFound {
            what,
            wanted: wanted.to_owned(),
            near: near(&folded, devices),
        });
    };
    if found.iter().any(|d| d.name() != first.name()) {
        let fits = found.iter().map(|d| format!("{} ({})", d.name(), d.id())).collect();
        return Err(DeviceError::Ambiguous { what, wanted: wanted.to_owned(), fits });
    }
    Ok(found)
}

/// Ids, the ones that share most with what was typed in front.
fn near<T: Named>(folded: &str, devices: &[T]) -> Vec<String> {
    let mut ranked: Vec<(usize, &T)> =
        devices.iter().map(|d| (shared(folded, &d.name().to_lowercase()), d)).collect();
    ranked.sort_by_key(|(shared, _)| std::cmp::Reverse(*shared));
    let mut ids: Vec<String> = Vec::new();
    for (_, d) in ranked {
        let text = format!("{} ({})", d.name(), d.id());
        if !ids.contains(&text) {
            ids.push(text);
        }
    }
    ids
}

/// How many pairs of neighbouring characters two words share.
fn shared(a: &str, b: &str) -> usize {
    let pairs = |s: &str| {
        let c: Vec<char> = s.chars().collect();
        c.windows(2).map(|w| (w[0], w[1])).collect::<Vec<_>>()
    };
    let b = pairs(b);
    pairs(a).iter().filter(|p| b.contains(p)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Entry(&'static str, &'static str);
    impl Named for Entry {
        fn id(&self) -> &str {
            self.0
        }
        fn name(&self) -> &str {
            self.1
        }
    }

    const LIST: [Entry; 5] = [
        Entry("alsa:default", "Default"),
        Entry("alsa:hw:CARD=USB,DEV=0", "Scarlett 2i2 USB"),
        Entry("alsa:plughw:CARD=USB,DEV=0", "Scarlett 2i2 USB"),
        Entry("alsa:hw:CARD=PCH,DEV=0", "HDA Intel PCH"),
        Entry("alsa:lab_mic", "Lab microphone 1"),
    ];

    fn ids(wanted: &str) -> Result<Vec<&'static str>, DeviceError> {
        find(What::Microphone, wanted, &LIST).map(|f| f.iter().map(|d| d.0).collect())
    }

    #[test]
    fn an_id_a_name_and_a_unique_part_in_any_case_all_find_it() {
        assert_eq!(ids("alsa:lab_mic"), Ok(vec!["alsa:lab_mic"]));
        assert_eq!(ids("lab_mic"), Ok(vec!["alsa:lab_mic"]));
        assert_eq!(ids("LAB MICRO"), Ok(vec!["alsa:lab_mic"]));
        assert_eq!(ids("intel"), Ok(vec!["alsa:hw:CARD=PCH,DEV=0"]));
    }

    #[test]
    fn two_ways_to_one_device_are_not_ambiguous() {
        assert_eq!(
            ids("scarlett"),
            Ok(vec!["alsa:hw:CARD=USB,DEV=0", "alsa:plughw:CARD=USB,DEV=0"])
        );
    }

    #[test]
    fn a_part_of_several_names_is_ambiguous_and_lists_them() {
        let Err(DeviceError::Ambiguous { fits, .. }) = ids("e") else { panic!("two names fit") };
        assert!(fits.iter().any(|f| f.contains("Intel")), "{fits:?}");
    }

    #[test]
    fn a_wrong_name_lists_the_nearest_first() {
        let Err(DeviceError::NotFound { near, .. }) = ids("Scarlet 3i3") else {
            panic!("nothing fits")
        };
        assert!(near[0].contains("Scarlett"), "{near:?}");
        assert_eq!(near.len(), LIST.len());
    }
}
