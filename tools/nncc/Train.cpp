//===- Train.cpp - nncc train ---------------------------------------------===//
//
// Steps of the compiled train_step over batches. The number of steps done lies
// in the weights (optimizer.step) and decides the order of the data, the random
// numbers and the learning rate, so a resumed training goes on as if it had
// not stopped.
//
//===----------------------------------------------------------------------===//
#include "Curve.h"
#include "Progress.h"
#include "Schedule.h"
#include "TrainData.h"
#include "llvm/Support/JSON.h"
#include <chrono>
#include <cmath>
#include <csignal>
#include <iostream>
#include <limits>

namespace nncc {

namespace {

constexpr double notComputed = std::numeric_limits<double>::quiet_NaN();

volatile std::sig_atomic_t interrupted = 0;

struct TrainVerb {
  CommonFlags common;
  std::string model, weightsFile, checkpoint, csvFile, svgFile,
      scheduleText = "constant", last = "drop";
  std::vector<std::string> dataFiles, validationFiles;
  uint64_t epochs = 1, steps = 0, every = 0, warmup = 0, seed = 0;
  double rate = 0;
  uint32_t threads = 1;
  bool resumes = false, inOrder = false, json = false;

  int run();
  ~TrainVerb() {
    nncc_context_free(context);
    nncc_weights_free(weights);
  }

private:
  using Clock = std::chrono::steady_clock;

  int checkFlags();
  int openModel();
  int openData();
  int openWeights();
  int openCurve();
  int trainOn();
  int step(uint64_t number);
  int validate(double &loss);
  int runEntry(const nncc_entry &entry, std::vector<HostTensor> &inputs,
               double &loss);
  int save();
  void showProgress(uint64_t done);
  void endEpoch(uint64_t epoch, double validation, double sum, uint64_t count);
  const nncc_entry *find(const char *name) const;
  static int watchGradients(void *host, const nncc_gradient *bucket,
                            uint32_t count);

