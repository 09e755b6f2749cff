//! How long a NAT-PMP or PCP router has had its state: less than before means that it has restarted and
//! forgotten us. The crate that maps does not ask for that alone.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::time::timeout;

/// One answer is awaited so long.
const PATIENCE: Duration = Duration::from_millis(400);
const TRIES: usize = 2;

/// A router's sign of life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sign {
    /// Seconds since it began to keep mappings.
    pub epoch: u32,
    /// Its outer address; PCP does not tell it here.
    pub external: Option<Ipv4Addr>,
}

/// Asks for it, by PCP or else by NAT-PMP; `None` when nothing that makes sense comes back.
pub async fn ask(gateway: Ipv4Addr, client: Ipv4Addr, pcp: bool) -> Option<Sign> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).await.ok()?;
    socket.connect(SocketAddr::from((gateway, crab_nat::GATEWAY_PORT))).await.ok()?;
    // RFC 6886, section 3.2; RFC 6887, sections 7.1 and 14.1 (ANNOUNCE).
    let mut request = vec![0, 0];
    if pcp {
        request = vec![2, 0, 0, 0, 0, 0, 0, 0];
        request.extend(client.to_ipv6_mapped().octets());
    }
    let mut answer = [0; 64];
    for _ in 0..TRIES {
        socket.send(&request).await.ok()?;
        if let Ok(Ok(n)) = timeout(PATIENCE, socket.recv(&mut answer)).await {
            return read(&answer[..n], pcp);
        }
    }
    None
}

/// Reads it. A refusal tells the time, too.
fn read(answer: &[u8], pcp: bool) -> Option<Sign> {
    let word = |at: usize| answer.get(at..at + 4)?.try_into().ok();
    match (pcp, answer.get(..2)?) {
        (false, [0, 0x80]) => {
            let external = word(8).map(Ipv4Addr::from).filter(|_| answer[2..4] == [0, 0]);
            Some(Sign { epoch: u32::from_be_bytes(word(4)?), external })
        }
        (true, [2, 0x80]) => Some(Sign { epoch: u32::from_be_bytes(word(8)?), external: None }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_epoch_is_read_out_of_either_answer_and_nonsense_is_none() {
        let pmp = [0, 128, 0, 0, 0, 0, 1, 4, 11, 1, 1, 2];
        let external = Some(Ipv4Addr::new(11, 1, 1, 2));
        assert_eq!(read(&pmp, false), Some(Sign { epoch: 260, external }));
        let mut refused = pmp;
        refused[3] = 3;
        assert_eq!(read(&refused, false), Some(Sign { epoch: 260, external: None }));
        let mut pcp = [0; 24];
        (pcp[0], pcp[1], pcp[3], pcp[11]) = (2, 128, 4, 9);
        assert_eq!(read(&pcp, true), Some(Sign { epoch: 9, external: None }));
        for (answer, by_pcp) in [
            (&pmp[..], true),
            (&pcp[..], false),
            (&pmp[..7], false),
            (&pcp[..11], true),
            (&[], true),
        ] {
            assert_eq!(read(answer, by_pcp), None, "{answer:?}");
        }
    }
}
