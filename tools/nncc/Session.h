//===- Session.h - a loaded model with weights and tensors ------*- C++ -*-===//
//
// What run, check and bench share: compile or load a model, load weights, fill
// inputs, hold outputs.
//
//===----------------------------------------------------------------------===//
#ifndef NNCC_TOOLS_SESSION_H
#define NNCC_TOOLS_SESSION_H

#include "Device.h"
#include "HostTensor.h"
#include "Library.h"
#include "Spec.h"
#include "Verbs.h"

namespace nncc {

struct SessionFlags {
  CommonFlags common;
  DeviceFlag device;
  std::string model, weights, inputs, entry = "forward";
  uint64_t seed = 0;
  std::vector<std::string> input; // "x=random:normal,seed=1", "x=@x.npy"
  bool converts = false;
  /// Of the verb: weights and inputs that are not given are random.
  bool isRandom = false;

  void addTo(Verb &verb, const char *operand);
  /// Everything that can be said before the model is compiled.
  int check(Verb &verb, Paths &paths);

  std::vector<InputSpec> specs; // of --input
  bool isCompiled = false;      // the model
  bool isSeeded = false;        // --seed was given
};

class Session {
public:
  ~Session();
  /// Everything up to filled inputs; an exit code and a sentence if something
  /// is wrong. The flags were checked.
  int open(SessionFlags &flags);
  /// A context of its own number of threads.
  int createContext(uint32_t threads);
  int run();
  /// What the context runs: the body, of the program of its device.
  const nncc_body &steps() const {
    return *nncc_context_body(context, entry, uint32_t(body - entry->bodies));
  }
  bool isOnGpu() const { return nncc_context_device(context) == NNCC_CUDA; }
  /// Adds a tensor of the context's weights to the outputs.
  int readState(const std::string &name);
  /// Compiled sizes that --dim leaves.
  size_t bodiesLeft() const { return bodies.size(); }

  const nncc_model *model = nullptr;
  const nncc_entry *entry = nullptr;
  const nncc_body *body = nullptr;
  nncc_context *context = nullptr;
  std::vector<HostTensor> inputs, outputs;

  nncc_weights *weights = nullptr;
  uint64_t seed = 0;
  DeviceFlag device;
  std::string text; // of a model that was compiled here

private:
  Library library; // outlives what came from it

  int loadModel(SessionFlags &flags);
  int chooseBodies(const SessionFlags &flags);
  int loadWeights(const SessionFlags &flags);
  int makeWeights();
  int readInputs(const SessionFlags &flags);
  int give(HostTensor array, const std::string &from);
  void chooseBody();
  int fillInputs(const SessionFlags &flags);
  int fillInput(size_t i, const SessionFlags &flags);
  std::string inputNames() const;

  struct Given {
    HostTensor array;
    std::string from; // "--inputs in.npz"
  };
  std::vector<Given> given;
  std::vector<const nncc_body *> bodies; // to choose from
  std::vector<std::string> random;       // what got random values
};

/// Chooses, of the bodies of a compiled entry, those that have the sizes of
/// --dim; a sentence if there are none.
int bodiesOf(const nncc_entry &entry, const CompileOptions &options,
             const std::string &model, std::vector<const nncc_body *> &bodies);

/// Whether --seed means anything to the entry.
bool drawsRandom(const nncc_model &model, const nncc_entry &entry);

/// Prints the runtime's last error; gives the exit code that fits the status.
int reportRuntime(nncc_status status);

} // namespace nncc
#endif // NNCC_TOOLS_SESSION_H
