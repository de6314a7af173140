//! A loss of one's own.

use kerast::prelude::*;

pub(crate) fn quartic() -> LossFunction {
    LossFunction::new("quartic", |y, p| (y - p).square().square().mean(&[p.rank() - 1]))
}
