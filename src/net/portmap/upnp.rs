//! UPnP Internet Gateway Device, versions 1 and 2 (its service WANIPConnection).

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use igd_next::aio::tokio::{Tokio, search_gateway};
use igd_next::aio::{Gateway, Provider};
use igd_next::{
    AddPortError, GetGenericPortMappingEntryError, PortMappingProtocol, RemovePortError,
    RequestError, SearchOptions,
};
use xml::reader::{EventReader, XmlEvent};

use super::policy::{self, DESCRIPTION, Entry, LEASE_SECONDS, Port};
use super::router::{Granted, RouterError, SEARCH, address_towards, another, within};

/// How long one request may take; a healthy router answers within some ten milliseconds.
const REQUEST: Duration = Duration::from_secs(2);
/// How long reading a router's list may take.
const LISTING: Duration = Duration::from_secs(2);
/// Most entries read of a list: one that goes on for longer is none.
const ENTRIES: u32 = 1_024;
const UDP: PortMappingProtocol = PortMappingProtocol::UDP;
/// NoSuchEntryInArray (WANIPConnection 1, section 2.4.15): nobody has that port.
const NO_SUCH_ENTRY: &str = "714";
/// Most elements within each other in an answer that makes sense; a fault has six.
const DEEPEST: usize = 16;
/// Action not authorized (UPnP Device Architecture 1.1, table 3-4).
const NOT_AUTHORIZED: &str = "606";

impl From<AddPortError> for RouterError {
    fn from(e: AddPortError) -> Self {
        match e {
            AddPortError::PortInUse | AddPortError::SamePortValuesRequired => Self::PortTaken,
            AddPortError::ActionNotAuthorized => Self::Refused(e.to_string()),
            _ => Self::Failed(e.to_string()),
        }
    }
}

/// A router that answered, and our address on its side.
pub struct Igd {
    gateway: Gateway<Tokio>,
    client: Ipv4Addr,
    /// How it writes what it has mapped for us: some shorten the name, or have another one for it
    /// or for the machine.
    shown: Option<(u16, Entry)>,
}

impl Igd {
    /// As [`super::router::Router::sees_us`].
    pub fn sees_us(&self) -> bool {
        super::router::address_towards(self.gateway.addr) == Some(self.client)
    }

    /// Looks for one.
    pub async fn find() -> Option<Self> {
        let mut options = SearchOptions::default();
        options.timeout = Some(SEARCH);
        options.single_search_timeout = Some(SEARCH);
        let gateway = tokio::time::timeout(SEARCH, search_gateway(options)).await.ok()?.ok()?;
        let client = address_towards(gateway.addr)?;
        Some(Self { gateway, client, shown: None })
    }

    /// Where it is.
    pub fn address(&self) -> IpAddr {
        self.gateway.addr.ip()
    }

    /// See [`super::router::Router::map`].
    pub async fn map(
        &mut self,
        internal: u16,
        external: u16,
        permanent: &mut impl FnMut(),
    ) -> Result<Granted, RouterError> {
        if self.port(external, internal).await? == Port::Taken {
            return Err(RouterError::PortTaken);
        }
        let asked = match self.add(internal, external, LEASE_SECONDS).await? {
            Ok(()) => LEASE_SECONDS,
            // Error 725 (WANIPConnection 1, section 2.4.16).
            Err(AddPortError::OnlyPermanentLeasesSupported) => {
                permanent();
                self.add(internal, external, 0).await??;
                0
            }
            Err(e) => return Err(e.into()),
        };
        // Some routers shorten a lease, or have none, without a word.
        let (entry, ip) = tokio::join!(
            within(REQUEST, self.specific(external)),
            tokio::time::timeout(REQUEST, self.gateway.get_external_ip()),
        );
        let entry = entry.ok().flatten();
        let entry = entry.filter(|e| policy::may_show(e, self.client, internal));
        let lease = entry.as_ref().and_then(|e| e.lease_seconds);
        self.shown = entry.map(|e| (external, e));
        let lease_seconds = lease.unwrap_or(asked).min(asked);
        if lease_seconds == 0 && asked != 0 {
            permanent();
        }
        let ip = ip.ok().and_then(Result::ok).unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        Ok(Granted { external: SocketAddr::new(ip, external), lease_seconds })
    }

