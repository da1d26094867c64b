//===- Emission.h - how much code a kernel becomes --------------*- C++ -*-===//
//
// An element of an op is written into a kernel once for each place where it is
// wanted: at other coordinates, in other branches, lane by lane. Those places
// multiply along chains (a concatenation of concatenations, windows of windows
// in reverse), so a kernel must not take every op that it could.
//
// Here the ops' own lowering runs against an emitter whose code is thrown away
// and that only remembers who was asked for, and where. What a kernel reads
// from memory so far keeps its places: when such an op joins the kernel, only
// its own elements are looked at, so a kernel costs no more to grow than to
// write. Counted for 16 lanes, whatever the target: kernels do not depend on
// it.
//
//===----------------------------------------------------------------------===//
#ifndef NNCC_PASSES_EMISSION_H
#define NNCC_PASSES_EMISSION_H

#include "dialect/Nncc.h"
#include <deque>
#include <map>
#include <vector>

namespace nncc {

/// Reductions over at most this many points are written out.
constexpr int64_t unrollLimit = 32;
/// Chains of a loop over a run of elements.
constexpr int64_t chains = 4;

/// True if a reduction of so many elements takes vectors of them. Lanes that do
/// not come `together` are found one by one, in code a vector long, which gains
/// nothing; but in a single turn of the loop all places are known.
inline bool takesLanes(int64_t length, int64_t together, int64_t lanes) {
  return together && length >= lanes &&
         (together >= lanes || length < 2 * chains * lanes);
}

class Emission : public ElementEmitter {
public:
  using IsFree = std::function<bool(mlir::Operation *)>;
  /// `isFree`: ops that every reader computes for itself.
  Emission(mlir::MLIRContext *context, IsFree isFree);
  ~Emission() override;

  /// Adds the ops with the kernel's results, of one shape.
  void begin(llvm::ArrayRef<mlir::Operation *> ops);
  /// True if the kernel stays small enough with `op`, which it reads.
  bool hasRoomFor(mlir::Operation *op);
  /// Adds an op that it reads.
  void join(mlir::Operation *op);

  /// Elements that are computed or loaded; elements that are so again.
  int64_t elements = 0, repeated = 0;

  // ElementEmitter.
  mlir::Value at(mlir::Value tensor, llvm::ArrayRef<Coord> at) override;
  mlir::Value constantAt(mlir::DenseElementsAttr value,
                         llvm::ArrayRef<Coord> at) override;
  mlir::Value perLane(mlir::Value tensor, llvm::ArrayRef<Coord> at) override;
  bool isInMemory(mlir::Value tensor) const override;
  mlir::Value guarded(llvm::ArrayRef<mlir::Value> conditions,
                      mlir::Value tensor, llvm::ArrayRef<Coord> at,
                      Number otherwise) override;
  mlir::Value choose(const Coord &along,
                     llvm::ArrayRef<std::pair<int64_t, mlir::Value>> parts,
                     int64_t dim, llvm::ArrayRef<Coord> at) override;
  Coord loadIndex(mlir::Value indices, llvm::ArrayRef<Coord> at,
                  int64_t size) override;
  mlir::Value
  reduce(Combiner combiner, mlir::Type elementType,
         llvm::ArrayRef<int64_t> extents, int64_t together,
         llvm::function_ref<mlir::Value(llvm::ArrayRef<Coord>)> body) override;
  mlir::Value fma(mlir::Value x, mlir::Value, mlir::Value) override {
    return x;
  }
  bool fuses() const override { return true; }
  bool hasFloor() const override { return true; }
  mlir::Value pow(mlir::Value x, mlir::Value) override { return x; }
  mlir::Value fmod(mlir::Value x, mlir::Value) override { return x; }
  llvm::SmallVector<mlir::Value>
  rarely(mlir::Value, mlir::ValueRange usual,
         llvm::function_ref<llvm::SmallVector<mlir::Value>()>) override {
    return llvm::to_vector(usual);
  }
  mlir::Value widen(mlir::Value bits, mlir::FloatType half) override;
  mlir::Value narrow(mlir::Value x, mlir::FloatType half) override;
  mlir::Value truncate(mlir::Value x, mlir::Type integer) override;

protected:
  mlir::Value indexOp(char op, mlir::Value x, mlir::Value y) override;

private:
  /// What is known in a branch or loop, and what around it.
  struct Scope {
    Scope *outer;
    std::map<Key, mlir::Value> known;
  };
  /// A place where an element is wanted.
  struct Place {
    Coords at;
    int64_t width;
    Scope *scope;
    int64_t level; // of elements that are read through each other
  };
  /// Sets width and scope for a lifetime.
  struct Inside {
    Inside(Emission &e, int64_t width, Scope *scope)
        : e(e), width(e.width), scope(e.scope) {
      e.width = width;
      e.scope = scope;
    }
    ~Inside() {
      e.width = width;
      e.scope = scope;
    }
    Emission &e;
    int64_t width;
    Scope *scope;
  };

  mlir::Value lookup(const Key &key) const;
  /// Some value of the type, or one of its own.
  mlir::Value any(mlir::Type type);
  mlir::Value fresh(mlir::Type type);
  Scope *newScope() { return &scopes.emplace_back(Scope{scope, {}}); }
  mlir::Value element(mlir::Type elementType) {
    return any(typeOf(elementType));
  }
  void emit(mlir::Operation *op, const Place &place);
  int64_t mostElements() const;

  mlir::OpBuilder builder;
  mlir::Block scratch;
  IsFree isFree;
  llvm::DenseSet<mlir::Operation *> inside;
  llvm::DenseMap<mlir::Value, std::vector<Place>> wanted;
  llvm::DenseMap<mlir::Type, mlir::Value> anyOf;
  std::deque<Scope> scopes;
  Scope *scope;
  int64_t level = 0;
  bool isTrial = false, hasWindows = false;
};

} // namespace nncc
#endif // NNCC_PASSES_EMISSION_H
