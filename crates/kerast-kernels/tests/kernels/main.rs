//! Kernels against their definitions, element by element.

mod gather;
mod order;
mod run;
mod window;
