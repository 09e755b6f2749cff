//! `hyperzoom config`: what is set, and where each value comes from.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Arg, ArgAction, Args};

use super::error::{CliError, Problem};
use super::report::{self, At, Configured, Report};
use super::settings::{COMMANDS, Settings, Source, settable, variable};
use crate::platform::folders;

const AFTER: &str = "\
Flags on the command line count first, then variables (HYPERZOOM_ and the flag's name in capitals, \
dashes as underscores: HYPERZOOM_VIDEO_BITRATE), then the file's table for the command ([host], \
[join], [record], [doctor]), then what stands at the top of the file, then the defaults. \
HYPERZOOM_CONFIG names another file; empty: none.";

/// Flags of `config`.
#[derive(Debug, Args)]
#[command(after_long_help = super::examples::and("config", AFTER))]
pub struct ConfigArgs {
    /// The command whose values to show
    #[arg(value_name = "COMMAND", value_parser = COMMANDS, default_value = "host")]
    pub command: String,

    /// Only say where the file is, or would be
    #[arg(long, conflicts_with_all = ["init", "json"])]
    pub path: bool,

    /// Write a file with every setting in it, commented out
    #[arg(long, conflicts_with = "json")]
    pub init: bool,

    /// As one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Where the file is; `None` for nowhere.
fn path() -> Option<PathBuf> {
    match std::env::var_os("HYPERZOOM_CONFIG") {
        Some(path) if path.is_empty() => None,
        Some(path) => Some(PathBuf::from(path)),
        None => folders::config().map(|folder| folder.join("config.toml")),
    }
}

/// Reads file and variables. A file that is not there is none; one that cannot be read is an error.
pub fn read() -> Result<Settings, CliError> {
    let path = path();
    let text = match path.as_ref().map(std::fs::read_to_string) {
        Some(Ok(text)) => Some(text),
        Some(Err(e)) if e.kind() != std::io::ErrorKind::NotFound => {
            let path = path.unwrap_or_default();
            let path = report::text(&path);
            return Err(Problem::Config { path, why: e.to_string() }.into());
        }
        _ => None,
    };
    Ok(Settings::new(path, text.as_deref(), std::env::vars_os(), folders::home()))
}

/// The command line with what is set under it, for the subcommands that take it.
pub fn underlie(typed: &[OsString]) -> Result<clap::Command, CliError> {
    let root = super::command();
    let subcommand = typed.iter().skip(1).find_map(|arg| arg.to_str());
    // Help has to be there, whatever the file says.
    let help = typed.iter().any(|arg| arg == "--help" || arg == "-h");
    match subcommand {
        Some(name) if COMMANDS.contains(&name) && !help => {
            let settings = read()?;
            warn_of_strangers(&settings, &root);
            settings.apply(root, name, typed)
        }
        _ => Ok(root),
    }
}

/// A slip of the keyboard in a variable's name would otherwise be noticed after the recording.
fn warn_of_strangers(settings: &Settings, root: &clap::Command) {
    for stranger in settings.strangers(root) {
        // What cannot be printed there has nowhere else to go.
        let _ = writeln!(std::io::stderr(), "warning: {stranger}");
    }
}

/// Runs the subcommand.
pub fn run(args: &ConfigArgs) -> Result<ExitCode, CliError> {
    let path = path();
    let text = if args.path || args.init {
        let path = path.ok_or(Problem::NoConfig)?;
        if args.init {
            init(&path)?;
        }
        format!("{}\n", path.display())
    } else {
        let settings = read()?;
        warn_of_strangers(&settings, &super::command());
        // As the command itself would complain.
        let root = settings.apply(super::command(), &args.command, &[])?;
        let command = root.find_subcommand(&args.command).expect("clap took it");
        let values = values(&settings, &args.command, command);
        match args.json {
            true => {
                let values = values.iter().map(Value::report).collect();
                let command = args.command.clone();
                let exists = path.as_ref().is_some_and(|path| path.exists());
                Report::Config(Configured { path, exists, command, values }).line()
            }
            false => {
                let by = match &path {
                    None => "without a file: HYPERZOOM_CONFIG is empty".to_owned(),
                    Some(path) if path.exists() => format!("by {}", path.display()),
                    Some(path) => {
                        format!("by {} (not there: hyperzoom config --init)", path.display())
                    }
                };
                format!("# hyperzoom {}, {by}\n{}", args.command, as_text(&values))
            }
        }
    };
    // A closed pipe (`config | head`) is no error of ours.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(ExitCode::SUCCESS)
}

/// One setting, as it counts.
struct Value {
    key: String,
    /// `None`: not set, and without a default that could be written.
    value: Option<String>,
    flag: bool,
    source: Option<Source>,
}

fn values(settings: &Settings, name: &str, command: &clap::Command) -> Vec<Value> {
    settable(command)
        .map(|arg| {
            let key = arg.get_long().unwrap_or_default().to_owned();
            let flag = matches!(arg.get_action(), ArgAction::SetTrue);
            let default = arg.get_default_values().first();
            let default = default.map(|value| value.to_string_lossy().into_owned());
            let value = default.or(flag.then(|| "false".to_owned()));
            let source = settings.lookup(name, &key).map(|(_, source)| source);
            Value { key, value, flag, source }
        })
        .collect()
}

impl Value {
    fn report(&self) -> report::Value {
        let (from, at) = match &self.source {
            None => (report::From::Default, None),
            Some(Source::Environment(name)) => {
                (report::From::Environment, Some(At::Variable(name.clone())))
            }
            Some(Source::File(line)) => (report::From::File, Some(At::Line(*line))),
        };
        report::Value { key: self.key.clone(), value: self.value.clone(), from, at }
    }

