//! Each pass on small graphs: text in, text out.

use kerast_graph::ir::text;
use kerast_graph::ir::verify::verify;
use kerast_graph::passes::{self, run_one};
use kerast_graph::{DType, Trace, Type};

#[track_caller]
fn check(pass: &str, before: &str, after: &str) {
    let lines = |t: &str| t.lines().map(str::trim).filter(|l| !l.is_empty()).collect::<Vec<_>>().join("\n");
    let graph = text::parse(before).expect("the graph before reads");
    let result = run_one(pass, graph).expect("there is such a pass").expect("the pass succeeds");
    verify(&result).expect("valid");
    let (got, want) = (lines(&result.to_string()), lines(after));
    assert!(got == want, "{pass} gives\n{got}\ninstead of\n{want}");
}

#[test]
fn prune_drops_what_no_result_needs_but_parameters() {
    check(
        "prune",
        r#"
        %0 = parameter() {index = 0, type = "f32[2]"} : f32[2]
        %1 = parameter() {index = 1, type = "f32[2]"} : f32[2]
        %2 = tanh(%0) : f32[2]
        %3 = exponential(%1) : f32[2]
        %4 = negate(%3) : f32[2]
        return %2
        "#,
        r#"
        %0 = parameter() {index = 0, type = "f32[2]"} : f32[2]
        %1 = parameter() {index = 1, type = "f32[2]"} : f32[2]
        %2 = tanh(%0) : f32[2]
        return %2
        "#,
    );
}

#[test]
fn fold_computes_scalars_once() {
    check(
        "fold",
        r#"
        %0 = constant() {value = f32[] {2.0}} : f32[]
        %1 = constant() {value = f32[] {3.0}} : f32[]
        %2 = multiply(%0, %1) : f32[]
        %3 = compare(%2, %0) {direction = "GT"} : i1[]
        %4 = parameter() {index = 0, type = "f32[]"} : f32[]
        %5 = add(%4, %2) : f32[]
        return %3, %5
        "#,
        r#"
        %0 = constant() {value = f32[] {6.0}} : f32[]
        %1 = constant() {value = i1[] {1}} : i1[]
        %2 = parameter() {index = 0, type = "f32[]"} : f32[]
        %3 = add(%2, %0) : f32[]
        return %1, %3
        "#,
    );
}

#[test]
fn fold_keeps_what_others_read_and_shares_work() {
    // %5 and %7 both need %3; %0 is read by the rest, %1 is not.
    check(
        "fold",
        r#"
        %0 = constant() {value = f32[2] {1.0 2.0}} : f32[2]
        %1 = constant() {value = f32[2] {3.0 4.0}} : f32[2]
        %2 = parameter() {index = 0, type = "f32[2]"} : f32[2]
        %3 = multiply(%0, %1) : f32[2]
        %4 = exponential(%1) : f32[2]
        %5 = add(%3, %0) : f32[2]
        %6 = add(%2, %5) : f32[2]
        %7 = subtract(%3, %0) : f32[2]
        %8 = add(%6, %7) : f32[2]
        %9 = multiply(%8, %0) : f32[2]
        return %9, %3
        "#,
        r#"
        %0 = constant() {value = f32[2] {1.0 2.0}} : f32[2]
        %1 = parameter() {index = 0, type = "f32[2]"} : f32[2]
        %2 = constant() {value = f32[2] {3.0 8.0}} : f32[2]
        %3 = constant() {value = f32[2] {4.0 10.0}} : f32[2]
        %4 = add(%1, %3) : f32[2]
        %5 = constant() {value = f32[2] {2.0 6.0}} : f32[2]
        %6 = add(%4, %5) : f32[2]
        %7 = multiply(%6, %0) : f32[2]
        return %7, %2
        "#,
    );
}

