//! The control thread's part that people see: who knocks, who is let in, the invite, the ways.

use std::net::SocketAddr;

use super::control::{Ask, Control};
use super::net;
use super::receive::ReceiveCommand;
use crate::protocol::Scope;
use crate::protocol::handshake::Refusal;
use crate::protocol::invite::InviteKey;
use crate::protocol::mesh::MeshEvent;
use crate::ui::model::{Event, KnockView, PathKind};
use crate::ui::notice::Notice;
use crate::units::ParticipantId;

/// Six digits in two groups are read out without a mistake.
fn six(code: u32) -> String {
    format!("{:03} {:03}", code / 1_000 % 1_000, code % 1_000)
}

impl Control {
    /// What a person has decided.
    pub(super) fn decide(&mut self, ask: &Ask) {
        let now = crate::platform::clock::now();
        match *ask {
            Ask::Admit(knock) => {
                if !self.mesh.admit(now, knock) {
                    self.late(knock);
                }
            }
            Ask::Refuse(knock) => {
                if !self.mesh.refuse(now, knock) {
                    self.late(knock);
                }
            }
            Ask::Remove(id) => {
                if !self.mesh.remove_member(now, id) {
                    let who = self.mesh.introducer().filter(|&by| by != self.mesh.own());
                    let remedy = match who {
                        Some(by) => format!("ask participant {by}, who lets in and removes now"),
                        None => "look up the id in the list of participants".to_owned(),
                    };
                    self.events.notice(&Notice::CannotRemove { id: id.0, remedy });
                }
            }
            Ask::Leave | Ask::Keyframe(_) | Ask::Again(..) | Ask::Status(_) | Ask::Addresses(_) => {
            }
        }
    }

    fn late(&self, knock: u32) {
        self.events.notice(&Notice::KnockOver { knock });
    }

    pub(super) fn at_the_door(&mut self, event: MeshEvent) {
        match event {
            MeshEvent::Invite { key, addresses } => self.tell_invite(&key, &addresses),
            MeshEvent::Knock { knock, name, address, code } => {
                let (code, address) = (six(code), address.to_string());
                let view = KnockView {
                    id: knock,
                    name: name.clone(),
                    address: address.clone(),
                    code: code.clone(),
                };
                self.state.lock().unwrap_or_else(|e| e.into_inner()).knocks.push(view);
                self.events.send(Event::Knock { id: knock, name, address, code });
            }
            MeshEvent::KnockOver { knock, admitted } => {
                let mut state = self.state.lock().unwrap_or_else(|e| e.into_inner());
                state.knocks.retain(|k| k.id != knock);
                drop(state);
                self.events.send(Event::KnockOver { id: knock, admitted });
            }
            MeshEvent::KnockCode { code } => {
                self.events.send(Event::KnockCode { code: six(code) });
            }
            MeshEvent::TurnedAway { address, reason } => {
                let remedy = match reason {
                    Refusal::Full => "somebody has to leave first",
                    Refusal::Clock => "compare the date and time of both computers",
                    _ => "update both programs to the same version",
                };
                let why = match reason {
                    Refusal::Full => "the call is full",
                    Refusal::Clock => "the date or time there or here is wrong",
                    Refusal::Codecs => "that program has no codec in common with this one",
                    _ => "that program speaks another version of the protocol",
                };
                let address = address.to_string();
                self.events.notice(&Notice::GuestTurnedAway { address, why, remedy });
            }
            _ => {}
        }
    }

    fn tell_invite(&mut self, key: &InviteKey, addresses: &[SocketAddr]) {
        let listen = self.socket.local_addr();
        let invite = net::invite(self.public.as_deref(), listen, addresses, key).to_string();
        let line = Some(format!("hyperzoom join '{invite}'"));
        let mut state = self.state.lock().unwrap_or_else(|e| e.into_inner());
        // The host's first one is in its `ready` event.
        let news = state.invite_line != line;
        state.invite_line = line;
        drop(state);
        if news {
            self.events.send(Event::Invite { invite });
        }
    }

    pub(super) fn tell_path(
        &mut self,
        peer: ParticipantId,
        address: SocketAddr,
        relay: Option<ParticipantId>,
    ) {
        let direct = Some(address).filter(|_| relay.is_none());
        let _ = self.receive.send(ReceiveCommand::Address(peer, direct));
        let path = match direct {
            None => PathKind::Relay,
            Some(address) if Scope::of(address.ip()) == Scope::Home => PathKind::Local,
            Some(_) => PathKind::Direct,
        };
        let mut state = self.state.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(member) = state.members.get_mut(&peer.0) {
            member.path = path;
        }
        drop(state);
        self.events.send(Event::PeerPath { id: peer.0, path, via: relay.map(|id| id.0) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_has_six_digits_in_two_groups() {
        assert_eq!(six(7), "000 007");
        assert_eq!(six(123_456), "123 456");
    }
}
