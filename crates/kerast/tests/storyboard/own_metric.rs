//! A metric of one's own.

use kerast::prelude::*;

pub(crate) fn worst() -> MetricFunction {
    MetricFunction::new("worst", |y, p| (y - p).abs().reduce_max(&[p.rank() - 1]))
}
