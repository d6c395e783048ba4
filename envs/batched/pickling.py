"""Copies of objects whose arrays share memory, as pickle alone would give each view memory of its own."""

from __future__ import annotations

import pickle
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

OWNER = "owner"


def pack(owner: object, attributes: dict[str, Any]) -> bytes:
    """Return an object's attributes as bytes.

    :param owner: The object; attributes may refer to it.
    :param attributes: Its attributes.
    """
    packed = BytesIO()
    _Packer(packed, owner).dump(attributes)
    return packed.getvalue()


def unpack(owner: object, packed: bytes) -> dict[str, Any]:
    """Return attributes that were packed; arrays that were views of one another are so again.

    :param owner: The object that gets them.
    :param packed: What :func:`pack` returned.
    """
    attributes: dict[str, Any] = _Unpacker(BytesIO(packed), owner).load()
    return attributes


class _Packer(pickle.Pickler):
    def __init__(self, file: BytesIO, owner: object) -> None:
        super().__init__(file, pickle.HIGHEST_PROTOCOL)
        self.owner = owner

    def persistent_id(self, value: object) -> str | None:
        return OWNER if value is self.owner else None

    def reducer_override(self, value: object) -> Any:
        if not isinstance(value, np.ndarray) or not isinstance(value.base, np.ndarray):
            return NotImplemented
        whole = value
        while isinstance(whole.base, np.ndarray):
            whole = whole.base
        if not (whole.flags.c_contiguous or whole.flags.f_contiguous):
            return NotImplemented
        offset = value.__array_interface__["data"][0] - whole.__array_interface__["data"][0]
        return _view, (whole, value.shape, value.dtype, offset, value.strides)


class _Unpacker(pickle.Unpickler):
    def __init__(self, file: BytesIO, owner: object) -> None:
        super().__init__(file)
        self.owner = owner

    def persistent_load(self, name: str) -> object:
        return self.owner


def _view(
    whole: NDArray[Any], shape: tuple[int, ...], dtype: np.dtype[Any], offset: int, strides: tuple[int, ...]
) -> NDArray[Any]:
    memory = whole if whole.flags.c_contiguous else whole.T
    return np.ndarray(shape, dtype, memory, offset, strides)