#[test]
fn simplify_drops_neutral_arithmetic() {
    check(
        "simplify",
        r#"
        %0 = parameter() {index = 0, type = "f32[2]"} : f32[2]
        %1 = constant() {value = f32[] {0.0}} : f32[]
        %2 = broadcast_in_dim(%1) {shape = [2], dims = []} : f32[2]
        %3 = constant() {value = f32[] {1.0}} : f32[]
        %4 = broadcast_in_dim(%3) {shape = [2], dims = []} : f32[2]
        %5 = add(%0, %2) : f32[2]
        %6 = multiply(%4, %5) : f32[2]
        %7 = multiply(%6, %2) : f32[2]
        return %6, %7
        "#,
        r#"
        %0 = parameter() {index = 0, type = "f32[2]"} : f32[2]
        %1 = constant() {value = f32[] {0.0}} : f32[]
        %2 = broadcast_in_dim(%1) {shape = [2], dims = []} : f32[2]
        %3 = constant() {value = f32[] {1.0}} : f32[]
        %4 = broadcast_in_dim(%3) {shape = [2], dims = []} : f32[2]
        %5 = multiply(%0, %2) : f32[2]
        return %0, %5
        "#,
    );
}

#[test]
fn simplify_joins_moves_of_elements() {
    check(
        "simplify",
        r#"
        %0 = parameter() {index = 0, type = "f32[2,3,4]"} : f32[2,3,4]
        %1 = transpose(%0) {permutation = [2, 0, 1]} : f32[4,2,3]
        %2 = transpose(%1) {permutation = [1, 2, 0]} : f32[2,3,4]
        %3 = transpose(%1) {permutation = [0, 2, 1]} : f32[4,3,2]
        %4 = reshape(%0) {shape = [6, 4]} : f32[6,4]
        %5 = reshape(%4) {shape = [24]} : f32[24]
        %6 = reshape(%4) {shape = [2, 3, 4]} : f32[2,3,4]
        return %2, %3, %5, %6
        "#,
        r#"
        %0 = parameter() {index = 0, type = "f32[2,3,4]"} : f32[2,3,4]
        %1 = transpose(%0) {permutation = [2, 0, 1]} : f32[4,2,3]
        %2 = transpose(%0) {permutation = [2, 1, 0]} : f32[4,3,2]
        %3 = reshape(%0) {shape = [6, 4]} : f32[6,4]
        %4 = reshape(%0) {shape = [24]} : f32[24]
        return %0, %2, %4, %0
        "#,
    );
}

#[test]
fn simplify_moves_the_numbers_of_rows_rather_than_the_rows() {
    let dims = "offset_dims = [3], collapsed_slice_dims = [0], operand_batching_dims = [], start_indices_batching_dims = [], start_index_map = [0], index_vector_dim = 3, slice_sizes = [1, 2]";
    check(
        "simplify",
        &format!(
            r#"
        %0 = parameter() {{index = 0, type = "f32[5,2]"}} : f32[5,2]
        %1 = parameter() {{index = 1, type = "i32[2,3,4]"}} : i32[2,3,4]
        %2 = gather(%0, %1) {{{dims}}} : f32[2,3,4,2]
        %3 = transpose(%2) {{permutation = [1, 2, 0, 3]}} : f32[3,4,2,2]
        %4 = transpose(%2) {{permutation = [1, 2, 3, 0]}} : f32[3,4,2,2]
        %5 = parameter() {{index = 2, type = "f32[4,2,3,2]"}} : f32[4,2,3,2]
        %6 = transpose(%5) {{permutation = [1, 2, 0, 3]}} : f32[2,3,4,2]
        %7 = segment_sum(%6, %1) {{segments = 5}} : f32[5,2]
        return %2, %3, %4, %7
        "#
        ),
        &format!(
            r#"
        %0 = parameter() {{index = 0, type = "f32[5,2]"}} : f32[5,2]
        %1 = parameter() {{index = 1, type = "i32[2,3,4]"}} : i32[2,3,4]
        %2 = gather(%0, %1) {{{dims}}} : f32[2,3,4,2]
        %3 = transpose(%1) {{permutation = [1, 2, 0]}} : i32[3,4,2]
        %4 = gather(%0, %3) {{{dims}}} : f32[3,4,2,2]
        %5 = transpose(%2) {{permutation = [1, 2, 3, 0]}} : f32[3,4,2,2]
        %6 = parameter() {{index = 2, type = "f32[4,2,3,2]"}} : f32[4,2,3,2]
        %7 = transpose(%6) {{permutation = [1, 2, 0, 3]}} : f32[2,3,4,2]
        %8 = transpose(%1) {{permutation = [2, 0, 1]}} : i32[4,2,3]
        %9 = segment_sum(%6, %8) {{segments = 5}} : f32[5,2]
        return %2, %4, %5, %9
        "#
        ),
    );
}

