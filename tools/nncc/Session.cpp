//===- Session.cpp - a loaded model with weights and tensors --------------===//
#include "Session.h"
#include "Arrays.h"
#include "Checkpoint.h"
#include "Fill.h"
#include "support/Diagnostics.h"
#include "llvm/ADT/STLExtras.h"
#include <cstring>

namespace nncc {

void SessionFlags::addTo(Verb &verb, const char *operand) {
  verb.operand("model", model, operand);
  verb.text("--weights", "FILE", weights,
            isRandom ? "safetensors file of the model's state (random)"
                     : "safetensors file of the model's state");
  verb.text("--inputs", "FILE", inputs,
            isRandom ? "inputs: safetensors, .npz or .npy (random)"
                     : "inputs: safetensors, .npz or .npy");
  verb.texts("--input", "NAME=SPEC", input,
             "one input, or '*': @x.npy, zeros, 3, [1,2], random:normal");
  verb.flag("--convert", converts, "convert inputs to the model's types");
  verb.choice("--entry", "NAME", entryNames(), entry, "entry point (forward)");
  verb.number("--seed", "N", seed, 0, UINT64_MAX, "key of random numbers (0)");
  device.addTo(verb);
  common.addTo(verb);
}

int SessionFlags::check(Verb &verb, Paths &paths) {
  if (int code = paths.reads("the model", model))
    return code;
  if (int code = paths.reads("--schedules", common.scheduleFile))
    return code;
  if (int code = common.finish())
    return code;
  if (int code = readsWeights(paths, "--weights", weights))
    return code;
  if (int code = readsArrays(paths, "--inputs", inputs))
    return code;
  for (const std::string &text : input) {
    InputSpec spec;
    std::string error;
    if (!parseInputSpec(text, spec, error))
      return fail(exitUsage, error);
    for (const InputSpec &other : specs)
      if (other.name == spec.name)
        return fail(exitUsage, "--input " + spec.name + " is given twice: " +
                                   other.text + " and " + spec.text);
    if (int code = readsArrays(paths, "--input " + spec.name, spec.path))
      return code;
    specs.push_back(spec);
  }
  bool readsFiles = !inputs.empty();
  for (const InputSpec &spec : specs)
    readsFiles = readsFiles || spec.kind == InputSpec::file;
  if (converts && !readsFiles)
    return fail(exitUsage, "--convert does nothing here: it converts arrays "
                           "of files, and none is given");
  isSeeded = verb.given("--seed");
  if (int code = looksCompiled(model, isCompiled))
    return code;
  if (!isCompiled)
    return exitDone;
  return verb.refuse(compilingFlags(), model + " is compiled already");
}

int reportRuntime(nncc_status status) {
  static const int codes[] = {exitDone,        exitRejected,    exitRejected,
                              exitRejected,    exitIo,          exitLimit,
                              exitUnsupported, exitUnsupported, exitRejected,
                              exitRejected,    exitUnsupported};
  if (status == NNCC_OK)
    return exitDone;
  return fail(size_t(status) < std::size(codes) ? codes[status] : exitInternal,
              nncc_last_error());
}

Session::~Session() {
  nncc_context_free(context);
  nncc_weights_free(weights);
}

int Session::loadModel(SessionFlags &flags) {
  int code;
  if (flags.isCompiled) {
    code = library.open(flags.model);
  } else {
    if (int failed = readJsonText(flags.model, "a model", text))
      return failed;
    if (int failed = flags.device.compileFor(flags.common.options))
      return failed;
    CompileOptions options = flags.common.options;
    options.entries = {flags.entry};
    CompileResult result;
    if (int failed =
            compileText(flags.model, text, options, Stage::object, result))
      return failed;
    code = library.openObject(result.output);
  }
  if (code)
    return code;
  model = library.model;
  std::vector<std::string> names;
  for (uint64_t i = 0; i < model->entry_count; ++i) {
    names.push_back(model->entries[i].name);
    if (flags.entry == model->entries[i].name)
      entry = &model->entries[i];
  }
  if (!entry)
    return fail(exitUsage, flags.model + " has no entry \"" + flags.entry +
                               "\", only " + listOf(names) +
                               ": compile it with --entries=" + flags.entry);
  if (flags.isSeeded && !drawsRandom(*model, *entry))
    return fail(exitUsage, "--seed does nothing here: " + flags.entry +
                               " draws no random numbers");
  return chooseBodies(flags);
}

static bool drawsRandom(llvm::ArrayRef<nncc_body> bodies) {
  for (const nncc_body &body : bodies)
    for (const nncc_step &step : llvm::ArrayRef(body.steps, body.step_count))
      for (uint64_t k = 0; k < step.buffer_count; ++k)
        if (step.buffers[k].space == NNCC_KEY)
          return true;
  return false;
}

bool drawsRandom(const nncc_model &model, const nncc_entry &entry) {
  size_t number = &entry - model.entries;
  for (const nncc_cuda &cuda : llvm::ArrayRef(model.cudas, model.cuda_count))
    if (drawsRandom({cuda.bodies[number], entry.body_count}))
      return true;
  return drawsRandom({entry.bodies, entry.body_count});
}

/// All of a model compiled here were asked for.
int Session::chooseBodies(const SessionFlags &flags) {
  if (flags.isCompiled)
    return bodiesOf(*entry, flags.common.options, flags.model, bodies);
  for (uint64_t b = 0; b < entry->body_count; ++b)
    bodies.push_back(&entry->bodies[b]);
  return exitDone;
}

int bodiesOf(const nncc_entry &entry, const CompileOptions &options,
             const std::string &model, std::vector<const nncc_body *> &bodies) {
  std::string compiled, asked;
  for (auto &[name, sizes] : options.dims) {
    if (sizes.size() > 1)
      return fail(exitUsage,
                  "--dim " + name + ": of a compiled model one size is chosen");
    asked +=
        (asked.empty() ? "" : ",") + name + "=" + std::to_string(sizes.front());
  }
  for (uint64_t b = 0; b < entry.body_count; ++b) {
    std::string sizes = std::string(",") + entry.bodies[b].sizes + ",";
    compiled +=
        (compiled.empty() ? "" : "; ") + std::string(entry.bodies[b].sizes);
    bool fits = true;
    for (auto &[name, list] : options.dims)
      fits =
          fits && sizes.find("," + name + "=" + std::to_string(list.front()) +
                             ",") != sizes.npos;
    if (fits)
      bodies.push_back(&entry.bodies[b]);
  }
  if (!bodies.empty())
    return exitDone;
  return fail(exitRejected,
              "--dim " + asked + ": " + model +
                  (compiled.empty() ? " has no symbolic dims"
                                    : " was compiled for " + compiled));
}

//===----------------------------------------------------------------------===//
// Weights
//===----------------------------------------------------------------------===//

int Session::loadWeights(const SessionFlags &flags) {
  if (!flags.weights.empty() && entry->trains)
    if (int code = checkOptimizer(flags.weights, *model))
      return code;
  if (!flags.weights.empty())
    return reportRuntime(
        nncc_weights_load(model, flags.weights.c_str(), &weights));
  if (model->embedded || (model->weight_count == 0 && !model->prepare))
    return exitDone;
  uint64_t needed = 0;
  for (uint64_t i = 0; i < model->weight_count; ++i)
    needed += !model->weights[i].fresh;
  if (needed && !flags.isRandom)
    return fail(exitUsage,
                std::string(model->name) + " has " + std::to_string(needed) +
                    " tensors of state: give --weights FILE.safetensors");
  if (needed)
    random.push_back("the weights");
  return makeWeights();
}

int Session::makeWeights() {
  nncc_status status = nncc_weights_create(model, &weights);
  for (uint64_t i = 0; !status && i < model->weight_count; ++i) {
    if (model->weights[i].fresh)
      continue;
    HostTensor tensor = emptyTensor(model->weights[i]);
    randomizeState(tensor, i + 1);
    status = nncc_weights_set(weights, tensor.name.c_str(), tensor.data.data(),
                              tensor.data.size());
  }
  if (!status)
    status = nncc_weights_prepare(weights);
  return reportRuntime(status);
}

//===----------------------------------------------------------------------===//
// Inputs
//===----------------------------------------------------------------------===//

std::string Session::inputNames() const {
  std::vector<std::string> names;
  for (uint64_t i = 0; i < entry->input_count; ++i)
    names.push_back(entry->bodies[0].inputs[i].name);
  return names.empty()       ? "it has none"
         : names.size() == 1 ? "its input is " + names[0]
                             : "its inputs are " + listOf(names);
}

int Session::give(HostTensor array, const std::string &from) {
  bool isKnown = false;
  for (uint64_t i = 0; i < entry->input_count; ++i)
    isKnown = isKnown || array.name == entry->bodies[0].inputs[i].name;
  if (!isKnown)
    return fail(exitRejected,
                from + ": the entry has no input" +
                    (array.name.empty()
                         ? "s"
                         : " \"" + array.name + "\", " + inputNames()));
  for (const Given &other : given)
    if (other.array.name == array.name)
      return fail(exitUsage, "input " + array.name + " is given by " +
                                 other.from + " and by " + from);
  given.push_back({std::move(array), from});
  return exitDone;
}

/// Arrays of files, whose shapes choose among compiled sizes.
int Session::readInputs(const SessionFlags &flags) {
  std::vector<HostTensor> arrays;
  if (!flags.inputs.empty())
    if (int code = readArrays(flags.inputs, arrays))
      return code;
  int code = exitDone;
  for (HostTensor &array : arrays) {
    if (array.name.empty() && entry->input_count == 1) // of a .npy file
      array.name = entry->bodies[0].inputs[0].name;
    if (array.name.empty() && entry->input_count)
      return fail(exitUsage, "--inputs " + flags.inputs +
                                 ": a .npy file has no name for its array, and "
                                 "the entry has " +
                                 std::to_string(entry->input_count) +
                                 " inputs: --input NAME=@" + flags.inputs);
    if (int failed = give(std::move(array), "--inputs " + flags.inputs))
      code = failed;
  }
  for (const InputSpec &spec : flags.specs) {
    bool isKnown = spec.name == "*";
    for (uint64_t i = 0; i < entry->input_count; ++i)
      isKnown = isKnown || spec.name == entry->bodies[0].inputs[i].name;
    if (!isKnown)
      return fail(exitUsage, "--input " + spec.text +
                                 ": the entry has no input \"" + spec.name +
                                 "\", " + inputNames());
    for (const Given &other : given)
      if (other.array.name == spec.name)
        return fail(exitUsage, "input " + spec.name + " is given by " +
                                   other.from + " and by --input " + spec.text);
    HostTensor array;
    if (spec.kind != InputSpec::file)
      continue;
    if (spec.name == "*")
      return fail(exitUsage, "--input " + spec.text +
                                 ": a file is for one input, --inputs FILE is "
                                 "for all");
    if (int failed = readArray(spec.path, spec.name, array))
      return failed;
    if (int failed = give(std::move(array), "--input " + spec.text))
      return failed;
  }
  return code;
}

/// The first body that has the shapes of what is given; the run says so if
/// none has.
void Session::chooseBody() {
  body = bodies.front();
  for (const nncc_body *candidate : bodies) {
    bool fits = true;
    for (const Given &one : given)
      for (uint64_t i = 0; i < entry->input_count; ++i) {
        const nncc_tensor &want = candidate->inputs[i];
        if (one.array.name == want.name)
          fits = fits && llvm::ArrayRef(one.array.dims) ==
                             llvm::ArrayRef(want.dims, want.rank);
      }
    if (!fits)
      continue;
    body = candidate;
    return;
  }
}

int Session::fillInput(size_t i, const SessionFlags &flags) {
  const nncc_tensor &wanted = body->inputs[i];
  HostTensor &tensor = inputs[i];
  for (Given &one : given)
    if (one.array.name == tensor.name) {
      nncc_dtype dtype = tensor.dtype;
      tensor = std::move(one.array);
      std::string error;
      if (tensor.dtype == dtype)
        return exitDone;
      if (!flags.converts)
        return fail(exitRejected, "input " + tensor.name + " must be " +
                                      nncc_dtype_name(dtype) + ", got " +
                                      nncc_dtype_name(tensor.dtype) + " from " +
                                      one.from + ": --convert converts it");
      if (convertTo(tensor, dtype, error))
        return exitDone;
      return fail(exitRejected, "input " + tensor.name + ": " + error);
    }
  const InputSpec *spec = nullptr;
  for (const InputSpec &candidate : flags.specs)
    if (candidate.name == tensor.name ||
        (!spec && candidate.name == "*" && !wanted.initial))
      spec = &candidate;
  std::string error;
  if (spec && !fillAs(tensor, *spec, error)) {
    std::string which = spec->name == "*" ? tensor.name + ": " : "";
    return fail(exitRejected, "--input " + spec->text + ": " + which + error);
  }
  if (spec)
    return exitDone;
  if (wanted.initial) {
    memcpy(tensor.data.data(), wanted.initial, tensor.data.size());
    return exitDone;
  }
  if (flags.isRandom) {
    randomize(tensor, true, i);
    random.push_back(tensor.name);
    return exitDone;
  }
  return fail(exitUsage, "input " + tensor.name +
                             " is missing: give --inputs FILE or --input " +
                             tensor.name + "=random:normal");
}

int Session::fillInputs(const SessionFlags &flags) {
  if (int code = readInputs(flags))
    return code;
  chooseBody();
  for (uint64_t i = 0; i < entry->input_count; ++i)
    inputs.push_back(emptyTensor(body->inputs[i]));
  for (uint64_t i = 0; i < entry->output_count; ++i)
    outputs.push_back(emptyTensor(body->outputs[i]));
  int code = exitDone;
  for (size_t i = 0; i < inputs.size(); ++i)
    if (int failed = fillInput(i, flags))
      code = code ? code : failed;
  if (!code && !random.empty())
    note("not given and random: " + listOf(random));
  return code;
}

int Session::open(SessionFlags &flags) {
  seed = flags.seed;
  int code = loadModel(flags);
  device = flags.device;
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
  device.fill(options);
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

} // namespace nncc
