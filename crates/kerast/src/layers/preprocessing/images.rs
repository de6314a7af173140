//! Images of another size, and at random another way around.

use crate::config::Word;
use crate::layers::reshaping::interpolation::{INTERPOLATIONS, OUTSIDE, resized, sampled};
use crate::layers::sizes::channels_last;
use crate::layers::{Call, LayerRule, Shape, Weights, layer, layer_base, show};
use crate::{DType, Error, ErrorKind, Result};
use kerast_graph::{Type, Var};

layer! {
    /// Images resized.
    ///
    /// **Shape** `[batch, height, width, channels]` → the same with the new height and width; also of one image without a batch axis.
    pub struct Resizing("Resizing") {
        /// The new height.
        height: usize,
        /// The new width.
        width: usize,
        ;
        /// `"nearest"`, `"bilinear"`, `"bicubic"`, `"lanczos3"` or `"lanczos5"`.
        interpolation: Word = "bilinear".into(),
        /// Cut the middle out first, so that proportions stay.
        crop_to_aspect_ratio: bool = false,
        /// Add borders first, so that proportions stay.
        pad_to_aspect_ratio: bool = false,
        /// How borders are filled: `"constant"`.
        fill_mode: Word = "constant".into(),
        /// The value of borders.
        fill_value: f64 = 0.0,
        /// Whether smaller images average over what each of their pixels covers.
        antialias: bool = false,
        /// `"channels_last"` (default) or `"channels_first"`.
        data_format: Option<Word> = Some("channels_last".into()),
        /// The form of boxes, kept for files: boxes are no values of a network here.
        bounding_box_format: Option<Word> = None,
    }
}

layer! {
    /// The middle of images; smaller images are resized to it.
    ///
    /// **Shape** `[batch, height, width, channels]` → the same with the new height and width; also of one image without a batch axis.
    pub struct CenterCrop("CenterCrop") {
        /// The new height.
        height: usize,
        /// The new width.
        width: usize,
        ;
        /// `"channels_last"` (default) or `"channels_first"`.
        data_format: Option<Word> = Some("channels_last".into()),
    }
}

/// The axes of height and width.
fn axes(x: &Var, data_format: &Option<Word>) -> Result<[usize; 2]> {
    let rank = x.rank();
    match (rank, channels_last(data_format)?) {
        (3 | 4, true) => Ok([rank - 3, rank - 2]),
        (3 | 4, false) => Ok([rank - 2, rank - 1]),
        _ => Err(Error::new(ErrorKind::Shape, "the input is no image")
            .expected("batch, height, width and channels")
            .received(format!("{:?}", x.shape()))),
    }
}

fn check(inputs: &[Shape], [height, width]: [usize; 2]) -> Result<()> {
    match matches!(inputs[0].len(), 3 | 4) && height * width > 0 {
        true => Ok(()),
        false => Err(Error::new(ErrorKind::Shape, "images, and a height and width from 1 on, are needed")
            .expected("batch, height, width and channels")
            .received(format!("{}, to {height} x {width}", show(&inputs[0])))),
    }
}

/// A length in proportion to another, as Keras rounds it.
fn in_proportion(length: usize, by: usize, to: usize) -> usize {
    ((length * by) as f64 / to as f64) as usize
}

/// The largest middle part with the proportions of the target.
fn cropped(x: &Var, [h, w]: [usize; 2], [height, width]: [usize; 2]) -> Var {
    let (old_h, old_w) = (x.shape()[h], x.shape()[w]);
    let new_h = in_proportion(old_w, height, width).min(old_h).max(1);
    let new_w = in_proportion(old_h, width, height).min(old_w).max(1);
    let (top, left) = ((old_h - new_h) / 2, (old_w - new_w) / 2);
    x.slice_axis(h, top, top + new_h).slice_axis(w, left, left + new_w)
}

impl LayerRule for Resizing {
    layer_base!();

    fn build(&self, inputs: &[Shape], _: &mut Weights) -> Result<()> {
        self.fill_mode.one_of("fill_mode", &["constant"])?;
        check(inputs, [self.height, self.width])
    }

    fn call(&self, _: &mut Call<'_>, x: &Var) -> Result<Var> {
        let [h, w] = axes(x, &self.data_format)?;
        let kind = self.interpolation.one_of("interpolation", &INTERPOLATIONS)?;
        let to = [self.height, self.width];
        let mut y = x.clone();
        if self.crop_to_aspect_ratio {
            y = cropped(x, [h, w], to);
        } else if self.pad_to_aspect_ratio {
            let (old_h, old_w) = (x.shape()[h], x.shape()[w]);
            let above = in_proportion(old_w, self.height, self.width).saturating_sub(old_h) / 2;
            let beside = in_proportion(old_h, self.width, self.height).saturating_sub(old_w) / 2;
            let (axis, border) = if above > 0 { (h, above) } else { (w, beside) };
            let mut sides = vec![0; x.rank()];
            sides[axis] = border as i64;
            y = x.pad(&x.constant_like(self.fill_value), &sides, &sides, &vec![0; x.rank()]);
        }
        let y = resized(&resized(&y, h, self.height, kind, self.antialias)?, w, self.width, kind, self.antialias)?;
        Ok(if x.dtype().is_float() { y } else { (y + 0.5).floor().convert(x.dtype()) })
    }