  Library library; // outlives what came from it
  const nncc_entry *trainStep = nullptr, *lossEntry = nullptr;
  nncc_weights *weights = nullptr;
  nncc_context *context = nullptr;
  TrainData data, validation;
  Schedule schedule;
  Curve curve;
  Progress progress;
  std::vector<HostTensor> inputs, validationInputs;
  HostTensor lossTensor;
  uint64_t first = 0, total = 0;
  Clock::time_point start;
  std::string firstBad; // parameter
};

std::vector<HostTensor> batchOf(const nncc_entry &entry) {
  std::vector<HostTensor> list;
  for (uint64_t i = 0; i < entry.input_count; ++i) {
    const nncc_tensor &t = entry.bodies[0].inputs[i];
    list.push_back({t.name, nncc_dtype(t.dtype),
                    std::vector<int64_t>(t.dims, t.dims + t.rank),
                    std::vector<char>(t.bytes)});
  }
  return list;
}

const nncc_entry *TrainVerb::find(const char *name) const {
  for (uint64_t i = 0; i < library.model->entry_count; ++i)
    if (!strcmp(library.model->entries[i].name, name))
      return &library.model->entries[i];
  return nullptr;
}

int TrainVerb::checkFlags() {
  std::string error;
  if (!schedule.parse(scheduleText, error)) {
    std::cerr << "nncc: " << error << '\n';
    return exitUsage;
  }
  if ((resumes || every) && checkpoint.empty()) {
    std::cerr << "nncc: --resume and --checkpoint-every need --checkpoint "
                 "FILE.safetensors\n";
    return exitUsage;
  }
  return common.finish() ? exitDone : exitUsage;
}

int TrainVerb::openModel() {
  int code;
  if (isCompiled(model)) {
    code = library.open(model);
  } else {
    CompileOptions options = common.options;
    options.entries = {"train_step"};
    if (!validationFiles.empty())
      options.entries.push_back("loss");
    CompileResult result = compileFile(model, options, Stage::object);
    if (result.status != Status::done)
      return static_cast<int>(result.status);
    code = library.openObject(result.output);
  }
  if (code)
    return code;
  trainStep = find("train_step");
  lossEntry = find("loss");
  if (trainStep && (lossEntry || validationFiles.empty()))
    return exitDone;
  std::cerr << "nncc: " << model << " has no entry \""
            << (trainStep ? "loss" : "train_step")
            << "\": compile it with --entries=train_step,loss\n";
  return exitUsage;
}

int TrainVerb::openData() {
  for (const std::string &text : dataFiles)
    if (int code = data.add(text))
      return code;
  if (int code = data.check(*trainStep, trainStep->bodies[0]))
    return code;
  if (last == "error" && data.samples() % data.batchSize()) {
    std::cerr << "nncc: " << data.samples()
              << " samples are no whole number of batches of "
              << data.batchSize() << ": --last=drop leaves the rest out\n";
    return exitRejected;
  }
  inputs = batchOf(*trainStep);
  lossTensor.data.resize(trainStep->bodies[0].outputs[0].bytes);
  for (const std::string &text : validationFiles)
    if (int code = validation.add(text))
      return code;
  if (validationFiles.empty())
    return exitDone;
  validationInputs = batchOf(*lossEntry);
  validation.order(0, 0, false);
  if (int code = validation.check(*lossEntry, lossEntry->bodies[0]))
    return code;
  validation.order(0, 0, false);
  return exitDone;
}

int TrainVerb::openWeights() {
  std::string path = weightsFile;
  if (resumes)
    path = checkpoint;
  if (path.empty() && !library.model->embedded) {
    std::cerr << "nncc: " << library.model->name
              << " has state: give --weights FILE.safetensors\n";
    return exitUsage;
  }
  if (!path.empty())
    if (int code = reportRuntime(
            nncc_weights_load(library.model, path.c_str(), &weights)))
      return code;
  nncc_options options = {};
  options.threads = threads;
  options.trains = 1;
  options.seed = seed;
  options.all_reduce = watchGradients;
  options.all_reduce_host = this;
  if (int code = reportRuntime(
          nncc_context_create(library.model, weights, &options, &context)))
    return code;
  nncc_weights_free(weights); // the context has its own
  weights = nullptr;
  int64_t done = 0;
  if (int code = reportRuntime(nncc_weights_get(nncc_context_weights(context),
                                                "optimizer.step", &done, 8)))
    return code;
  first = uint64_t(done);
  total = steps ? steps : epochs * data.batches();
  return exitDone;
}

/// A resumed training goes on with its curve.
int TrainVerb::openCurve() {
  std::string text;
  if (!resumes || csvFile.empty() || access(csvFile.c_str(), F_OK))
    return exitDone;
  if (!readFile(csvFile, text))
    return exitIo;
  if (curve.read(text, first))
    return exitDone;
  std::cerr << "nncc: " << csvFile << " is not the curve of nncc train\n";
  return exitRejected;
}

/// In the place of all_reduce: when the loss is not finite, finds the first
/// gradient that is not.
int TrainVerb::watchGradients(void *host, const nncc_gradient *bucket,
                              uint32_t count) {
  auto *self = static_cast<TrainVerb *>(host);
  const HostTensor &loss = self->lossTensor;
  if (std::isfinite(elementAt(loss.data.data(), loss.dtype, 0)))
    return 0;
  for (uint32_t i = 0; i < count; ++i)
    for (uint64_t k = 0; k < bucket[i].count; ++k)
      if (!std::isfinite(elementAt(bucket[i].data, bucket[i].dtype, k))) {
        self->firstBad = bucket[i].name;
        return 1; // nothing more is updated
      }
  return 0;
}

int TrainVerb::runEntry(const nncc_entry &entry, std::vector<HostTensor> &batch,
                        double &loss) {
  const nncc_tensor &output = entry.bodies[0].outputs[0];
  lossTensor.dtype = nncc_dtype(output.dtype);
  memset(lossTensor.data.data(), 0, lossTensor.data.size());
  std::vector<const void *> in;
  for (const HostTensor &tensor : batch)
    in.push_back(tensor.data.data());
  void *out[] = {lossTensor.data.data()};
  nncc_status status = nncc_run_body(context, entry.name, 0, in.data(), out);
  loss = elementAt(lossTensor.data.data(), lossTensor.dtype, 0);
  return status == NNCC_ERROR_HOST ? exitDone : reportRuntime(status);
}

int TrainVerb::step(uint64_t number) {
  uint64_t epoch = number / data.batches(), index = number % data.batches();
  if (index == 0 || number == first)
    data.order(seed, epoch, !inOrder);
  data.fill(inputs, index);
  float lr;
  memcpy(&lr, trainStep->bodies[0].inputs[trainStep->input_count - 1].initial,
         sizeof lr);
  double base = rate > 0 ? rate : double(lr);
  lr = float(base * schedule.factor(number, total, warmup));
  memcpy(inputs.back().data.data(), &lr, sizeof lr);
  double loss;
  if (int code = runEntry(*trainStep, inputs, loss)) {
    std::cerr << "nncc: in step " << number + 1 << '\n';
    return code;
  }
  if (std::isfinite(loss)) {
    curve.points.push_back({number + 1, loss, double(lr), notComputed});
    return exitDone;
  }
  progress.clear();
  std::cerr << "nncc: step " << number + 1 << ": the loss is " << loss << "; "
            << (firstBad.empty()
                    ? std::string("all gradients are finite")
                    : "the first parameter whose gradient is not finite is " +
                          firstBad)
            << '\n';
  return exitRejected;
}

/// The mean over whole batches, in eval mode.
int TrainVerb::validate(double &mean) {
  double sum = 0;
  for (size_t b = 0; b < validation.batches(); ++b) {
    double loss;
    validation.fill(validationInputs, b);
    if (int code = runEntry(*lossEntry, validationInputs, loss))
      return code;
    sum += loss;
  }
  mean = sum / double(validation.batches());
  return exitDone;
}

int TrainVerb::save() {
  if (!checkpoint.empty())
    if (int code = reportRuntime(nncc_weights_save(
            nncc_context_weights(context), checkpoint.c_str())))
      return code;
  if (!csvFile.empty() && !writeFile(csvFile, curve.csv()))
    return exitIo;
  if (!svgFile.empty() &&
      !writeFile(svgFile,
                 curve.svg(std::string("Training of ") + library.model->name)))
    return exitIo;
  return exitDone;
}

void TrainVerb::showProgress(uint64_t done) {
  std::chrono::duration<double> time = Clock::now() - start;
  double left = time.count() / double(done - first) * double(total - done);
  std::string bar(size_t(20 * done / total), '#');
  bar.resize(20, '.');
  char text[120];
  snprintf(text, sizeof text, "[%s] step %llu of %llu, loss %.4g, %.0f s left",
           bar.c_str(), (unsigned long long)done, (unsigned long long)total,
           curve.points.back().loss, left);
  progress.show(text);
}

void TrainVerb::endEpoch(uint64_t epoch, double validated, double sum,
                         uint64_t count) {
  progress.clear();
  if (json)
    return;
  printf("epoch %llu: loss %.6g", (unsigned long long)epoch,
         sum / double(count));
  if (!std::isnan(validated))
    printf(", validation %.6g", validated);
  printf("\n");
  fflush(stdout);
}

int TrainVerb::trainOn() {
  std::signal(SIGINT, [](int) { interrupted = 1; });
  start = Clock::now();
  double validated = notComputed, sum = 0;
  uint64_t number = first, count = 0;
  while (number < total && !interrupted) {
    if (int code = step(number))
      return code;
    ++number;
    ++count;
    sum += curve.points.back().loss;
    showProgress(number);
    if (number % data.batches() == 0 || number == total) {
      if (!validationFiles.empty()) {
        if (int code = validate(validated))
          return code;
        curve.points.back().validation = validated;
      }
      endEpoch((number - 1) / data.batches() + 1, validated, sum, count);
      sum = 0;
      count = 0;
    }
    if (every && number % every == 0 && number < total)
      if (int code = save())
        return code;
  }
  progress.clear();
  if (int code = save())
    return code;
  std::chrono::duration<double> time = Clock::now() - start;
  if (json) {
    llvm::json::Object result{{"steps", int64_t(number)},
                              {"seconds", time.count()},
                              {"interrupted", interrupted != 0}};
    if (!curve.points.empty())
      result["loss"] = curve.points.back().loss;
    if (!std::isnan(validated))
      result["validation"] = validated;
    std::string text;
    llvm::raw_string_ostream(text) << llvm::json::Value(std::move(result));
    puts(text.c_str());
  } else {
    fprintf(stderr, "nncc: %s after step %llu, %.2f s%s%s\n",
            interrupted ? "stopped" : "done", (unsigned long long)number,
            time.count(), checkpoint.empty() ? "" : ", weights in ",
            checkpoint.c_str());
  }
  return interrupted ? exitInterrupted : exitDone;
}

int TrainVerb::run() {
  for (auto part :
       {&TrainVerb::checkFlags, &TrainVerb::openModel, &TrainVerb::openData,
        &TrainVerb::openWeights, &TrainVerb::openCurve, &TrainVerb::trainOn})
    if (int code = (this->*part)())
      return code;
  return exitDone;
}

} // namespace

Verb addTrain(CLI::App &app) {
  CLI::App *sub = app.add_subcommand(
      "train", "steps of the compiled optimizer over batches from files");
  auto verb = std::make_shared<TrainVerb>();
  sub->add_option("model", verb->model,
                  "model file with a \"training\" section, or a compiled one")
      ->required();
  sub->add_option(
         "--data", verb->dataFiles,
         "samples: FILE.npz, FILE.safetensors, NAME=@FILE.npy; several")
      ->required();
  sub->add_option("--validate", verb->validationFiles,
                  "samples for the loss in eval mode after each epoch");
  sub->add_option("--weights", verb->weightsFile,
                  "safetensors file to start from");
  sub->add_option("--checkpoint", verb->checkpoint,
                  "safetensors file for weights and optimizer state");
  sub->add_option("--checkpoint-every", verb->every,
                  "also after so many steps");
  sub->add_flag("--resume", verb->resumes, "start from the checkpoint");
  sub->add_option("--epochs", verb->epochs, "times over the data")
      ->default_str("1");
  sub->add_option("--steps", verb->steps, "steps in all, instead of epochs");
  sub->add_option("--lr", verb->rate, "learning rate (default: the model's)");
  sub->add_option("--schedule", verb->scheduleText,
                  "constant, step:EVERY,FACTOR, cosine, linear, one-cycle");
  sub->add_option("--warmup", verb->warmup, "steps of linear warm-up");
  sub->add_option("--seed", verb->seed, "of the order and of dropout")
      ->default_str("0");
  sub->add_flag("--in-order", verb->inOrder, "do not shuffle");
  sub->add_option("--last", verb->last, "a last partial batch: drop or error")
      ->check(CLI::IsMember({"drop", "error"}));
  sub->add_option("--threads", verb->threads, "threads")
      ->check(CLI::Range(1, 1024));
  sub->add_option("--csv", verb->csvFile, "the loss of each step");
  sub->add_option("--svg", verb->svgFile, "the same as a chart");
  sub->add_flag("--json", verb->json, "a summary as JSON on stdout");
  verb->common.addTarget(*sub);
  sub->footer("Examples:\n"
              "  nncc train lenet.json --data train.npz --weights "
              "lenet.safetensors --epochs 2 --checkpoint out.safetensors\n"
              "  nncc train lenet.json --data train.npz --checkpoint "
              "out.safetensors --resume --epochs 4 --svg loss.svg");
  return {sub, [verb] { return verb->run(); }};
}

} // namespace nncc
