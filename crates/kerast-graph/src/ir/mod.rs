//! The intermediate representation: types, graph, ops as data, handles to build graphs with, text, checks.

pub mod attributes;
pub mod graph;
pub mod op;
pub mod text;
pub mod types;
pub mod var;
pub mod verify;
