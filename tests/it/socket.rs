//! The call's socket over loopback.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use hyperzoom::net::{CallSocket, Class};
use hyperzoom::platform::clock;

const LIMIT: Duration = Duration::from_secs(10);

fn v4(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

#[test]
fn an_ipv4_peer_is_seen_under_its_ipv4_address_and_answered_there() {
    let dual = CallSocket::bind(None, 0).expect("a free port");
    let peer = CallSocket::bind(Some(v4(0)), 0).expect("a free port");
    let mut buffer = [0; 64];
    for class in [Class::Audio, Class::Other] {
        assert!(peer.send(v4(dual.local_addr().port()), b"to the host", class).expect("sends"));
        let got = dual.recv(&mut buffer, LIMIT).expect("works").expect("arrives");
        assert_eq!(&buffer[..got.len], b"to the host");
        assert_eq!(got.from, peer.local_addr());
        assert!(dual.send(got.from, b"back", class).expect("sends"));
        let got = peer.recv(&mut buffer, LIMIT).expect("works").expect("arrives");
        assert_eq!(&buffer[..got.len], b"back");
        assert_eq!(got.from, v4(dual.local_addr().port()));
    }
}

#[test]
fn arrival_lies_between_sending_and_reading() {
    let a = CallSocket::bind(Some(v4(0)), 0).expect("a free port");
    let b = CallSocket::bind(None, 0).expect("a free port");
    let to = v4(b.local_addr().port());
    let mut buffer = [0; 64];
    for n in 0..100u8 {
        let before = clock::now();
        assert!(a.send(to, &[n], Class::Audio).expect("sends"));
        let got = b.recv(&mut buffer, LIMIT).expect("works").expect("arrives");
        let after = clock::now();
        // Reading two clocks side by side costs some microseconds of certainty.
        assert!(got.arrival.since(before) > -500, "{}", got.arrival.since(before));
        assert!(after.since(got.arrival) > -500, "{}", after.since(got.arrival));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn the_stamp_is_the_kernels_and_not_the_moment_of_reading() {
    let a = CallSocket::bind(Some(v4(0)), 0).expect("a free port");
    let b = CallSocket::bind(Some(v4(0)), 0).expect("a free port");
    for n in 0..50u8 {
        assert!(a.send(b.local_addr(), &[n], Class::Other).expect("sends"));
    }
    // They all lie in the socket's buffer by now; reading starts here.
    let reading = clock::now();
    let mut buffer = [0; 64];
    let mut last = None;
    for n in 0..50u8 {
        let got = b.recv(&mut buffer, LIMIT).expect("works").expect("arrives");
        assert_eq!(buffer[0], n);
        assert!(reading.since(got.arrival) > -500, "{}", reading.since(got.arrival));
        if let Some(last) = last {
            assert!(got.arrival.since(last) > -500, "in order");
        }
        last = Some(got.arrival);
    }
}

#[cfg(target_os = "linux")]
#[test]
fn audio_carries_expedited_forwarding_and_the_rest_does_not_in_both_families() {
    use std::os::fd::AsRawFd;
    // A plain receiver that asks the kernel for the traffic class of what arrives.
    fn class_of(receiver: &std::net::UdpSocket) -> i32 {
        let mut data = [0u8; 64];
        let mut control = [0u64; 16];
        let mut iov = libc::iovec { iov_base: data.as_mut_ptr().cast(), iov_len: data.len() };
        // SAFETY: all pointers outlive the calls; the message is walked with the system's macros.
        unsafe {
            let mut message: libc::msghdr = std::mem::zeroed();
            message.msg_iov = &mut iov;
            message.msg_iovlen = 1;
            message.msg_control = control.as_mut_ptr().cast();
            message.msg_controllen = 128;
            assert!(libc::recvmsg(receiver.as_raw_fd(), &mut message, 0) > 0);
            let header = libc::CMSG_FIRSTHDR(&message);
            assert!(!header.is_null(), "the kernel tells the class");
            if (*header).cmsg_level == libc::IPPROTO_IP {
                i32::from(libc::CMSG_DATA(header).read())
            } else {
                libc::CMSG_DATA(header).cast::<i32>().read_unaligned()
            }
        }
    }
    let dual = CallSocket::bind(None, 0).expect("a free port");
    for (address, level, option) in [
        ("127.0.0.1:0", libc::IPPROTO_IP, libc::IP_RECVTOS),
        ("[::1]:0", libc::IPPROTO_IPV6, libc::IPV6_RECVTCLASS),
    ] {
        let Ok(receiver) = std::net::UdpSocket::bind(address) else { continue };
        receiver.set_read_timeout(Some(LIMIT)).expect("a limit");
        let on: libc::c_int = 1;
        // SAFETY: an int of its own size.
        let set = unsafe {
            libc::setsockopt(receiver.as_raw_fd(), level, option, std::ptr::from_ref(&on).cast(), 4)
        };
        assert_eq!(set, 0);
        let to = receiver.local_addr().expect("bound");
        if to.is_ipv6() && !dual.dual_stack() {
            continue;
        }
        assert!(dual.send(to, b"x", Class::Audio).expect("sends"));
        assert_eq!(class_of(&receiver), 0xB8, "{address}");
        assert!(dual.send(to, b"x", Class::Other).expect("sends"));
        assert_eq!(class_of(&receiver), 0, "{address}");
    }
}

#[test]
fn a_taken_port_is_an_error_that_names_it() {
    let first = CallSocket::bind(None, 0).expect("a free port");
    let port = first.local_addr().port();
    let error = CallSocket::bind(None, port).expect_err("it is taken");
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    assert!(error.to_string().contains(&port.to_string()), "{error}");
    let foreign = "192.0.2.1:7000".parse().expect("an address");
    let error = CallSocket::bind(Some(foreign), 0).expect_err("not this machine's");
    assert!(error.to_string().contains("192.0.2.1"), "{error}");
}

#[test]
fn a_closed_port_at_the_peer_is_no_error_here_and_waiting_ends_in_time() {
    let socket = CallSocket::bind(Some(v4(0)), 0).expect("a free port");
    let gone = CallSocket::bind(Some(v4(0)), 0).expect("a free port").local_addr();
    let mut buffer = [0; 64];
    for _ in 0..5 {
        assert!(socket.send(gone, b"anybody?", Class::Audio).expect("no error"));
        let got = socket.recv(&mut buffer, Duration::from_millis(1)).expect("no error");
        assert_eq!(got, None);
    }
    assert!(socket.send(socket.local_addr(), b"me", Class::Other).expect("still works"));
    let got = socket.recv(&mut buffer, LIMIT).expect("works").expect("arrives");
    assert_eq!(got.from, socket.local_addr());
}

#[test]
fn a_datagram_longer_than_the_buffer_does_not_hold_up_the_next_one() {
    let a = CallSocket::bind(Some(v4(0)), 0).expect("a free port");
    let b = CallSocket::bind(Some(v4(0)), 0).expect("a free port");
    assert!(a.send(b.local_addr(), &[7; 3_000], Class::Other).expect("sends"));
    assert!(a.send(b.local_addr(), b"next", Class::Other).expect("sends"));
    let mut buffer = [0; 64];
    // Systems differ in whether they cut the long one or leave it out.
    let mut got = b.recv(&mut buffer, LIMIT).expect("no error").expect("arrives");
    if got.len == buffer.len() {
        got = b.recv(&mut buffer, LIMIT).expect("no error").expect("arrives");
    }
    assert_eq!(&buffer[..got.len], b"next");
}

#[test]
fn a_socket_is_shared_between_the_sending_and_the_receiving_thread() {
    let socket = std::sync::Arc::new(CallSocket::bind(Some(v4(0)), 0).expect("a free port"));
    let receiver = socket.clone();
    let reading = std::thread::spawn(move || {
        let mut buffer = [0; 2_000];
        let mut count = 0;
        while count < 200 {
            let got = receiver.recv(&mut buffer, LIMIT).expect("works").expect("arrives");
            assert_eq!(got.len, 1_150);
            count += 1;
        }
    });
    for _ in 0..200 {
        // Loopback delivers at once, so a full buffer only means that the reader must run.
        while !socket.send(socket.local_addr(), &[7; 1_150], Class::Other).expect("sends") {
            std::thread::yield_now();
        }
    }
    reading.join().expect("all arrived");
}
