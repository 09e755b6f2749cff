//! The speaker callback asks the system for nothing: it runs here in a process that may only read,
//! write and exit, and that the system kills at any other call: a lock that waits, memory, a log.
//!
//! Linux's strict seccomp mode; other systems run the same code.

#![cfg(target_os = "linux")]

use hyperzoom::audio::{
    FRAME, MAX_AUDIO_PAYLOAD, TalkEncoder, TestSound, mixer, packet::PacketFlags,
    packet::write_packet,
};
use hyperzoom::units::Micros;

/// Blocks that the callback fills: 10 s of 10 ms.
const BLOCKS: u64 = 1_000;

fn said() -> Vec<Vec<u8>> {
    let (sound, mut encoder) = (TestSound::new(0), TalkEncoder::new(32_000).unwrap());
    let mut last = vec![1; 20];
    (0..200)
        .map(|n| {
            let (mut pcm, mut frame) = ([0.0; FRAME], [0; 128]);
            sound.fill(n * FRAME as u64, &mut pcm);
            let len = encoder.encode(&pcm, &mut frame).unwrap();
            let mut payload = vec![0; MAX_AUDIO_PAYLOAD];
            let flags = PacketFlags::default();
            let len = write_packet(flags, &[(1, &last)], &[&frame[..len]], &mut payload);
            payload.truncate(len);
            last = frame[..20].to_vec();
            payload
        })
        .collect()
}

#[test]
fn the_speaker_callback_makes_no_system_call_whatever_the_network_does() {
    let said = said();
    let (mut mixer, mut feeds) = mixer(3).unwrap();
    feeds.iter_mut().for_each(|feed| feed.restart());
    let mut out = vec![0.0f32; 480];
    let mut render = |blocks: std::ops::Range<u64>| {
        for block in blocks {
            let now = Micros(block as i64 * 10_000);
            for number in [2 * block, 2 * block + 1] {
                for (peer, feed) in feeds.iter_mut().enumerate() {
                    // Lost ones, a second without any, another stream, damaged ones.
                    let away = (900..1_100).contains(&number);
                    if !(number + peer as u64).is_multiple_of(13) && !away {
                        let payload = &said[number as usize % said.len()];
                        feed.push(number, now, payload);
                        feed.push(number, now, &payload[..payload.len() / 2]);
                    }
                }
            }
            if block == 700 {
                feeds[1].stop();
                feeds[2].restart();
            }
            // A card with a period, and one that is written when it must be.
            if block % 400 < 200 {
                mixer.render(&mut out, now);
            } else {
                let mut filled = 0;
                while filled < out.len() {
                    let due = now + filled as i64 * 1_000_000 / 48_000;
                    filled += mixer.render_due(&mut out[filled..], 4, due);
                }
            }
        }
    };
    // Pages that are touched the first time, and lazily bound symbols, are the loader's business.
    render(0..50);

    // SAFETY: the child has this thread only, touches memory that exists already, and makes no call
    // but those named here until it exits.
    let status = unsafe {
        let child = libc::fork();
        assert!(child >= 0, "fork");
        if child == 0 {
            let strict = libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_STRICT, 0, 0, 0);
            if strict != 0 {
                libc::_exit(77);
            }
            render(50..BLOCKS);
            // `_exit` ends the group, which strict mode does not know.
            libc::syscall(libc::SYS_exit, 42);
        }
        let mut status = 0;
        assert_eq!(libc::waitpid(child, &mut status, 0), child);
        status
    };
    assert!(libc::WIFEXITED(status), "a system call killed the callback: {status:#x}");
    let code = libc::WEXITSTATUS(status);
    assert!(code == 42 || code == 77, "exit {code}");
    if code == 77 {
        eprintln!("this system does not let a process restrict itself; nothing was shown");
    }
}
