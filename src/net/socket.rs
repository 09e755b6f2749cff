//! The call's one UDP socket, dual-stack.
//!
//! Shared by the talk thread (which sends and must not wait) and the receive thread (which waits
//! for at most the time given). Neither direction allocates. What the datagrams mean is none of
//! its business.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use crate::units::Micros;

/// What a datagram carries, for the routers on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Live audio: DSCP EF.
    Audio,
    /// Everything else: best effort.
    Other,
}

/// DSCP "expedited forwarding", 46, in the upper six bits of the traffic class (RFC 3246, RFC 2474).
pub const TRAFFIC_CLASS_EF: u8 = 0xB8;

// Half a second of three peers' audio and video is some 200 kB; a stalled receive thread must not
// cost packets. The system may grant less.
const RECEIVE_BUFFER: usize = 1 << 20;
// What waits in the send buffer is delay, but a keyframe's fragments must fit.
const SEND_BUFFER: usize = 256 << 10;

/// One received datagram; its bytes are in the buffer that was passed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Received {
    /// Bytes in the buffer.
    pub len: usize,
    /// Sender; an IPv4 sender is an IPv4 address, also on the dual-stack socket.
    pub from: SocketAddr,
    /// When it arrived: the kernel's stamp on Linux, elsewhere the moment after reading.
    pub arrival: Micros,
}

/// The socket. Share it in an `Arc`.
#[derive(Debug)]
pub struct CallSocket {
    socket: UdpSocket,
    local: SocketAddr,
    // An AF_INET6 socket takes IPv4 targets only as mapped addresses.
    v6: bool,
    // Cleared when the system refuses per-datagram traffic classes.
    classes: AtomicBool,
}

impl CallSocket {
    /// Binds to `listen`, or to `default_port` on all addresses of both families (IPv4 alone where
    /// the system has no IPv6). Port 0 takes any free one.
    ///
    /// The error keeps the system's kind and says in words what is wrong with the address.
    pub fn bind(listen: Option<SocketAddr>, default_port: u16) -> io::Result<Self> {
        if let Some(address) = listen {
            return Self::open(address).map_err(|e| explained(e, address));
        }
        let both = SocketAddr::from((Ipv6Addr::UNSPECIFIED, default_port));
        let v4 = SocketAddr::from((Ipv4Addr::UNSPECIFIED, default_port));
        match Self::open(both) {
            Ok(socket) => Ok(socket),
            Err(e) if e.kind() == io::ErrorKind::AddrInUse => Err(explained(e, both)),
            Err(_) => Self::open(v4).map_err(|e| explained(e, v4)),
        }
    }

    fn open(address: SocketAddr) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            // Only [::] can serve both families.
            socket.set_only_v6(!address.ip().is_unspecified())?;
        }
        socket.bind(&address.into())?;
        socket.set_nonblocking(true)?;
        // Less than asked for is no reason to fail.
        let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
        let _ = socket.set_send_buffer_size(SEND_BUFFER);
        let socket = UdpSocket::from(socket);
        system::prepare(&socket);
        let local = socket.local_addr()?;
        Ok(Self { socket, local, v6: address.is_ipv6(), classes: AtomicBool::new(true) })
    }

    /// Bound address and port.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Bytes of the buffers for receiving and for sending that the system granted.
    pub fn buffers(&self) -> io::Result<(usize, usize)> {
        let socket = socket2::SockRef::from(&self.socket);
        // Linux tells twice what it was asked for: its own bookkeeping is in there (socket(7)).
        let share = if cfg!(target_os = "linux") { 2 } else { 1 };
        Ok((socket.recv_buffer_size()? / share, socket.send_buffer_size()? / share))
    }

    /// Whether IPv4 and IPv6 peers both reach it.
    pub fn dual_stack(&self) -> bool {
        self.v6 && self.local.ip().is_unspecified()
    }

    /// Sends one datagram without waiting. `false`: the send buffer is full, nothing was sent.
    /// What an earlier datagram ran into (an ICMP answer) is no error of this one.
    pub fn send(&self, to: SocketAddr, bytes: &[u8], class: Class) -> io::Result<bool> {
        let target = match to.ip() {
            IpAddr::V4(v4) if self.v6 => SocketAddr::from((v4.to_ipv6_mapped(), to.port())),
            _ => to,
        };
        let marked = class == Class::Audio && self.classes.load(Ordering::Relaxed);
        // The second try is for an error that a former datagram left on the socket.
        let mut left = 2;
        let mut marked = marked;
        loop {
            left -= 1;
            match system::send(&self.socket, target, to.is_ipv4(), bytes, marked) {
                Ok(_) => return Ok(true),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock || system::no_room(&e) => {
                    return Ok(false);
                }
                Err(e) if marked && e.kind() == io::ErrorKind::InvalidInput => {
                    self.classes.store(false, Ordering::Relaxed);
                    marked = false;
                    left = 2;
                }
                Err(e) if left > 0 && stale(&e) => {}
                Err(e) => return Err(e),
            }
        }
    }

    /// Waits for a datagram, at most `timeout`. `None`: none came. ICMP errors that earlier
    /// datagrams caused are skipped: a peer whose port is closed for now says nothing about others.
    pub fn recv(&self, buffer: &mut [u8], timeout: Duration) -> io::Result<Option<Received>> {
        // Bounded, so that a flood of errors cannot hold the thread.
        for _ in 0..16 {
            match system::recv(&self.socket, buffer) {
                Ok(mut received) => {
                    received.from = unmapped(received.from);
                    return Ok(Some(received));
                }
                // Only now is there something to wait for: in a flood that is half of the calls.
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    if !system::wait(&self.socket, timeout)? {
                        return Ok(None);
                    }
                }
                Err(e) if stale(&e) => {}
                Err(e) => return Err(e),
            }
        }
        Ok(None)
    }
}

