//! Arithmetic of several steps as one instruction, one pass over the tile. The operations and their order stay, and so do the bits.

use super::builder::{Code, Instr, MOST, Slot, Value};
use super::kinds::{BinaryKind as B, Class, UnaryKind};

/// Which operand of the second function of a pair the first function's value is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Side {
    Left,
    Right,
}

/// What optimizers, moving averages and activations compute again and again.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Formula {
    /// `a + (b - a) c`: a moving average.
    Lerp,
    /// `a + (b b - a) c`: a moving average of squares.
    LerpSquare,
    /// `w - m a / (√v + e)`: Adam's step.
    Descend,
    /// `x h (erf(x r) + o)`: gelu, with h a half, r the root of a half, and o one.
    Gelu,
    /// `d x h e^(-(x r)²) k r + d (erf(x r) + o) h`: its gradient, with k = 2/√π, given x, h, r, o, d and k.
    GeluSlope,
}

/// Adam's step with all its results: `m = mean + (gradient - mean) slow`, `v = square + (gradient gradient - square) slower`,
/// `w = weights - m rate / (√v + epsilon)`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Adam {
    /// Mean, square and weights: before and after. A result may lie on an operand.
    pub(crate) before: [Slot; 3],
    pub(crate) after: [Slot; 3],
    pub(crate) gradient: Slot,
    /// Slow, slower, rate and epsilon, each the same in a whole tile.
    pub(crate) factors: [Slot; 4],
}

impl Adam {
    /// Three instructions one after the other that are such a step.
    fn of(instrs: &[Instr], uniform: &impl Fn(Slot) -> bool) -> Option<Adam> {
        let [first, second, third] = instrs else { return None };
        let codes = [&first.code, &second.code, &third.code];
        let formulas = [Formula::Lerp, Formula::LerpSquare, Formula::Descend];
        let [mean, gradient, slow, ..] = first.args;
        let [square, again, slower, ..] = second.args;
        let [weights, m, rate, v, epsilon, _] = third.args;
        let factors = [slow, slower, rate, epsilon];
        let fits = (0..3).all(|i| *codes[i] == Code::Formula(formulas[i]))
            && (again, m, v) == (gradient, first.dst, second.dst)
            && factors.into_iter().all(uniform);
        let after = [first.dst, second.dst, third.dst];
        fits.then_some(Adam { before: [mean, square, weights], after, gradient, factors })
    }
}

/// Makes steps of Adam one instruction.
pub(super) fn steps(instrs: &mut Vec<Instr>, uniform: impl Fn(Slot) -> bool) {
    let mut i = 0;
    while i + 3 <= instrs.len() {
        if let Some(adam) = Adam::of(&instrs[i..i + 3], &uniform) {
            let dst = adam.after[2];
            instrs.splice(i..i + 3, [Instr { code: Code::Adam(adam), dst, args: [0; MOST] }]);
        }
        i += 1;
    }
}

/// Joins instructions whose values nobody else reads.
pub(super) fn join(values: &mut [Value], outputs: &[usize]) {
    let mut uses = vec![0; values.len()];
    for v in values.iter() {
        if let Value::Instr(_, args, count, _) = v {
            args[..*count].iter().for_each(|&a| uses[a] += 1);
        }
    }
    outputs.iter().for_each(|&v| uses[v] += 2);
    // Long pieces first: a pair would take a part of them away.
    for rule in [gelu_slope, gelu, formula, pair] {
        for i in 0..values.len() {
            if let Some((code, args, count, gone)) = rule(&Chain { values, uses: &uses }, i) {
                values[i] = Value::Instr(code, args, count, Class::F32);
                gone.into_iter().for_each(|g| values[g] = Value::Gone);
            }
        }
    }
}

/// The instruction, its operands, how many they are, and the values that it makes good for.
type Joined = (Code, [usize; MOST], usize, Vec<usize>);

struct Chain<'a> {
    values: &'a [Value],
    uses: &'a [usize],
}

impl Chain<'_> {
    /// The operands of value `i`, if it is this function of f32 values.
    fn binary(&self, i: usize, kind: B) -> Option<(usize, usize)> {
        match &self.values[i] {
            Value::Instr(Code::Binary(k, Class::F32), args, ..) if *k == kind => Some((args[0], args[1])),
            _ => None,
        }
    }

    /// As `binary`, for a value that is used once.
    fn inner(&self, i: usize, kind: B) -> Option<(usize, usize)> {
        self.binary(i, kind).filter(|_| self.uses[i] == 1)
    }

    /// The operand of value `i`, used once, if it is this function of an f32 value.
    fn unary(&self, i: usize, kind: UnaryKind) -> Option<usize> {
        match &self.values[i] {
            Value::Instr(Code::Unary(k, Class::F32), args, ..) if *k == kind && self.uses[i] == 1 => Some(args[0]),
            _ => None,
        }
    }
}

