//! Runs one kernel on values given as f64, on several numbers of threads.

use kerast_kernels::buffer::Buffer;
use kerast_kernels::dtype::{DType, Element};
use kerast_kernels::machine::{Kernel, Place, Program, Role, Session, Slot, Step};
use kerast_kernels::pool::Pool;
use kerast_kernels::with_element;
use std::sync::Arc;

/// Values as memory of an element type.
pub(crate) fn values(dtype: DType, values: &[f64]) -> Buffer {
    with_element!(dtype, T => Buffer::from_slice(&values.iter().map(|&v| T::from_f64(v)).collect::<Vec<T>>()))
}

/// The content of memory of an element type.
pub(crate) fn numbers(dtype: DType, buffer: &Buffer) -> Vec<f64> {
    with_element!(dtype, T => buffer.as_slice::<T>().iter().map(|v| v.to_f64()).collect())
}

/// Reproducible integers in `0..below`.
pub(crate) fn noise(count: usize, seed: u64, below: u64) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ((state >> 33) % below) as f64
    };
    (0..count).map(|_| next()).collect()
}

/// Element offsets of a row-major shape.
pub(crate) fn strides(shape: &[usize]) -> Vec<usize> {
    (0..shape.len()).map(|i| shape[i + 1..].iter().product()).collect()
}

/// The indices of element number `n` of a shape.
pub(crate) fn unravel(n: usize, shape: &[usize]) -> Vec<usize> {
    strides(shape).iter().zip(shape).map(|(s, d)| n / s % d).collect()
}

/// The element number of indices.
pub(crate) fn ravel(at: &[usize], shape: &[usize]) -> usize {
    strides(shape).iter().zip(at).map(|(s, i)| s * i).sum()
}

/// A program of one kernel, its operands being buffers of the given lengths and roles.
pub(crate) fn session(
    kernel: Box<dyn Kernel>,
    roles: &[(usize, Role)],
    inputs: &[usize],
    outputs: &[usize],
    threads: usize,
) -> Session {
    let slots: Vec<Slot> = roles.iter().map(|&(bytes, role)| Slot { bytes, role }).collect();
    let place = |&k: &usize| Place { slot: k + 1, offset: 0, bytes: slots[k].bytes };
    let scratch = Place { slot: 0, offset: 0, bytes: kernel.scratch() };
    let step = Step {
        inputs: inputs.iter().map(place).collect(),
        outputs: outputs.iter().map(place).collect(),
        scratch,
        label: "test".into(),
        kernel,
    };
    let program = Program::new(scratch.bytes, slots, vec![step]).expect("a valid program");
    Session::new(Arc::new(program), Arc::new(Pool::new(threads))).expect("memory")
}

/// The outputs (of these lengths in bytes) of a kernel; asserts that one and two threads agree.
pub(crate) fn run(make: impl Fn() -> Box<dyn Kernel>, inputs: &[&Buffer], outputs: &[usize]) -> Vec<Buffer> {
    let mut first: Option<Vec<Buffer>> = None;
    for threads in [1, 2] {
        let mut roles: Vec<(usize, Role)> = inputs.iter().map(|b| (b.len(), Role::Input)).collect();
        roles.extend(outputs.iter().map(|&bytes| (bytes, Role::Output)));
        let (ins, outs): (Vec<usize>, Vec<usize>) = (0..roles.len()).partition(|&k| k < inputs.len());
        let mut s = session(make(), &roles, &ins, &outs, threads);
        inputs.iter().enumerate().for_each(|(k, b)| s.put(k, (*b).clone()));
        for &k in &outs {
            s.buffer_mut(k).expect("owned").as_mut_bytes().fill(0xa5);
        }
        s.run();
        let result: Vec<Buffer> = outs.iter().map(|&k| s.take(k).expect("owned")).collect();
        let first = first.get_or_insert_with(|| result.clone());
        for (a, b) in first.iter().zip(&result) {
            assert!(a.as_bytes() == b.as_bytes(), "{threads} threads give another result");
        }
    }
    first.expect("two runs")
}