fn explained(e: io::Error, address: SocketAddr) -> io::Error {
    let text = match e.kind() {
        io::ErrorKind::AddrInUse => {
            format!("port {} is in use by another program", address.port())
        }
        io::ErrorKind::AddrNotAvailable => {
            format!("{} is not an address of this machine", address.ip())
        }
        io::ErrorKind::PermissionDenied => {
            format!("the system does not give port {} to this user", address.port())
        }
        _ => return e,
    };
    io::Error::new(e.kind(), text)
}

/// `::ffff:1.2.3.4` as `1.2.3.4`.
pub fn unmapped(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V6(v6) => match v6.ip().to_ipv4_mapped() {
            Some(v4) => SocketAddr::from((v4, v6.port())),
            None => address,
        },
        SocketAddr::V4(_) => address,
    }
}

// Errors that an ICMP message about an earlier datagram leaves on the socket.
fn stale(e: &io::Error) -> bool {
    system::stale(e)
        || matches!(
            e.kind(),
            io::ErrorKind::ConnectionRefused
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::HostUnreachable
                | io::ErrorKind::NetworkUnreachable
                | io::ErrorKind::Interrupted
        )
}

#[cfg(unix)]
mod system {
    use std::io;
    use std::mem;
    use std::net::{SocketAddr, UdpSocket};
    use std::os::fd::AsRawFd;
    use std::time::Duration;

    use socket2::SockAddr;

    use super::{Received, TRAFFIC_CLASS_EF};
    use crate::platform::clock;

    /// Room for the control messages used here, aligned as `cmsghdr` wants it.
    #[repr(C, align(8))]
    struct Control([u8; 128]);

    pub fn prepare(socket: &UdpSocket) {
        #[cfg(target_os = "linux")]
        {
            let on: libc::c_int = 1;
            // SAFETY: an int of its own size. A refusal costs the kernel's stamps only.
            unsafe {
                libc::setsockopt(
                    socket.as_raw_fd(),
                    libc::SOL_SOCKET,
                    libc::SO_TIMESTAMPNS,
                    std::ptr::from_ref(&on).cast(),
                    mem::size_of_val(&on) as libc::socklen_t,
                );
            }
        }
        #[cfg(not(target_os = "linux"))]
        let _ = socket;
    }

    pub fn no_room(e: &io::Error) -> bool {
        e.raw_os_error() == Some(libc::ENOBUFS)
    }

    // Every such error has a kind.
    pub fn stale(_: &io::Error) -> bool {
        false
    }

    pub fn wait(socket: &UdpSocket, timeout: Duration) -> io::Result<bool> {
        let mut fd = libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // Rounded up: a wait of less than a millisecond must not spin.
        let ms = timeout.as_micros().div_ceil(1_000).min(i32::MAX as u128) as i32;
        // SAFETY: one valid pollfd.
        match unsafe { libc::poll(&mut fd, 1, ms) } {
            -1 => {
                let e = io::Error::last_os_error();
                if e.kind() == io::ErrorKind::Interrupted { Ok(false) } else { Err(e) }
            }
            n => Ok(n > 0),
        }
    }

