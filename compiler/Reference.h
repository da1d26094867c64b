//===- Reference.h - the interpreter's view of a model ----------*- C++ -*-===//
//
// What `nncc check` compares with: a model's outputs in f64, as imported and
// after every pass, and every kernel call's result.
//
//===----------------------------------------------------------------------===//
#ifndef NNCC_REFERENCE_H
#define NNCC_REFERENCE_H

#include "Compiler.h"
#include <functional>

namespace nncc {

/// The elements of a tensor as they are: doubles of floating types, integers
/// of others.
struct TensorElements {
  bool areFloats = true;
  std::vector<double> floats;
  std::vector<int64_t> ints;

  size_t size() const { return areFloats ? floats.size() : ints.size(); }
  double get(size_t i) const { return areFloats ? floats[i] : double(ints[i]); }
};
/// By name.
using TensorValues = std::map<std::string, TensorElements>;

struct ReferenceStage {
  /// "import", or the flag of the pass after which this was computed.
  std::string name;
  std::vector<TensorElements> outputs;
};

struct ReferenceCall {
  std::string kernel, origin;
  uint64_t dtype; // nncc_dtype of the result
  TensorElements result;
};

/// One element of one gradient, in f64.
struct GradientSample {
  std::string name; // of what is differentiated by
  size_t element;
  double byAutodiff, byDifferences;
};

struct ReferenceResult {
  Status status = Status::done;
  std::string messages;
  /// Names of the entry's results: outputs, then state that it writes.
  std::vector<std::string> names;
  std::vector<ReferenceStage> stages;
  /// In the order of the entry's steps.
  std::vector<ReferenceCall> calls;
  /// Per gradient of the entry, some elements by central differences.
  std::vector<GradientSample> gradients;
};

struct ReferenceOptions {
  std::string entry = "forward";
  unsigned body = 0;
  /// Of the random numbers.
  uint64_t seed = 0;
  int64_t step = 0;
  /// A step of train_step that only adds up gradients.
  bool accumulates = false;
  /// Also after each pass of the kernel pipeline, with all kernel calls.
  bool everyPass = false;
  /// TensorElements of each gradient to take by differences.
  unsigned samples = 0;
};

/// Interprets an entry (reverse mode done).
ReferenceResult interpretModel(const std::string &file, const std::string &text,
                               const CompileOptions &options,
                               const TensorValues &inputs,
                               const TensorValues &weights,
                               const ReferenceOptions &what);

} // namespace nncc
#endif // NNCC_REFERENCE_H
