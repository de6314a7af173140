//! Progress as Keras users know it: a bar that fills in place on a terminal, plain lines in a pipe.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

const CELLS: usize = 20;
const REDRAW: Duration = Duration::from_millis(66);
const BOLD: &str = "\x1b[1m";
const GREEN: &str = "\x1b[32m";
const DIM: &str = "\x1b[2m";
const PLAIN: &str = "\x1b[0m";
/// To the line's start, and no wrapping: a line longer than the terminal is cut there instead of scrolling.
const REDRAW_BEGIN: &str = "\r\x1b[?7l";
/// Clears what the line before had more of, and wraps again.
const REDRAW_END: &str = "\x1b[K\x1b[?7h";

/// The display of a training run: `verbose` 0 is silent, 1 shows a bar, 2 a line per epoch.
pub struct Progress {
    verbose: u8,
    epochs: usize,
    terminal: bool,
    colours: bool,
    out: Box<dyn Write + Send>,
    line: String,
    steps: Option<usize>,
    done: usize,
    start: Instant,
    first_step: Option<Instant>,
    drawn: Option<Instant>,
}

impl Progress {
    /// On standard output; lines are redrawn only if that is a terminal. `NO_COLOR` is respected.
    pub fn stdout(verbose: u8, epochs: usize) -> Progress {
        let dumb = std::env::var_os("TERM").is_some_and(|t| t == "dumb");
        let terminal = io::stdout().is_terminal() && !dumb;
        let colours = std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
        Progress { colours: terminal && colours, ..Progress::new(verbose, epochs, terminal, Box::new(io::stdout())) }
    }

    /// On any output; `terminal` says whether lines may be redrawn and coloured.
    pub fn new(verbose: u8, epochs: usize, terminal: bool, out: Box<dyn Write + Send>) -> Progress {
        Progress {
            verbose,
            epochs,
            terminal,
            colours: terminal,
            out,
            line: String::new(),
            steps: None,
            done: 0,
            start: Instant::now(),
            first_step: None,
            drawn: None,
        }
    }

    /// An epoch (counted from 0) begins; `steps` is `None` when nobody knows how many there will be.
    pub fn epoch_begin(&mut self, epoch: usize, steps: Option<usize>) {
        self.steps = steps;
        self.done = 0;
        self.start = Instant::now();
        self.first_step = None;
        if self.verbose > 0 {
            let epochs = self.epochs;
            self.note_line(format_args!("Epoch {}/{epochs}\n", epoch + 1));
        }
    }

    /// Whether the bar wants to be drawn after this many steps, at most fifteen times a second. Cheap: what the values
    /// cost to compute needs to be paid only if so.
    pub fn due(&mut self, done: usize) -> bool {
        self.done = done;
        if self.verbose == 0 || (done > 1 && !(self.verbose == 1 && self.terminal)) {
            return false;
        }
        let now = Instant::now();
        if done == 1 {
            self.first_step = Some(now);
        }
        self.verbose == 1 && self.terminal && self.drawn.is_none_or(|t| now.duration_since(t) >= REDRAW)
    }

    /// So many steps are done, with these values so far. Draws, and allocates, only if [`due`](Progress::due).
    pub fn step(&mut self, done: usize, values: &[(String, f64)]) {
        if !self.due(done) {
            return;
        }
        let now = Instant::now();
        self.drawn = Some(now);
        let (elapsed, per_step) = (now.duration_since(self.start), self.seconds_per_step(now));
        self.line.clear();
        self.line.push_str(REDRAW_BEGIN);
        self.push_bar();
        match self.steps {
            Some(n) => push_clock(&mut self.line, per_step * n.saturating_sub(done) as f64, self.colours),
            None => push_seconds(&mut self.line, elapsed, self.colours),
        }
        push_per_step(&mut self.line, per_step);
        push_values(&mut self.line, values);
        self.line.push_str(REDRAW_END);
        self.flush();
    }

