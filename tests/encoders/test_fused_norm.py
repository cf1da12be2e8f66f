"""BatchNorm + residual + ReLU by the kernels, interpreted on a CPU, against PyTorch in float64."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from volbench.encoders import fused_norm
from volbench.encoders.fused_norm import by_kernel, masked_norm, norm_relu

triton = pytest.importorskip("triton")


@pytest.fixture(autouse=True)
def _numbers_of_arrays(monkeypatch):
    """Have the interpreter count loops: it takes int() of arrays of one, as NumPy 2.4 does not."""
    from triton.runtime import interpreter

    patch = interpreter._patch_lang_tensor

    def patched(tensor, scope):
        patch(tensor, scope)
        scope.set_attr(tensor, "__index__", lambda self: self.handle.data.item())

    monkeypatch.setattr(interpreter, "_patch_lang_tensor", patched)


DEVICES = ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)]
SHAPES = [(3, 5, 4, 3), (1, 3, 2, 5), (7, 72, 3, 5), (40, 2, 16, 16)]


def draw(shape, *, dtype=torch.float32, device="cpu", seed=0, shift=0.0):
    generator = torch.Generator().manual_seed(seed)
    maps = torch.randn(shape, generator=generator).add(shift).to(device, dtype)
    return maps.contiguous(memory_format=torch.channels_last)


def make_norm(channels, device="cpu", **options):
    torch.manual_seed(1)
    norm = nn.BatchNorm2d(channels, **options)
    nn.init.uniform_(norm.weight, -1.5, 1.5)
    nn.init.normal_(norm.bias)
    return norm.to(device)


def expected(norm, maps, real, residual, relu):
    """The same of the real rows only, in double precision, by PyTorch's own BatchNorm."""
    result = torch.zeros_like(maps)
    found = norm(maps[real])
    if residual is not None:
        found = found + residual[real]
    result[real] = F.relu(found) if relu else found
    return result


