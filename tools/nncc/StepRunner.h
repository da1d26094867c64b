//===- StepRunner.h - a body kernel by kernel -------------------*- C++ -*-===//
#ifndef NNCC_TOOLS_STEPRUNNER_H
#define NNCC_TOOLS_STEPRUNNER_H

#include "Session.h"

namespace nncc {

/// One run of a kernel, or of the host's all_reduce.
struct KernelRun {
  const nncc_step *step;
  uint64_t iteration; // of the loop that it is in, or 0
};

/// All that a body runs, in order, loops written out.
std::vector<KernelRun> kernelRuns(const nncc_body &body);

/// Runs a session's body kernel by kernel, in the memory of its context.
class StepRunner {
public:
  explicit StepRunner(Session &session);
  /// Gives the memory of the result.
  void *operator()(const KernelRun &run);

private:
  Session &session;
  std::vector<const void *> inputs;
  std::vector<void *> outputs;
};

} // namespace nncc
#endif // NNCC_TOOLS_STEPRUNNER_H