    async fn add(
        &self,
        internal: u16,
        external: u16,
        lease: u32,
    ) -> Result<Result<(), AddPortError>, RouterError> {
        let local = SocketAddr::from((self.client, internal));
        let added = self.gateway.add_port(UDP, external, local, lease, DESCRIPTION);
        tokio::time::timeout(REQUEST, added).await.map_err(|_| RouterError::Silent)
    }

    /// See [`super::router::Router::lost`].
    pub async fn lost(&self, internal: u16, external: SocketAddr) -> bool {
        let (port, ip) = tokio::join!(
            self.port(external.port(), internal),
            tokio::time::timeout(REQUEST, self.gateway.get_external_ip()),
        );
        // Some never show what they have mapped.
        let shown = self.shown.as_ref().is_some_and(|(at, _)| *at == external.port());
        shown && matches!(port, Ok(Port::Free))
            || ip.ok().and_then(Result::ok).is_some_and(|ip| another(ip, external))
    }

    /// Takes a mapping back; one that is not there is no error.
    pub async fn unmap(&self, external: u16) -> Result<(), RouterError> {
        match tokio::time::timeout(REQUEST, self.gateway.remove_port(UDP, external)).await {
            Ok(Ok(()) | Err(RemovePortError::NoSuchPortMapping)) => Ok(()),
            Ok(Err(e)) => Err(RouterError::Failed(e.to_string())),
            Err(_) => Err(RouterError::Silent),
        }
    }

    /// Whose `external` is, seen from our socket on `internal`. An error: the router does not tell,
    /// and what is not known to be free is not asked for.
    pub async fn port(&self, external: u16, internal: u16) -> Result<Port, RouterError> {
        let entry = match within(REQUEST, self.specific(external)).await {
            // It does not know the question. Its list says the same if it is read to its end.
            Err(RouterError::Failed(_)) => within(LISTING, self.listed(external)).await?,
            entry => entry?,
        };
        let shown = self.shown.as_ref().filter(|(at, _)| *at == external).map(|(_, e)| e);
        if shown.is_some_and(|shown| entry.as_ref().is_some_and(|e| e.names_the_same(shown))) {
            return Ok(Port::Ours);
        }
        Ok(policy::port(entry.as_ref(), self.client, internal))
    }

    /// The router's word on one port (GetSpecificPortMappingEntry), which igd-next does not ask for.
    async fn specific(&self, external: u16) -> Result<Option<Entry>, RouterError> {
        const ACTION: &str = "GetSpecificPortMappingEntry";
        let Gateway { addr, control_url, service_type, .. } = &self.gateway;
        let url = if control_url.starts_with("http://") {
            control_url.clone()
        } else {
            format!("http://{addr}{control_url}")
        };
        let action = format!("\"{service_type}#{ACTION}\"");
        let body = format!(
            "<?xml version=\"1.0\"?>\n\
             <s:Envelope s:encodingStyle=\"http://schemas.xmlsoap.org/soap/encoding/\" \
             xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Body>\
             <u:{ACTION} xmlns:u=\"{service_type}\"><NewRemoteHost></NewRemoteHost>\
             <NewExternalPort>{external}</NewExternalPort><NewProtocol>UDP</NewProtocol>\
             </u:{ACTION}></s:Body></s:Envelope>"
        );
        let answer = Tokio::send_async(&url, &action, &body).await;
        entry(&answer.map_err(|e| RouterError::Failed(e.to_string()))?, external)
    }

    /// The same from the list (GetGenericPortMappingEntry).
    async fn listed(&self, external: u16) -> Result<Option<Entry>, RouterError> {
        for index in 0..ENTRIES {
            match self.gateway.get_generic_port_mapping_entry(index).await {
                Ok(e) if e.external_port == external && e.protocol == UDP => {
                    return Ok(Some(Entry {
                        client: e.internal_client,
                        internal_port: e.internal_port,
                        description: e.port_mapping_description,
                        lease_seconds: Some(e.lease_duration),
                    }));
                }
                Ok(_) => {}
                // Both codes mark the end of the list on routers that are about.
                Err(
                    GetGenericPortMappingEntryError::SpecifiedArrayIndexInvalid
                    | GetGenericPortMappingEntryError::RequestError(RequestError::ErrorCode(714, _)),
                ) => return Ok(None),
                Err(_) => break,
            }
        }
        Err(RouterError::Failed("the router does not tell which of its ports are free".to_owned()))
    }
}

