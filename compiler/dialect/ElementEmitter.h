//===- ElementEmitter.h - code for the elements of a tensor -----*- C++ -*-===//
//
// The vocabulary in which primitives describe their lowering: "the element of
// the result at these coordinates is ... of the operands' elements at those".
// A kernel emitter implements it; ops know nothing of loops, vectors or memory.
//
// A coordinate stands for `width` lanes at once: lane i is
// base + offset + i * lane. An element is a vector of `width` values, or a
// scalar when width is 1. Elements that are equal in all lanes are computed
// once as a scalar.
//
// f16 and bf16 are types of memory: their elements are computed in f32, rounded
// where they are stored and where a conversion says so.
//
//===----------------------------------------------------------------------===//
#ifndef NNCC_DIALECT_ELEMENTEMITTER_H
#define NNCC_DIALECT_ELEMENTEMITTER_H

#include "dialect/Number.h"
#include "mlir/IR/Builders.h"
#include "mlir/IR/BuiltinAttributes.h"
#include "mlir/IR/Value.h"
#include "mlir/IR/ValueRange.h"
#include "llvm/ADT/DenseMap.h"
#include "llvm/ADT/SmallVector.h"
#include <optional>

namespace nncc {

/// Lane i of a coordinate is base + offset + i * lane. A null base is 0;
/// `base` is known to be a multiple of `align`.
struct Coord {
  mlir::Value base;
  int64_t offset = 0;
  int64_t lane = 0;
  int64_t align = 1;

  static Coord constant(int64_t value) { return {mlir::Value(), value, 0, 1}; }
};
using Coords = llvm::SmallVector<Coord, 6>;

/// A tensor as memory: element at index i lies at offset + sum i_d * strides_d
/// of the row-major buffer of `base`.
struct StridedView {
  mlir::Value base;
  int64_t offset = 0;
  llvm::SmallVector<int64_t> shape, strides;

  static StridedView identity(mlir::Value value);
};

/// True for bool and unsigned integers; code for them has signless types.
bool isUnsignedElement(mlir::Type elementType);
/// What elements of a type are computed in: f32 for f16 and bf16.
mlir::Type computeType(mlir::Type elementType);

enum class Combiner : uint32_t;
enum class Predicate : uint32_t;

class ElementEmitter {
public:
  ElementEmitter(mlir::OpBuilder &builder, mlir::Location loc)
      : b(builder), loc(loc) {}
  virtual ~ElementEmitter();

  mlir::OpBuilder &b;
  mlir::Location loc;
  /// Lanes per element.
  int64_t width = 1;

  /// The elements of `tensor` at `at`.
  virtual mlir::Value at(mlir::Value tensor, llvm::ArrayRef<Coord> at) = 0;
  /// The elements of a dense constant at `at`.
  virtual mlir::Value constantAt(mlir::DenseElementsAttr value,
                                 llvm::ArrayRef<Coord> at) = 0;
  /// Lane-by-lane evaluation for accesses that no vector expresses.
  virtual mlir::Value perLane(mlir::Value tensor, llvm::ArrayRef<Coord> at) = 0;
  /// True if elements of a tensor are read from memory, not computed.
  virtual bool isInMemory(mlir::Value tensor) const = 0;
  /// Elements of `tensor` where all `conditions` (scalar bools) hold,
  /// `otherwise` elsewhere; memory outside the tensor is not touched.
  virtual mlir::Value guarded(llvm::ArrayRef<mlir::Value> conditions,
                              mlir::Value tensor, llvm::ArrayRef<Coord> at,
                              Number otherwise) = 0;
  /// Elements at `at` of the tensors in `parts`, each with its start along
  /// `dim`, that lie one after the other; `along` decides for all lanes.
  virtual mlir::Value
  choose(const Coord &along,
         llvm::ArrayRef<std::pair<int64_t, mlir::Value>> parts, int64_t dim,
         llvm::ArrayRef<Coord> at) = 0;
  /// An element of the integer tensor `indices` as a coordinate, clamped to
  /// [0, size). `at` is equal in all lanes.
  virtual Coord loadIndex(mlir::Value indices, llvm::ArrayRef<Coord> at,
                          int64_t size) = 0;
  /// Combines body(iv) over all points of `extents`; iteration order is fixed.
  /// Vectors of up to `together` lanes along the innermost extent, from
  /// multiples of their length on, come from one place: the emitter may take
  /// them. 0: the extent is not contiguous in memory.
  virtual mlir::Value
  reduce(Combiner combiner, mlir::Type elementType,
         llvm::ArrayRef<int64_t> extents, int64_t together,
         llvm::function_ref<mlir::Value(llvm::ArrayRef<Coord>)> body) = 0;

