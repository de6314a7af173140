//! Einstein's sums of two operands: `"bij,bkj->bik"`.

use crate::{Error, ErrorKind, Result};
use kerast_graph::Var;

/// A parsed equation: a letter for each axis of the two operands and of the result, each once in an operand.
#[derive(Clone, Debug)]
pub(super) struct Einsum {
    pub(super) left: Vec<char>,
    pub(super) right: Vec<char>,
    pub(super) result: Vec<char>,
    /// Axes of the left operand that `...` stands for.
    pub(super) elided: usize,
}

impl Einsum {
    /// Reads an equation for a left operand with so many axes; `...` may stand for some of them, in it and in the result.
    pub(super) fn parse(equation: &str, rank: usize) -> Result<Einsum> {
        let unfit = || {
            Error::new(
                ErrorKind::Unsupported,
                "an einsum takes two operands, a written result and each letter once in an operand",
            )
            .received(format!("{equation:?}, for a first operand of {rank} axes"))
        };
        let plain = equation.replace(' ', "");
        let (from, to) = plain.split_once("->").ok_or_else(unfit)?;
        let (left, right) = from.split_once(',').ok_or_else(unfit)?;
        let named = left.replace("...", "").chars().count();
        let elided = rank.checked_sub(named).ok_or_else(unfit)?;
        let free = ('A'..='Z').filter(|c| !plain.contains(*c)).take(elided).collect::<String>();
        let letters = |s: &str| s.replacen("...", &free, 1).chars().collect::<Vec<char>>();
        let e = Einsum { left: letters(left), right: right.chars().collect(), result: letters(to), elided };
        let once = |v: &[char]| v.iter().enumerate().all(|(i, c)| c.is_ascii_alphabetic() && !v[..i].contains(c));
        let known = e.result.iter().all(|c| e.left.contains(c) || e.right.contains(c));
        match [&e.left, &e.right, &e.result].into_iter().all(|v| once(v)) && known && e.left.len() == rank {
            true => Ok(e),
            false => Err(unfit()),
        }
    }

    /// The sum of products.
    pub(super) fn call(&self, x: &Var, y: &Var) -> Var {
        let (x, l) = summed(x, &self.left, &[&self.right, &self.result]);
        let (y, r) = summed(y, &self.right, &[&self.left, &self.result]);
        let shared = |in_result: bool| {
            l.iter().filter(|c| r.contains(c) && self.result.contains(c) == in_result).copied().collect::<Vec<_>>()
        };
        let (batch, contract) = (shared(true), shared(false));
        let alone = |of: &[char]| {
            of.iter().filter(|c| !batch.contains(c) && !contract.contains(c)).copied().collect::<Vec<_>>()
        };
        let made: Vec<char> = batch.iter().copied().chain(alone(&l)).chain(alone(&r)).collect();
        let product = x.dot_general(
            &y,
            (&places(&l, &batch), &places(&r, &batch)),
            (&places(&l, &contract), &places(&r, &contract)),
        );
        product.transpose(&places(&made, &self.result))
    }
}

fn places(of: &[char], which: &[char]) -> Vec<usize> {
    which.iter().filter_map(|c| of.iter().position(|o| o == c)).collect()
}

/// An operand summed over the axes that nobody else names.
fn summed(x: &Var, letters: &[char], others: &[&[char]; 2]) -> (Var, Vec<char>) {
    let gone = |c: &char| !others.iter().any(|o| o.contains(c));
    let axes: Vec<usize> = (0..letters.len()).filter(|&i| gone(&letters[i])).collect();
    (x.reduce_sum(&axes), letters.iter().copied().filter(|c| !gone(c)).collect())
}
