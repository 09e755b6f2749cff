//! The three languages that routers speak about port mappings: UPnP-IGD (in `upnp`), NAT-PMP (RFC
//! 6886), PCP (RFC 6887). Each answer is awaited for a bounded time.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU16;
use std::time::Duration;

use crab_nat::{
    GatewayAddress, InternetProtocol, PortMappingOptions, PortMappingType, TimeoutConfig, natpmp,
    pcp,
};

use tokio::time::Instant;

use super::epoch;
use super::gateway::default_gateway;
use super::policy::{self, LEASE_SECONDS, Port};
use super::upnp::Igd;

/// How long all routers together may take to answer that they are there.
pub const SEARCH: Duration = Duration::from_millis(1_200);
/// How long one request of NAT-PMP or PCP may take, with its repetition.
const REQUEST: Duration = Duration::from_millis(800);

/// How the router was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// UPnP Internet Gateway Device.
    Upnp,
    /// NAT-PMP.
    NatPmp,
    /// Port Control Protocol.
    Pcp,
}

impl Method {
    /// Its name for people and scripts.
    pub fn name(self) -> &'static str {
        match self {
            Self::Upnp => "upnp",
            Self::NatPmp => "nat-pmp",
            Self::Pcp => "pcp",
        }
    }
}

/// Why a router did not map.
#[derive(Debug, thiserror::Error)]
pub enum RouterError {
    /// The external port belongs to somebody else.
    #[error("the router's port is taken")]
    PortTaken,
    /// It refuses on principle.
    #[error("the router refuses: {0}")]
    Refused(String),
    /// It said nothing in time.
    #[error("the router does not answer")]
    Silent,
    /// Anything else.
    #[error("{0}")]
    Failed(String),
}

/// What was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    /// The router's address, where it tells it, and the port that leads to us.
    pub external: SocketAddr,
    /// For how long, seconds; 0 is until it is taken back.
    pub lease_seconds: u32,
}

/// A router that answered.
pub enum Router {
    /// By UPnP.
    Upnp(Box<Igd>),
    /// By NAT-PMP or PCP.
    Nat {
        /// Where it is.
        gateway: Ipv4Addr,
        /// Our address on its side.
        client: Ipv4Addr,
        /// PCP rather than NAT-PMP, and the number that marks our mappings there: with another one
        /// the router takes a renewal for a stranger's (RFC 6887, section 11.2).
        pcp: Option<pcp::Nonce>,
        /// Its epoch when it granted, seconds, and when that was.
        granted: Option<(u32, Instant)>,
    },
}

