//===- Shapes.cpp - views, indexing, joining ------------------------------===//
#include "dialect/Nncc.h"
#include "frontend/ModuleDef.h"
#include <numeric>

namespace nncc {

using K = ArgKind;

static Result emitFlatten(Call &c) {
  Expr x = c.tensor("input");
  if (x.rank() == 0)
    return reshape(x, {1});
  int64_t first = c.dim("start_dim", x.rank());
  int64_t last = c.dim("end_dim", x.rank());
  if (c.failed)
    return {};
  if (first > last)
    return c.error("start_dim", "start_dim must not come after end_dim");
  llvm::SmallVector<int64_t> shape(x.shape().take_front(first));
  int64_t count = 1;
  for (int64_t d = first; d <= last; ++d)
    count *= x.dim(d);
  shape.push_back(count);
  llvm::append_range(shape, x.shape().drop_front(last + 1));
  return reshape(x, shape);
}

/// One size may be -1: whatever is left.
static Result emitReshape(Call &c) {
  Expr x = c.tensor("input");
  auto shape = c.integers("shape");
  int64_t known = 1, open = -1, count = x.type().getNumElements();
  for (auto [d, size] : llvm::enumerate(shape)) {
    if (size == -1 && open < 0)
      open = d;
    else if (size < 0)
      return c.error("shape", "sizes must not be negative, and one may be -1");
    else
      known *= size;
  }
  if (open >= 0 && known > 0 && count % known == 0)
    known *= shape[open] = count / known;
  if (known != count || (open >= 0 && shape[open] < 0))
    return c.error("shape", "cannot give " + shapeText(x.shape()) +
                                " the shape " + shapeText(shape));
  return reshape(x, shape);
}

static Result emitPermute(Call &c) {
  Expr x = c.tensor("input");
  auto dims = c.integers("dims");
  for (int64_t &d : dims)
    d = d < 0 ? d + x.rank() : d;
  llvm::SmallVector<int64_t> sorted(dims), all(x.rank());
  llvm::sort(sorted);
  std::iota(all.begin(), all.end(), 0);
  if (sorted != all)
    return c.error("dims", "dims must name each of " + llvm::Twine(x.rank()) +
                               " dimensions once");
  return transpose(x, dims);
}

static Result emitTranspose(Call &c) {
  Expr x = c.tensor("input");
  int64_t d = c.dim("dim0", x.rank()), e = c.dim("dim1", x.rank());
  return c.failed ? Result() : swapDims(x, d, e);
}

static Result emitUnsqueeze(Call &c) {
  Expr x = c.tensor("input");
  int64_t d = c.dim("dim", x.rank() + 1);
  llvm::SmallVector<int64_t> shape(x.shape());
  shape.insert(shape.begin() + d, 1);
  return c.failed ? Result() : reshape(x, shape);
}

static Result emitSqueeze(Call &c) {
  Expr x = c.tensor("input");
  llvm::SmallVector<int64_t> shape;
  int64_t only = c.has("dim") ? c.dim("dim", x.rank()) : -1;
  for (int64_t d = 0; d < x.rank(); ++d)
    if (x.dim(d) != 1 || (c.has("dim") && d != only))
      shape.push_back(x.dim(d));
  return c.failed ? Result() : reshape(x, shape);
}

static Result emitUnbind(Call &c) {
  Expr x = c.tensor("input");
  int64_t d = c.dim("dim", x.rank());
  if (c.failed)
    return {};
  llvm::SmallVector<int64_t> shape(x.shape());
  shape.erase(shape.begin() + d);
  std::vector<Result> parts;
  for (int64_t i = 0; i < x.dim(d); ++i)
    parts.push_back(reshape(slice(x, d, i, 1), shape));
  return Result::tuple(parts);
}

/// Slices of these sizes along dimension d.
static Result pieces(Expr x, int64_t d, llvm::ArrayRef<int64_t> sizes) {
  std::vector<Result> parts;
  int64_t start = 0;
  for (int64_t size : sizes) {
    parts.push_back(slice(x, d, start, size));
    start += size;
  }
  return Result::tuple(parts);
}

/// Sizes of parts of `size` of `length` elements, the last one of the rest.
static llvm::SmallVector<int64_t> partsOf(int64_t length, int64_t size) {
  llvm::SmallVector<int64_t> sizes;
  for (int64_t start = 0; start == 0 || start < length; start += size)
    sizes.push_back(std::min(size, length - start));
  return sizes;
}

static Result emitSplit(Call &c) {
  // torch.split and Tensor.split differ in their arguments' names.
  llvm::StringRef argument = c.def.inputs[1].name;
  Expr x = c.tensor(c.def.inputs[0].name);
  int64_t d = c.dim("dim", x.rank());
  if (c.failed)
    return {};
  auto sizes = c.integers(argument);
  int64_t length = x.dim(d), sum = 0;
  if (c.literal(argument)) { // one number
    if (sizes.front() == 0 && length != 0)
      return c.error(argument, argument + " must be at least 1, got 0");
    return pieces(x, d, partsOf(length, std::max<int64_t>(1, sizes.front())));
  }
  for (int64_t size : sizes)
    sum += size;
  if (sum != length)
    return c.error(argument,
                   "sizes " + shapeText(sizes) + " do not add up to the " +
                       llvm::Twine(length) + " of dimension " + llvm::Twine(d));
  return pieces(x, d, sizes);
}

static Result emitChunk(Call &c) {
  Expr x = c.tensor("input");
  int64_t d = c.dim("dim", x.rank()), count = c.integer("chunks");
  if (c.failed)
    return {};
  int64_t size = std::max<int64_t>(1, (x.dim(d) + count - 1) / count);
  return pieces(x, d, partsOf(x.dim(d), size));
}

static Result emitExpand(Call &c) {
  Expr x = c.tensor("input");
  auto shape = c.integers("shape");
  int64_t shift = int64_t(shape.size()) - x.rank();
  for (int64_t d = std::max<int64_t>(shift, 0); d < int64_t(shape.size()); ++d)
    if (shape[d] == -1)
      shape[d] = x.dim(d - shift);
  auto result = broadcastShape(x.shape(), shape);
  if (shift < 0 || !result || *result != shape)
    return c.error("shape", "cannot expand " + shapeText(x.shape()) + " to " +
                                shapeText(shape));
  return broadcastTo(x, shape);
}

/// All of the type of their arithmetic.
static std::vector<Expr> unified(std::vector<Expr> xs) {
  mlir::Type wide = xs[0].element();
  for (Expr x : xs)
    wide = promotedType(wide, x.element());
  for (Expr &x : xs)
    x = convert(x, wide);
  return xs;
}

static Result emitCat(Call &c) {
  std::vector<Expr> xs = c.tensors("tensors");
  if (xs.empty())
    return c.error("tensors", "needs at least one tensor");
  int64_t d = c.dim("dim", xs[0].rank());
  for (Expr x : xs) {
    llvm::SmallVector<int64_t> expected(xs[0].shape());
    if (x.rank() == xs[0].rank())
      expected[d] = x.dim(d);
    if (x.shape() != Ints(expected))
      return c.error("tensors", "cannot join " + shapeText(xs[0].shape()) +
                                    " and " + shapeText(x.shape()) +
                                    " along dim " + llvm::Twine(d));
  }
  return c.failed ? Result() : concat(unified(xs), d);
}

static Result emitStack(Call &c) {
  std::vector<Expr> xs = c.tensors("tensors");
  if (xs.empty())
    return c.error("tensors", "needs at least one tensor");
  int64_t d = c.dim("dim", xs[0].rank() + 1);
  if (c.failed)
    return {};
  for (Expr &x : xs) {
    if (x.shape() != xs[0].shape())
      return c.error("tensors", "shapes " + shapeText(xs[0].shape()) + " and " +
                                    shapeText(x.shape()) + " differ");
    // xs[0] is compared with, so it changes last.
  }
  for (Expr &x : xs) {
    llvm::SmallVector<int64_t> shape(x.shape());
    shape.insert(shape.begin() + d, 1);
    x = reshape(x, shape);
  }
  return concat(unified(xs), d);
}

static Result emitDetach(Call &c) { return detach(c.tensor("input")); }

static Result emitIndexSelect(Call &c) {
  Expr x = c.tensor("input"), index = c.tensor("index");
  int64_t d = c.dim("dim", x.rank());
  if (index.isFloat() || index.rank() != 1)
    return c.error("index", "index must be a vector of integers");
  return c.failed ? Result() : gather(x, index, d);
}

/// A part of a slice "start:stop:step"; `standard` if it is empty.
static bool slicePart(llvm::StringRef text, int64_t standard, int64_t &value) {
  value = standard;
  return text.empty() || !text.getAsInteger(10, value);
}

/// Indexing: integers, slices, null (a new dimension), "..." and one tensor of
/// integers.
static Result emitGetItem(Call &c) {
  Expr x = c.tensor("input");
  const Json &index = c.args.find("index")->second.literal;
  std::vector<Json> entries = index.items;
  if (!index.isArray())
    entries = {index};
  int64_t consumed = 0;
  for (const Json &entry : entries)
    consumed += !entry.isNull() && entry.string != "...";
  if (consumed > x.rank())
    return c.error("index", "index has " + llvm::Twine(consumed) +
                                " entries, the tensor " + shapeText(x.shape()));
  bool hasTensor = false;
  int64_t d = 0;
  auto drop = [&](bool insert) {
    llvm::SmallVector<int64_t> shape(x.shape());
    if (insert)
      shape.insert(shape.begin() + d, 1);
    else
      shape.erase(shape.begin() + d);
    x = reshape(x, shape);
  };
  for (const Json &entry : entries) {
    if (entry.isNull()) {
      drop(true);
      ++d;
    } else if (entry.isInteger()) {
      int64_t i = entry.integer, size = x.dim(d);
      if (i < -size || i >= size)
        return c.error("index", "index " + llvm::Twine(i) +
                                    " is out of range for size " +
                                    llvm::Twine(size));
      x = slice(x, d, i < 0 ? i + size : i, 1);
      drop(false);
    } else if (entry.isString() && entry.string == "...") {
      d += x.rank() - d - consumed;
      continue;
    } else if (entry.isString()) {
      llvm::SmallVector<llvm::StringRef> parts;
      llvm::StringRef(entry.string).split(parts, ':');
      int64_t size = x.dim(d), start, stop, step = 1;
      bool valid =
          parts.size() >= 2 && parts.size() <= 3 &&
          slicePart(parts[0], 0, start) && slicePart(parts[1], size, stop) &&
          (parts.size() < 3 || slicePart(parts[2], 1, step)) && step > 0;
      if (!valid)
        return c.error("index", "\"" + entry.string +
                                    "\" is no slice start:stop:step with a "
                                    "positive step");
      auto clamp = [&](int64_t i) {
        return std::clamp<int64_t>(i < 0 ? i + size : i, 0, size);
      };
      start = clamp(start);
      int64_t count =
          (std::max(clamp(stop) - start, int64_t(0)) + step - 1) / step;
      x = slice(x, d, start, count, step);
      ++d;
    } else if (const Arg *tensor = c.indexTensor(entry)) {
      if (hasTensor)
        return c.error("index", "more than one tensor in an index is not "
                                "supported yet");
      hasTensor = true;
      Expr i = tensor->result.value;
      if (i.isFloat() || i.element().isInteger(1))
        return c.error("index",
                       "a tensor in an index must have integers, got " +
                           dtypeName(i.element()));
      // Negative ones count from the end.
      Expr fromEnd = i + full(i.context(), i.element(), {}, double(x.dim(d)));
      Expr zero = full(i.context(), i.element(), i.shape(), 0);
      x = gather(x, select(compare(Predicate::lt, i, zero), fromEnd, i), d);
      d += i.rank();
    } else {
      return c.error("index", "an entry of an index is an integer, a slice, "
                              "null, \"...\" or {\"value\": name}");
    }
    consumed -= !entry.isNull();
  }
  return x;
}

static Result emitArange(Call &c) {
  int64_t start = 0, end = c.integer("start"), step = 1;
  if (c.has("end")) {
    start = end;
    end = c.integer("end");
  }
  if (c.has("step"))
    step = c.integer("step");
  if (step == 0 || (end - start) / step < 0)
    return c.error("", "step must lead from start to end");
  int64_t count = (end - start + step - (step > 0 ? 1 : -1)) / step;
  auto *context = c.builder->b.getContext();
  mlir::Type type = parseDType(
      c.has("dtype") ? c.word("dtype") : llvm::StringRef("i64"), context);
  return iota(*c.builder, type, {count}, 0, start, step);
}

/// A constant of the shape "size"; f32 unless "dtype" says otherwise.
static Result constantOf(Call &c, double value, llvm::StringRef dtype) {
  mlir::Type type = parseDType(c.has("dtype") ? c.word("dtype") : dtype,
                               c.builder->b.getContext());
  return full(*c.builder, type, c.integers("size"), value);
}
static Result emitZeros(Call &c) { return constantOf(c, 0, "f32"); }
static Result emitOnes(Call &c) { return constantOf(c, 1, "f32"); }
static Result emitFull(Call &c) {
  const Json *value = c.literal("fill_value"); // none for "inf"
  return constantOf(c, c.number("fill_value"),
                    value && value->isInteger() ? "i64" : "f32");
}

static Result emitSame(Call &c) { return c.tensor("input"); }

void registerShapes(Registry &r) {
  ArgDef input("input", K::tensor), dim("dim", K::integer);
  auto function = [&](std::vector<std::string> names, const char *doc,
                      std::vector<ArgDef> args, Result (*emit)(Call &)) {
    r.add({std::move(names), doc, {}, std::move(args), nullptr, nullptr, emit});
  };
  r.add({{"nn.Flatten"},
         "merges dimensions start_dim to end_dim",
         {ArgDef("start_dim", K::integer).optional("1"),
          ArgDef("end_dim", K::integer).optional("-1")},
         {input},
         nullptr,
         nullptr,
         emitFlatten});
  function({"torch.flatten", "Tensor.flatten"},
           "merges dimensions start_dim to end_dim",
           {input, ArgDef("start_dim", K::integer).optional("0"),
            ArgDef("end_dim", K::integer).optional("-1")},
           emitFlatten);
  auto shape = ArgDef("shape", K::integers).rest();
  function({"Tensor.view", "Tensor.reshape", "torch.reshape"},
           "same elements, another shape", {input, shape}, emitReshape);
  function({"Tensor.expand"}, "repeats dimensions of size 1", {input, shape},
           emitExpand);
  function({"Tensor.permute", "torch.permute"}, "permutes dimensions",
           {input, ArgDef("dims", K::integers).rest()}, emitPermute);
  function({"Tensor.transpose", "Tensor.transpose_", "torch.transpose"},
           "swaps two dimensions",
           {input, ArgDef("dim0", K::integer), ArgDef("dim1", K::integer)},
           emitTranspose);
  function({"Tensor.unsqueeze", "Tensor.unsqueeze_", "torch.unsqueeze"},
           "a new dimension of size 1", {input, dim}, emitUnsqueeze);
  function({"Tensor.squeeze", "Tensor.squeeze_", "torch.squeeze"},
           "drops dimensions of size 1",
           {input, ArgDef("dim", K::integer).optional()}, emitSqueeze);
  function({"Tensor.unbind", "torch.unbind"}, "slices along dim, as a tuple",
           {input, ArgDef("dim", K::integer).optional("0")}, emitUnbind);
  auto tensors = ArgDef("tensors", K::tensors);
  auto dim0 = ArgDef("dim", K::integer).optional("0");
  function({"Tensor.split"}, "parts along dim, as a tuple",
           {input, ArgDef("split_size", K::integers).min(0), dim0}, emitSplit);
  function({"torch.split"}, "parts along dim, as a tuple",
           {ArgDef("tensor", K::tensor),
            ArgDef("split_size_or_sections", K::integers).min(0), dim0},
           emitSplit);
  function({"Tensor.chunk", "torch.chunk"}, "equal parts along dim, as a tuple",
           {input, ArgDef("chunks", K::integer).min(1), dim0}, emitChunk);
  function({"torch.cat", "torch.concat"}, "joins along dim", {tensors, dim0},
           emitCat);
  function({"torch.stack"}, "joins along a new dim", {tensors, dim0},
           emitStack);
  function({"torch.index_select", "Tensor.index_select"},
           "rows along dim at index", {input, dim, ArgDef("index", K::tensor)},
           emitIndexSelect);
  function({"Tensor.__getitem__"}, "basic indexing",
           {input, ArgDef("index", K::index)}, emitGetItem);
  function({"torch.arange"}, "start, start + step, ...",
           {ArgDef("start", K::integer), ArgDef("end", K::integer).optional(),
            ArgDef("step", K::integer).optional(),
            ArgDef("dtype", K::dtype).optional()},
           emitArange);
  auto size = ArgDef("size", K::integers).min(0).rest();
  auto dtype = ArgDef("dtype", K::dtype).optional();
  function({"torch.zeros"}, "zeros", {size, dtype}, emitZeros);
  function({"torch.ones"}, "ones", {size, dtype}, emitOnes);
  function({"torch.full"}, "one number everywhere",
           {ArgDef("size", K::integers).min(0), ArgDef("fill_value", K::number),
            dtype},
           emitFull);
  function({"Tensor.detach", "Tensor.detach_"}, "its input, without a gradient",
           {input}, emitDetach);
  function({"Tensor.contiguous", "Tensor.clone"}, "returns its input", {input},
           emitSame);
}

} // namespace nncc
