// The gradient of every primitive against central differences in f64: eight
// configurations each, all operands, a random cotangent. A primitive that is
// neither here nor among those without a derivative fails the last test.
#include "dialect/Expr.h"
#include "dialect/Interpreter.h"
#include "dialect/Nncc.h"
#include "passes/Passes.h"
#include "mlir/Pass/PassManager.h"
#include <gtest/gtest.h>
#include <random>
#include <set>

using namespace mlir;
using namespace nncc;

namespace {

using Shape = std::vector<int64_t>;
using Build = std::function<Expr(ArrayRef<Expr>)>;

struct Case {
  std::string op;
  std::vector<Shape> shapes; // of the operands, all floating
  Build build;
  double low = -1, high = 1; // of their elements
};

void PrintTo(const Case &c, std::ostream *os) { *os << c.op; }

std::vector<Case> &cases() {
  static std::vector<Case> list;
  return list;
}

const std::vector<Shape> elementwiseShapes = {
    {}, {1}, {7}, {2, 3}, {3, 1, 4}, {2, 1, 2, 3}, {5, 5}, {1, 6}};

void unary(const char *op, Expr (*function)(Expr), double low, double high) {
  for (const Shape &shape : elementwiseShapes)
    cases().push_back({op,
                       {shape},
                       [=](ArrayRef<Expr> x) { return function(x[0]); },
                       low,
                       high});
}

void binary(const char *op, Expr (*function)(Expr, Expr), double low = -1,
            double high = 1) {
  for (const Shape &shape : elementwiseShapes)
    cases().push_back({op,
                       {shape, shape},
                       [=](ArrayRef<Expr> x) { return function(x[0], x[1]); },
                       low,
                       high});
}

void add(const char *op, std::vector<Shape> shapes, Build build) {
  cases().push_back({op, std::move(shapes), std::move(build)});
}

Expr toF32AndBack(Expr x) {
  Builder b(x.context().b);
  return convert(convert(x, b.getF32Type()), b.getF64Type());
}

Expr whereSmaller(Expr x, Expr y) {
  return select(compare(Predicate::lt, x, y), x * y, y);
}

void addElementwise() {
  unary("neg", neg, -1, 1);
  unary("abs", abs, -1, 1);
  unary("exp", exp, -3, 3);
  unary("log", log, 0.1, 5);
  unary("sqrt", sqrt, 0.1, 5);
  unary("rsqrt", rsqrt, 0.2, 5);
  unary("tanh", tanh, -3, 3);
  unary("sigmoid", sigmoid, -5, 5);
  unary("erf", erf, -3, 3);
  unary("sin", sin, -4, 4);
  unary("cos", cos, -4, 4);
  unary("exp2", exp2, -3, 3);
  unary("expm1", expm1, -3, 3);
  unary("log2", log2, 0.1, 5);
  unary("log10", log10, 0.1, 5);
  unary("log1p", log1p, -0.9, 5);
  unary("tan", tan, -1, 1);
  unary("asin", asin, -0.9, 0.9);
  unary("acos", acos, -0.9, 0.9);
  unary("atan", atan, -4, 4);
  unary("sinh", sinh, -3, 3);
  unary("cosh", cosh, -3, 3);
  unary("asinh", asinh, -4, 4);
  unary("acosh", acosh, 1.1, 4);
  unary("atanh", atanh, -0.9, 0.9);
  unary("erfc", erfc, -3, 3);
  for (double exponent : {-3.0, -2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 2.0, 3.0})
    cases().push_back({"with_slope",
                       {{7}},
                       [=](ArrayRef<Expr> x) { return pow(x[0], exponent); },
                       0.3,
                       2});
  unary("floor", floor, 0.1, 0.9); // a step has no difference
  unary("ceil", ceil, 0.1, 0.9);
  unary("convert", toF32AndBack, -1, 1);
  binary("add", [](Expr x, Expr y) { return x + y; });
  binary("sub", [](Expr x, Expr y) { return x - y; });
  binary("mul", [](Expr x, Expr y) { return x * y; });
  binary("div", [](Expr x, Expr y) { return x / y; }, 0.5, 2);
  binary("pow", pow, 0.3, 2);
  binary("remainder", [](Expr x, Expr y) { // always two whole ones
    return remainder(x * 0.1 + 2.5, y * 0.1 + 1);
  });
  binary("max", [](Expr x, Expr y) { return max(x, y); });
  binary("min", [](Expr x, Expr y) { return min(x, y); });
  binary("select", whereSmaller);
}

void addShapes() {
  auto reshaped = [](Shape from, Shape to) {
    add("reshape", {from},
        [to](ArrayRef<Expr> x) { return reshape(x[0] * x[0], to); });
  };
  reshaped({6}, {2, 3});
  reshaped({2, 3}, {6});
  reshaped({1}, {});
  reshaped({}, {1, 1});
  reshaped({2, 3, 4}, {6, 4});
  reshaped({6, 4}, {2, 3, 4});
  reshaped({4, 1, 3}, {3, 4});
  reshaped({2, 2, 2}, {8, 1});

  auto transposed = [](Shape from, Shape perm) {
    add("transpose", {from},
        [perm](ArrayRef<Expr> x) { return transpose(x[0] * x[0], perm); });
  };
  transposed({2, 3}, {1, 0});
  transposed({2, 3, 4}, {2, 0, 1});
  transposed({2, 3, 4}, {0, 2, 1});
  transposed({2, 3, 4}, {1, 2, 0});
  transposed({3, 2, 1}, {2, 1, 0});
  transposed({1, 5}, {1, 0});
  transposed({2, 1, 3, 2}, {3, 1, 0, 2});
  transposed({2, 2, 2, 2}, {0, 2, 1, 3});

  auto broadcast = [](Shape from, Shape to) {
    add("broadcast", {from},
        [to](ArrayRef<Expr> x) { return broadcastTo(x[0], to); });
  };
  broadcast({}, {3});
  broadcast({3}, {2, 3});
  broadcast({1, 3}, {4, 3});
  broadcast({2, 1}, {2, 5});
  broadcast({1}, {3, 2});
  broadcast({2, 1, 2}, {2, 3, 2});
  broadcast({1, 3, 1}, {2, 3, 4});
  broadcast({4}, {2, 2, 4});

  auto sliced = [](Shape from, int64_t dim, int64_t start, int64_t size,
                   int64_t step) {
    add("slice", {from},
        [=](ArrayRef<Expr> x) { return slice(x[0], dim, start, size, step); });
  };
  sliced({7}, 0, 2, 3, 1);
  sliced({7}, 0, 0, 4, 2);
  sliced({7}, 0, 1, 2, 3);
  sliced({3, 5}, 1, 1, 2, 2);
  sliced({3, 5}, 0, 2, 1, 1);
  sliced({2, 4, 3}, 1, 0, 2, 3);
  sliced({2, 4, 3}, 2, 1, 2, 1);
  sliced({9}, 0, 8, 1, 1);

  auto padded = [](Shape from, Shape low, Shape high, Shape interior) {
    add("pad", {from},
        [=](ArrayRef<Expr> x) { return pad(x[0], low, high, 0.5, interior); });
  };
  padded({3}, {1}, {2}, {0});
  padded({3}, {0}, {0}, {2});
  padded({3}, {2}, {1}, {1});
  padded({2, 3}, {0, 1}, {1, 0}, {0, 0});
  padded({2, 3}, {1, 1}, {1, 1}, {1, 2});
  padded({1, 4}, {0, 0}, {0, 3}, {0, 0});
  padded({2, 2, 2}, {1, 0, 1}, {0, 1, 0}, {0, 1, 0});
  padded({2, 1}, {2, 2}, {2, 2}, {0, 0});

  auto reversed = [](Shape from, Shape dims) {
    add("reverse", {from},
        [dims](ArrayRef<Expr> x) { return reverse(x[0] * x[0], dims); });
  };
  reversed({4}, {0});
  reversed({2, 3}, {0});
  reversed({2, 3}, {1});
  reversed({2, 3}, {0, 1});
  reversed({2, 3, 2}, {1});
  reversed({2, 3, 2}, {0, 2});
  reversed({1, 5}, {1});
  reversed({2, 2, 2, 2}, {3});

  auto joined = [](std::vector<Shape> shapes, int64_t dim) {
    add("concat", shapes, [dim](ArrayRef<Expr> x) { return concat(x, dim); });
  };
  joined({{2}, {3}}, 0);
  joined({{2, 3}, {1, 3}}, 0);
  joined({{2, 3}, {2, 1}}, 1);
  joined({{2, 3}, {2, 1}, {2, 2}}, 1);
  joined({{1}, {1}, {1}, {1}}, 0);
  joined({{2, 1, 3}, {2, 2, 3}}, 1);
  joined({{2, 2, 1}, {2, 2, 4}}, 2);
  joined({{2, 2}, {2, 2}}, 0);
}

void addWindows() {
  // Of the tensor that patches are taken from.
  auto windows = [](Shape shape, Shape dims, Shape sizes, Shape strides,
                    Shape dilations) {
    add("patches", {shape}, [=](ArrayRef<Expr> x) {
      return patches(x[0], dims, sizes, strides, dilations);
    });
    Shape folded(shape.begin(), shape.begin() + dims.back() + 1);
    for (size_t i = 0; i < dims.size(); ++i)
      folded[dims[i]] =
          (shape[dims[i]] - (sizes[i] - 1) * dilations[i] - 1) / strides[i] + 1;
    folded.insert(folded.end(), sizes.begin(), sizes.end());
    folded.insert(folded.end(), shape.begin() + dims.back() + 1, shape.end());
    add("fold", {folded}, [=](ArrayRef<Expr> x) {
      return fold(x[0], shape, dims, sizes, strides, dilations);
    });
  };
  windows({5}, {0}, {2}, {1}, {1});
  windows({6}, {0}, {2}, {2}, {1});
  windows({7}, {0}, {3}, {2}, {2});
  windows({2, 6}, {1}, {3}, {1}, {1});
  windows({4, 5, 2}, {0, 1}, {2, 3}, {1, 1}, {1, 1});
  windows({1, 5, 5, 1}, {1, 2}, {3, 3}, {2, 2}, {1, 1});
  windows({2, 4, 2}, {1}, {2}, {3}, {1});
  windows({5, 4}, {0, 1}, {2, 2}, {1, 2}, {3, 1});

  struct Convolution {
    Shape x, w;
    ConvolutionShape shape;
  };
  for (Convolution c : std::vector<Convolution>{
           {{1, 1, 5}, {1, 1, 3}, {{1}, {0}, {0}, {1}, {1}, 1}},
           {{2, 2, 5}, {3, 2, 3}, {{2}, {1}, {1}, {1}, {1}, 1}},
           {{1, 2, 4, 5},
            {2, 2, 2, 3},
            {{1, 2}, {0, 1}, {1, 0}, {1, 1}, {1, 1}, 1}},
           {{1, 4, 4, 4},
            {4, 1, 3, 3},
            {{1, 1}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, 4}},
           {{1, 4, 5, 5},
            {2, 2, 3, 3},
            {{1, 1}, {0, 0}, {0, 0}, {1, 1}, {2, 2}, 2}},
           {{1, 2, 3, 3},
            {2, 2, 2, 2},
            {{1, 1}, {1, 1}, {1, 1}, {2, 2}, {1, 1}, 1}},
           {{1, 1, 3, 3, 3},
            {2, 1, 2, 2, 2},
            {{1, 1, 1}, {0, 0, 0}, {0, 0, 0}, {1, 1, 1}, {1, 1, 1}, 1}},
           {{1, 2, 7}, {2, 2, 2}, {{3}, {0}, {0}, {1}, {1}, 1}}})
    add("convolution", {c.x, c.w},
        [c](ArrayRef<Expr> x) { return convolution(x[0], x[1], c.shape); });
}

void addSums() {
  for (auto [name, combiner] : {std::pair("reduce sum", Combiner::sum),
                                {"reduce prod", Combiner::prod},
                                {"reduce max", Combiner::max},
                                {"reduce min", Combiner::min}})
    for (auto [shape, dims] :
         std::vector<std::pair<Shape, Shape>>{{{5}, {0}},
                                              {{2, 3}, {0}},
                                              {{2, 3}, {1}},
                                              {{2, 3}, {0, 1}},
                                              {{2, 3, 2}, {1}},
                                              {{2, 3, 2}, {0, 2}},
                                              {{1, 4}, {0}},
                                              {{3, 1}, {1}}})
      add(name, {shape},
          [=, combiner = combiner, dims = dims](ArrayRef<Expr> x) {
            return reduce(combiner, x[0], dims, dims.size() == 2,
                          dims.front() == 1);
          });

  struct Product {
    Shape x, y, xBatch, yBatch, xSum, ySum;
  };
  for (const Product &p :
       std::vector<Product>{{{3}, {3}, {}, {}, {0}, {0}},
                            {{2, 3}, {3, 4}, {}, {}, {1}, {0}},
                            {{2, 3}, {4, 3}, {}, {}, {1}, {1}},
                            {{2, 2, 3}, {2, 3, 4}, {0}, {0}, {2}, {1}},
                            {{3, 2, 2}, {2, 4, 3}, {1}, {0}, {0}, {2}},
                            {{2, 3}, {4}, {}, {}, {}, {}},
                            {{2, 3, 4}, {3, 4, 2}, {}, {}, {1, 2}, {0, 1}},
                            {{2, 3, 4}, {4, 5, 2}, {0}, {2}, {2}, {0}}})
    add("contract", {p.x, p.y}, [p](ArrayRef<Expr> x) {
      return contract(x[0], x[1], p.xBatch, p.yBatch, p.xSum, p.ySum);
    });

  struct Heads {
    Shape q, k, v;
    bool mask, causal;
  };
  for (const Heads &h : std::vector<Heads>{
           {{3, 2}, {4, 2}, {4, 2}, false, false},
           {{3, 2}, {4, 2}, {4, 2}, true, false},
           {{3, 2}, {3, 2}, {3, 5}, false, true},
           {{2, 3, 2}, {2, 3, 2}, {2, 3, 2}, true, true},
           {{2, 1, 4, 3}, {2, 1, 2, 3}, {2, 1, 2, 1}, false, true},
           {{2, 2, 2, 2}, {2, 2, 3, 2}, {2, 2, 3, 2}, false, false},
           {{1, 1}, {1, 1}, {1, 1}, false, false},
           {{1, 5, 2}, {1, 2, 2}, {1, 2, 3}, true, false}}) {
    Shape scores = h.q;
    scores.back() = h.k[h.k.size() - 2];
    std::vector<Shape> shapes = {h.q, h.k, h.v};
    if (h.mask)
      shapes.push_back(scores);
    add("attention", shapes, [h](ArrayRef<Expr> x) {
      return attention(x[0], x[1], x[2], h.mask ? x[3] : Expr(), 0.7, h.causal);
    });
    // Without the mask's own gradient the scores are computed again.
    if (h.mask)
      add("attention", shapes, [h](ArrayRef<Expr> x) {
        return attention(x[0], x[1], x[2], detach(x[3]) * 0.0, 0.7, h.causal);
      });
  }
}

void addIndexed() {
  // Indices start, start + step, ...
  auto indices = [](Expr x, Shape shape, int64_t start, int64_t step) {
    return iota(x.context(), x.context().b.getI64Type(), shape,
                int64_t(shape.size()) - 1, start, step);
  };
  auto gathered = [=](Shape shape, Shape at, int64_t dim, int64_t start,
                      int64_t step) {
    add("gather", {shape}, [=](ArrayRef<Expr> x) {
      return gather(x[0], indices(x[0], at, start, step), dim);
    });
  };
  gathered({5}, {3}, 0, 0, 1);
  gathered({5, 2}, {3}, 0, 1, 2);
  gathered({5, 2}, {2, 3}, 0, 1, 1); // the same rows twice
  gathered({2, 5}, {3}, 1, 4, -2);
  gathered({2, 5, 2}, {2}, 1, 3, 0);
  gathered({4}, {1, 1}, 0, 2, 1);
  gathered({3, 3}, {4}, 1, 0, 1); // clamped
  gathered({1, 4}, {3}, 0, 0, 0);

  auto scattered = [=](int64_t rows, int64_t columns, int64_t count,
                       int64_t start, int64_t step) {
    add("scatter_add", {{rows, columns}, {count, columns}},
        [=](ArrayRef<Expr> x) {
          return scatterAdd(x[0] * x[0], indices(x[0], {count}, start, step),
                            x[1]);
        });
  };
  scattered(4, 2, 3, 0, 1);
  scattered(4, 2, 3, 1, 0);
  scattered(2, 3, 5, 0, 1);
  scattered(5, 1, 2, 4, -1);
  scattered(1, 4, 2, 0, 0);
  scattered(6, 2, 6, 5, -1);
  scattered(3, 3, 1, 2, 1);
  scattered(7, 5, 3, 0, 3);
}

void addScans() {
  using Exprs = std::vector<Expr>;
  // h = tanh(h w + x + b), by stack and final state.
  auto recurrent = [](int64_t steps, bool reverse, bool stacks) {
    add("scan", {{2, 3}, {steps, 2, 3}, {3, 3}, {3}}, [=](ArrayRef<Expr> x) {
      Scanned run =
          scan({x[0]}, {x[1]}, {x[2], x[3]}, reverse,
               [](Exprs &h, ArrayRef<Expr> now, ArrayRef<Expr> fixed) -> Exprs {
                 h[0] = tanh(linear(h[0], fixed[0]) + now[0] + fixed[1]);
                 return {h[0]};
               });
      return stacks ? run.stacks[0] : run.finals[0] * 2;
    });
  };
  for (int64_t steps : {1, 2, 5})
    for (bool reverse : {false, true})
      recurrent(steps, reverse, steps != 2);
  // Two states that change places, one of them read behind its last step; an
  // invariant without a product; stack and state together.
  add("scan", {{4}, {4}, {3, 4}, {4}}, [](ArrayRef<Expr> x) {
    Scanned run =
        scan({x[0], x[1]}, {x[2]}, {x[3]}, false,
             [](Exprs &s, ArrayRef<Expr> now, ArrayRef<Expr> fixed) -> Exprs {
               Expr next = s[0] * fixed[0] + sigmoid(now[0] * s[1]);
               s[0] = s[1];
               s[1] = next;
               return {next * now[0], exp(s[0])};
             });
    return sum(run.stacks[0] * run.stacks[1], {0}) * run.finals[0] +
           run.finals[1];
  });
  // Without a state; the same operand twice.
  add("scan", {{3, 2, 2}, {2, 2}}, [](ArrayRef<Expr> x) {
    return scan({}, {x[0], x[0]}, {x[1]}, true,
                [](Exprs &, ArrayRef<Expr> now, ArrayRef<Expr> fixed) -> Exprs {
                  return {contract(now[0], transpose(fixed[0], {1, 0}), {}, {},
                                   {1}, {0}) *
                          now[1]};
                })
        .stacks[0];
  });
  // A state that counts, and one that no gradient goes through.
  add("scan", {{2}, {4, 2}}, [](ArrayRef<Expr> x) {
    ExprBuilder &c = x[0].context();
    Expr zero = full(c, c.b.getI64Type(), {2}, 0);
    Expr one = full(c, c.b.getF64Type(), {2}, 1);
    Scanned run =
        scan({zero, x[0], one}, {x[1]}, {}, false,
             [](Exprs &s, ArrayRef<Expr> now, ArrayRef<Expr>) -> Exprs {
               s[0] = s[0] + 1;
               s[1] = s[1] * convert(s[0], now[0].element());
               s[2] = s[2] * 0.5;
               return {now[0] * now[0] * s[1] + s[2]};
             });
    return run.stacks[0];
  });
  // The gradient of a gradient.
  add("scan", {{2}, {3, 2}, {2}}, [](ArrayRef<Expr> x) {
    ExprBuilder &c = x[0].context();
    Expr last =
        scan({x[0]}, {x[1]}, {x[2]}, false,
             [](Exprs &s, ArrayRef<Expr> now, ArrayRef<Expr> fixed) -> Exprs {
               s[0] = sin(s[0] * now[0]) + fixed[0] * s[0];
               return {};
             })
            .finals[0];
    SmallVector<Value> of{x[1].value()};
    auto inner =
        GradientOp::create(c.b, c.loc, TypeRange(ValueRange(of)), last.value(),
                           full(c, last.element(), {2}, 1).value(), of);
    return Expr(c, inner.getResult(0)) * x[1];
  });
}

const std::vector<Case> &allCases() {
  if (cases().empty()) {
    addElementwise();
    addShapes();
    addWindows();
    addSums();
    addIndexed();
    addScans();
  }
  return cases();
}

std::unique_ptr<MLIRContext> makeContext() {
  auto context =
      std::make_unique<MLIRContext>(MLIRContext::Threading::DISABLED);
  context->loadDialect<NnccDialect, func::FuncDialect>();
  return context;
}

RefTensor randomTensor(Type type, double low, double high, unsigned seed) {
  RefTensor tensor(cast<RankedTensorType>(type));
  std::mt19937 engine(seed);
  std::uniform_real_distribution<double> uniform(low, high);
  for (double &x : tensor.floats)
    x = uniform(engine);
  return tensor;
}

/// A function of the operands and a cotangent that returns the result, then
/// every operand's gradient.
func::FuncOp makeFunction(ModuleOp module, const Case &c) {
  OpBuilder b = OpBuilder::atBlockEnd(module.getBody());
  SmallVector<Type> types;
  for (const Shape &shape : c.shapes)
    types.push_back(RankedTensorType::get(shape, b.getF64Type()));
  auto function = func::FuncOp::create(b, module.getLoc(), "f",
                                       b.getFunctionType(types, {}));
  Block *block = function.addEntryBlock();
  b.setInsertionPointToEnd(block);
  ExprBuilder builder{b, module.getLoc()};
  SmallVector<Expr> operands;
  for (Value argument : block->getArguments())
    operands.push_back(Expr(builder, argument));
  SmallVector<Value> of(block->getArguments());
  Value result = c.build(operands).value();
  Value seed = block->addArgument(result.getType(), module.getLoc());
  auto gradient =
      GradientOp::create(builder.b, module.getLoc(), types, result, seed, of);
  SmallVector<Value> results{result};
  llvm::append_range(results, gradient.getResults());
  func::ReturnOp::create(builder.b, module.getLoc(), results);
  function.setType(b.getFunctionType(block->getArgumentTypes(),
                                     ValueRange(results).getTypes()));
  return function;
}

class Primitive : public testing::TestWithParam<Case> {};

TEST_P(Primitive, GradientIsDifference) {
  const Case &c = GetParam();
  auto context = makeContext();
  OwningOpRef<ModuleOp> module =
      ModuleOp::create(UnknownLoc::get(context.get()));
  func::FuncOp function = makeFunction(*module, c);
  // The op must be there, not only what it was composed to.
  bool found = false;
  function.walk([&](Operation *op) {
    found |= op->getName().stripDialect() == StringRef(c.op).split(' ').first;
  });
  EXPECT_TRUE(found);
  PassManager passes(context.get());
  passes.addPass(createNnccAutodiff());
  ASSERT_TRUE(succeeded(passes.run(*module)));

  SmallVector<RefTensor> inputs;
  for (auto [i, type] : llvm::enumerate(function.getArgumentTypes()))
    inputs.push_back(randomTensor(type, c.low, c.high, unsigned(i + 1)));
  std::vector<RefTensor> results = interpret(function, inputs, nullptr);
  const RefTensor seed = inputs.back();
  auto weighted = [&] {
    std::vector<RefTensor> got = interpret(function, inputs, nullptr);
    double total = 0;
    for (int64_t i = 0; i < seed.size(); ++i)
      total += seed.floats[i] * got[0].floats[i];
    return total;
  };
  constexpr double step = 1e-5;
  for (size_t operand = 0; operand + 1 < inputs.size(); ++operand)
    for (int64_t i = 0; i < inputs[operand].size(); ++i) {
      double &x = inputs[operand].floats[i], before = x;
      x = before + step;
      double above = weighted();
      x = before - step;
      double below = weighted();
      x = before;
      double difference = (above - below) / (2 * step);
      EXPECT_NEAR(results[1 + operand].floats[i], difference,
                  1e-7 * std::max(1.0, std::abs(difference)))
          << c.op << ", operand " << operand << ", element " << i;
    }
}

std::string nameOf(const testing::TestParamInfo<Case> &info) {
  std::string name = info.param.op + "_" + std::to_string(info.index);
  std::replace(name.begin(), name.end(), ' ', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(All, Primitive, testing::ValuesIn(allCases()), nameOf);

TEST(Primitives, HaveEightConfigurations) {
  // Not differentiated: integers and bool, no operands, zero on purpose
  // (detach), or behind every gradient.
  const std::set<std::string> without = {
      "and",         "or",         "xor",     "floor_div", "shift_left",
      "shift_right", "not",        "compare", "constant",  "iota",
      "weight",      "random",     "call",    "gradient",  "attention_backward",
      "detach",      "all_reduce", "yield"};
  std::map<std::string, int> count;
  for (const Case &c : allCases())
    ++count[StringRef(c.op).split(' ').first.str()];
  auto context = makeContext();
  for (RegisteredOperationName name :
       context->getRegisteredOperationsByDialect("nncc")) {
    std::string op = name.stripDialect().str();
    EXPECT_EQ(count[op] >= 8, !without.count(op)) << op;
  }
}

} // namespace
