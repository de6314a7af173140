//! Parts of a product, one task each.

use std::ops::Range;

/// How many times smaller small parts are.
const TAIL: usize = 3;

/// Into how many parts something is cut. Threads take them from both ends; behind the first `lead`, where they meet, `small` of them are
/// [`TAIL`] times smaller than the others.
#[derive(Clone, Copy)]
pub(super) struct Split {
    pub(super) parts: usize,
    lead: usize,
    small: usize,
}

impl Split {
    pub(super) fn even(parts: usize) -> Split {
        Split { parts, lead: parts, small: 0 }
    }

    /// The bounds of part `index` of `count` things.
    pub(super) fn part(self, count: usize, index: usize) -> Range<usize> {
        let weight = |i: usize| {
            let small = i.saturating_sub(self.lead).min(self.small);
            TAIL * (i - small) + small
        };
        let bound = |i: usize| (count as u64 * weight(i) as u64 / weight(self.parts) as u64) as usize;
        bound(index)..bound(index + 1)
    }

    /// With small parts in the middle, one per thread, for what a slower thread leaves over: where there are few parts and enough to be
    /// cut.
    pub(super) fn tapered(self, count: usize, threads: usize) -> Split {
        let few = (threads..4 * threads).contains(&self.parts) && count >= 2 * (self.parts + threads);
        let lead = self.parts.div_ceil(threads);
        if few { Split { parts: self.parts + threads, lead, small: threads } } else { self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_everything_once() {
        for (parts, threads, count) in
            [(1, 1, 5), (2, 2, 128), (2, 2, 7), (6, 2, 100), (3, 3, 12), (4, 3, 1000), (9, 2, 64)]
        {
            let split = Split::even(parts).tapered(count, threads);
            let bounds: Vec<_> = (0..split.parts).map(|i| split.part(count, i)).collect();
            assert_eq!((bounds[0].start, bounds[split.parts - 1].end), (0, count));
            assert!(bounds.windows(2).all(|w| w[0].end == w[1].start), "{bounds:?}");
        }
        let split = Split::even(2).tapered(128, 2);
        assert_eq!((0..4).map(|i| split.part(128, i).len()).collect::<Vec<_>>(), [48, 16, 16, 48]);
    }
}
