//! `hyperzoom join`: joins a call.

use std::io::{BufRead, IsTerminal};
use std::net::SocketAddr;
use std::process::ExitCode;

use clap::Args;

use super::args::{CallArgs, CommonArgs};
use super::error::{CliError, Problem};
use super::host::parse_listen;
use super::run::Show;
use crate::engine::config::{GuestConfig, Role};
use crate::protocol::invite::{DEFAULT_PORT, Invite, MalformedInvite, in_line};
use crate::ui::precall::Asked;

/// Longest invite read from standard input: the longest host name (253), a port and a key, with
/// room for quotes; whatever is longer is some other file.
const LONGEST_INVITE: u64 = 1024;

/// Flags of `join`.
#[derive(Debug, Args)]
pub struct JoinArgs {
    /// The host's invite, ADDRESS[:PORT][#KEY], or - to read it from standard input
    #[arg(value_name = "ADDRESS", env = "HYPERZOOM_INVITE", hide_env_values = true)]
    pub address: Option<String>,

    /// Address and port to listen on (default: any free port on all addresses)
    #[arg(long, value_name = "ADDR:PORT", value_parser = parse_listen)]
    pub listen: Option<SocketAddr>,

    /// Do not ask the router to let the others in (UPnP, NAT-PMP, PCP)
    #[arg(long)]
    pub no_port_mapping: bool,

    /// What calls alone take.
    #[command(flatten)]
    pub call: CallArgs,

    /// The flags shared by all.
    #[command(flatten)]
    pub common: CommonArgs,
}

/// Runs the subcommand.
pub fn run(args: JoinArgs) -> Result<ExitCode, CliError> {
    let mode = args.common.output_mode();
    let asks = args.common.asks(mode);
    let text = match args.address {
        Some(address) if address == "-" => {
            if std::io::stdin().is_terminal() {
                eprint!("Invite: ");
            }
            read_line(std::io::stdin().lock())?
        }
        Some(address) => address,
        None if asks => String::new(),
        None => {
            return Err(Problem::NoAddress.into());
        }
    };
    let invite = match in_line(&text).parse() {
        Ok(invite) => invite,
        // The screen before the call says what is wrong with it.
        Err(_) if asks => Invite { address: String::new(), port: DEFAULT_PORT, key: None },
        Err(e) => return Err(CliError::usage(MalformedInvite::to_string(&e))),
    };
    let before = asks.then_some((Asked::Join, text));
    let yes = args.common.yes;
    let log = args.common.log.clone();
    let role = Role::Guest(GuestConfig {
        address: invite.address,
        port: invite.port,
        key: invite.key.map(|key| key.0),
        listen: args.listen,
        port_mapping: !args.no_port_mapping,
    });
    let mut config = args.common.into_config(role)?;
    config.safety_tracks = !args.call.no_safety_tracks;
    super::run::run(config, Show { mode, log, before, yes })
}

/// One line and no more: with `--json`, commands follow on the same standard input.
fn read_line(input: impl BufRead) -> Result<String, CliError> {
    let mut line = Vec::new();
    let read = std::io::Read::take(input, LONGEST_INVITE).read_until(b'\n', &mut line);
    let text = String::from_utf8(line).unwrap_or_default();
    if read.is_err() || text.trim().is_empty() {
        return Err(Problem::NoInvite.into());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_a_pasted_line_every_flag_of_join_is_passed_over_with_its_value() {
        let mut program = crate::cli::command();
        program.build();
        let join = program.find_subcommand("join").expect("it is one");
        let mut seen = 0;
        for flag in join.get_arguments().filter_map(clap::Arg::get_long) {
            let arg = join.get_arguments().find(|arg| arg.get_long() == Some(flag));
            let value = arg.is_some_and(|arg| arg.get_action().takes_values());
            let value = if value { " value" } else { "" };
            let line = format!("hyperzoom join --{flag}{value} studio");
            assert_eq!(in_line(&line), "studio", "{line}");
            seen += 1;
        }
        assert!(seen > 20, "{seen}");
    }

    #[test]
    fn only_the_first_line_of_standard_input_is_the_invite() {
        let mut input = &b"1.2.3.4:7000\n{\"do\":\"mute\"}\n"[..];
        assert_eq!(read_line(&mut input).ok().as_deref(), Some("1.2.3.4:7000\n"));
        assert_eq!(input, b"{\"do\":\"mute\"}\n");
        assert!(read_line(&b""[..]).is_err());
        assert!(read_line(&b"\n"[..]).is_err());
        assert!(read_line(&b"\xff\xfe\n"[..]).is_err());
    }
}
