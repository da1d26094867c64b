//===- Check.cpp - nncc check ---------------------------------------------===//
//
// The compiled result against the f64 interpreter, or against outputs that were
// recorded. With --bisect: the first pass after which the interpreter's outputs
// change, and the first kernel call whose memory differs from what the
// interpreter computed for it.
//
//===----------------------------------------------------------------------===//
#include "Arrays.h"
#include "Progress.h"
#include "StepRunner.h"
#include "compiler/Reference.h"
#include "support/Diagnostics.h"
#include <cmath>
#include <cstring>
#include <map>

namespace nncc {

namespace {

/// Elements of each gradient that --grad looks at.
constexpr unsigned gradientSamples = 4;

TensorElements elementsOf(const void *data, uint64_t dtype, size_t count) {
  TensorElements values;
  values.areFloats = isFloat(dtype);
  for (size_t i = 0; i < count; ++i)
    if (values.areFloats)
      values.floats.push_back(elementAt(data, dtype, i));
    else
      values.ints.push_back(integerAt(data, dtype, i));
  return values;
}

TensorElements elementsOf(const HostTensor &tensor) {
  return elementsOf(tensor.data.data(), tensor.dtype, tensor.count());
}

/// |x[i] - y[i]|: exact of integers, 0 of equal infinities and NaN.
double distance(const TensorElements &x, const TensorElements &y, size_t i) {
  if (!x.areFloats && !y.areFloats) {
    int64_t a = x.ints[i], b = y.ints[i];
    return double(a < b ? uint64_t(b) - uint64_t(a)
                        : uint64_t(a) - uint64_t(b));
  }
  double a = x.get(i), b = y.get(i);
  if (a == b || (std::isnan(a) && std::isnan(b)))
    return 0;
  return std::isfinite(a) && std::isfinite(b) ? std::fabs(a - b) : INFINITY;
}

/// The largest finite magnitude.
double largestOf(const TensorElements &values) {
  double largest = 0;
  for (size_t i = 0; i < values.size(); ++i)
    if (std::isfinite(values.get(i)))
      largest = std::max(largest, std::fabs(values.get(i)));
  return largest;
}

/// The largest difference relative to the reference's largest element, which is
/// taken to be at least `floor`; NaN and infinities must agree exactly.
/// Elements that are `skipped` do not count.
double difference(const TensorElements &x, const TensorElements &y,
                  double floor = 1e-30, const std::vector<bool> &skipped = {}) {
  double worst = 0;
  for (size_t i = 0; i < y.size(); ++i)
    if (skipped.empty() || !skipped[i])
      worst = std::max(worst, distance(x, y, i));
  return worst / std::max(floor, largestOf(y));
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

/// What is expected of an output.
struct Expected {
  std::string name;
  TensorElements values;
};
using ExpectedList = std::vector<Expected>; // one of each output, in order

const TensorElements *find(const ExpectedList &list, const std::string &name) {
  for (const Expected &expected : list)
    if (expected.name == name)
      return &expected.values;
  return nullptr;
}

/// Gradients that are zero in exact arithmetic (a bias before a batch norm) are
/// noise in f32. So they are measured by a hundredth of the largest element of
/// all gradients, if that is more than their own.
double gradientFloor(const ExpectedList &list, const std::string &kind) {
  double largest = 0;
  for (const Expected &expected : list)
    if (expected.name.rfind(kind, 0) == 0)
      largest = std::max(largest, largestOf(expected.values));
  return std::max(1e-30, largest / 100);
}

/// Elements of a parameter whose step is as large whatever the size of
/// the gradient, which is itself no more than the difference that is allowed:
/// the sign of such a step is noise.
std::vector<bool> noiseOf(const ExpectedList &list,
                          const std::string &parameter, double allowed) {
  static const struct {
    const char *state;
    double power; // of the gradient
  } rows[] = {{"optimizer.exp_avg.", 1}, {"optimizer.variance.", 2}};
  std::vector<bool> noise;
  for (auto [state, power] : rows)
    if (const TensorElements *values = find(list, state + parameter)) {
      double scale = std::max(gradientFloor(list, state), largestOf(*values));
      double least = scale * std::pow(allowed, power);
      for (size_t i = 0; i < values->size(); ++i)
        noise.push_back(std::fabs(values->get(i)) <= least);
    }
  return noise;
}

struct CheckVerb {
  SessionFlags flags;
  std::string tolerance; // as typed
  bool bisect = false, asJson = false, gradients = false;
  bool accumulates = false; // the step that ran only added up gradients
  std::string expected;     // a file with recorded outputs

  int run(Verb &verb);

private:
  int checkFlags(Verb &verb);
  int readExpected(const Session &session, ExpectedList &list);
  int interpret(Session &session, ReferenceResult &reference,
                ExpectedList &list);
  int compare(const Session &session, const ExpectedList &list);
  int compareGradients(const ReferenceResult &reference,
                       const ExpectedList &list);
  int bisectPasses(const ReferenceResult &reference);
  int bisectKernels(Session &session, const ReferenceResult &reference);
  /// The largest difference for elements of this nncc_dtype: a half's numbers
  /// are further apart, and the interpreter does not round to them.
  std::string allowed(uint64_t dtype) const;
  int say(const char *kind, const std::string &name, double error,
          const std::string &most, const std::string &how);
  int end(int code);

  std::string lines;
  llvm::json::Array results;
  std::string found; // by bisecting
};

int CheckVerb::checkFlags(Verb &verb) {
  if (verb.given("--expect") && (bisect || gradients))
    return fail(exitUsage, std::string(bisect ? "--bisect" : "--grad") +
                               " compares with the interpreter, leave out "
                               "--expect");
  Paths paths;
  if (int code = flags.check(verb, paths))
    return code;
  if (int code = readsArrays(paths, "--expect", expected))
    return code;
  if (flags.isCompiled && expected.empty())
    return fail(exitUsage, "the interpreter needs the model's JSON; compare a "
                           "compiled model with --expect FILE.safetensors");
  if (gradients && flags.entry == "forward")
    flags.entry = "backward";
  if (gradients && flags.entry != "backward" && flags.entry != "loss_and_grad")
    return fail(exitUsage, "--grad: the entry " + flags.entry +
                               " gives no gradients, backward and "
                               "loss_and_grad do");
  flags.common.options.entries = {flags.entry};
  return exitDone;
}

/// What was recorded of each output, and nothing else.
int CheckVerb::readExpected(const Session &session, ExpectedList &list) {
  std::vector<HostTensor> arrays;
  if (int code = readArrays(expected, arrays))
    return code;
  if (arrays.size() == 1 && arrays[0].name.empty() &&
      session.outputs.size() == 1) // of a .npy file
    arrays[0].name = session.outputs[0].name;
  int code = exitDone;
  std::vector<std::string> names;
  for (const HostTensor &output : session.outputs)
    names.push_back(output.name);
  if (arrays.size() == 1 && arrays[0].name.empty())
    return fail(exitUsage, "--expect " + expected +
                               ": a .npy file has no name for its array, the "
                               "outputs are " +
                               listOf(names) + ": .npz has names");
  for (const HostTensor &array : arrays) {
    const HostTensor *output = nullptr;
    for (const HostTensor &candidate : session.outputs)
      if (candidate.name == array.name)
        output = &candidate;
    if (!output)
      code = fail(exitRejected, expected + ": the entry has no output \"" +
                                    array.name + "\", only " + listOf(names));
    else if (output->dims != array.dims)
      code = fail(exitRejected, expected + ": " + array.name + " has shape " +
                                    shapeText(array.dims) + ", the output " +
                                    shapeText(output->dims));
  }
  for (const std::string &name : names) {
    auto array = llvm::find_if(
        arrays, [&](const HostTensor &one) { return one.name == name; });
    if (array == arrays.end())
      code = fail(exitRejected, expected + " has no tensor \"" + name + "\"");
    else
      list.push_back({name, elementsOf(*array)});
  }
  return code;
}

std::string CheckVerb::allowed(uint64_t dtype) const {
  if (!tolerance.empty())
    return tolerance;
  return dtype == NNCC_F16 ? "4e-3" : dtype == NNCC_BF16 ? "3e-2" : "1e-4";
}

/// A line about one difference; exitDiffers if it is too large.
int CheckVerb::say(const char *kind, const std::string &name, double error,
                   const std::string &most, const std::string &how) {
  bool isGood = error <= *realNumber(most);
  llvm::json::Object row{{kind, jsonText(name)}, {"ok", isGood}};
  if (std::isfinite(error))
    row["error"] = error;
  else
    row["error"] = std::isnan(error) ? "nan" : "inf";
  results.push_back(std::move(row));
  lines += name + ": largest difference " + numberText(error, "%.1e") + how +
           ", allowed " + most + (isGood ? ", ok\n" : ", DIFFERS\n");
  return isGood ? exitDone : exitDiffers;
}

/// One line per output; exitDiffers if one is off.
int CheckVerb::compare(const Session &session, const ExpectedList &list) {
  int code = exitDone;
  for (auto [tensor, expected] : llvm::zip_equal(session.outputs, list)) {
    std::string kind = gradientKind(tensor.name), how = " of its scale";
    std::string most = allowed(tensor.dtype);
    auto noise = noiseOf(list, tensor.name, *realNumber(most));
    if (size_t count = llvm::count(noise, true))
      how += " but for " + std::to_string(count) + " of " +
             std::to_string(noise.size()) + " steps by gradients of noise";
    double error =
        difference(elementsOf(tensor), expected.values,
                   kind.empty() ? 1e-30 : gradientFloor(list, kind), noise);
    if (say("output", tensor.name, error, most, how))
      code = exitDiffers;
  }
  return code;
}

/// The worst difference per gradient, relative to its largest element.
int CheckVerb::compareGradients(const ReferenceResult &reference,
                                const ExpectedList &list) {
  std::map<std::string, double> worst;
  for (const GradientSample &sample : reference.gradients) {
    double scale = std::max(gradientFloor(list, "grad."),
                            largestOf(*find(list, "grad." + sample.name)));
    double error = std::fabs(sample.byAutodiff - sample.byDifferences) / scale;
    double &most = worst[sample.name];
    most = std::isnan(error) ? error : std::max(most, error);
  }
  int code = exitDone;
  for (auto &[name, error] : worst)
    if (say("gradient", "grad." + name, error, allowed(NNCC_F64),
            " from differences"))
      code = exitDiffers;
  return code;
}

int CheckVerb::bisectPasses(const ReferenceResult &reference) {
  const ReferenceStage &first = reference.stages.front();
  for (const ReferenceStage &stage : reference.stages)
    for (size_t o = 0; o < first.outputs.size(); ++o) {
      // Passes reorder sums, so bits may differ in f64 as well.
      double error = difference(stage.outputs[o], first.outputs[o]);
      if (error > 1e-9) {
        found = "outputs change with " + stage.name + " (output " +
                std::to_string(o) + " by " + numberText(error, "%.1e") + ")";
        return exitDiffers;
      }
    }
  return exitDone;
}

/// Runs the steps one by one.
int CheckVerb::bisectKernels(Session &session,
                             const ReferenceResult &reference) {
  if (int code = session.createContext(1)) // weights as they were
    return code;
  StepRunner runner(session);
  const nncc_body *body = &session.steps();
  std::vector<KernelRun> runs =
      kernelRuns(accumulates ? *body->accumulate : *body);
  for (size_t i = 0; i < reference.calls.size(); ++i) {
    const ReferenceCall &call = reference.calls[i];
    const void *data = runner(runs[i]);
    if (!data)
      return reportRuntime(NNCC_ERROR_ARGUMENT);
    double error = difference(elementsOf(data, call.dtype, call.result.size()),
                              call.result);
    if (error > *realNumber(allowed(call.dtype))) {
      found = "first difference at step " + std::to_string(i) + ", kernel " +
              call.kernel + ", " + call.origin + ": " +
              numberText(error, "%.1e") + " of its scale";
      return exitDiffers;
    }
  }
  return exitDone;
}

/// The interpreter on the session's inputs and weights; its outputs go to
/// `list`, and state that it changes joins the session's outputs.
int CheckVerb::interpret(Session &session, ReferenceResult &reference,
                         ExpectedList &list) {
  TensorValues inputs, weights;
  for (const HostTensor &tensor : session.inputs)
    inputs[tensor.name] = elementsOf(tensor);
  for (uint64_t i = 0; session.weights && i < session.model->weight_count;
       ++i) {
    const nncc_tensor &tensor = session.model->weights[i];
    if (const void *data = nncc_weights_data(session.weights, i)) // not fresh
      weights[tensor.name] =
          elementsOf(data, tensor.dtype,
                     tensor.bytes / nncc_dtype_bytes(nncc_dtype(tensor.dtype)));
  }
  ReferenceOptions what;
  what.entry = flags.entry;
  what.body = unsigned(session.body - session.entry->bodies);
  int64_t step =
      weights.count("optimizer.step") ? weights["optimizer.step"].ints[0] : 0;
  what.seed = flags.seed;
  what.step = session.entry->trains ? step : 0;
  what.accumulates = (step + 1) % int64_t(session.entry->period) != 0;
  accumulates = what.accumulates;
  what.everyPass = bisect;
  what.samples = gradients ? gradientSamples : 0;
  Progress progress;
  progress.show("interpreting in f64");
  reference = interpretModel(flags.model, session.text, flags.common.options,
                             inputs, weights, what);
  progress.clear();
  if (int code = report(reference.status, reference.messages, {}))
    return code;
  for (size_t o = 0; o < reference.names.size(); ++o) {
    list.push_back({reference.names[o], reference.stages.front().outputs[o]});
    if (o >= session.outputs.size())
      if (int failed = session.readState(reference.names[o]))
        return failed;
  }
  return exitDone;
}

int CheckVerb::end(int code) {
  if (code != exitDone && code != exitDiffers)
    return code;
  int failed;
  if (asJson) {
    llvm::json::Object root{{"ok", code == exitDone},
                            {"results", std::move(results)}};
    if (!found.empty())
      root["bisect"] = jsonText(found);
    failed = printJson(std::move(root));
  } else {
    if (bisect)
      lines += "bisect: " +
               (found.empty() ? "no pass and no kernel differs" : found) + "\n";
    failed = printOut(lines);
  }
  return failed ? failed : code;
}

int CheckVerb::run(Verb &verb) {
  if (int code = checkFlags(verb))
    return code;
  Session session;
  int code = session.open(flags);
  if (!code)
    code = session.createContext(1);
  ExpectedList list;
  if (!code && !expected.empty())
    code = readExpected(session, list);
  if (!code)
    code = session.run();
  if (code)
    return code;
  if (!expected.empty())
    return end(compare(session, list));
  ReferenceResult reference;
  if (int failed = interpret(session, reference, list))
    return failed;
  code = compare(session, list);
  if (gradients && compareGradients(reference, list))
    code = exitDiffers;
  if (!bisect)
    return end(code);
  int differs = bisectPasses(reference);
  if (!differs)
    differs = bisectKernels(session, reference);
  return end(differs ? differs : code);
}

} // namespace

Verb makeCheck() {
  Verb verb("check", "compiled result against the built-in f64 interpreter");
  auto self = std::make_shared<CheckVerb>();
  self->flags.isRandom = true;
  self->flags.addTo(verb, "model file; with --expect also a compiled one");
  verb.add({{"--tolerance"},
            "NUMBER",
            "largest difference, relative to an output's scale (1e-4; f16 "
            "4e-3, bf16 3e-2)",
            [self](const std::string &text) {
              auto number = realNumber(text);
              self->tolerance = text;
              return number && *number >= 0 && std::isfinite(*number)
                         ? ""
                         : "expected a number, at least 0";
            }});
  verb.text("--expect", "FILE", self->expected,
            "outputs to compare with instead: safetensors, .npz, .npy");
  verb.flag("--grad", self->gradients,
            "gradients of the entry (backward) by finite differences");
  verb.flag("--bisect", self->bisect,
            "name the first pass and kernel that differ");
  verb.flag("--json", self->asJson, "results as JSON on stdout");
  CompileOptions &options = self->flags.common.options;
  verb.text("--wrong-kernel", "NAME", options.wrongKernel, "");
  verb.text("--wrong-pass", "NAME", options.wrongPass, "");
  verb.examples = {"nncc check lenet.json",
                   "nncc check lenet.json --weights lenet.safetensors --input "
                   "x=random:normal --bisect",
                   "nncc check lenet.json --grad"};
  verb.run = [self](Verb &verb) { return self->run(verb); };
  return verb;
}

} // namespace nncc
