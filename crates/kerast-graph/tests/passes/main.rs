//! Each pass on small graphs: text in, text out.

mod simplify;

use kerast_graph::ir::text;
use kerast_graph::ir::verify::verify;
use kerast_graph::passes::run_one;

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
        %3 = dot_general(%2, %1) {lhs_batch = [], rhs_batch = [], lhs_contract = [2], rhs_contract = [0]} : f32[2,4,5]
        return %3
        "#,
    );
    // Three strides for the batches of the first operand, so many as the second may have.
    check(
        "legalize",
        r#"
        %0 = parameter() {index = 0, type = "f32[2,7,3,6,4]"} : f32[2,7,3,6,4]
        %1 = parameter() {index = 1, type = "f32[2,3,4,5,6]"} : f32[2,3,4,5,6]
        %2 = dot_general(%0, %1) {lhs_batch = [0, 2, 4], rhs_batch = [0, 1, 2], lhs_contract = [3], rhs_contract = [4]} : f32[2,3,4,7,5]
        return %2
        "#,
        r#"
        %0 = parameter() {index = 0, type = "f32[2,7,3,6,4]"} : f32[2,7,3,6,4]
        %1 = parameter() {index = 1, type = "f32[2,3,4,5,6]"} : f32[2,3,4,5,6]
        %2 = transpose(%0) {permutation = [0, 2, 4, 1, 3]} : f32[2,3,4,7,6]
        %3 = dot_general(%2, %1) {lhs_batch = [0, 1, 2], rhs_batch = [0, 1, 2], lhs_contract = [4], rhs_contract = [4]} : f32[2,3,4,7,5]
        return %3
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

/// A cross-entropy, something made of its losses, and its gradient with the weights that `weights` makes.
fn losses_and_grad(weights: &str) -> String {
    format!(
        r#"
        %0 = parameter() {{index = 0, type = "f32[2,5]"}} : f32[2,5]
        %1 = parameter() {{index = 1, type = "i32[2]"}} : i32[2]
        %2, %3, %4 = cross_entropy(%0, %1) : f32[2], f32[2], f32[2]
        %5 = negate(%2) : f32[2]
        %6 = constant() {{value = f32[] {{0.5}}}} : f32[]
        {weights}
        %8, %9, %10 = cross_entropy_grad(%0, %1, %7) : f32[2], f32[2,5], f32[5]
        return %5, %9
        "#
    )
}

#[test]
fn losses_come_with_their_gradient() {
    check(
        "join losses",
        &losses_and_grad("%7 = broadcast_in_dim(%6) {shape = [2], dims = []} : f32[2]"),
        r#"
        %0 = parameter() {index = 0, type = "f32[2,5]"} : f32[2,5]
        %1 = parameter() {index = 1, type = "i32[2]"} : i32[2]
        %2 = constant() {value = f32[] {0.5}} : f32[]
        %3 = broadcast_in_dim(%2) {shape = [2], dims = []} : f32[2]
        %4, %5, %6 = cross_entropy_grad(%0, %1, %3) : f32[2], f32[2,5], f32[5]
        %7 = negate(%4) : f32[2]
        return %7, %5
        "#,
    );
}

#[test]
fn losses_that_their_gradient_needs_or_that_give_more_stay() {
    for weights in ["%7 = multiply(%2, %2) : f32[2]", "%7 = multiply(%3, %3) : f32[2]"] {
        check("join losses", &losses_and_grad(weights), &losses_and_grad(weights));
    }
}
