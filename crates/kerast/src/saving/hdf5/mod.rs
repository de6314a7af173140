//! HDF5 as models use it: groups, datasets of numbers, attributes of text. A thin view over the crate `hdf5-pure`, so that it can
//! be swapped.
//!
//! Reading is lazy and by path, so that cycles of links do no harm, and bounded: a dataset that claims to be larger than its file
//! can hold is refused before memory is taken. Soft links, external links and external storage are never followed.

mod read;
mod write;

pub use read::Hdf5;
pub use write::Group;
