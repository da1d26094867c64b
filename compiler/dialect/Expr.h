//===- Expr.h - the vocabulary of compositions ------------------*- C++ -*-===//
//
// A typed value with operators and free functions. Modules, gradients and
// rewrites are written in it, so they read like their formulas. Arithmetic
// broadcasts as NumPy does and promotes integers to floats; everything else
// wants exact types. What does not fit gives a failed value and a sentence in
// the builder; every function passes failed values on, so a composition need
// not look at what it gets on its way.
//
//===----------------------------------------------------------------------===//
#ifndef NNCC_DIALECT_EXPR_H
#define NNCC_DIALECT_EXPR_H

#include "dialect/Number.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinTypes.h"
#include <array>
#include <limits>
#include <optional>
#include <string>

namespace nncc {

enum class Combiner : uint32_t;
enum class Predicate : uint32_t;
enum class Ties : uint32_t;

/// The most elements of a model's tensors, and the most primitives that an
/// entry comes to before its gradients.
constexpr int64_t maxElements = int64_t(1) << 40, maxPrimitives = 1 << 17;

struct ExprBuilder {
  ExprBuilder(mlir::OpBuilder b, mlir::Location loc) : b(b), loc(loc) {}

  mlir::OpBuilder b;
  mlir::Location loc;
  /// Why a value failed: of the first since this was cleared.
  std::string problem;
  /// How many ops may still be built, and the most elements of a result: what
  /// only moves or multiplies may stand for more than memory holds.
  int64_t room = std::numeric_limits<int64_t>::max();
  int64_t most = int64_t(1) << 59;

  /// A first problem stays.
  void fail(const llvm::Twine &text);
};

using Ints = llvm::ArrayRef<int64_t>;

/// The name of an element type in model files.
std::string dtypeName(mlir::Type type);

/// Why there is no tensor of this shape: a negative size, too many elements.
/// Empty if there is one.
std::string shapeProblem(Ints shape, int64_t most = maxElements);

/// Reports, as an error in a pass, that the model at `loc` asks for more than
/// limits allow.
void reportLimit(mlir::Location loc, const llvm::Twine &text);
/// True if a diagnostic is one of these.
bool isLimit(mlir::Diagnostic &diagnostic);

/// The op that `state` describes; null as its type: it follows from the
/// operands. Null, with a problem in `c`, if its constraints do not hold, its
/// results are too large, or an operand is null (a failed value).
mlir::Operation *buildChecked(ExprBuilder &c, mlir::OperationState &state);

/// A value; a failed one, which has a builder; or none at all.
class Expr {
public:
  Expr() = default;
  Expr(ExprBuilder &builder, mlir::Value value)
      : builder(&builder), val(value) {}

