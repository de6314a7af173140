//! Reductions over windows, and the gradient of the largest (or smallest) of a window.
//!
//! A window's element is known by its number: its place in the window, padding and gaps counted.
//!
//! Axes with nothing but windows of one element are walked as a whole: those in front are images, those behind are lanes of
//! vectors. So `[batch, height, width, channels]` and `[batch, channels, height, width]` take the same way.

mod choose;
mod reduce;
mod scatter;

pub use reduce::Window;
pub use scatter::ScatterWindow;

use crate::dtype::DType;
use std::ops::Range;

/// Lanes that are worked on at a time.
const LANES: usize = 16;
/// The number of no element: of windows on padding alone.
const NONE: u32 = u32::MAX;

/// The type of the numbers of a window's elements: the largest number stands for none.
pub fn number_type(axes: &[WindowAxis]) -> DType {
    let elements: usize = axes.iter().map(|a| a.size).product();
    if elements <= u8::MAX as usize { DType::U8 } else { DType::U32 }
}

/// One axis of a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowAxis {
    /// Length of the operand.
    pub input: usize,
    /// Length of the window.
    pub size: usize,
    /// Step of the window.
    pub stride: usize,
    /// Distance between elements of the operand (1: none between).
    pub base_dilation: usize,
    /// Distance between elements of the window (1: none between).
    pub dilation: usize,
    /// Padding before.
    pub low: i64,
    /// Padding after.
    pub high: i64,
}

impl WindowAxis {
    /// Places of the window.
    pub fn output(&self) -> usize {
        let dilated = |n: usize, d: usize| if n == 0 { 0 } else { (n as i64 - 1) * d as i64 + 1 };
        let room = dilated(self.input, self.base_dilation) + self.low + self.high - dilated(self.size, self.dilation);
        if room < 0 { 0 } else { (room / self.stride as i64 + 1) as usize }
    }

    fn is_unit(&self) -> bool {
        self.size == 1 && self.stride == 1 && self.base_dilation == 1 && self.low == 0 && self.high == 0
    }

    /// Places `o` at which window element `k` lies on the operand. Only for operands without gaps.
    fn places(&self, k: usize, within: &Range<usize>) -> Range<usize> {
        let shift = self.low - (k * self.dilation) as i64;
        let ceil = |n: i64| (n.max(0) as usize).div_ceil(self.stride);
        let start = ceil(shift).max(within.start);
        start..ceil(self.input as i64 + shift).min(within.end).max(start)
    }
}

/// The elements of the operand under the window at one place: `count` of them from `first` on, the first one known in the window as
/// `number`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Taps {
    first: usize,
    count: usize,
    number: u32,
}

/// One element, or row of elements, under a window: its offset in the operand and its number in the window.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Tap {
    at: usize,
    number: u32,
}

/// One axis with its windows looked up.
#[derive(Clone, Debug, PartialEq)]
struct Axis {
    window: WindowAxis,
    /// For every place.
    taps: Vec<Taps>,
    /// From one tap to the next: in the operand, in the window.
    step: usize,
    turn: u32,
    /// Strides in elements of operand and result.
    from: usize,
    to: usize,
}

impl Axis {
    fn new(window: WindowAxis, from: usize, to: usize) -> Axis {
        let w = &window;
        let common = gcd(w.base_dilation, w.dilation);
        // Every `turn`-th window element lies on an element of the operand, `step` further on.
        let (turn, step) = (w.base_dilation / common, w.dilation / common);
        let place = |o: usize| {
            let at = |k: usize| (o * w.stride + k * w.dilation) as i64 - w.low;
            let Some(k) = (0..turn.min(w.size)).find(|&k| at(k) % w.base_dilation as i64 == 0) else {
                return Taps { first: 0, count: 0, number: 0 };
            };
            let first = at(k) / w.base_dilation as i64;
            let all = (w.size - 1 - k) / turn + 1;
            let skipped = ((-first).max(0) as usize).div_ceil(step);
            let first = first + (skipped * step) as i64;
            let room = (w.input as i64 - first).max(0) as usize;
            let count = all.saturating_sub(skipped).min(room.div_ceil(step));
            Taps { first: first as usize, count, number: (k + skipped * turn) as u32 }
        };
        let taps = (0..w.output()).map(place).collect();
        Axis { window, taps, step, turn: turn as u32, from, to }
    }