    fn call_many(&self, cx: &mut Call<'_>, inputs: &[Var]) -> Result<Vec<Var>> {
        match inputs {
            [x] => Ok(vec![self.call(cx, x)?]),
            _ => Err(Error::new(ErrorKind::Unsupported, "bounding boxes are not resized with their images")
                .expected("images alone")
                .received(format!("{} inputs", inputs.len()))),
        }
    }
}

impl LayerRule for CenterCrop {
    layer_base!();

    fn build(&self, inputs: &[Shape], _: &mut Weights) -> Result<()> {
        check(inputs, [self.height, self.width])
    }

    fn call(&self, cx: &mut Call<'_>, x: &Var) -> Result<Var> {
        let x = &x.convert(cx.dtype()?);
        let [h, w] = axes(x, &self.data_format)?;
        let (old_h, old_w) = (x.shape()[h], x.shape()[w]);
        if old_h >= self.height && old_w >= self.width {
            let (top, left) = ((old_h - self.height) / 2, (old_w - self.width) / 2);
            return Ok(x.slice_axis(h, top, top + self.height).slice_axis(w, left, left + self.width));
        }
        let y = cropped(x, [h, w], [self.height, self.width]);
        resized(&resized(&y, h, self.height, "bilinear", false)?, w, self.width, "bilinear", false)
    }
}

layer! {
    /// In training each image may be flipped, with a probability of one half for each way; otherwise nothing happens.
    ///
    /// **Shape** `[batch, height, width, channels]` → the same.
    pub struct RandomFlip("RandomFlip") {
        ;
        /// `"horizontal"`, `"vertical"` or `"horizontal_and_vertical"`.
        mode: Word = "horizontal_and_vertical".into(),
        /// A seed, kept for files; the model's seed decides.
        seed: Option<i64> = None,
        /// `"channels_last"` (default) or `"channels_first"`.
        data_format: Option<Word> = Some("channels_last".into()),
    }
}

impl LayerRule for RandomFlip {
    layer_base!();

    fn call(&self, cx: &mut Call<'_>, x: &Var) -> Result<Var> {
        let x = x.convert(cx.dtype()?);
        let mode = self.mode.one_of("mode", &["horizontal_and_vertical", "horizontal", "vertical"])?;
        if !cx.training() {
            return Ok(x);
        }
        let [h, w] = axes(&x, &self.data_format)?;
        let mut y = x;
        for (axis, name) in [(h, "vertical"), (w, "horizontal")] {
            if mode.contains(name) {
                let u = cx.uniform(&y.shape()[..1]);
                let flips = u.less_equal(&u.full_like(0.5)).broadcast_in_dim(y.shape(), &[0]);
                y = flips.select(&y.reverse(&[axis]), &y);
            }
        }
        Ok(y)
    }
}

layer! {
    /// In training each image is turned around its centre by a random angle; otherwise nothing happens.
    ///
    /// **Shape** `[batch, height, width, channels]` → the same.
    pub struct RandomRotation("RandomRotation") {
        /// The least and the largest turn as parts of a full one: `0.1` stands for -36 to 36 degrees.
        factor: Vec<f64>,
        ;
        /// What lies outside the image: `"reflect"`, `"constant"`, `"wrap"` or `"nearest"`.
        fill_mode: Word = "reflect".into(),
        /// `"bilinear"` or `"nearest"`.
        interpolation: Word = "bilinear".into(),
        /// A seed, kept for files; the model's seed decides.
        seed: Option<i64> = None,
        /// The value outside with `"constant"`.
        fill_value: f64 = 0.0,
        /// `"channels_last"` (default) or `"channels_first"`.
        data_format: Option<Word> = Some("channels_last".into()),
    }
}

impl RandomRotation {
    /// The least and the largest angle in radians.
    fn angles(&self) -> Result<[f64; 2]> {
        let [least, most] = match self.factor[..] {
            [one] => [-one.abs(), one.abs()],
            [least, most] if least <= most => [least, most],
            _ => {
                return Err(Error::new(
                    ErrorKind::Argument,
                    "`factor` is one number, or the least and the largest turn",
                )
                .received(format!("{:?}", self.factor)));
            }
        };
        Ok([least, most].map(|f| f * std::f64::consts::TAU))
    }
}