/// Reads the answer to GetSpecificPortMappingEntry. Reading takes longer and longer the deeper elements
/// are nested, so that ends early.
fn entry(answer: &str, external: u16) -> Result<Option<Entry>, RouterError> {
    let nonsense = || RouterError::Failed("the router's answer makes no sense".to_owned());
    let mut found = Entry::default();
    let (mut element, mut client, mut port) = (String::new(), false, false);
    let mut depth = 0;
    for event in EventReader::new(answer.as_bytes()) {
        match event.map_err(|_| nonsense())? {
            XmlEvent::StartElement { .. } if depth == DEEPEST => return Err(nonsense()),
            XmlEvent::StartElement { name, .. } => {
                depth += 1;
                element = name.local_name;
            }
            XmlEvent::EndElement { .. } => {
                depth -= 1;
                element.clear();
            }
            XmlEvent::Characters(text) | XmlEvent::CData(text) => {
                let text = text.trim();
                match element.as_str() {
                    "errorCode" if text == NO_SUCH_ENTRY => return Ok(None),
                    // Another machine's, or it refuses whatever is asked.
                    "errorCode" if text == NOT_AUTHORIZED => {
                        return Err(RouterError::Refused(format!("error {text}, not authorized")));
                    }
                    "errorCode" => {
                        let what = format!("the router does not tell of its port {external}");
                        return Err(RouterError::Failed(format!("{what} (error {text})")));
                    }
                    "NewInternalClient" => (found.client, client) = (text.to_owned(), true),
                    "NewInternalPort" => {
                        (found.internal_port, port) = (text.parse().map_err(|_| nonsense())?, true);
                    }
                    "NewPortMappingDescription" => found.description = text.to_owned(),
                    "NewLeaseDuration" => found.lease_seconds = text.parse().ok(),
                    _ => {}
                }
            }
            _ => {}
        }
    }
    if client && port { Ok(Some(found)) } else { Err(nonsense()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn soap(inner: &str) -> String {
        format!(
            "<?xml version=\"1.0\"?><s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\">\
             <s:Body>{inner}</s:Body></s:Envelope>"
        )
    }

    #[test]
    fn the_routers_word_on_a_port_is_understood() {
        let told = soap(
            "<u:GetSpecificPortMappingEntryResponse xmlns:u=\"urn:x\">\
             <NewInternalPort dt:dt=\"ui2\" xmlns:dt=\"urn:dt\"> 7000 </NewInternalPort>\
             <NewInternalClient>192.168.1.10</NewInternalClient><NewEnabled>1</NewEnabled>\
             <NewPortMappingDescription>Salt &amp; Pepper</NewPortMappingDescription>\
             <NewLeaseDuration>20</NewLeaseDuration></u:GetSpecificPortMappingEntryResponse>",
        );
        let expected = Entry {
            client: "192.168.1.10".to_owned(),
            internal_port: 7000,
            description: "Salt & Pepper".to_owned(),
            lease_seconds: Some(20),
        };
        assert_eq!(entry(&told, 7000).expect("it makes sense"), Some(expected));
        let fault = |code: u16| {
            soap(&format!(
                "<s:Fault><faultcode>s:Client</faultcode><detail><UPnPError xmlns=\"urn:e\">\
                 <errorCode>{code}</errorCode><errorDescription>x</errorDescription></UPnPError>\
                 </detail></s:Fault>"
            ))
        };
        assert_eq!(entry(&fault(714), 7000).expect("it makes sense"), None);
        for unknown in [&*fault(401), &*fault(606), &*soap(""), "<<< no router says this", ""] {
            assert!(entry(unknown, 7000).is_err(), "{unknown}");
        }
        let deep = soap(&format!("{}{}", "<a>".repeat(100_000), "</a>".repeat(100_000)));
        assert!(entry(&deep, 7000).is_err());
    }
}
