//! `session_metadata.json` against the committed schema.

use serde_json::Value;

/// Fails with the schema's complaints, if there are any.
#[track_caller]
pub fn check_metadata(document: &Value) {
    let text = include_str!("../../../docs/session_metadata.schema.json");
    let schema: Value = serde_json::from_str(text).expect("the schema is JSON");
    let mut compiler = boon::Compiler::new();
    compiler.enable_format_assertions();
    compiler.add_resource("metadata.json", schema).expect("it has an address");
    let mut schemas = boon::Schemas::new();
    let schema = compiler.compile("metadata.json", &mut schemas).expect("it is a schema");
    if let Err(e) = schemas.validate(document, schema) {
        panic!("{e:#}\n{document:#}");
    }
}
