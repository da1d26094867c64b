//===- Bench.cpp - nncc bench ---------------------------------------------===//
//
// Times an entry, and its kernels one by one if asked; rates are shares of the
// machine's multiply-add peak, measured in the same run.
//
//===----------------------------------------------------------------------===//
#include "Peak.h"
#include "Progress.h"
#include "StepRunner.h"
#include "support/Diagnostics.h"
#include "llvm/ADT/STLExtras.h"
#include <algorithm>
#include <chrono>
#include <map>

namespace nncc {

namespace {

namespace json = llvm::json;
using Clock = std::chrono::steady_clock;

double since(Clock::time_point from) {
  return std::chrono::duration<double>(Clock::now() - from).count();
}

struct Timing {
  double median, least, p90; // milliseconds
  size_t runs;

  explicit Timing(std::vector<double> times) : runs(times.size()) {
    std::sort(times.begin(), times.end());
    least = times.front();
    median = times[runs / 2];
    p90 = times[runs * 9 / 10];
  }
};

struct BenchVerb {
  SessionFlags flags;
  std::vector<uint32_t> threads = {1};
  double seconds = 3;
  bool asJson = false, perKernel = false;
  std::string compareFile;

  int run(Verb &verb);

private:
  int readEarlier();
  int checkEarlier(const Session &session);
  int openContext(Session &session, uint32_t count);
  int timeRuns(Session &session, std::vector<double> &times);
  int timeEntry(Session &session, uint32_t count);
  int timeKernels(Session &session);
  int print(const std::string &text) {
    return asJson ? int(exitDone) : printOut(text);
  }