#[test]
fn simplify_joins_paddings_that_fill_an_axis() {
    check(
        "simplify",
        r#"
        %0 = parameter() {index = 0, type = "f32[2,1]"} : f32[2,1]
        %1 = parameter() {index = 1, type = "f32[2,2]"} : f32[2,2]
        %2 = parameter() {index = 2, type = "f32[2,3]"} : f32[2,3]
        %3 = constant() {value = f32[] {0.0}} : f32[]
        %4 = pad(%0, %3) {low = [0, 2], high = [0, 3], interior = [0, 0]} : f32[2,6]
        %5 = pad(%1, %3) {low = [0, 0], high = [0, 4], interior = [0, 0]} : f32[2,6]
        %6 = pad(%2, %3) {low = [0, 3], high = [0, 0], interior = [0, 0]} : f32[2,6]
        %7 = add(%4, %5) : f32[2,6]
        %8 = add(%7, %6) : f32[2,6]
        %9 = add(%4, %6) : f32[2,6]
        return %8, %9
        "#,
        r#"
        %0 = parameter() {index = 0, type = "f32[2,1]"} : f32[2,1]
        %1 = parameter() {index = 1, type = "f32[2,2]"} : f32[2,2]
        %2 = parameter() {index = 2, type = "f32[2,3]"} : f32[2,3]
        %3 = constant() {value = f32[] {0.0}} : f32[]
        %4 = pad(%0, %3) {low = [0, 2], high = [0, 3], interior = [0, 0]} : f32[2,6]
        %5 = pad(%1, %3) {low = [0, 0], high = [0, 4], interior = [0, 0]} : f32[2,6]
        %6 = pad(%2, %3) {low = [0, 3], high = [0, 0], interior = [0, 0]} : f32[2,6]
        %7 = add(%4, %5) : f32[2,6]
        %8 = concatenate(%1, %0, %2) {axis = 1} : f32[2,6]
        %9 = add(%4, %6) : f32[2,6]
        return %8, %9
        "#,
    );
}

/// A padding doubled forty times has 2^40 leaves.
#[test]
fn simplify_does_not_follow_every_path() {
    let trace = Trace::new();
    let x = trace.parameter(Type::new(DType::F32, [2]));
    let mut y = x.pad(&x.constant_like(0.0), &[1], &[0], &[0]);
    for _ in 0..40 {
        y = &y + &y;
    }
    let graph = trace.finish(&[y]).expect("valid");
    passes::run(graph).expect("in no time");
}

#[test]
fn simplify_moves_unit_axes_without_copying() {
    check(
        "simplify",
        r#"
        %0 = parameter() {index = 0, type = "f32[3,1,2,1]"} : f32[3,1,2,1]
        %1 = transpose(%0) {permutation = [1, 0, 3, 2]} : f32[1,3,1,2]
        return %1
        "#,
        r#"
        %0 = parameter() {index = 0, type = "f32[3,1,2,1]"} : f32[3,1,2,1]
        %1 = reshape(%0) {shape = [1, 3, 1, 2]} : f32[1,3,1,2]
        return %1
        "#,
    );
}

