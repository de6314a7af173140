//! Who lies where: liveness over the schedule, one arena, in-place where the kernel allows it, state in its own buffers.

use super::executable::Donation;
use super::jobs::Job;
use crate::ir::graph::{Graph, ValueId};
use crate::ir::op::Op;
use crate::tensor::Tensor;
use kerast_kernels::buffer::ALIGN;
use kerast_kernels::machine::{Packing, Place, Role, Slot};

/// The memory of a program.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Where each stored value lies.
    pub(super) places: Vec<Option<Place>>,
    /// The bound buffers: parameters, results that replace no parameter, constants.
    pub(super) slots: Vec<Slot>,
    /// The slot of each parameter.
    pub(super) parameters: Vec<usize>,
    /// The slot of each result.
    pub(super) results: Vec<usize>,
    /// Constants that must lie in memory, with their slots.
    pub(super) constants: Vec<(usize, Tensor)>,
    /// Scratch of each job.
    pub(super) scratch: Vec<Place>,
    /// Results that are made elsewhere than where they belong: value, place.
    pub(super) copies: Vec<(ValueId, Place)>,
    /// Bytes of the arena.
    pub(super) arena: usize,
}

/// Plans the memory of a list of jobs. `results` are the stored values that the graph returns; `packings` change the size of parameters.
pub(super) fn plan(
    graph: &Graph,
    jobs: &[Job],
    results: &[ValueId],
    donations: &[Donation],
    packings: &[(usize, Packing)],
) -> Memory {
    let mut p = Planner::new(graph, jobs, results);
    p.bind(donations, packings);
    p.place_results(results, donations);
    (0..jobs.len()).for_each(|j| p.job(j));
    p.memory.arena = p.arena.end;
    p.memory
}

struct Planner<'a> {
    graph: &'a Graph,
    jobs: &'a [Job],
    read: Vec<bool>,
    maker: Vec<Option<usize>>,
    last_use: Vec<usize>,
    memory: Memory,
    arena: Arena,
}

const NEVER: usize = usize::MAX;

impl<'a> Planner<'a> {
    fn new(graph: &'a Graph, jobs: &'a [Job], results: &[ValueId]) -> Self {
        let n = graph.num_values();
        let (mut last_use, mut read, mut maker) = (vec![0; n], vec![false; n], vec![None; n]);
        for (j, job) in jobs.iter().enumerate() {
            for v in &job.inputs {
                last_use[v.index()] = j;
                read[v.index()] = true;
            }
            job.outputs.iter().for_each(|v| maker[v.index()] = Some(j));
        }
        for v in results {
            last_use[v.index()] = NEVER;
            read[v.index()] = true;
        }
        let memory = Memory { places: vec![None; n], ..Memory::default() };
        Planner { graph, jobs, read, maker, last_use, memory, arena: Arena::default() }
    }

    fn slot(&mut self, bytes: usize, role: Role) -> usize {
        self.memory.slots.push(Slot { bytes, role });
        self.memory.slots.len() - 1
    }

    fn whole(&self, slot: usize) -> Place {
        Place { slot: slot + 1, offset: 0, bytes: self.memory.slots[slot].bytes }
    }

    /// Parameters and constants.
    fn bind(&mut self, donations: &[Donation], packings: &[(usize, Packing)]) {
        for (i, &v) in self.graph.parameters().iter().enumerate() {
            let donated = donations.iter().any(|d| d.parameter == i);
            let role = if donated { Role::State } else { Role::Input };
            let packed = packings.iter().find(|(p, _)| *p == i).map(|(_, p)| p.bytes());
            let slot = self.slot(packed.unwrap_or(self.graph.ty(v).bytes()), role);
            self.memory.parameters.push(slot);
            self.memory.places[v.index()] = Some(self.whole(slot));
        }
        for node in self.graph.nodes() {
            if let Op::Constant(c) = &node.op {
                let v = ValueId(node.result_range().start as u32);
                if self.read[v.index()] {
                    let slot = self.slot(c.0.bytes().len(), Role::Input);
                    self.memory.constants.push((slot, c.0.clone()));
                    self.memory.places[v.index()] = Some(self.whole(slot));
                }
            }
        }
    }

    /// Lets a result be made where it ends, if the job that makes it runs after the last reader of what lay there before.
    fn place_results(&mut self, results: &[ValueId], donations: &[Donation]) {
        for (r, &v) in results.iter().enumerate() {
            let donation = donations.iter().find(|d| d.result == r);
            let slot = match donation {
                Some(d) => self.memory.parameters[d.parameter],
                None => self.slot(self.graph.ty(v).bytes(), Role::Output),
            };
            self.memory.results.push(slot);
            let place = self.whole(slot);
            if self.memory.places[v.index()] == Some(place) {
                continue;
            }
            let free = match (donation, self.maker[v.index()]) {
                (_, None) => false,
                (None, Some(_)) => true,
                (Some(d), Some(j)) => self.free_at(self.graph.parameters()[d.parameter], v, j),
            };
            match free && self.memory.places[v.index()].is_none() {
                true => self.memory.places[v.index()] = Some(place),
                false => self.memory.copies.push((v, place)),
            }
        }
    }

