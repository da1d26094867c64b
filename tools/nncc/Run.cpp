//===- Run.cpp - nncc run -------------------------------------------------===//
#include "Session.h"
#include "llvm/Support/JSON.h"
#include <algorithm>
#include <cmath>
#include <iostream>

namespace nncc {

namespace {

struct RunVerb {
  SessionFlags flags;
  std::string outputs, saved;
  uint32_t threads = 1;
  bool asJson = false;

  int run();
};

/// "logits f32 [1, 10]: 0.1 -0.2 ...": a glance when no file is asked for.
void printTensor(const HostTensor &tensor) {
  printf("%s %s [", tensor.name.c_str(), nncc_dtype_name(tensor.dtype));
  for (size_t d = 0; d < tensor.dims.size(); ++d)
    printf("%s%lld", d ? ", " : "", (long long)tensor.dims[d]);
  printf("]:");
  size_t count = tensor.data.size() / nncc_dtype_bytes(tensor.dtype);
  for (size_t i = 0; i < std::min<size_t>(count, 10); ++i)
    printf(" %g", elementAt(tensor.data.data(), tensor.dtype, i));
  printf("%s\n", count > 10 ? " ..." : "");
}

/// All elements; what JSON has no number for becomes the model format's word.
llvm::json::Object toJson(const HostTensor &tensor) {
  llvm::json::Array values;
  size_t count = tensor.data.size() / nncc_dtype_bytes(tensor.dtype);
  for (size_t i = 0; i < count; ++i) {
    double value = elementAt(tensor.data.data(), tensor.dtype, i);
    if (std::isfinite(value))
      values.push_back(value);
    else
      values.push_back(std::isnan(value) ? "nan" : value > 0 ? "inf" : "-inf");
  }
  return llvm::json::Object{{"name", tensor.name},
                            {"dtype", nncc_dtype_name(tensor.dtype)},
                            {"shape", llvm::json::Array(tensor.dims)},
                            {"values", std::move(values)}};
}

int RunVerb::run() {
  Session session;
  int code = session.open(flags);
  if (!code)
    code = session.createContext(threads);
  if (!code)
    code = session.run();
  if (!code && !saved.empty() && !session.weights) {
    std::cerr << "nncc: --save-weights: there are no weights\n";
    return exitUsage;
  }
  if (!code && !saved.empty())
    code = reportRuntime(nncc_weights_save(
        nncc_context_weights(session.context), saved.c_str()));
  if (code)
    return code;
  if (asJson) {
    llvm::json::Array list;
    for (const HostTensor &tensor : session.outputs)
      list.push_back(toJson(tensor));
    std::string text;
    llvm::raw_string_ostream(text)
        << llvm::json::Value(llvm::json::Object{{"outputs", std::move(list)}});
    puts(text.c_str());
  }
  if (outputs.empty() && !asJson) {
    for (const HostTensor &tensor : session.outputs)
      printTensor(tensor);
  }
  if (outputs.empty())
    return exitDone;
  std::vector<nncc_file_tensor> list;
  for (HostTensor &tensor : session.outputs)
    list.push_back({tensor.name.c_str(), tensor.dtype,
                    uint32_t(tensor.dims.size()), tensor.dims.data(),
                    tensor.data.data(), tensor.data.size()});
  return reportRuntime(
      nncc_file_write(outputs.c_str(), list.data(), uint32_t(list.size())));
}

} // namespace

Verb addRun(CLI::App &app) {
  CLI::App *sub =
      app.add_subcommand("run", "compile in memory, or load a .so, and run");
  auto verb = std::make_shared<RunVerb>();
  verb->flags.add(*sub);
  sub->add_option("--outputs", verb->outputs,
                  "safetensors file for outputs (default: print a glance)");
  sub->add_option("--save-weights", verb->saved,
                  "safetensors file for the state after the run");
  sub->add_option("--threads", verb->threads, "threads")
      ->check(CLI::Range(1, 1024));
  sub->add_flag("--json", verb->asJson, "outputs as JSON on stdout");
  sub->footer("Examples:\n"
              "  nncc run lenet.json --weights lenet.safetensors --input "
              "x=random:normal,seed=1\n"
              "  nncc run lenet.so --weights lenet.safetensors --inputs "
              "in.safetensors --outputs out.safetensors");
  return {sub, [verb] { return verb->run(); }};
}

} // namespace nncc