    /// An epoch is over, with these values: they stay, on one line.
    pub fn epoch_end(&mut self, values: &[(String, f64)]) {
        if self.verbose == 0 {
            return;
        }
        let now = Instant::now();
        let (elapsed, per_step) = (now.duration_since(self.start), self.seconds_per_step(now));
        self.steps = self.steps.or(Some(self.done));
        self.line.clear();
        if self.verbose == 1 {
            if self.terminal {
                self.line.push('\r');
            }
            self.push_bar();
            push_seconds(&mut self.line, elapsed, self.colours);
            push_per_step(&mut self.line, per_step);
        } else {
            let of = self.steps.unwrap_or(self.done);
            push(&mut self.line, format_args!("{}/{of} - {:.0}s -", self.done, elapsed.as_secs_f64()));
            push_per_step(&mut self.line, per_step);
        }
        push_values(&mut self.line, values);
        if self.verbose == 1 && self.terminal {
            self.line.push_str("\x1b[K");
        }
        self.line.push('\n');
        self.flush();
    }

    /// A line of its own between epochs.
    pub fn note(&mut self, text: &str) {
        if self.verbose > 0 {
            self.note_line(format_args!("{text}\n"));
        }
    }

    fn note_line(&mut self, text: std::fmt::Arguments<'_>) {
        self.line.clear();
        push(&mut self.line, text);
        self.flush();
    }

    /// The first step is not counted, where there are others: it pays for the compilation.
    fn seconds_per_step(&self, now: Instant) -> f64 {
        match self.first_step {
            Some(first) if self.done > 1 => now.duration_since(first).as_secs_f64() / (self.done - 1) as f64,
            _ => now.duration_since(self.start).as_secs_f64() / self.done.max(1) as f64,
        }
    }

    /// `12/12 ━━━━━━━━━━━━━━━━━━━━ `
    fn push_bar(&mut self) {
        let (done, colours) = (self.done, self.colours);
        let Some(of) = self.steps else { return push(&mut self.line, format_args!("{done:>7}/Unknown ")) };
        let width = of.checked_ilog10().unwrap_or(0) as usize + 1;
        let full = (CELLS as u128 * done as u128 / of.max(1) as u128).min(CELLS as u128) as usize;
        let paint = |line: &mut String, style: &str, cells: usize| {
            if colours && cells > 0 {
                line.push_str(style);
            }
            (0..cells).for_each(|_| line.push('━'));
            if colours && cells > 0 {
                line.push_str(PLAIN);
            }
        };
        let (bold, plain) = if colours { (BOLD, PLAIN) } else { ("", "") };
        push(&mut self.line, format_args!("{bold}{done:>width$}/{of}{plain} "));
        paint(&mut self.line, GREEN, full);
        paint(&mut self.line, DIM, CELLS - full);
        self.line.push(' ');
    }

    /// One write per line, so that nothing flickers. A closed pipe is no reason to stop training.
    fn flush(&mut self) {
        let _ = self.out.write_all(self.line.as_bytes()).and_then(|()| self.out.flush());
    }
}

fn push(line: &mut String, text: std::fmt::Arguments<'_>) {
    line.write_fmt(text).expect("a String takes any text");
}

/// Time gone by, as Keras prints it at an epoch's end: whole seconds.
fn push_seconds(line: &mut String, t: Duration, colours: bool) {
    let (bold, plain) = if colours { (BOLD, PLAIN) } else { ("", "") };
    push(line, format_args!("{bold}{:.0}s{plain}", t.as_secs_f64()));
}

/// Time left: `3s`, `2:05`, `1:02:05`.
fn push_clock(line: &mut String, seconds: f64, colours: bool) {
    let (bold, plain) = if colours { (BOLD, PLAIN) } else { ("", "") };
    let s = seconds as u64;
    match s {
        0..=60 => push(line, format_args!("{bold}{s}s{plain}")),
        61..=3600 => push(line, format_args!("{bold}{}:{:02}{plain}", s / 60, s % 60)),
        _ => push(line, format_args!("{bold}{}:{:02}:{:02}{plain}", s / 3600, s / 60 % 60, s % 60)),
    }
}

/// ` 240us/step`, ` 3ms/step`, ` 2s/step`.
fn push_per_step(line: &mut String, seconds: f64) {
    match seconds {
        s if s >= 1.0 || s == 0.0 => push(line, format_args!(" {s:.0}s/step")),
        s if s >= 1e-3 => push(line, format_args!(" {:.0}ms/step", s * 1e3)),
        s => push(line, format_args!(" {:.0}us/step", s * 1e6)),
    }
}

/// ` - accuracy: 0.6361 - loss: 1.2346e-05`
fn push_values(line: &mut String, values: &[(String, f64)]) {
    for (name, v) in values {
        match *v {
            v if v.is_nan() => push(line, format_args!(" - {name}: nan")),
            v if v.abs() > 1e-3 => push(line, format_args!(" - {name}: {v:.4}")),
            v => push_scientific(line, name, v),
        }
    }
}

