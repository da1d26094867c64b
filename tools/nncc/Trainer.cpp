//===- Trainer.cpp - the steps of a training ------------------------------===//
#include "Trainer.h"
#include "Arrays.h"
#include <cmath>
#include <csignal>
#include <cstring>

namespace nncc {

static constexpr double notComputed = std::numeric_limits<double>::quiet_NaN();

static volatile std::sig_atomic_t interrupted = 0;

Trainer::~Trainer() {
  nncc_context_free(context);
  nncc_weights_free(weights);
}

//===----------------------------------------------------------------------===//
// Before the first step
//===----------------------------------------------------------------------===//

static std::vector<HostTensor> batchOf(const nncc_entry &entry,
                                       const nncc_body &body) {
  std::vector<HostTensor> list;
  for (uint64_t i = 0; i < entry.input_count; ++i)
    list.push_back(emptyTensor(body.inputs[i]));
  return list;
}

/// The entry and its body of the size that --dim asks for, by default the
/// first.
int Trainer::openEntry(const char *name, const nncc_entry *&entry,
                       const nncc_body *&body) {
  for (uint64_t i = 0; i < library.model->entry_count; ++i)
    if (!strcmp(library.model->entries[i].name, name))
      entry = &library.model->entries[i];
  if (!entry)
    return fail(exitUsage, options.model + " has no entry \"" + name +
                               "\": compile it with --entries=train_step,loss");
  std::vector<const nncc_body *> bodies;
  CompileOptions any;
  if (int code =
          bodiesOf(*entry, options.isCompiled ? options.common.options : any,
                   options.model, bodies))
    return code;
  body = bodies.front();
  if (bodies.size() > 1 && entry == trainStep)
    note("compiled for several sizes: training takes " +
         std::string(body->sizes) + ", --dim chooses");
  return exitDone;
}

int Trainer::openModel() {
  int code;
  if (options.isCompiled) {
    code = library.open(options.model);
  } else {
    CompileOptions compile = options.common.options;
    compile.entries = {"train_step"};
    if (!options.validation.empty())
      compile.entries.push_back("loss");
    if (int failed = options.device.compileFor(compile))
      return failed;
    std::string text;
    if (int failed = readJsonText(options.model, "a model", text))
      return failed;
    CompileResult result;
    if (int failed =
            compileText(options.model, text, compile, Stage::object, result))
      return failed;
    code = library.openObject(result.output);
  }
  if (!code)
    code = openEntry("train_step", trainStep, trainBody);
  if (!code && options.isSeeded && options.inOrder &&
      !drawsRandom(*library.model, *trainStep))
    code = fail(exitUsage, "--seed does nothing beside --in-order here: "
                           "train_step draws no random numbers");
  if (!code && !options.validation.empty())
    code = openEntry("loss", lossEntry, lossBody);
  return code;
}

/// --last error: no sample is left out.
int Trainer::checkLast(const TrainData &samples, const std::string &of) {
  if (options.last != "error" || !samples.leftOut())
    return exitDone;
  return fail(exitRejected, of + std::to_string(samples.samples()) +
                                " samples are no whole number of batches of " +
                                std::to_string(samples.batchSize()) +
                                ": --last=drop leaves the rest out");
}

int Trainer::openData() {
  for (const std::string &text : options.data)
    if (int code = data.add("--data", text))
      return code;
  if (int code = data.check(*trainStep, *trainBody))
    return code;
  if (int code = checkLast(data, ""))
    return code;
  inputs = batchOf(*trainStep, *trainBody);
  lossTensor.data.resize(trainBody->outputs[0].bytes);
  if (options.validation.empty())
    return exitDone;
  for (const std::string &text : options.validation)
    if (int code = validation.add("--validate", text))
      return code;
  validationInputs = batchOf(*lossEntry, *lossBody);
  if (int code = validation.check(*lossEntry, *lossBody))
    return code;
  validation.order(0, 0, false);
  return checkLast(validation, "--validate: ");
}

double Trainer::baseRate() const {
  const nncc_tensor &lr = trainBody->inputs[trainStep->input_count - 1];
  return options.rate.value_or(elementAt(lr.initial, lr.dtype, 0));
}

/// What makes another training of this one. The number of steps does only
/// where the schedule is stretched over them; a rate that is typed is meant.
RunFacts Trainer::facts() const {
  const nncc_model &model = *library.model;
  RunFacts list = {{"model", model.name},
                   {"graph", model.graph},
                   {"training", model.training},
                   {"samples", std::to_string(data.samples())},
                   {"batch", std::to_string(data.batchSize())},
                   {"data", data.hash()},
                   {"order", options.inOrder ? "as in the files" : "shuffled"},
                   {"seed", std::to_string(options.seed)},
                   {"schedule", options.scheduleText},
                   {"warm-up steps", std::to_string(options.warmup)},
                   {"learning rate", digitsOf(baseRate())}};
  if (*trainBody->sizes)
    list.push_back({"sizes of dims", trainBody->sizes});
  if (options.schedule.isStretched())
    list.push_back({"steps in all", std::to_string(total)});
  return list;
}

/// A new training from weights that may be a checkpoint: without the state of
/// its optimizer.
int Trainer::startAnew(const std::string &path) {
  if (path.empty() || !isCheckpoint(path))
    return exitDone;
  for (uint64_t i = 0; i < library.model->weight_count; ++i) {
    const nncc_tensor &tensor = library.model->weights[i];
    std::vector<char> zeros(tensor.fresh ? tensor.bytes : 0);
    if (tensor.fresh)
      if (int code = reportRuntime(nncc_context_write(
              context, tensor.name, zeros.data(), zeros.size())))
        return code;
  }
  note(path + " holds the state of an optimizer: this is a new training, "
              "without it; --resume goes on with a training");
  return exitDone;
}

/// What is asked for comes to pass within the training.
int Trainer::checkLength() {
  std::string has = ": the training has " + std::to_string(total) + " steps";
  if (options.warmup > total)
    return fail(exitUsage, "--warmup " + std::to_string(options.warmup) + has);
  if (options.schedule.firstChange() >= total)
    return fail(exitUsage, "--schedule " + options.scheduleText + has +
                               ", the rate would never change");
  if (options.every >= total)
    note("--checkpoint-every " + std::to_string(options.every) + has +
         ", the checkpoint is written behind the last one only");
  return exitDone;
}

int Trainer::openWeights() {
  std::string path = options.resumes ? options.checkpoint : options.weights;
  total = options.steps ? options.steps : options.epochs * data.batches();
  if (int code = checkLength())
    return code;
  uint64_t needed = 0;
  for (uint64_t i = 0; i < library.model->weight_count; ++i)
    needed += !library.model->weights[i].fresh;
  if (path.empty() && needed && !library.model->embedded)
    return fail(exitUsage, std::string(library.model->name) +
                               " has state: give --weights FILE.safetensors");
  if (!options.checkpoint.empty())
    course = facts();
  if (options.resumes) {
    RunFacts known = course;
    if (options.rate) // it is typed, so another one is meant
      known.erase(
          std::find_if(known.begin(), known.end(), [](const RunFact &fact) {
            return fact.name == "learning rate";
          }));
    if (int code = checkCheckpoint(path, *library.model, known))
      return code;
  }
  if (!path.empty())
    if (int code = reportRuntime(
            nncc_weights_load(library.model, path.c_str(), &weights)))
      return code;
  nncc_options context_options = {};
  context_options.threads = uint32_t(options.threads);
  context_options.trains = 1;
  context_options.seed = options.seed;
  options.device.fill(context_options);
  context_options.all_reduce = watchGradients;
  context_options.all_reduce_host = this;
  if (int code = reportRuntime(nncc_context_create(library.model, weights,
                                                   &context_options, &context)))
    return code;
  nncc_weights_free(weights); // the context has its own
  weights = nullptr;
  if (!options.resumes)
    return startAnew(path);
  int64_t done = 0;
  if (int code = reportRuntime(nncc_weights_get(nncc_context_weights(context),
                                                "optimizer.step", &done, 8)))
    return code;
  first = uint64_t(done);
  if (first <= total)
    return exitDone;
  return fail(exitUsage,
              path + " is at step " + std::to_string(done) + ", behind the " +
                  std::to_string(total) +
                  " of this training: --epochs and --steps count from its "
                  "start");
}

/// A resumed training goes on with its curve.
int Trainer::openCurve() {
  std::string text;
  if (!options.resumes || options.csv.empty() ||
      access(options.csv.c_str(), F_OK))
    return exitDone;
  if (int code = readText(options.csv, text))
    return code;
  size_t bad;
  if (curve.read(text, first, bad))
    return exitDone;
  return fail(exitRejected,
              options.csv + " is not the curve of nncc train: line " +
                  std::to_string(bad) + " is none of it",
              options.csv);
}

//===----------------------------------------------------------------------===//
// Steps
//===----------------------------------------------------------------------===//

/// In the place of all_reduce: when the loss is not finite, finds the first
/// gradient that is not.
int Trainer::watchGradients(void *host, const nncc_gradient *bucket,
                            uint32_t count) {
  auto *self = static_cast<Trainer *>(host);
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

int Trainer::runEntry(const nncc_entry &entry, const nncc_body &body,
                      std::vector<HostTensor> &batch, double &loss) {
  const nncc_tensor &output = body.outputs[0];
  lossTensor.dtype = nncc_dtype(output.dtype);
  memset(lossTensor.data.data(), 0, lossTensor.data.size());
  std::vector<const void *> in;
  for (const HostTensor &tensor : batch)
    in.push_back(tensor.data.data());
  void *out[] = {lossTensor.data.data()};
  nncc_status status = nncc_run_body(
      context, entry.name, uint32_t(&body - entry.bodies), in.data(), out);
  loss = elementAt(lossTensor.data.data(), lossTensor.dtype, 0);
  return status == NNCC_ERROR_HOST ? int(exitDone) : reportRuntime(status);
}

int Trainer::step(uint64_t number) {
  uint64_t epoch = number / data.batches(), index = number % data.batches();
  if (index == 0 || number == first)
    data.order(options.seed, epoch, !options.inOrder);
  data.fill(inputs, index);
  HostTensor &lr = inputs.back();
  setElement(lr, 0,
             baseRate() *
                 options.schedule.factor(number, total, options.warmup));
  double loss;
  if (int code = runEntry(*trainStep, *trainBody, inputs, loss)) {
    note("in step " + std::to_string(number + 1));
    return code;
  }
  if (std::isfinite(loss)) {
    curve.points.push_back({number + 1, loss,
                            elementAt(lr.data.data(), lr.dtype, 0),
                            notComputed});
    return exitDone;
  }
  progress.clear();
  return fail(exitRejected,
              "step " + std::to_string(number + 1) + ": the loss is " +
                  numberText(loss) +
                  (firstBad.empty() ? std::string("; all gradients are finite")
                                    : "; the first parameter whose gradient is "
                                      "not finite is " +
                                          firstBad));
}

/// The mean over whole batches, in eval mode.
int Trainer::validate(double &mean) {
  double sum = 0;
  for (size_t b = 0; b < validation.batches(); ++b) {
    double loss;
    validation.fill(validationInputs, b);
    if (int code = runEntry(*lossEntry, *lossBody, validationInputs, loss))
      return code;
    sum += loss;
  }
  mean = sum / double(validation.batches());
  return exitDone;
}

int Trainer::save() {
  int code = exitDone;
  if (!options.checkpoint.empty())
    code = saveCheckpoint(options.checkpoint, *library.model, context, course);
  if (!code && !options.csv.empty())
    code = writeFile(options.csv, curve.csv());
  if (!code && !options.svg.empty())
    code = writeFile(options.svg, curve.svg(std::string("Training of ") +
                                            library.model->name));
  return code;
}

void Trainer::showProgress(uint64_t done) {
  if (!progress.isOn())
    return;
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

/// A reader that is gone does not end a training.
void Trainer::endEpoch(uint64_t epoch, double validated, double sum,
                       uint64_t count) {
  progress.clear();
  std::chrono::duration<double> time = Clock::now() - epochStart;
  epochStart = Clock::now();
  if (options.asJson || printed)
    return;
  char line[160];
  int used = snprintf(line, sizeof line, "epoch %llu: loss %.6g",
                      (unsigned long long)epoch, sum / double(count));
  if (!std::isnan(validated))
    used += snprintf(line + used, sizeof line - size_t(used),
                     ", validation %.6g", validated);
  snprintf(line + used, sizeof line - size_t(used), ", %.2f s\n", time.count());
  printed = printOut(line);
}

int Trainer::summarize(uint64_t number, double validated) {
  std::chrono::duration<double> time = Clock::now() - start;
  int code = printed;
  if (options.asJson) {
    llvm::json::Object result{{"steps", int64_t(number)},
                              {"seconds", time.count()},
                              {"left_out", int64_t(data.leftOut())},
                              {"interrupted", interrupted != 0}};
    if (!curve.points.empty())
      result["loss"] = curve.points.back().loss;
    if (!std::isnan(validated))
      result["validation"] = validated;
    if (!options.validation.empty())
      result["validation_left_out"] = int64_t(validation.leftOut());
    code = printJson(std::move(result));
  } else {
    char text[80];
    snprintf(text, sizeof text, "%s after step %llu, %.2f s",
             interrupted ? "stopped" : "done", (unsigned long long)number,
             time.count());
    note(text + (options.checkpoint.empty()
                     ? std::string()
                     : ", weights in " + options.checkpoint));
  }
  return interrupted ? int(exitInterrupted) : code;
}

/// --last drop leaves nothing out in silence.
void Trainer::tellLeftOut() {
  if (data.leftOut())
    note("--data: " + data.leftOutText() + ", each epoch leaves " +
         (options.inOrder ? "the last" : "others") + " out");
  if (validation.leftOut())
    note("--validate: " + validation.leftOutText() +
         ", the loss is without the last");
}

int Trainer::trainOn() {
  std::signal(SIGINT, [](int) { interrupted = 1; });
  start = epochStart = Clock::now();
  double validated = notComputed, sum = 0;
  uint64_t number = first, count = 0;
  if (first == total)
    note(options.checkpoint + " is at step " + std::to_string(first) + " of " +
         std::to_string(total) + " already");
  else
    tellLeftOut();
  while (number < total && !interrupted) {
    if (int code = step(number))
      return code;
    ++number;
    ++count;
    sum += curve.points.back().loss;
    showProgress(number);
    if (number % data.batches() == 0 || number == total) {
      if (!options.validation.empty()) {
        if (int code = validate(validated))
          return code;
        curve.points.back().validation = validated;
      }
      endEpoch((number - 1) / data.batches() + 1, validated, sum, count);
      sum = 0;
      count = 0;
    }
    if (options.every && number % options.every == 0 && number < total)
      if (int code = save())
        return code;
  }
  progress.clear();
  if (int code = save())
    return code;
  return summarize(number, validated);
}

int Trainer::run() {
  for (auto part :
       {&Trainer::openModel, &Trainer::openData, &Trainer::openWeights,
        &Trainer::openCurve, &Trainer::trainOn})
    if (int code = (this->*part)())
      return code;
  return exitDone;
}

} // namespace nncc
