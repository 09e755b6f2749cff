//! `hyperzoom host`: begins a call.

use std::net::SocketAddr;
use std::process::ExitCode;

use clap::{Args, ValueEnum};

use super::args::{CallArgs, CommonArgs, OutputMode};
use super::error::CliError;
use super::run::Show;
use crate::engine::config::{Admit, HostConfig, Role};
use crate::protocol::invite::{Invite, InviteKey};
use crate::ui::precall::Asked;

/// Flags of `host`.
#[derive(Debug, Args)]
pub struct HostArgs {
    /// Address and port to listen on (default: port 7000 on all addresses; port 0 is any free one)
    #[arg(long, value_name = "ADDR:PORT", value_parser = parse_listen)]
    pub listen: Option<SocketAddr>,

    /// Who may join; who comes without the key knocks, and where nobody can answer, ask is key
    #[arg(long, value_name = "WHO", value_enum, default_value = "ask")]
    pub admit: AdmitArg,

    /// Key of the invite, 26 letters A-Z and digits 2-7 (default: a new one)
    #[arg(long, value_name = "KEY")]
    pub key: Option<InviteKey>,

    /// Address that guests reach you at; the invite then shows it
    #[arg(long, value_name = "ADDR[:PORT]", value_parser = parse_public)]
    pub public: Option<String>,

    /// Do not ask the router to let guests in (UPnP, NAT-PMP, PCP)
    #[arg(long)]
    pub no_port_mapping: bool,

    /// Record at once instead of from the first guest on
    #[arg(long)]
    pub record_now: bool,

    /// What calls alone take.
    #[command(flatten)]
    pub call: CallArgs,

    /// The flags shared by all.
    #[command(flatten)]
    pub common: CommonArgs,
}

/// `--admit`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AdmitArg {
    /// Whoever has the invite's key
    Key,
    /// Everybody who finds the port
    All,
    /// Whoever has the key, and whoever you let in
    Ask,
}

/// Runs the subcommand.
pub fn run(args: HostArgs) -> Result<ExitCode, CliError> {
    begin(args, Asked::Host, String::new())
}

/// `hyperzoom` alone: the screen before the call asks whether to host or to join.
pub fn either(args: HostArgs) -> Result<ExitCode, CliError> {
    begin(args, Asked::Either, std::env::var("HYPERZOOM_INVITE").unwrap_or_default())
}

fn begin(args: HostArgs, asked: Asked, address: String) -> Result<ExitCode, CliError> {
    let mode = args.common.output_mode();
    let before = args.common.asks(mode).then_some((asked, address));
    let yes = args.common.yes;
    let log = args.common.log.clone();
    let role = Role::Host(HostConfig {
        listen: args.listen,
        admit: match args.admit {
            AdmitArg::Key => Admit::Key,
            AdmitArg::All => Admit::All,
            // Plain lines read no keys and no commands: nobody could answer.
            AdmitArg::Ask if mode == OutputMode::Plain => Admit::Key,
            AdmitArg::Ask => Admit::Ask,
        },
        key: args.key.map(|key| key.0),
        public: args.public,
        record_now: args.record_now,
        port_mapping: !args.no_port_mapping,
    });
    let mut config = args.common.into_config(role)?;
    config.safety_tracks = !args.call.no_safety_tracks;
    super::run::run(config, Show { mode, log, before, yes })
}

/// `ADDR:PORT`, numeric.
pub fn parse_listen(s: &str) -> Result<SocketAddr, String> {
    s.parse().map_err(|_| "not ADDR:PORT in numbers; try 0.0.0.0:7000 or [::]:7000".to_owned())
}

fn parse_public(s: &str) -> Result<String, String> {
    if s.contains('#') {
        return Err("an address without its key is meant; try ADDRESS:PORT".to_owned());
    }
    s.parse::<Invite>().map(|_| s.trim().to_owned()).map_err(|e| e.to_string())
}
