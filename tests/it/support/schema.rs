//! What the program writes against the committed schemas: `session_metadata.json`, and each event.

use serde_json::Value;

/// A schema that can be asked again and again.
struct Schema {
    schemas: boon::Schemas,
    index: boon::SchemaIndex,
}

impl Schema {
    fn new(text: &str) -> Self {
        let schema: Value = serde_json::from_str(text).expect("the schema is JSON");
        let mut compiler = boon::Compiler::new();
        compiler.enable_format_assertions();
        compiler.add_resource("schema.json", schema).expect("it has an address");
        let mut schemas = boon::Schemas::new();
        let index = compiler.compile("schema.json", &mut schemas).expect("it is a schema");
        Self { schemas, index }
    }

    fn complaint(&self, document: &Value) -> Option<String> {
        let complaint = self.schemas.validate(document, self.index).err()?;
        Some(format!("{complaint:#}\n{document:#}"))
    }
}

/// Fails with the schema's complaints, if there are any.
#[track_caller]
pub fn check_metadata(document: &Value) {
    let schema = Schema::new(include_str!("../../../docs/session_metadata.schema.json"));
    if let Some(complaint) = schema.complaint(document) {
        panic!("{complaint}");
    }
}

/// What is wrong with an event, if anything is.
pub fn event_complaint(event: &Value) -> Option<String> {
    thread_local! {
        static EVENTS: Schema = Schema::new(include_str!("../../../docs/events.schema.json"));
    }
    EVENTS.with(|schema| schema.complaint(event))
}
