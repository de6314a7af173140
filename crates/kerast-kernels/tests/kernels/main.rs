//! Kernels against their definitions, element by element.

mod control;
mod gather;
mod order;
mod run;
mod window;
