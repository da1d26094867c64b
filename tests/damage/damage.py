"""Damages models: what a hand, a tool or a disk may make of a valid file.

A model is a tree of dicts, lists and scalars as Python's json reads it, but for
objects, which are lists of pairs (`Object`), so that a key may come twice.
`damage(seed)` gives the text of a damaged model and the entries to compile;
the same seed gives the same text.
"""
import json
import random

from corpus import MODELS, WHOLES

EXTREMES = ["0", "-1", "1", "2147483648", "4294967296", "9007199254740993",
            "4611686018427387904", "9223372036854775807",
            "-9223372036854775808", "18446744073709551616", "1e308", "-1e308",
            "-0.0", "0.5", "1e-320", '"inf"', '"-inf"', '"nan"',
            "1099511627776", "65536", "3"]
OTHERS = ["null", "true", '""', "{}", "[]", '"x"', '"a\\u0000b"', "[[]]",
          '{"value": "x"}', '"mode"', '"1:2"', '"..."']
SMALL = ["0", "-1", "1", "2", "3", "4", "5", "7", "64", "1000"]
DTYPES = ["f32", "f64", "f16", "bf16", "i64", "i32", "i16", "i8", "u8", "bool"]


class Object(list):
    """Pairs [key, value]."""


class Text(str):
    """A value as it stands in the file."""


def parse(text):
    return json.loads(
        text, object_pairs_hook=lambda pairs: Object(map(list, pairs)))


def dump(tree):
    if isinstance(tree, Text):
        return str(tree)
    if isinstance(tree, Object):
        return "{" + ", ".join(json.dumps(k) + ": " + dump(v)
                               for k, v in tree) + "}"
    if isinstance(tree, list):
        return "[" + ", ".join(map(dump, tree)) + "]"
    return json.dumps(tree)


def places(tree, key=None):
    """(container, index, value, key) of everything below `tree`; the container
    of an object's value is its pair."""
    if isinstance(tree, Object):
        for pair in tree:
            yield pair, 1, pair[1], pair[0]
            yield from places(pair[1], pair[0])
    elif isinstance(tree, list):
        for i, value in enumerate(tree):
            yield tree, i, value, key
            yield from places(value, key)


def containers(tree):
    if isinstance(tree, list):
        yield tree
        for item in tree:
            yield from containers(item[1] if isinstance(tree, Object) else item)


def is_number(value):
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def part(r, tree):
    """Where to look: mostly in what means something."""
    key = r.choice(["nodes"] * 4 + ["modules"] * 3 + ["inputs"] * 2 +
                   ["training", "classes", "", ""])
    for pair in tree if isinstance(tree, Object) else []:
        if pair[0] == key and isinstance(pair[1], list) and pair[1]:
            return pair[1]
    return tree


def pick(r, tree, fits):
    for where in (part(r, tree), tree):
        if found := [p for p in places(where) if fits(p[2], p[3])]:
            return r.choice(found)
    return None


def number(r, tree):
    """A number becomes another one, or an extreme one."""
    at = pick(r, tree, lambda v, k: is_number(v))
    if at:
        at[0][at[1]] = Text(r.choice(r.choice([SMALL, EXTREMES])))


def shape(r, tree):
    """A tensor has another shape, mostly one that may be."""
    at = pick(r, tree, lambda v, k: k == "shape" and isinstance(v, list))
    if at:
        new = list(at[2])
        for _ in range(r.randint(1, 2)):
            i = r.randrange(len(new) + 1)
            new[i:i + r.randint(0, 1)] = r.choices(
                ["0", "1", "2", "3", "5", "4294967296", "1000000"],
                [4, 6, 4, 4, 2, 1, 1], k=r.randint(0, 1))
        at[0][at[1]] = [Text(size) for size in map(str, new)]


def argument(r, tree):
    """A call or a module has one more argument, as others have it."""
    donor = parse(r.choice(MODELS)[0])
    has = lambda v, k: isinstance(v, Object) and any(
        p[0] in ("op", "module", "type") for p in v)
    at, by = pick(r, tree, has), pick(r, donor, has)
    if at and by:
        extra = [p for p in by[2] if p[0] not in
                 ("name", "op", "module", "inputs", "type")]
        if extra:
            at[2].append(list(r.choice(extra)))


