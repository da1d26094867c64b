//===- Check.cpp - nncc check ---------------------------------------------===//
//
// The compiled result against the f64 interpreter, or against outputs that were
// recorded. With --bisect: the first
// pass after which the interpreter's outputs change, and the first kernel call
// whose memory differs from what the interpreter computed for it.
//
//===----------------------------------------------------------------------===//
#include "Progress.h"
#include "Session.h"
#include "compiler/Reference.h"
#include <cmath>
#include <cstring>
#include <iostream>

namespace nncc {

namespace {

/// Elements of each gradient that --grad looks at.
constexpr unsigned gradientSamples = 4;

std::vector<double> valuesOf(const void *data, uint64_t dtype, size_t count) {
  std::vector<double> values(count);
  for (size_t i = 0; i < count; ++i)
    values[i] = elementAt(data, dtype, i);
  return values;
}

/// The largest difference relative to the reference's largest element, which is
/// taken to be at least `floor`; NaN and infinities must agree exactly.
double difference(const std::vector<double> &x, const std::vector<double> &y,
                  double floor = 1e-30) {
  double worst = 0, scale = floor;
  for (size_t i = 0; i < y.size(); ++i) {
    if (std::isfinite(y[i]))
      scale = std::max(scale, std::fabs(y[i]));
    bool same = x[i] == y[i] || (std::isnan(x[i]) && std::isnan(y[i]));
    if (!same && !(std::isfinite(x[i]) && std::isfinite(y[i])))
      return INFINITY;
    if (!same)
      worst = std::max(worst, std::fabs(x[i] - y[i]));
  }
  return worst / scale;
}

/// Gradients that are zero in exact arithmetic (a bias before a batch norm) are
/// noise in f32. So they are measured by a hundredth of the largest element of
/// all gradients, if that is more than their own.
double gradientFloor(const TensorValues &values, const std::string &kind) {
  double largest = 0;
  for (const auto &[name, list] : values)
    if (name.rfind(kind, 0) == 0)
      for (double value : list)
        if (std::isfinite(value))
          largest = std::max(largest, std::fabs(value));
  return std::max(1e-30, largest / 100);
}

/// "grad." or "optimizer.exp_avg.": what all gradients, or what was made of
/// them, have in front of the parameter; "" for other tensors.
std::string gradientKind(const std::string &name) {
  if (name.rfind("grad.", 0) == 0)
    return "grad.";
  size_t dot =
      name.rfind("optimizer.", 0) == 0 ? name.find('.', 10) : std::string::npos;
  return dot == std::string::npos ? "" : name.substr(0, dot + 1);
}

struct CheckVerb {
  SessionFlags flags;
  double tolerance = 1e-4;
  bool bisect = false, json = false, gradients = false;
  std::string expected; // a file with recorded outputs

