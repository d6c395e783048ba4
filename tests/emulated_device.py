"""
A device beside the CPU, for machines that have none. Its tensors keep their numbers on the CPU, but work together with
no tensor of the CPU, and what waits for their numbers is counted.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch as th
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only

aten = th.ops.aten
CPU = th.device("cpu")
#: It goes by the name of the device whose tensors have no numbers, the only other that PyTorch knows without a driver;
#: its index keeps apart what is kept for either.
EMULATED = th.device("meta", 1)

#: From one device to another.
COPIES = (aten._to_copy, aten.copy_, aten.to)
INDEXING = (aten.index, aten.index_put, aten.index_put_, aten._index_put_impl_)
#: What they return, or its shape, the CPU has to wait for.
READING = (
    aten._local_scalar_dense,
    aten._unique2,
    aten.bincount,
    aten.equal,
    aten.masked_select,
    aten.nonzero,
    aten.repeat_interleave,
)


class Away(th.Tensor):
    """A tensor of the emulated device."""

    numbers: th.Tensor

    @staticmethod
    def __new__(cls, numbers: th.Tensor) -> Away:
        made: Away = th.Tensor._make_wrapper_subclass(
            cls,
            numbers.size(),
            strides=numbers.stride(),
            storage_offset=numbers.storage_offset(),
            dtype=numbers.dtype,
            device=EMULATED,
        )
        made.numbers = numbers
        return made

    def __repr__(self, *, tensor_contents: Any = None) -> str:  # type: ignore[override]
        return f"Away({self.numbers!r})"

    # With these two, parameters that are brought to the device remain those that an optimizer knows.

    def __tensor_flatten__(self) -> tuple[list[str], None]:
        return ["numbers"], None

    @staticmethod
    def __tensor_unflatten__(inner: dict[str, th.Tensor], context: None, size: Any, stride: Any) -> Away:
        return Away(inner["numbers"])

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        return compute(func, args, kwargs or {}, Counter())


def compute(func: Any, args: Any, kwargs: dict[str, Any], waits: Counter[str]) -> Any:
    """
    Do what an operation does, if one device can.

    :param func: the operation
    :param args: its arguments
    :param kwargs: its named arguments
    :param waits: counts here if the CPU would wait
    :raises RuntimeError: when it gets tensors of two devices
    """
    leaves = tree_leaves((args, kwargs))
    given = [leaf for leaf in leaves if isinstance(leaf, th.Tensor)]
    away = any(isinstance(x, Away) for x in given)
    # Single numbers go along with those of any device.
    here = any(x.dim() and not isinstance(x, Away) for x in given)
    asked = [leaf for leaf in leaves if isinstance(leaf, th.device)]
    kind = func.overloadpacket
    goes = asked[0] == EMULATED if asked else away and (kind is not aten.copy_ or isinstance(given[0], Away))
    if kind in COPIES:
        waiting = goes != away or (away and here)
    elif kind in INDEXING:
        indices = [x for x in args[1] if x is not None]
        if away and not isinstance(args[0], Away):
            raise RuntimeError(f"{func} looks into a tensor of the CPU where one of another device says")
        waiting = away and any(x.dtype == th.bool or not isinstance(x, Away) for x in indices)
    elif away and here:
        raise RuntimeError(f"{func} gets tensors of two devices")
    else:
        waiting = away and kind in READING
    if waiting:
        waits[f"{kind.__name__} in {_place()}"] += 1
    args, kwargs = tree_map_only(Away, lambda x: x.numbers, (args, kwargs))
    args, kwargs = tree_map_only(th.device, lambda _: CPU, (args, kwargs))
    out = func(*args, **kwargs)
    return tree_map_only(th.Tensor, Away, out) if goes else out


def _place() -> str:
    """The innermost function of this library, or of those below it, that is at work."""
    frame = sys._getframe()
    while frame.f_back is not None:
        frame = frame.f_back
        module = frame.f_globals.get("__name__", "")
        if module.partition(".")[0] in ("memory_agents", "stable_baselines3", "sb3_contrib"):
            return f"{module}.{frame.f_code.co_name}"
    return "a test"


class _Data(TorchFunctionMode):
    """Data go to and from tensors of the device, where PyTorch has none."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func is th.Tensor.new_tensor:
            func, kwargs, args = th.tensor, {"dtype": args[0].dtype, "device": args[0].device, **kwargs}, args[1:]
        if func in (th.as_tensor, th.tensor) and (device := kwargs.pop("device", None)) is not None:
            made = args[0] if isinstance(args[0], Away) else func(*args, **kwargs)
            return made.to(device, kwargs.get("dtype"))
        if func == th.Tensor.data.__set__ and isinstance(args[0], Away):  # type: ignore[attr-defined]
            args[0].numbers = args[1].numbers
            return None
        if func is th.Tensor.data_ptr and isinstance(args[0], Away):
            return args[0].numbers.data_ptr()
        if func is th.Tensor.tolist:
            args = [args[0].cpu()]
        return func(*args, **kwargs)


class _Operations(TorchDispatchMode):
    """Operations without a tensor of the device may make one."""

    def __init__(self, waits: Counter[str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.waits = waits

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return compute(func, args, kwargs or {}, self.waits)


class _Autocast(th.autocast):
    def __init__(self, device_type: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(CPU.type if device_type == EMULATED.type else device_type, *args, **kwargs)


@contextmanager
def emulated_device() -> Iterator[Counter[str]]:
    """
    While it lasts there is a device :data:`EMULATED`.

    :return: how often the CPU has waited for it, by operation and function
    """
    waits: Counter[str] = Counter()
    with pytest.MonkeyPatch.context() as patch, _Data(), _Operations(waits):
        patch.setattr(th, "autocast", _Autocast)
        # There are no tensors of classes like this in the other mode.
        patch.setattr(th, "inference_mode", th.no_grad)
        optimizers = sys.modules["torch.optim.optimizer"]
        patch.setattr(optimizers, "_get_fused_kernels_supported_devices", lambda: [CPU.type, EMULATED.type])
        yield waits
