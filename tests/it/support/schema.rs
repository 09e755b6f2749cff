//! What the program writes, and is told, against the committed schemas: `session_metadata.json`, each
//! event, each command, each line of the other commands' `--json`.

use serde_json::Value;

/// A schema that can be asked again and again.
struct Schema {
    schemas: boon::Schemas,
    index: boon::SchemaIndex,
}

impl Schema {
    #[cfg_attr(windows, allow(dead_code))]
    fn new(text: &str) -> Self {
        Self::part(text, "")
    }

    /// A definition in it.
    fn part(text: &str, at: &str) -> Self {
        let schema: Value = serde_json::from_str(text).expect("the schema is JSON");
        let mut compiler = boon::Compiler::new();
        compiler.enable_format_assertions();
        compiler.add_resource("schema.json", schema).expect("it has an address");
        let mut schemas = boon::Schemas::new();
        let index =
            compiler.compile(&format!("schema.json{at}"), &mut schemas).expect("it is a schema");
        Self { schemas, index }
    }

    fn complaint(&self, document: &Value) -> Option<String> {
        let complaint = self.schemas.validate(document, self.index).err()?;
        Some(format!("{complaint:#}\n{document:#}"))
    }
}

/// Fails with the schema's complaints, if there are any.
#[cfg(unix)]
#[track_caller]
pub fn check_metadata(document: &Value) {
    let schema = Schema::new(include_str!("../../../docs/session_metadata.schema.json"));
    if let Some(complaint) = schema.complaint(document) {
        panic!("{complaint}");
    }
}

/// What is wrong with an event, if anything is.
#[cfg(unix)]
pub fn event_complaint(event: &Value) -> Option<String> {
    thread_local! {
        static EVENTS: Schema = Schema::new(include_str!("../../../docs/events.schema.json"));
    }
    EVENTS.with(|schema| schema.complaint(event))
}

/// What is wrong with a command, if anything is.
#[cfg(unix)]
pub fn command_complaint(command: &Value) -> Option<String> {
    thread_local! {
        static COMMANDS: Schema = Schema::new(include_str!("../../../docs/commands.schema.json"));
    }
    COMMANDS.with(|schema| schema.complaint(command))
}

/// The definition that each command's `--json` follows.
const REPORTS: [(&str, &str); 7] = [
    ("config", "#/$defs/Configured"),
    ("devices", "#/$defs/DeviceList"),
    ("doctor", "#/$defs/Examined"),
    ("explain", "#/$defs/Entry"),
    ("recover", "#/$defs/Told"),
    ("render", "#/$defs/Told"),
    ("verify", "#/$defs/Told"),
];

/// Holds each line that `hyperzoom ARGS` wrote against its schema; nothing for what is not JSON.
#[track_caller]
pub fn check_reports(args: &[&str], written: &str) {
    let Some((_, at)) = REPORTS.iter().find(|(name, _)| args.first() == Some(name)) else { return };
    if !args.contains(&"--json") {
        return;
    }
    let at = if args.contains(&"--clap") { "#/$defs/Told" } else { at };
    let schema = Schema::part(include_str!("../../../docs/reports.schema.json"), at);
    for line in written.lines() {
        let report = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        if let Some(complaint) = schema.complaint(&report) {
            panic!("{args:?} wrote what its schema does not know: {complaint}");
        }
    }
}
