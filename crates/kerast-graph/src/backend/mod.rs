//! Backends: a graph goes in, something that runs comes out. Today there is one, the CPU compiler.

pub mod cpu;
