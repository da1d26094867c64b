// Views as strides against the reference meaning: chains of views at random,
// each element compared, and the proof of what strides can reach.
#include "dialect/Expr.h"
#include "dialect/Interpreter.h"
#include "dialect/StridedView.h"
#include <gtest/gtest.h>
#include <map>
#include <random>

using namespace mlir;
using namespace nncc;

namespace {

using Shape = SmallVector<int64_t>;

class Views : public testing::Test {
protected:
  Views() : context(MLIRContext::Threading::DISABLED) {
    context.loadDialect<NnccDialect, func::FuncDialect>();
    module = ModuleOp::create(UnknownLoc::get(&context));
  }

  /// A function of one tensor, whose body is empty.
  Expr source(ArrayRef<int64_t> shape) {
    OpBuilder b = OpBuilder::atBlockEnd(module->getBody());
    auto type = RankedTensorType::get(shape, b.getI64Type());
    auto function = func::FuncOp::create(b, module->getLoc(), "f",
                                         b.getFunctionType(type, {}));
    b.setInsertionPointToEnd(function.addEntryBlock());
    builder = std::make_unique<ExprBuilder>(ExprBuilder{b, module->getLoc()});
    return Expr(*builder, function.getArgument(0));
  }

  MLIRContext context;
  OwningOpRef<ModuleOp> module;
  std::unique_ptr<ExprBuilder> builder;
};

class Chain {
public:
  explicit Chain(unsigned seed) : engine(seed) {}

  int64_t upTo(int64_t most) { return int64_t(engine() % (most + 1)); }

  Shape shape() {
    Shape shape;
    for (int64_t rank = upTo(3); rank >= 0; --rank)
      shape.push_back(upTo(20) ? 1 + upTo(4) : 0);
    return shape;
  }

  /// One view more, or the same value where the choice does not fit.
  Expr extend(Expr x) {
    int64_t rank = x.rank();
    int64_t d = rank ? upTo(rank - 1) : 0;
    switch (upTo(6)) {
    case 0:
      return merge(x);
    case 1:
      return rank < 6 ? split(x) : x;
    case 2:
      return rank ? transposeAny(x) : x;
    case 3:
      return repeat(x);
    case 4:
      return rank ? sliceAny(x, d) : x;
    case 5:
      return rank ? reverse(x, {d}) : x;
    default:
      return rank && rank < 6 && x.dim(d) ? windows(x, d) : x;
    }
  }

private:
  /// Any number of neighbours become one dimension.
  Expr merge(Expr x) {
    Shape shape;
    for (int64_t size : x.shape())
      if (!shape.empty() && upTo(1))
        shape.back() *= size;
      else
        shape.push_back(size);
    return reshape(x, shape);
  }

  Expr split(Expr x) {
    Shape shape;
    for (int64_t size : x.shape()) {
      int64_t factor = 1 + upTo(3);
      if (size % factor == 0 && shape.size() < 6) {
        shape.push_back(size / factor);
        size = factor;
      }
      shape.push_back(size);
    }
    return reshape(x, shape);
  }

  Expr transposeAny(Expr x) {
    Shape perm;
    for (int64_t d = 0; d < x.rank(); ++d)
      perm.insert(perm.begin() + upTo(d), d);
    return transpose(x, perm);
  }

  /// A new dimension, and dimensions of size 1, become larger.
  Expr repeat(Expr x) {
    Shape shape(x.shape());
    if (x.rank() < 6)
      shape.insert(shape.begin() + upTo(x.rank()), 1);
    x = reshape(x, shape);
    int64_t elements = 1;
    for (int64_t size : shape)
      elements *= size;
    for (int64_t &size : shape)
      if (size == 1 && elements < 2000)
        elements *= size = 1 + upTo(3);
    return broadcastTo(x, shape);
  }

  Expr sliceAny(Expr x, int64_t d) {
    int64_t start = upTo(x.dim(d)), step = 1 + upTo(2);
    int64_t room = (x.dim(d) - start + step - 1) / step;
    return slice(x, d, start, room ? 1 + upTo(room - 1) : 0, step);
  }

  Expr windows(Expr x, int64_t d) {
    int64_t size = 1 + upTo(2), stride = 1 + upTo(2), dilation = 1 + upTo(1);
    if ((size - 1) * dilation >= x.dim(d))
      return x;
    return patches(x, {d}, {size}, {stride}, {dilation});
  }