#[test]
fn simplify_drops_copies_that_change_nothing() {
    check(
        "simplify",
        r#"
        %0 = parameter() {index = 0, type = "f32[2,3]"} : f32[2,3]
        %1 = constant() {value = f32[] {7.0}} : f32[]
        %2 = slice(%0) {start = [0, 0], limit = [2, 3], strides = [1, 1]} : f32[2,3]
        %3 = pad(%2, %1) {low = [0, 0], high = [0, 0], interior = [0, 0]} : f32[2,3]
        %4 = reverse(%3) {axes = [1]} : f32[2,3]
        %5 = reverse(%4) {axes = [1]} : f32[2,3]
        %6 = concatenate(%5) {axis = 0} : f32[2,3]
        %7 = convert(%6) {to = "f32"} : f32[2,3]
        %8 = slice(%7) {start = [0, 0], limit = [2, 3], strides = [1, 2]} : f32[2,2]
        return %7, %8
        "#,
        r#"
        %0 = parameter() {index = 0, type = "f32[2,3]"} : f32[2,3]
        %1 = constant() {value = f32[] {7.0}} : f32[]
        %2 = reverse(%0) {axes = [1]} : f32[2,3]
        %3 = slice(%0) {start = [0, 0], limit = [2, 3], strides = [1, 2]} : f32[2,2]
        return %0, %3
        "#,
    );
}

#[test]
fn simplify_composes_repetitions() {
    check(
        "simplify",
        r#"
        %0 = parameter() {index = 0, type = "f32[3]"} : f32[3]
        %1 = broadcast_in_dim(%0) {shape = [2, 3], dims = [1]} : f32[2,3]
        %2 = broadcast_in_dim(%1) {shape = [2, 4, 3], dims = [0, 2]} : f32[2,4,3]
        %3 = reshape(%0) {shape = [1, 3, 1]} : f32[1,3,1]
        %4 = broadcast_in_dim(%3) {shape = [2, 3, 5], dims = [0, 1, 2]} : f32[2,3,5]
        return %2, %4
        "#,
        r#"
        %0 = parameter() {index = 0, type = "f32[3]"} : f32[3]
        %1 = broadcast_in_dim(%0) {shape = [2, 3], dims = [1]} : f32[2,3]
        %2 = broadcast_in_dim(%0) {shape = [2, 4, 3], dims = [2]} : f32[2,4,3]
        %3 = reshape(%0) {shape = [1, 3, 1]} : f32[1,3,1]
        %4 = broadcast_in_dim(%0) {shape = [2, 3, 5], dims = [1]} : f32[2,3,5]
        return %2, %4
        "#,
    );
}

#[test]
fn dedupe_joins_equal_nodes_but_not_parameters() {
    check(
        "dedupe",
        r#"
        %0 = parameter() {index = 0, type = "f32[2]"} : f32[2]
        %1 = parameter() {index = 1, type = "f32[2]"} : f32[2]
        %2 = tanh(%0) : f32[2]
        %3 = tanh(%0) : f32[2]
        %4 = tanh(%1) : f32[2]
        %5 = add(%3, %4) : f32[2]
        %6 = add(%2, %4) : f32[2]
        %7, %8 = top_k(%5) {k = 1} : f32[1], i32[1]
        %9, %10 = top_k(%6) {k = 1} : f32[1], i32[1]
        return %5, %6, %7, %10
        "#,
        r#"
        %0 = parameter() {index = 0, type = "f32[2]"} : f32[2]
        %1 = parameter() {index = 1, type = "f32[2]"} : f32[2]
        %2 = tanh(%0) : f32[2]
        %3 = tanh(%1) : f32[2]
        %4 = add(%2, %3) : f32[2]
        %5, %6 = top_k(%4) {k = 1} : f32[1], i32[1]
        return %4, %4, %5, %6
        "#,
    );
}

