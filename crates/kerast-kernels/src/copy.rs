//! Placeholder until the real file is merged: on a conflict take the real one whole.
use crate::machine::*;
use crate::pool::Pool;
#[allow(missing_docs)]
#[derive(Debug)]
pub struct Strided {
    e: usize,
    s: Vec<usize>,
    p: Vec<usize>,
}
impl Strided {
    #[allow(missing_docs)]
    pub fn transpose(e: usize, s: &[usize], p: &[usize]) -> Strided {
        Strided { e, s: s.to_vec(), p: p.to_vec() }
    }
}
impl Kernel for Strided {
    fn name(&self) -> &'static str {
        "transpose"
    }
    fn run(&self, io: &mut Io<'_>, _: &Pool) {
        let x = io.input::<u8>(0);
        let y = io.output::<u8>(0);
        let r = self.s.len();
        let os: Vec<usize> = self.p.iter().map(|&p| self.s[p]).collect();
        let mut st = vec![1; r];
        for i in (1..r).rev() {
            st[i - 1] = st[i] * self.s[i];
        }
        let n: usize = os.iter().product();
        for i in 0..n {
            let mut rest = i;
            let mut src = 0;
            for d in (0..r).rev() {
                src += rest % os[d] * st[self.p[d]];
                rest /= os[d];
            }
            y[i * self.e..(i + 1) * self.e].copy_from_slice(&x[src * self.e..(src + 1) * self.e]);
        }
    }
}