  explicit operator bool() const { return bool(val); }
  mlir::Value value() const { return val; }
  ExprBuilder &context() const { return *builder; }
  /// A failed value has ones in many dimensions: it can be asked for any.
  mlir::RankedTensorType type() const;
  Ints shape() const { return type().getShape(); }
  int64_t rank() const { return type().getRank(); }
  /// The size of dimension d, negative ones counted from the end; 1 if it has
  /// none such, as in broadcasting.
  int64_t dim(int64_t d) const {
    int64_t at = d < 0 ? d + rank() : d;
    return at >= 0 && at < rank() ? shape()[at] : 1;
  }
  mlir::Type element() const { return type().getElementType(); }
  bool isFloat() const { return llvm::isa<mlir::FloatType>(element()); }

private:
  ExprBuilder *builder = nullptr;
  mlir::Value val;
};

/// The shape both operands broadcast to, or nothing if they do not fit.
std::optional<llvm::SmallVector<int64_t>> broadcastShape(Ints x, Ints y);

/// The type that PyTorch gives to arithmetic on both: of tensors of rank 0
/// beside others only the category counts.
mlir::Type promotedType(mlir::Type x, mlir::Type y);
/// bool, integer, float: PyTorch converts upwards without being asked.
enum class Kind { boolean, integer, floating };
Kind kindOf(mlir::Type element);
/// f16 or bf16.
bool isHalf(mlir::Type element);
mlir::Type promotedType(Expr x, Expr y);

// Creation. `scalar` has rank 0; `full` is a splat.
Expr scalar(ExprBuilder &c, mlir::Type element, Number value);
Expr full(ExprBuilder &c, mlir::Type element, Ints shape, Number value);
Expr iota(ExprBuilder &c, mlir::Type element, Ints shape, int64_t dim,
          int64_t start = 0, int64_t step = 1);

/// Uniform in [0, 1); `key` is [seed, step], `stream` tells the ops of one run
/// apart.
Expr random(Expr key, mlir::Type element, Ints shape, int64_t stream);

// Elementwise.
Expr neg(Expr x);
Expr abs(Expr x);
/// 1, -1 or, for 0 and NaN, 0.
Expr sign(Expr x);
/// x as a constant for reverse mode.
Expr detach(Expr x);
/// `value`; its derivative by x is `slope` more than its ops give. With x
/// detached in `value`: a formula for the derivative.
Expr withSlope(Expr value, Expr x, Expr slope);
Expr sqrt(Expr x);
Expr rsqrt(Expr x);
Expr floor(Expr x);
Expr ceil(Expr x);
/// Of a bool, or of the bits of an integer.
Expr logicalNot(Expr x);
Expr convert(Expr x, mlir::Type element);
// Special functions.
Expr exp(Expr x);
Expr exp2(Expr x);
Expr expm1(Expr x);
Expr log(Expr x);
Expr log2(Expr x);
Expr log10(Expr x);
Expr log1p(Expr x);
Expr sin(Expr x);
Expr cos(Expr x);
Expr tan(Expr x);
Expr asin(Expr x);
Expr acos(Expr x);
Expr atan(Expr x);
Expr sinh(Expr x);
Expr cosh(Expr x);
Expr tanh(Expr x);
Expr asinh(Expr x);
Expr acosh(Expr x);
Expr atanh(Expr x);
Expr sigmoid(Expr x);
Expr erf(Expr x);
Expr erfc(Expr x);
Expr pow(Expr x, Expr y);
/// By products and roots where PyTorch has them; the derivative is
/// exponent * pow(x, exponent - 1), 0 for an exponent of 0.
Expr pow(Expr x, double exponent);
/// Towards minus infinity, and x - floorDiv(x, y) * y.
Expr floorDiv(Expr x, Expr y);
Expr remainder(Expr x, Expr y);
// Of bools or the bits of integers.
Expr bitAnd(Expr x, Expr y);
Expr bitOr(Expr x, Expr y);
Expr bitXor(Expr x, Expr y);
Expr shiftLeft(Expr x, Expr y);
Expr shiftRight(Expr x, Expr y);
Expr max(Expr x, Expr y);
Expr min(Expr x, Expr y);
/// Where x equals the number, `ties` says whether x still has its gradient
/// (lhs) or not (rhs).
Expr max(Expr x, Number y, Ties ties);
Expr min(Expr x, Number y, Ties ties);
Expr compare(Predicate predicate, Expr x, Expr y);
Expr select(Expr condition, Expr x, Expr y);
Expr operator+(Expr x, Expr y);
Expr operator-(Expr x, Expr y);
Expr operator*(Expr x, Expr y);
Expr operator/(Expr x, Expr y);
Expr operator+(Expr x, Number y);
Expr operator-(Expr x, Number y);
Expr operator*(Expr x, Number y);
Expr operator/(Expr x, Number y);

// Shape. Dimensions may not be negative here.
Expr reshape(Expr x, Ints shape);
Expr transpose(Expr x, Ints perm);
Expr swapDims(Expr x, int64_t d, int64_t e);
/// NumPy broadcasting to exactly `shape`.
Expr broadcastTo(Expr x, Ints shape);
/// A vector along dimension `dim` of `shape`.
Expr alongDim(Expr vector, Ints shape, int64_t dim);
/// Elements [start, start + size) of one dimension.
Expr slice(Expr x, int64_t dim, int64_t start, int64_t size, int64_t step = 1);
Expr pad(Expr x, Ints low, Ints high, Number value, Ints interior = {});
Expr reverse(Expr x, Ints dims);
Expr concat(llvm::ArrayRef<Expr> xs, int64_t dim);
Expr patches(Expr x, Ints dims, Ints sizes, Ints strides, Ints dilations);
/// The adjoint of patches, which were taken from a tensor of this shape.
Expr fold(Expr x, Ints shape, Ints dims, Ints sizes, Ints strides,
          Ints dilations);

// Reductions; `keepDims` leaves dimensions of size 1.
/// `first`: the gradient of max and min goes to the first of equal elements.
Expr reduce(Combiner combiner, Expr x, Ints dims, bool keepDims = false,
            bool first = false);
Expr sum(Expr x, Ints dims, bool keepDims = false);
Expr mean(Expr x, Ints dims, bool keepDims = false);
/// Of all elements, as rank 0.
Expr sumAll(Expr x);
Expr reduceMax(Expr x, Ints dims, bool keepDims = false);

/// x - max - log(sum(exp(x - max))) along `dim`.
Expr logSoftmax(Expr x, int64_t dim);
/// exp(x) over its sum along `dim`; 0 where all of x is -inf.
Expr maskedSoftmax(Expr x, int64_t dim);

// Contractions and the rest.
/// In `element` (x's if null).
Expr contract(Expr x, Expr y, Ints xBatch, Ints yBatch, Ints xSum, Ints ySum,
              mlir::Type element = {});
/// x (*, K) times y (N, K) transposed, in `element`.
Expr linear(Expr x, Expr y, mlir::Type element = {});
struct ConvolutionShape {
  llvm::SmallVector<int64_t> strides, low, high, inputDilations, dilations;
  int64_t groups = 1;
};
Expr convolution(Expr x, Expr kernel, const ConvolutionShape &shape);
Expr gather(Expr x, Expr indices, int64_t dim);
/// base (rows, columns) with updates (n, columns) added to rows `indices` (n).
Expr scatterAdd(Expr base, Expr indices, Expr updates);
/// softmax(q k^T scale + mask), which attention multiplies v with: in f32 of
/// halves. `mask` may be missing.
Expr attentionWeights(Expr q, Expr k, Expr mask, double scale, bool causal);
/// `mask` may be missing.
Expr attention(Expr q, Expr k, Expr v, Expr mask, double scale, bool causal);
/// Gradients of q, k and v, given that of attention's result.
std::array<Expr, 3> attentionBackward(Expr q, Expr k, Expr v, Expr dResult,
                                      Expr mask, double scale, bool causal);

/// What a loop with carried state gives.
struct Scanned {
  std::vector<Expr> finals, stacks;
};
/// One step: the state, which it advances, elements of the sequences, and the
/// invariants; gives the elements of the stacks.
using ScanStep = llvm::function_ref<std::vector<Expr>(
    std::vector<Expr> &state, llvm::ArrayRef<Expr> now,
    llvm::ArrayRef<Expr> fixed)>;
/// `sequences` has at least one.
Scanned scan(llvm::ArrayRef<Expr> inits, llvm::ArrayRef<Expr> sequences,
             llvm::ArrayRef<Expr> invariants, bool reverse, ScanStep step);

} // namespace nncc
#endif // NNCC_DIALECT_EXPR_H
