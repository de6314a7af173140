//! Recurrent layers and the wrappers that go with them.

mod conv_lstm;
mod gru;
mod lstm;
mod recurrent;
mod simple_rnn;
mod wrappers;

pub use conv_lstm::{ConvLstm1D, ConvLstm2D, ConvLstm3D};
pub use gru::Gru;
pub use lstm::Lstm;
pub use simple_rnn::SimpleRnn;
pub use wrappers::{Bidirectional, TimeDistributed};