def compare(shape, real, *, with_residual, relu, device, dtype=torch.float32, shift=0.0, **options):
    maps = draw(shape, dtype=dtype, device=device, shift=shift)
    # Whatever a convolution left where there is no slice must not matter.
    maps[~real] = 1e4
    residual = draw(shape, dtype=dtype, device=device, seed=2) if with_residual else None
    gradient = draw(shape, dtype=dtype, device=device, seed=3)
    norm = make_norm(shape[1], device, **options)
    exact = copy.deepcopy(norm).double()
    found, wanted = [], []
    for kind, module, results in ((dtype, norm, found), (torch.float64, exact, wanted)):
        inputs = [t.detach().to(kind).requires_grad_() for t in (maps, residual) if t is not None]
        second = inputs[1] if with_residual else None
        if kind == torch.float64:
            output = expected(module, inputs[0], real, second, relu)
        else:
            output = by_kernel(module, inputs[0], real, residual=second, relu=relu)
        output.backward(gradient.to(kind))
        gradients = [t.grad for t in (*inputs, module.weight, module.bias)]
        results += [output, *gradients, *module.buffers()]
    coarse = dtype != torch.float32
    for own, right in zip(found, wanted, strict=True):
        own, right = own.detach(), right.detach()
        error = float((own.double() - right).abs().max() / right.abs().max().clamp(min=1e-12))
        assert error < (0.03 if coarse else 1e-4 if shift else 2e-5)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("with_residual", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_kernels_agree_with_double_precision(shape, with_residual, relu, device):
    real = torch.ones(shape[0], dtype=torch.bool, device=device)
    compare(shape, real, with_residual=with_residual, relu=relu, device=device)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("with_residual", [True, False])
def test_rows_without_a_slice_count_for_nothing_and_come_out_as_zeros(with_residual, device):
    real = torch.tensor([True, True, False, True, False, False, True], device=device)
    compare((7, 6, 5, 3), real, with_residual=with_residual, relu=True, device=device)
    maps = draw((7, 6, 5, 3), device=device)
    output = by_kernel(make_norm(6, device), maps, real)
    assert not output[~real].any()
    assert output[real].any(dim=1).any(dim=1).any(dim=1).all()


def test_a_large_mean_does_not_spoil_the_variance():
    real = torch.ones(6, dtype=torch.bool)
    compare((6, 3, 9, 7), real, with_residual=False, relu=False, device="cpu", shift=300.0)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_rounded_once(dtype, device):
    real = torch.tensor([True] * 4 + [False] * 2, device=device)
    compare((6, 8, 5, 4), real, with_residual=True, relu=True, device=device, dtype=dtype)


def test_the_mean_of_all_batches_is_kept_where_there_is_no_momentum():
    options = {"momentum": None}
    real = torch.ones(3, dtype=torch.bool)
    compare((3, 5, 4, 3), real, with_residual=False, relu=True, device="cpu", **options)
    norm, exact = make_norm(4, **options), make_norm(4, **options)
    for seed in range(3):
        maps = draw((5, 4, 3, 3), seed=seed)
        by_kernel(norm, maps)
        exact(maps)
    for own, right in zip(norm.buffers(), exact.buffers(), strict=True):
        torch.testing.assert_close(own, right)


def test_without_running_statistics_evaluation_uses_the_batchs():
    norm = make_norm(4, track_running_stats=False).eval()
    maps = draw((5, 4, 3, 3))
    torch.testing.assert_close(by_kernel(norm, maps, relu=False), norm(maps))


def test_evaluation_uses_the_running_statistics_and_leaves_them():
    norm = make_norm(4)
    norm(draw((5, 4, 3, 3), seed=5))
    norm.eval()
    before = copy.deepcopy(norm.state_dict())
    maps, residual = draw((5, 4, 3, 3)), draw((5, 4, 3, 3), seed=6)
    real = torch.tensor([True, False, True, True, False])
    with torch.no_grad():
        found = by_kernel(norm, maps, real, residual=residual)
        wanted = expected(norm, maps, real, residual, relu=True)
    torch.testing.assert_close(found, wanted)
    assert all(torch.equal(before[name], value) for name, value in norm.state_dict().items())


def test_a_single_value_per_channel_is_refused():
    with pytest.raises(ValueError, match="more than one value per channel"):
        by_kernel(make_norm(3), torch.zeros(1, 3, 1, 1))


@pytest.mark.parametrize("with_residual", [True, False])
def test_a_gradient_of_the_gradient_is_that_of_pytorch(with_residual):
    maps, residual = draw((4, 3, 3, 2)), draw((4, 3, 3, 2), seed=2) if with_residual else None
    found = []
    for kernel in (True, False):
        norm = make_norm(3)
        given = maps.clone().requires_grad_()
        if kernel:
            output = by_kernel(norm, given, residual=residual)
        else:
            output = norm(given) if residual is None else norm(given) + residual
            output = output.relu()
        (first,) = torch.autograd.grad(output.square().sum(), given, create_graph=True)
        first.square().sum().backward()
        found.append((given.grad, norm.weight.grad))
    for own, right in zip(*found, strict=True):
        torch.testing.assert_close(own, right, rtol=1e-3, atol=1e-4)


def test_nan_is_not_hidden():
    maps = draw((3, 2, 2, 2))
    maps[1, 0, 0, 0] = float("nan")
    assert by_kernel(make_norm(2), maps)[:, 0].isnan().all()


@pytest.mark.parametrize("momentum", [0.1, None])
@pytest.mark.parametrize("training", [True, False])
def test_the_fallback_agrees_with_batch_norm_of_the_real_rows(training, momentum):
    norm = make_norm(4, momentum=momentum).double().train(training)
    exact = copy.deepcopy(norm)
    real = torch.tensor([True, False, True, True, False])
    maps = draw((5, 4, 3, 3), dtype=torch.float64)
    given, twin = maps.clone().requires_grad_(), maps.clone().requires_grad_()
    found, wanted = masked_norm(norm, given, real), expected(exact, twin, real, None, relu=False)
    torch.testing.assert_close(found, wanted)
    for output in (found, wanted):
        output.square().sum().backward()
    torch.testing.assert_close(given.grad, twin.grad)
    for own, right in zip(norm.buffers(), exact.buffers(), strict=True):
        torch.testing.assert_close(own, right)


def test_a_cpu_computes_with_pytorchs_operations(monkeypatch):
    monkeypatch.setattr(fused_norm, "by_kernel", lambda *_, **__: pytest.fail("by the kernel"))
    norm, maps, residual = make_norm(4), draw((5, 4, 3, 3)), draw((5, 4, 3, 3), seed=1)
    wanted = F.relu(copy.deepcopy(norm)(maps) + residual)
    assert torch.equal(norm_relu(norm, maps, residual=residual), wanted)