#[test]
fn legalize_reduces_separate_axes_one_after_another() {
    check(
        "legalize",
        r#"
        %0 = parameter() {index = 0, type = "f32[2,3,4,1,5]"} : f32[2,3,4,1,5]
        %1 = reduce_sum(%0) {axes = [0, 2, 4]} : f32[3,1]
        %2 = reduce_max(%0) {axes = [1, 2]} : f32[2,1,5]
        return %1, %2
        "#,
        r#"
        %0 = parameter() {index = 0, type = "f32[2,3,4,1,5]"} : f32[2,3,4,1,5]
        %1 = reduce_sum(%0) {axes = [2, 4]} : f32[2,3,1]
        %2 = reduce_sum(%1) {axes = [0]} : f32[3,1]
        %3 = reduce_max(%0) {axes = [1, 2]} : f32[2,1,5]
        return %2, %3
        "#,
    );
}

#[test]
fn legalize_transposes_operands_that_no_stride_walks() {
    check(
        "legalize",
        r#"
        %0 = parameter() {index = 0, type = "f32[2,3,4]"} : f32[2,3,4]
        %1 = parameter() {index = 1, type = "f32[3,5]"} : f32[3,5]
        %2 = dot_general(%0, %1) {lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [0]} : f32[2,4,5]
        return %2
        "#,
        r#"
        %0 = parameter() {index = 0, type = "f32[2,3,4]"} : f32[2,3,4]
        %1 = parameter() {index = 1, type = "f32[3,5]"} : f32[3,5]
        %2 = transpose(%0) {permutation = [0, 2, 1]} : f32[2,4,3]
        %3 = transpose(%1) {permutation = [1, 0]} : f32[5,3]
        %4 = dot_general(%2, %3) {lhs_batch = [], rhs_batch = [], lhs_contract = [2], rhs_contract = [1]} : f32[2,4,5]
        return %4
        "#,
    );
}

#[test]
fn legalize_joins_many_parts_in_groups() {
    let operands: String = (0..50).map(|_| "%0").collect::<Vec<_>>().join(", ");
    let group: String = (0..48).map(|_| "%0").collect::<Vec<_>>().join(", ");
    let x = r#"%0 = parameter() {index = 0, type = "f32[1]"} : f32[1]"#;
    check(
        "legalize",
        &format!("{x}\n%1 = concatenate({operands}) {{axis = 0}} : f32[50]\nreturn %1"),
        &format!(
            "{x}\n%1 = concatenate({group}) {{axis = 0}} : f32[48]\n%2 = concatenate(%0, %0) {{axis = 0}} : f32[2]\n\
             %3 = concatenate(%1, %2) {{axis = 0}} : f32[50]\nreturn %3"
        ),
    );
}

#[test]
fn absorb_gives_zeros_around_an_input_to_the_convolution() {
    let convolution = |x: &str, padding: &str| {
        format!(
            r#"convolution({x}, %1) {{lhs = [0, 2, 1], rhs = [2, 1, 0], out = [0, 2, 1], dims = [1, {padding}, 1, 1, 0], feature_groups = 1, batch_groups = 1}} : f32[2,7,4]"#
        )
    };
    let head = r#"
        %0 = parameter() {index = 0, type = "f32[2,5,3]"} : f32[2,5,3]
        %1 = parameter() {index = 1, type = "f32[2,3,4]"} : f32[2,3,4]
        %2 = constant() {value = f32[] {0.0}} : f32[]
        %3 = pad(%0, %2) {low = [0, 1, 0], high = [0, 2, 0], interior = [0, 0, 0]} : f32[2,8,3]
        "#;
    check(
        "absorb",
        &format!("{head}%4 = {}\nreturn %4", convolution("%3", "0, 0")),
        &format!("{head}%4 = {}\nreturn %4", convolution("%0", "1, 2")),
    );
}

