//! Loops over programs against the same loops written out.

use crate::run::run;
use kerast_kernels::buffer::Buffer;
use kerast_kernels::control::{Part, Scan, While};
use kerast_kernels::dtype::DType;
use kerast_kernels::machine::{Place, Program, Role, Slot, Step};
use kerast_kernels::map::{Access, BinaryKind, CompareKind, MapBuilder, Reg, Scalar};
use std::sync::Arc;

const F: DType = DType::F32;
const ARENA: usize = usize::MAX;

/// A program under construction: slots of given lengths, and one step per scalar function.
struct Sketch {
    arena: usize,
    slots: Vec<Slot>,
    steps: Vec<Step>,
}

impl Sketch {
    fn new(inputs: &[usize], outputs: &[usize]) -> Sketch {
        let slot = |role| move |&bytes: &usize| Slot { bytes, role };
        let slots = inputs.iter().map(slot(Role::Input)).chain(outputs.iter().map(slot(Role::Output))).collect();
        Sketch { arena: 0, slots, steps: vec![] }
    }

    /// `to = f(x, y)` on all elements; a slot number of [`ARENA`] is the first value of the arena.
    fn binary(&mut self, kind: BinaryKind, dtype: DType, [x, y]: [usize; 2], to: usize) {
        self.step(&Scalar::Binary(kind), dtype, dtype, [x, y], to);
    }

    fn step(&mut self, scalar: &Scalar, dtype: DType, out: DType, from: [usize; 2], to: usize) {
        let slots = &self.slots;
        let length = from.iter().chain([&to]).find(|s| **s != ARENA).map_or(0, |&s| slots[s].bytes);
        let n = from.iter().find(|s| **s != ARENA).map_or(length, |&s| slots[s].bytes) / dtype.size();
        let place = |s: usize, size: usize| match s {
            ARENA => Place { slot: 0, offset: 0, bytes: n * size },
            s => Place { slot: s + 1, offset: 0, bytes: n * size },
        };
        let mut b = MapBuilder::new(n);
        let args: Vec<Reg> = from.iter().map(|_| b.input(dtype, Access::Direct)).collect();
        let y = b.op(scalar, &args, out);
        b.store(y);
        if to == ARENA {
            self.arena = self.arena.max(n * out.size());
        }
        self.steps.push(Step {
            kernel: Box::new(b.finish()),
            inputs: from.iter().map(|&s| place(s, dtype.size())).collect(),
            outputs: vec![place(to, out.size())],
            scratch: Place { slot: 0, offset: 0, bytes: 0 },
            label: "test".into(),
        });
    }

    fn part(self, parameters: &[usize], results: &[usize], constants: Vec<(usize, Arc<Buffer>)>) -> Part {
        let program = Program::new(self.arena, self.slots, self.steps).expect("a valid program");
        Part {
            program: Arc::new(program),
            parameters: parameters.to_vec(),
            results: results.to_vec(),
            constants,
            packings: vec![],
        }
    }
}

fn ints(values: &[i32]) -> Arc<Buffer> {
    Arc::new(Buffer::from_slice(values))
}

/// while i < 5 { i += 1; x = x + x; y = max(y + c, y) }, with one value of 12 and one of 524 bytes.
fn doubling() -> While {
    let state = [4, 12, 524];
    let mut c = Sketch::new(&[4, 12, 524, 4], &[1]);
    c.step(&Scalar::Compare(CompareKind::Less), DType::I32, DType::Bool, [0, 3], 4);
    let condition = c.part(&[0, 1, 2], &[4], vec![(3, ints(&[5]))]);
    let step: Vec<f32> = (0..131).map(|i| i as f32 - 60.0).collect();
    let mut b = Sketch::new(&[state[0], state[1], state[2], 4, 524], &state);
    b.binary(BinaryKind::Add, DType::I32, [0, 3], 5);
    b.binary(BinaryKind::Add, F, [1, 1], 6);
    b.binary(BinaryKind::Add, F, [2, 4], ARENA);
    b.binary(BinaryKind::Max, F, [2, ARENA], 7);
    let constants = vec![(3, ints(&[1])), (4, Arc::new(Buffer::from_slice(&step)))];
    While::new(condition, b.part(&[0, 1, 2], &[5, 6, 7], constants))
}

