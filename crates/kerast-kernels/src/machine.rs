//! Programs: kernels over planned memory.
//!
//! A compiler lays values out in one arena and in bound buffers, and lists the kernels that fill them. [`Program::new`]
//! checks every place once, so that running needs no checks, no allocation and no locks.

use crate::buffer::{ALIGN, Buffer};
use crate::chain::Chain;
use crate::dtype::Element;
use crate::pool::Pool;
use crate::window::Window;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Arithmetic and traffic of one run of a kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Cost {
    /// Floating-point operations.
    pub flops: f64,
    /// Bytes read and written, each operand counted once.
    pub bytes: f64,
}

/// One unit of work with all its shapes resolved. It cannot fail: the graph was verified before.
pub trait Kernel: Send + Sync + fmt::Debug {
    /// A short name for profiles and dumps.
    fn name(&self) -> &'static str;
    /// Does the work.
    fn run(&self, io: &mut Io<'_>, pool: &Pool);
    /// Bytes of scratch memory that `run` finds behind [`Io::scratch`].
    fn scratch(&self) -> usize {
        0
    }
    /// Whether output `output` may lie exactly on input `input`.
    fn in_place(&self, input: usize, output: usize) -> bool {
        let _ = (input, output);
        false
    }
    /// Floating-point operations of one run.
    fn flops(&self) -> f64 {
        0.0
    }
    /// How input `input`, which stays the same for many runs, is brought into the order in which the kernel reads it best; `None` if it
    /// is best as it is. From then on the kernel expects what the packing made in place of the input.
    fn prepack(&mut self, input: usize) -> Option<Packing> {
        let _ = input;
        None
    }
    /// Whether this kernel can apply an element-wise chain to its only result, block by block while it is in cache.
    fn fuses(&self) -> bool {
        false
    }
    /// This kernel as a reduction of windows, if it is one: others can do that with blocks of their results.
    fn as_window(&self) -> Option<&Window> {
        None
    }
    /// Whether this kernel can reduce the windows of its only result, or of what a chain makes of it, and keep only that.
    fn takes(&self, window: &Window) -> bool {
        let _ = window;
        false
    }
    /// This kernel with such a reduction behind it. Only called when [`Kernel::takes`] it.
    fn reduce(self: Box<Self>, window: Window) -> Box<dyn Kernel> {
        unreachable!("{} reduces no windows: {window:?}", self.name())
    }
    /// This kernel with a chain behind it. Only called when [`Kernel::fuses`].
    fn fuse(self: Box<Self>, chain: Chain) -> Box<dyn Kernel> {
        unreachable!("{} takes no chain: {chain:?}", self.name())
    }
}

type Pack = dyn Fn(*const u8, *mut u8, Option<&Pool>) + Send + Sync;

/// A change of order of an input; see [`Kernel::prepack`].
pub struct Packing {
    from: usize,
    to: usize,
    pack: Box<Pack>,
}

impl Packing {
    /// `pack` reads at most `from` bytes and writes `to` bytes.
    pub(crate) fn new(from: usize, to: usize, pack: Box<Pack>) -> Packing {
        Packing { from, to, pack }
    }

    /// Bytes of the packed value.
    pub fn bytes(&self) -> usize {
        self.to
    }

    /// The packed value; `None` if there is no memory for it.
    pub fn apply(&self, value: &Buffer) -> Option<Buffer> {
        assert!(value.len() >= self.from, "{} bytes to pack, {} are needed", value.len(), self.from);
        let packed = Buffer::try_zeroed(self.to)?;
        (self.pack)(value.as_ptr(), packed.as_ptr(), None);
        Some(packed)
    }

    /// # Safety
    /// `from` is readable for as many bytes as the input has, `to` is writable for [`Packing::bytes`].
    pub(crate) unsafe fn run(&self, from: *const u8, to: *mut u8, pool: &Pool) {
        (self.pack)(from, to, Some(pool));
    }
}

impl fmt::Debug for Packing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Packing({} bytes)", self.to)
    }
}

/// Where a value lies: `bytes` bytes from `offset` on in memory `slot`. Slot 0 is the arena, slot `k` the bound buffer `k - 1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// Which memory.
    pub slot: usize,
    /// First byte.
    pub offset: usize,
    /// Length in bytes.
    pub bytes: usize,
}

