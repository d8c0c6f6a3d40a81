"""Tensors out of pickles of whole torch modules, without running anything in them.

A pickle is a program that may call whatever it names. Here its opcodes are read one by one and only
data comes of them: numbers, text, containers, tensors, and inert stand-ins for the classes of
modules. Whatever else it names is refused by that name, and nothing is ever imported. Files are
those of torch.save, and those of pickle itself, in which each tensor brings a small file of
torch.save along.
"""

from __future__ import annotations

import io
import pickletools
import struct
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
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


class Refused(ValueError):
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
class Typed:
    """A numpy type, by its name; its other state is left out."""

    name: str


@dataclass(frozen=True)
class _Storage:
    """Numbers of a file; content where they came along with the tensor."""

    key: str
    dtype: torch.dtype
    count: int
    content: bytes | None = field(default=None, repr=False)


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
    with refusals(path, "not a whole file of torch.save"):
        content = content_of(path, MOST_BYTES)
        is_zip = zipfile.is_zipfile(io.BytesIO(content))
        return rebuilt(*(_read_zip if is_zip else _read_legacy)(content))


def content_of(path: Path, most: int) -> bytes:
    """The bytes of a file of at most so many."""
    size = path.stat().st_size
    if size > most:
        raise Refused(f"it has {size} bytes, allowed: {most}")
    return path.read_bytes()


@contextmanager
def refusals(path: Path, broken: str) -> Generator[None]:
    """What reading a file raises, as a RecordError that names it; ``broken``: what it is not."""
    try:
        yield
    except Refused as error:
        raise RecordError(f"{path}: {error}; nothing of it was run") from None
    except (
        *(ValueError, TypeError, IndexError, KeyError, AttributeError, OverflowError, OSError),
        *(EOFError, RuntimeError, MemoryError),
        *(struct.error, zlib.error, zipfile.BadZipFile),
    ) as error:
        raise RecordError(f"{path}: {broken}: {error!r}") from None


def rebuilt(
    found: object,
    read_storage: Callable[[_Storage], bytes] | None = None,
    most: int = MOST_BYTES,
) -> dict[str, Tensor]:
    """The tensors of a module or state dict that was read, named as in a state dict.

    read_storage: of those that did not come along with the tensors. most: bytes that all may have.
    """
    tensors = _tensors(found)
    if not tensors:
        raise Refused("it holds no tensors")
    total = sum(prod(t.shape) * t.storage.dtype.itemsize for t in tensors.values())
    if total > most:
        raise Refused(f"its tensors have {total} bytes, allowed: {most}")

    @cache
    def flat(storage: _Storage) -> Tensor:
        if storage.content is not None:
            return _flat(storage, storage.content)
        if read_storage is None:
            raise Refused(f"storage {storage.key} is not in it")
        return _flat(storage, read_storage(storage))

    return {name: _rebuilt(tensor, flat) for name, tensor in tensors.items()}


def _read_zip(content: bytes) -> tuple[object, Callable[[_Storage], bytes]]:
    archive = zipfile.ZipFile(io.BytesIO(content))
    (program,) = (name for name in archive.namelist() if name.endswith("data.pkl"))
    folder = program.removesuffix("data.pkl")

    def member(name: str, most: int) -> bytes:
        about = archive.getinfo(name)
        if about.compress_type != zipfile.ZIP_STORED:
            raise Refused(f"{name} is compressed, which torch.save does with nothing")
        if about.file_size > most:
            raise Refused(f"{name} has {about.file_size} bytes, allowed: {most}")
        return archive.read(name)

    order = f"{folder}byteorder"
    if order in archive.namelist() and member(order, 16) != b"little":
        raise Refused("its numbers are not little-endian")
    found = run(io.BytesIO(member(program, len(content))))
    return found, lambda s: member(f"{folder}data/{s.key}", s.count * s.dtype.itemsize)


def _read_legacy(content: bytes) -> tuple[object, Callable[[_Storage], bytes]]:
    stream = io.BytesIO(content)
    if run(stream) != LEGACY_MAGIC or run(stream) != LEGACY_PROTOCOL:
        raise Refused("it is no file of torch.save")
    run(stream)  # the kind of machine that wrote it
    found, keys = run(stream), plain(run(stream), list)
    storages = [found] if isinstance(found, _Storage) else _storages(found)
    sizes = {storage.key: storage.dtype.itemsize for storage in storages}
    contents = {}
    for key in keys:
        (count,) = struct.unpack("<q", stream.read(8))
        contents[plain(key, str)] = stream.read(count * sizes.get(key, 1))
    return found, lambda storage: contents[storage.key]


def embedded_storage(content: bytes) -> _Storage:
    """The numbers that a pickle of tensors brings along, each as a legacy file of torch.save."""
    found, read_storage = _read_legacy(plain(content, bytes))
    storage = plain(found, _Storage)
    return replace(storage, content=read_storage(storage))


