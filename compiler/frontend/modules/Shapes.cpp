//===- Shapes.cpp - views, indexing, joining ------------------------------===//
#include "frontend/modules/Fragments.h"
#include "support/Size.h"
#include "llvm/Support/MathExtras.h"
#include <numeric>

namespace nncc {

static Result emitFlatten(Call &c) {
  Expr x = c.tensor("input");
  if (x.rank() == 0)
    return reshape(x, {1});
  int64_t first = c.dim("start_dim"), last = c.dim("end_dim");
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
    else if (llvm::MulOverflow(known, size, known))
      return c.error("shape",
                     "the sizes " + shapeText(shape) + " are too large");
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
  return swapDims(x, c.dim("dim0"), c.dim("dim1"));
}

static Expr unsqueeze(Expr x, int64_t dim) {
  llvm::SmallVector<int64_t> shape(x.shape());
  shape.insert(shape.begin() + dim, 1);
  return reshape(x, shape);
}

static Result emitSqueeze(Call &c) {
  Expr x = c.tensor("input");
  llvm::SmallVector<int64_t> shape;
  for (int64_t d = 0; d < x.rank(); ++d)
    if (x.dim(d) != 1 || !llvm::is_contained(c.dims("dim"), d))
      shape.push_back(x.dim(d));
  return reshape(x, shape);
}

static Result emitUnbind(Call &c) {
  Expr x = c.tensor("input");
  int64_t d = c.dim("dim");
  llvm::SmallVector<int64_t> shape(x.shape());
  shape.erase(shape.begin() + d);
  std::vector<Result> parts;
  if (c.isTooLong("", x.dim(d)))
    return {};
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

/// torch.split and Tensor.split differ in their arguments' names.
static Result emitSplit(Call &c, const std::string &argument) {
  Expr x = c.tensor("input");
  int64_t d = c.dim("dim");
  auto sizes = c.integers(argument);
  int64_t length = x.dim(d);
  Size sum = 0;
  if (c.isSingle(argument)) {
    if (sizes.front() == 0 && length != 0)
      return c.error(argument, argument + " must be at least 1, got 0");
    int64_t size = std::max<int64_t>(1, sizes.front());
    return c.isTooLong(argument, length / size)
               ? Result()
               : pieces(x, d, partsOf(length, size));
  }
  for (int64_t size : sizes)
    sum = sum + size;
  if (int64_t(sum) != length)
    return c.error(argument,
                   "sizes " + shapeText(sizes) + " do not add up to the " +
                       llvm::Twine(length) + " of dimension " + llvm::Twine(d));
  return pieces(x, d, sizes);
}

static Result emitChunk(Call &c) {
  Expr x = c.tensor("input");
  int64_t d = c.dim("dim"), count = c.integer("chunks");
  if (x.dim(d) == 0) // as many as asked for, all empty
    return c.isTooLong("chunks", count)
               ? Result()
               : pieces(x, d, llvm::SmallVector<int64_t>(count, 0));
  int64_t size = (x.dim(d) - 1) / count + 1;
  return c.isTooLong("chunks", x.dim(d) / size)
             ? Result()
             : pieces(x, d, partsOf(x.dim(d), size));
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
  int64_t d = c.dim("dim");
  for (Expr x : xs) {
    llvm::SmallVector<int64_t> expected(xs[0].shape());
    if (x.rank() == xs[0].rank())
      expected[d] = x.dim(d);
    if (x.shape() != Ints(expected))
      return c.error("tensors", "cannot join " + shapeText(xs[0].shape()) +
                                    " and " + shapeText(x.shape()) +
                                    " along dim " + llvm::Twine(d));
  }
  return concat(unified(xs), d);
}

static Result emitStack(Call &c) {
  std::vector<Expr> xs = c.tensors("tensors");
  int64_t d = c.dim("dim");
  for (Expr x : xs)
    if (x.shape() != xs[0].shape())
      return c.error("tensors", "shapes " + shapeText(xs[0].shape()) + " and " +
                                    shapeText(x.shape()) + " differ");
  for (Expr &x : xs)
    x = unsqueeze(x, d);
  return concat(unified(xs), d);
}

/// An index being applied, from the first dimension to the last.
class Indexing {
public:
  Indexing(Call &c, Expr x) : c(c), x(x) {}

  /// Integers, slices, null (a new dimension), "..." and one tensor of
  /// integers.
  Result run() {
    const Arg &index = *c.find("index");
    const auto &entries = *index.value->as<ArgValue::List>();
    for (const ArgValue &entry : entries)
      consumed += !entry.isNull() && !entry.as<Ellipsis>();
    if (consumed > x.rank())
      return c.error("index", "index has " + llvm::Twine(consumed) +
                                  " entries, the tensor " +
                                  shapeText(x.shape()));
    for (auto [entry, tensor] : llvm::zip_equal(entries, index.result.items))
      if (!apply(entry, tensor.value))
        return {};
    return x;
  }

private:
  bool fail(const llvm::Twine &text) {
    c.error("index", text);
    return false;
  }

  bool apply(const ArgValue &entry, Expr tensor) {
    if (entry.isNull()) {
      x = unsqueeze(x, d++);
      return true;
    }
    if (entry.as<Ellipsis>()) {
      d += x.rank() - d - consumed;
      return true;
    }
    --consumed;
    if (const auto *part = entry.as<Slice>())
      return slicePart(*part);
    return tensor ? gatherRows(tensor) : pick(entry.number()->toInteger());
  }

  bool pick(int64_t i) {
    int64_t size = x.dim(d);
    if (i < -size || i >= size)
      return fail("index " + llvm::Twine(i) + " is out of range for size " +
                  llvm::Twine(size));
    x = slice(x, d, i < 0 ? i + size : i, 1);
    llvm::SmallVector<int64_t> shape(x.shape());
    shape.erase(shape.begin() + d);
    x = reshape(x, shape);
    return true;
  }

  bool slicePart(const Slice &part) {
    int64_t size = x.dim(d);
    auto clamp = [&](int64_t i) {
      return std::clamp<int64_t>(i < 0 ? i + size : i, 0, size);
    };
    int64_t start = clamp(part.start.value_or(0));
    int64_t length =
        std::max<int64_t>(clamp(part.stop.value_or(size)) - start, 0);
    int64_t step = std::min(part.step, std::max<int64_t>(length, 1));
    x = slice(x, d, start, (length + step - 1) / step, step);
    ++d;
    return true;
  }

  /// Negative ones count from the end.
  bool gatherRows(Expr i) {
    if (hasTensor)
      return fail("more than one tensor in an index is not supported yet");
    hasTensor = true;
    if (i.isFloat() || i.element().isInteger(1))
      return fail("a tensor in an index must have integers, got " +
                  dtypeName(i.element()));
    if (i.element().isUnsignedInteger(8))
      return fail("a u8 tensor in an index is a mask in PyTorch, which is not "
                  "supported yet");
    c.limitInput(i, -x.dim(d), x.dim(d));
    i = asNumbers(i);
    Expr fromEnd = i + full(i.context(), i.element(), {}, x.dim(d));
    Expr zero = full(i.context(), i.element(), i.shape(), 0);
    x = gather(x, select(compare(Predicate::lt, i, zero), fromEnd, i), d);
    d += i.rank();
    return bool(x); // null once an error is told
  }

  Call &c;
  Expr x;
  int64_t d = 0, consumed = 0; // entries that take a dimension, still to come
  bool hasTensor = false;
};

static Result emitGetItem(Call &c) {
  return Indexing(c, c.tensor("input")).run();
}

static Result emitArange(Call &c) {
  int64_t start = 0, end = c.integer("start");
  int64_t step = c.integer("step");
  if (c.has("end")) {
    start = end;
    end = c.integer("end");
  }
  if (step == 0 || (step > 0 ? end < start : end > start))
    return c.error("", "step must lead from start to end");
  // Without a sign nothing overflows.
  uint64_t from = start, to = end, stride = step;
  uint64_t length = step > 0 ? to - from : from - to;
  uint64_t count = llvm::divideCeil(length, step > 0 ? stride : 0 - stride);
  if (count > uint64_t(1) << 40)
    return c.error("", "the result has more than 2^40 elements");
  return iota(*c.builder, c.dtype("dtype", "i64"), {int64_t(count)}, 0, start,
              step);
}

/// A constant of the shape "size"; f32 unless "dtype" says otherwise.
static Emitter filled(int64_t value) {
  return [value](Call &c) -> Result {
    return full(*c.builder, c.dtype("dtype", "f32"), c.integers("size"), value);
  };
}

static Result emitFull(Call &c) {
  Number value = c.exact("fill_value");
  mlir::Type type = c.dtype("dtype", value.isInteger() ? "i64" : "f32");
  if (!c.fits("fill_value", type))
    return Result();
  return full(*c.builder, type, c.integers("size"), value);
}

static void registerViews(Registry &r) {
  ArgDef start = integer("start_dim", 1).ofDims("input").orOfScalar();
  ArgDef end = integer("end_dim", -1).ofDims("input").orOfScalar();
  ArgDef dim0 = integer("dim", 0).ofDims("input").orNamed("axis");
  define(r, "merges dimensions start_dim to end_dim")
      .module("nn.Flatten", {start, end})
      .functions(spellings("flatten"),
                 {ArgDef(start).standing({Number(0)}), end})
      .emit(emitFlatten);
  define(r, "same elements, another shape")
      .functions({"Tensor.view", "Tensor.reshape", "torch.reshape"},
                 {integers("shape").variadic()})
      .emit(emitReshape);
  define(r, "repeats dimensions of size 1")
      .function("Tensor.expand", {integers("shape").variadic().orNamed("size")})
      .emit(emitExpand);
  define(r, "permutes dimensions")
      .functions(spellings("permute"), {integers("dims").variadic()})
      .emit(emitPermute);
  define(r, "swaps two dimensions")
      .functions(spellings("transpose"),
                 {integer("dim0").ofDims("input").orNamed("axis0"),
                  integer("dim1").ofDims("input").orNamed("axis1")})
      .aliases({"swapaxes", "swapdims"})
      .twins()
      .emit(emitTranspose);
  define(r, "a new dimension of size 1")
      .functions(spellings("unsqueeze"),
                 {integer("dim").ofDims("input", 1).orNamed("axis")})
      .twins()
      .emit(unsqueeze);
  define(r, "drops dimensions of size 1")
      .functions(spellings("squeeze"),
                 {integers("dim").ofDims("input").omissible().orNamed("axis")})
      .twins()
      .emit(emitSqueeze);
  define(r, "slices along dim, as a tuple")
      .functions(spellings("unbind"), {dim0})
      .emit(emitUnbind);
  for (auto [name, size] : {std::pair("Tensor.split", "split_size"),
                            std::pair("torch.split", "split_size_or_sections")})
    define(r, "parts along dim, as a tuple")
        .operands({tensor("input").orNamed("tensor")})
        .function(name, {integers(size).min(0), dim0})
        .emit(
            [size = std::string(size)](Call &c) { return emitSplit(c, size); });
  define(r, "equal parts along dim, as a tuple")
      .functions(spellings("chunk"), {integer("chunks").min(1), dim0})
      .emit(emitChunk);
  define(r, "basic indexing")
      .function("Tensor.__getitem__", {index("index")})
      .emit(emitGetItem);
}

static void registerCreation(Registry &r) {
  ArgDef type = dtype("dtype").optional();
  ArgDef size = integers("size").min(0);
  define(r, "start, start + step, ...")
      .operands({})
      .function("torch.arange", {integer("start"), integer("end").omissible(),
                                 integer("step", 1), type})
      .emit(emitArange);
  define(r, "zeros")
      .operands({})
      .function("torch.zeros", {ArgDef(size).variadic(), type})
      .emit(filled(0));
  define(r, "ones")
      .operands({})
      .function("torch.ones", {ArgDef(size).variadic(), type})
      .emit(filled(1));
  define(r, "one number everywhere")
      .operands({})
      .function("torch.full", {size, number("fill_value"), type})
      .emit(emitFull);
}

void registerShapes(Registry &r) {
  registerViews(r);
  registerCreation(r);
  define(r, "joins along dim")
      .operands({tensors("tensors")})
      .function("torch.cat",
                {integer("dim", 0).ofDims("tensors").orNamed("axis")})
      .aliases({"concat", "concatenate"})
      .emit(emitCat);
  define(r, "joins along a new dim")
      .operands({tensors("tensors")})
      .function("torch.stack",
                {integer("dim", 0).ofDims("tensors", 1).orNamed("axis")})
      .emit(emitStack);
  define(r, "rows along dim at index")
      .functions(spellings("index_select"),
                 {dim(), tensor("index").of(Elements::integers).shaped({"n"})})
      .emit([](Call &c) -> Result {
        return gather(c.tensor("input"), c.tensor("index"), c.dim("dim"));
      });
  define(r, "its input, without a gradient")
      .function("Tensor.detach")
      .twins()
      .emit(detach);
}

} // namespace nncc
