//! The gradient of window maxima and minima: what was given to a window goes to its chosen element.

use super::{LANES, Plan, Tap, WindowAxis, number_type};
use crate::dtype::DType;
use crate::gather::Shared;
use crate::isa::per_isa;
use crate::machine::{Io, Kernel};
use crate::number::Number;
use crate::pool::Pool;
use std::hint::select_unpredictable;
use std::ops::Range;

/// Operand elements from which on the pool shares the work.
const LARGE: usize = 16 * 1024;
/// Up to this many window elements, adding to all of them with a mask beats going to the chosen one.
const MASKED: usize = 16;

/// Adds each source element to one element of its window, known by its number; the sum of what arrives. Numbers that name no element of
/// the window send nothing.
///
/// Inputs: numbers (of type [`number_type`]), source, both with one element per place. Output: a value of the operand's shape.
#[derive(Clone, Debug, PartialEq)]
pub struct ScatterWindow {
    dtype: DType,
    numbers: DType,
    plan: Plan,
    /// No two windows share an element: results are written, not added.
    apart: bool,
    /// The windows hold all elements: none needs a zero.
    whole: bool,
}

/// The operands of one run.
struct Operands<'a, T> {
    numbers: Numbers<'a>,
    dy: &'a [T],
    dx: Shared<T>,
}

#[derive(Clone, Copy)]
enum Numbers<'a> {
    Bytes(&'a [u8]),
    Words(&'a [u32]),
}

impl Numbers<'_> {
    /// So many numbers from place `at` on.
    #[inline(always)]
    fn get<const N: usize>(&self, at: usize) -> [u32; N] {
        match self {
            Numbers::Bytes(all) => {
                let some = &all[at..at + N];
                std::array::from_fn(|i| some[i] as u32)
            }
            Numbers::Words(all) => {
                let some = &all[at..at + N];
                std::array::from_fn(|i| some[i])
            }
        }
    }
}

impl ScatterWindow {
    /// One description per axis of the result.
    pub fn new(dtype: DType, axes: &[WindowAxis]) -> ScatterWindow {
        let apart = axes.iter().all(|a| a.base_dilation == 1 && (a.size - 1) * a.dilation < a.stride);
        let holds = |a: &WindowAxis| {
            let dense = (a.dilation, a.stride, a.low) == (1, a.size, 0);
            dense && a.output() * a.size == a.input
        };
        let whole = apart && axes.iter().all(holds);
        ScatterWindow { dtype, numbers: number_type(axes), plan: Plan::new(axes), apart, whole }
    }

    /// Shares the images, and the lanes of few images.
    fn share<T: Number>(&self, numbers: Numbers<'_>, dy: &[T], dx: &mut [T], pool: &Pool) {
        let p = &self.plan;
        let small = dx.len() < LARGE;
        let by_image = small || p.images >= pool.threads();
        if !by_image && !self.whole {
            dx.fill(T::default());
        }
        let o = &Operands { numbers, dy, dx: Shared(dx.as_mut_ptr()) };
        if by_image {
            let tasks = if small { 1 } else { (4 * pool.threads()).min(p.images) };
            return pool.run(tasks, &|t| {
                for image in p.images * t / tasks..p.images * (t + 1) / tasks {
                    // SAFETY: this task alone writes this image.
                    unsafe {
                        if !self.whole {
                            let dx = o.dx.at(image * p.image_in);
                            std::slice::from_raw_parts_mut(dx, p.image_in).fill(T::default());
                        }
                        vectors(self, o, image, 0..p.lanes);
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
            unsafe { vectors(self, o, image, from..to) }
        });
    }

    /// # Safety
    /// Nobody else uses these lanes of this image of `dx`.
    #[inline(always)]
    unsafe fn image<T: Number>(&self, o: &Operands<'_, T>, image: usize, lanes: Range<usize>) {
        let p = &self.plan;
        let (mut rows, mut taps, mut table) = (vec![], vec![], vec![]);
        for row in 0..p.rows {
            let to = p.row(image, row, &mut rows);
            if rows.is_empty() {
                continue;
            }
            for place in 0..p.last.taps.len() {
                taps.clear();
                rows.iter().for_each(|r| taps.extend(p.last.under(place, *r)));
                let (to, mut at) = (to + place * p.lanes, lanes.start);
                // SAFETY: passed on.
                unsafe {
                    if taps.len() <= MASKED {
                        while at + LANES <= lanes.end {
                            masked::<T, LANES>(o, &taps, self.apart, at, to);
                            at += LANES;
                        }
                        while at + LANES / 4 <= lanes.end {
                            masked::<T, { LANES / 4 }>(o, &taps, self.apart, at, to);
                            at += LANES / 4;
                        }
                        (at..lanes.end).for_each(|at| masked::<T, 1>(o, &taps, self.apart, at, to));
                        continue;
                    }
                    table.clear();
                    for tap in &taps {
                        table.resize(table.len().max(tap.number as usize + 1), None);
                        table[tap.number as usize] = Some(tap.at);
                    }
                    for at in at..lanes.end {
                        let [number] = o.numbers.get::<1>(to + at);
                        if let Some(Some(tap)) = table.get(number as usize) {
                            let dx = o.dx.at(tap + at);
                            *dx = T::narrow(T::plus((*dx).to_sum(), o.dy[to + at].to_sum()));
                        }
                    }
                }
            }
        }
    }
}

/// `N` lanes of the place at `to`, from lane `at` on.
///
/// # Safety
/// Nobody else uses these lanes of the image that the taps lie in.
#[inline(always)]
unsafe fn masked<T: Number, const N: usize>(o: &Operands<'_, T>, taps: &[Tap], apart: bool, at: usize, to: usize) {
    let numbers = o.numbers.get::<N>(to + at);
    let dy = &o.dy[to + at..to + at + N];
    for tap in taps {
        let own: [T; N] = std::array::from_fn(|i| select_unpredictable(numbers[i] == tap.number, dy[i], T::default()));
        let place = o.dx.at(tap.at + at).cast::<[T; N]>();
        // SAFETY: the caller's promise.
        unsafe {
            let sum = match apart {
                true => own,
                false => {
                    let before = place.read_unaligned();
                    std::array::from_fn(|i| T::narrow(T::plus(before[i].to_sum(), own[i].to_sum())))
                }
            };
            place.write_unaligned(sum);
        }
    }
}

per_isa! {
    /// # Safety
    /// As for `ScatterWindow::image`.
    unsafe fn vectors<T: Number>(scatter: &ScatterWindow, o: &Operands<'_, T>, image: usize, lanes: Range<usize>) =>
        // SAFETY: passed on.
        unsafe { scatter.image(o, image, lanes) }
}

impl Kernel for ScatterWindow {
    fn name(&self) -> &'static str {
        "scatter_window"
    }

    fn run(&self, io: &mut Io<'_>, pool: &Pool) {
        let numbers = match self.numbers {
            DType::U8 => Numbers::Bytes(io.input::<u8>(0)),
            _ => Numbers::Words(io.input::<u32>(0)),
        };
        crate::with_element!(self.dtype, T => {
            let (dy, dx) = (io.input::<T>(1), io.output::<T>(0));
            self.share::<T>(numbers, dy, dx, pool)
        })
    }
}
