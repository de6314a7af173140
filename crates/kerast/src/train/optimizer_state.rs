//! The optimizer's variables between trainings, as files hold them.

use super::program::filled;
use crate::models::Model;
use crate::optimizers::{LearningRate, StateVariable, WeightInfo, file_order, state_variables};
use crate::{Error, ErrorKind, Result, Tensor};

impl Model {
    /// The variables of the optimizer, and which of them files hold in which order.
    fn optimizer_layout(&self) -> Result<(Vec<StateVariable>, Vec<usize>)> {
        let variables = self.variables()?;
        let trains = self.trained(&variables);
        let trained = variables.iter().zip(trains).filter(|(_, t)| *t);
        let weights: Vec<WeightInfo> =
            trained.map(|(v, _)| WeightInfo { path: v.path().to_string(), ty: v.ty() }).collect();
        let optimizer = &*self.compiled()?.optimizer;
        Ok((state_variables(optimizer, &weights), file_order(optimizer, &weights)))
    }

    /// The optimizer's variables in the order of Keras' files, and which trained weight each belongs to.
    pub(crate) fn optimizer_slots(&self) -> Result<Vec<(Tensor, Option<usize>)>> {
        let (all, order) = self.optimizer_layout()?;
        let values = self.optimizer_variables()?;
        Ok(values.into_iter().zip(order).map(|((_, v), i)| (v, all[i].weight)).collect())
    }

    /// The optimizer's variables in the order of Keras' files, with Keras' names: iteration, learning rate, slots. Before the first update
    /// they have their first values.
    pub fn optimizer_variables(&self) -> Result<Vec<(String, Tensor)>> {
        let (all, order) = self.optimizer_layout()?;
        let compiled = self.compiled()?;
        let held = compiled.state.as_ref().filter(|s| s.len() == all.len());
        let value = |i: usize| -> Result<Tensor> {
            let v = &all[i];
            match (i, held, v.initial, v.weight) {
                (1, ..) => Ok(Tensor::scalar(self.learning_rate()? as f32)),
                (_, Some(state), ..) => Ok(state[i].clone()),
                (_, None, None, Some(w)) => self.trained_weight(w),
                (_, None, first, _) => filled(v.ty.dtype, &v.ty.shape, first.unwrap_or(0.0)),
            }
        };
        order.into_iter().map(|i| Ok((all[i].name.clone(), value(i)?))).collect()
    }

    /// Sets the optimizer's variables, in the order of [`Model::optimizer_variables`]: training goes on where it was.
    pub fn set_optimizer_variables(&mut self, values: Vec<Tensor>) -> Result<()> {
        let (all, order) = self.optimizer_layout()?;
        let text = |v: &[(String, Vec<usize>)]| {
            let parts: Vec<String> = v.iter().map(|(n, s)| format!("{n} {s:?}")).collect();
            parts.join(", ")
        };
        let wanted: Vec<(String, Vec<usize>)> =
            order.iter().map(|&i| (all[i].name.clone(), all[i].ty.shape.clone())).collect();
        let fits = values.len() == wanted.len() && values.iter().zip(&wanted).all(|(v, w)| v.shape() == w.1);
        if !fits {
            let given: Vec<(String, Vec<usize>)> = values.iter().map(|v| (String::new(), v.shape().to_vec())).collect();
            return Err(Error::new(ErrorKind::Shape, "the variables do not fit the optimizer")
                .expected(format!("{}: {}", wanted.len(), text(&wanted)))
                .received(format!("{}:{}", given.len(), text(&given))));
        }
        let mut state: Vec<Tensor> = all.iter().map(|v| filled(v.ty.dtype, &v.ty.shape, 0.0)).collect::<Result<_>>()?;
        for (value, &i) in values.into_iter().zip(&order) {
            state[i] = value.cast(all[i].ty.dtype);
        }
        let iteration = state[0].item().unwrap_or(0.0);
        let rate = state[1].item();
        if let Some(c) = &mut self.compiled {
            c.updates = iteration as u64;
            if let LearningRate::Fixed(own) = c.optimizer.common().learning_rate {
                // The rate is stored in f32; the config's own, if that is what it is, keeps its digits.
                c.learning_rate = rate.filter(|r| *r != f64::from(own as f32));
            }
            c.state = Some(state);
        }
        Ok(())
    }
}
