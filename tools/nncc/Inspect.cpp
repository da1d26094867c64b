//===- Inspect.cpp - nncc inspect -----------------------------------------===//
//
// What a file holds: a model (compiled here for the report), a compiled model
// (its descriptor), or weights.
//
//===----------------------------------------------------------------------===//
#include "Arrays.h"
#include "Device.h"
#include "Library.h"
#include "StepRunner.h"
#include "llvm/Support/raw_ostream.h"

namespace nncc {

namespace {

namespace json = llvm::json;

struct InspectVerb {
  CommonFlags flags;
  DeviceFlag device;
  std::string file;
  bool asJson = false;

  int run(Verb &verb);

private:
  int inspectModel();
  int inspectLibrary();
  int inspectArrays();
  int print(json::Object report, const std::string &text) {
    return asJson ? printJson(std::move(report), true) : printOut(text);
  }
};

json::Object describe(const char *name, uint64_t dtype, const int64_t *dims,
                      uint64_t rank, uint64_t bytes) {
  return json::Object{
      {"name", jsonText(name)},
      {"dtype", nncc_dtype_name(nncc_dtype(dtype))},
      {"shape", json::Array(llvm::ArrayRef<int64_t>(dims, rank))},
      {"bytes", int64_t(bytes)}};
}

json::Array describe(const nncc_tensor *tensors, uint64_t count) {
  json::Array list;
  for (uint64_t i = 0; i < count; ++i)
    list.push_back(describe(tensors[i].name, tensors[i].dtype, tensors[i].dims,
                            tensors[i].rank, tensors[i].bytes));
  return list;
}

void writeTensors(llvm::raw_ostream &os, const char *what,
                  const json::Array &list) {
  for (const json::Value &value : list) {
    const json::Object &tensor = *value.getAsObject();
    llvm::StringRef name = *tensor.getString("name"); // none in a .npy file
    os << "  " << what << name << (name.empty() ? "" : " ")
       << *tensor.getString("dtype") << " [";
    llvm::interleaveComma(
        *tensor.getArray("shape"), os,
        [&](const json::Value &v) { os << *v.getAsInteger(); });
    os << "]\n";
  }
}

int InspectVerb::inspectModel() {
  std::string text;
  if (int code = readJsonText(file, "a model", text))
    return code;
  int code = device.compileFor(flags.options);
  if (!code)
    code = resolveTarget(flags.options.target);
  if (code)
    return code;
  CompileResult result;
  if (int code =
          compileText(file, text, flags.options,
                      asJson ? Stage::reportJson : Stage::report, result))
    return code;
  return asJson ? writeOut(result.output) : printOut(result.output);
}

/// "sm_90a", as --target spells it.
static std::string nameOf(const nncc_cuda &cuda) {
  if (!cuda.sm)
    return "emulator";
  return "sm_" + std::to_string(cuda.sm) + (cuda.exact ? "a" : "");
}

/// "znver4, sm_80, sm_90a".
static std::string programsOf(const nncc_model &model) {
  std::string text = model.cpu;
  for (const nncc_cuda &cuda : llvm::ArrayRef(model.cudas, model.cuda_count))
    text += (text.empty() ? "" : ", ") + nameOf(cuda);
  return text;
}

/// Per program for GPUs: its launches and images.
static json::Array describeGpus(const nncc_model &model,
                                llvm::raw_ostream &os) {
  json::Array list;
  for (const nncc_cuda &cuda : llvm::ArrayRef(model.cudas, model.cuda_count)) {
    int64_t bytes[3] = {};
    for (const nncc_device_kernel &kernel :
         llvm::ArrayRef(cuda.kernels, cuda.kernel_count))
      for (uint64_t i = 0; i < kernel.image_count; ++i)
        bytes[kernel.images[i].kind] += int64_t(kernel.images[i].bytes);
    os << "program for " << nameOf(cuda) << ": " << cuda.kernel_count
       << " kernels, " << bytes[NNCC_IMAGE_PTX] << " bytes of PTX, "
       << bytes[NNCC_IMAGE_CUBIN] << " of cubins, " << cuda.prepared_bytes
       << " prepared\n";
    list.push_back(
        json::Object{{"name", nameOf(cuda)},
                     {"kernels", int64_t(cuda.kernel_count)},
                     {"ptx_bytes", bytes[NNCC_IMAGE_PTX]},
                     {"cubin_bytes", bytes[NNCC_IMAGE_CUBIN]},
                     {"prepared_bytes", int64_t(cuda.prepared_bytes)}});
  }
  return list;
}

int InspectVerb::inspectLibrary() {
  Library library;
  if (int code = library.open(file))
    return code;
  const nncc_model &model = *library.model;
  std::string text;
  llvm::raw_string_ostream os(text);
  os << model.name << " for " << programsOf(model) << ", by " << model.compiler
     << ", ABI " << model.abi_version << "\nweights: " << model.weight_count
     << " tensors, " << model.prepared_bytes << " bytes prepared"
     << (model.embedded ? ", embedded" : "") << '\n';
  json::Array gpus = describeGpus(model, os);
  json::Array weights = describe(model.weights, model.weight_count), entries;
  writeTensors(os, "", weights);
  for (uint64_t i = 0; i < model.entry_count; ++i) {
    const nncc_entry &entry = model.entries[i];
    json::Array bodies;
    for (uint64_t b = 0; b < entry.body_count; ++b) {
      const nncc_body &body = entry.bodies[b];
      json::Array inputs = describe(body.inputs, entry.input_count);
      json::Array outputs = describe(body.outputs, entry.output_count);
      double sum = 0;
      const nncc_body &steps = *model.cpu ? body : model.cudas->bodies[i][b];
      std::vector<KernelRun> runs = kernelRuns(steps);
      for (const KernelRun &run : runs)
        sum += double(run.step->flops);
      int64_t flops = std::min(sum, 0x1p62); // may be more than 64 bits
      os << "\nentry " << entry.name << (*body.sizes ? " " : "") << body.sizes
         << ": " << flops << " FLOPs in products, " << runs.size()
         << " kernel calls, arena " << steps.arena_bytes << " bytes\n";
      writeTensors(os, "in  ", inputs);
      writeTensors(os, "out ", outputs);
      bodies.push_back(
          json::Object{{"sizes", body.sizes},
                       {"inputs", std::move(inputs)},
                       {"outputs", std::move(outputs)},
                       {"flops", flops},
                       {"calls", int64_t(runs.size())},
                       {"arena_bytes", int64_t(steps.arena_bytes)}});
    }
    entries.push_back(
        json::Object{{"name", entry.name}, {"bodies", std::move(bodies)}});
  }
  json::Object report{{"model", model.name},
                      {"cpu", model.cpu},
                      {"gpus", std::move(gpus)},
                      {"compiler", model.compiler},
                      {"abi_version", int64_t(model.abi_version)},
                      {"prepared_bytes", int64_t(model.prepared_bytes)},
                      {"weights", std::move(weights)},
                      {"entries", std::move(entries)}};
  return print(std::move(report), text);
}

int InspectVerb::inspectArrays() {
  std::vector<HostTensor> arrays;
  if (int code = readArrays(file, arrays))
    return code;
  json::Array tensors;
  int64_t bytes = 0;
  for (const HostTensor &t : arrays) {
    tensors.push_back(describe(t.name.c_str(), t.dtype, t.dims.data(),
                               t.dims.size(), t.data.size()));
    bytes += int64_t(t.data.size());
  }
  std::string text;
  llvm::raw_string_ostream os(text);
  os << tensors.size() << (tensors.size() == 1 ? " tensor, " : " tensors, ")
     << bytes << " bytes\n";
  writeTensors(os, "", tensors);
  return print(json::Object{{"bytes", bytes}, {"tensors", std::move(tensors)}},
               text);
}

int InspectVerb::run(Verb &verb) {
  Paths paths;
  bool isCompiled;
  Glance glance;
  int code = paths.reads("the file", file);
  if (!code)
    code = paths.reads("--schedules", flags.scheduleFile);
  if (!code)
    code = flags.finish();
  if (!code && file != "-")
    code = glanceAt(file, glance);
  if (!code)
    code = looksCompiled(file, isCompiled);
  if (code)
    return code;
  bool hasArrays = isArrays(file, glance.kind);
  if (verb.given("--target") && verb.given("--device"))
    return fail(exitUsage, "--device asks for the target of the GPU that is "
                           "here, --target for another");
  if (!isCompiled && !hasArrays)
    return inspectModel();
  std::vector<std::string> idle = compilingFlags();
  idle.insert(idle.end(), {"--dim", "--device"});
  if (int refused = verb.refuse(idle, file + " is not compiled here"))
    return refused;
  return isCompiled ? inspectLibrary() : inspectArrays();
}

} // namespace

Verb makeInspect() {
  Verb verb("inspect",
            "what a model, a compiled model or a weights file holds");
  auto self = std::make_shared<InspectVerb>();
  verb.operand("file", self->file,
               "model, compiled .so, .o or .a, safetensors, .npz or .npy");
  verb.flag("--json", self->asJson, "as JSON on stdout");
  addEntries(verb, self->flags.options);
  self->device.addTo(verb);
  verb.text("--target", "TARGET", self->flags.options.target,
            "cuda:sm_90a: the program for that GPU; cuda:native");
  self->flags.addTo(verb, false);
  verb.examples = {"nncc inspect lenet.json",
                   "nncc inspect lenet.json --json -mcpu=x86-64-v3",
                   "nncc inspect lenet.safetensors"};
  verb.run = [self](Verb &verb) { return self->run(verb); };
  return verb;
}

} // namespace nncc
