//! The three languages that routers speak about port mappings: UPnP-IGD (1 and 2), NAT-PMP
//! (RFC 6886), PCP (RFC 6887). Each answer is awaited for a bounded time.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU16;
use std::time::Duration;

use crab_nat::{
    GatewayAddress, InternetProtocol, MappingFailure, PortMapping, PortMappingOptions,
    PortMappingType, TimeoutConfig, natpmp, pcp,
};
use igd_next::aio::Gateway;
use igd_next::aio::tokio::{Tokio, search_gateway};
use igd_next::{AddPortError, GetGenericPortMappingEntryError, PortMappingProtocol, SearchOptions};

use super::gateway::default_gateway;
use super::policy::{self, DESCRIPTION, Entry, LEASE_SECONDS, Port};

/// How long all routers together may take to answer that they are there.
const SEARCH: Duration = Duration::from_millis(1_200);
/// How long one request may take; a healthy router answers within some ten milliseconds.
const REQUEST: Duration = Duration::from_millis(800);
/// How long reading a router's list may take; what was not read is not known.
const LISTING: Duration = Duration::from_millis(600);
/// Most entries read of a router's list.
const ENTRIES: u32 = 128;

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
    /// By UPnP, and our address on its side.
    Upnp(Box<Gateway<Tokio>>, Ipv4Addr),
    /// By NAT-PMP or PCP, and the mapping once there is one.
    Nat {
        /// Where it is.
        gateway: Ipv4Addr,
        /// Our address on its side.
        client: Ipv4Addr,
        /// PCP rather than NAT-PMP.
        pcp: bool,
        /// What it granted.
        mapping: Option<Box<PortMapping>>,
    },
}

async fn within<T, E: Into<RouterError>>(
    limit: Duration,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, RouterError> {
    match tokio::time::timeout(limit, work).await {
        Ok(result) => result.map_err(Into::into),
        Err(_) => Err(RouterError::Silent),
    }
}

impl From<AddPortError> for RouterError {
    fn from(e: AddPortError) -> Self {
        match e {
            AddPortError::PortInUse | AddPortError::SamePortValuesRequired => Self::PortTaken,
            AddPortError::ActionNotAuthorized => Self::Refused(e.to_string()),
            _ => Self::Failed(e.to_string()),
        }
    }
}

impl From<MappingFailure> for RouterError {
    fn from(e: MappingFailure) -> Self {
        match &e {
            MappingFailure::NatPmp(natpmp::Failure::Timeout)
            | MappingFailure::Pcp(pcp::Failure::Timeout) => Self::Silent,
            MappingFailure::NatPmp(natpmp::Failure::NotAuthorized)
            | MappingFailure::Pcp(pcp::Failure::NotAuthorized(_)) => Self::Refused(e.to_string()),
            _ => Self::Failed(e.to_string()),
        }
    }
}

impl From<natpmp::Failure> for RouterError {
    fn from(e: natpmp::Failure) -> Self {
        MappingFailure::from(e).into()
    }
}

impl From<pcp::Failure> for RouterError {
    fn from(e: pcp::Failure) -> Self {
        MappingFailure::from(e).into()
    }
}

/// Which of this machine's addresses a router sees. Sends nothing.
fn address_towards(router: SocketAddr) -> Option<Ipv4Addr> {
    let socket = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect(router).ok()?;
    match socket.local_addr().ok()?.ip() {
        IpAddr::V4(ip) => Some(ip),
        IpAddr::V6(_) => None,
    }
}

fn patience() -> TimeoutConfig {
    TimeoutConfig {
        initial_timeout: Duration::from_millis(250),
        max_retries: 1,
        max_retry_timeout: None,
    }
}

/// Looks for routers in all three ways at once; the best way first: UPnP, NAT-PMP, PCP.
pub async fn find() -> Vec<Router> {
    let upnp = async {
        let mut options = SearchOptions::default();
        options.timeout = Some(SEARCH);
        options.single_search_timeout = Some(SEARCH);
        let gateway = tokio::time::timeout(SEARCH, search_gateway(options)).await.ok()?.ok()?;
        let client = address_towards(gateway.addr)?;
        Some(Router::Upnp(Box::new(gateway), client))
    };
    let nat_pmp = async {
        let gateway = default_gateway()?;
        let client = address_towards(SocketAddr::from((gateway, crab_nat::GATEWAY_PORT)))?;
        let asked = natpmp::external_address(GatewayAddress::IpV4(gateway), Some(patience()));
        // A PCP server answers NAT-PMP's question with "unsupported version" (RFC 6887, appendix A).
        let pcp = match tokio::time::timeout(SEARCH, asked).await.ok()? {
            Ok(_) => false,
            Err(natpmp::Failure::UnsupportedVersion(_)) => true,
            Err(_) => return None,
        };
        Some(Router::Nat { gateway, client, pcp, mapping: None })
    };
    let (upnp, nat_pmp) = tokio::join!(upnp, nat_pmp);
    [upnp, nat_pmp].into_iter().flatten().collect()
}

impl Router {
    /// How it is asked.
    pub fn method(&self) -> Method {
        match self {
            Self::Upnp(..) => Method::Upnp,
            Self::Nat { pcp: false, .. } => Method::NatPmp,
            Self::Nat { pcp: true, .. } => Method::Pcp,
        }
    }

    /// Where it is, for a note that outlives the program.
    pub fn address(&self) -> IpAddr {
        match self {
            Self::Upnp(gateway, _) => gateway.addr.ip(),
            Self::Nat { gateway, .. } => IpAddr::V4(*gateway),
        }
    }

    /// Whether this machine still has the address that the router leads to. Sends nothing.
    pub fn sees_us(&self) -> bool {
        let (at, client) = match self {
            Self::Upnp(gateway, client) => (gateway.addr, client),
            Self::Nat { gateway, client, .. } => {
                (SocketAddr::from((*gateway, crab_nat::GATEWAY_PORT)), client)
            }
        };
        address_towards(at) == Some(*client)
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
        match self {
            Self::Upnp(gateway, client) => {
                map_upnp(gateway, (*client, internal), external, permanent).await
            }
            Self::Nat { gateway, client, pcp, mapping } => {
                let port = NonZeroU16::new(internal).ok_or(RouterError::PortTaken)?;
                let at = GatewayAddress::IpV4(*gateway);
                let options = PortMappingOptions {
                    external_port: NonZeroU16::new(external),
                    lifetime_seconds: Some(LEASE_SECONDS),
                    timeout_config: Some(patience()),
                };
                let udp = InternetProtocol::Udp;
                let granted = if *pcp {
                    // The same nonce, or the router takes a renewal for a stranger's.
                    let nonce = mapping.as_ref().and_then(|m| match m.mapping_type() {
                        PortMappingType::Pcp { nonce, .. } => Some(nonce),
                        PortMappingType::NatPmp => None,
                    });
                    let base = pcp::BaseMapRequest::new(at, IpAddr::V4(*client), udp, port);
                    within(REQUEST, pcp::port_mapping(base, nonce, None, options)).await?
                } else {
                    within(REQUEST, natpmp::port_mapping(at, udp, port, options)).await?
                };
                let ip = match granted.mapping_type() {
                    PortMappingType::Pcp { external_ip, .. } => external_ip,
                    PortMappingType::NatPmp => {
                        let asked = natpmp::external_address(at, Some(patience()));
                        within(REQUEST, asked)
                            .await
                            .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V4)
                    }
                };
                let answer = Granted {
                    external: SocketAddr::new(ip, granted.external_port().get()),
                    lease_seconds: granted.lifetime(),
                };
                *mapping = Some(Box::new(granted));
                Ok(answer)
            }
        }
    }

    /// Takes the mapping back.
    pub async fn unmap(&mut self, external: u16) -> Result<(), RouterError> {
        match self {
            Self::Upnp(gateway, _) => {
                let removed = gateway.remove_port(PortMappingProtocol::UDP, external);
                match tokio::time::timeout(REQUEST, removed).await {
                    Ok(Ok(()) | Err(igd_next::RemovePortError::NoSuchPortMapping)) => Ok(()),
                    Ok(Err(e)) => Err(RouterError::Failed(e.to_string())),
                    Err(_) => Err(RouterError::Silent),
                }
            }
            Self::Nat { mapping, .. } => {
                let Some(mapping) = mapping.take() else { return Ok(()) };
                let dropped = async { mapping.try_drop().await.map_err(|(e, _)| e) };
                within(REQUEST, dropped).await
            }
        }
    }

    /// The mappings that the router tells of; `None` where it has no list.
    pub async fn entries(&self) -> Option<Vec<Entry>> {
        match self {
            Self::Upnp(gateway, _) => Some(list(gateway).await),
            Self::Nat { .. } => None,
        }
    }
}

