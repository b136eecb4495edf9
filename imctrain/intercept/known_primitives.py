"""Every primitive that JAX 0.10 registers, sorted by whether it multiplies matrices.

`tests/intercept/test_primitives.py` walks what JAX registers and fails for one that nobody sorted. A program that
meets such a one does not run on in floating point in silence: what is in none of these sets may multiply.
"""

from __future__ import annotations


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


ARRAY_OPERATIONS = frozenset({"dot_general", "conv_general_dilated"})
"""What a site computes."""

HIDDEN_MATMULS = _names("""
    dot_product_attention_bwd dot_product_attention_bwd_wrapper dot_product_attention_fp8_bwd
    dot_product_attention_fp8_bwd_wrapper dot_product_attention_fp8_fwd dot_product_attention_fp8_fwd_wrapper
    dot_product_attention_fwd dot_product_attention_fwd_wrapper ragged_dot_general rnn_bwd rnn_fwd scaled_dot
    scaled_matmul scaled_matmul_wrapper symmetric_product bcoo_dot_general bcoo_dot_general_sampled bcoo_spdot_general
    bcsr_dot_general coo_matmat coo_matvec coo_spmm coo_spmv csr_matmat csr_matvec csr_spmm csr_spmv matmul_acc_lhs
    matmul_pop matmul_push_rhs tcgen05_mma wgmma wgmma_ref
""")
"""Products of matrices that are no `dot_general`: fused, ragged, sparse, and those of kernel languages."""

LINEAR_ALGEBRA = _names("""
    cholesky cholesky_update custom_linear_solve eig eigh geqp3 geqrf hessenberg householder_product lu ormqr qr schur
    spsolve svd triangular_solve tridiagonal tridiagonal_solve
""")
"""Factorisations and solves: no MVM themselves, but their derivative rules multiply matrices out of sight."""

FOREIGN = _names("""
    buffer_callback io_callback pure_callback call_exported ffi_call mosaic_gpu_p tpu_custom_call
    elementwise_inline_asm_p inline_mgpu_p call_hi_primitive call_hi_primitive_linearized custom_lin noinline vprim
""")
"""Host callbacks, compiled kernels, assembly, exported programs, equinox's Python functions: cannot be seen into."""

NESTED = _names("""
    call closed_call composite cond custom_jvp_call custom_jvp_call_jaxpr custom_partitioning custom_vjp_call
    custom_vmap_call jit remat2 scan while compute_on core_map cudnn_fusion custom_fusion emit_pipeline eval_jaxpr
    fused_call fusible jaxpr_call linear_call mpmd_map pallas_call parallel_loop pipeline_body remat_opt run_scoped
    run_state shard_map xla_metadata_call
""")
"""What computes the jaxprs among its parameters and nothing else: these are looked into."""

ELEMENTWISE = _names("""
    abs acos acosh add add_any and asin asinh atan atan2 atanh bessel_i0e bessel_i1e bitcast_convert_type cbrt ceil
    clamp clz complex conj convert_element_type copy cos cosh digamma div eq eq_to erf erf_inv erfc exp exp2 expm1 floor
    ge gt igamma igamma_grad_a igammac imag integer_pow is_finite le le_to lgamma log log1p logistic lt lt_to max min
    mul mulhi ne neg nextafter not or polygamma population_count pow real reduce_precision regularized_incomplete_beta
    rem round rsqrt select_n shift_left shift_right_arithmetic shift_right_logical sign sin sinh sqrt square
    stop_gradient sub tan tanh xor zeros_like zeta _copysign reciprocal stochastic_round
""")

REDUCTIONS_AND_SORTS = _names("""
    approx_top_k argmax argmin cumlogsumexp cummax cummin cumprod cumsum fft reduce reduce_and reduce_max reduce_min
    reduce_or reduce_prod reduce_sum reduce_window reduce_window_max reduce_window_min reduce_window_sum reduce_xor
    select_and_gather_add select_and_scatter select_and_scatter_add sort top_k all_reduce_ffs
    all_reduce_population_count masked_cummax masked_cummin masked_cumsum masked_sort unique
""")
"""An FFT is one of them by decision: a fast transform is no product with a matrix, and stays digital."""

