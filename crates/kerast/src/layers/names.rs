//! Names as Keras gives them: `Conv2D` → `conv2d`, then `conv2d_1`, `conv2d_2`, … in the order of creation.

use std::cell::RefCell;
use std::collections::HashMap;

thread_local! {
    static COUNTS: RefCell<HashMap<String, usize>> = RefCell::new(HashMap::new());
}

/// Keras' snake case of a class name: `BatchNormalization` → `batch_normalization`, `LSTM` → `lstm`, `Conv2D` → `conv2d`.
pub fn snake_case(class: &str) -> String {
    let c: Vec<char> = class.chars().filter(|c| !matches!(c, '_')).collect();
    let mut out = String::new();
    for (i, &ch) in c.iter().enumerate() {
        let starts_word = ch.is_ascii_uppercase()
            && i > 0
            && (c[i - 1].is_ascii_lowercase()
                || (c.get(i + 1).is_some_and(|n| n.is_ascii_lowercase()) && !c[i - 1].is_ascii_digit())
                || (c[i - 1].is_ascii_digit() && c.get(i + 1).is_some_and(|n| n.is_ascii_lowercase())));
        if starts_word {
            out.push('_');
        }
        out.extend(ch.to_lowercase());
    }
    out
}

/// The next free automatic name of a class on this thread.
pub fn auto_name(class: &str) -> String {
    let base = snake_case(class);
    COUNTS.with(|counts| {
        let mut counts = counts.borrow_mut();
        let n = counts.entry(base.clone()).or_insert(0);
        *n += 1;
        if *n == 1 { base } else { format!("{base}_{}", *n - 1) }
    })
}

/// Starts the numbering of automatic names anew, as `keras.utils.clear_session()` does.
pub fn clear_session() {
    COUNTS.with(|c| c.borrow_mut().clear());
}

#[cfg(test)]
mod tests {
    use super::snake_case;

    #[test]
    fn snake_case_as_keras() {
        let pairs = [
            ("Dense", "dense"),
            ("Conv2D", "conv2d"),
            ("BatchNormalization", "batch_normalization"),
            ("LSTM", "lstm"),
            ("SimpleRNN", "simple_rnn"),
            ("ReLU", "re_lu"),
            ("PReLU", "p_re_lu"),
            ("Conv2DTranspose", "conv2d_transpose"),
            ("MaxPooling2D", "max_pooling2d"),
            ("GlobalAveragePooling1D", "global_average_pooling1d"),
            ("InputLayer", "input_layer"),
            ("ELU", "elu"),
            ("UpSampling2D", "up_sampling2d"),
            ("TimeDistributed", "time_distributed"),
        ];
        for (class, name) in pairs {
            assert_eq!(snake_case(class), name);
        }
    }
}