#[test]
fn absorb_gives_zeros_around_an_input_to_windows_that_do_not_see_the_difference() {
    let window = |x: &str, kind: &str, padding: &str| {
        format!(
            r#"reduce_window({x}) {{dims = [1, 1, 1, 1, 0, 0, 3, 2, 1, 1, {padding}], kind = "{kind}"}} : f32[2,3]"#
        )
    };
    let head = r#"
        %0 = parameter() {index = 0, type = "f32[2,5]"} : f32[2,5]
        %1 = constant() {value = f32[] {0.0}} : f32[]
        %2 = broadcast_in_dim(%1) {shape = [2, 5], dims = []} : f32[2,5]
        %3 = compare(%0, %2) {direction = "LE"} : i1[2,5]
        %4 = select(%3, %2, %0) : f32[2,5]
        "#;
    let pad = |x: &str| format!("%5 = pad({x}, %1) {{low = [0, 1], high = [0, 1], interior = [0, 0]}} : f32[2,7]\n");
    for (x, kind, to) in
        [("%4", "reduce_max", "%4"), ("%0", "reduce_sum", "%0"), ("%0", "reduce_max", "%5"), ("%4", "reduce_min", "%5")]
    {
        let padding = if to == "%5" { "0, 0" } else { "1, 1" };
        check(
            "absorb",
            &format!("{head}{}%6 = {}\nreturn %6", pad(x), window("%5", kind, "0, 0")),
            &format!("{head}{}%6 = {}\nreturn %6", pad(x), window(to, kind, padding)),
        );
    }
}

#[test]
fn absorb_gives_factors_and_offsets_of_channels_to_fixed_weights() {
    check(
        "absorb",
        r#"
        %0 = parameter() {index = 0, type = "f32[5,3]"} : f32[5,3]
        %1 = constant() {value = f32[3,2] {1.0 2.0 3.0 4.0 5.0 6.0}} : f32[3,2]
        %2 = constant() {value = f32[2] {0.5 2.0}} : f32[2]
        %3 = dot_general(%0, %1) {lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [0]} : f32[5,2]
        %4 = broadcast_in_dim(%2) {shape = [5, 2], dims = [1]} : f32[5,2]
        %5 = add(%3, %4) : f32[5,2]
        %6 = multiply(%5, %4) : f32[5,2]
        return %6
        "#,
        r#"
        %0 = parameter() {index = 0, type = "f32[5,3]"} : f32[5,3]
        %1 = constant() {value = f32[3,2] {1.0 2.0 3.0 4.0 5.0 6.0}} : f32[3,2]
        %2 = constant() {value = f32[2] {0.5 2.0}} : f32[2]
        %3 = dot_general(%0, %1) {lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [0]} : f32[5,2]
        %4 = broadcast_in_dim(%2) {shape = [5, 2], dims = [1]} : f32[5,2]
        %5 = broadcast_in_dim(%2) {shape = [5, 2], dims = [1]} : f32[5,2]
        %6 = add(%3, %5) : f32[5,2]
        %7 = broadcast_in_dim(%2) {shape = [3, 2], dims = [1]} : f32[3,2]
        %8 = multiply(%1, %7) : f32[3,2]
        %9 = multiply(%2, %2) : f32[2]
        %10 = dot_general(%0, %8) {lhs_batch = [], rhs_batch = [], lhs_contract = [1], rhs_contract = [0]} : f32[5,2]
        %11 = broadcast_in_dim(%9) {shape = [5, 2], dims = [1]} : f32[5,2]
        %12 = add(%10, %11) : f32[5,2]
        return %12
        "#,
    );
}