    /// Whether job `j` may write `value` over parameter `old`.
    fn free_at(&self, old: ValueId, value: ValueId, j: usize) -> bool {
        match self.last_use[old.index()] {
            NEVER => false,
            last if last < j => true,
            last if last > j => false,
            _ => !self.jobs[j].inputs.contains(&old) || self.in_place(j, old, value),
        }
    }

    /// Whether job `j` may write `output` exactly where `input` lies.
    fn in_place(&self, j: usize, input: ValueId, output: ValueId) -> bool {
        let job = &self.jobs[j];
        let Some(o) = job.outputs.iter().position(|v| *v == output) else { return false };
        self.graph.ty(input).bytes() == self.graph.ty(output).bytes()
            && (0..job.inputs.len()).filter(|&i| job.inputs[i] == input).all(|i| job.kernel.in_place(i, o))
    }

    fn job(&mut self, j: usize) {
        let job = &self.jobs[j];
        let mut taken: Vec<ValueId> = vec![];
        for &v in &job.outputs {
            if self.memory.places[v.index()].is_some() {
                continue;
            }
            let bytes = self.graph.ty(v).bytes();
            let heir = job.inputs.iter().copied().find(|&r| {
                self.last_use[r.index()] == j
                    && !taken.contains(&r)
                    && self.memory.places[r.index()].is_some_and(|p| p.slot == 0)
                    && self.in_place(j, r, v)
            });
            let place = match heir.and_then(|r| self.memory.places[r.index()].inspect(|_| taken.push(r))) {
                Some(place) => place,
                None => self.arena.take(bytes),
            };
            self.memory.places[v.index()] = Some(place);
        }
        let scratch = self.arena.take(job.kernel.scratch());
        self.memory.scratch.push(scratch);
        self.arena.give(scratch);
        let mut done: Vec<ValueId> = job.inputs.iter().copied().filter(|r| self.last_use[r.index()] == j).collect();
        done.extend(job.outputs.iter().filter(|v| !self.read[v.index()]));
        done.sort_unstable();
        done.dedup();
        for v in done.into_iter().filter(|v| !taken.contains(v)) {
            if let Some(p) = self.memory.places[v.index()].filter(|p| p.slot == 0) {
                self.arena.give(p);
            }
        }
    }
}

/// Free stretches of the arena, by offset.
#[derive(Default)]
struct Arena {
    free: Vec<(usize, usize)>,
    end: usize,
}

impl Arena {
    /// The smallest free stretch that is large enough, or new room at the end.
    fn take(&mut self, bytes: usize) -> Place {
        let size = bytes.next_multiple_of(ALIGN);
        let best = (0..self.free.len()).filter(|&i| self.free[i].1 >= size).min_by_key(|&i| self.free[i].1);
        let offset = match best {
            Some(i) => {
                let (offset, length) = self.free[i];
                if length == size {
                    self.free.remove(i);
                } else {
                    self.free[i] = (offset + size, length - size);
                }
                offset
            }
            None => match self.free.last().copied() {
                Some((offset, length)) if offset + length == self.end && size > 0 => {
                    self.free.pop();
                    self.end = offset + size;
                    offset
                }
                _ => {
                    self.end += size;
                    self.end - size
                }
            },
        };
        Place { slot: 0, offset, bytes }
    }

    fn give(&mut self, place: Place) {
        let size = place.bytes.next_multiple_of(ALIGN);
        if size == 0 {
            return;
        }
        let at = self.free.partition_point(|f| f.0 < place.offset);
        self.free.insert(at, (place.offset, size));
        if at + 1 < self.free.len() && self.free[at].0 + self.free[at].1 == self.free[at + 1].0 {
            self.free[at].1 += self.free.remove(at + 1).1;
        }
        if at > 0 && self.free[at - 1].0 + self.free[at - 1].1 == self.free[at].0 {
            self.free[at - 1].1 += self.free.remove(at).1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Arena;

    #[test]
    fn freed_stretches_join_and_are_used_again() {
        let mut a = Arena::default();
        let (x, y, z) = (a.take(64), a.take(100), a.take(64));
        a.give(x);
        a.give(z);
        a.give(y);
        assert_eq!((a.free.clone(), a.end), (vec![(0, 256)], 256));
        assert_eq!(a.take(200).offset, 0);
        assert_eq!(a.take(64).offset, 256);
    }
}
