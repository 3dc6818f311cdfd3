"""The functions that are not measured: those that need no formula, by rules, and the others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from .smooth import Found, NativeSmooth, plain_name, public

__all__ = ["excluded", "with_unmeasured"]

#: Reason -> patterns of a function's name, of how a user writes it, or of where it is defined.
EXCLUDED = {
    "random": """
        *dropout* torch.bernoulli binomial fractional_max_pool* gumbel_softmax multinomial normal
        rand* rng_* torch.poisson""",
    "integers, truth values, shapes or objects": """
        all any allclose *Dimension* Optional PrecisionLike arg* array_equal array_equiv array_repr
        array_str assert_int_or_pair axis_index axis_size bincount bitwise_* boolean_dispatch
        broadcast_shapes bucketize can_cast clz combine_masks conv_dimension_numbers
        conv_general_permutations count_nonzero deserialize digitize dtype einsum_path eq equal
        flatnonzero gammasgn gcd ge
        get get_device get_scaled_dot_general_config greater* gt handle_torch_function
        has_torch_function* hash_tensor histc histogram* invert is* iterable lcm le left_shift less*
        lexsort logical_* lt nanarg* ndim ne nonzero* not_equal numel packbits padtype_to_pads
        population_count promote_types result_type right_shift searchsorted serialize shape
        shape_as_value *_shape_tuple shift_* signbit size unpackbits""",
    "new arrays": """
        affine_grid* arange array as_tensor asarray bartlett* special.bernoulli blackman*
        combinations cartesian_prod complex diag_indices* empty* eye from* full*
        geomspace hamming* hanning hann_window jnp.identity indices *iota kaiser* linspace logspace
        mask_indices meshgrid one_hot ones* range ravel_multi_index scalar_tensor sparse_*_tensor
        tensor tri tril_indices* triu_indices* unravel_index vander zeros*""",
    "moves, copies or selects numbers": """
        adjoint append apply_* approx_m* array_split as_strided* astype atleast_*
        bitcast_convert_type block* broadcast* cat channel_shuffle choose chunk clone collapse
        column_stack compress concat* conj* convert_element_type copy copysign delete detach diag*
        dsplit dstack dynamic_* embedding expand_dims extract fill* flatten flip* fold gather hsplit
        hstack identity imag index_* insert intersect1d kthvalue masked_* matrix_transpose
        *max_pool* max_unpool* *median min_pool mode moveaxis movedim msort narrow
        optimization_barrier pad *partition constant_pad_nd permute* piecewise *percentile *quantile
        pixel_* place positive put* ravel real reduce_precision repeat* reshape resize resolve_*
        rev roll* rot90 row_stack scatter* select* setdiff1d setxor1d slice* sort* *split* squeeze
        stack stage stop_* swap* t take* tensor_split tile top_k topk transpose trim_zeros
        tril triu unbind unflatten unfold union1d unique* unsafe_chunk unsqueeze unstack upsample*
        view_as_* vsplit vstack where""",
    "sums, products, quotients and extrema": """
        add addbmm addcdiv addcmul addmm addmv addr amax amin aminmax average *avg_pool* baddbmm
        batch_matmul bilinear bmm chain_matmul clamp* clip conv conv_* conv[123]d convolution
        convolve correlate cross cummax cummin cumprod cumsum cumulative_* diff div divide divmod
        dot dot_general dsmm ediff1d einsum embedding_bag floor_divide fmax fmin fmod frexp ger
        gradient grid_sample* grouped_mm heaviside hsmm hspmm inner interp interpolate kron ldexp
        lerp linear matmul matvec max maximum mean min minimum mm mod modf mul mulhi multiply mv
        nancumprod nancumsum nanmax nanmean nanmin nanprod nansum nextafter nll_loss outer pmax
        pmean pmin polar poly poly[adims]* polyval pool prod psum* ptp ragged_dot* reduce* rem
        remainder rsub saddmm scaled_dot scaled_dot_general scaled_matmul *scaled_mm
        scaled_grouped_mm segment_reduce smm smooth_labels spacing spmm sspaddmm sub subtract sum
        tensordot trace trap* true_divide unwrap vdot vecdot vecmat""",
    "settings, and functions of functions": """
        after_all all_gather all_to_all are_* associative_scan *autocast* classproperty compile*
        composite cond create_token custom_* dce_sink fork fori_loop frompyfunc get_* import_ir_*
        init_* initial_seed load make_* manual_seed map merge_type_* parse_* pbroadcast pcast
        platform_dependent ppermute precv prepare_* printoptions profiler_* psend pshuffle pswapaxes
        ragged_all_to_all save* scan seed set_* switch sym_* thread_safe_generator to_dlpack
        typename unify_* use_* vectorize vmap wait while_loop with_sharding_constraint
        PureState typing.* flax.core.* flax.linen.initializers.* flax.linen.[mst]*
        flax.nnx.[!n]* equinox.nn._*""",
    "a kernel of another function": """
        *_copy cudnn_* miopen_* mkldnn_* native_* fbgemm_* *quantize* quantized_* fused_*
        batch_norm_* choose_qparams_* geqrf igamma_grad_a int_repr lu_unpack norm_except_dim
        or[gm]qr q_* random_gamma_grad""",
    "raises: removed from PyTorch": "eig lstsq matrix_rank solve symeig",
}  # fmt: skip
#: Namespaces of libraries, whose functions are others than the framework's of the same name.
LIBRARIES = ("eqx.nn", "keras.activations", "keras.losses", "linen", "nnx", "optax")
#: The reason of a function beside another one of its framework with the same name.
SAME = "another function of this name"


def excluded(*names: str) -> str | None:
    """The reason why a function needs no formula; None for one that needs a formula.

    >>> excluded("reshape"), excluded("triplet_margin_loss")
    ('moves, copies or selects numbers', None)
    """
    for reason, patterns in EXCLUDED.items():
        if any(fnmatchcase(name, p) for p in patterns.split() for name in names):
            return reason
    return None


def with_unmeasured(
    spaces: Mapping[str, Any],
    functions: Iterable[NativeSmooth],
    vectors: Iterable[NativeSmooth] = (),
) -> Found:
    """The measured functions, and all others of the namespaces, as uncovered or excluded.

    Parameters
    ----------
    spaces : as a user writes it -> a module.
    functions, vectors : what is measured.
    """
    functions = tuple(functions)
    measured = {one.spelling.partition("(")[0] for one in (*functions, *vectors)}
    every = list(public(spaces))
    seen = {id(native) for spelling, _, native in every if spelling in measured}
    named = {_group(spelling) for spelling in measured}
    uncovered, left_out = list[str](), dict[str, str]()
    for spelling, name, native in every:
        if id(native) in seen:
            continue
        where = f"{getattr(native, '__module__', '')}.{name}"
        reason = excluded(name, spelling, where)
        if reason is None and _group(spelling) in named:
            reason = SAME
        if reason is None:
            uncovered.append(spelling)
            seen.add(id(native))
            named.add(_group(spelling))
        else:
            left_out[spelling] = reason
    return Found(functions, tuple(uncovered), left_out)


def _group(spelling: str) -> tuple[str, str]:
    """The library, empty for the framework's own, and the plain name."""
    space, _, name = spelling.rpartition(".")
    return space if space in LIBRARIES else "", plain_name(name)