impl LayerRule for RandomRotation {
    layer_base!();

    fn build(&self, _: &[Shape], _: &mut Weights) -> Result<()> {
        self.fill_mode.one_of("fill_mode", &OUTSIDE)?;
        self.interpolation.one_of("interpolation", &["bilinear", "nearest"])?;
        self.angles().map(|_| ())
    }

    fn call(&self, cx: &mut Call<'_>, x: &Var) -> Result<Var> {
        let x = x.convert(cx.dtype()?);
        if !cx.training() || x.rank() != 4 {
            return Ok(x);
        }
        let last = channels_last(&self.data_format)?;
        let images = if last { x.clone() } else { x.transpose(&[0, 2, 3, 1]) };
        let [batch, height, width, _] = *images.shape() else { return Ok(x) };
        let [least, most] = self.angles()?;
        let angle = cx.uniform(&[batch]) * (most - least) + least;
        let shape = [batch, height, width];
        let spread = |v: Var| v.broadcast_in_dim(&shape, &[0]);
        let (cos, sin) = (spread(angle.cos()), spread(angle.sin()));
        let place = |axis: usize, n: usize| {
            let i = x.trace().iota(&Type::new(DType::I32, shape), axis);
            i.convert(DType::F32) - (n as f64 - 1.0) / 2.0
        };
        // From the centre, where each pixel of the result comes from.
        let (down, over) = (place(1, height), place(2, width));
        let rows = &sin * &over + &cos * &down + (height as f64 - 1.0) / 2.0;
        let columns = cos * over - sin * down + (width as f64 - 1.0) / 2.0;
        let nearest = self.interpolation.0 == "nearest";
        let y = sampled(&images, &rows, &columns, nearest, &self.fill_mode.0, self.fill_value);
        Ok(if last { y } else { y.transpose(&[0, 3, 1, 2]) })
    }
}

#[cfg(test)]
mod tests {
    use crate::prelude::*;

    fn trained(layer: impl LayerRule + 'static, x: &Tensor) -> Vec<f64> {
        let mut model = Sequential::new().add(Input::new(x.shape()[1..].to_vec())).add(layer);
        model.predict(x).training(true).run().expect("runs").to_f64_vec()
    }

    fn near(a: &[f64], b: &[f64]) -> bool {
        a.iter().zip(b).all(|(a, b)| (a - b).abs() < 2e-4)
    }

    /// Figures of Keras 3.15; a flip mirrors or does nothing.
    #[test]
    fn images_turn_and_flip() {
        let numbers: Vec<f32> = (0..9).map(|i| i as f32).collect();
        let x = Tensor::new(&[1, 3, 3, 1], &numbers).expect("an image");
        let turned = trained(RandomRotation::new(vec![0.25, 0.25]), &x);
        assert!(near(&turned, &[2.0, 5.0, 8.0, 1.0, 4.0, 7.0, 0.0, 3.0, 6.0]), "{turned:?}");
        let flipped = trained(RandomFlip::new().mode("horizontal"), &x);
        let mirrored = [2.0, 1.0, 0.0, 5.0, 4.0, 3.0, 8.0, 7.0, 6.0];
        assert!(near(&flipped, &mirrored) || near(&flipped, &x.to_f64_vec()), "{flipped:?}");
    }

    /// What lies outside the image: first and last row of figures of Keras 3.15.
    #[test]
    fn borders_are_filled() {
        let numbers: Vec<f32> = (0..20).map(|i| i as f32).collect();
        let x = Tensor::new(&[1, 4, 5, 1], &numbers).expect("an image");
        let figures = [
            (
                "constant",
                [8.142008, 4.159943, 4.31405, 8.061994, 10.155778],
                [8.34451, 10.938006, 14.685949, 14.538748, 9.968897],
            ),
            (
                "reflect",
                [1.263644, 2.072661, 4.31405, 8.061994, 11.310225],
                [7.689775, 10.938006, 14.685949, 16.92734, 17.736357],
            ),
            (
                "nearest",
                [1.263644, 2.072661, 4.31405, 8.061994, 11.310225],
                [7.689775, 10.938006, 14.685949, 16.92734, 17.736357],
            ),
            (
                "wrap",
                [14.600085, 6.592322, 4.31405, 8.061994, 9.311377],
                [9.688622, 10.938006, 14.685949, 12.407679, 4.399916],
            ),
        ];
        for (mode, top, bottom) in figures {
            let y = trained(RandomRotation::new(vec![0.1, 0.1]).fill_mode(mode).fill_value(9.0), &x);
            assert!(near(&y[..5], &top) && near(&y[15..], &bottom), "{mode}: {y:?}");
        }
    }
}
