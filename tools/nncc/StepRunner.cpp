//===- StepRunner.cpp - a body kernel by kernel ---------------------------===//
#include "StepRunner.h"

namespace nncc {

std::vector<KernelRun> kernelRuns(const nncc_body &body) {
  std::vector<KernelRun> runs;
  for (uint64_t i = 0; i < body.step_count; ++i) {
    const nncc_step &step = body.steps[i];
    for (uint64_t k = 0; k < step.iterations; ++k)
      for (uint64_t inner = 1; inner <= step.loop_steps; ++inner)
        runs.push_back({&step + inner, k});
    if (step.iterations)
      i += step.loop_steps;
    else
      runs.push_back({&step, 0});
  }
  return runs;
}

StepRunner::StepRunner(Session &session) : session(session) {
  for (HostTensor &tensor : session.inputs)
    inputs.push_back(tensor.data.data());
  for (HostTensor &tensor : session.outputs)
    outputs.push_back(tensor.data.data());
}

void *StepRunner::operator()(const KernelRun &run) {
  return nncc_run_step(session.context, session.entry, run.step, run.iteration,
                       inputs.data(), outputs.data());
}

} // namespace nncc
