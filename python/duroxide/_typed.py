"""Results made into the type that a ``_typed`` call names.

The texts of what does not fit may flow into a workflow's results and so into its history. They are made here alone, of
places, names and JSON: no words of Python or pydantic, which other releases say otherwise.
"""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import json
import pathlib
import typing
import uuid
from collections.abc import Mapping, Sequence, Set
from typing import Any, Callable, Optional, Union

_UnionType = getattr(__import__("types"), "UnionType", Union)
_NoneType = type(None)
_MISSING = dataclasses.MISSING
_MOST_TOLD = 10  # errors of one model
Converter = Callable[[Any], Any]


def converter(result_type: Any) -> Optional[Converter]:
    """A function that checks and converts decoded values; None when there is nothing to do.

    Takes plain types, ``Any``, Optional and unions, list, dict and tuple with arguments, dataclasses, TypedDicts,
    enums, datetimes, dates and times in ISO 8601 (a datetime from ms since the epoch too), UUIDs, Decimals, paths,
    sets, and classes with a ``model_validate`` method (pydantic).

    Raises (the converter):
        TypeError: the value does not fit; the text names where in it.
    """
    if result_type is None or result_type is Any:
        return None
    return lambda value: convert(value, result_type, "result")


def _mismatch(where: str, wanted: Any, value: Any) -> TypeError:
    return TypeError(f"{where} is not a {_name(wanted)}: got {type(value).__name__}")


def _name(wanted: Any) -> str:
    """What texts call a type; Python's own names of generic ones change from version to version."""
    if wanted is None or wanted is _NoneType:
        return "None"
    if wanted is ... or wanted is Any:
        return "Any" if wanted is Any else "..."
    origin, args = typing.get_origin(wanted), typing.get_args(wanted)
    if origin is Union or origin is _UnionType:
        return " or ".join(sorted(map(_name, args), key="None".__eq__))  # None comes last
    if origin is typing.Literal:
        return f"Literal[{', '.join(map(_literal, args))}]"
    if hasattr(wanted, "__metadata__"):  # Annotated
        return _name(args[0])
    if origin is not None and args:
        return f"{origin.__name__}[{', '.join(map(_name, args))}]"
    return str(getattr(origin or wanted, "__name__", type(wanted).__name__))


def _literal(value: Any) -> str:
    return f"{type(value).__name__}.{value.name}" if isinstance(value, enum.Enum) else ascii(value)


def convert(value: Any, wanted: Any, where: str) -> Any:
    """The value as ``wanted``; TypeError when it does not fit."""
    if wanted is Any:
        return value
    if wanted is None or wanted is _NoneType:
        if value is None:
            return None
        raise _mismatch(where, wanted, value)
    origin = typing.get_origin(wanted)
    if origin is Union or origin is _UnionType:
        return _union(value, wanted, where)
    if origin is not None and hasattr(wanted, "__metadata__"):  # Annotated
        return convert(value, typing.get_args(wanted)[0], where)
    if origin is not None:
        return _generic(value, wanted, origin, typing.get_args(wanted), where)
    if typing.is_typeddict(wanted) if hasattr(typing, "is_typeddict") else _is_typeddict(wanted):
        return _typed_dict(value, wanted, where)
    if hasattr(wanted, "__supertype__"):  # NewType
        return convert(value, wanted.__supertype__, where)
    if not isinstance(wanted, type):
        return value
    if dataclasses.is_dataclass(wanted):
        return _dataclass(value, wanted, where)
    validate = getattr(wanted, "model_validate", None)
    if validate is not None:
        try:
            return validate(value)
        except ValueError as e:  # pydantic's ValidationError is one
            raise TypeError(f"{where} is not a {wanted.__name__}: {_of_model(e, value, where)}") from None
    if issubclass(wanted, enum.Enum):
        try:
            return wanted(value)
        except ValueError:
            raise _mismatch(where, wanted, value) from None
    if wanted in _FROM_TEXT:
        return _from_text(value, wanted, where)
    if wanted in (set, frozenset) and isinstance(value, list):
        return _set(value, wanted, wanted, where)
    if wanted is float and type(value) is int:
        return float(value)
    if wanted in (int, float) and isinstance(value, bool):
        raise _mismatch(where, wanted, value)
    if wanted is tuple and isinstance(value, list):
        return tuple(value)
    if not isinstance(value, wanted):
        raise _mismatch(where, wanted, value)
    return value


_FROM_TEXT: dict[Any, Callable[[str], Any]] = {
    datetime.datetime: lambda text: datetime.datetime.fromisoformat(_offset(text)),
    datetime.date: datetime.date.fromisoformat,
    datetime.time: lambda text: datetime.time.fromisoformat(_offset(text)),
    uuid.UUID: uuid.UUID,
    decimal.Decimal: decimal.Decimal,
    pathlib.Path: pathlib.Path,
    pathlib.PurePath: pathlib.PurePath,
    pathlib.PurePosixPath: pathlib.PurePosixPath,
}


def _offset(text: str) -> str:
    """ISO 8601 as Python 3.9 reads it: ``Z`` is younger."""
    return text[:-1] + "+00:00" if text.endswith(("Z", "z")) else text