/// `1.2346e-05`, as Python writes it: a sign and at least two digits.
fn push_scientific(line: &mut String, name: &str, v: f64) {
    let text = format!("{v:.4e}");
    let (digits, exponent) = text.split_once('e').expect("`e` formats have an exponent");
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |e| ('-', e));
    push(line, format_args!(" - {name}: {digits}e{sign}{exponent:0>2}"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Sink {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().expect("one writer").clone()).expect("text")
        }
    }

    impl Write for Sink {
        fn write(&mut self, b: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("one writer").extend_from_slice(b);
            Ok(b.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn values() -> Vec<(String, f64)> {
        vec![("accuracy".into(), 0.63613), ("loss".into(), 1.23456)]
    }

    /// Two epochs of twelve steps, of which only the first is drawn, with measured times replaced by T.
    fn run(verbose: u8, terminal: bool) -> String {
        let sink = Sink::default();
        let mut p = Progress::new(verbose, 20, terminal, Box::new(sink.clone()));
        for epoch in 0..2 {
            p.epoch_begin(epoch, Some(12));
            if epoch == 0 {
                p.step(1, &values());
            }
            p.due(12);
            p.epoch_end(&values());
        }
        let words = sink.text().replace(' ', "\u{1f}");
        words.split('\u{1f}').map(|w| if w.ends_with("/step") { "T" } else { w }).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn pipes_get_plain_lines() {
        let line = "12/12 ━━━━━━━━━━━━━━━━━━━━ 0s T - accuracy: 0.6361 - loss: 1.2346\n";
        assert_eq!(run(1, false), format!("Epoch 1/20\n{line}Epoch 2/20\n{line}"));
    }

    #[test]
    fn terminals_get_a_bar_in_place() {
        let first = "\r\x1b[?7l\x1b[1m 1/12\x1b[0m \x1b[32m━\x1b[0m\x1b[2m━━━━━━━━━━━━━━━━━━━\x1b[0m \x1b[1m0s\x1b[0m T \
                     - accuracy: 0.6361 - loss: 1.2346\x1b[K\x1b[?7h";
        let last = "\r\x1b[1m12/12\x1b[0m \x1b[32m━━━━━━━━━━━━━━━━━━━━\x1b[0m \x1b[1m0s\x1b[0m T \
                    - accuracy: 0.6361 - loss: 1.2346\x1b[K\n";
        assert_eq!(run(1, true), format!("Epoch 1/20\n{first}{last}Epoch 2/20\n{last}"));
    }

    #[test]
    fn verbose_2_is_a_line_and_0_is_silence() {
        let line = "12/12 - 0s - T - accuracy: 0.6361 - loss: 1.2346\n";
        assert_eq!(run(2, true), format!("Epoch 1/20\n{line}Epoch 2/20\n{line}"));
        assert_eq!(run(0, true), "");
    }

    #[test]
    fn streams_of_unknown_length_count_up_and_end_with_a_bar() {
        let sink = Sink::default();
        let mut p = Progress::new(1, 1, true, Box::new(sink.clone()));
        p.epoch_begin(0, None);
        p.step(1, &[]);
        p.due(3);
        p.epoch_end(&[]);
        assert!(sink.text().contains("      1/Unknown \x1b[1m0s\x1b[0m"), "{}", sink.text());
        assert!(sink.text().contains("\r\x1b[1m3/3\x1b[0m \x1b[32m━━━━"), "{}", sink.text());
    }

    #[test]
    fn numbers_are_written_as_keras_writes_them() {
        let mut line = String::new();
        let v = |x: f64| ("v".to_owned(), x);
        push_values(&mut line, &[v(0.0000123456), v(0.0), v(f64::NAN), v(f64::INFINITY), v(-1234.56789)]);
        assert_eq!(line, " - v: 1.2346e-05 - v: 0.0000e+00 - v: nan - v: inf - v: -1234.5679");
        line.clear();
        [3.9, 125.0, 3725.0].iter().for_each(|s| push_clock(&mut line, *s, false));
        [2e-4, 3e-3, 2.4].iter().for_each(|s| push_per_step(&mut line, *s));
        assert_eq!(line, "3s2:051:02:05 200us/step 3ms/step 2s/step");
    }
}
