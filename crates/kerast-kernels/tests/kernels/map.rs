//! Chains whose steps become one pass: the bits of the single steps, also where results lie on operands.

use crate::run::{noise, session, values};
use kerast_kernels::dtype::DType;
use kerast_kernels::machine::Role;
use kerast_kernels::map::{Access, BinaryKind as B, Map, MapBuilder, Reg, Scalar, UnaryKind as U};

const SLOW: f32 = 0.1;
const SLOWER: f32 = 0.001;
const EPSILON: f32 = 1e-7;

/// Adam's step on gradient, mean, square, weights and rate, in this order, of which half the gradient counts; results are the new mean,
/// square and weights, and four times the weights if wished.
fn adam(n: usize, more: bool) -> Map {
    let mut m = MapBuilder::new(n);
    let binary = |m: &mut MapBuilder, k: B, x: Reg, y: Reg| m.op(&Scalar::Binary(k), &[x, y], DType::F32);
    let [gradient, mean, square, weights] = [(); 4].map(|()| m.input(DType::F32, Access::Direct));
    let rate = m.input(DType::F32, Access::Scalar);
    let [slow, slower, epsilon, half] = [SLOW, SLOWER, EPSILON, 0.5].map(|c| m.constant(DType::F32, c as f64, 0));
    // A value whose slot is free when the weights need one.
    let gradient = binary(&mut m, B::Multiply, gradient, half);
    let lerp = |m: &mut MapBuilder, from: Reg, to: Reg, by: Reg| {
        let way = binary(m, B::Subtract, to, from);
        let step = binary(m, B::Multiply, way, by);
        binary(m, B::Add, from, step)
    };
    let mean = lerp(&mut m, mean, gradient, slow);
    let squared = binary(&mut m, B::Multiply, gradient, gradient);
    let square = lerp(&mut m, square, squared, slower);
    let above = binary(&mut m, B::Multiply, mean, rate);
    let root = m.op(&Scalar::Unary(U::Sqrt), &[square], DType::F32);
    let below = binary(&mut m, B::Add, root, epsilon);
    let step = binary(&mut m, B::Divide, above, below);
    let weights = binary(&mut m, B::Subtract, weights, step);
    [mean, square, weights].into_iter().for_each(|y| m.store(y));
    if more {
        let twice = binary(&mut m, B::Add, weights, weights);
        let four = binary(&mut m, B::Add, twice, twice);
        m.store(four);
    }
    m.finish()
}

#[test]
fn adam_in_one_pass_has_the_bits_of_its_steps() {
    assert!(format!("{:?}", adam(40, false)).contains("Adam"), "one instruction: {:?}", adam(40, false));
    for n in [1, 16, 37, 512, 5000, 70_000] {
        let data =
            |seed: u64| -> Vec<f32> { noise(n, seed, 2001).iter().map(|v| (*v as f32 - 1000.0) / 777.0).collect() };
        let (g, mean, w) = (data(1), data(2), data(4));
        let square: Vec<f32> = data(3).iter().map(|v| v.abs()).collect();
        let rate = 0.01f32;
        let mut expected = [mean.clone(), square.clone(), w.clone()];
        for i in 0..n {
            let half = g[i] * 0.5;
            expected[0][i] += (half - mean[i]) * SLOW;
            expected[1][i] += (half * half - square[i]) * SLOWER;
            expected[2][i] -= expected[0][i] * rate / (expected[1][i].sqrt() + EPSILON);
        }
        for (in_place, more, threads) in
            [(true, false, 1), (true, false, 2), (false, false, 2), (true, true, 1), (false, true, 2)]
        {
            let bytes = n * 4;
            let mut roles = vec![(bytes, Role::State); 4];
            roles.push((4, Role::State));
            let mut outputs = vec![1, 2, 3];
            if !in_place {
                outputs = (5..8).collect();
                roles.extend([(bytes, Role::State); 3]);
            }
            if more {
                outputs.push(roles.len());
                roles.push((bytes, Role::State));
            }
            let mut s = session(Box::new(adam(n, more)), &roles, &[0, 1, 2, 3, 4], &outputs, threads);
            let f64s = |v: &[f32]| v.iter().map(|x| *x as f64).collect::<Vec<_>>();
            for (k, v) in [&g, &mean, &square, &w].into_iter().enumerate() {
                s.put(k, values(DType::F32, &f64s(v)));
            }
            s.put(4, values(DType::F32, &[rate as f64]));
            (5..roles.len()).for_each(|k| s.put(k, values(DType::F32, &vec![0.0; n])));
            s.run();
            let got = |k: usize| s.buffer(k).expect("a buffer").as_slice::<f32>().to_vec();
            for (k, expected) in expected.iter().enumerate() {
                assert!(got(outputs[k]) == *expected, "result {k} of {n} elements, in place: {in_place}");
            }
            if more {
                let four: Vec<f32> = expected[2].iter().map(|w| w + w + (w + w)).collect();
                assert!(got(outputs[3]) == four);
            }
            assert!(got(0) == g, "the gradient stays");
        }
    }
}