#[test]
fn scans_lose_what_nobody_reads_and_make_their_own_constants() {
    check(
        "trim scans",
        r#"
        %0 = parameter() {index = 0, type = "f32[3]"} : f32[3]
        %1 = parameter() {index = 1, type = "f32[4,3]"} : f32[4,3]
        %2 = constant() {value = f32[] {0.5}} : f32[]
        %3 = broadcast_in_dim(%2) {shape = [4, 3], dims = []} : f32[4,3]
        %4, %5, %6 = scan(%0, %0, %1, %1, %3) {constants = 1, carries = 1, length = 4, reverse = "false", body = <
        %0 = parameter() {index = 0, type = "f32[3]"} : f32[3]
        %1 = parameter() {index = 1, type = "f32[3]"} : f32[3]
        %2 = parameter() {index = 2, type = "f32[3]"} : f32[3]
        %3 = parameter() {index = 3, type = "f32[3]"} : f32[3]
        %4 = parameter() {index = 4, type = "f32[3]"} : f32[3]
        %5 = add(%1, %4) : f32[3]
        %6 = multiply(%3, %0) : f32[3]
        %7 = multiply(%5, %2) : f32[3]
        return %5, %6, %7
        >} : f32[3], f32[4,3], f32[4,3]
        return %4, %6
        "#,
        r#"
        %0 = parameter() {index = 0, type = "f32[3]"} : f32[3]
        %1 = parameter() {index = 1, type = "f32[4,3]"} : f32[4,3]
        %2 = constant() {value = f32[] {0.5}} : f32[]
        %3 = broadcast_in_dim(%2) {shape = [4, 3], dims = []} : f32[4,3]
        %4, %5 = scan(%0, %1) {constants = 0, carries = 1, length = 4, reverse = "false", body = <
        %0 = parameter() {index = 0, type = "f32[3]"} : f32[3]
        %1 = parameter() {index = 1, type = "f32[3]"} : f32[3]
        %2 = constant() {value = f32[] {0.5}} : f32[]
        %3 = broadcast_in_dim(%2) {shape = [3], dims = []} : f32[3]
        %4 = add(%0, %3) : f32[3]
        %5 = multiply(%4, %1) : f32[3]
        return %4, %5
        >} : f32[3], f32[4,3]
        return %4, %5
        "#,
    );
}

#[test]
fn simplify_masks_a_gradient_before_it_is_scattered_to_the_largest() {
    check(
        "simplify",
        r#"
        %0 = parameter() {index = 0, type = "f32[4]"} : f32[4]
        %1 = parameter() {index = 1, type = "f32[2]"} : f32[2]
        %2 = constant() {value = f32[] {0.0}} : f32[]
        %3 = broadcast_in_dim(%2) {shape = [4], dims = []} : f32[4]
        %4 = compare(%0, %3) {direction = "LE"} : i1[4]
        %5 = select(%4, %3, %0) : f32[4]
        %6, %7 = arg_window(%5) {dims = [2, 2, 1, 1, 0, 0], largest = "true"} : f32[2], ui8[2]
        %8 = scatter_window(%7, %1) {dims = [2, 2, 1, 1, 0, 0], shape = [4]} : f32[4]
        %9 = select(%4, %3, %8) : f32[4]
        return %6, %9
        "#,
        r#"
        %0 = parameter() {index = 0, type = "f32[4]"} : f32[4]
        %1 = parameter() {index = 1, type = "f32[2]"} : f32[2]
        %2 = constant() {value = f32[] {0.0}} : f32[]
        %3 = broadcast_in_dim(%2) {shape = [4], dims = []} : f32[4]
        %4 = compare(%0, %3) {direction = "LE"} : i1[4]
        %5 = select(%4, %3, %0) : f32[4]
        %6, %7 = arg_window(%5) {dims = [2, 2, 1, 1, 0, 0], largest = "true"} : f32[2], ui8[2]
        %8 = scatter_window(%7, %1) {dims = [2, 2, 1, 1, 0, 0], shape = [4]} : f32[4]
        %9 = broadcast_in_dim(%2) {shape = [2], dims = []} : f32[2]
        %10 = compare(%6, %9) {direction = "LE"} : i1[2]
        %11 = select(%10, %9, %1) : f32[2]
        %12 = scatter_window(%7, %11) {dims = [2, 2, 1, 1, 0, 0], shape = [4]} : f32[4]
        return %6, %12
        "#,
    );
}