impl Place {
    fn overlaps(&self, other: &Place) -> bool {
        self.slot == other.slot
            && self.bytes > 0
            && other.bytes > 0
            && self.offset < other.offset + other.bytes
            && other.offset < self.offset + self.bytes
    }
}

/// One kernel and the places it works on.
#[derive(Debug)]
pub struct Step {
    /// The work.
    pub kernel: Box<dyn Kernel>,
    /// What it reads.
    pub inputs: Vec<Place>,
    /// What it writes.
    pub outputs: Vec<Place>,
    /// Scratch memory of [`Kernel::scratch`] bytes; ignored when that is 0.
    pub scratch: Place,
    /// Who asked for this work (layer and op), for profiles and dumps.
    pub label: String,
}

/// What a bound buffer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Read only.
    Input,
    /// Read and written: kept from run to run.
    State,
    /// Written.
    Output,
}

/// The description of one bound buffer.
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    /// Its size.
    pub bytes: usize,
    /// Its use.
    pub role: Role,
}

/// A checked list of steps.
#[derive(Debug)]
pub struct Program {
    arena: usize,
    slots: Vec<Slot>,
    steps: Vec<Prepared>,
}

#[derive(Debug)]
struct Prepared {
    step: Step,
    args: Vec<Place>,
    aliased: u64,
}

impl Program {
    /// Checks that every place lies inside its memory and is aligned, that nothing writes to an input, and that outputs of a
    /// step overlap neither each other nor an input (unless the kernel works in place there).
    pub fn new(arena: usize, slots: Vec<Slot>, steps: Vec<Step>) -> Result<Program, String> {
        let steps = steps.into_iter().map(|s| Self::prepare(arena, &slots, s)).collect::<Result<_, _>>()?;
        Ok(Program { arena, slots, steps })
    }

    fn prepare(arena: usize, slots: &[Slot], step: Step) -> Result<Prepared, String> {
        let fail = |what: &str, p: &Place| Err(format!("step {} ({}): {what}: {p:?}", step.label, step.kernel.name()));
        let mut args: Vec<Place> = step.inputs.iter().chain(&step.outputs).copied().collect();
        if args.len() > 62 {
            return Err(format!("step {}: {} operands; at most 62 fit", step.label, args.len()));
        }
        args.push(Place { bytes: step.kernel.scratch(), ..step.scratch });
        for (i, p) in args.iter().enumerate() {
            let bytes = match p.slot {
                0 => arena,
                k => match slots.get(k - 1) {
                    Some(s) => s.bytes,
                    None => return fail("no such memory", p),
                },
            };
            if p.offset % ALIGN != 0 || p.offset.checked_add(p.bytes).is_none_or(|end| end > bytes) {
                return fail("outside its memory or unaligned", p);
            }
            let writes = i >= step.inputs.len() && p.bytes > 0;
            if writes && p.slot > 0 && slots[p.slot - 1].role == Role::Input {
                return fail("writes to an input", p);
            }
        }
        let mut aliased = 0u64;
        for o in step.inputs.len()..args.len() {
            for other in 0..args.len() {
                if other == o || !args[o].overlaps(&args[other]) {
                    continue;
                }
                let same = args[o] == args[other];
                let is_input = other < step.inputs.len();
                let is_output = o < args.len() - 1;
                if is_input && is_output && same && step.kernel.in_place(other, o - step.inputs.len()) {
                    aliased |= 1 << other;
                } else {
                    return fail("overlaps another operand", &args[o]);
                }
            }
        }
        Ok(Prepared { step, args, aliased })
    }

    /// Bytes of the arena.
    pub fn arena(&self) -> usize {
        self.arena
    }

    /// The bound buffers that a run needs.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// The steps in order: label, kernel name, flops and bytes of one run each.
    pub fn steps(&self) -> impl Iterator<Item = (&str, &'static str, Cost)> {
        self.steps.iter().map(|p| {
            let bytes = p.args.iter().map(|a| a.bytes as f64).sum();
            (p.step.label.as_str(), p.step.kernel.name(), Cost { flops: p.step.kernel.flops(), bytes })
        })
    }

    /// The steps as text, one line each.
    pub fn dump(&self) -> String {
        let mut out = format!("arena {} bytes\n", self.arena);
        for (i, s) in self.slots.iter().enumerate() {
            out += &format!("slot {} {:?} {} bytes\n", i + 1, s.role, s.bytes);
        }
        let place = |p: &Place| format!("{}:{}+{}", p.slot, p.offset, p.bytes);
        for p in &self.steps {
            let ins: Vec<_> = p.step.inputs.iter().map(place).collect();
            let outs: Vec<_> = p.step.outputs.iter().map(place).collect();
            out += &format!("{} = {:?} [{}]  // {}\n", outs.join(" "), p.step.kernel, ins.join(" "), p.step.label);
        }
        out
    }