    /// As the file would have it.
    fn line(&self) -> String {
        match &self.value {
            None => format!("# {} =", self.key),
            Some(value) if self.flag || value.parse::<f64>().is_ok_and(f64::is_finite) => {
                format!("{} = {value}", self.key)
            }
            Some(value) => format!("{} = {}", self.key, quoted(value)),
        }
    }
}

/// As a string of TOML, whose escapes are JSON's and more.
fn quoted(value: &str) -> String {
    serde_json::Value::from(value).to_string()
}

fn as_text(values: &[Value]) -> String {
    let width = values.iter().map(|value| value.line().chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for value in values {
        let from = match &value.source {
            None if value.value.is_none() => "not set".to_owned(),
            None => "default".to_owned(),
            Some(Source::Environment(name)) => name.clone(),
            Some(Source::File(line)) => format!("line {line}"),
        };
        // Writing into a string cannot fail.
        let _ = writeln!(text, "{:width$}  # {from}", value.line());
    }
    text
}

/// A file of comments.
fn template() -> String {
    let mut text = String::from(
        "# HyperZoom's settings: the long flags' names. `hyperzoom config` shows what counts.\n",
    );
    let root = super::command();
    let mut written: Vec<String> = Vec::new();
    for name in COMMANDS {
        let Some(command) = root.find_subcommand(name) else { continue };
        let own: Vec<&Arg> = settable(command)
            .filter(|arg| !written.iter().any(|key| Some(key.as_str()) == arg.get_long()))
            .collect();
        // What host, join and record share comes first, at the top.
        let (shared, own): (Vec<&Arg>, Vec<&Arg>) = own.into_iter().partition(|arg| {
            let has = |name| {
                root.find_subcommand(name)
                    .is_some_and(|c| settable(c).any(|a| a.get_long() == arg.get_long()))
            };
            has("host") && has("record")
        });
        for (heading, args) in [(None, shared), (Some(name), own)] {
            if args.is_empty() {
                continue;
            }
            if let Some(name) = heading {
                let _ = write!(text, "\n# [{name}]\n");
            }
            for arg in args {
                let key = arg.get_long().unwrap_or_default().to_owned();
                let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
                let flag = matches!(arg.get_action(), ArgAction::SetTrue);
                let default = arg.get_default_values().first();
                let value = default.map(|value| value.to_string_lossy().into_owned());
                let value = value.or(flag.then(|| "false".to_owned()));
                let line = Value { key: key.clone(), value, flag, source: None }.line();
                let line = line.strip_prefix("# ").unwrap_or(&line);
                let _ = write!(text, "\n# {help} ({})\n# {line}\n", variable(&key));
                written.push(key);
            }
        }
    }
    text
}

fn init(path: &std::path::Path) -> Result<(), CliError> {
    let failed = |e: std::io::Error| {
        let remedy = match e.kind() {
            std::io::ErrorKind::AlreadyExists => "an editor",
            _ => "HYPERZOOM_CONFIG=FILE",
        };
        CliError::from(Problem::Unwritable { path: report::text(path), why: e.to_string(), remedy })
    };
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut file = std::fs::File::create_new(path).map_err(failed)?;
    file.write_all(template().as_bytes()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uncommented(template: &str) -> String {
        let setting = |line: &&str| {
            let line = line.strip_prefix("# ").unwrap_or("");
            line.starts_with('[')
                || line.split_once(" = ").is_some_and(|(key, _)| !key.contains(' '))
        };
        let lines: Vec<&str> = template.lines().filter(setting).collect();
        lines.iter().map(|line| format!("{}\n", &line[2..])).collect()
    }

    #[test]
    fn every_line_of_the_example_is_valid_when_its_comment_is_taken_away() {
        let text = uncommented(&template());
        assert!(text.contains("mic = \"default\"") && text.contains("[host]"), "{text}");
        let settings = Settings::new(Some("c".into()), Some(&text), [], None);
        for name in COMMANDS {
            let root = settings.apply(super::super::command(), name, &[]);
            root.unwrap_or_else(|e| panic!("{e}\n{text}"));
        }
    }

    #[test]
    fn what_is_shown_is_a_file_that_sets_the_same() {
        let text = "name = \"A \\\"B\\\"\"\nmute = true\n[host]\nvideo-bitrate = 500";
        let settings = Settings::new(Some("c".into()), Some(text), [], None);
        let shown = |settings: &Settings| {
            let root = settings.apply(super::super::command(), "host", &[]).expect("valid");
            let values = values(settings, "host", root.find_subcommand("host").expect("there"));
            values.into_iter().map(|v| v.line()).collect::<Vec<_>>().join("\n")
        };
        let first = shown(&settings);
        assert!(first.contains("name = \"A \\\"B\\\"\"\n"), "{first}");
        assert!(
            first.contains("video-bitrate = 500\n") && first.contains("mute = true\n"),
            "{first}"
        );
        let again = Settings::new(Some("c".into()), Some(&first), [], None);
        assert_eq!(shown(&again), first);
    }
}
