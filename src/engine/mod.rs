//! The engine, shell: the threads of PRD 5.2 and the bounded queues between them.

pub mod call;
pub mod config;
