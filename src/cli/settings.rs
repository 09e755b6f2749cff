//! What stands under the flags: HYPERZOOM_* variables, then the configuration file, then defaults.
//!
//! Keys are the long flags' names. Pure: the file's text and the variables come as parameters.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::builder::OsStr;
use clap::{Arg, ArgAction, Command, ValueHint};
use strsim::osa_distance;
use toml::de::{DeTable, DeValue};

use super::error::{CliError, Problem};

/// The subcommands that take their flags from here too; each may have a table of its own.
pub const COMMANDS: [&str; 4] = ["host", "join", "record", "doctor"];

/// Not settings: they change what a script gets, and belong on its command line.
const NEVER: [&str; 3] = ["help", "version", "json"];

/// Two flags that take each other back: one on the command line counts against the other here.
const PAIR: [&str; 2] = ["window", "no-window"];

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// That variable.
    Environment(String),
    /// That line of the file, counted from 1.
    File(usize),
}

/// One setting of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    /// The subcommand's table; `None` for the top, which all share.
    table: Option<String>,
    key: String,
    value: String,
    line: usize,
}

/// File and variables, read but not yet matched with the flags.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    path: Option<PathBuf>,
    entries: Vec<Entry>,
    /// The file can be read and is not TOML: told when it is needed.
    broken: Option<(usize, String)>,
    /// HYPERZOOM_* variables.
    environment: Vec<(String, String)>,
    home: Option<PathBuf>,
}

