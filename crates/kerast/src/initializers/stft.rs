//! Kernels of the short-time Fourier transform, as a convolution has them.

use super::InitializerRule;
use crate::config::{Word, config};
use crate::{DType, Error, ErrorKind, Result, Tensor};
use kerast_kernels::random::Stream;
use std::f64::consts::TAU;

config! {
    /// Cosines (or sines) of the frequencies `0 … n/2` under a window: `[frame, 1, n/2 + 1]`.
    pub struct Stft("STFT") {
        ;
        /// `"real"` (cosines) or `"imag"` (sines).
        side: Word = "real".into(),
        /// `"hann"`, `"hamming"`, `"blackman"`, `"bartlett"`, `"boxcar"`, or `None` for no window.
        window: Option<Word> = Some("hann".into()),
        /// Divide by the window's norm: `"density"` (its root of squares), `"spectrum"` (its sum), or `None`.
        scaling: Option<Word> = Some("density".into()),
        /// A window that fits a period rather than one that is symmetric.
        periodic: bool = false,
    }
}

/// A window of `n` values, symmetric or periodic, as scipy.signal.windows defines it.
fn window(name: &str, n: usize, periodic: bool) -> Vec<f64> {
    let last = if periodic { n } else { n.saturating_sub(1) }.max(1) as f64;
    let cosines = |t: f64, a: &[f64]| a.iter().enumerate().map(|(k, a)| a * (TAU * k as f64 * t).cos()).sum::<f64>();
    let value = |i: usize| {
        let t = i as f64 / last;
        match name {
            _ if n == 1 => 1.0,
            "hann" => cosines(t, &[0.5, -0.5]),
            "hamming" => cosines(t, &[0.54, -0.46]),
            "blackman" => cosines(t, &[0.42, -0.5, 0.08]),
            "bartlett" => 1.0 - (2.0 * t - 1.0).abs(),
            _ => 1.0,
        }
    };
    (0..n).map(value).collect()
}

impl InitializerRule for Stft {
    fn init(&self, shape: &[usize], dtype: DType, _: &mut Stream) -> Result<Tensor> {
        let [frame, 1, bins] = *shape else {
            return Err(Error::new(ErrorKind::Shape, "STFT makes kernels of one channel")
                .expected("[frame length, 1, frequencies]")
                .received(format!("{shape:?}")));
        };
        let real = self.side.one_of("side", &["real", "imag"])? == "real";
        let known = ["hann", "hamming", "blackman", "bartlett", "boxcar"];
        let name = self.window.as_ref().map(|w| w.one_of("window", &known)).transpose()?;
        let values = name.map_or_else(|| vec![1.0; frame], |w| window(w, frame, self.periodic));
        let scale = match self.scaling.as_ref().map(|s| s.one_of("scaling", &["density", "spectrum"])).transpose()? {
            Some("density") if name.is_some() => values.iter().map(|v| v * v).sum::<f64>().sqrt(),
            Some("spectrum") if name.is_some() => values.iter().map(|v| v.abs()).sum(),
            _ => 1.0,
        };
        let mut t = Tensor::zeros(DType::F32, shape)?;
        let period = (2 * bins.saturating_sub(1)).max(1);
        if let Some(out) = t.as_mut_slice::<f32>() {
            for (i, v) in out.iter_mut().enumerate() {
                let (time, bin) = (i / bins.max(1), i % bins.max(1));
                // Whole turns are taken out before the angle is rounded.
                let angle = -TAU * ((time * bin) % period) as f64 / period as f64;
                *v = ((if real { angle.cos() } else { angle.sin() }) * values[time] / scale) as f32;
            }
        }
        Ok(t.cast(dtype))
    }
}
