//===- Session.cpp - a loaded model with weights and tensors --------------===//
#include "Session.h"
#include "Npy.h"
#include "Spec.h"
extern "C" {
#include "runtime/internal.h"
}
#include <cmath>
#include <cstring>
#include <iostream>
#include <random>

namespace nncc {

void SessionFlags::add(CLI::App &app) {
  app.add_option("model", model, "model file, or a compiled .so, .o or .a")
      ->required();
  app.add_option("--weights", weights, "safetensors file of the model's state");
  app.add_option("--inputs", inputs, "safetensors file of inputs");
  app.add_option("--input", input,
                 "one input: x=@x.npy, x=random:normal,seed=1, x=zeros");
  app.add_option("--entry", entry, "entry point")->default_str("forward");
  app.add_option("--seed", seed, "key of random numbers")->default_str("0");
  common.add(app);
}

int reportRuntime(nncc_status status) {
  if (status == NNCC_OK)
    return exitDone;
  std::cerr << "nncc: " << nncc_last_error() << '\n';
  switch (status) {
  case NNCC_ERROR_IO:
    return exitIo;
  case NNCC_ERROR_MEMORY:
    return exitLimit;
  case NNCC_ERROR_CPU:
  case NNCC_ERROR_ABI:
    return exitUnsupported;
  default:
    return exitRejected;
  }
}

/// The value of a floating format with these bits, as IEEE 754 has it.
static double smallFloat(uint16_t bits, int exponentBits) {
  int mantissaBits = 15 - exponentBits, bias = (1 << (exponentBits - 1)) - 1;
  int exponent = bits >> mantissaBits & ((1 << exponentBits) - 1);
  int mantissa = bits & ((1 << mantissaBits) - 1);
  double sign = bits >> 15 ? -1 : 1;
  if (exponent == (1 << exponentBits) - 1)
    return mantissa ? NAN : sign * INFINITY;
  int implied = exponent ? 1 << mantissaBits : 0;
  return sign * std::ldexp(mantissa + implied,
                           std::max(exponent, 1) - bias - mantissaBits);
}

double elementAt(const void *data, uint64_t dtype, size_t i) {
  switch (static_cast<nncc_dtype>(dtype)) {
  case NNCC_F32:
    return static_cast<const float *>(data)[i];
  case NNCC_F64:
    return static_cast<const double *>(data)[i];
  case NNCC_F16:
    return smallFloat(static_cast<const uint16_t *>(data)[i], 5);
  case NNCC_BF16:
    return smallFloat(static_cast<const uint16_t *>(data)[i], 8);
  case NNCC_I64:
    return double(static_cast<const int64_t *>(data)[i]);
  case NNCC_I32:
    return static_cast<const int32_t *>(data)[i];
  case NNCC_I16:
    return static_cast<const int16_t *>(data)[i];
  case NNCC_I8:
    return static_cast<const int8_t *>(data)[i];
  default:
    return static_cast<const uint8_t *>(data)[i];
  }
}

Session::~Session() {
  nncc_context_free(context);
  nncc_weights_free(weights);
}

int Session::loadModel(SessionFlags &flags) {
  int code;
  if (isCompiled(flags.model)) {
    code = library.open(flags.model);
  } else {
    if (std::string error = unknownEntry(flags.entry); !error.empty()) {
      std::cerr << "nncc: " << error << '\n';
      return exitUsage;
    }
    CompileOptions options = flags.common.options;
    options.entries = {flags.entry};
    CompileResult result = compileFile(flags.model, options, Stage::object);
    if (result.status != Status::done)
      return static_cast<int>(result.status);
    code = library.openObject(result.output);
  }
  if (code)
    return code;
  model = library.model;
  for (uint64_t i = 0; i < model->entry_count; ++i)
    if (flags.entry == model->entries[i].name)
      entry = &model->entries[i];
  if (entry)
    return exitDone;
  std::cerr << "nncc: " << model->name << " has no entry \"" << flags.entry
            << "\"\n";
  return exitUsage;
}

int Session::loadWeights(const SessionFlags &flags) {
  if (flags.weights.empty() &&
      (model->embedded || (model->weight_count == 0 && !model->prepare)))
    return exitDone;
  if (!flags.weights.empty())
    return reportRuntime(
        nncc_weights_load(model, flags.weights.c_str(), &weights));
  nncc_status status = nncc_weights_create(model, &weights);
  if (!status)
    status = nncc_weights_prepare(weights);
  if (status == NNCC_ERROR_WEIGHTS) {
    std::cerr << "nncc: " << model->name << " has " << model->weight_count
              << " tensors of state: give --weights FILE.safetensors\n";
    return exitUsage;
  }
  return reportRuntime(status);
}

static HostTensor emptyTensor(const nncc_tensor &tensor) {
  return {tensor.name, static_cast<nncc_dtype>(tensor.dtype),
          std::vector<int64_t>(tensor.dims, tensor.dims + tensor.rank),
          std::vector<char>(tensor.bytes)};
}

/// Random elements: normal for floats; for integers 0 or 1, which every
/// embedding has.
static void randomize(HostTensor &tensor, bool normal, uint64_t seed) {
  std::mt19937_64 engine(seed);
  std::normal_distribution<double> gauss;
  std::uniform_real_distribution<double> uniform(0, 1);
  size_t bytes = nncc_dtype_bytes(tensor.dtype);
  for (size_t i = 0; i < tensor.data.size() / bytes; ++i) {
    char *at = tensor.data.data() + i * bytes;
    double value = normal ? gauss(engine) : uniform(engine);
    if (tensor.dtype == NNCC_F32) {
      float narrow = float(value);
      memcpy(at, &narrow, 4);
    } else if (tensor.dtype == NNCC_F64) {
      memcpy(at, &value, 8);
    } else if (tensor.dtype == NNCC_BF16) { // the upper half of an f32
      float narrow = float(value);
      memcpy(at, reinterpret_cast<char *>(&narrow) + 2, 2);
    } else if (tensor.dtype == NNCC_F16) { // clamped into its normal range
      double size = std::clamp(std::fabs(value), 0x1p-14, 1024.0);
      int exponent = std::ilogb(size);
      uint16_t bits = uint16_t((exponent + 15) << 10 |
                               int(std::ldexp(size, 10 - exponent) - 1024));
      bits |= value < 0 ? 0x8000 : 0;
      memcpy(at, &bits, 2);
    } else {
      *at = engine() & 1;
    }
  }
}

int Session::fill(HostTensor &tensor, const TensorSpec &spec) {
  if (spec.kind == TensorSpec::file) {
    std::string error;
    if (readNpy(spec.path, tensor, error))
      return exitDone;
    std::cerr << "nncc: " << error << '\n';
    return exitRejected;
  }
  if (spec.kind != TensorSpec::zeros)
    randomize(tensor, spec.kind == TensorSpec::normal, spec.seed);
  return exitDone;
}

int Session::fillInputs(const SessionFlags &flags) {
  std::vector<bool> given(entry->input_count);
  nncc_file *file = nullptr;
  if (!flags.inputs.empty())
    if (int code = reportRuntime(nncc_file_read(flags.inputs.c_str(), &file)))
      return code;
  // The first compiled body, unless a file's shapes name another one.
  body = &entry->bodies[0];
  for (uint64_t b = 0; file && b < entry->body_count; ++b) {
    bool fits = true;
    for (uint64_t i = 0; i < entry->input_count; ++i)
      for (uint32_t k = 0; k < nncc_file_count(file); ++k) {
        const nncc_file_tensor *t = nncc_file_get(file, k);
        const nncc_tensor &want = entry->bodies[b].inputs[i];
        if (!strcmp(t->name, want.name))
          fits &= t->rank == want.rank &&
                  std::equal(t->dims, t->dims + t->rank, want.dims);
      }
    if (fits) {
      body = &entry->bodies[b];
      break;
    }
  }
  for (uint64_t i = 0; i < entry->input_count; ++i)
    inputs.push_back(emptyTensor(body->inputs[i]));
  for (uint64_t i = 0; i < entry->output_count; ++i)
    outputs.push_back(emptyTensor(body->outputs[i]));
  auto find = [&](const std::string &name) {
    for (size_t i = 0; i < inputs.size(); ++i)
      if (inputs[i].name == name)
        return int(i);
    return -1;
  };
  int code = exitDone;
  for (uint32_t k = 0; file && k < nncc_file_count(file); ++k) {
    const nncc_file_tensor *t = nncc_file_get(file, k);
    int i = find(t->name);
    if (i < 0) {
      std::cerr << "nncc: " << flags.inputs << ": the entry has no input \""
                << t->name << "\"\n";
      code = exitRejected;
      continue;
    }
    const char *data = static_cast<const char *>(t->data);
    inputs[i].dtype = t->dtype; // run() compares with the model
    inputs[i].dims.assign(t->dims, t->dims + t->rank);
    inputs[i].data.assign(data, data + t->bytes);
    given[i] = true;
  }
  nncc_file_free(file);
  for (const std::string &text : flags.input) {
    TensorSpec spec;
    std::string error;
    if (!parseTensorSpec(text, spec, error)) {
      std::cerr << "nncc: " << error << '\n';
      return exitUsage;
    }
    int i = find(spec.name);
    if (i < 0) {
      std::cerr << "nncc: --input " << text << ": the entry has no input \""
                << spec.name << "\"\n";
      return exitUsage;
    }
    if (int filled = fill(inputs[i], spec))
      return filled;
    given[i] = true;
  }
  for (size_t i = 0; i < given.size(); ++i)
    if (const void *initial = body->inputs[i].initial; initial && !given[i])
      memcpy(inputs[i].data.data(), initial, inputs[i].data.size());
    else if (!given[i] && fillsCotangents &&
             inputs[i].name.rfind("grad.", 0) == 0)
      randomize(inputs[i], true, i);
    else if (!given[i]) {
      std::cerr << "nncc: input " << inputs[i].name
                << " is missing: give --inputs FILE.safetensors or --input "
                << inputs[i].name << "=random:normal\n";
      code = code ? code : int(exitUsage);
    }
  return code;
}

int Session::open(SessionFlags &flags) {
  if (!flags.common.finish())
    return exitUsage;
  seed = flags.seed;
  int code = loadModel(flags);
  if (!code)
    code = loadWeights(flags);
  if (!code)
    code = fillInputs(flags);
  return code;
}

int Session::createContext(uint32_t threads) {
  nncc_context_free(context);
  context = nullptr;
  nncc_options options = {};
  options.threads = threads;
  options.trains = entry->trains;
  options.seed = seed;
  return reportRuntime(nncc_context_create(model, weights, &options, &context));
}

int Session::run() {
  std::vector<nncc_view> in, out;
  for (HostTensor &tensor : inputs)
    in.push_back(tensor.view());
  for (HostTensor &tensor : outputs)
    out.push_back(tensor.view());
  return reportRuntime(nncc_run(context, entry->name, in.data(),
                                uint32_t(in.size()), out.data(),
                                uint32_t(out.size())));
}

int Session::readState(const std::string &name) {
  for (uint64_t i = 0; i < model->weight_count; ++i)
    if (name == model->weights[i].name)
      outputs.push_back(emptyTensor(model->weights[i]));
  HostTensor &tensor = outputs.back();
  return reportRuntime(nncc_weights_get(nncc_context_weights(context),
                                        name.c_str(), tensor.data.data(),
                                        tensor.data.size()));
}

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

StepRunner::StepRunner(Session &session)
    : session(session), arena(session.body->arena_bytes + 64) {
  for (HostTensor &tensor : session.inputs)
    inputs.push_back(tensor.data.data());
  for (HostTensor &tensor : session.outputs)
    outputs.push_back(tensor.data.data());
}

void *StepRunner::operator()(const KernelRun &run) {
  const nncc_step &step = *run.step;
  uintptr_t aligned =
      (reinterpret_cast<uintptr_t>(arena.data()) + 63) / 64 * 64;
  const nncc_weights *weights = nncc_context_weights(session.context);
  const nncc_embedded *embedded = session.model->embedded;
  auto *done = static_cast<const int64_t *>(
      nncc_context_tensor(session.context, "optimizer.step"));
  int64_t key[2] = {int64_t(session.seed),
                    session.entry->trains && done ? *done : 0};
  nncc_memory memory = {reinterpret_cast<char *>(aligned),
                        nullptr,
                        inputs.data(),
                        outputs.data(),
                        nullptr,
                        key};
  if (weights || embedded) {
    const void *prepared = weights ? weights->prepared : embedded->prepared;
    memory.prepared = static_cast<const char *>(prepared);
    memory.weights = weights ? weights->tensors : embedded->tensors;
  }
  nncc_options alone = {};
  if (step.kernel)
    nncc_run_step(&step, &memory, run.iteration, &alone);
  return nncc_buffer_address(&step.buffers[step.buffer_count - 1], &memory,
                             run.iteration);
}

} // namespace nncc
