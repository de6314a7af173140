//! StableHLO's `select_and_scatter`: the gradient of window maxima and minima.

use super::{Plan, WindowAxis};
use crate::dtype::DType;
use crate::gather::Shared;
use crate::isa::{Isa, isa};
use crate::machine::{Io, Kernel};
use crate::number::Number;
use crate::pool::Pool;
use std::hint::select_unpredictable;
use std::ops::Range;

/// Operand elements from which on the pool shares the work.
const LARGE: usize = 16 * 1024;
/// Lanes compared at a time.
const LANES: usize = 16;
/// Places and lanes compared at a time where there are few lanes.
const PLACES: usize = 64;
/// Up to this many window elements, adding to all of them with a mask beats going to the chosen one.
const MASKED: usize = 16;
/// No element chosen yet.
const NONE: u32 = u32::MAX;

/// Sends each source element to the largest (or smallest) element of its window, the first of equals; the sum of what arrives.
/// Windows that lie on padding alone send nothing.
///
/// Inputs: operand, source (one element per place). Output: a value of the operand's shape.
#[derive(Clone, Debug, PartialEq)]
pub struct SelectAndScatter {
    dtype: DType,
    largest: bool,
    plan: Plan,
}

/// The operands of one run.
struct Operands<'a, T> {
    x: &'a [T],
    dy: &'a [T],
    dx: Shared<T>,
}

impl SelectAndScatter {
    /// One description per axis of the operand.
    pub fn new(dtype: DType, largest: bool, axes: &[WindowAxis]) -> SelectAndScatter {
        SelectAndScatter { dtype, largest, plan: Plan::new(axes) }
    }

    /// Shares the images, and the lanes of few images.
    fn share<T: Number, const LARGEST: bool>(&self, x: &[T], dy: &[T], dx: &mut [T], pool: &Pool) {
        let p = &self.plan;
        if p.images < pool.threads() {
            dx.fill(T::default());
        }
        let operands = Operands { x, dy, dx: Shared(dx.as_mut_ptr()) };
        let o = &operands;
        if x.len() < LARGE || p.images >= pool.threads() {
            let tasks = if x.len() < LARGE { 1 } else { (4 * pool.threads()).min(p.images) };
            return pool.run(tasks, &|t| {
                for image in p.images * t / tasks..p.images * (t + 1) / tasks {
                    // SAFETY: this task alone writes this image.
                    unsafe {
                        std::slice::from_raw_parts_mut(o.dx.at(image * p.image_in), p.image_in).fill(T::default());
                        self.dispatch::<T, LARGEST>(o, image, 0..p.lanes);
                    }
                }
            });
        }
        let parts = pool.threads().min(p.lanes.div_ceil(LANES));
        pool.run(p.images * parts, &|unit| {
            let part = |i: usize| (p.lanes * i / parts).next_multiple_of(LANES).min(p.lanes);
            let (image, i) = (unit / parts, unit % parts);
            let from = if i == 0 { 0 } else { part(i) };
            let to = if i + 1 == parts { p.lanes } else { part(i + 1) };
            // SAFETY: this task alone writes these lanes of this image.
            unsafe { self.dispatch::<T, LARGEST>(o, image, from..to) }
        });
    }

    /// # Safety
    /// Nobody else uses these lanes of this image of `dx`.
    unsafe fn dispatch<T: Number, const LARGEST: bool>(&self, o: &Operands<'_, T>, image: usize, lanes: Range<usize>) {
        match isa() {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the machine has these instructions; the rest is passed on.
            Isa::Avx2 | Isa::Avx512 => unsafe { self.image_avx2::<T, LARGEST>(o, image, lanes) },
            // SAFETY: passed on.
            _ => unsafe { self.image::<T, LARGEST>(o, image, lanes) },
        }
    }

    /// # Safety
    /// As for `dispatch`, and the machine has AVX2.
    #[cfg(target_arch = "x86_64")]
    #[target_feature(enable = "avx2")]
    unsafe fn image_avx2<T: Number, const LARGEST: bool>(
        &self,
        o: &Operands<'_, T>,
        image: usize,
        lanes: Range<usize>,
    ) {
        // SAFETY: passed on.
        unsafe { self.image::<T, LARGEST>(o, image, lanes) }
    }

    /// # Safety
    /// As for `dispatch`.
    #[inline(always)]
    unsafe fn image<T: Number, const LARGEST: bool>(&self, o: &Operands<'_, T>, image: usize, lanes: Range<usize>) {
        let p = &self.plan;
        let (mut rows, mut taps) = (vec![], vec![]);
        let narrow = p.lanes < LANES && p.last.window.base_dilation == 1;
        for row in 0..p.rows {
            let to = image * p.image_out + p.row(row, &mut rows);
            if rows.is_empty() {
                continue;
            }
            rows.iter_mut().for_each(|r| *r += image * p.image_in);
            let dy = &o.dy[to..to + p.last.taps.len() * p.lanes];
            if narrow {
                // SAFETY: passed on; the lanes are all there are.
                unsafe { self.narrow_row::<T, LARGEST>(o, &rows, dy, &mut taps) }
                continue;
            }
            for (t, dy) in p.last.taps.iter().zip(dy.chunks_exact(p.lanes)) {
                taps.clear();
                for r in &rows {
                    taps.extend((0..t.count).map(|j| r + (t.first + j * p.last.step) * p.lanes));
                }
                for (i, dy) in dy[lanes.clone()].chunks(PLACES).enumerate() {
                    // SAFETY: passed on.
                    unsafe { wide_place::<T, LARGEST>(o, &taps, lanes.start + i * PLACES, dy) }
                }
            }
        }
    }

