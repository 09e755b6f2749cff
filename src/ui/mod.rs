//! What a person or a script sees, shell: dashboard, preview window, plain and JSON lines.
//! Draws snapshots and prints events; changes nothing and never knows the engine.

pub mod model;
pub mod window;
