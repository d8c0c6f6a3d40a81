"""Tensors out of files that torch.save wrote of whole modules, without running anything in them.

Such a file holds a pickle: a program that may call whatever it names. Here its opcodes are read one
by one and only data comes of them: numbers, text, containers, tensors, and inert stand-ins for the
classes of modules. Whatever else it names is refused by that name, and nothing is ever imported.
"""

from __future__ import annotations

import io
import pickletools
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from math import prod
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import torch
from torch import Tensor

from patchmosaic.system.records import RecordError

LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001
MOST_BYTES = 1 << 30  # of the file, and of all its tensors
MOST_DEPTH = 50  # of modules in modules
MOST_MODULES = 10_000

STORAGES = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "BoolStorage": torch.bool,
    "ByteStorage": torch.uint8,
}
INERT = ("torch.nn.modules.", "models.", "utils.noise_schedules.")
"""Beginnings of the names that stand-ins are made for: torch's layers, the authors' own modules."""

VALUES = {
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINUNICODE"),
    *("BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES"),
}
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
EMPTY = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_SET": set}
TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_MARK = object()
Kind = TypeVar("Kind")


class _Refused(ValueError):
    """The file holds something that is not read."""


@dataclass(frozen=True)
class _Name:
    """What the file names, never looked up."""

    name: str


@dataclass
class StandIn:
    """An instance of a class of the file, with its state and nothing of its behaviour."""

    name: str
    state: dict = field(default_factory=dict)


@dataclass(frozen=True)
class _Storage:
    key: str
    dtype: torch.dtype
    count: int


@dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The weights in a file that torch.save wrote, named as in a state dict.

    Args:
        path: of a whole module or a state dict, in the zip or the legacy form.

    Raises:
        RecordError: naming the file and what in it is refused or broken.
    """
    try:
        size = path.stat().st_size
        if size > MOST_BYTES:
            raise _Refused(f"it has {size} bytes, allowed: {MOST_BYTES}")
        content = path.read_bytes()
        is_zip = zipfile.is_zipfile(io.BytesIO(content))
        found, read_storage = (_read_zip if is_zip else _read_legacy)(content)
        tensors = _tensors(found)
        if not tensors:
            raise _Refused("it holds no tensors")
        total = sum(prod(t.shape) * t.storage.dtype.itemsize for t in tensors.values())
        if total > MOST_BYTES:
            raise _Refused(f"its tensors have {total} bytes, allowed: {MOST_BYTES}")
        flat = cache(lambda storage: _flat(storage, read_storage(storage)))
        return {name: _rebuilt(tensor, flat) for name, tensor in tensors.items()}
    except _Refused as error:
        raise RecordError(f"{path}: {error}; nothing of it was run") from None
    except (
        *(ValueError, TypeError, IndexError, KeyError, AttributeError, OverflowError, OSError),
        *(EOFError, RuntimeError, MemoryError),
        *(struct.error, zlib.error, zipfile.BadZipFile),
    ) as error:
        raise RecordError(f"{path}: not a whole file of torch.save: {error!r}") from None


def _read_zip(content: bytes) -> tuple[object, Callable[[_Storage], bytes]]:
    archive = zipfile.ZipFile(io.BytesIO(content))
    (program,) = (name for name in archive.namelist() if name.endswith("data.pkl"))
    folder = program.removesuffix("data.pkl")

    def member(name: str, most: int) -> bytes:
        about = archive.getinfo(name)
        if about.compress_type != zipfile.ZIP_STORED:
            raise _Refused(f"{name} is compressed, which torch.save does with nothing")
        if about.file_size > most:
            raise _Refused(f"{name} has {about.file_size} bytes, allowed: {most}")
        return archive.read(name)

    order = f"{folder}byteorder"
    if order in archive.namelist() and member(order, 16) != b"little":
        raise _Refused("its numbers are not little-endian")
    found = _run(io.BytesIO(member(program, len(content))))
    return found, lambda s: member(f"{folder}data/{s.key}", s.count * s.dtype.itemsize)


def _read_legacy(content: bytes) -> tuple[object, Callable[[_Storage], bytes]]:
    stream = io.BytesIO(content)
    if _run(stream) != LEGACY_MAGIC or _run(stream) != LEGACY_PROTOCOL:
        raise _Refused("it is no file of torch.save")
    _run(stream)  # the kind of machine that wrote it
    found, keys = _run(stream), _plain(_run(stream), list)
    sizes = {storage.key: storage.dtype.itemsize for storage in _storages(found)}
    contents = {}
    for key in keys:
        (count,) = struct.unpack("<q", stream.read(8))
        contents[_plain(key, str)] = stream.read(count * sizes.get(key, 1))
    return found, lambda storage: contents[storage.key]


def _run(stream: BinaryIO) -> object:
    """The data that a pickle describes, read opcode by opcode up to its end."""
    stack: list[Any] = []
    memo: dict[object, object] = {}

    def above_mark() -> list:
        start = len(stack) - 1
        while stack[start] is not _MARK:
            start -= 1
        found = stack[start + 1 :]
        del stack[start:]
        return found

    for opcode, argument, _ in pickletools.genops(stream):
        name = opcode.name
        if name in VALUES:
            stack.append(argument)
        elif name in CONSTANTS:
            stack.append(CONSTANTS[name])
        elif name in EMPTY:
            stack.append(EMPTY[name]())
        elif name in TUPLES:
            items = stack[-TUPLES[name] :]
            del stack[-TUPLES[name] :]
            stack.append(tuple(items))
        elif name in ("BINPUT", "LONG_BINPUT"):
            memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name == "MARK":
            stack.append(_MARK)
        elif name == "TUPLE":
            stack.append(tuple(above_mark()))
        elif name in ("APPEND", "APPENDS"):
            items = above_mark() if name == "APPENDS" else [stack.pop()]
            _plain(stack[-1], list).extend(items)
        elif name == "ADDITEMS":
            items = above_mark()
            _plain(stack[-1], set).update(map(_key, items))
        elif name in ("SETITEM", "SETITEMS"):
            items = above_mark() if name == "SETITEMS" else [stack.pop(-2), stack.pop()]
            _plain(stack[-1], dict).update(_dict(zip(items[::2], items[1::2], strict=True)))
        elif name == "GLOBAL":
            stack.append(_named(_plain(argument, str).replace(" ", ".", 1)))
        elif name == "STACK_GLOBAL":
            module, attribute = _plain(stack.pop(-2), str), _plain(stack.pop(), str)
            stack.append(_named(f"{module}.{attribute}"))
        elif name in ("NEWOBJ", "REDUCE"):
            arguments, what = stack.pop(), stack.pop()
            stack.append(_made(what, _plain(arguments, tuple)))
        elif name == "BUILD":
            state = stack.pop()
            if isinstance(stack[-1], StandIn):
                stack[-1].state = _plain(state, dict)
            else:
                _plain(stack[-1], dict)  # attributes of an OrderedDict, which nothing here needs
        elif name == "BINPERSID":
            stack.append(_persistent(_plain(stack.pop(), tuple)))
        elif name == "STOP":
            (found,) = stack
            return found
        elif name not in ("PROTO", "FRAME"):
            raise _Refused(f"its pickle has the opcode {name}, which is not read")
    raise _Refused("its pickle has no end")


def _plain(value: object, kind: type[Kind]) -> Kind:
    if not isinstance(value, kind) or type(value) is not kind:
        raise _Refused(f"its pickle takes a {type(value).__name__} for a {kind.__name__}")
    return value


def _key(value: object) -> str | int:
    """A key, of a type that takes no time to hash: tuples of tuples may take for ever."""
    if type(value) is str or type(value) is int:
        return value
    raise _Refused(f"its pickle has a {type(value).__name__} for a key")


def _dict(items: Iterable[tuple] = ()) -> dict:
    return {_key(key): value for key, value in items}


def _named(name: str) -> _Name:
    known = name in FUNCTIONS or name.removeprefix("torch.") in STORAGES
    if not known and not name.startswith(INERT):
        raise _Refused(f"it names {name}, which is no tensor, container or known kind of module")
    return _Name(name)


def _made(what: object, arguments: tuple) -> object:
    """What comes of calling or instantiating what the file names: only data."""
    name = _plain(what, _Name).name
    if name in FUNCTIONS:
        return FUNCTIONS[name](*arguments)
    if not name.startswith(INERT):
        raise _Refused(f"it calls {name}")
    return StandIn(name)


def _tensor(storage: object, offset: int, shape: tuple, strides: tuple, *_: object) -> _Tensor:
    whole = _plain(storage, _Storage)
    numbers = [_plain(n, int) for n in (offset, *_plain(shape, tuple), *_plain(strides, tuple))]
    if min(numbers) < 0 or len(shape) != len(strides):
        raise _Refused(f"it has a tensor of shape {shape} and strides {strides} at {offset}")
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    if prod(shape) and max(last + 1, prod(shape)) > whole.count:
        raise _Refused(f"it has a tensor of shape {shape} that reaches beyond its storage")
    return _Tensor(whole, offset, shape, strides)


FUNCTIONS: Mapping[str, Callable[..., object]] = {
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": lambda tensor, *_: tensor,
    "collections.OrderedDict": _dict,
    "__builtin__.set": lambda items=(): set(map(_key, items)),
    "builtins.set": lambda items=(): set(map(_key, items)),
}


def _persistent(what: tuple) -> object:
    """A storage; or the class of a module, beside whose source code the legacy form names it."""
    if what[:1] == ("module",):
        return _plain(what[1], _Name)
    if what[:1] != ("storage",):
        raise _Refused(f"it refers to {_plain(what[0], str)!r}, which is no storage")
    name = _plain(what[1], _Name).name.removeprefix("torch.")
    key, count = _plain(what[2], str), _plain(what[4], int)
    if name not in STORAGES or count < 0:
        raise _Refused(f"it has a storage of {name} by the name {key!r} with {count!r} numbers")
    return _Storage(key, STORAGES[name], count)


def _tensors(found: object) -> dict[str, _Tensor]:
    """The tensors of a state dict, or of a module as its state dict would name them."""
    if isinstance(found, StandIn):
        return dict(_of_module(found, "", 0, iter(range(MOST_MODULES))))
    named = _plain(found, dict)
    return {_plain(name, str): _plain(value, _Tensor) for name, value in named.items()}


def _of_module(
    module: StandIn, prefix: str, depth: int, left: Iterator[int]
) -> list[tuple[str, _Tensor]]:
    if depth > MOST_DEPTH or next(left, None) is None:
        raise _Refused("its modules lie in each other without end")
    state = module.state
    found: list[tuple[str, _Tensor]] = []
    passing = state.get("_non_persistent_buffers_set", ())
    for kind in ("_parameters", "_buffers"):
        for name, value in _plain(state.get(kind, {}), dict).items():
            if value is not None and name not in passing:
                found.append((f"{prefix}{name}", _plain(value, _Tensor)))
    for name, inner in _plain(state.get("_modules", {}), dict).items():
        if inner is not None:
            found += _of_module(_plain(inner, StandIn), f"{prefix}{name}.", depth + 1, left)
    return found


def _storages(found: object) -> set[_Storage]:
    return {tensor.storage for tensor in _tensors(found).values()}


def _flat(storage: _Storage, content: bytes) -> Tensor:
    expected = storage.count * storage.dtype.itemsize
    if len(content) != expected:
        raise _Refused(f"storage {storage.key} has {len(content)} bytes, expected {expected}")
    return torch.frombuffer(bytearray(content), dtype=storage.dtype) if content else torch.empty(0)


def _rebuilt(tensor: _Tensor, flat: Callable[[_Storage], Tensor]) -> Tensor:
    numbers = flat(tensor.storage)
    if not prod(tensor.shape):
        return torch.empty(tensor.shape, dtype=tensor.storage.dtype)
    return numbers.as_strided(tensor.shape, tensor.strides, tensor.offset).clone()