    pub fn recv(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<Received> {
        let mut control = Control([0; 128]);
        let mut iov = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
        let mut received = 0usize;
        // SAFETY: the storage is sockaddr_storage; every pointer in `message` outlives the call;
        // the control messages are walked with the system's own macros.
        let (kernel_stamp, from) = unsafe {
            let ((), from) = SockAddr::try_init(|storage, length| {
                let mut message: libc::msghdr = mem::zeroed();
                message.msg_name = storage.cast();
                message.msg_namelen = *length;
                message.msg_iov = &mut iov;
                message.msg_iovlen = 1;
                message.msg_control = control.0.as_mut_ptr().cast();
                message.msg_controllen = control.0.len() as _;
                let n = libc::recvmsg(socket.as_raw_fd(), &mut message, libc::MSG_DONTWAIT);
                if n < 0 {
                    return Err(io::Error::last_os_error());
                }
                received = n as usize;
                *length = message.msg_namelen;
                Ok(())
            })?;
            (kernel_stamp(&control), from)
        };
        let arrival = match kernel_stamp {
            // The wall clock may have been set between the stamp and now: a stamp from the future
            // or older than the socket could hold is not believed.
            Some(realtime) => {
                let now = clock::now();
                let stamp = clock::from_realtime(realtime);
                if (0..10_000_000).contains(&now.since(stamp)) { stamp } else { now }
            }
            None => clock::now(),
        };
        let from = from
            .as_socket()
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a sender of no family"))?;
        Ok(Received { len: received, from, arrival })
    }

    // A zeroed buffer ends the walk by itself: a header of length 0 is no header.
    #[cfg(target_os = "linux")]
    unsafe fn kernel_stamp(control: &Control) -> Option<i64> {
        let header = mem::size_of::<libc::cmsghdr>();
        let mut at = 0usize;
        while at + header <= control.0.len() {
            // SAFETY: within the buffer, whose alignment and step (CMSG_SPACE) fit the header.
            let h = unsafe { control.0.as_ptr().add(at).cast::<libc::cmsghdr>().read_unaligned() };
            let length: usize = h.cmsg_len as _;
            if length < header || at + length > control.0.len() {
                return None;
            }
            if h.cmsg_level == libc::SOL_SOCKET
                && h.cmsg_type == libc::SCM_TIMESTAMPNS
                && length >= header + mem::size_of::<libc::timespec>()
            {
                // SAFETY: the length was checked.
                let t = unsafe {
                    control.0.as_ptr().add(at + header).cast::<libc::timespec>().read_unaligned()
                };
                let (seconds, nanos): (i64, i64) = (t.tv_sec as _, t.tv_nsec as _);
                return Some(seconds * 1_000_000 + nanos / 1_000);
            }
            at += length.next_multiple_of(mem::align_of::<usize>());
        }
        None
    }

    #[cfg(not(target_os = "linux"))]
    unsafe fn kernel_stamp(_: &Control) -> Option<i64> {
        None
    }

    pub fn send(
        socket: &UdpSocket,
        target: SocketAddr,
        to_v4: bool,
        bytes: &[u8],
        marked: bool,
    ) -> io::Result<usize> {
        if !marked {
            return socket.send_to(bytes, target);
        }
        let address = SockAddr::from(target);
        let mut control = Control([0; 128]);
        let mut iov =
            libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
        let class = libc::c_int::from(TRAFFIC_CLASS_EF);
        // A mapped IPv4 target on an IPv6 socket takes IPv4's option (Linux, ip_cmsg_send).
        let (level, kind) = if to_v4 {
            (libc::IPPROTO_IP, libc::IP_TOS)
        } else {
            (libc::IPPROTO_IPV6, libc::IPV6_TCLASS)
        };
        // SAFETY: every pointer in `message` outlives the call and is only read; the one control
        // message is laid out with the system's own macros inside a buffer that is large enough.
        let sent = unsafe {
            let mut message: libc::msghdr = mem::zeroed();
            message.msg_name = address.as_ptr().cast_mut().cast();
            message.msg_namelen = address.len();
            message.msg_iov = &mut iov;
            message.msg_iovlen = 1;
            message.msg_control = control.0.as_mut_ptr().cast();
            message.msg_controllen =
                libc::CMSG_SPACE(mem::size_of_val(&class) as libc::c_uint) as _;
            let header = libc::CMSG_FIRSTHDR(&message);
            (*header).cmsg_level = level;
            (*header).cmsg_type = kind;
            (*header).cmsg_len = libc::CMSG_LEN(mem::size_of_val(&class) as libc::c_uint) as _;
            libc::CMSG_DATA(header).cast::<libc::c_int>().write_unaligned(class);
            libc::sendmsg(socket.as_raw_fd(), &message, libc::MSG_DONTWAIT)
        };
        if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(sent as usize) }
    }
}