    /// What lies under place `o` of this axis below `base`, a tap of the axes before.
    fn under(&self, o: usize, base: Tap) -> impl Iterator<Item = Tap> {
        let t = self.taps[o];
        // Only of windows that have numbers at all these are what they say.
        let number = base.number.wrapping_mul(self.window.size as u32).wrapping_add(t.number);
        (0..t.count).map(move |j| Tap {
            at: base.at + (t.first + j * self.step) * self.from,
            number: number.wrapping_add((j as u32).wrapping_mul(self.turn)),
        })
    }
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// A stretch of places along the last windowed axis, and the operand elements that it needs.
#[derive(Clone, Debug, PartialEq)]
struct Block {
    places: Range<usize>,
    elements: Range<usize>,
}

/// The shape of the work: images × rows × places × lanes.
#[derive(Clone, Debug, PartialEq)]
struct Plan {
    images: usize,
    /// Elements of one image in operand and result.
    image_in: usize,
    image_out: usize,
    /// Windowed axes but the last.
    outer: Vec<Axis>,
    /// Combinations of their places.
    rows: usize,
    last: Axis,
    /// Elements behind the last windowed axis.
    lanes: usize,
}

impl Plan {
    fn new(axes: &[WindowAxis]) -> Plan {
        let single = WindowAxis { input: 1, size: 1, stride: 1, base_dilation: 1, dilation: 1, low: 0, high: 0 };
        let axes = if axes.is_empty() { vec![single] } else { axes.to_vec() };
        let windowed = |a: &WindowAxis| !a.is_unit();
        let first = axes.iter().position(windowed).unwrap_or(axes.len() - 1);
        let end = axes.iter().rposition(windowed).unwrap_or(first) + 1;
        let lanes: usize = axes[end..].iter().map(|a| a.input).product();
        let (mut from, mut to) = (lanes, lanes);
        let mut middle = vec![];
        for a in axes[first..end].iter().rev() {
            middle.insert(0, Axis::new(*a, from, to));
            from *= a.input;
            to *= a.output();
        }
        let last = middle.pop().expect("at least one axis is between first and end");
        Plan {
            images: axes[..first].iter().map(|a| a.input).product(),
            image_in: from,
            image_out: to,
            rows: middle.iter().map(|a| a.taps.len()).product(),
            outer: middle,
            last,
            lanes,
        }
    }

    fn outputs(&self) -> usize {
        self.images * self.image_out
    }

    /// Few lanes, of an operand without gaps: many places are worked on at a time.
    fn is_narrow(&self) -> bool {
        self.lanes < LANES && self.last.window.base_dilation == 1
    }

    /// The rows of the operand under row `row` of image `image` of the result go into `from`, in order. Returns the offset of the
    /// result's row.
    fn row(&self, image: usize, row: usize, from: &mut Vec<Tap>) -> usize {
        from.clear();
        from.push(Tap { at: image * self.image_in, number: 0 });
        let (mut to, mut inner) = (0, self.rows);
        for a in &self.outer {
            inner /= a.taps.len();
            let o = row / inner % a.taps.len();
            to += o * a.to;
            let before = from.len();
            for k in 0..before {
                from.extend(a.under(o, from[k]));
            }
            from.drain(..before);
        }
        image * self.image_out + to
    }

    /// Cuts the last windowed axis so that neither the places nor the elements of a block are more than `most` (with lanes).
    fn blocks(&self, most: usize) -> Vec<Block> {
        let mut blocks: Vec<Block> = vec![];
        for (o, t) in self.last.taps.iter().enumerate() {
            let own = match t.count {
                0 => 0..0,
                n => t.first..t.first + (n - 1) * self.last.step + 1,
            };
            if let Some(b) = blocks.last_mut() {
                let joined = match (own.is_empty(), b.elements.is_empty()) {
                    (true, _) => b.elements.clone(),
                    (_, true) => own.clone(),
                    _ => b.elements.start.min(own.start)..b.elements.end.max(own.end),
                };
                if joined.len().max(b.places.len() + 1) * self.lanes <= most {
                    b.places.end = o + 1;
                    b.elements = joined;
                    continue;
                }
            }
            blocks.push(Block { places: o..o + 1, elements: own });
        }
        blocks
    }
}