    /// Runs every step.
    ///
    /// # Safety
    /// `bases[0]` points to the arena and `bases[k]` to bound buffer `k - 1`, each at least as long as declared, aligned for the
    /// elements in it (kernels may assume no more: a scan hands on rows of its operands), not overlapping where written, and used by nobody
    /// else until the call returns (inputs may be shared).
    pub(crate) unsafe fn execute(&self, bases: &[*mut u8], pool: &Pool) {
        for p in &self.steps {
            // SAFETY: the places were checked in `prepare`; the caller vouches for the memory.
            unsafe { p.execute(bases, pool) };
        }
    }
}

impl Prepared {
    unsafe fn execute(&self, bases: &[*mut u8], pool: &Pool) {
        let mut io = Io { bases, args: &self.args, inputs: self.step.inputs.len(), aliased: self.aliased, taken: 0 };
        self.step.kernel.run(&mut io, pool);
    }
}

/// The operands of one kernel during one run.
pub struct Io<'a> {
    bases: &'a [*mut u8],
    args: &'a [Place],
    inputs: usize,
    aliased: u64,
    taken: u64,
}

impl<'a> Io<'a> {
    /// How many inputs there are.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Input `i` as elements of `T`. Not for inputs that an output lies on: those are reached by [`Io::input_ptr`] only.
    pub fn input<T: Element>(&self, i: usize) -> &'a [T] {
        assert!(i < self.inputs && self.aliased >> i & 1 == 0, "input {i} shares its memory with an output");
        // SAFETY: checked in `Program::prepare`: in bounds, aligned, and disjoint from everything this step writes.
        unsafe { std::slice::from_raw_parts(self.input_ptr(i).cast(), self.args[i].bytes / size_of::<T>()) }
    }

    /// Output `i` as writable elements of `T`; each output can be taken once.
    pub fn output<T: Element>(&mut self, i: usize) -> &'a mut [T] {
        let arg = self.inputs + i;
        assert!(arg + 1 < self.args.len(), "there is no output {i}");
        self.take(arg)
    }

    /// The scratch memory as elements of `T`; it can be taken once. Its content is arbitrary.
    pub fn scratch<T: Element>(&mut self) -> &'a mut [T] {
        self.take(self.args.len() - 1)
    }

    fn take<T: Element>(&mut self, arg: usize) -> &'a mut [T] {
        assert!(self.taken >> arg & 1 == 0, "operand {arg} was taken before");
        self.taken |= 1 << arg;
        // SAFETY: checked in `Program::prepare`: in bounds, aligned, disjoint from every other operand that `input` or `take`
        // hands out; taken at most once.
        unsafe { std::slice::from_raw_parts_mut(self.ptr(arg).cast(), self.args[arg].bytes / size_of::<T>()) }
    }

    /// Where input `i` begins.
    pub fn input_ptr(&self, i: usize) -> *const u8 {
        assert!(i < self.inputs);
        self.ptr(i)
    }

    /// Where output `i` begins.
    pub fn output_ptr(&mut self, i: usize) -> *mut u8 {
        let arg = self.inputs + i;
        assert!(arg + 1 < self.args.len() && self.taken >> arg & 1 == 0);
        self.ptr(arg)
    }

    /// Where the scratch memory begins.
    pub fn scratch_ptr(&mut self) -> *mut u8 {
        self.ptr(self.args.len() - 1)
    }

    fn ptr(&self, arg: usize) -> *mut u8 {
        let p = &self.args[arg];
        self.bases[p.slot].wrapping_add(p.offset)
    }
}

/// A program with the memory it runs in.
///
/// State buffers belong to the session while they are in it; [`Session::take`] and [`Session::put`] move them in and out
/// without copying, so that several programs can work on the same state in turn.
pub struct Session {
    program: Arc<Program>,
    pool: Arc<Pool>,
    arena: Buffer,
    bound: Vec<Bound>,
    bases: Vec<*mut u8>,
    times: Option<Vec<Duration>>,
}

// SAFETY: `bases` points into memory that the session owns (or shares read-only), never to thread-local data.
unsafe impl Send for Session {}

