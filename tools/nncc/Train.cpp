//===- Train.cpp - nncc train ---------------------------------------------===//
//
// The flags, and all that can be said before the model is compiled.
//
//===----------------------------------------------------------------------===//
#include "Arrays.h"
#include "Trainer.h"
#include "llvm/ADT/STLExtras.h"
#include <cfloat>
#include <cmath>

namespace nncc {

namespace {

/// Flags that say different things, or nothing beside the others.
int checkClashes(const Verb &verb, const TrainOptions &options) {
  if ((options.resumes || options.every) && options.checkpoint.empty())
    return fail(exitUsage, "--resume and --checkpoint-every need --checkpoint "
                           "FILE.safetensors");
  if (verb.given("--steps") && verb.given("--epochs"))
    return fail(exitUsage, "--steps and --epochs both say how long to train: "
                           "give one");
  if (options.resumes && !options.weights.empty())
    return fail(exitUsage, "--weights does nothing beside --resume, which "
                           "starts from the checkpoint");
  if (options.warmup && options.scheduleText == "one-cycle")
    return fail(exitUsage, "--warmup does nothing here: one-cycle has a "
                           "warm-up of its own");
  return exitDone;
}

int checkPaths(TrainOptions &options) {
  Paths paths;
  int code = paths.reads("the model", options.model);
  if (!code)
    code = paths.reads("--schedules", options.common.scheduleFile);
  if (!code)
    code = options.common.finish();
  if (!code)
    code = readsWeights(paths, "--weights", options.weights);
  const struct {
    const char *flag;
    const std::vector<std::string> &files;
  } samples[] = {{"--data", options.data}, {"--validate", options.validation}};
  for (auto &[flag, files] : samples)
    for (size_t i = 0; !code && i < files.size(); ++i) {
      if (llvm::is_contained(llvm::ArrayRef(files).take_front(i), files[i]))
        code = fail(exitUsage,
                    std::string(flag) + " " + files[i] + " is given twice");
      if (!code)
        code = readsArrays(paths, flag, TrainData::pathOf(files[i]));
    }
  if (!code && options.resumes) {
    Paths alone; // it is written, too
    code = readsWeights(alone, "--checkpoint", options.checkpoint);
  }
  if (!code)
    code = paths.writes("--checkpoint", options.checkpoint, "safetensors");
  if (!code)
    code = paths.writes("--csv", options.csv, "csv");
  if (!code)
    code = paths.writes("--svg", options.svg, "svg");
  return code;
}

int runTrain(Verb &verb, TrainOptions &options) {
  std::string error;
  if (!options.schedule.parse(options.scheduleText, error))
    return fail(exitUsage, error);
  if (options.data.empty())
    return fail(exitUsage, "the data are missing: --data FILE.npz, "
                           "FILE.safetensors or NAME=@FILE.npy");
  if (int code = checkClashes(verb, options))
    return code;
  if (int code = checkPaths(options))
    return code;
  if (int code = looksCompiled(options.model, options.isCompiled))
    return code;
  if (options.isCompiled)
    if (int code = verb.refuse(compilingFlags(),
                               options.model + " is compiled already"))
      return code;
  options.isSeeded = verb.given("--seed");
  return Trainer(options).run();
}

} // namespace

Verb makeTrain() {
  Verb verb("train", "steps of the compiled optimizer over batches from files");
  auto self = std::make_shared<TrainOptions>();
  verb.operand("model", self->model,
               "model file with a \"training\" section, or a compiled one");
  verb.texts("--data", "FILE", self->data,
             "samples: .npz, .safetensors, NAME=@FILE.npy; several");
  verb.texts("--validate", "FILE", self->validation,
             "samples for the loss in eval mode after each epoch");
  verb.text("--weights", "FILE", self->weights,
            "safetensors file to start from");
  verb.text("--checkpoint", "FILE", self->checkpoint,
            "safetensors file for weights and optimizer state");
  verb.number("--checkpoint-every", "N", self->every, 1, INT64_MAX,
              "also after so many steps");
  verb.flag("--resume", self->resumes, "go on from the checkpoint");
  verb.number("--epochs", "N", self->epochs, 1, INT32_MAX,
              "times over the data (1)");
  verb.number("--steps", "N", self->steps, 1, INT64_MAX,
              "steps in all, instead of epochs");
  verb.add({{"--lr"},
            "RATE",
            "learning rate (the model's)",
            [self](const std::string &text) {
              self->rate = realNumber(text);
              bool isRate = self->rate && *self->rate >= 0 &&
                            *self->rate <= FLT_MAX &&
                            (*self->rate == 0 || float(*self->rate) > 0);
              return isRate ? ""
                            : "expected a learning rate that f32 holds: 0, or "
                              "1.4e-45 to 3.4e38";
            }});
  verb.text("--schedule", "KIND", self->scheduleText,
            "constant, step:EVERY,FACTOR, cosine, linear, one-cycle");
  verb.number("--warmup", "N", self->warmup, 0, INT64_MAX,
              "steps of linear warm-up");
  verb.number("--seed", "N", self->seed, 0, UINT64_MAX,
              "of the order and of dropout (0)");
  verb.flag("--in-order", self->inOrder, "do not shuffle");
  verb.choice("--last", "HOW", {"drop", "error"}, self->last,
              "a last partial batch, validation's too: drop or error (drop)");
  verb.number("--threads", "N", self->threads, 1, 1024, "threads (1)");
  verb.text("--csv", "FILE", self->csv, "the loss of each step");
  verb.text("--svg", "FILE", self->svg, "the same as a chart");
  verb.flag("--json", self->asJson, "a summary as JSON on stdout");
  self->device.addTo(verb);
  self->common.addTo(verb);
  verb.examples = {
      "nncc train lenet.json --data train.npz --weights lenet.safetensors "
      "--epochs 2 --checkpoint out.safetensors",
      "nncc train lenet.json --data train.npz --checkpoint out.safetensors "
      "--resume --epochs 4 --svg loss.svg"};
  verb.run = [self](Verb &verb) { return runTrain(verb, *self); };
  return verb;
}

} // namespace nncc
