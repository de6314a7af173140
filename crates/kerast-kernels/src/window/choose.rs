//! The largest (or smallest) of every window together with its number: the first of equals, NaN before all numbers.

use super::reduce::{Operands, Row};
use super::{LANES, NONE, Plan, Tap};
use crate::number::Number;
use std::hint::select_unpredictable;
use std::ops::Range;

/// Places and lanes compared at a time where there are few lanes.
const PLACES: usize = 64;

impl Plan {
    /// Some lanes of one row of places.
    ///
    /// # Safety
    /// As for `Window::units`.
    #[inline(always)]
    pub(super) unsafe fn choose<T: Number, const LARGEST: bool>(
        &self,
        o: &Operands<T>,
        row: &Row<'_>,
        lanes: &Range<usize>,
        taps: &mut Vec<Tap>,
    ) {
        // SAFETY: passed on.
        unsafe {
            if self.is_narrow() {
                return self.choose_narrow::<T, LARGEST>(o, row);
            }
            for place in row.block.places.clone() {
                taps.clear();
                row.taps.iter().for_each(|r| taps.extend(self.last.under(place, *r)));
                let to = row.to + (place - row.block.places.start) * self.lanes;
                if lanes.len() < LANES {
                    lanes.clone().for_each(|lane| best::<T, LARGEST, 1>(o, taps, lane, to));
                    continue;
                }
                // The last lanes may be worked on twice.
                let (mut at, end) = (lanes.start, lanes.end - LANES);
                loop {
                    best::<T, LARGEST, LANES>(o, taps, at, to);
                    if at == end {
                        break;
                    }
                    at = (at + LANES).min(end);
                }
            }
        }
    }

    /// A row of places with few lanes, of an operand without gaps.
    ///
    /// # Safety
    /// As for `choose`.
    #[inline(always)]
    unsafe fn choose_narrow<T: Number, const LARGEST: bool>(&self, o: &Operands<T>, row: &Row<'_>) {
        let (lanes, w) = (self.lanes, &self.last.window);
        let (places, most) = (&row.block.places, PLACES / self.lanes);
        for first in places.clone().step_by(most) {
            let block = first..(first + most).min(places.end);
            let (mut best, mut chosen) = ([worst::<T, LARGEST>(); PLACES], [NONE; PLACES]);
            for r in row.taps {
                for k in 0..w.size {
                    let under = w.places(k, &block);
                    if under.is_empty() {
                        continue;
                    }
                    let element = (under.start * w.stride + k * w.dilation) as i64 - w.low;
                    let (at, n) = ((under.start - first) * lanes, under.len() * lanes);
                    let (best, chosen) = (&mut best[at..at + n], &mut chosen[at..at + n]);
                    let number = r.number * w.size as u32 + k as u32;
                    let step = if w.stride == 1 { n } else { w.stride * lanes };
                    let reach = (under.len() - 1) * w.stride * lanes + lanes;
                    // SAFETY: these elements lie in the row of the operand.
                    let x =
                        unsafe { std::slice::from_raw_parts(o.x.wrapping_add(r.at + element as usize * lanes), reach) };
                    match (lanes, w.stride) {
                        (_, 1) => prefer_all::<T, LARGEST>(best, chosen, number, 1, x),
                        (1, 2) => prefer_all::<T, LARGEST>(best, chosen, number, 2, x),
                        (1, stride) => prefer_all::<T, LARGEST>(best, chosen, number, stride, x),
                        _ => {
                            let pairs = best.chunks_exact_mut(lanes).zip(chosen.chunks_exact_mut(lanes));
                            for ((best, chosen), x) in pairs.zip(x.chunks(step)) {
                                prefer_all::<T, LARGEST>(best, chosen, number, 1, x);
                            }
                        }
                    }
                }
            }
            let (to, n) = (row.to + (first - places.start) * lanes, block.len() * lanes);
            for i in 0..n {
                // SAFETY: these places are the caller's.
                unsafe { *o.y.add(to + i) = best[i] };
            }
            // SAFETY: as above.
            unsafe { o.put(to, &chosen[..n]) };
        }
    }
}

/// What every element is at least as good as.
fn worst<T: Number, const LARGEST: bool>() -> T {
    T::from_f64(if LARGEST { f64::NEG_INFINITY } else { f64::INFINITY })
}

#[inline(always)]
fn keeps<T: Number, const LARGEST: bool>(before: T, x: T) -> bool {
    (if LARGEST { before >= x } else { before <= x }) | before.is_nan()
}

/// `N` lanes of one place.
///
/// # Safety
/// The taps lie in the operand; the lanes of the place at `to` are the caller's.
#[inline(always)]
unsafe fn best<T: Number, const LARGEST: bool, const N: usize>(o: &Operands<T>, taps: &[Tap], at: usize, to: usize) {
    let (mut best, mut chosen) = ([worst::<T, LARGEST>(); N], [NONE; N]);
    // SAFETY: the caller's promise.
    unsafe {
        if let Some((first, others)) = taps.split_first() {
            best = o.x.wrapping_add(first.at + at).cast::<[T; N]>().read_unaligned();
            chosen = [first.number; N];
            for tap in others {
                let x = o.x.wrapping_add(tap.at + at).cast::<[T; N]>().read_unaligned();
                for i in 0..N {
                    let keeps = keeps::<T, LARGEST>(best[i], x[i]);
                    best[i] = select_unpredictable(keeps, best[i], x[i]);
                    chosen[i] = select_unpredictable(keeps, chosen[i], tap.number);
                }
            }
        }
        o.y.add(to + at).cast::<[T; N]>().write_unaligned(best);
        o.put(to + at, &chosen);
    }
}

/// Elements `i · stride` of `x`, number `number` of their windows, against the best ones so far.
///
/// Selections without branches on slices of unknown length become vectors.
#[inline(always)]
fn prefer_all<T: Number, const LARGEST: bool>(best: &mut [T], chosen: &mut [u32], number: u32, stride: usize, x: &[T]) {
    let n = best.len();
    let (x, chosen) = (&x[..(n - 1) * stride + 1], &mut chosen[..n]);
    for i in 0..n {
        let (b, v, c) = (best[i], x[i * stride], chosen[i]);
        let keeps = keeps::<T, LARGEST>(b, v) & (c != NONE);
        best[i] = select_unpredictable(keeps, b, v);
        chosen[i] = select_unpredictable(keeps, c, number);
    }
}
