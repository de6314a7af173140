//! Attention.

mod multi_head;
mod scored;

pub use multi_head::MultiHeadAttention;
pub use scored::{AdditiveAttention, Attention};
