//! Counter-based random bits: Philox 4x32-10 (Salmon et al. 2011), keyed by seed, step and stream.
//!
//! 64 elements are the first words of 16 consecutive blocks `[n, n >> 32, stream, step]` under the key `[seed, seed >> 32]`, then
//! their second words, and so on: the same bits on any machine, for any thread count, in any order.

use crate::autodiff::Vjp;
use crate::error::Result;
use crate::ir::attributes::Attributes;
use crate::ir::op::{Cpu, OpRule, Sample, dtype_error};
use crate::ir::types::Type;
use crate::ir::var::Var;
use crate::tensor::Tensor;
use kerast_kernels::dtype::DType;
use kerast_kernels::map::Scalar;

/// `u32` bits of a shape. The operand is `u32[3]`: seed (low, high) and step.
#[derive(Clone, Debug, PartialEq)]
pub struct RandomBits {
    /// Tells apart the places that draw numbers in one step.
    pub stream: u32,
    /// The shape of the result.
    pub shape: Vec<usize>,
}

impl OpRule for RandomBits {
    fn name(&self) -> &'static str {
        "rng_bit_generator"
    }

    fn infer(&self, x: &[&Type]) -> Result<Vec<Type>> {
        match x {
            [key] if **key == Type::new(DType::U32, [3]) => Ok(vec![Type::new(DType::U32, self.shape.clone())]),
            _ => {
                Err(dtype_error(self.name(), "takes one ui32[3]: seed (low, high) and step").received(format!("{x:?}")))
            }
        }
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Vec<Option<Var>> {
        cx.none()
    }

    fn cpu(&self, _: &[&Type], _: &[&Type]) -> Cpu {
        Cpu::Scalar(Scalar::RandomBits { stream: self.stream })
    }

    fn attributes(&self) -> Attributes {
        Attributes::none().with("algorithm", "philox").with("stream", self.stream as usize).with("shape", &self.shape)
    }

    fn parse(name: &str, a: &Attributes) -> Result<Option<Self>> {
        if name != "rng_bit_generator" {
            return Ok(None);
        }
        Ok(Some(RandomBits { stream: a.size("stream")? as u32, shape: a.sizes("shape")? }))
    }

    fn samples() -> Vec<Sample> {
        let key = |v: [u32; 3]| vec![Tensor::new(&[3], &v).expect("three values")];
        vec![
            Sample::flat(RandomBits { stream: 0, shape: vec![5] }, key([0, 0, 0])),
            Sample::flat(RandomBits { stream: 3, shape: vec![4, 700] }, key([7, 1, 9])),
        ]
    }
}

impl Var {
    /// Random bits from this `u32[3]` key.
    #[track_caller]
    pub fn random_bits(&self, stream: u32, shape: &[usize]) -> Var {
        self.apply(RandomBits { stream, shape: shape.to_vec() }, &[])
    }

    /// Uniform f32 numbers in [0, 1) with 24 random bits each, from this `u32[3]` key.
    #[track_caller]
    pub fn random_uniform(&self, stream: u32, shape: &[usize]) -> Var {
        let bits = self.random_bits(stream, shape);
        let high = bits.shift_right_logical(&bits.constant_like(8.0));
        high.convert(DType::F32) * (1.0 / 16_777_216.0)
    }

    /// Standard normal f32 numbers, from this `u32[3]` key, by the inverse of the error function.
    #[track_caller]
    pub fn random_normal(&self, stream: u32, shape: &[usize]) -> Var {
        // The centre of each of 2^24 cells, so that neither 0 nor 1 occurs.
        let u = self.random_uniform(stream, shape) + 0.5 / 16_777_216.0;
        (u * 2.0 - 1.0).erf_inv() * std::f64::consts::SQRT_2
    }
}