    /// A row of places with few lanes, of an operand without gaps.
    ///
    /// # Safety
    /// As for `dispatch`, for all lanes.
    #[inline(always)]
    unsafe fn narrow_row<T: Number, const LARGEST: bool>(
        &self,
        o: &Operands<'_, T>,
        rows: &[usize],
        dy: &[T],
        taps: &mut Vec<usize>,
    ) {
        let (lanes, w) = (self.plan.lanes, &self.plan.last.window);
        let elements = (w.stride * lanes) as i64;
        // Where each window element would lie at place 0, its padding left out.
        taps.clear();
        for r in rows {
            taps.extend((0..w.size).map(|k| r + k * w.dilation * lanes));
        }
        let (count, most) = (self.plan.last.taps.len(), PLACES / lanes);
        for first in (0..count).step_by(most) {
            let block = first..(first + most).min(count);
            let (mut best, mut chosen) = ([T::default(); PLACES], [NONE; PLACES]);
            for (j, &tap) in taps.iter().enumerate() {
                let places = w.places(j % w.size, &block);
                if places.is_empty() {
                    continue;
                }
                let shift = places.start as i64 * elements - w.low * lanes as i64;
                let at = (places.start - first) * lanes;
                let n = places.len() * lanes;
                let (best, chosen) = (&mut best[at..at + n], &mut chosen[at..at + n]);
                let x = &o.x[(tap as i64 + shift) as usize..];
                match (lanes, w.stride) {
                    (_, 1) => prefer_all::<T, LARGEST>(best, chosen, j, 1, x),
                    (1, 2) => prefer_all::<T, LARGEST>(best, chosen, j, 2, x),
                    (1, stride) => prefer_all::<T, LARGEST>(best, chosen, j, stride, x),
                    _ => {
                        for (i, x) in x.chunks(w.stride * lanes).take(places.len()).enumerate() {
                            let part = i * lanes..(i + 1) * lanes;
                            prefer_all::<T, LARGEST>(&mut best[part.clone()], &mut chosen[part], j, 1, x);
                        }
                    }
                }
            }
            for (i, &j) in chosen[..block.len() * lanes].iter().enumerate().filter(|c| *c.1 != NONE) {
                let shift = (first + i / lanes) as i64 * elements - w.low * lanes as i64 + (i % lanes) as i64;
                // SAFETY: a chosen element lies in this image.
                unsafe { add(o.dx.at((taps[j as usize] as i64 + shift) as usize), dy[first * lanes + i]) }
            }
        }
    }
}

/// StableHLO keeps the element before as long as it is at least as large (or small).
#[inline(always)]
fn keeps<T: Number, const LARGEST: bool>(before: T, x: T) -> bool {
    if LARGEST { before >= x } else { before <= x }
}

/// Elements `i · stride` of `x`, number `j` of their windows, against the best ones so far.
///
/// Selections without branches on slices of unknown length become vectors.
#[inline(always)]
fn prefer_all<T: Number, const LARGEST: bool>(best: &mut [T], chosen: &mut [u32], j: usize, stride: usize, x: &[T]) {
    let n = best.len();
    let (x, chosen) = (&x[..(n - 1) * stride + 1], &mut chosen[..n]);
    let j = j as u32;
    for i in 0..n {
        let (b, v, c) = (best[i], x[i * stride], chosen[i]);
        let take = !keeps::<T, LARGEST>(b, v) | (c == NONE);
        best[i] = select_unpredictable(take, v, b);
        chosen[i] = select_unpredictable(take, j, c);
    }
}

/// Up to [`PLACES`] lanes of one place, from lane `at` on: one for each of `dy`.
///
/// # Safety
/// Nobody else uses these lanes of the image that the taps lie in.
#[inline(always)]
unsafe fn wide_place<T: Number, const LARGEST: bool>(o: &Operands<'_, T>, taps: &[usize], at: usize, dy: &[T]) {
    let (mut best, mut chosen) = ([T::default(); PLACES], [NONE; PLACES]);
    let (best, chosen) = (&mut best[..dy.len()], &mut chosen[..dy.len()]);
    for (j, tap) in taps.iter().enumerate() {
        prefer_all::<T, LARGEST>(best, chosen, j, 1, &o.x[tap + at..]);
    }
    if taps.len() > MASKED {
        for (l, &j) in chosen.iter().enumerate() {
            // SAFETY: a chosen element lies in this image.
            unsafe { add(o.dx.at(taps[j as usize] + at + l), dy[l]) }
        }
        return;
    }
    for (j, tap) in taps.iter().enumerate() {
        // SAFETY: these lanes of the tap lie in the image; nobody else uses them.
        let dx = unsafe { std::slice::from_raw_parts_mut(o.dx.at(tap + at), dy.len()) };
        for ((dx, &dy), &c) in dx.iter_mut().zip(dy).zip(chosen.iter()) {
            let d = select_unpredictable(c == j as u32, dy, T::default());
            *dx = T::narrow(T::plus(dx.widen(), d.widen()));
        }
    }
}

/// # Safety
/// `place` is readable and writable.
#[inline(always)]
unsafe fn add<T: Number>(place: *mut T, x: T) {
    // SAFETY: the caller's promise.
    unsafe { *place = T::narrow(T::plus((*place).widen(), x.widen())) }
}

impl Kernel for SelectAndScatter {
    fn name(&self) -> &'static str {
        "select_and_scatter"
    }

    fn run(&self, io: &mut Io<'_>, pool: &Pool) {
        crate::with_element!(self.dtype, T => {
            let (x, dy, dx) = (io.input::<T>(0), io.input::<T>(1), io.output::<T>(0));
            match self.largest {
                true => self.share::<T, true>(x, dy, dx, pool),
                false => self.share::<T, false>(x, dy, dx, pool),
            }
        })
    }
}