enum Bound {
    Missing,
    Owned(Buffer),
    Shared(Arc<Buffer>),
}

impl Session {
    /// A session with zeroed memory: inputs and outputs of its own, state still to be [`Session::put`].
    pub fn new(program: Arc<Program>, pool: Arc<Pool>) -> Option<Session> {
        let arena = Buffer::try_zeroed(program.arena)?;
        let mut s = Session { pool, arena, bound: vec![], bases: vec![], times: None, program };
        s.bases.push(s.arena.as_ptr());
        for slot in &s.program.slots {
            let b = match slot.role {
                Role::State => Bound::Missing,
                _ => Bound::Owned(Buffer::try_zeroed(slot.bytes)?),
            };
            s.bases.push(b.ptr());
            s.bound.push(b);
        }
        Some(s)
    }

    /// The program.
    pub fn program(&self) -> &Arc<Program> {
        &self.program
    }

    /// The threads that it runs on.
    pub fn pool(&self) -> &Arc<Pool> {
        &self.pool
    }

    /// Gives buffer `slot` (counted from 0) to the session. The buffer must be as long as declared.
    pub fn put(&mut self, slot: usize, buffer: Buffer) {
        assert_eq!(buffer.len(), self.program.slots[slot].bytes, "slot {slot}: wrong length");
        self.bases[slot + 1] = buffer.as_ptr();
        self.bound[slot] = Bound::Owned(buffer);
    }

    /// Lends a shared buffer as input `slot`.
    pub fn share(&mut self, slot: usize, buffer: Arc<Buffer>) {
        assert_eq!(buffer.len(), self.program.slots[slot].bytes, "slot {slot}: wrong length");
        assert_eq!(self.program.slots[slot].role, Role::Input, "slot {slot} is written to and cannot be shared");
        self.bases[slot + 1] = buffer.as_ptr();
        self.bound[slot] = Bound::Shared(buffer);
    }

    /// Takes an owned buffer out; [`Session::run`] refuses until it is put back.
    pub fn take(&mut self, slot: usize) -> Option<Buffer> {
        self.bases[slot + 1] = std::ptr::null_mut();
        match std::mem::replace(&mut self.bound[slot], Bound::Missing) {
            Bound::Owned(b) => Some(b),
            other => {
                self.bases[slot + 1] = other.ptr();
                self.bound[slot] = other;
                None
            }
        }
    }

    /// The content of a buffer.
    pub fn buffer(&self, slot: usize) -> Option<&Buffer> {
        match &self.bound[slot] {
            Bound::Owned(b) => Some(b),
            Bound::Shared(b) => Some(b),
            Bound::Missing => None,
        }
    }

    /// A buffer to be written by the caller; `None` when it is shared or absent.
    pub fn buffer_mut(&mut self, slot: usize) -> Option<&mut Buffer> {
        match &mut self.bound[slot] {
            Bound::Owned(b) => Some(b),
            _ => None,
        }
    }

    /// Runs the program once. Panics if a state buffer was not put in.
    pub fn run(&mut self) {
        assert!(self.bases.iter().all(|p| !p.is_null()), "a state buffer is missing");
        let _flush = crate::denormals::FlushDenormals::new();
        if let Some(times) = &mut self.times {
            for (p, t) in self.program.steps.iter().zip(times) {
                let start = Instant::now();
                // SAFETY: as below.
                unsafe { p.execute(&self.bases, &self.pool) };
                *t += start.elapsed();
            }
            return;
        }
        // SAFETY: every base points to a buffer of the declared length that lives in `self`; `&mut self` keeps others away;
        // shared buffers are inputs, which no step writes.
        unsafe { self.program.execute(&self.bases, &self.pool) }
    }

    /// Starts to add up the time of every step.
    pub fn profile(&mut self) {
        self.times = Some(vec![Duration::ZERO; self.program.steps.len()]);
    }

    /// The time of every step since [`Session::profile`].
    pub fn times(&self) -> Option<&[Duration]> {
        self.times.as_deref()
    }
}

impl Bound {
    fn ptr(&self) -> *mut u8 {
        match self {
            Bound::Missing => std::ptr::null_mut(),
            Bound::Owned(b) => b.as_ptr(),
            Bound::Shared(b) => b.as_ptr(),
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Session({} steps, arena {} bytes)", self.program.steps.len(), self.program.arena)
    }
}
