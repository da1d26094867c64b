//===- Steps.h - a model as tables of steps ---------------------*- C++ -*-===//
//
// What runs, in order, on which memory: the model behind kernels and memory
// plan, as plain data that no target is in. The descriptor writes it as
// constants (Abi.cpp); a GPU makes launches of it.
//
//===----------------------------------------------------------------------===//
#ifndef NNCC_CODEGEN_STEPS_H
#define NNCC_CODEGEN_STEPS_H

#include "codegen/Signature.h"
#include <memory>

namespace nncc {

/// Where a step's buffer lies, and how it moves in a loop (nncc_buffer).
struct Place {
  nncc_space space;
  uint64_t number; // its `value`
  int64_t offset = 0, stride = 0, alternate = 0, bytes = 0;
};

/// Tiles [0, tiles) of a kernel; or the head of a loop; or a call of the host
/// that adds up gradients.
struct Step {
  enum class Kind { kernel, loop, allReduce };

  Kind kind;
  /// The kernel's, or the kind's.
  std::string name;
  /// What it was made for.
  std::string origin = {};
  std::vector<Place> buffers = {};
  int64_t tiles = 0, flops = 0;
  /// Of an all_reduce: what it reduces.
  std::vector<TensorInfo> tensors = {};
  /// Of a loop: so many steps behind this one run so often.
  uint64_t body = 0, times = 0;
};

/// Elements of an input lie in [first, end) or are `except`.
struct Limit {
  uint64_t input;
  int64_t first, end, except;
};

/// An entry at one combination of symbolic sizes.
struct Body {
  std::vector<TensorInfo> inputs, outputs;
  std::vector<Step> steps;
  std::vector<Limit> limits;
  int64_t arenaBytes = 0;
  /// Of its symbolic dims: "N=1,T=8".
  std::string sizes;
  /// That of the steps that only add up gradients, or null.
  std::unique_ptr<Body> accumulate;
};

struct Entry {
  std::string name;
  std::vector<Body> bodies;
  /// Steps to an update.
  uint64_t period = 1;
  /// True if it writes state.
  bool updates = false;
};

struct Program {
  std::vector<TensorInfo> state;
  /// By number of state: whether some entry's step reads it or writes it.
  std::vector<bool> isUsed;
  std::vector<Entry> entries;
  /// Makes the prepared weights, or null.
  std::unique_ptr<Body> prepare;
  uint64_t preparedBytes = 0;
  /// Which training its state belongs to; "" without.
  std::string training;
  /// A hash of what the model's file says it computes.
  std::string graph;
};

/// The program of a model whose kernels are lowered and whose memory is
/// planned.
Program programOf(mlir::ModuleOp model);

} // namespace nncc
#endif // NNCC_CODEGEN_STEPS_H