fn gelu(c: &Chain<'_>, i: usize) -> Option<Joined> {
    let (scaled, shifted) = c.binary(i, B::Multiply)?;
    let (x, half) = c.inner(scaled, B::Multiply)?;
    let (erf, one) = c.inner(shifted, B::Add)?;
    let z = c.unary(erf, UnaryKind::Erf)?;
    let (same, root) = c.inner(z, B::Multiply)?;
    let gone = vec![scaled, shifted, erf, z];
    (same == x).then_some((Code::Formula(Formula::Gelu), [x, half, root, one, 0, 0], 4, gone))
}

fn gelu_slope(c: &Chain<'_>, i: usize) -> Option<Joined> {
    let (bell, step) = c.binary(i, B::Add)?;
    // What gelu's second factor gives.
    let (by, half) = c.inner(step, B::Multiply)?;
    let (d, shifted) = c.inner(by, B::Multiply)?;
    let (erf, one) = c.inner(shifted, B::Add)?;
    let z = c.unary(erf, UnaryKind::Erf)?;
    let (x, root) = c.binary(z, B::Multiply).filter(|_| c.uses[z] == 3)?;
    // What the slope of the error function gives.
    let (scaled, again) = c.inner(bell, B::Multiply)?;
    let (product, rate) = c.inner(scaled, B::Multiply)?;
    let (risen, power) = c.inner(product, B::Multiply)?;
    let (e, first) = c.inner(risen, B::Multiply)?;
    let exponent = c.unary(power, UnaryKind::Exp)?;
    let square = c.unary(exponent, UnaryKind::Negate)?;
    let same = (again, e, c.inner(first, B::Multiply)?, c.inner(square, B::Multiply)?) == (root, d, (x, half), (z, z));
    let gone = vec![step, by, shifted, erf, z, bell, scaled, product, risen, first, power, exponent, square];
    same.then_some((Code::Formula(Formula::GeluSlope), [x, half, root, one, d, rate], 6, gone))
}

fn formula(c: &Chain<'_>, i: usize) -> Option<Joined> {
    if let Some((a, product)) = c.binary(i, B::Add) {
        let (difference, factor) = c.inner(product, B::Multiply)?;
        let (b, minus) = c.inner(difference, B::Subtract)?;
        if minus != a {
            return None;
        }
        let square = c.inner(b, B::Multiply).filter(|(x, y)| x == y);
        let code = if square.is_some() { Formula::LerpSquare } else { Formula::Lerp };
        let gone = [product, difference].into_iter().chain(square.map(|_| b)).collect();
        return Some((Code::Formula(code), [a, square.map_or(b, |s| s.0), factor, 0, 0, 0], 3, gone));
    }
    let (w, quotient) = c.binary(i, B::Subtract)?;
    let (above, below) = c.inner(quotient, B::Divide)?;
    let (m, rate) = c.inner(above, B::Multiply)?;
    let (root, epsilon) = c.inner(below, B::Add)?;
    match &c.values[root] {
        Value::Instr(Code::Unary(UnaryKind::Sqrt, Class::F32), v, ..) if c.uses[root] == 1 => {
            let gone = vec![quotient, above, below, root];
            Some((Code::Formula(Formula::Descend), [w, m, rate, v[0], epsilon, 0], 5, gone))
        }
        _ => None,
    }
}

fn pair(c: &Chain<'_>, i: usize) -> Option<Joined> {
    let plain = |i: usize| match &c.values[i] {
        Value::Instr(Code::Binary(k, Class::F32), args, ..) if k.is_plain() => Some((*k, *args)),
        _ => None,
    };
    let (second, args) = plain(i)?;
    [(args[0], args[1], Side::Left), (args[1], args[0], Side::Right)].into_iter().find_map(|(inner, other, side)| {
        let (first, [a, b, ..]) = plain(inner).filter(|_| c.uses[inner] == 1)?;
        Some((Code::Pair(first, second, side), [a, b, other, 0, 0, 0], 3, vec![inner]))
    })
}
