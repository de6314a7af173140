//! Kernels against their definitions, element by element.

mod gather;
mod run;
mod window;
