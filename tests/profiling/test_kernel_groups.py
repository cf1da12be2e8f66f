"""Kernels of a GPU by group: names as a profiler gave them, times by hand."""

import pytest

from volbench.profiling.conv_trace import Convolution
from volbench.profiling.fold_timings import Timings, add
from volbench.profiling.kernel_groups import (
    CONVOLUTION,
    COPY,
    ELEMENTWISE,
    GAP,
    NORMALISATION,
    OPTIMISER,
    PRODUCT,
    Kernel,
    add_up,
    group_of,
    least_by_group,
    shown,
)
from volbench.profiling.roofline import Peak

# As PyTorch 2.11's profiler named them on an H200.
NAMES = {
    "sm80_xmma_wgrad_implicit_gemm_indexed_bf16bf16_bf16f32_f32_nhwckrsc_nhwc": CONVOLUTION,
    "_ZN17cutlass__5x_cudnn6KernelINS_4conv6kernel23ImplicitGemmConvolution": CONVOLUTION,
    "void convolve_common_engine_float_NHWC<__nv_bfloat16, __nv_bfloat16, 128>": CONVOLUTION,
    "_gradient_sums": NORMALISATION,
    "_normalise": NORMALISATION,
    "_finish_moments": NORMALISATION,
    "void at::native::batch_norm_collect_statistics_channels_last_kernel": NORMALISATION,
    "nvjet_tst_64x32_64x16_1x2_h_bz_TNT": PRODUCT,
    "void at::native::(anonymous namespace)::multi_tensor_apply_kernel<FusedAdam>": OPTIMISER,
    "Memset (Device)": COPY,
    "void at::native::bfloat16_copy_kernel_cuda(at::TensorIteratorBase&)": COPY,
    "void at::native::vectorized_elementwise_kernel<8, at::native::CUDAFunctor_add>": ELEMENTWISE,
}


@pytest.mark.parametrize(("name", "group"), NAMES.items())
def test_a_kernel_has_the_group_of_its_name(name, group):
    assert group_of(name) == group


def test_groups_add_up_and_what_is_left_are_gaps():
    kernels = [
        Kernel("_normalise", 10.0, 2.0),
        Kernel("xmma_fprop", 13.0, 4.0),
        Kernel("xmma_dgrad", 16.5, 2.0),  # on another stream, while the last one runs
        Kernel("_moments", 20.0, 1.0),
    ]
    groups = add_up(reversed(kernels), steps=2)
    assert groups == {CONVOLUTION: 3.0, NORMALISATION: 1.5, GAP: pytest.approx((1.0 + 1.5) / 2)}
    assert list(groups) == [CONVOLUTION, NORMALISATION, GAP]


def test_the_floor_is_that_of_arithmetic_or_bytes():
    layer = Convolution((2, 4, 8, 8), (16, 4, 1, 1), (1, 1), (0, 0), (1, 1), 1, first=False)
    peak = Peak(flop_per_s=1e6, bytes_per_s=1e3, number_bytes=2)
    least = least_by_group([layer, layer], peak)
    assert least[CONVOLUTION] == pytest.approx(2 * 3 * (512 + 64 + 2048) * 2 / 1e3)
    assert least[NORMALISATION] == pytest.approx(10 * 2 * 2048 * 2 / 1e3)


def test_the_five_costliest_are_shown_beside_their_floor():
    groups = {CONVOLUTION: 0.012, NORMALISATION: 0.005, COPY: 0.001, GAP: 0.002, PRODUCT: 1e-4}
    rows = shown({**groups, ELEMENTWISE: 1e-5}, {CONVOLUTION: 0.004})
    assert rows[0] == (CONVOLUTION, "12.00", "3.0 x")
    assert rows[1] == (NORMALISATION, "5.00", "")
    assert [row[0] for row in rows] == [CONVOLUTION, NORMALISATION, GAP, COPY, PRODUCT]


def test_a_profile_written_before_there_were_groups_adds_up():
    values = {"volumes": 1, "peak_memory_mb": 1.0, "least_seconds": 1.0}
    values |= {"gflop": 1.0, "tflop_per_s": 1.0, "gb_per_s": 1.0}
    old = Timings(seconds={"forward": 1.0}, **values)
    new = Timings(seconds={"forward": 1.0}, **values, groups={GAP: 3.0})
    assert add([old, new]).groups == {GAP: 3.0}
