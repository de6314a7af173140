//! Means and variances in one pass over memory.
//!
//! Rows are taken a cache-sized chunk at a time: the chunk's own mean, then its squared distances from that mean, while it is in cache.
//! Chunks are joined in order (Chan, Golub & LeVeque 1979), so nothing is lost where the mean is large beside the spread, and the result
//! does not depend on the number of threads.

use crate::dtype::Element;
use crate::gather::Shared;
use crate::isa::per_isa;
use crate::machine::{Io, Kernel};
use crate::map;
use crate::pool::Pool;
use std::ops::{Add, AddAssign, Mul, Sub};

/// Elements of one chunk: they stay in the L1 or L2 cache between the two looks at them.
const CHUNK: usize = 8 * 1024;
/// Columns summed up side by side in registers.
const WIDE: usize = 128;

/// f32 or f64.
pub trait Real: Element + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + AddAssign {}
impl Real for f32 {}
impl Real for f64 {}

/// Input: x as `[outer, middle, inner]`. Outputs: mean and variance (of the whole population) over `middle`, each `[outer, inner]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Moments<T> {
    outer: usize,
    middle: usize,
    inner: usize,
    element: std::marker::PhantomData<T>,
}

impl<T: Real> Moments<T> {
    /// Over `axes` of a value of this shape; `None` unless they lie together.
    pub fn new(shape: &[usize], axes: &[usize]) -> Option<Moments<T>> {
        let (outer, middle, inner) = map::reduction(shape, axes)?;
        Some(Moments { outer, middle, inner, element: std::marker::PhantomData })
    }

    /// Rows of a chunk.
    fn rows(&self) -> usize {
        let side_by_side = (WIDE / self.inner.max(1)).max(1);
        (CHUNK / self.inner.max(1)).next_multiple_of(side_by_side).min(self.middle.max(1))
    }

    fn chunks(&self) -> usize {
        self.middle.div_ceil(self.rows())
    }
}

impl<T: Real> Kernel for Moments<T> {
    fn name(&self) -> &'static str {
        "moments"
    }

    fn scratch(&self) -> usize {
        if self.chunks() > 1 { 2 * self.outer * self.chunks() * self.inner * size_of::<T>() } else { 0 }
    }

    fn run(&self, io: &mut Io<'_>, pool: &Pool) {
        let (middle, inner, rows, chunks) = (self.middle, self.inner, self.rows(), self.chunks());
        let x = io.input::<T>(0);
        let (means, variances) = (io.output::<T>(0), io.output::<T>(1));
        if middle == 0 || inner == 0 {
            means.fill(T::from_f64(f64::NAN));
            variances.fill(T::from_f64(f64::NAN));
            return;
        }
        let partial = io.scratch::<T>();
        let units = self.outer * chunks;
        {
            let (mean, distance) = match chunks {
                1 => (Shared(means.as_mut_ptr()), Shared(variances.as_mut_ptr())),
                _ => {
                    let (mean, distance) = partial.split_at_mut(units * inner);
                    (Shared(mean.as_mut_ptr()), Shared(distance.as_mut_ptr()))
                }
            };
            let per_task = (4 * CHUNK / (rows * inner)).max(1);
            let work = |t: usize| {
                for unit in t * per_task..units.min((t + 1) * per_task) {
                    let (outer, chunk) = (unit / chunks, unit % chunks);
                    let first = outer * middle + chunk * rows;
                    let end = (outer + 1) * middle;
                    let x = &x[first * inner..end.min(first + rows) * inner];
                    let own = |all: &Shared<T>| {
                        // SAFETY: every unit has its own part.
                        unsafe { std::slice::from_raw_parts_mut(all.at(unit * inner), inner) }
                    };
                    let (mean, distance) = (own(&mean), own(&distance));
                    look(x, mean, distance);
                }
            };
            let tasks = units.div_ceil(per_task);
            if x.len() < 4 * CHUNK { (0..tasks).for_each(work) } else { pool.run(tasks, &work) }
        }
        let count = |rows: usize| rows as f64;
        if chunks == 1 {
            variances.iter_mut().for_each(|v| *v = T::from_f64(v.to_f64() / count(middle)));
            return;
        }
        let (mean, distance) = partial.split_at(units * inner);
        for o in 0..self.outer {
            for i in 0..inner {
                let (mut m, mut d, mut n) = (0.0, 0.0, 0.0);
                for c in 0..chunks {
                    let at = (o * chunks + c) * inner + i;
                    let more = count(rows.min(middle - c * rows));
                    let (its, apart) = (mean[at].to_f64(), distance[at].to_f64());
                    let step = its - m;
                    m += step * more / (n + more);
                    d += apart + step * step * n * more / (n + more);
                    n += more;
                }
                means[o * inner + i] = T::from_f64(m);
                variances[o * inner + i] = T::from_f64(d / n);
            }
        }
    }

    fn flops(&self) -> f64 {
        4.0 * (self.outer * self.middle * self.inner) as f64
    }
}