#[test]
fn while_goes_on_as_long_as_the_condition_holds() {
    for first in [5, 9, 4, 3, 0, -4] {
        let turns = (5 - first).max(0);
        let (x, y): (Vec<f32>, Vec<f32>) = (vec![1.0, -0.5, 3.0], (0..131).map(|i| i as f32).collect());
        let inputs = [&Buffer::from_slice(&[first]), &Buffer::from_slice(&x), &Buffer::from_slice(&y)];
        let out = run(|| Box::new(doubling()), &inputs, &[4, 12, 524]);
        assert_eq!(out[0].as_slice::<i32>(), [first + turns]);
        let doubled: Vec<f32> = x.iter().map(|v| v * 2f32.powi(turns)).collect();
        assert_eq!(out[1].as_slice::<f32>(), doubled, "{turns} turns");
        let grown: Vec<f32> = (0..131).map(|i| (i + (i - 60).max(0) * turns) as f32).collect();
        assert_eq!(out[2].as_slice::<f32>(), grown, "{turns} turns");
    }
}

/// (h, n), (x, z) → h' = h·u + x, n' = n + one; stacked: h', z − h'. Slices of three elements lie at odd addresses.
fn recurrence(length: usize, reverse: bool) -> Scan {
    // Parameters u, h, n, x, z and a constant; results h', n', h' again, z − h'.
    let mut b = Sketch::new(&[12, 12, 4, 12, 12, 4], &[12, 4, 12, 12]);
    b.binary(BinaryKind::Multiply, F, [1, 0], ARENA);
    b.binary(BinaryKind::Add, F, [3, ARENA], 6);
    b.binary(BinaryKind::Add, DType::I32, [2, 5], 7);
    b.binary(BinaryKind::Max, F, [6, 6], 8);
    b.binary(BinaryKind::Subtract, F, [4, 6], 9);
    Scan::new(b.part(&[0, 1, 2, 3, 4], &[6, 7, 8, 9], vec![(5, ints(&[1]))]), 1, 2, length, reverse)
}

#[test]
fn scan_carries_values_along_and_stacks_slices() {
    let u = [0.5f32, -1.0, 2.0];
    for (length, reverse) in [(0, false), (1, false), (1, true), (2, false), (5, false), (7, true)] {
        let x: Vec<f32> = (0..3 * length).map(|i| i as f32 - 4.0).collect();
        let z: Vec<f32> = (0..3 * length).map(|i| (i * i) as f32).collect();
        let mut h = [1.0f32, 2.0, 3.0];
        let (mut stack, mut difference) = (vec![0f32; 3 * length], vec![0f32; 3 * length]);
        for turn in 0..length {
            let t = if reverse { length - 1 - turn } else { turn };
            for j in 0..3 {
                h[j] = h[j] * u[j] + x[3 * t + j];
                stack[3 * t + j] = h[j];
                difference[3 * t + j] = z[3 * t + j] - h[j];
            }
        }
        let inputs = [
            &Buffer::from_slice(&u),
            &Buffer::from_slice(&[1.0f32, 2.0, 3.0]),
            &Buffer::from_slice(&[10i32]),
            &Buffer::from_slice(&x),
            &Buffer::from_slice(&z),
        ];
        let out = run(|| Box::new(recurrence(length, reverse)), &inputs, &[12, 4, 12 * length, 12 * length]);
        assert_eq!(out[0].as_slice::<f32>(), h, "{length} turns, reverse: {reverse}");
        assert_eq!(out[1].as_slice::<i32>(), [10 + length as i32]);
        assert_eq!(out[2].as_slice::<f32>(), stack, "{length} turns, reverse: {reverse}");
        assert_eq!(out[3].as_slice::<f32>(), difference, "{length} turns, reverse: {reverse}");
    }
}
