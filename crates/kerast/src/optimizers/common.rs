//! What every optimizer has: the learning rate and the options around the formula.

use super::schedules::Schedule;
use crate::Result;
use crate::config::{Arg, Field};
use kerast_graph::Var;
use serde_json::Value;

/// A fixed learning rate or a schedule.
#[derive(Clone, Debug)]
pub enum LearningRate {
    /// The same at every step, until somebody changes it.
    Fixed(f64),
    /// A function of the step.
    Schedule(Schedule),
}

impl LearningRate {
    /// The rate of update number `step`.
    pub fn at(&self, step: u64) -> Result<f64> {
        match self {
            LearningRate::Fixed(v) => Ok(*v),
            LearningRate::Schedule(s) => Ok(s.get()?.at(step)),
        }
    }
}

impl Field for LearningRate {
    fn to_json(&self) -> Value {
        match self {
            LearningRate::Fixed(v) => v.to_json(),
            LearningRate::Schedule(s) => s.to_json(),
        }
    }
    fn from_json(v: &Value) -> Result<Self> {
        match v {
            Value::Object(o) if o.contains_key("class_name") => Schedule::from_json(v).map(LearningRate::Schedule),
            _ => f64::from_json(v).map(LearningRate::Fixed),
        }
    }
}

impl Arg<LearningRate> for f64 {
    fn arg(self) -> LearningRate {
        LearningRate::Fixed(self)
    }
}

impl<S: super::schedules::ScheduleRule + 'static> Arg<LearningRate> for S {
    fn arg(self) -> LearningRate {
        LearningRate::Schedule(self.arg())
    }
}

/// The arguments that every optimizer has, with Keras' names and meaning.
#[derive(Clone, Debug)]
pub struct Common {
    /// The learning rate.
    pub learning_rate: LearningRate,
    /// Decoupled weight decay: `w -= lr · decay · w` before the update.
    pub weight_decay: Option<f64>,
    /// Each gradient is scaled to at most this norm.
    pub clipnorm: Option<f64>,
    /// All gradients together are scaled to at most this norm.
    pub global_clipnorm: Option<f64>,
    /// Each gradient element is bounded to ± this.
    pub clipvalue: Option<f64>,
    /// Keep an exponential moving average of the weights.
    pub use_ema: bool,
    /// Its momentum.
    pub ema_momentum: f64,
    /// After how many updates the average replaces the weights; `None`: at the end of training only.
    pub ema_overwrite_frequency: Option<usize>,
    /// The loss is multiplied by this, the gradients divided.
    pub loss_scale_factor: Option<f64>,
    /// Gradients of this many steps are averaged into one update.
    pub gradient_accumulation_steps: Option<usize>,
}

impl Common {
    /// This learning rate and nothing else.
    pub fn new(learning_rate: impl Arg<LearningRate>) -> Common {
        Common {
            learning_rate: learning_rate.arg(),
            weight_decay: None,
            clipnorm: None,
            global_clipnorm: None,
            clipvalue: None,
            use_ema: false,
            ema_momentum: 0.99,
            ema_overwrite_frequency: None,
            loss_scale_factor: None,
            gradient_accumulation_steps: None,
        }
    }
}

/// Declares an optimizer: [`config!`](crate::config!) with the common arguments added after the optimizer's own, as Keras orders them.
///
/// `rate` is the default learning rate, `decay` the default weight decay.
macro_rules! optimizer {
    (
        $(#[$meta:meta])*
        pub struct $name:ident($class:literal, $label:literal, rate = $rate:expr, decay = $decay:expr) {
            $( $(#[$ometa:meta])* $opt:ident: $oty:ty = $default:expr, )*
        }
    ) => {
        $crate::config_fields! {
            $(#[$meta])*
            pub struct $name($class) {
                ;
                /// The name in files.
                name: String = $label.into(),
                /// The learning rate, or a schedule.
                learning_rate: $crate::optimizers::LearningRate = $crate::optimizers::LearningRate::Fixed($rate),
                /// Decoupled weight decay.
                weight_decay: Option<f64> = $decay,
                /// Each gradient is scaled to at most this norm.
                clipnorm: Option<f64> = None,
                /// All gradients together are scaled to at most this norm.
                global_clipnorm: Option<f64> = None,
                /// Each gradient element is bounded to ± this.
                clipvalue: Option<f64> = None,
                /// Keep an exponential moving average of the weights.
                use_ema: bool = false,
                /// Its momentum.
                ema_momentum: f64 = 0.99,
                /// After how many updates the average replaces the weights.
                ema_overwrite_frequency: Option<usize> = None,
                /// The loss is multiplied by this, the gradients divided.
                loss_scale_factor: Option<f64> = None,
                /// Gradients of this many steps are averaged into one update.
                gradient_accumulation_steps: Option<usize> = None,
                $( $(#[$ometa])* $opt: $oty = $default, )*
            }
        }

        impl $name {
            /// With this learning rate (a number or a schedule) and Keras' defaults for everything else.
            pub fn new(learning_rate: impl $crate::config::Arg<$crate::optimizers::LearningRate>) -> Self {
                Self::with_defaults().learning_rate(learning_rate)
            }

            fn common_arguments(&self) -> $crate::optimizers::common::Common {
                $crate::optimizers::common::Common {
                    learning_rate: self.learning_rate.clone(),
                    weight_decay: self.weight_decay,
                    clipnorm: self.clipnorm,
                    global_clipnorm: self.global_clipnorm,
                    clipvalue: self.clipvalue,
                    use_ema: self.use_ema,
                    ema_momentum: self.ema_momentum,
                    ema_overwrite_frequency: self.ema_overwrite_frequency,
                    loss_scale_factor: self.loss_scale_factor,
                    gradient_accumulation_steps: self.gradient_accumulation_steps,
                }
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::with_defaults()
            }
        }
    };
}
pub(crate) use optimizer;

/// What an update sees of the step.
#[derive(Clone, Debug)]
pub struct Update {
    /// The learning rate of this step: an f32 scalar.
    pub learning_rate: Var,
    /// The number of this update, counted from 1: an f32 scalar.
    pub step: Var,
    /// The globals before this update.
    pub globals: Vec<Var>,
}

impl Update {
    /// A scalar in the element type of a weight.
    pub fn rate_like(&self, weight: &Var) -> Var {
        self.learning_rate.convert(weight.dtype())
    }
}
