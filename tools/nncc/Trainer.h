//===- Trainer.h - the steps of a training ----------------------*- C++ -*-===//
//
// The number of steps done lies in the weights (optimizer.step) and decides the
// order of the data, the random numbers and the learning rate, so a resumed
// training goes on as if it had not stopped.
//
//===----------------------------------------------------------------------===//
#ifndef NNCC_TOOLS_TRAINER_H
#define NNCC_TOOLS_TRAINER_H

#include "Checkpoint.h"
#include "Curve.h"
#include "Device.h"
#include "Progress.h"
#include "Schedule.h"
#include "TrainData.h"
#include <limits>

namespace nncc {

/// What the command line says of a training.
struct TrainOptions {
  CommonFlags common;
  DeviceFlag device;
  std::string model, weights, checkpoint, csv, svg, last = "drop";
  std::vector<std::string> data, validation;
  Schedule schedule;
  std::string scheduleText = "constant";
  uint64_t epochs = 1, steps = 0, every = 0, warmup = 0, seed = 0, threads = 1;
  std::optional<double> rate;
  bool resumes = false, inOrder = false, asJson = false, isCompiled = false;
  bool isSeeded = false; // --seed was given
};

class Trainer {
public:
  explicit Trainer(TrainOptions &options) : options(options) {}
  ~Trainer();
  int run();

private:
  using Clock = std::chrono::steady_clock;

  int openModel();
  int openEntry(const char *name, const nncc_entry *&entry,
                const nncc_body *&body);
  int openData();
  int checkLast(const TrainData &samples, const std::string &of);
  void tellLeftOut();
  int checkLength();
  int openWeights();
  int startAnew(const std::string &path);
  int openCurve();
  int trainOn();
  int step(uint64_t number);
  int validate(double &loss);
  int runEntry(const nncc_entry &entry, const nncc_body &body,
               std::vector<HostTensor> &inputs, double &loss);
  int save();
  int summarize(uint64_t number, double validated);
  void showProgress(uint64_t done);
  void endEpoch(uint64_t epoch, double validation, double sum, uint64_t count);
  double baseRate() const;
  RunFacts facts() const;
  static int watchGradients(void *host, const nncc_gradient *bucket,
                            uint32_t count);

  TrainOptions &options;
  Library library; // outlives what came from it
  const nncc_entry *trainStep = nullptr, *lossEntry = nullptr;
  const nncc_body *trainBody = nullptr, *lossBody = nullptr;
  nncc_weights *weights = nullptr;
  nncc_context *context = nullptr;
  TrainData data, validation;
  Curve curve;
  Progress progress;
  std::vector<HostTensor> inputs, validationInputs;
  HostTensor lossTensor;
  uint64_t first = 0, total = 0;
  RunFacts course; // of the checkpoint
  Clock::time_point start, epochStart;
  std::string firstBad; // parameter
  int printed = 0;      // exit code of lines about epochs
};

} // namespace nncc
#endif // NNCC_TOOLS_TRAINER_H