/// The work's result, or that the router was silent.
pub async fn within<T, E: Into<RouterError>>(
    limit: Duration,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, RouterError> {
    match tokio::time::timeout(limit, work).await {
        Ok(result) => result.map_err(Into::into),
        Err(_) => Err(RouterError::Silent),
    }
}

impl From<natpmp::Failure> for RouterError {
    fn from(e: natpmp::Failure) -> Self {
        match e {
            natpmp::Failure::Timeout => Self::Silent,
            natpmp::Failure::NotAuthorized => Self::Refused(e.to_string()),
            _ => Self::Failed(e.to_string()),
        }
    }
}

impl From<pcp::Failure> for RouterError {
    fn from(e: pcp::Failure) -> Self {
        match e {
            pcp::Failure::Timeout => Self::Silent,
            pcp::Failure::NotAuthorized(_) => Self::Refused(e.to_string()),
            _ => Self::Failed(e.to_string()),
        }
    }
}

/// Which of this machine's addresses a router sees. Sends nothing.
pub fn address_towards(router: SocketAddr) -> Option<Ipv4Addr> {
    let socket = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect(router).ok()?;
    match socket.local_addr().ok()?.ip() {
        IpAddr::V4(ip) => Some(ip),
        IpAddr::V6(_) => None,
    }
}

/// Whether a router tells another address than it told before. One without a line tells none.
pub fn another(told: IpAddr, before: SocketAddr) -> bool {
    told != before.ip() && !told.is_unspecified() && !before.ip().is_unspecified()
}

fn patience() -> TimeoutConfig {
    TimeoutConfig {
        initial_timeout: Duration::from_millis(250),
        max_retries: 1,
        max_retry_timeout: None,
    }
}

/// Looks for routers in all three ways at once; the best way first: UPnP, NAT-PMP, PCP.
pub async fn find(nonce: pcp::Nonce) -> Vec<Router> {
    let (upnp, nat) = tokio::join!(Igd::find(), find_nat(nonce));
    upnp.map(|igd| Router::Upnp(Box::new(igd))).into_iter().chain(nat).collect()
}

async fn find_nat(nonce: pcp::Nonce) -> Vec<Router> {
    let Some(gateway) = default_gateway() else { return Vec::new() };
    let towards = SocketAddr::from((gateway, crab_nat::GATEWAY_PORT));
    let Some(client) = address_towards(towards) else { return Vec::new() };
    let asked = natpmp::external_address(GatewayAddress::IpV4(gateway), Some(patience()));
    let languages = match tokio::time::timeout(SEARCH, asked).await {
        // A PCP server answers NAT-PMP's question with "unsupported version" (RFC 6887, appendix A).
        Ok(Err(natpmp::Failure::UnsupportedVersion(_))) => vec![Some(nonce)],
        Err(_)
        | Ok(Err(
            natpmp::Failure::Socket(_)
            | natpmp::Failure::Timeout
            | natpmp::Failure::InvalidResponse(_),
        )) => Vec::new(),
        // Who refuses the one may grant the other.
        Ok(_) => vec![None, Some(nonce)],
    };
    let nat = |pcp| Router::Nat { gateway, client, pcp, granted: None };
    languages.into_iter().map(nat).collect()
}

impl Router {
    /// How it is asked.
    pub fn method(&self) -> Method {
        match self {
            Self::Upnp(_) => Method::Upnp,
            Self::Nat { pcp: None, .. } => Method::NatPmp,
            Self::Nat { pcp: Some(_), .. } => Method::Pcp,
        }
    }

    /// Where it is, for a note that outlives the program.
    pub fn address(&self) -> IpAddr {
        match self {
            Self::Upnp(igd) => igd.address(),
            Self::Nat { gateway, .. } => IpAddr::V4(*gateway),
        }
    }

    /// Whether this machine still has the address that the router leads to. Sends nothing.
    pub fn sees_us(&self) -> bool {
        match self {
            Self::Upnp(igd) => igd.sees_us(),
            Self::Nat { gateway, client, .. } => {
                let at = SocketAddr::from((*gateway, crab_nat::GATEWAY_PORT));
                address_towards(at) == Some(*client)
            }
        }
    }

    /// Maps UDP port `internal` of this machine, on `external` if it may be; also renews.
    ///
    /// `permanent` is called before the router is asked for a mapping that has no end: it may be
    /// there even if no answer comes.
    pub async fn map(
        &mut self,
        internal: u16,
        external: u16,
        permanent: &mut impl FnMut(),
    ) -> Result<Granted, RouterError> {
        let (gateway, client, pcp, epoch) = match self {
            Self::Upnp(igd) => return igd.map(internal, external, permanent).await,
            Self::Nat { gateway, client, pcp, granted } => (*gateway, *client, *pcp, granted),
        };
        let port = NonZeroU16::new(internal).ok_or(RouterError::PortTaken)?;
        let at = GatewayAddress::IpV4(gateway);
        let options = PortMappingOptions {
            external_port: NonZeroU16::new(external),
            lifetime_seconds: Some(LEASE_SECONDS),
            timeout_config: Some(patience()),
        };
        let udp = InternetProtocol::Udp;
        let granted = if pcp.is_some() {
            let base = pcp::BaseMapRequest::new(at, IpAddr::V4(client), udp, port);
            within(REQUEST, pcp::port_mapping(base, pcp, None, options)).await?
        } else {
            within(REQUEST, natpmp::port_mapping(at, udp, port, options)).await?
        };
        *epoch = Some((granted.gateway_epoch(), Instant::now()));
        let ip = match granted.mapping_type() {
            PortMappingType::Pcp { external_ip, .. } => external_ip,
            PortMappingType::NatPmp => {
                let asked = natpmp::external_address(at, Some(patience()));
                within(REQUEST, asked).await.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V4)
            }
        };
        // A lease of no time is none; a mapping without an end these two do not have.
        match granted.lifetime() {
            0 => Err(RouterError::Failed("the router grants no time".to_owned())),
            lease_seconds => {
                let external = SocketAddr::new(ip, granted.external_port().get());
                Ok(Granted { external, lease_seconds })
            }
        }
    }

    /// Whether it has forgotten what it granted, or has another address since. One that says nothing may
    /// be about to restart, and is asked again.
    pub async fn lost(&self, internal: u16, external: SocketAddr) -> bool {
        let (gateway, client, pcp, granted) = match self {
            Self::Upnp(igd) => return igd.lost(internal, external).await,
            Self::Nat { gateway, client, pcp, granted } => (gateway, client, pcp, granted),
        };
        let Some(now) = epoch::ask(*gateway, *client, pcp.is_some()).await else { return false };
        let anew =
            |(before, at): (u32, Instant)| policy::began_anew(before, at.elapsed(), now.epoch);
        granted.is_some_and(anew) || now.external.is_some_and(|ip| another(ip.into(), external))
    }

    /// Takes the mapping of `internal` on `external` back, whether it was granted or only asked for.
    pub async fn unmap(&self, internal: u16, external: u16) -> Result<(), RouterError> {
        let (gateway, client, pcp) = match self {
            Self::Upnp(igd) => return igd.unmap(external).await,
            Self::Nat { gateway, client, pcp, .. } => (*gateway, *client, *pcp),
        };
        let Some(internal_port) = NonZeroU16::new(internal) else { return Ok(()) };
        let at = GatewayAddress::IpV4(gateway);
        let protocol = InternetProtocol::Udp;
        let Some(nonce) = pcp else {
            let dropped =
                natpmp::try_drop_mapping(at, protocol, Some(internal_port), Some(patience()));
            return match tokio::time::timeout(REQUEST, dropped).await {
                // Some repeat the port that is free now.
                Ok(Err(natpmp::Failure::InvalidResponse(
                    natpmp::InvalidResponseKind::InvalidDeletionResponse {
                        lifetime_seconds: 0,
                        ..
                    },
                ))) => Ok(()),
                Ok(answer) => answer.map_err(Into::into),
                Err(_) => Err(RouterError::Silent),
            };
        };
        let which = pcp::DropMappingRange::Single { protocol, internal_port };
        let client = IpAddr::V4(client);
        let dropped = pcp::try_drop_mapping(at, client, nonce, which, Some(patience()));
        within(REQUEST, dropped).await
    }

    /// Whose `external` is, seen from our socket on `internal`. An error: it does not tell.
    pub async fn port(&self, external: u16, internal: u16) -> Result<Port, RouterError> {
        match self {
            Self::Upnp(igd) => igd.port(external, internal).await,
            // These two know the mappings of a client and port, and no others' by us.
            Self::Nat { .. } => Ok(Port::Ours),
        }
    }
}
