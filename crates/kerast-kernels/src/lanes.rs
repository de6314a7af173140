//! Folds of rows of numbers side by side in registers.

/// A fold in `LANES` lanes, which are joined by halves; then what is left over. For callers with an instruction set: it is inlined.
#[inline(always)]
pub(crate) fn fold<const LANES: usize>(
    x: &[f32],
    start: f32,
    step: impl Fn(f32, f32) -> f32,
    join: impl Fn(f32, f32) -> f32,
) -> f32 {
    let mut all = [start; LANES];
    let chunks = x.chunks_exact(LANES);
    let rest = chunks.remainder();
    chunks.for_each(|c| (0..LANES).for_each(|i| all[i] = step(all[i], c[i])));
    let mut half = LANES / 2;
    while half > 0 {
        (0..half).for_each(|i| all[i] = join(all[i], all[i + half]));
        half /= 2;
    }
    rest.iter().fold(all[0], |a, &v| step(a, v))
}

/// The largest; numbers win over NaN.
#[inline(always)]
pub(crate) fn largest<const LANES: usize>(x: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    fold::<LANES>(x, f32::NEG_INFINITY, larger, larger)
}
