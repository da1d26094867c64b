//===- Inspect.cpp - nncc inspect -----------------------------------------===//
#include "Verbs.h"
#include <iostream>

namespace nncc {

Verb addInspect(CLI::App &app) {
  CLI::App *sub = app.add_subcommand(
      "inspect", "signature, parameters, kernels, fusion and memory");
  struct State {
    CommonFlags flags;
    std::string model;
    bool json = false;
  };
  auto state = std::make_shared<State>();
  sub->add_option("model", state->model, "model file")->required();
  sub->add_flag("--json", state->json, "as JSON on stdout");
  state->flags.add(*sub);
  sub->footer("Examples:\n  nncc inspect lenet.json\n"
              "  nncc inspect lenet.json --json -mcpu=x86-64-v3");
  return {sub, [state] {
            if (!state->flags.finish())
              return int(exitUsage);
            CompileResult result =
                compileFile(state->model, state->flags.options,
                            state->json ? Stage::reportJson : Stage::report);
            std::cout << result.output;
            return int(result.status);
          }};
}

} // namespace nncc
