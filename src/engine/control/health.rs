//! What a member tells of its own recording: how it is, and when the others have to hear of it.
//! The person in trouble may not be looking at the screen; somebody else is.

use crate::protocol::control::Status;
use crate::ui::model::PeerHealth;
use crate::ui::notice::Notice;

/// Less free space than this is told to the others, MiB: some minutes of 1080p.
const LITTLE_SPACE_MB: u32 = 2_000;

/// For the screen and for scripts.
pub fn health(status: &Status) -> PeerHealth {
    PeerHealth {
        recording: status.recording,
        dropped: status.dropped,
        disk_left_mb: status.disk_left_mb,
        little_space: is_little(status),
        clipping: status.clipping,
    }
}

fn is_little(status: &Status) -> bool {
    status.recording && status.disk_left_mb.is_some_and(|left| left < LITTLE_SPACE_MB)
}

/// What is wrong with a member's recording, for as long as it is; the worst. `recorded`: it had begun.
pub fn trouble(name: &str, recorded: bool, status: &Status) -> Option<String> {
    match (status.recording, status.disk_left_mb, status.dropped) {
        (false, Some(left), _) if recorded && left < LITTLE_SPACE_MB => {
            Some(format!("{name}'s recording has stopped: {left} MB are left on its disk"))
        }
        (false, ..) if recorded => Some(format!("{name}'s recording has stopped or fails")),
        (_, Some(left), _) if is_little(status) => {
            Some(format!("{name}'s disk has {left} MB left for the recording"))
        }
        (.., lost @ 1..) => Some(format!("{name}'s recording lost {lost} pictures")),
        _ => None,
    }
}

/// What has become worse since the last heartbeat.
pub fn troubles(name: &str, before: &Status, now: &Status) -> Vec<Notice> {
    let mut list = Vec::new();
    if before.recording && !now.recording {
        list.push(Notice::PeerNotRecording { name: name.to_owned() });
    }
    if now.dropped > before.dropped {
        let lost = now.dropped - before.dropped;
        list.push(Notice::PeerDropped { name: name.to_owned(), lost });
    }
    if is_little(now) && !is_little(before) {
        let left = now.disk_left_mb.unwrap_or(0);
        list.push(Notice::PeerLittleSpace { name: name.to_owned(), left });
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    fn well() -> Status {
        Status { recording: true, disk_left_mb: Some(50_000), ..Status::default() }
    }

    #[test]
    fn what_gets_worse_is_told_once_and_what_gets_better_is_not() {
        let tell = |before: &Status, now: &Status| -> Vec<String> {
            troubles("Ben", before, now).iter().map(|trouble| trouble.told().what).collect()
        };
        let idle = Status::default();
        assert!(tell(&idle, &well()).is_empty() && tell(&well(), &well()).is_empty());
        assert_eq!(tell(&well(), &idle), ["Ben's recording has stopped or fails"]);
        let lossy = Status { dropped: 3, ..well() };
        assert_eq!(tell(&well(), &lossy), ["Ben's recording lost 3 pictures"]);
        let full = Status { disk_left_mb: Some(900), ..well() };
        assert_eq!(tell(&well(), &full), ["Ben's disk has 900 MB left for the recording"]);
        // Once, and not for who does not record.
        assert!(tell(&full, &Status { disk_left_mb: Some(800), ..well() }).is_empty());
        assert!(tell(&idle, &Status { recording: false, ..full.clone() }).is_empty());
        assert!(tell(&full, &well()).is_empty());
        assert!(health(&full).little_space && !health(&well()).little_space);
    }

    #[test]
    fn a_trouble_stands_for_as_long_as_it_lasts_and_who_has_not_begun_has_none() {
        let stands = |recorded, status: &Status| trouble("Ben", recorded, status);
        let idle = Status::default();
        assert_eq!([stands(false, &idle), stands(true, &well())], [None, None]);
        let text = |status: &Status| stands(true, status).unwrap();
        assert_eq!(text(&idle), "Ben's recording has stopped or fails");
        let full = Status { disk_left_mb: Some(190), ..idle.clone() };
        assert_eq!(text(&full), "Ben's recording has stopped: 190 MB are left on its disk");
        assert_eq!(stands(false, &full), None);
        let fills = Status { disk_left_mb: Some(900), dropped: 2, ..well() };
        assert_eq!(text(&fills), "Ben's disk has 900 MB left for the recording");
        assert_eq!(text(&Status { dropped: 2, ..well() }), "Ben's recording lost 2 pictures");
    }
}
