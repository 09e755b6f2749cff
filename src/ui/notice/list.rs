//! The list itself. Order: recording, disk, devices, network and call, safety tracks, the rest.

use std::path::PathBuf;

use super::{Severity, Told, notices};

fn path() -> PathBuf {
    "~/HyperZoom/recordings/2026-05-04_12-00-00_session/local_recording.mp4".into()
}

fn why() -> String {
    "Input/output error".to_owned()
}

notices! {
    /// The file lacks something from here on.
    Error RecordingIncomplete {
        /// What happened.
        why: String = "the disk is almost full, so it ends here, complete up to now".to_owned(),
    }
    "recording-incomplete"
    "the recording is not complete: {why}"
    "check the disk and --output; what is in the file is valid, and the call goes on"
    "The disk is full or fails, its folder was deleted or moved, or an encoder failed. The file is \
     ended properly as far as it got; the program's exit code is 5."

    /// A file that could not be closed.
    Error NotEnded {
        /// The file.
        path: String = path().display().to_string(),
    }
    "recording-not-ended"
    "{path} could not be ended; all but its last third of a second plays"
    "when its disk can be written again: hyperzoom recover '{path}'"
    "The disk was full or failed when the file was to be closed. What was recorded is in it."

    /// A file that is there and does not read back.
    Error NotReadBack {
        /// The file.
        path: String = path().display().to_string(),
        /// The reader's words.
        why: String = why(),
    }
    "recording-unreadable"
    "{path} does not read back: {why}"
    "keep the file: every whole second in it can be recovered"
    "Each finished file is read once before the program says that all is well. The disk gave back \
     something else than was written to it, or nothing."

    /// The counts do not agree.
    Error CountsDiffer {
        /// In the files.
        found: u64 = 899,
        /// Encoded.
        expected: u64 = 900,
    }
    "recording-counts"
    "the files hold {found} pictures, {expected} were to be written"
    "keep the files and report this"
    "The program compares what it wrote with what it finds in the file. A difference is a fault of \
     the program."

    /// The recorder's ring was full.
    Error SamplesLost
    "samples-lost"
    "the recorder could not take samples for ten seconds; some were lost"
    "close other programs; the machine is overloaded"
    "Between the microphone and the recorder there is room for ten seconds of sound. The recorder's \
     thread got no processor time for longer than that."

    /// A picture behind its place.
    Error PictureLate
    "picture-late"
    "a picture came more than half a second late: its place in the file was taken"
    "close other programs; the machine or the camera stalls"
    "The recording waits half a second for late pictures. The camera's driver, its USB hub or the \
     whole machine stood still for longer."

    /// A picture that does not decode.
    Warning PictureDamaged {
        /// The decoder's words.
        why: String = "the JPEG is damaged".to_owned(),
    }
    "picture-damaged"
    "the camera sent a damaged picture ({why}); the one before stands for it"
    "check the camera's cable or another USB port"
    "A picture was cut or changed on its way from the camera: a bad cable, a hub that gives too \
     little power, or a bus that is full."

    /// Live video makes room.
    Warning EncoderBehind
    "encoder-behind"
    "the recording's encoder is behind; live video makes room for it"
    "close other programs or record a smaller picture; nothing is lost"
    "The processor is too slow, too hot or too busy to encode this size in real time. Live video \
     goes first, then the encoder works less hard, then pictures wait on the disk."

    /// Pictures wait on the disk.
    Warning PicturesOnDisk
    "pictures-on-disk"
    "the encoder is far behind; waiting pictures go to a scratch file on the disk"
    "close other programs or record a smaller picture; nothing is lost"
    "As encoder-behind, for longer: pictures that memory has no room for are kept in a scratch file \
     until the encoder comes to them."

    /// Pictures are squeezed in memory.
    Warning PicturesSqueezed
    "pictures-squeezed"
    "the encoder is far behind and the disk is slow; waiting pictures are squeezed"
    "close other programs, or free the disk; nothing is lost"
    "Neither encoder nor disk takes pictures as fast as they come. They are compressed in memory, \
     with a little less detail, until one of them does."

    /// Memory runs short.
    Error MemoryShort {
        /// What waits, MiB.
        mib: u64 = 512,
    }
    "memory-short"
    "more than {mib} MiB of pictures wait in memory, and neither encoder nor disk takes them"
    "close other programs now, free the disk, or end the recording; nothing is lost yet"
    "The machine has not kept up for a long time. Pictures still go into memory."

    /// The recording's folder is elsewhere now.
    Warning RecordingMoved {
        /// Where to.
        path: String = path().display().to_string(),
    }
    "recording-moved"
    "the recording is now {path}"
    "move session_metadata.json and sync_timecodes.txt there, too"
    "Its folder was moved while it was being recorded; the file went on in its new place."

    /// A deleted file was written again.
    Warning RecordingSavedAgain {
        /// Where.
        path: String = path().display().to_string(),
    }
    "recording-saved-again"
    "what was recorded was saved again: {path}"
    "nothing to do; do not delete folders that are being recorded to"
    "The file was deleted while it was being recorded. It was still open, so it could be copied to \
     its old place."

    /// It could not.
    Error RecordingDeleted {
        /// The system's words.
        why: String = why(),
    }
    "recording-deleted"
    "what was recorded could not be saved again: {why}"
    "nothing can be done; do not delete folders that are being recorded to"
    "The file was deleted while it was being recorded, and the disk had no room for it, or the \
     system gave no access to what was still open."

    /// The second track.
    Error RawTrackEnds {
        /// The system's words.
        why: String = why(),
    }
    "raw-track-ends"
    "the raw microphone track ends here: {why}"
    "check the disk; the recording itself goes on"
    "The disk refused the file of --raw-audio: it is full, read-only or failing."

    /// The JSON beside the recording.
    Warning MetadataUnwritable {
        /// The system's words.
        why: String = why(),
    }
    "metadata-unwritable"
    "cannot write the session's metadata: {why}"
    "the recording itself goes on; check the disk"
    "The disk refused session_metadata.json or sync_timecodes.txt."

    /// The writer waits.
    Warning DiskSilent
    "disk-silent"
    "the disk does not answer; what is recorded waits in memory"
    "check the disk and its cable; nothing is lost yet"
    "A write has not come back for seconds: a disk that sleeps, a network folder without network, a \
     loose cable."

    /// Less than 20 GB.
    Warning DiskLittleSpace {
        /// Free, 1e9 bytes.
        gigabytes: String = "12.5".to_owned(),
        /// Where.
        folder: String = "~/HyperZoom/recordings".to_owned(),
    }
    "disk-little-space"
    "only {gigabytes} GB are free in {folder}"
    "an hour at 1080p takes about 8 GB: free space, or choose another folder with --output"
    "The output folder's disk has less than 20 GB left at the start."

    /// Samples missing or too many at a device.
    Warning DeviceXrun {
        /// Which.
        device: String = "microphone".to_owned(),
        /// Since it was opened.
        total: u64 = 3,
    }
    "device-xrun"
    "the {device} ran dry or over ({total} times so far)"
    "close other programs; more is kept in hand by and by, unless --period pins it"
    "The sound system was not served in time: other programs, power saving, or a period that is too \
     short for this machine."

    /// Nothing but silence.
    Warning MicrophoneSilent
    "microphone-silent"
    "the microphone has given nothing at all for five seconds"
    "look at its switch, choose another with --mic (hyperzoom devices), and let this program use it: macOS: Privacy & \
     Security > Microphone, for the terminal; Windows: Privacy > Microphone, for desktop apps"
    "Not even the noise of a room comes from it: it is switched off, another one is meant, or the system gives \
     programs silence until it is allowed to listen."

    /// More in hand.
    Information DeviceReserve {
        /// Which.
        device: String = "speaker".to_owned(),
        /// In hand, milliseconds.
        ms: String = "2.5".to_owned(),
    }
    "device-reserve"
    "the {device} keeps {ms} ms in hand now"
    "nothing to do; with other programs closed it is taken back in time"
    "It ran dry several times, so that a little more delay is spent on safety."

    /// Another period.
    Warning DevicePeriod {
        /// Which.
        device: String = "speaker".to_owned(),
        /// Frames.
        frames: u32 = 128,
        /// Hertz.
        rate: u32 = 48_000,
    }
    "device-period"
    "the {device} runs in periods of {frames} frames at {rate} Hz now"
    "nothing to do; --period pins another length"
    "The shorter period was too short for this machine."

    /// The system's way.
    Warning DeviceFallback {
        /// Which.
        device: String = "speaker".to_owned(),
        /// Frames.
        frames: u32 = 256,
        /// Hertz.
        rate: u32 = 48_000,
    }
    "device-fallback"
    "the {device} runs as the system does it now, {frames} frames at {rate} Hz"
    "nothing to do; start with --sound system to have it so from the start"
    "The shortest way to the sound card was refused or stumbled: another program uses it, or its \
     driver cannot do it."

    /// Unplugged.
    Warning DeviceLost {
        /// Which.
        device: String = "camera".to_owned(),
        /// The system's words.
        why: String = "it was unplugged".to_owned(),
    }
    "device-lost"
    "the {device} is gone ({why})"
    "the call and the recording go on; plug it in again and it is taken back"
    "It was unplugged, its driver failed, the computer slept, or another program took it. The \
     recording has silence, or the last picture, until it is back."

    /// Back again.
    Information DeviceReturned {
        /// Which.
        device: String = "camera".to_owned(),
    }
    "device-returned"
    "the {device} is back"
    "nothing to do"
    "A device that was gone was found again, and is used again."

    /// The end of a file that plays a device.
    Warning FileEnded {
        /// What it plays.
        device: String = "microphone".to_owned(),
    }
    "file-ended"
    "the file that plays the {device} is over"
    "start with --loop-files to have it start over"
    "A file: device was played to its end."

    /// Such a file fails.
    Warning FileFailed {
        /// What it plays.
        device: String = "speaker".to_owned(),
        /// The system's words.
        why: String = why(),
    }
    "file-failed"
    "the file that plays the {device} failed ({why})"
    "check the disk; the call and the recording go on"
    "A file: device could not be read or written any further."

    /// From the last time.
    Information AvOffsetRemembered {
        /// Milliseconds.
        ms: String = "40".to_owned(),
        /// Earlier or later.
        way: &'static str = "later",
        /// The camera.
        camera: String = "USB camera".to_owned(),
    }
    "av-offset-remembered"
    "the picture is recorded {ms} ms {way}, from last time with {camera}"
    "start with --av-offset 0 to forget it"
    "The camera's delay was measured (doctor --clap) or given (--av-offset) in an earlier run and is \
     kept for each camera."

    /// Cannot be kept.
    Warning AvOffsetNotKept {
        /// The system's words.
        why: String = why(),
    }
    "av-offset-not-kept"
    "--av-offset holds for this time only, it cannot be kept: {why}"
    "give it again the next time"
    "The program's folder for such notes cannot be written."

    /// No call came about.
    Error NoCall {
        /// Why.
        what: String = "nobody answered".to_owned(),
        /// What to do.
        remedy: String =
            "check the address and that the host is running and its UDP port reachable".to_owned(),
    }
    "no-call"
    "{what}"
    "{remedy}"
    "The host did not answer or did not let this guest in: a wrong address, a router that does not \
     forward, a firewall or VPN that drops UDP, an old invite, a full call, a person who said no. \
     The program's exit code is 3; the refusals are listed below."

    /// The call is over, the recording is not.
    Warning CallLost {
        /// Why.
        why: String = "nobody answered".to_owned(),
    }
    "call-lost"
    "the call is lost for good ({why})"
    "the recording goes on; end it when you are done, or end and join again"
    "The way to all others was gone for more than ten minutes, or the host ended another way than \
     by its end key. Shorter cuts heal by themselves."

    /// A thread's fault.
    Error ProgramFault
    "program-fault"
    "the call ended by a fault of the program"
    "please report this"
    "A part of the program stopped. The recording was ended as well as possible; hyperzoom verify \
     and hyperzoom recover tell and mend."

    /// The control thread.
    Error ControlFailed {
        /// The system's words.
        why: String = why(),
    }
    "control-failed"
    "the control thread cannot start: {why}"
    "try again"
    "The system refused a timer: too many programs or too little memory."

    /// The control thread's fault.
    Error ControlFault
    "control-fault"
    "the part of the program that keeps the call together has failed"
    "the recording goes on; end it when you are done and join again, and please report this"
    "A fault of the program. Sound goes on between members that hear each other already; nobody can \
     join any more, pictures stop, and a way that breaks is not replaced."

    /// No picture of a peer.
    Warning PeerWithoutPicture {
        /// Why.
        why: String = "cannot start thread hz-view-1".to_owned(),
    }
    "peer-without-picture"
    "{why}"
    "the call goes on without a picture"
    "A decoder or its thread did not start for a participant's live picture."

    /// A member's recording has stopped.
    Warning PeerNotRecording {
        /// Who.
        name: String = "Ben".to_owned(),
    }
    "peer-not-recording"
    "{name}'s recording has stopped or fails"
    "ask {name} to read their screen; yours goes on"
    "Each member tells the others how its recording does. That member's disk is full or failing, or \
     the person ended it."

    /// A member's recording lost pictures.
    Warning PeerDropped {
        /// Who.
        name: String = "Ben".to_owned(),
        /// How many.
        lost: u32 = 3,
    }
    "peer-dropped"
    "{name}'s recording lost {lost} pictures"
    "ask {name} to close other programs"
    "That member's machine could not keep up with its own recording."

    /// A member's disk fills.
    Warning PeerLittleSpace {
        /// Who.
        name: String = "Ben".to_owned(),
        /// MB left.
        left: u32 = 900,
    }
    "peer-little-space"
    "{name}'s disk has {left} MB left for the recording"
    "ask {name} to make room"
    "That member's disk is full in some minutes; its recording then ends by itself, complete up to \
     that point."

    /// An id that nobody has.
    Warning NobodyWithId {
        /// As asked for.
        id: u8 = 3,
    }
    "nobody-with-id"
    "nobody with id {id} is in the call"
    "the stats events list the ids of those who are"
    "A command named a participant who has left or never was there."

    /// A knock that is over.
    Warning KnockOver {
        /// Its number.
        knock: u32 = 7,
    }
    "knock-over"
    "nobody waits with the number {knock}"
    "ask the guest to knock again; a knock is over after a minute"
    "The guest gave up, was answered already, or a minute has passed."

    /// Somebody who cannot be removed here.
    Warning CannotRemove {
        /// Who.
        id: u8 = 2,
        /// What to do.
        remedy: String = "look up the id in the list of participants".to_owned(),
    }
    "cannot-remove"
    "participant {id} cannot be removed"
    "{remedy}"
    "Only the member who lets guests in can remove one, and only one who is in the call."

    /// A guest who cannot come in.
    Warning GuestTurnedAway {
        /// Where from.
        address: String = "203.0.113.9:50000".to_owned(),
        /// Why.
        why: &'static str = "the call is full",
        /// What to do.
        remedy: &'static str = "somebody has to leave first",
    }
    "guest-turned-away"
    "a guest at {address} could not join: {why}"
    "{remedy}"
    "Four are in the call already, the guest's program speaks another version or has other codecs, \
     or the date of one of the computers is wrong."

    /// Port mapping cannot run.
    Warning PortMappingOff {
        /// The system's words.
        why: String = why(),
        /// The UDP port.
        port: u16 = 7000,
    }
    "port-mapping-off"
    "port mapping cannot start: {why}"
    "forward UDP port {port} on the router by hand"
    "The system refused a socket or a thread to talk to the router with."

    /// The router opens nothing.
    Warning PortNotMapped {
        /// Why.
        why: String = "no router answered".to_owned(),
        /// The UDP port.
        port: u16 = 7000,
    }
    "port-not-mapped"
    "guests from outside cannot reach this computer yet: {why}"
    "forward UDP port {port} on the router to this computer and start with --public ADDRESS, or let \
     another one host; guests in this network can join"
    "The router knows neither UPnP, NAT-PMP nor PCP, has them switched off, or is slow (it is asked \
     on); a VPN or a firewall stands between; or --no-port-mapping was given without --public."

    /// The router does not take a port back.
    Warning PortLeftOpen {
        /// The UDP port on the router.
        port: u16 = 7000,
        /// Until when.
        until: &'static str = "the router closes it by itself within ten minutes",
    }
    "port-left-open"
    "the router did not confirm that UDP port {port} is closed again"
    "{until}; nothing listens behind it"
    "The router does not answer, or the network is another one than at the start. The end of a call \
     waits for it for a second and a half at most."

    /// A router behind a router, a provider's NAT, or one that keeps its address for itself.
    Warning RouterNotPublic {
        /// What it is.
        what: String =
            "the router's own address is a private one: another router stands in front of it"
                .to_owned(),
        /// What to do.
        remedy: String = "forward UDP port 7000 on the outer router, too, or switch the inner one to \
                          bridge mode"
            .to_owned(),
    }
    "router-not-public"
    "{what}"
    "{remedy}"
    "The router opened the port, but its outer address is not one that the internet reaches: two \
     routers in a row, a provider that shares addresses (carrier-grade NAT), or a router that does \
     not tell its address."

    /// The window did not start.
    Warning WindowNotStarted {
        /// Why.
        why: String = "no X server answers at :7".to_owned(),
    }
    "window-not-started"
    "the preview window did not start: {why}"
    "the call goes on without it; press w to try again"
    "There is no X11 or Wayland display here (ssh, a server), it lets this program not in, or its \
     libraries are missing."

    /// The window is gone.
    Warning WindowEnded {
        /// Its last words.
        why: String = "its display went away".to_owned(),
    }
    "window-ended"
    "the preview window ended: {why}"
    "the call goes on; press w to open it again"
    "The window is a process of its own. It was killed, or its display went away."

    /// A safety track that ends.
    Warning SafetyTrackEnds {
        /// Whose.
        name: String = "Ben".to_owned(),
        /// Why.
        why: String = why(),
    }
    "safety-track-ends"
    "the safety track of {name} ends here: {why}"
    "nothing is missing in your own recording; check the disk"
    "The disk refused a file of what was heard of the others."

    /// A safety track whose file is gone.
    Warning SafetyTrackGone {
        /// Where it was.
        path: String = "~/HyperZoom/recordings/2026-05-04_12-00-00_session/remote_audio_Ben.mp4".to_owned(),
    }
    "safety-track-gone"
    "{path} was deleted or moved while it was written"
    "nothing can be done; do not delete folders that are being recorded to"
    "Somebody or something moved the folder of the safety tracks during the call."

    /// A safety track that could not be closed.
    Warning SafetyTrackNotEnded {
        /// The file.
        path: String = "~/HyperZoom/recordings/2026-05-04_12-00-00_session/remote_audio_Ben.mp4".to_owned(),
        /// The system's words.
        why: String = why(),
    }
    "safety-track-not-ended"
    "{path} could not be ended: {why}"
    "when its disk can be written again: hyperzoom recover '{path}'"
    "The disk was full or failed when the track was to be closed. What was heard is in it."

    /// Packets that the safety tracks lack.
    Warning SafetyPacketsMissing {
        /// How many.
        packets: u64 = 12,
    }
    "safety-packets-missing"
    "the disk is slow: {packets} packets of the others' sound are not in their safety tracks"
    "nothing to do: your own recording lacks nothing"
    "Safety tracks are the first to give way when the disk is slow."

    /// No safety tracks at all.
    Warning NoSafetyTracks {
        /// Why.
        why: String = why(),
    }
    "no-safety-tracks"
    "there are no safety tracks: {why}"
    "the call and your own recording go on without them"
    "Their folder or their thread could not be made."

    /// A recording of an earlier run.
    Warning Unfinished {
        /// The file or folder.
        path: String = path().display().to_string(),
        /// What to type.
        command: String = format!("hyperzoom recover {}", path().display()),
    }
    "recording-unfinished"
    "a recording of an earlier run was not ended: {path}"
    "{command}"
    "The computer lost power, or the program was killed. All but the last third of a second is in \
     the file; recovering adds what there is of that."

    /// Many of them.
    Warning ManyUnfinished {
        /// How many.
        count: usize = 9,
        /// What to type.
        command: String = "hyperzoom recover ~/HyperZoom/recordings".to_owned(),
    }
    "recordings-unfinished"
    "{count} recordings of earlier runs were not ended"
    "{command}"
    "As recording-unfinished, several times."

    /// It was not recovered.
    Warning NotRecovered {
        /// The file.
        path: String = path().display().to_string(),
        /// Why.
        why: String = "the disk is full".to_owned(),
    }
    "not-recovered"
    "{path} was not recovered: {why}"
    "it stays as it is; hyperzoom recover tries again"
    "The dashboard's offer to recover an earlier recording met a disk that is full or read-only, or \
     a file that holds nothing."

    /// The thread that recovers.
    Warning RecoveryNotStarted {
        /// The system's words.
        why: String = "cannot start thread hz-recover".to_owned(),
    }
    "recovery-not-started"
    "{why}"
    "the command hyperzoom recover does the same"
    "The system refused a thread."

    /// A line of commands that is none.
    Warning UnknownCommand {
        /// What is wrong with it.
        what: String = "a line on standard input is no command: unknown variant `dance`".to_owned(),
        /// What to do.
        remedy: String = crate::ui::inputs::how_to_command(),
    }
    "unknown-command"
    "{what}"
    "{remedy}"
    "A line on standard input (--json) was not understood; the call goes on. docs/commands.schema.json \
     has them all."
}
