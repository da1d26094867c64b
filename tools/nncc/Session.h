//===- Session.h - a loaded model with weights and tensors ------*- C++ -*-===//
//
// What run, check and bench share: compile or load a model, load weights, fill
// inputs, hold outputs.
//
//===----------------------------------------------------------------------===//
#ifndef NNCC_TOOLS_SESSION_H
#define NNCC_TOOLS_SESSION_H

#include "Library.h"
#include "Verbs.h"

namespace nncc {

struct TensorSpec;

/// A tensor that owns its data.
struct HostTensor {
  std::string name;
  nncc_dtype dtype;
  std::vector<int64_t> dims;
  std::vector<char> data;

  nncc_view view() {
    return {data.data(), dtype, static_cast<uint32_t>(dims.size()),
            dims.data()};
  }
};

/// Element `i` of a row-major tensor.
double elementAt(const void *data, uint64_t dtype, size_t i);

struct SessionFlags {
  CommonFlags common;
  std::string model, weights, inputs, entry = "forward";
  uint64_t seed = 0;
  std::vector<std::string> input; // "x=random:normal,seed=1", "x=@x.npy"
  void add(CLI::App &app);
};

class Session {
public:
  ~Session();
  /// Everything up to filled inputs; an exit code and a sentence on stderr if
  /// something is wrong.
  int open(SessionFlags &flags);
  /// A context of its own number of threads.
  int createContext(uint32_t threads);
  int run();
  /// Adds a tensor of the context's weights to the outputs.
  int readState(const std::string &name);

  /// Inputs "grad.x" that are not given are random.
  bool fillsCotangents = false;
  const nncc_model *model = nullptr;
  const nncc_entry *entry = nullptr;
  const nncc_body *body = nullptr;
  nncc_context *context = nullptr;
  std::vector<HostTensor> inputs, outputs;

  nncc_weights *weights = nullptr;
  uint64_t seed = 0;

private:
  Library library; // outlives what came from it

  int loadModel(SessionFlags &flags);
  int loadWeights(const SessionFlags &flags);
  int fillInputs(const SessionFlags &flags);
  int fill(HostTensor &tensor, const TensorSpec &spec);
};

/// One run of a kernel, or of the host's all_reduce.
struct KernelRun {
  const nncc_step *step;
  uint64_t iteration; // of the loop that it is in, or 0
};

/// All that a body runs, in order, loops written out.
std::vector<KernelRun> kernelRuns(const nncc_body &body);

/// Runs a session's body kernel by kernel, on an arena of its own.
class StepRunner {
public:
  explicit StepRunner(Session &session);
  /// Gives the memory of the result.
  void *operator()(const KernelRun &run);

private:
  Session &session;
  std::vector<char> arena;
  std::vector<const void *> inputs;
  std::vector<void *> outputs;
};

/// Prints the runtime's last error; gives the exit code that fits the status.
int reportRuntime(nncc_status status);

} // namespace nncc
#endif // NNCC_TOOLS_SESSION_H
