"""The graphs of eval and train mode in one file: what they have in common
stands once."""
from collections.abc import Mapping

from .outline import merge, plain


class Joined:
    """The graphs of a model: `nodes`, `outputs`, `bodies` of classes by path,
    and `train`, what the file says of entries that train (None: nothing).

    `graph` is the outline of eval mode, `train` the run in train mode, or None
    where there is none.
    """

    def __init__(self, run, graph, train):
        self.graph, self.final = graph, graph
        self.run, self.one = run, train is not None
        self.bodies, self.train, self.problems = graph.bodies, None, []
        if train is None:
            self._finish()
            return
        self.final = train.outline(with_updates=True)
        # Constants made of buffers that change after all.
        self.problems = [problem for buffers, problem in
                         [*graph.folded, *self.final.folded]
                         if buffers & set(self.final.updates)]
        updates = {"updates": self.final.updates} if self.final.updates else {}
        # Nodes that only compute new values of buffers may stand in both.
        if updates and self._is_same(graph, train.outline()):
            self.bodies, self.train, self.run = self.final.bodies, updates, \
                train
            self._finish()
            return
        self.bodies = self._join_bodies(graph.bodies, self.final.bodies)
        self.one = merge(_top(graph), _top(self.final))
        graphs = {} if self.one else {
            "nodes": plain(self.final.nodes),
            "outputs": named_outputs(train, self.final.outputs)}
        self.train = {**graphs, **updates} or None
        self._finish()

    def _finish(self):
        top = self.final if self.one else self.graph
        self.nodes = plain(top.nodes)
        self.outputs = named_outputs(self.run, top.outputs)
        self.bodies = plain(self.bodies)

    def _is_same(self, ours, theirs):
        return set(ours.bodies) == set(theirs.bodies) and merge(
            whole(ours), whole(theirs))

    def _join_bodies(self, ours, theirs):
        bodies = {}
        for path in {**ours, **theirs}:
            mine, other = ours.get(path), theirs.get(path)
            if other is None:
                bodies[path] = mine
            elif mine is None:
                bodies[path] = {"inputs": [], "nodes": [], "outputs": [],
                                "train": other}
            elif merge(mine, other):
                bodies[path] = other
            else:
                bodies[path] = {**mine, "train": other}
        return bodies

    def loss(self):
        """The nodes of the loss and its name, in both modes."""
        ours, theirs = ({"nodes": g.loss_nodes, "loss": g.loss}
                        for g in (self.graph, self.final))
        if merge(ours, theirs):
            return plain(theirs)
        section = plain(ours) if self.graph.loss is not None else {}
        return {**section, "train": plain(theirs)}


def _top(graph):
    return {"nodes": graph.nodes, "outputs": graph.outputs}


def whole(graph):
    """All that an outline has but for new values of buffers."""
    return {**_top(graph), "bodies": dict(sorted(graph.bodies.items())),
            "loss": graph.loss_nodes}


def named_outputs(run, names):
    """A list of values; an object where the outputs have names of their own,
    one value is two of them, or one is a state."""
    named = isinstance(run.result, Mapping)
    states = [value.source == "state" or "." in name
              for (_, value), name in zip(run.outputs, names)]
    if not named and not any(states) and len(set(names)) == len(names):
        return names
    result, taken = {}, {n for kind in run.before.values() for n in kind}
    for (given, _), value, is_state in zip(run.outputs, names, states):
        base = "".join(c if c.isascii() and c.isalnum() else "_"
                       for c in (given if named else value))
        if is_state and not named or not base or base[0].isdigit():
            base = "output_" + base
        name, i = base, 1
        while name in result or name in taken:
            name, i = f"{base}_{i}", i + 1
        result[name] = value
    return result
