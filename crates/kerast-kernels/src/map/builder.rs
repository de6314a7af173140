//! From a chain of scalar functions to instructions over slots.

use super::TILE;
use super::join::{self, Adam, Formula, Side};
use super::kinds::{BinaryKind, Class, CompareKind, ReduceKind, Scalar, UnaryKind};
use super::reduce::Geometry;
use super::run::Map;
use crate::dtype::DType;

/// How element `i` of the iteration finds its element of an operand.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Element `i`.
    Direct,
    /// Always the one element.
    Scalar,
    /// Element `(i / repeat) % period`.
    Cyclic {
        /// Iteration elements that share one operand element in a row.
        repeat: usize,
        /// Operand elements before they start again.
        period: usize,
    },
    /// By axis: pairs of length and operand stride, outermost first.
    Strided {
        /// The first operand element.
        offset: usize,
        /// Length and operand stride of each axis.
        axes: Vec<(usize, usize)>,
    },
    /// The whole operand, for functions that need all of it (the key of random bits).
    Whole,
}

/// A value of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reg(usize);

/// The slot of a value: a tile in scratch memory or a stretch of an operand.
pub(crate) type Slot = u16;

/// Operands of one instruction at the most.
pub(super) const MOST: usize = 6;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Code {
    Unary(UnaryKind, Class),
    Binary(BinaryKind, Class),
    Compare(CompareKind, Class),
    /// `second(first(a, b), c)` in f32, or `second(c, first(a, b))`: two steps of arithmetic with one pass over the tile.
    Pair(BinaryKind, BinaryKind, Side),
    /// A longer piece of arithmetic in f32 with one pass over the tile.
    Formula(Formula),
    /// Several results, with one pass over the tile.
    Adam(Adam),
    Select(Class),
    Clamp(Class),
    Convert(DType, DType),
    /// Brings an I32 (or f32) tile back into the range (or precision) of a narrower type.
    Narrow(DType),
    Iota(usize, usize, DType),
    RandomBits(u32),
}