per_isa! {
    /// Mean, and sum of squared distances from it, of each column of one chunk.
    fn look<T: Real>(x: &[T], mean: &mut [T], distance: &mut [T]) => look_with(x, mean, distance)
}

#[inline(always)]
fn look_with<T: Real>(x: &[T], mean: &mut [T], distance: &mut [T]) {
    let rows = (x.len() / mean.len()) as f64;
    sums(x, mean, None);
    mean.iter_mut().for_each(|m| *m = T::from_f64(m.to_f64() / rows));
    sums(x, distance, Some(mean));
}

/// out[c] = Σ over rows of x, or of its squared distance from `centre`. Narrow rows are taken several at a time.
#[inline(always)]
fn sums<T: Real>(x: &[T], out: &mut [T], centre: Option<&[T]>) {
    let inner = out.len();
    if inner >= WIDE {
        return columns(x, out, centre);
    }
    if inner == 1 {
        out[0] = line(x, centre.map(|c| c[0]));
        return;
    }
    let times = WIDE / inner;
    let wide = times * inner;
    let (mut sum, mut centres) = ([T::default(); WIDE], [T::default(); WIDE]);
    if let Some(centre) = centre {
        centres[..wide].chunks_exact_mut(inner).for_each(|c| c.copy_from_slice(centre));
    }
    let (whole, rest) = x.split_at(x.len() / wide * wide);
    columns(whole, &mut sum[..wide], centre.map(|_| &centres[..wide]));
    columns(rest, out, centre);
    for part in sum[..wide].chunks_exact(inner) {
        out.iter_mut().zip(part).for_each(|(o, p)| *o += *p);
    }
}

/// The same of a single column: lanes side by side, joined by halves.
#[inline(always)]
fn line<T: Real>(x: &[T], centre: Option<T>) -> T {
    const LANES: usize = 64;
    let mut sum = [T::default(); LANES];
    let chunks = x.chunks_exact(LANES);
    let rest = chunks.remainder();
    let square = |v: T, c: T| (v - c) * (v - c);
    match centre {
        None => chunks.for_each(|v| (0..LANES).for_each(|i| sum[i] += v[i])),
        Some(c) => chunks.for_each(|v| (0..LANES).for_each(|i| sum[i] += square(v[i], c))),
    }
    let mut half = LANES / 2;
    while half > 0 {
        (0..half).for_each(|i| sum[i] += sum[i + half]);
        half /= 2;
    }
    rest.iter().fold(sum[0], |s, &v| s + centre.map_or(v, |c| square(v, c)))
}

/// The same with the columns as they are.
#[inline(always)]
fn columns<T: Real>(x: &[T], out: &mut [T], centre: Option<&[T]>) {
    let mut at = 0;
    while at + WIDE <= out.len() {
        block::<T, WIDE>(x, at, out, centre);
        at += WIDE;
    }
    while at + 16 <= out.len() {
        block::<T, 16>(x, at, out, centre);
        at += 16;
    }
    while at < out.len() {
        block::<T, 1>(x, at, out, centre);
        at += 1;
    }
}

#[inline(always)]
fn block<T: Real, const N: usize>(x: &[T], at: usize, out: &mut [T], centre: Option<&[T]>) {
    let mut sum = [T::default(); N];
    let rows = x.chunks_exact(out.len()).map(|row| -> &[T; N] { row[at..at + N].try_into().expect("N columns") });
    match centre {
        None => rows.for_each(|row| (0..N).for_each(|i| sum[i] += row[i])),
        Some(centre) => {
            let centre: [T; N] = centre[at..at + N].try_into().expect("N columns");
            rows.for_each(|row| {
                for i in 0..N {
                    let d = row[i] - centre[i];
                    sum[i] += d * d;
                }
            });
        }
    }
    out[at..at + N].copy_from_slice(&sum);
}
