"""Damages files of arrays: safetensors by what their header says, .npz and .npy
by bytes. `damage(seed, data)` gives (kinds of damage, bytes); the same seed
gives the same bytes."""
import json
import random
import struct

EXTREMES = [0, 1, -1, 2**31, 2**32, 2**53 + 1, 2**62, 2**63 - 1, 2**63,
            2**64 - 1, 2**64, 1e308, 0.5, -0.0]
DTYPES = ["F64", "F16", "BF16", "I64", "I8", "U8", "BOOL", "F8_E4M3", "C64",
          "U16", "U64", "f32", "", "F32\0", None, 3, [], {}]
NAMES = ["", "a\nb", "\x1b[31m", "x" * 100000, "optimizer.step",
         "__metadata__", "\xff", "\u2028", "conv.bias"]
METADATA = [1, [], "x", {"a": 1}, {"a": {}}, {"a": "b", "a\0": "c"}, None,
            {"nncc.seed": "0"}, {"nncc.training": "{"}]


def parse(data):
    length = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8:8 + length]), data[8 + length:]


def build(header, body, length=None):
    if not isinstance(header, bytes):
        header = json.dumps(header).encode()
    length = len(header) if length is None else length % 2**64
    return struct.pack("<Q", length) + header + body


def cut(r, data):
    return data[:r.randrange(len(data))]


def cut_header(r, data):
    return data[:r.randrange(min(len(data), 400))]


def flip(r, data):
    damaged = bytearray(data)
    for _ in range(r.randint(1, 4)):
        damaged[r.randrange(min(len(data), 600))] = r.randrange(256)
    return bytes(damaged)


def longer(r, data):
    return data + bytes(r.choice([1, 4, 100]))


def of_header(change):
    """A kind of damage that changes the header: change(r, header, one of its
    tensors' names) gives what stands there instead, or nothing."""
    def damaged(r, data):
        header, body = parse(data)
        name = r.choice([k for k in header if k != "__metadata__"])
        other = change(r, header, name)
        return build(header if other is None else other, body)
    damaged.__name__ = change.__name__
    return damaged


def length(r, data):
    header, body = parse(data)
    return build(header, body, r.choice(EXTREMES[:11]) + r.choice([0, 7, 100]))


@of_header
def offset(r, header, name):
    at = header[name]["data_offsets"]
    at[r.randrange(2)] = r.choice(EXTREMES + [at[0] + 1])


@of_header
def turned(r, header, name):
    header[name]["data_offsets"].reverse()


@of_header
def overlap(r, header, name):
    other = r.choice([k for k in header if k != "__metadata__"])
    header[name]["data_offsets"] = header[other]["data_offsets"]


@of_header
def shape(r, header, name):
    header[name]["shape"] = [r.choice(EXTREMES + [2, 3])
                             for _ in range(r.randrange(12))]


@of_header
def rank(r, header, name):
    header[name]["shape"] += [1] * r.choice([1, 5, 7, 8, 9, 100])


@of_header
def dtype(r, header, name):
    header[name]["dtype"] = r.choice(DTYPES)


@of_header
def twice(r, header, name):
    return (json.dumps(header)[:-1] + ", " + json.dumps(name) + ": " +
            json.dumps(header[name]) + "}").encode()


@of_header
def stray_byte(r, header, name):
    text = json.dumps(header).encode()
    i = r.randrange(len(text))
    return text[:i] + bytes([r.choice([0xff, 0xc0, 0x80, 0xed, 0, 0x1b])]) + \
        text[i:]


@of_header
def nested(r, header, name):
    header[name] = [[header[name]]]


@of_header
def deep(r, header, name):
    return r.choice([b"[", b'{"a":', b"{"]) * r.choice([100, 10000, 1000000])


@of_header
def key(r, header, name):
    header[name][r.choice(["x", "dtype2", "shape"])] = 1


@of_header
def metadata(r, header, name):
    header["__metadata__"] = r.choice(METADATA)


@of_header
def entry(r, header, name):
    header[name] = r.choice([1, "x", None, [], {}, True])


@of_header
def nothing(r, header, name):
    header.clear()


@of_header
def renamed(r, header, name):
    header[r.choice(NAMES)] = header.pop(name)


@of_header
def null(r, header, name):
    header[name][r.choice(list(header[name]))] = None


@of_header
def blanks(r, header, name):
    return json.dumps(header, indent=r.choice([1, None])).encode() + \
        b" " * r.choice([1, 7, 1000])


@of_header
def dropped(r, header, name):
    del header[name]


@of_header
def marked(r, header, name):
    return b"\xef\xbb\xbf" + json.dumps(header).encode()


BYTES = [cut, cut_header, flip, flip, longer]
KINDS = BYTES + [length, offset, turned, overlap, shape, rank, dtype, twice,
                 stray_byte, nested, deep, key, metadata, entry, nothing,
                 renamed, null, blanks, dropped, marked]


def damage(seed, data):
    r = random.Random(seed)
    is_safetensors = data[8:9] == b"{"
    kinds = []
    for _ in range(r.choice([1, 1, 1, 2])):
        kind = r.choice(KINDS if is_safetensors else BYTES)
        try:
            data = kind(r, data)
        except (ValueError, struct.error, KeyError, IndexError, TypeError,
                AttributeError, RecursionError):
            break  # the first one left nothing that the second can change
        kinds.append(kind.__name__)
    return kinds, data