  double peak = 0; // GFLOP/s of one core
  struct Earlier {
    double median; // ms
    bool isOnGpu;
  };
  std::map<std::pair<std::string, uint32_t>, Earlier> earlier;
  json::Object earlierSubject;
  json::Array results, kernels;
};

/// What is measured: records of something else say nothing about it.
json::Object subjectOf(const Session &session) {
  auto listed = [](const std::vector<HostTensor> &tensors) {
    json::Array list;
    for (const HostTensor &tensor : tensors)
      list.push_back(tensor.name + " " + nncc_dtype_name(tensor.dtype) + " " +
                     shapeText(tensor.dims));
    return list;
  };
  int64_t bytes = 0;
  for (uint64_t i = 0; i < session.model->weight_count; ++i)
    bytes += int64_t(session.model->weights[i].bytes);
  return json::Object{{"name", jsonText(session.model->name)},
                      {"cpu", session.model->cpu},
                      {"state_bytes", bytes},
                      {"inputs", listed(session.inputs)},
                      {"outputs", listed(session.outputs)}};
}

int BenchVerb::checkEarlier(const Session &session) {
  if (compareFile.empty())
    return exitDone;
  json::Object now = subjectOf(session);
  auto textOf = [](const json::Value *value) {
    std::string text;
    llvm::raw_string_ostream os(text);
    value ? void(os << *value) : void(os << "none");
    return text;
  };
  std::string differs;
  for (const char *key : {"name", "state_bytes", "inputs", "outputs"}) {
    std::string then = textOf(earlierSubject.get(key)),
                here = textOf(now.get(key));
    if (then != here)
      differs += (differs.empty() ? "" : "; ") + std::string(key) + " " + then +
                 ", here " + here;
  }
  if (!differs.empty())
    return fail(exitRejected,
                "--compare " + compareFile +
                    " is of something else: " + differs,
                compareFile);
  std::string then = textOf(earlierSubject.get("cpu")),
              here = textOf(now.get("cpu"));
  bool areForCpus = then != "\"\"" && here != "\"\""; // else each row tells
  if (then != here && areForCpus)
    note(compareFile + " is of code for " + then + ", this is for " + here);
  return exitDone;
}

/// The medians of an earlier `bench --json`.
int BenchVerb::readEarlier() {
  std::string text;
  if (compareFile.empty())
    return exitDone;
  if (int code =
          readJsonText(compareFile, "the output of nncc bench --json", text))
    return code;
  auto value = json::parse(text);
  const json::Object *root = value ? value->getAsObject() : nullptr;
  const json::Array *list = root ? root->getArray("results") : nullptr;
  if (const json::Object *model = root ? root->getObject("model") : nullptr)
    earlierSubject = *model;
  if (!value)
    llvm::consumeError(value.takeError());
  for (size_t i = 0; list && i < list->size(); ++i) {
    const json::Object *row = (*list)[i].getAsObject();
    auto entry = row ? row->getString("entry") : std::nullopt;
    auto count = row ? row->getInteger("threads") : std::nullopt;
    auto median = row ? row->getNumber("median_ms") : std::nullopt;
    if (entry && count && median && *median > 0)
      earlier[{entry->str(), uint32_t(*count)}] = {
          *median, row->getString("device") == "cuda"};
  }
  if (earlier.empty())
    return fail(exitRejected,
                "--compare " + compareFile +
                    ": not the output of nncc bench --json",
                compareFile);
  for (uint32_t count : threads)
    if (earlier.count({flags.entry, count}))
      return exitDone;
  return fail(exitUsage, "--compare " + compareFile + " has no " + flags.entry +
                             " on so many threads");
}

int BenchVerb::openContext(Session &session, uint32_t count) {
  if (int code = session.createContext(count))
    return code;
  if (session.isOnGpu() && (count > 1 || perKernel))
    return fail(exitUsage, perKernel ? "--kernels is for the CPU: a GPU's "
                                       "kernels are not timed by themselves"
                                     : "--threads is for the CPU");
  if (!peak && !session.isOnGpu())
    peak = measurePeak();
  return exitDone;
}

/// Warm-up, then at least 10 runs and `seconds`.
int BenchVerb::timeRuns(Session &session, std::vector<double> &times) {
  for (int i = 0; i < 2; ++i)
    if (int code = session.run())
      return code;
  Progress progress;
  for (auto start = Clock::now();
       times.size() < 10 || since(start) < seconds;) {
    progress.show("run " + std::to_string(times.size() + 1));
    auto before = Clock::now();
    if (int code = session.run())
      return code;
    times.push_back(since(before) * 1e3);
  }
  progress.clear();
  return exitDone;
}

/// Bytes that a run reads and writes at least.
static double bytesOf(const Session &session) {
  double bytes = 0;
  for (uint64_t i = 0; i < session.model->weight_count; ++i)
    bytes += double(session.model->weights[i].bytes);
  for (const HostTensor &tensor : session.inputs)
    bytes += double(tensor.data.size());
  for (const HostTensor &tensor : session.outputs)
    bytes += double(tensor.data.size());
  return bytes;
}

int BenchVerb::timeEntry(Session &session, uint32_t count) {
  std::vector<double> times;
  int code = openContext(session, count);
  if (!code)
    code = timeRuns(session, times);
  if (code)
    return code;
  Timing timing(std::move(times));
  double flops = 0;
  for (const KernelRun &run : kernelRuns(session.steps()))
    flops += double(run.step->flops);
  double gflops = flops / timing.median / 1e6;
  double gbytes = bytesOf(session) / timing.median / 1e6;
  bool isOnGpu = session.isOnGpu();
  json::Object row{{"entry", flags.entry},
                   {"device", isOnGpu ? "cuda" : "cpu"},
                   {"threads", count},
                   {"median_ms", timing.median},
                   {"min_ms", timing.least},
                   {"p90_ms", timing.p90},
                   {"runs", int64_t(timing.runs)},
                   {"gflops", gflops},
                   {"gbytes_per_s", gbytes}};
  std::string where = ", GPU", share;
  char line[300];
  if (!isOnGpu) {
    row["peak_share"] = gflops / (peak * count);
    where = ", " + std::to_string(count) + " thread" + (count > 1 ? "s" : "");
    snprintf(line, sizeof line, " (%.0f %% of peak)",
             gflops / (peak * count) * 100);
    share = line;
  }
  auto before = earlier.find({flags.entry, count});
  double ratio =
      before == earlier.end() ? 0 : before->second.median / timing.median;
  if (ratio)
    row["earlier_over_now"] = ratio;
  std::string sizes = session.body->sizes;
  if (!sizes.empty())
    row["sizes"] = jsonText(sizes);
  results.push_back(std::move(row));
  snprintf(line, sizeof line,
           ": median %.4f ms, min %.4f, p90 %.4f, %zu runs%s; "
           "%.1f GFLOP/s%s, %.2f GB/s",
           timing.median, timing.least, timing.p90, timing.runs,
           timing.p90 > 1.2 * timing.median ? " (noisy)" : "", gflops,
           share.c_str(), gbytes);
  std::string text =
      flags.entry + (sizes.empty() ? "" : " " + sizes) + where + line;
  if (ratio) {
    snprintf(line, sizeof line, "; %.2f x as fast as in ", ratio);
    text += line + compareFile;
    if (before->second.isOnGpu != isOnGpu)
      text += before->second.isOnGpu ? ", on a GPU" : ", on the CPU";
  }
  return print(text + "\n");
}

/// Each step by itself, in order, on one thread; one in a loop with all its
/// iterations.
int BenchVerb::timeKernels(Session &session) {
  StepRunner runner(session);
  std::vector<KernelRun> runs = kernelRuns(*session.body);
  std::vector<std::vector<double>> times(session.body->step_count);
  std::vector<int64_t> calls(times.size());
  auto start = Clock::now();
  std::string text;
  for (size_t round = 0; round < 12 || since(start) < seconds; ++round) {
    std::vector<double> now(times.size());
    for (const KernelRun &run : runs) {
      auto before = Clock::now();
      if (!runner(run))
        return reportRuntime(NNCC_ERROR_ARGUMENT);
      size_t i = run.step - session.body->steps;
      now[i] += since(before) * 1e3;
      calls[i] += round == 0;
    }
    for (size_t i = 0; i < times.size() && round >= 2; ++i)
      times[i].push_back(now[i]);
  }
  for (size_t i = 0; i < times.size(); ++i) {
    if (!calls[i]) // a loop's own row
      continue;
    const nncc_step &step = session.body->steps[i];
    Timing timing(std::move(times[i]));
    double gflops = double(step.flops) * double(calls[i]) / timing.median / 1e6;
    kernels.push_back(json::Object{{"kernel", step.name},
                                   {"origin", step.origin},
                                   {"calls", calls[i]},
                                   {"median_ms", timing.median},
                                   {"min_ms", timing.least},
                                   {"gflops", gflops},
                                   {"peak_share", gflops / peak}});
    char line[100];
    snprintf(line, sizeof line,
             "  %-6s x%-5lld %9.4f ms %8.1f GFLOP/s %4.0f %%  ", step.name,
             (long long)calls[i], timing.median, gflops, gflops / peak * 100);
    text += std::string(line) + step.origin + "\n";
  }
  return print(text);
}

int BenchVerb::run(Verb &verb) {
  Paths paths;
  if (int code = flags.check(verb, paths))
    return code;
  if (int code = paths.reads("--compare", compareFile))
    return code;
  if (int code = readEarlier())
    return code;
  Session session;
  if (int code = session.open(flags))
    return code;
  if (session.bodiesLeft() > 1)
    note("compiled for several sizes: this is " +
         std::string(session.body->sizes) + ", --dim chooses");
  if (int code = checkEarlier(session))
    return code;
  for (uint32_t count : threads)
    if (int code = timeEntry(session, count))
      return code;
  if (perKernel)
    if (int code = timeKernels(session))
      return code;
  if (!asJson)
    return exitDone;
  json::Object report{{"model", subjectOf(session)},
                      {"results", std::move(results)}};
  if (peak)
    report["peak_gflops"] = peak;
  if (perKernel)
    report["kernels"] = std::move(kernels);
  return printJson(std::move(report));
}

} // namespace

Verb makeBench() {
  Verb verb("bench", "time an entry");
  auto self = std::make_shared<BenchVerb>();
  self->flags.isRandom = true;
  self->flags.addTo(verb, "model file, or a compiled .so, .o or .a");
  verb.add({{"--threads"},
            "LIST",
            "numbers of threads: 1,2 (1)",
            [self](const std::string &text) -> std::string {
              self->threads.clear();
              for (size_t at = 0; at <= text.size();) {
                size_t comma = std::min(text.find(',', at), text.size());
                auto count = wholeNumber(text.substr(at, comma - at));
                if (!count || *count < 1 || *count > 1024)
                  return "expected whole numbers from 1 to 1024, as in 1,2";
                if (llvm::is_contained(self->threads, *count))
                  return std::to_string(*count) + " stands there twice";
                self->threads.push_back(uint32_t(*count));
                at = comma + 1;
              }
              return "";
            }});
  verb.real("--seconds", "NUMBER", self->seconds, 0, true,
            "time to measure, at least (3)");
  verb.flag("--kernels", self->perKernel, "also each kernel by itself");
  verb.text("--compare", "FILE", self->compareFile,
            "an earlier --json to compare with");
  verb.flag("--json", self->asJson, "results as JSON on stdout");
  verb.examples = {"nncc bench lenet.json --seconds 1 --threads 1,2",
                   "nncc bench lenet.json --weights lenet.safetensors --input "
                   "x=random:normal --kernels"};
  verb.run = [self](Verb &verb) { return self->run(verb); };
  return verb;
}

} // namespace nncc
