"""What the containers of arguments and results hold."""
import dataclasses
from collections.abc import Mapping


def walk(value, name="", is_keyed=False):
    """What nested tuples, lists, mappings and dataclasses hold: a name of the
    keys that lead to it, it, and whether a mapping is on the way."""
    if isinstance(value, Mapping):
        items, is_keyed = value.items(), True
    elif isinstance(value, (tuple, list)):
        items = enumerate(value)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        items = [(field.name, getattr(value, field.name))
                 for field in dataclasses.fields(value)
                 if hasattr(value, field.name)]
    else:
        yield name, value, is_keyed
        return
    for key, item in items:
        yield from walk(item, f"{name}_{key}" if name else str(key), is_keyed)