impl Code {
    /// How long it takes, in additions.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Code::Unary(kind, Class::F32) => Scalar::Unary(*kind).weight(),
            // One of them after the other.
            Code::Unary(kind, _) if Scalar::Unary(*kind).weight() > 1 => 25,
            Code::Binary(kind, _) => Scalar::Binary(*kind).weight(),
            Code::RandomBits(stream) => Scalar::RandomBits { stream: *stream }.weight(),
            Code::Adam(_) => 3,
            Code::Formula(Formula::Gelu) => Scalar::Unary(UnaryKind::Erf).weight(),
            Code::Formula(Formula::GeluSlope) => 2 * Scalar::Unary(UnaryKind::Erf).weight(),
            _ => 1,
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Instr {
    pub(crate) code: Code,
    pub(crate) dst: Slot,
    pub(crate) args: [Slot; MOST],
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Input {
    pub(crate) dtype: DType,
    pub(crate) access: Access,
    pub(crate) slot: Slot,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Output {
    pub(crate) dtype: DType,
    pub(crate) slot: Slot,
    pub(crate) reduce: Option<ReduceKind>,
}

pub(super) enum Value {
    Input,
    Constant(DType, f64, i64),
    Instr(Code, [usize; MOST], usize, Class),
    /// Became part of another instruction.
    Gone,
}

/// Describes a chain; see [`Map`].
pub struct MapBuilder {
    n: usize,
    values: Vec<Value>,
    dtypes: Vec<DType>,
    inputs: Vec<(DType, Access, usize)>,
    outputs: Vec<(usize, Option<ReduceKind>)>,
    geometry: Option<Geometry>,
}

impl MapBuilder {
    /// A chain over `n` elements.
    pub fn new(n: usize) -> MapBuilder {
        MapBuilder { n, values: vec![], dtypes: vec![], inputs: vec![], outputs: vec![], geometry: None }
    }

    fn value(&mut self, value: Value, dtype: DType) -> Reg {
        self.values.push(value);
        self.dtypes.push(dtype);
        Reg(self.values.len() - 1)
    }

    /// The next input of the kernel, read through `access`.
    pub fn input(&mut self, dtype: DType, access: Access) -> Reg {
        let reg = self.value(Value::Input, dtype);
        self.inputs.push((dtype, access, reg.0));
        reg
    }

    /// A constant: as float for float types, as integer for the others.
    pub fn constant(&mut self, dtype: DType, float: f64, int: i64) -> Reg {
        let same =
            |v: &Value| matches!(v, Value::Constant(d, f, i) if (*d, f.to_bits(), *i) == (dtype, float.to_bits(), int));
        match self.values.iter().position(same) {
            Some(known) => Reg(known),
            None => self.value(Value::Constant(dtype, float, int), dtype),
        }
    }

    /// A scalar function of earlier values, with a result of type `dtype`.
    pub fn op(&mut self, scalar: &Scalar, args: &[Reg], dtype: DType) -> Reg {
        let class = |r: Reg, s: &Self| Class::of(s.dtypes[r.0]);
        let mut narrow = dtype != DType::Bool && !Class::is_native(dtype);
        let code = match scalar {
            // Not of a bool must stay 0 or 1.
            Scalar::Unary(UnaryKind::Not) if dtype == DType::Bool => {
                let one = self.constant(DType::Bool, 1.0, 1);
                return self.op(&Scalar::Binary(BinaryKind::Xor), &[args[0], one], dtype);
            }
            Scalar::Unary(k) => Code::Unary(*k, class(args[0], self)),
            Scalar::Binary(k) => Code::Binary(*k, class(args[0], self)),
            Scalar::Compare(k) => Code::Compare(*k, class(args[0], self)),
            Scalar::Select => Code::Select(class(args[1], self)),
            Scalar::Clamp => Code::Clamp(class(args[1], self)),
            Scalar::Convert(to) => {
                narrow = false;
                Code::Convert(self.dtypes[args[0].0], *to)
            }
            Scalar::Iota { repeat, length } => Code::Iota(*repeat, *length, dtype),
            Scalar::RandomBits { stream } => Code::RandomBits(*stream),
            Scalar::Reduce { .. } => unreachable!("a reduction ends a chain: see MapBuilder::reduce"),
        };
        let mut operands = [0; MOST];
        args.iter().enumerate().for_each(|(i, r)| operands[i] = r.0);
        let count = args.len();
        let mut reg = self.value(Value::Instr(code, operands, count, Class::of(dtype)), dtype);
        if narrow && !matches!(scalar, Scalar::Select | Scalar::Clamp | Scalar::Compare(_)) {
            operands[0] = reg.0;
            reg = self.value(Value::Instr(Code::Narrow(dtype), operands, 1, Class::of(dtype)), dtype);
        }
        reg
    }

    /// The next output of the kernel holds this value, element by element.
    pub fn store(&mut self, value: Reg) {
        self.outputs.push((value.0, None));
    }

    /// Whether a reduction along `axes` of `shape` can end this chain (all reductions of a chain have the same geometry, and
    /// the axes lie together).
    pub fn can_reduce(&self, shape: &[usize], axes: &[usize]) -> bool {
        let g = Geometry::of(shape, axes);
        g.is_some() && (self.geometry.is_none() || self.geometry == g)
    }

    /// The next output of the kernel holds the reduction of this value along `axes`.
    pub fn reduce(&mut self, value: Reg, kind: ReduceKind, shape: &[usize], axes: &[usize]) {
        assert!(self.can_reduce(shape, axes), "asked for with `can_reduce` before");
        self.geometry = Geometry::of(shape, axes);
        self.outputs.push((value.0, Some(kind)));
    }

    /// How many inputs and outputs there are.
    pub fn operands(&self) -> (usize, usize) {
        (self.inputs.len(), self.outputs.len())
    }

    /// Assigns slots and makes the kernel.
    pub fn finish(mut self) -> Map {
        join::join(&mut self.values, &self.outputs.iter().map(|o| o.0).collect::<Vec<_>>());
        let n = self.values.len();
        let mut last_use = vec![0usize; n];
        for (i, v) in self.values.iter().enumerate() {
            if let Value::Instr(_, args, count, _) = v {
                args[..*count].iter().for_each(|&a| last_use[a] = i);
            }
        }
        let mut pinned: Vec<bool> = self.values.iter().map(|v| !matches!(v, Value::Instr(..))).collect();
        for (v, _) in &self.outputs {
            pinned[*v] = true;
        }
        let mut slots = Slots::default();
        let mut slot = vec![0 as Slot; n];
        // Inputs and constants first: they are filled before the first instruction runs.
        for i in 0..n {
            if matches!(self.values[i], Value::Input | Value::Constant(..)) {
                slot[i] = slots.take(Class::of(self.dtypes[i]).size());
            }
        }
        let (mut instrs, mut constants) = (vec![], vec![]);
        for (i, v) in self.values.iter().enumerate() {
            match v {
                Value::Input | Value::Gone => {}
                Value::Constant(d, f, int) => constants.push((*d, *f, *int, slot[i])),
                Value::Instr(code, args, count, class) => {
                    slot[i] = slots.take(class.size());
                    let mut a = [0; MOST];
                    (0..*count).for_each(|k| a[k] = slot[args[k]]);
                    instrs.push(Instr { code: code.clone(), dst: slot[i], args: a });
                    for (k, &arg) in args[..*count].iter().enumerate() {
                        if last_use[arg] == i && !pinned[arg] && !args[..k].contains(&arg) {
                            slots.free.push((slot[arg], slots.sizes[slot[arg] as usize]));
                        }
                    }
                }
            }
        }
        let inputs: Vec<Input> = self
            .inputs
            .iter()
            .map(|(dtype, access, v)| Input { dtype: *dtype, access: access.clone(), slot: slot[*v] })
            .collect();
        join::steps(&mut instrs, |s| {
            constants.iter().any(|c| c.3 == s) || inputs.iter().any(|i| i.slot == s && i.access == Access::Scalar)
        });
        let outputs =
            self.outputs.iter().map(|(v, reduce)| Output { dtype: self.dtypes[*v], slot: slot[*v], reduce: *reduce });
        let geometry = self.geometry.unwrap_or(Geometry { outer: 1, middle: 1, inner: self.n });
        Map::assemble(self.n, geometry, inputs, constants, instrs, outputs.collect(), &slots.sizes)
    }
}

#[derive(Default)]
struct Slots {
    sizes: Vec<usize>,
    free: Vec<(Slot, usize)>,
}

impl Slots {
    fn take(&mut self, element: usize) -> Slot {
        match self.free.iter().rposition(|(_, s)| *s == element * TILE) {
            Some(i) => self.free.swap_remove(i).0,
            None => {
                self.sizes.push(element * TILE);
                (self.sizes.len() - 1) as Slot
            }
        }
    }
}