impl Settings {
    /// From the text of the file at `path`, if there is one, the process's variables, and the home
    /// folder that `~/` means.
    pub fn new(
        path: Option<PathBuf>,
        text: Option<&str>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        home: Option<PathBuf>,
    ) -> Self {
        let environment = environment
            .into_iter()
            .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(key, value)| key.starts_with("HYPERZOOM_") && !value.is_empty())
            .collect();
        let (entries, broken) = match text.map(entries) {
            None => (Vec::new(), None),
            Some(Ok(entries)) => (entries, None),
            Some(Err(broken)) => (Vec::new(), Some(broken)),
        };
        Self { path, entries, broken, environment, home }
    }

    /// Checks all that is set for one subcommand of `root`, and makes it the defaults there.
    /// `typed` are the program's own arguments.
    pub fn apply(
        &self,
        mut root: Command,
        subcommand: &str,
        typed: &[OsString],
    ) -> Result<Command, CliError> {
        self.check(&root)?;
        let said = PAIR.iter().any(|key| typed.iter().any(|arg| *arg == *format!("--{key}")));
        let Some(command) = root.find_subcommand_mut(subcommand) else { return Ok(root) };
        let mut set = Vec::new();
        for arg in settable(command) {
            let key = arg.get_long().unwrap_or_default();
            let Some((value, source)) = self.lookup(subcommand, key) else { continue };
            let value = self.valid(arg, &value, &source)?;
            if !(said && PAIR.contains(&key)) {
                set.push((arg.get_id().clone(), value));
            }
        }
        // `mut_arg` would put the argument behind all others.
        let changed =
            command.clone().mut_args(|arg| match set.iter().find(|(id, _)| id == arg.get_id()) {
                Some((_, value)) => arg.default_value(OsStr::from(value.clone())),
                None => arg,
            });
        *command = changed;
        Ok(root)
    }

    /// The value for that flag of that subcommand, as it is written, and where it comes from.
    pub fn lookup(&self, subcommand: &str, key: &str) -> Option<(String, Source)> {
        let name = variable(key);
        let variable = self.environment.iter().find(|(have, _)| *have == name);
        if let Some((name, value)) = variable {
            return Some((value.clone(), Source::Environment(name.clone())));
        }
        let of = |table: Option<&str>| {
            self.entries.iter().find(|e| e.table.as_deref() == table && e.key == key)
        };
        let entry = of(Some(subcommand)).or_else(|| of(None))?;
        Some((entry.value.clone(), Source::File(entry.line)))
    }

    /// Refuses a file that is no TOML, and keys that mean nothing anywhere.
    fn check(&self, root: &Command) -> Result<(), CliError> {
        if let Some((line, why)) = &self.broken {
            return Err(Problem::ConfigSyntax { place: self.place(*line), why: why.clone() }.into());
        }
        for entry in &self.entries {
            let tables: Vec<&str> = match &entry.table {
                Some(table) => vec![table],
                None => COMMANDS.to_vec(),
            };
            if let Some(table) = &entry.table
                && !COMMANDS.contains(&table.as_str())
            {
                return Err(Problem::ConfigCommand {
                    place: self.place(entry.line),
                    name: table.clone(),
                    tables: format!("[{}]", COMMANDS.join("], [")),
                }
                .into());
            }
            let keys: Vec<&str> = tables
                .iter()
                .filter_map(|name| root.find_subcommand(name))
                .flat_map(settable)
                .filter_map(Arg::get_long)
                .collect();
            if !keys.contains(&entry.key.as_str()) {
                let nearest = keys.iter().min_by_key(|key| osa_distance(key, &entry.key));
                return Err(Problem::ConfigSetting {
                    place: self.place(entry.line),
                    name: entry.key.clone(),
                    near: nearest.map_or("hyperzoom config", |key| *key).to_owned(),
                }
                .into());
            }
        }
        Ok(())
    }

    /// The value as the command line would take it, or what is wrong with it and where it stands.
    fn valid(&self, arg: &Arg, value: &str, source: &Source) -> Result<String, CliError> {
        let key = arg.get_long().unwrap_or_default();
        let wrong = |why: &str| {
            let place = match source {
                Source::File(line) => format!("{}: {key} = {value:?}", self.place(*line)),
                Source::Environment(name) => format!("{name}={value}"),
            };
            CliError::from(Problem::ConfigValue { place, why: with_remedy(why) })
        };
        if matches!(arg.get_action(), ArgAction::SetTrue) {
            return match value.to_ascii_lowercase().as_str() {
                "1" | "true" | "yes" | "on" => Ok("true".to_owned()),
                "0" | "false" | "no" | "off" => Ok("false".to_owned()),
                _ => Err(wrong("neither on nor off; try true or false")),
            };
        }
        let value = match (arg.get_value_hint(), value.strip_prefix("~/"), &self.home) {
            (ValueHint::DirPath | ValueHint::FilePath, Some(rest), Some(home)) => {
                home.join(rest).display().to_string()
            }
            _ => value.to_owned(),
        };
        let lone = Arg::new("value")
            .long("value")
            .allow_hyphen_values(true)
            .value_parser(arg.get_value_parser().clone());
        let probe = Command::new("probe").no_binary_name(true).arg(lone);
        match probe.try_get_matches_from([format!("--value={value}")]) {
            Ok(_) => Ok(value),
            Err(e) => {
                // "invalid value 'x' for '--value <value>': why", and possible values in the next.
                let text = super::error::condense(&e.to_string());
                let why = text.split_once(">': ").map_or(text.as_str(), |(_, why)| why);
                let why = why.replace("--value <value>", &format!("--{key}"));
                Err(wrong(&why))
            }
        }
    }

    /// A line of the file, for a person.
    fn place(&self, line: usize) -> String {
        let path = self.path.as_deref().unwrap_or(Path::new("configuration"));
        format!("{}:{line}", path.display())
    }

    /// Variables that look like ours and are none, each with the one that is most like it.
    pub fn strangers(&self, root: &Command) -> Vec<Stranger> {
        let known: BTreeSet<String> = COMMANDS
            .iter()
            .filter_map(|name| root.find_subcommand(name))
            .flat_map(settable)
            .filter_map(|arg| arg.get_long().map(variable))
            .chain(OTHER_VARIABLES.map(str::to_owned))
            .collect();
        let others = self.environment.iter().map(|(name, _)| name);
        let others = others.filter(|name| !known.contains(*name));
        others
            .filter(|name| !NOT_FOR_PEOPLE.contains(&name.as_str()))
            .map(|name| {
                let near = known.iter().min_by_key(|key| osa_distance(key, name));
                Stranger { name: name.clone(), near: near.cloned().unwrap_or_default() }
            })
            .collect()
    }
}

/// Variables that are no flags.
const OTHER_VARIABLES: [&str; 3] = ["HYPERZOOM_CONFIG", "HYPERZOOM_INVITE", "HYPERZOOM_LOG_LEVEL"];