MOVES = _names("""
    broadcast_in_dim broadcast_to concatenate dynamic_slice dynamic_update_slice empty empty2 from_edtype gather iota
    pad reshape rev roll scatter scatter-add scatter-max scatter-min scatter-mul scatter-sub slice split squeeze stack
    tile to_edtype transpose unstack bcoo_extract bcoo_fromdense bcoo_sort_indices bcoo_sum_duplicates bcoo_todense
    bcoo_transpose bcsr_extract bcsr_fromdense bcsr_todense coo_fromdense coo_todense csr_fromdense csr_todense todense
    lu_pivots_to_permutation bitcast einshape_lo pack pack_dtype pack_elementwise unpack unpack_dtype unpack_elementwise
""")
"""Elements picked, placed, added up where they meet, or laid out in another way."""

RANDOM = _names("""
    iota_2x32_shape philox2x32 philox4x32 random_bits random_clone random_fold_in random_gamma random_seed random_split
    random_unwrap random_wrap rng_bit_generator rng_uniform threefry2x32 threefry4x32 prng_join prng_random_bits
    prng_seed prng_split
""")

BETWEEN_DEVICES = _names("""
    all_gather all_gather_done all_gather_invariant all_gather_reduced all_gather_reduced_start all_gather_start
    all_to_all all_to_all_done all_to_all_start axis_index pbroadcast pbroadcast_done pbroadcast_start pmax pmin
    ppermute ppermute_done ppermute_start precv preduced psend psum psum_done psum_invariant psum_invariant_start
    psum_start pvary ragged_all_to_all reduce_scatter reduce_scatter_done reduce_scatter_start reduced_vary_cast_p
    unreduced_psum unreduced_psum_start unreduced_reduce_scatter unreduced_reduce_scatter_start vary_unreduced_cast_p
    device_put global_array_to_host_local_array host_local_array_to_global_array inspect_sharding layout_constraint
    platform_index reshard shard_alike sharding_constraint with_memory_space_constraint
""")

BOOKKEEPING = _names("""
    after_all assert_consumed_value check consume create_token dce_sink debug_callback debug_print dim_as_value
    dimension_size name optimization_barrier shape_assertion tie unreachable xla_metadata_value log_extend log_read
    new_log
""")
"""Names, checks, order, printing: a callback that returns nothing is no part of the result."""

REFERENCES = _names("""
    accum_grad_in_ref addupdate box_get box_set create_linear empty_ref free_ref freeze get new_box new_ref pin stage
    swap unpin
""")
"""Mutable arrays."""

INSIDE_KERNELS = _names("""
    add_dependency async_copy_scales_to_tmem async_copy_smem_to_tmem async_copy_sparse_metadata_to_tmem async_load
    async_prefetch async_store_smem async_store_tmem atomic_cas atomic_rmw barrier barrier_arrive barrier_test
    barrier_wait commit_group commit_smem commit_tmem copy_gmem_to_smem copy_smem_to_gmem debug_barrier_p delay
    dma_start dma_wait get_barrier_semaphore get_global griddepcontrol_launch_dependents griddepcontrol_wait layout_cast
    load masked_load masked_swap max_contiguous mgpu_atomic_store multimem_load_reduce multimem_store multiple_of
    num_programs print_layout program_id query_cluster_cancel remove_memory_space sc_fetch_and_add semaphore_read
    semaphore_signal semaphore_signal_multicast semaphore_signal_parallel semaphore_wait set_max_registers_p
    tcgen05_commit_arrive trace_value try_cluster_cancel wait_load_tmem wait_smem_to_gmem wgmma_accumulator_deref_p
    wgmma_accumulator_store_p wgmma_wait
""")
"""Memory, waiting and addresses in kernel languages."""

OTHER_LIBRARIES = _names("""
    announce_jaxpr maybe_set nonbatchable nondifferentiable_backward nontraceable select_if_vmap unvmap_all unvmap_any
    unvmap_max get_variable new_variable set_variable imc_operands imc_recorded_tangent
""")
"""Of equinox (identities, reductions to one flag), flax (its mutable variables) and this package (identities)."""

MULTIPLY_NOTHING = (
    ELEMENTWISE
    | REDUCTIONS_AND_SORTS
    | MOVES
    | RANDOM
    | BETWEEN_DEVICES
    | BOOKKEEPING
    | REFERENCES
    | INSIDE_KERNELS
    | OTHER_LIBRARIES
)
"""Known to multiply no matrices."""
