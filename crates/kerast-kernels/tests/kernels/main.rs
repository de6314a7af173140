//! Kernels against their definitions, element by element.

mod control;
mod gather;
mod map;
mod order;
mod packed;
mod run;
mod window;
