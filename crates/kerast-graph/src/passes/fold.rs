//! Computes element-wise functions of scalar constants once, with the very kernels that would compute them at run time.

use crate::error::Result;
use crate::ir::graph::{Graph, ValueId};
use crate::ir::op::{Cpu, Op};
use crate::ops::Constant;
use crate::tensor::Tensor;
use kerast_kernels::map::{self, Scalar};

pub(super) fn fold(graph: &Graph) -> Result<Graph> {
    graph.rebuild(|out, _, node, operands| {
        let scalar = |v: &ValueId| match out.op_of(*v) {
            Op::Constant(c) if c.0.len() == 1 && c.0.shape().is_empty() => Some(c.0.clone()),
            _ => None,
        };
        let arguments: Option<Vec<Tensor>> = operands.iter().map(scalar).collect();
        if let Some(arguments) = arguments.filter(|a| !a.is_empty()) {
            let types = node.op.infer(&out.types(operands))?;
            if let Cpu::Scalar(s) = node.op.cpu(&out.types(operands), &types.iter().collect::<Vec<_>>())
                && !matches!(s, Scalar::Reduce { .. } | Scalar::RandomBits { .. })
            {
                let inputs: Vec<_> = arguments.iter().map(|t| (t.dtype(), t.buffer().as_ref())).collect();
                let buffer = map::evaluate(&s, &inputs, types[0].dtype);
                let value = Tensor::from_buffer(types[0].dtype, &[], buffer)?;
                return out.push(Constant(value).into(), &[], node.scope).map(Some);
            }
        }
        out.push(node.op.clone(), operands, node.scope).map(Some)
    })
}
