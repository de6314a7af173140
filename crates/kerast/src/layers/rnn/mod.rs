//! Recurrent layers and the wrappers that go with them.

mod gru;
mod lstm;
mod recurrent;
mod simple_rnn;
mod wrappers;

pub use gru::Gru;
pub use lstm::Lstm;
pub use simple_rnn::SimpleRnn;
pub use wrappers::{Bidirectional, TimeDistributed};