async fn map_upnp(
    gateway: &Gateway<Tokio>,
    (client, internal): (Ipv4Addr, u16),
    external: u16,
    permanent: &mut impl FnMut(),
) -> Result<Granted, RouterError> {
    let entries = list(gateway).await;
    if policy::port(&entries, external, client, internal) == Port::Taken {
        return Err(RouterError::PortTaken);
    }
    let add = |lease| {
        let local = SocketAddr::from((client, internal));
        let udp = PortMappingProtocol::UDP;
        tokio::time::timeout(REQUEST, gateway.add_port(udp, external, local, lease, DESCRIPTION))
    };
    let lease_seconds = match add(LEASE_SECONDS).await.map_err(|_| RouterError::Silent)? {
        Ok(()) => LEASE_SECONDS,
        // Error 725 (WANIPConnection 1, section 2.4.16).
        Err(AddPortError::OnlyPermanentLeasesSupported) => {
            permanent();
            add(0).await.map_err(|_| RouterError::Silent)??;
            0
        }
        Err(e) => return Err(e.into()),
    };
    let ip = tokio::time::timeout(REQUEST, gateway.get_external_ip()).await;
    let ip = ip.ok().and_then(Result::ok).unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    Ok(Granted { external: SocketAddr::new(ip, external), lease_seconds })
}

/// Reads the router's list as far as it gives it in time.
async fn list(gateway: &Gateway<Tokio>) -> Vec<Entry> {
    let mut entries = Vec::new();
    let read = async {
        for index in 0..ENTRIES {
            match gateway.get_generic_port_mapping_entry(index).await {
                Ok(e) => entries.push(Entry {
                    external_port: e.external_port,
                    client: e.internal_client,
                    internal_port: e.internal_port,
                    description: e.port_mapping_description,
                    udp: e.protocol == PortMappingProtocol::UDP,
                }),
                Err(GetGenericPortMappingEntryError::RequestError(_)) if index == 0 => break,
                Err(_) => break,
            }
        }
    };
    let _ = tokio::time::timeout(LISTING, read).await;
    entries
}
