"""What the plan takes when it is left to choose: the device, and a number type that is native."""

import pytest
import torch

from impasto.compute.device import has_native_bfloat16
from impasto.config.settings import make_runtime
from impasto.errors import SettingsError
from impasto.planning.plan import make_plan

CPU, CUDA = torch.device("cpu"), torch.device("cuda:0")


def pretend(monkeypatch, **capabilities):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)


@pytest.mark.parametrize(
    ("capabilities", "dtype"),
    [
        ({"avx512_f": True, "avx512_bf16": True, "amx_bf16": False}, torch.bfloat16),
        ({"avx512_bf16": False, "amx_bf16": True}, torch.bfloat16),
        # Without the instructions bfloat16 is emulated, and slower than float32.
        ({"avx512_f": True, "avx512_bf16": False, "amx_bf16": False}, torch.float32),
        ({"avx2": True}, torch.float32),
        ({"neon": True, "bf16": True, "sve_bf16": True, "architecture": "arm64"}, torch.float32),
    ],
    ids=["avx512-bf16", "amx", "avx512 alone", "avx2", "arm"],
)
def test_auto_takes_bfloat16_where_the_processor_has_it(capabilities, dtype, monkeypatch):
    pretend(monkeypatch, **capabilities)
    assert make_plan(make_runtime(device="cpu")).dtype == dtype


def test_a_torch_that_cannot_tell_gets_float32(monkeypatch):
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert make_plan(make_runtime(device="cpu")).dtype == torch.float32


@pytest.mark.parametrize(
    ("capability", "native"), [((7, 0), False), ((7, 5), False), ((8, 0), True), ((9, 0), True)]
)
def test_cuda_has_bfloat16_from_capability_8(capability, native, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    pretend(monkeypatch, avx512_bf16=not native)
    assert has_native_bfloat16(CUDA) is native


def test_apples_gpus_compute_in_float32(monkeypatch):
    pretend(monkeypatch, avx512_bf16=True)
    assert not has_native_bfloat16(torch.device("mps"))


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)],
)
@pytest.mark.parametrize("native", [False, True])
def test_a_precision_asked_for_is_taken(precision, dtype, native, monkeypatch):
    pretend(monkeypatch, avx512_bf16=native)
    assert make_plan(make_runtime(device="cpu", precision=precision)).dtype == dtype


@pytest.mark.parametrize(
    ("capabilities", "possible"),
    [
        ({"avx512_vnni": True, "avx512_bf16": True}, True),
        ({"amx_int8": True, "amx_bf16": True}, True),
        # Their sums would be cut off at 16 bits, or were not measured.
        ({"avx512_f": True, "avx512_bf16": True}, False),
        ({"avx_vnni": True}, False),
        ({"neon": True, "architecture": "arm64"}, False),
    ],
    ids=["avx512-vnni", "amx", "avx512 alone", "avx-vnni", "arm"],
)
def test_eight_bits_are_taken_where_the_processor_has_them(capabilities, possible, monkeypatch):
    pretend(monkeypatch, **capabilities)
    monkeypatch.setattr("impasto.planning.plan.has_operator", lambda: True)
    plan = make_plan(make_runtime(device="cpu", precision="int8"))
    auto = make_plan(make_runtime(device="cpu"))
    assert not auto.int8
    assert plan.int8 is possible
    assert bool(plan.notes) is not possible
    assert plan.precision == ("int8" if possible else auto.precision)
    assert plan.dtype == (torch.bfloat16 if possible else auto.dtype)


def test_auto_takes_the_fastest_kind_of_device(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    runtime = make_runtime(memory="1GiB", precision="fp32")
    assert make_plan(runtime).device == CPU
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert make_plan(runtime).device == torch.device("mps")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert make_plan(runtime).device == torch.device("cuda")
    second = make_runtime(device="cuda:1", memory="1GiB", precision="fp32")
    assert make_plan(second).device.index == 1


def test_a_device_that_is_not_here_is_refused_with_those_that_are(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(SettingsError, match=r"no 'cuda:3' on this machine: .* cuda, cuda:0"):
        make_plan(make_runtime(device="cuda:3"))