#[cfg(windows)]
mod system {
    use std::io;
    use std::net::{SocketAddr, UdpSocket};
    use std::os::windows::io::AsRawSocket;
    use std::time::Duration;

    use windows_sys::Win32::Networking::WinSock::{
        POLLRDNORM, SIO_UDP_CONNRESET, SIO_UDP_NETRESET, SOCKET, WSAEMSGSIZE, WSAENETRESET,
        WSAENOBUFS, WSAIoctl, WSAPOLLFD, WSAPoll,
    };

    use super::Received;
    use crate::platform::clock;

    pub fn prepare(socket: &UdpSocket) {
        // Without these an ICMP "port unreachable" or "time exceeded" makes the next receive fail,
        // for any peer.
        for what in [SIO_UDP_CONNRESET, SIO_UDP_NETRESET] {
            let off: u32 = 0;
            let mut returned = 0;
            // SAFETY: a BOOL in, nothing out; a refusal only means that such errors are skipped
            // later.
            unsafe {
                WSAIoctl(
                    socket.as_raw_socket() as SOCKET,
                    what,
                    std::ptr::from_ref(&off).cast(),
                    4,
                    std::ptr::null_mut(),
                    0,
                    &mut returned,
                    std::ptr::null_mut(),
                    None,
                );
            }
        }
    }

    pub fn no_room(e: &io::Error) -> bool {
        e.raw_os_error() == Some(WSAENOBUFS)
    }

    pub fn stale(e: &io::Error) -> bool {
        e.raw_os_error() == Some(WSAENETRESET)
    }

    pub fn wait(socket: &UdpSocket, timeout: Duration) -> io::Result<bool> {
        let mut fd =
            WSAPOLLFD { fd: socket.as_raw_socket() as SOCKET, events: POLLRDNORM, revents: 0 };
        let ms = timeout.as_micros().div_ceil(1_000).min(i32::MAX as u128) as i32;
        // SAFETY: one valid entry.
        match unsafe { WSAPoll(&mut fd, 1, ms) } {
            -1 => Err(io::Error::last_os_error()),
            n => Ok(n > 0),
        }
    }

    pub fn recv(socket: &UdpSocket, buffer: &mut [u8]) -> io::Result<Received> {
        match socket.recv_from(buffer) {
            Ok((len, from)) => Ok(Received { len, from, arrival: clock::now() }),
            // A datagram longer than the buffer is none of ours. Elsewhere it is cut and does not
            // open; here it is gone, and so is its sender.
            Err(e) if e.raw_os_error() == Some(WSAEMSGSIZE) => {
                Err(io::ErrorKind::WouldBlock.into())
            }
            Err(e) => Err(e),
        }
    }

    // Traffic classes need qWAVE there; the datagram goes without.
    pub fn send(
        socket: &UdpSocket,
        target: SocketAddr,
        _to_v4: bool,
        bytes: &[u8],
        _marked: bool,
    ) -> io::Result<usize> {
        socket.send_to(bytes, target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sending_and_receiving_do_not_allocate() {
        let a = CallSocket::bind(Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))), 0)
            .expect("a free port");
        let b = CallSocket::bind(None, 0).expect("a free port");
        let to = SocketAddr::from((Ipv4Addr::LOCALHOST, b.local_addr().port()));
        let mut buffer = [0; 64];
        assert_no_alloc::assert_no_alloc(|| {
            for class in [Class::Audio, Class::Other] {
                assert!(a.send(to, b"x", class).is_ok_and(|sent| sent));
                let got = b.recv(&mut buffer, Duration::from_secs(10));
                assert!(got.is_ok_and(|got| got.is_some()));
            }
        });
    }

    #[test]
    fn a_mapped_address_is_its_ipv4_address_and_others_stay() {
        let at = |s: &str| s.parse::<SocketAddr>().expect("an address");
        assert_eq!(unmapped(at("[::ffff:192.0.2.7]:7000")), at("192.0.2.7:7000"));
        assert_eq!(unmapped(at("[2001:db8::1]:7000")), at("[2001:db8::1]:7000"));
        assert_eq!(unmapped(at("192.0.2.7:7000")), at("192.0.2.7:7000"));
    }
}