  int run();

private:
  int readTensors(const std::string &path, TensorValues &values);
  int compare(const Session &session, const TensorValues &reference);
  int compareGradients(const ReferenceResult &reference,
                       const TensorValues &values);
  int bisectPasses(const ReferenceResult &reference);
  int bisectKernels(Session &session, const ReferenceResult &reference);
};

/// All tensors of a safetensors file.
int CheckVerb::readTensors(const std::string &path, TensorValues &values) {
  if (path.empty())
    return exitDone;
  nncc_file *file;
  if (int code = reportRuntime(nncc_file_read(path.c_str(), &file)))
    return code;
  for (uint32_t i = 0; i < nncc_file_count(file); ++i) {
    const nncc_file_tensor *t = nncc_file_get(file, i);
    values[t->name] =
        valuesOf(t->data, t->dtype, t->bytes / nncc_dtype_bytes(t->dtype));
  }
  nncc_file_free(file);
  return exitDone;
}

/// One line per output; exitDiffers if one is off.
int CheckVerb::compare(const Session &session, const TensorValues &reference) {
  int code = exitDone;
  for (const HostTensor &tensor : session.outputs) {
    size_t count = tensor.data.size() / nncc_dtype_bytes(tensor.dtype);
    auto wanted = reference.find(tensor.name);
    if (wanted == reference.end() || wanted->second.size() != count) {
      std::cerr << "nncc: " << expected << " has no tensor \"" << tensor.name
                << "\" with " << count << " elements\n";
      return exitRejected;
    }
    std::string kind = gradientKind(tensor.name);
    double error = difference(
        valuesOf(tensor.data.data(), tensor.dtype, count), wanted->second,
        kind.empty() ? 1e-30 : gradientFloor(reference, kind));
    bool good = error <= tolerance;
    if (json)
      printf("{\"output\": \"%s\", \"error\": %.3e, \"ok\": %s}\n",
             tensor.name.c_str(), error, good ? "true" : "false");
    else
      printf("%s: %.1e of its scale, %s\n", tensor.name.c_str(), error,
             good ? "ok" : "DIFFERS");
    if (!good)
      code = exitDiffers;
  }
  return code;
}

/// The worst difference per gradient, relative to its largest element.
int CheckVerb::compareGradients(const ReferenceResult &reference,
                                const TensorValues &values) {
  std::map<std::string, double> worst;
  for (const GradientSample &sample : reference.gradients) {
    double scale = gradientFloor(values, "grad.");
    for (double value : values.at("grad." + sample.name))
      scale = std::max(scale, std::fabs(value));
    double error = std::fabs(sample.byAutodiff - sample.byDifferences) / scale;
    double &most = worst[sample.name];
    most = std::isnan(error) ? error : std::max(most, error);
  }
  int code = exitDone;
  for (auto &[name, error] : worst) {
    bool good = error <= tolerance;
    if (json)
      printf("{\"gradient\": \"%s\", \"error\": %.3e, \"ok\": %s}\n",
             name.c_str(), error, good ? "true" : "false");
    else
      printf("grad.%s: %.1e from differences, %s\n", name.c_str(), error,
             good ? "ok" : "DIFFERS");
    if (!good)
      code = exitDiffers;
  }
  return code;
}

int CheckVerb::bisectPasses(const ReferenceResult &reference) {
  const ReferenceStage &first = reference.stages.front();
  for (const ReferenceStage &stage : reference.stages)
    for (size_t o = 0; o < first.outputs.size(); ++o) {
      // Passes reorder sums, so bits may differ in f64 as well.
      double error = difference(stage.outputs[o], first.outputs[o]);
      if (error > 1e-9) {
        printf("bisect: outputs change with %s (output %zu by %.1e)\n",
               stage.name.c_str(), o, error);
        return exitDiffers;
      }
    }
  return exitDone;
}

/// Runs the steps one by one on memory of its own.
int CheckVerb::bisectKernels(Session &session,
                             const ReferenceResult &reference) {
  if (int code = session.createContext(1)) // weights as they were
    return code;
  StepRunner runner(session);
  std::vector<KernelRun> runs = kernelRuns(*session.body);
  for (size_t i = 0; i < reference.calls.size(); ++i) {
    const ReferenceCall &call = reference.calls[i];
    std::vector<double> values =
        valuesOf(runner(runs[i]), call.dtype, call.result.size());
    double error = difference(values, call.result);
    if (error > tolerance) {
      printf("bisect: first difference at step %zu, kernel %s, %s: %.1e of its "
             "scale\n",
             i, call.kernel.c_str(), call.origin.c_str(), error);
      return exitDiffers;
    }
  }
  return exitDone;
}

int CheckVerb::run() {
  if (!expected.empty() && bisect) {
    std::cerr << "nncc: --bisect compares with the interpreter, leave out "
                 "--expect\n";
    return exitUsage;
  }
  if (gradients && flags.entry == "forward")
    flags.entry = "backward";
  flags.common.options.entries = {flags.entry};
  Session session;
  session.fillsCotangents = gradients;
  int code = session.open(flags);
  if (!code)
    code = session.createContext(1);
  if (!code)
    code = session.run();
  TensorValues inputs, weights, recorded;
  if (!code)
    code = readTensors(expected, recorded);
  if (!code && !expected.empty())
    return compare(session, recorded);
  if (!code && isCompiled(flags.model)) {
    std::cerr << "nncc: the interpreter needs the model's JSON; compare a "
                 "compiled model with --expect FILE.safetensors\n";
    return exitUsage;
  }
  if (!code)
    code = readTensors(flags.weights, weights);
  std::string text;
  if (!code && !readFile(flags.model, text))
    code = exitIo;
  if (code)
    return code;
  for (const HostTensor &tensor : session.inputs)
    inputs[tensor.name] =
        valuesOf(tensor.data.data(), tensor.dtype,
                 tensor.data.size() / nncc_dtype_bytes(tensor.dtype));
  ReferenceOptions what;
  what.entry = flags.entry;
  what.body = unsigned(session.body - session.entry->bodies);
  int64_t step = weights.count("optimizer.step")
                     ? int64_t(weights["optimizer.step"][0])
                     : 0;
  what.seed = flags.seed;
  what.step = session.entry->trains ? step : 0;
  what.accumulates = (step + 1) % int64_t(session.entry->period) != 0;
  if (what.accumulates) // the body that the run took
    session.body = session.body->accumulate;
  what.everyPass = bisect;
  what.samples = gradients ? gradientSamples : 0;
  Progress progress;
  progress.show("interpreting in f64");
  ReferenceResult reference = interpretModel(
      flags.model, text, flags.common.options, inputs, weights, what);
  progress.clear();
  std::cerr << reference.messages;
  if (reference.status != Status::done)
    return int(reference.status);
  for (size_t o = 0; o < reference.names.size(); ++o) {
    recorded[reference.names[o]] = reference.stages.front().outputs[o];
    if (o >= session.outputs.size())
      if (int failed = session.readState(reference.names[o]))
        return failed;
  }
  code = compare(session, recorded);
  if (gradients && compareGradients(reference, recorded))
    code = exitDiffers;
  if (!bisect)
    return code;
  int found = bisectPasses(reference);
  if (!found)
    found = bisectKernels(session, reference);
  if (!found && !json)
    printf("bisect: no pass and no kernel differs\n");
  return found ? found : code;
}

} // namespace

Verb addCheck(CLI::App &app) {
  CLI::App *sub = app.add_subcommand(
      "check", "compiled result against the built-in f64 interpreter");
  auto verb = std::make_shared<CheckVerb>();
  verb->flags.add(*sub);
  sub->add_option("--tolerance", verb->tolerance,
                  "largest difference, relative to an output's scale")
      ->default_str("1e-4");
  sub->add_option("--expect", verb->expected,
                  "safetensors file of outputs to compare with instead");
  sub->add_flag("--grad", verb->gradients,
                "gradients of the entry (backward) by finite differences");
  sub->add_flag("--bisect", verb->bisect,
                "name the first pass and kernel that differ");
  sub->add_flag("--json", verb->json, "results as JSON lines on stdout");
  CompileOptions &options = verb->flags.common.options;
  sub->add_option("--wrong-kernel", options.wrongKernel)->group("");
  sub->add_option("--wrong-pass", options.wrongPass)->group("");
  sub->footer("Examples:\n"
              "  nncc check lenet.json --weights lenet.safetensors --input "
              "x=random:normal\n"
              "  nncc check lenet.json --weights lenet.safetensors --input "
              "x=random:normal --bisect");
  return {sub, [verb] { return verb->run(); }};
}

} // namespace nncc