/// Variables of the program itself, its tests and its scripts.
const NOT_FOR_PEOPLE: [&str; 10] = [
    "HYPERZOOM_FIRST_SEED",
    "HYPERZOOM_NO_INSTALL",
    "HYPERZOOM_RELEASE_BINARY",
    "HYPERZOOM_SEEDS",
    "HYPERZOOM_SETUP_ROUND",
    "HYPERZOOM_SOAK",
    "HYPERZOOM_SUPERVISOR",
    "HYPERZOOM_TEST_DASHBOARD",
    "HYPERZOOM_TRACES",
    "HYPERZOOM_UPDATE",
];

/// A variable that begins as ours do and sets nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} sets nothing; try {near}")]
pub struct Stranger {
    /// Its name.
    pub name: String,
    /// The one that is most like it.
    pub near: String,
}

/// The flags that can be set here.
pub fn settable(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|arg| {
        let long = arg.get_long();
        !arg.is_hide_set() && long.is_some_and(|long| !NEVER.contains(&long))
    })
}

/// The variable for a flag.
pub fn variable(key: &str) -> String {
    format!("HYPERZOOM_{}", key.replace('-', "_").to_ascii_uppercase())
}

fn with_remedy(why: &str) -> String {
    if why.contains("; try ") { why.to_owned() } else { format!("{why}; try --help") }
}

fn entries(text: &str) -> Result<Vec<Entry>, (usize, String)> {
    let line = |at: usize| 1 + text[..at.min(text.len())].matches('\n').count();
    let table = DeTable::parse(text).map_err(|e| {
        (line(e.span().map_or(0, |span| span.start)), format!("not TOML: {}", e.message()))
    })?;
    let mut list = Vec::new();
    for (key, value) in table.get_ref() {
        match value.get_ref() {
            DeValue::Table(inner) => {
                for (inner_key, value) in inner {
                    let at = line(inner_key.span().start);
                    let value = scalar(value.get_ref()).map_err(|why| (at, why))?;
                    list.push(Entry {
                        table: Some(key.get_ref().to_string()),
                        key: inner_key.get_ref().to_string(),
                        value,
                        line: at,
                    });
                }
            }
            value => {
                let at = line(key.span().start);
                let value = scalar(value).map_err(|why| (at, why))?;
                list.push(Entry { table: None, key: key.get_ref().to_string(), value, line: at });
            }
        }
    }
    Ok(list)
}

