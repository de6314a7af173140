//! Fused element-wise work (written next).

/// A fused element-wise program.
#[derive(Clone, Debug)]
pub struct Map;
