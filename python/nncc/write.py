"""Writes the two files of a model."""
import contextlib
import json
import os
import shutil
import tempfile

from safetensors.torch import save_file


_FILES = ("weights.safetensors", "model.json")


@contextlib.contextmanager
def folder_for(directory):
    """`directory`, made if it is not there, and a new folder in it for what is
    not done yet: before any work, so that it is not for nothing. Where that
    fails, no folder is left behind."""
    if not isinstance(directory, (str, bytes, os.PathLike)):
        raise TypeError("directory must be a path, got "
                        f"{type(directory).__name__}")
    path = os.fsdecode(directory)
    if not path or "\0" in path:
        raise ValueError(f"directory must be a path, got {path!r}")
    path = os.path.abspath(path)
    missing = _missing(path)
    try:
        try:
            os.makedirs(path, exist_ok=True)
            for name in _FILES:
                if os.path.isdir(os.path.join(path, name)):
                    raise IsADirectoryError(0, f"{name} in it is a folder")
            folder = tempfile.mkdtemp(prefix=".nncc-", dir=path)
        except OSError as error:
            what = error.strerror[:1].lower() + error.strerror[1:]
            if isinstance(error, FileExistsError):
                what = "it is a file" if os.path.exists(path) else \
                    "it is a link to nothing"
            raise type(error)(f"cannot write to the directory {path}: "
                              f"{what}") from None
        try:
            yield path, folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    except BaseException:
        for one in missing:
            with contextlib.suppress(OSError):  # someone else's is in it
                os.rmdir(one)
        raise


def _missing(path):
    """Folders that are not there, the innermost first."""
    found = []
    while not os.path.lexists(path):
        found.append(path)
        path = os.path.dirname(path)
    return found


def write(model, weights, directory, folder, accept, check=None):
    """Both files, or none: they are made in `folder`, looked at by
    `accept(path of the model)` and `check(folder)`, and moved."""
    mask = os.umask(0)
    os.umask(mask)
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
    for name in _FILES:
        os.chmod(os.path.join(folder, name), 0o666 & ~mask)
        os.replace(os.path.join(folder, name), os.path.join(directory, name))


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
