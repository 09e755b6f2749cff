//! Port mapping's place in a call: who is told what the router said.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use super::call_state::CallState;
use super::events::Events;
use super::net;
use crate::net::interfaces;
use crate::net::portmap::{self, Mapping, News, Notes, PortMapper, Reach};
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
    let teller = Teller { port, inviting, events: events.clone(), state: state.clone() };
    let random = || u16::from_be_bytes(net::random());
    match PortMapper::start(port, Notes::here(), random, move |news| teller.tell(news)) {
        Ok(mapper) => Some(mapper),
        Err(e) => {
            events.notice(&Notice::PortMappingOff { why: e.to_string(), port });
            None
        }
    }
}

struct Teller {
    port: u16,
    inviting: Option<Inviting>,
    events: Events,
    state: Arc<Mutex<CallState>>,
}

impl Teller {
    fn tell(&self, news: News) {
        match news {
            News::Mapped(mapping) => self.mapped(mapping),
            News::Failed(why) => self.failed(&why),
            News::Removed(mapping) => {
                self.state.lock().unwrap_or_else(|e| e.into_inner()).mapped = None;
                self.events.send(event("removed", Some(mapping), None));
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
            && let Some((what, remedy)) = portmap::advice(reach, self.port)
        {
            self.events.notice(&Notice::RouterNotPublic { what, remedy });
        }
    }

    fn failed(&self, why: &str) {
        self.state.lock().unwrap_or_else(|e| e.into_inner()).mapped = None;
        self.events.send(event("failed", None, None));
        let needed = self.inviting.as_ref().is_some_and(|i| !i.public_told);
        // A machine with a public address of its own needs no router's help.
        let reachable =
            interfaces::best_address().is_some_and(|ip| portmap::reach(ip) == Reach::Public);
        if needed && !reachable {
            let (why, port) = (why.to_owned(), self.port);
            self.events.notice(&Notice::PortNotMapped { why, port });
        }
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
