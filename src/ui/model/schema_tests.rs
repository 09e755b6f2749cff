//! The committed schemas of events and commands are those of the types: `HYPERZOOM_UPDATE=1` writes them.

use schemars::generate::{Contract, SchemaSettings};
use schemars::{JsonSchema, Schema};

use super::{Command, Stamped};

const HOME: &str = "https://hyperzoom.invalid/";

/// The schema of a type, under its address.
pub fn schema<T: JsonSchema>(file: &str, title: &str, contract: Contract) -> Schema {
    let mut settings = SchemaSettings::draft2020_12();
    settings.contract = contract;
    let mut schema = settings.into_generator().into_root_schema_for::<T>();
    schema.insert("$id".into(), format!("{HOME}{file}").into());
    schema.insert("title".into(), title.into());
    schema
}

/// Fails unless `docs` has it like that.
#[track_caller]
pub fn committed(file: &str, schema: &Schema) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(file);
    let text = serde_json::to_string_pretty(schema).expect("a schema is JSON") + "\n";
    if std::env::var_os("HYPERZOOM_UPDATE").is_some() {
        std::fs::write(&path, &text).expect("the repository can be written");
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        there == text,
        "docs/{file} is not the program's; run the test with HYPERZOOM_UPDATE=1"
    );
}

#[test]
fn the_schema_of_events_is_current() {
    let title = "A line of hyperzoom --json";
    committed("events.schema.json", &schema::<Stamped>("events", title, Contract::Serialize));
}

#[test]
fn the_schema_of_commands_is_current() {
    let title = "A line on the standard input of hyperzoom --json";
    committed("commands.schema.json", &schema::<Command>("commands", title, Contract::Deserialize));
}
