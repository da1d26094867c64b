"""What the compiler takes, by `nncc schema`: which functions, modules and
optimizers, and which forms of their arguments."""
import json
import subprocess

from .graph import Mode, values_in

# Of JSON Schema, what an argument's says: no words are any value.
_WORDS = {"anyOf", "$ref", "type", "enum", "minimum", "maximum", "items"}


class Schema:
    def __init__(self):
        from .runner import find_nncc
        done = subprocess.run([find_nncc(), "schema"], capture_output=True,
                              text=True)
        if done.returncode:
            raise RuntimeError(done.stderr.strip())
        self._parts = json.loads(done.stdout)["$defs"]
        self.ops = {}  # function -> its schema
        self.aliases = {}  # second name of a function -> its first
        for function in self._parts["function"]["anyOf"]:
            for op in function["properties"]["op"]["enum"]:
                self.ops[op] = function
            self.aliases.update(function.get("x-aliases", {}))
        self.modules = {}  # type -> its schema
        for module in self._parts["module"]["anyOf"]:
            for kind in module["properties"]["type"].get("enum", []):
                self.modules[kind] = module
        self.optimizers = {one["properties"]["type"]["const"]: one
                           for one in self._parts["optimizer"]["anyOf"]}

    def lacks(self, op, inputs, arguments):
        """What of a call the compiler does not have, or None."""
        known = self.ops.get(op)
        if known is None:
            return op
        names, given = known["x-positional"], dict(arguments)
        for i, value in enumerate(inputs):
            # More integers than arguments are sizes, or the like.
            name = names[min(i, len(names) - 1)] if names else None
            rest = i >= len(names) and isinstance(value, int)
            if name is None or i >= len(names) and not rest:
                return f"{op} with {len(inputs)} arguments"
            given.setdefault(name, value)
        return self._misfit(op, known, given)

    def lacks_of(self, described):
        """The same of a module's description."""
        kind = described["type"]
        known = self.modules.get(kind)
        return kind if known is None else self._misfit(kind, known, described)

    def _misfit(self, what, known, given):
        for name, value in given.items():
            own = known["properties"].get(name)
            if own is None:
                return f"{what} with {name}"
            if not self._fits(own, value):
                shown = "a tensor" if any(True for _ in values_in([value])) \
                    else json.dumps(value)
                return f"{what} with {name} = {shown}"
        return None

    def _fits(self, schema, value):
        if not _WORDS & schema.keys():
            return True
        value = value.trains if isinstance(value, Mode) else value
        if "$ref" in schema:
            return self._fits(self._parts[schema["$ref"].split("/")[-1]],
                              value)
        if "anyOf" in schema:
            return any(self._fits(one, value) for one in schema["anyOf"])
        if "enum" in schema:
            return any(type(one) is type(value) and one == value
                       for one in schema["enum"])
        kinds = {"integer": int, "number": (int, float), "boolean": bool,
                 "array": (list, tuple), "object": dict, "string": str,
                 "null": type(None)}
        kind = kinds[schema["type"]]
        if not isinstance(value, kind) or \
                isinstance(value, bool) and kind is not bool:
            return False
        if "items" in schema:
            return all(self._fits(schema["items"], one) for one in value)
        return schema.get("minimum", value) <= value <= \
            schema.get("maximum", value) if kind in (
                int, (int, float)) else True
