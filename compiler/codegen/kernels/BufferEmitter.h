//===- BufferEmitter.h - elements as vector code on buffers -----*- C++ -*-===//
//
// The ElementEmitter of kernels, for any target: kernel operands are buffers,
// elements are scalars or 1-D vectors, index arithmetic and elements are reused
// where they dominate. How memory is read and written is the target's: it
// derives from this class. What emits whole kernels builds on it.
//
//===----------------------------------------------------------------------===//
#ifndef NNCC_CODEGEN_KERNELS_BUFFEREMITTER_H
#define NNCC_CODEGEN_KERNELS_BUFFEREMITTER_H

#include "codegen/Target.h"
#include "dialect/Nncc.h"
#include "support/Size.h"
#include <map>
#include <vector>

namespace nncc {

/// What memory holds: bool takes a byte; halves are 16 bits to LLVM, since what
/// it lacks an instruction for it makes a call of compiler-rt.
mlir::Type storageType(mlir::Type elementType);

/// The memory of a tensor, row-major: `memory` is what the target's loads and
/// stores take, and holds storageType(elementType).
struct Buffer {
  mlir::Value memory;
  mlir::Type elementType;

  explicit operator bool() const { return bool(memory); }
};

class BufferEmitter : public ElementEmitter {
public:
  BufferEmitter(mlir::OpBuilder &builder, mlir::Location loc,
                const TargetInfo &target)
      : ElementEmitter(builder, loc), target(target), scopes(1) {}

  const TargetInfo &target;

  /// Memory of kernel operands.
  llvm::DenseMap<mlir::Value, Buffer> buffers;
  /// Elements that a kernel's root has in registers, whatever the coordinates.
  llvm::DenseMap<mlir::Value, mlir::Value> bound;

  // ElementEmitter.
  mlir::Value at(mlir::Value tensor, llvm::ArrayRef<Coord> at) override;
  mlir::Value constantAt(mlir::DenseElementsAttr value,
                         llvm::ArrayRef<Coord> at) override;
  mlir::Value perLane(mlir::Value tensor, llvm::ArrayRef<Coord> at) override;
  bool isInMemory(mlir::Value tensor) const override {
    return buffers.contains(tensor);
  }
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
  mlir::Value fma(mlir::Value x, mlir::Value y, mlir::Value z) override;
  bool fuses() const override { return target.hasFma; }
  bool hasFloor() const override { return target.hasFloor; }
  mlir::Value pow(mlir::Value x, mlir::Value y) override;
  mlir::Value fmod(mlir::Value x, mlir::Value y) override;
  llvm::SmallVector<mlir::Value>
  rarely(mlir::Value condition, mlir::ValueRange usual,
         llvm::function_ref<llvm::SmallVector<mlir::Value>()> body) override;
  mlir::Value widen(mlir::Value bits, mlir::FloatType half) override;
  mlir::Value narrow(mlir::Value x, mlir::FloatType half) override;
  mlir::Value truncate(mlir::Value x, mlir::Type integer) override;

  // What each target has its own way for.

  /// `width` elements as memory holds them (storageType), from `position` on,
  /// one after the other.
  virtual mlir::Value loadAt(mlir::Value memory, mlir::Type stored,
                             const Coord &position) = 0;
  virtual void storeAt(mlir::Value memory, const Coord &position,
                       mlir::Value element) = 0;
  /// Memory that holds a 1-D constant, the same for all uses in a module.
  virtual mlir::Value constantMemory(mlir::DenseElementsAttr stored) = 0;
  /// Memory of this tile alone, aligned for vectors.
  virtual mlir::Value scratchMemory(mlir::Type stored, int64_t elements) = 0;

  /// Scratch memory, counted: what is more than the target allows is an error
  /// of the kernel (lowerKernels).
  Buffer scratch(mlir::Type elementType, Size elements);
  /// Bytes of all scratch memory.
  Size scratchBytes() const { return scratchUsed; }
  /// Elements of a buffer from `position`, which counts elements.
  mlir::Value load(const Buffer &buffer, const Coord &position);
  void store(const Buffer &buffer, const Coord &position, mlir::Value element);
  /// One element.
  mlir::Value loadScalar(const Buffer &buffer, const Coord &position);
  /// `element` is what at(tensor, at) gives from here on in this scope.
  void know(mlir::Value tensor, llvm::ArrayRef<Coord> at, mlir::Value element);
  /// A vector of scalars.
  mlir::Value fromLanes(llvm::ArrayRef<mlir::Value> lanes);
  /// True if a condition holds in some lane.
  mlir::Value isAny(mlir::Value condition);
  /// All lanes of a vector combined in a fixed tree.
  mlir::Value combineLanes(Combiner combiner, mlir::Value vector,
                           bool isUnsigned = false);

  using LoopBody = llvm::function_ref<llvm::SmallVector<mlir::Value>(
      const Coord &iv, mlir::ValueRange carried)>;
  /// for iv = lo; iv < hi; iv += step, carrying values. `lo` is a multiple of
  /// `align`.
  llvm::SmallVector<mlir::Value> loop(mlir::Value lo, mlir::Value hi,
                                      int64_t step, mlir::ValueRange initial,
                                      LoopBody body, int64_t align = 1);
  /// The same over constants; a single iteration gives no loop.
  llvm::SmallVector<mlir::Value> loop(int64_t lo, int64_t hi, int64_t step,
                                      mlir::ValueRange initial, LoopBody body);
  /// A loop that carries nothing.
  void forEach(int64_t lo, int64_t hi, int64_t step,
               llvm::function_ref<void(const Coord &)> body);
  void forEach(mlir::Value lo, mlir::Value hi, int64_t step,
               llvm::function_ref<void(const Coord &)> body, int64_t align = 1);
  void ifThen(mlir::Value condition, llvm::function_ref<void()> body);

  mlir::Value indexConstant(int64_t value) { return index(value); }
  mlir::Value indexOp(char op, mlir::Value x, mlir::Value y) override;

  /// Sets `width` for a lifetime.
  class WithWidth {
  public:
    WithWidth(BufferEmitter &e, int64_t width) : e(e), before(e.width) {
      e.width = width;
    }
    ~WithWidth() { e.width = before; }

  private:
    BufferEmitter &e;
    int64_t before;
  };

private:
  Size scratchUsed = 0;
  /// Values that dominate the insertion point, innermost scope last.
  std::vector<std::map<Key, mlir::Value>> scopes;
  mlir::Value lookup(const Key &key) const;
  void remember(Key key, mlir::Value value) {
    scopes.back().emplace(std::move(key), value);
  }
  mlir::Value
  reduceAlongLanes(Combiner combiner, mlir::Type elementType,
                   llvm::ArrayRef<int64_t> extents,
                   llvm::function_ref<mlir::Value(llvm::ArrayRef<Coord>)> body);
};

} // namespace nncc
#endif // NNCC_CODEGEN_KERNELS_BUFFEREMITTER_H
