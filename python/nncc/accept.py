"""What the compiler says of a written model, at the user's module and line.

The exporter knows what functions and arguments there are, not every shape and
type that goes together: that is the compiler's to check, and its words stand.
"""
import re
import subprocess

from .graph import Placed, Problem, sentences
from .modules import UnsupportedModel
from .runner import find_nncc
from .write import flat_at, pretty

_ERROR = re.compile(r"^.*?:(\d+):\d+: error: (.*)$", re.M)
# "name (op): what", where names are the file's.
_OF = re.compile(r"^(\S* )?\((\S+)\): ")


def check_accepted(path, model, has_loss):
    """Raises UnsupportedModel if the compiler does not take `model`, which was
    written to `path`."""
    entries = ["forward"]
    training, trains = model.get("training", {}), model.get("train") is None \
        or isinstance(model["train"], dict)
    if trains:
        entries.append("train_forward")
    if trains and has_loss:
        entries.append("train_step" if "optimizer" in training
                       else "loss_and_grad")
    done = subprocess.run(
        [find_nncc(), "compile", path, "--emit=graph", "-o", "/dev/null",
         "--entries=" + ",".join(entries)], capture_output=True, text=True)
    if not done.returncode:
        return
    found = _ERROR.findall(done.stderr)
    if not found:
        raise RuntimeError(done.stderr.strip())
    with open(path) as file:
        places = _places(model, file.read())
    raise UnsupportedModel(sentences(
        [_problem(int(line), text, places) for line, text in found]))


def _problem(line, text, places):
    text = _OF.sub(r"\2: ", text)
    for first, last, place in places:
        if first <= line <= last:
            return Problem(f"nncc does not take {text}", place)
    return Problem(f"nncc does not take the exported model: {text}")


def _places(model, text):
    """Lines of the text, from first to last, and what stands there."""
    at, found = 0, []

    def visit(value, indent):
        nonlocal at
        if isinstance(value, Placed):
            own = pretty(value, indent)
            at = text.index(own, at)
            first = text.count("\n", 0, at) + 1
            found.append((first, first + own.count("\n"), value.place))
            at += len(own)
        elif isinstance(value, (dict, list)):
            inner = indent if flat_at(value, indent) else indent + 1
            for item in value.values() if isinstance(value, dict) else value:
                visit(item, inner)

    visit(model, 0)
    return found