#[test]
fn simplify_sums_what_is_scattered_to_windows_before_it_is() {
    let text = |size: usize, low: usize, axes: &str, shape: &str, sum: &str| {
        format!(
            r#"
        %0 = parameter() {{index = 0, type = "f32[4,3]"}} : f32[4,3]
        %1 = parameter() {{index = 1, type = "f32[2,3]"}} : f32[2,3]
        %2, %3 = arg_window(%0) {{dims = [{size}, 2, 1, 1, {low}, {low}, 1, 1, 1, 1, 0, 0], largest = "true"}} : f32[2,3], ui8[2,3]
        %4 = scatter_window(%3, %1) {{dims = [{size}, 2, 1, 1, {low}, {low}, 1, 1, 1, 1, 0, 0], shape = [4, 3]}} : f32[4,3]
        %5 = reduce_sum({sum}) {{axes = [{axes}]}} : f32{shape}
        return %2, %5
        "#
        )
    };
    for (axes, shape) in [("0", "[3]"), ("0, 1", "[]")] {
        check("simplify", &text(2, 0, axes, shape, "%4"), &text(2, 0, axes, shape, "%1"));
    }
    // Along the other axis the windows are not whole.
    check("simplify", &text(2, 0, "1", "[4]", "%4"), &text(2, 0, "1", "[4]", "%4"));
}

#[test]
fn absorb_searches_a_window_once() {
    check(
        "absorb",
        r#"
        %0 = parameter() {index = 0, type = "f32[4]"} : f32[4]
        %1 = reduce_window(%0) {dims = [2, 2, 1, 1, 0, 0], kind = "reduce_max"} : f32[2]
        %2 = reduce_window(%0) {dims = [2, 2, 1, 1, 0, 0], kind = "reduce_min"} : f32[2]
        %3, %4 = arg_window(%0) {dims = [2, 2, 1, 1, 0, 0], largest = "true"} : f32[2], ui8[2]
        return %1, %2, %4
        "#,
        r#"
        %0 = parameter() {index = 0, type = "f32[4]"} : f32[4]
        %1, %2 = arg_window(%0) {dims = [2, 2, 1, 1, 0, 0], largest = "true"} : f32[2], ui8[2]
        %3 = reduce_window(%0) {dims = [2, 2, 1, 1, 0, 0], kind = "reduce_min"} : f32[2]
        %4, %5 = arg_window(%0) {dims = [2, 2, 1, 1, 0, 0], largest = "true"} : f32[2], ui8[2]
        return %1, %3, %5
        "#,
    );
}

#[test]
fn rows_added_to_zeros_are_summed_by_number() {
    let dims = r#"{update_window_dims = [2], inserted_window_dims = [0], input_batching_dims = [], scatter_indices_batching_dims = [],
        scatter_dims_to_operand_dims = [0], index_vector_dim = 2, combine = "add"}"#;
    let dims = dims.split_whitespace().collect::<Vec<_>>().join(" ");
    check(
        "simplify",
        &format!(
            r#"
        %0 = parameter() {{index = 0, type = "i32[2,3]"}} : i32[2,3]
        %1 = parameter() {{index = 1, type = "f32[2,3,4]"}} : f32[2,3,4]
        %2 = constant() {{value = f32[] {{0.0}}}} : f32[]
        %3 = broadcast_in_dim(%2) {{shape = [5, 4], dims = []}} : f32[5,4]
        %4 = scatter(%3, %0, %1) {dims} : f32[5,4]
        return %4
        "#
        ),
        r#"
        %0 = parameter() {index = 0, type = "i32[2,3]"} : i32[2,3]
        %1 = parameter() {index = 1, type = "f32[2,3,4]"} : f32[2,3,4]
        %2 = constant() {value = f32[] {0.0}} : f32[]
        %3 = broadcast_in_dim(%2) {shape = [5, 4], dims = []} : f32[5,4]
        %4 = segment_sum(%1, %0) {segments = 5} : f32[5,4]
        return %4
        "#,
    );
}
