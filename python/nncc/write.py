"""Writes the two files of a model."""
import json
import os
import shutil
import tempfile

from safetensors.torch import save_file


def write(model, weights, directory, accept, check=None):
    """Both files, or none: they are made in a folder of their own, looked at
    by `accept(path of the model)` and `check(folder)`, and moved."""
    directory = os.path.abspath(os.fspath(directory))
    os.makedirs(directory, exist_ok=True)
    mask = os.umask(0)
    os.umask(mask)
    folder = tempfile.mkdtemp(prefix=".nncc-", dir=directory)
    try:
        with open(os.path.join(folder, "model.json"), "w") as file:
            file.write(pretty(model) + "\n")
        accept(os.path.join(folder, "model.json"))
        seen = set()
        for name, tensor in weights.items():
            tensor = tensor.detach().contiguous()
            if tensor.untyped_storage().data_ptr() in seen:
                tensor = tensor.clone()  # the file has no shared memory
            seen.add(tensor.untyped_storage().data_ptr())
            weights[name] = tensor
        save_file(weights, os.path.join(folder, "weights.safetensors"))
        if check:
            check(folder)
        for name in ("weights.safetensors", "model.json"):
            os.chmod(os.path.join(folder, name), 0o666 & ~mask)
            os.replace(os.path.join(folder, name),
                       os.path.join(directory, name))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def bytes_of(size):
    for unit in ("B", "KB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"


def flat_at(value, indent):
    """The text of a value that stands on one line, or None."""
    flat = json.dumps(value)
    is_short = len(flat) + indent <= 100 or not isinstance(value, (dict, list))
    return flat if is_short else None


def pretty(value, indent=0):
    """JSON with one line per node or module, as a person would write it."""
    flat = flat_at(value, indent)
    if flat is not None:
        return flat
    pad = " " * (indent + 1)
    if isinstance(value, dict):
        items = [f"{json.dumps(k)}: {pretty(v, indent + 1)}"
                 for k, v in value.items()]
        return "{\n" + ",\n".join(pad + i for i in items) + "}"
    return "[\n" + ",\n".join(pad + pretty(v, indent + 1)
                              for v in value) + "]"
