//! The loops of whole formulas: see [`Formula`](crate::map::join::Formula) and [`Adam`].

use super::Tile;
use crate::map::BLOCK;
use crate::map::builder::{Instr, Slot};
use crate::map::join::Adam;
use crate::math;

#[inline(always)]
pub(super) unsafe fn descend(i: &Instr, t: &Tile<'_>) {
    // SAFETY: as in `run_with`.
    let (d, [w, m, rate, v, epsilon]) = unsafe { t.operands(i) };
    for (((((d, w), m), rate), v), epsilon) in d.iter_mut().zip(w).zip(m).zip(rate).zip(v).zip(epsilon) {
        *d = w - m * rate / (v.sqrt() + epsilon);
    }
}

#[inline(always)]
pub(super) unsafe fn gelu<const FMA: bool>(i: &Instr, t: &Tile<'_>) {
    // SAFETY: as in `run_with`.
    let (d, [x, half, root, one]) = unsafe { t.operands(i) };
    for ((((d, x), half), root), one) in d.iter_mut().zip(x).zip(half).zip(root).zip(one) {
        *d = x * half * (math::erf::<FMA>(x * root) + one);
    }
}

#[inline(always)]
pub(super) unsafe fn gelu_slope<const FMA: bool>(i: &Instr, t: &Tile<'_>) {
    // SAFETY: as in `run_with`.
    let (d, [x, half, root, one, dy, rate]) = unsafe { t.operands(i) };
    let factors = half.iter().zip(root).zip(one).zip(rate);
    for (((d, x), dy), (((half, root), one), rate)) in d.iter_mut().zip(x).zip(dy).zip(factors) {
        let z = x * root;
        let bell = dy * (x * half) * math::exp::<FMA>(-(z * z)) * rate * root;
        *d = bell + dy * (math::erf::<FMA>(z) + one) * half;
    }
}

/// Block by block, and each read before it is written: results may lie on operands.
#[inline(always)]
pub(super) unsafe fn adam(step: &Adam, t: &Tile<'_>) {
    let blocks = |s: Slot| t.slots[s as usize].cast::<[f32; BLOCK]>();
    let ([mean, square, weights], gradient) = (step.before.map(blocks), blocks(step.gradient));
    let [new_mean, new_square, new_weights] = step.after.map(blocks);
    // SAFETY: as in `run_with`; every slot has an element, and whole blocks as many as the tile.
    unsafe {
        let [slow, slower, rate, epsilon] = step.factors.map(|s| *t.slots[s as usize].cast::<f32>());
        for b in 0..t.blocks {
            let [mut m, mut v, mut w, g] = [mean, square, weights, gradient].map(|x| x.add(b).read());
            for k in 0..BLOCK {
                m[k] += (g[k] - m[k]) * slow;
                v[k] += (g[k] * g[k] - v[k]) * slower;
                w[k] -= m[k] * rate / (v[k].sqrt() + epsilon);
            }
            new_mean.add(b).write(m);
            new_square.add(b).write(v);
            new_weights.add(b).write(w);
        }
    }
}