def run(stream: BinaryIO, functions: Mapping[str, Callable[..., object]] | None = None) -> object:
    """The data that a pickle describes, read opcode by opcode up to its end.

    functions: what stands for the functions that it may call, by name; by default FUNCTIONS.
    """
    functions = FUNCTIONS if functions is None else functions
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
            plain(stack[-1], list).extend(items)
        elif name == "ADDITEMS":
            items = above_mark()
            plain(stack[-1], set).update(map(_key, items))
        elif name in ("SETITEM", "SETITEMS"):
            items = above_mark() if name == "SETITEMS" else [stack.pop(-2), stack.pop()]
            plain(stack[-1], dict).update(_dict(zip(items[::2], items[1::2], strict=True)))
        elif name == "GLOBAL":
            stack.append(_named(plain(argument, str).replace(" ", ".", 1), functions))
        elif name == "STACK_GLOBAL":
            module, attribute = plain(stack.pop(-2), str), plain(stack.pop(), str)
            stack.append(_named(f"{module}.{attribute}", functions))
        elif name in ("NEWOBJ", "REDUCE"):
            arguments, what = stack.pop(), stack.pop()
            stack.append(_made(what, plain(arguments, tuple), functions))
        elif name == "BUILD":
            state = stack.pop()
            if isinstance(stack[-1], StandIn):
                stack[-1].state = plain(state, dict)
            elif not isinstance(stack[-1], Typed):
                plain(stack[-1], dict)  # attributes of an OrderedDict, which nothing here needs
        elif name == "BINPERSID":
            stack.append(_persistent(plain(stack.pop(), tuple)))
        elif name == "STOP":
            (found,) = stack
            return found
        elif name not in ("PROTO", "FRAME"):
            raise Refused(f"its pickle has the opcode {name}, which is not read")
    raise Refused("its pickle has no end")


def plain(value: object, kind: type[Kind]) -> Kind:
    """A value that is of this very type; raises Refused for others."""
    if not isinstance(value, kind) or type(value) is not kind:
        raise Refused(f"its pickle takes a {type(value).__name__} for a {kind.__name__}")
    return value


def _key(value: object) -> str | int:
    """A key, of a type that takes no time to hash: tuples of tuples may take for ever."""
    if type(value) is str or type(value) is int:
        return value
    raise Refused(f"its pickle has a {type(value).__name__} for a key")


def _dict(items: Iterable[tuple] = ()) -> dict:
    return {_key(key): value for key, value in items}


def _named(name: str, functions: Mapping[str, Callable[..., object]]) -> _Name:
    known = name in functions or name.removeprefix("torch.") in STORAGES
    if not known and not name.startswith(INERT):
        raise Refused(f"it names {name}, which is no tensor, container or known kind of module")
    return _Name(name)


def _made(what: object, arguments: tuple, functions: Mapping[str, Callable[..., object]]) -> object:
    """What comes of calling or instantiating what the file names: only data."""
    name = plain(what, _Name).name
    if name in functions:
        return functions[name](*arguments)
    if not name.startswith(INERT):
        raise Refused(f"it calls {name}")
    return StandIn(name)


def _tensor(storage: object, offset: int, shape: tuple, strides: tuple, *_: object) -> _Tensor:
    whole = plain(storage, _Storage)
    numbers = [plain(n, int) for n in (offset, *plain(shape, tuple), *plain(strides, tuple))]
    if min(numbers) < 0 or len(shape) != len(strides):
        raise Refused(f"it has a tensor of shape {shape} and strides {strides} at {offset}")
    last = offset + sum((n - 1) * step for n, step in zip(shape, strides, strict=True))
    if prod(shape) and max(last + 1, prod(shape)) > whole.count:
        raise Refused(f"it has a tensor of shape {shape} that reaches beyond its storage")
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
        return plain(what[1], _Name)
    if what[:1] != ("storage",):
        raise Refused(f"it refers to {plain(what[0], str)!r}, which is no storage")
    name = plain(what[1], _Name).name.removeprefix("torch.")
    key, count = plain(what[2], str), plain(what[4], int)
    if name not in STORAGES or count < 0:
        raise Refused(f"it has a storage of {name} by the name {key!r} with {count!r} numbers")
    return _Storage(key, STORAGES[name], count)


def _tensors(found: object) -> dict[str, _Tensor]:
    """The tensors of a state dict, or of a module as its state dict would name them."""
    if isinstance(found, StandIn):
        return dict(_of_module(found, "", 0, iter(range(MOST_MODULES))))
    named = plain(found, dict)
    return {plain(name, str): plain(value, _Tensor) for name, value in named.items()}


def _of_module(
    module: StandIn, prefix: str, depth: int, left: Iterator[int]
) -> list[tuple[str, _Tensor]]:
    if depth > MOST_DEPTH or next(left, None) is None:
        raise Refused("its modules lie in each other without end")
    state = module.state
    found: list[tuple[str, _Tensor]] = []
    passing = state.get("_non_persistent_buffers_set", ())
    for kind in ("_parameters", "_buffers"):
        for name, value in plain(state.get(kind, {}), dict).items():
            if value is not None and name not in passing:
                found.append((f"{prefix}{name}", plain(value, _Tensor)))
    for name, inner in plain(state.get("_modules", {}), dict).items():
        if inner is not None:
            found += _of_module(plain(inner, StandIn), f"{prefix}{name}.", depth + 1, left)
    return found


def _storages(found: object) -> set[_Storage]:
    return {tensor.storage for tensor in _tensors(found).values()}


def _flat(storage: _Storage, content: bytes) -> Tensor:
    expected = storage.count * storage.dtype.itemsize
    if len(content) != expected:
        raise Refused(f"storage {storage.key} has {len(content)} bytes, expected {expected}")
    return torch.frombuffer(bytearray(content), dtype=storage.dtype) if content else torch.empty(0)


def _rebuilt(tensor: _Tensor, flat: Callable[[_Storage], Tensor]) -> Tensor:
    numbers = flat(tensor.storage)
    if not prod(tensor.shape):
        return torch.empty(tensor.shape, dtype=tensor.storage.dtype)
    return numbers.as_strided(tensor.shape, tensor.strides, tensor.offset).clone()