/// Gelu of x, or its gradient given dy, with every step kept or only the last.
fn gelu(n: usize, slope: bool, steps: bool) -> Map {
    let mut m = MapBuilder::new(n);
    let mut made = vec![];
    let [x, dy] = [(); 2].map(|()| m.input(DType::F32, Access::Direct));
    let constants = [0.5, std::f64::consts::FRAC_1_SQRT_2, 1.0, std::f64::consts::FRAC_2_SQRT_PI];
    let [half, root, one, rate] = constants.map(|c| m.constant(DType::F32, c, 0));
    let mut op = |scalar: Scalar, args: &[Reg]| {
        made.push(m.op(&scalar, args, DType::F32));
        made[made.len() - 1]
    };
    let multiply = Scalar::Binary(B::Multiply);
    let z = op(multiply.clone(), &[x, root]);
    let erf = op(Scalar::Unary(U::Erf), &[z]);
    let shifted = op(Scalar::Binary(B::Add), &[erf, one]);
    if slope {
        let by = op(multiply.clone(), &[dy, shifted]);
        let step = op(multiply.clone(), &[by, half]);
        let scaled = op(multiply.clone(), &[x, half]);
        let risen = op(multiply.clone(), &[dy, scaled]);
        let square = op(multiply.clone(), &[z, z]);
        let exponent = op(Scalar::Unary(U::Negate), &[square]);
        let power = op(Scalar::Unary(U::Exp), &[exponent]);
        let product = op(multiply.clone(), &[risen, power]);
        let rated = op(multiply.clone(), &[product, rate]);
        let bell = op(multiply, &[rated, root]);
        op(Scalar::Binary(B::Add), &[bell, step]);
    } else {
        let scaled = op(multiply.clone(), &[x, half]);
        op(multiply, &[scaled, shifted]);
    }
    let first = if steps { 0 } else { made.len() - 1 };
    made[first..].iter().for_each(|y| m.store(*y));
    m.finish()
}

#[test]
fn gelu_in_one_pass_has_the_bits_of_its_steps() {
    assert!(format!("{:?}", gelu(40, false, false)).contains("Formula(Gelu)"), "{:?}", gelu(40, false, false));
    assert!(format!("{:?}", gelu(40, true, false)).contains("Formula(GeluSlope)"), "{:?}", gelu(40, true, false));
    for (n, slope) in [(1, false), (37, true), (5000, false), (5000, true)] {
        let mut x = noise(n, 1, 2001).iter().map(|v| (v - 1000.0) / 150.0).collect::<Vec<f64>>();
        x.iter_mut().zip([f64::NAN, f64::INFINITY, -20.0, -0.0]).for_each(|(x, rare)| *x = rare);
        let dy = noise(n, 2, 2001).iter().map(|v| (v - 1000.0) / 300.0).collect::<Vec<f64>>();
        let last = |steps: bool| {
            let map = gelu(n, slope, steps);
            let outputs: Vec<usize> = (2..2 + map.outputs()).collect();
            let roles = vec![(n * 4, Role::State); 2 + map.outputs()];
            let mut s = session(Box::new(map), &roles, &[0, 1], &outputs, 2);
            s.put(0, values(DType::F32, &x));
            s.put(1, values(DType::F32, &dy));
            outputs.iter().for_each(|k| s.put(*k, values(DType::F32, &vec![0.0; n])));
            s.run();
            let y = s.buffer(outputs[outputs.len() - 1]).expect("a buffer").as_slice::<f32>();
            y.iter().map(|v| if v.is_nan() { u32::MAX } else { v.to_bits() }).collect::<Vec<_>>()
        };
        assert!(last(false) == last(true), "{n} elements, slope: {slope}");
    }
}
