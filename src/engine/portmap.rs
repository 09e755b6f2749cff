//! Port mapping's place in a call: who is told what the router said.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use super::call_state::CallState;
use super::events::Events;
use super::net;
use crate::net::interfaces;
use crate::net::portmap::{self, Mapping, News, Notes, PortMapper, Reach};
use crate::protocol::Scope;
use crate::protocol::invite::{Invite, InviteKey};
use crate::ui::model::Event;
use crate::ui::notice::Notice;

/// What a host's invite is made of; a guest has none.
#[derive(Clone)]
pub struct Inviting {
    /// The invite's key.
    pub key: InviteKey,
    /// `--public` told the address: the router's does not replace it.
    pub public_told: bool,
}

/// Begins to map the socket's port; `None` where there is nothing to map.
pub fn start(
    listen: SocketAddr,
    inviting: Option<Inviting>,
    events: &Events,
    state: &Arc<Mutex<CallState>>,
) -> Option<PortMapper> {
    // A socket that listens on one address only and is not reached through a router.
    if listen.ip().is_loopback() {
        return None;
    }
    let port = listen.port();
    let (events_too, state) = (events.clone(), state.clone());
    let mut teller = Teller { listen, inviting, events: events_too, state, warned: false };
    let random = || u16::from_be_bytes(net::random());
    match PortMapper::start(port, Notes::here(), random, move |news| teller.tell(news)) {
        Ok(mapper) => Some(mapper),
        Err(e) => {
            events.notice(&Notice::PortMappingOff { why: e.to_string(), port });
            None
        }
    }
}

/// Without port mapping: a host whom nobody outside can reach is told all the same.
pub fn without(listen: SocketAddr, inviting: Option<&Inviting>, events: &Events) {
    if !listen.ip().is_loopback() {
        warn(listen, inviting, "port mapping is switched off", events);
    }
}

/// Tells a host whom nobody outside can reach why, and what to do; nobody else. A machine with a public
/// address of its own needs no router's help, nor does a person who has told where guests get in.
fn warn(listen: SocketAddr, inviting: Option<&Inviting>, why: &str, events: &Events) {
    let port = listen.port();
    let ip = Some(listen.ip()).filter(|ip| !ip.is_unspecified()).or_else(interfaces::best_address);
    if inviting.is_none_or(|i| i.public_told) {
        return;
    }
    match ip.map(Scope::of) {
        Some(Scope::Anywhere) => {}
        // There is no router here whose settings would help.
        Some(Scope::Carrier) => not_public(Reach::CarrierNat, port, events),
        Some(Scope::Home) | None => {
            events.notice(&Notice::PortNotMapped { why: why.to_owned(), port });
        }
    }
}

fn not_public(reach: Reach, port: u16, events: &Events) {
    if let Some((what, remedy)) = portmap::advice(reach, port) {
        events.notice(&Notice::RouterNotPublic { what, remedy });
    }
}

struct Teller {
    listen: SocketAddr,
    inviting: Option<Inviting>,
    events: Events,
    state: Arc<Mutex<CallState>>,
    /// The person knows already that the router says nothing, and what to do.
    warned: bool,
}

impl Teller {
    fn tell(&mut self, news: News) {
        match news {
            News::Late => {
                self.failed("the router has not answered yet");
                self.warned = true;
            }
            News::Mapped(mapping) => {
                self.warned = false;
                self.mapped(mapping);
            }
            News::Failed(_) if std::mem::take(&mut self.warned) => {}
            News::Failed(why) => self.failed(&why),
            News::Removed(mapping) => {
                self.state.lock().unwrap_or_else(|e| e.into_inner()).mapped = None;
                self.events.send(event("removed", Some(mapping), None));
            }
            News::Left(mapping) => {
                self.events.send(event("left", Some(mapping), None));
                let port = mapping.external.port();
                let until = if mapping.permanent {
                    "the next start takes it back"
                } else {
                    "the router closes it by itself within ten minutes"
                };
                self.events.notice(&Notice::PortLeftOpen { port, until });
            }
        }
    }

    fn mapped(&self, mapping: Mapping) {
        let reach = portmap::reach(mapping.external.ip());
        let invite = match &self.inviting {
            Some(inviting) if !inviting.public_told && reach == Reach::Public => {
                let invite = Invite {
                    address: mapping.external.ip().to_string(),
                    port: mapping.external.port(),
                    key: Some(inviting.key),
                };
                Some(invite.to_string())
            }
            _ => None,
        };
        {
            // At once: nobody is to see the one without the other.
            let mut state = self.state.lock().unwrap_or_else(|e| e.into_inner());
            // The control thread offers it to the others.
            state.mapped = Some(mapping.external).filter(|_| reach == Reach::Public);
            if let Some(invite) = &invite {
                state.invite_line = Some(format!("hyperzoom join '{invite}'"));
            }
        }
        self.events.send(event("mapped", Some(mapping), invite));
        if let Some(inviting) = &self.inviting
            && !inviting.public_told
        {
            not_public(reach, self.listen.port(), &self.events);
        }
    }

    fn failed(&self, why: &str) {
        self.state.lock().unwrap_or_else(|e| e.into_inner()).mapped = None;
        self.events.send(event("failed", None, None));
        warn(self.listen, self.inviting.as_ref(), why, &self.events);
    }
}

fn event(state: &'static str, mapping: Option<Mapping>, invite: Option<String>) -> Event {
    Event::PortMapping {
        state,
        method: mapping.map(|m| m.method.name()),
        external: mapping.map(|m| m.external.to_string()),
        invite,
    }
}
