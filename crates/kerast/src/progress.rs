//! Progress as Keras users know it: a bar that fills in place on a terminal, plain lines in a pipe.

use crate::train::Logs;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

const CELLS: usize = 20;
const REDRAW: Duration = Duration::from_millis(66);

/// The display of a training run.
pub struct Progress {
    verbose: u8,
    epochs: usize,
    terminal: bool,
    out: Box<dyn Write + Send>,
    steps: Option<usize>,
    start: Instant,
    drawn: Instant,
    done: usize,
}

impl Progress {
    /// On standard output.
    pub fn stdout(verbose: u8, epochs: usize) -> Progress {
        Progress::new(verbose, epochs, io::stdout().is_terminal(), Box::new(io::stdout()))
    }

    /// On any output; `terminal` says whether lines may be redrawn.
    pub fn new(verbose: u8, epochs: usize, terminal: bool, out: Box<dyn Write + Send>) -> Progress {
        let now = Instant::now();
        Progress { verbose, epochs, terminal, out, steps: None, start: now, drawn: now, done: 0 }
    }

    /// An epoch (counted from 0) begins.
    pub fn epoch_begin(&mut self, epoch: usize, steps: Option<usize>) {
        self.steps = steps;
        self.start = Instant::now();
        self.drawn = self.start;
        self.done = 0;
        if self.verbose > 0 {
            self.print(&format!("Epoch {}/{}\n", epoch + 1, self.epochs));
        }
    }

    /// Whether the bar wants to be drawn after this many steps; cheap.
    pub fn due(&mut self, done: usize) -> bool {
        self.done = done;
        self.verbose == 1 && self.terminal && self.drawn.elapsed() >= REDRAW
    }

    /// Draws the bar after this many steps.
    pub fn step(&mut self, done: usize, logs: &Logs) {
        self.done = done;
        if self.verbose != 1 || !self.terminal {
            return;
        }
        self.drawn = Instant::now();
        let elapsed = self.start.elapsed();
        let left = self.steps.map(|n| elapsed.mul_f64((n.saturating_sub(done)) as f64 / done.max(1) as f64));
        let time = left.map_or_else(|| whole(elapsed), whole);
        let line = format!("{} {time} {}{}", self.bar(done, true), per_step(elapsed, done), values(logs));
        self.print(&format!("\r\x1b[2K{line}"));
    }

    /// An epoch is over.
    pub fn epoch_end(&mut self, logs: &Logs) {
        let elapsed = self.start.elapsed();
        let (time, rate) = (whole(elapsed), per_step(elapsed, self.done));
        match (self.verbose, self.terminal) {
            (0, _) => {}
            (1, terminal) => {
                let clear = if terminal { "\r\x1b[2K" } else { "" };
                let line = format!("{clear}{} {time} {rate}{}\n", self.bar(self.done, terminal), values(logs));
                self.print(&line);
            }
            _ => {
                let n = self.done;
                let of = self.steps.unwrap_or(n);
                self.print(&format!("{n}/{of} - {time} - {rate}{}\n", values(logs)));
            }
        }
    }

    /// A line of its own.
    pub fn note(&mut self, text: &str) {
        if self.verbose > 0 {
            self.print(&format!("{text}\n"));
        }
    }

    fn bar(&self, done: usize, colours: bool) -> String {
        let Some(of) = self.steps else { return format!("{done}/?") };
        let width = of.to_string().len();
        let full = CELLS * done / of.max(1);
        let (head, tail) = ("━".repeat(full), "━".repeat(CELLS - full));
        match colours {
            true => format!("{done:>width$}/{of} \x1b[32m{head}\x1b[0m\x1b[2m{tail}\x1b[0m"),
            false => format!("{done:>width$}/{of} {head}{tail}"),
        }
    }

    /// A closed pipe is no reason to stop training.
    fn print(&mut self, text: &str) {
        let _ = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
    }
}

/// `3s`, `2:05`, `1:02:05`.
fn whole(t: Duration) -> String {
    let s = t.as_secs();
    match s {
        0..=59 => format!("{s}s"),
        60..=3599 => format!("{}:{:02}", s / 60, s % 60),
        _ => format!("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60),
    }
}

/// `240us/step`, `3ms/step`, `2s/step`.
fn per_step(t: Duration, steps: usize) -> String {
    let s = t.as_secs_f64() / steps.max(1) as f64;
    match s {
        s if s >= 1.0 => format!("{s:.0}s/step"),
        s if s >= 1e-3 => format!("{:.0}ms/step", s * 1e3),
        s => format!("{:.0}us/step", s * 1e6),
    }
}

fn values(logs: &Logs) -> String {
    let one = |v: f64| if v != 0.0 && v.abs() < 1e-3 { scientific(v) } else { format!("{v:.4}") };
    logs.iter().map(|(n, v)| format!(" - {n}: {}", one(*v))).collect()
}

/// `1.2346e-05`, as Python writes it.
fn scientific(v: f64) -> String {
    let text = format!("{v:.4e}");
    match text.split_once('e') {
        Some((digits, e)) => {
            let (sign, e) = if let Some(e) = e.strip_prefix('-') { ('-', e) } else { ('+', e) };
            format!("{digits}e{sign}{e:0>2}")
        }
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, b: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("one writer").extend_from_slice(b);
            Ok(b.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn run(verbose: u8, terminal: bool) -> String {
        let sink = Sink::default();
        let mut p = Progress::new(verbose, 20, terminal, Box::new(sink.clone()));
        p.epoch_begin(0, Some(12));
        p.due(12);
        p.epoch_end(&vec![("accuracy".into(), 0.63613), ("loss".into(), 1.23456)]);
        let bytes = sink.0.lock().expect("done").clone();
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn pipes_get_plain_lines() {
        let text = run(1, false);
        assert!(text.starts_with("Epoch 1/20\n12/12 ━━━━━━━━━━━━━━━━━━━━ 0s "), "{text}");
        assert!(text.ends_with("us/step - accuracy: 0.6361 - loss: 1.2346\n"), "{text}");
        assert!(!text.contains('\x1b'));
    }

    #[test]
    fn terminals_get_a_bar_in_place() {
        assert!(run(1, true).contains("\r\x1b[2K12/12 \x1b[32m━━━"));
    }

    #[test]
    fn verbose_2_is_a_line_and_0_is_silence() {
        assert!(run(2, true).starts_with("Epoch 1/20\n12/12 - 0s - "));
        assert_eq!(run(0, true), "");
    }

    #[test]
    fn small_numbers_are_scientific() {
        assert_eq!(values(&vec![("loss".into(), 0.0000123456)]), " - loss: 1.2346e-05");
        assert_eq!(
            (whole(Duration::from_secs(125)), per_step(Duration::from_millis(30), 10)),
            ("2:05".into(), "3ms/step".into())
        );
    }
}
