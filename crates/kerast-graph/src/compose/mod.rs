//! Functions made of ops, as plain code over `Var`: means, softmax, one-hot, …
//!
//! Promote one to an op with its own kernel only on a measured win; it then keeps its composed form as test oracle.

mod normalize;
mod softmax;
