//! Opening the network side of a call: socket, addresses, invite, randomness.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::config::CallConfig;
use super::error::EngineError;
use crate::net::{interfaces, resolve as resolver, socket::CallSocket};
use crate::protocol::control::StreamParameters;
use crate::protocol::invite::{Invite, InviteKey};
use crate::protocol::mesh::Local;
use crate::protocol::{Randomness, Scope};

/// How long a name may take to resolve.
const RESOLVE_PATIENCE: Duration = Duration::from_secs(5);

/// Binds the call's socket; `default_port` when nothing was asked for, else any free one.
pub fn bind(
    listen: Option<SocketAddr>,
    default_port: Option<u16>,
) -> Result<CallSocket, EngineError> {
    let port = default_port.unwrap_or(0);
    CallSocket::bind(listen, port).map_err(|source| EngineError::Listen {
        address: listen.map_or_else(|| format!("port {port}"), |a| a.to_string()),
        source,
    })
}

/// Addresses of the host as typed.
pub fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, EngineError> {
    Ok(resolver::resolve(host, port, RESOLVE_PATIENCE)?)
}

/// What this participant says of itself.
pub fn local(config: &CallConfig, listen: SocketAddr) -> Local {
    Local {
        name: config.name.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        addresses: if listen.ip().is_unspecified() {
            let all = interfaces::local_addresses().into_iter();
            all.map(|ip| SocketAddr::new(ip, listen.port())).collect()
        } else {
            vec![listen]
        },
        streams: StreamParameters {
            audio_frame_micros: config.audio.frame.micros() as u16,
            audio_kbps: config.audio.start_kbps() as u16,
            video_kbps: config.video_kbps as u16,
            ..StreamParameters::default()
        },
        utc_minute: (utc_now().0 / 60_000_000) as u32,
    }
}

/// What to give to guests: the public address when one was told; else where others saw us from a
/// public address; else the best of ours.
pub fn invite(
    public: Option<&str>,
    listen: SocketAddr,
    seen: &[SocketAddr],
    key: &InviteKey,
) -> Invite {
    let key = Some(*key);
    if let Some(public) = public
        && let Ok(invite) = public.parse::<Invite>()
    {
        let told = public.parse::<SocketAddr>().is_ok()
            || public.rsplit_once(':').is_some_and(|(_, p)| p.parse::<u16>().is_ok())
                && public.parse::<IpAddr>().is_err();
        let port = if told { invite.port } else { listen.port() };
        return Invite { address: invite.address, port, key };
    }
    if let Some(address) = seen.iter().find(|a| Scope::of(a.ip()) == Scope::Anywhere) {
        return Invite { address: address.ip().to_string(), port: address.port(), key };
    }
    let ip = if listen.ip().is_unspecified() {
        interfaces::best_address().unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
    } else {
        listen.ip()
    };
    Invite { address: ip.to_string(), port: listen.port(), key }
}

/// UTC now, microseconds since 1970, and local time less UTC, seconds.
pub fn utc_now() -> (i64, i32) {
    let now = chrono::Local::now();
    (now.timestamp_micros(), now.offset().local_minus_utc())
}

/// The system's randomness, as the protocol takes it.
pub fn randomness() -> Randomness {
    Box::new(fill)
}

fn fill(bytes: &mut [u8]) {
    getrandom::fill(bytes).expect("the system has randomness, or nothing here is safe");
}

/// Bytes that nobody can guess.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    fill(&mut bytes);
    bytes
}
