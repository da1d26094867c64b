//===- Report.cpp - what was made of a model ------------------------------===//
//
// One JSON value holds everything; the text is written from it.
//
//===----------------------------------------------------------------------===//
#include "codegen/Report.h"
#include "codegen/Signature.h"
#include "dialect/Nncc.h"
#include "passes/Utils.h"
#include "support/Diagnostics.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/JSON.h"

using namespace mlir;
namespace json = llvm::json;

namespace nncc {

static json::Array tensorList(const std::vector<TensorInfo> &list) {
  json::Array array;
  for (const TensorInfo &tensor : list) {
    std::string type;
    llvm::raw_string_ostream(type) << tensor.type.getElementType();
    array.push_back(json::Object{{"name", tensor.name},
                                 {"dtype", type},
                                 {"shape", json::Array(tensor.type.getShape())},
                                 {"bytes", byteSize(tensor.type)}});
  }
  return array;
}

/// A kernel's ops, in order.
static json::Object kernelInfo(func::FuncOp kernel) {
  json::Array ops;
  for (Operation &op : kernel.getBody().front().without_terminator()) {
    if (isa<ConstantOp, BroadcastOp, ReshapeOp>(op))
      continue;
    ops.push_back(op.getName().stripDialect());
  }
  int64_t tiles = 1;
  if (auto attr = kernel->getAttrOfType<IntegerAttr>(tilesAttr))
    tiles = attr.getInt();
  json::Object schedule;
  if (auto attr = kernel->getAttrOfType<DictionaryAttr>(scheduleAttr))
    for (NamedAttribute number : attr)
      schedule[number.getName().strref()] =
          cast<IntegerAttr>(number.getValue()).getInt();
  return json::Object{
      {"name", kernel.getName()},
      {"kind", kernel->getAttrOfType<StringAttr>(kindAttr).getValue()},
      {"ops", std::move(ops)},
      {"tiles", tiles},
      {"key", kernel->getAttrOfType<StringAttr>(kernelKeyAttr).getValue()},
      {"schedule", std::move(schedule)},
      {"flops", int64_t(flopsOf(kernel))}};
}

/// How a kernel for a GPU is launched, and its images.
static void addDevice(json::Object &info, const DeviceKernel &kernel) {
  int64_t tiles = *info.getInteger("tiles"), threads = deviceThreads;
  info["blocks"] = (tiles + threads - 1) / threads;
  info["threads"] = threads;
  json::Object images;
  for (const DeviceImage &image : kernel.images)
    images[imageName(image.kind)] = int64_t(image.bytes.size());
  info["image_bytes"] = std::move(images);
  if (!kernel.usage)
    return;
  info["registers"] = kernel.usage->registers;
  info["stack_bytes"] = kernel.usage->stackBytes;
  info["spill_bytes"] = kernel.usage->spillBytes;
}

static json::Object entryInfo(ModuleOp model, func::FuncOp entry) {
  json::Array calls;
  DenseMap<Operation *, int64_t> number;
  entry.walk([&](Operation *op) {
    if (isa<CallOp, ScanOp>(op))
      number.try_emplace(op, number.size());
  });
  Size flops = 0;
  int64_t runs = 0;
  entry.walk([&](CallOp call) {
    auto scan = call->getParentOfType<ScanOp>();
    int64_t times = scan ? int64_t(scan.getSteps()) : 1;
    runs += times;
    json::Array reasons;
    if (auto list = call->getAttrOfType<ArrayAttr>(reasonsAttr))
      for (Attribute reason : list)
        reasons.push_back(cast<StringAttr>(reason).getValue());
    flops =
        flops + Size(times) *
                    flopsOf(model.lookupSymbol<func::FuncOp>(call.getCallee()));
    int64_t bytes = 0, last = 0;
    for (auto [result, offset] :
         llvm::zip_equal(call.getResults(), *call.getOffsets()))
      if (offset >= 0) {
        bytes += byteSize(tensorType(result));
        last = std::max(last, lastUse(result, number));
      }
    calls.push_back(
        json::Object{{"kernel", call.getCallee()},
                     {"origin", originOf(call.getLoc())},
                     {"times", times},
                     {"operands_from_memory", std::move(reasons)},
                     {"arena_bytes", bytes},
                     {"kept_calls", std::max<int64_t>(0, last - number[call])},
                     {"recomputed", call->hasAttr(recomputedAttr)}});
  });
  return json::Object{
      {"name", entry.getName()},
      {"inputs", tensorList(inputsOf(entry))},
      {"outputs", tensorList(outputsOf(entry))},
      {"arena_bytes", entry->getAttrOfType<IntegerAttr>(arenaAttr).getInt()},
      {"flops", int64_t(flops)},
      {"kernel_calls", runs},
      {"calls", std::move(calls)}};
}

static std::string describe(const json::Object &tensor) {
  std::string text;
  llvm::raw_string_ostream os(text);
  os << *tensor.getString("name") << ' ' << *tensor.getString("dtype") << " [";
  llvm::interleaveComma(*tensor.getArray("shape"), os,
                        [&](const json::Value &v) { os << *v.getAsInteger(); });
  os << ']';
  return text;
}

static void writeLaunch(const json::Object &kernel, llvm::raw_ostream &os) {
  if (!kernel.get("blocks"))
    return;
  os << "; blocks of " << *kernel.getInteger("threads")
     << " threads: " << *kernel.getInteger("blocks");
  if (kernel.get("registers"))
    os << ", " << *kernel.getInteger("registers") << " registers, "
       << *kernel.getInteger("stack_bytes") << " bytes of stack";
  for (const auto &[kind, bytes] : *kernel.getObject("image_bytes"))
    if (*bytes.getAsInteger())
      os << ", " << kind.str() << ' ' << *bytes.getAsInteger() << " bytes";
}

static void writeText(const json::Object &report, llvm::raw_ostream &os) {
  os << *report.getString("model") << " for "
     << *report.getString(report.get("cpu") ? "cpu" : "gpu") << ": "
     << *report.getInteger("parameters") << " parameters in "
     << report.getArray("weights")->size() << " tensors, "
     << *report.getInteger("weight_bytes") << " bytes\n";
  for (const json::Value &value : *report.getArray("entries")) {
    const json::Object &entry = *value.getAsObject();
    os << "\nentry " << *entry.getString("name") << ": "
       << *entry.getInteger("flops") << " FLOPs in products, "
       << *entry.getInteger("kernel_calls") << " kernel calls, arena "
       << *entry.getInteger("arena_bytes") << " bytes\n";
    for (const char *key : {"inputs", "outputs"})
      for (const json::Value &tensor : *entry.getArray(key))
        os << "  " << (key[0] == 'i' ? "in  " : "out ")
           << describe(*tensor.getAsObject()) << '\n';
    for (const json::Value &item : *entry.getArray("calls")) {
      const json::Object &call = *item.getAsObject();
      os << "  " << *call.getString("kernel") << "  ";
      if (*call.getInteger("times") > 1)
        os << *call.getInteger("times") << " times  ";
      os << *call.getString("origin") << "  reads: ";
      llvm::interleave(
          *call.getArray("operands_from_memory"), os,
          [&](const json::Value &v) { os << *v.getAsString(); }, "; ");
      // What waits for backward, mostly.
      if (*call.getInteger("kept_calls") > 20)
        os << "; keeps " << *call.getInteger("arena_bytes") << " bytes for "
           << *call.getInteger("kept_calls") << " calls";
      if (*call.getBoolean("recomputed"))
        os << "; computed again";
      os << '\n';
    }
  }
  os << "\nkernels\n";
  for (const json::Value &value : *report.getArray("kernels")) {
    const json::Object &kernel = *value.getAsObject();
    os << "  " << *kernel.getString("name") << "  "
       << *kernel.getInteger("tiles") << " tiles (";
    llvm::interleaveComma(*kernel.getObject("schedule"), os,
                          [&](const json::Object::value_type &number) {
                            os << number.first << ' '
                               << *number.second.getAsInteger();
                          });
    os << "), " << *kernel.getInteger("flops") << " FLOPs: ";
    llvm::interleave(
        *kernel.getArray("ops"), os,
        [&](const json::Value &v) { os << *v.getAsString(); }, " ");
    writeLaunch(kernel, os);
    os << '\n';
  }
}

std::string reportOf(ModuleOp model, const TargetInfo &target,
                     const DeviceCode *code, bool asJson) {
  json::Array entries, kernels;
  int64_t parameters = 0, bytes = 0;
  for (const TensorInfo &weight : weightsOf(model)) {
    parameters += weight.type.getNumElements();
    bytes += byteSize(weight.type);
  }
  for (auto function : model.getOps<func::FuncOp>()) {
    if (function.isPublic())
      entries.push_back(entryInfo(model, function));
    else
      kernels.push_back(kernelInfo(function));
  }
  for (size_t i = 0; code && i < code->kernels.size(); ++i)
    addDevice(*kernels[i].getAsObject(), code->kernels[i]);
  json::Object report{
      {"model", model->getAttrOfType<StringAttr>(modelNameAttr).getValue()},
      {code ? "gpu" : "cpu", code ? architectureOf(target) : target.cpu},
      {"abi_version", NNCC_ABI_VERSION},
      {"parameters", parameters},
      {"weight_bytes", bytes},
      {"weights", tensorList(weightsOf(model))},
      {"entries", std::move(entries)},
      {"kernels", std::move(kernels)}};
  std::string text;
  llvm::raw_string_ostream os(text);
  if (asJson)
    os << llvm::formatv("{0:2}", json::Value(std::move(report))) << '\n';
  else
    writeText(report, os);
  return text;
}

static std::string typeText(Type type) {
  auto tensor = cast<RankedTensorType>(type);
  std::string text;
  llvm::raw_string_ostream os(text);
  os << tensor.getElementType() << ' ' << shapeText(tensor.getShape());
  return text;
}

std::string graphOf(ModuleOp model) {
  std::string text;
  llvm::raw_string_ostream os(text);
  for (auto entry : model.getOps<func::FuncOp>()) {
    os << "entry " << entry.getName() << '\n';
    for (const TensorInfo &input : inputsOf(entry))
      os << "  input " << input.name << ": " << typeText(input.type) << '\n';
    // Ops of one call stand together; what others read is the call's.
    SmallVector<Operation *> call;
    auto flush = [&] {
      SmallVector<std::string> types;
      for (Operation *op : call)
        for (Value result : op->getResults())
          if (llvm::any_of(result.getUsers(), [&](Operation *user) {
                return user->getLoc() != op->getLoc();
              }))
            types.push_back(typeText(result.getType()));
      if (!types.empty())
        os << "  " << originOf(call.front()->getLoc()) << " -> "
           << llvm::join(types, ", ") << '\n';
      call.clear();
    };
    for (Operation &op : entry.getBody().front().without_terminator()) {
      if (isa<WeightOp>(op) || originOf(op.getLoc()).empty())
        continue;
      if (!call.empty() && call.front()->getLoc() != op.getLoc())
        flush();
      call.push_back(&op);
    }
    flush();
    for (const TensorInfo &output : outputsOf(entry))
      os << "  output " << output.name << ": " << typeText(output.type) << '\n';
  }
  return text;
}

} // namespace nncc