  std::mt19937 engine;
};

/// The reference's elements, with the source counting from 0.
RefTensor evaluate(Expr x, Expr source) {
  RefTensor tensor(tensorType(source.value()));
  for (int64_t i = 0; i < tensor.size(); ++i)
    tensor.ints[i] = i;
  std::map<void *, RefTensor> known{
      {source.value().getAsOpaquePointer(), tensor}};
  for (Operation &op : *x.value().getParentBlock()) {
    RefTensor in = known.at(op.getOperand(0).getAsOpaquePointer());
    std::vector<RefTensor> out(1, RefTensor(tensorType(op.getResult(0))));
    cast<Evaluable>(op).evaluate(in, out);
    known[op.getResult(0).getAsOpaquePointer()] = out[0];
  }
  return known.at(x.value().getAsOpaquePointer());
}

TEST_F(Views, StridesAreExactOrThereAreNone) {
  std::map<std::string, int> last; // ops that ended in a view, and that did not
  int views = 0, none = 0;
  for (unsigned seed = 0; seed < 4000; ++seed) {
    Chain chain(seed);
    Expr start = source(chain.shape()), x = start;
    for (int64_t steps = 1 + chain.upTo(5); steps > 0; --steps)
      x = chain.extend(x);
    Value obstacle;
    auto view = stridedView(x.value(), &obstacle);
    if (Operation *op = x.value().getDefiningOp())
      ++last[(op->getName().stripDialect() + (failed(view) ? " no" : ""))
                 .str()];
    if (failed(view)) {
      ++none;
      EXPECT_TRUE(obstacle) << "seed " << seed;
      continue;
    }
    ++views;
    ASSERT_EQ(view->base, start.value());
    ASSERT_EQ(view->shape, Shape(x.shape()));
    RefTensor want = evaluate(x, start);
    int64_t i = 0, size = tensorType(start.value()).getNumElements();
    forEachIndex(view->shape, [&](ArrayRef<int64_t> index) {
      int64_t at = view->offset + positionOf(index, view->strides);
      ASSERT_TRUE(at >= 0 && at < size) << "seed " << seed;
      ASSERT_EQ(at, want.ints[i++]) << "seed " << seed;
    });
  }
  EXPECT_GT(views, 1000);
  EXPECT_GT(none, 200);
  for (const char *op : {"reshape", "reshape no", "transpose", "broadcast",
                         "slice", "reverse", "patches"})
    EXPECT_GT(last[op], 20) << op;
}

TEST_F(Views, RepeatedRowsHaveNoStridesOnceMerged) {
  Expr v = source({2, 5, 6});
  Expr x =
      reshape(broadcastTo(reshape(v, {2, 1, 5, 6}), {2, 3, 5, 6}), {6, 5, 6});
  Value obstacle;
  EXPECT_TRUE(failed(stridedView(x.value(), &obstacle)));
  EXPECT_EQ(obstacle, x.value().getDefiningOp()->getOperand(0));
  // All rows the same one: still strides.
  Expr w = source({1, 5, 6});
  Expr y =
      reshape(broadcastTo(reshape(w, {1, 1, 5, 6}), {2, 3, 5, 6}), {6, 5, 6});
  auto view = stridedView(y.value());
  ASSERT_TRUE(succeeded(view));
  EXPECT_EQ(view->strides, (Shape{0, 6, 1}));
}

TEST_F(Views, StaysInside) {
  Value base = source({4, 6}).value();
  auto inside = [&](int64_t offset, Shape shape, Shape strides) {
    return staysInside({base, offset, shape, strides});
  };
  EXPECT_TRUE(inside(0, {4, 6}, {6, 1}));
  EXPECT_TRUE(inside(23, {}, {}));
  EXPECT_TRUE(inside(23, {4, 6}, {-6, -1}));
  EXPECT_TRUE(inside(18, {4, 6}, {-6, 1}));
  EXPECT_TRUE(inside(0, {100, 24}, {0, 1}));
  EXPECT_TRUE(inside(23, {1}, {INT64_MAX})); // one element takes no step
  EXPECT_TRUE(inside(100, {4, 0}, {6, 1}));  // no element, no read
  EXPECT_FALSE(inside(24, {}, {}));
  EXPECT_FALSE(inside(-1, {}, {}));
  EXPECT_FALSE(inside(1, {4, 6}, {6, 1}));
  EXPECT_FALSE(inside(0, {4, 6}, {7, 1}));
  EXPECT_FALSE(inside(22, {4, 6}, {-6, -1}));
  EXPECT_FALSE(inside(0, {6, 5, 6}, {30, 6, 1}));
  EXPECT_FALSE(inside(0, {3}, {INT64_MAX}));
  EXPECT_FALSE(inside(INT64_MAX, {2}, {1}));
  EXPECT_FALSE(inside(INT64_MIN, {2}, {-1}));
  EXPECT_FALSE(inside(0, {4, 6}, {1})); // of another rank
}

} // namespace