/// As it would be typed.
fn scalar(value: &DeValue<'_>) -> Result<String, String> {
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(number) => Ok(number.as_str().to_owned()),
        DeValue::Float(number) => Ok(number.as_str().to_owned()),
        DeValue::Boolean(on) => Ok(on.to_string()),
        _ => Err("one value is meant, text, number, true or false".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Commands};
    use clap::FromArgMatches;

    fn settings(text: &str, variables: &[(&str, &str)]) -> Settings {
        let variables = variables.iter().map(|(k, v)| (OsString::from(k), OsString::from(v)));
        Settings::new(Some("c.toml".into()), Some(text), variables, Some("/home/ada".into()))
    }

    fn parse(settings: &Settings, args: &[&str]) -> Result<Commands, String> {
        let typed: Vec<OsString> = args.iter().map(Into::into).collect();
        let root =
            settings.apply(crate::cli::command(), args[1], &typed).map_err(|e| e.to_string())?;
        let matches = root.try_get_matches_from(args).map_err(|e| e.to_string())?;
        let cli = Cli::from_arg_matches(&matches).map_err(|e| e.to_string())?;
        cli.command.ok_or_else(|| "no command".to_owned())
    }

    const FILE: &str = r#"
name = "Ada"
mic = "Shure"
video-bitrate = 700
mute = true
output = "~/Podcasts"

[host]
name = "Ada, hosting"
listen = "0.0.0.0:9000"
"#;

    #[test]
    fn flags_win_over_variables_over_the_commands_table_over_the_files_top_over_defaults() {
        let file = settings(FILE, &[("HYPERZOOM_MIC", "Rode"), ("HYPERZOOM_UPDATE", "1")]);
        let Ok(Commands::Host(host)) = parse(&file, &["hyperzoom", "host", "--mute"]) else {
            panic!("host");
        };
        assert_eq!(host.common.name.as_deref(), Some("Ada, hosting"));
        assert_eq!(host.listen, "0.0.0.0:9000".parse().ok());
        assert_eq!(host.common.video_bitrate, 700);
        assert_eq!(host.common.mic, "Rode".parse().unwrap());
        assert_eq!(host.common.output.as_deref(), Some(Path::new("/home/ada/Podcasts")));
        assert!(host.common.mute);
        let args = ["hyperzoom", "record", "--name", "Eve", "--video-bitrate", "100"];
        let Ok(Commands::Record(record)) = parse(&file, &args) else { panic!("record") };
        assert_eq!(record.common.name.as_deref(), Some("Eve"));
        assert_eq!(record.common.video_bitrate, 100);
        // A variable can take a flag of the file back.
        let off = settings(FILE, &[("HYPERZOOM_MUTE", "off")]);
        let Ok(Commands::Record(record)) = parse(&off, &["hyperzoom", "record"]) else { panic!() };
        assert!(!record.common.mute && record.common.name.as_deref() == Some("Ada"));
    }

    #[test]
    fn a_window_flag_on_the_command_line_counts_against_either_in_the_file() {
        let file = settings("window = true", &[]);
        let Ok(Commands::Record(record)) = parse(&file, &["hyperzoom", "record", "--no-window"])
        else {
            panic!()
        };
        assert!(record.common.no_window && !record.common.window);
        let Ok(Commands::Record(record)) = parse(&file, &["hyperzoom", "record"]) else { panic!() };
        assert!(record.common.window);
        // And a default is no conflict with what is typed.
        let file = settings("no-tui = true", &[]);
        assert!(parse(&file, &["hyperzoom", "record", "--json"]).is_ok());
    }

    #[test]
    fn a_variable_that_sets_nothing_is_told_with_the_one_that_was_meant() {
        let variables = [
            ("HYPERZOOM_NAEM", "Ada"),
            ("HYPERZOOM_MIC", "Rode"),
            ("HYPERZOOM_VIDEO_BIT_RATE", "700"),
            ("HYPERZOOM_LOG_LEVEL", "debug"),
            ("HYPERZOOM_UPDATE", "1"),
            ("HYPERZOOM_CAMRA", ""),
        ];
        let told: Vec<String> = settings("", &variables)
            .strangers(&crate::cli::command())
            .iter()
            .map(Stranger::to_string)
            .collect();
        assert_eq!(
            told,
            [
                "HYPERZOOM_NAEM sets nothing; try HYPERZOOM_NAME",
                "HYPERZOOM_VIDEO_BIT_RATE sets nothing; try HYPERZOOM_VIDEO_BITRATE",
            ]
        );
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line_and_what_to_try() {
        for (text, message) in [
            ("name = ", "c.toml:1: not TOML: "),
            ("\nmik = \"x\"", "c.toml:2: there is no setting \"mik\"; try mic"),
            (
                "[hots]\nname = \"x\"",
                "c.toml:2: there is no command [hots] to set anything for; try [host]",
            ),
            ("[record]\nlisten = \"0.0.0.0:1\"", "c.toml:2: there is no setting \"listen\""),
            (
                "audio-bitrate = 12",
                "c.toml:1: audio-bitrate = \"12\": not auto or a number of kbit/s from 24 to 96; try auto",
            ),
            ("admit = \"some\"", "c.toml:1: admit = \"some\""),
            (
                "mute = \"maybe\"",
                "c.toml:1: mute = \"maybe\": neither on nor off; try true or false",
            ),
            ("mic = [1]", "c.toml:1: one value is meant"),
            ("json = true", "c.toml:1: there is no setting \"json\""),
        ] {
            let error = parse(&settings(text, &[]), &["hyperzoom", "host"]).unwrap_err();
            assert!(error.starts_with(message), "{error}\n{message}");
            assert!(error.contains("; try ") && !error.contains('\n'), "{error}");
        }
        let variable = settings("", &[("HYPERZOOM_AUDIO_BITRATE", "12")]);
        let error = parse(&variable, &["hyperzoom", "join", "1.2.3.4:7000"]).unwrap_err();
        assert!(error.starts_with("HYPERZOOM_AUDIO_BITRATE=12: not auto"), "{error}");
    }
}