  // Elementwise functions. All take and give elements; VectorMath.h has more.
  /// x * y + z, fused where the target can.
  virtual mlir::Value fma(mlir::Value x, mlir::Value y, mlir::Value z) = 0;
  /// True if `fma` is: rounds once.
  virtual bool fuses() const = 0;
  /// True if floor and ceil are instructions.
  virtual bool hasFloor() const = 0;
  virtual mlir::Value pow(mlir::Value x, mlir::Value y) = 0;
  /// What a division of floats towards zero leaves, exactly (C's fmod).
  virtual mlir::Value fmod(mlir::Value x, mlir::Value y) = 0;
  /// Elements of `body` where `condition` holds, of `usual` elsewhere. Where it
  /// holds in no lane, the body's code is jumped over.
  virtual llvm::SmallVector<mlir::Value>
  rarely(mlir::Value condition, mlir::ValueRange usual,
         llvm::function_ref<llvm::SmallVector<mlir::Value>()> body) = 0;
  /// The f32 of 16 bits that are a `half`: f16 or bf16.
  virtual mlir::Value widen(mlir::Value bits, mlir::FloatType half) = 0;
  /// The bits of an f32 rounded to a half, to nearest, ties to even.
  virtual mlir::Value narrow(mlir::Value x, mlir::FloatType half) = 0;
  /// A float toward zero, as an i32 or i64; the least one for NaN and what none
  /// holds.
  virtual mlir::Value truncate(mlir::Value x, mlir::Type integer) = 0;
  mlir::Value neg(mlir::Value x);
  mlir::Value abs(mlir::Value x);
  mlir::Value sqrt(mlir::Value x);
  mlir::Value rsqrt(mlir::Value x);
  mlir::Value floor(mlir::Value x);
  mlir::Value ceil(mlir::Value x);
  mlir::Value add(mlir::Value x, mlir::Value y);
  mlir::Value sub(mlir::Value x, mlir::Value y);
  mlir::Value mul(mlir::Value x, mlir::Value y);
  /// Of integers 0 where y is 0; it wraps.
  mlir::Value div(mlir::Value x, mlir::Value y, bool isUnsigned = false);
  /// floor(x / y) and x - floor(x / y) y, as PyTorch's floor_divide and
  /// remainder round; of integers 0 where y is 0.
  mlir::Value floorDiv(mlir::Value x, mlir::Value y, bool isUnsigned);
  mlir::Value remainder(mlir::Value x, mlir::Value y, bool isUnsigned);
  mlir::Value max(mlir::Value x, mlir::Value y, bool isUnsigned = false);
  mlir::Value min(mlir::Value x, mlir::Value y, bool isUnsigned = false);
  mlir::Value bitAnd(mlir::Value x, mlir::Value y);
  mlir::Value bitOr(mlir::Value x, mlir::Value y);
  mlir::Value bitXor(mlir::Value x, mlir::Value y);
  /// All bits the other way round.
  mlir::Value bitNot(mlir::Value x);
  /// By as many bits as the type has, or more, or a negative number: everything
  /// is shifted out.
  mlir::Value shiftLeft(mlir::Value x, mlir::Value y);
  mlir::Value shiftRight(mlir::Value x, mlir::Value y, bool isUnsigned);
  mlir::Value compare(Predicate predicate, mlir::Value x, mlir::Value y,
                      bool isUnsigned);
  mlir::Value select(mlir::Value condition, mlir::Value x, mlir::Value y);
  mlir::Value convert(mlir::Value x, mlir::Type from, mlir::Type to);
  mlir::Value combine(Combiner combiner, mlir::Value x, mlir::Value y,
                      bool isUnsigned = false);
  /// `value` in all lanes of an element of this type.
  mlir::Value splat(mlir::Type elementType, Number value);
  /// The type of an element: a scalar or a vector of `width` of the
  /// computeType.
  mlir::Type typeOf(mlir::Type elementType) const;
  /// A scalar in all lanes.
  mlir::Value spread(mlir::Value scalar);

  // Coordinates. All are exact; lanes follow along.
  Coord addTo(const Coord &x, int64_t value);
  Coord add(const Coord &x, const Coord &y);
  Coord scale(const Coord &x, int64_t factor);
  /// Floor division and remainder of a coordinate that is equal in all lanes.
  Coord divide(const Coord &x, int64_t divisor);
  Coord remainder(const Coord &x, int64_t divisor);
  /// sum at_d * strides_d.
  Coord linear(llvm::ArrayRef<Coord> at, llvm::ArrayRef<int64_t> strides);
  /// Coordinates in `to` of the element at `at` in `from`, both row-major over
  /// the same elements. Fails if the lanes would not lie on one line.
  llvm::FailureOr<Coords> reshape(llvm::ArrayRef<Coord> at,
                                  llvm::ArrayRef<int64_t> from,
                                  llvm::ArrayRef<int64_t> to);
  /// Coordinates in a row-major `shape` of the elements x, x + 1, ..., with one
  /// division for all of them where a row has as many.
  llvm::SmallVector<Coords> splitRun(const Coord &x, int64_t count,
                                     llvm::ArrayRef<int64_t> shape);
  /// base + offset as an index value (lane 0).
  mlir::Value materialize(const Coord &x);
  /// lo <= x < hi as a scalar bool, for a coordinate equal in all lanes.
  mlir::Value inRange(const Coord &x, int64_t lo, int64_t hi);
  /// True if all lanes are known to lie in [lo, hi).
  bool isInRange(const Coord &x, int64_t lo, int64_t hi) const;
  /// The coordinate as an element of an integer or floating type.
  mlir::Value coordElement(const Coord &x, mlir::Type elementType);

protected:
  /// What emitters know values by that they make once: index arithmetic (by
  /// the value of a constant y, which is made anew each time), and elements.
  using Key = std::vector<uintptr_t>;
  static Key keyOf(char op, mlir::Value x, mlir::Value y);
  Key keyOf(mlir::Value tensor, llvm::ArrayRef<Coord> at) const;

  /// Index arithmetic goes through these, so that an emitter can reuse values.
  virtual mlir::Value indexOp(char op, mlir::Value x, mlir::Value y) = 0;
  mlir::Value index(int64_t value);

private:
  llvm::FailureOr<Coords> split(Coord x, llvm::ArrayRef<int64_t> shape);
  std::optional<Coord> joined(const Coord &high, const Coord &low,
                              int64_t size) const;

  struct Division {
    Coord dividend;
    mlir::Value quotient;
    int64_t divisor;
  };
  /// What remainders were made of, so that digits can become a number again.
  llvm::DenseMap<mlir::Value, Division> divisions;
};

} // namespace nncc
#endif // NNCC_DIALECT_ELEMENTEMITTER_H