def other_kind(r, tree):
    """A value becomes one of another kind."""
    at = pick(r, tree, lambda v, k: True)
    if at:
        at[0][at[1]] = Text(r.choice(OTHERS + EXTREMES))


def exchange(r, tree):
    """Two scalars change places."""
    a = pick(r, tree, lambda v, k: not isinstance(v, list))
    b = pick(r, tree, lambda v, k: not isinstance(v, list))
    if a and b:
        a[0][a[1]], b[0][b[1]] = b[2], a[2]


def drop(r, tree):
    """A key or an item is missing."""
    found = [c for c in containers(part(r, tree)) if c]
    if found:
        at = r.choice(found)
        del at[r.randrange(len(at))]


def repeat(r, tree):
    """A key or an item comes again."""
    found = [c for c in containers(part(r, tree)) if c]
    if found:
        at = r.choice(found)
        at.insert(r.randrange(len(at) + 1), r.choice(at))


def rename(r, tree):
    """A key is one of another place."""
    pairs = [p for c in containers(part(r, tree)) if isinstance(c, Object)
             for p in c]
    if pairs:
        r.choice(pairs)[0] = r.choice(r.choice([pairs, KEYS]))[0]


def operation(r, tree):
    """A node or a module has another function or type."""
    at = pick(r, tree, lambda v, k: k in ("op", "type"))
    if at:
        at[0][at[1]] = r.choice(OPS if at[3] == "op" else TYPES)


def dtype(r, tree):
    at = pick(r, tree, lambda v, k: k == "dtype")
    if at:
        at[0][at[1]] = r.choice(DTYPES)


def lists(r, tree):
    """A list is emptied, nested, lengthened or turned round."""
    at = pick(r, tree, lambda v, k: isinstance(v, list) and
              not isinstance(v, Object))
    if at:
        at[0][at[1]] = r.choice([
            lambda v: [], lambda v: [v], lambda v: v + v[:1],
            lambda v: v + [1], lambda v: v[::-1], lambda v: v * 40,
            lambda v: v[:1]])(at[2])


def reference(r, tree):
    """A name is another name of this file."""
    fits = lambda v, k: isinstance(v, str)
    at, by = pick(r, tree, fits), pick(r, tree, fits)
    if at:
        at[0][at[1]] = by[2]


def graft(r, tree):
    """A part of another model stands in the place of the same key."""
    at = pick(r, tree, lambda v, k: True)
    donor = parse(r.choice(MODELS)[0])
    by = at and (pick(r, donor, lambda v, k: k == at[3]) or
                 pick(r, donor, lambda v, k: True))
    if by:
        at[0][at[1]] = by[2]


KINDS = [number] * 8 + [shape] * 5 + [operation] * 3 + [
    dtype, dtype, exchange, reference, reference, argument, graft, lists, drop,
    repeat, rename, other_kind]


def pool(key):
    values = set()
    for text, _ in MODELS:
        values.update(v for _, _, v, k in places(parse(text))
                      if k == key and isinstance(v, str))
    return sorted(values)


OPS, TYPES = pool("op"), pool("type")
KEYS = sorted([p[0]] for p in {p[0]: p for text, _ in MODELS
                               for c in containers(parse(text))
                               if isinstance(c, Object) for p in c}.values())


def flag(r, tree):
    """What --dim gives: a size, mostly of a dim that there is; "-" mostly."""
    names = [p[0] for key, dims in tree if key == "dims"
             for p in dims if isinstance(dims, Object)] \
        if isinstance(tree, Object) else []
    if not names or r.random() < 0.5:
        return "-"
    name, size = r.choice(names), r.choice(r.choice([SMALL, EXTREMES]))
    known = name.isidentifier() and size.lstrip("-").isdigit()
    return f"{name}={size}" if known else "-"


def damage(seed):
    """(text, entries, --dim, kinds of damage) of a damaged model."""
    r = random.Random(seed)
    text, entries = r.choice(r.choice([MODELS] * 3 + [WHOLES]))
    tree = parse(text)
    kinds = [r.choice(KINDS) for _ in range(r.randint(1, 3))]
    for kind in kinds:
        kind(r, tree)
    return (dump(tree), r.choice(entries), flag(r, tree),
            [k.__name__ for k in kinds])