def _from_text(value: Any, wanted: Any, where: str) -> Any:
    if isinstance(value, str):
        try:
            return _FROM_TEXT[wanted](value)
        except (ValueError, ArithmeticError):
            raise TypeError(f"{where} is not a {wanted.__name__}: got {json.dumps(value[:100])}") from None
    if type(value) in (int, float):
        if wanted is decimal.Decimal:
            return decimal.Decimal(str(value))
        if wanted is datetime.datetime:
            epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
            try:
                return epoch + datetime.timedelta(milliseconds=value)
            except (OverflowError, ValueError):
                raise TypeError(f"{where} is not a datetime: {value} ms are out of range") from None
    raise _mismatch(where, wanted, value)


def _union(value: Any, wanted: Any, where: str) -> Any:
    members = typing.get_args(wanted)
    choices = [member for member in members if member is not _NoneType]
    if value is None and len(choices) < len(members):
        return None
    if len(choices) == 1:  # Optional: what is wrong inside says more
        return convert(value, choices[0], where)
    for choice in choices:
        try:
            return convert(value, choice, where)
        except TypeError:
            continue
    raise _mismatch(where, wanted, value)


def _of_model(error: ValueError, value: Any, where: str) -> str:
    """What a model's validation says: places and pydantic's error types; the words of other classes as they are."""
    errors = getattr(error, "errors", None)
    if not callable(errors):
        return str(error)
    told = list(dict.fromkeys(f"{_model_place(e['loc'], e['type'], value, where)} {e['type']}" for e in errors()))
    more = f" and {len(told) - _MOST_TOLD} more" if len(told) > _MOST_TOLD else ""
    return ", ".join(told[:_MOST_TOLD]) + more


def _model_place(loc: tuple[Any, ...], kind: str, value: Any, where: str) -> str:
    """A place of pydantic's in the value, without the names of unions and validators that stand in it too."""
    for depth, part in enumerate(loc, 1):
        if isinstance(value, dict) and str(part) in value:
            value = value[str(part)]
        elif isinstance(value, list) and isinstance(part, int) and part < len(value):
            value = value[part]
        elif kind != "missing" or depth < len(loc):
            continue
        where += f".{part}" if isinstance(part, str) and part.isidentifier() else f"[{part!a}]"
    return where


def _is_typeddict(wanted: Any) -> bool:
    return isinstance(wanted, type) and issubclass(wanted, dict) and hasattr(wanted, "__total__")


def _generic(value: Any, wanted: Any, origin: Any, args: tuple[Any, ...], where: str) -> Any:
    if origin is typing.Literal:
        if value in args:
            return value
        raise _mismatch(where, wanted, value)
    if not isinstance(origin, type):
        return value
    if issubclass(origin, tuple):
        if not isinstance(value, list):
            raise _mismatch(where, wanted, value)
        if len(args) == 2 and args[1] is ...:
            return tuple(convert(v, args[0], f"{where}[{i}]") for i, v in enumerate(value))
        if len(value) != len(args):
            raise TypeError(f"{where} has {len(value)} items, not {len(args)}")
        return tuple(convert(v, args[i], f"{where}[{i}]") for i, v in enumerate(value))
    if issubclass(origin, Mapping):
        if not isinstance(value, dict):
            raise _mismatch(where, wanted, value)
        return {_key(k, args[0], where): convert(v, args[1], f"{where}[{k!a}]") for k, v in value.items()}
    if issubclass(origin, Set):
        if not isinstance(value, list):
            raise _mismatch(where, wanted, value)
        made = [convert(v, args[0], f"{where}[{i}]") for i, v in enumerate(value)]
        return _set(made, frozenset if origin is frozenset else set, wanted, where)
    if issubclass(origin, Sequence):
        if not isinstance(value, list):
            raise _mismatch(where, wanted, value)
        return [convert(v, args[0], f"{where}[{i}]") for i, v in enumerate(value)]
    return value


def _set(members: list[Any], kind: Any, wanted: Any, where: str) -> Any:
    try:
        return kind(members)
    except TypeError:  # lists and objects are not for sets
        raise _mismatch(where, wanted, members) from None


def _key(key: str, wanted: Any, where: str) -> Any:
    """Keys of JSON objects are text: those of dict[int, …] are made numbers again."""
    if wanted is int:
        try:
            return int(key)
        except ValueError:
            raise TypeError(f"{where}: key {key!a} is not an int") from None
    return key


def _hints(wanted: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(wanted)
    except Exception:  # names that cannot be resolved here: taken as they are
        return {}


def _typed_dict(value: Any, wanted: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise _mismatch(where, wanted, value)
    hints = _hints(wanted)
    for key in sorted(getattr(wanted, "__required_keys__", ())):  # a set, which has another order in every process
        if key not in value:
            raise _missing(where, key, wanted)
    return {k: convert(v, hints[k], f"{where}[{k!a}]") if k in hints else v for k, v in value.items()}


def _missing(where: str, key: str, wanted: Any) -> TypeError:
    return TypeError(f"{where} has no {key!a}, which {wanted.__name__} requires")


def _dataclass(value: Any, wanted: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise _mismatch(where, wanted, value)
    hints = _hints(wanted)
    known = {f.name: f for f in dataclasses.fields(wanted) if f.init}
    arguments = {k: convert(v, hints.get(k, Any), f"{where}.{k}") for k, v in value.items() if k in known}
    for key, field in known.items():
        if key not in value and field.default is _MISSING and field.default_factory is _MISSING:
            raise _missing(where, key, wanted)
    try:
        return wanted(**arguments)
    except TypeError as e:
        raised_inside = e.__traceback__ is not None and e.__traceback__.tb_next is not None
        why = str(e) if raised_inside else "it takes other arguments than its fields"
        raise TypeError(f"{where} is not a {wanted.__name__}: {why}") from None
