//===- HalfFloats.cpp - f16 and bf16 in memory, f32 in registers ----------===//
//
// By the CPU's instructions for f16 where it has them (F16C), else by integer
// arithmetic: LLVM would call functions of compiler-rt, which an object of ours
// may not need. bf16 always by integers: AVX512_BF16 drops subnormals. Method
// of f16: F. Giesen, "half to float done quick" and "float to half".
//
//===----------------------------------------------------------------------===//
#include "codegen/kernels/BufferEmitter.h"
#include "mlir/Dialect/Arith/IR/Arith.h"

using namespace mlir;

namespace nncc {

namespace {

/// Arithmetic on the bits of elements.
struct Bits {
  BufferEmitter &e;

  Value constant(int64_t value) { return e.splat(e.b.getI32Type(), value); }
  Value asFloat(Value bits) {
    return arith::BitcastOp::create(e.b, e.loc, e.typeOf(e.b.getF32Type()),
                                    bits);
  }
  Value ofFloat(Value x) {
    return arith::BitcastOp::create(e.b, e.loc, e.typeOf(e.b.getI32Type()), x);
  }
  Value extend(Value half) {
    return arith::ExtUIOp::create(e.b, e.loc, e.typeOf(e.b.getI32Type()), half);
  }
  Value cut(Value bits) {
    return arith::TruncIOp::create(e.b, e.loc, e.typeOf(e.b.getIntegerType(16)),
                                   bits);
  }
  Value left(Value x, int64_t count) {
    return arith::ShLIOp::create(e.b, e.loc, x, constant(count));
  }
  Value right(Value x, int64_t count) {
    return arith::ShRUIOp::create(e.b, e.loc, x, constant(count));
  }
  Value isAtLeast(Value x, int64_t bound) {
    return e.compare(Predicate::ge, x, constant(bound), true);
  }

  /// The exponent is rebased by a multiplication, which normalises subnormals.
  Value widenF16(Value x) {
    Value half = extend(x), magnitude = e.bitAnd(half, constant(0x7fff));
    Value scale = e.splat(e.b.getF32Type(), 0x1p112);
    Value finite = ofFloat(e.mul(asFloat(left(magnitude, 13)), scale));
    Value special = e.bitOr(left(magnitude, 13), constant(0x7f800000));
    Value bits = e.select(isAtLeast(magnitude, 0x7c00), special, finite);
    Value sign = left(e.bitAnd(half, constant(0x8000)), 16);
    return asFloat(e.bitOr(bits, sign));
  }

  Value narrowF16(Value x) {
    Value bits = ofFloat(x);
    Value magnitude = e.bitAnd(bits, constant(0x7fffffff));
    // Normal results: rebase the exponent and round.
    Value odd = e.bitAnd(right(magnitude, 13), constant(1));
    Value rebased = e.add(magnitude, constant(-(112 << 23) + 0xfff));
    Value normal = right(e.add(rebased, odd), 13);
    // Subnormal ones: an addition lines the bits up and rounds.
    Value lined = e.add(asFloat(magnitude), e.splat(e.b.getF32Type(), 0.5));
    Value subnormal = e.sub(ofFloat(lined), constant(0x3f000000));
    Value result = e.select(isAtLeast(magnitude, 113 << 23), normal, subnormal);
    result =
        e.select(isAtLeast(magnitude, 143 << 23), constant(0x7c00), result);
    Value isNan = e.compare(Predicate::ne, x, x, false);
    result = e.select(isNan, constant(0x7e00), result);
    Value sign = e.bitAnd(right(bits, 16), constant(0x8000));
    return cut(e.bitOr(result, sign));
  }

  Value narrowBF16(Value x) {
    Value bits = ofFloat(x);
    Value odd = e.bitAnd(right(bits, 16), constant(1));
    Value rounded = right(e.add(e.add(bits, constant(0x7fff)), odd), 16);
    Value isNan = e.compare(Predicate::ne, x, x, false);
    return cut(e.select(isNan, constant(0x7fc0), rounded));
  }
};

} // namespace

/// The vector type of a half itself, for the instructions of F16C.
static Type vectorOf(FloatType half, int64_t width) {
  return width > 1 ? Type(VectorType::get({width}, half)) : half;
}

Value BufferEmitter::widen(Value x, FloatType half) {
  Bits bits{*this};
  if (half.isBF16())
    return bits.asFloat(bits.left(bits.extend(x), 16));
  if (!target.convertsF16)
    return bits.widenF16(x);
  x = arith::BitcastOp::create(b, loc, vectorOf(half, width), x);
  return arith::ExtFOp::create(b, loc, typeOf(b.getF32Type()), x);
}

Value BufferEmitter::narrow(Value x, FloatType half) {
  Bits bits{*this};
  if (half.isBF16())
    return bits.narrowBF16(x);
  // Of a cut from f64 that is exact LLVM makes one conversion, and a call.
  auto cut = x.getDefiningOp<arith::TruncFOp>();
  bool isOfF64 = cut && getElementTypeOrSelf(cut.getIn().getType()).isF64();
  if (!target.convertsF16 || isOfF64)
    return bits.narrowF16(x);
  x = arith::TruncFOp::create(b, loc, vectorOf(half, width), x);
  return arith::BitcastOp::create(b, loc, typeOf(b.getIntegerType(16)), x);
}

} // namespace nncc
