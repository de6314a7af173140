//! Local algebra.

use super::check;
use kerast_graph::{DType, Trace, Type, passes};

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

#[test]
fn sums_of_a_cross_entropys_gradient_are_there_already() {
    let text = |sum: &str, rest: &str| {
        format!(
            r#"
        %0 = parameter() {{index = 0, type = "f32[6,5]"}} : f32[6,5]
        %1 = parameter() {{index = 1, type = "i32[6]"}} : i32[6]
        %2 = parameter() {{index = 2, type = "f32[6]"}} : f32[6]
        %3, %4, %5 = cross_entropy_grad(%0, %1, %2) : f32[6], f32[6,5], f32[5]
        %6 = reshape(%4) {{shape = [2, 3, 5]}} : f32[2,3,5]
        {rest}
        return %6, {sum}
        "#
        )
    };
    let sum = |axes: &str, shape: &str| format!("%7 = reduce_sum(%6) {{axes = [{axes}]}} : f32[{shape}]");
    check("simplify", &text("%7", &sum("0, 1", "5")), &text("%5", ""));
    let rows = text("%7", &sum("2", "2,3"));
    check("simplify", &rows, &rows);
}

#[test]
fn products_read_what_was_transposed_where_it_lies() {
    let text = |turned: &str, product: &str| {
        format!(
            r#"
        %0 = parameter() {{index = 0, type = "f32[2,6,3,4]"}} : f32[2,6,3,4]
        %1 = parameter() {{index = 1, type = "f32[2,3,5,4]"}} : f32[2,3,5,4]
        {turned}
        {product}
        return %3
        "#
        )
    };
    let turned = "%2 = transpose(%0) {permutation = [0, 2, 1, 3]} : f32[2,3,6,4]";
    check(
        "simplify",
        &text(
            turned,
            "%3 = dot_general(%2, %1) {lhs_batch = [0, 1], rhs_batch = [0, 1], lhs_contract = [3], rhs_contract = [3]} : f32[2,3,6,5]",
        ),
        &text(
            turned,
            "%3 = dot_general(%0, %1) {lhs_batch = [0, 2], rhs_batch = [0, 1], lhs_contract = [3], rhs_contract = [3]} : f32[2,3,6,5]",
        ),
    );
    // What is neither batch nor contracted would come in another order.
    let other = text(
        turned,
        "%3 = dot_general(%2, %1) {lhs_batch = [0], rhs_batch = [0], lhs_contract = [3], rhs_contract = [3]} : f32[2,3,6,3,5]",
    );
    check("simplify", &other, &other);
}
