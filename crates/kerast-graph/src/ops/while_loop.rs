//! A body repeated while a condition holds. No gradient: the number of turns is not known before.

use crate::autodiff::Vjp;
use crate::backend::cpu;
use crate::error::Result;
use crate::ir::attributes::{Attribute, Attributes};
use crate::ir::graph::Graph;
use crate::ir::op::{Cpu, OpRule, Sample, shape_error};
use crate::ir::types::Type;
use crate::ir::var::{Trace, Var};
use crate::tensor::Tensor;
use kerast_kernels::control;
use kerast_kernels::dtype::DType;
use std::sync::Arc;

/// StableHLO's `while`: both graphs take all carried values; the condition gives one bool, the body the next values.
#[derive(Clone, Debug, PartialEq)]
pub struct While {
    /// Whether to go on.
    pub condition: Arc<Graph>,
    /// The next values.
    pub body: Arc<Graph>,
}

fn signature(g: &Graph) -> (Vec<Type>, Vec<Type>) {
    let types = |ids: &[crate::ValueId]| ids.iter().map(|v| g.ty(*v).clone()).collect();
    (types(g.parameters()), types(&g.results))
}

impl OpRule for While {
    fn name(&self) -> &'static str {
        "while"
    }

    fn infer(&self, x: &[&Type]) -> Result<Vec<Type>> {
        let given: Vec<Type> = x.iter().map(|t| (*t).clone()).collect();
        let ((cp, cr), (bp, br)) = (signature(&self.condition), signature(&self.body));
        let fits = cp == given && bp == given && br == given && cr == [Type::new(DType::Bool, [])];
        if fits {
            Ok(given)
        } else {
            Err(shape_error("while", "condition and body must take and give the carried values"))
        }
    }

    fn vjp(&self, cx: &Vjp<'_>) -> Vec<Option<Var>> {
        cx.missing("while", "the number of turns is not known before it runs; use scan")
    }

    fn cpu(&self, _: &[&Type], _: &[&Type]) -> Cpu {
        match (cpu::part(&self.condition, 0), cpu::part(&self.body, 0)) {
            (Ok(c), Ok(b)) => Cpu::Kernel(Box::new(control::While::new(c, b))),
            (Err(e), _) | (_, Err(e)) => Cpu::Failed(e),
        }
    }

    fn attributes(&self) -> Attributes {
        Attributes::none()
            .with("condition", Attribute::Graph((*self.condition).clone()))
            .with("body", Attribute::Graph((*self.body).clone()))
    }

    fn parse(name: &str, a: &Attributes) -> Result<Option<Self>> {
        if name != "while" {
            return Ok(None);
        }
        let graph = |key: &str| a.graph(key).map(|g| Arc::new(g.clone()));
        Ok(Some(While { condition: graph("condition")?, body: graph("body")? }))
    }

    fn samples() -> Vec<Sample> {
        // while i < 5 { i += 1; x = 2x }
        let (int, vector) = (Type::new(DType::I32, []), Type::new(DType::F32, [3]));
        let c = Trace::new();
        let (i, _) = (c.parameter(int.clone()), c.parameter(vector.clone()));
        let condition = c.finish(&[i.lt(5.0)]).expect("valid");
        let b = Trace::new();
        let (i, x) = (b.parameter(int), b.parameter(vector));
        let body = b.finish(&[&i + 1.0, &x * 2.0]).expect("valid");
        let op = While { condition: Arc::new(condition), body: Arc::new(body) };
        let x = Tensor::new(&[3], &[1.0f32, -0.5, 3.0]).expect("three values");
        vec![
            Sample::flat(op.clone(), vec![Tensor::scalar(1i32), x.clone()]),
            Sample::flat(op, vec![Tensor::scalar(9i32), x]),
        ]
    }
}

impl Var {
    /// StableHLO's `while`: `body` makes the next values from the current ones as long as `condition` (one bool) holds. Both see only
    /// the values they are given, which must keep their types.
    #[track_caller]
    pub fn while_loop(
        first: &[Var],
        condition: impl FnOnce(&[Var]) -> Var,
        body: impl FnOnce(&[Var]) -> Vec<Var>,
    ) -> Result<Vec<Var>> {
        let Some(any) = first.first() else { return Ok(vec![]) };
        let nested = |build: &mut dyn FnMut(&[Var]) -> Vec<Var>| {
            let inner = Trace::new();
            let values: Vec<Var> = first.iter().map(|v| inner.parameter(v.ty())).collect();
            let results = build(&values);
            inner.finish(&results).map(Arc::new)
        };
        let (mut condition, mut body) = (Some(condition), Some(body));
        let once = "called once";
        let condition = nested(&mut |v| vec![condition.take().expect(once)(v)])?;
        let body = nested(&mut |v| body.take().expect(once)(v))?;
        let operands: Vec<&Var> = first.iter().collect();
        Ok(any.trace().push_many(While { condition, body }.into(), &operands, any.ty(), first.len()))
    }
}
